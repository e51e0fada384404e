//! A bounded bit reader over header bytes, and the removal of emulation prevention.
//!
//! Reads big-endian bit fields and Exp-Golomb codes (ISO/IEC 14496-10 §9.1, same in 23008-2 §9.2). Reading past the end
//! is [`Defect::CutShort`], never a panic. The codec files of this room drive it.

/// Why a header could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The bytes end before the field does.
    #[error("header cut short")]
    CutShort,
    /// An Exp-Golomb code of more than 32 leading zeros.
    #[error("exp-golomb code too long")]
    LongCode,
    /// No sync word where a frame should begin.
    #[error("no sync word")]
    NoSync,
    /// A field holds a value the standard reserves or forbids.
    #[error("{field} out of range")]
    OutOfRange {
        /// The syntax element, in the standard's spelling.
        field: &'static str,
    },
}

/// Reads bits of a byte slice from the most significant on.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits consumed.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `bytes`.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, 0 to 32.
    ///
    /// # Errors
    /// [`Defect::CutShort`] past the end.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, Defect> {
        debug_assert!(count <= 32, "a field has at most 32 bits");
        (0..count).try_fold(0, |value, _| Ok(value << 1 | u32::from(self.flag()?)))
    }

    /// The next `count` bits of a field of at most 8 bits.
    ///
    /// # Errors
    /// [`Defect::CutShort`] past the end.
    pub(crate) fn byte(&mut self, count: u32) -> Result<u8, Defect> {
        debug_assert!(count <= 8, "a byte has at most 8 bits");
        self.bits(count).map(|value| value.to_be_bytes()[3])
    }

    /// The next bit.
    ///
    /// # Errors
    /// [`Defect::CutShort`] past the end.
    pub(crate) fn flag(&mut self) -> Result<bool, Defect> {
        let byte = self.bytes.get(self.at / 8).ok_or(Defect::CutShort)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// Passes over `count` bits.
    ///
    /// # Errors
    /// [`Defect::CutShort`] when fewer remain.
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Defect> {
        let at = self.at.saturating_add(count);
        if at > self.bytes.len() * 8 {
            return Err(Defect::CutShort);
        }
        self.at = at;
        Ok(())
    }

    /// An unsigned Exp-Golomb code, `ue(v)`.
    ///
    /// # Errors
    /// [`Defect::CutShort`] past the end, [`Defect::LongCode`] for a value beyond 32 bits.
    pub(crate) fn ue(&mut self) -> Result<u32, Defect> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Defect::LongCode);
            }
        }
        let tail = self.bits(zeros)?;
        Ok((1_u32 << zeros) - 1 + tail)
    }

    /// An unsigned Exp-Golomb code that may be at most `max`; `field` names it in the defect.
    ///
    /// # Errors
    /// As [`Self::ue`], and [`Defect::OutOfRange`] above `max`.
    pub(crate) fn ue_max(&mut self, field: &'static str, max: u32) -> Result<u32, Defect> {
        let value = self.ue()?;
        if value > max { Err(Defect::OutOfRange { field }) } else { Ok(value) }
    }

    /// A signed Exp-Golomb code, `se(v)`.
    ///
    /// # Errors
    /// As [`Self::ue`].
    pub(crate) fn se(&mut self) -> Result<i32, Defect> {
        let code = i64::from(self.ue()?);
        let half = (code + 1) / 2;
        let value = if code % 2 == 1 { half } else { -half };
        i32::try_from(value).map_err(|_| Defect::LongCode)
    }
}

/// A NAL unit's bytes without `emulation_prevention_three_byte` (ISO/IEC 14496-10 §7.3.1, 23008-2 §7.3.1.1).
#[must_use]
pub(crate) fn without_emulation(escaped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut zeros = 0;
    for &byte in escaped {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// `numerator / denominator` in lowest terms, or `None` when either is zero.
pub(crate) fn ratio(numerator: u64, denominator: u64) -> Option<(u32, u32)> {
    if numerator == 0 || denominator == 0 {
        return None;
    }
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some((u32::try_from(numerator / a).ok()?, u32::try_from(denominator / a).ok()?))
}

/// Writes bit fields, so that the tests of this room read like the syntax tables.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Bits(Vec<bool>);

#[cfg(test)]
impl Bits {
    pub(crate) fn u(mut self, count: u32, value: u32) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    pub(crate) fn ue(self, value: u32) -> Self {
        let bits = (value + 1).ilog2();
        self.u(bits, 0).u(bits + 1, value + 1)
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().fold(0, |all, bit| all << 1 | u8::from(*bit)) << (8 - bits.len());
        self.0.chunks(8).map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn golomb_codes_of_the_standards_table() {
        // 1 | 010 | 011 | 00100 | 00111 and one bit of stuffing.
        let bytes = [0b1010_0110, 0b0100_0011, 0b1000_0000];
        let mut reader = BitReader::new(&bytes);
        let codes: Vec<_> = (0..5).map(|_| reader.ue().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 6]);
        let mut reader = BitReader::new(&bytes);
        let codes: Vec<_> = (0..5).map(|_| reader.se().unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -3]);
    }

    #[test]
    fn defects() {
        assert_eq!(BitReader::new(&[0xFF]).bits(9), Err(Defect::CutShort));
        assert_eq!(BitReader::new(&[0; 8]).ue(), Err(Defect::LongCode));
        assert_eq!(BitReader::new(&[0, 0]).ue(), Err(Defect::CutShort));
        assert_eq!(BitReader::new(&[0]).skip(9), Err(Defect::CutShort));
        assert_eq!(BitReader::new(&[0b0010_0000]).ue_max("x", 2), Err(Defect::OutOfRange { field: "x" }));
    }

    #[test]
    fn emulation_prevention_goes() {
        assert_eq!(without_emulation(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(without_emulation(&[0, 3, 0, 3]), [0, 3, 0, 3]);
    }

    proptest! {
        #[test]
        fn golomb_codes_written_are_read_back(values in prop::collection::vec(0..u32::MAX - 1, 0..20)) {
            let written = values.iter().fold(Bits::default(), |bits, value| bits.ue(*value)).bytes();
            let mut reader = BitReader::new(&written);
            for value in values {
                assert_eq!(reader.ue(), Ok(value));
            }
        }
    }

    #[test]
    fn ratios() {
        assert_eq!(ratio(60_000, 1_001), Some((60_000, 1_001)));
        assert_eq!(ratio(90_000, 3_600), Some((25, 1)));
        assert_eq!(ratio(25, 0), None);
        assert_eq!(ratio(u64::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn a_number_written_in_bits_is_read_back(value in any::<u32>(), offset in 0_u32..8) {
            let wide = u64::from(value) << (32 - offset);
            let bytes = wide.to_be_bytes();
            let mut reader = BitReader::new(&bytes);
            reader.skip(offset as usize).unwrap();
            assert_eq!(reader.bits(32).unwrap(), value);
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = BitReader::new(&bytes);
            while reader.ue().and_then(|_| reader.se()).is_ok() {}
            assert!(without_emulation(&bytes).len() <= bytes.len());
        }
    }
}
