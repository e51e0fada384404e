//! Registered nodes, by name.

use headend_wire::NodeName;

use super::table::Record;
use crate::domain::{NodeRecord, Refusal};

impl Record for NodeRecord {
    const FAMILY: &'static str = "nodes";
    const VERSION: u8 = 1;
    type Key = NodeName;

    fn key(&self) -> NodeName {
        self.name.clone()
    }

    fn key_text(key: &NodeName) -> String {
        key.to_string()
    }

    fn check(&self) -> Result<(), Refusal> {
        Self::check(self)
    }
}
