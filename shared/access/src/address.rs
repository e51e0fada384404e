//! The signed address of one content key: `/k/NAME/GENERATION-PERIOD?s=SESSION&e=EXPIRES&h=MAC`.
//!
//! Players cache a key by the text of its address and never retry one that was refused, so the text depends
//! only on channel, key, session and the session's expiry, never on the moment: it is the same in every reload
//! of a playlist and on every node and controller (RFC 8216 §4.3.2.4 leaves the URI to us). The MAC is the
//! first 16 bytes of HMAC-SHA256 (RFC 2104 §5) under a key derived from the day key, so whoever can serve the
//! content key can check the address, with nobody to ask.
//!
//! It does not decide whether the session is still welcome; the endpoint knows revoked sessions.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    schedule::{Generation, Period, PeriodKeyId, length16},
    secret::Secret,
    session::{SessionId, decode16},
};

/// The most bytes of a query we look at; ours has about 70.
pub const QUERY_BYTES_MAX: usize = 512;

/// A key address was not good: one and the same answer whether it was malformed, forged, expired or for
/// another channel, because a cause would help whoever is guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key address refused")]
pub struct AddressRefused;

/// Signs and checks the key addresses of one channel, generation and UTC day.
#[derive(Debug, Clone)]
pub struct AddressKey {
    channel: Arc<str>,
    generation: Generation,
    secret: Secret<32>,
}

impl AddressKey {
    pub(crate) fn new(channel: Arc<str>, generation: Generation, secret: Secret<32>) -> Self {
        Self { channel, generation, secret }
    }

    /// The address under which `session` fetches the key of `period` until `expires` (Unix seconds, the
    /// expiry of its token). The same arguments give the same text everywhere.
    #[must_use]
    pub fn sign(&self, period: Period, session: SessionId, expires: u32) -> KeyAddress {
        let id = PeriodKeyId { generation: self.generation, period };
        let full: [u8; 32] = self.mac(id, session, expires).finalize().into_bytes().into();
        let (mac, _) = full.split_first_chunk().expect("32 bytes hold 16");
        KeyAddress { channel: Arc::clone(&self.channel), id, session, expires, mac: *mac }
    }

    /// Whether we signed this address and it holds at `now` (Unix seconds; it holds while `now < expires`).
    ///
    /// # Errors
    /// [`AddressRefused`], whatever the cause. The comparison takes the same time wherever the MACs differ.
    pub fn verify(&self, address: &KeyAddress, now: u64) -> Result<(), AddressRefused> {
        let ours = *address.channel == *self.channel && address.id.generation == self.generation;
        let mac = self.mac(address.id, address.session, address.expires);
        let genuine = mac.verify_truncated_left(&address.mac).is_ok();
        if ours & genuine & (now < u64::from(address.expires)) { Ok(()) } else { Err(AddressRefused) }
    }

    fn mac(&self, id: PeriodKeyId, session: SessionId, expires: u32) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.bytes()).expect("HMAC takes a key of any length");
        mac.update(&length16(&self.channel));
        mac.update(self.channel.as_bytes());
        mac.update(&id.generation.0.to_be_bytes());
        mac.update(&id.period.0.to_be_bytes());
        mac.update(&session.0);
        mac.update(&expires.to_be_bytes());
        mac
    }
}

/// A key address as asked for or as written into a playlist. `Display` is the address itself, path and query.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyAddress {
    channel: Arc<str>,
    id: PeriodKeyId,
    session: SessionId,
    expires: u32,
    mac: [u8; 16],
}

impl KeyAddress {
    /// Reads a request: the channel's name and the key id from the path, the query after `?`. Parameters we
    /// do not know are passed over (a playlist adds `r=1` to make a player ask again after a refusal).
    ///
    /// # Errors
    /// [`AddressRefused`] when a part is missing, given twice or not in the one spelling that we write.
    pub fn parse(channel: &str, id: &str, query: &str) -> Result<Self, AddressRefused> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(AddressRefused);
        }
        let id = id.parse().map_err(|_| AddressRefused)?;
        let session = decode16(parameter(query, "s")?).map(SessionId).ok_or(AddressRefused)?;
        let mac = decode16(parameter(query, "h")?).ok_or(AddressRefused)?;
        let text = parameter(query, "e")?;
        let expires: u32 = text.parse().map_err(|_| AddressRefused)?;
        if expires.to_string() != text {
            return Err(AddressRefused);
        }
        Ok(Self { channel: channel.into(), id, session, expires, mac })
    }

    /// The channel's system name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Which key is asked for.
    #[must_use]
    pub fn id(&self) -> PeriodKeyId {
        self.id
    }

    /// Who asks. Not to be believed before [`AddressKey::verify`].
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Until when the address holds, Unix seconds. Not to be believed before [`AddressKey::verify`].
    #[must_use]
    pub fn expires(&self) -> u32 {
        self.expires
    }
}

impl fmt::Display for KeyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, mac) = (self.session.text(), URL_SAFE_NO_PAD.encode(self.mac));
        write!(f, "/k/{}/{}?s={session}&e={}&h={mac}", self.channel, self.id, self.expires)
    }
}

impl fmt::Debug for KeyAddress {
    /// Without the MAC and the full session: whoever reads a log must not be able to fetch the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} of {} for {:?} until {}", self.id, self.channel, self.session, self.expires)
    }
}

/// The only value of `name` in the query. Our values need no percent-encoding.
fn parameter<'q>(query: &'q str, name: &str) -> Result<&'q str, AddressRefused> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value),
        _ => Err(AddressRefused),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schedule::{Day, DayKey, Root};

    const EXPIRES: u32 = 1_700_003_600;
    const NOW: u64 = 1_700_000_000;
    const SESSION: SessionId = SessionId(*b"@ABCDEFGHIJKLMNO");
    /// Computed with Python's `hmac` and `hashlib`, not with this code (see the schedule's golden values).
    const GOLDEN: &str = "/k/france24/7-5666666?s=QEFCQ0RFRkdISUpLTE1OTw&e=1700003600&h=yP6amwaUH2pGPvz-eO5NDg";

    fn day() -> DayKey {
        let root = Root::new(Generation(7), std::array::from_fn(|i| i.try_into().unwrap()));
        root.day_key("france24", Day(19_675))
    }

    /// Parses the address of `france24` and checks it at `now`.
    fn check(id: &str, query: &str, now: u64, want: Result<(), AddressRefused>) {
        let got = KeyAddress::parse("france24", id, query).and_then(|a| day().address_key().verify(&a, now));
        assert_eq!(got, want, "{id}?{query} at {now}");
    }

    fn golden_query() -> &'static str {
        GOLDEN.split_once('?').unwrap().1
    }

    #[test]
    fn golden_address() {
        let address = day().address_key().sign(Period(5_666_666), SESSION, EXPIRES);
        assert_eq!(address.to_string(), GOLDEN);
        check("7-5666666", golden_query(), NOW, Ok(()));
    }

    #[test]
    fn unknown_parameters_are_passed_over() {
        check("7-5666666", &format!("{}&r=1&flag", golden_query()), NOW, Ok(()));
    }

    #[test]
    fn every_cause_gives_the_same_refusal() {
        let query = golden_query();
        let refused = Err(AddressRefused);
        check("7-5666666", query, u64::from(EXPIRES) - 1, Ok(()));
        check("7-5666666", query, u64::from(EXPIRES), refused);
        check("7-5666667", query, NOW, refused);
        check("8-5666666", query, NOW, refused);
        check("7-05666666", query, NOW, refused);
        check("7-5666666", &query.replace("e=1700003600", "e=1700003601"), NOW, refused);
        check("7-5666666", &query.replace("e=1700003600", "e=+1700003600"), NOW, refused);
        check("7-5666666", &query.replace("s=QE", "s=RE"), NOW, refused);
        check("7-5666666", &query.replace("NDg", "NDh"), NOW, refused);
        check("7-5666666", &query.replace("h=yP", "h="), NOW, refused);
        check("7-5666666", &format!("{query}&e=1700003600"), NOW, refused);
        check("7-5666666", &format!("{query}&x={}", "x".repeat(QUERY_BYTES_MAX)), NOW, refused);
        check("7-5666666", "", NOW, refused);
    }

    #[test]
    fn another_channel_or_day_is_refused() {
        let root = Root::new(Generation(7), [9; 32]);
        let address = root.day_key("tf1", Day(5)).address_key().sign(Period(1), SESSION, EXPIRES);
        assert_eq!(root.day_key("tf1", Day(5)).address_key().verify(&address, NOW), Ok(()));
        for other in [root.day_key("tf1", Day(6)), root.day_key("tf2", Day(5))] {
            assert_eq!(other.address_key().verify(&address, NOW), Err(AddressRefused));
        }
    }

    #[test]
    fn debug_shows_neither_secret_nor_mac() {
        let key = day().address_key();
        let address = key.sign(Period(5_666_666), SESSION, EXPIRES);
        let want = "AddressKey { channel: \"france24\", generation: Generation(7), secret: <32 secret bytes> } \
                    key 7-5666666 of france24 for session 40414243.. until 1700003600";
        assert_eq!(format!("{key:?} {address:?}"), want);
    }

    proptest! {
        #[test]
        fn a_signed_address_comes_back(period: u64, session: [u8; 16], expires in 1u32..) {
            let key = day().address_key();
            let text = key.sign(Period(period), SessionId(session), expires).to_string();
            let (path, query) = text.split_once('?').unwrap();
            let id = path.strip_prefix("/k/france24/").unwrap();
            let address = KeyAddress::parse("france24", id, query).unwrap();
            prop_assert_eq!(key.verify(&address, 0), Ok(()));
            prop_assert_eq!(address.session(), SessionId(session));
        }

        #[test]
        fn any_query_never_panics(id in ".{0,30}", query in "(s=|e=|h=|&|[0-9A-Za-z_-]{1,22}|.){0,20}") {
            let _ = KeyAddress::parse("tf1", &id, &query);
        }

        #[test]
        fn every_changed_bit_is_refused(at in 0usize..78, bit in 0u8..7) {
            let (_, query) = GOLDEN.split_once('?').unwrap();
            let mut bytes = query.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let flipped = String::from_utf8(bytes).unwrap();
            let got = KeyAddress::parse("france24", "7-5666666", &flipped)
                .and_then(|a| day().address_key().verify(&a, NOW));
            prop_assert_eq!(got, Err(AddressRefused));
        }
    }
}
