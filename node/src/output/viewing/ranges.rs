//! The parts of the archive that a session may see, as a backend names them.
//!
//! Pure. Instants are milliseconds since 1970; a range holds its first instant and not its last. No range: no archive.

/// The most ranges of one session.
pub(super) const RANGES_MAX: usize = 1_000;

/// Allowed parts of the archive, in order and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Ranges in any order; those that touch become one, those that hold nothing are left out.
    #[must_use]
    pub fn new(mut ranges: Vec<(i64, i64)>) -> Self {
        ranges.retain(|(from, until)| from < until);
        ranges.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (from, until) in ranges {
            match joined.last_mut().filter(|last| from <= last.1) {
                Some(last) => last.1 = last.1.max(until),
                None => joined.push((from, until)),
            }
        }
        Self(joined)
    }

    /// Whether this instant is allowed.
    #[must_use]
    pub fn holds(&self, at_ms: i64) -> bool {
        self.range_at(at_ms).is_some()
    }

    /// Whether everything from here to before there is allowed.
    #[must_use]
    pub fn covers(&self, from_ms: i64, until_ms: i64) -> bool {
        self.range_at(from_ms).is_some_and(|(_, end)| until_ms <= end)
    }

    /// Whether anything from here to before there is allowed.
    #[must_use]
    pub fn touches(&self, from_ms: i64, until_ms: i64) -> bool {
        let next = self.0.partition_point(|(_, end)| *end <= from_ms);
        self.0.get(next).is_some_and(|(begin, _)| *begin < until_ms)
    }

    fn range_at(&self, at_ms: i64) -> Option<(i64, i64)> {
        let next = self.0.partition_point(|(_, end)| *end <= at_ms);
        self.0.get(next).copied().filter(|(begin, _)| *begin <= at_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_are_exclusive_and_neighbours_are_one() {
        let ranges = Ranges::new(vec![(20, 30), (10, 20), (40, 40), (50, 45), (60, 70)]);
        assert_eq!(ranges, Ranges(vec![(10, 30), (60, 70)]));
        assert_eq!([9, 10, 29, 30, 60].map(|at| ranges.holds(at)), [false, true, true, false, true]);
        assert!(ranges.covers(10, 30) && !ranges.covers(10, 31) && !ranges.covers(25, 65));
        assert!(ranges.touches(0, 11) && !ranges.touches(0, 10) && !ranges.touches(30, 60) && ranges.touches(30, 61));
        assert!(!Ranges::new(vec![]).touches(i64::MIN, i64::MAX));
    }

    proptest! {
        #[test]
        fn as_a_list_searched_from_end_to_end(list in prop::collection::vec((0_i64..60, 0_i64..60), 0..12), at in 0_i64..60) {
            let ranges = Ranges::new(list.clone());
            prop_assert_eq!(ranges.holds(at), list.iter().any(|(from, until)| (*from..*until).contains(&at)));
        }
    }
}
