//! Streams scrambled here, by the other half of the kernels, and what becomes of them.

use std::collections::BTreeSet;

use headend_csa::Scrambler;
use headend_media::service::ServiceId;
use proptest::prelude::*;

use super::*;

const PID: u16 = 0x100;

fn key() -> GroupKey {
    GroupKey { service: ServiceId(1), ecm: vec![(1, 0x500)] }
}

fn descrambler() -> Descrambler {
    let pids = BTreeSet::from([Pid::new(PID)]);
    let mut descrambler = Descrambler::new(Kernel::PORTABLE);
    descrambler.set_groups(&[Group { key: key(), pids: pids.clone(), pes: pids }]);
    descrambler
}

/// Packets of one PID; every tenth starts a PES packet.
fn stream(first: usize, count: usize) -> Vec<u8> {
    let packet = |number: usize| {
        let start = number.is_multiple_of(10);
        let mut bytes = [u8::try_from(number % 251).unwrap(); PACKET_BYTES];
        bytes[..4].copy_from_slice(&[
            0x47,
            if start { 0x41 } else { 0x01 },
            0x00,
            0x10 | u8::try_from(number % 16).unwrap(),
        ]);
        if start {
            bytes[4..8].copy_from_slice(&[0, 0, 1, 0xE0]);
        }
        bytes
    };
    (first..first + count).flat_map(packet).collect()
}

fn scrambled(clear: &[u8], parity: Parity, word: u8) -> Vec<u8> {
    let mut scrambler = Scrambler::new(Kernel::PORTABLE);
    let slot = scrambler.keys.add().unwrap();
    scrambler.keys.set(&slot, parity, &ControlWord::new([word; 8]));
    scrambler.keys.assign(PID, &slot);
    let mut packets = clear.to_vec();
    scrambler.scramble(&mut packets, parity);
    packets
}

fn words(even: Option<u8>, odd: Option<u8>) -> Words {
    let word = |byte: Option<u8>| byte.and_then(|byte| Word::new(Algorithm::Csa, &[byte; 8]));
    Words { even: word(even), odd: word(odd) }
}

/// Puts ten packets scrambled with a word through, and compares what comes out: clear, or as it went in.
fn check(descrambler: &mut Descrambler, first: usize, turn: (Parity, u8), now_ms: u64, want: GroupState) {
    let clear = stream(first, 10);
    let given = scrambled(&clear, turn.0, turn.1);
    let mut packets = given.clone();
    descrambler.descramble(&mut packets, now_ms);
    let got = descrambler.state(&key());
    assert_eq!(got, want, "packets from {first}");
    assert!(packets == if want == Clear { clear } else { given }, "packets from {first} came out otherwise");
}

use GroupState::{Clear, NoWord, WrongWord};
use Parity::{Even, Odd};

#[test]
fn packets_stay_as_they_are_until_their_word_is_here() {
    let mut descrambler = descrambler();
    check(&mut descrambler, 0, (Even, 1), 0, NoWord);
    descrambler.give(&key(), words(Some(1), Some(2)));
    check(&mut descrambler, 10, (Even, 1), 10, Clear);
    check(&mut descrambler, 20, (Odd, 2), 20, Clear);
}

#[test]
fn a_wrong_word_makes_no_noise_and_the_right_one_mends_it() {
    let mut descrambler = descrambler();
    descrambler.give(&key(), words(Some(9), None));
    for first in [0, 10] {
        check(&mut descrambler, first, (Even, 1), 0, NoWord);
    }
    check(&mut descrambler, 20, (Even, 1), 100, WrongWord);
    check(&mut descrambler, 30, (Even, 1), 200, WrongWord);
    descrambler.give(&key(), words(Some(1), None));
    check(&mut descrambler, 40, (Even, 1), 300, Clear);
}

#[test]
fn words_of_ten_periods_lose_no_packet_early_or_late() {
    for lead in [true, false] {
        let mut descrambler = descrambler();
        let parity = |period: u8| if period.is_multiple_of(2) { Even } else { Odd };
        let of = |period: u8| match parity(period) {
            Even => words(Some(period), Some(period + 1)),
            Odd => words(Some(period + 1), Some(period)),
        };
        descrambler.give(&key(), of(0));
        let mut now_ms = 0;
        for period in 0..10_u8 {
            for batch in 0..20 {
                // The next period's ECM comes 300 ms before it, or this period's 300 ms after its begin.
                match (lead, batch) {
                    (true, 17) => descrambler.give(&key(), of(period + 1)),
                    (false, 3) => descrambler.give(&key(), of(period)),
                    _ => {}
                }
                check(
                    &mut descrambler,
                    usize::from(period) * 200 + batch * 10,
                    (parity(period), period),
                    now_ms,
                    Clear,
                );
                now_ms += 100;
            }
        }
    }
}

#[test]
fn a_word_whose_turn_has_passed_is_not_used_again() {
    let mut descrambler = descrambler();
    descrambler.give(&key(), words(Some(1), Some(2)));
    check(&mut descrambler, 0, (Even, 1), 0, Clear);
    check(&mut descrambler, 10, (Odd, 2), 10_000, Clear);
    // A late packet of the period before is still taken.
    check(&mut descrambler, 20, (Even, 1), 10_100, Clear);
    check(&mut descrambler, 30, (Odd, 2), 10_200, Clear);
    check(&mut descrambler, 40, (Odd, 2), 15_000, Clear);
    check(&mut descrambler, 50, (Even, 3), 20_000, NoWord);
    descrambler.give(&key(), words(Some(3), Some(4)));
    check(&mut descrambler, 60, (Even, 3), 20_100, Clear);
}

#[test]
fn a_word_nobody_proved_waits_for_a_start() {
    let mut descrambler = descrambler();
    descrambler.give(&key(), words(Some(1), None));
    let given = scrambled(&stream(1, 5), Even, 1);
    let mut packets = given.clone();
    descrambler.descramble(&mut packets, 0);
    assert!(packets == given);
    check(&mut descrambler, 10, (Even, 1), 10, Clear);
    let mut packets = scrambled(&stream(21, 5), Even, 1);
    descrambler.descramble(&mut packets, 20);
    assert!(packets == stream(21, 5));
}

#[test]
fn cissa_words_are_for_cissa_packets() {
    let mut descrambler = descrambler();
    let word = Word::new(Algorithm::Cissa, &[5; 16]);
    descrambler.give(&key(), Words { even: word, odd: None });
    let mut packets = stream(0, 10);
    let mut service = Cissa::new();
    service.set(cissa::Parity::Even, &Key128::new([5; 16]));
    for packet in packets.as_chunks_mut::<PACKET_BYTES>().0 {
        assert!(service.scramble(packet, cissa::Parity::Even));
    }
    descrambler.descramble(&mut packets, 0);
    assert!(packets == stream(0, 10));
}

#[test]
fn a_group_that_goes_takes_its_words_along() {
    let mut descrambler = descrambler();
    descrambler.give(&key(), words(Some(1), None));
    check(&mut descrambler, 0, (Even, 1), 0, Clear);
    descrambler.set_groups(&[]);
    let pids = BTreeSet::from([Pid::new(PID)]);
    descrambler.set_groups(&[Group { key: key(), pids: pids.clone(), pes: pids }]);
    check(&mut descrambler, 10, (Even, 1), 10, NoWord);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any packets come out as many as they went in, and those of others untouched.
    #[test]
    fn any_packets_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), PACKET_BYTES * 6),
        even in any::<Option<u8>>(),
        ours in any::<[bool; 6]>(),
    ) {
        let mut descrambler = descrambler();
        descrambler.give(&key(), words(even, None));
        let mut packets = bytes;
        for (packet, ours) in packets.as_chunks_mut::<PACKET_BYTES>().0.iter_mut().zip(ours) {
            packet[0] = 0x47;
            let pid = if ours { PID } else { 0x200 };
            let [high, low] = pid.to_be_bytes();
            (packet[1], packet[2]) = (packet[1] & 0xE0 | high, low);
        }
        let before = packets.clone();
        descrambler.descramble(&mut packets, 0);
        prop_assert_eq!(packets.len(), before.len());
        let pairs = packets.as_chunks::<PACKET_BYTES>().0.iter().zip(before.as_chunks::<PACKET_BYTES>().0).zip(ours);
        for ((after, before), ours) in pairs {
            prop_assert!(ours || after == before);
            prop_assert_eq!(after[..3].to_vec(), before[..3].to_vec());
        }
    }
}
