//! Policies as data, by name: failover, rollout, alert. The shape of the rules belongs to
//! the room that decides by them.

use serde::{Deserialize, Serialize};

use super::table::Record;
use crate::domain::PolicyName;

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// The rules, in the shape of the room that reads them.
    pub rules: serde_json::Value,
}

impl Record for Policy {
    const FAMILY: &'static str = "policies";
    const VERSION: u8 = 1;
    type Key = PolicyName;

    fn key(&self) -> PolicyName {
        self.name.clone()
    }

    fn key_text(key: &PolicyName) -> String {
        key.to_string()
    }
}
