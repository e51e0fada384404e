//! The data path: nothing is lost unseen, and what the kernel does when a reader is late.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::{Capture, Desk, desk::ms, tuner_with};
use crate::{
    air::{Eye, PACKET},
    bench::{Bench, Tuner},
    dvb::{Demux, Dvr, Frontend, Hold},
    feeder::{Feeder, Programme},
    knobs::{Knobs, Side},
    wait::{self, let_pass},
};

fn pretended(bench: &Bench) -> Result<(&Tuner, &Knobs)> {
    let tuner = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite())?;
    Ok((tuner, tuner.knobs.as_ref().context("knobs")?))
}

/// The whole multiplex of every tuner, one after the other; the first for as long as the bench says, except that the long
/// capture of the virtual machine is the node's.
pub(super) fn capture(bench: &Bench, desk: &mut Desk) -> Result<()> {
    for (index, tuner) in bench.tuners.iter().enumerate() {
        let most = if index > 0 || bench.virtual_machine { 10 } else { bench.seconds };
        let seconds = bench.seconds.min(most);
        capture_one(tuner, Duration::from_secs(seconds), desk).with_context(|| format!("tuner {}", tuner.place))?;
    }
    Ok(())
}

fn capture_one(tuner: &Tuner, time: Duration, desk: &mut Desk) -> Result<()> {
    let mut capture = Capture::start(tuner, &tuner.nodes()?)?;
    let air = tuner.knobs.as_ref().map(Knobs::air);
    let feeder = air.map(|air| Feeder::start(&air, &Programme::Counted, tuner.bitrate)).transpose()?;
    let start = Instant::now();
    capture.run(time, || false)?;
    let took = start.elapsed();
    let gap = capture.longest_gap();
    let sent = feeder.map(Feeder::stop).transpose()?;
    capture.run(Duration::from_millis(200), || false)?;

    let seen = capture.seen();
    let rate = seen.packets as f64 * 1504.0 / took.as_secs_f64();
    desk.figure("rate", format!("{:.1} Mbit/s for {:.0} s", rate / 1e6, took.as_secs_f64()))?;
    desk.figure("packets", seen.packets)?;
    desk.figure("reads", format!("{:.1} a second", capture.reads() as f64 / took.as_secs_f64()))?;
    desk.figure("longest-gap", ms(gap))?;
    ensure!(capture.overflows() == 0, "the kernel's ring overflowed {} times", capture.overflows());
    let clean = seen.sync_bytes_lost == 0 && seen.continuity_errors == 0 && seen.missing == 0;
    ensure!(clean, "{seen:?}");
    ensure!(rate >= tuner.bitrate as f64 * 0.9, "{:.1} Mbit/s is too little", rate / 1e6);
    if let Some(sent) = sent {
        ensure!(seen.packets == sent, "{sent} packets were sent, {} came", seen.packets);
    }
    Ok(())
}

/// A late reader: poll says error, one read says EOVERFLOW, and the whole ring is gone.
pub(super) fn overflow(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (tuner, knobs) = pretended(bench)?;
    let capture = Capture::start(tuner, &tuner.nodes()?)?;
    capture.dvr.ring(i32::try_from(PACKET * 1024)?).context("a small ring")?;
    let feeder = Feeder::start(&knobs.air(), &Programme::Counted, 40_000_000)?;
    let full = || Ok(capture.dvr.poll(Duration::from_millis(10))?.error.then_some(()));
    let ((), took) = wait::until("the ring to overflow", Duration::from_secs(5), full)?;
    desk.figure("ring-of-188-KiB-full-after", ms(took))?;
    let sent = feeder.stop()?;
    let mut buffer = vec![0; PACKET * 2048];
    let first = capture.dvr.read(&mut buffer);
    ensure!(first == Err(Errno::EOVERFLOW), "the first read after the overflow gave {first:?}");
    let second = capture.dvr.read(&mut buffer);
    ensure!(second == Err(Errno::EAGAIN), "the ring was not emptied: the next read gave {second:?}");
    desk.figure("lost-packets", sent)
}

/// A filter on one PID lets that one through and no other.
pub(super) fn one_pid(bench: &Bench, _: &mut Desk) -> Result<()> {
    let (tuner, knobs) = pretended(bench)?;
    let nodes = tuner.nodes()?;
    let frontend = Frontend::open(&nodes.frontend, Hold::Tune).context("open the frontend")?;
    super::prepare(&frontend, tuner)?;
    frontend.wait_lock(Duration::from_secs(2))?;
    let (dvr, demux) =
        (Dvr::open(&nodes.dvr).context("open the dvr")?, Demux::open(&nodes.demux).context("open the demux")?);
    demux.pid(0x103).context("set the filter")?;
    let feeder = Feeder::start(&knobs.air(), &Programme::Counted, 8_000_000)?;
    let mut buffer = vec![0; PACKET * 1024];
    let mut bytes = vec![];
    let enough = || {
        match dvr.read(&mut buffer) {
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error).context("read the dvr"),
        }
        Ok((bytes.len() >= PACKET * 100).then_some(()))
    };
    wait::until("a hundred packets of one PID", Duration::from_secs(5), enough)?;
    feeder.stop()?;
    let others = bytes.chunks_exact(PACKET).filter(|packet| packet[1..3] != [0x01, 0x03]).count();
    ensure!(others == 0, "{others} packets of other PIDs came");
    let mut eye = Eye::default();
    eye.look(&bytes);
    ensure!(eye.seen().continuity_errors == 0, "{:?}", eye.seen());
    Ok(())
}

/// The frontend says lock and not one packet comes: what a health rule that trusts the lock bit would miss.
pub(super) fn no_data(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (tuner, knobs) = pretended(bench)?;
    let mut capture = Capture::start(tuner, &tuner.nodes()?)?;
    let feeder = Feeder::start(&knobs.air(), &Programme::Counted, tuner.bitrate)?;
    capture.run(Duration::from_millis(300), || false)?;
    ensure!(capture.seen().packets > 0, "no packets before the data stopped");
    knobs.set_card("data", 0)?;
    capture.run(Duration::from_millis(100), || false)?;
    capture.recount();
    capture.run(Duration::from_secs(1), || false)?;
    let (packets, status) = (capture.seen().packets, capture.frontend.status().context("status")?);
    ensure!(status & 0x10 != 0, "the lock bit is gone: status {status:#x}");
    ensure!(packets == 0, "{packets} packets came");
    knobs.set_card("data", 1)?;
    let start = Instant::now();
    let mut buffer = vec![0; PACKET * 1024];
    wait::until("packets again", Duration::from_secs(1), || Ok(capture.dvr.read(&mut buffer).ok()))?;
    desk.figure("back-after", ms(start.elapsed()))?;
    feeder.stop().map(drop)
}

/// Lock goes for half a second: the packets stop, the descriptors stay good, the packets come back with the lock.
pub(super) fn lock_lost(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let (tuner, knobs) = pretended(bench)?;
    let mut capture = Capture::start(tuner, &tuner.nodes()?)?;
    let feeder = Feeder::start(&knobs.air(), &Programme::Counted, tuner.bitrate)?;
    capture.run(Duration::from_millis(300), || false)?;
    knobs.set(Side::Satellite, "lock", 0)?;
    let lost = || Ok((capture.frontend.status().context("status")? & 0x10 == 0).then_some(()));
    wait::until("the lock bit to go", Duration::from_secs(1), lost)?;
    let_pass(Duration::from_millis(500));
    let (in_before, dropped) = (knobs.card("packets_in")?, knobs.card("packets_dropped")?);
    ensure!(dropped > 0, "packets went through without lock");
    knobs.set(Side::Satellite, "lock", 1)?;
    let start = Instant::now();
    let flows = || Ok((knobs.card("packets_in")? > in_before).then_some(()));
    wait::until("packets again", Duration::from_secs(1), flows)?;
    desk.figure("back-after", ms(start.elapsed()))?;
    capture.run(Duration::from_millis(300), || false)?;
    feeder.stop()?;
    ensure!(capture.seen().missing > 0, "the hole was not seen");
    Ok(())
}
