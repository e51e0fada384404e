//! SSE2: 128 packets to a vector. It has no byte look-up, so the block cipher is the portable one.

#![expect(unsafe_code, reason = "intrinsics are unsafe to call, although every x86-64 processor has these")]

use crate::bytes::Interleave;
use crate::lane::{self, Lane};
use crate::stream::{self, Work};
use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_andnot_si128, _mm_cvtsi128_si64, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi64x,
    _mm_slli_epi64, _mm_srli_epi64, _mm_unpackhi_epi8, _mm_unpackhi_epi64, _mm_unpacklo_epi8, _mm_xor_si128,
};

/// Packets of a full batch.
pub(crate) const BATCH: usize = 128;

/// Fills the rows of keystream of a batch.
pub(crate) fn keystream(work: Work<'_>) {
    stream::run::<Bits>(work);
}

#[derive(Clone, Copy)]
struct Bits(__m128i);

/// A call of intrinsics that neither read nor write memory.
macro_rules! sse2 {
    ($call:expr) => {
        // SAFETY: every x86-64 processor has SSE2, and no memory is touched.
        unsafe { $call }
    };
}

impl Lane for Bits {
    const WORDS: usize = 2;

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        Self(sse2!(_mm_set_epi64x(words[1].cast_signed(), words[0].cast_signed())))
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        words[0] = sse2!(_mm_cvtsi128_si64(self.0)).cast_unsigned();
        words[1] = sse2!(_mm_cvtsi128_si64(_mm_unpackhi_epi64(self.0, self.0))).cast_unsigned();
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        Self(sse2!(_mm_set1_epi64x(word.cast_signed())))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(sse2!(_mm_xor_si128(self.0, other.0)))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(sse2!(_mm_and_si128(self.0, other.0)))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(sse2!(_mm_or_si128(self.0, other.0)))
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        Self(sse2!(_mm_andnot_si128(other.0, self.0)))
    }

    #[inline(always)]
    fn up<const BITS: i32>(self) -> Self {
        Self(sse2!(_mm_slli_epi64::<BITS>(self.0)))
    }

    #[inline(always)]
    fn down<const BITS: i32>(self) -> Self {
        Self(sse2!(_mm_srli_epi64::<BITS>(self.0)))
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

impl Interleave for Bits {
    #[inline(always)]
    fn interleave_low(self, other: Self) -> Self {
        Self(sse2!(_mm_unpacklo_epi8(self.0, other.0)))
    }

    #[inline(always)]
    fn interleave_high(self, other: Self) -> Self {
        Self(sse2!(_mm_unpackhi_epi8(self.0, other.0)))
    }
}
