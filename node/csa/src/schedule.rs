//! Round keys: one control word made ready for the block cipher of every kernel.
//!
//! Making one costs under a microsecond, so it is done when a control word arrives, not per packet. Wiped when dropped.

use crate::{ControlWord, tables};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rounds of the block cipher.
pub(crate) const ROUNDS: usize = 56;

/// A control word with its round keys. Wiped when dropped, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Schedule {
    /// The control word as the stream cipher loads it, first byte lowest.
    word: u64,
    /// The round keys in the order of encryption.
    rounds: [u8; ROUNDS],
    /// What the portable decryption adds after each round, in the order of decryption; see `block.rs`.
    folded: [u64; ROUNDS],
}

impl Schedule {
    /// Derives the round keys of a control word.
    pub(crate) fn new(word: &ControlWord) -> Self {
        let mut rounds = [0; ROUNDS];
        let mut key = u64::from_be_bytes(*word.expose());
        for turn in (0..7u8).rev() {
            for (byte, value) in key.to_be_bytes().into_iter().enumerate() {
                rounds[usize::from(turn) * 8 + byte] = value ^ turn;
            }
            key = rewire(key);
        }
        key.zeroize();
        let folded = crate::block::fold(&rounds);
        Self { word: u64::from_le_bytes(*word.expose()), rounds, folded }
    }

    /// The schedule of no word at all, for an empty place.
    pub(crate) fn empty() -> Self {
        Self { word: 0, rounds: [0; ROUNDS], folded: [0; ROUNDS] }
    }

    pub(crate) fn word(&self) -> u64 {
        self.word
    }

    pub(crate) fn rounds(&self) -> &[u8; ROUNDS] {
        &self.rounds
    }

    pub(crate) fn folded(&self) -> &[u64; ROUNDS] {
        &self.folded
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schedule(..)")
    }
}

/// The key of the turn before: every bit moved to its place.
fn rewire(key: u64) -> u64 {
    let moved = |(from, &to): (usize, &u8)| (key >> (63 - from) & 1) << (63 - to);
    tables::KEY_WIRING.iter().enumerate().map(moved).fold(0, |sum, bit| sum | bit)
}
