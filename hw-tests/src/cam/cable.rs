//! A small multiplex as it comes out of a card with a CAM: three services, of which two need the CAM.
//!
//! Service 1 is announced with two CA systems, service 2 with one and only when the test says so, service 3 is free. What
//! the CAM was told of comes out clear: PES starts, no scrambling flag; the rest comes out as noise that is marked.
//! Tables are ISO/IEC 13818-1 §2.4.4, written here by hand.

use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::wait::Pace;

const PACKET: usize = 188;
const BEAT: Duration = Duration::from_millis(20);
/// Rounds of the tables: each 100 ms.
const TABLES: u64 = 5;
/// Packets of each stream in a beat: about 0.4 Mbit/s.
const PACKETS: u64 = 5;

/// A running multiplex; it ends when dropped.
#[derive(Debug)]
pub struct Cable {
    /// Bit n: service n comes out clear.
    clear: Arc<AtomicU32>,
    announced: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Cable {
    /// Starts to send into the pretended card's character device.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn start(into: &Path, clear: Arc<AtomicU32>) -> Result<Self> {
        let mut device =
            OpenOptions::new().write(true).open(into).with_context(|| format!("open {}", into.display()))?;
        let (announced, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (mask, second, stopped) = (Arc::clone(&clear), Arc::clone(&announced), Arc::clone(&stop));
        let send = move || {
            let (mut maker, mut pace, mut beat) = (Maker::default(), Pace::every(BEAT), 0);
            while !stopped.load(Ordering::Relaxed) {
                pace.beat();
                let packets = maker.beat(beat, mask.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
                device.write_all(&packets).context("send to the pretended card")?;
                beat += 1;
            }
            Ok(())
        };
        let thread =
            std::thread::Builder::new().name("cable".into()).spawn(send).context("start the cable's thread")?;
        Ok(Self { clear, announced, stop, thread: Some(thread) })
    }

    /// Announces service 2 with its CA system, or no longer.
    pub fn announce_second(&self, announced: bool) {
        self.announced.store(announced, Ordering::Relaxed);
    }

    /// Which services come out clear, by bit.
    #[must_use]
    pub fn clear(&self) -> u32 {
        self.clear.load(Ordering::Relaxed)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[derive(Debug, Default)]
struct Maker {
    counters: [u8; 16],
    versions: [u8; 2],
    announced: bool,
    pictures: u64,
}

impl Maker {
    /// Tables now and then, and some packets of every service.
    fn beat(&mut self, beat: u64, clear: u32, announced: bool) -> Vec<u8> {
        let mut out = vec![];
        if announced != self.announced {
            (self.announced, self.versions[1]) = (announced, (self.versions[1] + 1) % 32);
        }
        if beat.is_multiple_of(TABLES) {
            let pat: Vec<u8> = (1..=3).flat_map(|service: u8| [0, service, 0xe0, 0x10 * service]).collect();
            self.section(0, &section(0x00, 0x1001, 0, &pat), &mut out);
            let descriptors = [&ca(0x0500, 0x1f0, &[0x14, 0x05])[..], &ca(0x1800, 0x1f1, &[])].concat();
            self.section(0x10, &map(1, self.versions[0], &descriptors), &mut out);
            let second = if announced { ca(0x0500, 0x1f2, &[0x99]) } else { vec![] };
            self.section(0x20, &map(2, self.versions[1], &second), &mut out);
            self.section(0x30, &map(3, 0, &[]), &mut out);
        }
        for turn in 0..PACKETS {
            for service in 1..=3_u8 {
                let scrambled = match service {
                    1 => clear & 2 == 0,
                    2 => announced && clear & 4 == 0,
                    _ => false,
                };
                self.stream(service, turn == 0, scrambled, &mut out);
            }
        }
        self.pictures += 1;
        out
    }

    fn head(&mut self, pid: u16, start: bool, flags: u8, out: &mut Vec<u8>) {
        let counter = &mut self.counters[usize::from(pid >> 4 & 0x0f)];
        let [high, low] = pid.to_be_bytes();
        out.extend([0x47, high | if start { 0x40 } else { 0 }, low, flags | 0x10 | *counter]);
        *counter = (*counter + 1) & 0x0f;
    }

    fn section(&mut self, pid: u16, section: &[u8], out: &mut Vec<u8>) {
        self.head(pid, true, 0, out);
        out.push(0);
        out.extend_from_slice(section);
        out.resize(out.len().div_ceil(PACKET) * PACKET, 0xff);
    }

    fn stream(&mut self, service: u8, start: bool, scrambled: bool, out: &mut Vec<u8>) {
        let pid = 0x40 + 0x10 * u16::from(service);
        self.head(pid, start, if scrambled { 0x80 } else { 0 }, out);
        if scrambled {
            out.resize(out.len().div_ceil(PACKET) * PACKET, 0xa5 ^ service);
            return;
        }
        if start {
            let pts = self.pictures * 1_800 + 90_000;
            out.extend([0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5]);
            let bits = |shift: u32, mask: u64| u8::try_from(pts >> shift & mask).unwrap_or(0);
            out.extend([
                0x21 | bits(29, 0x0e),
                bits(22, 0xff),
                1 | bits(14, 0xfe),
                bits(7, 0xff),
                1 | (bits(0, 0x7f) << 1),
            ]);
        }
        out.resize(out.len().div_ceil(PACKET) * PACKET, service);
    }
}

/// A section with its CRC_32.
fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 9).unwrap_or(0);
    let ([high, low], [id_high, id_low]) = (length.to_be_bytes(), id.to_be_bytes());
    let mut out = vec![table, 0xb0 | high, low, id_high, id_low, 0xc1 | version << 1, 0, 0];
    out.extend_from_slice(body);
    let crc = out.iter().fold(0xffff_ffff_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    out.extend(crc.to_be_bytes());
    out
}

/// A programme map: one picture stream, CA descriptors for the whole programme.
fn map(service: u8, version: u8, descriptors: &[u8]) -> Vec<u8> {
    let pid = 0x40 + 0x10 * service;
    let length = u8::try_from(descriptors.len()).unwrap_or(0);
    let body = [&[0xe0, pid, 0xf0, length], descriptors, &[0x02, 0xe0, pid, 0xf0, 0]].concat();
    section(0x02, service.into(), version, &body)
}

/// A CA_descriptor (ISO/IEC 13818-1 §2.6.16).
fn ca(system: u16, pid: u16, private: &[u8]) -> Vec<u8> {
    let length = u8::try_from(private.len() + 4).unwrap_or(0);
    let ([a, b], [c, d]) = (system.to_be_bytes(), (0xe000 | pid).to_be_bytes());
    [&[0x09, length, a, b, c, d], private].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_whole_and_marked_as_they_should_be() {
        let mut maker = Maker::default();
        let packets = maker.beat(0, 0, true);
        assert_eq!(packets.len() % PACKET, 0);
        let scrambled: Vec<u8> =
            packets.chunks(PACKET).filter(|packet| packet[3] & 0xc0 != 0).map(|packet| packet[2]).collect();
        assert_eq!(scrambled.len(), 10);
        assert!(scrambled.iter().all(|pid| [0x50, 0x60].contains(pid)));
        let clear = maker.beat(1, 6, true);
        assert!(clear.chunks(PACKET).all(|packet| packet[0] == 0x47 && packet[3] & 0xc0 == 0));
    }
}
