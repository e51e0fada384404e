//! The grid of segment numbers over time, and the file names that spell it.
//!
//! Segment `k` covers the cell `[k·d, (k+1)·d)` of Unix time; its name is the UTC second its cell starts in, and `d`:
//! `YYYY/MM/DD/HH/MM/SS-DDDDD.ts`. The name is computed from `k` and `d`, not from the real cut, so that two origins
//! which cut a frame apart still name the same segment alike. The form is Flussonic's, whose clients know it.

use crate::time::Ticks90k;

/// Shortest cell: below it two cells could share a second, and so a name.
const DURATION_MS_MIN: u32 = 1_000;
/// Longest cell that five digits can say.
const DURATION_MS_MAX: u32 = 99_999;
const NAME_BYTES: usize = "YYYY/MM/DD/HH/MM/SS-DDDDD.ts".len();

/// Numbers of segments of one duration.
///
/// ```
/// use headend_media::playlist::SegmentGrid;
/// let grid = SegmentGrid::new(2_000).unwrap();
/// let name = grid.name(883_661_523).unwrap();
/// assert_eq!(name, "2026/01/02/03/04/06-02000.ts");
/// assert_eq!(SegmentGrid::parse(&name), Some((grid, 883_661_523)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SegmentGrid {
    duration_ms: u32,
}

impl SegmentGrid {
    /// Cells of 1,000 to 99,999 ms, or `None`.
    #[must_use]
    pub fn new(duration_ms: u32) -> Option<Self> {
        (DURATION_MS_MIN..=DURATION_MS_MAX).contains(&duration_ms).then_some(Self { duration_ms })
    }

    /// Milliseconds of a cell.
    #[must_use]
    pub fn duration_ms(self) -> u32 {
        self.duration_ms
    }

    /// The number of the cell that holds this instant; `None` before 1970.
    #[must_use]
    pub fn number_at(self, at: Ticks90k) -> Option<u64> {
        let cell = Ticks90k::from_millis(self.duration_ms.into());
        u64::try_from(at.0).ok().map(|at| at / cell.0.unsigned_abs())
    }

    /// When the cell starts; `None` beyond the year 9999.
    #[must_use]
    pub fn start(self, number: u64) -> Option<Ticks90k> {
        let millis = self.start_ms(number)?;
        let start = Ticks90k::from_millis(millis);
        start.to_timestamp().is_some_and(|at| at.as_millisecond() == millis).then_some(start)
    }

    /// The file name of a segment; `None` beyond the year 9999.
    #[must_use]
    pub fn name(self, number: u64) -> Option<String> {
        let second = self.start_ms(number)?.div_euclid(1_000);
        let at = jiff::Timestamp::from_second(second).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
        Some(format!("{}-{:05}.ts", at.strftime("%Y/%m/%d/%H/%M/%S"), self.duration_ms))
    }

    /// Reads a file name back: the grid it names, and the number. `None` for anything [`Self::name`] would not write,
    /// such as a second no cell of that length starts in.
    #[must_use]
    pub fn parse(name: &str) -> Option<(Self, u64)> {
        if name.len() != NAME_BYTES || !name.is_ascii() {
            return None;
        }
        let grid = Self::new(digits(name, 20, 5)?)?;
        let part = |at| digits(name, at, 2).and_then(|value| i8::try_from(value).ok());
        let year = i16::try_from(digits(name, 0, 4)?).ok()?;
        let date = jiff::civil::Date::new(year, part(5)?, part(8)?).ok()?;
        let time = jiff::civil::Time::new(part(11)?, part(14)?, part(17)?, 0).ok()?;
        let at = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let millis = u64::try_from(at.timestamp().as_millisecond()).ok()?;
        let number = millis.div_ceil(grid.duration_ms.into());
        (grid.name(number)? == name).then_some((grid, number))
    }

    fn start_ms(self, number: u64) -> Option<i64> {
        i64::try_from(number.checked_mul(self.duration_ms.into())?).ok()
    }
}

impl TryFrom<u32> for SegmentGrid {
    type Error = &'static str;

    fn try_from(duration_ms: u32) -> Result<Self, Self::Error> {
        Self::new(duration_ms).ok_or("a segment lasts 1000 to 99999 ms")
    }
}

impl From<SegmentGrid> for u32 {
    fn from(grid: SegmentGrid) -> Self {
        grid.duration_ms
    }
}

/// A number of exactly `count` decimal digits at byte `at`.
fn digits(text: &str, at: usize, count: usize) -> Option<u32> {
    let field = text.get(at..at + count)?;
    field.bytes().all(|byte| byte.is_ascii_digit()).then(|| field.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn check(name: &str, want: Option<(u32, u64)>) {
        assert_eq!(SegmentGrid::parse(name).map(|(grid, number)| (grid.duration_ms(), number)), want, "{name}");
    }

    #[test]
    fn names() {
        check("1970/01/01/00/00/00-02000.ts", Some((2_000, 0)));
        check("2026/01/02/03/04/06-02000.ts", Some((2_000, 883_661_523)));
        check("2026/01/02/03/04/05-02000.ts", None);
        check("2026/01/02/03/04/05-01000.ts", Some((1_000, 1_767_323_045)));
        check("1970/01/01/00/00/04-01500.ts", Some((1_500, 3)));
        check("1970/01/01/00/00/05-01500.ts", None);
        check("2026/01/02/03/04/06-00999.ts", None);
        check("2026/02/30/03/04/06-02000.ts", None);
        check("2026/01/02/24/04/06-02000.ts", None);
        check("2026/01/02/03/04/60-02000.ts", None);
        check("2026/01/02/03/04/+6-02000.ts", None);
        check("2026-01/02/03/04/06-02000.ts", None);
        check("2026/01/02/03/04/06-02000.tsx", None);
        check("2026/01/02/03/04/06-0200é.ts", None);
        check("", None);
    }

    #[test]
    fn cells() {
        let grid = SegmentGrid::new(2_000).unwrap();
        assert_eq!(grid.number_at(Ticks90k(179_999)), Some(0));
        assert_eq!(grid.number_at(Ticks90k(180_000)), Some(1));
        assert_eq!(grid.number_at(Ticks90k(-1)), None);
        assert_eq!(grid.start(3), Some(Ticks90k::from_secs(6)));
        assert_eq!((grid.start(u64::MAX), grid.name(u64::MAX), grid.name(u64::MAX / 4_000)), (None, None, None));
    }

    proptest! {
        #[test]
        fn named_then_parsed_is_the_same(millis in 0_u64..253_402_300_000_000, duration in 1_000_u32..=99_999) {
            let grid = SegmentGrid::new(duration).unwrap();
            let number = millis / u64::from(duration);
            let name = grid.name(number).unwrap();
            assert_eq!(SegmentGrid::parse(&name), Some((grid, number)));
            assert_eq!(grid.number_at(grid.start(number).unwrap()), Some(number));
        }

        #[test]
        fn any_text_is_read_or_refused(name in ".{0,40}", like in "[0-9/]{19}-[0-9]{5}.ts", number in any::<u64>()) {
            for name in [name, like] {
                if let Some((grid, number)) = SegmentGrid::parse(&name) {
                    assert_eq!(grid.name(number), Some(name));
                }
            }
            let _ = (SegmentGrid::new(1_000).unwrap().name(number), SegmentGrid::new(99_999).unwrap().start(number));
        }
    }
}
