//! [`Link`]: the handle everybody publishes through, and what arrives ([`Incoming`]).
//!
//! No call here waits for the network except [`Link::send`], which says so. Behind it stands a carrier:
//! [`super::mqtt`], or [`Link::in_memory`], whose [`FarEnd`] plays the broker in tests of the rooms above.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use super::{options::LinkError, outgoing::Outgoing};

/// The largest payload we publish, in bytes. Equals `headend_wire::message::MESSAGE_BYTES_MAX`, and with a
/// topic of any length that a name may have it stays under the 256 KiB packet limit of both ends.
pub const PAYLOAD_BYTES_MAX: usize = 192 * 1024;
/// Messages (QoS 1) that wait to be sent.
const MESSAGES_MAX: usize = 256;
/// Deliveries that wait for their reader; of 256 KiB at most each.
const DELIVERIES_MAX: usize = 256;

/// One message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// MQTT topic.
    pub topic: String,
    /// The message.
    pub payload: Bytes,
    /// The broker keeps it for later subscribers.
    pub retained: bool,
    /// QoS 1 (at least once) rather than QoS 0.
    pub once: bool,
}

/// One message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// MQTT topic.
    pub topic: String,
    /// The message, at most 256 KiB.
    pub payload: Bytes,
    /// The broker had kept it from before we subscribed.
    pub retained: bool,
}

/// Whether the link is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// No connection.
    Disconnected {
        /// Since when.
        since: Instant,
        /// The last error in words.
        error: String,
    },
    /// Connected and subscribed.
    Connected {
        /// Since when.
        since: Instant,
        /// Counts connections of this link, from 1: a changed number is a new connection.
        session: u64,
    },
}

impl Connection {
    /// The number of the running connection; none while there is none.
    #[must_use]
    pub fn session(&self) -> Option<u64> {
        match self {
            Self::Connected { session, .. } => Some(*session),
            Self::Disconnected { .. } => None,
        }
    }
}

/// Counters of a link since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkFigures {
    /// Messages handed to the carrier.
    pub published: u64,
    /// Messages delivered to the reader.
    pub delivered: u64,
    /// Metrics pushed out by newer ones.
    pub metrics_dropped: u64,
    /// Connections ended because the reader did not keep up.
    pub overruns: u64,
    /// Connections made.
    pub sessions: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) overruns: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    outgoing: Mutex<Outgoing>,
    wake: Notify,
    pub(crate) counters: Counters,
}

/// Publishes; cheap to clone.
#[derive(Debug, Clone)]
pub struct Link {
    shared: Arc<Shared>,
    messages: mpsc::Sender<Publish>,
    connection: watch::Receiver<Connection>,
}

/// What arrives, in order of arrival.
#[derive(Debug)]
pub struct Incoming {
    deliveries: mpsc::Receiver<Delivery>,
}

impl Incoming {
    /// The next message; none when the carrier has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }
}

/// The carrier's side of a link.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) shared: Arc<Shared>,
    messages: mpsc::Receiver<Publish>,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    connection: watch::Sender<Connection>,
    sessions: u64,
}

/// A link and its two other ends.
pub(crate) fn open() -> (Link, Incoming, Carrier) {
    let (messages_in, messages) = mpsc::channel(MESSAGES_MAX);
    let (deliveries, arrived) = mpsc::channel(DELIVERIES_MAX);
    let state = Connection::Disconnected { since: Instant::now(), error: "not yet connected".to_owned() };
    let (connection, seen) = watch::channel(state);
    let outgoing = Mutex::new(Outgoing::default());
    let shared = Arc::new(Shared { outgoing, wake: Notify::new(), counters: Counters::default() });
    let link = Link { shared: Arc::clone(&shared), messages: messages_in, connection: seen };
    (link, Incoming { deliveries: arrived }, Carrier { shared, messages, deliveries, connection, sessions: 0 })
}

impl Link {
    /// A link without a network, and the far end that plays the broker.
    #[must_use]
    pub fn in_memory() -> (Self, Incoming, FarEnd) {
        let (link, incoming, carrier) = open();
        (link, incoming, FarEnd { carrier })
    }

    /// Sets a retained value: the latest per topic is sent, and again after every connect. An empty
    /// payload clears the topic.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`]; [`LinkError::TooManyTopics`] when it would be the 4,097th topic.
    pub fn set(&self, topic: &str, payload: Bytes) -> Result<(), LinkError> {
        fits(topic, &payload)?;
        let taken = self.shared.outgoing().set(topic, payload);
        self.shared.wake.notify_one();
        if taken { Ok(()) } else { Err(LinkError::TooManyTopics { topic: topic.to_owned() }) }
    }

    /// Sends a figure that may be lost (QoS 0); the oldest of 256 makes room.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`].
    pub fn metric(&self, topic: &str, payload: Bytes) -> Result<(), LinkError> {
        fits(topic, &payload)?;
        self.shared.outgoing().metric(Publish { topic: topic.to_owned(), payload, retained: false, once: false });
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Sends a message (QoS 1) if there is room. It can still be lost when a broker restarts: what may not
    /// be lost goes through the courier or is asked for again.
    ///
    /// # Errors
    /// [`LinkError::Full`] when 256 wait, [`LinkError::TooLarge`], [`LinkError::Closed`].
    pub fn try_send(&self, topic: &str, payload: Bytes) -> Result<(), LinkError> {
        fits(topic, &payload)?;
        let publish = Publish { topic: topic.to_owned(), payload, retained: false, once: true };
        self.messages.try_send(publish).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LinkError::Full,
            mpsc::error::TrySendError::Closed(_) => LinkError::Closed,
        })
    }

    /// As [`Self::try_send`], but waits for room: for tasks that have nothing better to do.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`], [`LinkError::Closed`].
    pub async fn send(&self, topic: &str, payload: Bytes) -> Result<(), LinkError> {
        fits(topic, &payload)?;
        let publish = Publish { topic: topic.to_owned(), payload, retained: false, once: true };
        self.messages.send(publish).await.map_err(|_| LinkError::Closed)
    }

    /// The state of the connection, as a watch.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// Counters so far.
    #[must_use]
    pub fn figures(&self) -> LinkFigures {
        let counters = &self.shared.counters;
        LinkFigures {
            published: counters.published.load(Ordering::Relaxed),
            delivered: counters.delivered.load(Ordering::Relaxed),
            overruns: counters.overruns.load(Ordering::Relaxed),
            metrics_dropped: self.shared.outgoing().metrics_dropped(),
            sessions: self.connection.borrow().session().unwrap_or(0),
        }
    }
}

fn fits(topic: &str, payload: &Bytes) -> Result<(), LinkError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(LinkError::TooLarge { topic: topic.to_owned(), bytes: payload.len() });
    }
    Ok(())
}

impl Shared {
    /// The lock is held for a few instructions; a panic inside cannot leave the queues half changed.
    fn outgoing(&self) -> std::sync::MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    /// Marks a new connection: all state becomes due.
    pub(crate) fn connected(&mut self) {
        self.sessions += 1;
        self.shared.outgoing().all_due();
        let session = self.sessions;
        self.connection.send_replace(Connection::Connected { since: Instant::now(), session });
    }

    /// Marks the end of a connection, or another attempt that failed.
    pub(crate) fn disconnected(&self, error: &str) {
        self.connection.send_modify(|state| {
            let since = match state {
                Connection::Disconnected { since, .. } => *since,
                Connection::Connected { .. } => Instant::now(),
            };
            *state = Connection::Disconnected { since, error: error.to_owned() };
        });
    }

    /// Whether a connection is up.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.borrow().session().is_some()
    }

    /// Since when the present state lasts.
    pub(crate) fn lasting(&self) -> std::time::Duration {
        match *self.connection.borrow() {
            Connection::Disconnected { since, .. } | Connection::Connected { since, .. } => since.elapsed(),
        }
    }

    /// What is due now: state, then messages, then metrics.
    pub(crate) fn due(&mut self) -> Option<Publish> {
        let state = self.shared.outgoing().pop_state();
        let next = state.or_else(|| self.messages.try_recv().ok()).or_else(|| self.shared.outgoing().pop_metric());
        self.shared.counters.published.fetch_add(u64::from(next.is_some()), Ordering::Relaxed);
        next
    }

    /// Waits for something to send. Cancel safe: nothing is taken before it returns.
    pub(crate) async fn next(&mut self) -> Publish {
        loop {
            if let Some(publish) = self.due() {
                return publish;
            }
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                // State that was set before a message was sent leaves before it.
                biased;
                () = shared.wake.notified() => {}
                Some(publish) = self.messages.recv() => {
                    shared.counters.published.fetch_add(1, Ordering::Relaxed);
                    return publish;
                }
            }
        }
    }
}

/// Plays the broker of a link without a network.
#[derive(Debug)]
pub struct FarEnd {
    carrier: Carrier,
}

impl FarEnd {
    /// The link connects.
    pub fn connect(&mut self) {
        self.carrier.connected();
    }

    /// The link loses its connection.
    pub fn disconnect(&self, error: &str) {
        self.carrier.disconnected(error);
    }

    /// The next message that the link publishes. Cancel safe.
    pub async fn next(&mut self) -> Publish {
        self.carrier.next().await
    }

    /// Delivers a message to the link; false when its queue is full or its reader is gone.
    #[must_use]
    pub fn deliver(&self, delivery: Delivery) -> bool {
        self.carrier.deliveries.try_send(delivery).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn state_goes_before_messages_and_messages_before_metrics() {
        let (link, _incoming, mut far) = Link::in_memory();
        link.metric("health", "m".into()).unwrap();
        link.try_send("event", "e".into()).unwrap();
        link.set("birth", "b".into()).unwrap();
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(far.next().await.topic);
        }
        assert_eq!(order, ["birth", "event", "health"]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_never_blocks() {
        let (link, _incoming, _far) = Link::in_memory();
        for _ in 0..MESSAGES_MAX {
            link.try_send("event", "e".into()).unwrap();
        }
        assert!(matches!(link.try_send("event", "e".into()), Err(LinkError::Full)));
        let large = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
        assert!(matches!(link.set("birth", large), Err(LinkError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn each_connection_has_its_number_and_sends_state_again() {
        let (link, _incoming, mut far) = Link::in_memory();
        link.set("birth", "b".into()).unwrap();
        for session in 1..3 {
            far.connect();
            assert_eq!(link.connection().borrow().session(), Some(session));
            assert_eq!(far.next().await.topic, "birth");
            far.disconnect("broker went away");
            assert_eq!(link.connection().borrow().session(), None);
        }
    }
}
