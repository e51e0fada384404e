//! The seven S-boxes of the stream cipher as circuits of AND, OR, XOR and AND NOT.
//!
//! Found by our own randomised search over the tables in `tables.rs` (for each S-box both outputs together, splitting on
//! one input at a time and sharing every gate made so far), 116 gates in all; the tests below hold every circuit against
//! its table.

use crate::lane::Lane;
use crate::tables::STREAM_TAPS;

/// All seven, from the A chain's registers 1 to 10 to the low and high bit of each S-box.
#[inline(always)]
pub(crate) fn stream_sboxes<L: Lane>(chain: &[[L; 4]; 11]) -> [[L; 2]; 7] {
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
fn sbox1<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let ones = L::splat(u64::MAX);
    let n1 = b.xor(d);
    let n2 = n1.xor(c);
    let n3 = b.xor(ones);
    let n4 = n3.or(d);
    let n5 = n4.without(a);
    let n6 = n2.xor(n5);
    let n7 = n1.xor(n6);
    let n8 = b.and(n2);
    let n9 = a.and(n8);
    let n10 = n7.xor(n9);
    let n11 = e.or(n10);
    let n12 = n6.xor(n11);
    let n13 = n12.without(n1);
    let n14 = n6.without(e);
    let n15 = n14.or(n13);
    let n16 = n2.without(d);
    let n17 = n16.or(n15);
    [n12, n17]
}

#[inline(always)]
fn sbox2<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let ones = L::splat(u64::MAX);
    let n1 = ones.without(d);
    let n2 = a.or(n1);
    let n3 = b.xor(n2);
    let n4 = n1.xor(n3);
    let n5 = n4.and(a);
    let n6 = c.or(n5);
    let n7 = n3.xor(n6);
    let n8 = c.xor(n5);
    let n9 = n8.without(d);
    let n10 = e.or(n9);
    let n11 = n7.xor(n10);
    let n12 = a.or(n7);
    let n13 = n12.xor(n4);
    let n14 = b.and(n12);
    let n15 = n14.xor(n8);
    let n16 = e.and(n15);
    let n17 = n13.xor(n16);
    [n17, n11]
}

#[inline(always)]
fn sbox3<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let ones = L::splat(u64::MAX);
    let n1 = a.xor(d);
    let n2 = n1.xor(b);
    let n3 = c.xor(d);
    let n4 = e.and(n3);
    let n5 = n2.xor(n4);
    let n6 = d.or(n2);
    let n7 = n6.xor(e);
    let n8 = n1.or(n7);
    let n9 = b.or(n8);
    let n10 = n7.xor(n9);
    let n11 = n4.or(n8);
    let n12 = n11.xor(ones);
    let n13 = c.or(n12);
    let n14 = n10.xor(n13);
    [n5, n14]
}

#[inline(always)]
fn sbox4<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let ones = L::splat(u64::MAX);
    let n1 = c.without(b);
    let n2 = n1.xor(e);
    let n3 = ones.without(e);
    let n4 = n3.or(b);
    let n5 = n4.without(d);
    let n6 = n2.xor(n5);
    let n7 = d.without(n6);
    let n8 = n7.or(c);
    let n9 = n2.without(d);
    let n10 = b.or(n9);
    let n11 = n8.xor(n10);
    let n12 = a.or(n11);
    let n13 = n6.xor(n12);
    let n14 = a.xor(n13);
    let n15 = n14.xor(n11);
    [n15, n13]
}

#[inline(always)]
fn sbox5<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let ones = L::splat(u64::MAX);
    let n1 = ones.without(b);
    let n2 = e.without(a);
    let n3 = n1.xor(n2);
    let n4 = a.without(e);
    let n5 = n1.without(n4);
    let n6 = d.or(n5);
    let n7 = n3.xor(n6);
    let n8 = d.xor(n5);
    let n9 = n4.or(n8);
    let n10 = n9.without(e);
    let n11 = n8.xor(n10);
    let n12 = c.or(n11);
    let n13 = n7.xor(n12);
    let n14 = d.or(n3);
    let n15 = n14.and(n9);
    let n16 = n6.without(a);
    let n17 = n16.xor(n10);
    let n18 = c.and(n17);
    let n19 = n15.xor(n18);
    [n13, n19]
}

#[inline(always)]
fn sbox6<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = d.xor(e);
    let n2 = d.without(a);
    let n3 = n2.and(c);
    let n4 = n3.or(n1);
    let n5 = c.xor(n1);
    let n6 = n5.or(n2);
    let n7 = e.without(d);
    let n8 = n6.xor(n7);
    let n9 = n8.without(b);
    let n10 = n4.xor(n9);
    let n11 = a.or(n7);
    let n12 = n11.xor(n5);
    let n13 = a.xor(n1);
    let n14 = e.or(n12);
    let n15 = n13.xor(n14);
    let n16 = n15.without(b);
    let n17 = n12.xor(n16);
    [n10, n17]
}

#[inline(always)]
fn sbox7<L: Lane>([a, b, c, d, e]: [L; 5]) -> [L; 2] {
    let n1 = a.xor(d);
    let n2 = n1.xor(b);
    let n3 = n2.without(b);
    let n4 = e.without(n3);
    let n5 = a.or(n4);
    let n6 = n2.xor(n5);
    let n7 = e.xor(n2);
    let n8 = n7.or(n1);
    let n9 = a.and(n8);
    let n10 = c.xor(n9);
    let n11 = c.and(n10);
    let n12 = n6.xor(n11);
    let n13 = c.without(b);
    let n14 = n13.xor(n2);
    let n15 = d.without(n10);
    let n16 = e.or(n15);
    let n17 = n14.xor(n16);
    [n17, n12]
}

/// Runs S-boxes over all 32 inputs at once, one in each bit, and compares them with the tables.
#[cfg(test)]
pub(crate) fn check_against_tables<L: Lane>(sboxes: impl Fn(&[[L; 4]; 11]) -> [[L; 2]; 7]) {
    for (n, taps) in STREAM_TAPS.iter().enumerate() {
        let mut chain = [[L::splat(0); 4]; 11];
        for (input, &(register, bit)) in taps.iter().enumerate() {
            let ones = (0..32u64).filter(|index| index >> (4 - input) & 1 == 1).fold(0, |sum, index| sum | 1 << index);
            chain[register][bit] = L::splat(ones);
        }
        let [low, high] = sboxes(&chain)[n].map(|vector| {
            let mut words = vec![0; L::WORDS];
            vector.store(&mut words);
            words[L::WORDS - 1]
        });
        for (index, want) in crate::tables::STREAM_SBOXES[n].into_iter().enumerate() {
            let got = (high >> index & 1) << 1 | low >> index & 1;
            assert_eq!(got, u64::from(want), "S-box {} at {index}", n + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn circuits_are_their_tables() {
        super::check_against_tables::<u64>(super::stream_sboxes);
    }
}
