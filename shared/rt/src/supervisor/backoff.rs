//! How long to wait before a failed task is started again: 1 s to 60 s, doubling, spread so that many tasks that failed
//! together do not come back together.

use std::time::Duration;

pub(super) const SHORTEST: Duration = Duration::from_secs(1);
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// A task that ran this long had recovered; its next failure starts the row anew.
pub(super) const HEALTHY_AFTER: Duration = LONGEST;

/// Counts bad ends in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) in_a_row: u32,
}

impl Backoff {
    /// The wait after a run that lasted `lasted`; `random` spreads it by a quarter to both sides.
    pub(super) fn next(&mut self, lasted: Duration, random: u32) -> Duration {
        if lasted >= HEALTHY_AFTER {
            self.in_a_row = 0;
        }
        let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX)).min(LONGEST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let spread = 0.75 + f64::from(random) / f64::from(u32::MAX) / 2.0;
        doubled.mul_f64(spread).clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(random: u32, want_ms: &[u128]) {
        let mut backoff = Backoff::default();
        let got: Vec<_> = want_ms.iter().map(|_| backoff.next(Duration::ZERO, random).as_millis()).collect();
        assert_eq!(got, want_ms);
    }

    #[test]
    fn doubles_up_to_a_minute() {
        check(0, &[1_000, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000]);
        check(u32::MAX, &[1_250, 2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    }

    #[test]
    fn health_starts_the_row_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..9 {
            backoff.next(Duration::ZERO, 0);
        }
        assert_eq!(backoff.next(HEALTHY_AFTER, 0), SHORTEST);
        assert_eq!(backoff.in_a_row, 1);
    }

    proptest! {
        #[test]
        fn always_within_bounds(in_a_row: u32, lasted_ms: u64, random: u32) {
            let wait = Backoff { in_a_row }.next(Duration::from_millis(lasted_ms), random);
            prop_assert!((SHORTEST..=LONGEST).contains(&wait));
        }
    }
}
