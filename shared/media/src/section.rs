//! Reassembles PSI/SI sections from the packets of one PID.
//!
//! Sans-IO: payload bytes in, sections or [`Defect`]s out. No socket, no clock, no log line; the shell counts defects
//! and names the PID and the source. Framing is ISO/IEC 13818-1 §2.4.4. CRC_32, length limits and versions are
//! `table`'s job. Driven by whoever owns the PID: the service watch, the card's ECM reader.

use crate::continuity::{Counter, Verdict};
use crate::packet::{Packet, Scrambling};

const HEADER_BYTES: usize = 3;
const STUFFING: u8 = 0xFF;

/// The most bytes a section can claim: header and a 12-bit `section_length`.
pub const SECTION_BYTES_MAX: usize = HEADER_BYTES + 0xFFF;

/// Where finished work goes: a whole section, or the reason there is none.
pub type Emit<'a> = &'a mut dyn FnMut(Result<&[u8], Defect>);

/// Why bytes were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// A section should start in this packet, but the pointer leads out of it.
    #[error("pointer_field leads past the payload")]
    BadPointer,
    /// The next section began while this one still lacked bytes.
    #[error("section cut short at {have} of {want} bytes")]
    CutShort {
        /// Bytes that came.
        have: usize,
        /// Bytes that `section_length` announced.
        want: usize,
    },
}

/// The unfinished section of one PID: fewer than [`SECTION_BYTES_MAX`] bytes.
///
/// ```
/// use headend_media::section::SectionAssembler;
/// let mut assembler = SectionAssembler::default();
/// let mut sections = vec![];
/// assembler.push(&[0, 0x70, 0x70, 1, 0xAA, 0xFF], true, &mut |result| {
///     sections.extend(result.map(<[u8]>::to_vec));
/// });
/// assert_eq!(sections, [vec![0x70, 0x70, 1, 0xAA]]);
/// ```
#[derive(Debug, Default)]
pub struct SectionAssembler {
    partial: Vec<u8>,
}

impl SectionAssembler {
    /// Takes the next packet's payload and its `payload_unit_start_indicator`; calls `emit` for each whole section
    /// (header included) or defect, in stream order. The caller drops duplicate packets and calls [`Self::reset`] on
    /// a continuity gap.
    pub fn push(&mut self, payload: &[u8], unit_start: bool, emit: Emit<'_>) {
        let Some((tail, mut fresh)) = split_at_pointer(payload, unit_start) else {
            self.partial.clear();
            return emit(Err(Defect::BadPointer));
        };
        if !self.partial.is_empty() {
            self.take(tail, emit);
        }
        if unit_start && !self.partial.is_empty() {
            let (have, want) = (self.partial.len(), section_bytes(&self.partial));
            self.partial.clear();
            emit(Err(Defect::CutShort { have, want }));
        }
        // Several sections may follow one pointer; stuffing ends the packet.
        while fresh.first().is_some_and(|&table_id| table_id != STUFFING) {
            fresh = self.take(fresh, emit);
        }
    }

    /// Forgets the unfinished section, because packets were lost.
    pub fn reset(&mut self) {
        self.partial.clear();
    }

    /// Fills the current section and returns the bytes it did not need.
    fn take<'p>(&mut self, mut bytes: &'p [u8], emit: Emit<'_>) -> &'p [u8] {
        while !bytes.is_empty() {
            let missing = section_bytes(&self.partial) - self.partial.len();
            let (used, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(used);
            bytes = rest;
            if self.partial.len() == section_bytes(&self.partial) {
                emit(Ok(&self.partial));
                self.partial.clear();
                break;
            }
        }
        bytes
    }
}

/// One PID's packets to sections: drops repeats, and forgets the unfinished section where packets are missing.
#[derive(Debug, Default)]
pub struct SectionReader {
    counter: Counter,
    assembler: SectionAssembler,
}

impl SectionReader {
    /// Takes the next packet of the PID. Damaged and scrambled packets are as good as lost.
    pub fn push(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        if packet.tei() || packet.scrambling() != Scrambling::Clear {
            return self.assembler.reset();
        }
        match self.counter.judge(packet) {
            Verdict::Ok => {}
            Verdict::Duplicate | Verdict::Repeated => return,
            Verdict::Gap { .. } => self.assembler.reset(),
        }
        if packet.has_payload() {
            self.assembler.push(packet.payload(), packet.unit_start(), emit);
        }
    }
}

/// Bytes that finish the old section, and bytes that start new ones (§2.4.4.1).
fn split_at_pointer(payload: &[u8], unit_start: bool) -> Option<(&[u8], &[u8])> {
    if !unit_start {
        return Some((payload, &[]));
    }
    let (&pointer, body) = payload.split_first()?;
    let split = body.split_at_checked(usize::from(pointer))?;
    Some(split).filter(|(_, fresh)| !fresh.is_empty())
}

/// Section length in bytes, or the header's until the header is here.
fn section_bytes(partial: &[u8]) -> usize {
    match *partial {
        [_, high, low, ..] => HEADER_BYTES + usize::from(u16::from_be_bytes([high & 0x0F, low])),
        _ => HEADER_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds packets of `(payload, unit_start)` and compares what came out.
    fn check(packets: &[(&[u8], bool)], want: &[&str]) {
        let (mut assembler, mut got) = (SectionAssembler::default(), vec![]);
        for (payload, unit_start) in packets {
            assembler.push(payload, *unit_start, &mut |result| {
                got.push(match result {
                    Ok(section) => format!("{section:02x?}"),
                    Err(defect) => defect.to_string(),
                });
            });
        }
        assert_eq!(got, want);
    }

    #[test]
    fn two_sections_behind_one_pointer() {
        let packet = [0, 0x42, 0x70, 1, 0xAA, 0x4E, 0x70, 0, 0xFF, 0xFF];
        check(&[(&packet, true)], &["[42, 70, 01, aa]", "[4e, 70, 00]"]);
    }

    #[test]
    fn header_split_over_three_packets() {
        check(&[(&[0, 0x42], true), (&[0x70], false), (&[2, 1, 2, 0xFF], false)], &["[42, 70, 02, 01, 02]"]);
    }

    #[test]
    fn tail_before_the_pointer_ends_the_old_section() {
        check(
            &[(&[0, 0x42, 0x70, 3, 1], true), (&[2, 2, 3, 0x4E, 0x70, 0], true)],
            &["[42, 70, 03, 01, 02, 03]", "[4e, 70, 00]"],
        );
    }

    #[test]
    fn new_section_cuts_the_old_one_short() {
        check(
            &[(&[0, 0x42, 0x70, 5, 1], true), (&[0, 0x4E, 0x70, 0], true)],
            &["section cut short at 4 of 8 bytes", "[4e, 70, 00]"],
        );
    }

    #[test]
    fn pointers_that_lead_nowhere() {
        let bad = "pointer_field leads past the payload";
        check(&[(&[], true), (&[0], true), (&[4, 1, 2, 3], true), (&[3, 1, 2, 3], true)], &[bad, bad, bad, bad]);
        check(&[(&[1, 2, 3], false), (&[], false)], &[]);
    }

    #[test]
    fn a_reset_forgets_the_start() {
        let mut assembler = SectionAssembler::default();
        let emit: Emit<'_> = &mut |result| panic!("{result:?}");
        assembler.push(&[0, 0x42, 0x70, 2, 1], true, emit);
        assembler.reset();
        assembler.push(&[2], false, emit);
    }

    #[test]
    fn repeats_are_dropped_and_gaps_forget() {
        let packet = |counter: u8, start: u8, payload: &[u8]| {
            let mut bytes = [STUFFING; 188];
            bytes[..4].copy_from_slice(&[0x47, start, 0x11, 0x30 | counter]);
            bytes[4] = u8::try_from(183 - payload.len()).unwrap();
            bytes[5] = 0;
            bytes[188 - payload.len()..].copy_from_slice(payload);
            bytes
        };
        let read = |packets: &[[u8; 188]]| {
            let (mut reader, mut got) = (SectionReader::default(), vec![]);
            for bytes in packets {
                reader.push(&Packet::new(bytes).unwrap(), &mut |result| got.push(result.unwrap().to_vec()));
            }
            got
        };
        let (start, end) = (packet(1, 0x40, &[0, 0x42, 0x70, 2, 1]), packet(2, 0, &[2]));
        assert_eq!(read(&[start, start, end, end]), [[0x42, 0x70, 2, 1, 2]]);
        assert!(read(&[start, packet(3, 0, &[2])]).is_empty());
        assert!(read(&[start, packet(2, 0x80, &[2]), packet(3, 0, &[2])]).is_empty());
    }

    /// Packs sections back to back into payloads of `payload_bytes`, as a multiplexer does.
    fn pack(sections: &[Vec<u8>], payload_bytes: usize) -> Vec<(Vec<u8>, bool)> {
        let stream = sections.concat();
        let starts: Vec<usize> =
            sections.iter().scan(0, |at, section| Some(std::mem::replace(at, *at + section.len()))).collect();
        let (mut packets, mut at) = (vec![], 0);
        while at < stream.len() {
            let next = starts.iter().find(|&&start| start >= at).map(|start| start - at);
            // A start in reach costs a pointer byte; one that this would push out waits a packet.
            let pointer = next.filter(|&next| next < payload_bytes - 1);
            let short = usize::from(next.is_some_and(|next| next < payload_bytes));
            let end = stream.len().min(at + payload_bytes - short);
            let mut payload: Vec<u8> = pointer.map(|p| u8::try_from(p).unwrap()).into_iter().collect();
            payload.extend_from_slice(&stream[at..end]);
            if end == stream.len() {
                payload.resize(payload_bytes, STUFFING);
            }
            packets.push((payload, pointer.is_some()));
            at = end;
        }
        packets
    }

    fn section() -> impl Strategy<Value = Vec<u8>> {
        (0..0xFF_u8, 0..=4093_usize, any::<u8>()).prop_map(|(table_id, body, fill)| {
            let [high, low] = u16::try_from(body).unwrap().to_be_bytes();
            let mut section = vec![table_id, 0x70 | high, low];
            section.resize(3 + body, fill);
            section
        })
    }

    proptest! {
        #[test]
        fn packed_sections_come_back(sections in proptest::collection::vec(section(), 1..=12)) {
            let (mut assembler, mut got) = (SectionAssembler::default(), vec![]);
            for (payload, unit_start) in pack(&sections, 184) {
                assembler.push(&payload, unit_start, &mut |result| got.push(result.unwrap().to_vec()));
            }
            prop_assert_eq!(got, sections);
        }

        #[test]
        fn any_payloads_stay_bounded(
            packets in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..=184), any::<bool>()), 200),
        ) {
            let mut assembler = SectionAssembler::default();
            for (payload, unit_start) in packets {
                assembler.push(&payload, unit_start, &mut |result| {
                    assert!(result.map_or(0, <[u8]>::len) <= SECTION_BYTES_MAX);
                });
                prop_assert!(assembler.partial.len() < SECTION_BYTES_MAX);
            }
        }
    }
}
