//! Sessions, by their id. A site may keep its sessions in memory alone; those that must
//! outlive a restart are kept here.

use headend_access::SessionId;

use super::table::{Kept, Record, StoreError, Table};
use crate::domain::{Refusal, Session};

impl Record for Session {
    const FAMILY: &'static str = "sessions";
    const VERSION: u8 = 1;
    type Key = SessionId;

    fn key(&self) -> SessionId {
        self.id
    }

    fn key_text(key: &SessionId) -> String {
        key.text()
    }

    fn check(&self) -> Result<(), Refusal> {
        Self::check(self)
    }
}

impl Table<Session> {
    /// The sessions of a page that no longer count at `now_secs`, for the hourly sweep, and
    /// where the next page begins; none when this was the last.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn ended(
        &self,
        after: Option<&SessionId>,
        now_secs: u64,
    ) -> Result<(Vec<Kept<Session>>, Option<SessionId>), StoreError> {
        let mut page = self.page(after, super::table::PAGE_RECORDS_MAX).await?;
        let next = page.last().filter(|_| page.len() == super::table::PAGE_RECORDS_MAX);
        let next = next.map(|kept| kept.record.id);
        page.retain(|kept| !kept.record.is_live(now_secs));
        Ok((page, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DeviceHash;
    use crate::store::{Draft, IdempotencyKey, MemoryEngine};
    use std::sync::Arc;

    #[tokio::test]
    async fn the_sweep_finds_those_that_ended() {
        let engine = Arc::new(MemoryEngine::new());
        let table: Table<Session> = Table::new(engine.clone());
        for part in 0..3_u8 {
            let mut draft = Draft::new(IdempotencyKey::random("test"), 0);
            for n in 0..=255_u8 {
                let session = Session {
                    id: SessionId([part, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                    subscriber: "demo".parse().unwrap(),
                    device: DeviceHash([n; 8]),
                    created_at: 0,
                    expires_at: 1000 + u64::from(n),
                    revoked: n == 200,
                };
                draft = draft.put(&session).unwrap();
            }
            draft.commit(&*engine).await.unwrap();
        }
        let (ended, next) = table.ended(None, 1010).await.unwrap();
        // Expired at 1000 to 1010, and the revoked one, in each part.
        assert_eq!((ended.len(), next), (3 * 12, None));
    }
}
