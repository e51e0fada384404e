//! A tariff: what a subscriber pays for, as a set of tags. A channel is in a tariff when it
//! carries one of its tags.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::name::{Tag, TariffId};
use super::refusal::{Refusal, at_most, plain_text};

/// Most tags of one tariff or channel.
pub const TAGS_MAX: usize = 32;

/// A tariff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Its id, which does not change.
    pub id: TariffId,
    /// For people, 1 to 100 characters.
    pub name: String,
    /// Channels with one of these are in it; none means no channel.
    pub tags: BTreeSet<Tag>,
}

impl Tariff {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        plain_text("name", &self.name, 1..=100)?;
        at_most("tags", self.tags.len(), TAGS_MAX)
    }
}
