//! The node's line to its controller: what goes out, in which envelope, and what comes in.
//!
//! Three kinds leave: state (birth, will, reported: retained), figures (health: may be lost), events (the durable
//! outbox of `rt::link`). What comes in is the desired state, acknowledgements of events, and anchors. An absent
//! broker stops nothing: publishing never waits.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use headend_rt::{
    Clock,
    link::{
        Announcement, BrokerUrl, Courier, CourierError, CourierTask, Incoming, Link, LinkError, LinkOptions, MqttTask,
        OutboxLimits, Publish, Recovery, Subscription, mqtt,
    },
};
use headend_wire::{
    Birth, Branch, ChannelName, Event, EventKind, Health, Incarnation, Message, NodeName, Reported, Signed, SiteName,
    SourceName, Topic, WIRE_VERSION, Will,
    report::{EventAck, WillCause, WireAnchor},
};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};

/// Why the uplink could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The broker's address or TLS material.
    #[error("link to the broker")]
    Link(#[source] LinkError),
    /// The outbox of events.
    #[error("outbox of events")]
    Outbox(#[source] CourierError),
}

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The site.
    pub site: SiteName,
    /// The node.
    pub node: NodeName,
    /// This life of the process.
    pub incarnation: Incarnation,
}

/// Puts bodies into envelopes; shared by everything that publishes.
struct Envelope {
    speaker: Speaker,
    clock: Arc<dyn Clock>,
    seq: AtomicU64,
}

impl Envelope {
    fn wrap<T: Serialize + DeserializeOwned>(&self, body: T) -> Vec<u8> {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        let message =
            Message { v: WIRE_VERSION, incarnation: self.speaker.incarnation, seq, at: self.clock.now(), body };
        // Our own bodies are bounded far below the limit, except health of a huge node, which the link refuses.
        serde_json::to_vec(&message).expect("our own messages have a JSON form")
    }

    fn topic(&self, branch: Branch) -> String {
        Topic::Node(self.speaker.site.clone(), self.speaker.node.clone(), branch).to_string()
    }
}

/// Publishes for this node; cheap to clone.
#[derive(Clone)]
pub struct Uplink {
    envelope: Arc<Envelope>,
    link: Link,
    courier: Courier,
}

/// What arrived for this node.
#[derive(Debug)]
pub enum Arrived {
    /// A desired state, still to be checked.
    Desired(Signed),
    /// Somebody tied a source's time to UTC.
    Anchor(ChannelName, SourceName, WireAnchor),
    /// A message we cannot use, with the reason.
    Unusable {
        /// Its topic.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The halves that run as tasks, and what arrives.
pub struct Halves {
    /// Deliveries, to be read with [`Uplink::understand`].
    pub incoming: Incoming,
    /// The connection.
    pub connection: MqttTask,
    /// The resender of events.
    pub resender: CourierTask,
    /// What the outbox found at start.
    pub recovery: Recovery,
}

impl Uplink {
    /// Makes the link and opens the outbox below `state_dir`; nothing connects before the halves run.
    ///
    /// # Errors
    /// [`UplinkError`].
    pub fn open(
        speaker: Speaker,
        clock: Arc<dyn Clock>,
        broker: (BrokerUrl, Option<Arc<ClientConfig>>),
        birth: Birth,
        state_dir: &Path,
    ) -> Result<(Self, Halves), UplinkError> {
        let envelope = Arc::new(Envelope { speaker, clock, seq: AtomicU64::new(0) });
        let subscriptions = vec![
            Subscription { filter: envelope.topic(Branch::Desired), state: true },
            Subscription { filter: Topic::every_anchor(), state: true },
            Subscription { filter: envelope.topic(Branch::EventAck), state: false },
        ];
        let (url, tls) = broker;
        let options = LinkOptions {
            url,
            client_id: format!("headend-node-{}-{}", envelope.speaker.site, envelope.speaker.node),
            tls,
            subscriptions,
            announce: Some(announcement(&envelope, birth)),
        };
        let (link, incoming, connection) = mqtt(options).map_err(UplinkError::Link)?;
        let told = Arc::clone(&envelope);
        let overflow = move |id, dropped| event_bytes(&told, id, EventKind::OutboxOverflow { dropped });
        let topic = envelope.topic(Branch::Event);
        let folder = state_dir.join("outbox");
        let (courier, resender, recovery) =
            Courier::open(&folder, OutboxLimits::default(), link.clone(), topic, overflow)
                .map_err(UplinkError::Outbox)?;
        Ok((Self { envelope, link, courier }, Halves { incoming, connection, resender, recovery }))
    }

    /// Posts an event to the outbox; it is kept until the controller has stored it.
    pub fn event(&self, kind: EventKind) {
        let envelope = Arc::clone(&self.envelope);
        // A refusal is counted by the courier and told by its overflow event.
        let _ = self.courier.post(move |id| event_bytes(&envelope, id, kind));
    }

    /// Publishes figures.
    pub fn health(&self, health: Health) {
        let payload = Bytes::from(self.envelope.wrap(health));
        let _ = self.link.metric(&self.envelope.topic(Branch::Health), payload);
    }

    /// Publishes what this node has applied.
    pub fn reported(&self, reported: Reported) {
        let payload = Bytes::from(self.envelope.wrap(reported));
        let _ = self.link.set(&self.envelope.topic(Branch::Reported), payload);
    }

    /// Whether a broker is connected.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.link.connection().borrow().session().is_some()
    }

    /// Events that wait for the controller.
    #[must_use]
    pub fn events_pending(&self) -> usize {
        self.courier.figures().pending
    }

    /// Reads a delivery; acknowledgements are dealt with here.
    pub fn understand(&self, topic: &str, payload: &[u8]) -> Option<Arrived> {
        let unusable = |reason: String| Some(Arrived::Unusable { topic: topic.chars().take(200).collect(), reason });
        match topic.parse::<Topic>() {
            Ok(Topic::Node(_, _, Branch::Desired)) => match Message::<Signed>::from_bytes(payload) {
                Ok(message) => Some(Arrived::Desired(message.body)),
                Err(error) => unusable(headend_rt::chain(&error)),
            },
            Ok(Topic::Node(_, _, Branch::EventAck)) => match Message::<EventAck>::from_bytes(payload) {
                Ok(message) => {
                    self.courier.acknowledge(message.body.id);
                    None
                }
                Err(error) => unusable(headend_rt::chain(&error)),
            },
            Ok(Topic::Anchor(channel, source)) => match Message::<WireAnchor>::from_bytes(payload) {
                Ok(message) => Some(Arrived::Anchor(channel, source, message.body)),
                Err(error) => unusable(headend_rt::chain(&error)),
            },
            Ok(_) => None,
            Err(error) => unusable(error.to_string()),
        }
    }
}

fn event_bytes(envelope: &Envelope, id: u64, kind: EventKind) -> Vec<u8> {
    envelope.wrap(Event { id, happened: envelope.clock.now(), kind })
}

/// Birth and will of each connection. The birth takes its sequence number first: of the two retained messages the one
/// with the higher number is the truth.
fn announcement(envelope: &Arc<Envelope>, birth: Birth) -> Box<dyn FnMut() -> Announcement + Send> {
    let envelope = Arc::clone(envelope);
    Box::new(move || {
        let retained = |branch, payload: Vec<u8>| Publish {
            topic: envelope.topic(branch),
            payload: payload.into(),
            retained: true,
            once: true,
        };
        let greeting = retained(Branch::Birth, envelope.wrap(birth.clone()));
        let will = retained(Branch::Will, envelope.wrap(Will { cause: WillCause::Lost }));
        Announcement { will, greeting: Some(greeting) }
    })
}

#[cfg(test)]
mod tests {
    use headend_rt::SimulatedClock;
    use jiff::Timestamp;

    use super::*;

    fn uplink(state: &Path) -> (Uplink, Halves) {
        let speaker = Speaker {
            site: "france".parse().expect("site"),
            node: "fr-1".parse().expect("node"),
            incarnation: Incarnation(7),
        };
        let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
        let birth = Birth {
            version: "0.1.0".to_owned(),
            origin_url: "http://127.0.0.1:1".to_owned(),
            host: "box".to_owned(),
            kernel: String::new(),
            slot: None,
            capabilities: vec![],
        };
        let url = "mqtt://127.0.0.1:1883".parse().expect("address");
        Uplink::open(speaker, clock, (url, None), birth, state).expect("opens")
    }

    fn check(topic: &str, payload: &str, want: &str) {
        let state = tempfile::tempdir().expect("folder");
        let (uplink, _halves) = uplink(state.path());
        let got = match uplink.understand(topic, payload.as_bytes()) {
            Some(Arrived::Desired(signed)) => format!("desired {}", signed.payload),
            Some(Arrived::Anchor(channel, source, anchor)) => format!("anchor {channel} {source} v{}", anchor.version),
            Some(Arrived::Unusable { reason, .. }) => format!("unusable: {reason}"),
            None => "nothing".to_owned(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn deliveries_are_understood_or_named() {
        let desired = r#"{"v":1,"incarnation":1,"seq":1,"at":"2026-01-01T00:00:00Z",
            "body":{"payload":"{}","signature":"x"}}"#;
        check("headend/v1/france/fr-1/desired", desired, "desired {}");
        let anchor = r#"{"v":1,"incarnation":1,"seq":1,"at":"2026-01-01T00:00:00Z",
            "body":{"source_pts":1,"at_90k":2,"version":3}}"#;
        check("headend/v1/anchor/fr%2Ftf1/dtt", anchor, "anchor fr/tf1 dtt v3");
        check("other", "", "unusable: topic \"other\" is not one of headend/v1");
        let newer = r#"{"v":2}"#;
        let text = "unusable: message version 2, this release reads up to 1: upgrade this side first";
        check("headend/v1/anchor/a/b", newer, text);
    }

    #[test]
    fn a_birth_is_numbered_before_its_will() {
        let state = tempfile::tempdir().expect("folder");
        let (uplink, _halves) = uplink(state.path());
        let birth = serde_json::from_slice::<Birth>(
            &serde_json::to_vec(&serde_json::json!({
                "version": "1", "origin_url": "", "host": ""
            }))
            .expect("JSON"),
        )
        .expect("a birth needs no more");
        let said = announcement(&uplink.envelope, birth)();
        let greeting = Message::<Birth>::from_bytes(&said.greeting.expect("greets").payload).expect("birth");
        let will = Message::<Will>::from_bytes(&said.will.payload).expect("will");
        assert!(greeting.seq < will.seq);
        assert_eq!(greeting.incarnation, will.incarnation);
    }
}
