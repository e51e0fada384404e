//! Everything nodes publish: decoded, counted, merged, passed on.
//!
//! The bytes come from a broker that need not be trusted to keep nodes apart or in order: a message is bound
//! by its topic, its size and its version before it is believed, and what is refused is counted by cause.
//! Figures and presence go into the watched [`FleetState`]; events go to the [`super::ledger`], which stores
//! them before they are acknowledged. A node that has just died is told to the probe at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use headend_rt::{
    CancellationToken,
    link::{Delivery, Incoming, Subscription},
};
use headend_wire::{
    Branch, ChannelName, Event, Message, SourceName, Topic, WireError,
    report::{Birth, Health, Reported, Will, WireAnchor},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::state::{Elapsed, FleetState, Merged, NodeKey, Report};

/// Events on their way to the ledger; more are left to the node's resend.
const EVENTS_MAX: usize = 1_024;
/// Deaths on their way to the probe, which looks at every origin anyway within 2 s.
const DEATHS_MAX: usize = 256;

/// What a controller subscribes to.
#[must_use]
pub fn subscriptions() -> Vec<Subscription> {
    let state = [Branch::Birth, Branch::Will, Branch::Reported, Branch::Health];
    let mut all: Vec<Subscription> =
        state.into_iter().map(|branch| Subscription { filter: Topic::every_node(branch), state: true }).collect();
    all.push(Subscription { filter: Topic::every_anchor(), state: true });
    all.push(Subscription { filter: Topic::every_node(Branch::Event), state: false });
    all
}

/// What was refused since the start, by cause.
#[derive(Debug, Default)]
pub struct Defects {
    topic: AtomicU64,
    unreadable: AtomicU64,
    too_large: AtomicU64,
    newer: AtomicU64,
    old: AtomicU64,
    too_many: AtomicU64,
    events_left: AtomicU64,
}

/// A copy of [`Defects`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DefectCounts {
    /// Topics that are none of ours, or a branch a node does not publish.
    pub topic: u64,
    /// Bodies that are not the JSON we expect.
    pub unreadable: u64,
    /// Bodies over the wire's limit.
    pub too_large: u64,
    /// Messages of a newer release.
    pub newer: u64,
    /// Messages of an older incarnation or sequence; some are normal.
    pub old: u64,
    /// Nodes, channels or anchors over our bounds.
    pub too_many: u64,
    /// Events left to the node's resend because the store was busy.
    pub events_left: u64,
}

impl Defects {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> DefectCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DefectCounts {
            topic: of(&self.topic),
            unreadable: of(&self.unreadable),
            too_large: of(&self.too_large),
            newer: of(&self.newer),
            old: of(&self.old),
            too_many: of(&self.too_many),
            events_left: of(&self.events_left),
        }
    }

    fn refused(&self, error: &WireError) {
        let counter = match error {
            WireError::TooLarge { .. } => &self.too_large,
            WireError::Newer { .. } => &self.newer,
            WireError::Json(_) => &self.unreadable,
        };
        add(counter);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// An event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivedEvent {
    /// Whose.
    pub key: NodeKey,
    /// Its envelope and body.
    pub message: Message<Event>,
}

/// An anchor that a broker had kept, or that another controller published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivedAnchor {
    /// Of which channel.
    pub channel: ChannelName,
    /// Of which source.
    pub source: SourceName,
    /// The tie.
    pub anchor: WireAnchor,
}

/// What the ledger takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// Something happened.
    Event(ArrivedEvent),
    /// An anchor of others.
    Anchor(ArrivedAnchor),
}

/// The state of the fleet, shared: one writer at a time, readers by watch. Readers hold a borrow briefly.
#[derive(Debug, Clone)]
pub struct FleetWatch {
    state: watch::Sender<FleetState>,
    started: Instant,
}

impl Default for FleetWatch {
    fn default() -> Self {
        Self { state: watch::Sender::new(FleetState::default()), started: Instant::now() }
    }
}

impl FleetWatch {
    /// Now, in the time of [`FleetState`].
    #[must_use]
    pub fn now(&self) -> Elapsed {
        self.started.elapsed()
    }

    /// A receiver that wakes at each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<FleetState> {
        self.state.subscribe()
    }

    /// Merges a report.
    pub fn merge(&self, key: &NodeKey, report: Report) -> Merged {
        let (now, mut merged) = (self.now(), Merged::Old);
        self.state.send_if_modified(|state| {
            merged = state.merge(key, report, now);
            merged != Merged::Old
        });
        merged
    }

    /// Takes a newer anchor; whether it was.
    #[must_use]
    pub fn anchor(&self, channel: &ChannelName, source: &SourceName, anchor: WireAnchor) -> bool {
        self.state.send_if_modified(|state| state.anchor(channel.clone(), source.clone(), anchor))
    }
}

/// The inbox task.
#[derive(Debug)]
pub struct Inbox {
    incoming: Incoming,
    fleet: FleetWatch,
    defects: Arc<Defects>,
    arrived: mpsc::Sender<Arrived>,
    deaths: mpsc::Sender<NodeKey>,
}

/// The ends of an inbox.
#[derive(Debug)]
pub struct InboxEnds {
    /// The task.
    pub inbox: Inbox,
    /// What was refused.
    pub defects: Arc<Defects>,
    /// Events and anchors, for the ledger.
    pub arrived: mpsc::Receiver<Arrived>,
    /// Nodes that have just died, for the probe.
    pub deaths: mpsc::Receiver<NodeKey>,
}

impl Inbox {
    /// An inbox on a link that subscribed to [`subscriptions`].
    #[must_use]
    pub fn open(incoming: Incoming, fleet: FleetWatch) -> InboxEnds {
        let (arrived_in, arrived) = mpsc::channel(EVENTS_MAX);
        let (deaths_in, deaths) = mpsc::channel(DEATHS_MAX);
        let defects = Arc::new(Defects::default());
        let inbox = Self { incoming, fleet, defects: Arc::clone(&defects), arrived: arrived_in, deaths: deaths_in };
        InboxEnds { inbox, defects, arrived, deaths }
    }

    /// Reads until `stop` or until the link ends. Never waits for a store or a probe.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut told = 0;
        loop {
            let delivery = tokio::select! {
                delivery = self.incoming.next() => delivery,
                () = stop.cancelled() => return,
            };
            let Some(delivery) = delivery else { return };
            self.take(&delivery);
            let counts = self.defects.counts();
            let refused = counts.topic + counts.unreadable + counts.too_large + counts.newer + counts.too_many;
            // At each doubling: a hostile or broken node fills a counter, not the journal.
            if refused > 2 * told {
                told = refused;
                tracing::warn!(refused, ?counts, topic = clip(&delivery.topic), "messages from nodes were refused");
            }
        }
    }

    /// Takes one message.
    pub(crate) fn take(&self, delivery: &Delivery) {
        let Ok(topic) = delivery.topic.parse::<Topic>() else { return add(&self.defects.topic) };
        // A cleared retained topic.
        if delivery.payload.is_empty() {
            return;
        }
        match topic {
            Topic::Anchor(channel, source) => {
                if let Some(message) = self.read::<WireAnchor>(&delivery.payload) {
                    self.pass_on(Arrived::Anchor(ArrivedAnchor { channel, source, anchor: message.body }));
                }
            }
            Topic::Node(site, node, branch) => self.take_report(&NodeKey { site, node }, branch, &delivery.payload),
        }
    }

    fn take_report(&self, key: &NodeKey, branch: Branch, payload: &[u8]) {
        let report = match branch {
            Branch::Birth => self.read::<Birth>(payload).map(Report::Birth),
            Branch::Will => self.read::<Will>(payload).map(Report::Will),
            Branch::Health => self.read::<Health>(payload).map(Report::Health),
            Branch::Reported => self.read::<Reported>(payload).map(Report::Reported),
            Branch::Event => {
                if let Some(message) = self.read::<Event>(payload) {
                    self.pass_on(Arrived::Event(ArrivedEvent { key: key.clone(), message }));
                }
                return;
            }
            Branch::EventAck | Branch::Desired | Branch::Cmd | Branch::CmdResult => return add(&self.defects.topic),
        };
        let Some(report) = report else { return };
        match self.fleet.merge(key, report) {
            Merged::Taken => {}
            Merged::Gone => {
                tracing::warn!(site = %key.site, node = %key.node, "node is gone");
                // Full: the probe is behind and will look at every origin anyway.
                let _ = self.deaths.try_send(key.clone());
            }
            Merged::Old => add(&self.defects.old),
            Merged::TooMany => add(&self.defects.too_many),
        }
    }

    fn read<T: Serialize + DeserializeOwned>(&self, payload: &[u8]) -> Option<Message<T>> {
        Message::from_bytes(payload).map_err(|error| self.defects.refused(&error)).ok()
    }

    fn pass_on(&self, arrived: Arrived) {
        if self.arrived.try_send(arrived).is_err() {
            add(&self.defects.events_left);
        }
    }
}

fn clip(topic: &str) -> String {
    topic.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use headend_rt::link::Link;
    use proptest::prelude::*;

    use super::*;

    fn deliver(ends: &InboxEnds, topic: &str, payload: &[u8]) {
        let payload = bytes::Bytes::copy_from_slice(payload);
        ends.inbox.take(&Delivery { topic: topic.to_owned(), payload, retained: false });
    }

    fn inbox() -> InboxEnds {
        let (_link, incoming, _far) = Link::in_memory();
        Inbox::open(incoming, FleetWatch::default())
    }

    fn check(topic: &str, payload: &[u8], want: DefectCounts) {
        let ends = inbox();
        deliver(&ends, topic, payload);
        assert_eq!(ends.defects.counts(), want, "{topic}");
    }

    const WILL: &[u8] = br#"{"v":1,"incarnation":7,"seq":2,"at":"2026-01-01T00:00:00Z","body":{"cause":"lost"}}"#;

    #[test]
    fn what_is_refused_is_counted_by_cause() {
        let none = DefectCounts::default();
        check("headend/v1/caribbean/car-1/will", WILL, none);
        check("headend/v1/caribbean/car-1/will", b"", none);
        check("headend/v1/caribbean/car-1/will", b"{", DefectCounts { unreadable: 1, ..none });
        check("headend/v1/caribbean/car-1/will", br#"{"v":9}"#, DefectCounts { newer: 1, ..none });
        check("headend/v1/caribbean/car-1/desired", WILL, DefectCounts { topic: 1, ..none });
        check("headend/v1/a b/car-1/will", WILL, DefectCounts { topic: 1, ..none });
        check("headend/v1/caribbean/car-1/event", &vec![b'x'; 200_000], DefectCounts { too_large: 1, ..none });
    }

    #[test]
    fn a_death_is_told_once() {
        let mut ends = inbox();
        deliver(&ends, "headend/v1/caribbean/car-1/will", WILL);
        deliver(&ends, "headend/v1/caribbean/car-1/will", WILL);
        assert_eq!(ends.deaths.try_recv().unwrap().node.as_str(), "car-1");
        assert!(ends.deaths.try_recv().is_err());
    }

    proptest! {
        #[test]
        fn hostile_messages_never_panic(
            topic in "(headend/v1/)?[a-z+#/]{0,30}(birth|will|health|event|reported)?",
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            deliver(&inbox(), &topic, &payload);
        }
    }
}
