//! What happened in the fleet: events that nodes sent, and redirects that this controller changed.
//!
//! An event lies under its node, life and number: a resend finds the record it made before, and the oldest of a
//! node come first. A redirect lies under its time.

use headend_wire::{Event, Incarnation, NodeName};
use serde::{Deserialize, Serialize};

use super::table::Record;
use crate::fleet::{redirect::Change, state::NodeKey};

/// An event of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptEvent {
    /// Whose.
    pub node: NodeKey,
    /// Which life of the node.
    pub incarnation: Incarnation,
    /// Its number in that life.
    pub seq: u64,
    /// When it arrived, milliseconds since the Unix epoch.
    pub received_ms: u64,
    /// What happened.
    pub event: Event,
}

impl Record for KeptEvent {
    const FAMILY: &'static str = "events";
    const VERSION: u8 = 1;
    type Key = (NodeName, Incarnation, u64);

    fn key(&self) -> Self::Key {
        (self.node.node.clone(), self.incarnation, self.seq)
    }

    fn key_text((node, incarnation, seq): &Self::Key) -> String {
        // Sixteen digits keep the order of lives and numbers; a name holds no slash, and is unique over the sites.
        format!("{node}/{:016x}-{seq:016x}", incarnation.0)
    }
}

/// A redirect that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptChange {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Tells two of one millisecond apart.
    pub number: u64,
    /// What changed, why, and what was measured.
    pub change: Change,
}

impl Record for KeptChange {
    const FAMILY: &'static str = "redirects";
    const VERSION: u8 = 1;
    type Key = (u64, u64);

    fn key(&self) -> Self::Key {
        (self.at_ms, self.number)
    }

    fn key_text((at_ms, number): &Self::Key) -> String {
        format!("{at_ms:016x}-{number:08x}")
    }
}
