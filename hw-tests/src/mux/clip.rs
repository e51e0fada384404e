//! A recorded clip of one service, taken apart so that it can be played over and over with times that go on.
//!
//! Pure. Each packet knows when it is due, and where in it there is a PCR, a PTS or a DTS (ISO/IEC 13818-1 §2.4.3.5 and
//! §2.4.3.7). The clip's PCRs are on its video.

use anyhow::{Context, Result, ensure};

use crate::air::PACKET;

const TIME_BITS: u64 = 0x1_ffff_ffff;

/// A clip.
#[derive(Debug, Clone)]
pub struct Clip {
    pub(super) parts: Vec<Part>,
    /// 90 kHz.
    pub(super) duration: u64,
}

/// A packet of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    packet: [u8; PACKET],
    pub(super) video: bool,
    /// When it is due, from the start of the clip, 90 kHz.
    pub(super) time: u64,
    pcr: Option<usize>,
    /// PTS and DTS fields of five bytes.
    stamps: [Option<usize>; 2],
}

impl Clip {
    /// Takes the streams of the one service of a recording.
    ///
    /// # Errors
    /// When it has no PCR, or none in the middle.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let packets: Vec<[u8; PACKET]> = bytes.as_chunks::<PACKET>().0.to_vec();
        let clocks: Vec<(usize, u64)> =
            packets.iter().enumerate().filter_map(|(index, packet)| Some((index, pcr_of(packet)?.1))).collect();
        let (first, last) = (*clocks.first().context("no PCR")?, *clocks.last().context("no PCR")?);
        ensure!(clocks.len() > 1 && last.1 > first.1, "the clip's clock does not go on");
        let video = pid_of(&packets[first.0]);
        let count = u64::try_from(clocks.len()).unwrap_or(1);
        // What one more step of the clock would be is where the clip starts again.
        let duration = (last.1 - first.1) * count / (count - 1);
        let time = |index: usize| {
            let next = clocks.partition_point(|(at, _)| *at <= index).clamp(1, clocks.len() - 1);
            let ((at, clock), (to, then)) = (clocks[next - 1], clocks[next]);
            let along = index.saturating_sub(at) as u64;
            (clock + (then - clock) * along / ((to - at) as u64) - first.1).min(duration)
        };
        let part = |(index, packet): (usize, &[u8; PACKET])| Part {
            packet: *packet,
            video: pid_of(packet) == video,
            time: time(index),
            pcr: pcr_of(packet).map(|(at, _)| at),
            stamps: stamps_of(packet),
        };
        // Tables are the multiplex's own.
        let carried = |packet: &[u8; PACKET]| pid_of(packet) >= 100;
        let parts = packets.iter().enumerate().filter(|(_, packet)| carried(packet)).map(part).collect();
        Ok(Self { parts, duration })
    }
}

impl Part {
    /// Writes the packet with its times moved by `offset`.
    pub(super) fn write(&self, into: &mut [u8], offset: u64) {
        into.copy_from_slice(&self.packet);
        if let Some(at) = self.pcr {
            let clock = (pcr(&self.packet[at..]) + offset) & TIME_BITS;
            let bytes = (clock << 7 | 0x7e).to_be_bytes();
            into[at..at + 5].copy_from_slice(&bytes[3..]);
            into[at + 5] = 0;
        }
        for at in self.stamps.into_iter().flatten() {
            let field = &mut into[at..at + 5];
            let time = (stamp(field) + offset) & TIME_BITS;
            let byte = |shift: u32, mask: u64| u8::try_from(time >> shift & mask).unwrap_or(0);
            field[0] = field[0] & 0xf0 | byte(30, 7) << 1 | 1;
            field[1] = byte(22, 0xff);
            field[2] = byte(15, 0x7f) << 1 | 1;
            field[3] = byte(7, 0xff);
            field[4] = byte(0, 0x7f) << 1 | 1;
        }
    }
}

fn pid_of(packet: &[u8; PACKET]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// Where the PCR is, and what it says.
fn pcr_of(packet: &[u8; PACKET]) -> Option<(usize, u64)> {
    let there = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    there.then(|| (6, pcr(&packet[6..])))
}

fn pcr(field: &[u8]) -> u64 {
    field[..4].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) << 1 | u64::from(field[4] >> 7)
}

fn stamps_of(packet: &[u8; PACKET]) -> [Option<usize>; 2] {
    let start = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
    let header = packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0 && start + 19 <= PACKET;
    if !header || packet[start..start + 3] != [0, 0, 1] {
        return [None, None];
    }
    match packet[start + 7] >> 6 {
        2 => [Some(start + 9), None],
        3 => [Some(start + 9), Some(start + 14)],
        _ => [None, None],
    }
}

fn stamp(field: &[u8]) -> u64 {
    let bits = |byte: u8, shift: u32| u64::from(byte) << shift;
    bits(field[0] >> 1 & 7, 30)
        | bits(field[1], 22)
        | bits(field[2] >> 1, 15)
        | bits(field[3], 7)
        | bits(field[4] >> 1, 0)
}
