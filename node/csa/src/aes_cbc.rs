//! AES-128-CBC of several chains side by side, each under a key of its own (NIST SP 800-38A §6.2, FIPS 197).
//!
//! A chain waits for its last block before the next can begin, so that one alone uses an eighth of the processor's AES
//! unit. Segments of different channels are independent chains: eight of them take about the time of one. Padding is the
//! caller's. Where the processor has no AES instructions that we know, chains are encrypted one after another.

use aes::{
    Aes128,
    cipher::{BlockModeEncrypt, KeyIvInit},
};

#[cfg(target_arch = "x86_64")]
use crate::x86::aes::Aes;

/// Bytes of a block and of a key.
pub const BLOCK_BYTES: usize = 16;

/// More chains at once are not faster.
pub const LANES: usize = 8;

/// One chain to encrypt in place.
#[derive(Debug)]
pub struct Chain<'a> {
    /// Its key.
    pub key: &'a [u8; BLOCK_BYTES],
    /// What is added to its first block.
    pub iv: [u8; BLOCK_BYTES],
    /// Plain text, and cipher text afterwards; whole blocks.
    pub blocks: &'a mut [[u8; BLOCK_BYTES]],
}

/// Encrypts every chain in place. Fastest where chains of about one length stand beside each other, in groups of
/// [`LANES`].
///
/// ```
/// use headend_csa::aes_cbc::{Chain, encrypt};
/// let (mut one, mut other) = ([[0; 16]; 2], [[0; 16]; 1]);
/// encrypt(&mut [
///     Chain { key: &[1; 16], iv: [0; 16], blocks: &mut one },
///     Chain { key: &[1; 16], iv: [0; 16], blocks: &mut other },
/// ]);
/// assert_eq!(one[0], other[0]);
/// assert_ne!(one[0], one[1]);
/// ```
pub fn encrypt(chains: &mut [Chain<'_>]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(aes) = Aes::detect() {
        return chains.chunks_mut(LANES).for_each(|group| aes.encrypt(group));
    }
    one_by_one(chains);
}

fn one_by_one(chains: &mut [Chain<'_>]) {
    for chain in chains {
        let blocks = aes::cipher::Array::cast_slice_from_core_mut(chain.blocks);
        cbc::Encryptor::<Aes128>::new(chain.key.into(), (&chain.iv).into()).encrypt_blocks(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    type Job = ([u8; 16], [u8; 16], Vec<[u8; 16]>);

    fn chains(jobs: &mut [Job]) -> Vec<Chain<'_>> {
        jobs.iter_mut().map(|(key, iv, blocks)| Chain { key, iv: *iv, blocks }).collect()
    }

    #[test]
    fn nist_sp_800_38a_f_2_1() {
        let hex = |text: &str| u128::from_str_radix(text, 16).unwrap().to_be_bytes();
        let mut blocks = [hex("6bc1bee22e409f96e93d7e117393172a"), hex("ae2d8a571e03ac9c9eb76fac45af8e51")];
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let iv = hex("000102030405060708090a0b0c0d0e0f");
        encrypt(&mut [Chain { key: &key, iv, blocks: &mut blocks }]);
        assert_eq!(blocks, [hex("7649abac8119b246cee98e9b12e9197d"), hex("5086cb9b507219ee95db113a917678b2")]);
    }

    proptest! {
        /// The library one chain after another is the oracle.
        #[test]
        fn side_by_side_is_as_one_by_one(
            mut jobs in prop::collection::vec((any::<[u8; 16]>(), any::<[u8; 16]>(),
                prop::collection::vec(any::<[u8; 16]>(), 0..40)), 0..20),
        ) {
            let mut wanted = jobs.clone();
            one_by_one(&mut chains(&mut wanted));
            encrypt(&mut chains(&mut jobs));
            assert_eq!(jobs, wanted);
        }
    }
}
