//! Judges continuity counters: which packets were lost, and which came twice.
//!
//! ISO/IEC 13818-1 §2.4.3.3: a PID's counter goes up by one with each packet that has a payload, and a packet may be
//! sent twice, with only its PCR changed. A third copy is an error (ETSI TR 101 290 §5.2.1, 1.4). The counter may jump
//! where `discontinuity_indicator` says so. Null packets, and packets the demodulator marked as damaged (whose PID
//! means nothing), are not judged. A repeat is known by its payload: with equal counters and other bytes, fifteen
//! packets are missing.

use crate::packet::{Packet, Pid};

/// What a packet's counter says about the packets before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As expected, or nothing to judge.
    Ok,
    /// The packet before it again, as the standard allows once. Its payload is to be dropped.
    Duplicate,
    /// The same packet for the third time or more: an error, and its payload is to be dropped.
    Repeated,
    /// Packets are missing before this one.
    Gap {
        /// How many at the least, 1 to 15: the counter cannot tell sixteen from none.
        missing: u8,
    },
}

impl Verdict {
    /// Whether to count a continuity error.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Repeated | Self::Gap { .. })
    }

    /// Whether the payload was had before.
    pub fn is_repeat(self) -> bool {
        matches!(self, Self::Duplicate | Self::Repeated)
    }
}

/// The counter of one PID.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter {
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    counter: u8,
    repeats: u8,
    digest: u64,
}

impl Counter {
    /// Judges the next packet of this PID.
    pub fn judge(&mut self, packet: &Packet<'_>) -> Verdict {
        if packet.tei() || packet.pid() == Pid::NULL {
            return Verdict::Ok;
        }
        if packet.adaptation().is_some_and(|adaptation| adaptation.discontinuity) {
            // Also without a payload: the next packet's counter is then free.
            self.last = None;
        }
        if !packet.has_payload() {
            return Verdict::Ok;
        }
        let next = Last { counter: packet.continuity(), repeats: 0, digest: digest(packet.payload()) };
        let Some(last) = self.last.replace(next) else {
            return Verdict::Ok;
        };
        if next.counter == last.counter && next.digest == last.digest {
            let repeats = last.repeats.saturating_add(1);
            self.last = Some(Last { repeats, ..next });
            return if repeats == 1 { Verdict::Duplicate } else { Verdict::Repeated };
        }
        match next.counter.wrapping_sub(last.counter).wrapping_sub(1) & 0x0F {
            0 => Verdict::Ok,
            missing => Verdict::Gap { missing },
        }
    }
}

/// The counters of a whole multiplex: 8,192 of them, 256 KiB.
#[derive(Debug)]
pub struct Continuity {
    counters: Box<[Counter]>,
}

impl Default for Continuity {
    fn default() -> Self {
        Self { counters: vec![Counter::default(); Pid::COUNT].into_boxed_slice() }
    }
}

impl Continuity {
    /// Judges the next packet of the multiplex.
    pub fn judge(&mut self, packet: &Packet<'_>) -> Verdict {
        self.counters[packet.pid().index()].judge(packet)
    }
}

/// Sixty-four bits that tell payloads apart; chance only has to beat sixteen packets lost in a row.
fn digest(payload: &[u8]) -> u64 {
    let (words, rest) = payload.as_chunks::<8>();
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let sum = words.iter().fold(payload.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, &byte| mix(sum, u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PACKET_BYTES;
    use proptest::prelude::*;

    /// A packet from its header, an adaptation field's start, and the byte its payload is filled with.
    fn packet(head: &[u8], fill: u8) -> [u8; PACKET_BYTES] {
        let mut bytes = [fill; PACKET_BYTES];
        bytes[..head.len()].copy_from_slice(head);
        bytes
    }

    fn check(packets: &[[u8; PACKET_BYTES]], want: &[Verdict]) {
        let mut continuity = Continuity::default();
        let got: Vec<_> = packets.iter().map(|bytes| continuity.judge(&Packet::new(bytes).unwrap())).collect();
        assert_eq!(got, want);
    }

    /// Payload-only packets of PID 0x100: counter and fill byte.
    fn check_counters(counters: &[(u8, u8)], want: &[Verdict]) {
        let packets: Vec<_> = counters.iter().map(|&(cc, fill)| packet(&[0x47, 1, 0, 0x10 | cc], fill)).collect();
        check(&packets, want);
    }

    #[test]
    fn counters_go_round() {
        check_counters(&[(14, 0), (15, 0), (0, 0), (1, 0)], &[Verdict::Ok; 4]);
        check_counters(&[(3, 0), (6, 0)], &[Verdict::Ok, Verdict::Gap { missing: 2 }]);
        check_counters(&[(15, 0), (1, 0)], &[Verdict::Ok, Verdict::Gap { missing: 1 }]);
    }

    #[test]
    fn repeats() {
        use Verdict::{Duplicate, Gap, Ok, Repeated};
        check_counters(&[(1, 0), (1, 0), (2, 0)], &[Ok, Duplicate, Ok]);
        check_counters(&[(1, 0), (1, 0), (1, 0), (1, 0), (2, 0)], &[Ok, Duplicate, Repeated, Repeated, Ok]);
        check_counters(&[(1, 0), (1, 9), (2, 0)], &[Ok, Gap { missing: 15 }, Ok]);
        // The copy's PCR may differ.
        let copy = |pcr| packet(&[0x47, 1, 0, 0x31, 7, 0x10, pcr, 0, 0, 0, 0, 0], 5);
        check(&[copy(1), copy(2)], &[Ok, Duplicate]);
    }

    #[test]
    fn announced_discontinuity() {
        let with_payload = packet(&[0x47, 1, 0, 0x39, 1, 0x80], 0);
        let without = packet(&[0x47, 1, 0, 0x21, 183, 0x80], 0);
        let (one, nine) = (packet(&[0x47, 1, 0, 0x11], 0), packet(&[0x47, 1, 0, 0x19], 0));
        check(&[one, with_payload], &[Verdict::Ok; 2]);
        check(&[one, without, nine], &[Verdict::Ok; 3]);
    }

    #[test]
    fn what_is_not_judged() {
        let null = |cc: u8| packet(&[0x47, 0x1F, 0xFF, 0x10 | cc], 0);
        check(&[null(1), null(1), null(1), null(7)], &[Verdict::Ok; 4]);
        let (one, two) = (packet(&[0x47, 1, 0, 0x11], 0), packet(&[0x47, 1, 0, 0x12], 0));
        let damaged = packet(&[0x47, 0x81, 0, 0x17], 0);
        check(&[one, damaged, two], &[Verdict::Ok; 3]);
        // PIDs do not meet.
        check(&[one, packet(&[0x47, 2, 0, 0x17], 0), two], &[Verdict::Ok; 3]);
        // Adaptation only: the counter stands still.
        check(&[one, packet(&[0x47, 1, 0, 0x21, 183, 0], 0), two], &[Verdict::Ok; 3]);
    }

    proptest! {
        #[test]
        fn losses_are_counted(start in 0..16_u8, kept in proptest::collection::vec(0..16_u8, 1..50)) {
            // `kept` says how many packets are lost before each one that arrives; sixteen losses look like none.
            let (mut counter, mut at, mut first) = (Counter::default(), start, true);
            for (number, lost) in (0..).zip(kept) {
                at = (at + lost) & 0x0F;
                let bytes = packet(&[0x47, 1, 0, 0x10 | at], number);
                let want = if first || lost == 0 { Verdict::Ok } else { Verdict::Gap { missing: lost } };
                prop_assert_eq!(counter.judge(&Packet::new(&bytes).unwrap()), want);
                (at, first) = ((at + 1) & 0x0F, false);
            }
        }

        #[test]
        fn any_packets_are_judged(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 12), 1..100)) {
            let mut continuity = Continuity::default();
            for head in packets {
                let mut bytes = packet(&head, 0);
                bytes[0] = 0x47;
                let _ = continuity.judge(&Packet::new(&bytes).unwrap());
            }
        }
    }
}
