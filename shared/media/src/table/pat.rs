//! Programme association table: which programme has its map on which PID (ISO/IEC 13818-1 §2.4.4.3).
//!
//! One section of it; a large PAT has several.

use super::{LongSection, TableError};
use crate::packet::Pid;

const TABLE_ID: u8 = 0x00;

/// One section of a PAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pat {
    /// `transport_stream_id`.
    pub tsid: u16,
    /// `version_number`, 0 to 31.
    pub version: u8,
    /// Whether it is in force now, not announced for later.
    pub current: bool,
    /// PID of the NIT (programme number 0), where announced.
    pub network_pid: Option<Pid>,
    /// Programmes in the order of the section, at most 253.
    pub programmes: Vec<PatEntry>,
}

/// One programme of a PAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatEntry {
    /// `program_number`, in DVB the service id; never 0.
    pub number: u16,
    /// PID of its PMT.
    pub pmt_pid: Pid,
}

impl Pat {
    /// Reads a whole section and checks its CRC_32.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged or of another table.
    pub fn parse(section: &[u8]) -> Result<Self, TableError> {
        let long = LongSection::of(section, |id| id == TABLE_ID)?;
        let mut pat = Self {
            tsid: long.extension,
            version: long.version,
            current: long.current,
            network_pid: None,
            programmes: Vec::with_capacity(long.body.len() / 4),
        };
        for &[number_high, number_low, pid_high, pid_low] in long.body.as_chunks::<4>().0 {
            let pid = Pid::new(u16::from_be_bytes([pid_high, pid_low]));
            match u16::from_be_bytes([number_high, number_low]) {
                0 => pat.network_pid = Some(pid),
                number => pat.programmes.push(PatEntry { number, pmt_pid: pid }),
            }
        }
        Ok(pat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::compose;
    use proptest::prelude::*;

    #[test]
    fn recorded_section() {
        let section = [0, 0xB0, 0x0D, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 0x04, 0xB2];
        let want = Pat {
            tsid: 1,
            version: 0,
            current: true,
            network_pid: None,
            programmes: vec![PatEntry { number: 1, pmt_pid: Pid::new(0x1000) }],
        };
        assert_eq!(Pat::parse(&section), Ok(want));
    }

    #[test]
    fn network_pid_and_a_ragged_end() {
        let section = compose::section(0, 5, 3, (0, 0), &[0, 0, 0xE0, 0x10, 0x0D, 0x49, 0xE1, 0x02, 7, 7]);
        let pat = Pat::parse(&section).unwrap();
        assert_eq!(pat.network_pid, Some(Pid::NIT));
        assert_eq!(pat.programmes, [PatEntry { number: 0x0D49, pmt_pid: Pid::new(0x102) }]);
        let other = compose::section(2, 5, 3, (0, 0), &[]);
        assert_eq!(Pat::parse(&other), Err(TableError::OtherTable { table_id: 2 }));
    }

    proptest! {
        #[test]
        fn any_body_is_read(body in proptest::collection::vec(any::<u8>(), 0..1000)) {
            let pat = Pat::parse(&compose::section(0, 1, 0, (0, 0), &body)).unwrap();
            prop_assert!(pat.programmes.len() <= body.len() / 4);
            let _ = Pat::parse(&body);
        }
    }
}
