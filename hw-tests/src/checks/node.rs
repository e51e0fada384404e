//! The product itself on the bench. For now that it starts; what it does with tuners and cards builds on this room.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::Desk;
use crate::bench::Bench;

/// The program runs where the checks run, with the libraries that are there.
pub(super) fn runs(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let program: &Path = bench.node.as_deref().context("the node's program")?;
    let output = Command::new(program).arg("--version").output().context("start headend-node")?;
    ensure!(output.status.success(), "headend-node --version: {}", String::from_utf8_lossy(&output.stderr));
    desk.figure("version", String::from_utf8_lossy(&output.stdout).trim())
}
