//! Tells systemd how the process stands: ready, stopping, alive (sd_notify(3), `Type=notify`).
//!
//! The watchdog is fed from proof of progress, not from a timer alone: every loop that must not stand still holds a
//! [`Beat`] and says when it has gone round. While one of them is overdue nothing is sent, and systemd ends the process
//! after `WatchdogSec=` and starts it anew. Without systemd all of this does nothing. A source without packets is no
//! reason: loops go round over silence too.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use systemd::daemon;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Everything that must go round.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    origin: Instant,
    beats: Arc<Mutex<Vec<Weak<Heart>>>>,
}

/// One loop's way to say that it goes round. When it is dropped, the loop is over and no longer waited for.
#[derive(Debug)]
pub struct Beat {
    origin: Instant,
    heart: Arc<Heart>,
}

#[derive(Debug)]
struct Heart {
    name: String,
    limit_ms: u64,
    last_ms: AtomicU64,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self { origin: Instant::now(), beats: Arc::default() }
    }
}

impl Heartbeats {
    /// A beat for a loop that goes round at least once in `limit`; the first is now.
    #[must_use]
    pub fn beat(&self, name: impl Into<String>, limit: Duration) -> Beat {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let heart = Heart { name: name.into(), limit_ms, last_ms: AtomicU64::new(millis_since(self.origin)) };
        let beat = Beat { origin: self.origin, heart: Arc::new(heart) };
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.retain(|beat| beat.strong_count() > 0);
        beats.push(Arc::downgrade(&beat.heart));
        beat
    }

    /// Loops that have not gone round in time: name, and for how many milliseconds.
    #[must_use]
    pub fn overdue(&self) -> BTreeMap<String, u64> {
        let now = millis_since(self.origin);
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let hearts = beats.iter().filter_map(Weak::upgrade);
        let age = |heart: &Heart| now.saturating_sub(heart.last_ms.load(Ordering::Relaxed));
        hearts.filter(|heart| age(heart) > heart.limit_ms).map(|heart| (heart.name.clone(), age(&heart))).collect()
    }

    /// Feeds systemd's watchdog, if there is one, until `stop`. A loop that stands still is named in the log once.
    pub async fn feed_watchdog(self, stop: CancellationToken) {
        let Some(limit) = watchdog_limit() else { return stop.cancelled().await };
        tracing::info!(limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), "watchdog is fed");
        // A third: one lost turn is no restart.
        let (mut ticks, mut stood) = (tokio::time::interval(limit / 3), false);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let overdue = self.overdue();
            if overdue.is_empty() {
                tell(&[("WATCHDOG", "1")]);
            } else if !stood {
                tracing::error!(?overdue, "loops stand still; the watchdog is not fed");
            }
            stood = !overdue.is_empty();
        }
    }
}

impl Beat {
    /// The loop has gone round.
    pub fn strike(&self) {
        self.heart.last_ms.store(millis_since(self.origin), Ordering::Relaxed);
    }
}

/// Start-up is finished; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[("READY", "1"), ("STATUS", status)]);
}

/// The orderly stop has begun.
pub fn stopping() {
    tell(&[("STOPPING", "1")]);
}

fn tell(state: &[(&str, &str)]) {
    if let Err(error) = daemon::notify(state.iter()) {
        tracing::debug!(%error, "systemd was not told");
    }
}

fn watchdog_limit() -> Option<Duration> {
    let limit = Duration::from_micros(daemon::watchdog_enabled().ok()?);
    (limit >= Duration::from_millis(30)).then_some(limit)
}

fn millis_since(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_is_named_until_it_moves_or_ends() {
        let hearts = Heartbeats::default();
        let quick = hearts.beat("channel lagon", Duration::from_secs(5));
        let slow = hearts.beat("plans", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(hearts.overdue().is_empty());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(hearts.overdue(), BTreeMap::from([("channel lagon".to_owned(), 8_000)]));
        quick.strike();
        assert!(hearts.overdue().is_empty());
        drop(quick);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(hearts.overdue(), BTreeMap::from([("plans".to_owned(), 67_000)]));
        drop(slow);
        assert!(hearts.overdue().is_empty(), "a loop that ended is not waited for");
    }
}
