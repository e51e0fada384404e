//! What is kept of a channel: depth, share of the disks, bytes, and what is locked.
//!
//! Written as operators know it from Flussonic's `dvr` line: `5d 95% 500G`. The depth comes first and is needed; the
//! share of the disk and the most bytes may follow in any order. Plain values; who deletes what, and when, is the
//! node's business.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The deepest archive, seconds: 400 days.
pub const DEPTH_SECS_MAX: u32 = 400 * DAY;
/// The least depth, seconds: below it nothing could be sought in.
pub const DEPTH_SECS_MIN: u32 = 60;
/// How full a disk may get when nothing is said.
pub const DISK_PERCENT_DEFAULT: u8 = 95;
/// The most locks of a channel.
pub const LOCKS_MAX: usize = 32;

const MINUTE: u32 = 60;
const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
const WORD_CHARS_MAX: usize = 24;

/// Why a text is no retention.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Nothing, or something else first.
    #[error("a depth such as 5d or 12h comes first")]
    NoDepth,
    /// A depth out of range.
    #[error("the depth is outside 60 s to 400 days")]
    Depth,
    /// A word that is neither share nor bytes, or comes twice.
    #[error("{word:?} is neither a share such as 95% nor bytes such as 500G, or comes twice")]
    Word {
        /// The word, cut to 24 characters.
        word: String,
    },
}

/// How much of a channel is kept.
///
/// ```
/// use headend_wire::Retention;
/// let keep: Retention = "5d 95% 500G".parse().unwrap();
/// assert_eq!((keep.depth_secs, keep.disk_percent, keep.bytes_max), (432_000, 95, Some(500 << 30)));
/// assert_eq!(keep.to_string(), "5d 95% 500G");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Retention {
    /// Seconds that are kept where there is room: 60 s to 400 days.
    pub depth_secs: u32,
    /// How full a disk may be for this channel's sake, 1 to 99 percent.
    pub disk_percent: u8,
    /// The most bytes of this channel over all disks.
    pub bytes_max: Option<u64>,
}

/// What a node keeps of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dvr {
    /// How much.
    pub keep: Retention,
    /// What is kept whatever the depth, until it is no longer named here; at most [`LOCKS_MAX`] count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Lock>,
}

/// A programme that must not be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Its start, Unix seconds.
    pub from: u64,
    /// Its end, Unix seconds; above `from`.
    pub until: u64,
}

impl FromStr for Retention {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, RetentionError> {
        let mut words = text.split_whitespace();
        let depth = words.next().and_then(depth).ok_or(RetentionError::NoDepth)?;
        let depth_secs = u32::try_from(depth).map_err(|_| RetentionError::Depth)?;
        if !(DEPTH_SECS_MIN..=DEPTH_SECS_MAX).contains(&depth_secs) {
            return Err(RetentionError::Depth);
        }
        let (mut percent, mut bytes_max) = (None, None);
        for word in words {
            let refuse = || RetentionError::Word { word: word.chars().take(WORD_CHARS_MAX).collect() };
            match (share(word), bytes(word)) {
                (Some(share), _) if percent.is_none() => percent = Some(share),
                (_, Some(bytes)) if bytes_max.is_none() => bytes_max = Some(bytes),
                _ => return Err(refuse()),
            }
        }
        Ok(Self { depth_secs, disk_percent: percent.unwrap_or(DISK_PERCENT_DEFAULT), bytes_max })
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")];
        let unit = units.into_iter().find(|(secs, _)| self.depth_secs.is_multiple_of(*secs));
        let (secs, unit) = unit.unwrap_or((1, ""));
        write!(f, "{}{unit} {}%", self.depth_secs / secs, self.disk_percent)?;
        let Some(bytes) = self.bytes_max else { return Ok(()) };
        let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
        let unit = units.into_iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift);
        let (shift, unit) = unit.unwrap_or((0, ""));
        write!(f, " {}{unit}", bytes >> shift)
    }
}

impl TryFrom<String> for Retention {
    type Error = RetentionError;

    fn try_from(text: String) -> Result<Self, RetentionError> {
        text.parse()
    }
}

impl From<Retention> for String {
    fn from(keep: Retention) -> Self {
        keep.to_string()
    }
}

/// `5d`, `2h`, `30m`, `90s`, `90`.
fn depth(word: &str) -> Option<u64> {
    let (digits, unit) = split(word)?;
    let secs = match unit {
        "w" => 7 * DAY,
        "d" => DAY,
        "h" => HOUR,
        "m" => MINUTE,
        "s" | "" => 1,
        _ => return None,
    };
    digits.checked_mul(secs.into())
}

fn share(word: &str) -> Option<u8> {
    let digits = word.strip_suffix('%')?;
    let (value, unit) = split(digits)?;
    u8::try_from(value).ok().filter(|share| unit.is_empty() && (1..=99).contains(share))
}

/// `500G`; a bare number is bytes. Binary multiples, as Flussonic counts.
fn bytes(word: &str) -> Option<u64> {
    let (digits, unit) = split(word)?;
    let shift = match unit {
        "T" | "t" => 40,
        "G" | "g" => 30,
        "M" | "m" => 20,
        "K" | "k" => 10,
        "" => 0,
        _ => return None,
    };
    digits.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

/// Leading digits, at most 15, and the rest.
fn split(word: &str) -> Option<(u64, &str)> {
    let at = word.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(at);
    ((1..=15).contains(&at)).then(|| digits.parse().ok()).flatten().map(|digits| (digits, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn check(text: &str, want: &str) {
        let got = text.parse::<Retention>().map_or_else(|error| error.to_string(), |keep| keep.to_string());
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn what_operators_write() {
        check("5d", "5d 95%");
        check("5d 95%", "5d 95%");
        check("5d 95% 500G", "5d 95% 500G");
        check("5d 500G 80%", "5d 80% 500G");
        check("  2h   90%  ", "2h 90%");
        check("90", "90 95%");
        check("48h", "2d 95%");
        check("1w 1500M", "7d 95% 1500M");
        check("30m 1000000", "30m 95% 1000000");
    }

    #[test]
    fn what_is_no_retention() {
        let twice =
            |word: &str| format!("{word:?} is neither a share such as 95% nor bytes such as 500G, or comes twice");
        check("", "a depth such as 5d or 12h comes first");
        check("95% 5d", "a depth such as 5d or 12h comes first");
        check("-5d", "a depth such as 5d or 12h comes first");
        check("0", "the depth is outside 60 s to 400 days");
        check("401d", "the depth is outside 60 s to 400 days");
        check("5d 0%", &twice("0%"));
        check("5d 100%", &twice("100%"));
        check("5d 95% 90%", &twice("90%"));
        check("5d 0G", &twice("0G"));
        check("5d replicate", &twice("replicate"));
        check("5d 999999999999999T", &twice("999999999999999T"));
        check("99999999999999999999d", "a depth such as 5d or 12h comes first");
    }

    proptest! {
        #[test]
        fn written_then_read_is_the_same(
            depth_secs in DEPTH_SECS_MIN..=DEPTH_SECS_MAX, disk_percent in 1_u8..=99, bytes in prop::option::of(1_u64..1 << 49),
        ) {
            let keep = Retention { depth_secs, disk_percent, bytes_max: bytes };
            assert_eq!(keep.to_string().parse(), Ok(keep));
            let text = serde_json::to_string(&keep).unwrap();
            assert_eq!(serde_json::from_str::<Retention>(&text).unwrap(), keep);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = text.parse::<Retention>();
        }
    }
}
