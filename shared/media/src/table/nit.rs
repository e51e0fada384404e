//! Network information table: the network's name and its multiplexes (ETSI EN 300 468 §5.2.1).

use super::syntax::split_by_length;
use super::{LongSection, TableError};
use crate::descriptor::Descriptors;

const ACTUAL: u8 = 0x40;
const OTHER: u8 = 0x41;

/// One section of a NIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nit<'a> {
    /// Header: version and section numbers.
    pub header: LongSection<'a>,
    /// Whether it describes the network it is in.
    pub actual: bool,
    /// `network_id`.
    pub network_id: u16,
    /// Descriptors of the network, its name above all.
    pub descriptors: Descriptors<'a>,
    /// Multiplexes in the order of the section.
    pub multiplexes: Vec<NitMultiplex<'a>>,
}

/// One multiplex of a NIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NitMultiplex<'a> {
    /// `transport_stream_id`.
    pub tsid: u16,
    /// `original_network_id`.
    pub onid: u16,
    /// Its descriptors, the delivery system above all.
    pub descriptors: Descriptors<'a>,
}

impl<'a> Nit<'a> {
    /// Reads a whole section, of the actual or another network, and checks its CRC_32. A loop of a multiplex that
    /// leads out of the section ends it: the multiplexes before are good.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged or of another table.
    pub fn parse(section: &'a [u8]) -> Result<Self, TableError> {
        let header = LongSection::of(section, |id| id == ACTUAL || id == OTHER)?;
        let (descriptors, rest) = split_by_length(header.body).ok_or(header.truncated())?;
        // Multiplexers have sent a wrong length of the loop; what is there counts.
        let mut rest = rest.get(2..).ok_or(header.truncated())?;
        let mut multiplexes = vec![];
        while let Some((multiplex, behind)) = NitMultiplex::split(rest) {
            multiplexes.push(multiplex);
            rest = behind;
        }
        Ok(Self {
            header,
            actual: header.table_id == ACTUAL,
            network_id: header.extension,
            descriptors: Descriptors::new(descriptors),
            multiplexes,
        })
    }
}

impl<'a> NitMultiplex<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[tsid_high, tsid_low, onid_high, onid_low], rest) = bytes.split_first_chunk()?;
        let (descriptors, behind) = split_by_length(rest)?;
        let multiplex = Self {
            tsid: u16::from_be_bytes([tsid_high, tsid_low]),
            onid: u16::from_be_bytes([onid_high, onid_low]),
            descriptors: Descriptors::new(descriptors),
        };
        Some((multiplex, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::tag;
    use crate::table::compose;
    use proptest::prelude::*;

    #[test]
    fn name_and_multiplexes() {
        let name = compose::descriptor(tag::NETWORK_NAME, b"Rai");
        let multiplexes = [&[0, 5, 0x01, 0x3E][..], &compose::counted(&[0x5A, 0])].concat();
        let body = [compose::counted(&name), compose::counted(&multiplexes)].concat();
        let section = compose::section(ACTUAL, 0x3001, 0, (0, 0), &body);
        let nit = Nit::parse(&section).unwrap();
        assert_eq!((nit.actual, nit.network_id), (true, 0x3001));
        assert_eq!(nit.descriptors.find(tag::NETWORK_NAME), Some(&b"Rai"[..]));
        let got: Vec<_> = nit.multiplexes.iter().map(|m| (m.tsid, m.onid, m.descriptors.count())).collect();
        assert_eq!(got, [(5, 0x13E, 1)]);
    }

    #[test]
    fn lengths_that_lead_out() {
        for body in [&[][..], &[0xF0, 9, 1], &[0xF0, 0, 0xF0]] {
            assert!(Nit::parse(&compose::section(OTHER, 1, 0, (0, 0), body)).is_err(), "{body:02x?}");
        }
        let body = [0xF0, 0, 0xF0, 6, 0, 5, 0, 6, 0xF0, 9];
        assert!(Nit::parse(&compose::section(OTHER, 1, 0, (0, 0), &body)).unwrap().multiplexes.is_empty());
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..1000)) {
            let section = compose::section(ACTUAL, 1, 0, (0, 0), &body);
            let _ = (Nit::parse(&section), Nit::parse(&body));
        }
    }
}
