//! Settings of the controller that operators change while it runs, by name.

use serde::{Deserialize, Serialize};

use super::table::Record;
use crate::domain::SettingName;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name.
    pub name: SettingName,
    /// Its value; what it may be is the business of whoever reads it.
    pub value: serde_json::Value,
}

impl Record for Setting {
    const FAMILY: &'static str = "settings";
    const VERSION: u8 = 1;
    type Key = SettingName;

    fn key(&self) -> SettingName {
        self.name.clone()
    }

    fn key_text(key: &SettingName) -> String {
        key.to_string()
    }
}
