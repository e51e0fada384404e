//! How long something that failed must prove itself before it is preferred again.
//!
//! The time runs only while good news comes in, so a prober that has stopped proves nothing, and any bad news
//! starts it anew. Each failure soon after the one before doubles it: what flaps is returned to later and
//! later. Driven by [`crate::path`] and [`crate::source`].

use crate::policy::SoakRules;

/// The proof one path or source still owes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Soak {
    /// When it went down last.
    down_at: Option<u64>,
    /// How many relapses lie behind it.
    relapses: u32,
    /// For how long it must be good; 0 for one that never failed.
    need_ms: u64,
    /// It was good without a break from the first to the second moment.
    good: Option<(u64, u64)>,
}

impl Soak {
    pub(crate) fn new() -> Self {
        Self { down_at: None, relapses: 0, need_ms: 0, good: None }
    }

    /// It went down.
    pub(crate) fn down(&mut self, rules: &SoakRules, now: u64) {
        let relapse = self.down_at.is_some_and(|at| now.saturating_sub(at) < rules.relapse_ms);
        self.relapses = if relapse { self.relapses.saturating_add(1).min(31) } else { 0 };
        self.down_at = Some(now);
        self.need_ms = rules.soak_ms.saturating_mul(1 << self.relapses).min(rules.soak_max_ms);
        self.good = None;
    }

    /// It was good at `now`.
    pub(crate) fn good(&mut self, now: u64) {
        let (from, _) = self.good.unwrap_or((now, now));
        self.good = Some((from, now));
    }

    /// It was bad, or nothing is known of it for a while: the proof starts again.
    pub(crate) fn broken(&mut self) {
        self.good = None;
    }

    /// What is still to prove, milliseconds; 0 when it may be preferred.
    pub(crate) fn left_ms(&self) -> u64 {
        let proved = self.good.map_or(0, |(from, until)| until.saturating_sub(from));
        self.need_ms.saturating_sub(proved)
    }

    /// Everything the future depends on, relative to `now`, for the exhaustive search.
    #[cfg(test)]
    pub(crate) fn fingerprint(&self, rules: &SoakRules, now: u64) -> [u64; 4] {
        let age = self.down_at.map_or(u64::MAX, |at| now - at);
        let forgotten = age >= rules.relapse_ms;
        let proved = self.good.map_or(0, |(from, until)| 1 + (until - from).min(self.need_ms));
        let [age, relapses] = if forgotten { [0, 0] } else { [1 + age, self.relapses.into()] };
        [age, relapses, self.need_ms, proved]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SoakRules = SoakRules { soak_ms: 300, soak_max_ms: 1_000, relapse_ms: 3_600 };

    /// Feeds `(time, news)`: down, good or broken; compares what is left to prove after each.
    fn check(news: &[(u64, &str, u64)]) {
        let mut soak = Soak::new();
        assert_eq!(soak.left_ms(), 0);
        for &(at, what, want) in news {
            match what {
                "down" => soak.down(&RULES, at),
                "good" => soak.good(at),
                _ => soak.broken(),
            }
            assert_eq!(soak.left_ms(), want, "after {what} at {at}");
        }
    }

    #[test]
    fn good_news_in_a_row_is_proof() {
        check(&[(10, "down", 300), (20, "good", 300), (220, "good", 100), (319, "good", 1), (320, "good", 0)]);
    }

    #[test]
    fn bad_news_starts_it_anew() {
        check(&[(0, "down", 300), (10, "good", 300), (300, "good", 10), (305, "bad", 300), (320, "good", 300)]);
    }

    #[test]
    fn one_bad_moment_takes_the_proof_away_again() {
        check(&[(0, "down", 300), (10, "good", 300), (310, "good", 0), (320, "bad", 300), (330, "good", 300)]);
    }

    #[test]
    fn what_never_failed_has_nothing_to_prove() {
        check(&[(0, "bad", 0), (10, "good", 0), (20, "bad", 0)]);
    }

    #[test]
    fn relapses_double_it_up_to_the_limit_and_are_forgotten() {
        check(&[
            (0, "down", 300),
            (3_599, "down", 600),
            (7_000, "down", 1_000),
            (8_000, "down", 1_000),
            (11_600, "down", 300),
        ]);
    }
}
