//! A capture as it should be done: one filter for the whole multiplex, a ring of two seconds, reads on a timer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::{
    air::{Eye, PACKET, Seen},
    bench::{Tuner, bytes_of},
    dvb::{Demux, Dvr, Frontend, Hold, Nodes},
    wait::{Pace, let_pass},
};

/// Between two reads: rarely enough for the CPU, often enough to see a removal at once.
const BEAT: Duration = Duration::from_millis(20);
const RING_SECONDS: u64 = 2;
const LOCK_DEADLINE: Duration = Duration::from_secs(5);

/// Powers the LNB, sets the switch, tunes. Does not wait for lock.
///
/// # Errors
/// What the kernel says to one of the steps.
pub fn prepare(frontend: &Frontend, tuner: &Tuner) -> Result<()> {
    let signal = &tuner.signal;
    if signal.on_satellite() {
        frontend.tone(false).context("tone off")?;
        frontend.voltage(signal.volts).context("LNB voltage")?;
        let_pass(Duration::from_millis(20));
        if let Some(command) = &signal.diseqc {
            frontend.master(&bytes_of(command)?).context("DiSEqC command")?;
            let_pass(Duration::from_millis(100));
        }
        frontend.tone(signal.tone).context("tone")?;
    }
    frontend.tune(&signal.properties()?).context("tune")
}

/// A running capture of one tuner.
#[derive(Debug)]
pub struct Capture {
    /// The frontend that holds the signal.
    pub frontend: Frontend,
    /// The filter.
    pub demux: Demux,
    /// Where the packets come out.
    pub dvr: Dvr,
    /// How long it took to lock.
    pub lock: Duration,
    buffer: Vec<u8>,
    eye: Eye,
    longest_gap: Duration,
    reads: u64,
    overflows: u64,
}

/// Why a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was over.
    Time,
    /// The card is gone.
    Gone,
}

impl Capture {
    /// Tunes, waits for lock, starts the filter.
    ///
    /// # Errors
    /// When a step is refused, or there is no lock in five seconds.
    pub fn start(tuner: &Tuner, nodes: &Nodes) -> Result<Self> {
        let frontend = Frontend::open(&nodes.frontend, Hold::Tune).context("open the frontend")?;
        prepare(&frontend, tuner)?;
        let lock = frontend.wait_lock(LOCK_DEADLINE)?;
        let ring = tuner.bitrate / 8 * RING_SECONDS / PACKET as u64 * PACKET as u64;
        let dvr = Dvr::open(&nodes.dvr).context("open the dvr")?;
        dvr.ring(i32::try_from(ring).context("the ring's size")?).context("set the ring's size")?;
        let demux = Demux::open(&nodes.demux).context("open the demux")?;
        demux.whole_mux().context("set the filter")?;
        let buffer = vec![0; usize::try_from(ring).context("the ring's size")?];
        let (eye, longest_gap) = (Eye::default(), Duration::ZERO);
        Ok(Self { frontend, demux, dvr, lock, buffer, eye, longest_gap, reads: 0, overflows: 0 })
    }

    /// Reads on the timer for so long, or until the card is gone, or `stop` says so.
    ///
    /// # Errors
    /// When the kernel says anything but "later", "overflow" and "gone".
    pub fn run(&mut self, time: Duration, stop: impl Fn() -> bool) -> Result<End> {
        let (start, mut last, mut pace) = (Instant::now(), Instant::now(), Pace::every(BEAT));
        while start.elapsed() < time && !stop() {
            pace.beat();
            match self.dvr.read(&mut self.buffer) {
                Ok(bytes) => {
                    self.eye.look(&self.buffer[..bytes]);
                    self.longest_gap = self.longest_gap.max(last.elapsed());
                    self.reads += 1;
                    last = Instant::now();
                }
                Err(Errno::EAGAIN) => {}
                Err(Errno::EOVERFLOW) => {
                    self.overflows += 1;
                    self.eye.hole();
                }
                Err(Errno::ENODEV) => return Ok(End::Gone),
                Err(error) => return Err(error).context("read the dvr"),
            }
        }
        self.longest_gap = self.longest_gap.max(last.elapsed());
        Ok(End::Time)
    }

    /// Forgets what was seen: the capture starts to count here.
    pub fn recount(&mut self) {
        self.eye = Eye::default();
        self.longest_gap = Duration::ZERO;
        self.reads = 0;
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        self.eye.seen()
    }

    /// The longest time without a packet.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// Reads that brought packets.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// How often the kernel's ring overflowed.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}
