//! The block cipher on 64-bit integers: the portable form, four instructions a round.
//!
//! A block is a `u64` with register `r[0]` lowest. A decryption round is then a rotation, an S-box value spread over
//! four registers, and `r[7]` added to three of them. The last part is taken out of the loop by a change of variables:
//! the state already carries `r[7]` where the next round would add it, and carries the next round key in `r[6]`, so that
//! the round is `state = rotate(state) ^ TABLE[byte 6 of state] ^ constant`. Constants depend on the key alone and are
//! folded in the [`Schedule`]. Eight blocks run side by side, since a round has to wait for its table.

use crate::schedule::{ROUNDS, Schedule};
use crate::tables::{BLOCK_SBOX, wire};

/// Where `r[7]` goes, one round early.
const SPREAD: u64 = 0x0101_0100;

/// Blocks that run side by side.
const ABREAST: usize = 8;

/// The S-box and its wired output in every register they reach, with the round's own spreading of `r[6]`.
static DECRYPT: [u64; 256] = table(0x01_0101_0001, 48, SPREAD);

/// The same for encryption.
static ENCRYPT: [u64; 256] = table(1 << 56, 40, 0);

const fn table(plain: u64, wired_at: u32, index_spread: u64) -> [u64; 256] {
    let (mut table, mut index) = ([0; 256], 0);
    while index < 256 {
        let s = BLOCK_SBOX[index];
        table[index] = (s as u64 * plain) ^ ((wire(s) as u64) << wired_at) ^ (index as u64 * index_spread);
        index += 1;
    }
    table
}

/// Round constants of decryption, in its order.
pub(crate) fn fold(rounds: &[u8; ROUNDS]) -> [u64; ROUNDS] {
    std::array::from_fn(|at| {
        let key = u64::from(rounds[ROUNDS - 1 - at]);
        let next = rounds.get((ROUNDS - 2).wrapping_sub(at)).copied().map_or(0, u64::from);
        (key * SPREAD) ^ (key << 56) ^ (next << 48)
    })
}

/// Decrypts any number of blocks.
pub(crate) fn decrypt(schedule: &Schedule, blocks: &mut [u64]) {
    let first = u64::from(schedule.rounds()[ROUNDS - 1]) << 48;
    for_each_group(blocks, |group| {
        for block in group.iter_mut() {
            *block ^= ((*block >> 56) * SPREAD) ^ first;
        }
        for constant in schedule.folded() {
            for block in group.iter_mut() {
                *block = block.rotate_left(8) ^ DECRYPT[byte(*block, 6)] ^ constant;
            }
        }
        for block in group.iter_mut() {
            *block ^= (*block >> 56) * SPREAD;
        }
    });
}

/// Encrypts any number of blocks.
pub(crate) fn encrypt(schedule: &Schedule, blocks: &mut [u64]) {
    for_each_group(blocks, |group| {
        for &key in schedule.rounds() {
            for block in group.iter_mut() {
                let index = usize::from(key) ^ byte(*block, 7);
                *block = block.rotate_right(8) ^ ((*block & 0xFF) * SPREAD) ^ ENCRYPT[index];
            }
        }
    });
}

fn byte(block: u64, at: usize) -> usize {
    usize::from(block.to_le_bytes()[at])
}

fn for_each_group(blocks: &mut [u64], mut run: impl FnMut(&mut [u64; ABREAST])) {
    let (groups, rest) = blocks.as_chunks_mut::<ABREAST>();
    groups.iter_mut().for_each(&mut run);
    if !rest.is_empty() {
        let mut group = [0; ABREAST];
        group[..rest.len()].copy_from_slice(rest);
        run(&mut group);
        rest.copy_from_slice(&group[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ControlWord, reference};
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn agrees_with_the_reference(key in any::<[u8; 8]>(), blocks in prop::collection::vec(any::<u64>(), 0..20)) {
            let schedule = Schedule::new(&ControlWord::new(key));
            let want = |run: fn(&Schedule, &mut [u8; 8])| -> Vec<u64> {
                blocks.iter().map(|block| {
                    let mut bytes = block.to_le_bytes();
                    run(&schedule, &mut bytes);
                    u64::from_le_bytes(bytes)
                }).collect()
            };
            let mut got = blocks.clone();
            decrypt(&schedule, &mut got);
            assert_eq!(got, want(reference::decrypt));
            got.clone_from(&blocks);
            encrypt(&schedule, &mut got);
            assert_eq!(got, want(reference::encrypt));
        }
    }
}
