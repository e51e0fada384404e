//! How long an input waits before it tries its source again: 0.5 s doubling to 10 s, with jitter.
//!
//! Pure: the random number comes from outside. Other than the supervisor's pause for tasks that failed, this one is
//! for sources that come and go in normal operation; it never ends and there is no loop within it.

use std::time::Duration;

/// First wait, before jitter.
pub const WAIT_MIN: Duration = Duration::from_millis(500);
/// Longest wait.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// A source that delivered for this long has recovered: the next wait is short again.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(10);

/// The state of one input's retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: WAIT_MIN }
    }
}

impl Backoff {
    /// The wait before the next attempt, after one that delivered for `delivered`. `random` (any value) takes up to a
    /// quarter off, so that inputs that lost the same peer do not come back in step; never below [`WAIT_MIN`].
    pub fn wait(&mut self, delivered: Duration, random: u32) -> Duration {
        if delivered >= RECOVERED_AFTER {
            self.next = WAIT_MIN;
        }
        let whole = self.next;
        self.next = (whole * 2).min(WAIT_MAX);
        let off = whole.mul_f64(0.25 * f64::from(random) / f64::from(u32::MAX));
        (whole - off).max(WAIT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_recover() {
        let mut backoff = Backoff::default();
        let mut waits = |delivered, random| {
            (0..6).map(|_| backoff.wait(Duration::from_secs(delivered), random).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits(0, 0), [500, 1000, 2000, 4000, 8000, 10_000]);
        assert_eq!(waits(9, u32::MAX), [7500; 6]);
        assert_eq!(waits(10, u32::MAX), [500; 6]);
    }
}
