//! Wall time behind a seam, so that a test can say what time it is.
//!
//! For what follows the calendar: key periods, guide, archive, certificates. Timeouts use tokio's clock instead, which a
//! test pauses; a jump of the wall clock must not fire them. The 90 kHz timeline belongs to `media`.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Tells wall time (UTC).
pub trait Clock: Debug + Send + Sync {
    /// The time now, as the system believes it.
    fn now(&self) -> Timestamp;

    /// Milliseconds since the Unix epoch; negative before 1970.
    fn unix_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is told to move. Share it with `Arc`.
#[derive(Debug)]
pub struct SimulatedClock {
    at: Mutex<Timestamp>,
}

impl SimulatedClock {
    /// Starts at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self { at: Mutex::new(at) }
    }

    /// Jumps to `at`, forwards or back.
    pub fn set(&self, at: Timestamp) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Moves forward by `by`; stays at the last instant jiff can name when that would be passed.
    pub fn advance(&self, by: Duration) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        *at = at.saturating_add(by).unwrap_or(Timestamp::MAX);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_moves_only_when_told() {
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.unix_ms(), 0);
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.unix_ms(), 1_500);
        clock.set(Timestamp::from_millisecond(-7).unwrap());
        assert_eq!(clock.unix_ms(), -7);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }

    #[test]
    fn the_system_clock_is_past_2024() {
        assert!(SystemClock.unix_ms() > 1_704_067_200_000);
    }
}
