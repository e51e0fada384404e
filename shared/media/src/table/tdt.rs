//! Time and date table: what time it is, UTC (ETSI EN 300 468 §5.2.5).
//!
//! A short section of eight bytes with no CRC_32, so a damaged one is known only by its lengths and digits. Whoever
//! sets a clock by it looks at several.

use super::TableError;
use crate::time;

const TABLE_ID: u8 = 0x70;

/// A TDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tdt {
    /// `UTC_time`, whole seconds.
    pub utc: jiff::Timestamp,
}

impl Tdt {
    /// Reads a whole section.
    ///
    /// # Errors
    /// [`TableError`] when it is of another table, or its length or its time cannot be.
    pub fn parse(section: &[u8]) -> Result<Self, TableError> {
        let truncated = TableError::Truncated { bytes: section.len() };
        match *section {
            [TABLE_ID, 0x00..=0x7F, 5, a, b, c, d, e] => {
                time::from_mjd_bcd([a, b, c, d, e]).map(|utc| Self { utc }).ok_or(truncated)
            }
            [TABLE_ID, ..] | [] => Err(truncated),
            [table_id, ..] => Err(TableError::OtherTable { table_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(section: &[u8], want: Option<&str>) {
        assert_eq!(Tdt::parse(section).ok().map(|tdt| tdt.utc.to_string()).as_deref(), want, "{section:02x?}");
    }

    #[test]
    fn times() {
        check(&[0x70, 0x70, 5, 0xC0, 0x79, 0x12, 0x45, 0x00], Some("1993-10-13T12:45:00Z"));
        check(&[0x70, 0x70, 5, 0xC0, 0x79, 0x12, 0x75, 0x00], None);
        check(&[0x70, 0x70, 5, 0xC0, 0x79, 0x12, 0x45], None);
        check(&[0x70, 0x70, 6, 0xC0, 0x79, 0x12, 0x45, 0x00], None);
        check(&[0x73, 0x70, 5, 0xC0, 0x79, 0x12, 0x45, 0x00], None);
        check(&[], None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = Tdt::parse(&bytes);
        }
    }
}
