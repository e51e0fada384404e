//! The descrambler as its caller sees it: there and back, verdicts, words that come and go, and bytes of any kind.

use crate::packets::{self, KEYS, Plan, descrambler, pid, plans, scrambler};
use headend_csa::{ControlWord, Descrambler, Kernel, Parity, Scrambler, Verdict, reference};
use proptest::prelude::{any, prop, proptest};
use proptest::test_runner::Config;

fn descramble(descrambler: &mut Descrambler, stream: &mut [u8]) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Damaged];
    descrambler.descramble(stream, &mut verdicts);
    verdicts
}

fn full(service: usize) -> Plan {
    Plan { service, parity: Parity::Even, adaptation: 0 }
}

/// Two packets of services 0 and 1, scrambled with their even words.
fn two() -> Vec<u8> {
    let mut stream = packets::stream(&[full(0), full(1)]);
    assert_eq!(scrambler(Kernel::PORTABLE).scramble(&mut stream, Parity::Even), 2);
    stream
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    #[test]
    fn kernels_scramble_as_the_reference_and_come_back(plan in plans(150)) {
        let clear = packets::stream(&plan);
        let mut want = clear.clone();
        for (packet, plan) in want.as_chunks_mut::<188>().0.iter_mut().zip(&plan) {
            let word = ControlWord::new(KEYS[plan.service][plan.parity as usize]);
            reference::scramble(&word, &mut packet[plan.payload()]);
            if !plan.payload().is_empty() {
                packets::mark(packet, plan.parity);
            }
        }
        for kernel in Kernel::available() {
            let mut stream = clear.clone();
            packets::scramble(&mut scrambler(kernel), &mut stream, &plan);
            assert!(stream == want, "{} scrambles otherwise", kernel.name());
            descramble(&mut descrambler(kernel), &mut stream);
            assert!(stream == clear, "{} does not come back", kernel.name());
        }
    }

    #[test]
    fn other_calls_same_bytes(plan in plans(200), cut in any::<prop::sample::Index>()) {
        let mut whole = packets::stream(&plan);
        packets::scramble(&mut scrambler(Kernel::best()), &mut whole, &plan);
        let mut parts = whole.clone();
        let verdicts = descramble(&mut descrambler(Kernel::best()), &mut whole);
        let (first, second) = parts.split_at_mut(188 * cut.index(plan.len() + 1));
        let mut one = descrambler(Kernel::best());
        let mut got = descramble(&mut one, first);
        got.extend(descramble(&mut one, second));
        assert!(parts == whole);
        assert_eq!(got, verdicts);
    }

    #[test]
    fn any_bytes_are_taken(
        mut bytes in prop::collection::vec(any::<u8>(), 0..188 * 20),
        heads in prop::collection::vec((0..4u8, any::<u8>(), any::<u8>()), 20),
    ) {
        // Half of the headers are made to look right, so that the payload is reached.
        for (packet, (service, flags, length)) in bytes.as_chunks_mut::<188>().0.iter_mut().step_by(2).zip(heads) {
            packet[..5].copy_from_slice(&[0x47, 1, service, flags, length]);
        }
        let before = bytes.clone();
        for kernel in Kernel::available() {
            bytes.clone_from(&before);
            let verdicts = descramble(&mut descrambler(kernel), &mut bytes);
            assert_eq!(verdicts.len(), bytes.len() / 188);
            let ((after, tail), (before, same)) = (bytes.as_chunks::<188>(), before.as_chunks::<188>());
            assert_eq!(tail, same);
            for ((after, before), verdict) in after.iter().zip(before).zip(verdicts) {
                assert_eq!(after[..3], before[..3], "a header is never scrambled");
                if verdict == Verdict::Descrambled {
                    assert_eq!(after[3] & 0xC0, 0);
                } else {
                    assert_eq!(after, before);
                }
            }
            scrambler(kernel).scramble(&mut bytes, Parity::Odd);
        }
    }
}

#[test]
fn a_missing_word_stalls_nothing() {
    let scrambled = two();
    let mut one = Descrambler::new(Kernel::best());
    let slot = one.keys.add().unwrap();
    one.keys.set(&slot, Parity::Even, &ControlWord::new(KEYS[0][0]));
    one.keys.assign(pid(0), &slot);
    let mut stream = scrambled.clone();
    assert_eq!(descramble(&mut one, &mut stream), [Verdict::Descrambled, Verdict::NoKey]);
    assert_eq!(stream[..188], packets::stream(&[full(0)]));
    assert_eq!(stream[188..], scrambled[188..]);
}

#[test]
fn words_that_went_are_not_used() {
    let mut one = Descrambler::new(Kernel::best());
    let slot = one.keys.add().unwrap();
    one.keys.assign(pid(0), &slot);
    assert_eq!(descramble(&mut one, &mut two()), [Verdict::NoKey; 2], "a slot without words");
    one.keys.set(&slot, Parity::Odd, &ControlWord::new(KEYS[0][0]));
    assert_eq!(descramble(&mut one, &mut two())[0], Verdict::NoKey, "the other parity");
    one.keys.set(&slot, Parity::Even, &ControlWord::new(KEYS[0][0]));
    assert_eq!(descramble(&mut one, &mut two())[0], Verdict::Descrambled);
    one.keys.forget(&slot, Parity::Even);
    assert_eq!(descramble(&mut one, &mut two())[0], Verdict::NoKey, "forgotten");
    one.keys.set(&slot, Parity::Even, &ControlWord::new(KEYS[0][0]));
    one.keys.release(pid(0));
    assert_eq!(descramble(&mut one, &mut two())[0], Verdict::NoKey, "released");
    one.keys.assign(pid(0), &slot);
    one.keys.remove(slot);
    let next = one.keys.add().unwrap();
    one.keys.set(&next, Parity::Even, &ControlWord::new(KEYS[0][0]));
    assert_eq!(descramble(&mut one, &mut two())[0], Verdict::NoKey, "a new slot in the old one's place has no PIDs");
}

#[test]
fn what_cannot_be_scrambled_is_only_marked() {
    let mut stream = packets::stream(&[Plan { adaptation: 177, ..full(0) }, Plan { adaptation: 184, ..full(0) }]);
    let clear = stream.clone();
    assert_eq!(scrambler(Kernel::best()).scramble(&mut stream, Parity::Even), 1);
    assert_eq!(stream[3], clear[3] | 0x80, "seven bytes of payload");
    assert_eq!(stream[4..], clear[4..]);
    // An empty payload marked as scrambled by somebody else.
    stream[188 + 3] |= 0xC0;
    let mut one = Descrambler::new(Kernel::best());
    assert_eq!(descramble(&mut one, &mut stream.clone()), [Verdict::NoKey; 2], "a PID that is nobody's");
    let slot = one.keys.add().unwrap();
    one.keys.assign(pid(0), &slot);
    assert_eq!(descramble(&mut one, &mut stream), [Verdict::Descrambled; 2], "no word needed");
    assert_eq!(stream, clear);
}

#[test]
fn a_tail_is_left_alone() {
    let mut stream = two();
    let cut = stream.len() - 1;
    let tail = stream[188..cut].to_vec();
    assert_eq!(descramble(&mut descrambler(Kernel::best()), &mut stream[..cut]), [Verdict::Descrambled]);
    assert_eq!(stream[188..cut], tail);
}

#[test]
fn no_word_is_shown() {
    let (descrambler, scrambler): (Descrambler, Scrambler) =
        (descrambler(Kernel::PORTABLE), scrambler(Kernel::PORTABLE));
    assert_eq!(format!("{descrambler:?}"), "Descrambler { keys: KeyRing(4 slots), kernel: Kernel(Portable), .. }");
    assert_eq!(format!("{scrambler:?}"), "Scrambler { keys: KeyRing(4 slots), .. }");
}
