//! The link against a real Mosquitto, restarted and killed in the middle.
//!
//! Needs `mosquitto` (Debian package of that name). Every wait is a predicate with a deadline.

#![expect(clippy::unwrap_used, reason = "a set-up step that fails is the test's failure")]

use std::{
    collections::BTreeSet,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use headend_rt::link::{
    Announcement, Connection, Courier, Delivery, Incoming, Link, LinkOptions, MqttTask, OutboxLimits, Publish,
    Subscription, mqtt,
};
use headend_rt::{
    CancellationToken,
    tls::{Identity, client_config},
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A Mosquitto of our own; killed when dropped.
struct Mosquitto {
    port: u16,
    folder: tempfile::TempDir,
    extra: String,
    child: Child,
}

impl Mosquitto {
    fn start(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            // Somebody else may take the port in between; then ours ends and the next one is tried.
            if let Some(child) = Self::spawn(port, folder.path(), extra) {
                return Self { port, folder, extra: extra.to_owned(), child };
            }
        }
        panic!("mosquitto does not start");
    }

    fn spawn(port: u16, folder: &std::path::Path, extra: &str) -> Option<Child> {
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n{}",
            extra.replace("DIR", folder.to_str().unwrap())
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("mosquitto is installed");
        let started = Instant::now();
        while started.elapsed() < DEADLINE && child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(child);
            }
            std::thread::yield_now();
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(self.port, self.folder.path(), &self.extra).expect("the port is still ours");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static CLIENTS: AtomicU64 = AtomicU64::new(0);

fn options(port: u16, filters: &[(&str, bool)]) -> LinkOptions {
    let subscriptions =
        filters.iter().map(|(filter, state)| Subscription { filter: (*filter).to_owned(), state: *state });
    LinkOptions {
        url: format!("mqtt://127.0.0.1:{port}").parse().unwrap(),
        client_id: format!("test-{}", CLIENTS.fetch_add(1, Ordering::Relaxed)),
        tls: None,
        subscriptions: subscriptions.collect(),
        announce: None,
    }
}

fn start((link, incoming, task): (Link, Incoming, MqttTask)) -> (Link, Incoming, CancellationToken) {
    let stop = CancellationToken::new();
    tokio::spawn(task.run(stop.clone()));
    (link, incoming, stop)
}

async fn connected(link: &Link, session: u64) {
    let mut watch = link.connection();
    let up = watch.wait_for(|now| now.session().is_some_and(|n| n >= session));
    tokio::time::timeout(DEADLINE, up).await.expect("connects in time").unwrap();
}

async fn next(incoming: &mut Incoming) -> Delivery {
    tokio::time::timeout(DEADLINE, incoming.next()).await.expect("arrives in time").expect("open")
}

/// Waits for a delivery that fits; others are passed over.
async fn arrives(incoming: &mut Incoming, topic: &str, payload: &[u8]) -> Delivery {
    loop {
        let delivery = next(incoming).await;
        if delivery.topic == topic && delivery.payload == payload {
            return delivery;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_and_subscriptions_come_back_after_a_broker_lost_its_memory() {
    let mut broker = Mosquitto::start("");
    let (reader, mut incoming, _a) = start(mqtt(options(broker.port, &[("s/#", true)])).unwrap());
    let (writer, _, _b) = start(mqtt(options(broker.port, &[])).unwrap());
    writer.set("s/one", "1".into()).unwrap();
    writer.set("s/one", "2".into()).unwrap();
    arrives(&mut incoming, "s/one", b"2").await;
    let (reader_was, writer_was) = (reader.figures().sessions, writer.figures().sessions);
    broker.restart();
    connected(&reader, reader_was + 1).await;
    connected(&writer, writer_was + 1).await;
    arrives(&mut incoming, "s/one", b"2").await;
    writer.set("s/one", "3".into()).unwrap();
    arrives(&mut incoming, "s/one", b"3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_reader_gets_the_retained_value_and_a_cleared_one_not() {
    let broker = Mosquitto::start("");
    let (writer, _, _a) = start(mqtt(options(broker.port, &[])).unwrap());
    let (_first, mut seen, _b) = start(mqtt(options(broker.port, &[("s/#", true)])).unwrap());
    writer.set("s/gone", "x".into()).unwrap();
    arrives(&mut seen, "s/gone", b"x").await;
    writer.set("s/gone", "".into()).unwrap();
    writer.set("s/kept", "y".into()).unwrap();
    arrives(&mut seen, "s/kept", b"y").await;
    let (_late, mut incoming, _c) = start(mqtt(options(broker.port, &[("s/#", true)])).unwrap());
    let first = next(&mut incoming).await;
    assert_eq!((first.topic.as_str(), first.retained), ("s/kept", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_will_tells_a_lost_connection_and_an_orderly_stop_withdraws_it() {
    let broker = Mosquitto::start("");
    let (_watcher, mut seen, _a) = start(mqtt(options(broker.port, &[("w/#", true)])).unwrap());
    let announced = |name: &'static str| {
        let mut options = options(broker.port, &[]);
        let publish = |word: &'static str| Publish {
            topic: format!("w/{name}/{word}"),
            payload: name.into(),
            retained: true,
            once: true,
        };
        let announcement = Announcement { will: publish("will"), greeting: Some(publish("birth")) };
        options.announce = Some(Box::new(move || announcement.clone()));
        options
    };
    let (_, _lost_incoming, lost) = mqtt(announced("lost")).unwrap();
    let running = tokio::spawn(lost.run(CancellationToken::new()));
    arrives(&mut seen, "w/lost/birth", b"lost").await;
    let (orderly_link, _orderly_incoming, stop) = start(mqtt(announced("orderly")).unwrap());
    arrives(&mut seen, "w/orderly/birth", b"orderly").await;
    // An orderly stop still sends what waits.
    orderly_link.set("w/orderly/last", "words".into()).unwrap();
    stop.cancel();
    arrives(&mut seen, "w/orderly/last", b"words").await;
    running.abort();
    let next_word = next(&mut seen).await;
    assert_eq!(next_word.topic, "w/lost/will", "the orderly one has left no will before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_passes_and_one_byte_more_is_refused_here() {
    let broker = Mosquitto::start("");
    let (link, mut incoming, _a) = start(mqtt(options(broker.port, &[("s/#", true)])).unwrap());
    let large = vec![b'x'; headend_rt::link::PAYLOAD_BYTES_MAX];
    link.set("s/large", large.clone().into()).unwrap();
    arrives(&mut incoming, "s/large", &large).await;
    assert!(link.set("s/large", vec![0; large.len() + 1].into()).is_err());
    assert_eq!(link.figures().sessions, 1, "no reconnect loop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_said_in_words_and_blocks_nobody() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (link, _incoming, _a) = start(mqtt(options(port, &[])).unwrap());
    for n in 0..1_000 {
        link.metric("health", format!("{n}").into()).unwrap();
        link.set("birth", format!("{n}").into()).unwrap();
    }
    let mut watch = link.connection();
    let refused =
        watch.wait_for(|now| matches!(now, Connection::Disconnected { error, .. } if error.contains("refused")));
    tokio::time::timeout(DEADLINE, refused).await.expect("in time").unwrap();
    assert_eq!(link.figures().metrics_dropped, 1_000 - 256);
}

/// Posts while the broker is killed three times; a receiver acknowledges what it has stored.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_over_broker_kills() {
    let mut broker = Mosquitto::start("");
    let (receiver, mut incoming, _a) = start(mqtt(options(broker.port, &[("event", false)])).unwrap());
    let (sender, mut acks, _b) = start(mqtt(options(broker.port, &[("ack", false)])).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let overflow = |_, _| unreachable!("nothing overflows here");
    let (courier, task, _) =
        Courier::open(folder.path(), OutboxLimits::default(), sender.clone(), "event".to_owned(), overflow).unwrap();
    tokio::spawn(task.run(CancellationToken::new()));
    let acknowledger = courier.clone();
    tokio::spawn(async move {
        while let Some(ack) = acks.next().await {
            acknowledger.acknowledge(String::from_utf8_lossy(&ack.payload).parse().unwrap());
        }
    });
    let stored = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let keep = std::sync::Arc::clone(&stored);
    let answer = receiver.clone();
    tokio::spawn(async move {
        while let Some(event) = incoming.next().await {
            let text = String::from_utf8(event.payload.to_vec()).unwrap();
            let (id, word) = text.split_once(' ').unwrap();
            keep.lock().unwrap().insert(word.to_owned());
            let _ = answer.try_send("ack", id.to_owned().into());
        }
    });
    connected(&sender, 1).await;
    for round in 0..4 {
        for n in 0..50 {
            courier.post(move |id| format!("{id} {round}-{n}").into_bytes()).unwrap();
        }
        if round < 3 {
            broker.restart();
        }
    }
    let started = Instant::now();
    while (stored.lock().unwrap().len() < 200 || courier.figures().pending > 0) && started.elapsed() < DEADLINE * 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!((stored.lock().unwrap().len(), courier.figures().pending), (200, 0));
}

/// An authority, and a certificate signed by it for the name.
fn certificate(name: &str, authority: &rcgen::Issuer<'_, rcgen::KeyPair>) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_to_the_broker() {
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority_pem = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, key);
    let (server, client) = (certificate("localhost", &issuer), certificate("car-1", &issuer));
    let files = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("ca.pem", &authority_pem),
        ("cert.pem", &server.0),
        ("key.pem", &server.1),
        ("client.pem", &client.0),
        ("client.key", &client.1),
    ] {
        headend_rt::atomic_file::write(&files.path().join(name), text.as_bytes(), 0o600).unwrap();
    }
    let path = files.path().display();
    let broker = Mosquitto::start(&format!(
        "cafile {path}/ca.pem\ncertfile {path}/cert.pem\nkeyfile {path}/key.pem\nrequire_certificate true\nuser root\n"
    ));
    let ours = Identity { cert: files.path().join("client.pem"), key: files.path().join("client.key") };
    let secured = |identity| {
        let mut options = options(broker.port, &[("s/#", true)]);
        options.url = format!("mqtts://localhost:{}", broker.port).parse().unwrap();
        options.tls = Some(client_config(&files.path().join("ca.pem"), identity).unwrap());
        start(mqtt(options).unwrap())
    };
    let (link, mut incoming, _a) = secured(Some(&ours));
    link.set("s/one", "1".into()).unwrap();
    arrives(&mut incoming, "s/one", b"1").await;
    let (stranger, _, _b) = secured(None);
    let mut watch = stranger.connection();
    let refused =
        watch.wait_for(|now| matches!(now, Connection::Disconnected { error, .. } if error != "not yet connected"));
    tokio::time::timeout(DEADLINE, refused).await.expect("refused in time").unwrap();
}
