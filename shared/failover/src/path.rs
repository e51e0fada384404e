//! The health of one path: an origin of a channel as a controller sees it.
//!
//! Fed with what probes, the node's MQTT session and viewers say. Down after k failed probes in a row, or at
//! once when the node's will and a refused probe come together (the process is gone; a lost broker alone or a
//! single refused probe is not enough). Up on the first good probe; settled after the soak. Reports of
//! viewers and of the node never decide alone: they count as failed probes.
//!
//! It does not choose and does not know other paths; [`crate::paths`] adds the blind rule.

use serde::{Deserialize, Serialize};

use crate::{
    choose::{Candidate, Health},
    fault::{Fault, ProbeFault, StreamFault},
    policy::ProbeRules,
    soak::Soak,
};

/// One piece of evidence about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "kebab-case")]
pub enum Observation {
    /// A probe pulled the stream and found it good.
    ProbeGood,
    /// A probe failed.
    ProbeFailed(ProbeFault),
    /// The broker published the node's will.
    NodeWill,
    /// The node is back on MQTT.
    NodeBirth,
    /// The node itself reports the channel's output over a threshold; until it is cleared with `None` a good
    /// probe counts as a failed one, since the node looks at every packet and a probe at a few.
    NodeFault {
        /// What it reports.
        stream: Option<StreamFault>,
    },
    /// A set-top box came back because this origin failed it.
    BoxReport {
        /// Who; any number that is the same for the same subscriber.
        subscriber: u64,
    },
}

/// So many probes in a row must have found a torn picture before it is a last resort.
const TORN_PROBES: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Untested,
    Up,
    Down,
}

/// Health of one path. Memory: a few words and at most as many reports as make a failed probe.
#[derive(Debug, Clone)]
pub struct PathHealth {
    state: State,
    since: u64,
    failed: u32,
    /// Failed probes in a row that found a picture people would rather watch than the slate.
    torn: u32,
    last: Option<Result<(), ProbeFault>>,
    fault: Option<Fault>,
    will: bool,
    node_fault: Option<StreamFault>,
    reports: Vec<(u64, u64)>,
    soak: Soak,
}

impl PathHealth {
    /// A path of which nothing is known at `now` (monotonic milliseconds).
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            state: State::Untested,
            since: now,
            failed: 0,
            torn: 0,
            last: None,
            fault: None,
            will: false,
            node_fault: None,
            reports: vec![],
            soak: Soak::new(),
        }
    }

    /// Takes one observation made at `now`. `blind`: the observer itself is cut off, so this proves nothing:
    /// what MQTT said is remembered, counters are reset and the state stays.
    pub fn observe(&mut self, rules: &ProbeRules, now: u64, blind: bool, observation: &Observation) {
        self.remember(observation);
        if blind {
            self.freeze();
            return;
        }
        match *observation {
            Observation::ProbeGood => match self.node_fault {
                None => self.good(now),
                Some(stream) => self.bad(rules, now, ProbeFault::Stream { stream }),
            },
            Observation::ProbeFailed(fault) => self.bad(rules, now, fault),
            Observation::NodeWill if self.refused() => self.gone(rules, now),
            Observation::BoxReport { subscriber } => self.report(rules, now, subscriber),
            Observation::NodeWill | Observation::NodeBirth | Observation::NodeFault { .. } => {}
        }
    }

    /// Forgets failures that were counted and proofs that were begun: the observer turned out to be blind.
    pub(crate) fn freeze(&mut self) {
        self.failed = 0;
        self.reports.clear();
        self.soak.broken();
    }

    /// Whether the last probe got no answer at all.
    pub(crate) fn unanswered(&self) -> bool {
        matches!(self.last, Some(Err(fault)) if !fault.answered())
    }

    /// The path as [`crate::choose()`] sees it at `now`.
    #[must_use]
    pub fn candidate<Id>(&self, id: Id, now: u64) -> Candidate<Id> {
        let health = match self.state {
            State::Untested => Health::Untested,
            State::Up => Health::Good,
            State::Down => Health::Down,
        };
        let lasting_ms = now.saturating_sub(self.since);
        let watchable = self.torn >= TORN_PROBES;
        Candidate { id, health, lasting_ms, soak_left_ms: self.soak.left_ms(), fault: self.fault, watchable }
    }

    /// What is true whether or not the observer is blind.
    pub(crate) fn remember(&mut self, observation: &Observation) {
        match *observation {
            Observation::ProbeGood => self.last = Some(Ok(())),
            Observation::ProbeFailed(fault) => self.last = Some(Err(fault)),
            Observation::NodeWill => self.will = true,
            Observation::NodeBirth => self.will = false,
            Observation::NodeFault { stream } => self.node_fault = stream,
            Observation::BoxReport { .. } => {}
        }
    }

    fn refused(&self) -> bool {
        self.last == Some(Err(ProbeFault::Refused))
    }

    fn good(&mut self, now: u64) {
        (self.failed, self.torn) = (0, 0);
        self.fault = None;
        self.soak.good(now);
        self.enter(State::Up, now);
    }

    fn bad(&mut self, rules: &ProbeRules, now: u64, last: ProbeFault) {
        self.failed = self.failed.saturating_add(1);
        self.torn = if last.watchable() { self.torn.saturating_add(1) } else { 0 };
        self.soak.broken();
        if self.will && last == ProbeFault::Refused {
            return self.gone(rules, now);
        }
        // Told anew even when it is down; why it went down is kept with the decision.
        self.fault = Some(Fault::Probes { failed: self.failed, last });
        if self.state != State::Down && self.failed >= rules.failures_to_down.into() {
            self.down(rules, now);
        }
    }

    fn gone(&mut self, rules: &ProbeRules, now: u64) {
        if self.state != State::Down {
            self.fault = Some(Fault::Gone);
            self.down(rules, now);
        }
    }

    fn down(&mut self, rules: &ProbeRules, now: u64) {
        self.soak.down(&rules.soak, now);
        self.enter(State::Down, now);
    }

    fn enter(&mut self, state: State, now: u64) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    /// Enough different subscribers within the window are one failed probe; then the count starts again.
    fn report(&mut self, rules: &ProbeRules, now: u64, subscriber: u64) {
        self.reports.retain(|&(who, at)| who != subscriber && now.saturating_sub(at) < rules.report_window_ms);
        self.reports.push((subscriber, now));
        if self.reports.len() >= usize::from(rules.reporters) {
            self.reports.clear();
            self.bad(rules, now, ProbeFault::Viewers { subscribers: rules.reporters });
        }
    }

    /// Everything the future depends on, relative to `now`, for the exhaustive search (which sends no reports).
    #[cfg(test)]
    pub(crate) fn fingerprint(&self, rules: &ProbeRules, now: u64) -> [u64; 6] {
        let [a, b, c, d] = self.soak.fingerprint(&rules.soak, now);
        let last = [self.refused(), self.unanswered(), self.will].map(u64::from);
        let flags = u64::from(self.state as u8) | last[0] << 2 | last[1] << 3 | last[2] << 4;
        [flags, self.failed.min(rules.failures_to_down.into()).into(), a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: Observation = Observation::ProbeGood;
    const LATE: Observation = Observation::ProbeFailed(ProbeFault::TimedOut);
    const REFUSED: Observation = Observation::ProbeFailed(ProbeFault::Refused);
    const WILL: Observation = Observation::NodeWill;

    /// One word per observation, 2 s apart: the health after it.
    fn run(observations: &[Observation]) -> Vec<String> {
        let mut path = PathHealth::new(0);
        let mut now = 0;
        let mut words = vec![];
        for observation in observations {
            path.observe(&ProbeRules::default(), now, false, observation);
            words.push(match path.candidate((), now) {
                Candidate { health: Health::Good, soak_left_ms: 0, .. } => "settled".to_owned(),
                Candidate { health: Health::Good, soak_left_ms, .. } => format!("up-{}", soak_left_ms / 1_000),
                Candidate { health, .. } => format!("{health:?}").to_lowercase(),
            });
            now += 2_000;
        }
        words
    }

    fn check(observations: &[Observation], want: &str) {
        assert_eq!(run(observations).join(" "), want);
    }

    fn report(subscriber: u64) -> Observation {
        Observation::BoxReport { subscriber }
    }

    #[test]
    fn three_failures_in_a_row_are_down_and_one_good_probe_is_up() {
        check(&[GOOD, LATE, LATE, LATE, LATE, GOOD, GOOD], "settled settled settled down down up-300 up-298");
        check(&[GOOD, LATE, LATE, GOOD, LATE, LATE], "settled settled settled settled settled settled");
        check(&[LATE, LATE, LATE], "untested untested down");
    }

    #[test]
    fn a_will_and_a_refused_probe_together_are_down_at_once() {
        check(&[GOOD, WILL, REFUSED], "settled settled down");
        check(&[GOOD, REFUSED, WILL], "settled settled down");
        check(&[GOOD, WILL, GOOD, REFUSED], "settled settled settled down");
        check(&[GOOD, REFUSED, GOOD, WILL], "settled settled settled settled");
        check(&[GOOD, WILL, LATE, LATE], "settled settled settled settled");
        check(&[GOOD, WILL, Observation::NodeBirth, REFUSED], "settled settled settled settled");
    }

    #[test]
    fn a_failed_probe_starts_the_soak_anew() {
        check(&[LATE, LATE, LATE, GOOD, GOOD, LATE, GOOD], "untested untested down up-300 up-298 up-300 up-300");
    }

    #[test]
    fn five_subscribers_within_ten_seconds_are_one_failed_probe() {
        let five: Vec<_> = (1..=5).map(report).collect();
        let all = [&[GOOD, LATE, LATE][..], &five].concat();
        check(&all, "settled settled settled settled settled settled settled down");
        // The same subscriber five times, and five over more than the window.
        check(&[&[GOOD, LATE, LATE][..], &[report(1); 5]].concat(), &["settled"; 8].join(" "));
        let slow = [GOOD, LATE, LATE, report(1), report(2), report(3), report(3), report(3), report(4), report(5)];
        check(&slow, &["settled"; 10].join(" "));
    }

    #[test]
    fn what_the_node_says_of_itself_turns_good_probes_into_failed_ones() {
        let frozen = Observation::NodeFault { stream: Some(StreamFault::Frozen { for_ms: 4_000 }) };
        let clear = Observation::NodeFault { stream: None };
        check(&[GOOD, frozen, GOOD, GOOD, GOOD, clear, GOOD], "settled settled settled settled down down up-300");
    }

    #[test]
    fn only_a_row_of_torn_probes_makes_a_last_resort() {
        let silent = ProbeFault::Stream { stream: StreamFault::Silent { for_ms: 9_000 } };
        let mut path = PathHealth::new(0);
        let mut got = vec![];
        for fault in [ProbeFault::TimedOut, silent, silent, silent, ProbeFault::TimedOut, silent] {
            path.observe(&ProbeRules::default(), 0, false, &Observation::ProbeFailed(fault));
            got.push(path.candidate((), 0).watchable);
        }
        assert_eq!(got, [false, false, false, true, false, false]);
    }

    #[test]
    fn nothing_counts_while_blind() {
        let mut path = PathHealth::new(0);
        let rules = ProbeRules::default();
        for (now, blind) in [(0, false), (1, false), (2, true), (3, false), (4, false)] {
            path.observe(&rules, now, blind, &LATE);
            assert_eq!(path.candidate((), now).health, Health::Untested);
        }
        path.observe(&rules, 5, false, &LATE);
        assert_eq!(path.candidate((), 5).health, Health::Down);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_by_the_reporters(subscribers: Vec<u64>, gap in 0u64..3_000) {
            let (mut path, mut now) = (PathHealth::new(0), 0);
            for subscriber in subscribers {
                path.observe(&ProbeRules::default(), now, false, &report(subscriber));
                now += gap;
                prop_assert!(path.reports.len() < 5);
            }
        }
    }
}
