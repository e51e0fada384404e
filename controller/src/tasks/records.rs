//! Keeps what happened: events of nodes, before they are acknowledged, and changes of redirects.
//!
//! The newest [`EVENTS_PER_NODE`] events of a node and [`CHANGES_MAX`] redirects stay; the rest is trimmed hourly.
//! Events of nodes that nobody registered are not kept: any client of an open broker could write them.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use headend_rt::{CancellationToken, Clock};
use tokio::{sync::mpsc, time::interval};

use crate::{
    api::Office,
    fleet::{
        ledger::{FleetEvent, KeepEvent, Kept},
        redirect::Change,
    },
    store::{
        CommitError, Draft, Engine, IdempotencyKey, Record, StoreError, Table,
        happenings::{KeptChange, KeptEvent},
    },
    viewing::Catalogue,
};

/// Events kept of each node.
pub const EVENTS_PER_NODE: usize = 5_000;
/// Changes of redirects kept.
pub const CHANGES_MAX: usize = 10_000;
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
const TRIM_BATCH: usize = 200;

/// What the ledger calls for each event.
#[must_use]
pub fn keep_event(
    engine: Arc<dyn Engine>,
    catalogue: tokio::sync::watch::Receiver<Arc<Catalogue>>,
) -> KeepEvent {
    Arc::new(move |event: FleetEvent| {
        let (engine, catalogue) = (Arc::clone(&engine), Arc::clone(&catalogue.borrow()));
        async move {
            let known = catalogue.nodes.get(&event.key.node).is_some_and(|node| node.site == event.key.site);
            if !known {
                return Err("its node is not registered".to_owned());
            }
            keep(&engine, event).await.map_err(|error| headend_rt::chain(&error))
        }
        .boxed()
    })
}

async fn keep(engine: &Arc<dyn Engine>, event: FleetEvent) -> Result<Kept, StoreError> {
    let received_ms = u64::try_from(event.received.as_millisecond()).unwrap_or(0);
    let FleetEvent { key: node, incarnation, seq, event, .. } = event;
    let record = KeptEvent { node, incarnation, seq, received_ms, event };
    let table: Table<KeptEvent> = Table::new(Arc::clone(engine));
    if table.get(&record.key()).await?.is_some() {
        return Ok(Kept::Already);
    }
    let draft = Draft::new(IdempotencyKey::random("event"), received_ms).insert(&record)?;
    match draft.commit(&**engine).await {
        Ok(_) => Ok(Kept::New),
        // Somebody was faster with the same event.
        Err(StoreError::Commit(CommitError::Conflict { .. })) => Ok(Kept::Already),
        Err(error) => Err(error),
    }
}

/// Keeps each change of a redirect until `stop`, then those that still wait.
pub async fn keep_changes(
    engine: Arc<dyn Engine>,
    mut changes: mpsc::Receiver<Change>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut number = 0;
    loop {
        let change = tokio::select! {
            biased;
            change = changes.recv() => change,
            () = stop.cancelled() => return,
        };
        let Some(change) = change else { return };
        number += 1;
        let at_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
        let mut record = KeptChange { at_ms, number, change };
        let kept = match put_change(&engine, &record).await {
            Err(StoreError::Commit(CommitError::TooLarge { .. })) => {
                // Sixteen origins with long faults; the change itself is what matters.
                record.change.seen.clear();
                put_change(&engine, &record).await
            }
            other => other,
        };
        if let Err(error) = kept {
            tracing::error!(error = headend_rt::chain(&error), channel = %record.change.channel, "redirect could not be recorded");
        }
    }
}

async fn put_change(engine: &Arc<dyn Engine>, record: &KeptChange) -> Result<(), StoreError> {
    let draft = Draft::new(IdempotencyKey::random("redirect"), record.at_ms).put(record)?;
    draft.commit(&**engine).await.map(drop)
}

/// Trims what was kept, hourly.
pub async fn trim(office: Arc<Office>, stop: CancellationToken) {
    let mut ticks = interval(TRIM_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = trim_once(&office).await {
            tracing::warn!(error = headend_rt::chain(&error), "old events could not be trimmed");
        }
    }
}

async fn trim_once(office: &Office) -> Result<(), StoreError> {
    for name in office.catalogue.current().nodes.keys() {
        trim_family::<KeptEvent>(office, &format!("{name}/"), EVENTS_PER_NODE).await?;
    }
    trim_family::<KeptChange>(office, "", CHANGES_MAX).await
}

async fn trim_family<R: Record>(office: &Office, prefix: &str, keep: usize) -> Result<(), StoreError> {
    let table: Table<R> = Table::new(Arc::clone(&office.engine));
    let all = table.all_under(prefix).await?;
    let over = all.len().saturating_sub(keep);
    for batch in all[..over].chunks(TRIM_BATCH) {
        let draft = Draft::new(IdempotencyKey::random("trim"), office.now_ms());
        let draft = batch.iter().fold(draft, |draft, kept| draft.remove::<R>(&kept.record.key(), kept.version));
        draft.commit(&*office.engine).await?;
    }
    Ok(())
}
