//! The part all long sections share, and what can be wrong with a section (ISO/IEC 13818-1 §2.4.4.10).
//!
//! Checks the announced length against the bytes, then the CRC_32, and hands the middle to the table's own reader.

use crate::crc;

const HEADER_BYTES: usize = 8;
const CRC_BYTES: usize = 4;

/// Why a section was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It ends before its fixed fields do, or `section_length` disagrees with the bytes.
    #[error("section of {bytes} bytes does not hold what its lengths announce")]
    Truncated {
        /// Bytes that were there.
        bytes: usize,
    },
    /// CRC_32 does not match.
    #[error("section of table 0x{table_id:02x} fails its CRC")]
    BadCrc {
        /// What the damaged section claims to be.
        table_id: u8,
    },
    /// Another table shares the PID.
    #[error("section is of table 0x{table_id:02x}, not of the one asked for")]
    OtherTable {
        /// What the section claims to be.
        table_id: u8,
    },
}

/// A section with `section_syntax_indicator` set whose CRC_32 is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongSection<'a> {
    /// `table_id`.
    pub table_id: u8,
    /// `table_id_extension`: transport stream id, programme number, network id, service id.
    pub extension: u16,
    /// `version_number`, 0 to 31.
    pub version: u8,
    /// `current_next_indicator`: whether the table is in force now.
    pub current: bool,
    /// `section_number`.
    pub number: u8,
    /// `last_section_number`.
    pub last_number: u8,
    /// What lies between the header and the CRC_32.
    pub body: &'a [u8],
    /// The CRC_32 itself, which tells contents apart.
    pub crc: u32,
}

impl<'a> LongSection<'a> {
    /// Reads a whole section, from `table_id` to CRC_32.
    ///
    /// # Errors
    /// [`TableError::Truncated`] and [`TableError::BadCrc`]; a short section counts as truncated.
    pub fn parse(section: &'a [u8]) -> Result<Self, TableError> {
        let truncated = TableError::Truncated { bytes: section.len() };
        let &[table_id, high, low, ext_high, ext_low, version, number, last_number, ..] = section else {
            return Err(truncated);
        };
        let claimed = 3 + usize::from(u16::from_be_bytes([high & 0x0F, low]));
        if claimed != section.len() || claimed < HEADER_BYTES + CRC_BYTES || high & 0x80 == 0 {
            return Err(truncated);
        }
        if !crc::is_intact(section) {
            return Err(TableError::BadCrc { table_id });
        }
        Ok(Self {
            table_id,
            extension: u16::from_be_bytes([ext_high, ext_low]),
            version: version >> 1 & 0x1F,
            current: version & 1 != 0,
            number,
            last_number,
            body: &section[HEADER_BYTES..section.len() - CRC_BYTES],
            crc: section.last_chunk().map_or(0, |crc| u32::from_be_bytes(*crc)),
        })
    }

    /// The same, refusing tables whose id `wanted` does not accept.
    ///
    /// # Errors
    /// Those of [`Self::parse`], and [`TableError::OtherTable`].
    pub fn of(section: &'a [u8], wanted: impl Fn(u8) -> bool) -> Result<Self, TableError> {
        // Looked at first: the CRC of a table nobody asked for is nobody's business.
        if let Some(&table_id) = section.first().filter(|&&table_id| !wanted(table_id)) {
            return Err(TableError::OtherTable { table_id });
        }
        Self::parse(section)
    }

    /// The defect of a body whose inner lengths lead out of it.
    pub(crate) fn truncated(&self) -> TableError {
        TableError::Truncated { bytes: HEADER_BYTES + self.body.len() + CRC_BYTES }
    }
}

/// Splits what a 12-bit length at the start of `bytes` counts from what follows it.
pub(crate) fn split_by_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, low], behind) = bytes.split_first_chunk::<2>()?;
    behind.split_at_checked(usize::from(u16::from_be_bytes([high & 0x0F, low])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::compose;
    use proptest::prelude::*;

    #[test]
    fn header_fields() {
        let section = compose::section(0x46, 0x1234, 31, (2, 5), &[9, 8]);
        let read = LongSection::parse(&section).unwrap();
        assert_eq!((read.table_id, read.extension, read.version, read.current), (0x46, 0x1234, 31, true));
        assert_eq!((read.number, read.last_number, read.body), (2, 5, &[9, 8][..]));
    }

    #[test]
    fn what_is_refused() {
        let good = compose::section(0x46, 1, 0, (0, 0), &[1, 2, 3]);
        let mut damaged = good.clone();
        damaged[9] ^= 1;
        assert_eq!(LongSection::parse(&damaged), Err(TableError::BadCrc { table_id: 0x46 }));
        assert_eq!(LongSection::parse(&good[..14]), Err(TableError::Truncated { bytes: 14 }));
        assert_eq!(LongSection::parse(&[]), Err(TableError::Truncated { bytes: 0 }));
        assert_eq!(LongSection::of(&good, |id| id == 0x42), Err(TableError::OtherTable { table_id: 0x46 }));
        // A TDT is a short section.
        assert!(LongSection::parse(&[0x70, 0x70, 5, 0xC0, 0x79, 0x12, 0x45, 0]).is_err());
    }

    proptest! {
        #[test]
        fn composed_sections_come_back(
            (table_id, extension, version) in (0..0xFF_u8, any::<u16>(), 0..32_u8),
            numbers in any::<(u8, u8)>(),
            body in proptest::collection::vec(any::<u8>(), 0..1000),
        ) {
            let section = compose::section(table_id, extension, version, numbers, &body);
            let want = LongSection {
                table_id, extension, version, current: true, number: numbers.0, last_number: numbers.1, body: &body, crc: u32::from_be_bytes(*section.last_chunk().unwrap()),
            };
            prop_assert_eq!(LongSection::parse(&section), Ok(want));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = LongSection::parse(&bytes);
        }
    }
}
