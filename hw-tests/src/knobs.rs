//! The pretended card's knobs and journal, as `module/` publishes them below debugfs.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

/// One of the card's two frontends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// DVB-T and T2: frontend 0.
    Terrestrial,
    /// DVB-S and S2: frontend 1.
    Satellite,
}

impl Side {
    /// The index dvb-core gives it.
    #[must_use]
    pub fn frontend(self) -> u32 {
        match self {
            Self::Terrestrial => 0,
            Self::Satellite => 1,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terrestrial => "terrestrial",
            Self::Satellite => "satellite",
        })
    }
}

/// One thing the card was asked for, and when on the monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts up; a hole means that lines were overwritten before they were read.
    pub seq: u64,
    /// `CLOCK_MONOTONIC`.
    pub at: Duration,
    /// `satellite voltage 18`, `satellite master e0 10 38 f7`, `demux start pid=0x2000`, `unplug end`.
    pub what: String,
}

/// The knobs of one socket that a pretended card can be plugged into.
#[derive(Debug, Clone)]
pub struct Knobs {
    dir: PathBuf,
    socket: u32,
}

impl Knobs {
    /// The knobs of socket `socket`, when the module is loaded and has that many.
    #[must_use]
    pub fn of(socket: u32) -> Option<Self> {
        let dir = PathBuf::from(format!("/sys/kernel/debug/headend_tuner/socket{socket}"));
        dir.exists().then_some(Self { dir, socket })
    }

    /// The character device that takes the transport stream.
    #[must_use]
    pub fn air(&self) -> PathBuf {
        PathBuf::from(format!("/dev/headend-tuner{}", self.socket))
    }

    /// The card's place below `/sys/devices`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("headend-tuner.{}", self.socket)
    }

    /// The file that unplugs on `0` and plugs on `1`.
    #[must_use]
    pub fn plug(&self) -> PathBuf {
        self.dir.join("plugged")
    }

    /// Sets a knob of a frontend.
    ///
    /// # Errors
    /// When the module has no such knob or refuses the value.
    pub fn set(&self, side: Side, knob: &str, value: i64) -> Result<()> {
        write(&self.dir.join(side.to_string()).join(knob), &value.to_string())
    }

    /// Lets a frontend lock only at these frequencies; none: at any.
    ///
    /// # Errors
    /// When there are too many.
    pub fn carriers(&self, side: Side, frequencies: &[u32]) -> Result<()> {
        let list: Vec<String> = frequencies.iter().map(u32::to_string).collect();
        write(&self.dir.join(side.to_string()).join("carriers"), &format!("{}\n", list.join(" ")))
    }

    /// Sets a knob of the whole card.
    ///
    /// # Errors
    /// When the module has no such knob or refuses the value.
    pub fn set_card(&self, knob: &str, value: i64) -> Result<()> {
        write(&self.dir.join(knob), &value.to_string())
    }

    /// Reads a counter of the whole card.
    ///
    /// # Errors
    /// When the module has no such counter.
    pub fn card(&self, knob: &str) -> Result<i64> {
        let path = self.dir.join(knob);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        text.trim().parse().with_context(|| format!("{} holds {text:?}", path.display()))
    }

    /// Everything back to what it is after loading: plugged, locking at once, plausible figures, an empty journal.
    ///
    /// # Errors
    /// When a knob refuses.
    pub fn reset(&self) -> Result<()> {
        for side in [Side::Terrestrial, Side::Satellite] {
            write(&self.dir.join(side.to_string()).join("defaults"), "1")?;
        }
        self.set_card("data", 1)?;
        self.set_card("plugged", 1)?;
        self.forget()
    }

    /// The last tune request as the driver got it: `name=value` pairs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_tune(&self, side: Side) -> Result<String> {
        let path = self.dir.join(side.to_string()).join("last_tune");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Everything noted since the last [`Self::forget`].
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn journal(&self) -> Result<Vec<Entry>> {
        let text = fs::read_to_string(self.dir.join("journal")).context("read the card's journal")?;
        text.lines().map(entry).collect()
    }

    /// Empties the journal.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn forget(&self) -> Result<()> {
        write(&self.dir.join("journal"), "0")
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {} to {}", text.trim(), path.display()))
}

fn entry(line: &str) -> Result<Entry> {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().ok_or_else(|| anyhow!("a journal line is cut short: {line}"));
    let (seq, micros, what) = (word()?.parse()?, word()?.parse()?, word()?.to_owned());
    Ok(Entry { seq, at: Duration::from_micros(micros), what })
}

/// The value of `name` in a line of `name=value` pairs.
///
/// # Errors
/// When the name is not there.
pub fn value<'l>(line: &'l str, name: &str) -> Result<&'l str> {
    for pair in line.split(' ') {
        if let Some((key, value)) = pair.split_once('=')
            && key == name
        {
            return Ok(value);
        }
    }
    bail!("the driver's note of the tune request has no {name}: {line}")
}
