//! The product itself on the bench: `headend-node run` on the pretended cards, with viewers on loopback.
//!
//! Each check starts a node of its own ([`stage`]), with satellite cards, a multiplex of eight services that counts its
//! packets, and no controller. What is proven is what an operator would notice: sessions, the status page, the log, and
//! what the driver was asked.

mod dead;
mod figures;
mod hang;
mod ladder;
mod loss;
mod refuse;
mod soak;
mod stage;
mod tune;
mod unplug;
mod verbs;

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::{Check, Desk, Need, check};
use crate::bench::Bench;

/// The checks of the node, the long ones last.
pub(super) const CHECKS: [Check; 13] = [
    check("node-runs", Need::Node, runs),
    check("node-tune-reaches-driver", Need::NodeOnCards, tune::satellite),
    check("node-two-frontends", Need::NodeOnCards, tune::two_frontends),
    check("node-pid-filters", Need::NodeOnCards, tune::pids),
    check("node-lock-without-data", Need::NodeOnCards, loss::no_data),
    check("node-lock-lost-and-back", Need::NodeOnCards, loss::lock_lost),
    check("node-overflow-attributed", Need::NodeOnCards, loss::overflow),
    check("node-status-hangs", Need::NodeOnCards, hang::status),
    check("node-refusals", Need::NodeOnCards, refuse::refusals),
    check("node-ladder", Need::NodeOnCards, ladder::ladder),
    check("node-verbs", Need::NodeOnCards, verbs::verbs),
    check("node-unplug-replug", Need::NodeOnCards, unplug::twenty),
    check("node-capture", Need::NodeOnCards, soak::capture),
];

/// The program runs where the checks run, with the libraries that are there.
fn runs(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let program: &Path = bench.node.as_deref().context("the node's program")?;
    let output = Command::new(program).arg("--version").output().context("start headend-node")?;
    ensure!(output.status.success(), "headend-node --version: {}", String::from_utf8_lossy(&output.stderr));
    desk.figure("version", String::from_utf8_lossy(&output.stdout).trim())
}
