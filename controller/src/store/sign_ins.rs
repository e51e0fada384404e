//! Sign-ins of operators, by the hash of their token, so that a restart signs nobody out.

use serde::{Deserialize, Serialize};

use super::table::Record;
use crate::domain::Login;

/// One sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The first half of the token's hash, 32 hexadecimal digits.
    pub id: String,
    /// Whose.
    pub operator: Login,
    /// When it ends, seconds since the Unix epoch; 0 when it was ended.
    pub expires_at: u64,
}

impl Record for SignIn {
    const FAMILY: &'static str = "signins";
    const VERSION: u8 = 1;
    type Key = String;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn key_text(key: &String) -> String {
        key.clone()
    }
}
