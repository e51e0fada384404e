//! The one way from received bytes to the shared ring: align, watch, publish, count.
//!
//! Shell glue with no socket in it. Every kind of receiver ([`super::receive`]) drives one [`Intake`]; what readers and
//! reports see is the [`Board`] beside it. Order: bytes are staged by [`Intake::push`] and published together by
//! [`Intake::flush`], so that a batch of datagrams is one chunk of the ring; [`Intake::tick`] makes the sample each
//! 250 ms, also when nothing comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use headend_media::packet::Packet;
use headend_media::resync::{Resync, ResyncCounts};
use headend_media::text::TextDefaults;
use tokio::sync::watch;

use super::health::{InputSample, SAMPLE_MS, SourceWatch};
use super::refine::{Refine, Wanted};
use super::report::{Evidence, InputReport, InputState, judge};
use super::ring::{PACKET_BYTES, Ring, RingWriter, STEP_BYTES_MAX, ring};
use super::udp::{UdpCounts, UdpReceiver};

/// Readers of an input are woken this often at most, milliseconds: what a channel and its viewers are late by.
const GATHER_MS: u64 = 80;

/// Monotonic milliseconds of this process: the one clock of inputs, rings and samples. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    origin: Instant,
}

impl Monotonic {
    /// Starts at one hour, so that ages may be subtracted without reaching zero.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// Milliseconds now; never goes back.
    #[must_use]
    pub fn ms(&self) -> u64 {
        3_600_000 + u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Self::new()
    }
}

/// What others see of an input.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) ring: Ring,
    pub(crate) samples: watch::Sender<Arc<InputSample>>,
    report: Mutex<InputReport>,
}

impl Board {
    pub(crate) fn report(&self) -> MutexGuard<'_, InputReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error in words; logs it when it is another than the last one.
    pub(crate) fn failed(&self, words: String, now_ms: u64) {
        let old = self.note(words.clone(), now_ms);
        if old.as_ref() != Some(&words) {
            tracing::warn!(input = self.report().feed, error = words, "input failed");
        }
    }

    /// Notes an error that was logged elsewhere; gives the one before.
    pub(crate) fn note(&self, words: String, now_ms: u64) -> Option<String> {
        let mut report = self.report();
        report.last_error_ms = Some(now_ms);
        report.last_error.replace(words)
    }
}

/// The receiving side of an input.
pub(crate) struct Intake {
    resync: Resync,
    watch: SourceWatch,
    writer: RingWriter,
    staged: Vec<u8>,
    /// What packets pass through before they are watched and published, and the services it is for.
    refine: Option<(Refine, Arc<Wanted>)>,
    board: Arc<Board>,
    /// Counts of the datagram receivers that were closed, and of the one that is open.
    udp_closed: UdpCounts,
    udp_open: UdpCounts,
    opened: bool,
    next_sample_ms: u64,
    bytes_at: Option<u64>,
    troubles: u64,
    trouble_at: Option<u64>,
}

impl Intake {
    /// A new input with its board. The ring's memory is taken here.
    pub(crate) fn new(feed: String, ring_bytes: usize, defaults: TextDefaults, now_ms: u64) -> (Self, Arc<Board>) {
        let (writer, ring) = ring(ring_bytes);
        let writer = writer.gathering(GATHER_MS);
        let report = InputReport { feed, since_ms: now_ms, ..InputReport::default() };
        let never = InputSample { at_ms: now_ms, packet_age_ms: u64::MAX, ..InputSample::default() };
        let samples = watch::Sender::new(Arc::new(never));
        let board = Arc::new(Board { ring, samples, report: Mutex::new(report) });
        let intake = Self {
            resync: Resync::default(),
            watch: SourceWatch::new(defaults),
            writer,
            staged: Vec::with_capacity(STEP_BYTES_MAX),
            refine: None,
            board: Arc::clone(&board),
            udp_closed: UdpCounts::default(),
            udp_open: UdpCounts::default(),
            opened: false,
            next_sample_ms: now_ms,
            bytes_at: None,
            troubles: 0,
            trouble_at: None,
        };
        (intake, board)
    }

    /// Lets packets pass through `refine` from now on.
    pub(crate) fn refine(&mut self, refine: Refine, wanted: Arc<Wanted>) {
        self.refine = Some((refine, wanted));
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// When the last valid PAT came, monotonic milliseconds.
    pub(crate) fn pat_at(&self) -> Option<u64> {
        self.watch.pat_at()
    }

    /// A tuner starts anew on the same multiplex, by a tune or after its kernel ring ran over: the gap is accounted for by
    /// whoever calls, and its continuity errors would count it twice.
    pub(crate) fn rejoined(&mut self, overflow: bool) {
        self.restarted();
        self.watch.rejoin();
        self.board.report().counters.kernel_drops += u64::from(overflow);
    }

    /// The source is about to be opened: what comes does not join what came.
    pub(crate) fn begin(&mut self) {
        self.staged.clear();
        self.restarted();
        let mut report = self.board.report();
        report.counters.reconnects += u64::from(self.opened);
        self.opened = true;
        self.udp_closed = add(self.udp_closed, std::mem::take(&mut self.udp_open));
    }

    /// The sender started anew on the same receiver. Nothing to mark before the first packet.
    pub(crate) fn restarted(&mut self) {
        self.resync.finish(&mut |_| {});
        self.publish();
        if self.writer.ring().counts().published_bytes > 0 {
            self.writer.restarted();
        }
    }

    /// Takes bytes that arrived at `now_ms`.
    pub(crate) fn push(&mut self, bytes: &[u8], now_ms: u64) {
        let Self { resync, staged, .. } = self;
        resync.push(bytes, &mut |packet| staged.extend_from_slice(packet.bytes()));
        self.bytes_at = Some(now_ms);
        self.board.report().counters.bytes += bytes.len() as u64;
        if self.staged.len() >= STEP_BYTES_MAX {
            self.flush(now_ms);
        }
    }

    /// Refines and watches what was staged, and publishes it as one chunk.
    pub(crate) fn flush(&mut self, now_ms: u64) {
        if let Some((refine, wanted)) = &mut self.refine {
            refine(&mut self.staged, &self.watch.services(), wanted, now_ms);
        }
        for packet in self.staged.as_chunks::<PACKET_BYTES>().0 {
            if let Some(packet) = Packet::new(packet) {
                self.watch.push(&packet, now_ms);
            }
        }
        self.writer.publish(&self.staged, now_ms);
        self.staged.clear();
    }

    fn publish(&mut self) {
        // Packets from before a restart have the arrival of the last bytes.
        let at = self.bytes_at.unwrap_or(0);
        self.flush(at);
    }

    /// Notes the figures of a datagram receiver, which count from its opening.
    pub(crate) fn note_udp(&mut self, socket: &UdpReceiver) {
        let counts = socket.counts();
        self.udp_open = counts;
        let sum = add(self.udp_closed, counts);
        let mut report = self.board.report();
        report.port = Some(socket.port());
        report.receive_buffer_bytes = Some(socket.granted_bytes());
        report.counters.kernel_drops = sum.kernel_drops;
        report.counters.rtp_lost = sum.rtp.lost;
    }

    /// Makes the sample when it is due. Call it at least each 100 ms.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        self.writer.tick(now_ms);
        if now_ms < self.next_sample_ms {
            return;
        }
        // A tick that came late does not make the next ones early.
        self.next_sample_ms = (self.next_sample_ms + SAMPLE_MS).max(now_ms);
        let sample = Arc::new(self.watch.sample(now_ms));
        let ResyncCounts { packets, sync_losses, skipped_bytes, sync_byte_errors } = self.resync.counts();
        let mut report = self.board.report();
        let counters = &mut report.counters;
        counters.packets = packets;
        counters.sync_losses = sync_losses + sync_byte_errors;
        counters.skipped_bytes = skipped_bytes;
        counters.cc_errors += sample.continuity_errors;
        counters.tei += sample.tei;
        counters.crc_errors += sample.crc_errors;
        // Receivers add theirs between ticks, so the sum is compared with that of the tick before.
        let troubles = counters.troubles();
        if troubles > self.troubles {
            (self.troubles, self.trouble_at) = (troubles, Some(now_ms));
        }
        let age = |at: Option<u64>| at.map_or(u64::MAX, |at| now_ms.saturating_sub(at));
        let evidence = Evidence {
            packet_age_ms: sample.packet_age_ms,
            trouble_age_ms: age(self.trouble_at),
            byte_age_ms: age(self.bytes_at),
            has_services: !sample.services.is_empty(),
        };
        if let Some((_, wanted)) = &self.refine {
            wanted.comes_from(report.tuner.as_ref().map(|tuner| tuner.tuner.as_str()));
        }
        report.sample = Some(Arc::clone(&sample));
        report.services = self.watch.services();
        enter(&mut report, judge(&evidence), now_ms);
        drop(report);
        self.board.samples.send_replace(sample);
    }
}

fn add(one: UdpCounts, two: UdpCounts) -> UdpCounts {
    let mut sum = one;
    sum.datagrams += two.datagrams;
    sum.kernel_drops += two.kernel_drops;
    sum.cut += two.cut;
    sum.rtp.lost += two.rtp.lost;
    sum
}

/// Announces a state once, at its edge, with how long the old one lasted.
fn enter(report: &mut InputReport, state: InputState, now_ms: u64) {
    if report.state == state {
        return;
    }
    let lasted_ms = now_ms.saturating_sub(report.since_ms);
    tracing::info!(input = report.feed, from = ?report.state, to = ?state, lasted_ms, "input state");
    (report.state, report.since_ms) = (state, now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ring::{Start, Step};

    const FRANCE2: &[u8] = include_bytes!("../../../tests/fixtures/ts/france2.ts");

    /// Feeds pieces of `bytes` evenly over two seconds from `start_ms`, and answers with the state then.
    fn feed(intake: &mut Intake, bytes: &[u8], start_ms: u64) -> InputState {
        for (index, piece) in bytes.chunks(bytes.len() / 100 + 1).enumerate() {
            let now_ms = start_ms + 20 * index as u64;
            intake.push(piece, now_ms);
            intake.flush(now_ms);
            intake.tick(now_ms);
        }
        intake.tick(start_ms + 2000);
        intake.board.report().state
    }

    #[test]
    fn trouble_makes_an_input_bad_for_a_while() {
        let (mut intake, board) = Intake::new("test".to_owned(), 4 << 20, TextDefaults::default(), 0);
        assert_eq!(feed(&mut intake, FRANCE2, 0), InputState::Good);
        // Ten packets of picture are lost.
        let packets = FRANCE2.as_chunks::<PACKET_BYTES>().0;
        let holed = [&packets[..1000], &packets[1010..]].concat().concat();
        assert_eq!(feed(&mut intake, &holed, 2000), InputState::Bad);
        // The file's own seam is a trouble each time it is played, so the rest is silence, then its end.
        intake.tick(4250);
        assert_eq!(board.report().state, InputState::Bad);
        intake.tick(5600);
        let report = board.report().clone();
        assert_eq!((report.state, report.since_ms), (InputState::Offline, 5600));
        assert!(report.counters.cc_errors > 0 && report.counters.bytes > 1_900_000);
        assert_eq!(board.samples.borrow().at_ms, 5600);
    }

    #[test]
    fn odd_cuts_and_garbage_come_out_as_whole_packets() {
        let (mut intake, board) = Intake::new("test".to_owned(), 4 << 20, TextDefaults::default(), 0);
        let mut reader = board.ring.reader_from(Start::Now);
        feed(&mut intake, &[&[1; 77], FRANCE2].concat(), 0);
        let (mut buffer, mut whole) = (vec![], vec![]);
        while let Some(Step::Packets { .. }) = reader.try_next(&mut buffer) {
            whole.extend_from_slice(&buffer);
        }
        assert!(whole == FRANCE2, "{} bytes of {}", whole.len(), FRANCE2.len());
        let counters = board.report().counters;
        assert_eq!((counters.packets, counters.skipped_bytes), (5320, 77));
    }
}
