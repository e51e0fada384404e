//! The live window of a channel: which segments are listed, which may still be fetched, and the counters that must never
//! step back.
//!
//! A value with one owner: cut segments go in, those that nobody may ask for any more come out. It holds no segment bytes
//! and prints nothing (`media` does). Everything durable is in [`WindowRecord`], which the owner stores after each push;
//! a restart restores it and goes on with the same numbers. Rules: RFC 8216 §6.2.1 (target duration is latched), §6.2.2
//! (counters, at least three target durations listed, removed segments stay for their own duration and the longest
//! playlist that listed them).

use std::collections::VecDeque;

use super::grid::SegmentGrid;
use crate::time::Ticks90k;

/// The most segments listed, and the most kept behind the list, however short they are.
const ENTRIES_MAX: usize = 1_024;
/// Target durations that the list must cover once it has grown so far (RFC 8216 §6.2.2).
const TARGETS_LISTED_MIN: i64 = 3;

/// The shortest segment: PROGRAM-DATE-TIME counts milliseconds, and must tell two segments apart.
const DURATION_MIN: Ticks90k = Ticks90k::from_millis(1);

/// Names a content key: its schedule's generation and the period it is valid in. Prints as `GENERATION-PERIOD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeyRef {
    /// Generation of the root key.
    pub generation: u32,
    /// Period number.
    pub period: u64,
}

impl std::fmt::Display for KeyRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.generation, self.period)
    }
}

/// A segment as the playlist knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Media sequence number.
    pub number: u64,
    /// First presentation time on the channel's timeline.
    pub start: Ticks90k,
    /// Start of the next segment minus this one's; at least 1 ms, and at most the target duration when rounded to seconds.
    pub duration: Ticks90k,
    /// It begins with an IDR or another picture that needs nothing before it.
    pub independent: bool,
    /// Timestamps or tracks do not continue those of the segment before.
    pub discontinuity: bool,
    /// The key it is encrypted with; `None` for a clear segment.
    pub key: Option<KeyRef>,
    /// Bytes as served.
    pub bytes: u64,
}

impl Entry {
    /// When the next segment starts.
    #[must_use]
    pub fn end(&self) -> Ticks90k {
        self.start + self.duration
    }
}

/// Why a segment was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The number is not the one due; a gap is filled with slate, or jumped with [`Window::skip_to`].
    #[error("segment {got} came where {want} was due")]
    NotNext {
        /// The number given.
        got: u64,
        /// The number due.
        want: u64,
    },
    /// The duration is under a millisecond, or rounds to more than the latched target.
    #[error("segment of {ticks} ticks does not fit the target duration of {target_secs} s")]
    Duration {
        /// Duration given, 90 kHz.
        ticks: i64,
        /// The latched target.
        target_secs: u32,
    },
    /// It starts before the end of the one before and is not marked as a discontinuity, or does not start at
    /// least a millisecond after that one did.
    #[error("segment starts at tick {got}, the one before ends at {want}")]
    NotContiguous {
        /// Start given.
        got: i64,
        /// End of the segment before.
        want: i64,
    },
    /// The start or the number lies outside the years 1970 to 9999.
    #[error("segment lies outside the calendar")]
    OutsideCalendar,
}

/// Why a stored record cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Its numbers contradict each other.
    #[error("stored window contradicts itself at segment {number}")]
    Inconsistent {
        /// The first number that does not fit.
        number: u64,
    },
    /// It lists more than the bound, or its target duration is zero.
    #[error("stored window is out of bounds")]
    OutOfBounds,
}

/// A segment that left the list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Trailing {
    entry: Entry,
    /// It may be dropped when the live edge gets here.
    keep_until: Ticks90k,
}

/// All that a window must remember over a restart.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WindowRecord {
    grid: SegmentGrid,
    target_secs: u32,
    next: u64,
    discontinuity_sequence: u64,
    /// The numbers were jumped: the next segment does not continue what players have.
    jumped: bool,
    listed: VecDeque<Entry>,
    trailing: VecDeque<Trailing>,
}

/// The live window of one channel; at most 1,024 segments listed and as many behind, normally two window lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    record: WindowRecord,
    listed_wish: usize,
}

impl Window {
    /// An empty window. `target_secs` (at least 1) is latched for good: twice the cell of the grid, rounded up, covers
    /// every segment the cutter makes. About `listed` segments are listed, or more where three target durations ask for
    /// it. `first` is the number the first segment will have.
    #[must_use]
    pub fn new(grid: SegmentGrid, target_secs: u32, listed: usize, first: u64) -> Self {
        let record = WindowRecord {
            grid,
            target_secs: target_secs.max(1),
            next: first,
            discontinuity_sequence: 0,
            jumped: false,
            listed: VecDeque::new(),
            trailing: VecDeque::new(),
        };
        Self { record, listed_wish: listed.min(ENTRIES_MAX) }
    }

    /// Goes on from a stored record; its grid and target duration win over what the configuration says today.
    ///
    /// # Errors
    /// [`RestoreError`] when the record was damaged in a way its checksum did not show.
    pub fn restore(record: WindowRecord, listed: usize) -> Result<Self, RestoreError> {
        record.check()?;
        Ok(Self { record, listed_wish: listed.min(ENTRIES_MAX) })
    }

    /// What to store, after each change and before the change is shown to a player.
    #[must_use]
    pub fn record(&self) -> &WindowRecord {
        &self.record
    }

    /// The grid that names the segments.
    #[must_use]
    pub fn grid(&self) -> SegmentGrid {
        self.record.grid
    }

    /// TARGETDURATION in seconds.
    #[must_use]
    pub fn target_secs(&self) -> u32 {
        self.record.target_secs
    }

    /// The number of the next segment.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.record.next
    }

    /// MEDIA-SEQUENCE: the number of the first listed segment, or of the next when none is listed.
    #[must_use]
    pub fn media_sequence(&self) -> u64 {
        self.record.listed.front().map_or(self.record.next, |entry| entry.number)
    }

    /// DISCONTINUITY-SEQUENCE: discontinuities that left the list so far.
    #[must_use]
    pub fn discontinuity_sequence(&self) -> u64 {
        self.record.discontinuity_sequence
    }

    /// The listed segments, oldest first.
    pub fn listed(&self) -> impl ExactSizeIterator<Item = &Entry> + Clone {
        self.record.listed.iter()
    }

    /// A segment that a player may ask for: listed, or removed not long ago.
    #[must_use]
    pub fn fetchable(&self, number: u64) -> Option<&Entry> {
        let behind = self.record.trailing.iter().map(|trailing| &trailing.entry);
        behind.chain(&self.record.listed).find(|entry| entry.number == number)
    }

    /// Lists the next segment; one that leaves a hole behind the one before is a discontinuity, whatever it says. Gives
    /// back those that need not be kept any more, oldest first.
    ///
    /// # Errors
    /// [`PushError`]; the window is unchanged then.
    pub fn push(&mut self, mut entry: Entry) -> Result<Vec<Entry>, PushError> {
        // A hole that nothing filled, as when a source comes back within the same number: times do not go on.
        let hole = self.record.listed.back().is_some_and(|last| entry.start > last.end());
        entry.discontinuity |= self.record.jumped || hole;
        self.record.check_next(&entry)?;
        self.record.jumped = false;
        self.record.next = entry.number + 1;
        self.record.listed.push_back(entry);
        while self.may_remove() {
            self.remove_first();
        }
        Ok(self.drop_expired())
    }

    /// Jumps the numbers forward to `number`, after an outage too long to fill with slate: the list empties, and the next
    /// segment is a discontinuity whatever it says. A `number` not ahead changes nothing. What leaves the list stays
    /// fetchable until the next push says otherwise.
    pub fn skip_to(&mut self, number: u64) {
        if number <= self.record.next {
            return;
        }
        while !self.record.listed.is_empty() {
            self.remove_first();
        }
        self.record.jumped = true;
        self.record.next = number;
    }

    fn may_remove(&self) -> bool {
        let listed = &self.record.listed;
        let Some(first) = listed.front() else { return false };
        let left: i64 = listed.iter().map(|entry| entry.duration.0).sum::<i64>() - first.duration.0;
        let enough = left >= TARGETS_LISTED_MIN * self.record.target().0;
        (listed.len() > self.listed_wish && enough) || listed.len() > ENTRIES_MAX
    }

    fn remove_first(&mut self) {
        let edge = self.record.listed.back().map(Entry::end);
        let (Some(first), Some(edge)) = (self.record.listed.pop_front(), edge) else { return };
        self.record.discontinuity_sequence += u64::from(first.discontinuity);
        let playlist = edge - first.start;
        let keep_until = edge + first.duration + playlist;
        self.record.trailing.push_back(Trailing { entry: first, keep_until });
    }

    fn drop_expired(&mut self) -> Vec<Entry> {
        let edge = self.record.listed.back().map_or(Ticks90k(0), Entry::end);
        let trailing = &mut self.record.trailing;
        let mut expired = vec![];
        while trailing.front().is_some_and(|first| first.keep_until <= edge) || trailing.len() > ENTRIES_MAX {
            expired.extend(trailing.pop_front().map(|trailing| trailing.entry));
        }
        expired
    }
}

impl WindowRecord {
    fn target(&self) -> Ticks90k {
        Ticks90k::from_secs(self.target_secs.into())
    }

    fn check_next(&self, entry: &Entry) -> Result<(), PushError> {
        if entry.number != self.next {
            return Err(PushError::NotNext { got: entry.number, want: self.next });
        }
        self.check_alone(entry)?;
        let Some(last) = self.listed.back() else { return Ok(()) };
        let (start, end) = (entry.start, last.end());
        if start != end && (!entry.discontinuity || start < last.start + DURATION_MIN) {
            return Err(PushError::NotContiguous { got: start.0, want: end.0 });
        }
        Ok(())
    }

    /// The rules that need no neighbour. EXTINF rounded to seconds must not exceed the target (RFC 8216 §4.3.3.1).
    fn check_alone(&self, entry: &Entry) -> Result<(), PushError> {
        let (ticks, half) = (entry.duration.0, Ticks90k::from_millis(500).0);
        if ticks < DURATION_MIN.0 || ticks >= self.target().0 + half {
            return Err(PushError::Duration { ticks, target_secs: self.target_secs });
        }
        let sane = entry.start.0 >= 0 && entry.end().to_timestamp().is_some() && self.grid.name(entry.number).is_some();
        if sane { Ok(()) } else { Err(PushError::OutsideCalendar) }
    }

    /// Replays the listed segments as if they were pushed, and looks at the bounds.
    fn check(&self) -> Result<(), RestoreError> {
        if self.target_secs == 0 || self.listed.len() > ENTRIES_MAX || self.trailing.len() > ENTRIES_MAX {
            return Err(RestoreError::OutOfBounds);
        }
        let all = || self.trailing.iter().map(|trailing| &trailing.entry).chain(&self.listed);
        for (entry, after) in all().zip(all().skip(1)) {
            // Behind the list numbers may be jumped; inside they may not.
            let listed = self.listed.front().is_some_and(|first| entry.number >= first.number);
            let follows = if listed { after.number == entry.number + 1 } else { after.number > entry.number };
            let contiguous =
                after.start == entry.end() || after.discontinuity && after.start >= entry.start + DURATION_MIN;
            if !follows || !contiguous {
                return Err(RestoreError::Inconsistent { number: after.number });
            }
        }
        if let Some(bad) = all().find(|entry| self.check_alone(entry).is_err()) {
            return Err(RestoreError::Inconsistent { number: bad.number });
        }
        match all().last() {
            Some(last) if last.number >= self.next => Err(RestoreError::Inconsistent { number: last.number }),
            _ if self.listed.back().is_some_and(|last| last.number + 1 != self.next) => {
                Err(RestoreError::Inconsistent { number: self.next })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    fn window(listed: usize) -> Window {
        Window::new(SegmentGrid::new(2_000).unwrap(), 4, listed, 100)
    }

    fn entry(number: u64, start_ms: i64, duration_ms: i64) -> Entry {
        Entry {
            number,
            start: Ticks90k::from_millis(start_ms),
            duration: Ticks90k::from_millis(duration_ms),
            independent: true,
            discontinuity: false,
            key: None,
            bytes: 1_000,
        }
    }

    fn check(pushed: Result<Vec<Entry>, PushError>, want: &str) {
        let got = match pushed {
            Ok(gone) => format!("{:?}", gone.iter().map(|entry| entry.number).collect::<Vec<_>>()),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn what_is_refused() {
        let mut window = window(6);
        check(window.push(entry(101, 200_000, 2_000)), "segment 101 came where 100 was due");
        check(window.push(entry(100, 200_000, 0)), "segment of 0 ticks does not fit the target duration of 4 s");
        check(
            window.push(entry(100, 200_000, 4_500)),
            "segment of 405000 ticks does not fit the target duration of 4 s",
        );
        check(window.push(entry(100, -1, 2_000)), "segment lies outside the calendar");
        check(window.push(entry(100, 200_000, 4_499)), "[]");
        check(
            window.push(entry(101, 204_498, 2_000)),
            "segment starts at tick 18404820, the one before ends at 18404910",
        );
        check(
            window.push(Entry { discontinuity: true, ..entry(101, 200_000, 2_000) }),
            "segment starts at tick 18000000, the one before ends at 18404910",
        );
        check(window.push(Entry { discontinuity: true, ..entry(101, 204_498, 2_000) }), "[]");
    }

    #[test]
    fn a_hole_makes_a_discontinuity() {
        let mut window = window(6);
        for start_ms in [200_000, 202_000, 204_700, 206_700] {
            check(window.push(entry(window.next(), start_ms, 2_000)), "[]");
        }
        assert_eq!(window.listed().map(|entry| entry.discontinuity).collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn segments_leave_the_list_and_later_the_store() {
        let mut window = window(6);
        for number in 0..6 {
            check(window.push(entry(100 + number, 200_000 + 2_000 * number.cast_signed(), 2_000)), "[]");
        }
        assert_eq!(window.media_sequence(), 100);
        let mut freed = vec![];
        for number in 6..20 {
            freed.extend(window.push(entry(100 + number, 200_000 + 2_000 * number.cast_signed(), 2_000)).unwrap());
        }
        assert_eq!((window.media_sequence(), window.listed().len()), (114, 6));
        // Removed at the edge of 214 s; its own 2 s and the 14 s it was listed in later it goes.
        assert_eq!(freed.last().map(|entry| entry.number), Some(105));
        assert!(window.fetchable(105).is_none() && window.fetchable(106).is_some() && window.fetchable(119).is_some());
    }

    #[test]
    fn a_jump_empties_the_list_and_marks_the_next() {
        let mut window = window(6);
        window.push(Entry { discontinuity: true, ..entry(100, 200_000, 2_000) }).unwrap();
        window.skip_to(100);
        assert_eq!(window.listed().len(), 1, "not ahead");
        window.skip_to(1_000);
        assert_eq!((window.media_sequence(), window.discontinuity_sequence()), (1_000, 1));
        assert!(window.fetchable(100).is_some());
        check(window.push(entry(1_000, 2_000_000, 2_000)), "[100]");
        assert!(window.listed().all(|entry| entry.discontinuity));
    }

    #[test]
    fn damaged_records_are_refused() {
        let mut window = window(2);
        for number in 0..9 {
            window.push(entry(100 + number, 200_000 + 2_000 * number.cast_signed(), 2_000)).unwrap();
        }
        let good = window.record().clone();
        assert!(Window::restore(good.clone(), 2).is_ok());
        let broken = |damage: fn(&mut WindowRecord)| {
            let mut record = good.clone();
            damage(&mut record);
            Window::restore(record, 2).map(drop)
        };
        assert_eq!(broken(|record| record.next = 108), Err(RestoreError::Inconsistent { number: 108 }));
        assert_eq!(broken(|record| record.next = 200), Err(RestoreError::Inconsistent { number: 200 }));
        assert_eq!(broken(|record| record.listed[1].number = 90), Err(RestoreError::Inconsistent { number: 90 }));
        assert_eq!(broken(|record| record.listed[1].start.0 += 1), Err(RestoreError::Inconsistent { number: 104 }));
        assert_eq!(broken(|record| record.target_secs = 0), Err(RestoreError::OutOfBounds));
        assert_eq!(broken(|record| record.target_secs = 1), Err(RestoreError::Inconsistent { number: 100 }));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push { duration_ms: i64, discontinuity: bool, late_ms: i64 },
        Wrong { number: u64 },
        Jump { ahead: u64 },
        Restart { listed: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        let push = (1_i64..=4_000, prop::bool::weighted(0.1), prop_oneof![9 => Just(0_i64), 1 => 1_i64..5_000]);
        prop_oneof![
            12 => push.prop_map(|(duration_ms, discontinuity, late_ms)| Step::Push { duration_ms, discontinuity, late_ms }),
            1 => any::<u64>().prop_map(|number| Step::Wrong { number }),
            1 => (0_u64..50).prop_map(|ahead| Step::Jump { ahead }),
            1 => (0_usize..10).prop_map(|listed| Step::Restart { listed }),
        ]
    }

    /// Applies a step the way a channel does; the segment's start is the live edge.
    fn apply(window: &mut Window, edge_ms: &mut i64, step: Step) -> Vec<Entry> {
        match step {
            Step::Push { duration_ms, discontinuity, late_ms } => {
                let start_ms = *edge_ms + late_ms;
                *edge_ms = start_ms + duration_ms;
                let entry = Entry { discontinuity, ..entry(window.next(), start_ms, duration_ms) };
                return window.push(entry).unwrap();
            }
            Step::Wrong { number } => {
                let before = window.clone();
                assert!(number == window.next() || window.push(entry(number, *edge_ms, 2_000)).is_err());
                assert_eq!(*window, before);
            }
            Step::Jump { ahead } => window.skip_to(window.next() + ahead),
            Step::Restart { listed } => {
                let stored = serde_json::to_string(window.record()).unwrap();
                *window = Window::restore(serde_json::from_str(&stored).unwrap(), listed).unwrap();
            }
        }
        vec![]
    }

    proptest! {
        #[test]
        fn counters_never_step_back(steps in prop::collection::vec(step(), 0..300), listed in 0_usize..10) {
            let (mut window, mut edge_ms) = (window(listed), 200_000);
            let (mut pushed, mut freed) = (0, 0);
            for step in steps {
                let (media, discontinuity, long) = (window.media_sequence(), window.discontinuity_sequence(), covers(&window));
                let jumped = matches!(step, Step::Jump { ahead: 1.. });
                pushed += usize::from(matches!(step, Step::Push { .. }));
                let was: Vec<Entry> = window.listed().cloned().collect();
                freed += apply(&mut window, &mut edge_ms, step).len();

                assert!(window.media_sequence() >= media && window.discontinuity_sequence() >= discontinuity);
                let gone = was.iter().filter(|entry| entry.number < window.media_sequence());
                let left = gone.filter(|entry| entry.discontinuity).count() as u64;
                assert_eq!(window.discontinuity_sequence(), discontinuity + left, "one for each tag that left");
                assert!(!long || jumped || covers(&window), "three target durations stay listed");
                let listed: Vec<&Entry> = window.listed().collect();
                for pair in listed.windows(2) {
                    assert_eq!(pair[1].number, pair[0].number + 1);
                    assert!(pair[1].start == pair[0].end() || pair[1].discontinuity);
                }
                assert!(was.iter().all(|entry| window.fetchable(entry.number).is_some() || jump_passed(&window, entry)));
                assert_eq!(pushed, freed + window.record.trailing.len() + window.record.listed.len(), "none is lost");
            }
        }
    }

    fn covers(window: &Window) -> bool {
        window.listed().map(|entry| entry.duration.0).sum::<i64>() >= 3 * window.record.target().0
    }

    /// A segment that was listed a step ago may only be gone if time itself jumped past it.
    fn jump_passed(window: &Window, entry: &Entry) -> bool {
        window.listed().last().is_some_and(|last| last.end() >= entry.end() + entry.duration)
    }
}
