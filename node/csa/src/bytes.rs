//! The block cipher on vectors of bytes: one register of as many blocks as a vector has bytes.
//!
//! The S-box is a table look-up inside the vector, which every machine does its own way; everything else is XOR. Blocks
//! come as a list of `u64`; interleaving whole vectors turns them into registers and back. The rounds are those of
//! `reference.rs`.

use crate::schedule::{ROUNDS, Schedule};

/// A vector whose bytes can be interleaved with another's, in groups of 16.
pub(crate) trait Interleave: Copy {
    /// The bytes of the lower half of each group, of `self` and `other` in turn.
    fn interleave_low(self, other: Self) -> Self;
    /// The same for the upper halves.
    fn interleave_high(self, other: Self) -> Self;
}

/// A vector of bytes. Vectors lie in memory as blocks, first block first.
pub(crate) trait Bytes: Interleave {
    /// Length in bytes, a multiple of 16: how many blocks eight vectors hold.
    const LEN: usize;

    /// Reads `LEN / 8` blocks.
    fn load(blocks: &[u64]) -> Self;
    /// Writes `LEN / 8` blocks.
    fn store(self, blocks: &mut [u64]);
    /// The same byte everywhere.
    fn splat(byte: u8) -> Self;
    fn xor(self, other: Self) -> Self;
    /// The block cipher's S-box of every byte, and then its wiring: what decryption waits for from round to round.
    fn wired_sbox(self) -> Self;
    /// The wiring of every byte undone.
    fn unwire(self) -> Self;
}

/// Decrypts any number of blocks, `N` vectors of each register side by side so that one does not wait for its table.
#[inline(always)]
pub(crate) fn decrypt<V: Bytes, const N: usize>(schedule: &Schedule, blocks: &mut [u64]) {
    let rest = whole::<V, N>(blocks, |group| rounds_back::<V, N>(schedule, group));
    let rest = whole::<V, 2>(rest, |group| rounds_back::<V, 2>(schedule, group));
    let rest = whole::<V, 1>(rest, |group| rounds_back::<V, 1>(schedule, group));
    padded::<V>(rest, |group| rounds_back::<V, 1>(schedule, group));
}

/// Encrypts any number of blocks.
#[inline(always)]
pub(crate) fn encrypt<V: Bytes>(schedule: &Schedule, blocks: &mut [u64]) {
    let rest = whole::<V, 1>(blocks, |group| rounds_forth::<V>(schedule, group));
    padded::<V>(rest, |group| rounds_forth::<V>(schedule, group));
}

/// Runs over whole groups and gives back what is too short for one.
#[inline(always)]
fn whole<V: Bytes, const N: usize>(blocks: &mut [u64], run: impl Fn(&mut [u64])) -> &mut [u64] {
    let mut groups = blocks.chunks_exact_mut(N * V::LEN);
    groups.by_ref().for_each(run);
    groups.into_remainder()
}

/// The most blocks a vector is long.
const LEN_MAX: usize = 64;

#[inline(always)]
fn padded<V: Bytes>(blocks: &mut [u64], run: impl Fn(&mut [u64])) {
    if !blocks.is_empty() {
        let mut group = [0; LEN_MAX];
        group[..blocks.len()].copy_from_slice(blocks);
        run(&mut group[..V::LEN]);
        blocks.copy_from_slice(&group[..blocks.len()]);
    }
}

#[inline(always)]
fn rounds_back<V: Bytes, const N: usize>(schedule: &Schedule, blocks: &mut [u64]) {
    let mut registers = [[V::splat(0); 8]; N];
    for (n, r) in registers.iter_mut().enumerate() {
        *r = load(&blocks[n * V::LEN..]);
    }
    for keys in schedule.rounds().as_chunks::<8>().0.iter().rev() {
        for &key in keys.iter().rev() {
            let key = V::splat(key);
            for r in &mut registers {
                let wired = key.xor(r[6]).wired_sbox();
                let t = r[7].xor(wired.unwire());
                *r = [t, r[0], r[1].xor(t), r[2].xor(t), r[3].xor(t), r[4], r[5].xor(wired), r[6]];
            }
        }
    }
    for (n, r) in registers.into_iter().enumerate() {
        store(r, &mut blocks[n * V::LEN..]);
    }
}

#[inline(always)]
fn rounds_forth<V: Bytes>(schedule: &Schedule, blocks: &mut [u64]) {
    const { assert!(ROUNDS.is_multiple_of(8)) };
    let mut r = load::<V>(blocks);
    for keys in schedule.rounds().as_chunks::<8>().0 {
        for &key in keys {
            let wired = V::splat(key).xor(r[7]).wired_sbox();
            let t = r[0];
            r = [r[1], r[2].xor(t), r[3].xor(t), r[4].xor(t), r[5], r[6].xor(wired), r[7], t.xor(wired.unwire())];
        }
    }
    store(r, blocks);
}

#[inline(always)]
fn load<V: Bytes>(blocks: &[u64]) -> [V; 8] {
    let mut v = [V::splat(0); 8];
    for (n, vector) in v.iter_mut().enumerate() {
        *vector = V::load(&blocks[n * (V::LEN / 8)..]);
    }
    gather(v)
}

#[inline(always)]
fn store<V: Bytes>(registers: [V; 8], blocks: &mut [u64]) {
    for (n, vector) in scatter(registers).into_iter().enumerate() {
        vector.store(&mut blocks[n * (V::LEN / 8)..]);
    }
}

/// Eight vectors of blocks into the eight registers of those blocks.
///
/// Number the bytes in hand by (vector, place in its group). Interleaving vectors whose numbers differ in one bit moves
/// that bit to the lowest of the place, and the highest of the place to where it was; four turns bring the three bits that
/// tell a block's bytes apart out of the place and into the number of the vector.
#[inline(always)]
pub(crate) fn gather<V: Interleave>(mut v: [V; 8]) -> [V; 8] {
    v = interleave::<V, 4>(v);
    v = interleave::<V, 2>(v);
    v = interleave::<V, 1>(v);
    v = interleave::<V, 4>(v);
    [v[0], v[4], v[1], v[5], v[2], v[6], v[3], v[7]]
}

/// Registers into vectors of blocks: three more turns of [`gather`] come back to where it started.
#[inline(always)]
pub(crate) fn scatter<V: Interleave>(mut v: [V; 8]) -> [V; 8] {
    v = interleave::<V, 4>(v);
    v = interleave::<V, 2>(v);
    interleave::<V, 1>(v)
}

#[inline(always)]
fn interleave<V: Interleave, const BIT: usize>(v: [V; 8]) -> [V; 8] {
    let mut out = v;
    for (n, vector) in out.iter_mut().enumerate() {
        *vector = if n & BIT == 0 { v[n].interleave_low(v[n | BIT]) } else { v[n & !BIT].interleave_high(v[n]) };
    }
    out
}
