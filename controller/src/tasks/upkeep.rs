//! What the store and the memory need now and then.

use std::{path::PathBuf, sync::Arc, time::Duration};

use headend_rt::{CancellationToken, Clock};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::{
    api::Office,
    store::{Draft, Engine, IdempotencyKey, Record as _, SledEngine, StoreError, Table, audit::AuditEntry, shelf},
};

const COPY_LOOK: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3_600);
const CATALOGUE: Duration = Duration::from_secs(30);
/// How long a line of the audit is kept: 400 days, so that a year can be compared with the last.
pub const AUDIT_KEPT_MS: u64 = 400 * 86_400_000;
const TRIM_BATCH: usize = 200;

/// Ticks; a late one does not make the next ones early.
struct Ticks(Interval);

impl Ticks {
    fn every(period: Duration) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(ticks)
    }

    /// Waits for the next one; false when it is time to stop.
    async fn next(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            _ = self.0.tick() => !stop.is_cancelled(),
            () = stop.cancelled() => false,
        }
    }
}

/// Keeps an hourly copy of the store in `folder`.
pub async fn copies(engine: Arc<dyn Engine>, folder: PathBuf, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut ticks = Ticks::every(COPY_LOOK);
    while ticks.next(&stop).await {
        let now_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
        match shelf::is_due(&folder, now_ms) {
            Ok(false) => {}
            Ok(true) => match shelf::put(&*engine, &folder, now_ms).await {
                Ok((path, summary)) => {
                    tracing::info!(path = %path.display(), records = summary.records, "store copied")
                }
                Err(error) => tracing::error!(error = headend_rt::chain(&error), "store could not be copied"),
            },
            Err(error) => tracing::error!(%error, folder = %folder.display(), "copies of the store cannot be listed"),
        }
    }
}

/// Makes the disk's reserve again when there is room.
pub async fn ballast(engine: Arc<SledEngine>, stop: CancellationToken) {
    let mut ticks = Ticks::every(HOUR);
    while ticks.next(&stop).await {
        let tended = Arc::clone(&engine);
        match tokio::task::spawn_blocking(move || tended.tend_ballast()).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::warn!("the disk has no room for the store's reserve; make room"),
            Ok(Err(error)) => tracing::warn!(%error, "the store's reserve could not be made"),
            Err(error) => tracing::warn!(%error, "the store's reserve could not be tended"),
        }
    }
}

/// Removes the sessions that are over.
pub async fn sessions(office: Arc<Office>, stop: CancellationToken) {
    let mut ticks = Ticks::every(HOUR);
    while ticks.next(&stop).await {
        if let Err(error) = office.operators.sweep(&*office.clock).await {
            tracing::warn!(error = headend_rt::chain(&error), "sign-ins of operators could not be swept");
        }
        loop {
            match office.sessions.sweep(&*office.clock).await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(error = headend_rt::chain(&error), "sessions could not be swept");
                    break;
                }
            }
        }
    }
}

/// Reads the line-up anew, for writes of others and for one whose own reading failed.
pub async fn catalogue(office: Arc<Office>, stop: CancellationToken) {
    let mut ticks = Ticks::every(CATALOGUE);
    while ticks.next(&stop).await {
        if let Err(error) = office.catalogue.refresh().await {
            tracing::error!(error = headend_rt::chain(&error), "the line-up could not be read; the last one stands");
        }
    }
}

/// Trims the audit from its old end.
pub async fn audit(office: Arc<Office>, stop: CancellationToken) {
    let mut ticks = Ticks::every(HOUR);
    while ticks.next(&stop).await {
        let trimmed = trim_audit(Arc::clone(&office.engine), office.now_ms(), &stop).await;
        if let Err(error) = trimmed {
            tracing::warn!(error = headend_rt::chain(&error), "the audit could not be trimmed");
        }
    }
}

async fn trim_audit(engine: Arc<dyn Engine>, now_ms: u64, stop: &CancellationToken) -> Result<(), StoreError> {
    let table: Table<AuditEntry> = Table::new(Arc::clone(&engine));
    while !stop.is_cancelled() {
        let mut old = table.since(0, TRIM_BATCH).await?;
        old.retain(|kept| kept.record.at_ms.saturating_add(AUDIT_KEPT_MS) < now_ms);
        if old.is_empty() {
            return Ok(());
        }
        let draft = Draft::new(IdempotencyKey::random("trim"), now_ms);
        let remove = |draft: Draft, kept: &crate::store::Kept<AuditEntry>| {
            draft.remove::<AuditEntry>(&kept.record.key(), kept.version)
        };
        old.iter().fold(draft, remove).commit(&*engine).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryEngine;

    #[tokio::test]
    async fn the_audit_loses_its_old_end_and_nothing_else() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        for at_ms in (0..450).chain([AUDIT_KEPT_MS, AUDIT_KEPT_MS + 7]) {
            let request = IdempotencyKey::random("test");
            let line = AuditEntry::new(&request, at_ms, "anna", "tariff.put", "Base");
            Draft::new(request, at_ms).insert(&line).unwrap().commit(&*engine).await.unwrap();
        }
        let stop = CancellationToken::new();
        trim_audit(Arc::clone(&engine), AUDIT_KEPT_MS + 449, &stop).await.unwrap();
        let table: Table<AuditEntry> = Table::new(engine);
        let left: Vec<u64> = table.all().await.unwrap().into_iter().map(|kept| kept.record.at_ms).collect();
        assert_eq!(left, [449, AUDIT_KEPT_MS, AUDIT_KEPT_MS + 7]);
    }
}
