//! Secure tokens as portals make them for a Flussonic: `HASH-SALT-END-START`, or with a user's id behind them.
//!
//! `HASH` is the SHA-1, in hexadecimal, of channel name, viewer's address, start, end, key, salt and user id, one behind
//! the other without anything between. The form is given from outside: SHA-1 over a key in the middle is not what we
//! would choose, and our own tokens ([`crate::token`]) are signed. Portals that do not want the address checked write
//! `no_check_ip` in its place, some nothing at all.
//!
//! The key is shared with the portal, so a token says as much as the portal's word and not more.

use std::fmt;

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The longest token read, characters.
pub const SECURE_TOKEN_CHARS_MAX: usize = 256;
/// What stands for the address in a token that is good from everywhere.
const NO_ADDRESS: [&str; 2] = ["no_check_ip", ""];
const HASH_BYTES: usize = 20;
const SECS_CHARS_MAX: usize = 10;

/// What a secure token must fit to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The channel's system name.
    pub channel: &'a str,
    /// The viewer's address as text; none: tokens that name none are wanted, and no other.
    pub address: Option<&'a str>,
    /// Unix seconds.
    pub now: u64,
}

/// A genuine token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureToken {
    /// It holds before this Unix second.
    pub expires: u64,
    /// Whose it is, if the portal said so.
    pub user: Option<String>,
}

/// Why a secure token was refused. For the log: a viewer gets the same 403 whatever the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecureTokenError {
    /// Not of the form.
    #[error("not a secure token: {part}")]
    Malformed {
        /// What was wrong, in words.
        part: &'static str,
    },
    /// Another key, channel, address or user, or changed times.
    #[error("hash of the secure token is wrong")]
    Forged,
    /// Its time has not come.
    #[error("secure token is valid only in {in_secs} s")]
    NotYetValid {
        /// Seconds until then.
        in_secs: u64,
    },
    /// Its time is over.
    #[error("secure token expired {ago_secs} s ago")]
    Expired {
        /// Seconds since then.
        ago_secs: u64,
    },
}

/// The key shared with a portal, and how far its clock may be ahead of ours.
pub struct SecureTokenKey {
    key: Zeroizing<Vec<u8>>,
    desync_secs: u64,
}

impl SecureTokenKey {
    /// The key as the portal has it. A token whose start lies up to `desync_secs` ahead of our clock is taken.
    #[must_use]
    pub fn new(key: &[u8], desync_secs: u64) -> Self {
        Self { key: Zeroizing::new(key.to_vec()), desync_secs }
    }

    /// Whether a token opens what is asked.
    ///
    /// # Errors
    /// [`SecureTokenError`]. Times are looked at only once the hash is right; the comparison takes the same time wherever
    /// the hashes differ.
    pub fn check(&self, token: &str, asked: Asked<'_>) -> Result<SecureToken, SecureTokenError> {
        let read = Parts::read(token)?;
        let genuine = |address: &str| self.hash(&read, asked.channel, address).ct_eq(&read.hash);
        let genuine = match asked.address {
            Some(address) => genuine(address),
            None => NO_ADDRESS.into_iter().fold(0.into(), |found, address| found | genuine(address)),
        };
        if !bool::from(genuine) {
            return Err(SecureTokenError::Forged);
        }
        let (start, expires) = (seconds(read.start)?, seconds(read.end)?);
        if start > asked.now.saturating_add(self.desync_secs) {
            return Err(SecureTokenError::NotYetValid { in_secs: start - asked.now });
        }
        if asked.now >= expires {
            return Err(SecureTokenError::Expired { ago_secs: asked.now - expires });
        }
        Ok(SecureToken { expires, user: read.user.map(str::to_owned) })
    }

    fn hash(&self, read: &Parts<'_>, channel: &str, address: &str) -> [u8; HASH_BYTES] {
        let mut hash = Sha1::new();
        for text in [channel, address, read.start, read.end] {
            hash.update(text);
        }
        hash.update(&*self.key);
        hash.update(read.salt);
        hash.update(read.user.unwrap_or_default());
        hash.finalize().into()
    }
}

impl fmt::Debug for SecureTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecureTokenKey {{ key: <secret>, desync_secs: {} }}", self.desync_secs)
    }
}

/// The fields of a token, as they stand: the hash is over the text.
struct Parts<'a> {
    hash: [u8; HASH_BYTES],
    salt: &'a str,
    end: &'a str,
    start: &'a str,
    /// May hold hyphens.
    user: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn read(token: &'a str) -> Result<Self, SecureTokenError> {
        if token.len() > SECURE_TOKEN_CHARS_MAX {
            return Err(malformed("too long"));
        }
        let mut parts = token.splitn(5, '-');
        let mut next = || parts.next().ok_or(malformed("fewer than four parts"));
        let (hash, salt, end, start) = (next()?, next()?, next()?, next()?);
        let hash = unhex(hash).ok_or(malformed("the hash is not 40 hexadecimal digits"))?;
        Ok(Self { hash, salt, end, start, user: parts.next().filter(|user| !user.is_empty()) })
    }
}

fn malformed(part: &'static str) -> SecureTokenError {
    SecureTokenError::Malformed { part }
}

fn unhex(text: &str) -> Option<[u8; HASH_BYTES]> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; HASH_BYTES];
    if digits.len() != 2 * HASH_BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn seconds(text: &str) -> Result<u64, SecureTokenError> {
    let digits = (1..=SECS_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or(malformed("start and end are Unix seconds"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "fr/france24";
    const ADDRESS: Option<&str> = Some("192.0.2.7");
    const DURING: u64 = 1_700_005_000;

    // Made with Python's hashlib; the first also with `printf … | openssl sha1`: key hunter2, salt a1b2c3d4, 1700000000
    // to 1700010800.
    const GOOD: &str = "099f8a408ace3d428f314cb829d9f26118de8422-a1b2c3d4-1700010800-1700000000";
    const ANYWHERE: &str = "4176a1e95c65d7def1eb3fdba6348537e274717a-a1b2c3d4-1700010800-1700000000";
    const WITHOUT: &str = "d66bb743f46652e8adaf8e4d4aa52ad8efcee50e-a1b2c3d4-1700010800-1700000000";
    const USER: &str = "ef7ad8110cb7927d689161b50f9902c922f45a6b-a1b2c3d4-1700010800-1700000000-user-17";
    const SIX: &str = "48e2b482526e47c64900c5e556718c478923eff7-a1b2c3d4-1700010800-1700000000";

    fn check(token: &str, address: Option<&str>, now: u64, want: &str) {
        let key = SecureTokenKey::new(b"hunter2", 300);
        let got = key.check(token, Asked { channel: NAME, address, now });
        let got = got.map_or_else(|error| error.to_string(), |token| format!("{:?}", token.user));
        assert_eq!(got, want, "{token} from {address:?} at {now}");
    }

    #[test]
    fn vectors() {
        const FORGED: &str = "hash of the secure token is wrong";
        check(GOOD, ADDRESS, DURING, "None");
        check(&GOOD.replace("099f8a", "099F8A"), ADDRESS, DURING, "None");
        check(GOOD, Some("192.0.2.8"), DURING, FORGED);
        check(GOOD, None, DURING, FORGED);
        check(ANYWHERE, None, DURING, "None");
        check(WITHOUT, None, DURING, "None");
        check(ANYWHERE, ADDRESS, DURING, FORGED);
        check(USER, ADDRESS, DURING, "Some(\"user-17\")");
        check(&USER.replace("user-17", "user-18"), ADDRESS, DURING, FORGED);
        check(USER.strip_suffix("-user-17").unwrap(), ADDRESS, DURING, FORGED);
        check(SIX, Some("2001:db8::7"), DURING, "None");
        let other = SecureTokenKey::new(b"hunter3", 300);
        let asked = Asked { channel: NAME, address: ADDRESS, now: DURING };
        assert_eq!(other.check(GOOD, asked), Err(SecureTokenError::Forged));
        let key = SecureTokenKey::new(b"hunter2", 300);
        assert_eq!(key.check(GOOD, Asked { channel: "tf1", ..asked }), Err(SecureTokenError::Forged));
        assert_eq!(format!("{key:?}"), "SecureTokenKey { key: <secret>, desync_secs: 300 }");
    }

    #[test]
    fn times() {
        check(GOOD, ADDRESS, 1_699_999_700, "None");
        check(GOOD, ADDRESS, 1_699_999_699, "secure token is valid only in 301 s");
        check(GOOD, ADDRESS, 1_700_010_799, "None");
        check(GOOD, ADDRESS, 1_700_010_800, "secure token expired 0 s ago");
        // Changed times change the hash.
        check(&GOOD.replace("1700010800", "1800010800"), ADDRESS, DURING, "hash of the secure token is wrong");
    }

    #[test]
    fn what_is_no_token() {
        for text in ["", "-", "---", &GOOD[1..], &GOOD[..52], "099f8a408ace3d428f314cb829d9f26118de842é-a-1-0"] {
            let got = SecureTokenKey::new(b"k", 0).check(text, Asked { channel: NAME, address: ADDRESS, now: DURING });
            assert!(matches!(got, Err(SecureTokenError::Malformed { .. })), "{text} {got:?}");
        }
        check(&format!("{GOOD}-{}", "u".repeat(200)), ADDRESS, DURING, "not a secure token: too long");
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in ".{0,300}", now: u64) {
            let key = SecureTokenKey::new(b"k", u64::MAX);
            let got = key.check(&text, Asked { channel: NAME, address: ADDRESS, now });
            prop_assert!(got.is_err());
        }

        #[test]
        fn a_changed_letter_is_refused(at in 0..GOOD.len(), letter in "[0-9a-f]") {
            let mut text = GOOD.to_owned();
            text.replace_range(at..=at, &letter);
            let key = SecureTokenKey::new(b"hunter2", 300);
            let got = key.check(&text, Asked { channel: NAME, address: ADDRESS, now: DURING });
            prop_assert_eq!(got.is_ok(), text == GOOD);
        }
    }
}
