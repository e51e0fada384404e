//! The kernel's own virtual tuner: a second opinion on structures, call order, figures and section filters.
//!
//! What it can and cannot do is in its documentation; it must not be unplugged while it streams.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::{Desk, desk::ms, kernel};
use crate::{
    bench::{Bench, Signal},
    dvb::{Demux, Frontend, Hold, Nodes, SectionFilter, nodes_of},
    wait,
};

/// It hangs on an I2C bus of its own, the only one of the machine.
const PLACE: &str = "i2c-0";
const MODULES: [&str; 3] = ["dvb_vidtv_bridge", "dvb_vidtv_demod", "dvb_vidtv_tuner"];

/// Loads it, looks at everything, unloads it.
pub(super) fn layout(_: &Bench, desk: &mut Desk) -> Result<()> {
    kernel::load_modules(Path::new("/modules/vidtv"))?;
    let (nodes, took) = wait::until("vidtv's device nodes", Duration::from_secs(5), || nodes_of(PLACE, 0))?;
    desk.figure("nodes-after", ms(took))?;
    let result = look(&nodes, desk);
    let gone = MODULES.iter().try_for_each(|name| kernel::unload(name));
    result.and(gone)
}

fn look(nodes: &Nodes, desk: &mut Desk) -> Result<()> {
    let frontend = Frontend::open(&nodes.frontend, Hold::Tune).context("open the frontend")?;
    desk.figure("name", frontend.name().context("ask for the name")?)?;
    let (version, systems) = frontend.systems().context("ask for the delivery systems")?;
    ensure!(version >= 0x50b, "API {version:#x} is older than 5.11");
    ensure!([3, 16, 5, 6].iter().all(|system| systems.contains(system)), "delivery systems {systems:?}");
    let signal = Signal {
        system: "dvb-t".into(),
        frequency: 474_000_000,
        bandwidth: 8_000_000,
        symbol_rate: 0,
        stream: None,
        volts: None,
        tone: false,
        diseqc: None,
    };
    let far = Signal { frequency: 40_000_000, ..signal.clone() };
    let refused = frontend.tune(&far.properties()?);
    ensure!(refused == Err(Errno::EINVAL), "40 MHz is out of range, the kernel said {refused:?}");
    frontend.tune(&signal.properties()?).context("tune")?;
    desk.figure("lock", ms(frontend.wait_lock(Duration::from_secs(3))?))?;
    figures(&frontend, desk)?;
    sections(nodes, desk)
}

/// The driver refreshes its figures once a second.
fn figures(frontend: &Frontend, desk: &mut Desk) -> Result<()> {
    let sane = || {
        let all = frontend.figures().context("ask for the figures")?;
        let (_, strength) = all[0];
        let good = strength.len > 0 && strength.scale == 1 && (-100_000..0).contains(&strength.value);
        Ok(good.then_some(strength.value))
    };
    let (strength, _) = wait::until("a sane signal strength", Duration::from_secs(3), sane)?;
    desk.figure("strength", format!("{strength} mdBm"))
}

fn sections(nodes: &Nodes, desk: &mut Desk) -> Result<()> {
    for (table, pid, table_id) in [("PAT", 0, 0x00), ("SDT", 0x11, 0x42), ("NIT", 0x10, 0x40), ("PMT", 0x101, 0x02)] {
        let demux = Demux::open(&nodes.demux).context("open the demux")?;
        demux.sections(SectionFilter { pid, table_id, timeout_ms: 5000 }).context("set a section filter")?;
        let mut section = [0; 4096];
        let come = || match demux.read(&mut section) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error).context("read a section"),
        };
        let (len, took) = wait::until(table, Duration::from_secs(5), come)?;
        ensure!(section[0] == table_id, "asked for {table}, table {:#x} came", section[0]);
        desk.figure(table, format!("{len} bytes after {}", ms(took)))?;
        demux.stop().context("stop a section filter")?;
    }
    let demux = Demux::open(&nodes.demux).context("open the demux")?;
    demux.sections(SectionFilter { pid: 0x14, table_id: 0x70, timeout_ms: 500 }).context("set a section filter")?;
    let seen = demux.poll(Duration::from_secs(3)).context("wait for a table that is not there")?;
    let read = demux.read(&mut [0; 4096]);
    ensure!(seen.error && read == Err(Errno::ETIMEDOUT), "a missing table gave {seen:?} and {read:?}");
    Ok(())
}
