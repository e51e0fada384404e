//! All sources of one channel on one node.
//!
//! Every source is sampled all the time, the waiting ones too, so that a choice never hopes. Driven by the
//! node's service watch; a node is never blind towards its own inputs.

use crate::{
    choose::Candidate,
    paths::check_ids,
    policy::{PolicyError, SourceRules},
    source::{Sample, SourceHealth},
};

/// Health of the sources of one channel, at most [`crate::policy::CANDIDATES_MAX`].
#[derive(Debug, Clone)]
pub struct Sources<Id> {
    rules: SourceRules,
    sources: Vec<(Id, SourceHealth)>,
}

impl<Id: Clone + Eq> Sources<Id> {
    /// Sources of which nothing is known at `now` (monotonic milliseconds).
    ///
    /// # Errors
    /// The rules break a rule, there are none or too many sources, or one comes twice.
    pub fn new(rules: SourceRules, ids: Vec<Id>, now: u64) -> Result<Self, PolicyError> {
        rules.check()?;
        check_ids(&ids)?;
        Ok(Self { rules, sources: ids.into_iter().map(|id| (id, SourceHealth::new(now))).collect() })
    }

    /// Takes the sample of a source made at `now`. False when there is no such source.
    pub fn sample(&mut self, id: &Id, now: u64, sample: &Sample) -> bool {
        let Some((_, source)) = self.sources.iter_mut().find(|(known, _)| known == id) else { return false };
        source.sample(&self.rules, now, sample);
        true
    }

    /// The sources as [`crate::choose()`] sees them at `now`.
    #[must_use]
    pub fn candidates(&self, now: u64) -> Vec<Candidate<Id>> {
        self.sources.iter().map(|(id, source)| source.candidate(id.clone(), now)).collect()
    }
}
