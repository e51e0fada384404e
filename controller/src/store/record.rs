//! How a record lies in an engine that keeps plain bytes, and how the whole is summed up.
//!
//! A record is a format byte, a CRC32C, the version and the value. The checksum covers key,
//! version and value, so that a value that turns up under another key is damage as well.
//! The [`Tally`] is the number of records and a sum over them all, kept up to date with
//! each commit and compared with a full read at start: a record that silently disappeared
//! changes it. Both are against accidents, not against an attacker.

use super::engine::{Version, Versioned};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 4 + 8;

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// Fewer bytes than a record's head.
    #[error("cut short at {have} bytes")]
    CutShort { have: usize },
    /// A format byte of another release.
    #[error("format {format} is not {FORMAT}, which this release writes")]
    Format { format: u8 },
    /// Key, version and value do not give the checksum.
    #[error("checksum does not match")]
    Checksum,
}

/// The bytes an engine keeps for `kept` under `key`.
pub(crate) fn encode(key: &[u8], kept: &Versioned) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + kept.bytes.len());
    out.push(FORMAT);
    out.extend_from_slice(&checksum(key, kept.version, &kept.bytes).to_be_bytes());
    out.extend_from_slice(&kept.version.0.to_be_bytes());
    out.extend_from_slice(&kept.bytes);
    out
}

/// Reads back what [`encode`] wrote for `key`.
pub(crate) fn decode(key: &[u8], raw: &[u8]) -> Result<Versioned, Damage> {
    let cut = Damage::CutShort { have: raw.len() };
    let (&[format], rest) = raw.split_first_chunk::<1>().ok_or(cut.clone())?;
    if format != FORMAT {
        return Err(Damage::Format { format });
    }
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or(cut.clone())?;
    let (version, bytes) = rest.split_first_chunk::<8>().ok_or(cut)?;
    let version = Version(u64::from_be_bytes(*version));
    if checksum(key, version, bytes) != u32::from_be_bytes(*crc) {
        return Err(Damage::Checksum);
    }
    Ok(Versioned { version, bytes: bytes.to_vec() })
}

fn checksum(key: &[u8], version: Version, bytes: &[u8]) -> u32 {
    // The length in front keeps key and value apart.
    let crc = crc32c::crc32c(&(key.len() as u64).to_be_bytes());
    let crc = crc32c::crc32c_append(crc, key);
    let crc = crc32c::crc32c_append(crc, &version.0.to_be_bytes());
    crc32c::crc32c_append(crc, bytes)
}

/// All records in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// The newest commit.
    pub(crate) commit: u64,
    /// How many records there are.
    pub(crate) records: u64,
    /// Sum of a mixed hash of each record; the order does not matter.
    pub(crate) sum: u64,
}

impl Tally {
    /// Counts a record in.
    pub(crate) fn add(&mut self, key: &[u8], kept: &Versioned) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(mixed(key, kept));
    }

    /// Counts a record out.
    pub(crate) fn take(&mut self, key: &[u8], kept: &Versioned) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(mixed(key, kept));
    }

    /// The tally as 24 bytes.
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut out = [0; 24];
        for (place, number) in out.chunks_exact_mut(8).zip([self.commit, self.records, self.sum]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    /// Reads back [`Self::to_bytes`]; nothing for any other length.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let [commit, records, sum] = *numbers else {
            return None;
        };
        Some(Self {
            commit: u64::from_be_bytes(commit),
            records: u64::from_be_bytes(records),
            sum: u64::from_be_bytes(sum),
        })
    }
}

/// A 64-bit hash of a record: its checksum and version, spread by the splitmix64 finaliser
/// so that sums of related checksums do not cancel.
fn mixed(key: &[u8], kept: &Versioned) -> u64 {
    let crc = u64::from(checksum(key, kept.version, &kept.bytes));
    let mut x = crc ^ kept.version.0.rotate_left(32) ^ 0x9E37_79B9_7F4A_7C15;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(version: u64, bytes: &[u8]) -> Versioned {
        Versioned { version: Version(version), bytes: bytes.to_vec() }
    }

    #[test]
    fn damage_is_named() {
        let raw = encode(b"k", &kept(7, b"value"));
        assert_eq!(decode(b"k", &raw), Ok(kept(7, b"value")));
        assert_eq!(decode(b"other", &raw), Err(Damage::Checksum));
        assert_eq!(decode(b"k", &raw[..12]), Err(Damage::CutShort { have: 12 }));
        assert_eq!(decode(b"k", b"\x02"), Err(Damage::Format { format: 2 }));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_seen(
            key in prop::collection::vec(any::<u8>(), 0..20),
            value in prop::collection::vec(any::<u8>(), 0..60),
            version: u64,
            place: prop::sample::Index,
            bit in 0..8_u32,
        ) {
            let mut raw = encode(&key, &kept(version, &value));
            prop_assert_eq!(decode(&key, &raw), Ok(kept(version, &value)));
            let place = place.index(raw.len());
            raw[place] ^= 1_u8 << bit;
            prop_assert!(decode(&key, &raw).is_err());
        }

        #[test]
        fn any_bytes_are_a_record_or_damage(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(kept) = decode(b"k", &raw) {
                prop_assert_eq!(encode(b"k", &kept), raw);
            }
        }

        #[test]
        fn tally_forgets_what_is_taken(a: u64, b: u64, value: Vec<u8>) {
            let mut tally = Tally { commit: 3, ..Tally::default() };
            tally.add(b"a", &kept(a, &value));
            tally.add(b"b", &kept(b, &value));
            tally.take(b"a", &kept(a, &value));
            tally.take(b"b", &kept(b, &value));
            prop_assert_eq!(tally, Tally { commit: 3, ..Tally::default() });
            prop_assert_eq!(Tally::from_bytes(&tally.to_bytes()), Some(tally));
        }
    }
}
