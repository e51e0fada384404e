//! The choice: what to play from, given what plays and what is seen.
//!
//! One pure function for sources on a node and origins on a controller. Order of the decision:
//!
//! 1. the operator's pin, while it lasts and its target is not down (or it is forced);
//! 2. blind: the last choice stands, and it is never the slate;
//! 3. the current one while it may go on, unless a better one is good and settled and there were fewer voluntary
//!    switches in the window than allowed;
//! 4. any other that is good, settled ones first, in the policy's order;
//! 5. the current one with a torn picture, an untested one, another with a torn picture;
//! 6. the slate.
//!
//! It remembers nothing ([`crate::Chooser`] does) and moves no viewer ([`serve`] says where one belongs).

use serde::{Deserialize, Serialize};

use crate::{fault::Fault, policy::Policy, reason::Reason};

/// How a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Nothing is known yet.
    Untested,
    /// It may play and be moved to.
    Good,
    /// It may go on playing, but is bad at this moment: nobody moves to it.
    Shaky,
    /// It must be left.
    Down,
}

/// One candidate as seen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate<Id> {
    /// Which.
    pub id: Id,
    /// How it is.
    pub health: Health,
    /// For how long it is so, milliseconds.
    pub lasting_ms: u64,
    /// How long it must still be good before it is preferred; 0 when it is settled.
    pub soak_left_ms: u64,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// Bad as it is, people would rather watch it than the slate.
    pub watchable: bool,
}

impl<Id> Candidate<Id> {
    /// One with nothing wrong, good since now and settled.
    pub const fn good(id: Id) -> Self {
        Self { id, health: Health::Good, lasting_ms: 0, soak_left_ms: 0, fault: None, watchable: false }
    }

    fn settled(&self) -> bool {
        self.health == Health::Good && self.soak_left_ms == 0
    }

    fn last_resort(&self) -> bool {
        matches!(self.health, Health::Shaky | Health::Down) && self.watchable
    }
}

/// An operator's order, always with an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin<Id> {
    /// Where to.
    pub id: Id,
    /// Monotonic milliseconds of the machine that obeys it.
    pub until_ms: u64,
    /// Even if it is down.
    pub forced: bool,
}

/// All that a decision looks at besides the policy and what plays.
#[derive(Debug, Clone)]
pub struct Seen<'a, Id> {
    /// Monotonic milliseconds.
    pub now_ms: u64,
    /// Every candidate; one that is missing here counts as gone.
    pub candidates: &'a [Candidate<Id>],
    /// Whether the observer itself is cut off.
    pub blind: bool,
    /// The operator's pin, if there is one.
    pub pin: Option<&'a Pin<Id>>,
}

/// What plays now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playing<'a, Id> {
    /// The current candidate; none at the start and on the slate.
    pub on: Option<&'a Id>,
    /// Voluntary switches within the policy's window.
    pub voluntary: u8,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "choice", content = "id", rename_all = "kebab-case")]
pub enum Choice<Id> {
    /// Go on with what plays.
    Keep,
    /// Play from this one.
    MoveTo(Id),
    /// Nothing is left: show the slate.
    Slate,
}

/// A choice and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision<Id> {
    /// What to do.
    pub choice: Choice<Id>,
    /// Why, with the measurements behind it.
    pub reason: Reason<Id>,
}

/// Decides what to play from.
///
/// ```
/// use headend_failover::{Candidate, Choice, Fault, Health, Playing, Policy, ProbeFault, Seen, choose};
///
/// let policy = Policy::new(vec!["caribbean", "france"]);
/// let fault = Fault::Probes { failed: 3, last: ProbeFault::TimedOut };
/// let seen = [
///     Candidate { health: Health::Down, soak_left_ms: 300_000, fault: Some(fault), ..Candidate::good("caribbean") },
///     Candidate::good("france"),
/// ];
/// let seen = Seen { now_ms: 90_000, candidates: &seen, blind: false, pin: None };
/// let decision = choose(&policy, Playing { on: Some(&"caribbean"), voluntary: 0 }, &seen);
/// assert_eq!(decision.choice, Choice::MoveTo("france"));
/// assert_eq!(decision.reason.to_string(), "caribbean is down: 3 probes failed in a row, the last timed out");
/// ```
#[must_use]
pub fn choose<Id: Clone + Eq>(policy: &Policy<Id>, playing: Playing<'_, Id>, seen: &Seen<'_, Id>) -> Decision<Id> {
    let view = View { policy, playing, seen };
    if let Some(pin) = view.pin() {
        let reason = Reason::Pinned { id: pin.id.clone(), left_ms: pin.until_ms - seen.now_ms };
        return view.go(&pin.id, reason);
    }
    if seen.blind {
        return view.blind();
    }
    match view.playing.on.and_then(|on| view.find(on)) {
        Some(current) if current.health != Health::Down => view.stay(current),
        current => view.leave(current),
    }
}

/// A viewer who asks for a channel, or for the next playlist of a running session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer<'a, Id> {
    /// The origin the session runs on; none for a new one.
    pub on: Option<&'a Id>,
    /// The origin this box says has failed it, and when (monotonic milliseconds).
    pub failed: Option<(&'a Id, u64)>,
}

/// Where one viewer belongs, given the `current` choice for new viewers: a running session stays on its origin
/// while that is up (a return to the preferred origin moves nobody), a box is kept from the origin that
/// failed it for the policy's penalty if there is another, and a pin holds for all. None: the slate.
#[must_use]
pub fn serve<Id: Clone + Eq>(
    policy: &Policy<Id>,
    current: Option<&Id>,
    viewer: &Viewer<'_, Id>,
    seen: &Seen<'_, Id>,
) -> Option<Id> {
    let view = View { policy, playing: Playing { on: current, voluntary: 0 }, seen };
    if let Some(pin) = view.pin() {
        return Some(pin.id.clone());
    }
    let failed = viewer.failed.as_ref().filter(|(_, at)| seen.now_ms.saturating_sub(*at) < policy.box_penalty_ms);
    let failed = failed.map(|(id, _)| *id);
    let up = |id: &&Id| {
        let health = view.find(id).map(|c| c.health);
        matches!(health, Some(Health::Good | Health::Shaky | Health::Untested)) || (seen.blind && health.is_some())
    };
    let spared = |id: &&Id| Some(*id) != failed;
    let stay = viewer.on.filter(up).filter(spared);
    let other = || policy.order.iter().filter(spared).find(up);
    stay.or_else(|| current.filter(spared)).or_else(other).or(current).cloned()
}

/// The arguments of one decision.
struct View<'a, Id> {
    policy: &'a Policy<Id>,
    playing: Playing<'a, Id>,
    seen: &'a Seen<'a, Id>,
}

impl<'a, Id: Clone + Eq> View<'a, Id> {
    fn find(&self, id: &Id) -> Option<&'a Candidate<Id>> {
        self.seen.candidates.iter().find(|c| c.id == *id)
    }

    /// The candidates in the policy's order.
    fn ranked(&self) -> impl Iterator<Item = &'a Candidate<Id>> + use<'a, Id> {
        let candidates = self.seen.candidates;
        self.policy.order.iter().filter_map(move |id| candidates.iter().find(|c| c.id == *id))
    }

    fn go(&self, id: &Id, reason: Reason<Id>) -> Decision<Id> {
        let choice = if self.playing.on == Some(id) { Choice::Keep } else { Choice::MoveTo(id.clone()) };
        Decision { choice, reason }
    }

    /// The pin if it is to be obeyed now.
    fn pin(&self) -> Option<&'a Pin<Id>> {
        let pin = self.seen.pin.filter(|pin| self.seen.now_ms < pin.until_ms)?;
        let target = self.find(&pin.id)?;
        (pin.forced || target.health != Health::Down).then_some(pin)
    }

    /// Nothing can be learnt now. The first that was not down before is the best guess when none was chosen.
    fn blind(&self) -> Decision<Id> {
        let guess = || self.ranked().find(|c| c.health != Health::Down).or_else(|| self.ranked().next());
        match self.playing.on.and_then(|on| self.find(on)).or_else(guess) {
            Some(candidate) => self.go(&candidate.id, Reason::Blind),
            None => self.slate(),
        }
    }

    /// The current one may go on; is there a reason to move all the same?
    fn stay(&self, current: &Candidate<Id>) -> Decision<Id> {
        let better = || self.ranked().take_while(|c| c.id != current.id);
        if let Some(target) = better().find(|c| c.settled()) {
            let to = target.id.clone();
            if self.playing.voluntary < self.policy.voluntary_max {
                return self.go(&target.id, Reason::Returned { to, up_for_ms: target.lasting_ms });
            }
            let (switches, window_ms) = (self.playing.voluntary, self.policy.window_ms);
            return self.go(&current.id, Reason::SwitchLimit { better: to, switches, window_ms });
        }
        let on = current.id.clone();
        let reason = if let Some(soaking) = better().find(|c| c.health == Health::Good) {
            Reason::Soaking { better: soaking.id.clone(), left_ms: soaking.soak_left_ms }
        } else if let Some(first) = better().next() {
            Reason::OnBackup { on, better: first.id.clone(), fault: first.fault }
        } else {
            Reason::Preferred { on }
        };
        self.go(&current.id, reason)
    }

    /// There is no current one, or it must be left.
    fn leave(&self, current: Option<&Candidate<Id>>) -> Decision<Id> {
        let others = || self.ranked().filter(|c| Some(&c.id) != self.playing.on);
        if let Some(target) = others().find(|c| c.settled()).or_else(|| others().find(|c| c.health == Health::Good)) {
            let reason = match (self.playing.on, current) {
                (Some(from), current) => Reason::Lost { from: from.clone(), fault: current.and_then(|c| c.fault) },
                (None, _) => Reason::Available { to: target.id.clone() },
            };
            return self.go(&target.id, reason);
        }
        let torn = |c: &&Candidate<Id>| c.last_resort();
        if let Some(current) = current.filter(torn) {
            return self.last_resort(current);
        }
        if let Some(untested) = others().find(|c| c.health == Health::Untested) {
            return self.go(&untested.id, Reason::Untested { to: untested.id.clone() });
        }
        others().find(torn).map_or_else(|| self.slate(), |target| self.last_resort(target))
    }

    fn last_resort(&self, target: &Candidate<Id>) -> Decision<Id> {
        self.go(&target.id, Reason::LastResort { on: target.id.clone(), fault: target.fault })
    }

    fn slate(&self) -> Decision<Id> {
        let faults = self.ranked().map(|c| (c.id.clone(), c.fault)).collect();
        Decision { choice: Choice::Slate, reason: Reason::NothingUp { faults } }
    }
}

#[cfg(test)]
mod tests;
