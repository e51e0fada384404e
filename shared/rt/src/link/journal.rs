//! The record format of the outbox journal: bytes in, records out. Pure.
//!
//! A record is `magic u16 | length u32 | id u64 | crc32c u32 | payload`, little endian; the CRC32C
//! (RFC 3720, appendix B.4) covers length, id and payload. A journal is read up to the first record that
//! is not whole: what follows is a torn tail, left by a kill or a power cut between two syncs.

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 18;
const MAGIC: u16 = 0x4A48;
/// The most bytes a payload may have: a message of the link.
pub(crate) const RECORD_PAYLOAD_MAX: usize = super::uplink::PAYLOAD_BYTES_MAX;

/// One record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) id: u64,
    pub(crate) payload: &'a [u8],
}

fn checksum(length: u32, id: u64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&length.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &id.to_le_bytes()), payload)
}

/// Writes one record behind what `into` holds; none when the payload is over [`RECORD_PAYLOAD_MAX`].
pub(crate) fn pack(id: u64, payload: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= RECORD_PAYLOAD_MAX)?;
    into.extend_from_slice(&MAGIC.to_le_bytes());
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&id.to_le_bytes());
    into.extend_from_slice(&checksum(length, id, payload).to_le_bytes());
    into.extend_from_slice(payload);
    Some(())
}

/// The first record of `bytes` and what follows it; none when it is torn or is no record.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (length, id) = (u32::from_le_bytes(*length), u64::from_le_bytes(*id));
    let size = usize::try_from(length).ok().filter(|size| *size <= RECORD_PAYLOAD_MAX)?;
    let (payload, rest) = rest.split_at_checked(size)?;
    let sound = u16::from_le_bytes(*magic) == MAGIC && u32::from_le_bytes(*crc) == checksum(length, id, payload);
    sound.then_some((Record { id, payload }, rest))
}

/// Every whole record from the start of `bytes`, and how many bytes they take.
pub(crate) fn scan(bytes: &[u8]) -> (Vec<Record<'_>>, usize) {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let Some((record, after)) = parse(rest) {
        records.push(record);
        rest = after;
    }
    (records, bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn journal(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, payload) in payloads.iter().enumerate() {
            pack(id as u64, payload, &mut bytes).expect("fits");
        }
        bytes
    }

    #[test]
    fn a_payload_over_the_limit_is_refused() {
        assert!(pack(1, &vec![0; RECORD_PAYLOAD_MAX + 1], &mut Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn packed_records_come_back(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..12)) {
            let bytes = journal(&payloads);
            let (records, used) = scan(&bytes);
            prop_assert_eq!(used, bytes.len());
            let got: Vec<Vec<u8>> = records.iter().map(|record| record.payload.to_vec()).collect();
            prop_assert_eq!(got, payloads);
        }

        #[test]
        fn a_cut_leaves_the_whole_records_before_it(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = journal(&payloads);
            let kept = cut.index(bytes.len());
            let (records, used) = scan(&bytes[..kept]);
            prop_assert!(used <= kept);
            for (index, record) in records.iter().enumerate() {
                prop_assert_eq!(record.id, index as u64);
                prop_assert_eq!(record.payload, payloads[index].as_slice());
            }
            let whole = payloads.iter().scan(0, |at, p| { *at += HEADER_BYTES + p.len(); Some(*at) });
            prop_assert_eq!(records.len(), whole.filter(|end| *end <= kept).count());
        }

        #[test]
        fn a_flipped_bit_is_never_taken_for_a_record(
            payload in prop::collection::vec(any::<u8>(), 0..60), bit in any::<prop::sample::Index>(),
        ) {
            let mut bytes = journal(&[payload]);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse(&bytes).is_none());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = scan(&bytes);
        }
    }
}
