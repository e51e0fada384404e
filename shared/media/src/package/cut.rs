//! Where one segment ends and the next begins: the numbering rule, on times alone.
//!
//! Sans-IO and without a byte of video: the times of access units in, a [`Ruling`] for each out. With segments of length
//! d, segment k begins at the first random access point in [k·d, (k+1)·d), or, when none came, at the first access unit
//! at or behind (k+1)·d (docs/adr/0004); segment k+1 then begins at the latest half way through what is left of its window. So the number follows from the time, whoever counts and since when, and no segment is
//! longer than 2·d. The packager drives it and owns the bytes.

use crate::time::Ticks90k;
use crate::timeline::{segment_of, start_of};

/// The most numbers that one hole is filled with; older ones are no longer in anyone's window.
pub const FILL_MAX: u64 = 64;

/// A slate, and a segment that ends because its source did, is at least this long.
pub(crate) const SHORTEST: Ticks90k = Ticks90k::from_millis(200);

/// A segment that is growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) number: u64,
    pub(crate) start: Ticks90k,
    /// Where what it holds ends.
    pub(crate) end: Ticks90k,
}

/// What to do at an access unit. The unit belongs to what is open afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// It goes on in the open segment.
    Stay,
    /// Nothing is open and nothing may be opened: drop it.
    Drop,
    /// The open segment (if any) ends; this number begins.
    Begin(u64),
}

/// The state of the rule: the open segment, and what was given out before it.
#[derive(Debug, Clone)]
pub(crate) struct CutRule {
    segment: Ticks90k,
    open: Option<Open>,
    /// Number and end of the last finished segment.
    done: Option<(u64, Ticks90k)>,
}

impl CutRule {
    /// A rule for segments of this length. `done`: the last number given out in an earlier life.
    pub(crate) fn new(segment: Ticks90k, done: Option<u64>) -> Self {
        let segment = segment.max(SHORTEST);
        Self { segment, open: None, done: done.map(|number| (number, start_of(number.saturating_add(1), segment))) }
    }

    /// Segment length d.
    pub(crate) fn segment(&self) -> Ticks90k {
        self.segment
    }

    pub(crate) fn open(&self) -> Option<Open> {
        self.open
    }

    /// Number and end of the last finished segment.
    pub(crate) fn done(&self) -> Option<(u64, Ticks90k)> {
        self.done
    }

    /// Rules on an access unit presented at `at`. Only asks; the caller then tells with [`Self::begin`], [`Self::grow`].
    pub(crate) fn rule(&self, at: Ticks90k, random_access: bool) -> Ruling {
        let Some(open) = self.open else { return self.rule_closed(at, random_access) };
        let next = start_of(open.number.saturating_add(1), self.segment);
        if self.is_hole(at) {
            if random_access { Ruling::Begin(segment_of(at, self.segment)) } else { Ruling::Drop }
        } else if at >= self.limit(open, next) || (random_access && at >= next) {
            Ruling::Begin(open.number + 1)
        } else {
            Ruling::Stay
        }
    }

    /// When the open segment must end, random access point or not. `next` is where its own window ends by the grid.
    ///
    /// A segment that was itself forced began in the window of the next one. It is cut half way through that window:
    /// if it waited for the end of it, and a random access point fell there, numbers would lag one behind the time for
    /// ever, and a node that started later would number the same pictures otherwise. A segment that began before its
    /// window (a change of tracks) ends 2·d later at the latest.
    fn limit(&self, open: Open, next: Ticks90k) -> Ticks90k {
        let last = next + self.segment;
        if open.start >= next {
            return Ticks90k((open.start.0 / 2).saturating_add(last.0 / 2));
        }
        last.min(open.start + self.segment + self.segment)
    }

    /// Whether `at` lies so far behind the open segment that numbers between would stay empty.
    pub(crate) fn is_hole(&self, at: Ticks90k) -> bool {
        self.open.is_some_and(|open| at >= start_of(open.number.saturating_add(3), self.segment))
    }

    /// The same where nothing is open, or where what is open must not go on: only random access points count, none that
    /// steps back behind what was given out, and no number more than one segment early.
    pub(crate) fn rule_closed(&self, at: Ticks90k, random_access: bool) -> Ruling {
        let (first, end) = match (self.open, self.done) {
            (Some(open), _) => (open.number + 1, open.end),
            (None, Some((number, end))) => (number + 1, end),
            (None, None) => (0, Ticks90k(i64::MIN)),
        };
        let number = segment_of(at, self.segment).max(first);
        if !random_access || at < end || at < start_of(number, self.segment) - self.segment {
            return Ruling::Drop;
        }
        Ruling::Begin(number)
    }

    /// The open segment ends where the next begins; gives it, with `end` where its successor starts. When that would make
    /// it longer than 2·d (a hole in reception), it ends where its content does.
    pub(crate) fn finish(&mut self, next_start: Option<Ticks90k>) -> Option<Open> {
        let mut open = self.open.take()?;
        let longest = open.start + self.segment + self.segment;
        open.end = next_start.filter(|start| *start <= longest).unwrap_or(open.end.min(longest));
        self.done = Some((open.number, open.end));
        Some(open)
    }

    /// The open segment is given up; its number is free again.
    pub(crate) fn give_up(&mut self) {
        if let Some(open) = self.open.take() {
            self.done = open.number.checked_sub(1).map(|number| (number, open.start));
        }
    }

    /// Segment `number` begins at `at`. [`Self::finish`] was called before.
    pub(crate) fn begin(&mut self, number: u64, at: Ticks90k) {
        self.open = Some(Open { number, start: at, end: at });
    }

    /// The open segment holds content up to `end`.
    pub(crate) fn grow(&mut self, end: Ticks90k) {
        if let Some(open) = &mut self.open {
            open.end = open.end.max(end);
        }
    }

    /// The next number to be filled with slate, if it is below `before`: number, start and end. Counts it as given out.
    pub(crate) fn fill(&mut self, before: u64) -> Option<Open> {
        let oldest = before.saturating_sub(FILL_MAX);
        let (number, end) = match self.done {
            Some((number, end)) => (number.saturating_add(1).max(oldest), end),
            None => (before.checked_sub(1)?, Ticks90k(i64::MIN)),
        };
        if number >= before || self.open.is_some() {
            return None;
        }
        let start = start_of(number, self.segment).max(end);
        let end = start_of(number + 1, self.segment).max(start + SHORTEST);
        self.done = Some((number, end));
        Some(Open { number, start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    const D: Ticks90k = Ticks90k::from_secs(2);

    fn ms(millis: i64) -> Ticks90k {
        Ticks90k::from_millis(millis)
    }

    /// Runs access units of `(ms, random access)`, each 40 ms long, and gives `(number, start, end)` of what came out,
    /// slates with a minus sign.
    fn run(done: Option<u64>, units: &[(i64, bool)]) -> Vec<(i64, i64, i64)> {
        let (mut rule, mut out) = (CutRule::new(D, done), vec![]);
        let line =
            |open: Open, sign: i64| (sign * open.number.cast_signed(), open.start.as_millis(), open.end.as_millis());
        for (at, random_access) in units {
            let hole = rule.is_hole(ms(*at));
            match rule.rule(ms(*at), *random_access) {
                Ruling::Begin(number) => {
                    out.extend(rule.finish((!hole).then_some(ms(*at))).map(|open| line(open, 1)));
                    while rule.done().is_some()
                        && let Some(slate) = rule.fill(number)
                    {
                        out.push(line(slate, -1));
                    }
                    rule.begin(number, ms(*at));
                }
                Ruling::Drop if hole => out.extend(rule.finish(None).map(|open| line(open, 1))),
                Ruling::Drop => continue,
                Ruling::Stay => {}
            }
            rule.grow(ms(*at + 40));
        }
        out.extend(rule.finish(None).map(|open| line(open, 1)));
        out
    }

    /// Pictures every 40 ms from `from` to `to`, a random access point every `gop` ms of absolute time plus `phase`.
    fn pictures(from: i64, to: i64, gop: i64, phase: i64) -> Vec<(i64, bool)> {
        (from..to).step_by(40).map(|at| (at, (at - phase).rem_euclid(gop) == 0)).collect()
    }

    #[test]
    fn two_second_groups_give_the_grid() {
        assert_eq!(
            run(None, &pictures(10_000, 16_000, 2_000, 0)),
            [(5, 10_000, 12_000), (6, 12_000, 14_000), (7, 14_000, 16_000)]
        );
    }

    #[test]
    fn short_groups_give_the_first_in_the_window() {
        let got = run(None, &pictures(10_000, 16_000, 480, 120));
        assert_eq!(got, [(5, 10_200, 12_120), (6, 12_120, 14_040), (7, 14_040, 16_000)]);
    }

    #[test]
    fn long_groups_are_cut_at_twice_the_length() {
        let got = run(None, &pictures(12_000, 30_000, 6_000, 0));
        let want =
            [(6, 12_000, 16_000), (7, 16_000, 17_000), (8, 17_000, 18_000), (9, 18_000, 22_000), (10, 22_000, 23_000)];
        assert_eq!(got[..5], want);
        assert!(got.iter().all(|(_, start, end)| end - start <= 4_000));
    }

    #[test]
    fn a_hole_is_filled() {
        let units = [pictures(10_000, 12_400, 2_000, 0), pictures(19_000, 21_000, 480, 120)].concat();
        assert_eq!(
            run(None, &units),
            [
                (5, 10_000, 12_000),
                (6, 12_000, 12_400),
                (-7, 14_000, 16_000),
                (-8, 16_000, 18_000),
                (9, 19_320, 20_280),
                (10, 20_280, 21_000)
            ]
        );
    }

    #[test]
    fn after_a_restart_numbers_go_on() {
        assert_eq!(run(Some(5), &pictures(11_000, 13_000, 500, 0))[0].0, 6);
        assert_eq!(
            run(Some(3), &pictures(12_000, 13_000, 500, 0)),
            [(-4, 8_000, 10_000), (-5, 10_000, 12_000), (6, 12_000, 13_000)]
        );
        let far = run(Some(3), &pictures(2_000_000, 2_001_000, 500, 0));
        assert_eq!((far.len(), far[0].0), (65, 64 - 1_000));
    }

    #[test]
    fn a_slate_starts_where_the_picture_ended() {
        let mut rule = CutRule::new(D, None);
        rule.begin(5, ms(10_000));
        rule.grow(ms(13_950));
        rule.finish(None);
        assert_eq!(rule.fill(8).unwrap(), Open { number: 6, start: ms(13_950), end: ms(14_150) });
        assert_eq!(rule.fill(8).unwrap(), Open { number: 7, start: ms(14_150), end: ms(16_000) });
        assert_eq!(rule.fill(8), None);
    }

    proptest! {
        #[test]
        fn numbers_are_contiguous_and_no_segment_is_long(units in prop::collection::vec((1_i64..9_000, any::<bool>()), 0..300)) {
            let mut at = 100_000;
            let units: Vec<_> = units.iter().map(|(step, random)| { at += if *step < 8_000 { step % 200 } else { *step }; (at, *random) }).collect();
            let got = run(None, &units);
            for pair in got.windows(2) {
                assert_eq!(pair[1].0.abs(), pair[0].0.abs() + 1);
                assert!(pair[1].1 >= pair[0].2, "{pair:?}");
            }
            assert!(got.iter().all(|(_, start, end)| end - start <= 4_000), "{got:?}");
        }

        #[test]
        fn a_later_start_soon_agrees(gop in 1_i64..200, phase in 0_i64..50, late in 0_usize..400) {
            let units = pictures(100_000, 130_000, gop * 40, phase * 40);
            let (early, late) = (run(None, &units), run(None, &units[late..]));
            assert!(late.iter().skip(1).all(|segment| early.contains(segment)), "{early:?} {late:?}");
        }
    }
}
