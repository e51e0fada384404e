//! An operator: who signs in to the dashboard and the REST API, and what they may do.

use serde::{Deserialize, Serialize};

use super::name::Login;
use super::password::PasswordHash;
use super::refusal::{Refusal, plain_text};

/// What an operator may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Change subscribers, pin sources, acknowledge alarms.
    Operator,
    /// Everything, operators and keys included.
    Admin,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Who signs in; does not change.
    pub login: Login,
    /// For people, up to 100 characters.
    pub name: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// What they may do.
    pub role: Role,
    /// Whether they may sign in.
    pub enabled: bool,
}

impl Operator {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        plain_text("name", &self.name, 0..=100)
    }

    /// Whether they may do what needs `role`.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.enabled && self.role >= role
    }
}
