//! The seven S-boxes of the stream cipher as circuits of three-input gates, each one instruction of AVX-512.
//!
//! Found by our own randomised search over the tables in `tables.rs`, 57 gates in all; the test below holds every circuit
//! against its table. A gate's number is its truth table: bit `4x + 2y + z` for inputs `x`, `y` and `z`.

use crate::lane::Lane;
use crate::tables::STREAM_TAPS;

/// A vector with gates of three inputs.
pub(super) trait Lut: Lane {
    /// Bit `4a + 2b + c` of `TABLE`.
    fn lut<const TABLE: i32>(a: Self, b: Self, c: Self) -> Self;
}

/// All seven, from the A chain's registers 1 to 10 to the low and high bit of each S-box.
#[inline(always)]
pub(super) fn stream_sboxes<L: Lut>(chain: &[[L; 4]; 11]) -> [[L; 2]; 7] {
    let inputs = |n: usize| STREAM_TAPS[n].map(|(register, bit)| chain[register][bit]);
    [
        sbox1(inputs(0)),
        sbox2(inputs(1)),
        sbox3(inputs(2)),
        sbox4(inputs(3)),
        sbox5(inputs(4)),
        sbox6(inputs(5)),
        sbox7(inputs(6)),
    ]
}

#[inline(always)]
fn sbox1<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x12>(a, d, e);
    let n2 = L::lut::<0x67>(n1, b, c);
    let n3 = L::lut::<0x2C>(a, c, n2);
    let n4 = L::lut::<0x94>(n3, b, e);
    let n5 = L::lut::<0xCA>(d, n4, n2);
    let n6 = L::lut::<0x78>(d, e, n3);
    let n7 = L::lut::<0x4D>(n2, n4, n6);
    let n8 = L::lut::<0xCA>(b, n7, n6);
    [n8, n5]
}

#[inline(always)]
fn sbox2<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x35>(a, b, c);
    let n2 = L::lut::<0xBE>(n1, d, e);
    let n3 = L::lut::<0x86>(a, b, c);
    let n4 = L::lut::<0x35>(a, c, d);
    let n5 = L::lut::<0xCA>(b, n3, n4);
    let n6 = L::lut::<0xCA>(e, n5, n2);
    let n7 = L::lut::<0x38>(d, e, n4);
    let n8 = L::lut::<0xA6>(n7, n2, n3);
    [n6, n8]
}

#[inline(always)]
fn sbox3<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x1B>(c, d, e);
    let n2 = L::lut::<0x69>(n1, a, b);
    let n3 = L::lut::<0x61>(a, b, e);
    let n4 = L::lut::<0x38>(n3, d, n1);
    let n5 = L::lut::<0x27>(b, d, n2);
    let n6 = L::lut::<0x79>(n5, e, n4);
    let n7 = L::lut::<0xCA>(c, n6, n4);
    [n2, n7]
}

#[inline(always)]
fn sbox4<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x94>(b, d, e);
    let n2 = L::lut::<0xA5>(b, e, n1);
    let n3 = L::lut::<0xCA>(c, n1, n2);
    let n4 = L::lut::<0x29>(c, d, n1);
    let n5 = L::lut::<0x78>(n4, e, n2);
    let n6 = L::lut::<0xCA>(a, n5, n3);
    let n7 = L::lut::<0x3A>(a, n3, n5);
    [n6, n7]
}

#[inline(always)]
fn sbox5<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x87>(a, b, e);
    let n2 = L::lut::<0xDC>(a, b, e);
    let n3 = L::lut::<0xCA>(c, n1, n2);
    let n4 = L::lut::<0x06>(d, e, n1);
    let n5 = L::lut::<0x36>(n4, b, n3);
    let n6 = L::lut::<0xCA>(d, n3, n5);
    let n7 = L::lut::<0x4B>(c, d, n6);
    let n8 = L::lut::<0x1E>(n7, n4, n5);
    let n9 = L::lut::<0x1E>(n1, n6, n7);
    let n10 = L::lut::<0xCA>(e, n9, n8);
    [n10, n6]
}

#[inline(always)]
fn sbox6<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x08>(a, b, c);
    let n2 = L::lut::<0xE6>(n1, d, e);
    let n3 = L::lut::<0x2E>(a, d, n2);
    let n4 = L::lut::<0x2C>(n3, c, e);
    let n5 = L::lut::<0xCA>(b, n2, n4);
    let n6 = L::lut::<0x15>(b, c, e);
    let n7 = L::lut::<0x69>(n6, a, d);
    let n8 = L::lut::<0x36>(b, n4, n7);
    let n9 = L::lut::<0xCA>(e, n8, n7);
    [n5, n9]
}

#[inline(always)]
fn sbox7<L: Lut>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = L::lut::<0x61>(b, d, e);
    let n2 = L::lut::<0x65>(n1, a, c);
    let n3 = L::lut::<0x8C>(c, d, e);
    let n4 = L::lut::<0x6F>(d, n2, n3);
    let n5 = L::lut::<0xCA>(b, n4, n3);
    let n6 = L::lut::<0xCA>(a, n5, n2);
    let n7 = L::lut::<0x58>(c, d, n5);
    let n8 = L::lut::<0x69>(n7, a, n1);
    [n8, n6]
}

#[cfg(test)]
mod tests {
    use super::super::{Avx512, Vector};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,gfni")]
    fn check() {
        crate::gates::check_against_tables::<Vector>(super::stream_sboxes);
    }

    #[test]
    fn circuits_are_their_tables() {
        if Avx512::detect().is_some() {
            // SAFETY: the set was detected.
            unsafe { check() }
        }
    }
}
