//! What the bit-slice stream cipher needs from a machine: a vector of bits, one bit for each packet.
//!
//! The methods with a body are what plain AND, OR and XOR can do; a machine with three-input logic says it shorter. The
//! portable lane is one `u64`. Vectors lie in memory as `u64` words, first word first.

use crate::bytes::{Interleave, gather, scatter};
use crate::gates;

/// A vector of bits, `64 * WORDS` packets wide.
pub(crate) trait Lane: Copy {
    /// Length in `u64` words.
    const WORDS: usize;

    /// Reads the first `WORDS` words.
    fn load(words: &[u64]) -> Self;
    /// Writes the first `WORDS` words.
    fn store(self, words: &mut [u64]);
    /// The same word everywhere.
    fn splat(word: u64) -> Self;
    fn xor(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    /// `self` without the bits of `other`.
    fn without(self, other: Self) -> Self;
    /// Every word shifted towards its top bit.
    fn up<const BITS: i32>(self) -> Self;
    /// Every word shifted towards its lowest bit.
    fn down<const BITS: i32>(self) -> Self;

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }

    /// The carry of a one-bit addition.
    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        self.xor(c).and(b.xor(c)).xor(c)
    }

    /// Bits of `on` where `self` is set, of `off` elsewhere.
    #[inline(always)]
    fn select(self, on: Self, off: Self) -> Self {
        on.xor(off).and(self).xor(off)
    }

    /// The seven S-boxes of the stream cipher: from the A chain (registers 1 to 10) to the low and high bit of each.
    #[inline(always)]
    fn stream_sboxes(chain: &[[Self; 4]; 11]) -> [[Self; 2]; 7] {
        gates::stream_sboxes(chain)
    }

    /// Turns one block per packet, packets in the order of the words, into 64 vectors of bits, lowest bit of the blocks
    /// first. Which packet has which bit of a vector is the machine's affair.
    #[inline(always)]
    fn to_planes(vectors: &mut [Self; 64]) {
        transpose(vectors);
    }

    /// Undoes [`Self::to_planes`].
    #[inline(always)]
    fn from_planes(vectors: &mut [Self; 64]) {
        transpose(vectors);
    }
}

/// Turns 64 vectors so that bit `b` of word `w` of vector `v` becomes bit `v` of word `w` of vector `b`. Its own inverse.
#[inline(always)]
fn transpose<L: Lane>(vectors: &mut [L; 64]) {
    swap::<L, 32>(vectors, 0x0000_0000_FFFF_FFFF);
    swap::<L, 16>(vectors, 0x0000_FFFF_0000_FFFF);
    swap::<L, 8>(vectors, 0x00FF_00FF_00FF_00FF);
    swap_in_bytes(vectors);
}

/// The part of [`transpose`] that stays inside bytes: of every eight vectors, bit `b` of a byte of vector `v` becomes bit
/// `v` of that byte of vector `b`.
#[inline(always)]
fn swap_in_bytes<L: Lane>(vectors: &mut [L; 64]) {
    swap::<L, 4>(vectors, 0x0F0F_0F0F_0F0F_0F0F);
    swap::<L, 2>(vectors, 0x3333_3333_3333_3333);
    swap::<L, 1>(vectors, 0x5555_5555_5555_5555);
}

/// One stage of a transposition: of every two vectors `STEP` apart, the upper `STEP` bits of the first change places with
/// the lower `STEP` bits of the second, in every group of `2 * STEP` bits.
#[inline(always)]
fn swap<L: Lane, const STEP: i32>(vectors: &mut [L; 64], low: u64) {
    let (step, low) = (STEP.unsigned_abs() as usize, L::splat(low));
    for pair in vectors.chunks_exact_mut(2 * step) {
        let (first, second) = pair.split_at_mut(step);
        for (a, b) in first.iter_mut().zip(second) {
            let moved = a.down::<STEP>().xor(*b).and(low);
            *b = b.xor(moved);
            *a = a.xor(moved.up::<STEP>());
        }
    }
}

/// [`Lane::to_planes`] for a machine that can interleave bytes, which is cheaper than shifting them.
#[inline(always)]
pub(crate) fn to_planes<L: Lane + Interleave>(vectors: &mut [L; 64]) {
    for eight in vectors.as_chunks_mut::<8>().0 {
        *eight = gather(*eight);
    }
    across(vectors);
    swap_in_bytes(vectors);
}

/// [`Lane::from_planes`] for a machine that can interleave bytes.
#[inline(always)]
pub(crate) fn from_planes<L: Lane + Interleave>(vectors: &mut [L; 64]) {
    swap_in_bytes(vectors);
    across(vectors);
    for eight in vectors.as_chunks_mut::<8>().0 {
        *eight = scatter(*eight);
    }
}

/// Vector `8 a + b` changes places with vector `8 b + a`.
#[inline(always)]
fn across<L: Copy>(vectors: &mut [L; 64]) {
    for a in 0..8 {
        for b in 0..a {
            vectors.swap(8 * a + b, 8 * b + a);
        }
    }
}

impl Lane for u64 {
    const WORDS: usize = 1;

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        words[0]
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        words[0] = self;
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        self & !other
    }

    #[inline(always)]
    fn up<const BITS: i32>(self) -> Self {
        self << BITS
    }

    #[inline(always)]
    fn down<const BITS: i32>(self) -> Self {
        self >> BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn a_transposed_bit_lies_where_it_should(words in prop::collection::vec(any::<u64>(), 64), v in 0..64usize, b in 0..64usize) {
            let before: [u64; 64] = words.try_into().unwrap();
            let mut after = before;
            u64::to_planes(&mut after);
            assert_eq!(before[v] >> b & 1, after[b] >> v & 1);
            u64::from_planes(&mut after);
            assert_eq!(before, after);
        }
    }
}
