//! Sends the dashboard's changes to browsers: one stream of server-sent events, rendered once for all.
//!
//! At most one batch a second, made by [`pump`]; a batch without changes still carries the time, so that a
//! page can tell silence from calm. Bounds: [`CLIENTS_MAX`] readers; a reader more than [`QUEUE`] batches
//! behind is dropped and comes back with `Last-Event-ID` (WHATWG HTML, server-sent events); the history
//! it resumes from holds [`HISTORY`] batches or [`HISTORY_BYTES`]. An id names the process too, so that
//! a restart is answered with everything.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use headend_rt::CancellationToken;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{MissedTickBehavior, interval},
};

use super::{matrix::Matrix, patch::Sheet};

/// Open streams; the next one is asked to come back.
pub const CLIENTS_MAX: usize = 256;
/// Batches that may wait for one reader.
pub const QUEUE: usize = 16;
/// Batches kept for those who come back.
pub const HISTORY: usize = 120;
/// Bytes kept for those who come back.
pub const HISTORY_BYTES: usize = 4 << 20;
/// One batch a second.
pub const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct Batch {
    seq: u64,
    text: Bytes,
}

#[derive(Debug)]
struct Inner {
    matrix: Arc<Matrix>,
    sheet: Sheet,
    seq: u64,
    history: VecDeque<Batch>,
    history_bytes: usize,
    /// None once closed.
    sender: Option<broadcast::Sender<Batch>>,
}

/// The newest matrix, its history, and everybody who follows it. Share it with `Arc`.
#[derive(Debug)]
pub struct Hub {
    life: u64,
    inner: Mutex<Inner>,
}

/// Why a reader was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// [`CLIENTS_MAX`] are here.
    #[error("{CLIENTS_MAX} readers follow the dashboard already")]
    Full,
    /// The controller stops.
    #[error("the controller is stopping")]
    Closed,
}

impl Hub {
    /// A hub that shows `first`; `life` is another number in every process.
    #[must_use]
    pub fn new(life: u64, first: Matrix) -> Self {
        let inner = Inner {
            sheet: Sheet::of(&first),
            matrix: Arc::new(first),
            seq: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            sender: Some(broadcast::channel(QUEUE).0),
        };
        Self { life, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest matrix.
    #[must_use]
    pub fn matrix(&self) -> Arc<Matrix> {
        Arc::clone(&self.inner().matrix)
    }

    /// How many follow.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.inner().sender.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// Shows the next matrix: sends what changed to everybody.
    pub fn publish(&self, matrix: Matrix) {
        let sheet = Sheet::of(&matrix);
        let mut inner = self.inner();
        inner.seq += 1;
        let id = format!("{}-{}", self.life, inner.seq);
        let text = inner.sheet.delta(&sheet).events(&id, matrix.at.as_millisecond(), false);
        let batch = Batch { seq: inner.seq, text: text.into() };
        inner.history_bytes += batch.text.len();
        inner.history.push_back(batch.clone());
        while inner.history.len() > HISTORY || inner.history_bytes > HISTORY_BYTES {
            let Some(oldest) = inner.history.pop_front() else { break };
            inner.history_bytes -= oldest.text.len();
        }
        inner.sheet = sheet;
        inner.matrix = Arc::new(matrix);
        if let Some(sender) = &inner.sender {
            // Nobody listening is no error.
            let _ = sender.send(batch);
        }
    }

    /// Ends every stream; nobody is taken any more.
    pub fn close(&self) {
        self.inner().sender = None;
    }

    /// Follows from after `last` (a `Last-Event-ID`), or from everything when that is unknown or too old.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn follow(&self, last: Option<&str>) -> Result<Follower, FollowError> {
        let inner = self.inner();
        let sender = inner.sender.as_ref().ok_or(FollowError::Closed)?;
        if sender.receiver_count() >= CLIENTS_MAX {
            return Err(FollowError::Full);
        }
        let first = last.and_then(|last| self.missed(&inner, last)).unwrap_or_else(|| {
            let id = format!("{}-{}", self.life, inner.seq);
            let whole = Sheet::default().delta(&inner.sheet);
            vec![whole.events(&id, inner.matrix.at.as_millisecond(), true).into()]
        });
        Ok(Follower { first, next: sender.subscribe() })
    }

    /// The batches after an id of this life; none when some of them are forgotten.
    fn missed(&self, inner: &Inner, last: &str) -> Option<Vec<Bytes>> {
        let (life, seq) = last.split_once('-')?;
        let (life, seq): (u64, u64) = (life.parse().ok()?, seq.parse().ok()?);
        let oldest = inner.history.front().map_or(inner.seq + 1, |batch| batch.seq);
        let known = life == self.life && seq <= inner.seq && seq + 1 >= oldest;
        known.then(|| inner.history.iter().filter(|batch| batch.seq > seq).map(|batch| batch.text.clone()).collect())
    }
}

/// One reader: what it missed, then what comes.
#[derive(Debug)]
pub struct Follower {
    first: Vec<Bytes>,
    next: broadcast::Receiver<Batch>,
}

impl Follower {
    /// The body of its stream. It ends when the reader is too slow or the hub closes.
    pub fn body(self, retry_ms: u32) -> Body {
        let head = Bytes::from(format!("retry: {retry_ms}\n\n"));
        let first = stream::iter(std::iter::once(head).chain(self.first));
        Body::from_stream(first.chain(batches(self.next)).map(Ok::<_, Infallible>))
    }
}

fn batches(next: broadcast::Receiver<Batch>) -> impl Stream<Item = Bytes> {
    stream::unfold(next, async |mut next| match next.recv().await {
        Ok(batch) => Some((batch.text, next)),
        Err(RecvError::Lagged(_) | RecvError::Closed) => None,
    })
}

/// Publishes a new matrix every [`PERIOD`] until `stop`, then ends every stream.
pub async fn pump(hub: Arc<Hub>, mut look: impl FnMut() -> Matrix + Send, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => hub.publish(look()),
        }
    }
    hub.close();
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use jiff::Timestamp;

    use super::*;

    fn matrix(second: i64) -> Matrix {
        let mut matrix = Matrix::empty(Timestamp::from_second(second).unwrap());
        matrix.hidden = usize::try_from(second).unwrap();
        matrix
    }

    fn hub(published: i64) -> Hub {
        let hub = Hub::new(9, matrix(0));
        (1..=published).for_each(|second| hub.publish(matrix(second)));
        hub
    }

    /// The ids a reader gets at once, `*` before a reset.
    fn ids(hub: &Hub, last: Option<&str>) -> String {
        let follower = hub.follow(last).unwrap();
        let text: Vec<u8> = follower.first.concat();
        let text = String::from_utf8(text).unwrap();
        let shown = |line| if line == "event: reset" { Some("*") } else { str::strip_prefix(line, "id: ") };
        text.lines().filter_map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_comes_back_gets_what_was_missed_or_everything() {
        let hub = hub(5);
        assert_eq!(ids(&hub, Some("9-3")), "9-4 9-5");
        assert_eq!(ids(&hub, Some("9-5")), "");
        assert_eq!(ids(&hub, Some("9-0")), "9-1 9-2 9-3 9-4 9-5");
        for unknown in [None, Some("9-6"), Some("8-3"), Some("x"), Some("9--1"), Some("9-99999999999999999999")] {
            assert_eq!(ids(&hub, unknown), "* 9-5", "{unknown:?}");
        }
    }

    #[test]
    fn history_is_bounded() {
        let hub = hub(HISTORY as i64 + 10);
        assert_eq!(hub.inner().history.len(), HISTORY);
        assert_eq!(ids(&hub, Some("9-9")), "* 9-130");
        assert!(ids(&hub, Some("9-10")).starts_with("9-11 9-12"));
    }

    #[tokio::test]
    async fn a_slow_reader_is_dropped_and_a_quick_one_is_not() {
        let hub = hub(0);
        let slow = hub.follow(None).unwrap().body(1);
        let mut quick = Box::pin(batches(hub.follow(None).unwrap().next));
        for second in 1..=(QUEUE as i64 + 4) {
            hub.publish(matrix(second));
            assert!(quick.next().await.is_some());
        }
        // The body ends by itself: what was first, and nothing after the gap.
        let got = slow.collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&got).ends_with("id: 9-0\nevent: tick\ndata: {\"at\":0}\n\n"));
        assert_eq!(hub.followers(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pump_sends_once_a_second_and_closes_at_the_stop() {
        let (hub, stop) = (Arc::new(hub(0)), CancellationToken::new());
        let mut seconds = 0;
        let look = move || {
            seconds += 1;
            matrix(seconds)
        };
        let mut follower = Box::pin(batches(hub.follow(None).unwrap().next));
        let ended = {
            let reading = async {
                for _ in 0..3 {
                    follower.next().await.unwrap();
                }
                stop.cancel();
                follower.next().await.is_none()
            };
            tokio::join!(pump(Arc::clone(&hub), look, stop.clone()), reading).1
        };
        assert!(ended);
        assert_eq!(hub.matrix().hidden, 3);
        assert_eq!(hub.follow(None).unwrap_err(), FollowError::Closed);
    }

    #[test]
    fn the_number_of_readers_is_bounded() {
        let hub = hub(1);
        let all: Vec<Follower> = (0..CLIENTS_MAX).map(|_| hub.follow(None).unwrap()).collect();
        assert_eq!(hub.follow(None).unwrap_err(), FollowError::Full);
        drop(all);
        assert!(hub.follow(None).is_ok());
    }
}
