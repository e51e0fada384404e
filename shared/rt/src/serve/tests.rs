//! The server against real sockets on loopback, each client as rude as a client can be.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Counts, Drained, Limits, Peer, Server};
use crate::tls::TlsHandle;

/// Longer than anything here should take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a test: a deadline that must not be the one that fires.
const NEVER: Duration = Duration::from_secs(600);

pub(super) struct Running {
    pub(super) address: SocketAddr,
    counters: Arc<super::Counters>,
    stop: CancellationToken,
    ended: JoinHandle<Drained>,
}

impl Running {
    pub(super) fn start(limits: Limits, tls: Option<TlsHandle>, router: Router) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits, tls).unwrap();
        let (address, counters, stop) = (server.address(), server.counters(), CancellationToken::new());
        assert_ne!(address.port(), 0);
        let ended = tokio::spawn(server.run(router, stop.clone()));
        Self { address, counters, stop, ended }
    }

    /// Connects and sends `bytes`.
    async fn client(&self, bytes: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes.as_bytes()).await.unwrap();
        socket
    }

    /// Connects, sends `bytes`, reads until the server closes.
    async fn ask(&self, bytes: &str) -> String {
        to_the_end(&mut self.client(bytes).await).await
    }

    /// Waits until the counters are as asked.
    pub(super) async fn until(&self, what: &str, wanted: impl Fn(Counts) -> bool) {
        let waiting = async {
            while !wanted(self.counters.counts()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let done = timeout(PATIENCE, waiting).await;
        assert!(done.is_ok(), "waited for {what}: {:?}", self.counters.counts());
    }
}

pub(super) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("took too long")
}

/// Reads until the end of the stream; a reset ends it too.
async fn to_the_end(socket: &mut TcpStream) -> String {
    let mut bytes = vec![];
    let _ = within(socket.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads up to and with `end`.
async fn up_to(socket: &mut TcpStream, end: &str) -> String {
    let mut bytes = vec![];
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(within(socket.read_u8()).await.expect("more bytes"));
    }
    String::from_utf8(bytes).unwrap()
}

const PATTERN: u8 = 251;

/// Counts 0..251 for ever, 50 kB at a time.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk: Vec<u8> = (0..PATTERN).cycle().take(200 * usize::from(PATTERN)).collect();
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/endless", get(|| async { Body::new(Endless) }))
        .route("/peer", get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }))
        .route("/echo", post(|body: String| async move { body }))
}

const HELLO: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST_HELLO: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn half_sent_heads_are_all_closed() {
    let limits = Limits { head: Duration::from_millis(300), idle: NEVER, ..Limits::default() };
    let server = Running::start(limits, None, router());
    let mut halves = vec![];
    for n in 0..200 {
        let sent = ["", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "GET / HTTP/1.1\r\nHost: a\r\n"][n % 3];
        halves.push(server.client(sent).await);
    }
    for half in &mut halves {
        assert_eq!(to_the_end(half).await, "");
    }
    server.until("200 late heads", |counts| counts.timed_out_head == 200 && counts.open == 0).await;
    assert!(server.ask(LAST_HELLO).await.ends_with("hello"), "a quick client is still served");
}

#[tokio::test]
async fn a_dripping_head_earns_no_time() {
    let limits = Limits { head: Duration::from_millis(200), idle: NEVER, ..Limits::default() };
    let server = Running::start(limits, None, router());
    // The second head counts from its own first byte, also on a connection that behaved well before.
    let mut socket = server.client(HELLO).await;
    up_to(&mut socket, "hello").await;
    let dripping = async {
        socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await?;
        loop {
            socket.write_all(b"x").await?;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ended: std::io::Result<()> = within(dripping).await;
    assert!(ended.is_err());
    server.until("the late head", |counts| counts.timed_out_head == 1 && counts.open == 0).await;
}

#[tokio::test]
async fn idle_time_has_its_own_limit() {
    let head = Duration::from_millis(50);
    let server = Running::start(Limits { head, idle: NEVER, ..Limits::default() }, None, router());
    let mut socket = server.client(HELLO).await;
    up_to(&mut socket, "hello").await;
    assert!(timeout(head * 4, socket.read_u8()).await.is_err(), "idle is not a late head");
    socket.write_all(LAST_HELLO.as_bytes()).await.unwrap();
    up_to(&mut socket, "hello").await;
    assert_eq!(server.counters.counts().requests, 2);

    let idle = Duration::from_millis(50);
    let server = Running::start(Limits { head: NEVER, idle, ..Limits::default() }, None, router());
    let mut socket = server.client(HELLO).await;
    up_to(&mut socket, "hello").await;
    assert_eq!(to_the_end(&mut socket).await, "");
    server.until("the idle close", |counts| counts.timed_out_idle == 1 && counts.open == 0).await;
}

#[tokio::test]
async fn a_stalled_reader_is_cut_and_a_healthy_one_gets_everything() {
    let limits = Limits { stall: Duration::from_millis(400), unacknowledged: NEVER, ..Limits::live() };
    let server = Running::start(limits, None, router());
    let request = "GET /endless HTTP/1.0\r\nHost: a\r\n\r\n";
    let mut healthy = server.client(request).await;
    up_to(&mut healthy, "\r\n\r\n").await;
    let mut stalled = server.client(request).await;

    let mut expected = (0..PATTERN).cycle();
    let mut buffer = vec![0; 256 * 1_024];
    let mut rest_bytes = 4 * 1_024 * 1_024;
    let reading = async {
        while rest_bytes > 0 {
            let count = healthy.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the healthy reader was cut");
            assert!(buffer[..count].iter().all(|byte| Some(*byte) == expected.next()), "bytes in order");
            // The last 4 MiB count from the moment the stalled reader is gone.
            if server.counters.counts().timed_out_stall == 1 {
                rest_bytes -= count.min(rest_bytes);
            }
        }
    };
    within(reading).await;
    server.until("one reader left", |counts| counts.open == 1).await;
    let mut bytes = vec![];
    assert!(within(stalled.read_to_end(&mut bytes)).await.is_err(), "the cut is a reset");
}

#[tokio::test]
async fn a_reader_that_the_kernel_gives_up_on_is_counted_as_stalled() {
    let limits = Limits { stall: NEVER, unacknowledged: Duration::from_millis(400), ..Limits::live() };
    let server = Running::start(limits, None, router());
    let stalled = server.client("GET /endless HTTP/1.0\r\nHost: a\r\n\r\n").await;
    server.until("the kernel's cut", |counts| counts.timed_out_stall == 1 && counts.open == 0).await;
    drop(stalled);
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let server = Running::start(Limits::default(), None, router());
    let check = async |request: &str, status: &str, text: &str| {
        let answer = server.ask(&format!("{request}\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains(text), "{request}: {answer}");
    };
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: close", "200", "hello").await;
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a", "400", "exactly one Host").await;
    check("GET / HTTP/1.1\r\nHost: a\r\nhost: b", "400", "exactly one Host").await;
    check("GET / HTTP/1.1", "400", "exactly one Host").await;
    check("GET http://a/ HTTP/1.1\r\nHost: a", "400", "absolute").await;
    check("CONNECT a:443 HTTP/1.1\r\nHost: a", "400", "absolute").await;
    check("OPTIONS * HTTP/1.1\r\nHost: a", "400", "starts with /").await;
    check("GET / HTTP/1.1\r\nHost: a b", "400", "not a host name").await;
    check("GET / HTTP/1.1\r\nHost : a", "400", "").await;
    let many: String = (0..64).map(|n| format!("\r\nX-{n}: 1")).collect();
    check(&format!("GET / HTTP/1.1\r\nHost: a{many}"), "431", "").await;
    let long = "x".repeat(33 * 1_024);
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"), "431", "").await;
    assert_eq!(server.counters.counts().requests_refused, 7);
}

#[tokio::test]
async fn one_address_gets_its_share() {
    let limits = Limits { per_address_max: Some(3), ..Limits::default() };
    let server = Running::start(limits, None, router());
    let mut open = vec![];
    for _ in 0..3 {
        open.push(server.client(HELLO).await);
    }
    for socket in &mut open {
        up_to(socket, "hello").await;
    }
    let mut fourth = TcpStream::connect(server.address).await.unwrap();
    let refused = to_the_end(&mut fourth).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.ends_with("from your address"), "{refused}");
    open.pop();
    server.until("a free place", |counts| counts.open == 2).await;
    assert!(server.ask(LAST_HELLO).await.ends_with("hello"));
    let counts = server.counters.counts();
    assert_eq!((counts.accepted, counts.refused_address, counts.refused_total), (4, 1, 0));
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let limits = Limits { body_grace: Duration::from_millis(200), ..Limits::default() };
    let server = Running::start(limits, None, router());
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
    let answer = server.ask(&format!("{head}Connection: close\r\n\r\nwhole")).await;
    assert!(answer.ends_with("whole"), "{answer}");
    let answer = server.ask(&format!("{head}\r\nhal")).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.counters.counts().timed_out_body, 1);
}

#[tokio::test]
async fn handlers_see_the_sockets_peer() {
    let server = Running::start(Limits::default(), None, router());
    let request = "GET /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    let mut socket = server.client(request).await;
    let own = socket.local_addr().unwrap().to_string();
    assert!(to_the_end(&mut socket).await.ends_with(&own));
}

#[tokio::test]
async fn a_drain_lets_answers_finish() {
    let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_started, handler_finish) = (Arc::clone(&started), Arc::clone(&finish));
    let slow = get(move || async move {
        handler_started.notify_one();
        handler_finish.notified().await;
        "finished"
    });
    let server = Running::start(Limits { drain: NEVER, ..Limits::default() }, None, router().route("/slow", slow));
    let mut idle = server.client(HELLO).await;
    up_to(&mut idle, "hello").await;
    let mut asking = server.client("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(started.notified()).await;
    server.stop.cancel();
    assert_eq!(to_the_end(&mut idle).await, "", "an idle connection goes at once");
    assert!(TcpStream::connect(server.address).await.is_err(), "new clients are refused");
    finish.notify_one();
    let answer = to_the_end(&mut asking).await;
    assert!(answer.ends_with("finished") && answer.contains("connection: close"), "{answer}");
    assert_eq!(within(server.ended).await.unwrap(), Drained { open: 2, cut: 0 });
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let limits = Limits { drain: Duration::from_millis(100), ..Limits::default() };
    let server = Running::start(limits, None, router());
    let mut viewer = server.client("GET /endless HTTP/1.0\r\nHost: a\r\n\r\n").await;
    up_to(&mut viewer, "\r\n\r\n").await;
    server.stop.cancel();
    let (drained, _) = tokio::join!(within(server.ended), to_the_end(&mut viewer));
    assert_eq!(drained.unwrap(), Drained { open: 1, cut: 1 });
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let server = Running::start(Limits::default(), None, router());
    let error = Server::bind(server.address, Limits::default(), None).unwrap_err();
    let line = crate::chain(&error);
    assert!(line.starts_with(&format!("listen on {}: Address already in use", server.address)), "{line}");
}
