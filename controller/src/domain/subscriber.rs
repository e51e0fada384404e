//! A subscriber: who pays, for which tariffs, until when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::name::{AudienceName, Login, TariffId};
use super::password::PasswordHash;
use super::refusal::{Refusal, at_most, in_range, plain_text};

/// Most tariffs of one subscriber.
pub const TARIFFS_MAX: usize = 32;
/// Most devices one subscriber may be allowed.
pub const DEVICES_MAX: u16 = 100;

/// Whether the operator lets the subscriber in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// May sign in and watch.
    Active,
    /// May not watch until the operator says so.
    Suspended,
}

/// A subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// Who signs in; does not change.
    pub login: Login,
    /// For people, up to 100 characters.
    pub name: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// Whether the operator lets the subscriber in.
    pub status: Status,
    /// Seconds since the Unix epoch from which nothing is paid; none for no end.
    pub paid_until: Option<u64>,
    /// What is paid for.
    pub tariffs: BTreeSet<TariffId>,
    /// Zone, language and preferred origins.
    pub audience: AudienceName,
    /// How many devices may be bound, 1 to [`DEVICES_MAX`].
    pub devices_max: u16,
    /// When it was made, seconds since the Unix epoch.
    pub created_at: u64,
}

impl Subscriber {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        plain_text("name", &self.name, 0..=100)?;
        at_most("tariffs", self.tariffs.len(), TARIFFS_MAX)?;
        in_range("devices_max", self.devices_max.into(), 1..=DEVICES_MAX.into())
    }

    /// Whether what was paid for has ended at `now_secs`.
    #[must_use]
    pub fn is_expired(&self, now_secs: u64) -> bool {
        self.paid_until.is_some_and(|until| until <= now_secs)
    }
}
