//! Tariffs, by id.

use super::table::Record;
use crate::domain::{Refusal, Tariff, TariffId};

impl Record for Tariff {
    const FAMILY: &'static str = "tariffs";
    const VERSION: u8 = 1;
    type Key = TariffId;

    fn key(&self) -> TariffId {
        self.id.clone()
    }

    fn key_text(key: &TariffId) -> String {
        key.to_string()
    }

    fn check(&self) -> Result<(), Refusal> {
        Self::check(self)
    }
}
