//! Conditional access table: where the EMMs of each system are (ISO/IEC 13818-1 §2.4.4.5).

use super::{LongSection, TableError};
use crate::descriptor::{CaDescriptor, Descriptors, ca, tag};

const TABLE_ID: u8 = 0x01;

/// One section of a CAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cat<'a> {
    /// Header: version and section numbers.
    pub header: LongSection<'a>,
    /// Its descriptors, CA_descriptors above all.
    pub descriptors: Descriptors<'a>,
}

impl<'a> Cat<'a> {
    /// Reads a whole section and checks its CRC_32.
    ///
    /// # Errors
    /// [`TableError`] when it is damaged or of another table.
    pub fn parse(section: &'a [u8]) -> Result<Self, TableError> {
        let header = LongSection::of(section, |id| id == TABLE_ID)?;
        Ok(Self { header, descriptors: Descriptors::new(header.body) })
    }

    /// The systems and their EMM PIDs.
    pub fn systems(&self) -> impl Iterator<Item = CaDescriptor<'a>> + use<'a> {
        self.descriptors.all(tag::CA).filter_map(ca)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::compose;
    use proptest::prelude::*;

    #[test]
    fn systems() {
        let body = compose::descriptor(tag::CA, &[0x01, 0x00, 0xE0, 0xB0]);
        let section = compose::section(1, 0xFFFF, 2, (0, 0), &body);
        let systems: Vec<_> = Cat::parse(&section).unwrap().systems().map(|ca| (ca.system, ca.pid.value())).collect();
        assert_eq!(systems, [(0x0100, 0xB0)]);
    }

    proptest! {
        #[test]
        fn any_body_is_read(body in proptest::collection::vec(any::<u8>(), 0..1000)) {
            let section = compose::section(1, 1, 0, (0, 0), &body);
            prop_assert!(Cat::parse(&section).unwrap().systems().count() <= body.len() / 6);
            let _ = Cat::parse(&body);
        }
    }
}
