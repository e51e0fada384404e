//! A tune request reaches the driver as it was made: properties, voltage, tone, DiSEqC; lock comes as the driver says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::{Desk, capture::prepare, desk::ms, tuner_with};
use crate::{
    bench::{Bench, Tuner},
    dvb::{
        DTV_DELIVERY_SYSTEM, DTV_FREQUENCY, DTV_INNER_FEC, DTV_INVERSION, DTV_MODULATION, DTV_PILOT, DTV_ROLLOFF,
        DTV_SCRAMBLING_SEQUENCE_INDEX, DTV_STREAM_ID, DTV_SYMBOL_RATE, DTV_TUNE, Frontend, Hold, LOCK,
    },
    knobs::{Entry, Knobs, Side, value},
    wait::{self, let_pass},
};

fn open(bench: &Bench, satellite: bool) -> Result<(&Tuner, &Knobs, Frontend)> {
    let tuner = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite() == satellite)?;
    let knobs = tuner.knobs.as_ref().context("knobs")?;
    let frontend = Frontend::open(&tuner.nodes()?.frontend, Hold::Tune).context("open the frontend")?;
    Ok((tuner, knobs, frontend))
}

/// What was noted from the first voltage on, once the tune request has arrived: the kernel's thread hands it on.
fn asked(knobs: &Knobs, side: Side) -> Result<Vec<Entry>> {
    let own = format!("{side} ");
    let arrived = || {
        let journal = knobs.journal()?;
        let there = journal.iter().any(|entry| entry.what.starts_with(&format!("{side} tune ")));
        Ok(there.then_some(journal))
    };
    let (journal, _) = wait::until("the tune request to reach the driver", Duration::from_secs(2), arrived)?;
    let entries = journal
        .into_iter()
        .map(|entry| Entry { what: entry.what.strip_prefix(&own).unwrap_or(&entry.what).to_owned(), ..entry });
    Ok(entries.filter(|entry| entry.what != "init").collect())
}

fn compare(tune: &str, wanted: &[(&str, u32)]) -> Result<()> {
    for (name, want) in wanted {
        let got = value(tune, name)?;
        ensure!(got == want.to_string(), "{name}: asked for {want}, the driver got {got}");
    }
    Ok(())
}

/// DVB-S2 with ISI, gold code, pilot and roll-off, after a full SEC sequence.
pub(super) fn satellite(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (_, knobs, frontend) = open(bench, true)?;
    knobs.forget()?;
    frontend.tone(false).context("tone off")?;
    frontend.voltage(Some(18)).context("18 V")?;
    let_pass(Duration::from_millis(20));
    frontend.master(&[0xe0, 0x10, 0x38, 0xf7]).context("DiSEqC")?;
    let_pass(Duration::from_millis(20));
    frontend.burst(true).context("burst")?;
    let_pass(Duration::from_millis(20));
    frontend.tone(true).context("tone on")?;
    let properties = [
        (DTV_DELIVERY_SYSTEM, 6),
        (DTV_FREQUENCY, 1_612_000),
        (DTV_INVERSION, 2),
        (DTV_SYMBOL_RATE, 27_500_000),
        (DTV_INNER_FEC, 3),
        (DTV_MODULATION, 9),
        (DTV_PILOT, 0),
        (DTV_ROLLOFF, 1),
        (DTV_STREAM_ID, 5),
        (DTV_SCRAMBLING_SEQUENCE_INDEX, 131_070),
        (DTV_TUNE, 0),
    ];
    frontend.tune(&properties).context("tune")?;

    let journal = asked(knobs, Side::Satellite)?;
    let order: Vec<&str> = journal.iter().map(|entry| entry.what.split(" delivery").next().unwrap_or("")).collect();
    let want = ["tone off", "voltage 18", "master e0 10 38 f7", "burst b", "tone on", "tune"];
    ensure!(order == want, "the driver was asked for {order:?}, not {want:?}");
    for pair in journal[1..5].windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        ensure!(gap >= Duration::from_millis(19), "{} came {gap:?} after {}", pair[1].what, pair[0].what);
    }
    let tune = knobs.last_tune(Side::Satellite)?;
    desk.figure("request", &tune)?;
    compare(
        &tune,
        &[
            ("delivery", 6),
            ("frequency", 1_612_000),
            ("symbol_rate", 27_500_000),
            ("fec", 3),
            ("modulation", 9),
            ("inversion", 2),
            ("pilot", 0),
            ("rolloff", 1),
            ("stream_id", 5),
            ("scrambling_sequence", 131_070),
        ],
    )?;
    let lnb = (value(&tune, "voltage")?, value(&tune, "tone")?);
    ensure!(lnb == ("18", "on"), "the LNB was left at {lnb:?}");
    Ok(())
}

/// DVB-T2 with a PLP.
pub(super) fn ground(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (tuner, knobs, frontend) = open(bench, false)?;
    knobs.forget()?;
    prepare(&frontend, tuner)?;
    asked(knobs, Side::Terrestrial)?;
    let tune = knobs.last_tune(Side::Terrestrial)?;
    desk.figure("request", &tune)?;
    let wanted =
        [("delivery", 16), ("frequency", 474_000_000), ("bandwidth", 8_000_000), ("stream_id", 1), ("modulation", 6)];
    compare(&tune, &wanted)
}

/// DiSEqC 1.1 through a cascade with repeats, and a Unicable command: every byte, in order.
pub(super) fn cascade(bench: &Bench, _: &mut Desk) -> Result<()> {
    let (_, knobs, frontend) = open(bench, true)?;
    knobs.forget()?;
    let commands: [&[u8]; 5] = [
        &[0xe0, 0x10, 0x39, 0xf5],
        &[0xe0, 0x10, 0x38, 0xf2],
        &[0xe1, 0x10, 0x38, 0xf2],
        &[0xe0, 0x10, 0x5a, 0x61, 0x2c],
        &[0x70, 0x12, 0x34, 0x56],
    ];
    frontend.voltage(Some(13)).context("13 V")?;
    for command in commands {
        frontend.master(command).context("DiSEqC")?;
    }
    frontend.voltage(None).context("no voltage")?;
    let noted: Vec<String> = knobs.journal()?.into_iter().map(|entry| entry.what).collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!(" {byte:02x}")).collect::<String>();
    let sent = commands.iter().map(|command| format!("satellite master{}", hex(command)));
    let want: Vec<String> = std::iter::once("satellite voltage 13".to_owned())
        .chain(sent)
        .chain(["satellite voltage off".into()])
        .collect();
    let noted: Vec<String> = noted.into_iter().filter(|what| !what.ends_with("init")).collect();
    ensure!(noted == want, "sent {want:?}, the driver got {noted:?}");
    Ok(())
}

/// An overloaded LNB line: the errno of the driver arrives.
pub(super) fn sec_refused(bench: &Bench, _: &mut Desk) -> Result<()> {
    let (_, knobs, frontend) = open(bench, true)?;
    knobs.set(Side::Satellite, "sec_error", i64::from(Errno::EIO as i32))?;
    for (what, result) in [
        ("voltage", frontend.voltage(Some(13))),
        ("tone", frontend.tone(true)),
        ("master", frontend.master(&[0xe0, 0x10, 0x38, 0xf0])),
        ("burst", frontend.burst(false)),
    ] {
        ensure!(result == Err(Errno::EIO), "{what}: the driver said EIO, the kernel says {result:?}");
    }
    Ok(())
}

/// First an event without lock, then one with it, after the delay the driver was told to take.
pub(super) fn events(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (tuner, knobs, frontend) = open(bench, false)?;
    knobs.set(Side::Terrestrial, "lock_delay_ms", 400)?;
    let start = Instant::now();
    prepare(&frontend, tuner)?;
    let next = || match frontend.event() {
        Ok(event) => Ok(Some(event.status)),
        Err(Errno::EWOULDBLOCK) => Ok(None),
        Err(error) => Err(error).context("read an event"),
    };
    let (first, _) = wait::until("the first event", Duration::from_secs(1), next)?;
    ensure!(first == 0, "the first event has status {first:#x}, not 0");
    let (second, _) = wait::until("the lock event", Duration::from_secs(2), next)?;
    ensure!(second & LOCK == LOCK, "the second event has status {second:#x}, not lock");
    let took = start.elapsed();
    desk.figure("lock-event-after", ms(took))?;
    ensure!(took >= Duration::from_millis(400), "lock came {took:?} after the request, 400 ms were asked for");
    Ok(())
}

/// Two requests in vain, the third locks.
pub(super) fn fails(bench: &Bench, _: &mut Desk) -> Result<()> {
    let (tuner, knobs, frontend) = open(bench, false)?;
    knobs.set(Side::Terrestrial, "tune_fails", 2)?;
    for attempt in 1..=2 {
        prepare(&frontend, tuner)?;
        let lock = frontend.wait_lock(Duration::from_millis(300));
        ensure!(lock.is_err(), "request {attempt} locked");
    }
    prepare(&frontend, tuner)?;
    frontend.wait_lock(Duration::from_secs(2)).context("the third request").map(drop)
}

/// The pretended antenna carries two signals: nothing locks beside them.
pub(super) fn carriers(bench: &Bench, _: &mut Desk) -> Result<()> {
    let (tuner, knobs, frontend) = open(bench, false)?;
    knobs.carriers(Side::Terrestrial, &[474_000_000, 482_000_000])?;
    for (frequency, there) in [(474_000_000, true), (482_000_000, true), (490_000_000, false)] {
        let mut moved = tuner.clone();
        moved.signal.frequency = frequency;
        prepare(&frontend, &moved)?;
        let locks = frontend.wait_lock(Duration::from_millis(400)).is_ok();
        ensure!(locks == there, "at {frequency} Hz it {}", if locks { "locks" } else { "does not lock" });
    }
    Ok(())
}

/// Every tuner of the bench locks to its signal.
pub(super) fn lock(bench: &Bench, desk: &mut Desk) -> Result<()> {
    for tuner in &bench.tuners {
        let frontend = Frontend::open(&tuner.nodes()?.frontend, Hold::Tune).context("open the frontend")?;
        prepare(&frontend, tuner)?;
        let took = frontend.wait_lock(Duration::from_secs(10)).with_context(|| format!("tuner {}", tuner.place))?;
        desk.figure("lock", format!("{} {} {}", tuner.place, tuner.signal.system, ms(took)))?;
    }
    Ok(())
}
