//! The units and rules we ship: systemd reads them without a word, their sandbox keeps its mark, udev understands them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use headend_tests::program::workspace;

/// The most a unit of ours may be exposed, in tenths of a point (`systemd-analyze security`, 100 is no sandbox).
const EXPOSURE_MAX: &str = "20";

const UNITS: [&str; 2] = ["headend-node.service", "headend-controller.service"];

fn unit(name: &str) -> PathBuf {
    workspace().join("systemd").join(name)
}

/// Copies a unit to `folder`, with a program that is on every machine: ours is not installed here.
fn copy(name: &str, folder: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string(unit(name))?;
    let program = text.lines().find_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next());
    let program = program.with_context(|| format!("{name}: no ExecStart"))?;
    let path = folder.join(name);
    fs::write(&path, text.replace(program, "/bin/true"))?;
    Ok(path)
}

#[test]
fn systemd_reads_every_unit_without_a_word() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in UNITS {
        let path = copy(name, folder.path())?;
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !said.contains(name), "{name}: {said}");
    }
    Ok(())
}

#[test]
fn every_sandbox_keeps_its_mark() -> Result<()> {
    for name in UNITS {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}"), "--no-pager"])
            .arg(unit(name))
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mark = said.lines().last().unwrap_or_default();
        println!("{mark}");
        ensure!(output.status.success(), "{name}: {mark}");
    }
    Ok(())
}

#[test]
fn a_stop_fits_into_the_time_the_unit_gives() -> Result<()> {
    // The stop order's deadlines, as the programs state them, and five seconds of the root's own.
    for (name, stages_secs) in
        [("headend-node.service", 6 + 5 + 3 + 4), ("headend-controller.service", 1 + 12 + 4 + 3 + 3 + 5)]
    {
        let text = fs::read_to_string(unit(name))?;
        let limit = text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).context("no TimeoutStopSec")?;
        ensure!(limit.parse::<u32>()? >= stages_secs + 5, "{name}: {limit} s for a stop of {stages_secs} s");
    }
    Ok(())
}

#[test]
fn udev_understands_every_rule() -> Result<()> {
    let text = fs::read_to_string(workspace().join("udev/70-headend.rules"))?;
    let joined = text.replace("\\\n", " ");
    let rules: Vec<&str> = joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(rules.len() >= 5);
    for rule in &rules {
        // Debian 12's udevadm has no `verify` yet; what it would refuse first is an assignment without its form.
        for part in rule.split(',').map(str::trim) {
            let (key, value) = part.split_once('"').with_context(|| format!("{part:?} has no value"))?;
            let operator: String = key.chars().rev().take_while(|letter| "=+!:-".contains(*letter)).collect();
            ensure!(["==", "=!", "=", "=+", "=:", "=-"].contains(&operator.as_str()), "{part:?} has no operator");
            ensure!(value.ends_with('"'), "{part:?} has no end");
        }
    }
    if Command::new("udevadm").args(["verify", "--version"]).output().is_ok_and(|output| output.status.success()) {
        let output = Command::new("udevadm").arg("verify").arg(workspace().join("udev/70-headend.rules")).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
