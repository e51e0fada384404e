//! Packets for the tests: four services with an even and an odd word each, any length of adaptation field.

use headend_csa::{ControlWord, Descrambler, Kernel, KeyRing, Parity, Scrambler, Slot};
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use std::ops::Range;

/// The words, by service and parity.
pub(crate) const KEYS: [[[u8; 8]; 2]; 4] = [
    [[0x12, 0x34, 0x56, 0x9C, 0x78, 0x9A, 0xBC, 0xCE], [0x07, 0xE0, 0x1B, 0x02, 0xC9, 0xE0, 0x45, 0xEE]],
    [[0x00; 8], [0xFF; 8]],
    [[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF], [0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10]],
    [[0x80, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0x01]],
];

/// The PID of a service.
pub(crate) fn pid(service: usize) -> u16 {
    0x100 + u16::try_from(service).unwrap()
}

/// What one packet is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// 0 to 3.
    pub(crate) service: usize,
    /// Which of its words.
    pub(crate) parity: Parity,
    /// Bytes of adaptation field with its length byte, 0 to 184.
    pub(crate) adaptation: usize,
}

impl Plan {
    /// The `n`th of a list that has everything in it.
    pub(crate) fn varied(n: usize) -> Self {
        let adaptation = if n.is_multiple_of(3) { n * 5 % 185 } else { 0 };
        Self { service: n / 7 % 4, parity: if n.is_multiple_of(5) { Parity::Odd } else { Parity::Even }, adaptation }
    }

    /// Where the payload lies.
    pub(crate) fn payload(self) -> Range<usize> {
        4 + self.adaptation..188
    }
}

/// Up to `count` packets of any kind.
pub(crate) fn plans(count: usize) -> impl Strategy<Value = Vec<Plan>> {
    let adaptation = prop_oneof![3 => Just(0usize), 1 => 0..185usize];
    let plan = (0..4usize, prop::bool::ANY, adaptation).prop_map(|(service, odd, adaptation)| Plan {
        service,
        parity: if odd { Parity::Odd } else { Parity::Even },
        adaptation,
    });
    prop::collection::vec(plan, 1..count)
}

/// The packets in the clear.
pub(crate) fn stream(plan: &[Plan]) -> Vec<u8> {
    let mut bytes = vec![];
    for (n, plan) in plan.iter().enumerate() {
        let mut packet: [u8; 188] = std::array::from_fn(|at| (at * 37 + n * 101 + at * n).to_le_bytes()[0]);
        let [high, low] = pid(plan.service).to_be_bytes();
        let control = match plan.adaptation {
            0 => 0x10,
            184 => 0x20,
            _ => 0x30,
        };
        packet[..4].copy_from_slice(&[0x47, high, low, control | n.to_le_bytes()[0] & 15]);
        if let Some(length) = plan.adaptation.checked_sub(1) {
            packet[4] = u8::try_from(length).unwrap();
        }
        bytes.extend(packet);
    }
    bytes
}

/// Sets a packet's control bits.
pub(crate) fn mark(packet: &mut [u8; 188], parity: Parity) {
    packet[3] = packet[3] & 0x3F | if parity == Parity::Odd { 0xC0 } else { 0x80 };
}

fn fill(keys: &mut KeyRing) -> Vec<Slot> {
    let mut slots = vec![];
    for (service, [even, odd]) in KEYS.into_iter().enumerate() {
        let slot = keys.add().unwrap();
        keys.set(&slot, Parity::Even, &ControlWord::new(even));
        keys.set(&slot, Parity::Odd, &ControlWord::new(odd));
        keys.assign(pid(service), &slot);
        slots.push(slot);
    }
    slots
}

/// A descrambler that knows all words.
pub(crate) fn descrambler(kernel: Kernel) -> Descrambler {
    let mut descrambler = Descrambler::new(kernel);
    fill(&mut descrambler.keys);
    descrambler
}

/// A scrambler that knows all words.
pub(crate) fn scrambler(kernel: Kernel) -> Scrambler {
    let mut scrambler = Scrambler::new(kernel);
    fill(&mut scrambler.keys);
    scrambler
}

/// Scrambles a plan's packets: those of one parity at a time, the others kept out of the way.
pub(crate) fn scramble(scrambler: &mut Scrambler, stream: &mut [u8], plan: &[Plan]) {
    for parity in [Parity::Even, Parity::Odd] {
        let mine: Vec<usize> = (0..plan.len()).filter(|&n| plan[n].parity == parity).collect();
        let mut part: Vec<u8> = mine.iter().flat_map(|&n| stream[n * 188..][..188].to_vec()).collect();
        let scrambled = scrambler.scramble(&mut part, parity);
        assert_eq!(scrambled, mine.iter().filter(|&&n| !plan[n].payload().is_empty()).count());
        for (packet, n) in part.as_chunks::<188>().0.iter().zip(mine) {
            stream[n * 188..][..188].copy_from_slice(packet);
        }
    }
}
