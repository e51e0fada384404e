//! NEON: 128 packets to a vector, 16 blocks to a vector of bytes. The S-box is four look-ups in 64 bytes each.
#![expect(unsafe_code, reason = "intrinsics of an instruction set that is not everywhere")]

use crate::bytes::{self, Bytes, Interleave};
use crate::lane::{self, Lane};
use crate::schedule::Schedule;
use crate::stream::{self, Work};
use crate::tables::{WIRED_SBOX, unwire};
use std::arch::aarch64::{
    uint8x16_t, uint8x16x4_t, uint64x2_t, vandq_u8, vandq_u64, vbicq_u64, vbslq_u64, vdupq_n_s64, vdupq_n_u8,
    vdupq_n_u64, veorq_u8, veorq_u64, vld1q_u8, vld1q_u8_x4, vld1q_u64, vorrq_u8, vorrq_u64, vqtbl1q_u8, vqtbl4q_u8,
    vqtbx4q_u8, vreinterpretq_u8_u64, vreinterpretq_u64_u8, vshlq_u64, vshrq_n_u8, vst1q_u64, vsubq_u8, vzip1q_u8,
    vzip2q_u8,
};

/// Packets of a full batch.
pub(crate) const BATCH: usize = 128;

/// Proof that this processor has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Fills the rows of keystream of a batch.
    pub(crate) fn keystream(self, work: Work<'_>) {
        // SAFETY: a value of this type exists only where NEON was detected.
        unsafe { keystream(work) }
    }

    /// Decrypts blocks of one key.
    pub(crate) fn decrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        // SAFETY: a value of this type exists only where NEON was detected.
        unsafe { decrypt(schedule, blocks) }
    }

    /// Encrypts blocks of one key.
    pub(crate) fn encrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        // SAFETY: a value of this type exists only where NEON was detected.
        unsafe { encrypt(schedule, blocks) }
    }
}

#[target_feature(enable = "neon")]
fn keystream(work: Work<'_>) {
    stream::run::<Bits>(work);
}

#[target_feature(enable = "neon")]
fn decrypt(schedule: &Schedule, blocks: &mut [u64]) {
    bytes::decrypt::<Octets, 2>(schedule, blocks);
}

#[target_feature(enable = "neon")]
fn encrypt(schedule: &Schedule, blocks: &mut [u64]) {
    bytes::encrypt::<Octets>(schedule, blocks);
}

/// A call of intrinsics that neither read nor write memory.
macro_rules! neon {
    ($call:expr) => {
        // SAFETY: only reached from functions that have NEON enabled, and no memory is touched.
        unsafe { $call }
    };
}

/// 128 bits of as many packets. Made and used only inside the functions above, by code that is inlined into them.
#[derive(Clone, Copy)]
struct Bits(uint64x2_t);

impl Lane for Bits {
    const WORDS: usize = 2;

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        let words = words.first_chunk::<2>().expect("a vector's two words");
        // SAFETY: only reached with NEON enabled; the array is 16 bytes long.
        Self(unsafe { vld1q_u64(words.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        let words = words.first_chunk_mut::<2>().expect("a vector's two words");
        // SAFETY: only reached with NEON enabled; the array is 16 bytes long.
        unsafe { vst1q_u64(words.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        Self(neon!(vdupq_n_u64(word)))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(neon!(veorq_u64(self.0, other.0)))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(neon!(vandq_u64(self.0, other.0)))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(neon!(vorrq_u64(self.0, other.0)))
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        Self(neon!(vbicq_u64(self.0, other.0)))
    }

    #[inline(always)]
    fn up<const BITS: i32>(self) -> Self {
        Self(neon!(vshlq_u64(self.0, vdupq_n_s64(i64::from(BITS)))))
    }

    #[inline(always)]
    fn down<const BITS: i32>(self) -> Self {
        Self(neon!(vshlq_u64(self.0, vdupq_n_s64(-i64::from(BITS)))))
    }

    #[inline(always)]
    fn select(self, on: Self, off: Self) -> Self {
        Self(neon!(vbslq_u64(self.0, on.0, off.0)))
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
        Octets::from(self).interleave_low(other.into()).into()
    }

    #[inline(always)]
    fn interleave_high(self, other: Self) -> Self {
        Octets::from(self).interleave_high(other.into()).into()
    }
}

static SBOX: [u8; 256] = WIRED_SBOX;

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

/// The same 128 bits as bytes.
#[derive(Clone, Copy)]
struct Octets(uint8x16_t);

impl Interleave for Octets {
    #[inline(always)]
    fn interleave_low(self, other: Self) -> Self {
        Self(neon!(vzip1q_u8(self.0, other.0)))
    }

    #[inline(always)]
    fn interleave_high(self, other: Self) -> Self {
        Self(neon!(vzip2q_u8(self.0, other.0)))
    }
}

impl From<Bits> for Octets {
    #[inline(always)]
    fn from(bits: Bits) -> Self {
        Self(neon!(vreinterpretq_u8_u64(bits.0)))
    }
}

impl From<Octets> for Bits {
    #[inline(always)]
    fn from(octets: Octets) -> Self {
        Self(neon!(vreinterpretq_u64_u8(octets.0)))
    }
}

impl Bytes for Octets {
    const LEN: usize = 16;

    #[inline(always)]
    fn load(blocks: &[u64]) -> Self {
        Bits::load(blocks).into()
    }

    #[inline(always)]
    fn store(self, blocks: &mut [u64]) {
        Bits::from(self).store(blocks);
    }

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        Self(neon!(vdupq_n_u8(byte)))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(neon!(veorq_u8(self.0, other.0)))
    }

    #[inline(always)]
    fn wired_sbox(self) -> Self {
        let [a, b, c, d] = std::array::from_fn(part);
        Self(neon!({
            // An index past a part leaves what the parts before have found.
            let quarter = vdupq_n_u8(64);
            let (second, mut found) = (vsubq_u8(self.0, quarter), vqtbl4q_u8(a, self.0));
            found = vqtbx4q_u8(found, b, second);
            let third = vsubq_u8(second, quarter);
            found = vqtbx4q_u8(found, c, third);
            vqtbx4q_u8(found, d, vsubq_u8(third, quarter))
        }))
    }

    #[inline(always)]
    fn unwire(self) -> Self {
        // SAFETY: only reached with NEON enabled; both rows are 16 bytes long.
        let (low, high) = unsafe { (vld1q_u8(UNWIRED[0].as_ptr()), vld1q_u8(UNWIRED[1].as_ptr())) };
        Self(neon!({
            let below = vqtbl1q_u8(low, vandq_u8(self.0, vdupq_n_u8(15)));
            vorrq_u8(below, vqtbl1q_u8(high, vshrq_n_u8::<4>(self.0)))
        }))
    }
}

/// A quarter of the S-box.
#[inline(always)]
fn part(n: usize) -> uint8x16x4_t {
    let quarter = &SBOX[64 * n..64 * (n + 1)];
    // SAFETY: only reached with NEON enabled; the slice is 64 bytes long.
    unsafe { vld1q_u8_x4(quarter.as_ptr()) }
}
