//! Which content key is valid when, and how it follows from the key above it.
//!
//! Root (one per [`Generation`], controllers only) → [`DayKey`] per channel and UTC day (nodes hold those of
//! their own channels, some days ahead) → [`PeriodKey`], the 16 bytes of AES-128 that a player fetches.
//! Each step is HKDF-SHA256 (RFC 5869), so any controller and any node computes the same bytes and nothing
//! has to be replicated. A lost node gives away its day keys only; raising the generation makes them worthless.
//!
//! This module knows no wall clock and stores nothing. The packager asks it for the period of a segment's
//! start, the key endpoints for the key of a [`PeriodKeyId`].

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{address::AddressKey, secret::Secret, segment_path::PathKey};

const DAY_MS: u64 = 86_400_000;

/// The shortest period, milliseconds: a player asks for a key once per period.
pub const PERIOD_MS_MIN: u64 = 10_000;

/// The longest period, milliseconds: a period belongs to one day key.
pub const PERIOD_MS_MAX: u64 = DAY_MS;

/// The default period, milliseconds.
pub const PERIOD_MS_DEFAULT: u64 = 300_000;

/// Which root the keys come from; raised when keys are believed lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

/// Days since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub u32);

/// The number of a key period of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(pub u64);

impl Day {
    /// The day that holds this moment, milliseconds since the Unix epoch.
    #[must_use]
    pub fn of_unix_ms(ms: u64) -> Self {
        Self(u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one content key of a channel in a URL: `GENERATION-PERIOD`, for example `7-5666666`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeriodKeyId {
    /// Which root.
    pub generation: Generation,
    /// Which period.
    pub period: Period,
}

/// What is wrong with a schedule or a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The period is too short or too long.
    #[error("a key period of {ms} ms is outside {PERIOD_MS_MIN}..={PERIOD_MS_MAX} ms")]
    PeriodLength {
        /// As asked, milliseconds.
        ms: u64,
    },
    /// Not `GENERATION-PERIOD` in plain decimal.
    #[error("a key id is GENERATION-PERIOD, two decimal numbers")]
    KeyId,
}

impl fmt::Display for PeriodKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation.0, self.period.0)
    }
}

impl FromStr for PeriodKeyId {
    type Err = ScheduleError;

    /// Takes only what `Display` writes: players cache a key by its address, so one key has one spelling.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let parsed = text.split_once('-').and_then(|(generation, period)| {
            Some(Self { generation: Generation(generation.parse().ok()?), period: Period(period.parse().ok()?) })
        });
        parsed.filter(|id| id.to_string() == text).ok_or(ScheduleError::KeyId)
    }
}

impl TryFrom<String> for PeriodKeyId {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<PeriodKeyId> for String {
    fn from(id: PeriodKeyId) -> Self {
        id.to_string()
    }
}

/// When the keys of one channel turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    period_ms: u64,
    stagger_ms: u64,
}

impl Schedule {
    /// A schedule of `period_ms` for this channel. The channel's own stagger keeps all channels' keys from
    /// turning in the same second, when every player would ask at once.
    ///
    /// # Errors
    /// The period is outside [`PERIOD_MS_MIN`]..=[`PERIOD_MS_MAX`].
    pub fn new(channel: &str, period_ms: u64) -> Result<Self, ScheduleError> {
        if !(PERIOD_MS_MIN..=PERIOD_MS_MAX).contains(&period_ms) {
            return Err(ScheduleError::PeriodLength { ms: period_ms });
        }
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(channel));
        Ok(Self { period_ms, stagger_ms: u64::from(u32::from_be_bytes([a, b, c, d])) % period_ms })
    }

    /// The period of a segment that starts at `start_ms`, milliseconds since the Unix epoch. It is asked for
    /// the nominal start of a segment (its number times the segment length), so that every origin agrees.
    #[must_use]
    pub fn period_of(&self, start_ms: u64) -> Period {
        Period(start_ms.saturating_add(self.stagger_ms) / self.period_ms)
    }

    /// When the period begins, milliseconds since the Unix epoch; zero for the first, cut one. A period
    /// number from a stranger saturates.
    #[must_use]
    pub fn start_ms(&self, period: Period) -> u64 {
        period.0.saturating_mul(self.period_ms).saturating_sub(self.stagger_ms)
    }

    /// When the period is over, milliseconds since the Unix epoch.
    #[must_use]
    pub fn end_ms(&self, period: Period) -> u64 {
        self.start_ms(Period(period.0.saturating_add(1)))
    }

    /// The day whose key the period's key comes from: the UTC day in which the period begins.
    #[must_use]
    pub fn day_of(&self, period: Period) -> Day {
        Day::of_unix_ms(self.start_ms(period))
    }

    /// Whether the period begins more than one period after `now_ms`. Nobody needs such a key yet; a player
    /// may ask for the next one early because its segments are announced before the controller's clock turns.
    #[must_use]
    pub fn too_early(&self, period: Period, now_ms: u64) -> bool {
        period.0 > self.period_of(now_ms).0.saturating_add(1)
    }
}

/// The secret all keys of one generation come from. Only controllers hold it.
#[derive(Debug, Clone)]
pub struct Root {
    generation: Generation,
    secret: Secret<32>,
}

impl Root {
    /// A root from 32 random bytes; the caller wipes its own copy.
    #[must_use]
    pub fn new(generation: Generation, bytes: [u8; 32]) -> Self {
        Self { generation, secret: Secret::new(bytes) }
    }

    /// Which generation it serves.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The channel's key for one UTC day: HKDF(root, "headend/day/v1" | generation | channel | day).
    #[must_use]
    pub fn day_key(&self, channel: &str, day: Day) -> DayKey {
        let generation = self.generation.0.to_be_bytes();
        let (length, day_bytes) = (length16(channel), day.0.to_be_bytes());
        let info: [&[u8]; 5] = [b"headend/day/v1", &generation, &length, channel.as_bytes(), &day_bytes];
        DayKey {
            channel: channel.into(),
            generation: self.generation,
            day,
            secret: Secret::derive(self.secret.bytes(), &info),
        }
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        self.secret.bytes()
    }
}

/// What a node holds of a channel for one UTC day: enough for that day's content keys and key addresses.
#[derive(Debug, Clone)]
pub struct DayKey {
    channel: Arc<str>,
    generation: Generation,
    day: Day,
    secret: Secret<32>,
}

impl DayKey {
    /// A day key as delivered; the caller wipes its own copy of the bytes.
    #[must_use]
    pub fn new(channel: &str, generation: Generation, day: Day, bytes: [u8; 32]) -> Self {
        Self { channel: channel.into(), generation, day, secret: Secret::new(bytes) }
    }

    /// The channel's system name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Which root it comes from.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The UTC day.
    #[must_use]
    pub fn day(&self) -> Day {
        self.day
    }

    /// The secret itself, for delivery from controller to node over mutual TLS and for nothing else. On a disk
    /// a day key lies [sealed](DayKey::seal).
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        self.secret.bytes()
    }

    /// The content key of a period of this day: HKDF(day key, "headend/period/v1" | period), 16 bytes. Whether
    /// the period is of this day is the caller's to look up with [`Schedule::day_of`].
    #[must_use]
    pub fn period_key(&self, period: Period) -> PeriodKey {
        PeriodKey(Secret::derive(self.secret.bytes(), &[b"headend/period/v1", &period.0.to_be_bytes()]))
    }

    /// The key that signs this day's key addresses: HKDF(day key, "headend/address/v1").
    #[must_use]
    pub fn address_key(&self) -> AddressKey {
        let secret = Secret::derive(self.secret.bytes(), &[b"headend/address/v1"]);
        AddressKey::new(Arc::clone(&self.channel), self.generation, secret)
    }

    /// The key that makes this day's marks in the paths of segments: HKDF(day key, "headend/segment-path/v1").
    #[must_use]
    pub fn path_key(&self) -> PathKey {
        let secret = Secret::derive(self.secret.bytes(), &[b"headend/segment-path/v1"]);
        PathKey::new(Arc::clone(&self.channel), self.generation, self.day, secret)
    }
}

/// A content key: the 16 bytes of AES-128 that a player fetches.
#[derive(Debug, Clone)]
pub struct PeriodKey(Secret<16>);

impl PeriodKey {
    /// The key's bytes, for the cipher and for the body of a key answer.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        self.0.bytes()
    }
}

/// Length prefix of a name. Names are at most 120 bytes; should one ever be longer, the fields after it have
/// fixed sizes, so the text stays unambiguous with the prefix at its limit.
pub(crate) fn length16(name: &str) -> [u8; 2] {
    u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn root() -> Root {
        Root::new(Generation(7), std::array::from_fn(|i| i.try_into().unwrap()))
    }

    fn schedule(channel: &str) -> Schedule {
        Schedule::new(channel, PERIOD_MS_DEFAULT).unwrap()
    }

    /// Golden values, computed with Python's `hmac` and `hashlib` from the text of RFC 5869 and not with this
    /// code: root 00..1f, generation 7, channel france24, segment start 1,700,000,000 s.
    #[test]
    fn golden_values() {
        let schedule = schedule("france24");
        assert_eq!(schedule.stagger_ms, 25_026);
        let period = schedule.period_of(1_700_000_000_000);
        assert_eq!((period, schedule.start_ms(period)), (Period(5_666_666), 1_699_999_774_974));
        assert_eq!(schedule.day_of(period), Day(19_675));
        let day = root().day_key("france24", Day(19_675));
        assert_eq!(hex(day.reveal()), "52e3fd93ef060b376d6682e321fd33a27230be608749dbe33cd8b4f88b516333");
        assert_eq!(hex(day.period_key(period).bytes()), "a86ad79d8596f5f84b01967aac02f4fc");
    }

    #[test]
    fn a_node_with_day_keys_gets_the_bytes_of_the_controller_with_the_root() {
        let (root, schedule) = (root(), schedule("tf1"));
        // A node is given today and tomorrow as bytes and never sees the root.
        let held: Vec<DayKey> = (19_675..=19_676)
            .map(|d| DayKey::new("tf1", Generation(7), Day(d), *root.day_key("tf1", Day(d)).reveal()))
            .collect();
        let mut start = 19_675 * DAY_MS + PERIOD_MS_DEFAULT;
        while start < 19_677 * DAY_MS {
            let period = schedule.period_of(start);
            let node = held.iter().find(|k| k.day() == schedule.day_of(period)).unwrap();
            let controller = root.day_key("tf1", schedule.day_of(period));
            assert_eq!(node.period_key(period).bytes(), controller.period_key(period).bytes());
            start += 2_000;
        }
    }

    #[test]
    fn channels_turn_at_different_seconds() {
        assert_eq!((schedule("tf1").stagger_ms, schedule("rai1+6").stagger_ms), (188_294, 195_786));
    }

    #[test]
    fn each_input_changes_the_key() {
        let base = root().day_key("tf1", Day(1));
        let other_generation = Root::new(Generation(8), *root().secret()).day_key("tf1", Day(1));
        let others = [root().day_key("tf2", Day(1)), root().day_key("tf1", Day(2)), other_generation];
        for other in others {
            assert_ne!(base.reveal(), other.reveal());
        }
        assert_ne!(base.period_key(Period(1)).bytes(), base.period_key(Period(2)).bytes());
    }

    #[test]
    fn debug_shows_no_secret() {
        let day = DayKey::new("tf1", Generation(1), Day(2), [0xAB; 32]);
        let text = format!("{:?} {day:?} {:?}", Root::new(Generation(3), [0xCD; 32]), day.period_key(Period(4)));
        let secret = "<32 secret bytes>";
        let want = format!(
            "Root {{ generation: Generation(3), secret: {secret} }} DayKey {{ channel: \"tf1\", generation: \
             Generation(1), day: Day(2), secret: {secret} }} PeriodKey(<16 secret bytes>)"
        );
        assert_eq!(text, want);
    }

    #[test]
    fn period_length_has_limits() {
        assert_eq!(Schedule::new("tf1", 9_999), Err(ScheduleError::PeriodLength { ms: 9_999 }));
        assert_eq!(Schedule::new("tf1", DAY_MS + 1), Err(ScheduleError::PeriodLength { ms: DAY_MS + 1 }));
    }

    #[test]
    fn key_ids_have_one_spelling() {
        let id = PeriodKeyId { generation: Generation(7), period: Period(5_666_666) };
        assert_eq!((id.to_string().as_str(), "7-5666666".parse()), ("7-5666666", Ok(id)));
        for text in ["", "7", "7-", "-7", "07-1", "7-+1", "7-1 ", "7-1-2", "4294967296-1", "7-18446744073709551616"] {
            assert_eq!(text.parse::<PeriodKeyId>(), Err(ScheduleError::KeyId), "{text}");
        }
    }

    #[test]
    fn a_key_is_given_at_most_one_period_early() {
        let schedule = schedule("tf1");
        let now = 1_700_000_000_000;
        let Period(current) = schedule.period_of(now);
        assert!(!schedule.too_early(Period(current + 1), now));
        assert!(schedule.too_early(Period(current + 2), now));
        assert!(!schedule.too_early(Period(0), now));
    }

    proptest! {
        #[test]
        fn a_start_lies_in_its_period(channel in "[a-z]{1,8}", period_ms in PERIOD_MS_MIN..=PERIOD_MS_MAX, at: u32) {
            let schedule = Schedule::new(&channel, period_ms).unwrap();
            let at_ms = u64::from(at) * 1_000;
            let period = schedule.period_of(at_ms);
            prop_assert!(schedule.start_ms(period) <= at_ms && at_ms < schedule.end_ms(period));
        }

        #[test]
        fn hostile_period_numbers_saturate(period: u64, now: u64) {
            let schedule = Schedule::new("tf1", PERIOD_MS_DEFAULT).unwrap();
            let _ = (schedule.day_of(Period(period)), schedule.end_ms(Period(period)));
            let _ = (schedule.too_early(Period(period), now), schedule.period_of(period));
        }

        #[test]
        fn any_text_is_a_key_id_or_refused(text in ".{0,40}") {
            if let Ok(id) = text.parse::<PeriodKeyId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn written_key_ids_come_back(generation: u32, period: u64) {
            let id = PeriodKeyId { generation: Generation(generation), period: Period(period) };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
