//! The simulated world of a script: what each origin or source really does, and what is therefore seen.
//!
//! Probes start every 2 s; an answer comes at once, silence is known 1.5 s later. Anchors are asked together with
//! the origins. A killed origin's will reaches the controller unless that is cut off.

use crate::{
    choose::Candidate,
    fault::{ProbeFault, StreamFault},
    path::Observation,
    paths::Paths,
    policy::{PolicyError, ProbeRules, SourceRules},
    source::Sample,
    sources::Sources,
};

const PROBE_EVERY_MS: u64 = 2_000;
const PROBE_LIMIT_MS: u64 = 1_500;
const ANCHORS: u32 = 4;

/// What an origin or a source really does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Good,
    Silent,
    Refuses,
    Killed,
    Frozen,
    NoSound,
    Scrambled,
    Torn,
}

/// One origin or source: its state and since when.
struct Actor {
    id: String,
    state: State,
    since: u64,
    /// A probe under way that nothing will answer.
    waiting: bool,
}

enum Eyes {
    Origins(Paths<String>),
    Sources(Sources<String>),
}

/// All of them, and the eyes that watch.
pub(super) struct World {
    actors: Vec<Actor>,
    cut_off: bool,
    eyes: Eyes,
}

impl World {
    pub(super) fn of_origins(rules: ProbeRules, ids: Vec<String>) -> Result<Self, PolicyError> {
        let eyes = Eyes::Origins(Paths::new(rules, ids.clone(), 0)?);
        Ok(Self { actors: actors(ids), cut_off: false, eyes })
    }

    pub(super) fn of_sources(rules: SourceRules, ids: Vec<String>) -> Result<Self, PolicyError> {
        let eyes = Eyes::Sources(Sources::new(rules, ids.clone(), 0)?);
        Ok(Self { actors: actors(ids), cut_off: false, eyes })
    }

    pub(super) fn becomes(&mut self, id: &String, state: State, now: u64) {
        let Some(actor) = self.actors.iter_mut().find(|actor| actor.id == *id) else { return };
        let was = std::mem::replace(&mut actor.state, state);
        actor.since = now;
        // MQTT goes the same way as the probes: who is cut off learns of neither.
        if let Eyes::Origins(paths) = &mut self.eyes
            && !self.cut_off
        {
            match (was, state) {
                (State::Killed, State::Killed) => {}
                (_, State::Killed) => _ = paths.observe(id, now, &Observation::NodeWill),
                (State::Killed, _) => _ = paths.observe(id, now, &Observation::NodeBirth),
                _ => {}
            }
        }
    }

    pub(super) fn cut_off(&mut self, cut_off: bool) {
        self.cut_off = cut_off;
    }

    pub(super) fn box_report(&mut self, id: &String, subscriber: u64, now: u64) {
        if let Eyes::Origins(paths) = &mut self.eyes {
            paths.observe(id, now, &Observation::BoxReport { subscriber });
        }
    }

    pub(super) fn candidates(&self, now: u64) -> Vec<Candidate<String>> {
        match &self.eyes {
            Eyes::Origins(paths) => paths.candidates(now),
            Eyes::Sources(sources) => sources.candidates(now),
        }
    }

    pub(super) fn blind(&self) -> bool {
        matches!(&self.eyes, Eyes::Origins(paths) if paths.blind())
    }

    /// Probes or samples what is due at `now`; true when something was seen.
    pub(super) fn step(&mut self, now: u64) -> bool {
        match &mut self.eyes {
            Eyes::Origins(paths) => step_origins(paths, &mut self.actors, self.cut_off, now),
            Eyes::Sources(sources) => {
                for actor in &self.actors {
                    sources.sample(&actor.id, now, &actor.sample(now));
                }
                true
            }
        }
    }
}

fn actors(ids: Vec<String>) -> Vec<Actor> {
    ids.into_iter().map(|id| Actor { id, state: State::Good, since: 0, waiting: false }).collect()
}

fn step_origins(paths: &mut Paths<String>, actors: &mut [Actor], cut_off: bool, now: u64) -> bool {
    if now % PROBE_EVERY_MS == PROBE_LIMIT_MS {
        let lost = actors.iter().all(|actor| actor.waiting) && cut_off;
        paths.anchors(if lost { 0 } else { ANCHORS }, ANCHORS);
        for actor in actors.iter_mut().filter(|actor| actor.waiting) {
            actor.waiting = false;
            paths.observe(&actor.id, now, &Observation::ProbeFailed(ProbeFault::TimedOut));
        }
        return true;
    }
    if !now.is_multiple_of(PROBE_EVERY_MS) {
        return false;
    }
    for actor in actors {
        let seen = if cut_off { None } else { actor.probe(now) };
        actor.waiting = seen.is_none();
        if let Some(observation) = seen {
            paths.observe(&actor.id, now, &observation);
        }
    }
    true
}

impl Actor {
    /// What a probe sees; none when nothing answers.
    fn probe(&self, now: u64) -> Option<Observation> {
        let for_ms = now - self.since;
        let stream = match self.state {
            State::Good => return Some(Observation::ProbeGood),
            State::Silent => return None,
            State::Refuses | State::Killed => return Some(Observation::ProbeFailed(ProbeFault::Refused)),
            State::Frozen => StreamFault::Frozen { for_ms },
            State::NoSound => StreamFault::Silent { for_ms },
            State::Scrambled => StreamFault::Scrambled { permille: 1_000 },
            State::Torn => StreamFault::Continuity { per_sec: 40 },
        };
        Some(Observation::ProbeFailed(ProbeFault::Stream { stream }))
    }

    /// What a sample shows.
    fn sample(&self, now: u64) -> Sample {
        let age = now - self.since;
        match self.state {
            State::Good => Sample::GOOD,
            State::Silent | State::Refuses | State::Killed => {
                let video_age_ms = Some(age);
                Sample { packet_age_ms: age, pat_age_ms: age, video_age_ms, audio_age_ms: Some(age), ..Sample::GOOD }
            }
            State::Frozen => Sample { video_age_ms: Some(age), ..Sample::GOOD },
            State::NoSound => Sample { audio_age_ms: Some(age), ..Sample::GOOD },
            State::Scrambled => Sample { scrambled_permille: 1_000, ..Sample::GOOD },
            State::Torn => Sample { continuity_errors: 10, ..Sample::GOOD },
        }
    }
}
