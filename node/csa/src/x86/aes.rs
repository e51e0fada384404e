//! AES-NI: up to eight chains of CBC round by round, so that each instruction's wait is filled by the other chains.
#![expect(unsafe_code, reason = "intrinsics of an instruction set that is not everywhere")]

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_cvtsi128_si64, _mm_set_epi64x,
    _mm_setzero_si128, _mm_shuffle_epi32, _mm_slli_si128, _mm_unpackhi_epi64, _mm_xor_si128,
};

use zeroize::Zeroize;

use crate::aes_cbc::{Chain, LANES};

/// Round keys of AES-128 (FIPS 197 §5.2): one before the first round and one for each.
type RoundKeys = [__m128i; 11];

/// Proof that this processor has the AES instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aes(());

impl Aes {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("aes").then_some(Self(()))
    }

    /// Encrypts at most [`LANES`] chains in place; the more alike their lengths, the faster.
    pub(crate) fn encrypt(self, chains: &mut [Chain<'_>]) {
        debug_assert!(chains.len() <= LANES, "a group of chains");
        // SAFETY: a value of this type exists only where the AES instructions were detected.
        unsafe { encrypt(chains) }
    }
}

/// Goes on with fewer lanes whenever a chain has ended.
#[target_feature(enable = "aes")]
fn encrypt(chains: &mut [Chain<'_>]) {
    // The longest first: those that have ended are then at the end.
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.blocks.len()));
    let mut keys = [[_mm_setzero_si128(); 11]; LANES];
    let mut states = [_mm_setzero_si128(); LANES];
    for (chain, (keys, state)) in chains.iter().zip(keys.iter_mut().zip(&mut states)) {
        *keys = expand(chain.key);
        *state = load(&chain.iv);
    }
    let mut done = 0;
    for lanes in (1..=chains.len()).rev() {
        let until = chains[lanes - 1].blocks.len();
        let (chains, at) = (&mut chains[..lanes], done..until);
        match lanes {
            1 => run::<1>(chains, &keys, &mut states, at),
            2 => run::<2>(chains, &keys, &mut states, at),
            3 => run::<3>(chains, &keys, &mut states, at),
            4 => run::<4>(chains, &keys, &mut states, at),
            5 => run::<5>(chains, &keys, &mut states, at),
            6 => run::<6>(chains, &keys, &mut states, at),
            7 => run::<7>(chains, &keys, &mut states, at),
            _ => run::<LANES>(chains, &keys, &mut states, at),
        }
        done = until;
    }
    keys.zeroize();
}

/// The blocks `at` of the first `N` chains.
#[target_feature(enable = "aes")]
#[expect(clippy::needless_range_loop, reason = "an index for each of three arrays that run beside each other")]
fn run<const N: usize>(
    chains: &mut [Chain<'_>],
    keys: &[RoundKeys; LANES],
    states: &mut [__m128i; LANES],
    at: std::ops::Range<usize>,
) {
    let mut chains = chains.iter_mut();
    let lanes: [&mut [[u8; 16]]; N] = std::array::from_fn(|_| match chains.next() {
        Some(chain) => &mut chain.blocks[at.clone()],
        None => &mut [],
    });
    let mut x: [__m128i; N] = std::array::from_fn(|lane| states[lane]);
    for block in 0..at.len() {
        for lane in 0..N {
            let plain = _mm_xor_si128(load(&lanes[lane][block]), keys[lane][0]);
            x[lane] = _mm_xor_si128(x[lane], plain);
        }
        for round in 1..10 {
            for lane in 0..N {
                x[lane] = _mm_aesenc_si128(x[lane], keys[lane][round]);
            }
        }
        for lane in 0..N {
            x[lane] = _mm_aesenclast_si128(x[lane], keys[lane][10]);
            lanes[lane][block] = store(x[lane]);
        }
    }
    states[..N].copy_from_slice(&x);
}

#[target_feature(enable = "aes")]
fn load(block: &[u8; 16]) -> __m128i {
    let ([low, high], _) = block.as_chunks::<8>() else { unreachable!("sixteen bytes are two words") };
    _mm_set_epi64x(i64::from_le_bytes(*high), i64::from_le_bytes(*low))
}

#[target_feature(enable = "aes")]
fn store(state: __m128i) -> [u8; 16] {
    let low = _mm_cvtsi128_si64(state).cast_unsigned();
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(state, state)).cast_unsigned();
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

/// FIPS 197 §5.2.
#[target_feature(enable = "aes")]
fn expand(key: &[u8; 16]) -> RoundKeys {
    let mut keys = [load(key); 11];
    macro_rules! round {
        ($number:literal, $constant:literal) => {
            let last = keys[$number - 1];
            let word = _mm_shuffle_epi32::<0xFF>(_mm_aeskeygenassist_si128::<$constant>(last));
            let two = _mm_xor_si128(last, _mm_slli_si128::<4>(last));
            let four = _mm_xor_si128(two, _mm_slli_si128::<8>(two));
            keys[$number] = _mm_xor_si128(four, word);
        };
    }
    round!(1, 0x01);
    round!(2, 0x02);
    round!(3, 0x04);
    round!(4, 0x08);
    round!(5, 0x10);
    round!(6, 0x20);
    round!(7, 0x40);
    round!(8, 0x80);
    round!(9, 0x1B);
    round!(10, 0x36);
    keys
}
