//! Who may open what, and what the core refuses at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::{Desk, capture::prepare, desk::ms, tuner_with};
use crate::{
    bench::Bench,
    dvb::{DTV_DELIVERY_SYSTEM, DTV_FREQUENCY, DTV_SYMBOL_RATE, DTV_TUNE, Demux, Dvr, Frontend, Hold},
    knobs::Side,
};

fn refused<T>(what: &str, result: nix::Result<T>, want: Errno) -> Result<()> {
    let got = result.err();
    ensure!(
        got == Some(want),
        "{what}: wanted {want}, the kernel said {}",
        got.map_or("yes".into(), |e| e.to_string())
    );
    Ok(())
}

/// One writer and many lookers per frontend, one reader per dvr, many demux openings.
pub(super) fn device(bench: &Bench, desk: &mut Desk) -> Result<()> {
    for tuner in &bench.tuners {
        let nodes = tuner.nodes()?;
        let holder = Frontend::open(&nodes.frontend, Hold::Tune).context("open the frontend")?;
        desk.figure("name", holder.name().context("ask for the name")?)?;
        let (version, systems) = holder.systems().context("ask for the delivery systems")?;
        desk.figure("api", format!("{}.{} systems {systems:?}", version >> 8, version & 0xff))?;
        refused("a second writer", Frontend::open(&nodes.frontend, Hold::Tune), Errno::EBUSY)?;
        let looker = Frontend::open(&nodes.frontend, Hold::Look).context("open the frontend to look")?;
        looker.status().context("status by a looker")?;
        refused("a looker that tunes", looker.tune(&tuner.signal.properties()?), Errno::EPERM)?;

        let dvr = Dvr::open(&nodes.dvr).context("open the dvr")?;
        refused("a second reader of the dvr", Dvr::open(&nodes.dvr), Errno::EBUSY)?;
        refused("a dvr with nothing to read", dvr.read(&mut [0; 188]).map(drop), Errno::EAGAIN)?;
        drop(dvr);
        let mapped = Dvr::open_writable(&nodes.dvr);
        let answer = mapped.err().map_or("yes".to_owned(), |error| error.to_string());
        desk.figure("memory-mapped-dvr", answer)?;
        let many: nix::Result<Vec<Demux>> = (0..8).map(|_| Demux::open(&nodes.demux)).collect();
        many.context("open the demux eight times")?;
    }
    Ok(())
}

/// A card with one path: while one frontend is held the other is busy, after the core's five seconds of patience.
pub(super) fn two_frontends(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let satellite = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite())?;
    let ground = tuner_with(bench, |tuner| tuner.knobs.is_some() && !tuner.signal.on_satellite())?;
    let (first, second) = (satellite.nodes()?, ground.nodes()?);
    ensure!(first.adapter == second.adapter, "the two frontends are on two adapters");
    ensure!(first.demux == second.demux, "the two frontends have a demux each");
    let held = Frontend::open(&first.frontend, Hold::Tune).context("open the satellite frontend")?;
    let start = Instant::now();
    refused("the other frontend", Frontend::open(&second.frontend, Hold::Tune), Errno::EBUSY)?;
    desk.figure("refused-after", ms(start.elapsed()))?;
    drop(held);
    let other = Frontend::open(&second.frontend, Hold::Tune).context("open the other after the first was closed")?;
    prepare(&other, ground)?;
    desk.figure("other-lock", ms(other.wait_lock(Duration::from_secs(2))?))?;
    Ok(())
}

/// What a driver says it cannot do is refused before it is asked.
pub(super) fn out_of_range(bench: &Bench, _: &mut Desk) -> Result<()> {
    let tuner = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite())?;
    let knobs = tuner.knobs.as_ref().context("knobs")?;
    let frontend = Frontend::open(&tuner.nodes()?.frontend, Hold::Tune).context("open the frontend")?;
    knobs.forget()?;
    for (what, frequency, symbol_rate) in [
        ("a frequency below the range", 900_000, 27_500_000),
        ("a frequency above the range", 2_200_000, 27_500_000),
        ("a symbol rate above the range", 1_612_000, 90_000_000),
    ] {
        let list =
            [(DTV_DELIVERY_SYSTEM, 6), (DTV_FREQUENCY, frequency), (DTV_SYMBOL_RATE, symbol_rate), (DTV_TUNE, 0)];
        refused(what, frontend.tune(&list), Errno::EINVAL)?;
    }
    let asked = knobs.journal()?.iter().any(|entry| entry.what.starts_with(&format!("{} tune", Side::Satellite)));
    ensure!(!asked, "the driver was asked all the same");
    Ok(())
}

/// Close and open at once, many times: the kernel's thread of the last opening is still on its way out.
pub(super) fn reopen(bench: &Bench, desk: &mut Desk) -> Result<()> {
    const TIMES: u32 = 200;
    let tuner = tuner_with(bench, |_| true)?;
    let nodes = tuner.nodes()?;
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    for time in 0..TIMES {
        let one = Instant::now();
        Frontend::open(&nodes.frontend, Hold::Tune).with_context(|| format!("open for the {time}. time"))?;
        longest = longest.max(one.elapsed());
    }
    desk.figure("open-and-close", format!("mean {} max {}", ms(start.elapsed() / TIMES), ms(longest)))
}
