//! The whole fleet room against real brokers: rumqttd in a process of its own and Mosquitto, both killed in
//! the middle. Nodes are played by the link and the courier that real nodes use. Every wait has a deadline.

#![expect(clippy::disallowed_methods, reason = "a test owns its tasks: they end with its runtime")]

use std::{
    collections::BTreeMap,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use headend_access::TokenSigner;
use headend_failover::Viewer;
use headend_rt::{
    CancellationToken, Clock, SystemClock,
    link::{Announcement, Courier, Incoming, Link, LinkOptions, OutboxLimits, Publish, Subscription, mqtt},
    serve::{Limits, Server},
};
use headend_wire::{
    Birth, Branch, Event, EventKind, Health, Message, Topic, Will,
    report::{EventAck, WillCause},
};
use tokio::sync::{mpsc, watch};

use super::{
    broker::Broker,
    inbox::{FleetWatch, Inbox, subscriptions},
    ledger::{FleetEvent, KeepEvent, Kept, Ledger},
    probe::{
        Fetcher, ProbeKeys, Round,
        round::{Answer, ProbePlan},
    },
    redirect::{Audience, Change, RedirectPlan},
    state::{NodeKey, Presence},
    voice::Voice,
};

const DEADLINE: Duration = Duration::from_secs(60);
const BROKER_VARIABLE: &str = "HEADEND_TEST_BROKER";

#[derive(Debug, Clone, Copy)]
enum Kind {
    Rumqttd,
    Mosquitto,
}

/// A broker as a process of its own, so that it can be killed.
struct BrokerProcess {
    kind: Kind,
    address: SocketAddr,
    child: Child,
}

impl BrokerProcess {
    fn start(kind: Kind) -> Self {
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            // Somebody else may take the port in between; then the next one is tried.
            if let Some(child) = spawn(kind, address) {
                return Self { kind, address, child };
            }
        }
        panic!("no broker starts");
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.kind, self.address).expect("the port is still ours");
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(kind: Kind, address: SocketAddr) -> Option<Child> {
    let mut command = match kind {
        Kind::Mosquitto => {
            let mut command = Command::new("/usr/sbin/mosquitto");
            command.args(["-p", &address.port().to_string()]);
            command
        }
        Kind::Rumqttd => {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "fleet::tests::broker_process", "--nocapture"]);
            command.env(BROKER_VARIABLE, address.to_string());
            command
        }
    };
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while started.elapsed() < DEADLINE && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(address).is_ok() {
            return Some(child);
        }
        std::thread::yield_now();
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[test]
fn broker_process() {
    let Ok(address) = std::env::var(BROKER_VARIABLE) else { return };
    let _broker = Broker::start(address.parse().unwrap()).unwrap();
    // Ends with its parent, which holds the other end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn key(node: &str) -> NodeKey {
    let site = if node.starts_with("car") { "caribbean" } else { "france" };
    NodeKey { site: site.parse().unwrap(), node: node.parse().unwrap() }
}

fn topic(key: &NodeKey, branch: Branch) -> String {
    Topic::Node(key.site.clone(), key.node.clone(), branch).to_string()
}

/// A node as far as MQTT sees it. Dropping it kills its connection without a word.
struct Node {
    key: NodeKey,
    voice: Voice,
    link: Link,
    incoming: Option<Incoming>,
    carrier: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Node {
    fn start(address: SocketAddr, name: &str, origin_url: &str) -> Self {
        let (key, voice) = (key(name), Voice::new(Arc::new(SystemClock)));
        let (who, said, origin_url) = (key.clone(), voice.clone(), origin_url.to_owned());
        let announce = move || {
            let retained =
                |branch, payload| Publish { topic: topic(&who, branch), payload, retained: true, once: true };
            let (version, host) = ("1".to_owned(), "h".to_owned());
            let (kernel, slot, capabilities) = (String::new(), None, vec![]);
            let birth = Birth { version, origin_url: origin_url.clone(), host, kernel, slot, capabilities };
            // The birth takes its number first.
            let greeting = retained(Branch::Birth, said.say(birth).unwrap());
            let will = retained(Branch::Will, said.say(Will { cause: WillCause::Lost }).unwrap());
            Announcement { will, greeting: Some(greeting) }
        };
        let options = LinkOptions {
            url: format!("mqtt://{address}").parse().unwrap(),
            client_id: name.to_owned(),
            tls: None,
            subscriptions: vec![Subscription { filter: topic(&key, Branch::EventAck), state: false }],
            announce: Some(Box::new(announce)),
        };
        let (link, incoming, task) = mqtt(options).unwrap();
        let carrier = tokio::spawn(task.run(CancellationToken::new()));
        Self { key, voice, link, incoming: Some(incoming), carrier }
    }

    fn courier(&mut self, folder: &std::path::Path) -> Courier {
        let overflow = |_, _| unreachable!("nothing overflows here");
        let topic = topic(&self.key, Branch::Event);
        let (courier, task, _) =
            Courier::open(folder, OutboxLimits::default(), self.link.clone(), topic, overflow).unwrap();
        drop(tokio::spawn(task.run(CancellationToken::new())));
        let (acknowledged, mut incoming) = (courier.clone(), self.incoming.take().unwrap());
        drop(tokio::spawn(async move {
            while let Some(delivery) = incoming.next().await {
                acknowledged.acknowledge(Message::<EventAck>::from_bytes(&delivery.payload).unwrap().body.id);
            }
        }));
        courier
    }
}

/// A controller's fleet room with its events in memory.
struct Controller {
    fleet: FleetWatch,
    stored: Arc<Mutex<Vec<FleetEvent>>>,
    deaths: Option<mpsc::Receiver<NodeKey>>,
    _folder: tempfile::TempDir,
}

impl Controller {
    fn start(address: SocketAddr) -> Self {
        let options = LinkOptions {
            url: format!("mqtt://{address}").parse().unwrap(),
            client_id: "controller".to_owned(),
            tls: None,
            subscriptions: subscriptions(),
            announce: None,
        };
        let (link, incoming, task) = mqtt(options).unwrap();
        let (fleet, stored) = (FleetWatch::default(), Arc::new(Mutex::new(Vec::<FleetEvent>::new())));
        let ends = Inbox::open(incoming, fleet.clone());
        let keeper = Arc::clone(&stored);
        // As the store does it: a conditional write by name.
        let keep: KeepEvent = Arc::new(move |event: FleetEvent| {
            let mut stored = keeper.lock().unwrap();
            let name = |event: &FleetEvent| (event.key.clone(), event.incarnation, event.seq);
            let known = stored.iter().any(|known| name(known) == name(&event));
            if !known {
                stored.push(event);
            }
            Box::pin(async move { Ok(if known { Kept::Already } else { Kept::New }) })
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors.json");
        let voice = Voice::new(Arc::new(SystemClock));
        let ledger = Ledger::open(ends.arrived, (link, voice), fleet.clone(), keep, path).unwrap();
        drop(tokio::spawn(task.run(CancellationToken::new())));
        drop(tokio::spawn(ends.inbox.run(CancellationToken::new())));
        drop(tokio::spawn(ledger.run(CancellationToken::new())));
        Self { fleet, stored, deaths: Some(ends.deaths), _folder: folder }
    }

    async fn believes(&self, key: &NodeKey, want: impl Fn(&super::state::NodeState) -> bool) {
        let mut state = self.fleet.subscribe();
        let believed = state.wait_for(|state| state.node(key).is_some_and(&want));
        tokio::time::timeout(DEADLINE, believed).await.expect("believed in time").unwrap();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let holding = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, holding).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// 150 events while the broker is killed and started again twice: each is stored, and once.
async fn no_event_is_lost_or_doubled(kind: Kind) {
    let mut broker = BrokerProcess::start(kind);
    let controller = Controller::start(broker.address);
    let mut node = Node::start(broker.address, "car-1", "http://127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let courier = node.courier(folder.path());
    controller.believes(&node.key, |node| node.birth.is_some()).await;
    for round in 0..3 {
        for n in 0..50 {
            let voice = node.voice.clone();
            let version = format!("{round}-{n}");
            let event = move |id| {
                let body = Event { id, happened: voice.clock().now(), kind: EventKind::Started { version } };
                voice.say(body).unwrap().to_vec()
            };
            courier.post(event).unwrap();
        }
        if round < 2 {
            broker.restart();
        }
    }
    until("every event is stored and acknowledged", || {
        controller.stored.lock().unwrap().len() >= 150 && courier.figures().pending == 0
    })
    .await;
    let stored = controller.stored.lock().unwrap();
    let words = stored.iter().map(|event| format!("{:?}", event.event.kind));
    assert_eq!((stored.len(), words.collect::<std::collections::BTreeSet<_>>().len()), (150, 150));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_doubled_with_rumqttd() {
    no_event_is_lost_or_doubled(Kind::Rumqttd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_doubled_with_mosquitto() {
    no_event_is_lost_or_doubled(Kind::Mosquitto).await;
}

/// A node dies, its next life comes, and the will of the old one is published late.
async fn a_late_will_is_ignored(kind: Kind) {
    let broker = BrokerProcess::start(kind);
    let controller = Controller::start(broker.address);
    let first = Node::start(broker.address, "car-1", "http://first");
    controller.believes(&first.key, |node| node.birth.is_some()).await;
    let (key, old) = (first.key.clone(), first.voice.clone());
    drop(first);
    controller.believes(&key, |node| node.gone.is_some()).await;
    // The next life starts in a later millisecond: its incarnation is larger.
    let began = SystemClock.unix_ms();
    until("another millisecond", || SystemClock.unix_ms() > began).await;
    let second = Node::start(broker.address, "car-1", "http://second");
    controller
        .believes(&key, |node| {
            node.gone.is_none() && node.birth.as_ref().is_some_and(|b| b.origin_url == "http://second")
        })
        .await;
    second.link.set(&topic(&key, Branch::Will), old.say(Will { cause: WillCause::Lost }).unwrap()).unwrap();
    // A figure sent behind the late will shows that the will has been read.
    let health = Health { whole: true, generation: 77, channels: vec![], cards: vec![], tuners: vec![] };
    second.link.try_send(&topic(&key, Branch::Health), second.voice.say(health).unwrap()).unwrap();
    controller.believes(&key, |node| node.generation == 77).await;
    let state = controller.fleet.subscribe();
    assert_eq!(state.borrow().node(&key).unwrap().presence(controller.fleet.now()), Presence::Alive);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_will_is_ignored_with_rumqttd() {
    a_late_will_is_ignored(Kind::Rumqttd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_will_is_ignored_with_mosquitto() {
    a_late_will_is_ignored(Kind::Mosquitto).await;
}

/// 320 retained anchors reach a controller that subscribes late: rumqttd would give 100 at QoS 1.
#[tokio::test(flavor = "multi_thread")]
async fn every_retained_anchor_arrives_from_rumqttd() {
    let broker = BrokerProcess::start(Kind::Rumqttd);
    let node = Node::start(broker.address, "car-1", "http://127.0.0.1:1");
    for n in 0..320 {
        let anchor = headend_wire::report::WireAnchor { source_pts: 1, at_90k: n, version: 1 };
        let topic = Topic::Anchor(format!("c{n}").parse().unwrap(), "dtt".parse().unwrap()).to_string();
        node.link.set(&topic, node.voice.say(anchor).unwrap()).unwrap();
    }
    until("all are published", || node.link.figures().published >= 320).await;
    let controller = Controller::start(broker.address);
    until("all arrived", || controller.fleet.subscribe().borrow().anchors().len() == 320).await;
}

/// An origin that lives until its token is cancelled; its channel is a recording in the clear.
async fn origin(stop: &CancellationToken) -> String {
    let recording = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/ts/h264-aac.ts")).unwrap();
    let playlist = || async {
        let number = SystemClock.unix_ms() / 2_000;
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{number}\n#EXTINF:2.0,\nnewest.ts\n")
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/news/video.m3u8", get(playlist))
        .route("/news/newest.ts", get(move || async move { recording }));
    let limits = Limits { drain: Duration::ZERO, ..Limits::default() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits, None).unwrap();
    let url = format!("http://{}", server.address());
    drop(tokio::spawn(server.run(router, stop.clone())));
    url
}

fn probe_plan() -> Arc<ProbePlan> {
    let sites = vec!["caribbean".parse().unwrap(), "france".parse().unwrap()];
    let redirects = RedirectPlan {
        origins: BTreeMap::from([("news".parse().unwrap(), vec![key("car-1"), key("fra-1")])]),
        audiences: vec![Audience { name: "martinique".to_owned(), sites }],
        ..RedirectPlan::default()
    };
    Arc::new(ProbePlan { redirects, ..ProbePlan::default() })
}

async fn changed(changes: &mut mpsc::Receiver<Change>) -> Change {
    tokio::time::timeout(DEADLINE, changes.recv()).await.expect("changes in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_left_in_under_three_seconds() {
    let broker = BrokerProcess::start(Kind::Rumqttd);
    let mut controller = Controller::start(broker.address);
    let (car_lives, fra_lives) = (CancellationToken::new(), CancellationToken::new());
    let (car_url, fra_url) = (origin(&car_lives).await, origin(&fra_lives).await);
    let car = Node::start(broker.address, "car-1", &car_url);
    let _fra = Node::start(broker.address, "fra-1", &fra_url);
    for node in ["car-1", "fra-1"] {
        controller.believes(&key(node), |node| node.birth.is_some()).await;
    }
    let keys = ProbeKeys { signer: TokenSigner::new(1, [7; 32]), roots: BTreeMap::new() };
    let (_plan, planned) = watch::channel(probe_plan());
    let fetcher = Arc::new(Fetcher::new(keys).unwrap());
    let deaths = controller.deaths.take().unwrap();
    let (round, desk, mut changes) =
        Round::new(planned, deaths, controller.fleet.clone(), fetcher, Arc::new(SystemClock));
    let beat = headend_rt::Heartbeats::default().beat("probes", Duration::from_secs(60));
    drop(tokio::spawn(round.run(beat, CancellationToken::new())));
    let news = "news".parse().unwrap();
    let place = |on: Option<&NodeKey>| desk.place(&news, "martinique", &Viewer { on, failed: None });
    until("both origins are good", || {
        desk.look(|all, now| {
            all.choices(now).all(|(_, _, on, seen)| {
                on == Some(&key("car-1")) && seen.iter().all(|c| c.health == headend_failover::Health::Good)
            })
        })
    })
    .await;
    assert_eq!(place(None), Answer::Origin { key: key("car-1"), url: car_url });

    let killed = Instant::now();
    car_lives.cancel();
    drop(car);
    until("boxes are sent to France", || {
        place(Some(&key("car-1"))) == Answer::Origin { key: key("fra-1"), url: fra_url.clone() }
    })
    .await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    let mut change = changed(&mut changes).await;
    while change.to != Some(key("fra-1")) {
        change = changed(&mut changes).await;
    }
    assert_eq!(change.reason.to_string(), "caribbean/car-1 is down: its node left MQTT and a probe was refused");
    assert_eq!(change.seen.len(), 2, "the measurements are kept");
}
