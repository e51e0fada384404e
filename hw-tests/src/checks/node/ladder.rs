//! A card that locks and gives nothing climbs the ladder to its top.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::stage::{AIR, Plan, Stage, channel, number};
use crate::{
    bench::Bench,
    checks::{Desk, desk::ms},
};

/// Each rung is seen in the counts and in what the driver is asked, up to the wish for a reboot; then data come back.
pub(in crate::checks) fn ladder(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let plan = Plan { channels: vec![channel("s1", &format!("{AIR}&service=1"))], ..Plan::default() };
    let stage = Stage::set(bench, &plan)?;
    stage.received("sat")?;
    stage.knobs.forget()?;
    stage.knobs.set_card("data", 0)?;
    let asked = |input: &serde_json::Value| input["tuner"]["reboot_asked"] == true;
    let (input, took) = stage.node.wait_input("sat", "the top of the ladder", Duration::from_secs(60), asked)?;
    let ladder = &input["tuner"]["ladder"];
    desk.figure("top-reached-after", ms(took))?;
    desk.figure("rungs", ladder)?;
    for rung in ["retunes", "sec_repeats", "reopens", "rebinds", "reboots_asked"] {
        ensure!(number(&ladder[rung]) > 0, "rung {rung} was left out: {ladder}");
    }
    // A platform device has no driver to take off, and is on no USB: the one is said, the other left out.
    ensure!(number(&ladder["reauthorisations"]) == 0, "{ladder}");
    let journal = stage.knobs.journal()?;
    let count = |what: &str| journal.iter().filter(|entry| entry.what.starts_with(what)).count();
    let (tunes, opened) = (count("satellite tune "), count("satellite init"));
    desk.figure("driver-was-asked", format!("{tunes} tunes, {opened} openings, {} filters", count("demux start")))?;
    ensure!(tunes >= 5 && opened >= 2, "{tunes} tunes and {opened} openings are too few for these rungs");
    let log = stage.node.log();
    ensure!(log.contains("drain this node and reboot it"), "the wish for a reboot is not in the log");
    stage.knobs.set_card("data", 1)?;
    let (input, took) = stage.received("sat")?;
    desk.figure("received-after-data-are-back", ms(took))?;
    ensure!(input["tuner"]["reboot_asked"] == false, "the wish for a reboot stays");
    Ok(())
}
