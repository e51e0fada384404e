//! DVB-CSA1 one packet at a time, written to be read: the oracle that every kernel is held against.
//!
//! About a hundredth of a kernel's speed and not meant for streams. A payload is CBC-encrypted from its last whole block
//! to its first, then everything behind the first block is covered with the stream cipher, whose start is the control
//! word and that first block. What is left behind the last whole block (the residue, 1 to 7 bytes) gets the stream
//! cipher alone; a payload under 8 bytes is not scrambled at all.

use crate::ControlWord;
use crate::schedule::{ROUNDS, Schedule};
use crate::tables::{BLOCK_SBOX, COMBINER_TAPS, STREAM_SBOXES, STREAM_TAPS, wire};

const BLOCK_BYTES: usize = 8;

/// Descrambles one payload of any length in place.
pub fn descramble(word: &ControlWord, payload: &mut [u8]) {
    let schedule = Schedule::new(word);
    apply_keystream(word, payload);
    let (blocks, _) = payload.as_chunks_mut::<BLOCK_BYTES>();
    for at in 0..blocks.len() {
        decrypt(&schedule, &mut blocks[at]);
        if let Some(&next) = blocks.get(at + 1) {
            add(&mut blocks[at], next);
        }
    }
}

/// Scrambles one payload of any length in place.
pub fn scramble(word: &ControlWord, payload: &mut [u8]) {
    let schedule = Schedule::new(word);
    let (blocks, _) = payload.as_chunks_mut::<BLOCK_BYTES>();
    for at in (0..blocks.len()).rev() {
        if let Some(&next) = blocks.get(at + 1) {
            add(&mut blocks[at], next);
        }
        encrypt(&schedule, &mut blocks[at]);
    }
    apply_keystream(word, payload);
}

fn add(block: &mut [u8; BLOCK_BYTES], other: [u8; BLOCK_BYTES]) {
    block.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
}

/// Adds the stream cipher to everything behind the first block.
fn apply_keystream(word: &ControlWord, payload: &mut [u8]) {
    let Some((first, rest)) = payload.split_first_chunk_mut::<BLOCK_BYTES>() else { return };
    let mut stream = Stream::new(word, *first);
    rest.iter_mut().for_each(|byte| *byte ^= stream.byte());
}

/// Decrypts one block: 56 rounds over eight byte registers, `r[0]` to `r[7]`.
pub(crate) fn decrypt(schedule: &Schedule, r: &mut [u8; BLOCK_BYTES]) {
    for round in (0..ROUNDS).rev() {
        let s = BLOCK_SBOX[usize::from(schedule.rounds()[round] ^ r[6])];
        let t = r[7] ^ s;
        *r = [t, r[0], r[1] ^ t, r[2] ^ t, r[3] ^ t, r[4], r[5] ^ wire(s), r[6]];
    }
}

/// Encrypts one block: the rounds of [`decrypt`] undone.
pub(crate) fn encrypt(schedule: &Schedule, r: &mut [u8; BLOCK_BYTES]) {
    for round in 0..ROUNDS {
        let s = BLOCK_SBOX[usize::from(schedule.rounds()[round] ^ r[7])];
        let t = r[0];
        *r = [r[1], r[2] ^ t, r[3] ^ t, r[4] ^ t, r[5], r[6] ^ wire(s), r[7], t ^ s];
    }
}

/// The stream cipher: two chains of ten nibbles, a combiner with carry, two bits out a step.
struct Stream {
    a: [u8; 10],
    b: [u8; 10],
    x: u8,
    y: u8,
    z: u8,
    d: u8,
    e: u8,
    f: u8,
    p: u8,
    q: u8,
    carry: u8,
}

impl Stream {
    fn new(word: &ControlWord, first: [u8; BLOCK_BYTES]) -> Self {
        let nibble = |n: usize| word.expose()[n / 2] >> (4 * (1 - n % 2)) & 15;
        let chain = |from: usize| std::array::from_fn(|n| if n < 8 { nibble(from + n) } else { 0 });
        let (a, b) = (chain(0), chain(8));
        let mut stream = Self { a, b, x: 0, y: 0, z: 0, d: 0, e: 0, f: 0, p: 0, q: 0, carry: 0 };
        for byte in first {
            let (high, low) = (byte >> 4, byte & 15);
            for (to_a, to_b) in [(high, low), (low, high), (high, low), (low, high)] {
                let to_a = to_a ^ stream.d;
                stream.step(to_a, to_b);
            }
        }
        stream
    }

    fn byte(&mut self) -> u8 {
        (0..4).fold(0, |byte, _| byte << 2 | self.step(0, 0))
    }

    /// One step; `to_a` and `to_b` are added to the nibbles that enter the chains. Two bits come out.
    fn step(&mut self, to_a: u8, to_b: u8) -> u8 {
        let tap = |chain: &[u8; 10], (register, bit): (usize, usize)| chain[register - 1] >> bit & 1;
        let s: [u8; 7] = std::array::from_fn(|n| {
            let index = STREAM_TAPS[n].iter().fold(0, |index, &at| index << 1 | tap(&self.a, at));
            STREAM_SBOXES[n][usize::from(index)]
        });
        let extra =
            (0..4).fold(0, |sum, bit| sum | COMBINER_TAPS[bit].iter().fold(0, |x, &at| x ^ tap(&self.b, at)) << bit);

        let next_a = self.a[9] ^ self.x ^ to_a;
        let mut next_b = self.b[6] ^ self.b[9] ^ self.y ^ to_b;
        if self.p == 1 {
            next_b = next_b << 1 & 15 | next_b >> 3;
        }
        self.d = self.e ^ self.z ^ extra;
        let sum = self.z + self.e + self.carry;
        (self.e, self.f) = (self.f, if self.q == 1 { sum & 15 } else { self.e });
        if self.q == 1 {
            self.carry = sum >> 4;
        }

        self.a.rotate_right(1);
        self.a[0] = next_a;
        self.b.rotate_right(1);
        self.b[0] = next_b;
        let low = |n: usize| s[n - 1] & 1;
        let high = |n: usize| s[n - 1] >> 1;
        self.x = low(4) << 3 | low(3) << 2 | high(2) << 1 | high(1);
        self.y = low(6) << 3 | low(5) << 2 | high(4) << 1 | high(3);
        self.z = low(2) << 3 | low(1) << 2 | high(6) << 1 | high(5);
        (self.p, self.q) = (high(7), low(7));
        let pairs = self.d ^ self.d >> 1;
        pairs >> 1 & 2 | pairs & 1
    }
}
