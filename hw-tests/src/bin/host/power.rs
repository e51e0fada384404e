//! Power cuts: a node records on a disk, QEMU is killed at a random moment, and the next life must find every segment that
//! the archive lists.
//!
//! What the guest had not made durable is gone with its memory; what it wrote is on the disk, in the order the disk took it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, ErrorKind},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use headend_hw_tests::{line::Say, power};

use crate::{
    debian::{Debian, output},
    machine,
    table::Table,
    tell,
};

/// What `HEADEND_HW_ONLY` may name.
pub(crate) const NAME: &str = power::ROW;

const DISK_BYTES: u64 = 2 << 30;
/// A life may be silent for so long: it boots, mounts and reads back under emulation.
const SILENCE: Duration = Duration::from_secs(120);
/// The power goes within this, counted from when every channel recorded again.
const CUT_WITHIN_MS: u64 = 6_000;

/// What was seen of one life.
#[derive(Default)]
struct Life {
    /// The first and the last that was told of each channel.
    first: BTreeMap<String, u64>,
    last: BTreeMap<String, u64>,
    read_back: String,
    holes: u64,
}

/// Cuts the power so many times and fills one row of the table.
pub(crate) fn run(work: &Path, (debian, image): (&Debian, &Path), cuts: u32, table: &mut Table) -> Result<()> {
    let disk = work.join("power.img");
    File::create(&disk).and_then(|file| file.set_len(DISK_BYTES)).context("the disk's file")?;
    output(Command::new("mke2fs").args(["-q", "-t", "ext4", "-F"]).arg(&disk))
        .context("make the disk's file system")?;
    let start = Instant::now();
    table.hear(&Say::Begin(NAME.into()));
    let result = lives(work, (debian, image, &disk), cuts, table);
    let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    table.hear(&match result {
        Ok(()) => Say::Pass(NAME.into(), took),
        Err(error) => Say::Fail(NAME.into(), took, format!("{error:#}")),
    });
    std::fs::remove_file(&disk).context("remove the disk's file")
}

fn lives(work: &Path, machine: (&Debian, &Path, &Path), cuts: u32, table: &mut Table) -> Result<()> {
    let mut random = Random::new();
    let (mut before, mut lost_max) = (None::<Life>, 0);
    for cut in 0..=cuts {
        let last = cut == cuts;
        let within = (!last).then(|| Duration::from_millis(random.below(CUT_WITHIN_MS)));
        let life = live(work, machine, within).with_context(|| format!("after {cut} power cuts"))?;
        if let Some(before) = before.replace(Life::default()) {
            for (channel, newest) in &before.last {
                // What the cut took: segments that were listed and are not any more.
                let kept = life.first.get(channel).copied().unwrap_or(0);
                lost_max = lost_max.max(newest.saturating_sub(kept));
            }
        }
        if cut % 20 == 19 {
            tell(&format!("  {} power cuts: {}", cut + 1, life.read_back));
        }
        if last {
            table.hear(&Say::Figure(NAME.into(), "cuts".into(), cuts.to_string()));
            table.hear(&Say::Figure(NAME.into(), "read-back-at-the-end".into(), life.read_back.clone()));
            table.hear(&Say::Figure(NAME.into(), "holes-told".into(), life.holes.to_string()));
            table.hear(&Say::Figure(NAME.into(), "newest-listed-lost-at-most".into(), format!("{lost_max} segments")));
        }
        before = Some(life);
    }
    Ok(())
}

/// Boots once; the power goes at some time after the last life's work was read back, or the life ends by itself.
fn live(work: &Path, (debian, image, disk): (&Debian, &Path, &Path), cut: Option<Duration>) -> Result<Life> {
    let orders = format!("hw.life={}", if cut.is_some() { "next" } else { "last" });
    let drive = format!("file={},format=raw,if=virtio,cache=writeback", disk.display());
    let (qemu, line) = machine::boot(work, debian, image, &orders, &["-drive".to_owned(), drive])?;
    let life = hear(line, cut);
    // The power goes here.
    drop(qemu);
    life
}

fn hear(line: TcpStream, cut: Option<Duration>) -> Result<Life> {
    line.set_read_timeout(Some(Duration::from_millis(20))).context("the serial line")?;
    let (mut lines, mut text, mut life) = (BufReader::new(line), String::new(), Life::default());
    let (mut heard, mut due) = (Instant::now(), None);
    while heard.elapsed() < SILENCE {
        if due.is_some_and(|due| Instant::now() >= due) {
            return Ok(life);
        }
        match lines.read_line(&mut text) {
            Ok(0) => bail!("the machine went down by itself"),
            Ok(_) => heard = Instant::now(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error).context("read the serial line"),
        }
        let said = Say::parse(&text);
        text.clear();
        match said {
            Some(Say::Figure(_, name, value)) if name == power::READ_BACK => {
                life.read_back = value;
            }
            Some(Say::Figure(_, name, _)) if name == power::GOES_ON => due = cut.map(|cut| Instant::now() + cut),
            Some(Say::Figure(_, name, value)) if name == power::HOLES => life.holes = value.parse().unwrap_or(0),
            Some(Say::Figure(_, name, value)) if name == power::NEWEST => {
                for (channel, number) in value.split(',').filter_map(|pair| pair.split_once('=')) {
                    let number = number.parse().context("a segment's number")?;
                    life.first.entry(channel.to_owned()).or_insert(number);
                    life.last.insert(channel.to_owned(), number);
                }
            }
            Some(Say::Fail(_, _, why)) => bail!("{why}"),
            Some(Say::Bye) => return Ok(life),
            _ => {}
        }
    }
    bail!("the machine said nothing for {} s", SILENCE.as_secs())
}

/// A generator that needs no quality (Knuth's constants), seeded by the clock and told, so that a run can be told apart.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()));
        tell(&format!("power cuts with seed {seed}"));
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
