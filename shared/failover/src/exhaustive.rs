//! Searches every fault history of two origins for a broken promise.
//!
//! Breadth first over the real machines, one probe round a step: at each step any origin may hang, be killed or
//! come back, and the controller may be cut off or see again, up to a number of changes. Two states are one when
//! nothing the future depends on differs, so the search ends. Durations are scaled down. The promises are
//! checked against the truth of the model, not against what the machines believe, and mutated policies must
//! break them: a search that finds nothing in a broken policy would prove nothing.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    choose::{Choice, Health},
    chooser::Chooser,
    fault::ProbeFault,
    path::Observation,
    paths::Paths,
    policy::{Policy, ProbeRules, SoakRules},
    reason::Reason,
};

const STEP_MS: u64 = 2_000;
const K: u64 = 3;
const SOAK_STEPS: u64 = 2;
const WINDOW_STEPS: u64 = 32;
const VOLUNTARY_MAX: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Alive,
    Hung,
    Killed,
}

/// How the blind rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blindness {
    Obeyed,
    Ignored,
    KeepsTheSlate,
}

/// The policy under test, whole or broken.
#[derive(Debug, Clone)]
struct Subject {
    rules: ProbeRules,
    policy: Policy<u8>,
    blindness: Blindness,
}

impl Subject {
    fn whole() -> Self {
        let soak = SoakRules {
            soak_ms: SOAK_STEPS * STEP_MS,
            soak_max_ms: 8 * SOAK_STEPS * STEP_MS,
            relapse_ms: 24 * STEP_MS,
        };
        let rules = ProbeRules { soak, ..ProbeRules::default() };
        let policy = Policy { window_ms: WINDOW_STEPS * STEP_MS, ..Policy::new(vec![0, 1]) };
        rules.check().unwrap();
        policy.check().unwrap();
        Self { rules, policy, blindness: Blindness::Obeyed }
    }
}

/// One state of the world, the machines, and what the promises need to remember.
#[derive(Clone)]
struct State {
    now: u64,
    origins: [Origin; 2],
    cut_off: bool,
    changes: u8,
    paths: Paths<u8>,
    chooser: Chooser<u8>,
    /// Probes in a row that found it dead while the controller could see.
    missed: [u64; 2],
    /// Probes in a row that found it alive.
    found: [u64; 2],
    /// Whether the node's will is what MQTT last said.
    will: [bool; 2],
    /// Viewers are where they are because the blind rule prefers any origin to the slate.
    guess: bool,
    /// When switches were made off an origin that was up.
    voluntary: Vec<u64>,
    /// How the world came here, for the person who reads a failure.
    trail: Vec<([Origin; 2], bool)>,
}

impl State {
    /// Everything is well and has been for long.
    fn start(subject: &Subject) -> Self {
        let mut state = Self {
            now: 0,
            origins: [Origin::Alive; 2],
            cut_off: false,
            changes: 0,
            paths: Paths::unchecked(subject.rules, vec![0, 1], 0),
            chooser: Chooser::unchecked(subject.policy.clone()),
            missed: [0; 2],
            found: [u64::MAX; 2],
            will: [false; 2],
            guess: false,
            voluntary: vec![],
            trail: vec![],
        };
        state.step(subject).expect("a calm start breaks no promise");
        state.now = STEP_MS;
        state
    }

    fn fingerprint(&self) -> u128 {
        let found = self.found.map(|n| n.min(SOAK_STEPS + K + 2));
        let missed = self.missed.map(|n| n.min(K + 2));
        let ages = self.voluntary.iter().map(|at| self.now - at);
        let ages = ages.filter(|age| *age < WINDOW_STEPS * STEP_MS).collect::<Vec<_>>();
        let (paths, chooser) = (self.paths.fingerprint(self.now), self.chooser.fingerprint(self.now));
        let all =
            (self.origins, self.cut_off, self.changes, (self.will, self.guess), paths, chooser, missed, found, ages);
        let half = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            (seed, &all).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }

    /// Every state of the world that can follow, with how many changes it takes.
    fn successors(&self, changes_max: u8) -> Vec<Self> {
        let next_of = |origin| match origin {
            Origin::Alive => vec![Origin::Alive, Origin::Hung, Origin::Killed],
            dead => vec![dead, Origin::Alive],
        };
        let mut all = vec![];
        for first in next_of(self.origins[0]) {
            for second in next_of(self.origins[1]) {
                for cut_off in [self.cut_off, !self.cut_off] {
                    let changed = [first != self.origins[0], second != self.origins[1], cut_off != self.cut_off];
                    let changes = self.changes + changed.map(u8::from).iter().sum::<u8>();
                    if changes <= changes_max {
                        all.push(Self { origins: [first, second], cut_off, changes, ..self.clone() });
                    }
                }
            }
        }
        all
    }

    /// One probe round of both origins and the anchors; the first promise that breaks.
    fn step(&mut self, subject: &Subject) -> Result<(), &'static str> {
        self.trail.push((self.origins, self.cut_off));
        for (index, id) in [(0, 0_u8), (1, 1_u8)] {
            let killed = self.origins[index] == Origin::Killed;
            if !self.cut_off && killed != self.will[index] {
                self.will[index] = killed;
                let news = if killed { Observation::NodeWill } else { Observation::NodeBirth };
                self.paths.observe(&id, self.now, &news);
                self.decide(subject)?;
            }
            let seen = match self.origins[index] {
                _ if self.cut_off => Observation::ProbeFailed(ProbeFault::TimedOut),
                Origin::Alive => Observation::ProbeGood,
                Origin::Hung => Observation::ProbeFailed(ProbeFault::TimedOut),
                Origin::Killed => Observation::ProbeFailed(ProbeFault::Refused),
            };
            (self.missed[index], self.found[index]) = match seen {
                Observation::ProbeGood => (0, self.found[index].saturating_add(1)),
                _ => (self.missed[index].saturating_add(1), 0),
            };
            self.paths.observe(&id, self.now, &seen);
            self.decide(subject)?;
        }
        if subject.blindness != Blindness::Ignored {
            self.paths.anchors(if self.cut_off { 0 } else { 4 }, 4);
        }
        self.decide(subject)?;
        if self.cut_off {
            // By now the controller knows that these misses were its own.
            self.missed = [0; 2];
        }
        self.check_standing()
    }

    /// Asks for a decision and checks the promises about moves: I3, I5, I6.
    fn decide(&mut self, subject: &Subject) -> Result<(), &'static str> {
        let (before, blind) = (self.chooser.on().copied(), self.paths.blind());
        if blind && subject.blindness == Blindness::KeepsTheSlate {
            return Ok(());
        }
        let candidates = self.paths.candidates(self.now);
        let decision = self.chooser.decide(self.now, &candidates, blind);
        let guess = self.guess;
        let down = |id: u8| candidates[usize::from(id)].health == Health::Down;
        self.guess = match (&decision.choice, before) {
            (Choice::MoveTo(_), _) => decision.reason == Reason::Blind,
            (Choice::Keep, Some(on)) => guess && down(on),
            _ => false,
        };
        let (Some(from), Choice::MoveTo(to)) = (before, &decision.choice) else {
            return match (before, decision.choice) {
                (Some(from), Choice::Slate) if !guess => self.check_forced(from),
                _ => Ok(()),
            };
        };
        if !matches!(decision.reason, Reason::Returned { .. }) {
            return if guess { Ok(()) } else { self.check_forced(from) };
        }
        self.voluntary.retain(|at| self.now - at < WINDOW_STEPS * STEP_MS);
        self.voluntary.push(self.now);
        if self.voluntary.len() > VOLUNTARY_MAX {
            return Err("I3: more voluntary switches in the window than allowed");
        }
        // A soak of n steps takes n + 1 good probes.
        if self.found[usize::from(*to)] <= SOAK_STEPS {
            return Err("I5: back before the full soak");
        }
        Ok(())
    }

    fn check_forced(&self, from: u8) -> Result<(), &'static str> {
        let from = usize::from(from);
        let gone = self.will[from] && self.missed[from] > 0 && self.origins[from] == Origin::Killed;
        if self.missed[from] >= K || gone { Ok(()) } else { Err("I6: moved off an origin that missed too few probes") }
    }

    /// Checks the promises about where viewers are after a round: I1, I2, I4.
    fn check_standing(&self) -> Result<(), &'static str> {
        let on = self.chooser.on().map(|id| usize::from(*id));
        let down = |index: usize| self.paths.candidates(self.now)[index].health == Health::Down;
        let Some(on) = on else {
            return if self.cut_off {
                Err("I4: the slate because the controller is cut off")
            } else if down(0) && down(1) && self.found == [0, 0] {
                Ok(())
            } else {
                Err("I4: the slate while an origin is alive")
            };
        };
        let other = 1 - on;
        if self.cut_off {
            return Ok(());
        }
        if down(on) && down(other) {
            return Err("I4: no slate though nothing is alive");
        }
        if down(on) {
            return Err("I1: on a dead origin while another is believed alive");
        }
        if self.missed[on] > K + 1 && self.found[other] > K + 1 {
            return Err("I2: viewers stay on an origin that has long been dead");
        }
        Ok(())
    }
}

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing { states: usize },
    Broken { promise: &'static str, steps: u64, trail: Vec<([Origin; 2], bool)> },
}

fn search(subject: &Subject, changes_max: u8) -> Found {
    let mut seen = HashSet::new();
    let mut open = VecDeque::from([State::start(subject)]);
    while let Some(state) = open.pop_front() {
        for mut next in state.successors(changes_max) {
            if let Err(promise) = next.step(subject) {
                let (steps, trail) = (next.now / STEP_MS, next.trail);
                return Found::Broken { promise, steps, trail };
            }
            next.now += STEP_MS;
            if seen.insert(next.fingerprint()) {
                open.push_back(next);
            }
        }
    }
    Found::Nothing { states: seen.len() }
}

/// The whole policy keeps every promise in every history.
#[test]
fn no_history_breaks_a_promise() {
    let found = search(&Subject::whole(), 6);
    println!("{found:?}");
    let Found::Nothing { states } = found else { panic!("{found:?}") };
    // Fewer states would mean that the model no longer moves.
    assert!(states > 50_000, "only {states} states were searched");
}

/// Breaks the policy and expects this promise to break.
fn check(mutate: impl FnOnce(&mut Subject), want: &str) {
    let mut subject = Subject::whole();
    mutate(&mut subject);
    match search(&subject, 6) {
        Found::Broken { promise, steps, .. } => {
            println!("{promise}, after {steps} steps");
            assert!(promise.starts_with(want), "{promise} broke, not {want}");
        }
        found @ Found::Nothing { .. } => panic!("{want} should break: {found:?}"),
    }
}

#[test]
fn without_a_soak_it_returns_too_soon() {
    check(|subject| subject.rules.soak.soak_ms = 0, "I5");
}

#[test]
fn with_one_failure_as_down_it_leaves_a_living_origin() {
    check(|subject| subject.rules.failures_to_down = 1, "I6");
}

#[test]
fn without_the_blind_rule_it_shows_the_slate_when_cut_off() {
    check(|subject| subject.blindness = Blindness::Ignored, "I");
}

#[test]
fn a_blind_rule_that_keeps_the_slate_keeps_it_when_cut_off() {
    check(|subject| subject.blindness = Blindness::KeepsTheSlate, "I4");
}

#[test]
fn without_a_limit_it_switches_too_often() {
    check(|subject| subject.policy.voluntary_max = u8::MAX, "I3");
}
