//! The name of one viewing session, carried by tokens, child playlists and key addresses.
//!
//! 16 random bytes chosen by the controller that signed the token. Whoever knows a session's full name can ask
//! for its keys until it expires, so `Debug` shows only enough of it to match two log lines.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// 16 bytes that name a session; unguessable when the signer draws them at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// The text is not 22 characters of URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id is 22 characters of URL-safe base64")]
pub struct SessionIdError;

impl SessionId {
    /// The full name for a URL: 22 characters of URL-safe base64 (RFC 4648 §5), no padding. Not for logs.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        decode16(text).map(Self).ok_or(SessionIdError)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "session {a:02x}{b:02x}{c:02x}{d:02x}..")
    }
}

/// 16 bytes from exactly 22 canonical characters.
pub(crate) fn decode16(text: &str) -> Option<[u8; 16]> {
    if text.len() != 22 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_debug_is_short() {
        let session = SessionId([0xA7; 16]);
        assert_eq!(session.text().parse(), Ok(session));
        assert_eq!(format!("{session:?}"), "session a7a7a7a7..");
    }

    #[test]
    fn only_the_canonical_text_is_taken() {
        // The last character carries four bits of the value and two that must be zero (RFC 4648 §3.5).
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(text.parse::<SessionId>(), Err(SessionIdError), "{text}");
        }
    }
}
