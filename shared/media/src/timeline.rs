//! The channel's timeline: ticks since the Unix epoch, and how a source's 33-bit clock is tied to them.
//!
//! Sans-IO: time stamps and arrival times in, channel times out. A [`SourceClock`] follows the decoding times of one
//! stream of a source, unwraps them (ISO/IEC 13818-1 §2.4.3.7: 33 bits of 90 kHz, about 26.5 hours) and notices when the
//! source's time base breaks. The packager drives it; who stores and publishes [`Anchor`]s is the shell's business.
//!
//! Every source and every origin of a channel is mapped by such an anchor to one timeline, so that segment numbers,
//! names and time stamps stay the same whoever plays. Wall time enters only where there is no usable anchor.

use crate::time::{Pts, TICKS_PER_SECOND, Ticks90k};

/// A source's stamp may lie this far from where it is expected before the time base counts as broken.
pub const JUMP_TICKS: Ticks90k = Ticks90k::from_secs(2);

/// An anchored time may lie this far from the arrival time before the anchor counts as unusable.
pub const ASTRAY_TICKS: Ticks90k = Ticks90k::from_secs(10);

/// A step back of more than this is no reordering of pictures that lack a DTS (16 pictures at 30 a second), but a jump.
const BACK_TICKS: Ticks90k = Ticks90k(TICKS_PER_SECOND * 16 / 30);

/// A jump this long may be a hole in reception; a longer one is always a break of the time base.
const HOLE_TICKS: Ticks90k = Ticks90k::from_secs(60);

/// How well a hole's length must agree with the arrival times on both its sides.
const HOLE_SLACK: Ticks90k = Ticks90k::from_secs(1);

/// One picture at 25 a second: the step assumed until the source has shown its own.
const FIRST_STEP: Ticks90k = Ticks90k(3_600);

/// The longest step between two stamps that is believed to be the length of one access unit or PES packet.
const STEP_MAX: Ticks90k = Ticks90k::from_millis(500);

/// The number of the segment of length `segment` that `at` belongs to by the grid; 0 before the epoch.
///
/// ```
/// use headend_media::time::Ticks90k;
/// use headend_media::timeline::segment_of;
/// assert_eq!(segment_of(Ticks90k::from_millis(5_000), Ticks90k::from_millis(2_000)), 2);
/// ```
#[must_use]
pub fn segment_of(at: Ticks90k, segment: Ticks90k) -> u64 {
    u64::try_from(at.0.div_euclid(segment.0.max(1))).unwrap_or(0)
}

/// Where segment `number` of length `segment` begins by the grid.
#[must_use]
pub fn start_of(number: u64, segment: Ticks90k) -> Ticks90k {
    Ticks90k(i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(segment.0))
}

/// The distance between two times, never negative.
#[must_use]
pub fn distance(one: Ticks90k, other: Ticks90k) -> Ticks90k {
    Ticks90k((one - other).0.saturating_abs())
}

/// Ties a moment on a source's 33-bit clock to the same moment on the channel's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The source's stamp, 33 bits of 90 kHz.
    pub source_pts: u64,
    /// The same moment on the channel's timeline.
    pub at: Ticks90k,
    /// Counts up each time the source's time base broke.
    pub version: u32,
}

impl Anchor {
    /// The channel time of a source's stamp: of all times 2^33 ticks apart, the one nearest to `near`.
    #[must_use]
    pub fn time_of(&self, stamp: Pts, near: Ticks90k) -> Ticks90k {
        near + Ticks90k(stamp.wrapping_add(self.offset()).signed_since(near.to_pts()))
    }

    /// What is added to every stamp of the source, modulo 2^33, to map it.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.at.to_pts().signed_since(Pts::new(self.source_pts))
    }
}

/// Why an anchor was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorReason {
    /// The source had none.
    Missing,
    /// The given one led further than [`ASTRAY_TICKS`] from the arrival time.
    Astray,
    /// The source's stamps jumped; the timeline goes on where it was.
    Jump,
}

/// What a stamp meant to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Time goes on.
    On,
    /// Time goes on behind a hole in reception: the stamps and the arrival times moved on by the same span.
    Hole,
    /// An anchor was set, so the offset of every stamp changes with this one.
    Anchored(Anchor, AnchorReason),
}

/// Follows the decoding times of one source.
#[derive(Debug, Clone)]
pub struct SourceClock {
    anchor: Option<Anchor>,
    last: Option<Last>,
    step: Ticks90k,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    stamp: Pts,
    at: Ticks90k,
    arrived: Ticks90k,
}

impl SourceClock {
    /// A clock for a source that has just been chosen, with its stored anchor if there is one.
    #[must_use]
    pub fn new(anchor: Option<Anchor>) -> Self {
        Self { anchor, last: None, step: FIRST_STEP }
    }

    /// The anchor in force; `None` before the first stamp of a source that had none.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// The last decoding time.
    #[must_use]
    pub fn now(&self) -> Option<Ticks90k> {
        self.last.map(|last| last.at)
    }

    /// How long an access unit (or PES packet) of the followed stream lasts, from the last two stamps.
    #[must_use]
    pub fn step(&self) -> Ticks90k {
        self.step
    }

    /// The source was away: the next stamp is judged by the anchor and the arrival time alone.
    pub fn pause(&mut self) {
        self.last = None;
    }

    /// Takes the decoding time of the next access unit and when it arrived.
    ///
    /// A stamp more than [`JUMP_TICKS`] from its place, or far back, re-anchors so that time goes on by one step. One
    /// exception keeps two origins of a channel together: when the arrival times moved by the same span, packets were
    /// lost and the time base is whole. A shell that replays a file gives no moving arrival time, so it sees a jump.
    pub fn follow(&mut self, stamp: Pts, arrived: Ticks90k) -> Step {
        let (at, step) = match self.last {
            None => self.first(stamp, arrived),
            Some(last) => self.next(stamp, last, arrived),
        };
        if let Step::Anchored(anchor, _) = step {
            self.anchor = Some(anchor);
        }
        self.last = Some(Last { stamp, at, arrived });
        step
    }

    fn first(&self, stamp: Pts, arrived: Ticks90k) -> (Ticks90k, Step) {
        let reason = match self.anchor {
            None => AnchorReason::Missing,
            Some(anchor) => {
                let at = anchor.time_of(stamp, arrived);
                if distance(at, arrived) <= ASTRAY_TICKS {
                    return (at, Step::On);
                }
                AnchorReason::Astray
            }
        };
        (arrived, Step::Anchored(self.next_anchor(stamp, arrived), reason))
    }

    fn next(&mut self, stamp: Pts, last: Last, arrived: Ticks90k) -> (Ticks90k, Step) {
        let moved = Ticks90k(stamp.signed_since(last.stamp));
        let is_hole = moved <= HOLE_TICKS && distance(moved, arrived - last.arrived) <= HOLE_SLACK;
        if moved - self.step > JUMP_TICKS && is_hole {
            return (last.at + moved, Step::Hole);
        }
        if moved - self.step > JUMP_TICKS || moved < Ticks90k(0) - BACK_TICKS {
            let at = last.at + self.step;
            return (at, Step::Anchored(self.next_anchor(stamp, at), AnchorReason::Jump));
        }
        if moved > Ticks90k(0) && moved <= STEP_MAX {
            self.step = moved;
        }
        (last.at + moved, Step::On)
    }

    fn next_anchor(&self, stamp: Pts, at: Ticks90k) -> Anchor {
        let version = self.anchor.map_or(0, |anchor| anchor.version).saturating_add(1);
        Anchor { source_pts: stamp.value(), at, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    const NOW: Ticks90k = Ticks90k::from_secs(1_800_000_000);
    const WRAP: u64 = 1 << 33;

    /// Feeds `(stamp, arrived after NOW in ms)` and compares `time after NOW in ms` with what the step was.
    fn check(anchor: Option<Anchor>, stamps: &[(u64, i64)], want: &[(i64, &str)]) {
        let mut clock = SourceClock::new(anchor);
        let got: Vec<_> = stamps
            .iter()
            .map(|(stamp, arrived)| {
                let step = match clock.follow(Pts::new(*stamp), NOW + Ticks90k::from_millis(*arrived)) {
                    Step::On => "on",
                    Step::Hole => "hole",
                    Step::Anchored(_, AnchorReason::Missing) => "missing",
                    Step::Anchored(_, AnchorReason::Astray) => "astray",
                    Step::Anchored(_, AnchorReason::Jump) => "jump",
                };
                ((clock.now().unwrap() - NOW).as_millis(), step)
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn without_an_anchor_the_first_stamp_is_now() {
        check(None, &[(90_000, 5), (93_600, 45), (97_200, 90)], &[(5, "missing"), (45, "on"), (85, "on")]);
    }

    #[test]
    fn an_anchor_holds_over_wraps_and_days() {
        let days = 40 * 86_400 * TICKS_PER_SECOND;
        let old = Anchor { source_pts: 7_000, at: NOW - Ticks90k(days), version: 3 };
        let stamp = (7_000 + days.cast_unsigned() + 90_000) % WRAP;
        check(Some(old), &[(stamp, 1_400), (stamp + 3_600, 1_450)], &[(1_000, "on"), (1_040, "on")]);
    }

    #[test]
    fn an_anchor_ten_seconds_off_is_replaced() {
        let anchor = Anchor { source_pts: 0, at: NOW, version: 3 };
        check(Some(anchor), &[(0, 10_000)], &[(0, "on")]);
        check(Some(anchor), &[(0, 10_001)], &[(10_001, "astray")]);
        let mut clock = SourceClock::new(Some(anchor));
        clock.follow(Pts::new(0), NOW + Ticks90k::from_millis(20_000));
        assert_eq!(clock.anchor().unwrap().version, 4);
    }

    #[test]
    fn stamps_wrap() {
        check(None, &[(WRAP - 3_600, 0), (0, 40), (3_600, 80)], &[(0, "missing"), (40, "on"), (80, "on")]);
    }

    #[test]
    fn jumps_go_on_by_one_step() {
        let there = 90_000 * 3_600;
        check(
            None,
            &[(0, 0), (4_500, 50), (there, 100), (there + 4_500, 150), (9_000, 200)],
            &[(0, "missing"), (50, "on"), (100, "jump"), (150, "on"), (200, "jump")],
        );
        check(None, &[(90_000, 0), (90_000 - 54_000, 40)], &[(0, "missing"), (40, "jump")]);
    }

    #[test]
    fn lost_packets_are_no_jump() {
        check(None, &[(0, 0), (450_000, 5_400)], &[(0, "missing"), (5_000, "hole")]);
        check(None, &[(0, 0), (450_000, 40)], &[(0, "missing"), (40, "jump")]);
        check(None, &[(0, 0), (180_000, 40)], &[(0, "missing"), (2_000, "on")]);
    }

    #[test]
    fn pictures_without_dts_may_step_back() {
        check(None, &[(18_000, 0), (7_200, 40), (3_600, 80)], &[(0, "missing"), (-120, "on"), (-160, "on")]);
    }

    #[test]
    fn numbers_of_the_grid() {
        let d = Ticks90k::from_millis(2_000);
        assert_eq!(segment_of(NOW, d), 900_000_000);
        assert_eq!(segment_of(NOW - Ticks90k(1), d), 899_999_999);
        assert_eq!(segment_of(Ticks90k(-5), d), 0);
        assert_eq!(start_of(900_000_000, d), NOW);
        assert_eq!(segment_of(Ticks90k(5), Ticks90k(0)), 5, "a senseless length does not divide by zero");
    }

    proptest! {
        #[test]
        fn time_never_leaps_whatever_the_stamps(stamps in prop::collection::vec(any::<u64>(), 1..60)) {
            let mut clock = SourceClock::new(None);
            clock.follow(Pts::new(stamps[0]), NOW);
            for stamp in &stamps {
                let before = clock.now().unwrap();
                clock.follow(Pts::new(*stamp), NOW);
                assert!((clock.now().unwrap() - before) <= JUMP_TICKS + STEP_MAX);
                assert!((before - clock.now().unwrap()) <= BACK_TICKS);
            }
        }

        #[test]
        fn mapping_is_adding_the_offset(source_pts in 0..WRAP, version in any::<u32>(), at in any::<i64>(), stamp in 0..WRAP) {
            let anchor = Anchor { source_pts, at: Ticks90k(at), version };
            let near = Ticks90k(1 << 50);
            let time = anchor.time_of(Pts::new(stamp), near);
            assert_eq!(time.to_pts(), Pts::new(stamp).wrapping_add(anchor.offset()));
            assert!(distance(time, near) <= Ticks90k(1 << 32));
        }
    }
}
