//! Event information table: programmes of a service, now and next or scheduled (ETSI EN 300 468 §5.2.4).
//!
//! Sections of a schedule come in segments of three hours with gaps in their numbers, so a schedule is never
//! "complete"; each section stands for itself.

use super::syntax::split_by_length;
use super::{LongSection, TableError};
use crate::descriptor::Descriptors;
use crate::time;

/// One section of an EIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eit<'a> {
    /// Header: version and section numbers.
    pub header: LongSection<'a>,
    /// Whether it describes the multiplex it is in (0x4E, 0x50 to 0x5F), not another (0x4F, 0x60 to 0x6F).
    pub actual: bool,
    /// Whether it is now (section 0) and next (section 1), not the schedule.
    pub present_following: bool,
    /// `service_id`.
    pub service: u16,
    /// `transport_stream_id`.
    pub tsid: u16,
    /// `original_network_id`.
    pub onid: u16,
    /// Events in the order of the section.
    pub events: Vec<EitEvent<'a>>,
}

/// One event of an EIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EitEvent<'a> {
    /// `event_id`, unique within the service.
    pub id: u16,
    /// Start, UTC; `None` when undefined (an NVOD reference) or no time.
    pub start: Option<jiff::Timestamp>,
    /// Duration in seconds; `None` when undefined or no time.
    pub duration_secs: Option<u32>,
    /// `running_status` (table 6): 4 is running.
    pub running_status: u8,
    /// `free_CA_mode`: at least one stream may be scrambled.
    pub scrambled: bool,
    /// Its descriptors: titles, descriptions, genres, ages.
    pub descriptors: Descriptors<'a>,
}

impl<'a> Eit<'a> {
    /// Reads a whole section of any EIT and checks its CRC_32. A loop that leads out of the section ends it: the
    /// events before are good.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged or of another table.
    pub fn parse(section: &'a [u8]) -> Result<Self, TableError> {
        let header = LongSection::of(section, |id| matches!(id, 0x4E..=0x6F))?;
        let (&[tsid_high, tsid_low, onid_high, onid_low, _, _], mut rest) =
            header.body.split_first_chunk().ok_or(header.truncated())?;
        let mut events = vec![];
        while let Some((event, behind)) = EitEvent::split(rest) {
            events.push(event);
            rest = behind;
        }
        Ok(Self {
            header,
            actual: matches!(header.table_id, 0x4E | 0x50..=0x5F),
            present_following: matches!(header.table_id, 0x4E | 0x4F),
            service: header.extension,
            tsid: u16::from_be_bytes([tsid_high, tsid_low]),
            onid: u16::from_be_bytes([onid_high, onid_low]),
            events,
        })
    }
}

impl<'a> EitEvent<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[id_high, id_low, a, b, c, d, e, hours, minutes, secs], rest) = bytes.split_first_chunk()?;
        let status = *rest.first()?;
        let (descriptors, behind) = split_by_length(rest)?;
        let event = Self {
            id: u16::from_be_bytes([id_high, id_low]),
            start: time::from_mjd_bcd([a, b, c, d, e]),
            duration_secs: time::duration_secs([hours, minutes, secs]),
            running_status: status >> 5,
            scrambled: status & 0x10 != 0,
            descriptors: Descriptors::new(descriptors),
        };
        Some((event, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::{self, tag};
    use crate::table::compose;
    use proptest::prelude::*;

    fn body(start: &[u8; 5], duration: &[u8; 3]) -> Vec<u8> {
        let mut counted = compose::counted(&compose::descriptor(tag::SHORT_EVENT, b"fra\x02JT\0"));
        counted[0] = 0x80;
        [&[0, 5, 0x01, 0x3E, 0, 0x4E, 0, 7][..], start, duration, &counted].concat()
    }

    #[test]
    fn present_event() {
        let body = body(&[0xC0, 0x79, 0x12, 0x45, 0x00], &[0x01, 0x45, 0x30]);
        let section = compose::section(0x4E, 257, 4, (0, 1), &body);
        let eit = Eit::parse(&section).unwrap();
        assert_eq!((eit.actual, eit.present_following, eit.service), (true, true, 257));
        assert_eq!((eit.tsid, eit.onid, eit.header.number), (5, 0x13E, 0));
        let event = eit.events[0];
        assert_eq!((event.id, event.duration_secs, event.running_status), (7, Some(6330), 4));
        assert_eq!(event.start.unwrap().to_string(), "1993-10-13T12:45:00Z");
        let short = descriptor::short_event(event.descriptors.find(tag::SHORT_EVENT).unwrap()).unwrap();
        assert_eq!(short.title, b"JT");
    }

    #[test]
    fn undefined_times_and_other_tables() {
        let section = compose::section(0x60, 257, 4, (8, 8), &body(&[0xFF; 5], &[0xFF; 3]));
        let eit = Eit::parse(&section).unwrap();
        assert_eq!((eit.actual, eit.present_following), (false, false));
        assert_eq!((eit.events[0].start, eit.events[0].duration_secs), (None, None));
        let other = compose::section(0x72, 1, 0, (0, 0), &[]);
        assert_eq!(Eit::parse(&other), Err(TableError::OtherTable { table_id: 0x72 }));
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 6..2000)) {
            let section = compose::section(0x50, 1, 0, (0, 0), &body);
            prop_assert!(Eit::parse(&section).unwrap().events.len() <= body.len() / 12);
            let _ = Eit::parse(&body);
        }
    }
}
