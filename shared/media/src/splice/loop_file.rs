//! Gives out the packets of the endless stream that a looped file makes.
//!
//! Positions are ticks since an epoch of the caller's choosing (the Unix epoch, when position is to follow UTC). Pass n of
//! a file of length L plays from n·L to (n+1)·L; its PTS and DTS are the file's plus n·L, its PCR goes with the position,
//! and counters go on from pass to pass (ISO/IEC 13818-1 §2.4.3.3, §2.4.3.5, §2.4.3.7).

use bytes::Bytes;

use super::index::{Entry, File, Index, SpliceError};
use crate::package::pcr_field;
use crate::packet::{PACKET_BYTES, Packet, Scrambling};
use crate::pes::map_timestamps;
use crate::time::{Pts, Ticks90k};

/// A PCR further than this from where the position puts it belongs to another time base, and is only shifted.
const PCR_SLACK: i64 = 90_000;

/// A file that can be played for ever.
#[derive(Debug)]
pub struct LoopFile {
    bytes: Bytes,
    index: Index,
}

/// A place in the endless stream: the next packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pass: i64,
    entry: usize,
}

impl LoopFile {
    /// Reads a whole transport stream file. The splice is made for `service`, or for the first of the PAT; the other
    /// services of a multiplex play along.
    ///
    /// # Errors
    /// [`SpliceError`] when there is nothing to loop.
    pub fn parse(bytes: Bytes, service: Option<u16>) -> Result<Self, SpliceError> {
        let index = Index::read(&bytes, service)?;
        Ok(Self { bytes: bytes.slice(index.offset..), index })
    }

    /// How long one pass plays.
    #[must_use]
    pub fn length(&self) -> Ticks90k {
        self.index.length
    }

    /// The first packet that is due at `position` or later.
    #[must_use]
    pub fn seek(&self, position: Ticks90k) -> Cursor {
        let (pass, rest) = (position.0.div_euclid(self.length().0), position.0.rem_euclid(self.length().0));
        let entry = self.index.entries.partition_point(|entry| i64::from(entry.due) < rest);
        self.settle(Cursor { pass, entry })
    }

    /// When the cursor's packet is due.
    #[must_use]
    pub fn position(&self, cursor: Cursor) -> Ticks90k {
        let due = self.index.entries.get(cursor.entry).map_or(0, |entry| i64::from(entry.due));
        Ticks90k(cursor.pass.saturating_mul(self.length().0)) + Ticks90k(due)
    }

    /// Appends the packets that are due before `until`, and moves the cursor behind them.
    pub fn read_until(&self, cursor: &mut Cursor, until: Ticks90k, out: &mut Vec<u8>) {
        while self.position(*cursor) < until {
            self.append(*cursor, out);
            *cursor = self.settle(Cursor { entry: cursor.entry + 1, ..*cursor });
        }
    }

    fn settle(&self, cursor: Cursor) -> Cursor {
        if cursor.entry < self.index.entries.len() { cursor } else { Cursor { pass: cursor.pass + 1, entry: 0 } }
    }

    fn append(&self, cursor: Cursor, out: &mut Vec<u8>) {
        let Some(entry) = self.index.entries.get(cursor.entry) else { return };
        let number = usize::try_from(entry.packet).expect("packet numbers are below 2^23");
        let Some(packet) = File::new(&self.bytes).packet(number) else { return };
        let at = out.len();
        out.extend_from_slice(packet.bytes());
        let copy = &mut out[at..];
        let own_pass = cursor.pass - i64::from(entry.is_tail);
        let shift = own_pass.wrapping_mul(self.length().0);
        let count = self.index.counts.get(&packet.pid()).copied().unwrap_or(0);
        let passed = count.wrapping_mul(cursor.pass.cast_unsigned()).to_le_bytes()[0];
        copy[3] = (copy[3] & 0xF0) | (entry.counter.wrapping_add(passed) & 0x0F);
        if let Some(adaptation) = packet.adaptation() {
            copy[5] &= 0x7F;
            if let Some(pcr) = adaptation.pcr {
                copy[6..12].copy_from_slice(&pcr_field(self.clock(&packet, *entry, pcr, shift)));
            }
        }
        if packet.unit_start() && packet.scrambling() == Scrambling::Clear && packet.payload_offset() < PACKET_BYTES {
            let extra = self.index.jump_at(packet.pid(), entry.packet).wrapping_add(shift);
            let payload = &mut copy[packet.payload_offset()..];
            // Sections and headers cut off are left as they are.
            let _ = map_timestamps(payload, |old| Pts::new(old).wrapping_add(extra).value());
        }
    }

    /// The PCR of a packet: its PID's first one, gone on with the position.
    fn clock(&self, packet: &Packet<'_>, entry: Entry, pcr: u64, shift: i64) -> u64 {
        let own = Pts::new(pcr / 300).wrapping_add(self.index.jump_at(packet.pid(), entry.packet));
        let expected = self.index.clocks.get(&packet.pid());
        let due = i64::from(entry.due) + if entry.is_tail { self.length().0 } else { 0 };
        let expected = expected.map(|(first, first_due)| first.wrapping_add(due - i64::from(*first_due)));
        let even = expected.filter(|expected| expected.signed_since(own).abs() <= PCR_SLACK).unwrap_or(own);
        even.wrapping_add(shift).value() * 300
    }
}
