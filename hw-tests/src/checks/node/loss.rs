//! Losses: a lock without data, a lock that is lost and comes back, a reader that is late.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::stage::{BITRATE, Plan, RECEIVED, Stage, number, whole};
use crate::{
    air::PACKET,
    bench::Bench,
    checks::{Desk, desk::ms},
    mux::SERVICES,
    node::Session,
    wait::{self, let_pass},
};

const SECOND: Duration = Duration::from_secs(1);
/// A status page is asked for every few milliseconds; this much is ours, not the node's.
const ASKING: Duration = Duration::from_millis(100);

/// Lock, and not one packet: said within a second; back as soon as packets are.
pub(in crate::checks) fn no_data(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::set(bench, &Plan::default())?;
    stage.received("sat")?;
    let session = stage.capture("s1")?;
    stage.flowing(std::slice::from_ref(&session))?;
    // The rate that a loss is measured by is known after two samples.
    let_pass(SECOND);
    let before = stage.knobs.card("packets_dropped")?;
    let start = Instant::now();
    stage.knobs.set_card("data", 0)?;
    let mute = |input: &serde_json::Value| input["tuner"]["state"] == "lock-without-data";
    stage.node.wait_input("sat", "the missing data to be found", RECEIVED, mute)?;
    let found = start.elapsed();
    desk.figure("found-after", ms(found))?;
    // And it stays found, while the ladder is climbed.
    let_pass(SECOND);
    let input = stage.node.input("sat")?;
    ensure!(input["tuner"]["state"] == "lock-without-data", "a second later it says {}", input["tuner"]["state"]);
    session.mark();
    let start = Instant::now();
    stage.knobs.set_card("data", 1)?;
    let (resumed, _) = wait::until("packets", RECEIVED, || Ok(session.resumed()))?;
    desk.figure("resumed-after", ms(resumed - start))?;
    session.alive()?;
    stage.received("sat")?;
    let losses = &stage.node.input("sat")?["tuner"]["losses"];
    desk.figure("attributed", losses)?;
    let dropped = u64::try_from(stage.knobs.card("packets_dropped")? - before)? * PACKET as u64;
    desk.figure("dropped-by-the-card", format!("{dropped} bytes"))?;
    let bytes = number(&losses["transfer"]["bytes"]);
    ensure!(number(&losses["transfer"]["ms"]) >= 1_500, "the gap is not in the account: {losses}");
    ensure!((dropped * 9 / 10..dropped * 5 / 4).contains(&bytes), "{dropped} bytes were dropped: {losses}");
    ensure!(found < SECOND + ASKING, "found after {found:?}");
    ensure!(resumed - start < SECOND / 2, "resumed after {:?}", resumed - start);
    Ok(())
}

/// The lock is away for ten seconds: bytes within 0.3 s of its return, and the gap is the signal's.
pub(in crate::checks) fn lock_lost(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let stage = Stage::set(bench, &Plan { leave_after_ms: 60_000, ..Plan::default() })?;
    stage.received("sat")?;
    let sessions = [stage.capture("s1")?, stage.capture("s8")?, stage.live("s2")?];
    stage.flowing(&sessions)?;
    let_pass(SECOND);
    let before = stage.knobs.card("packets_dropped")?;
    stage.turn("lock", 0)?;
    let_pass(Duration::from_secs(10));
    let state = stage.node.input("sat")?["tuner"]["state"].clone();
    ensure!(state == "no-lock", "the state is {state}");
    sessions.iter().for_each(Session::mark);
    let start = Instant::now();
    stage.turn("lock", 1)?;
    let mut longest = Duration::ZERO;
    for (name, session) in ["captured", "captured", "packaged"].iter().zip(&sessions) {
        let (resumed, _) = wait::until("bytes after the lock", RECEIVED, || Ok(session.resumed()))?;
        desk.figure(&format!("{name}-session-resumed-after"), ms(resumed - start))?;
        if *name == "captured" {
            longest = longest.max(resumed - start);
        }
    }
    stage.received("sat")?;
    let losses = &stage.node.input("sat")?["tuner"]["losses"];
    desk.figure("attributed", losses)?;
    let signal = number(&losses["signal"]["ms"]);
    let dropped = u64::try_from(stage.knobs.card("packets_dropped")? - before)? * PACKET as u64;
    desk.figure("dropped-by-the-card", format!("{dropped} bytes"))?;
    let bytes = number(&losses["signal"]["bytes"]);
    ensure!((9_000..=12_000).contains(&signal), "the ten seconds are not the signal's: {losses}");
    ensure!((dropped * 9 / 10..dropped * 5 / 4).contains(&bytes), "{dropped} bytes were dropped: {losses}");
    ensure!(number(&losses["transfer"]["times"]) == 0, "the transfer is blamed: {losses}");
    ensure!(longest < Duration::from_millis(300), "bytes came {longest:?} after the lock");
    Ok(())
}

/// The node stands still until the kernel's ring runs over: counted in bytes and milliseconds, every packet of it.
pub(in crate::checks) fn overflow(bench: &Bench, desk: &mut Desk) -> Result<()> {
    const PAUSE: Duration = Duration::from_secs(6);
    let stage = Stage::set(bench, &Plan::default())?;
    stage.received("sat")?;
    let sessions: Vec<Session> = (1..=SERVICES).map(|id| stage.capture(&format!("s{id}"))).collect::<Result<_>>()?;
    stage.flowing(&sessions)?;
    let_pass(SECOND);
    sessions.iter().try_for_each(whole)?;
    stage.node.signal(Signal::SIGSTOP)?;
    let_pass(PAUSE);
    stage.node.signal(Signal::SIGCONT)?;
    sessions.iter().for_each(Session::mark);
    stage.flowing(&sessions)?;
    let_pass(SECOND);
    let input = stage.node.input("sat")?;
    let losses = &input["tuner"]["losses"];
    let (ring, missing) = (&losses["kernel_ring"], sessions.iter().map(|session| session.seen().missing).sum::<u64>());
    desk.figure("attributed", losses)?;
    desk.figure("missing", format!("{missing} counted packets of {} bytes", missing * PACKET as u64))?;
    desk.figure("overflows", &input["counters"]["kernel_drops"])?;
    ensure!(number(&ring["times"]) == 1, "the ring ran over once: {losses}");
    ensure!((5_500..=8_000).contains(&number(&ring["ms"])), "six seconds are not {ring}");
    let bytes = number(&ring["bytes"]);
    let full = u64::try_from(PAUSE.as_millis())? * BITRATE / 8000;
    ensure!(bytes >= missing * PACKET as u64, "{missing} packets are missing, {bytes} bytes are accounted for");
    ensure!(bytes <= full * 5 / 4, "{bytes} bytes are accounted for, {full} were sent meanwhile");
    ensure!(number(&losses["transfer"]["times"]) == 0, "the transfer is blamed too: {losses}");
    sessions.iter().try_for_each(Session::alive)
}
