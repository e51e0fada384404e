//! Channels, by system name.

use headend_wire::ChannelName;

use super::table::Record;
use crate::domain::{Channel, Refusal};

impl Record for Channel {
    const FAMILY: &'static str = "channels";
    const VERSION: u8 = 1;
    type Key = ChannelName;

    fn key(&self) -> ChannelName {
        self.name.clone()
    }

    fn key_text(key: &ChannelName) -> String {
        key.to_string()
    }

    fn check(&self) -> Result<(), Refusal> {
        Self::check(self)
    }
}
