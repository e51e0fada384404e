//! The whole state a controller wants of a node, with its generation.
//!
//! It is published retained and signed ([`crate::Signed`]); the node keeps it on disk, refuses an older
//! generation, and runs from its copy when nobody answers. It holds no secret: content keys travel
//! apart, over mutual TLS ([`crate::fleet`]).

use serde::{Deserialize, Serialize};

use crate::dvr::Dvr;
use crate::ids::{ChannelName, NodeName, SiteName, SourceName};

/// The whole desired state of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Counts up; the node refuses an older one.
    pub generation: u64,
    /// Which site it is for.
    pub site: SiteName,
    /// Which node it is for; a node refuses another's.
    pub node: NodeName,
    /// The channels this node packages.
    pub channels: Vec<DesiredChannel>,
    /// Public keys that sign playback tokens.
    pub token_keys: Vec<TokenKey>,
    /// Base address of the key server that playlists name, without a trailing slash; none: this node.
    #[serde(default)]
    pub key_url: Option<String>,
    /// Sessions whose tokens are refused from now on, hexadecimal.
    #[serde(default)]
    pub revoked_sessions: Vec<String>,
}

/// A public key for playback tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    /// The id that tokens name.
    pub id: u8,
    /// The Ed25519 public key, 64 hexadecimal digits.
    pub public: String,
}

/// One channel to package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredChannel {
    /// System name.
    pub name: ChannelName,
    /// Title, for the service description we send and for people.
    pub title: String,
    /// In order of preference.
    pub sources: Vec<DesiredSource>,
    /// When to leave and when to come back.
    pub policy: SourcePolicy,
    /// Target duration `d` in whole seconds.
    pub segment_secs: u32,
    /// Segments the playlist lists.
    pub window_segments: u32,
    /// Content key generation.
    pub key_generation: u32,
    /// Content key period in seconds.
    pub key_period_secs: u32,
    /// Needs no token; segments are encrypted all the same.
    #[serde(default)]
    pub free: bool,
    /// What is kept of it; none: nothing beyond the live window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dvr: Option<Dvr>,
}

/// One way to obtain a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredSource {
    /// Its name within the channel.
    pub name: SourceName,
    /// `file:`, `udp:`, `rtp:`, `http:` or `https:` address.
    pub url: String,
    /// The service id in a multiplex; none takes the first.
    #[serde(default)]
    pub service: Option<u16>,
    /// The other site's local capture, through the tunnel.
    #[serde(default)]
    pub remote: bool,
}

/// Thresholds of the choice among sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePolicy {
    /// A source is left after being bad this long, milliseconds.
    pub leave_after_ms: u32,
    /// A better source is returned to after being good this long, milliseconds.
    pub return_after_ms: u32,
}

impl Default for SourcePolicy {
    /// 1.5 s to leave, 300 s to return (DESIGN.md section 8).
    fn default() -> Self {
        Self { leave_after_ms: 1_500, return_after_ms: 300_000 }
    }
}
