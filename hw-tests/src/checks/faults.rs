//! A card that hangs, and a card that goes away under a reader.

use std::{
    fs,
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{Capture, Desk, capture::End, desk::ms, tuner_with};
use crate::{
    bench::{Bench, Tuner},
    dvb::{Frontend, Hold},
    feeder::{Feeder, Programme},
    knobs::{Knobs, Side},
    wait::let_pass,
};

const TRIES: usize = 20;
const HANG: Duration = Duration::from_secs(3);

/// A status call that hangs for three seconds: the data goes on, and everybody else waits for the frontend.
pub(super) fn status_hang(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuner = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite())?;
    let knobs = tuner.knobs.as_ref().context("knobs")?;
    let nodes = tuner.nodes()?;
    let mut capture = Capture::start(tuner, &nodes)?;
    let feeder = Feeder::start(&knobs.air(), &Programme::Counted, tuner.bitrate)?;
    capture.run(Duration::from_millis(300), || false)?;
    let looker = Frontend::open(&nodes.frontend, Hold::Look).context("open the frontend to look")?;
    let hang = i64::try_from(HANG.as_millis())?;
    knobs.set(Side::Satellite, "hang_calls", 2)?;
    knobs.set(Side::Satellite, "hang_ms", hang)?;
    capture.recount();
    let start = Instant::now();
    let call = std::thread::spawn(move || (looker.status(), start.elapsed()));
    capture.run(HANG * 4, || call.is_finished())?;
    let (status, took) = call.join().map_err(|_| anyhow!("the asking thread panicked"))?;
    desk.figure("status-took", ms(took))?;
    ensure!(took >= HANG && status.is_ok(), "the status call took {took:?} and gave {status:?}");
    knobs.set(Side::Satellite, "hang_ms", 0)?;
    feeder.stop()?;
    let seen = capture.seen();
    desk.figure("longest-gap-in-data", ms(capture.longest_gap()))?;
    ensure!(capture.longest_gap() < Duration::from_millis(500), "the data stood still for {:?}", capture.longest_gap());
    ensure!(seen.missing == 0 && seen.continuity_errors == 0, "{seen:?}");
    Ok(())
}

/// One try: how long until the reader had closed everything, how long the driver's disconnect took, and the replug.
struct Try {
    closed: Duration,
    disconnect: Duration,
    back: Duration,
    flowing: Duration,
    /// How long the kernel needed before it told a reader of the dvr anything.
    frontends: Duration,
}

/// Twenty unplugs under a running reader that reads on a timer and closes at ENODEV.
pub(super) fn unplug(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuner = tuner_with(bench, |tuner| tuner.plug.is_some())?;
    let air = tuner.knobs.as_ref().map(Knobs::air);
    let _feeder = air.map(|air| Feeder::start(&air, &Programme::Counted, tuner.bitrate)).transpose()?;
    let adapter = tuner.nodes()?.adapter;
    let mut tries = vec![];
    for number in 0..TRIES {
        tries.push(unplug_once(tuner).with_context(|| format!("try {}", number + 1))?);
    }
    let mut worst = |name: &str, of: fn(&Try) -> Duration| -> Result<Duration> {
        let mut times: Vec<Duration> = tries.iter().map(of).collect();
        times.sort_unstable();
        let p95 = times[times.len() * 95 / 100 - 1];
        desk.figure(name, format!("p95 {} max {}", ms(p95), ms(times[times.len() - 1])))?;
        Ok(p95)
    };
    worst("frontends-unregistered", |one| one.frontends)?;
    let closed = worst("descriptors-closed", |one| one.closed)?;
    worst("disconnect-returned", |one| one.disconnect)?;
    worst("nodes-back", |one| one.back)?;
    worst("packets-after-replug", |one| one.flowing)?;
    ensure!(closed < Duration::from_millis(100), "95 of 100 closings take up to {closed:?}");
    let after = tuner.nodes()?.adapter;
    ensure!(after == adapter, "the adapter was {adapter} and came back as {after}");
    Ok(())
}

fn unplug_once(tuner: &Tuner) -> Result<Try> {
    let plug = tuner.plug.as_deref().context("a plug file")?;
    let mut capture = Capture::start(tuner, &tuner.nodes()?)?;
    flowing(&mut capture).context("before the unplug")?;
    capture.run(Duration::from_millis(100), || false)?;
    let start = Instant::now();
    let disconnect = {
        let plug = plug.to_owned();
        std::thread::spawn(move || set(&plug, false).map(|()| start.elapsed()))
    };
    let end = capture.run(Duration::from_secs(5), || false)?;
    drop(capture);
    let closed = start.elapsed();
    ensure!(end == End::Gone, "the reader was not told that the card is gone");
    let disconnect = disconnect.join().map_err(|_| anyhow!("the unplugging thread panicked"))??;
    let frontends = tuner.knobs.as_ref().map_or(Ok(Duration::ZERO), frontends_gone)?;
    let start = Instant::now();
    set(plug, true)?;
    let (nodes, back) = tuner.wait_nodes()?;
    let mut capture = Capture::start(tuner, &nodes)?;
    flowing(&mut capture).context("after the replug")?;
    Ok(Try { closed, disconnect, back, flowing: start.elapsed(), frontends })
}

/// Reads until packets come.
fn flowing(capture: &mut Capture) -> Result<()> {
    let start = Instant::now();
    while capture.seen().packets == 0 {
        capture.run(Duration::from_millis(20), || false)?;
        ensure!(start.elapsed() < Duration::from_secs(5), "no packets for five seconds");
    }
    Ok(())
}

/// How long the card's driver took to take its frontends back, by its own journal.
fn frontends_gone(knobs: &Knobs) -> Result<Duration> {
    let journal = knobs.journal()?;
    let last = |what: &str| journal.iter().rev().find(|entry| entry.what == what).map(|entry| entry.at);
    let (Some(begin), Some(gone)) = (last("unplug begin"), last("unplug frontends gone")) else {
        bail!("the journal has no unplug in it");
    };
    Ok(gone.saturating_sub(begin))
}

fn set(plug: &Path, plugged: bool) -> Result<()> {
    let what = if plugged { "plug back" } else { "unplug" };
    fs::write(plug, if plugged { "1" } else { "0" }).with_context(|| format!("{what} with {}", plug.display()))
}

/// The driver's disconnect does not end while somebody holds the dvr, which is why holders must let go.
pub(super) fn held(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuner = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite())?;
    let knobs = tuner.knobs.as_ref().context("knobs")?;
    let capture = Capture::start(tuner, &tuner.nodes()?)?;
    let plug = knobs.plug();
    let start = Instant::now();
    let disconnect = std::thread::spawn(move || set(&plug, false).map(|()| start.elapsed()));
    let_pass(Duration::from_secs(1));
    ensure!(!disconnect.is_finished(), "the disconnect returned while the dvr was held");
    let status = capture.frontend.status();
    ensure!(status.is_err(), "the frontend still answers: {status:?}");
    drop(capture);
    let took = disconnect.join().map_err(|_| anyhow!("the unplugging thread panicked"))??;
    desk.figure("disconnect-held-1000-ms", ms(took))?;
    let waited = (Duration::from_millis(1000)..Duration::from_millis(2000)).contains(&took);
    ensure!(waited, "the disconnect took {took:?}, the dvr was held for a second");
    knobs.set_card("plugged", 1)?;
    tuner.wait_nodes().map(drop)
}

/// Plug and unplug as fast as it goes, under somebody who opens, sets the LNB and tunes.
///
/// The user opens only what is plugged, and the card goes after its first call has returned. A card that goes while it is
/// being opened can hang its users for ever in dvb-core of Linux 6.1: `hw-tests/README.md`, "What the kernel does not
/// bear".
pub(super) fn storm(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuner = tuner_with(bench, |tuner| tuner.plug.is_some())?;
    let plug = tuner.plug.as_deref().context("a plug file")?;
    let rounds = if tuner.knobs.is_some() { 100 } else { 5 };
    let (plugged, next) = channel::<()>();
    let (opened, held) = channel::<bool>();
    let refused = std::thread::scope(|scope| -> Result<u32> {
        let user = scope.spawn(move || use_while_there(tuner, &next, &opened));
        for round in 0..rounds {
            plugged.send(()).context("the tuning thread has ended")?;
            ensure!(held.recv_timeout(Duration::from_secs(10))?, "round {round}: the card cannot be opened");
            // Each round is cut at another moment of the user's sequence.
            let_pass(Duration::from_millis(round * 3 % 200));
            set(plug, false)?;
            set(plug, true)?;
            tuner.wait_nodes()?;
        }
        drop(plugged);
        user.join().map_err(|_| anyhow!("the tuning thread panicked"))
    })?;
    desk.figure("rounds", rounds)?;
    desk.figure("cut-before-tuned", refused)?;
    let frontend = Frontend::open(&tuner.nodes()?.frontend, Hold::Tune).context("open after the storm")?;
    super::prepare(&frontend, tuner)?;
    frontend.wait_lock(Duration::from_secs(5)).context("after the storm").map(drop)
}

/// Opens at each word, says so, tunes, holds until the card is gone; tells how often it did not come to tuning.
fn use_while_there(tuner: &Tuner, next: &Receiver<()>, opened: &Sender<bool>) -> u32 {
    let mut refused = 0;
    while next.recv().is_ok() {
        let frontend = tuner.nodes().ok().and_then(|nodes| Frontend::open(&nodes.frontend, Hold::Tune).ok());
        // A first answer means that the kernel's thread for this opening runs.
        let frontend = frontend.filter(|frontend| frontend.status().is_ok());
        if opened.send(frontend.is_some()).is_err() {
            return refused;
        }
        let Some(frontend) = frontend else { return refused };
        refused += u32::from(super::prepare(&frontend, tuner).is_err());
        while frontend.status().is_ok() {
            let_pass(Duration::from_millis(5));
        }
    }
    refused
}
