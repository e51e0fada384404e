//! Tests of the set: real sources on loopback, shared, lost, found again, closed, and independent of each other.

use std::future::Future;
use std::net::UdpSocket;
use std::time::Duration;

use headend_media::time::Ticks90k;
use headend_rt::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::input::address::UdpFeed;
use crate::input::file::FilePlayer;
use crate::input::report::InputState;
use crate::input::ring::{RingReader, Start, Step};

const H264: &[u8] = include_bytes!("../../../../tests/fixtures/ts/h264-aac.ts");
const DEADLINE: Duration = Duration::from_secs(20);

fn set() -> (InputSet, Supervisor) {
    let supervisor = Supervisor::new(Arc::new(SystemClock)).stage("inputs", DEADLINE);
    let http = HttpDeadlines { silence: Duration::from_millis(300), ..HttpDeadlines::default() };
    let options = InputOptions { ring_bytes: 2 << 20, http, ..InputOptions::default() };
    let clock = Arc::new(SystemClock);
    (InputSet::new(supervisor.clone(), clock, Monotonic::new(), options), supervisor)
}

fn address(text: &str) -> SourceAddress {
    text.parse().unwrap()
}

fn fixture() -> String {
    format!("file:{}/../tests/fixtures/ts/h264-aac.ts", env!("CARGO_MANIFEST_DIR"))
}

/// Waits for a report that `done` accepts; reports change with the samples.
async fn report_when(handle: &InputHandle, done: impl Fn(&InputReport) -> bool) -> InputReport {
    let mut samples = handle.samples();
    let wait = async {
        while !done(&handle.report()) {
            samples.changed().await.unwrap();
        }
    };
    if timeout(DEADLINE, wait).await.is_err() {
        panic!("{:?}", handle.report());
    }
    handle.report()
}

async fn next(reader: &mut RingReader, buffer: &mut Vec<u8>) -> Step {
    timeout(DEADLINE, reader.next(buffer)).await.expect("a step in time")
}

/// Runs `work` beside a task that must not end first.
async fn beside<T>(task: impl Future<Output = ()>, work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        () = task => panic!("the source ended"),
    }
}

#[tokio::test]
async fn a_file_plays_and_is_shared() {
    let (set, supervisor) = set();
    let (one, two) = (set.open(&address(&fixture())), set.open(&address(&fixture())));
    assert_eq!(set.reports().len(), 1);
    let report = report_when(&one, |report| report.state == InputState::Good).await;
    assert_eq!(report.services.list.len(), 1);
    assert_eq!((report.last_error, report.counters.cc_errors, report.counters.reconnects), (None, 0, 0));
    let mut readers = [one.ring().reader_from(Start::Now), two.ring().reader_from(Start::Now)];
    let mut buffers = [vec![], vec![]];
    for (reader, buffer) in readers.iter_mut().zip(&mut buffers) {
        assert!(matches!(next(reader, buffer).await, Step::Packets { .. }));
    }
    drop(one);
    assert_eq!(set.reports().len(), 1);
    drop(two);
    assert!(set.reports().is_empty());
    // The ring closes behind its last packets.
    while next(&mut readers[0], &mut buffers[0]).await != Step::Closed {}
    assert_eq!(supervisor.stop(DEADLINE).await, 0);
}

#[tokio::test]
async fn a_source_that_cannot_be_opened_says_why_and_disturbs_nobody() {
    let (set, supervisor) = set();
    let gone = set.open(&address("/nowhere/clip.ts"));
    let group = set.open(&address("udp://nowhere0@239.255.1.1:5000"));
    let good = set.open(&address(&fixture()));
    let report = report_when(&gone, |report| report.last_error.is_some()).await;
    assert_eq!(report.state, InputState::Offline);
    assert!(report.last_error.unwrap().starts_with("cannot read /nowhere/clip.ts: No such file"));
    let report = report_when(&group, |report| report.counters.reconnects > 0).await;
    assert_eq!(report.last_error.as_deref(), Some("network interface nowhere0 does not exist"));
    report_when(&good, |report| report.state == InputState::Good).await;
    // An input that never gave a packet is seen as such by the failover rules.
    let seen = group.samples().borrow().observe(None, set.mono().ms());
    assert_eq!((seen.packet_age_ms, seen.pat_age_ms), (u64::MAX, u64::MAX));
    assert_eq!(supervisor.stop(DEADLINE).await, 0);
}

/// A datagram input on a port of the system's choice, and that port.
async fn open_udp(set: &InputSet, rtp: bool) -> (InputHandle, u16) {
    let feed = Feed::Udp(UdpFeed { rtp, address: "127.0.0.1".parse().unwrap(), port: 0, interface: None });
    let input = set.open(&SourceAddress { feed, service: None });
    let port = report_when(&input, |report| report.port.is_some()).await.port.unwrap();
    (input, port)
}

/// Plays the fixture to a port at its own pace, 7 packets a datagram, for ever and without a break.
async fn send(to: u16, rtp: bool) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/ts/h264-aac.ts");
    let mut player = FilePlayer::open(path, None).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let (mut packets, mut sequence, mut at) = (vec![], 0_u16, 90_000);
    loop {
        pace.tick().await;
        player.due(Ticks90k(at), &mut packets);
        at += 900;
        let whole = packets.len() / (7 * 188) * (7 * 188);
        for chunk in packets[..whole].chunks(7 * 188) {
            let [high, low] = sequence.to_be_bytes();
            let head: &[u8] = if rtp { &[0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, 7] } else { &[] };
            // Nobody listens yet, or any more: a refusal is no matter.
            socket.send_to(&[head, chunk].concat(), ("127.0.0.1", to)).ok();
            sequence = sequence.wrapping_add(1);
        }
        packets.drain(..whole);
    }
}

async fn udp_goes_and_comes(rtp: bool) {
    let (set, supervisor) = set();
    let (input, port) = open_udp(&set, rtp).await;
    let good = report_when(&input, |report| report.state == InputState::Good);
    let report = beside(send(port, rtp), good).await;
    assert!(report.receive_buffer_bytes > Some(0));
    assert_eq!((report.counters.troubles(), report.last_error), (0, None));
    // The sender stops, then another comes.
    report_when(&input, |report| report.state == InputState::Offline).await;
    let back = report_when(&input, |report| report.state != InputState::Offline);
    let report = beside(send(port, rtp), back).await;
    assert_eq!((report.counters.sync_losses, report.counters.rtp_lost), (0, 0));
    assert_eq!(supervisor.stop(DEADLINE).await, 0);
}

#[tokio::test]
async fn raw_datagrams_go_and_come() {
    udp_goes_and_comes(false).await;
}

#[tokio::test]
async fn rtp_goes_and_comes() {
    udp_goes_and_comes(true).await;
}

#[tokio::test]
async fn http_is_reconnected_after_errors_breaks_and_stalls() {
    let (set, supervisor) = set();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let input = set.open(&address(&format!("http://{}/a/mpegts", listener.local_addr().unwrap())));
    let mut reader = input.ring().reader_from(Start::Now);
    let serve = async {
        let mut open = vec![];
        for (head, bytes) in [
            ("200 OK\r\nContent-Type: text/html", &b"<html>"[..]),
            ("200 OK\r\nContent-Length: 9999999", &H264[..100_000]),
            ("200 OK", &H264[100_000..200_000]),
            ("200 OK", &H264[..300_000]),
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![];
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), bytes].concat()).await.unwrap();
            // The third keeps silent and is left after its deadline.
            if bytes.as_ptr() == H264[100_000..].as_ptr() {
                open.push(stream);
            }
        }
        std::future::pending().await
    };
    let read = async {
        let (mut buffer, mut bytes, mut restarts) = (vec![], 0, 0);
        while bytes < 490_000 {
            match next(&mut reader, &mut buffer).await {
                Step::Packets { bytes: more, .. } => bytes += more,
                Step::Restarted => restarts += 1,
                other => panic!("{other:?}"),
            }
        }
        restarts
    };
    assert_eq!(beside(serve, read).await, 2);
    let report = input.report();
    assert!(report.counters.reconnects >= 3, "{report:?}");
    assert!(report.last_error.is_some());
    assert_eq!(supervisor.stop(DEADLINE).await, 0);
}

#[tokio::test]
async fn bytes_that_are_no_packets_are_bad_not_good() {
    let (set, supervisor) = set();
    let (input, port) = open_udp(&set, false).await;
    let noise = async {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        loop {
            pace.tick().await;
            socket.send_to(&[0x11; 1316], ("127.0.0.1", port)).ok();
        }
    };
    let report = beside(noise, report_when(&input, |report| report.state == InputState::Bad)).await;
    assert!(report.counters.bytes > 0 && report.counters.packets == 0, "{report:?}");
    assert_eq!(supervisor.stop(DEADLINE).await, 0);
}
