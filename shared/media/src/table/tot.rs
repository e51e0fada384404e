//! Time offset table: what time it is, UTC, and what local clocks add (ETSI EN 300 468 §5.2.6 and §6.2.20).
//!
//! A section without version and numbers, yet with a CRC_32.

use super::TableError;
use super::syntax::split_by_length;
use crate::crc;
use crate::descriptor::{Descriptors, Language};
use crate::time;

const TABLE_ID: u8 = 0x73;
const LOCAL_TIME_OFFSET: u8 = 0x58;

/// A TOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tot {
    /// `UTC_time`, whole seconds.
    pub utc: jiff::Timestamp,
    /// Offsets of countries and their regions.
    pub offsets: Vec<LocalOffset>,
}

/// What a region's clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalOffset {
    /// Country of ISO 3166, three letters.
    pub country: Language,
    /// `country_region_id`, 0 where the country is one.
    pub region: u8,
    /// Minutes that local time is ahead of UTC, negative west of Greenwich.
    pub minutes: i16,
    /// When the offset changes next, if announced.
    pub change_at: Option<jiff::Timestamp>,
    /// Minutes ahead of UTC after the change.
    pub minutes_next: i16,
}

impl Tot {
    /// Reads a whole section and checks its CRC_32. Offsets that make no sense are left out.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged, of another table, or its time cannot be.
    pub fn parse(section: &[u8]) -> Result<Self, TableError> {
        let truncated = TableError::Truncated { bytes: section.len() };
        let &[table_id, high, low, a, b, c, d, e, ref rest @ ..] = section else {
            return Err(truncated);
        };
        if table_id != TABLE_ID {
            return Err(TableError::OtherTable { table_id });
        }
        if 3 + usize::from(u16::from_be_bytes([high & 0x0F, low])) != section.len() {
            return Err(truncated);
        }
        if !crc::is_intact(section) {
            return Err(TableError::BadCrc { table_id });
        }
        let utc = time::from_mjd_bcd([a, b, c, d, e]).ok_or(truncated)?;
        let (descriptors, _) = split_by_length(rest).ok_or(truncated)?;
        let bodies = Descriptors::new(descriptors).all(LOCAL_TIME_OFFSET);
        Ok(Self { utc, offsets: bodies.flat_map(|body| body.as_chunks::<13>().0).filter_map(offset).collect() })
    }
}

fn offset(bytes: &[u8; 13]) -> Option<LocalOffset> {
    let &[c1, c2, c3, flags, h1, m1, t1, t2, t3, t4, t5, h2, m2] = bytes;
    let minutes = |hours, minutes| {
        let secs = time::duration_secs([hours, minutes, 0])?;
        let minutes = i16::try_from(secs / 60).ok()?;
        Some(if flags & 1 != 0 { -minutes } else { minutes })
    };
    Some(LocalOffset {
        country: Language::new([c1, c2, c3])?,
        region: flags >> 2,
        minutes: minutes(h1, m1)?,
        change_at: time::from_mjd_bcd([t1, t2, t3, t4, t5]),
        minutes_next: minutes(h2, m2)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::compose;
    use proptest::prelude::*;

    fn section(body: &[u8]) -> Vec<u8> {
        let mut section = vec![TABLE_ID, 0x70, u8::try_from(body.len() + 4).unwrap()];
        section.extend_from_slice(body);
        crc::append(&mut section);
        section
    }

    #[test]
    fn time_and_offset() {
        let local = [&b"MTQ\x03\x04\x00"[..], &[0xC0, 0x79, 0x12, 0x45, 0x00], b"\x03\x30"].concat();
        let loops = compose::counted(&compose::descriptor(LOCAL_TIME_OFFSET, &local));
        let whole = section(&[&[0xC0, 0x79, 0x12, 0x45, 0x00][..], &loops].concat());
        let tot = Tot::parse(&whole).unwrap();
        assert_eq!(tot.utc.to_string(), "1993-10-13T12:45:00Z");
        let offset = tot.offsets[0];
        assert_eq!((offset.country.as_str(), offset.region), ("MTQ", 0));
        assert_eq!((offset.minutes, offset.minutes_next, offset.change_at), (-240, -210, Some(tot.utc)));
        let mut damaged = whole.clone();
        damaged[5] ^= 1;
        assert_eq!(Tot::parse(&damaged), Err(TableError::BadCrc { table_id: TABLE_ID }));
        assert!(Tot::parse(&whole[..12]).is_err());
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Tot::parse(&section(&body)), Tot::parse(&body));
        }
    }
}
