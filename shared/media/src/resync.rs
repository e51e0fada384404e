//! Finds transport packets in bytes that start anywhere, and finds them again after damage.
//!
//! Sans-IO: bytes in, aligned packets out. Framings: plain 188 bytes (ISO/IEC 13818-1 §2.4.3.2), 192 bytes (four bytes
//! of arrival time before each packet, as Blu-ray and many recorders write), 204 bytes (sixteen Reed-Solomon bytes
//! behind each packet, ETSI EN 300 429). Locks after five sync bytes at a framing's distance and gives up after two
//! missing in a row (ETSI TR 101 290 §5.2.1, 1.1). A packet whose own sync byte is wrong is dropped, never repaired:
//! in the field its other bytes are wrong too. What comes out depends on the bytes alone, not on how they were cut
//! into pushes. Continuity is [`crate::continuity`]'s job.

use crate::packet::{PACKET_BYTES, Packet, SYNC_BYTE};

/// Sync bytes in a row that make a lock.
const LOCK_SYNCS: usize = 5;

/// Bytes looked at from a candidate sync byte on: the widest framing's five sync bytes.
const WINDOW_BYTES: usize = (LOCK_SYNCS - 1) * Framing::ReedSolomon.stride() + 1;

/// Bytes taken from a push at a time, which bounds the buffer whatever the caller hands over.
const CHUNK_BYTES: usize = 16 * 1024;

/// Where packets go.
pub type Emit<'a> = &'a mut dyn FnMut(Packet<'_>);

/// How packets follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// 188 bytes and nothing between.
    Plain,
    /// 192 bytes: four bytes of time stamp before each packet (M2TS).
    Timestamped,
    /// 204 bytes: sixteen bytes of Reed-Solomon code behind each packet.
    ReedSolomon,
}

impl Framing {
    const ALL: [Self; 3] = [Self::Plain, Self::Timestamped, Self::ReedSolomon];

    /// Bytes from sync byte to sync byte.
    pub const fn stride(self) -> usize {
        match self {
            Self::Plain => PACKET_BYTES,
            Self::Timestamped => PACKET_BYTES + 4,
            Self::ReedSolomon => PACKET_BYTES + 16,
        }
    }
}

/// What went by, counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResyncCounts {
    /// Packets handed out.
    pub packets: u64,
    /// Times a lock was lost.
    pub sync_losses: u64,
    /// Packets dropped for a wrong sync byte while the lock held.
    pub sync_byte_errors: u64,
    /// Bytes that belong to no packet handed out; what a framing adds to its packets is not counted.
    pub skipped_bytes: u64,
}

/// Aligns one byte stream. Holds at most 16 KiB and a window of 817 bytes.
///
/// ```
/// use headend_media::resync::Resync;
/// let mut resync = Resync::default();
/// let mut packet = [0xFF; 188];
/// packet[0] = 0x47;
/// let stream = [&[1, 2, 3][..], &packet.repeat(6)].concat();
/// let mut packets = 0;
/// resync.push(&stream, &mut |_| packets += 1);
/// resync.finish(&mut |_| packets += 1);
/// assert_eq!((packets, resync.counts().skipped_bytes), (6, 3));
/// ```
#[derive(Debug, Default)]
pub struct Resync {
    buffer: Vec<u8>,
    framing: Option<Framing>,
    /// Bytes between two packets that have not arrived yet.
    owed: usize,
    /// Bytes skipped since the last packet, of which a time stamp's four are forgiven at the lock.
    skipped_in_a_row: usize,
    counts: ResyncCounts,
}

/// What the bytes at hand allow.
enum Step {
    /// Drop so many bytes without a packet.
    Skip(usize),
    /// A packet starts here.
    Packet,
    /// Wait for more.
    Starved,
}

impl Resync {
    /// Takes the next bytes and calls `emit` for each packet that is certain by now.
    pub fn push(&mut self, bytes: &[u8], emit: Emit<'_>) {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.buffer.extend_from_slice(chunk);
            self.run(false, emit);
        }
    }

    /// Ends the input: hands out what the last bytes still hold, judged with fewer sync bytes where fewer are left,
    /// and is ready for another stream.
    pub fn finish(&mut self, emit: Emit<'_>) {
        self.run(true, emit);
        let rest = if self.framing.is_some() { self.buffer.len().saturating_sub(self.owed) } else { self.buffer.len() };
        self.counts.skipped_bytes += rest as u64;
        self.buffer.clear();
        (self.framing, self.owed, self.skipped_in_a_row) = (None, 0, 0);
    }

    /// The framing locked on, `None` while searching.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// Counters since the start.
    pub fn counts(&self) -> ResyncCounts {
        self.counts
    }

    fn run(&mut self, last: bool, emit: Emit<'_>) {
        let mut at = 0;
        loop {
            let paid = self.owed.min(self.buffer.len() - at);
            (at, self.owed) = (at + paid, self.owed - paid);
            let step = match self.framing {
                Some(framing) => self.locked(at, framing, last),
                None => self.search(at, last),
            };
            match step {
                Step::Skip(bytes) => {
                    self.counts.skipped_bytes += bytes as u64;
                    self.skipped_in_a_row += bytes;
                    at += bytes;
                }
                Step::Packet => {
                    let packet = Packet::from_slice(&self.buffer[at..at + PACKET_BYTES]);
                    emit(packet.expect("a step is a packet only at a sync byte with 188 bytes behind it"));
                    self.counts.packets += 1;
                    self.skipped_in_a_row = 0;
                    at += PACKET_BYTES;
                    self.owed = self.framing.map_or(0, Framing::stride) - PACKET_BYTES;
                }
                Step::Starved => break,
            }
        }
        self.buffer.drain(..at);
    }

    /// One step with a lock: the packet at `at`, or what a missing sync byte means.
    fn locked(&mut self, at: usize, framing: Framing, last: bool) -> Step {
        let bytes = &self.buffer[at..];
        match (bytes.first(), bytes.get(framing.stride())) {
            (None, _) => Step::Starved,
            (Some(&SYNC_BYTE), _) if bytes.len() >= PACKET_BYTES => Step::Packet,
            (Some(&SYNC_BYTE), _) => Step::Starved,
            (Some(_), None) if !last => Step::Starved,
            (Some(_), Some(&SYNC_BYTE)) => {
                self.counts.sync_byte_errors += 1;
                Step::Skip(framing.stride())
            }
            (Some(_), _) => {
                self.counts.sync_losses += 1;
                self.framing = None;
                Step::Skip(0)
            }
        }
    }

    /// One step without a lock: skip to the next sync byte, and lock when four more follow it.
    fn search(&mut self, at: usize, last: bool) -> Step {
        let bytes = &self.buffer[at..];
        match bytes.iter().position(|&byte| byte == SYNC_BYTE) {
            None if bytes.is_empty() => return Step::Starved,
            None => return Step::Skip(bytes.len()),
            Some(0) => {}
            Some(distance) => return Step::Skip(distance),
        }
        if bytes.len() < WINDOW_BYTES && !last {
            return Step::Starved;
        }
        let Some(framing) = Framing::ALL.into_iter().find(|framing| fits(bytes, *framing)) else {
            return Step::Skip(1);
        };
        self.framing = Some(framing);
        if framing == Framing::Timestamped {
            // The first packet's own time stamp was skipped while searching, or what a cut left of it.
            self.counts.skipped_bytes -= self.skipped_in_a_row.min(4) as u64;
        }
        Step::Packet
    }
}

/// Whether five sync bytes stand at the framing's distance; at the end of the input, all that still fit, if these are
/// at least two or the bytes are exactly one packet.
fn fits(bytes: &[u8], framing: Framing) -> bool {
    let mut syncs = bytes.iter().step_by(framing.stride()).take(LOCK_SYNCS);
    let places = syncs.len();
    bytes.len() >= PACKET_BYTES && (places >= 2 || bytes.len() == PACKET_BYTES) && syncs.all(|&byte| byte == SYNC_BYTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packets numbered in their payload, in a framing.
    fn stream(count: usize, framing: Framing) -> Vec<u8> {
        let mut bytes = vec![];
        for number in 0..count {
            let mut packet = [0; PACKET_BYTES];
            packet[..4].copy_from_slice(&[SYNC_BYTE, 0x01, 0x00, 0x10]);
            packet[4..8].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
            match framing {
                Framing::Plain => bytes.extend(packet),
                Framing::Timestamped => bytes.extend([&[9, 9, 9, 9][..], &packet].concat()),
                Framing::ReedSolomon => bytes.extend([&packet[..], &[7; 16]].concat()),
            }
        }
        bytes
    }

    fn align<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<[u8; PACKET_BYTES]>, ResyncCounts) {
        let (mut resync, mut got) = (Resync::default(), vec![]);
        for piece in pieces {
            resync.push(piece, &mut |packet| got.push(*packet.bytes()));
            assert!(resync.buffer.len() < WINDOW_BYTES);
        }
        resync.finish(&mut |packet| got.push(*packet.bytes()));
        (got, resync.counts())
    }

    /// Packet numbers (first, count), sync losses, sync byte errors and skipped bytes of a whole stream.
    fn check(bytes: &[u8], want: (u32, usize, u64, u64, u64)) {
        let (got, counts) = align([bytes]);
        let first = got.first().map_or(0, |p| u32::from_be_bytes([p[4], p[5], p[6], p[7]]));
        let seen = (first, got.len(), counts.sync_losses, counts.sync_byte_errors, counts.skipped_bytes);
        assert_eq!(seen, want);
    }

    #[test]
    fn every_framing_from_any_offset() {
        check(&stream(20, Framing::Plain), (0, 20, 0, 0, 0));
        check(&stream(20, Framing::Timestamped), (0, 20, 0, 0, 0));
        check(&stream(20, Framing::ReedSolomon), (0, 20, 0, 0, 0));
        check(&stream(20, Framing::Plain)[1..], (1, 19, 0, 0, 187));
        check(&stream(20, Framing::Timestamped)[2..], (0, 20, 0, 0, 0));
        check(&stream(20, Framing::Timestamped)[5..], (1, 19, 0, 0, 187));
        check(&stream(20, Framing::ReedSolomon)[100..], (1, 19, 0, 0, 104));
    }

    #[test]
    fn short_inputs() {
        check(&[], (0, 0, 0, 0, 0));
        check(&stream(1, Framing::Plain), (0, 1, 0, 0, 0));
        check(&stream(2, Framing::Plain), (0, 2, 0, 0, 0));
        check(&stream(3, Framing::ReedSolomon), (0, 3, 0, 0, 0));
        check(&stream(8, Framing::Plain)[..188 * 7 + 50], (0, 7, 0, 0, 50));
        check(&[0x47; 100], (0, 0, 0, 0, 100));
    }

    #[test]
    fn one_bad_sync_byte_costs_one_packet() {
        let mut bytes = stream(20, Framing::Plain);
        bytes[188 * 9] = 0;
        check(&bytes, (0, 19, 0, 1, 188));
    }

    #[test]
    fn two_bad_sync_bytes_lose_the_lock() {
        let mut bytes = stream(20, Framing::Plain);
        (bytes[188 * 9], bytes[188 * 10]) = (0, 0);
        check(&bytes, (0, 18, 1, 0, 376));
        // Bytes lost on the way shift all that follows.
        let mut bytes = stream(20, Framing::Plain);
        bytes.drain(1000..1050);
        check(&bytes, (0, 19, 1, 0, 138));
    }

    #[test]
    fn the_framing_may_change() {
        let bytes = [stream(10, Framing::Plain), stream(10, Framing::ReedSolomon), stream(10, Framing::Timestamped)];
        let (got, counts) = align([&bytes.concat()[..]]);
        assert_eq!(got.len(), 30);
        assert_eq!((counts.sync_losses, counts.skipped_bytes), (2, 16));
    }

    proptest! {
        #[test]
        fn pushes_do_not_matter(
            noise in proptest::collection::vec(prop_oneof![Just(SYNC_BYTE), any::<u8>()], 0..900),
            damage in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
            cuts in proptest::collection::vec(1..700_usize, 1..40),
            framing in prop::sample::select(&Framing::ALL[..]),
        ) {
            let mut bytes = [noise, stream(30, framing)].concat();
            for at in damage {
                let at = at.index(bytes.len());
                bytes[at] ^= 0x55;
            }
            let (mut pieces, mut rest) = (vec![], &bytes[..]);
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            pieces.push(rest);
            prop_assert_eq!(align(pieces), align([&bytes[..]]));
        }

        #[test]
        fn any_bytes_are_accounted_for(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(SYNC_BYTE), 1 => any::<u8>()], 0..6000),
        ) {
            let (got, counts) = align([&bytes[..]]);
            prop_assert_eq!(got.len() as u64, counts.packets);
            prop_assert!(counts.packets * 188 + counts.skipped_bytes <= bytes.len() as u64);
        }
    }
}
