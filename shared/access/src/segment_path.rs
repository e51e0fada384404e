//! The mark in the path of a segment: `/NAME/~DAY-MAC/YYYY/MM/DD/HH/MM/SS-DDDDD.ts`.
//!
//! Boxes drop the query of a segment's address, and cookies with it; nothing drops a part of the path. The mark says that
//! a playlist of this channel was given to somebody not long ago. It is the same for all viewers of a channel and day, on
//! every node that holds the channel's keys, so that a cache in front keeps one copy of a segment. It opens no content
//! key: who shares it shares bytes that nobody can read. `MAC` is the first 12 bytes of HMAC-SHA256 (RFC 2104 §5) under a
//! key derived from the day key.
//!
//! It does not know sessions; whoever shows one that was denied is refused in spite of a good mark.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    schedule::{Day, Generation, length16},
    secret::Secret,
};

/// A mark holds on its own day and on so many days after it: a list of a whole day, opened at its end, plays through.
pub const DAYS_AFTER: u32 = 2;

const DAY_SECS: u64 = 86_400;
/// Clocks of two nodes may differ by so much around midnight, seconds.
const SKEW_SECS: u64 = 300;
const MAC_BYTES: usize = 12;
const MAC_CHARS: usize = 16;

/// A mark was not good: malformed, forged, of another channel or too old, whatever the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("path of the segment refused")]
pub struct PathRefused;

/// Makes and checks the marks of one channel, generation and UTC day.
#[derive(Debug, Clone)]
pub struct PathKey {
    channel: Arc<str>,
    generation: Generation,
    day: Day,
    secret: Secret<32>,
}

impl PathKey {
    pub(crate) fn new(channel: Arc<str>, generation: Generation, day: Day, secret: Secret<32>) -> Self {
        Self { channel, generation, day, secret }
    }

    /// The mark of this day.
    #[must_use]
    pub fn mark(&self) -> PathMark {
        let full: [u8; 32] = self.mac().finalize().into_bytes().into();
        let (mac, _) = full.split_first_chunk().expect("32 bytes hold 12");
        PathMark { day: self.day, mac: *mac }
    }

    /// Whether we made this mark and it holds at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`PathRefused`], whatever the cause. The comparison takes the same time wherever the MACs differ.
    pub fn verify(&self, mark: &PathMark, now: u64) -> Result<(), PathRefused> {
        let genuine = self.mac().verify_truncated_left(&mark.mac).is_ok();
        if genuine & (mark.day == self.day) & mark.in_force(now) { Ok(()) } else { Err(PathRefused) }
    }

    fn mac(&self) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.bytes()).expect("HMAC takes a key of any length");
        mac.update(&length16(&self.channel));
        mac.update(self.channel.as_bytes());
        mac.update(&self.generation.0.to_be_bytes());
        mac.update(&self.day.0.to_be_bytes());
        mac
    }
}

/// A mark as asked for or as written into a playlist. `Display` is the part of the path, without slashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PathMark {
    day: Day,
    mac: [u8; MAC_BYTES],
}

impl PathMark {
    /// Reads a part of a path.
    ///
    /// # Errors
    /// [`PathRefused`] for everything but the one spelling that we write.
    pub fn parse(text: &str) -> Result<Self, PathRefused> {
        let (day, mac) = text.strip_prefix('~').and_then(|rest| rest.split_once('-')).ok_or(PathRefused)?;
        let number: u32 = day.parse().map_err(|_| PathRefused)?;
        if number.to_string() != day || mac.len() != MAC_CHARS {
            return Err(PathRefused);
        }
        let bytes = URL_SAFE_NO_PAD.decode(mac).map_err(|_| PathRefused)?;
        Ok(Self { day: Day(number), mac: bytes.try_into().map_err(|_| PathRefused)? })
    }

    /// The day it was made for. Not to be believed before [`PathKey::verify`].
    #[must_use]
    pub fn day(&self) -> Day {
        self.day
    }

    /// Whether a mark of this day holds at `now` (Unix seconds); the MAC is not looked at.
    #[must_use]
    pub fn in_force(&self, now: u64) -> bool {
        let (from, last) = (u64::from(self.day.0), u64::from(self.day.0) + u64::from(DAYS_AFTER));
        from <= now.saturating_add(SKEW_SECS) / DAY_SECS && now / DAY_SECS <= last
    }

    /// The day of the mark for a segment that begins on `segment_day`, in a playlist given out on `today`: the segment's
    /// own day while that holds a day longer at least, so that an address in a live list never changes; today otherwise.
    #[must_use]
    pub fn day_for(segment_day: Day, today: Day) -> Day {
        if segment_day.0 <= today.0 && segment_day.0 + 1 >= today.0 { segment_day } else { today }
    }
}

impl fmt::Display for PathMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{}-{}", self.day.0, URL_SAFE_NO_PAD.encode(self.mac))
    }
}

impl fmt::Debug for PathMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mark of day {}", self.day.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schedule::DayKey;

    const TODAY: u32 = 19_675;
    const NOON: u64 = TODAY as u64 * DAY_SECS + DAY_SECS / 2;

    fn key(channel: &str, generation: u32, day: u32) -> PathKey {
        // The day key of the golden values of `schedule`.
        let hex = "52e3fd93ef060b376d6682e321fd33a27230be608749dbe33cd8b4f88b516333";
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        DayKey::new(channel, Generation(generation), Day(day), std::array::from_fn(byte)).path_key()
    }

    /// Computed with Python's `hmac` and `hashlib` from RFC 5869 and RFC 2104, not with this code.
    #[test]
    fn golden_value() {
        let mark = key("france24", 7, TODAY).mark();
        assert_eq!(mark.to_string(), "~19675-ZrzzZt7XshqJ56b4");
        assert_eq!(PathMark::parse("~19675-ZrzzZt7XshqJ56b4"), Ok(mark));
        assert_eq!(format!("{mark:?}"), "mark of day 19675");
    }

    #[test]
    fn a_mark_is_of_one_channel_one_generation_and_a_few_days() {
        let ours = key("france24", 7, TODAY);
        let mark = ours.mark();
        for (now, want) in [
            (NOON, true),
            (NOON - DAY_SECS, false),
            (u64::from(TODAY) * DAY_SECS - 301, false),
            (u64::from(TODAY) * DAY_SECS - 300, true),
            (u64::from(TODAY + 3) * DAY_SECS - 1, true),
            (u64::from(TODAY + 3) * DAY_SECS, false),
        ] {
            assert_eq!(ours.verify(&mark, now).is_ok(), want, "{now}");
        }
        for other in [key("france2", 7, TODAY), key("france24", 8, TODAY), key("france24", 7, TODAY + 1)] {
            assert_eq!(other.verify(&mark, NOON), Err(PathRefused));
        }
    }

    #[test]
    fn only_our_spelling_is_read() {
        for text in [
            "",
            "~",
            "~19675",
            "19675-ZrzzZt7XshqJ56b4",
            "~019675-ZrzzZt7XshqJ56b4",
            "~+1-ZrzzZt7XshqJ56b4",
            "~4294967296-ZrzzZt7XshqJ56b4",
            "~19675-ZrzzZt7XshqJ56b",
            "~19675-ZrzzZt7XshqJ56b4A",
            "~19675-ZrzzZt7XshqJ56b=",
            "~19675-Zrzz/t7XshqJ56b4",
        ] {
            assert_eq!(PathMark::parse(text), Err(PathRefused), "{text}");
        }
    }

    #[test]
    fn a_live_address_stays_over_midnight() {
        let day_for = |segment, today| PathMark::day_for(Day(segment), Day(today)).0;
        assert_eq!([day_for(10, 10), day_for(10, 11), day_for(10, 12), day_for(10, 30)], [10, 10, 12, 30]);
        // A segment of the future is a clock that was wrong.
        assert_eq!(day_for(12, 10), 10);
    }

    proptest! {
        #[test]
        fn any_text_is_a_mark_or_refused(text in ".{0,40}") {
            if let Ok(mark) = PathMark::parse(&text) {
                prop_assert_eq!(mark.to_string(), text);
            }
        }

        #[test]
        fn what_is_given_out_holds_for_a_day_at_least(segment in 0_u32..40_000, today in 1_u32..40_000, second in 0..DAY_SECS) {
            let day = PathMark::day_for(Day(segment), Day(today));
            let mark = PathMark { day, mac: [0; MAC_BYTES] };
            let now = u64::from(today) * DAY_SECS + second;
            prop_assert!(mark.in_force(now) && mark.in_force(now + DAY_SECS), "{mark:?}");
            prop_assert!(!mark.in_force(now + 3 * DAY_SECS));
        }

        #[test]
        fn a_changed_mac_is_refused(bit in 0_usize..96) {
            let ours = key("france24", 7, TODAY);
            let mut mark = ours.mark();
            mark.mac[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(ours.verify(&mark, NOON), Err(PathRefused));
        }
    }
}
