//! The rules of health and choice as data: typed in a policy document, checked before a machine uses them.
//!
//! Durations are monotonic milliseconds. The defaults are those the exhaustive search of this package was run
//! for (in its proportions); a document may change them within limits that keep the search's promises.

use serde::{Deserialize, Serialize};

const HOUR_MS: u64 = 3_600_000;

/// The most candidates of one choice.
pub const CANDIDATES_MAX: usize = 16;

/// The longest duration in a policy, milliseconds: a day.
pub const DURATION_MS_MAX: u64 = 24 * HOUR_MS;

/// Which candidate is preferred and how often a choice may be changed without need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy<Id> {
    /// Every candidate, the preferred first.
    pub order: Vec<Id>,
    /// How many voluntary switches (to a better candidate while the current one is up) within the window.
    #[serde(default = "two")]
    pub voluntary_max: u8,
    /// The window over which voluntary switches are counted.
    #[serde(default = "hour")]
    pub window_ms: u64,
    /// How long a box is kept from an origin that it says has failed; that box only.
    #[serde(default = "minute")]
    pub box_penalty_ms: u64,
}

fn two() -> u8 {
    2
}

fn hour() -> u64 {
    HOUR_MS
}

fn minute() -> u64 {
    60_000
}

/// How long something that failed must be good before it is preferred again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoakRules {
    /// Good without a break for this long.
    pub soak_ms: u64,
    /// Doubled for each relapse, but never longer than this.
    pub soak_max_ms: u64,
    /// A failure this soon after the one before is a relapse.
    pub relapse_ms: u64,
}

impl Default for SoakRules {
    fn default() -> Self {
        Self { soak_ms: 300_000, soak_max_ms: 2_400_000, relapse_ms: HOUR_MS }
    }
}

/// When a probed path (an origin seen from a controller) is down and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeRules {
    /// Failed probes in a row that make it down.
    pub failures_to_down: u8,
    /// Different subscribers whose reports count as one failed probe.
    pub reporters: u8,
    /// ... within this long.
    pub report_window_ms: u64,
    /// The way back.
    pub soak: SoakRules,
}

impl Default for ProbeRules {
    fn default() -> Self {
        Self { failures_to_down: 3, reporters: 5, report_window_ms: 10_000, soak: SoakRules::default() }
    }
}

/// What a sample of a source may show and still be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest time without a packet, milliseconds.
    pub packet_gap_ms: u64,
    /// Longest time without a valid PAT, milliseconds. ETSI TR 101 290 §5.2.1 calls 500 ms an error; real
    /// multiplexers are late now and then.
    pub pat_gap_ms: u64,
    /// Longest time in which the picture's time stamps may stand still, milliseconds.
    pub video_gap_ms: u64,
    /// Longest time without sound, milliseconds.
    pub audio_gap_ms: u64,
    /// Continuity errors a second.
    pub continuity_per_sec: u32,
    /// Scrambled packets of a thousand.
    pub scrambled_permille: u16,
}

/// When a source (a node's own way to a channel) is left and returned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceRules {
    /// Bad for this long without a break: down.
    pub leave_after_ms: u64,
    /// Down, then good for this long without a break: up, and used if nothing better is. Longer than the gaps of
    /// `back`, or a fault that has just begun would look like the end of the one before.
    pub up_after_ms: u64,
    /// Over one of these a sample is bad.
    pub leave: Limits,
    /// Over one of these a sample does not count as good for a source that was down: the way back is stricter,
    /// or a source at its limit would come and go.
    pub back: Limits,
    /// When it is preferred again; `soak_ms` is the time to return.
    pub soak: SoakRules,
}

impl Default for SourceRules {
    fn default() -> Self {
        let leave = Limits {
            packet_gap_ms: 400,
            pat_gap_ms: 1_000,
            video_gap_ms: 1_000,
            audio_gap_ms: 5_000,
            continuity_per_sec: 20,
            scrambled_permille: 500,
        };
        let back = Limits {
            pat_gap_ms: 700,
            video_gap_ms: 700,
            audio_gap_ms: 2_000,
            continuity_per_sec: 2,
            scrambled_permille: 10,
            ..leave
        };
        Self { leave_after_ms: 1_500, up_after_ms: 1_000, leave, back, soak: SoakRules::default() }
    }
}

/// What is wrong with a policy, with what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// None or too many.
    #[error("order names {count} candidates, it takes 1 to {CANDIDATES_MAX}")]
    Order {
        /// How many.
        count: usize,
    },
    /// One comes twice.
    #[error("order names candidate {position} a second time")]
    Twice {
        /// Its place, counted from 1.
        position: usize,
    },
    /// A number outside its range.
    #[error("{key} is {value}, it takes {min} to {max}")]
    Range {
        /// Which.
        key: &'static str,
        /// As typed.
        value: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
}

fn range(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), PolicyError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(PolicyError::Range { key, value, min, max }) }
}

impl<Id: Eq> Policy<Id> {
    /// The default rules for candidates in this order.
    #[must_use]
    pub fn new(order: Vec<Id>) -> Self {
        Self { order, voluntary_max: two(), window_ms: HOUR_MS, box_penalty_ms: minute() }
    }

    /// Whether a machine may run by it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), PolicyError> {
        let count = self.order.len();
        if !(1..=CANDIDATES_MAX).contains(&count) {
            return Err(PolicyError::Order { count });
        }
        if let Some(index) = (1..count).find(|&i| self.order[..i].contains(&self.order[i])) {
            return Err(PolicyError::Twice { position: index + 1 });
        }
        range("voluntary_max", self.voluntary_max.into(), 0, 8)?;
        range("window_ms", self.window_ms, 1_000, DURATION_MS_MAX)?;
        range("box_penalty_ms", self.box_penalty_ms, 0, DURATION_MS_MAX)
    }
}

impl SoakRules {
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), PolicyError> {
        range("soak_ms", self.soak_ms, 1_000, DURATION_MS_MAX)?;
        range("soak_max_ms", self.soak_max_ms, self.soak_ms, DURATION_MS_MAX)?;
        range("relapse_ms", self.relapse_ms, 0, DURATION_MS_MAX)
    }
}

impl ProbeRules {
    /// Whether a machine may run by it.
    ///
    /// # Errors
    /// The first rule that is broken. One failed probe is never enough: packets get lost, and the blind rule
    /// needs the first failures of all origins before it can tell who is cut off.
    pub fn check(&self) -> Result<(), PolicyError> {
        range("failures_to_down", self.failures_to_down.into(), 2, 10)?;
        range("reporters", self.reporters.into(), 2, 50)?;
        range("report_window_ms", self.report_window_ms, 1_000, DURATION_MS_MAX)?;
        self.soak.check()
    }
}

impl SourceRules {
    /// Whether a machine may run by it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), PolicyError> {
        range("leave_after_ms", self.leave_after_ms, 200, 60_000)?;
        range("up_after_ms", self.up_after_ms, 0, 60_000)?;
        let (leave, back) = (&self.leave, &self.back);
        range("leave.packet_gap_ms", leave.packet_gap_ms, 50, 60_000)?;
        range("leave.pat_gap_ms", leave.pat_gap_ms, 100, 60_000)?;
        range("leave.video_gap_ms", leave.video_gap_ms, 100, 60_000)?;
        range("leave.audio_gap_ms", leave.audio_gap_ms, 100, 600_000)?;
        range("leave.scrambled_permille", leave.scrambled_permille.into(), 0, 1_000)?;
        range("back.packet_gap_ms", back.packet_gap_ms, 50, leave.packet_gap_ms)?;
        range("back.pat_gap_ms", back.pat_gap_ms, 100, leave.pat_gap_ms)?;
        range("back.video_gap_ms", back.video_gap_ms, 100, leave.video_gap_ms)?;
        range("back.audio_gap_ms", back.audio_gap_ms, 100, leave.audio_gap_ms)?;
        range("back.continuity_per_sec", back.continuity_per_sec.into(), 0, leave.continuity_per_sec.into())?;
        range("back.scrambled_permille", back.scrambled_permille.into(), 0, leave.scrambled_permille.into())?;
        self.soak.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a policy and compares the words, or `"ok"`.
    fn check(got: Result<(), PolicyError>, want: &str) {
        assert_eq!(got.map_or_else(|e| e.to_string(), |()| "ok".to_owned()), want);
    }

    #[test]
    fn the_defaults_are_good() {
        check(Policy::new(vec!["caribbean", "france"]).check(), "ok");
        check(ProbeRules::default().check(), "ok");
        check(SourceRules::default().check(), "ok");
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(Policy::<u8>::new(vec![]).check(), "order names 0 candidates, it takes 1 to 16");
        check(Policy::new((0..17).collect()).check(), "order names 17 candidates, it takes 1 to 16");
        check(Policy::new(vec![1, 2, 1]).check(), "order names candidate 3 a second time");
        let many = Policy { voluntary_max: 9, ..Policy::new(vec![1]) };
        check(many.check(), "voluntary_max is 9, it takes 0 to 8");
        let hasty = ProbeRules { failures_to_down: 1, ..ProbeRules::default() };
        check(hasty.check(), "failures_to_down is 1, it takes 2 to 10");
        let mut rules = SourceRules::default();
        rules.back.continuity_per_sec = 21;
        check(rules.check(), "back.continuity_per_sec is 21, it takes 0 to 20");
        let short = SoakRules { soak_max_ms: 1_000, ..SoakRules::default() };
        check(short.check(), "soak_max_ms is 1000, it takes 300000 to 86400000");
        check(SoakRules { soak_ms: 0, ..short }.check(), "soak_ms is 0, it takes 1000 to 86400000");
    }
}
