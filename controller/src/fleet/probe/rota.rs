//! Which channels of an origin are pulled in this round. Pure.
//!
//! An origin with 300 channels cannot be pulled whole every 2 s. Each round takes the bad ones first, because
//! three failures in a row are needed to leave one and one good probe to come back, and then the next few in
//! turn. In between a channel is as good as its last pull and its origin's liveness.

use std::{collections::BTreeMap, time::Duration};

use headend_failover::ProbeFault;
use headend_wire::ChannelName;

use super::verdict::Progress;

/// Channels pulled in one round because they were bad.
const BAD_MAX: usize = 4;
/// Channels pulled in one round because it is their turn.
const TURN_MAX: usize = 4;

/// What is known of one channel on one origin.
#[derive(Debug, Clone, Copy, Default)]
struct Pulled {
    last: Option<Result<(), ProbeFault>>,
    progress: Progress,
}

/// The channels of one origin.
#[derive(Debug, Clone, Default)]
pub struct Rota {
    channels: BTreeMap<ChannelName, Pulled>,
    turn: usize,
    bad_turn: usize,
}

impl Rota {
    /// Goes on with these channels.
    pub fn set_channels(&mut self, names: impl Iterator<Item = ChannelName>) {
        let mut old = std::mem::take(&mut self.channels);
        self.channels = names.map(|name| (name.clone(), old.remove(&name).unwrap_or_default())).collect();
    }

    /// The channels of the next round.
    #[must_use]
    pub fn next_round(&mut self) -> Vec<ChannelName> {
        let is_bad = |pulled: &Pulled| !matches!(pulled.last, Some(Ok(())));
        let (bad, good): (Vec<_>, Vec<_>) = self.channels.iter().partition(|(_, pulled)| is_bad(pulled));
        let mut round = take_turns(&bad, &mut self.bad_turn, BAD_MAX);
        round.extend(take_turns(&good, &mut self.turn, TURN_MAX));
        round
    }

    /// Takes the outcome of a pull: the newest number and target duration, or a fault. Gives the verdict with
    /// the channel's progress in it; none for a channel that left meanwhile.
    pub fn pulled(
        &mut self,
        channel: &ChannelName,
        outcome: Result<(u64, u32), ProbeFault>,
        now: Duration,
    ) -> Option<Result<(), ProbeFault>> {
        let pulled = self.channels.get_mut(channel)?;
        let verdict = outcome.and_then(|(number, target_secs)| pulled.progress.look(number, target_secs, now));
        pulled.last = Some(verdict);
        Some(verdict)
    }

    /// The channels whose last pull was good and that are not in `round`: the origin's liveness is news of
    /// them.
    pub fn resting<'a>(&'a self, round: &'a [ChannelName]) -> impl Iterator<Item = &'a ChannelName> {
        self.channels
            .iter()
            .filter(|(name, pulled)| matches!(pulled.last, Some(Ok(()))) && !round.contains(name))
            .map(|(name, _)| name)
    }

    /// Every channel.
    pub fn names(&self) -> impl Iterator<Item = &ChannelName> {
        self.channels.keys()
    }
}

fn take_turns(from: &[(&ChannelName, &Pulled)], turn: &mut usize, most: usize) -> Vec<ChannelName> {
    if from.is_empty() {
        return Vec::new();
    }
    let count = most.min(from.len());
    let start = *turn % from.len();
    *turn = start + count;
    (0..count).map(|step| from[(start + step) % from.len()].0.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rota(count: usize) -> Rota {
        let mut rota = Rota::default();
        rota.set_channels((0..count).map(|n| format!("c{n}").parse().unwrap()));
        rota
    }

    #[test]
    fn everyone_has_a_turn_and_the_bad_come_each_round() {
        let mut rota = rota(10);
        let now = Duration::ZERO;
        for _ in 0..3 {
            for name in rota.next_round() {
                rota.pulled(&name, Ok((1, 2)), now);
            }
        }
        assert_eq!(rota.resting(&[]).count(), 10, "all were pulled within three rounds");
        let bad: ChannelName = "c3".parse().unwrap();
        rota.pulled(&bad, Err(ProbeFault::TimedOut), now);
        for _ in 0..4 {
            let round = rota.next_round();
            assert_eq!((round[0].clone(), round.len()), (bad.clone(), 5));
            assert!(!rota.resting(&round).any(|name| *name == bad));
        }
    }

    #[test]
    fn a_round_is_bounded_and_an_empty_origin_has_none() {
        assert_eq!(rota(300).next_round().len(), BAD_MAX);
        assert!(rota(0).next_round().is_empty());
    }

    #[test]
    fn a_channel_that_stays_keeps_its_progress() {
        let mut rota = rota(2);
        let name: ChannelName = "c0".parse().unwrap();
        rota.pulled(&name, Ok((5, 2)), Duration::ZERO);
        rota.set_channels([name.clone()].into_iter());
        let stalled = rota.pulled(&name, Ok((5, 2)), Duration::from_secs(60)).unwrap();
        assert_eq!(stalled, Err(ProbeFault::Stalled { for_ms: 60_000 }));
        assert!(rota.pulled(&"c1".parse().unwrap(), Ok((1, 2)), Duration::ZERO).is_none());
    }
}
