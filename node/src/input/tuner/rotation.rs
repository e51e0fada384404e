//! Which spare tuner is proved next for which multiplex, and when a proof is over.
//!
//! Pure: tuners, wanted multiplexes and monotonic milliseconds in, one [`Pair`] at a time out. A backup that was never
//! tried is a hope: every tuner that nobody uses is tuned, one after another, to every multiplex that channels want and
//! whose antenna hangs on it. Never tried comes first, then what was tried longest ago. A proof shows lock, a flow of valid
//! PATs and every wanted service ([`Watch`]). Who needs the tuner takes it away at once; that is [`super::arbiter`]'s.

use std::collections::BTreeMap;

use super::lock::TunerState;
use super::mux::DvbFeed;
use super::report::Verdict;

/// How long a proof that failed is left alone: a tuner that fails is told of, and looked at again soon.
pub const RETRY_MS: u64 = 60_000;
/// How long a proof that somebody interrupted is left alone.
pub const INTERRUPTED_MS: u64 = 5_000;
/// Between two proofs, for the power supply and the reader of a log.
pub const PAUSE_MS: u64 = 2_000;

/// A lock must be there after this: three tunes of the ladder.
pub const LOCK_MS: u64 = 10_000;
/// And valid PATs so long after the lock.
pub const DATA_MS: u64 = 4_000;
/// And every wanted service so long after the first PAT: maps repeat each half second, in practice each two.
pub const SERVICES_MS: u64 = 5_000;
/// All of it must last so long.
pub const STEADY_MS: u64 = 1_000;

/// A tuner on a multiplex.
pub type Pair = (usize, DvbFeed);

/// A tuner that may be proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Its index in the node's file.
    pub tuner: usize,
    /// Antennas that hang on it.
    pub antennas: Vec<usize>,
}

/// A multiplex that channels want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub mux: DvbFeed,
    /// Its antenna's index in the node's file.
    pub antenna: usize,
}

/// How a proof ended, for the next turn of this pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is good for a whole round.
    Proven,
    /// It is tried again soon.
    Failed,
    /// Somebody needed the tuner.
    Interrupted,
}

/// The order of proofs.
#[derive(Debug)]
pub struct Rotation {
    every_ms: u64,
    /// When each pair was tried last, and from when on it is due again.
    tried: BTreeMap<Pair, (u64, u64)>,
    rest_ms: u64,
}

impl Rotation {
    /// Proves each pair once in `every_ms`; the first not before `from_ms`.
    #[must_use]
    pub fn new(every_ms: u64, from_ms: u64) -> Self {
        Self { every_ms, tried: BTreeMap::new(), rest_ms: from_ms }
    }

    /// What to prove now; nothing while none is due.
    pub fn next(&mut self, now_ms: u64, spares: &[Spare], wanted: &[Wanted]) -> Option<Pair> {
        // What is no longer wanted is forgotten, and with it the memory it takes.
        self.tried.retain(|(_, mux), _| wanted.iter().any(|wanted| wanted.mux == *mux));
        if now_ms < self.rest_ms {
            return None;
        }
        let pairs = spares.iter().flat_map(|spare| {
            let fits = |wanted: &&Wanted| spare.antennas.contains(&wanted.antenna);
            wanted.iter().filter(fits).map(|wanted| (spare.tuner, wanted.mux.clone()))
        });
        let due = pairs.filter(|pair| self.tried.get(pair).is_none_or(|(_, due_ms)| now_ms >= *due_ms));
        due.min_by_key(|pair| self.tried.get(pair).map(|(at_ms, _)| *at_ms))
    }

    /// Remembers how a proof ended.
    pub fn done(&mut self, now_ms: u64, pair: Pair, ending: Ending) {
        let wait_ms = match ending {
            Ending::Proven => self.every_ms,
            Ending::Failed => RETRY_MS.min(self.every_ms),
            Ending::Interrupted => INTERRUPTED_MS.min(self.every_ms),
        };
        self.tried.insert(pair, (now_ms, now_ms + wait_ms));
        self.rest_ms = now_ms + PAUSE_MS;
    }
}

/// Watches one proof.
#[derive(Debug)]
pub struct Watch {
    began_ms: u64,
    locked_ms: Option<u64>,
    data_ms: Option<u64>,
    whole_ms: Option<u64>,
}

impl Watch {
    /// A proof that begins now.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self { began_ms: now_ms, locked_ms: None, data_ms: None, whole_ms: None }
    }

    /// What the tuner shows at `now_ms`; `whole` when every wanted service is there. A verdict ends the proof.
    pub fn look(&mut self, now_ms: u64, state: TunerState, whole: bool) -> Option<Verdict> {
        let locked = matches!(state, TunerState::Locked | TunerState::LockWithoutData | TunerState::Receiving);
        let receiving = state == TunerState::Receiving;
        let follow = |since: &mut Option<u64>, holds: bool| *since = holds.then(|| since.unwrap_or(now_ms));
        follow(&mut self.locked_ms, locked);
        follow(&mut self.data_ms, receiving);
        follow(&mut self.whole_ms, receiving && whole);
        if self.whole_ms.is_some_and(|since| now_ms >= since + STEADY_MS) {
            return Some(Verdict::Proven);
        }
        let over = |since: Option<u64>, patience_ms: u64| since.is_some_and(|since| now_ms >= since + patience_ms);
        if over(self.data_ms, SERVICES_MS) && self.whole_ms.is_none() {
            return Some(Verdict::ServicesMissing);
        }
        if over(self.locked_ms, DATA_MS) && self.data_ms.is_none() {
            return Some(Verdict::NoData);
        }
        // A lock or a flow that comes and goes is no backup either.
        if over(Some(self.began_ms), LOCK_MS + DATA_MS + SERVICES_MS) {
            return Some(if receiving { Verdict::ServicesMissing } else { Verdict::NoData });
        }
        if over(Some(self.began_ms), LOCK_MS) && !locked {
            let absent = matches!(state, TunerState::Absent | TunerState::Opening);
            return Some(if absent { Verdict::NoDevice } else { Verdict::NoLock });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::tuner::mux::tests::feed;

    const EVERY: u64 = 600_000;

    fn mux(number: u16) -> DvbFeed {
        feed(&format!("dvb://a?system=t&frequency={}MHz", 474 + 8 * number)).unwrap()
    }

    fn wanted(list: &[(u16, usize)]) -> Vec<Wanted> {
        list.iter().map(|(number, antenna)| Wanted { mux: mux(*number), antenna: *antenna }).collect()
    }

    fn spares(list: &[(usize, &[usize])]) -> Vec<Spare> {
        list.iter().map(|(tuner, antennas)| Spare { tuner: *tuner, antennas: antennas.to_vec() }).collect()
    }

    #[test]
    fn every_spare_tuner_is_tried_with_every_multiplex_it_could_be_needed_for() {
        let (spares, wanted) = (spares(&[(1, &[0]), (2, &[0, 1])]), wanted(&[(0, 0), (1, 1)]));
        let mut rotation = Rotation::new(EVERY, 10);
        assert_eq!(rotation.next(9, &spares, &wanted), None);
        let (mut now, mut order) = (10, vec![]);
        while let Some(pair) = rotation.next(now, &spares, &wanted) {
            order.push(format!("{}:{}", pair.0, if pair.1 == mux(0) { 0 } else { 1 }));
            rotation.done(now, pair, Ending::Proven);
            assert_eq!(rotation.next(now, &spares, &wanted), None, "a pause between two");
            now += PAUSE_MS;
        }
        assert_eq!(order, ["1:0", "2:0", "2:1"]);
        // A round later they come again, the oldest first.
        let pair = rotation.next(10 + EVERY, &spares, &wanted).unwrap();
        assert_eq!(pair.0, 1);
    }

    #[test]
    fn what_failed_and_what_was_interrupted_come_back_sooner() {
        let (spares, wanted) = (spares(&[(0, &[0])]), wanted(&[(0, 0), (1, 0)]));
        let mut rotation = Rotation::new(EVERY, 0);
        rotation.done(0, (0, mux(0)), Ending::Failed);
        rotation.done(0, (0, mux(1)), Ending::Interrupted);
        assert_eq!(rotation.next(INTERRUPTED_MS - 1, &spares, &wanted), None);
        assert_eq!(rotation.next(INTERRUPTED_MS, &spares, &wanted), Some((0, mux(1))));
        rotation.done(INTERRUPTED_MS, (0, mux(1)), Ending::Proven);
        assert_eq!(rotation.next(RETRY_MS, &spares, &wanted), Some((0, mux(0))));
    }

    #[test]
    fn what_nobody_wants_any_more_is_forgotten() {
        let mut rotation = Rotation::new(EVERY, 0);
        rotation.done(0, (0, mux(0)), Ending::Proven);
        assert_eq!(rotation.next(9_000, &spares(&[(0, &[0])]), &[]), None);
        assert!(rotation.tried.is_empty());
    }

    /// Looks each 100 ms at what `at` shows, and says when and how it ended.
    fn check(at: impl Fn(u64) -> (TunerState, bool), want: (u64, Verdict)) {
        let mut watch = Watch::new(0);
        let end = (0..400).map(|step| step * 100).find_map(|now| {
            let (state, whole) = at(now);
            watch.look(now, state, whole).map(|verdict| (now, verdict))
        });
        assert_eq!(end, Some(want));
    }

    #[test]
    fn a_proof_ends_with_what_it_found() {
        use TunerState::{Absent, LockWithoutData, NoLock, Receiving};
        check(|now| if now < 700 { (NoLock, false) } else { (Receiving, true) }, (1_700, Verdict::Proven));
        check(|_| (NoLock, false), (LOCK_MS, Verdict::NoLock));
        check(|_| (Absent, false), (LOCK_MS, Verdict::NoDevice));
        check(|_| (LockWithoutData, false), (DATA_MS, Verdict::NoData));
        check(|_| (Receiving, false), (SERVICES_MS, Verdict::ServicesMissing));
        // A lock that comes and goes each half second.
        let flicker = |now: u64| if (now / 500).is_multiple_of(2) { (Receiving, true) } else { (NoLock, false) };
        check(flicker, (10_500, Verdict::NoLock));
    }

    proptest! {
        #[test]
        fn a_proof_always_ends(states in proptest::collection::vec((0..5_u8, any::<bool>()), 200)) {
            let mut watch = Watch::new(0);
            let ended = (0_u64..).zip(states).any(|(step, (state, whole))| {
                let state = [TunerState::Absent, TunerState::NoLock, TunerState::Locked, TunerState::LockWithoutData,
                    TunerState::Receiving][usize::from(state)];
                watch.look(step * 100, state, whole).is_some()
            });
            prop_assert!(ended);
        }

        #[test]
        fn nothing_is_starved(endings in proptest::collection::vec(0..3_u8, 60)) {
            let (spares, wanted) = (spares(&[(0, &[0]), (1, &[0])]), wanted(&[(0, 0), (1, 0), (2, 0)]));
            let (mut rotation, mut seen, mut now) = (Rotation::new(EVERY, 0), std::collections::BTreeSet::new(), 0);
            for ending in endings {
                now += INTERRUPTED_MS;
                let Some(pair) = rotation.next(now, &spares, &wanted) else { continue };
                seen.insert(pair.clone());
                rotation.done(now, pair, [Ending::Proven, Ending::Failed, Ending::Interrupted][usize::from(ending)]);
            }
            prop_assert_eq!(seen.len(), 6);
        }
    }
}
