//! CRC-32/MPEG-2, the check at the end of long PSI/SI sections.
//!
//! ISO/IEC 13818-1 annex A: polynomial 0x04C11DB7, register set to ones, no reflection, no final inversion. A whole
//! section with its CRC_32 therefore gives zero. Who calls: `table`, before it believes a section, and whoever
//! builds sections.

use crc::{CRC_32_MPEG_2, Crc, Table};

// Sixteen lookup tables (16 KiB) instead of one: every section of a multiplex passes here.
static MPEG2: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_MPEG_2);

/// The CRC_32 of `bytes`.
pub fn mpeg2(bytes: &[u8]) -> u32 {
    MPEG2.checksum(bytes)
}

/// Whether a section that ends in its own CRC_32 arrived as it was sent. Fewer than 4 bytes never did.
pub fn is_intact(section: &[u8]) -> bool {
    section.len() >= 4 && mpeg2(section) == 0
}

/// Appends the CRC_32 of what `section` holds so far, big endian, which finishes a section.
pub fn append(section: &mut Vec<u8>) {
    let sum = mpeg2(section);
    section.extend_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(mpeg2(b"123456789"), 0x0376_E6E7);
        assert_eq!(mpeg2(b""), 0xFFFF_FFFF);
        // The PAT of a recorded stream.
        let pat = [0, 0xB0, 0x0D, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 0x04, 0xB2];
        assert!(is_intact(&pat));
        assert!(!is_intact(&pat[..15]));
        assert!(!is_intact(&[0, 0, 0]));
    }

    proptest! {
        #[test]
        fn what_is_appended_is_intact_until_a_bit_flips(
            mut section in proptest::collection::vec(any::<u8>(), 1..300),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            append(&mut section);
            prop_assert!(is_intact(&section));
            let at = at.index(section.len());
            section[at] ^= 1_u8 << bit;
            prop_assert!(!is_intact(&section));
        }
    }
}
