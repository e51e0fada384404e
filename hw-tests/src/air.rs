//! A multiplex in which no lost packet goes unseen, and the eye that looks at one.
//!
//! [`Air`] makes packets on several PIDs that count in themselves. [`Eye`] takes what was captured, in pieces of any size,
//! and counts sync losses, continuity errors per PID (ISO/IEC 13818-1 §2.4.3.3), and holes in the counting. Pure.

use std::collections::HashMap;

use crate::mux;

/// Bytes of a packet.
pub const PACKET: usize = 188;
const SYNC: u8 = 0x47;
const NULL_PID: u16 = 0x1fff;
const PIDS: u16 = 16;
const FIRST_PID: u16 = 0x100;
/// Marks a payload that counts; the counter follows in eight bytes.
const MARK: [u8; 4] = *b"HWT1";

/// Makes packets: PID after PID, each with its continuity counter and the number of the packet.
#[derive(Debug, Default)]
pub struct Air {
    made: u64,
}

impl Air {
    /// How many packets were made so far.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Fills `into` with whole packets; what is left over at its end stays untouched.
    pub fn fill(&mut self, into: &mut [u8]) {
        for packet in into.chunks_exact_mut(PACKET) {
            let slot = self.made % u64::from(PIDS);
            let pid = FIRST_PID + u16::try_from(slot).unwrap_or(0);
            let counter = u8::try_from(self.made / u64::from(PIDS) % 16).unwrap_or(0);
            let [high, low] = pid.to_be_bytes();
            packet[..4].copy_from_slice(&[SYNC, high, low, 0x10 | counter]);
            packet[4..8].copy_from_slice(&MARK);
            packet[8..16].copy_from_slice(&self.made.to_be_bytes());
            packet[16..].fill(counter);
            self.made += 1;
        }
    }
}

/// What was seen in a capture.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whole packets.
    pub packets: u64,
    /// Bytes that had to be thrown away to find the next packet.
    pub sync_bytes_lost: u64,
    /// Continuity counters that were not the next.
    pub continuity_errors: u64,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Packets of our own counting that are missing.
    pub missing: u64,
    /// Packets that count on their own PID.
    pub counted: u64,
    /// The number of the first and last packet of our own.
    pub span: Option<(u64, u64)>,
}

/// Looks at a capture as it comes.
#[derive(Debug, Default)]
pub struct Eye {
    seen: Seen,
    rest: Vec<u8>,
    counters: HashMap<u16, u8>,
    /// Of packets that count on their own PID, the number of the last.
    numbers: HashMap<u16, u64>,
}

impl Eye {
    /// Takes the next piece.
    pub fn look(&mut self, bytes: &[u8]) {
        if self.rest.is_empty() && bytes.len().is_multiple_of(PACKET) {
            self.packets(bytes);
            return;
        }
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        let used = self.packets(&all);
        self.rest.extend_from_slice(&all[used..]);
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What is seen is counted anew, in the middle of a packet or not.
    pub fn recount(&mut self) {
        self.seen = Seen::default();
    }

    /// The capture has a hole that is known of: counters start anew, what was counted stays.
    pub fn hole(&mut self) {
        self.rest.clear();
        self.counters.clear();
        self.numbers.clear();
        self.seen.span = None;
    }

    fn packets(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at + PACKET <= bytes.len() {
            if bytes[at] == SYNC {
                self.packet(&bytes[at..at + PACKET]);
                at += PACKET;
            } else {
                self.seen.sync_bytes_lost += 1;
                at += 1;
            }
        }
        at
    }

    fn packet(&mut self, packet: &[u8]) {
        self.seen.packets += 1;
        self.seen.transport_errors += u64::from(packet[1] & 0x80 != 0);
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        if pid == NULL_PID {
            return;
        }
        self.continuity(pid, packet);
        if packet[4..8] == MARK {
            self.count(packet);
        } else if packet[4..8] == mux::MARK {
            self.seen.counted += 1;
            let number = number(packet);
            if let Some(last) = self.numbers.insert(pid, number) {
                self.seen.missing += number.saturating_sub(last + 1);
            }
        }
    }

    fn continuity(&mut self, pid: u16, packet: &[u8]) {
        let (counter, payload) = (packet[3] & 0x0f, packet[3] & 0x10 != 0);
        let announced = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0;
        if let Some(before) = self.counters.insert(pid, counter) {
            let next = if payload { (before + 1) & 0x0f } else { before };
            // A packet may be sent twice (§2.4.3.3); a discontinuity may be announced (§2.4.3.4).
            if counter != next && counter != before && !announced {
                self.seen.continuity_errors += 1;
            }
        }
    }

    fn count(&mut self, packet: &[u8]) {
        let number = number(packet);
        let first = match self.seen.span {
            Some((first, last)) => {
                self.seen.missing += number.saturating_sub(last + 1);
                first
            }
            None => number,
        };
        self.seen.span = Some((first, number));
    }
}

fn number(packet: &[u8]) -> u64 {
    packet[8..16].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(packets: usize) -> Vec<u8> {
        let mut bytes = vec![0; packets * PACKET];
        Air::default().fill(&mut bytes);
        bytes
    }

    fn seen(pieces: &[&[u8]]) -> Seen {
        let mut eye = Eye::default();
        pieces.iter().for_each(|piece| eye.look(piece));
        eye.seen().clone()
    }

    #[test]
    fn a_whole_capture_has_no_fault_however_it_is_cut() {
        let bytes = capture(100);
        let whole = seen(&[&bytes]);
        assert_eq!(whole, Seen { packets: 100, span: Some((0, 99)), ..Seen::default() });
        for cut in [1, 100, 188, 189, 4096] {
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            assert_eq!(seen(&pieces), whole, "cut at {cut}");
        }
    }

    #[test]
    fn counting_anew_loses_no_alignment() {
        let bytes = capture(20);
        let mut eye = Eye::default();
        eye.look(&bytes[..1000]);
        eye.recount();
        eye.look(&bytes[1000..]);
        assert_eq!((eye.seen().sync_bytes_lost, eye.seen().continuity_errors, eye.seen().packets), (0, 0, 15));
    }

    #[test]
    fn one_packet_less_is_seen_twice() {
        let mut bytes = capture(100);
        bytes.drain(50 * PACKET..51 * PACKET);
        let seen = seen(&[&bytes]);
        assert_eq!((seen.missing, seen.continuity_errors, seen.packets), (1, 1, 99));
    }

    #[test]
    fn half_a_packet_less_is_a_sync_loss() {
        let mut bytes = capture(20);
        bytes.drain(3 * PACKET + 50..4 * PACKET);
        let seen = seen(&[&bytes]);
        assert!(seen.sync_bytes_lost > 0 && seen.missing > 0, "{seen:?}");
    }
}
