//! `make hw-test`: builds modules and machine, runs the checks, prints the table. With `HEADEND_BENCH=FILE` the same
//! checks run on the hardware that the file names.
//!
//! Everything it makes lies below `target/hw`. It needs no privilege, no KVM and no network but the package registry.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

use crate::table::Table;

mod archive;
mod bench;
mod cards;
mod debian;
mod hand;
mod image;
mod kernel;
mod machine;
mod power;
mod table;

/// What the environment asks for.
struct Wishes {
    /// How long the long captures run.
    seconds: u64,
    /// A part of the names of the checks to run.
    only: String,
    /// Power cuts while a node records.
    cuts: u32,
    /// The node's program to take into the machine.
    node: Option<PathBuf>,
    /// Hardware instead of the machine.
    bench: Option<PathBuf>,
}

impl Wishes {
    fn from_environment(root: &Path) -> Self {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let built = ["target/release/headend-node", "target/debug/headend-node"].map(|path| root.join(path));
        Self {
            seconds: text("HEADEND_HW_SECONDS").and_then(|value| value.parse().ok()).unwrap_or(60),
            cuts: text("HEADEND_HW_CUTS").and_then(|value| value.parse().ok()).unwrap_or(4),
            only: text("HEADEND_HW_ONLY").unwrap_or_default(),
            node: text("HEADEND_NODE").map(PathBuf::from).or_else(|| built.into_iter().find(|path| path.exists())),
            bench: text("HEADEND_BENCH").map(PathBuf::from),
        }
    }
}

fn main() -> ExitCode {
    let result = match env::args().nth(1).as_deref() {
        None => all(),
        Some(cards::INSIDE) => cards::inside(),
        Some(_) => Err(anyhow::anyhow!("hw-host takes no arguments; see hw-tests/README.md for its environment")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("hw-test: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for whoever waits.
#[expect(clippy::print_stderr, reason = "a program for the terminal")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

fn all() -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("hw-tests lies in the workspace")?;
    let wishes = Wishes::from_environment(root);
    let mut table = Table::new();
    if let Some(file) = &wishes.bench {
        bench::run(file, &wishes.only, &mut table)?;
        return Ok(table.print());
    }
    let work = root.join("target/hw");
    std::fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    let debian = debian::fetch(&work)?;
    let modules = kernel::build(&root.join("hw-tests/module"), &work, &debian)?;
    cards::run(&work, &wishes.only, &mut table)?;
    let image = image::make(&work, &debian, &modules, &root.join("tests/fixtures/ts"), wishes.node.as_deref())?;
    if !power::NAME.starts_with(&wishes.only) || wishes.only.is_empty() {
        machine::run(&work, &debian, &image, &wishes, &mut table)?;
    }
    if power::NAME.contains(&wishes.only) && wishes.node.is_some() {
        power::run(&work, (&debian, &image), wishes.cuts, &mut table)?;
    }
    Ok(table.print())
}
