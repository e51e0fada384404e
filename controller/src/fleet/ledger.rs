//! Stores events, then acknowledges them; keeps and publishes anchors.
//!
//! An event is named by (node, incarnation, sequence): a node's outbox sends the very same bytes until it is
//! acknowledged. The acknowledgement leaves only after the store has said that it has it, new or already
//! there. An anchor is on disk before it is published, and published before its event is acknowledged, so
//! that a controller killed in between does it again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use futures_util::future::BoxFuture;
use headend_rt::{CancellationToken, link::Link};
use headend_wire::{
    Branch, ChannelName, Event, EventKind, Incarnation, SourceName, Topic,
    report::{EventAck, WireAnchor},
};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    anchors::{self, AnchorsError},
    inbox::{Arrived, ArrivedEvent, FleetWatch},
    state::{NODES_MAX, NodeKey, Report},
    voice::Voice,
};

/// Events remembered per node as stored, so that a resend costs the store nothing.
const REMEMBERED: usize = 1_024;

/// An event for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetEvent {
    /// Whose.
    pub key: NodeKey,
    /// Which life of the node wrote it.
    pub incarnation: Incarnation,
    /// Its number in that life.
    pub seq: u64,
    /// When it arrived here.
    pub received: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What the store says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It was new and is durable now.
    New,
    /// It was stored before.
    Already,
}

/// Stores an event durably, once per (node, incarnation, sequence). An error, in words, leaves the event with
/// the node, which sends it again.
pub type KeepEvent = Arc<dyn Fn(FleetEvent) -> BoxFuture<'static, Result<Kept, String>> + Send + Sync>;

/// The ledger task.
pub struct Ledger {
    arrived: mpsc::Receiver<Arrived>,
    link: Link,
    voice: Voice,
    fleet: FleetWatch,
    keep: KeepEvent,
    anchors_path: PathBuf,
    stored: Remembered,
}

/// What names an event of one node.
type Name = (Incarnation, u64);

/// The last stored events of each node: to look up, and in order of arrival.
#[derive(Default)]
struct Remembered(HashMap<NodeKey, (HashSet<Name>, VecDeque<Name>)>);

impl Remembered {
    fn knows(&self, event: &ArrivedEvent) -> bool {
        let name = (event.message.incarnation, event.message.seq);
        self.0.get(&event.key).is_some_and(|(known, _)| known.contains(&name))
    }

    fn add(&mut self, event: &ArrivedEvent) {
        if self.0.len() >= NODES_MAX && !self.0.contains_key(&event.key) {
            return;
        }
        let name = (event.message.incarnation, event.message.seq);
        let (known, order) = self.0.entry(event.key.clone()).or_default();
        if known.insert(name) {
            order.push_back(name);
        }
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }
}

impl Ledger {
    /// Loads the anchors, puts them into the state and publishes them. Blocks on the disk.
    ///
    /// # Errors
    /// [`AnchorsError`] when the anchors file is there but not readable.
    pub fn open(
        arrived: mpsc::Receiver<Arrived>,
        (link, voice): (Link, Voice),
        fleet: FleetWatch,
        keep: KeepEvent,
        anchors_path: PathBuf,
    ) -> Result<Self, AnchorsError> {
        let loaded = anchors::load(&anchors_path)?;
        let ledger = Self { arrived, link, voice, fleet, keep, anchors_path, stored: Remembered::default() };
        for ((channel, source), anchor) in loaded {
            if ledger.fleet.anchor(&channel, &source, anchor) {
                ledger.publish_anchor(&channel, &source, anchor);
            }
        }
        Ok(ledger)
    }

    /// Works until `stop` or until the inbox ends.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let arrived = tokio::select! {
                arrived = self.arrived.recv() => arrived,
                () = stop.cancelled() => return,
            };
            match arrived {
                Some(Arrived::Event(event)) => self.take_event(event).await,
                Some(Arrived::Anchor(anchor)) => {
                    self.take_anchor(&anchor.channel, &anchor.source, anchor.anchor).await;
                }
                None => return,
            }
        }
    }

    async fn take_event(&mut self, arrived: ArrivedEvent) {
        if !self.stored.knows(&arrived) {
            let ArrivedEvent { key, message } = &arrived;
            let received = self.voice.clock().now();
            let event = FleetEvent {
                key: key.clone(),
                incarnation: message.incarnation,
                seq: message.seq,
                received,
                event: message.body.clone(),
            };
            match (self.keep)(event).await {
                Ok(Kept::New) => {
                    self.fleet.merge(key, Report::Event(message.clone()));
                }
                Ok(Kept::Already) => {}
                Err(error) => {
                    tracing::error!(site = %key.site, node = %key.node, error, "event could not be stored; its node keeps it");
                    return;
                }
            }
            if let EventKind::Anchored { channel, source, anchor } = &message.body.kind
                && !self.take_anchor(channel, source, *anchor).await
            {
                return;
            }
            self.stored.add(&arrived);
        }
        self.acknowledge(&arrived);
    }

    /// Acknowledges; a lost acknowledgement is answered by the resend.
    fn acknowledge(&self, arrived: &ArrivedEvent) {
        let topic = Topic::Node(arrived.key.site.clone(), arrived.key.node.clone(), Branch::EventAck);
        if let Ok(bytes) = self.voice.say(EventAck { id: arrived.message.body.id }) {
            let _ = self.link.try_send(&topic.to_string(), bytes);
        }
    }

    /// Keeps and publishes an anchor that is newer than ours; false when the disk refused.
    async fn take_anchor(&self, channel: &ChannelName, source: &SourceName, anchor: WireAnchor) -> bool {
        if !self.fleet.anchor(channel, source, anchor) {
            return true;
        }
        let (path, all) = (self.anchors_path.clone(), self.fleet.subscribe().borrow().anchors().clone());
        let saved = tokio::task::spawn_blocking(move || anchors::save(&path, &all)).await;
        let problem = match saved {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(headend_rt::chain(&error)),
            Err(error) => Some(error.to_string()),
        };
        // Published all the same: nodes need it now, and the next anchor writes the file again.
        self.publish_anchor(channel, source, anchor);
        if let Some(error) = &problem {
            tracing::error!(%channel, %source, error, "anchor could not be stored");
        }
        problem.is_none()
    }

    fn publish_anchor(&self, channel: &ChannelName, source: &SourceName, anchor: WireAnchor) {
        let topic = Topic::Anchor(channel.clone(), source.clone()).to_string();
        match self.voice.say(anchor) {
            Ok(bytes) => {
                if let Err(error) = self.link.set(&topic, bytes) {
                    tracing::error!(%channel, %source, error = %error, "anchor could not be published");
                }
            }
            Err(error) => tracing::error!(%channel, %source, error = %error, "anchor could not be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use headend_rt::{SystemClock, link::FarEnd};
    use headend_wire::Message;

    use super::*;
    use crate::fleet::inbox::ArrivedAnchor;

    struct Bench {
        arrived: mpsc::Sender<Arrived>,
        far: FarEnd,
        fleet: FleetWatch,
        stored: Arc<Mutex<Vec<(u64, u64)>>>,
        stop: CancellationToken,
        folder: tempfile::TempDir,
    }

    fn start(folder: tempfile::TempDir, refuse_first: bool) -> Bench {
        let (arrived, from) = mpsc::channel(16);
        let (link, _incoming, far) = Link::in_memory();
        let stored: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
        let (keeper, refusals) = (Arc::clone(&stored), Mutex::new(usize::from(refuse_first)));
        let keep: KeepEvent = Arc::new(move |event: FleetEvent| {
            let mut refusals = refusals.lock().unwrap();
            let mut stored = keeper.lock().unwrap();
            let name = (event.incarnation.0, event.seq);
            let answer = if *refusals > 0 {
                *refusals -= 1;
                Err("disk full".to_owned())
            } else if stored.contains(&name) {
                Ok(Kept::Already)
            } else {
                stored.push(name);
                Ok(Kept::New)
            };
            Box::pin(async move { answer })
        });
        let (fleet, stop) = (FleetWatch::default(), CancellationToken::new());
        let voice = Voice::new(Arc::new(SystemClock));
        let path = folder.path().join("anchors.json");
        let ledger = Ledger::open(from, (link, voice), fleet.clone(), keep, path).unwrap();
        drop(tokio::task::spawn_local(ledger.run(stop.clone())));
        Bench { arrived, far, fleet, stored, stop, folder }
    }

    fn key() -> NodeKey {
        NodeKey { site: "caribbean".parse().unwrap(), node: "car-1".parse().unwrap() }
    }

    fn event(id: u64, kind: EventKind) -> Arrived {
        let body = Event { id, happened: Timestamp::UNIX_EPOCH, kind };
        let message = Message { v: 1, incarnation: Incarnation(7), seq: id + 100, at: Timestamp::UNIX_EPOCH, body };
        Arrived::Event(ArrivedEvent { key: key(), message })
    }

    fn started(id: u64) -> Arrived {
        event(id, EventKind::Started { version: "1".to_owned() })
    }

    async fn published(bench: &mut Bench) -> (String, serde_json::Value) {
        let publish = bench.far.next().await;
        (publish.topic, serde_json::from_slice::<serde_json::Value>(&publish.payload).unwrap()["body"].clone())
    }

    async fn local(test: impl Future<Output = ()>) {
        tokio::time::timeout(std::time::Duration::from_secs(20), tokio::task::LocalSet::new().run_until(test))
            .await
            .expect("in time");
    }

    #[tokio::test]
    async fn an_event_is_stored_once_and_acknowledged_each_time() {
        local(async {
            let mut bench = start(tempfile::tempdir().unwrap(), false);
            for id in [4, 4, 5] {
                bench.arrived.send(started(id)).await.unwrap();
                let (topic, body) = published(&mut bench).await;
                assert_eq!((topic.as_str(), &body["id"]), ("headend/v1/caribbean/car-1/event-ack", &id.into()));
            }
            assert_eq!(*bench.stored.lock().unwrap(), [(7, 104), (7, 105)]);
            bench.stop.cancel();
        })
        .await;
    }

    #[tokio::test]
    async fn what_could_not_be_stored_is_not_acknowledged() {
        local(async {
            let mut bench = start(tempfile::tempdir().unwrap(), true);
            bench.arrived.send(started(4)).await.unwrap();
            bench.arrived.send(started(5)).await.unwrap();
            assert_eq!(published(&mut bench).await.1["id"], 5);
            bench.arrived.send(started(4)).await.unwrap();
            assert_eq!(published(&mut bench).await.1["id"], 4);
        })
        .await;
    }

    #[tokio::test]
    async fn a_newer_anchor_is_published_kept_and_published_again_after_a_restart() {
        local(async {
            let anchored = |id, version| {
                let anchor = WireAnchor { source_pts: 9, at_90k: 10, version };
                event(
                    id,
                    EventKind::Anchored { channel: "fr/a".parse().unwrap(), source: "dtt".parse().unwrap(), anchor },
                )
            };
            let mut bench = start(tempfile::tempdir().unwrap(), false);
            bench.arrived.send(anchored(1, 2)).await.unwrap();
            let (topic, body) = published(&mut bench).await;
            assert_eq!((topic.as_str(), &body["version"]), ("headend/v1/anchor/fr%2Fa/dtt", &2.into()));
            assert_eq!(published(&mut bench).await.1["id"], 1);
            // An older one, from a broker's memory, changes nothing.
            let old = WireAnchor { source_pts: 9, at_90k: 99, version: 1 };
            let arrived =
                ArrivedAnchor { channel: "fr/a".parse().unwrap(), source: "dtt".parse().unwrap(), anchor: old };
            bench.arrived.send(Arrived::Anchor(arrived)).await.unwrap();
            bench.arrived.send(started(3)).await.unwrap();
            assert_eq!(published(&mut bench).await.1["id"], 3);
            bench.stop.cancel();
            let mut again = start(bench.folder, false);
            assert_eq!(published(&mut again).await.1["version"], 2);
            assert_eq!(again.fleet.subscribe().borrow().anchors().len(), 1);
        })
        .await;
    }
}
