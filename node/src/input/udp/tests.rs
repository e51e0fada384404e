//! Tests of the UDP shell on real loopback sockets; ports are the system's choice.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn feed(address: &str, interface: Option<Interface>) -> UdpFeed {
    UdpFeed { rtp: false, address: address.parse().unwrap(), port: 0, interface }
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 33];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Receives until `done` says so of what came out; words are payloads as text, `-N` and `R`.
fn receive_until(receiver: &mut UdpReceiver, done: impl Fn(&UdpReceiver, &[String]) -> bool) -> Vec<String> {
    let (mut out, since) = (Vec::new(), Instant::now());
    while !done(receiver, &out) {
        assert!(since.elapsed() < DEADLINE, "got only {out:?}, {:?}", receiver.counts());
        receiver.wait(Duration::from_millis(20)).unwrap();
        let now_ms = u64::try_from(since.elapsed().as_millis()).unwrap();
        receiver
            .receive(now_ms, &mut |piece| {
                out.push(match piece {
                    Piece::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Piece::Lost(count) => format!("-{count}"),
                    Piece::Restarted => "R".to_owned(),
                });
            })
            .unwrap();
    }
    out
}

fn check(datagrams: &[Vec<u8>], want: &[&str]) -> UdpCounts {
    let mut receiver = UdpReceiver::open(&feed("127.0.0.1", None), RECEIVE_BUFFER_BYTES).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in datagrams {
        sender.send_to(datagram, (Ipv4Addr::LOCALHOST, receiver.port())).unwrap();
    }
    let count = u64::try_from(datagrams.len()).unwrap();
    let out = receive_until(&mut receiver, |r, out| r.counts().datagrams == count && out.len() >= want.len());
    assert_eq!(out, want);
    receiver.counts()
}

#[test]
fn raw_and_rtp_are_told_apart() {
    check(&[b"Gone".to_vec(), b"Gtwo".to_vec()], &["Gone", "Gtwo"]);
    let counts =
        check(&[rtp(1, 5, b"a"), rtp(1, 7, b"c"), rtp(1, 6, b"b"), rtp(1, 9, b"e")], &["a", "b", "c", "-1", "e"]);
    assert_eq!((counts.rtp.reordered, counts.rtp.lost), (1, 1));
    // Garbage before the framing is known goes to the resync; in an RTP session it is a counted defect.
    let counts =
        check(&[b"???".to_vec(), vec![0x80, 0], rtp(1, 5, b"a"), b"???".to_vec()], &["???", "\u{fffd}\0", "a"]);
    assert_eq!(counts.rtp.defects, 2);
}

#[test]
fn several_batches_come_whole_and_long_ones_are_cut() {
    let datagrams: Vec<Vec<u8>> = (0..100).map(|n| format!("G{n}").into_bytes()).chain([vec![0x47; 9300]]).collect();
    let texts: Vec<String> = (0..100).map(|n| format!("G{n}")).chain(["G".repeat(DATAGRAM_BYTES)]).collect();
    let counts = check(&datagrams, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((counts.datagrams, counts.cut), (101, 1));
}

#[test]
fn kernel_drops_are_counted() {
    let mut receiver = UdpReceiver::open(&feed("127.0.0.1", None), 1).unwrap();
    let granted = receiver.granted_bytes();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = (Ipv4Addr::LOCALHOST, receiver.port());
    let sent = 40;
    for _ in 0..sent {
        sender.send_to(&[0x47; 1316], to).unwrap();
    }
    assert!(granted < 40 * 1316, "the smallest buffer is {granted} bytes");
    receive_until(&mut receiver, |r, _| r.counts().datagrams > 0);
    // The counter travels with the next datagram that fits.
    sender.send_to(&[0x47; 1316], to).unwrap();
    receive_until(&mut receiver, |r, _| r.counts().kernel_drops + r.counts().datagrams == sent + 1);
    assert!(receiver.counts().kernel_drops > 0);
}

/// Sends to a group on loopback; `false` where the machine has no multicast on loopback.
fn multicast_works(group: &str, interface: Interface, from: &str) -> bool {
    let wanted = feed(group, Some(interface));
    let Ok(mut receiver) = UdpReceiver::open(&wanted, RECEIVE_BUFFER_BYTES) else {
        return false;
    };
    let Ok(sender) = UdpSocket::bind(from) else {
        return false;
    };
    let socket = Socket::from(sender.try_clone().unwrap());
    if wanted.address.is_ipv4() {
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    } else {
        socket.set_multicast_if_v6(1).unwrap();
    }
    if sender.send_to(b"Ggroup", (wanted.address, receiver.port())).is_err() {
        return false;
    }
    if !receiver.wait(Duration::from_millis(500)).unwrap() {
        return false;
    }
    assert_eq!(receive_until(&mut receiver, |_, out| !out.is_empty()), ["Ggroup"]);
    true
}

#[test]
fn groups_are_joined_by_name_and_by_address() {
    let name = Interface::Name("lo".to_owned());
    let address = Interface::Address(Ipv4Addr::LOCALHOST.into());
    // Both ways of naming the interface work, or the machine has no multicast on loopback at all.
    let by_name = multicast_works("239.255.77.1", name.clone(), "127.0.0.1:0");
    assert_eq!(multicast_works("239.255.77.2", address, "127.0.0.1:0"), by_name);
    println!("IPv4 multicast on loopback: {by_name}, IPv6: {}", multicast_works("ff11::77", name, "[::1]:0"));
}

#[test]
fn what_cannot_be_opened_is_said_in_words() {
    let words = |feed: &UdpFeed| UdpReceiver::open(feed, 1).err().expect("refused").to_string();
    let nowhere = Some(Interface::Name("nowhere0".to_owned()));
    assert_eq!(words(&feed("239.1.1.1", nowhere)), "network interface nowhere0 does not exist");
    let foreign = Some(Interface::Address("192.0.2.77".parse().unwrap()));
    assert!(words(&feed("239.1.1.1", foreign.clone())).starts_with("cannot join group 239.1.1.1 on 192.0.2.77"));
    assert_eq!(words(&feed("ff11::1", foreign)), "network interface 192.0.2.77 does not exist");
    assert_eq!(words(&feed("192.0.2.77", None)), "cannot listen on 192.0.2.77:0");
    let first = UdpReceiver::open(&feed("127.0.0.1", None), 1).unwrap();
    let second = UdpFeed { port: first.port(), ..feed("127.0.0.1", None) };
    assert_eq!(words(&second), format!("cannot listen on 127.0.0.1:{}", first.port()));
}
