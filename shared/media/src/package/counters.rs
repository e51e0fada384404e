//! Continuity counters that need no memory: every segment carries a multiple of sixteen payload packets per PID.
//!
//! Counters start at 0 in each segment and end at 15, so they are a function of the segment alone and yet never break
//! where two segments meet (docs/adr/0005). The packets that are missing for sixteen are made by splitting the last ones
//! of the PID: each extra packet carries one byte behind adaptation field stuffing, so the elementary stream's bytes stay
//! as they are. ISO/IEC 13818-1 §2.4.3.3: the counter counts packets with payload only. `packager` drives it.

use super::psi::{self, Tables};
use crate::packet::{PACKET_BYTES, Packet, Pid, SYNC_BYTE};
use crate::pes::PesHeader;

/// A removed packet: its PID was overwritten with this one, and it is not written out.
pub(crate) const REMOVED: Pid = Pid::NULL;

const PAYLOAD_BYTES: usize = PACKET_BYTES - 4;
/// PIDs from [`psi::PCR_PID`] on, up to the last that a track can have; then PAT and PMT.
const TRACK_SLOTS: usize = 0x60;
const SLOTS: usize = TRACK_SLOTS + 2;

/// Where counts of an output PID are kept; `None` for what is not written out.
fn slot_of(pid: Pid) -> Option<usize> {
    match pid {
        Pid::PAT => Some(TRACK_SLOTS),
        psi::PMT_PID => Some(TRACK_SLOTS + 1),
        _ => pid.index().checked_sub(psi::PCR_PID.index()).filter(|slot| *slot < TRACK_SLOTS),
    }
}

/// Counts the packets of every output PID.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    /// The counter of the last packet; a fresh table says 15, which is what the segment before ended with.
    last: [u8; SLOTS],
}

impl Default for Counters {
    fn default() -> Self {
        Self { last: [15; SLOTS] }
    }
}

impl Counters {
    /// Writes the counter into a packet that already has its output PID.
    pub(crate) fn number(&mut self, packet: &mut [u8]) {
        let pid = Pid::new(u16::from_be_bytes([packet[1], packet[2]]));
        let Some(slot) = slot_of(pid) else { return };
        if packet[3] & 0x10 != 0 {
            self.last[slot] = (self.last[slot] + 1) & 0x0F;
        }
        packet[3] = (packet[3] & 0xF0) | self.last[slot];
    }

    /// Appends a numbered copy of `packets`, leaving out removed ones.
    pub(crate) fn append(&mut self, packets: &[u8], out: &mut Vec<u8>) {
        for packet in packets.chunks_exact(PACKET_BYTES) {
            if pid_of(packet) == REMOVED {
                continue;
            }
            let at = out.len();
            out.extend_from_slice(packet);
            self.number(&mut out[at..]);
        }
    }
}

/// A segment on its way: mapped packets, and where the tables go between them.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Whole packets with output PIDs and times; counters are not set.
    pub(crate) packets: Vec<u8>,
    /// Offsets into `packets` before which PAT and PMT are repeated, ascending; the start of the segment is not listed.
    pub(crate) marks: Vec<usize>,
}

impl Draft {
    /// Starts anew, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Drops the packets from offset `bytes` on.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.packets.truncate(bytes);
        self.marks.retain(|mark| *mark < bytes);
    }

    /// Writes the segment: tables first and at each mark, counters from 0 to 15 for every PID. Gives the bytes and how
    /// many packets were left out because their PID had fewer payload bytes than packets to make.
    pub(crate) fn write(&self, tables: &Tables) -> (Vec<u8>, u64) {
        let (splits, lost) = self.splits();
        let extra: usize = splits.iter().map(|(_, pieces)| usize::from(*pieces)).sum();
        let copies = (self.marks.len() + 1).next_multiple_of(16);
        let room = self.packets.len() + extra * PACKET_BYTES + copies * tables.packets().len();
        let (mut out, mut counters, mut left_out) = (Vec::with_capacity(room), Counters::default(), 0);
        counters.append(tables.packets(), &mut out);
        let (mut marks, mut splits) = (self.marks.iter().peekable(), splits.iter().peekable());
        for (index, packet) in self.packets.chunks_exact(PACKET_BYTES).enumerate() {
            if marks.next_if(|mark| **mark <= index * PACKET_BYTES).is_some() {
                counters.append(tables.packets(), &mut out);
            }
            let pieces = splits.next_if(|(at, _)| *at == index).map_or(0, |(_, pieces)| *pieces);
            if slot_of(pid_of(packet)).is_some_and(|slot| lost[slot]) {
                left_out += 1;
            } else if pieces > 0 {
                append_split(packet, usize::from(pieces), &mut counters, &mut out);
            } else {
                counters.append(packet, &mut out);
            }
        }
        for _ in self.marks.len() + 1 - marks.len()..copies {
            counters.append(tables.packets(), &mut out);
        }
        (out, left_out)
    }

    /// Which packets give how many one-byte packets each, by ascending index, and which PIDs cannot be brought to a
    /// multiple of sixteen. PES headers are split only when nothing else is left to split.
    fn splits(&self) -> (Vec<(usize, u8)>, [bool; SLOTS]) {
        let mut missing = [0_u8; SLOTS];
        for packet in self.packets.chunks_exact(PACKET_BYTES).filter(|packet| packet[3] & 0x10 != 0) {
            if let Some(slot) = slot_of(pid_of(packet)) {
                missing[slot] = missing[slot].wrapping_sub(1) & 0x0F;
            }
        }
        let mut splits: Vec<(usize, u8)> = vec![];
        for spare in [spare_behind_header, spare_of_header] {
            let packets = self.packets.chunks_exact(PACKET_BYTES).enumerate().rev();
            for (index, packet) in packets {
                if missing.iter().all(|count| *count == 0) {
                    break;
                }
                let Some(slot) = slot_of(pid_of(packet)).filter(|slot| missing[*slot] > 0) else { continue };
                let pieces = missing[slot].min(u8::try_from(spare(packet)).expect("under 184"));
                missing[slot] -= pieces;
                if pieces > 0 {
                    splits.push((index, pieces));
                }
            }
        }
        splits.sort_unstable();
        // A packet split in both rounds is one entry; at most 15 pieces a PID, so the sum fits.
        splits.dedup_by(|later, first| {
            later.0 == first.0 && {
                first.1 += later.1;
                true
            }
        });
        (splits, missing.map(|count| count > 0))
    }
}

fn pid_of(packet: &[u8]) -> Pid {
    Pid::new(u16::from_be_bytes([packet[1], packet[2]]))
}

/// Payload bytes that can be moved to packets of their own without cutting a PES header.
fn spare_behind_header(packet: &[u8]) -> usize {
    let Some(packet) = Packet::from_slice(packet) else { return 0 };
    packet.payload().len().saturating_sub(header_bytes(&packet).max(1))
}

/// Bytes of a PES header that can be moved besides.
fn spare_of_header(packet: &[u8]) -> usize {
    let Some(packet) = Packet::from_slice(packet) else { return 0 };
    header_bytes(&packet).min(packet.payload().len()).saturating_sub(1)
}

fn header_bytes(packet: &Packet<'_>) -> usize {
    if !packet.unit_start() {
        return 0;
    }
    PesHeader::parse(packet.payload()).map_or(0, |header| header.header_bytes)
}

/// Writes a packet as itself without its last `pieces` payload bytes, and one packet for each of those.
fn append_split(packet: &[u8], pieces: usize, counters: &mut Counters, out: &mut Vec<u8>) {
    let Some(view) = Packet::from_slice(packet) else { return };
    let (kept, moved) = view.payload().split_at(view.payload().len() - pieces);
    let fields = if view.has_adaptation() { &packet[5..view.payload_offset()] } else { &[] };
    let mut write = |start: u8, fields: &[u8], payload: &[u8]| {
        let at = out.len();
        out.extend_from_slice(&[SYNC_BYTE, start | (packet[1] & 0x1F), packet[2], 0x30]);
        append_adaptation(fields, PAYLOAD_BYTES - payload.len(), out);
        out.extend_from_slice(payload);
        counters.number(&mut out[at..]);
    };
    write(packet[1] & 0x40, fields, kept);
    for byte in moved.chunks(1) {
        write(0, &[], byte);
    }
}

/// An adaptation field of `total` bytes, its length byte included, that begins with `fields` (§2.4.3.5).
pub(super) fn append_adaptation(fields: &[u8], total: usize, out: &mut Vec<u8>) {
    let end = out.len() + total;
    out.push(u8::try_from(total - 1).expect("at most 183"));
    if total > 1 {
        out.extend_from_slice(if fields.is_empty() { &[0] } else { fields });
    }
    out.resize(end, 0xFF);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};
    use std::collections::BTreeMap;

    fn packet(pid: u16, start: bool, payload: &[u8]) -> Vec<u8> {
        let [high, low] = pid.to_be_bytes();
        let mut bytes = vec![SYNC_BYTE, high | if start { 0x40 } else { 0 }, low];
        if payload.len() == PAYLOAD_BYTES {
            bytes.push(0x10);
        } else {
            bytes.push(if payload.is_empty() { 0x20 } else { 0x30 });
            append_adaptation(&[], PAYLOAD_BYTES - payload.len(), &mut bytes);
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Payload bytes of every PID.
    fn payloads(segment: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        let mut pids = BTreeMap::<u16, Vec<u8>>::new();
        for packet in segment.chunks(PACKET_BYTES) {
            let packet = Packet::from_slice(packet).unwrap();
            assert!(packet.payload_offset() <= PACKET_BYTES);
            pids.entry(packet.pid().value()).or_default().extend_from_slice(packet.payload());
        }
        pids
    }

    /// Each PID counts from 0 to 15, some whole number of times.
    fn check_counters(segment: &[u8]) {
        let mut next = BTreeMap::<Pid, u8>::new();
        for packet in segment.chunks(PACKET_BYTES) {
            let packet = Packet::from_slice(packet).unwrap();
            let next = next.entry(packet.pid()).or_default();
            if packet.has_payload() {
                assert_eq!(packet.continuity(), *next & 15, "on {}", packet.pid());
                *next += 1;
                *next &= 15;
            } else {
                assert_eq!(packet.continuity(), next.wrapping_sub(1) & 15, "on {}", packet.pid());
            }
        }
        assert!(next.values().all(|next| *next == 0), "{next:?}");
    }

    fn write(packets: &[Vec<u8>], marks: &[usize]) -> (Vec<u8>, u64) {
        let draft = Draft { packets: packets.concat(), marks: marks.iter().map(|m| m * PACKET_BYTES).collect() };
        draft.write(&Tables::new(1, psi::VIDEO_PID, &[]))
    }

    #[test]
    fn one_packet_becomes_sixteen() {
        let payload: Vec<u8> = (0..184).collect();
        let (segment, lost) = write(&[packet(0x100, false, &payload)], &[]);
        check_counters(&segment);
        assert_eq!((&payloads(&segment)[&0x100], lost), (&payload, 0));
        assert_eq!(segment.len(), 3 * 16 * PACKET_BYTES);
    }

    #[test]
    fn a_pes_header_stays_whole_if_it_can() {
        let mut pes = vec![0, 0, 1, 0xC0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1];
        pes.extend_from_slice(&[7; 10]);
        let (segment, _) = write(&[packet(0x110, false, &[9; 40]), packet(0x110, true, &pes)], &[]);
        check_counters(&segment);
        let mut packets = segment.chunks(PACKET_BYTES).map(|p| Packet::from_slice(p).unwrap());
        let start = packets.find(|p| p.pid().value() == 0x110 && p.unit_start()).unwrap();
        assert_eq!(start.payload(), &pes[..14]);
    }

    #[test]
    fn what_cannot_be_split_is_left_out() {
        let (segment, lost) = write(&[packet(0x130, true, &[1; 9]), packet(0x100, false, &[2; 184])], &[]);
        assert_eq!(lost, 1);
        assert!(!payloads(&segment).contains_key(&0x130));
    }

    #[test]
    fn tables_repeat_at_marks_and_fill_up_to_sixteen() {
        let packets: Vec<_> = (0..40).map(|_| packet(0x100, false, &[3; 184])).collect();
        let marks: Vec<_> = (1..17).collect();
        let (segment, _) = write(&packets, &marks);
        check_counters(&segment);
        let count = |pid| segment.chunks(PACKET_BYTES).filter(|p| pid_of(p) == pid).count();
        assert_eq!((count(Pid::PAT), count(psi::PMT_PID)), (32, 32));
        let order: Vec<_> = segment.chunks(PACKET_BYTES).take(8).map(pid_of).map(Pid::value).collect();
        assert_eq!(order, [0, 0x1000, 0x100, 0, 0x1000, 0x100, 0, 0x1000]);
    }

    proptest! {
        #[test]
        fn bytes_stay_and_counters_close(
            shape in prop::collection::vec((0_u16..5, any::<bool>(), 0_usize..185, any::<u8>()), 0..80)
        ) {
            let packets = shape.iter().map(|(pid, start, bytes, fill)| packet(0x0FF + pid, *start, &vec![*fill; *bytes]));
            let packets: Vec<_> = packets.collect();
            let (segment, lost) = write(&packets, &[]);
            check_counters(&segment);
            let written = payloads(&segment);
            for (pid, bytes) in payloads(&packets.concat()) {
                match written.get(&pid) {
                    Some(written) => assert_eq!(written, &bytes),
                    None => assert!(lost > 0),
                }
            }
        }
    }
}
