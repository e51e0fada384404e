//! Who gives up what when a disk runs full: pure.
//!
//! Depth and bytes of a channel are its own affair. Room on a disk is shared: when it runs short, the channel that holds
//! the largest part of what it wishes for gives up its oldest slice, again and again, so that all channels keep about the
//! same part of their wish and none is emptied for another. A channel that asked for an emptier disk than the others
//! gives way first, but not below the guaranteed minimum. The newest slice of a channel and locked programmes stay.

/// Seconds of a slice, the unit of deletion.
pub(crate) const SLICE_SECS: u64 = 600;

/// A slice that a channel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Unix seconds of its start.
    pub(crate) at: u64,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Which disk it lies on.
    pub(crate) disk: usize,
    /// A programme in it is locked.
    pub(crate) locked: bool,
}

/// A channel's archive and what is wished for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Seconds wished for.
    pub(crate) depth_secs: u64,
    /// How full a disk may be for it.
    pub(crate) disk_percent: u8,
    /// The most bytes over all disks.
    pub(crate) bytes_max: Option<u64>,
    /// Nobody wants this channel recorded any more: it has no minimum.
    pub(crate) unwanted: bool,
    /// Oldest first.
    pub(crate) slices: Vec<Held>,
}

/// The disk that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Which.
    pub(crate) disk: usize,
    /// Its size, bytes.
    pub(crate) total: u64,
    /// What is not free, bytes, whoever uses it.
    pub(crate) used: u64,
    /// Bytes that are needed now, whatever the shares say.
    pub(crate) need: u64,
}

/// What is to be deleted: channel by index, and a slice's start; in this order. Afterwards the disk is as empty as its
/// channels ask for, or there is nothing left that may go. `guaranteed_secs` is what a share of the disk never takes.
pub(crate) fn plan(room: Room, channels: &[Holding], now: u64, guaranteed_secs: u64) -> Vec<(usize, u64)> {
    let left = channels.iter().map(|channel| Left::new(channel, room.disk)).collect();
    let mut state = State { left, gone: vec![], used: room.used };
    for (index, channel) in channels.iter().enumerate() {
        let oldest = now.saturating_sub(channel.depth_secs);
        while let Some(found) = state.left[index].oldest() {
            let left = &state.left[index];
            let deep = found.1.at + SLICE_SECS <= oldest;
            let many = channel.bytes_max.is_some_and(|max| left.bytes > max) && !left.older_elsewhere(found.1.at);
            if !(deep || many) {
                break;
            }
            state.give_up(index, found);
        }
    }
    let floor = room.used.saturating_sub(room.need);
    let mut percents: Vec<u8> = channels.iter().map(|channel| channel.disk_percent).collect();
    percents.sort_unstable();
    let highest = percents.last().copied().unwrap_or(100);
    percents.dedup();
    for percent in percents {
        // The last round is everybody's, and goes on below the minimum: a full disk would record nothing at all.
        let last = percent == highest;
        let limit = share(room.total, percent);
        let limit = if last && room.need > 0 { limit.min(floor) } else { limit };
        while state.used > limit {
            let candidate = state.richest(channels, |index| {
                let secs = state.left[index].secs();
                last || channels[index].disk_percent <= percent && (channels[index].unwanted || secs > guaranteed_secs)
            });
            let Some((index, found)) = candidate else { break };
            state.give_up(index, found);
        }
    }
    state.gone
}

fn share(total: u64, percent: u8) -> u64 {
    u64::try_from(u128::from(total) * u128::from(percent) / 100).unwrap_or(total)
}

/// What a channel has left.
struct Left<'a> {
    slices: &'a [Held],
    disk: usize,
    /// Slices of this disk before this one are gone or locked.
    next: usize,
    gone: usize,
    bytes: u64,
}

struct State<'a> {
    left: Vec<Left<'a>>,
    gone: Vec<(usize, u64)>,
    used: u64,
}

impl<'a> Left<'a> {
    fn new(channel: &'a Holding, disk: usize) -> Self {
        let bytes = channel.slices.iter().map(|slice| slice.bytes).sum();
        Self { slices: &channel.slices, disk, next: 0, gone: 0, bytes }
    }

    /// The oldest slice of this disk that may go, and its place: never the newest of all.
    fn oldest(&self) -> Option<(usize, Held)> {
        let open = |slice: &Held| slice.disk == self.disk && !slice.locked;
        let candidates = self.slices.iter().enumerate().take(self.slices.len().saturating_sub(1)).skip(self.next);
        candidates.map(|(at, slice)| (at, *slice)).find(|(_, slice)| open(slice))
    }

    /// Another disk has something older that may go: its turn comes first.
    fn older_elsewhere(&self, than: u64) -> bool {
        self.slices.iter().any(|slice| slice.at < than && slice.disk != self.disk && !slice.locked)
    }

    fn secs(&self) -> u64 {
        (self.slices.len() - self.gone) as u64 * SLICE_SECS
    }
}

impl State<'_> {
    fn give_up(&mut self, index: usize, (at, slice): (usize, Held)) {
        let left = &mut self.left[index];
        (left.next, left.gone) = (at + 1, left.gone + 1);
        left.bytes = left.bytes.saturating_sub(slice.bytes);
        self.used = self.used.saturating_sub(slice.bytes);
        self.gone.push((index, slice.at));
    }

    /// The channel that holds the largest part of its wish and may give up a slice; unwanted ones come first.
    fn richest(&self, channels: &[Holding], may: impl Fn(usize) -> bool) -> Option<(usize, (usize, Held))> {
        let candidates = (0..channels.len()).filter(|index| may(*index));
        let candidates = candidates.filter_map(|index| Some((index, self.left[index].oldest()?)));
        candidates.max_by_key(|(index, (_, slice))| {
            let part = self.left[*index].secs().saturating_mul(1_000_000) / channels[*index].depth_secs.max(1);
            (channels[*index].unwanted, part, std::cmp::Reverse(slice.at), std::cmp::Reverse(*index))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_400;

    /// A channel of so many slices of so many bytes, up to now.
    fn holding(depth_secs: u64, percent: u8, slices: u64, bytes: u64) -> Holding {
        let slice = |back: u64| Held { at: NOW - (back + 1) * SLICE_SECS, bytes, disk: 0, locked: false };
        let slices = (0..slices).rev().map(slice).collect();
        Holding { depth_secs, disk_percent: percent, bytes_max: None, unwanted: false, slices }
    }

    fn room(total: u64, used: u64) -> Room {
        Room { disk: 0, total, used, need: 0 }
    }

    fn check(room: Room, channels: &[Holding], guaranteed_secs: u64, want: &[(usize, u64)]) {
        let mut gone = vec![0_u64; channels.len()];
        plan(room, channels, NOW, guaranteed_secs).iter().for_each(|(index, _)| gone[*index] += 1);
        let got: Vec<(usize, u64)> = gone.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn depth_and_bytes_are_a_channels_own() {
        check(room(1_000, 10), &[holding(3_600, 95, 10, 1)], 0, &[(0, 4)]);
        let few = Holding { bytes_max: Some(5), ..holding(86_400, 95, 10, 1) };
        check(room(1_000, 10), &[few, holding(86_400, 95, 10, 1)], 0, &[(0, 5)]);
    }

    #[test]
    fn room_is_shared_by_part_of_the_wish() {
        // Two channels wish for the same; one has held it for longer.
        let two = [holding(36_000, 95, 40, 10), holding(36_000, 95, 20, 10)];
        check(room(600, 600), &two, 0, &[(0, 3)]);
        // The one with the deeper wish keeps more: 40 of 80 is the same part as 20 of 40.
        let two = [holding(48_000, 50, 40, 10), holding(24_000, 50, 20, 10)];
        check(room(600, 600), &two, 0, &[(0, 20), (1, 10)]);
    }

    #[test]
    fn a_lower_share_gives_way_but_keeps_its_minimum() {
        let two = [holding(36_000, 50, 30, 10), holding(36_000, 90, 30, 10)];
        check(room(1_000, 700), &two, 3_600, &[(0, 20)]);
        check(room(1_000, 700), &two, 6_600, &[(0, 19)]);
        // The disk is over everybody's share: now all give, and the minimum is no more than a fair part.
        check(room(1_000, 1_000), &two, 1_000_000, &[(0, 5), (1, 5)]);
    }

    #[test]
    fn a_full_disk_makes_room_at_once() {
        let one = [holding(86_400, 95, 10, 10)];
        check(Room { need: 25, ..room(1_000_000, 500) }, &one, 0, &[(0, 3)]);
    }

    #[test]
    fn locked_and_newest_stay_and_unwanted_goes_first() {
        let mut locked = holding(3_600, 95, 12, 1);
        locked.slices[0].locked = true;
        locked.slices[3].locked = true;
        check(room(1_000, 10), &[locked], 0, &[(0, 4)]);
        check(room(10, 1_000), &[holding(3_600, 1, 3, 1)], 0, &[(0, 2)]);
        let unwanted = Holding { unwanted: true, ..holding(86_400, 95, 5, 10) };
        check(room(100, 120), &[unwanted, holding(86_400, 95, 50, 10)], 3_600, &[(0, 3)]);
    }

    fn channels() -> impl Strategy<Value = Vec<Holding>> {
        let slice = (0_u64..50, any::<bool>(), 0_usize..2);
        let channel = (600_u64..200_000, 1_u8..100, prop::option::of(0_u64..500), prop::collection::vec(slice, 0..40));
        let channel = channel.prop_map(|(depth_secs, disk_percent, bytes_max, slices)| {
            let count = slices.len() as u64;
            let slice = |(index, (bytes, locked, disk))| {
                let at = NOW - (count - index as u64) * SLICE_SECS;
                Held { at, bytes, disk, locked: locked && index % 5 == 0 }
            };
            let slices = slices.into_iter().enumerate().map(slice).collect();
            Holding { depth_secs, disk_percent, bytes_max, unwanted: false, slices }
        });
        prop::collection::vec(channel, 0..6)
    }

    proptest! {
        #[test]
        fn none_is_emptied_and_what_goes_was_the_oldest(
            channels in channels(), total in 1_u64..2_000, used in 0_u64..3_000, need in 0_u64..300, guaranteed in 0_u64..20_000,
        ) {
            let room = Room { disk: 0, total, used, need };
            let gone = plan(room, &channels, NOW, guaranteed);
            for (index, channel) in channels.iter().enumerate() {
                let mine: Vec<u64> = gone.iter().filter(|(of, _)| *of == index).map(|(_, at)| *at).collect();
                prop_assert!(channel.slices.is_empty() || mine.len() < channel.slices.len(), "a channel was emptied");
                let slice = |at: u64| channel.slices.iter().find(|slice| slice.at == at);
                prop_assert!(mine.iter().all(|at| slice(*at).is_some_and(|s| !s.locked && s.disk == 0)));
                let open: Vec<u64> = channel.slices.iter().filter(|slice| !slice.locked && slice.disk == 0).map(|slice| slice.at).collect();
                prop_assert!(open.starts_with(&mine), "something younger went before something older");
            }
        }

        #[test]
        fn no_more_goes_than_must(channels in channels(), total in 1_u64..2_000, used in 0_u64..3_000) {
            let deep: Vec<Holding> = channels.into_iter()
                .map(|channel| Holding { depth_secs: 10_000_000, bytes_max: None, disk_percent: 80, ..channel }).collect();
            let gone = plan(room(total, used), &deep, NOW, 0);
            let bytes = |(index, at): &(usize, u64)| deep[*index].slices.iter().find(|slice| slice.at == *at).unwrap().bytes;
            if let Some((_, before)) = gone.split_last() {
                let freed: u64 = before.iter().map(bytes).sum();
                prop_assert!(used.saturating_sub(freed) > total * 80 / 100, "the last one went without need");
            }
        }

        #[test]
        fn what_is_shared_is_shared_evenly(counts in prop::collection::vec(2_u64..60, 2..6), percent in 10_u8..90) {
            let channels: Vec<Holding> = counts.iter().map(|count| holding(60_000, 95, *count, 10)).collect();
            let used: u64 = counts.iter().sum::<u64>() * 10;
            let mut left = counts.clone();
            let room = Room { disk: 0, total: used * u64::from(percent) / 95, used, need: 0 };
            for (index, _) in plan(room, &channels, NOW, 0) {
                left[index] -= 1;
            }
            // Whoever gave something has no less than one slice below everybody who has something to give.
            let most = left.iter().copied().max().unwrap();
            for (had, has) in counts.iter().zip(&left) {
                prop_assert!(had == has || *has + 1 >= most, "{counts:?} became {left:?}");
            }
        }
    }
}
