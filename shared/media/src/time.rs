//! The clocks of a transport stream: 90 kHz instants, 33-bit timestamps, and DVB's calendar.
//!
//! Plain values with arithmetic; nobody asks what time it is here. PTS and DTS are ISO/IEC 13818-1 §2.4.3.7, the
//! 40-bit UTC of TDT, TOT and EIT is ETSI EN 300 468 §5.2.5 and annex C: sixteen bits of Modified Julian Date, then
//! hours, minutes and seconds as six BCD digits.

use std::ops::{Add, AddAssign, Sub, SubAssign};

/// Ticks of 90 kHz in a second.
pub const TICKS_PER_SECOND: i64 = 90_000;

const PTS_MODULUS: u64 = 1 << 33;
const MJD_OF_UNIX_EPOCH: i64 = 40_587;
const SECONDS_PER_DAY: i64 = 86_400;

/// An instant (or a span) in ticks of 90 kHz; as an instant counted from the Unix epoch, UTC. Arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ticks90k(pub i64);

impl Ticks90k {
    /// Whole seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(TICKS_PER_SECOND))
    }

    /// Milliseconds, exact: one is 90 ticks.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(TICKS_PER_SECOND / 1000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND / 1000)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND)
    }

    /// The wall-clock instant, rounded down to a nanosecond; `None` outside the years jiff can say.
    pub fn to_timestamp(self) -> Option<jiff::Timestamp> {
        let nanos = i128::from(self.0) * 100_000;
        jiff::Timestamp::from_nanosecond(nanos.div_euclid(9)).ok()
    }

    /// The tick at or before a wall-clock instant.
    pub fn from_timestamp(at: jiff::Timestamp) -> Self {
        let ticks = (at.as_nanosecond() * 9).div_euclid(100_000);
        Self(i64::try_from(ticks).expect("jiff's years fit into 64 bits of 90 kHz"))
    }

    /// What a PTS says at this instant: the low 33 bits.
    pub const fn to_pts(self) -> Pts {
        Pts(self.0.cast_unsigned() % PTS_MODULUS)
    }
}

impl Add for Ticks90k {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Ticks90k {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Ticks90k {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Ticks90k {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// A 33-bit timestamp of 90 kHz (PTS, DTS, or a PCR's base), which wraps every 26.5 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pts(u64);

impl Pts {
    /// The low 33 bits of `bits`.
    pub const fn new(bits: u64) -> Self {
        Self(bits % PTS_MODULUS)
    }

    /// The number, below 2^33.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Ticks from `earlier` to this one the short way round: at least -2^32, below 2^32.
    ///
    /// ```
    /// use headend_media::time::Pts;
    /// assert_eq!(Pts::new(5).signed_since(Pts::new((1 << 33) - 5)), 10);
    /// ```
    pub const fn signed_since(self, earlier: Self) -> i64 {
        let forward = self.0.wrapping_sub(earlier.0) % PTS_MODULUS;
        if forward < PTS_MODULUS / 2 {
            forward.cast_signed()
        } else {
            forward.cast_signed() - PTS_MODULUS.cast_signed()
        }
    }

    /// This timestamp moved by `ticks`, wrapping.
    pub const fn wrapping_add(self, ticks: i64) -> Self {
        Self(self.0.wrapping_add(ticks.cast_unsigned()) % PTS_MODULUS)
    }
}

/// The instant of five bytes of MJD and BCD; `None` when they are all ones (undefined), or not a time of day.
pub fn from_mjd_bcd(bytes: [u8; 5]) -> Option<jiff::Timestamp> {
    let [high, low, time @ ..] = bytes;
    let seconds = seconds_of_day(time)?;
    let days = i64::from(u16::from_be_bytes([high, low])) - MJD_OF_UNIX_EPOCH;
    jiff::Timestamp::from_second(days * SECONDS_PER_DAY + seconds).ok()
}

/// Five bytes of MJD and BCD, fractions of a second dropped; `None` before 1858-11-17 and after 2038-04-22, which
/// sixteen bits cannot say.
pub fn to_mjd_bcd(at: jiff::Timestamp) -> Option<[u8; 5]> {
    let second = at.as_nanosecond().div_euclid(1_000_000_000);
    let second = i64::try_from(second).ok()?;
    let mjd = u16::try_from(second.div_euclid(SECONDS_PER_DAY) + MJD_OF_UNIX_EPOCH).ok()?;
    let of_day = u32::try_from(second.rem_euclid(SECONDS_PER_DAY)).ok()?;
    let ([high, low], [hour, minute, sec]) = (mjd.to_be_bytes(), to_bcd(of_day)?);
    Some([high, low, hour, minute, sec])
}

/// Seconds of six BCD digits HHMMSS, as EIT durations are sent; hours up to 99. `None` for digits above nine, or
/// minutes and seconds above 59 (an undefined duration is all ones).
pub fn duration_secs(bcd: [u8; 3]) -> Option<u32> {
    let digits = |byte: u8| {
        let (tens, units) = (byte >> 4, byte & 0x0F);
        (tens <= 9 && units <= 9).then_some(u32::from(tens) * 10 + u32::from(units))
    };
    let (hours, minutes, secs) = (digits(bcd[0])?, digits(bcd[1])?, digits(bcd[2])?);
    (minutes < 60 && secs < 60).then_some(hours * 3600 + minutes * 60 + secs)
}

/// Six BCD digits HHMMSS of up to 99:59:59.
pub fn to_bcd(secs: u32) -> Option<[u8; 3]> {
    let digits = |number: u32| u8::try_from(number / 10 * 16 + number % 10).ok();
    (secs < 360_000).then_some(())?;
    Some([digits(secs / 3600)?, digits(secs / 60 % 60)?, digits(secs % 60)?])
}

fn seconds_of_day(bcd: [u8; 3]) -> Option<i64> {
    let secs = i64::from(duration_secs(bcd)?);
    (secs < SECONDS_PER_DAY).then_some(secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: [u8; 5], want: Option<&str>) {
        assert_eq!(from_mjd_bcd(bytes).map(|at| at.to_string()).as_deref(), want, "{bytes:02x?}");
    }

    #[test]
    fn dates_of_the_standard() {
        // EN 300 468 §5.2.5: 93/10/13 12:45:00 is 0xC079124500.
        check([0xC0, 0x79, 0x12, 0x45, 0x00], Some("1993-10-13T12:45:00Z"));
        check([0x9E, 0x8B, 0, 0, 0], Some("1970-01-01T00:00:00Z"));
        check([0xFF, 0xFF, 0x23, 0x59, 0x59], Some("2038-04-22T23:59:59Z"));
        check([0xFF; 5], None);
        check([0xC0, 0x79, 0x24, 0, 0], None);
        check([0xC0, 0x79, 0x12, 0x60, 0], None);
        check([0xC0, 0x79, 0x12, 0x0A, 0], None);
    }

    #[test]
    fn durations() {
        // EN 300 468 §5.2.4: 01:45:30 is 0x014530.
        assert_eq!(duration_secs([0x01, 0x45, 0x30]), Some(6330));
        assert_eq!(duration_secs([0xFF; 3]), None);
        assert_eq!(to_bcd(360_000), None);
    }

    #[test]
    fn timestamps_wrap() {
        let last = Pts::new(u64::MAX);
        assert_eq!(
            (last.value(), last.wrapping_add(1), Pts::new(0).wrapping_add(-1)),
            ((1 << 33) - 1, Pts::new(0), last)
        );
        assert_eq!(last.signed_since(Pts::new(0)), -1);
        assert_eq!(Pts::new(1 << 32).signed_since(Pts::new(0)), -(1 << 32));
    }

    #[test]
    fn ticks_and_wall_time() {
        let at: jiff::Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let ticks = Ticks90k::from_timestamp(at);
        assert_eq!(ticks, Ticks90k::from_millis(1_767_323_045_500));
        assert_eq!(ticks.to_timestamp(), Some(at));
        assert_eq!((Ticks90k(-1).as_secs(), Ticks90k(-1).as_millis()), (-1, -1));
        assert_eq!(Ticks90k(i64::MAX).to_timestamp(), None);
        assert_eq!(Ticks90k(-1).to_pts(), Pts::new(u64::MAX));
    }

    proptest! {
        #[test]
        fn calendar_there_and_back(second in -3_506_716_800_i64..=2_155_593_599) {
            let at = jiff::Timestamp::from_second(second).unwrap();
            prop_assert_eq!(from_mjd_bcd(to_mjd_bcd(at).unwrap()), Some(at));
        }

        #[test]
        fn any_five_bytes_are_read(bytes in any::<[u8; 5]>()) {
            if let Some(at) = from_mjd_bcd(bytes) {
                prop_assert_eq!(to_mjd_bcd(at), Some(bytes));
            }
        }

        #[test]
        fn ticks_survive_wall_time(ticks in -9_000_000_000_000_i64..9_000_000_000_000_000) {
            let back = Ticks90k::from_timestamp(Ticks90k(ticks).to_timestamp().unwrap());
            prop_assert!((ticks - back.0).abs() <= 1);
        }

        #[test]
        fn differences_undo_additions(start in any::<u64>(), ticks in -(1_i64 << 32)..1_i64 << 32) {
            let start = Pts::new(start);
            prop_assert_eq!(start.wrapping_add(ticks).signed_since(start), ticks);
        }
    }
}
