//! A transport stream judged by the letter of ISO/IEC 13818-1, apart from our own parsers.
//!
//! Counters and clocks are read here with nothing but offsets, so that a fault in `media` cannot hide itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Bytes of a packet (§2.4.3.2).
pub const PACKET_BYTES: usize = 188;

const NULL_PID: u16 = 0x1FFF;

/// What a stretch of packets holds, told piece by piece.
#[derive(Debug, Default)]
pub struct Judge {
    rest: Vec<u8>,
    counters: BTreeMap<u16, u8>,
    /// Packets seen.
    pub packets: u64,
    /// Places where a counter did not go on, in words.
    pub breaks: Vec<String>,
    /// First and last PCR, 90 kHz; a programme has one clock, whichever PID carries it from now on.
    pub clock: Option<(u64, u64)>,
}

impl Judge {
    /// Looks at further bytes, cut anywhere.
    ///
    /// # Errors
    /// When the packets do not begin with their sync byte.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / PACKET_BYTES * PACKET_BYTES;
        let taken: Vec<u8> = self.rest.drain(..whole).collect();
        taken.chunks(PACKET_BYTES).try_for_each(|packet| self.packet(packet))
    }

    /// Seconds by the programme clock; none before two references.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        let (first, last) = self.clock?;
        // 33 bits at 90 kHz.
        let ticks = last.wrapping_sub(first) & 0x1_FFFF_FFFF;
        Some(f64::from(u32::try_from(ticks).ok()?) / 90_000.0)
    }

    fn packet(&mut self, packet: &[u8]) -> Result<()> {
        ensure!(packet[0] == 0x47, "packet {} begins with {:#04x}", self.packets, packet[0]);
        self.packets += 1;
        let pid = u16::from(packet[1] & 0x1F) << 8 | u16::from(packet[2]);
        let (adaptation, payload, counter) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0, packet[3] & 0x0F);
        let flags = if adaptation && packet[4] > 0 { packet[5] } else { 0 };
        if flags & 0x10 != 0 {
            self.reference(packet);
        }
        if pid == NULL_PID || !payload {
            return Ok(());
        }
        let announced = flags & 0x80 != 0;
        if let Some(last) = self.counters.insert(pid, counter)
            && (last + 1) & 0x0F != counter
            && !announced
        {
            self.breaks.push(format!("PID {pid:#x} goes from {last} to {counter} at packet {}", self.packets));
        }
        Ok(())
    }

    fn reference(&mut self, packet: &[u8]) {
        let base =
            packet[6..10].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) << 1 | u64::from(packet[10] >> 7);
        self.clock.get_or_insert((base, base)).1 = base;
    }
}

/// The whole of a clear stream: packets in order, counters unbroken.
///
/// # Errors
/// Names the first breaks.
pub fn whole(bytes: &[u8]) -> Result<Judge> {
    ensure!(bytes.len().is_multiple_of(PACKET_BYTES), "{} bytes are no whole packets", bytes.len());
    let mut judge = Judge::default();
    judge.push(bytes)?;
    if let Some(first) = judge.breaks.first() {
        bail!("{} breaks of continuity, first: {first}", judge.breaks.len());
    }
    Ok(judge)
}

/// Cuts a stream that was read up to any byte down to whole packets.
///
/// # Errors
/// When there is not one.
pub fn trim(bytes: &[u8]) -> Result<&[u8]> {
    bytes.get(..bytes.len() / PACKET_BYTES * PACKET_BYTES).filter(|whole| !whole.is_empty()).context("no packet")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, counter: u8) -> Vec<u8> {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![0x47, high, low, 0x10 | counter];
        packet.resize(PACKET_BYTES, 0xFF);
        packet
    }

    #[test]
    fn a_lost_packet_is_seen_and_a_wrap_is_none() {
        let run = |counters: &[u8]| whole(&counters.iter().flat_map(|c| packet(0x100, *c)).collect::<Vec<u8>>());
        assert!(run(&[14, 15, 0, 1]).is_ok());
        assert_eq!(
            run(&[14, 0]).expect_err("one is missing").to_string(),
            "1 breaks of continuity, first: PID 0x100 goes from 14 to 0 at packet 2"
        );
    }
}
