//! The ring of one input: its packets, once, for every reader.
//!
//! One [`RingWriter`] publishes whole 188-byte packets with the monotonic time they arrived; any number of
//! [`RingReader`]s follow by cursor, asynchronously. Memory is allocated once at the start and never
//! grows. Publishing waits for nobody: a reader that falls a whole ring behind loses, and is told exactly how many
//! bytes. Restarts of the source and the end are carried in order with the packets. The ring does not look inside
//! packets and knows no clock; [`super::set`] owns one per input.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Bytes of one transport stream packet (ISO/IEC 13818-1 §2.4.3.2).
pub const PACKET_BYTES: usize = 188;
const PACKET_BYTES_U64: u64 = 188;
/// The smallest ring: one and a half full-sized datagram bursts.
pub const RING_BYTES_MIN: usize = 512 * PACKET_BYTES;
/// The most bytes one step of a reader gives, so that the lock is never held for long.
pub const STEP_BYTES_MAX: usize = 348 * PACKET_BYTES;
/// Small chunks share an entry, and its arrival time, up to this size: a full-sized datagram.
const SHARED_BYTES: usize = 7 * PACKET_BYTES;
/// Restart marks kept; one more makes the packets before the oldest mark unreadable.
const MARKS_MAX: usize = 64;

/// Where a new reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the next packet that is published.
    Now,
    /// At the oldest chunk that arrived at most this long before the newest one, or the oldest there is.
    Back(Duration),
    /// At this position, bytes since the start: a packet's first; or the oldest there is, or the next published.
    At(u64),
}

/// One step of a reader, in stream order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The reader's buffer holds this many bytes, whole packets that were published together at this monotonic time.
    Packets {
        /// Bytes in the buffer: a multiple of 188, at most [`STEP_BYTES_MAX`].
        bytes: usize,
        /// Monotonic milliseconds of their arrival, as the writer gave them.
        arrived_ms: u64,
    },
    /// This many bytes (a multiple of 188) were overwritten before the reader came; it goes on behind them.
    Lost {
        /// Bytes the reader will never see.
        bytes: u64,
    },
    /// The source started anew here: continuity and timestamps do not join what came before.
    Restarted,
    /// The writer is gone and everything was read.
    Closed,
}

/// Figures of a ring for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Bytes published since the start.
    pub published_bytes: u64,
    /// Bytes that readers lost, summed over all readers.
    pub lost_bytes: u64,
    /// Restarts of the source.
    pub restarts: u64,
}

/// Makes a ring of about `capacity_bytes` (rounded to whole packets, at least [`RING_BYTES_MIN`]). The memory is taken
/// here and is `capacity_bytes` plus about one part in forty for arrival times.
#[must_use]
pub fn ring(capacity_bytes: usize) -> (RingWriter, Ring) {
    let capacity = capacity_bytes.max(RING_BYTES_MIN) / PACKET_BYTES * PACKET_BYTES;
    // Every chunk has an entry of its own until there is one for each full-sized datagram; from then on small chunks
    // share entries of that size, which bounds both their number and how wrong an arrival time is.
    let chunks_exact = capacity / SHARED_BYTES;
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            bytes: vec![0; capacity].into_boxed_slice(),
            chunks: VecDeque::with_capacity(2 * chunks_exact + 2),
            chunks_exact,
            marks: VecDeque::with_capacity(MARKS_MAX),
            marks_dropped: 0,
            tail: 0,
            head: 0,
            lost_bytes: 0,
            closed: false,
        }),
        fresh: Notify::new(),
    });
    (RingWriter { shared: Arc::clone(&shared), gather_ms: 0, woken_ms: 0, unheard: false }, Ring { shared })
}

/// The one writing end; dropping it closes the ring.
#[derive(Debug)]
pub struct RingWriter {
    shared: Arc<Shared>,
    /// Waiting readers are woken at most this often.
    gather_ms: u64,
    /// When they were woken last.
    woken_ms: u64,
    /// Something was published since.
    unheard: bool,
}

/// The ring as readers know it; clones are the same ring.
#[derive(Clone, Debug)]
pub struct Ring {
    shared: Arc<Shared>,
}

/// A cursor into a ring.
#[derive(Debug)]
pub struct RingReader {
    shared: Arc<Shared>,
    /// Absolute position of the next byte.
    cursor: u64,
    /// Absolute number of the next restart mark.
    mark: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    fresh: Notify,
}

/// Positions are bytes since the start; `position % bytes.len()` is the place in memory. The capacity is a multiple of
/// the packet size, so that no packet is split at the end of memory.
struct State {
    bytes: Box<[u8]>,
    chunks: VecDeque<Chunk>,
    chunks_exact: usize,
    /// Positions at which the source restarted.
    marks: VecDeque<u64>,
    marks_dropped: u64,
    tail: u64,
    head: u64,
    lost_bytes: u64,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    start: u64,
    arrived_ms: u64,
}

impl RingWriter {
    /// Wakes waiting readers at most once in so many milliseconds, because the bill is per wake-up: every channel of a
    /// multiplex and every viewer behind it pays one. Whoever sets this calls [`Self::tick`] as often.
    #[must_use]
    pub fn gathering(mut self, gather_ms: u64) -> Self {
        self.gather_ms = gather_ms;
        self
    }

    /// Publishes whole packets that arrived together at monotonic `arrived_ms`; wakes all readers. A piece of a packet
    /// at the end is an error of the caller and is dropped. More bytes than the ring holds overwrite themselves.
    pub fn publish(&mut self, packets: &[u8], arrived_ms: u64) {
        self.append(packets, arrived_ms);
        self.tick(arrived_ms);
    }

    /// Wakes readers for what they have not been told of, when it is time to.
    pub fn tick(&mut self, now_ms: u64) {
        if self.unheard && now_ms >= self.woken_ms.saturating_add(self.gather_ms) {
            self.woken_ms = now_ms;
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.unheard = false;
        self.shared.wake();
    }

    /// Publishes without waking anybody, for a caller that has more: [`Self::tick`] follows.
    pub fn append(&mut self, packets: &[u8], arrived_ms: u64) {
        debug_assert!(packets.len().is_multiple_of(PACKET_BYTES), "whole packets only");
        let packets = &packets[..packets.len() / PACKET_BYTES * PACKET_BYTES];
        if packets.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        for part in packets.chunks(STEP_BYTES_MAX) {
            state.append(part, arrived_ms);
        }
        drop(state);
        self.unheard = true;
    }

    /// Marks that the source starts anew behind what was published so far. Two marks with nothing between are one.
    pub fn restarted(&mut self) {
        let mut state = self.shared.lock();
        if state.marks.back() != Some(&state.head) {
            if state.marks.len() == MARKS_MAX {
                // A reader before the dropped mark must not read across it: it loses up to the mark instead.
                let oldest = state.marks.pop_front().expect("MARKS_MAX is not zero");
                state.tail = state.tail.max(oldest);
                state.marks_dropped += 1;
            }
            let head = state.head;
            state.marks.push_back(head);
        }
        drop(state);
        self.wake();
    }

    /// The reading end of this ring.
    #[must_use]
    pub fn ring(&self) -> Ring {
        Ring { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake();
    }
}

impl Ring {
    /// A new reader. It sees restarts that happen behind its start, none before.
    #[must_use]
    pub fn reader_from(&self, start: Start) -> RingReader {
        let state = self.shared.lock();
        let cursor = match start {
            Start::Now => state.head,
            Start::Back(back) => state.position_back(back),
            Start::At(position) => position.clamp(state.tail, state.head),
        };
        let seen = state.marks.partition_point(|&mark| mark <= cursor);
        let mark = state.marks_dropped + as_u64(seen);
        drop(state);
        RingReader { shared: Arc::clone(&self.shared), cursor, mark }
    }

    /// Bytes of media the ring can hold.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.shared.lock().bytes.len()
    }

    /// The figures so far.
    #[must_use]
    pub fn counts(&self) -> RingCounts {
        let state = self.shared.lock();
        RingCounts {
            published_bytes: state.head,
            lost_bytes: state.lost_bytes,
            restarts: state.marks_dropped + as_u64(state.marks.len()),
        }
    }
}

impl RingReader {
    /// The next step; waits until there is one. `buffer` is cleared and then filled by [`Step::Packets`]. Cancelling
    /// the wait loses nothing.
    pub async fn next(&mut self, buffer: &mut Vec<u8>) -> Step {
        let shared = Arc::clone(&self.shared);
        loop {
            // Made before looking: from then on it hears every publish, also one between the look and the wait.
            let fresh = shared.fresh.notified();
            if let Some(step) = self.try_next(buffer) {
                return step;
            }
            fresh.await;
        }
    }

    /// The next step, if there is one now.
    pub fn try_next(&mut self, buffer: &mut Vec<u8>) -> Option<Step> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.step(&mut state, buffer)
    }

    /// Bytes published that this reader has not read yet.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        self.shared.lock().head - self.cursor
    }

    fn step(&mut self, state: &mut State, buffer: &mut Vec<u8>) -> Option<Step> {
        buffer.clear();
        if self.cursor < state.tail {
            let target = state.rejoin();
            let bytes = target - self.cursor;
            self.cursor = target;
            state.lost_bytes += bytes;
            return Some(Step::Lost { bytes });
        }
        let passed = as_u64(state.marks.partition_point(|&mark| mark <= self.cursor)) + state.marks_dropped;
        if passed > self.mark {
            self.mark = passed;
            return Some(Step::Restarted);
        }
        if self.cursor == state.head {
            return state.closed.then_some(Step::Closed);
        }
        let arrived_ms = state.copy(&mut self.cursor, buffer);
        Some(Step::Packets { bytes: buffer.len(), arrived_ms })
    }
}

impl Shared {
    /// No statement under this lock can panic half way, so a poisoned state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.fresh.notify_waiters();
    }
}

impl State {
    fn append(&mut self, packets: &[u8], arrived_ms: u64) {
        let at = self.place(self.head);
        let (first, rest) = packets.split_at(packets.len().min(self.bytes.len() - at));
        self.bytes[at..at + first.len()].copy_from_slice(first);
        self.bytes[..rest.len()].copy_from_slice(rest);
        let start = self.head;
        self.head += as_u64(packets.len());
        self.tail = self.tail.max(self.head.saturating_sub(as_u64(self.bytes.len())));
        while self.chunks.get(1).is_some_and(|second| second.start <= self.tail) {
            self.chunks.pop_front();
        }
        while self.marks.front().is_some_and(|&mark| mark < self.tail) {
            self.marks.pop_front();
            self.marks_dropped += 1;
        }
        let full = self.chunks.back().is_none_or(|last| start - last.start >= as_u64(SHARED_BYTES));
        if full || self.chunks.len() < self.chunks_exact {
            self.chunks.push_back(Chunk { start, arrived_ms });
        }
    }

    /// Copies from `cursor` (which is readable and before the head) to the end of its chunk; answers its arrival.
    fn copy(&self, cursor: &mut u64, buffer: &mut Vec<u8>) -> u64 {
        let after = self.chunks.partition_point(|chunk| chunk.start <= *cursor);
        let arrived_ms = after.checked_sub(1).map_or(0, |index| self.chunks[index].arrived_ms);
        let mut end = self.chunks.get(after).map_or(self.head, |next| next.start);
        // A step never crosses a restart, which may lie inside a shared entry.
        let mark = self.marks.partition_point(|&mark| mark <= *cursor);
        end = end.min(self.marks.get(mark).copied().unwrap_or(end));
        let wanted = usize::try_from(end - *cursor).unwrap_or(usize::MAX).min(STEP_BYTES_MAX);
        let at = self.place(*cursor);
        let first = wanted.min(self.bytes.len() - at);
        buffer.extend_from_slice(&self.bytes[at..at + first]);
        buffer.extend_from_slice(&self.bytes[..wanted - first]);
        *cursor += as_u64(wanted);
        arrived_ms
    }

    /// Where a reader goes on that was overrun: an eighth of the ring behind the tail, so that it is not overrun again
    /// at once and loses one piece instead of many.
    fn rejoin(&self) -> u64 {
        let margin = as_u64(self.bytes.len()) / 8 / PACKET_BYTES_U64 * PACKET_BYTES_U64;
        (self.tail + margin).min(self.head)
    }

    fn position_back(&self, back: Duration) -> u64 {
        let Some(newest) = self.chunks.back() else {
            return self.head;
        };
        let since = newest.arrived_ms.saturating_sub(u64::try_from(back.as_millis()).unwrap_or(u64::MAX));
        let first = self.chunks.partition_point(|chunk| chunk.arrived_ms < since);
        self.chunks.get(first).map_or(self.head, |chunk| chunk.start.max(self.tail))
    }

    fn place(&self, position: u64) -> usize {
        usize::try_from(position % as_u64(self.bytes.len())).expect("below the capacity, which is a usize")
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("tail", &self.tail).field("head", &self.head).finish_non_exhaustive()
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests;
