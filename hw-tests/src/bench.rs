//! What there is to test: the pretended card of the virtual machine, or the hardware that a bench file names.
//!
//! `HEADEND_BENCH=file.toml make hw-test` runs the same list of checks on a bench; a check that turns knobs only the
//! pretended card has is skipped with that reason. `bench.example.toml` explains the file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    dvb::{
        DTV_BANDWIDTH_HZ, DTV_DELIVERY_SYSTEM, DTV_FREQUENCY, DTV_INNER_FEC, DTV_INVERSION, DTV_MODULATION,
        DTV_STREAM_ID, DTV_SYMBOL_RATE, DTV_TUNE, Nodes, nodes_of,
    },
    knobs::{Knobs, Side},
    wait,
};

const SYS_DVBT: u32 = 3;
const SYS_DVBS: u32 = 5;
const SYS_DVBS2: u32 = 6;
const SYS_DVBT2: u32 = 16;
const AUTO_FEC: u32 = 9;
const AUTO_INVERSION: u32 = 2;
const QPSK: u32 = 0;
const QAM_AUTO: u32 = 6;
const PSK_8: u32 = 9;
const NO_STREAM: u32 = u32::MAX;

/// A signal that is really there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// `dvb-s`, `dvb-s2`, `dvb-t` or `dvb-t2`.
    pub system: String,
    /// kHz behind the LNB (the intermediate frequency) on satellite, Hz on the ground.
    pub frequency: u32,
    /// Symbols a second (satellite).
    #[serde(default)]
    pub symbol_rate: u32,
    /// Hz (ground).
    #[serde(default)]
    pub bandwidth: u32,
    /// ISI or PLP.
    pub stream: Option<u32>,
    /// 13 or 18: LNB power and polarisation.
    pub volts: Option<u8>,
    /// The 22 kHz tone: high band.
    #[serde(default)]
    pub tone: bool,
    /// A DiSEqC command to send first, in hexadecimal: `e01038f0`.
    pub diseqc: Option<String>,
}

impl Signal {
    /// The properties of one tune call.
    ///
    /// # Errors
    /// When the system's name is not known.
    pub fn properties(&self) -> Result<Vec<(u32, u32)>> {
        let system = match self.system.as_str() {
            "dvb-s" => SYS_DVBS,
            "dvb-s2" => SYS_DVBS2,
            "dvb-t" => SYS_DVBT,
            "dvb-t2" => SYS_DVBT2,
            other => bail!("no delivery system is called {other:?}: dvb-s, dvb-s2, dvb-t or dvb-t2"),
        };
        let mut list = vec![
            (DTV_DELIVERY_SYSTEM, system),
            (DTV_FREQUENCY, self.frequency),
            (DTV_INVERSION, AUTO_INVERSION),
            (DTV_STREAM_ID, self.stream.unwrap_or(NO_STREAM)),
        ];
        if self.on_satellite() {
            let modulation = if system == SYS_DVBS2 { PSK_8 } else { QPSK };
            list.extend([(DTV_SYMBOL_RATE, self.symbol_rate), (DTV_INNER_FEC, AUTO_FEC), (DTV_MODULATION, modulation)]);
        } else {
            list.extend([(DTV_BANDWIDTH_HZ, self.bandwidth), (DTV_MODULATION, QAM_AUTO)]);
        }
        list.push((DTV_TUNE, 0));
        Ok(list)
    }

    /// Whether there is an LNB to feed.
    #[must_use]
    pub fn on_satellite(&self) -> bool {
        self.system.starts_with("dvb-s")
    }
}

/// A tuner and a signal for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuner {
    /// Its place in sysfs: a USB port path (`1-1.2`), a PCI address.
    pub place: String,
    /// Which frontend of the card.
    #[serde(default)]
    pub frontend: u32,
    /// What to tune to.
    pub signal: Signal,
    /// The least bit rate the signal carries, bits a second.
    pub bitrate: u64,
    /// Names of services that a node must find in it.
    #[serde(default)]
    pub services: Vec<String>,
    /// A file in which `0` unplugs the card and `1` plugs it back: `/sys/bus/usb/devices/1-1.2/authorized`.
    pub plug: Option<PathBuf>,
    /// The pretended card's knobs; hardware has none.
    #[serde(skip)]
    pub knobs: Option<Knobs>,
}

impl Tuner {
    /// Its device nodes now.
    ///
    /// # Errors
    /// When the card is not there.
    pub fn nodes(&self) -> Result<Nodes> {
        match nodes_of(&self.place, self.frontend)? {
            Some(nodes) => Ok(nodes),
            None => bail!("no card at {} with a frontend {}", self.place, self.frontend),
        }
    }

    /// Waits until the card is there, and tells how long that took.
    ///
    /// # Errors
    /// When it does not come within ten seconds.
    pub fn wait_nodes(&self) -> Result<(Nodes, Duration)> {
        let present = || {
            let nodes = nodes_of(&self.place, self.frontend)?;
            Ok(nodes.filter(|nodes| [&nodes.frontend, &nodes.demux, &nodes.dvr].iter().all(|path| path.exists())))
        };
        wait::until("the card's device nodes", Duration::from_secs(10), present)
    }
}

/// A smart-card reader with a card in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// A part of the name PC/SC gives the reader.
    pub name: String,
    /// A command the card answers, in hexadecimal; without it the card is only powered up.
    pub command: Option<String>,
    /// What the answer ends with: the status word in hexadecimal. `9000` if not given.
    pub status: Option<String>,
}

/// All there is to test.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// How long the long captures run.
    #[serde(default = "seconds")]
    pub seconds: u64,
    /// Tuners with a signal.
    #[serde(default, rename = "tuner")]
    pub tuners: Vec<Tuner>,
    /// Readers with a card.
    #[serde(default, rename = "reader")]
    pub readers: Vec<Reader>,
    /// The node's program, when there is one to test.
    pub node: Option<PathBuf>,
    /// In the virtual machine: modules of the machine and a host that lends a hand.
    #[serde(skip)]
    pub virtual_machine: bool,
}

fn seconds() -> u64 {
    60
}

impl Bench {
    /// Reads a bench file.
    ///
    /// # Errors
    /// When it cannot be read or holds something unknown; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read the bench file {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the bench file {}", path.display()))
    }

    /// What the virtual machine has: one pretended card, seen as two tuners, and a reader with the demonstration card.
    #[must_use]
    pub fn pretended(seconds: u64) -> Self {
        let knobs = Knobs::of(0);
        let tuner = |side: Side, signal: Signal| Tuner {
            place: "headend-tuner.0".into(),
            frontend: side.frontend(),
            signal,
            bitrate: 40_000_000,
            services: vec![],
            plug: knobs.as_ref().map(Knobs::plug),
            knobs: knobs.clone(),
        };
        let satellite = Signal {
            system: "dvb-s2".into(),
            frequency: 1_612_000,
            symbol_rate: 27_500_000,
            bandwidth: 0,
            stream: None,
            volts: Some(18),
            tone: true,
            diseqc: Some("e01038f3".into()),
        };
        let ground = Signal {
            system: "dvb-t2".into(),
            frequency: 474_000_000,
            symbol_rate: 0,
            bandwidth: 8_000_000,
            stream: Some(1),
            volts: None,
            tone: false,
            diseqc: None,
        };
        Self {
            seconds,
            tuners: vec![tuner(Side::Satellite, satellite), tuner(Side::Terrestrial, ground)],
            readers: vec![Reader {
                name: "Gemplus".into(),
                command: Some("00a4040008f048454144454e44".into()),
                status: None,
            }],
            node: Some(PathBuf::from("/opt/headend/headend-node")).filter(|path| path.exists()),
            virtual_machine: true,
        }
    }
}

/// The bytes of a hexadecimal text.
///
/// # Errors
/// When it is not one.
pub fn bytes_of(hex: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let pair = |pair: &[char]| {
        u8::from_str_radix(&pair.iter().collect::<String>(), 16).with_context(|| format!("{hex:?} is not hexadecimal"))
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_bench_file() {
        let bench: Bench = toml::from_str(include_str!("../bench.example.toml")).unwrap();
        assert_eq!((bench.tuners.len(), bench.readers.len()), (2, 1));
        for tuner in &bench.tuners {
            assert!(tuner.signal.properties().unwrap().len() > 5);
        }
    }
}
