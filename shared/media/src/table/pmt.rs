//! Programme map table: the streams of one programme (ISO/IEC 13818-1 §2.4.4.8).
//!
//! Borrows descriptors from the section. What a stream is, from its stream_type and descriptors together, is
//! `service`'s judgement.

use super::syntax::split_by_length;
use super::{LongSection, TableError};
use crate::descriptor::Descriptors;
use crate::packet::Pid;

const TABLE_ID: u8 = 0x02;

/// A PMT; it always fits into one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pmt<'a> {
    /// `program_number`, in DVB the service id.
    pub programme: u16,
    /// `version_number`, 0 to 31.
    pub version: u8,
    /// Whether it is in force now, not announced for later.
    pub current: bool,
    /// PID that carries the PCR; [`Pid::NULL`] when none does.
    pub pcr_pid: Pid,
    /// Descriptors of the whole programme.
    pub descriptors: Descriptors<'a>,
    /// Elementary streams in the order of the section, at most 202.
    pub streams: Vec<PmtStream<'a>>,
}

/// One elementary stream of a PMT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PmtStream<'a> {
    /// `stream_type` (table 2-34).
    pub stream_type: u8,
    /// `elementary_PID`.
    pub pid: Pid,
    /// `ES_info` descriptors.
    pub descriptors: Descriptors<'a>,
}

impl<'a> Pmt<'a> {
    /// Reads a whole section and checks its CRC_32.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged, of another table, or its loops lead out of it: a map with half its streams
    /// would make receivers drop the other half.
    pub fn parse(section: &'a [u8]) -> Result<Self, TableError> {
        let long = LongSection::of(section, |id| id == TABLE_ID)?;
        let (&[pcr_high, pcr_low], behind) = long.body.split_first_chunk().ok_or(long.truncated())?;
        let (programme_loop, mut rest) = split_by_length(behind).ok_or(long.truncated())?;
        let mut streams = vec![];
        while let Some((&[stream_type, pid_high, pid_low], behind)) = rest.split_first_chunk() {
            let (es_loop, next) = split_by_length(behind).ok_or(long.truncated())?;
            let pid = Pid::new(u16::from_be_bytes([pid_high, pid_low]));
            streams.push(PmtStream { stream_type, pid, descriptors: Descriptors::new(es_loop) });
            rest = next;
        }
        Ok(Self {
            programme: long.extension,
            version: long.version,
            current: long.current,
            pcr_pid: Pid::new(u16::from_be_bytes([pcr_high, pcr_low])),
            descriptors: Descriptors::new(programme_loop),
            streams,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::tag;
    use crate::table::compose;
    use proptest::prelude::*;

    #[test]
    fn recorded_section() {
        // Programme 1: AAC on 0x64, H.264 on 0x65, no PCR announced.
        let section = [
            0x02, 0xB0, 0x17, 0x00, 0x01, 0xC1, 0x00, 0x00, 0xFF, 0xFF, 0xF0, 0x00, 0x04, 0xE0, 0x64, 0xF0, 0x00, 0x1B,
            0xE0, 0x65, 0xF0, 0x00, 0x7E, 0x32, 0x5D, 0xE2,
        ];
        let pmt = Pmt::parse(&section).unwrap();
        assert_eq!((pmt.programme, pmt.version, pmt.current, pmt.pcr_pid), (1, 0, true, Pid::NULL));
        let streams: Vec<_> = pmt.streams.iter().map(|s| (s.stream_type, s.pid.value())).collect();
        assert_eq!(streams, [(4, 0x64), (0x1B, 0x65)]);
    }

    #[test]
    fn descriptors_of_programme_and_stream() {
        let ca = compose::descriptor(tag::CA, &[1, 0, 0xE1, 0]);
        let language = compose::descriptor(tag::LANGUAGE, b"fra\0");
        let body = [&[0xE1, 0x00][..], &compose::counted(&ca), &[0x0F, 0xE1, 0x01], &compose::counted(&language)];
        let section = compose::section(2, 7, 1, (0, 0), &body.concat());
        let pmt = Pmt::parse(&section).unwrap();
        assert_eq!(pmt.descriptors.find(tag::CA), Some(&[1, 0, 0xE1, 0][..]));
        assert_eq!(pmt.streams[0].descriptors.find(tag::LANGUAGE), Some(&b"fra\0"[..]));
    }

    #[test]
    fn loops_that_lead_out_are_refused() {
        for body in [&[][..], &[0xE1], &[0xE1, 0, 0xF0, 9, 1], &[0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 1]] {
            let section = compose::section(2, 7, 1, (0, 0), body);
            assert_eq!(Pmt::parse(&section), Err(TableError::Truncated { bytes: section.len() }), "{body:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..1000)) {
            let section = compose::section(2, 1, 0, (0, 0), &body);
            if let Ok(pmt) = Pmt::parse(&section) {
                prop_assert!(pmt.streams.len() <= body.len() / 5);
            }
            let _ = Pmt::parse(&body);
        }
    }
}
