//! Playback tokens, key addresses and the content key schedule.
//!
//! Content keys are derived, never synchronised: a controller goes from the [`Root`] to a [`DayKey`], a node
//! from the day key it was given to the same [`PeriodKey`], so rotation goes on while sites are cut off from
//! each other. What a viewer shows is signed: a playback [`token`] opens a session, a key [`address`] fetches
//! one key of it, a mark in a segment's path ([`segment_path`]) its segments. [`securetoken`] reads what portals
//! make for other servers. [`sealed`] is how keys lie on a disk.
//!
//! Pure: time, random bytes and stored bytes are arguments. Fetching, caching and files belong to the node and
//! the controller. Every secret is zeroised when dropped and none has a `Debug` that shows it.
//!
//! Standards: RFC 5869 (HKDF), RFC 2104 (HMAC), RFC 8032 (Ed25519), RFC 8216 §4.3.2.4 (EXT-X-KEY).

pub mod address;
pub mod schedule;
pub mod sealed;
mod secret;
pub mod securetoken;
pub mod segment_path;
mod session;
pub mod token;

pub use address::{AddressKey, AddressRefused, KeyAddress};
pub use schedule::{Day, DayKey, Generation, Period, PeriodKey, PeriodKeyId, Root, Schedule, ScheduleError};
pub use sealed::{OpenError, open, seal};
pub use securetoken::{Asked, SecureToken, SecureTokenError, SecureTokenKey};
pub use segment_path::{PathKey, PathMark, PathRefused};
pub use session::{SessionId, SessionIdError};
pub use token::{Scope, SignError, TokenClaims, TokenError, TokenSigner, TokenVerifier};
