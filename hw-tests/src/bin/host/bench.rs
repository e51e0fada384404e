//! The same checks on hardware: `hw-guest` as a plain program, its lines into the same table.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use headend_hw_tests::line::Say;

use crate::{table::Table, tell};

/// Runs the checks on the bench that the file describes.
pub(crate) fn run(file: &Path, only: &str, table: &mut Table) -> Result<()> {
    let guest = std::env::current_exe().context("where hw-host is")?.with_file_name("hw-guest");
    tell(&format!("running the checks on the hardware of {}", file.display()));
    let mut child = Command::new(guest)
        .arg("--bench")
        .arg(file)
        .arg(only)
        .stdout(Stdio::piped())
        .spawn()
        .context("start hw-guest")?;
    hear(child.stdout.take().context("hw-guest's output")?, table)?;
    let status = child.wait().context("wait for hw-guest")?;
    if !status.success() && status.code() != Some(1) {
        table.broken(&format!("hw-guest ended with {status}"));
    }
    Ok(())
}

/// Fills the table from a program's output.
pub(crate) fn hear(output: impl std::io::Read, table: &mut Table) -> Result<()> {
    for line in BufReader::new(output).lines() {
        if let Some(say) = Say::parse(&line.context("read the checks' output")?) {
            table.hear(&say);
        }
    }
    Ok(())
}
