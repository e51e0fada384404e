//! A viewing session: what a playback token and a key address name.

use headend_access::SessionId;
use serde::{Deserialize, Serialize, de};

use super::name::Login;
use super::refusal::{Refusal, in_range};

/// The longest session, seconds: 30 days.
pub const SESSION_SECS_MAX: u64 = 30 * 86_400;

/// The first 8 bytes of the hash of a device's id, as tokens carry it: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceHash(pub [u8; 8]);

impl TryFrom<String> for DeviceHash {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        let bad = || Refusal::new("device_hash", "is not 16 hexadecimal digits", "sign in again");
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u64::from_str_radix(&text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| bad())
    }
}

impl From<DeviceHash> for String {
    fn from(hash: DeviceHash) -> Self {
        format!("{:016x}", u64::from_be_bytes(hash.0))
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// 16 random bytes; whoever knows them can ask for keys until the session ends.
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub id: SessionId,
    /// Who watches.
    pub subscriber: Login,
    /// On which device.
    pub device: DeviceHash,
    /// When it began, seconds since the Unix epoch.
    pub created_at: u64,
    /// When it ends, seconds since the Unix epoch.
    pub expires_at: u64,
    /// Ended before its time.
    pub revoked: bool,
}

impl Session {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        in_range("expires_at", self.expires_at, self.created_at..=self.created_at.saturating_add(SESSION_SECS_MAX))
    }

    /// Whether it counts at `now_secs`.
    #[must_use]
    pub fn is_live(&self, now_secs: u64) -> bool {
        !self.revoked && now_secs < self.expires_at
    }
}

fn write_id<S: serde::Serializer>(id: &SessionId, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&id.text())
}

fn read_id<'de, D: serde::Deserializer<'de>>(input: D) -> Result<SessionId, D::Error> {
    String::deserialize(input)?.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            id: SessionId([0xA7; 16]),
            subscriber: "demo".parse().unwrap(),
            device: DeviceHash([1, 2, 3, 4, 5, 6, 7, 0xFF]),
            created_at: 1000,
            expires_at: 2000,
            revoked: false,
        }
    }

    #[test]
    fn lives_until_it_expires_or_is_revoked() {
        assert!(session().is_live(1999) && !session().is_live(2000));
        assert!(!Session { revoked: true, ..session() }.is_live(1500));
        assert!(Session { expires_at: 999, ..session() }.check().is_err());
        assert!(Session { expires_at: 1001 + SESSION_SECS_MAX, ..session() }.check().is_err());
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let text = serde_json::to_string(&session()).unwrap();
        assert!(text.contains("\"device\":\"01020304050607ff\""), "{text}");
        assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session());
        assert!(serde_json::from_str::<Session>(&text.replace("01020304", "+1020304")).is_err());
        assert!(serde_json::from_str::<Session>(&text.replace("p6en", "p6e")).is_err());
    }
}
