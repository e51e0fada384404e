//! What the store and the memory need now and then.

use std::{path::PathBuf, sync::Arc, time::Duration};

use headend_rt::{CancellationToken, Clock};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    api::Office,
    store::{Engine, SledEngine, shelf},
};

const COPY_LOOK: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3_600);
const CATALOGUE: Duration = Duration::from_secs(30);

/// Ticks until `stop`; a late tick does not make the next ones early.
async fn every(period: Duration, stop: &CancellationToken, mut work: impl AsyncFnMut()) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => work().await,
            () = stop.cancelled() => return,
        }
    }
}

/// Keeps an hourly copy of the store in `folder`.
pub async fn copies(engine: Arc<dyn Engine>, folder: PathBuf, clock: Arc<dyn Clock>, stop: CancellationToken) {
    every(COPY_LOOK, &stop, async || {
        let now_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
        match shelf::is_due(&folder, now_ms) {
            Ok(false) => {}
            Ok(true) => match shelf::put(&*engine, &folder, now_ms).await {
                Ok((path, summary)) => tracing::info!(path = %path.display(), records = summary.records, "store copied"),
                Err(error) => tracing::error!(error = headend_rt::chain(&error), "store could not be copied"),
            },
            Err(error) => tracing::error!(%error, folder = %folder.display(), "copies of the store cannot be listed"),
        }
    })
    .await;
}

/// Makes the disk's reserve again when there is room.
pub async fn ballast(engine: Arc<SledEngine>, stop: CancellationToken) {
    every(HOUR, &stop, async || {
        let tended = Arc::clone(&engine);
        match tokio::task::spawn_blocking(move || tended.tend_ballast()).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::warn!("the disk has no room for the store's reserve; make room"),
            Ok(Err(error)) => tracing::warn!(%error, "the store's reserve could not be made"),
            Err(error) => tracing::warn!(%error, "the store's reserve could not be tended"),
        }
    })
    .await;
}

/// Removes the sessions that are over.
pub async fn sessions(office: Arc<Office>, stop: CancellationToken) {
    every(HOUR, &stop, async || {
        loop {
            match office.sessions.sweep(&*office.clock).await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(error = headend_rt::chain(&error), "sessions could not be swept");
                    return;
                }
            }
        }
    })
    .await;
}

/// Reads the line-up anew, for writes of others and for one whose own reading failed.
pub async fn catalogue(office: Arc<Office>, stop: CancellationToken) {
    every(CATALOGUE, &stop, async || {
        if let Err(error) = office.catalogue.refresh().await {
            tracing::error!(error = headend_rt::chain(&error), "the line-up could not be read; the last one stands");
        }
    })
    .await;
}
