//! AVX2: 256 packets to a vector, 32 blocks to a vector of bytes.
//!
//! The S-box is sixteen 16-byte tables looked up at the lower nibble. The instruction gives zero where an index has its
//! top bit set, which picks one of two tables at no cost; the three bits that are left pick by blending.
#![expect(unsafe_code, reason = "intrinsics of an instruction set that is not everywhere")]

use crate::bytes::{self, Bytes, Interleave};
use crate::lane::{self, Lane};
use crate::schedule::Schedule;
use crate::stream::{self, Work};
use crate::tables::{WIRED_SBOX, unwire};
use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_andnot_si256, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi64x,
    _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_slli_epi64, _mm256_srli_epi16, _mm256_srli_epi64,
    _mm256_storeu_si256, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8, _mm256_xor_si256,
};

/// Packets of a full batch.
pub(crate) const BATCH: usize = 256;

/// Proof that this processor has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Fills the rows of keystream of a batch.
    pub(crate) fn keystream(self, work: Work<'_>) {
        // SAFETY: a value of this type exists only where AVX2 was detected.
        unsafe { keystream(work) }
    }

    /// Decrypts blocks of one key.
    pub(crate) fn decrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        // SAFETY: a value of this type exists only where AVX2 was detected.
        unsafe { decrypt(schedule, blocks) }
    }

    /// Encrypts blocks of one key.
    pub(crate) fn encrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        // SAFETY: a value of this type exists only where AVX2 was detected.
        unsafe { encrypt(schedule, blocks) }
    }
}

#[target_feature(enable = "avx2")]
fn keystream(work: Work<'_>) {
    stream::run::<Vector>(work);
}

#[target_feature(enable = "avx2")]
fn decrypt(schedule: &Schedule, blocks: &mut [u64]) {
    bytes::decrypt::<Vector, 2>(schedule, blocks);
}

#[target_feature(enable = "avx2")]
fn encrypt(schedule: &Schedule, blocks: &mut [u64]) {
    bytes::encrypt::<Vector>(schedule, blocks);
}

/// 256 bits. Made and used only inside the three functions above, by code that is inlined into them.
#[derive(Clone, Copy)]
struct Vector(__m256i);

/// A call of intrinsics that neither read nor write memory.
macro_rules! avx2 {
    ($call:expr) => {
        // SAFETY: only reached from functions that have AVX2 enabled, and no memory is touched.
        Vector(unsafe { $call })
    };
}

#[inline(always)]
fn load(words: &[u64]) -> Vector {
    let words = words.first_chunk::<4>().expect("a vector's four words");
    // SAFETY: only reached with AVX2 enabled; the array is 32 bytes long, and the load needs no alignment.
    Vector(unsafe { _mm256_loadu_si256(words.as_ptr().cast::<__m256i>()) })
}

#[inline(always)]
fn store(vector: Vector, words: &mut [u64]) {
    let words = words.first_chunk_mut::<4>().expect("a vector's four words");
    // SAFETY: only reached with AVX2 enabled; the array is 32 bytes long, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast::<__m256i>(), vector.0) }
}

impl Lane for Vector {
    const WORDS: usize = 4;

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        load(words)
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        store(self, words);
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        avx2!(_mm256_set1_epi64x(word.cast_signed()))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        avx2!(_mm256_xor_si256(self.0, other.0))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        avx2!(_mm256_and_si256(self.0, other.0))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        avx2!(_mm256_or_si256(self.0, other.0))
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        avx2!(_mm256_andnot_si256(other.0, self.0))
    }

    #[inline(always)]
    fn up<const BITS: i32>(self) -> Self {
        avx2!(_mm256_slli_epi64::<BITS>(self.0))
    }

    #[inline(always)]
    fn down<const BITS: i32>(self) -> Self {
        avx2!(_mm256_srli_epi64::<BITS>(self.0))
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

impl Interleave for Vector {
    #[inline(always)]
    fn interleave_low(self, other: Self) -> Self {
        avx2!(_mm256_unpacklo_epi8(self.0, other.0))
    }

    #[inline(always)]
    fn interleave_high(self, other: Self) -> Self {
        avx2!(_mm256_unpackhi_epi8(self.0, other.0))
    }
}

/// The wired S-box in rows of sixteen.
static SBOX_ROWS: [[u8; 16]; 16] = {
    let (mut rows, mut index) = ([[0; 16]; 16], 0);
    while index < 256 {
        rows[index / 16][index % 16] = WIRED_SBOX[index];
        index += 1;
    }
    rows
};

/// The wiring undone, of every lower nibble and of every upper one.
static UNWIRED: [[u8; 16]; 2] = {
    let (mut rows, mut nibble) = ([[0; 16]; 2], 0u8);
    while nibble < 16 {
        rows[0][nibble as usize] = unwire(nibble);
        rows[1][nibble as usize] = unwire(nibble << 4);
        nibble += 1;
    }
    rows
};

#[inline(always)]
fn table(row: &[u8; 16]) -> __m256i {
    // SAFETY: only reached with AVX2 enabled; the row is 16 bytes long, and the load needs no alignment.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(row.as_ptr().cast::<__m128i>())) }
}

/// Looks bytes up in the rows.
#[inline(always)]
fn sbox(x: __m256i) -> Vector {
    // SAFETY: only reached from functions that have AVX2 enabled; tables are read as `table` says.
    unsafe {
        let other = _mm256_xor_si256(x, _mm256_set1_epi8(i8::MIN));
        // Of rows eight apart one is blank, by the top bit of the index.
        let pair = |n: usize| {
            let upper = _mm256_shuffle_epi8(table(&SBOX_ROWS[n + 8]), other);
            _mm256_or_si256(_mm256_shuffle_epi8(table(&SBOX_ROWS[n]), x), upper)
        };
        // A blend looks at top bits, too.
        let bit4 = _mm256_slli_epi16::<3>(x);
        let bit5 = _mm256_slli_epi16::<2>(x);
        let bit6 = _mm256_slli_epi16::<1>(x);
        let four = |n: usize| _mm256_blendv_epi8(pair(n), pair(n + 1), bit4);
        let eight = |n: usize| _mm256_blendv_epi8(four(n), four(n + 2), bit5);
        Vector(_mm256_blendv_epi8(eight(0), eight(4), bit6))
    }
}

impl Bytes for Vector {
    const LEN: usize = 32;

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
        avx2!(_mm256_set1_epi8(byte.cast_signed()))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        avx2!(_mm256_xor_si256(self.0, other.0))
    }

    #[inline(always)]
    fn wired_sbox(self) -> Self {
        sbox(self.0)
    }

    #[inline(always)]
    fn unwire(self) -> Self {
        let (low, high) = (table(&UNWIRED[0]), table(&UNWIRED[1]));
        avx2!({
            let nibble = _mm256_set1_epi8(15);
            let below = _mm256_shuffle_epi8(low, _mm256_and_si256(self.0, nibble));
            let above = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(self.0), nibble));
            _mm256_or_si256(below, above)
        })
    }
}
