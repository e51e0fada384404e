//! Devices, by subscriber and what the device calls itself, so that those of one
//! subscriber lie together.

use super::table::{Kept, Record, StoreError, Table};
use crate::domain::{Device, DeviceId, Login, Refusal};

impl Record for Device {
    const FAMILY: &'static str = "devices";
    const VERSION: u8 = 1;
    type Key = (Login, DeviceId);

    fn key(&self) -> Self::Key {
        (self.subscriber.clone(), self.id.clone())
    }

    fn key_text((subscriber, id): &Self::Key) -> String {
        // Neither may hold a slash.
        format!("{subscriber}/{id}")
    }

    fn check(&self) -> Result<(), Refusal> {
        Self::check(self)
    }
}

impl Table<Device> {
    /// The devices of one subscriber.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn of(&self, subscriber: &Login) -> Result<Vec<Kept<Device>>, StoreError> {
        self.all_under(&format!("{subscriber}/")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DeviceKind;
    use crate::store::{Draft, IdempotencyKey, MemoryEngine};
    use std::sync::Arc;

    #[tokio::test]
    async fn one_subscribers_devices_are_not_anothers() {
        let engine = Arc::new(MemoryEngine::new());
        let table: Table<Device> = Table::new(engine.clone());
        let mut draft = Draft::new(IdempotencyKey::random("test"), 0);
        for (subscriber, id) in [("demo", "00:1A:79:00:00:01"), ("demo", "web"), ("demo2", "web"), ("dem", "x")] {
            let device = Device {
                subscriber: subscriber.parse().unwrap(),
                id: id.parse().unwrap(),
                kind: DeviceKind::Web,
                name: String::new(),
                bound_at: 1,
                seen_at: 2,
                blocked: false,
            };
            draft = draft.insert(&device).unwrap();
        }
        draft.commit(&*engine).await.unwrap();
        let found = table.of(&"demo".parse().unwrap()).await.unwrap();
        let ids: Vec<String> = found.iter().map(|kept| kept.record.id.to_string()).collect();
        assert_eq!(ids, ["00:1a:79:00:00:01", "web"]);
    }
}
