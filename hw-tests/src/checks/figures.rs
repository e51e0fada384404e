//! Signal figures arrive with the scale the driver gave them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Desk, capture::prepare, tuner_with};
use crate::{
    bench::Bench,
    dvb::{Frontend, Hold, STATS, Stat},
    knobs::Side,
};

const NOT_AVAILABLE: u8 = 0;
const DECIBEL: u8 = 1;
const RELATIVE: u8 = 2;
const COUNTER: u8 = 3;
const NONE: i64 = 255;

/// Every scale, a figure without value, a figure that is not there at all, and rubbish, all as set.
pub(super) fn scales(bench: &Bench, desk: &mut Desk) -> Result<()> {
    let tuner = tuner_with(bench, |tuner| tuner.knobs.is_some() && tuner.signal.on_satellite())?;
    let knobs = tuner.knobs.as_ref().context("knobs")?;
    let frontend = Frontend::open(&tuner.nodes()?.frontend, Hold::Tune).context("open the frontend")?;
    prepare(&frontend, tuner)?;
    frontend.wait_lock(Duration::from_secs(2))?;
    let cases: [(&str, u32, i64, u8); 6] = [
        ("strength", STATS[0], -52_340, DECIBEL),
        ("strength", STATS[0], 40_000, RELATIVE),
        ("strength", STATS[0], -4_000_000_000, DECIBEL),
        ("cnr", STATS[1], 13_250, DECIBEL),
        ("cnr", STATS[1], 0, NOT_AVAILABLE),
        ("post_bit_error", STATS[4], 123_456_789_012, COUNTER),
    ];
    for (knob, id, value, scale) in cases {
        knobs.set(Side::Satellite, knob, value)?;
        knobs.set(Side::Satellite, &format!("{knob}_scale"), i64::from(scale))?;
        let got = figure(&frontend, id)?;
        ensure!(got == Stat { len: 1, scale, value }, "{knob}: set {value} with scale {scale}, got {got:?}");
    }
    knobs.set(Side::Satellite, "cnr_scale", NONE)?;
    let got = figure(&frontend, STATS[1])?;
    ensure!(got.len == 0, "a figure the driver does not have came as {got:?}");
    ensure!(frontend.old_strength().is_err(), "the driver has no old call, and it answered");
    knobs.set(Side::Satellite, "v3_strength", 51_000)?;
    let old = frontend.old_strength().context("the old call for signal strength")?;
    ensure!(old == 51_000, "the old call gave {old}, 51000 was set");
    desk.figure("cases", cases.len() + 2)
}

fn figure(frontend: &Frontend, id: u32) -> Result<Stat> {
    let all = frontend.figures().context("ask for the figures")?;
    all.iter().find(|(which, _)| *which == id).map(|(_, stat)| *stat).context("the figure is not in the answer")
}

/// What every tuner of the bench says of its signal, for the technician to compare.
pub(super) fn plausible(bench: &Bench, desk: &mut Desk) -> Result<()> {
    for tuner in &bench.tuners {
        let frontend = Frontend::open(&tuner.nodes()?.frontend, Hold::Tune).context("open the frontend")?;
        prepare(&frontend, tuner)?;
        frontend.wait_lock(Duration::from_secs(10))?;
        for (name, id, low, high) in [("strength", STATS[0], -120_000, 20_000), ("cnr", STATS[1], -10_000, 60_000)] {
            let stat = figure(&frontend, id)?;
            let text = match (stat.len, stat.scale) {
                (1.., DECIBEL) => {
                    format!("{:.1} dB", f64::from(i32::try_from(stat.value).unwrap_or(i32::MAX)) / 1000.0)
                }
                (1.., RELATIVE) => format!("{} of 65535", stat.value),
                _ => "none".to_owned(),
            };
            desk.figure(name, format!("{} {text}", tuner.place))?;
            let sane = stat.scale != DECIBEL || stat.len == 0 || (low..=high).contains(&stat.value);
            ensure!(sane, "{name} with lock is {text}: the driver invents it");
        }
    }
    Ok(())
}
