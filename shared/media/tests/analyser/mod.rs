//! What a strict receiver checks of a transport stream, written apart from the code it judges.

use std::collections::BTreeMap;

use headend_media::packet::{PACKET_BYTES, Packet, Pid};
use headend_media::pes::PesHeader;
use headend_media::time::Pts;

/// One PES packet as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) pts: Option<Pts>,
    pub(crate) dts: Option<Pts>,
    pub(crate) payload: Vec<u8>,
    /// Elementary stream bytes by `PES_packet_length`; `None` when it is open.
    pub(crate) announced: Option<usize>,
}

/// All that was read of a stream.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) units: BTreeMap<u16, Vec<Unit>>,
    pub(crate) pcrs: BTreeMap<u16, Vec<u64>>,
    /// Breaks of continuity counters: PID and packet.
    pub(crate) breaks: Vec<(u16, usize)>,
    pub(crate) packets: usize,
}

impl Reading {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len() % PACKET_BYTES, 0);
        let (mut reading, mut counters) = (Self::default(), BTreeMap::<Pid, u8>::new());
        for (index, packet) in bytes.chunks_exact(PACKET_BYTES).enumerate() {
            let packet = Packet::from_slice(packet).expect("sync byte");
            assert!(!packet.tei(), "packet {index} is marked damaged");
            if packet.pid() == Pid::NULL {
                continue;
            }
            reading.packets += 1;
            let expected = counters.get(&packet.pid()).map(|c| (c + u8::from(packet.has_payload())) & 15);
            if expected.is_some_and(|expected| expected != packet.continuity()) {
                reading.breaks.push((packet.pid().value(), index));
            }
            counters.insert(packet.pid(), packet.continuity());
            reading.take(&packet);
        }
        reading
    }

    fn take(&mut self, packet: &Packet<'_>) {
        let pid = packet.pid().value();
        if let Some(pcr) = packet.adaptation().and_then(|a| a.pcr) {
            self.pcrs.entry(pid).or_default().push(pcr);
        }
        let payload = packet.payload();
        if packet.unit_start() && payload.starts_with(&[0, 0, 1]) {
            // A header may be cut by the packets that fill up to sixteen; those of tests never are.
            let header = PesHeader::parse(payload).expect("header in one packet");
            let unit = Unit {
                pts: header.pts.map(Pts::new),
                dts: header.decode_time().map(Pts::new),
                payload: header.payload(payload).to_vec(),
                announced: (header.packet_length > 0)
                    .then(|| (usize::from(header.packet_length) + 6).saturating_sub(header.header_bytes)),
            };
            self.units.entry(pid).or_default().push(unit);
        } else if let Some(unit) = self.units.get_mut(&pid).and_then(|units| units.last_mut()) {
            unit.payload.extend_from_slice(payload);
        }
    }

    /// Elementary stream bytes of a PID.
    pub(crate) fn es(&self, pid: u16) -> Vec<u8> {
        self.units.get(&pid).into_iter().flatten().flat_map(|unit| unit.payload.clone()).collect()
    }

    /// PIDs with PES packets that have not the length they announce, the last of each PID aside.
    pub(crate) fn unfinished(&self) -> Vec<u16> {
        let whole = |unit: &Unit| unit.announced.is_none_or(|bytes| bytes == unit.payload.len());
        let cut = |units: &[Unit]| units.iter().rev().skip(1).any(|unit| !whole(unit));
        self.units.iter().filter(|(_, units)| cut(units)).map(|(pid, _)| *pid).collect()
    }

    /// Steps between decoding times of a PID, in ticks.
    pub(crate) fn steps(&self, pid: u16) -> Vec<i64> {
        let times: Vec<Pts> = self.units.get(&pid).into_iter().flatten().filter_map(|unit| unit.dts).collect();
        times.windows(2).map(|pair| pair[1].signed_since(pair[0])).collect()
    }

    /// Steps between PCRs of a PID, in ticks of 90 kHz.
    pub(crate) fn pcr_steps(&self, pid: u16) -> Vec<i64> {
        let pcrs = self.pcrs.get(&pid).cloned().unwrap_or_default();
        pcrs.windows(2).map(|pair| Pts::new(pair[1] / 300).signed_since(Pts::new(pair[0] / 300))).collect()
    }
}
