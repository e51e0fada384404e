//! Bodies of the node-controller HTTP interface (`/fleet/v1/…`, mutual TLS).
//!
//! `POST /fleet/v1/enrol` is the one call without a client certificate: it trades a one-time code and a
//! certificate request for the node's certificate. `POST /fleet/v1/day-keys` hands a node the day keys of
//! the channels it carries; content keys never cross MQTT.

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelName, NodeName, SiteName};

/// Asks for a certificate.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The one-time code the operator read out.
    pub code: String,
    /// Certificate signing request, PEM; its common name is the node's name.
    pub csr_pem: String,
}

/// What an enrolled node needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// The site the code was made for.
    pub site: SiteName,
    /// The name the code was made for.
    pub node: NodeName,
    /// The node's certificate, PEM.
    pub certificate_pem: String,
    /// The fleet's certificate authority, PEM.
    pub authority_pem: String,
    /// Ed25519 public key that signs desired states and commands, 64 hexadecimal digits.
    pub controller_key: String,
    /// `mqtt://` or `mqtts://` address of the site's broker.
    pub mqtt_url: String,
}

/// Asks for day keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DayKeysRequest {
    /// Channels and generations, as in the desired state.
    pub channels: Vec<KeyScope>,
}

/// One channel at one key generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyScope {
    /// The channel.
    pub channel: ChannelName,
    /// The content-key generation.
    pub generation: u32,
}

/// Day keys for yesterday to 72 hours ahead.
#[derive(Clone, Serialize, Deserialize)]
pub struct DayKeysAnswer {
    /// One entry a channel, generation and day.
    pub keys: Vec<DayKeyEntry>,
}

/// One day key.
#[derive(Clone, Serialize, Deserialize)]
pub struct DayKeyEntry {
    /// The channel.
    pub channel: ChannelName,
    /// The content-key generation.
    pub generation: u32,
    /// Days since the Unix epoch, UTC.
    pub day: u32,
    /// 32 bytes, 64 hexadecimal digits.
    pub key: String,
}
