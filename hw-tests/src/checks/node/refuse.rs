//! What a driver may refuse: opening, the control sequence, locking. Each is said in words, and none ends the node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::stage::{AIR, Plan, RECEIVED, Stage, channel, number};
use crate::{
    bench::Bench,
    checks::{Desk, desk::ms},
    knobs::Side,
    wait::{self, let_pass},
};

/// Behind a refusal that has ended the node may take one pause of the ladder's top, 10 s, and a tune.
const RECOVERED: Duration = Duration::from_secs(25);

pub(in crate::checks) fn refusals(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let plan = Plan { channels: vec![channel("s1", &format!("{AIR}&service=1"))], ..Plan::default() };
    let stage = Stage::set(bench, &plan)?;
    stage.received("sat")?;
    for (errno, words) in [
        (Errno::EBUSY, "another program has the tuner"),
        (Errno::EPERM, "this user may not open it"),
        (Errno::EIO, "I/O error"),
        (Errno::ETIMEDOUT, "Connection timed out"),
    ] {
        opening(&stage, errno, words, desk).with_context(|| format!("opening gives {errno}"))?;
    }
    for errno in [Errno::EIO, Errno::ETIMEDOUT] {
        sequence(&stage, errno, desk).with_context(|| format!("the control sequence gives {errno}"))?;
    }
    locking(&stage, desk).context("the first tunes do not lock")?;
    carriers(&stage, desk).context("no carrier there")
}

/// The card comes back and cannot be opened: said, tried again once a second, and received when it can.
fn opening(stage: &Stage, errno: Errno, words: &str, desk: &mut Desk) -> Result<()> {
    stage.knobs.set_card("plugged", 0)?;
    stage.turn("open_error", errno as i64)?;
    stage.knobs.set_card("plugged", 1)?;
    let said = |input: &serde_json::Value| input["last_error"].as_str().is_some_and(|text| text.contains(words));
    stage.node.wait_input("sat", "the refusal to be said", RECEIVED, said)?;
    // An error of opening is a driver's property from plug to plug here; only its value can be taken back.
    stage.turn("open_error", 0)?;
    let (_, took) = stage
        .node
        .wait_input("sat", "the card to be received", RECOVERED, |input| input["tuner"]["state"] == "receiving")?;
    desk.figure(&format!("received-after-open-{errno:?}"), ms(took))?;
    stage.knobs.set_card("plugged", 0)?;
    stage.knobs.set_card("plugged", 1)?;
    stage.received("sat").map(drop)
}

/// Voltage, tone and DiSEqC are refused while the lock is lost: said, and received when they no longer are.
fn sequence(stage: &Stage, errno: Errno, desk: &mut Desk) -> Result<()> {
    stage.turn("sec_error", errno as i64)?;
    stage.turn("lock", 0)?;
    let said = |input: &serde_json::Value| {
        input["last_error"].as_str().is_some_and(|text| text.contains(errno.desc()) && text.contains("set "))
    };
    stage.node.wait_input("sat", "the refusal to be said", RECEIVED, said)?;
    stage.turn("sec_error", 0)?;
    stage.turn("lock", 1)?;
    let (_, took) = stage
        .node
        .wait_input("sat", "the multiplex to be received", RECOVERED, |input| input["tuner"]["state"] == "receiving")?;
    desk.figure(&format!("received-after-sec-{errno:?}"), ms(took))
}

/// The first tunes of a replugged card do not lock; the ladder's do.
fn locking(stage: &Stage, desk: &mut Desk) -> Result<()> {
    let before = number(&stage.node.input("sat")?["tuner"]["ladder"]["retunes"]);
    stage.knobs.set_card("plugged", 0)?;
    stage.turn("tune_fails", 2)?;
    stage.knobs.set_card("plugged", 1)?;
    let absent = |input: &serde_json::Value| input["tuner"]["state"] == "no-lock";
    stage.node.wait_input("sat", "the missing lock to be told of", RECEIVED, absent)?;
    let (input, took) = stage
        .node
        .wait_input("sat", "the third tune to lock", RECOVERED, |input| input["tuner"]["state"] == "receiving")?;
    let ladder = &input["tuner"]["ladder"];
    desk.figure("received-after-two-dead-tunes", format!("{} with {ladder}", ms(took)))?;
    ensure!(number(&ladder["retunes"]) > before && number(&ladder["sec_repeats"]) > 0, "{ladder}");
    Ok(())
}

/// Nothing at this frequency: no lock is said, the driver is asked gently, and what is found later is received at once.
fn carriers(stage: &Stage, desk: &mut Desk) -> Result<()> {
    stage.knobs.carriers(Side::Satellite, &[1_000_000])?;
    let said = |input: &serde_json::Value| {
        input["last_error"].as_str().is_some_and(|text| text.contains("no lock"))
            && input["tuner"]["state"] == "no-lock"
    };
    stage.node.wait_input("sat", "the missing carrier to be told of", RECEIVED, said)?;
    stage.knobs.forget()?;
    let_pass(Duration::from_secs(5));
    let tunes = stage.knobs.journal()?.iter().filter(|entry| entry.what.starts_with("satellite tune ")).count();
    desk.figure("tunes-in-5-s-without-carrier", tunes)?;
    ensure!(tunes <= 4, "{tunes} tune requests in five seconds");
    stage.knobs.carriers(Side::Satellite, &[])?;
    let back = || Ok((stage.node.input("sat")?["tuner"]["state"] == "receiving").then_some(()));
    let ((), took) = wait::until("the multiplex", RECEIVED, back)?;
    desk.figure("received-after-carrier-is-back", ms(took))?;
    ensure!(took < Duration::from_secs(1), "received {took:?} after the carrier was back");
    Ok(())
}
