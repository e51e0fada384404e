//! AVX-512: 512 packets to a vector, 64 blocks to a vector of bytes.
//!
//! Three-input logic halves the stream cipher, VBMI looks a byte up in 128 at once, and GFNI moves bits inside bytes. That
//! set came with Ice Lake and Zen 4; an older AVX-512 machine is served by the AVX2 kernel.
#![expect(unsafe_code, reason = "intrinsics of an instruction set that is not everywhere")]

use crate::bytes::{self, Bytes, Interleave};
use crate::lane::{self, Lane};
use crate::schedule::Schedule;
use crate::stream::{self, Work};
use crate::tables::{BLOCK_WIRING, WIRED_SBOX};
use std::arch::x86_64::{
    __m256i, __m512i, _mm_cvtsi32_si128, _mm256_and_si256, _mm256_andnot_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_sll_epi64, _mm256_srl_epi64, _mm256_storeu_si256, _mm256_ternarylogic_epi64,
    _mm256_unpackhi_epi8, _mm256_unpacklo_epi8, _mm256_xor_si256, _mm512_and_si512, _mm512_andnot_si512,
    _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_movepi8_mask, _mm512_or_si512,
    _mm512_permutex2var_epi8, _mm512_set1_epi8, _mm512_set1_epi64, _mm512_sll_epi64, _mm512_srl_epi64,
    _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_unpackhi_epi8, _mm512_unpacklo_epi8, _mm512_xor_si512,
};

use gates::Lut;

mod gates;

/// Packets of a full batch.
pub(crate) const BATCH: usize = 512;

/// Proof that this processor has AVX-512 F, BW and VBMI, and GFNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("gfni");
        has.then_some(Self(()))
    }

    /// Fills the rows of keystream of a batch.
    pub(crate) fn keystream(self, work: Work<'_>) {
        // SAFETY: a value of this type exists only where the set was detected.
        unsafe { keystream(work) }
    }

    /// Decrypts blocks of one key.
    pub(crate) fn decrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        // SAFETY: a value of this type exists only where the set was detected.
        unsafe { decrypt(schedule, blocks) }
    }

    /// Encrypts blocks of one key.
    pub(crate) fn encrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        // SAFETY: a value of this type exists only where the set was detected.
        unsafe { encrypt(schedule, blocks) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,gfni")]
fn keystream(work: Work<'_>) {
    if work.packets <= BATCH / 2 {
        stream::run::<Half>(work);
    } else {
        stream::run::<Vector>(work);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,gfni")]
fn decrypt(schedule: &Schedule, blocks: &mut [u64]) {
    bytes::decrypt::<Vector, 4>(schedule, blocks);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,gfni")]
fn encrypt(schedule: &Schedule, blocks: &mut [u64]) {
    bytes::encrypt::<Vector>(schedule, blocks);
}

/// 512 bits. Made and used only inside the three functions above, by code that is inlined into them.
#[derive(Clone, Copy)]
struct Vector(__m512i);

/// A call of intrinsics that neither read nor write memory.
macro_rules! avx512 {
    ($call:expr) => {
        // SAFETY: only reached from functions that have the instructions enabled, and no memory is touched.
        unsafe { $call }
    };
}

/// 256 bits, for batches that would leave half of a [`Vector`] empty: a step of the stream cipher then takes a quarter less
/// time (measured on Zen 5).
#[derive(Clone, Copy)]
struct Half(__m256i);

#[inline(always)]
fn load_half(words: &[u64]) -> Half {
    let words = words.first_chunk::<4>().expect("a vector's four words");
    // SAFETY: only reached with AVX-512 enabled; the array is 32 bytes long, and the load needs no alignment.
    Half(unsafe { _mm256_loadu_si256(words.as_ptr().cast::<__m256i>()) })
}

#[inline(always)]
fn store_half(vector: Half, words: &mut [u64]) {
    let words = words.first_chunk_mut::<4>().expect("a vector's four words");
    // SAFETY: only reached with AVX-512 enabled; the array is 32 bytes long, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast::<__m256i>(), vector.0) }
}

#[inline(always)]
fn load(words: &[u64]) -> Vector {
    let words = words.first_chunk::<8>().expect("a vector's eight words");
    // SAFETY: only reached with AVX-512 enabled; the array is 64 bytes long, and the load needs no alignment.
    Vector(unsafe { _mm512_loadu_si512(words.as_ptr().cast::<__m512i>()) })
}

#[inline(always)]
fn store(vector: Vector, words: &mut [u64]) {
    let words = words.first_chunk_mut::<8>().expect("a vector's eight words");
    // SAFETY: only reached with AVX-512 enabled; the array is 64 bytes long, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast::<__m512i>(), vector.0) }
}

/// A vector of bits, from the intrinsics of its width.
macro_rules! lane {
    (
        $name:ident, $words:literal, $load:ident, $store:ident, $splat:ident, $xor:ident, $and:ident, $or:ident,
        $without:ident, $up:ident, $down:ident, $low:ident, $high:ident, $ternary:ident
    ) => {
        impl Lane for $name {
            const WORDS: usize = $words;

            #[inline(always)]
            fn load(words: &[u64]) -> Self {
                $load(words)
            }

            #[inline(always)]
            fn store(self, words: &mut [u64]) {
                $store(self, words);
            }

            #[inline(always)]
            fn splat(word: u64) -> Self {
                Self(avx512!($splat(word.cast_signed())))
            }

            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                Self(avx512!($xor(self.0, other.0)))
            }

            #[inline(always)]
            fn and(self, other: Self) -> Self {
                Self(avx512!($and(self.0, other.0)))
            }

            #[inline(always)]
            fn or(self, other: Self) -> Self {
                Self(avx512!($or(self.0, other.0)))
            }

            #[inline(always)]
            fn without(self, other: Self) -> Self {
                Self(avx512!($without(other.0, self.0)))
            }

            #[inline(always)]
            fn up<const BITS: i32>(self) -> Self {
                Self(avx512!($up(self.0, _mm_cvtsi32_si128(BITS))))
            }

            #[inline(always)]
            fn down<const BITS: i32>(self) -> Self {
                Self(avx512!($down(self.0, _mm_cvtsi32_si128(BITS))))
            }

            #[inline(always)]
            fn xor3(self, b: Self, c: Self) -> Self {
                Self::lut::<0x96>(self, b, c)
            }

            #[inline(always)]
            fn majority(self, b: Self, c: Self) -> Self {
                Self::lut::<0xE8>(self, b, c)
            }

            #[inline(always)]
            fn select(self, on: Self, off: Self) -> Self {
                Self::lut::<0xCA>(self, on, off)
            }

            #[inline(always)]
            fn stream_sboxes(chain: &[[Self; 4]; 11]) -> [[Self; 2]; 7] {
                gates::stream_sboxes(chain)
            }

            #[inline(always)]
            fn to_planes(vectors: &mut [Self; 64]) {
                lane::to_planes(vectors);
            }

            #[inline(always)]
            fn from_planes(vectors: &mut [Self; 64]) {
                lane::from_planes(vectors);
            }
        }

        impl Interleave for $name {
            #[inline(always)]
            fn interleave_low(self, other: Self) -> Self {
                Self(avx512!($low(self.0, other.0)))
            }

            #[inline(always)]
            fn interleave_high(self, other: Self) -> Self {
                Self(avx512!($high(self.0, other.0)))
            }
        }

        impl Lut for $name {
            #[inline(always)]
            fn lut<const TABLE: i32>(a: Self, b: Self, c: Self) -> Self {
                Self(avx512!($ternary::<TABLE>(a.0, b.0, c.0)))
            }
        }
    };
}

lane!(
    Vector,
    8,
    load,
    store,
    _mm512_set1_epi64,
    _mm512_xor_si512,
    _mm512_and_si512,
    _mm512_or_si512,
    _mm512_andnot_si512,
    _mm512_sll_epi64,
    _mm512_srl_epi64,
    _mm512_unpacklo_epi8,
    _mm512_unpackhi_epi8,
    _mm512_ternarylogic_epi64
);
lane!(
    Half,
    4,
    load_half,
    store_half,
    _mm256_set1_epi64x,
    _mm256_xor_si256,
    _mm256_and_si256,
    _mm256_or_si256,
    _mm256_andnot_si256,
    _mm256_sll_epi64,
    _mm256_srl_epi64,
    _mm256_unpacklo_epi8,
    _mm256_unpackhi_epi8,
    _mm256_ternarylogic_epi64
);

static SBOX: [u8; 256] = WIRED_SBOX;

/// The wiring undone, as the instruction wants it: a row of bits for each output bit, that of bit 7 in the lowest byte.
const UNWIRING: u64 = {
    let (mut rows, mut to) = (0, 0u8);
    while to < 8 {
        rows |= 1 << (8 * (7 - to) + BLOCK_WIRING[to as usize]);
        to += 1;
    }
    rows
};

impl Bytes for Vector {
    const LEN: usize = 64;

    #[inline(always)]
    fn load(blocks: &[u64]) -> Self {
        load(blocks)
    }

    #[inline(always)]
    fn store(self, blocks: &mut [u64]) {
        store(self, blocks);
    }

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        Self(avx512!(_mm512_set1_epi8(byte.cast_signed())))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(avx512!(_mm512_xor_si512(self.0, other.0)))
    }

    #[inline(always)]
    fn wired_sbox(self) -> Self {
        // SAFETY: only reached with AVX-512 enabled; each part of the table is 64 bytes long, loads need no alignment.
        let [a, b, c, d] = std::array::from_fn(|n| unsafe { _mm512_loadu_si512(SBOX.as_ptr().add(64 * n).cast()) });
        Self(avx512!({
            let below = _mm512_permutex2var_epi8(a, self.0, b);
            let above = _mm512_permutex2var_epi8(c, self.0, d);
            _mm512_mask_blend_epi8(_mm512_movepi8_mask(self.0), below, above)
        }))
    }

    #[inline(always)]
    fn unwire(self) -> Self {
        Self(avx512!(_mm512_gf2p8affine_epi64_epi8::<0>(self.0, _mm512_set1_epi64(UNWIRING.cast_signed()))))
    }
}
