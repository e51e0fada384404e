//! Sends what is in the outbox until the application at the other end acknowledges it.
//!
//! Two halves. A thread owns the [`Outbox`] (file IO and syncs block): it takes posted events, writes a
//! batch, syncs once and shows them to the other half. A task owns the sending: everything unacknowledged
//! goes out in order after each connect and again when 5 s pass without progress, at most 128 unanswered
//! at a time. [`Courier::post`] never blocks its caller: when 1,024 posts wait for the disk the newest is
//! refused and counted. What was lost is itself told to the receiver by an event (`overflow`).

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Link, LinkError, Outbox, OutboxError, OutboxLimits, Recovery};

const POSTS_MAX: usize = 1_024;
const WINDOW: usize = 128;
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// A full outbox is told about at most this often.
const OVERFLOW_EVERY: Duration = Duration::from_secs(60);

/// Writes an event from the id it gets.
type Make = Box<dyn FnOnce(u64) -> Vec<u8> + Send>;
/// Writes the event "`dropped` events were lost" from the id it gets.
type Overflow = Box<dyn Fn(u64, u64) -> Vec<u8> + Send>;

enum Order {
    Post(Make),
    Acknowledge(u64),
}

/// Why a courier cannot take or start.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// The outbox cannot be opened.
    #[error("event outbox cannot be opened")]
    Outbox(#[from] OutboxError),
    /// The thread cannot be started.
    #[error("event outbox thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// Too many posts wait for the disk; this one was counted as lost.
    #[error("the event outbox is busy: {POSTS_MAX} events wait for the disk")]
    Busy,
}

/// Counters of a courier since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CourierFigures {
    /// Events that wait for their acknowledgement.
    pub pending: usize,
    /// Events lost: pushed out by newer ones, refused by the disk, or posted while it was busy.
    pub dropped: u64,
    /// Syncs or writes that failed.
    pub disk_errors: u64,
    /// Events sent, resends included.
    pub sent: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// Durable and unacknowledged.
    durable: Mutex<BTreeMap<u64, Bytes>>,
    changed: Notify,
    dropped: AtomicU64,
    /// Lost before the thread saw them; told by the next overflow event.
    refused: AtomicU64,
    disk_errors: AtomicU64,
    sent: AtomicU64,
}

impl Shared {
    fn durable(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Bytes>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes events; cheap to clone.
#[derive(Debug, Clone)]
pub struct Courier {
    orders: SyncSender<Order>,
    shared: Arc<Shared>,
}

/// The sending half; started through the supervisor.
#[derive(Debug)]
pub struct CourierTask {
    shared: Arc<Shared>,
    link: Link,
    topic: String,
}

impl Courier {
    /// Opens the outbox in `folder` and starts its thread. Events go to `topic`; `overflow` writes the event
    /// that tells the receiver how many were lost. The thread ends when the last clone is dropped.
    ///
    /// # Errors
    /// [`CourierError::Outbox`], [`CourierError::Thread`].
    pub fn open(
        folder: &Path,
        limits: OutboxLimits,
        link: Link,
        topic: String,
        overflow: impl Fn(u64, u64) -> Vec<u8> + Send + 'static,
    ) -> Result<(Self, CourierTask, Recovery), CourierError> {
        let (outbox, recovery) = Outbox::open(folder, limits)?;
        let durable = outbox.pending().map(|(id, payload)| (id, payload.clone())).collect();
        let shared = Arc::new(Shared { durable: Mutex::new(durable), ..Shared::default() });
        let (orders, taken) = sync_channel(POSTS_MAX);
        let mut clerk =
            Clerk { outbox, shared: Arc::clone(&shared), overflow: Box::new(overflow), told: None, lost: 0 };
        std::thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || clerk.work(&taken))
            .map_err(CourierError::Thread)?;
        Ok((Self { orders, shared: Arc::clone(&shared) }, CourierTask { shared, link, topic }, recovery))
    }

    /// Posts an event; `make` writes it from the id it gets, which the acknowledgement will name.
    ///
    /// # Errors
    /// [`CourierError::Busy`]: it is lost and counted, never waited for.
    pub fn post(&self, make: impl FnOnce(u64) -> Vec<u8> + Send + 'static) -> Result<(), CourierError> {
        self.orders.try_send(Order::Post(Box::new(make))).map_err(|_| {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            CourierError::Busy
        })
    }

    /// The receiver has stored the event `id`. An acknowledgement that finds no room is lost, and comes
    /// again with the resend.
    pub fn acknowledge(&self, id: u64) {
        let _ = self.orders.try_send(Order::Acknowledge(id));
    }

    /// Counters so far.
    #[must_use]
    pub fn figures(&self) -> CourierFigures {
        CourierFigures {
            pending: self.shared.durable().len(),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            disk_errors: self.shared.disk_errors.load(Ordering::Relaxed),
            sent: self.shared.sent.load(Ordering::Relaxed),
        }
    }
}

/// The thread's state.
struct Clerk {
    outbox: Outbox,
    shared: Arc<Shared>,
    overflow: Overflow,
    told: Option<Instant>,
    lost: u64,
}

impl Clerk {
    fn work(&mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let mut batch = vec![first];
            batch.extend(orders.try_iter().take(POSTS_MAX));
            self.apply(batch);
        }
    }

    /// One batch, one sync.
    fn apply(&mut self, batch: Vec<Order>) {
        let (mut fresh, mut done) = (Vec::new(), Vec::new());
        for order in batch {
            match order {
                Order::Post(make) => fresh.extend(self.append(make)),
                Order::Acknowledge(id) => {
                    if self.outbox.acknowledge(id) {
                        done.push(id);
                    }
                }
            }
        }
        fresh.extend(self.tell_losses());
        if !fresh.is_empty()
            && let Err(error) = self.outbox.commit()
        {
            // Still sent: an event that reaches its receiver needs no disk.
            self.note(&error);
        }
        let oldest = self.outbox.pending().next().map_or(u64::MAX, |(id, _)| id);
        let mut durable = self.shared.durable();
        durable.extend(fresh);
        for id in done {
            durable.remove(&id);
        }
        let kept = durable.split_off(&oldest);
        *durable = kept;
        drop(durable);
        self.shared.changed.notify_one();
    }

    fn append(&mut self, make: Make) -> Option<(u64, Bytes)> {
        let mut made = Bytes::new();
        let appended = self.outbox.append(|id| {
            let payload = make(id);
            made = Bytes::from(payload.clone());
            payload
        });
        let lost = self.outbox.take_dropped();
        self.lost += lost;
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        appended.map(|id| (id, made)).map_err(|error| self.note(&error)).ok()
    }

    /// An event about the lost ones, not too often. Its own cost is told by the next.
    fn tell_losses(&mut self) -> Option<(u64, Bytes)> {
        self.lost += self.shared.refused.swap(0, Ordering::Relaxed);
        if self.lost == 0 || self.told.is_some_and(|told| told.elapsed() < OVERFLOW_EVERY) {
            return None;
        }
        let lost = std::mem::take(&mut self.lost);
        self.told = Some(Instant::now());
        tracing::warn!(lost, "events were lost: the outbox is full or its disk refuses");
        let mut made = Bytes::new();
        let Self { outbox, overflow, .. } = self;
        let appended = outbox.append(|id| {
            let payload = overflow(id, lost);
            made = Bytes::from(payload.clone());
            payload
        });
        let more = self.outbox.take_dropped();
        self.lost += more;
        self.shared.dropped.fetch_add(more, Ordering::Relaxed);
        appended.map(|id| (id, made)).map_err(|error| self.note(&error)).ok()
    }

    fn note(&self, error: &OutboxError) {
        if self.shared.disk_errors.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(error = %error, "event outbox cannot write");
        }
    }
}

impl CourierTask {
    /// Sends until `stop`, or until the link is closed.
    pub async fn run(self, stop: CancellationToken) {
        let mut connection = self.link.connection();
        loop {
            let Some(session) = connection.borrow_and_update().session() else {
                tokio::select! {
                    changed = connection.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
                continue;
            };
            let ended = tokio::select! {
                ended = self.session() => ended,
                gone = connection.wait_for(|now| now.session() != Some(session)) => gone.is_err(),
                () = stop.cancelled() => true,
            };
            if ended {
                return;
            }
        }
    }

    /// Sends over one connection, from the oldest; true when the link is closed.
    async fn session(&self) -> bool {
        let mut sent_up_to = 0;
        let mut progress = (self.oldest(), tokio::time::Instant::now());
        loop {
            for (id, payload) in self.next_batch(sent_up_to) {
                // Too large cannot be: the outbox has the same limit.
                if let Err(LinkError::Closed) = self.link.send(&self.topic, payload).await {
                    return true;
                }
                self.shared.sent.fetch_add(1, Ordering::Relaxed);
                sent_up_to = id;
            }
            let waited = tokio::time::timeout_at(progress.1 + RESEND_AFTER, self.shared.changed.notified()).await;
            let oldest = self.oldest();
            if oldest != progress.0 || oldest.is_none() {
                progress = (oldest, tokio::time::Instant::now());
            } else if waited.is_err() {
                progress.1 = tokio::time::Instant::now();
                sent_up_to = 0;
            }
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.shared.durable().first_key_value().map(|(id, _)| *id)
    }

    /// The next events after `sent_up_to`, as many as the window has room for.
    fn next_batch(&self, sent_up_to: u64) -> Vec<(u64, Bytes)> {
        let durable = self.shared.durable();
        let unanswered = durable.range(..=sent_up_to).take(WINDOW).count();
        let fresh = durable.range(sent_up_to + 1..).take(WINDOW - unanswered);
        fresh.map(|(id, payload)| (*id, payload.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, limits: OutboxLimits) -> (Courier, super::super::FarEnd, CourierTask) {
        let (link, _incoming, far) = Link::in_memory();
        let overflow = |id, dropped| format!("{id} lost {dropped}").into_bytes();
        let (courier, task, _) = Courier::open(folder, limits, link, "event".to_owned(), overflow).unwrap();
        (courier, far, task)
    }

    async fn received(far: &mut super::super::FarEnd) -> (u64, String) {
        let publish = tokio::time::timeout(Duration::from_secs(20), far.next()).await.expect("sent in time");
        let text = String::from_utf8(publish.payload.to_vec()).unwrap();
        (text.split(' ').next().unwrap().parse().unwrap(), text)
    }

    fn post(courier: &Courier, word: &'static str) {
        courier.post(move |id| format!("{id} {word}").into_bytes()).unwrap();
    }

    async fn settle(courier: &Courier, pending: usize) {
        let settled = async {
            while courier.figures().pending != pending {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), settled).await.expect("settles");
    }

    #[tokio::test]
    async fn the_unacknowledged_come_again_after_a_reconnect_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (courier, mut far, task) = open(folder.path(), OutboxLimits::default());
        let stop = CancellationToken::new();
        let running = tokio::spawn(task.run(stop.clone()));
        far.connect();
        post(&courier, "one");
        post(&courier, "two");
        let (first, _) = received(&mut far).await;
        let (second, _) = received(&mut far).await;
        courier.acknowledge(second);
        settle(&courier, 1).await;
        far.disconnect("broker restarts");
        far.connect();
        assert_eq!(received(&mut far).await, (first, format!("{first} one")), "only the first is owed");
        stop.cancel();
        running.await.unwrap();
        drop(courier);

        let stop = CancellationToken::new();
        let (_courier, mut far, task) = open(folder.path(), OutboxLimits::default());
        let running = tokio::spawn(task.run(stop.clone()));
        far.connect();
        assert_eq!(received(&mut far).await.0, first);
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn without_progress_everything_is_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let (courier, mut far, task) = open(folder.path(), OutboxLimits::default());
        let stop = CancellationToken::new();
        let running = tokio::spawn(task.run(stop.clone()));
        far.connect();
        post(&courier, "one");
        let (id, _) = received(&mut far).await;
        tokio::time::pause();
        assert_eq!(received(&mut far).await.0, id, "sent again after 5 s of silence");
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn losses_are_told_by_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let limits = OutboxLimits { bytes_max: 1 << 20, count_max: 2 };
        let (courier, mut far, task) = open(folder.path(), limits);
        for word in ["a", "b", "c", "d"] {
            post(&courier, word);
        }
        let told = async {
            while courier.figures().dropped < 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("told");
        let stop = CancellationToken::new();
        let running = tokio::spawn(task.run(stop.clone()));
        far.connect();
        let got = [received(&mut far).await.1, received(&mut far).await.1];
        assert!(got.iter().any(|text| text.contains("lost")), "{got:?}");
        stop.cancel();
        running.await.unwrap();
    }
}
