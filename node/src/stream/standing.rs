//! How a channel stands: its state word and since when, the reason of the last choice, faults of the last minute.

use std::collections::VecDeque;

use headend_media::package::DefectKind;
use headend_wire::ChannelState;
use jiff::Timestamp;

const MINUTE_MS: i64 = 60_000;

/// One bucket a second, no more.
const BUCKETS_MAX: usize = 61;

/// Owned by the channel's task.
#[derive(Debug)]
pub(super) struct Standing {
    state: ChannelState,
    since: Timestamp,
    reason: String,
    /// Continuity errors by second, newest last.
    errors: VecDeque<(i64, u32)>,
    lost_bytes: u64,
}

impl Standing {
    pub(super) fn new(now: Timestamp) -> Self {
        let reason = "no source was looked at yet".to_owned();
        Self { state: ChannelState::Starting, since: now, reason, errors: VecDeque::new(), lost_bytes: 0 }
    }

    pub(super) fn observe(&mut self, state: ChannelState, now: Timestamp) {
        if state != self.state {
            (self.state, self.since) = (state, now);
        }
    }

    pub(super) fn decided(&mut self, reason: String) {
        self.reason = reason;
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.lost_bytes += bytes;
    }

    /// Counts a defect at `now_ms`; only lost packets are continuity errors.
    pub(super) fn defect(&mut self, kind: DefectKind, count: u64, now_ms: i64) {
        if kind != DefectKind::Continuity {
            return;
        }
        let (second, count) = (now_ms / 1000, u32::try_from(count).unwrap_or(u32::MAX));
        match self.errors.back_mut() {
            Some((last, sum)) if *last == second => *sum = sum.saturating_add(count),
            _ => self.errors.push_back((second, count)),
        }
        while self.errors.len() > BUCKETS_MAX {
            self.errors.pop_front();
        }
    }

    pub(super) fn cc_errors_per_minute(&self, now_ms: i64) -> u32 {
        let recent = self.errors.iter().filter(|(second, _)| second * 1000 > now_ms - MINUTE_MS);
        recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub(super) fn state(&self) -> ChannelState {
        self.state
    }

    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_forgotten_after_a_minute() {
        let mut standing = Standing::new(Timestamp::UNIX_EPOCH);
        standing.defect(DefectKind::Continuity, 3, 1_000);
        standing.defect(DefectKind::Continuity, 2, 30_000);
        standing.defect(DefectKind::Duplicate, 9, 30_000);
        assert_eq!(standing.cc_errors_per_minute(31_000), 5);
        assert_eq!(standing.cc_errors_per_minute(62_000), 2);
        assert_eq!(standing.cc_errors_per_minute(200_000), 0);
    }

    #[test]
    fn a_state_keeps_its_beginning() {
        let mut standing = Standing::new(Timestamp::UNIX_EPOCH);
        let at = |second| Timestamp::from_second(second).expect("in range");
        standing.observe(ChannelState::Ok, at(5));
        standing.observe(ChannelState::Ok, at(9));
        assert_eq!((standing.state(), standing.since()), (ChannelState::Ok, at(5)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut standing = Standing::new(Timestamp::UNIX_EPOCH);
        for second in 0..10_000 {
            standing.defect(DefectKind::Continuity, 1, second * 1000);
        }
        assert!(standing.errors.len() <= BUCKETS_MAX);
        assert_eq!(standing.cc_errors_per_minute(9_999_000), 60);
    }
}
