//! Operators, by login.

use super::table::Record;
use crate::domain::{Login, Operator, Refusal};

impl Record for Operator {
    const FAMILY: &'static str = "operators";
    const VERSION: u8 = 1;
    type Key = Login;

    fn key(&self) -> Login {
        self.login.clone()
    }

    fn key_text(key: &Login) -> String {
        key.to_string()
    }

    fn check(&self) -> Result<(), Refusal> {
        Self::check(self)
    }
}
