//! Twenty unplugs and replugs under eight sessions, which are the same before and after.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{
    figures::spread,
    stage::{Plan, RECEIVED, Stage, number},
};
use crate::{
    bench::Bench,
    checks::{Desk, desk::ms},
    knobs::Knobs,
    node::Session,
    wait::{self, let_pass},
};

const TRIES: usize = 20;
const LOCK_MS: u64 = 50;
const CLOSED_MAX: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Times {
    closed: Vec<Duration>,
    captured: Vec<Duration>,
    packaged: Vec<Duration>,
}

pub(in crate::checks) fn twenty(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::set(bench, &Plan { leave_after_ms: 30_000, ..Plan::default() })?;
    stage.received("sat")?;
    let mut sessions = vec![];
    for id in 1..=8 {
        let name = format!("s{id}");
        sessions.push(if id <= 4 { stage.capture(&name)? } else { stage.live(&name)? });
    }
    let mut times = Times::default();
    for number in 0..TRIES {
        once(&stage, &sessions, &mut times).with_context(|| format!("try {}", number + 1))?;
    }
    let (closed, p95) = spread(&times.closed);
    desk.figure("descriptors-closed", closed)?;
    let (captured, _) = spread(&times.captured);
    desk.figure("captured-sessions-resumed", format!("{captured} after the plug, lock takes {LOCK_MS} ms"))?;
    desk.figure("packaged-sessions-resumed", spread(&times.packaged).0)?;
    // The account is brought up to date four times a second.
    let counted = |input: &serde_json::Value| number(&input["tuner"]["losses"]["removal"]["times"]) == TRIES as u64;
    let waited = stage.node.wait_input("sat", "the account of the removals", Duration::from_secs(2), counted);
    let (input, _) = waited.with_context(|| format!("{TRIES} removals"))?;
    let losses = &input["tuner"]["losses"];
    desk.figure("attributed", losses)?;
    desk.figure("removals-counted", &input["tuner"]["ladder"]["removals"])?;
    ensure!(number(&losses["transfer"]["times"]) == 0, "the transfer is blamed: {losses}");
    ensure!(p95 < CLOSED_MAX, "95 of 100 closings take up to {p95:?}");
    let most = Duration::from_millis(1_000 + LOCK_MS);
    let longest = times.captured.iter().max().copied().unwrap_or_default();
    ensure!(longest < most, "a session resumed {longest:?} after the plug");
    let longest = times.packaged.iter().max().copied().unwrap_or_default();
    ensure!(longest < most, "a packaged session resumed {longest:?} after the plug");
    Ok(())
}

fn once(stage: &Stage, sessions: &[Session], times: &mut Times) -> Result<()> {
    stage.flowing(sessions)?;
    // The kernel does not bear a card that goes in the first moments after an opening: README.md.
    let_pass(Duration::from_millis(700));
    stage.knobs.forget()?;
    let plug = stage.knobs.plug();
    let unplug = {
        let plug = plug.clone();
        std::thread::spawn(move || fs::write(&plug, "0"))
    };
    let ended = || Ok(unplug.is_finished().then_some(()));
    wait::until("the driver's disconnect", Duration::from_secs(30), ended)
        .with_context(|| format!("the node holds {:?}", stage.node.open_files("/dev/dvb/adapter0")))?;
    unplug.join().map_err(|_| anyhow!("the unplugging thread panicked"))?.context("unplug")?;
    let (begin, _) = moment(&stage.knobs, "unplug begin")?;
    let (end, _) = moment(&stage.knobs, "unplug end")?;
    times.closed.push(end.saturating_sub(begin));
    let closed = || Ok(stage.node.open_files("/dev/dvb/adapter0").is_empty().then_some(()));
    wait::until("the frontend to be closed too", Duration::from_secs(2), closed)?;
    stage.node.wait_input("sat", "the missing card to be told of", Duration::from_secs(2), |input| {
        input["tuner"]["state"] == "absent"
    })?;
    // What was on its way has arrived.
    let quiet = || Ok(sessions.iter().all(|session| session.silent() > Duration::from_millis(300)).then_some(()));
    wait::until("the sessions to be silent", RECEIVED, quiet)?;
    sessions.iter().for_each(Session::mark);
    let start = Instant::now();
    fs::write(&plug, "1").context("plug back")?;
    for (index, session) in sessions.iter().enumerate() {
        let resumed = wait::until("bytes after the replug", RECEIVED, || {
            session.alive()?;
            Ok(session.resumed())
        });
        let (resumed, _) = resumed.with_context(|| {
            format!("session {}: {:?}; the log ends with {}", index + 1, stage.node.input("sat"), stage.node.log_tail())
        })?;
        if index < 4 { &mut times.captured } else { &mut times.packaged }.push(resumed - start);
    }
    let longest = times.captured.iter().max().copied().unwrap_or_default();
    ensure!(longest < RECEIVED, "resumed after {}", ms(longest));
    Ok(())
}

/// The last time the card noted this.
fn moment(knobs: &Knobs, what: &str) -> Result<(Duration, u64)> {
    let journal = knobs.journal()?;
    let entry = journal.iter().rev().find(|entry| entry.what == what);
    entry.map(|entry| (entry.at, entry.seq)).with_context(|| format!("the card's journal has no {what:?}"))
}
