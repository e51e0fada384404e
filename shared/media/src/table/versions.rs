//! Which sections of which tables were had, by `version_number` and `section_number`.
//!
//! ISO/IEC 13818-1 §2.4.4.11 and ETSI EN 300 468 §5.1: a table may be spread over 256 sections, which come again and
//! again until their version changes. A table is told apart by its id, its extension, and for SDT and EIT of other
//! multiplexes the ids in the body, which the caller gives as `scope`. Contents are the caller's to keep.

use std::collections::BTreeMap;

use super::LongSection;

/// Tables told apart at most; a guide of many multiplexes has a few thousand. Beyond that nothing is new any more.
const TABLES_MAX: usize = 16_384;

/// What a section is to those who saw the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Seen before, or not in force yet, or one table too many: nothing to do.
    Known,
    /// New in a version that goes on; `complete` when it was the last one missing.
    Fresh {
        /// Whether all sections from 0 to the last have been seen now.
        complete: bool,
    },
    /// The first section of a version: what was kept of the table before is void.
    Restarted {
        /// Whether it is also the only one.
        complete: bool,
    },
}

impl Arrival {
    /// Whether the table is whole with this section and was not before.
    pub fn completes(self) -> bool {
        matches!(self, Self::Fresh { complete: true } | Self::Restarted { complete: true })
    }
}

/// Memory of sections, for any number of tables up to a bound.
#[derive(Debug, Default)]
pub struct Versions {
    tables: BTreeMap<(u8, u16, u32), Seen>,
}

#[derive(Debug)]
struct Seen {
    version: u8,
    last_number: u8,
    /// CRC_32 of a table of one section.
    crc: Option<u32>,
    numbers: [u64; 4],
}

impl Versions {
    /// Notes the arrival of a section. `scope` tells tables apart whose id and extension are equal; 0 if none are.
    pub fn note(&mut self, section: &LongSection<'_>, scope: u32) -> Arrival {
        let key = (section.table_id, section.extension, scope);
        if !section.current || (self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&key)) {
            return Arrival::Known;
        }
        let mut restarted = false;
        let seen = self.tables.entry(key).or_insert_with(|| {
            restarted = true;
            Seen::new(section)
        });
        if !seen.is_version_of(section) {
            restarted = true;
            *seen = Seen::new(section);
        }
        if !seen.add(section.number) {
            return Arrival::Known;
        }
        let complete = seen.is_complete();
        if restarted { Arrival::Restarted { complete } } else { Arrival::Fresh { complete } }
    }

    /// Forgets one table, whatever its scope, so that its next section is new.
    pub fn forget(&mut self, table_id: u8, extension: u16) {
        self.tables.retain(|key, _| (key.0, key.1) != (table_id, extension));
    }

    /// Forgets everything, as after a change of multiplex.
    pub fn clear(&mut self) {
        self.tables.clear();
    }
}

impl Seen {
    fn new(section: &LongSection<'_>) -> Self {
        Self {
            version: section.version,
            last_number: section.last_number,
            crc: (section.last_number == 0).then_some(section.crc),
            numbers: [0; 4],
        }
    }

    /// Whether the section goes on with this version. Neither the number of sections nor the content of the only one
    /// may change within a version, but some multiplexers forget to change it, and recordings played in a loop too.
    fn is_version_of(&self, section: &LongSection<'_>) -> bool {
        (self.version, self.last_number) == (section.version, section.last_number)
            && self.crc.is_none_or(|crc| crc == section.crc)
    }

    fn add(&mut self, number: u8) -> bool {
        let word = &mut self.numbers[usize::from(number / 64)];
        let bit = 1 << (number % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn is_complete(&self) -> bool {
        (0..=self.last_number).all(|number| self.numbers[usize::from(number / 64)] >> (number % 64) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section(version: u8, number: u8, last_number: u8) -> LongSection<'static> {
        LongSection { table_id: 0x42, extension: 1, version, current: true, number, last_number, body: &[], crc: 0 }
    }

    fn check(sections: &[LongSection<'_>], want: &[Arrival]) {
        let mut versions = Versions::default();
        let got: Vec<_> = sections.iter().map(|section| versions.note(section, 0)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn sections_of_one_table() {
        use Arrival::{Fresh, Known, Restarted};
        let (part, whole) = (Restarted { complete: false }, Restarted { complete: true });
        check(&[section(3, 0, 0), section(3, 0, 0), section(4, 0, 0)], &[whole, Known, whole]);
        check(
            &[section(3, 1, 2), section(3, 0, 2), section(3, 1, 2), section(3, 2, 2)],
            &[part, Fresh { complete: false }, Known, Fresh { complete: true }],
        );
        // The version changes half way; then the last number without it.
        check(&[section(3, 1, 1), section(4, 1, 1), section(4, 0, 1)], &[part, part, Fresh { complete: true }]);
        check(&[section(3, 0, 0), section(3, 1, 1)], &[whole, part]);
        check(&[LongSection { current: false, ..section(3, 0, 0) }], &[Known]);
    }

    #[test]
    fn other_content_under_the_same_version() {
        let whole = Arrival::Restarted { complete: true };
        let other = LongSection { crc: 7, ..section(3, 0, 0) };
        check(&[section(3, 0, 0), other, other], &[whole, whole, Arrival::Known]);
    }

    #[test]
    fn tables_do_not_mix() {
        let mut versions = Versions::default();
        let other = LongSection { extension: 2, ..section(1, 0, 0) };
        for scope in 0..2 {
            assert!(versions.note(&section(1, 0, 0), scope).completes());
            assert!(versions.note(&other, scope).completes());
        }
        versions.forget(0x42, 2);
        assert!(versions.note(&other, 1).completes());
        versions.clear();
        assert!(versions.note(&other, 0).completes());
    }

    #[test]
    fn the_count_of_tables_is_bounded() {
        let mut versions = Versions::default();
        for scope in 0..u32::try_from(TABLES_MAX).unwrap() {
            assert!(versions.note(&section(1, 0, 0), scope).completes());
        }
        assert_eq!(versions.note(&section(1, 0, 0), u32::MAX), Arrival::Known);
        assert!(versions.note(&section(2, 0, 0), 0).completes());
    }

    proptest! {
        #[test]
        fn every_section_is_fresh_once(last in any::<u8>(), start in any::<u8>()) {
            let mut versions = Versions::default();
            let total = u16::from(last) + 1;
            for step in 0..total {
                let number = u8::try_from((step + u16::from(start)) % total).unwrap();
                let arrival = versions.note(&section(9, number, last), 0);
                prop_assert_eq!(arrival.completes(), step == u16::from(last));
                prop_assert_eq!(versions.note(&section(9, number, last), 0), Arrival::Known);
            }
        }
    }
}
