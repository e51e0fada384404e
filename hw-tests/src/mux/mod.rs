//! A multiplex of eight television services at a constant rate, in which no lost packet of a service goes unseen.
//!
//! Each service plays a recorded clip over and over, with times and counters that go on (ISO/IEC 13818-1 §2.4.2), and has a
//! stream of private packets that count: each carries the number of the packet on its PID. PAT, maps, SDT and NIT are its
//! own. Pure: the feeder asks for packets, time is their number. [`crate::air::Eye`] is what looks at it.

mod clip;
mod tables;

use crate::air::PACKET;
pub use clip::Clip;
use clip::Part;

/// Services of the multiplex, numbered from 1.
pub const SERVICES: u16 = 8;
/// Marks a payload that counts on its own PID; the counter follows in eight bytes.
pub const MARK: [u8; 4] = *b"HWT2";

/// Between two rounds of the tables: PATs come at least each 500 ms (ETSI TR 101 290 §5.2.1), broadcasters send ten a second.
const TABLES_MS: u64 = 100;
const TICKS_PER_MS: u64 = 90;

/// Makes the multiplex, packet after packet.
#[derive(Debug)]
pub struct Multiplex {
    clip: Clip,
    players: Vec<Player>,
    bits_per_second: u64,
    made: u64,
    tables: Vec<[u8; PACKET]>,
    /// Tables of this round that were not sent yet, from the end.
    pending: usize,
    next_round: u64,
    counters: Vec<u8>,
    counted: [u64; SERVICES as usize],
    turn: usize,
}

/// Where a service is in the clip.
#[derive(Debug, Clone, Copy)]
struct Player {
    /// Index of its next packet.
    at: usize,
    /// What is added to the clip's times, 90 kHz.
    offset: u64,
}

impl Multiplex {
    /// A multiplex of `bits_per_second` that plays `clip` in every service, each beginning at another place.
    #[must_use]
    pub fn new(clip: Clip, bits_per_second: u64) -> Self {
        let step = clip.duration / u64::from(SERVICES);
        let player = |index: u16| {
            // All play at time 0; who is further in the clip started earlier.
            let phase = step * u64::from(index);
            let at = clip.parts.partition_point(|part| part.time < phase);
            Player { at, offset: clip.duration - phase }
        };
        let players = (0..SERVICES).map(player).collect();
        let tables = tables::all();
        let (pending, counters, counted) = (tables.len(), vec![0; 0x2000], [0; SERVICES as usize]);
        Self {
            clip,
            players,
            bits_per_second,
            made: 0,
            tables,
            pending,
            next_round: TABLES_MS,
            counters,
            counted,
            turn: 0,
        }
    }

    /// Fills `into` with whole packets; what is left over at its end stays untouched.
    pub fn fill(&mut self, into: &mut [u8]) {
        for packet in into.chunks_exact_mut(PACKET) {
            self.packet(packet);
            self.made += 1;
        }
    }

    fn packet(&mut self, packet: &mut [u8]) {
        // Milliseconds overflow in half a million years.
        let time = self.made * 8 * PACKET as u64 * 1000 * TICKS_PER_MS / self.bits_per_second;
        if time >= self.next_round * TICKS_PER_MS {
            (self.pending, self.next_round) = (self.tables.len(), self.next_round + TABLES_MS);
        }
        if let Some(left) = self.pending.checked_sub(1) {
            packet.copy_from_slice(&self.tables[self.tables.len() - self.pending]);
            self.pending = left;
            return self.number(packet, true);
        }
        let due = |player: &Player| self.clip.parts[player.at].time + player.offset <= time + self.clip.duration;
        if let Some(index) = self.players.iter().position(due) {
            return self.play(index, packet);
        }
        self.turn = (self.turn + 1) % usize::from(SERVICES);
        let [high, low] = tables::pid(tables::DATA, self.turn).to_be_bytes();
        packet[..4].copy_from_slice(&[0x47, high, low, 0x10]);
        packet[4..8].copy_from_slice(&MARK);
        packet[8..16].copy_from_slice(&self.counted[self.turn].to_be_bytes());
        packet[16..].fill(high);
        self.counted[self.turn] += 1;
        self.number(packet, true);
    }

    fn play(&mut self, index: usize, packet: &mut [u8]) {
        let player = &mut self.players[index];
        let part: &Part = &self.clip.parts[player.at];
        part.write(packet, player.offset);
        let base = if part.video { tables::VIDEO } else { tables::AUDIO };
        let [high, low] = tables::pid(base, index).to_be_bytes();
        packet[1] = packet[1] & 0xe0 | high;
        packet[2] = low;
        let payload = packet[3] & 0x10 != 0;
        player.at += 1;
        if player.at == self.clip.parts.len() {
            (player.at, player.offset) = (0, player.offset + self.clip.duration);
        }
        self.number(packet, payload);
    }

    /// Gives a packet the continuity counter of its PID, which counts payloads only (§2.4.3.3).
    fn number(&mut self, packet: &mut [u8], payload: bool) {
        let pid = usize::from(u16::from_be_bytes([packet[1] & 0x1f, packet[2]]));
        let next = &mut self.counters[pid];
        packet[3] = packet[3] & 0xf0 | (if payload { *next } else { next.wrapping_sub(1) } & 0x0f);
        *next = next.wrapping_add(u8::from(payload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::air::Eye;

    fn multiplex(seconds: u64) -> Vec<u8> {
        let clip = Clip::read(include_bytes!("../../../tests/fixtures/ts/h264-aac.ts")).unwrap();
        let mut bytes = vec![0; usize::try_from(40_000_000 / 8 * seconds).unwrap() / PACKET * PACKET];
        Multiplex::new(clip, 40_000_000).fill(&mut bytes);
        bytes
    }

    #[test]
    fn nothing_is_missing_and_a_packet_taken_out_is() {
        let mut bytes = multiplex(14);
        let mut eye = Eye::default();
        eye.look(&bytes);
        assert_eq!((eye.seen().missing, eye.seen().continuity_errors), (0, 0));
        let counted = |packet: &[u8]| packet[4..8] == MARK;
        let at = bytes.chunks_exact(PACKET).position(counted).unwrap() + 100_000;
        let at = at + bytes[at * PACKET..].chunks_exact(PACKET).position(counted).unwrap();
        bytes.drain(at * PACKET..(at + 1) * PACKET);
        let mut eye = Eye::default();
        eye.look(&bytes);
        assert_eq!((eye.seen().missing, eye.seen().continuity_errors), (1, 1));
    }

    #[test]
    fn clocks_tell_the_time_of_the_multiplex() {
        let bytes = multiplex(14);
        let mut last = vec![None; 0x2000];
        for (index, packet) in bytes.chunks_exact(PACKET).enumerate() {
            if packet[3] & 0x20 == 0 || packet[4] == 0 || packet[5] & 0x10 == 0 {
                continue;
            }
            let pid = usize::from(u16::from_be_bytes([packet[1] & 0x1f, packet[2]]));
            let base = u64::from(u32::from_be_bytes([packet[6], packet[7], packet[8], packet[9]])) << 1;
            let sent = index as u64 * 188 * 8 * 90 / 40_000;
            if let Some((clock, at)) = last[pid].replace((base, sent)) {
                let (clock, sent): (u64, u64) = (base - clock, sent - at);
                assert!(clock.abs_diff(sent) < 450, "PID {pid}: {clock} and {sent} ticks");
            }
        }
        assert_eq!(last.iter().filter(|one| one.is_some()).count(), usize::from(SERVICES));
    }
}
