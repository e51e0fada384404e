//! Sends a transport stream through the pretended card at a rate, on its own thread: what the antenna would do.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    air::{Air, PACKET},
    mux::{Clip, Multiplex},
    wait::Pace,
};

const BEAT: Duration = Duration::from_millis(10);

/// What is sent.
#[derive(Debug, Clone)]
pub enum Programme {
    /// Counted packets: nothing can be lost unseen.
    Counted,
    /// A recorded stream, over and over; continuity breaks where it starts again.
    File(PathBuf),
    /// Eight services that play this clip, and packets that count ([`crate::mux`]).
    Multiplex(PathBuf),
}

/// A running feed; it ends when dropped.
#[derive(Debug)]
pub struct Feeder {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Feeder {
    /// Starts to write `programme` to the character device `into` at so many bits a second.
    ///
    /// # Errors
    /// When the device or the file cannot be opened.
    pub fn start(into: &Path, programme: &Programme, bits_per_second: u64) -> Result<Self> {
        let device =
            OpenOptions::new().write(true).open(into).with_context(|| format!("open {} to send", into.display()))?;
        let mut source = Source::open(programme, bits_per_second)?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::Builder::new()
            .name("feeder".into())
            .spawn(move || send(device, &mut source, bits_per_second, (&stopped, &count)))
            .context("start the feeder thread")?;
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// Packets sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops and tells how many packets were sent.
    ///
    /// # Errors
    /// When a write to the device failed.
    pub fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the feeder thread panicked"))??;
        }
        Ok(self.sent())
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

enum Source {
    Counted(Air),
    File { bytes: Vec<u8>, at: usize },
    Multiplex(Box<Multiplex>),
}

impl Source {
    fn open(programme: &Programme, bits_per_second: u64) -> Result<Self> {
        Ok(match programme {
            Programme::Counted => Self::Counted(Air::default()),
            Programme::File(path) => {
                let mut bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
                bytes.truncate(bytes.len() / PACKET * PACKET);
                ensure!(!bytes.is_empty(), "{} holds no whole packet", path.display());
                Self::File { bytes, at: 0 }
            }
            Programme::Multiplex(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
                let clip = Clip::read(&bytes).with_context(|| format!("the clip {}", path.display()))?;
                Self::Multiplex(Box::new(Multiplex::new(clip, bits_per_second)))
            }
        })
    }

    fn fill(&mut self, into: &mut [u8]) {
        match self {
            Self::Counted(air) => air.fill(into),
            Self::Multiplex(multiplex) => multiplex.fill(into),
            Self::File { bytes, at } => {
                for packet in into.chunks_exact_mut(PACKET) {
                    packet.copy_from_slice(&bytes[*at..*at + PACKET]);
                    *at = (*at + PACKET) % bytes.len();
                }
            }
        }
    }
}

fn send(mut device: File, source: &mut Source, bits_per_second: u64, shared: (&AtomicBool, &AtomicU64)) -> Result<()> {
    let (stop, sent) = shared;
    let (start, mut pace) = (Instant::now(), Pace::every(BEAT));
    let mut block = vec![];
    while !stop.load(Ordering::Relaxed) {
        pace.beat();
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = micros.saturating_mul(bits_per_second) / 8_000_000 / PACKET as u64;
        let packets = usize::try_from(due.saturating_sub(sent.load(Ordering::Relaxed))).unwrap_or(0);
        block.resize(packets * PACKET, 0);
        source.fill(&mut block);
        device.write_all(&block).context("send to the pretended card")?;
        sent.store(due, Ordering::Relaxed);
    }
    Ok(())
}
