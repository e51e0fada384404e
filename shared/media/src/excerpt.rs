//! One service out of a multiplex, as a partial transport stream: what goes through the tunnel to the other site.
//!
//! Packets are passed as they came, counters and null packets aside, because the other site is to package the very same
//! ones: those of the service's PMT, its streams, its PCR and ECMs, of CAT and EMMs, and of SDT, EIT and TDT. Only the PAT
//! is our own and names this service alone (EN 300 468 §7 asks for other tables only of streams that leave a home
//! network). Nothing is passed before the PMT was read but the tables. Sans-IO, driven by whoever sends; it neither
//! descrambles nor mends.

use crate::descriptor::{self, Descriptors, tag};
use crate::package::{append_section, long_section};
use crate::packet::{PACKET_BYTES, Packet, Pid};
use crate::section::SectionReader;
use crate::table::{Cat, Pat, Pmt};

/// Tables of the whole multiplex that the other site reads too.
const SHARED: [Pid; 3] = [Pid::SDT, Pid::EIT, Pid::TDT];

/// Takes one service out of a multiplex. Memory: one flag for each PID and two sections.
#[derive(Debug)]
pub struct Excerpt {
    wanted: Option<u16>,
    pat: SectionReader,
    cat: SectionReader,
    pmt: SectionReader,
    /// The service and the PID of its PMT.
    service: Option<(u16, Pid)>,
    streams: Box<[bool]>,
    emms: Vec<Pid>,
    /// Our PAT, one packet, with the counter it goes out with next.
    own: Vec<u8>,
    counter: u8,
}

impl Excerpt {
    /// Takes out the service with this id, or the first of the PAT.
    #[must_use]
    pub fn new(service: Option<u16>) -> Self {
        Self {
            wanted: service,
            pat: SectionReader::default(),
            cat: SectionReader::default(),
            pmt: SectionReader::default(),
            service: None,
            streams: vec![false; Pid::COUNT].into_boxed_slice(),
            emms: vec![],
            own: vec![],
            counter: 0,
        }
    }

    /// Appends to `out` what of these packets (188 bytes each) belongs to the service.
    pub fn push(&mut self, packets: &[u8], out: &mut Vec<u8>) {
        for bytes in packets.as_chunks::<PACKET_BYTES>().0 {
            if let Some(packet) = Packet::new(bytes) {
                self.take(&packet, out);
            }
        }
    }

    fn take(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        let pid = packet.pid();
        if pid == Pid::PAT {
            self.read_pat(packet);
            if packet.unit_start() {
                self.send_pat(out);
            }
            return;
        }
        if pid == Pid::CAT {
            self.read_cat(packet);
        } else if self.service.is_some_and(|(_, pmt_pid)| pmt_pid == pid) {
            self.read_pmt(packet);
        } else if !self.streams[pid.index()] && !SHARED.contains(&pid) && !self.emms.contains(&pid) {
            return;
        }
        out.extend_from_slice(packet.bytes());
    }

    fn read_pat(&mut self, packet: &Packet<'_>) {
        let (wanted, mut found) = (self.wanted, None);
        self.pat.push(packet, &mut |section| {
            let Some(pat) = section.ok().and_then(|section| Pat::parse(section).ok()).filter(|pat| pat.current) else {
                return;
            };
            let entry = pat.programmes.iter().find(|entry| wanted.is_none_or(|wanted| wanted == entry.number));
            found = entry.map(|entry| (pat.tsid, entry.number, entry.pmt_pid)).or(found);
        });
        let Some((tsid, number, pmt_pid)) = found else { return };
        if self.service != Some((number, pmt_pid)) {
            self.service = Some((number, pmt_pid));
            self.streams.fill(false);
            self.pmt = SectionReader::default();
        }
        let [high, low] = (0xE000 | pmt_pid.value()).to_be_bytes();
        let [number_high, number_low] = number.to_be_bytes();
        self.own.clear();
        append_section(&long_section(0x00, tsid, &[number_high, number_low, high, low]), Pid::PAT, &mut self.own);
    }

    fn send_pat(&mut self, out: &mut Vec<u8>) {
        if let Some(flags) = self.own.get_mut(3) {
            *flags = *flags & 0xF0 | self.counter;
            self.counter = (self.counter + 1) & 0x0F;
            out.extend_from_slice(&self.own);
        }
    }

    fn read_cat(&mut self, packet: &Packet<'_>) {
        let emms = &mut self.emms;
        self.cat.push(packet, &mut |section| {
            if let Some(cat) = section.ok().and_then(|section| Cat::parse(section).ok()) {
                *emms = cat.systems().map(|system| system.pid).collect();
            }
        });
    }

    fn read_pmt(&mut self, packet: &Packet<'_>) {
        let Self { pmt, streams, service, .. } = self;
        pmt.push(packet, &mut |section| {
            let Some(pmt) = section.ok().and_then(|section| Pmt::parse(section).ok()) else { return };
            if !pmt.current || service.is_none_or(|(number, _)| number != pmt.programme) {
                return;
            }
            streams.fill(false);
            let mut keep = |pid: Pid| streams[pid.index()] = pid != Pid::NULL && pid != Pid::PAT;
            keep(pmt.pcr_pid);
            ecms(pmt.descriptors).for_each(&mut keep);
            for stream in &pmt.streams {
                keep(stream.pid);
                ecms(stream.descriptors).for_each(&mut keep);
            }
        });
    }
}

fn ecms(descriptors: Descriptors<'_>) -> impl Iterator<Item = Pid> {
    descriptors.all(tag::CA).filter_map(descriptor::ca).map(|ca| ca.pid)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::inspect::Inspector;
    use crate::text::TextDefaults;
    use proptest::prelude::{any, prop, proptest};

    const RAI: &[u8] = include_bytes!("../../../tests/fixtures/ts/rai1.ts");

    fn take_out(service: Option<u16>, packets: &[u8]) -> Vec<u8> {
        let (mut excerpt, mut out) = (Excerpt::new(service), vec![]);
        excerpt.push(packets, &mut out);
        out
    }

    fn by_pid(packets: &[u8]) -> BTreeMap<u16, Vec<&[u8]>> {
        let mut pids = BTreeMap::<u16, Vec<&[u8]>>::new();
        for packet in packets.chunks_exact(PACKET_BYTES) {
            pids.entry(Packet::from_slice(packet).unwrap().pid().value()).or_default().push(packet);
        }
        pids
    }

    #[test]
    fn one_service_of_a_recorded_multiplex_and_nothing_of_the_others() {
        let out = take_out(Some(3404), RAI);
        let mut inspector = Inspector::new(TextDefaults::default());
        inspector.push(&out);
        inspector.finish();
        let report = inspector.report();
        let crossed: Vec<_> = report.services.iter().filter(|service| !service.streams.is_empty()).collect();
        let [service] = crossed[..] else { panic!("{crossed:?}") };
        assert_eq!(service.id.0, 3404);
        assert_eq!((report.cc_errors, report.crc_errors), (0, 0));
        assert!(out.len() * 2 < RAI.len(), "{} of {} bytes", out.len(), RAI.len());
        // Every packet of its streams from the first PMT on, as it came.
        let (before, after) = (by_pid(RAI), by_pid(&out));
        for stream in &service.streams {
            let Some(came) = before.get(&stream.pid.value()) else { continue };
            let went = &after[&stream.pid.value()];
            assert_eq!(came[came.len() - went.len()..], went[..], "PID {}", stream.pid);
            assert!(went.len() * 10 > came.len() * 7, "PID {}: {} of {}", stream.pid, went.len(), came.len());
        }
    }

    #[test]
    fn a_service_that_is_not_there_gives_tables_only() {
        let pids = by_pid(&take_out(Some(9), RAI)).into_keys().collect::<Vec<_>>();
        assert!(pids.iter().all(|pid| [1, 0x11, 0x12, 0x14].contains(pid)), "{pids:?}");
    }

    proptest! {
        #[test]
        fn any_packets_are_survived(tails in prop::collection::vec((0_u8..3, prop::collection::vec(any::<u8>(), 187)), 0..40)) {
            let packets: Vec<u8> = tails.iter().flat_map(|(pid, tail)| {
                let mut packet = [&[0x47][..], tail].concat();
                if *pid < 2 {
                    (packet[1], packet[2]) = (0x40, *pid);
                }
                packet
            }).collect();
            assert!(take_out(None, &packets).len() <= packets.len());
        }
    }
}
