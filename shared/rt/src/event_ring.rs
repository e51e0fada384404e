//! The last typed events of one thing (a tuner, a service, a node), with their times.
//!
//! Bounded: the oldest event leaves when a new one comes, and the sequence number shows how many went. Readers copy; a
//! writer never waits for one longer than a copy takes. Nothing here prints; `/debug` pages and alerts read snapshots.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// How many events a ring keeps.
pub const EVENTS_MAX: usize = 256;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event<T> {
    /// Counts from 0 in each ring; a gap before the first kept event is what was overwritten.
    pub sequence: u64,
    /// When it happened (UTC).
    pub at: Timestamp,
    /// What happened.
    pub what: T,
}

/// The last [`EVENTS_MAX`] events.
#[derive(Debug)]
pub struct EventRing<T> {
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    next: u64,
    events: VecDeque<Event<T>>,
}

impl<T> Default for EventRing<T> {
    fn default() -> Self {
        Self { kept: Mutex::new(Kept { next: 0, events: VecDeque::new() }) }
    }
}

impl<T: Clone> EventRing<T> {
    /// An empty ring.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event and returns its sequence number.
    pub fn push(&self, at: Timestamp, what: T) -> u64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = kept.next;
        kept.next += 1;
        if kept.events.len() == EVENTS_MAX {
            kept.events.pop_front();
        }
        kept.events.push_back(Event { sequence, at, what });
        sequence
    }

    /// All kept events, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Event<T>> {
        self.since(0)
    }

    /// Kept events whose sequence number is `first` or later, oldest first.
    #[must_use]
    pub fn since(&self, first: u64) -> Vec<Event<T>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.events.iter().filter(|event| event.sequence >= first).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pushed: u64, since: u64, want: Option<(u64, u64)>) {
        let ring = EventRing::new();
        for n in 0..pushed {
            assert_eq!(ring.push(Timestamp::UNIX_EPOCH, n), n);
        }
        let got = ring.since(since);
        assert!(got.len() <= EVENTS_MAX);
        assert!(got.iter().all(|event| event.sequence == event.what));
        let ends = got.first().zip(got.last()).map(|(first, last)| (first.sequence, last.sequence));
        assert_eq!(ends, want);
    }

    #[test]
    fn the_oldest_leave_first() {
        check(0, 0, None);
        check(3, 0, Some((0, 2)));
        check(256, 0, Some((0, 255)));
        check(300, 0, Some((44, 299)));
        check(300, 298, Some((298, 299)));
        check(3, 9, None);
    }
}
