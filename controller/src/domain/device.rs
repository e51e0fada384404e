//! A device of a subscriber: a box, a browser, a phone.

use serde::{Deserialize, Serialize};

use super::name::{DeviceId, Login};
use super::refusal::{Refusal, plain_text};

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A MAG box or another that speaks the Stalker API.
    Stalker,
    /// A TVIP box.
    Tvip,
    /// A browser on the subscriber's page.
    Web,
    /// A player with an address of its own.
    Player,
}

/// A bound device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Whose it is.
    pub subscriber: Login,
    /// What it calls itself.
    pub id: DeviceId,
    /// What kind of device it is.
    pub kind: DeviceKind,
    /// For people, up to 100 characters.
    pub name: String,
    /// When it was bound, seconds since the Unix epoch.
    pub bound_at: u64,
    /// When it signed in last, seconds since the Unix epoch.
    pub seen_at: u64,
    /// Refused although it is bound.
    pub blocked: bool,
}

impl Device {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        plain_text("name", &self.name, 0..=100)
    }
}
