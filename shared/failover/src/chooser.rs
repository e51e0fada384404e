//! A choice that remembers: what it plays from, its voluntary switches and the operator's pin.
//!
//! The thin state around [`choose`]. A controller keeps one per channel and audience over the same
//! [`crate::Paths`], a node one per channel over its [`crate::Sources`].

use crate::{
    choose::{Candidate, Choice, Decision, Pin, Playing, Seen, Viewer, choose, serve},
    policy::{Policy, PolicyError},
    reason::Reason,
};

/// State of one choice. Memory: at most `voluntary_max` moments besides the policy.
#[derive(Debug, Clone)]
pub struct Chooser<Id> {
    policy: Policy<Id>,
    on: Option<Id>,
    voluntary: Vec<u64>,
    /// Something that played had to be left. Before that, going up the order completes the first choice, as sources come up
    /// one after another: it ends at the first in order, so it needs no limit.
    has_left: bool,
    pin: Option<Pin<Id>>,
}

impl<Id: Clone + Eq> Chooser<Id> {
    /// A choice not yet made.
    ///
    /// # Errors
    /// The policy breaks a rule.
    pub fn new(policy: Policy<Id>) -> Result<Self, PolicyError> {
        policy.check()?;
        Ok(Self::unchecked(policy))
    }

    /// Takes a policy as it is; the search runs broken ones on purpose.
    pub(crate) fn unchecked(policy: Policy<Id>) -> Self {
        Self { policy, on: None, voluntary: vec![], has_left: false, pin: None }
    }

    /// Goes on under another policy; what plays and the count of switches stay.
    ///
    /// # Errors
    /// The policy breaks a rule; the old one stays.
    pub fn set_policy(&mut self, policy: Policy<Id>) -> Result<(), PolicyError> {
        policy.check()?;
        self.policy = policy;
        Ok(())
    }

    /// The policy it runs by.
    #[must_use]
    pub fn policy(&self) -> &Policy<Id> {
        &self.policy
    }

    /// Sets or lifts the operator's pin.
    pub fn pin(&mut self, pin: Option<Pin<Id>>) {
        self.pin = pin;
    }

    /// What it plays from; none at the start and on the slate.
    #[must_use]
    pub fn on(&self) -> Option<&Id> {
        self.on.as_ref()
    }

    /// Decides at `now` (monotonic milliseconds) and takes the decision as done. To be asked after each
    /// observation and once a second, because pins and switch limits end without one.
    pub fn decide(&mut self, now: u64, candidates: &[Candidate<Id>], blind: bool) -> Decision<Id> {
        if self.pin.as_ref().is_some_and(|pin| pin.until_ms <= now) {
            self.pin = None;
        }
        let window_ms = self.policy.window_ms;
        self.voluntary.retain(|at| now.saturating_sub(*at) < window_ms);
        let voluntary = u8::try_from(self.voluntary.len()).unwrap_or(u8::MAX);
        let seen = Seen { now_ms: now, candidates, blind, pin: self.pin.as_ref() };
        let decision = choose(&self.policy, Playing { on: self.on.as_ref(), voluntary }, &seen);
        let on = match &decision.choice {
            Choice::Keep => return decision,
            Choice::MoveTo(id) => Some(id.clone()),
            Choice::Slate => None,
        };
        let from = std::mem::replace(&mut self.on, on);
        if !matches!(decision.reason, Reason::Returned { .. }) {
            self.has_left |= from.is_some();
        } else if self.has_left {
            self.voluntary.push(now);
        }
        decision
    }

    /// Where one viewer belongs after the last decision; none: the slate.
    #[must_use]
    pub fn serve(&self, now: u64, candidates: &[Candidate<Id>], blind: bool, viewer: &Viewer<'_, Id>) -> Option<Id> {
        let seen = Seen { now_ms: now, candidates, blind, pin: self.pin.as_ref() };
        serve(&self.policy, self.on.as_ref(), viewer, &seen)
    }

    /// Everything the future depends on, relative to `now`, for the exhaustive search (which sets no pin).
    #[cfg(test)]
    pub(crate) fn fingerprint(&self, now: u64) -> (Option<Id>, [u64; 3]) {
        let mut ages = [0; 3];
        let live = self.voluntary.iter().filter(|at| now - **at < self.policy.window_ms);
        // A search with a broken limit stops at the third switch: three ages tell all states apart.
        for (slot, at) in ages.iter_mut().zip(live.rev()) {
            *slot = 1 + now - at;
        }
        (self.on.clone(), ages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{choose::Health, fault::Fault};

    #[test]
    fn sources_that_come_up_one_after_another_use_up_no_switches() {
        let mut chooser = Chooser::new(Policy::new(vec!["satellite", "dtt", "tunnel"])).unwrap();
        let down = |id| Candidate { health: Health::Down, fault: Some(Fault::Gone), ..Candidate::good(id) };
        let good = Candidate::good;
        let starts = [
            [down("satellite"), down("dtt"), good("tunnel")],
            [down("satellite"), good("dtt"), good("tunnel")],
            [good("satellite"), good("dtt"), good("tunnel")],
        ];
        let mut now = 0;
        let mut play = |seen: &[Candidate<&'static str>]| {
            now += 1_000;
            chooser.decide(now, seen, false).choice
        };
        let moved = starts.each_ref().map(|seen| play(seen));
        assert_eq!(moved, ["tunnel", "dtt", "satellite"].map(Choice::MoveTo));
        // From the first loss on two returns are allowed within the window, and a third waits.
        let lost = [down("satellite"), good("dtt"), good("tunnel")];
        let returns = [(); 3].map(|()| {
            play(&lost);
            play(&starts[2])
        });
        assert_eq!(returns, [Choice::MoveTo("satellite"), Choice::MoveTo("satellite"), Choice::Keep]);
    }
}
