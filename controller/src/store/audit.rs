//! The audit: who changed what, appended in the same batch as the change, never changed
//! afterwards, and trimmed from its old end.

use serde::{Deserialize, Serialize};

use super::engine::IdempotencyKey;
use super::table::{Kept, PAGE_RECORDS_MAX, Record, StoreError, Table};
use crate::domain::{Refusal, refusal::plain_text};

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The idempotency key of the write it belongs to; makes the line's key its own.
    pub request: String,
    /// Who: an operator's login, `billing`, `controller`. Up to 100 characters.
    pub who: String,
    /// What was done: `subscriber.create`. Up to 100 characters.
    pub action: String,
    /// To what: `demo`. Up to 200 characters.
    pub subject: String,
    /// More, for people; never a password or key. Up to 500 characters.
    pub detail: String,
}

impl AuditEntry {
    /// A line that belongs to the write named by `request`.
    #[must_use]
    pub fn new(request: &IdempotencyKey, at_ms: u64, who: &str, action: &str, subject: &str) -> Self {
        Self {
            at_ms,
            request: request.to_string(),
            who: who.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: String::new(),
        }
    }
}

impl Record for AuditEntry {
    const FAMILY: &'static str = "audit";
    const VERSION: u8 = 1;
    type Key = (u64, String);

    fn key(&self) -> Self::Key {
        (self.at_ms, self.request.clone())
    }

    fn key_text((at_ms, request): &Self::Key) -> String {
        // Sixteen digits keep the order of times.
        format!("{at_ms:016x}-{request}")
    }

    fn check(&self) -> Result<(), Refusal> {
        plain_text("who", &self.who, 1..=100)?;
        plain_text("action", &self.action, 1..=100)?;
        plain_text("subject", &self.subject, 0..=200)?;
        plain_text("detail", &self.detail, 0..=500)
    }
}

impl Table<AuditEntry> {
    /// Up to `limit` lines from `from_ms` on, oldest first.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn since(&self, from_ms: u64, limit: usize) -> Result<Vec<Kept<AuditEntry>>, StoreError> {
        // No line has an empty request, so this key sorts before every line of that time.
        self.page(Some(&(from_ms, String::new())), limit).await
    }

    /// The newest `limit` lines, newest first. Looks back a day, a month, a year and then
    /// at everything, so that a busy audit is not read whole.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn newest(&self, now_ms: u64, limit: usize) -> Result<Vec<Kept<AuditEntry>>, StoreError> {
        let mut found = std::collections::VecDeque::new();
        for back_days in [1, 31, 366, u64::MAX / 86_400_000] {
            found.clear();
            let mut after = (now_ms.saturating_sub(back_days.saturating_mul(86_400_000)), String::new());
            loop {
                let page = self.page(Some(&after), PAGE_RECORDS_MAX).await?;
                let last = page.len() < PAGE_RECORDS_MAX;
                for kept in page {
                    after = kept.record.key();
                    found.push_back(kept);
                    if found.len() > limit {
                        found.pop_front();
                    }
                }
                if last {
                    break;
                }
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found.into_iter().rev().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Draft, MemoryEngine};
    use std::sync::Arc;

    #[tokio::test]
    async fn lines_are_found_from_both_ends() {
        let engine = Arc::new(MemoryEngine::new());
        let table: Table<AuditEntry> = Table::new(engine.clone());
        let day = 86_400_000;
        for at_ms in [1, day, 400 * day, 400 * day + 5, 401 * day] {
            let request = IdempotencyKey::random("test");
            let line = AuditEntry::new(&request, at_ms, "anna", "tariff.create", "Base");
            Draft::new(request, at_ms).insert(&line).unwrap().commit(&*engine).await.unwrap();
        }
        let times = |found: Vec<Kept<AuditEntry>>| found.iter().map(|kept| kept.record.at_ms).collect::<Vec<_>>();
        let now_ms = 401 * day;
        assert_eq!(times(table.newest(now_ms, 2).await.unwrap()), [401 * day, 400 * day + 5]);
        assert_eq!(times(table.newest(now_ms, 4).await.unwrap())[3], day);
        assert_eq!(table.newest(now_ms, 100).await.unwrap().len(), 5);
        assert_eq!(times(table.since(400 * day, 2).await.unwrap()), [400 * day, 400 * day + 5]);
    }
}
