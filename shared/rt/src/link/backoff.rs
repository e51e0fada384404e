//! Exponential back-off with jitter between connection attempts: 0.5 s doubling to 30 s.
//!
//! Pure: the caller gives the randomness and does the waiting. rumqttc itself reconnects in a hot loop,
//! and a fleet that lost its broker at one moment must not come back at one moment.

use std::time::Duration;

/// The shortest ceiling between two attempts.
const FIRST: Duration = Duration::from_millis(500);
/// The longest ceiling between two attempts.
const LONGEST: Duration = Duration::from_secs(30);

/// How many attempts have failed in a row.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half of the ceiling and the ceiling, as `random` (any value) decides. The
    /// ceiling starts at 0.5 s, doubles with each call and ends at 30 s.
    #[must_use]
    pub fn next(&mut self, random: u32) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = ceiling / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts anew after a connection that held.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(random: u32, want_millis: &[u128]) {
        let mut backoff = Backoff::default();
        let got: Vec<u128> = want_millis.iter().map(|_| backoff.next(random).as_millis()).collect();
        assert_eq!(got, want_millis);
    }

    #[test]
    fn it_doubles_to_thirty_seconds_and_jitters_by_half() {
        check(u32::MAX, &[500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        check(0, &[250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    }

    #[test]
    fn a_reset_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..40 {
            let _ = backoff.next(7);
        }
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), FIRST);
    }
}
