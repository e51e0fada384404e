//! All paths of one channel as one controller sees them, and whether it sees at all.
//!
//! The blind rule: when the controller's anchors (its gateway, outside addresses, the other controller) all fail
//! and the last probe of every path got no answer, it is the controller that is cut off. Then failures count
//! for nothing, begun counts are forgotten, and the choice stays ([`crate::choose()`]). One answer from
//! anywhere, even a refusal, ends it. A controller without anchors is never blind.
//!
//! Driven by the controller's prober and its MQTT inbox.

use crate::{
    choose::Candidate,
    path::{Observation, PathHealth},
    policy::{CANDIDATES_MAX, PolicyError, ProbeRules},
};

/// Health of the paths of one channel, at most [`CANDIDATES_MAX`].
#[derive(Debug, Clone)]
pub struct Paths<Id> {
    rules: ProbeRules,
    paths: Vec<(Id, PathHealth)>,
    anchors_lost: bool,
}

impl<Id: Clone + Eq> Paths<Id> {
    /// Paths of which nothing is known at `now` (monotonic milliseconds).
    ///
    /// # Errors
    /// The rules break a rule, there are none or too many paths, or one comes twice.
    pub fn new(rules: ProbeRules, ids: Vec<Id>, now: u64) -> Result<Self, PolicyError> {
        rules.check()?;
        check_ids(&ids)?;
        Ok(Self::unchecked(rules, ids, now))
    }

    /// Takes the rules as they are; the search runs broken ones on purpose.
    pub(crate) fn unchecked(rules: ProbeRules, ids: Vec<Id>, now: u64) -> Self {
        let paths = ids.into_iter().map(|id| (id, PathHealth::new(now))).collect();
        Self { rules, paths, anchors_lost: false }
    }

    /// Goes on with these paths; those that stay keep their health.
    ///
    /// # Errors
    /// As for [`Paths::new`]; nothing is changed then.
    pub fn set_ids(&mut self, ids: Vec<Id>, now: u64) -> Result<(), PolicyError> {
        check_ids(&ids)?;
        let mut old = std::mem::take(&mut self.paths);
        for id in ids {
            let at = old.iter().position(|(known, _)| *known == id);
            let entry = at.map_or_else(|| (id, PathHealth::new(now)), |at| old.swap_remove(at));
            self.paths.push(entry);
        }
        Ok(())
    }

    /// Takes what was seen of a path at `now`. False when there is no such path.
    pub fn observe(&mut self, id: &Id, now: u64, observation: &Observation) -> bool {
        let Some(at) = self.paths.iter().position(|(known, _)| known == id) else { return false };
        let was_blind = self.blind();
        // Blindness is judged with this observation in it: the failure that completes the picture of a
        // controller that is cut off must not itself count.
        self.paths[at].1.remember(observation);
        let blind = self.blind();
        self.paths[at].1.observe(&self.rules, now, blind, observation);
        if blind && !was_blind {
            self.freeze();
        }
        true
    }

    /// Takes a round over the anchors: how many answered of how many asked.
    pub fn anchors(&mut self, answered: u32, asked: u32) {
        self.anchors_lost = asked > 0 && answered == 0;
        if self.blind() {
            self.freeze();
        }
    }

    /// Whether the controller is cut off.
    #[must_use]
    pub fn blind(&self) -> bool {
        self.anchors_lost && self.paths.iter().all(|(_, path)| path.unanswered())
    }

    /// The paths as [`crate::choose()`] sees them at `now`.
    #[must_use]
    pub fn candidates(&self, now: u64) -> Vec<Candidate<Id>> {
        self.paths.iter().map(|(id, path)| path.candidate(id.clone(), now)).collect()
    }

    fn freeze(&mut self) {
        for (_, path) in &mut self.paths {
            path.freeze();
        }
    }

    /// Everything the future depends on, relative to `now`, for the exhaustive search.
    #[cfg(test)]
    pub(crate) fn fingerprint(&self, now: u64) -> (bool, Vec<[u64; 6]>) {
        (self.anchors_lost, self.paths.iter().map(|(_, path)| path.fingerprint(&self.rules, now)).collect())
    }
}

pub(crate) fn check_ids<Id: Eq>(ids: &[Id]) -> Result<(), PolicyError> {
    let count = ids.len();
    if !(1..=CANDIDATES_MAX).contains(&count) {
        return Err(PolicyError::Order { count });
    }
    match (1..count).find(|&i| ids[..i].contains(&ids[i])) {
        Some(index) => Err(PolicyError::Twice { position: index + 1 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{choose::Health, fault::ProbeFault};

    const LATE: Observation = Observation::ProbeFailed(ProbeFault::TimedOut);

    fn two() -> Paths<&'static str> {
        let mut paths = Paths::new(ProbeRules::default(), vec!["caribbean", "france"], 0).unwrap();
        for id in ["caribbean", "france"] {
            assert!(paths.observe(&id, 0, &Observation::ProbeGood));
        }
        paths
    }

    /// Five rounds of failing probes after `anchors` answered of four: blind, and the healths.
    fn check(answered: u32, asked: u32, france: Observation, want: (bool, [Health; 2])) {
        let mut paths = two();
        paths.anchors(answered, asked);
        for now in 1..=5 {
            paths.observe(&"caribbean", now, &LATE);
            paths.observe(&"france", now, &france);
        }
        let healths = paths.candidates(5).iter().map(|c| c.health).collect::<Vec<_>>();
        assert_eq!((paths.blind(), healths), (want.0, want.1.to_vec()));
    }

    #[test]
    fn blind_only_when_nothing_at_all_answers() {
        let refused = Observation::ProbeFailed(ProbeFault::Refused);
        check(0, 4, LATE, (true, [Health::Good; 2]));
        check(1, 4, LATE, (false, [Health::Down; 2]));
        check(0, 4, refused, (false, [Health::Down; 2]));
        check(0, 4, Observation::ProbeGood, (false, [Health::Down, Health::Good]));
        check(0, 0, LATE, (false, [Health::Down; 2]));
    }

    /// Two failures of caribbean, then `blind`, then sight again and two failures more: not down, then a third.
    fn forgotten(blind: impl FnOnce(&mut Paths<&'static str>)) {
        let mut paths = two();
        for now in 1..=2 {
            paths.observe(&"caribbean", now, &LATE);
        }
        blind(&mut paths);
        paths.anchors(4, 4);
        for (now, want) in [(3, Health::Good), (4, Health::Good), (5, Health::Down)] {
            paths.observe(&"caribbean", now, &LATE);
            assert_eq!(paths.candidates(now)[0].health, want, "at {now}");
        }
    }

    #[test]
    fn failures_counted_before_it_proved_blind_are_forgotten() {
        // Whether the anchors' round or the last origin's probe completes the picture.
        forgotten(|paths| {
            paths.observe(&"france", 2, &LATE);
            paths.anchors(0, 4);
        });
        forgotten(|paths| {
            paths.anchors(0, 4);
            paths.observe(&"france", 2, &LATE);
        });
    }

    #[test]
    fn paths_that_stay_keep_their_health() {
        let mut paths = two();
        assert!(!paths.observe(&"miami", 1, &LATE));
        paths.set_ids(vec!["miami", "france"], 1).unwrap();
        let healths: Vec<_> = paths.candidates(1).iter().map(|c| (c.id, c.health)).collect();
        assert_eq!(healths, [("miami", Health::Untested), ("france", Health::Good)]);
        assert_eq!(paths.set_ids(vec!["a", "a"], 1), Err(PolicyError::Twice { position: 2 }));
        assert!(Paths::<u8>::new(ProbeRules::default(), vec![], 0).is_err());
    }
}
