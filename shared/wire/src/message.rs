//! The envelope of every message: version, incarnation, sequence and time around a body.
//!
//! `(node, incarnation, seq)` names a message once and for all, so a receiver can drop what it has seen
//! and can tell a late death (an old incarnation's will) from a new one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version this code writes; it reads every version up to this one.
pub const WIRE_VERSION: u16 = 1;

/// The largest message we write, in bytes; brokers and clients are set to take 256 KiB.
pub const MESSAGE_BYTES_MAX: usize = 192 * 1024;

/// One life of a node process: Unix milliseconds of its start, larger than any life before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// A body with its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message<T> {
    /// Wire version, see [`WIRE_VERSION`].
    pub v: u16,
    /// Which life of the sender.
    pub incarnation: Incarnation,
    /// Counts up by one for each message of an incarnation.
    pub seq: u64,
    /// The sender's wall time.
    pub at: Timestamp,
    /// The message itself.
    pub body: T,
}

/// Why bytes from the wire are not a message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("message of {bytes} bytes, the limit is {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Written by a newer release.
    #[error("message version {found}, this release reads up to {WIRE_VERSION}: upgrade this side first")]
    Newer {
        /// The version it carries.
        found: u16,
    },
    /// Not the JSON we expect.
    #[error("message is not readable")]
    Json(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u16,
}

impl<T: Serialize + DeserializeOwned> Message<T> {
    /// Reads a message, refusing what is too large or newer than this release.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLarge { bytes: bytes.len() });
        }
        let VersionOnly { v } = serde_json::from_slice(bytes).map_err(WireError::Json)?;
        if v > WIRE_VERSION {
            return Err(WireError::Newer { found: v });
        }
        serde_json::from_slice(bytes).map_err(WireError::Json)
    }

    /// The JSON bytes.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] when the body does not fit; [`WireError::Json`] when it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WireError> {
        let bytes = serde_json::to_vec(self).map_err(WireError::Json)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::{Birth, Event, Health, Reported, Will};

    #[test]
    fn a_newer_version_names_the_way_out() {
        let text = br#"{"v":9,"body":{"shape":"unknown"}}"#;
        let error = Message::<Will>::from_bytes(text).expect_err("newer");
        assert_eq!(error.to_string(), "message version 9, this release reads up to 1: upgrade this side first");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::<Birth>::from_bytes(&bytes);
            let _ = Message::<Health>::from_bytes(&bytes);
            let _ = Message::<Event>::from_bytes(&bytes);
            let _ = Message::<Reported>::from_bytes(&bytes);
        }
    }
}
