//! `make bench`: what the node costs, beside a peer or a limit, measured in one run.
//!
//! [`packaging`] has ffmpeg as its peer and the same input; [`capture`] feeds a tuner's multiplex to HTTP clients and has
//! what others were measured at; [`serving`] hands out the same bytes as nginx. Nothing here fails on a figure: a machine
//! that is shared with others proves none.

mod capture;
mod packaging;
mod serving;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use headend_tests::program::workspace;

fn main() -> Result<()> {
    let node = workspace_target()?.join("release/headend-node");
    ensure!(node.is_file(), "{} is missing; run `make bench`", node.display());
    let folder = scratch()?;
    let wanted = std::env::args().nth(1).unwrap_or_default();
    if "packaging".contains(&wanted) {
        packaging::run(&node, &folder)?;
    }
    if "capture".contains(&wanted) {
        capture::run(&node, &folder)?;
    }
    if "serving".contains(&wanted) {
        serving::run(&node, &folder)?;
    }
    if "serving".contains(&wanted) {
        serving::run(&node, &folder)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A RAM disk where there is one: the disk is not what is measured.
fn scratch() -> Result<PathBuf> {
    let base = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    fresh(&base.join(format!("headend-bench-{}", std::process::id())))
}

fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_path_buf())
}

fn workspace_target() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "debug"));
    Ok(target.and_then(Path::parent).map_or_else(|| workspace().join("target"), Path::to_path_buf))
}
