//! The node and a CAM in the pretended card's slot: start, services, menu, pulled modules, bad modules, an unplugged card.
//!
//! The CAM is [`crate::cam`]'s. What it was told of comes out of the card clear, so a service that the node shows as clear
//! was told of rightly.

mod stage;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Check, Desk, Need, check, desk::ms};
use crate::{
    bench::Bench,
    cam::{List, Mood},
    node::Node,
    wait::{self, let_pass},
};
use stage::{SOON, Stage};

/// The checks, the destructive ones last.
pub(super) const CHECKS: [Check; 8] = [
    check("cam-starts-and-descrambles", Need::NodeOnKnobs, starts),
    check("cam-second-service-is-added", Need::NodeOnKnobs, second),
    check("cam-menu-over-http", Need::NodeOnKnobs, menu),
    check("cam-pulled-and-put-back", Need::NodeOnKnobs, pulled),
    check("cam-node-restarts", Need::NodeOnKnobs, restarts),
    check("cam-mute-busy-rubbish", Need::NodeOnKnobs, moods),
    check("cam-driver-hangs", Need::NodeOnKnobs, hangs),
    check("cam-card-unplugged", Need::NodeOnKnobs, unplugged),
];

/// EN 50221's own limit for a module to start is not given; hosts in the field wait 15 s.
const START: Duration = Duration::from_secs(15);

/// From an empty slot to a clear service.
fn starts(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::set(bench)?;
    stage.wait("an empty slot", SOON, |cam| cam["state"] == "empty")?;
    stage.scrambled(1)?;
    let start = Instant::now();
    stage.insert(true)?;
    let (cam, _) = stage.wait("the module to be ready", START, |cam| cam["state"] == "ready")?;
    let asked = stage.module.played().asked.context("it was never asked what it is")?;
    desk.figure("application-information-after", ms(asked - start))?;
    ensure!(asked - start < START, "asked after {:?}", asked - start);
    ensure!(cam["module"]["label"] == "Headend CAM" && cam["module"]["maker"] == "4844", "{}", cam["module"]);
    ensure!(cam["systems"] == json!(["0500", "0D05"]), "{}", cam["systems"]);
    let took = stage.clear(1)?;
    desk.figure("clear-after", ms(took))?;
    let played = stage.module.played();
    desk.figure("profile", format!("{} resources", played.profile))?;
    let [list] = &played.lists[..] else { anyhow::bail!("told {:?}", played.lists) };
    desk.figure("first-list-after", ms(list.at - start))?;
    // The descriptor of system 0x0500 with its private bytes, and not that of 0x1800.
    let own = [0x09, 6, 0x05, 0x00, 0xe1, 0xf0, 0x14, 0x05];
    ensure!(list.management == "only" && list.service == 1 && list.command == 1, "{list:?}");
    ensure!(list.descriptors == own && list.streams == [0x50], "{list:?}");
    drop(played);
    time_of_day(&stage, desk)
}

/// The module asked for the time each second.
fn time_of_day(stage: &Stage, desk: &mut Desk) -> Result<()> {
    let thrice = || Ok((stage.module.played().times.len() >= 3).then_some(()));
    wait::until("the time to be told three times", SOON, thrice)?;
    let played = stage.module.played();
    let (at, body) = played.times.last().context("no time")?;
    let [high, low, hour, minute, second] = body[..] else { anyhow::bail!("date_time holds {body:02x?}") };
    let bcd = |byte: u8| u64::from(byte >> 4) * 10 + u64::from(byte & 0x0f);
    let days = u64::from(u16::from_be_bytes([high, low])) - 40_587;
    let told = days * 86_400 + bcd(hour) * 3_600 + bcd(minute) * 60 + bcd(second);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().context("a clock after 1970")? - at.elapsed();
    let off = now.as_secs().abs_diff(told);
    desk.figure("time-is-off-by", format!("{off} s at most"))?;
    ensure!(off <= 2, "told {told}, it is {}", now.as_secs());
    let gap = played.times[1].0 - played.times[0].0;
    ensure!(gap > Duration::from_millis(200), "told twice within {gap:?}");
    Ok(())
}

/// A second service is added, changed and given back; the first one's list is never touched.
fn second(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::ready(bench)?;
    stage.module.played().lists.clear();
    let start = Instant::now();
    stage.cable.announce_second(true);
    stage.scrambled(2)?;
    stage.clear(2)?;
    desk.figure("second-clear-after", ms(start.elapsed()))?;
    stage.cable.announce_second(false);
    let back = || Ok((stage.module.played().lists.len() >= 2).then_some(()));
    wait::until("the service to be given back", SOON, back)?;
    let lists = stage.module.played().lists.clone();
    let words: Vec<String> = lists.iter().map(words).collect();
    desk.figure("told", words.join(", "))?;
    ensure!(words == ["add 2 command 1", "update 2 command 4"], "{words:?}");
    ensure!(lists[1].at - lists[0].at >= Duration::from_millis(900), "no pause between two lists");
    stage.clear(1).map(drop)
}

fn words(list: &List) -> String {
    format!("{} {} command {}", list.management, list.service, list.command)
}

/// The technician's walk through the menu, and what he may not do.
fn menu(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::ready(bench)?;
    let shown = |kind: &'static str| {
        move |cam: &Value| cam["screen"]["kind"] == kind && cam["screen"]["number"].as_u64().is_some()
    };
    let start = Instant::now();
    ensure!(stage.post("menu", &json!({}))?.0 == 202, "the menu cannot be asked for");
    let (cam, _) = stage.wait("the menu", SOON, shown("menu"))?;
    desk.figure("menu-after", ms(start.elapsed()))?;
    let screen = &cam["screen"];
    ensure!(screen["title"] == "Headend CAM" && screen["choices"] == json!(["Card", "Pin code", "Back"]), "{screen}");
    ensure!(stage.node.status()?["cams"][0]["screen"].is_null(), "the status page shows the screen to everybody");
    let number = screen["number"].clone();
    let answer = |body: Value| stage.post("answer", &body);
    let stale = answer(json!({"number": 99, "choice": 1}))?;
    ensure!(stale.0 == 409 && stale.1.contains("another screen"), "{stale:?}");
    ensure!(answer(json!({"number": number, "choice": 9}))?.0 == 409, "an entry that is none");
    ensure!(answer(json!({"number": number}))?.0 == 400, "an answer without an answer");
    ensure!(answer(json!({"number": number, "choice": 2}))?.0 == 202, "the second entry");
    let (cam, _) = stage.wait("the question", SOON, shown("enquiry"))?;
    let screen = &cam["screen"];
    ensure!(screen["title"] == "PIN?" && screen["blind"] == true && screen["length"] == 4, "{screen}");
    ensure!(answer(json!({"number": screen["number"], "text": "1234"}))?.0 == 202, "the PIN");
    let (cam, _) = stage.wait("the menu again", SOON, shown("menu"))?;
    ensure!(answer(json!({"number": cam["screen"]["number"], "choice": 1}))?.0 == 202, "the first entry");
    let (cam, _) = stage.wait("the list", SOON, shown("list"))?;
    ensure!(cam["screen"]["choices"] == json!(["Number 1234", "Valid"]), "{}", cam["screen"]);
    ensure!(stage.post("close", &json!({}))?.0 == 202, "the menu cannot be closed");
    stage.wait("no screen", SOON, |cam| cam["screen"].is_null())?;
    let did = || Ok((stage.module.played().answers.len() >= 4).then_some(()));
    wait::until("the module to hear it", SOON, did)?;
    let answers = stage.module.played().answers.join(", ");
    desk.figure("module-heard", &answers)?;
    ensure!(answers == "choice 2, text 1234, choice 1, close", "{answers}");
    let refusals = stage.refusals()?;
    desk.figure("refusals", format!("form, foreign page, unknown CAM, unknown order: {refusals:?}"))?;
    ensure!(refusals == [415, 403, 404, 404], "{refusals:?}");
    stage.clear(1).map(drop)
}

/// A module that is pulled takes its services with it, and gets its list again when it is put back.
fn pulled(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::ready(bench)?;
    stage.cable.announce_second(true);
    stage.clear(2)?;
    let start = Instant::now();
    stage.insert(false)?;
    stage.module.forget();
    let (_, took) = stage.wait("the slot to be empty", SOON, |cam| cam["state"] == "empty")?;
    desk.figure("seen-empty-after", ms(took))?;
    let access = stage.scrambled(1)?;
    desk.figure("scrambled-said-after", ms(start.elapsed()))?;
    ensure!(access["cam"] == "main", "the CAM is not named: {access}");
    ensure!(access["trouble"].as_str().is_some_and(|words| words.contains("not ready")), "{access}");
    let start = Instant::now();
    stage.insert(true)?;
    stage.wait("the module to be ready", START, |cam| cam["state"] == "ready")?;
    desk.figure("ready-after", ms(start.elapsed()))?;
    stage.clear(1)?;
    stage.clear(2)?;
    desk.figure("both-clear-after", ms(start.elapsed()))?;
    let words: Vec<String> = stage.module.played().lists.iter().map(words).collect();
    desk.figure("told", words.join(", "))?;
    ensure!(words == ["first 1 command 1", "last 2 command 1"], "{words:?}");
    Ok(())
}

/// A node that starts beside a module at work begins a dialogue of its own with it, and tells it its services.
fn restarts(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let mut stage = Stage::ready(bench)?;
    let start = Instant::now();
    let code = stage.node.stop()?;
    ensure!(code == 0, "the node ended with {code}");
    desk.figure("stopped-after", ms(start.elapsed()))?;
    stage.module.played().lists.clear();
    let start = Instant::now();
    stage.start_again(bench)?;
    stage.wait("the module to be ready", START, |cam| cam["state"] == "ready")?;
    let told = || Ok((!stage.module.played().lists.is_empty()).then_some(()));
    wait::until("the list", SOON, told)?;
    stage.clear(1)?;
    desk.figure("clear-after-start", ms(start.elapsed()))?;
    let words: Vec<String> = stage.module.played().lists.iter().map(words).collect();
    ensure!(words == ["only 1 command 1"], "{words:?}");
    let verb = Node::verb(bench.node.as_deref().context("the node's program")?, &stage.home, "cam", &["--json"])?;
    let slots: Value = serde_json::from_slice(&verb.stdout).context("the verb's answer")?;
    let own = |one: &&Value| one["device"] == "platform:headend-tuner.0/0.0";
    let slot = slots.as_array().and_then(|slots| slots.iter().find(own)).context("the verb does not show the slot")?;
    ensure!(slot["state"] == "in-use" && slot["cam"] == "main", "{slot}");
    stage.node.stop()?;
    let verb = Node::verb(bench.node.as_deref().context("the node's program")?, &stage.home, "cam", &[])?;
    let text = String::from_utf8_lossy(&verb.stdout).into_owned();
    desk.figure("verb", text.lines().next().unwrap_or_default())?;
    ensure!(text.contains("(/dev/dvb/adapter0/ca0, cam main): ready"), "{text}");
    Ok(())
}

/// A module that goes mute, takes nothing or talks rubbish disturbs neither the free service nor the HTTP interface, is
/// said, reset, and works again when it can.
fn moods(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::ready(bench)?;
    for (mood, name) in [(Mood::Rubbish, "rubbish"), (Mood::Mute, "mute"), (Mood::Busy, "busy")] {
        let (before, cc) = (stage.module.played().resets, stage.free()?);
        let start = Instant::now();
        stage.module.mood(mood);
        let away = |cam: &Value| cam["state"] == "failed" || cam["state"] == "starting" || cam["state"] == "empty";
        let (_, took) = stage.wait("the node to see it", SOON, away).context(name)?;
        let mut answers = vec![];
        while start.elapsed() < Duration::from_secs(25) {
            let (code, _, took) = stage.node.get("/api/node/v1/status")?;
            ensure!(code == 200, "{name}: the status page answers {code}");
            answers.push(took);
            let_pass(Duration::from_millis(50));
        }
        let longest = answers.iter().max().copied().unwrap_or_default();
        let late = answers.iter().filter(|answer| **answer >= Duration::from_millis(50)).count();
        let after = stage.free()?;
        desk.figure(
            name,
            format!("seen after {}, {} answers, longest {}, {late} over 50 ms", ms(took), answers.len(), ms(longest)),
        )?;
        ensure!(late * 50 <= answers.len(), "{name}: {late} of {} answers took over 50 ms", answers.len());
        ensure!(after.1 == cc.1 && after.0 > cc.0, "{name}: the multiplex suffered: {cc:?} to {after:?}");
        stage.module.mood(Mood::Well);
        let well = Instant::now();
        stage
            .wait("the module to be ready again", Duration::from_secs(60), |cam| cam["state"] == "ready")
            .context(name)?;
        stage.clear(1).context(name)?;
        let resets = stage.module.played().resets - before;
        desk.figure(&format!("{name}-well-again"), format!("clear after {} and {resets} resets", ms(well.elapsed())))?;
    }
    Ok(())
}

/// A driver that does not come back for 8 s at each transfer: said, and nobody else waits for it.
fn hangs(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::ready(bench)?;
    let before = stage.free()?;
    stage.knobs.set_card("cam_hang_ms", 8_000)?;
    let hangs = |cam: &Value| cam["advice"].as_str().is_some_and(|words| words.contains("driver"));
    let (_, took) = stage.wait("the hang to be said", SOON, hangs)?;
    desk.figure("said-after", ms(took))?;
    let (mut answers, start) = (vec![], Instant::now());
    while start.elapsed() < Duration::from_secs(5) {
        for path in ["/api/node/v1/cams", "/api/node/v1/status"] {
            let (code, _, took) = stage.node.get(path)?;
            ensure!(code == 200, "{path} answers {code}");
            answers.push(took);
        }
        let_pass(Duration::from_millis(50));
    }
    let longest = answers.iter().max().copied().unwrap_or_default();
    let late = answers.iter().filter(|answer| **answer >= Duration::from_millis(50)).count();
    desk.figure("answers", format!("{} of them, longest {}, {late} over 50 ms", answers.len(), ms(longest)))?;
    ensure!(late * 50 <= answers.len(), "{late} of {} answers took over 50 ms", answers.len());
    let after = stage.free()?;
    ensure!(after.1 == before.1 && after.0 > before.0, "the multiplex suffered: {before:?} to {after:?}");
    stage.knobs.set_card("cam_hang_ms", 0)?;
    let start = Instant::now();
    stage.wait("the module to be ready again", Duration::from_secs(60), |cam| cam["state"] == "ready")?;
    stage.clear(1)?;
    desk.figure("clear-after-the-driver-is-back", ms(start.elapsed()))
}

/// The card goes with a working module in it: nothing holds the driver, and everything comes back with it.
fn unplugged(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::ready(bench)?;
    for turn in 0..3 {
        let start = Instant::now();
        fs::write(stage.knobs.plug(), "0").context("unplug")?;
        let took = start.elapsed();
        desk.figure(&format!("disconnect-{turn}"), ms(took))?;
        ensure!(took < Duration::from_secs(2), "the driver's disconnect took {took:?}");
        stage.wait("the card to be missed", SOON, |cam| cam["state"] == "no-device")?;
        stage.module.forget();
        let start = Instant::now();
        fs::write(stage.knobs.plug(), "1").context("plug")?;
        stage.wait("the module to be ready", START, |cam| cam["state"] == "ready")?;
        stage.clear(1)?;
        desk.figure(&format!("clear-after-replug-{turn}"), ms(start.elapsed()))?;
    }
    Ok(())
}
