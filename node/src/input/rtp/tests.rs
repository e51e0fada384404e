//! Tests of RTP: headers by hand, then scripts of loss, reorder, duplicates and restarts, then properties.

use proptest::prelude::*;

use super::*;

/// A datagram with `payload`, no options.
fn datagram(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, MP2T];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn header_options_are_stepped_over() {
    let plain = datagram(7, 513, b"TS");
    let want = RtpPacket { payload_type: MP2T, sequence: 513, timestamp: 0, ssrc: 7, payload: b"TS" };
    assert_eq!(parse(&plain), Ok(want));
    // Two CSRCs, an extension of one word, padding of three bytes, the marker bit and a dynamic type.
    let mut full = plain[..12].to_vec();
    (full[0], full[1]) = (0x80 | 0x20 | 0x10 | 2, 0x80 | 96);
    full.extend_from_slice(&[1; 8]);
    full.extend_from_slice(&[0xBE, 0xDE, 0, 1, 9, 9, 9, 9]);
    full.extend_from_slice(b"TS\0\0\x03");
    assert_eq!(parse(&full), Ok(RtpPacket { payload_type: 96, ..want }));
    for cut in 0..full.len() - 5 {
        assert!(parse(&full[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn refusals_name_the_field() {
    let check = |change: &dyn Fn(&mut Vec<u8>), want: RtpDefect| {
        let mut bytes = datagram(7, 1, b"abc");
        change(&mut bytes);
        assert_eq!(parse(&bytes), Err(want));
    };
    check(&|b| b[0] = 0x47, RtpDefect::Version(1));
    check(&|b| b[1] = 14, RtpDefect::PayloadType(14));
    check(&|b| b[0] |= 0x0F, RtpDefect::Short(15));
    check(&|b| b[0] |= 0x10, RtpDefect::Short(15));
    check(&|b| (b[0], b[14]) = (0xA0, 4), RtpDefect::Padding(4));
    check(&|b| (b[0], b[14]) = (0xA0, 0), RtpDefect::Padding(0));
    check(&|b| b.truncate(11), RtpDefect::Short(11));
}

/// Plays `script`: `12` a packet of the usual sender, `b12` of another, `@50` sets the time (and ticks). Answers with
/// what came out: payload numbers, `-N` for N lost, `R` for a restart.
fn play(window: Window, script: &str) -> (String, RtpCounts) {
    let (mut session, mut out, mut now) = (Reorder::new(window), Vec::new(), 0);
    let mut emit = |ordered: Ordered<'_>| {
        out.push(match ordered {
            Ordered::Payload(payload) => String::from_utf8_lossy(payload).into_owned(),
            Ordered::Lost(count) => format!("-{count}"),
            Ordered::Restarted => "R".to_owned(),
        });
    };
    for word in script.split_whitespace() {
        if let Some(time) = word.strip_prefix('@') {
            now = time.parse().unwrap();
            session.tick(now, &mut emit);
            continue;
        }
        let (ssrc, number) = word.strip_prefix('b').map_or((1, word), |number| (2, number));
        session.push(&datagram(ssrc, number.parse().unwrap(), word.as_bytes()), now, &mut emit).unwrap();
    }
    (out.join(" "), session.counts)
}

fn check(script: &str, want: &str) -> RtpCounts {
    let (got, counts) = play(Window { packets_max: 4, wait_ms: 100 }, script);
    assert_eq!(got, want, "script {script:?}");
    counts
}

#[test]
fn order_is_put_right_and_loss_given_up() {
    assert_eq!(check("1 2 3", "1 2 3").delivered, 3);
    assert_eq!(check("65534 65535 0 1", "65534 65535 0 1").lost, 0);
    assert_eq!(check("1 3 2 4", "1 2 3 4").reordered, 1);
    assert_eq!(check("65535 1 0", "65535 0 1").reordered, 1);
    let counts = check("1 3 4 @99 5 @100 6", "1 -1 3 4 5 6");
    assert_eq!((counts.lost, counts.late), (1, 0));
    let counts = check("1 3 4 5 6 7 2", "1 -1 3 4 5 6 7");
    assert_eq!((counts.lost, counts.late), (1, 1), "the window of four packets is full before its time");
    assert_eq!(check("1 4 @10 6 @100", "1 -2 4").lost, 2);
    assert_eq!(check("1 4 @10 6 @110", "1 -2 4 -1 6").lost, 3);
}

#[test]
fn duplicates_are_dropped_wherever_they_come() {
    let counts = check("1 1 3 3 2 3 1", "1 2 3");
    assert_eq!((counts.duplicates, counts.late), (4, 0));
}

#[test]
fn late_is_told_from_duplicate_after_a_long_time() {
    let script: Vec<String> = (0..2000).filter(|n: &u16| *n != 1900).map(|n| n.to_string()).collect();
    let (_, counts) = play(Window::default(), &format!("{} 1900 1899", script.join(" ")));
    assert_eq!((counts.lost, counts.late, counts.duplicates), (0, 0, 1), "held: {counts:?}");
    let (_, counts) = play(Window { packets_max: 4, wait_ms: 100 }, &format!("{} 1900 1899", script.join(" ")));
    assert_eq!((counts.lost, counts.late, counts.duplicates), (1, 1, 1));
}

#[test]
fn a_new_sender_restarts_when_it_holds() {
    assert_eq!(check("1 2 b70 b71 b72", "1 2 R b70 b71 b72").restarts, 1);
    let counts = check("1 b70 2 b90 3", "1 2 3");
    assert_eq!(counts.restarts, 0, "two senders on one group: the first keeps the session");
    assert_eq!(check("1 3 b70 b71", "1 -1 3 R b70 b71").lost, 1);
    // The same sender restarted its encoder: other number, same SSRC.
    assert_eq!(check("100 101 30000 30001", "100 101 R 30000 30001").restarts, 1);
    assert_eq!(check("100 101 30000 102", "100 101 102").restarts, 0);
}

#[test]
fn a_sender_restarted_a_little_lower_is_not_late_for_ever() {
    let script: Vec<String> = (500..510).chain(300..400).map(|n: u16| n.to_string()).collect();
    let (got, counts) = play(Window::default(), &script.join(" "));
    assert_eq!((counts.restarts, counts.late), (1, u64::from(BEHIND_MAX)));
    assert!(got.ends_with("398 399"), "{got}");
}

proptest! {
    #[test]
    fn any_bytes_never_panic_and_stay_bounded(
        datagrams in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0..50_u64), 0..200),
    ) {
        let (mut session, mut now) = (Reorder::new(Window { packets_max: 5, wait_ms: 60 }), 0);
        for (mut bytes, shape, wait) in datagrams {
            now += wait;
            // Half of them get a header that parses, so that the window is reached.
            if shape && bytes.len() >= 12 {
                (bytes[0], bytes[1], bytes[2]) = (0x80, MP2T, 0);
                let ssrc = bytes[4] & 1;
                bytes[8..12].fill(ssrc);
            }
            session.push(&bytes, now, &mut |_| {}).ok();
            prop_assert!(session.held.len() <= 5 && session.spare.len() <= 6);
        }
    }

    #[test]
    fn bounded_disorder_comes_out_whole_and_once(
        first in any::<u16>(),
        // Each packet is sent up to three places late, and sometimes twice.
        moves in proptest::collection::vec((0..4_usize, any::<bool>()), 1..300),
    ) {
        let mut sent: Vec<(usize, usize)> = vec![(0, 0)];
        for (index, (late, twice)) in moves.iter().enumerate() {
            sent.push((2 * (index + 1 + late) , index + 1));
            if *twice {
                sent.push((2 * (index + 1 + late) + 3, index + 1));
            }
        }
        sent.sort();
        let (mut session, mut out) = (Reorder::new(Window { packets_max: 32, wait_ms: 1000 }), Vec::new());
        for (_, index) in &sent {
            let number = first.wrapping_add(u16::try_from(*index).unwrap());
            let bytes = datagram(1, number, &index.to_be_bytes());
            session.push(&bytes, 0, &mut |ordered| match ordered {
                Ordered::Payload(payload) => out.push(usize::from_be_bytes(payload.try_into().unwrap())),
                other => panic!("{other:?}"),
            }).unwrap();
        }
        prop_assert_eq!(out, (0..=moves.len()).collect::<Vec<_>>());
        let counts = session.counts();
        prop_assert_eq!(counts.duplicates, u64::try_from(sent.len() - 1 - moves.len()).unwrap());
        prop_assert_eq!((counts.late, counts.lost, counts.restarts), (0, 0, 0));
    }

    #[test]
    fn what_is_lost_and_what_comes_out_add_up(kept in proptest::collection::vec(any::<bool>(), 1..400)) {
        let (mut session, mut told) = (Reorder::new(Window { packets_max: 8, wait_ms: 1000 }), (0, 0));
        let mut emit = |ordered: Ordered<'_>| match ordered {
            Ordered::Payload(_) => told.0 += 1,
            Ordered::Lost(count) => told.1 += count,
            Ordered::Restarted => panic!("no restart"),
        };
        let last = u16::try_from(kept.len()).unwrap() + 1;
        let numbers = (1..last).filter(|n| kept[usize::from(*n) - 1]);
        for number in std::iter::once(0).chain(numbers).chain(std::iter::once(last)) {
            session.push(&datagram(1, number, b""), 0, &mut emit).unwrap();
        }
        session.tick(1000, &mut emit);
        let here = u64::try_from(kept.iter().filter(|kept| **kept).count()).unwrap() + 2;
        prop_assert_eq!(told, (here, u64::from(last) + 1 - here));
    }
}
