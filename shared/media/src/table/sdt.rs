//! Service description table: names and states of a multiplex's services (ETSI EN 300 468 §5.2.3).

use super::syntax::split_by_length;
use super::{LongSection, TableError};
use crate::descriptor::Descriptors;

const ACTUAL: u8 = 0x42;
const OTHER: u8 = 0x46;

/// One section of an SDT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdt<'a> {
    /// Header: version and section numbers.
    pub header: LongSection<'a>,
    /// Whether it describes the multiplex it is in.
    pub actual: bool,
    /// `transport_stream_id` of the multiplex it describes.
    pub tsid: u16,
    /// `original_network_id`.
    pub onid: u16,
    /// Services in the order of the section.
    pub services: Vec<SdtService<'a>>,
}

/// One service of an SDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdtService<'a> {
    /// `service_id`.
    pub id: u16,
    /// `EIT_schedule_flag`: a schedule is sent in this multiplex.
    pub has_schedule: bool,
    /// `EIT_present_following_flag`: now and next are sent in this multiplex.
    pub has_present_following: bool,
    /// `running_status` (table 6): 4 is running.
    pub running_status: u8,
    /// `free_CA_mode`: at least one stream may be scrambled.
    pub scrambled: bool,
    /// Its descriptors, the service_descriptor above all.
    pub descriptors: Descriptors<'a>,
}

impl<'a> Sdt<'a> {
    /// Reads a whole section, of the actual or another multiplex, and checks its CRC_32. A loop that leads out of the
    /// section ends it: the services before are good.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged or of another table.
    pub fn parse(section: &'a [u8]) -> Result<Self, TableError> {
        let header = LongSection::of(section, |id| id == ACTUAL || id == OTHER)?;
        let (&[onid_high, onid_low, _], mut rest) = header.body.split_first_chunk().ok_or(header.truncated())?;
        let mut services = vec![];
        while let Some((service, behind)) = SdtService::split(rest) {
            services.push(service);
            rest = behind;
        }
        Ok(Self {
            header,
            actual: header.table_id == ACTUAL,
            tsid: header.extension,
            onid: u16::from_be_bytes([onid_high, onid_low]),
            services,
        })
    }
}

impl<'a> SdtService<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[id_high, id_low, flags], rest) = bytes.split_first_chunk()?;
        let status = *rest.first()?;
        let (descriptors, behind) = split_by_length(rest)?;
        let service = Self {
            id: u16::from_be_bytes([id_high, id_low]),
            has_schedule: flags & 2 != 0,
            has_present_following: flags & 1 != 0,
            running_status: status >> 5,
            scrambled: status & 0x10 != 0,
            descriptors: Descriptors::new(descriptors),
        };
        Some((service, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::{self, tag};
    use crate::table::compose;
    use proptest::prelude::*;

    fn body(status: u8, descriptors: &[u8]) -> Vec<u8> {
        let mut counted = compose::counted(descriptors);
        counted[0] = status | counted[0] & 0x0F;
        [&[0x01, 0x3E, 0xFF, 0x0D, 0x49, 0xFD][..], &counted].concat()
    }

    #[test]
    fn services() {
        let names = compose::descriptor(tag::SERVICE, b"\x01\x03Rai\x05Rai 1");
        let section = compose::section(ACTUAL, 5, 26, (0, 0), &body(0x90, &names));
        let sdt = Sdt::parse(&section).unwrap();
        assert_eq!((sdt.actual, sdt.tsid, sdt.onid, sdt.header.version), (true, 5, 0x13E, 26));
        let service = sdt.services[0];
        assert_eq!((service.id, service.has_schedule, service.has_present_following), (0x0D49, false, true));
        assert_eq!((service.running_status, service.scrambled), (4, true));
        let names = descriptor::service(service.descriptors.find(tag::SERVICE).unwrap()).unwrap();
        assert_eq!(names.name, b"Rai 1");
        let other = compose::section(OTHER, 6, 1, (0, 0), &body(0x80, &[]));
        assert!(!Sdt::parse(&other).unwrap().actual);
    }

    #[test]
    fn ends_where_a_length_leads_out() {
        let mut bytes = [body(0x80, &[]), body(0x80, &[0x48, 0])[3..].to_vec()].concat();
        bytes.truncate(bytes.len() - 1);
        let section = compose::section(ACTUAL, 5, 0, (0, 0), &bytes);
        assert_eq!(Sdt::parse(&section).unwrap().services.len(), 1);
        let section = compose::section(ACTUAL, 5, 0, (0, 0), &[1, 2]);
        assert!(Sdt::parse(&section).is_err());
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 3..1000)) {
            let section = compose::section(OTHER, 1, 0, (0, 0), &body);
            prop_assert!(Sdt::parse(&section).unwrap().services.len() <= body.len() / 5);
            let _ = Sdt::parse(&body);
        }
    }
}
