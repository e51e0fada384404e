//! What a clear transport stream segment is, as far as HLS asks (RFC 8216 §3, §3.2).
//!
//! One pass over the packets: tables, the programme's tracks, counters, the clock, the first and last times of the leading
//! track (video, else the first sound), and whether it begins with a point of entry. It judges nothing by itself: `chain`
//! does, which also knows the segment before. Counters of a run of segments are kept in [`Counters`], so that a break
//! between two of them is told from one inside. Memory is a few kB per PID.

use std::collections::BTreeMap;

use crate::continuity::Counter;
use crate::es::{AccessUnitScan, Verdict};
use crate::package::Kind;
use crate::package::programme::{Programme, ProgrammeWatch};
use crate::packet::{PACKET_BYTES, Packet, Pid, Scrambling};
use crate::pes::PesHeader;
use crate::section::SectionAssembler;
use crate::table::Pat;
use crate::time::Pts;

/// Packets at the start that may be tables before one of a track: PAT, and a PMT of three packets, twice.
const TABLE_PACKETS_MAX: usize = 8;

/// Continuity counters of a run of segments.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// The counter of each PID, and in which segment of the run it was last seen.
    pids: BTreeMap<Pid, (Counter, u64)>,
    segment: u64,
}

/// Times of one track, 33 bits of 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// Presentation time of the first access unit.
    pub(super) first_pts: Pts,
    /// Its decoding time.
    pub(super) first: Pts,
    /// Decoding time of the last access unit.
    pub(super) last: Pts,
    /// The step between the last two.
    pub(super) step: i64,
}

/// What was learnt of a segment.
#[derive(Debug, Default)]
pub(super) struct SegmentFacts {
    /// 188-byte packets.
    pub(super) packets: usize,
    /// Packets without a sync byte, and bytes that are no whole packet.
    pub(super) unreadable: usize,
    /// The first packet has no sync byte, but the second has.
    pub(super) first_damaged: bool,
    /// The first packet is a PAT whose checksum is wrong.
    pub(super) first_pat_damaged: bool,
    /// Packets that are scrambled.
    pub(super) scrambled: usize,
    /// Programmes of the PAT; `None` without one.
    pub(super) programmes: Option<usize>,
    /// Tracks of the first programme's map; `None` without one.
    pub(super) tracks: Option<Vec<(Pid, Kind)>>,
    /// PAT and PMT stood before all else.
    pub(super) tables_first: bool,
    /// How the leading track's first access unit can be entered; `None` when it has no pictures.
    pub(super) entry: Option<Verdict>,
    /// The leading track is video.
    pub(super) video: bool,
    /// Of the leading track.
    pub(super) times: Option<Times>,
    /// Clock references.
    pub(super) pcrs: usize,
    /// Breaks inside the segment: how many, and the PID of the first.
    pub(super) breaks: (u64, Option<Pid>),
    /// The same against the segment before.
    pub(super) apart: (u64, Option<Pid>),
}

impl SegmentFacts {
    /// Looks at a clear segment. `counters` are those of the segment before, or new ones.
    pub(super) fn of(clear: &[u8], counters: &mut Counters) -> Self {
        counters.segment += 1;
        let (packets, rest) = clear.as_chunks::<PACKET_BYTES>();
        let mut facts = Self { packets: packets.len(), unreadable: usize::from(!rest.is_empty()), ..Self::default() };
        let programme = programme(packets, &mut facts);
        let lead = programme.reference().map(|index| &programme.tracks[index]);
        facts.video = lead.is_some_and(|track| track.is_video());
        let mut scan = lead.and_then(|track| match track.kind {
            Kind::Video(codec) => Some(AccessUnitScan::new(codec)),
            _ => None,
        });
        let lead = lead.map(|track| track.source_pid);
        for (index, bytes) in packets.iter().enumerate() {
            let Some(packet) = Packet::new(bytes) else {
                facts.unreadable += 1;
                facts.first_damaged |= index == 0;
                continue;
            };
            facts.count(&packet, counters);
            if Some(packet.pid()) == lead {
                facts.lead(&packet, &mut scan);
            }
        }
        facts.first_damaged &= packets.get(1).is_some_and(|bytes| Packet::new(bytes).is_some());
        facts.first_pat_damaged = packets.first().and_then(Packet::new).is_some_and(|packet| is_damaged_pat(&packet));
        if facts.entry.is_none() && facts.times.is_some() {
            facts.entry = scan.map(|mut scan| scan.end());
        }
        facts
    }

    fn count(&mut self, packet: &Packet<'_>, counters: &mut Counters) {
        let pid = packet.pid();
        self.scrambled += usize::from(packet.scrambling() != Scrambling::Clear && packet.has_payload());
        self.pcrs += usize::from(packet.adaptation().is_some_and(|adaptation| adaptation.pcr.is_some()));
        if pid == Pid::NULL {
            return;
        }
        let segment = counters.segment;
        let (counter, seen) = counters.pids.entry(pid).or_insert((Counter::default(), segment));
        if counter.judge(packet).is_error() {
            let breaks = if *seen == segment { &mut self.breaks } else { &mut self.apart };
            breaks.0 += 1;
            breaks.1.get_or_insert(pid);
        }
        *seen = segment;
    }

    fn lead(&mut self, packet: &Packet<'_>, scan: &mut Option<AccessUnitScan>) {
        let payload = packet.payload();
        if packet.unit_start() {
            if let Some(scan) = scan.as_mut().filter(|_| self.times.is_some() && self.entry.is_none()) {
                self.entry = Some(scan.end());
            }
            let Ok(header) = PesHeader::parse(payload) else { return };
            let Some(stamp) = header.decode_time() else { return };
            let (stamp, pts) = (Pts::new(stamp), Pts::new(header.pts.unwrap_or(stamp)));
            match &mut self.times {
                None => self.times = Some(Times { first_pts: pts, first: stamp, last: stamp, step: 0 }),
                Some(times) => (times.step, times.last) = (stamp.signed_since(times.last), stamp),
            }
            if let Some(scan) = scan.as_mut().filter(|_| self.entry.is_none()) {
                scan.begin();
                scan.push(header.payload(payload));
            }
        } else if let Some(scan) = scan.as_mut().filter(|_| self.entry.is_none() && self.times.is_some()) {
            scan.push(payload);
        }
        if self.entry.is_none() {
            self.entry = scan.as_ref().and_then(AccessUnitScan::verdict).cloned();
        }
    }
}

/// A PAT of one packet, as all are that head a segment, with a wrong checksum.
fn is_damaged_pat(packet: &Packet<'_>) -> bool {
    let mut whole = false;
    SectionAssembler::default().push(packet.payload(), packet.unit_start(), &mut |section| {
        whole |= section.ok().is_some_and(|section| Pat::parse(section).is_ok());
    });
    packet.pid() == Pid::PAT && packet.unit_start() && !whole
}

/// PAT and PMT: which programme this is, and whether its tables come first.
fn programme(packets: &[[u8; PACKET_BYTES]], facts: &mut SegmentFacts) -> Programme {
    let (mut watch, mut pat) = (ProgrammeWatch::new(None), SectionAssembler::default());
    let mut found = None;
    let mut others = 0_usize;
    for (index, packet) in packets.iter().enumerate().filter_map(|(index, bytes)| Some((index, Packet::new(bytes)?))) {
        if packet.pid() == Pid::PAT && facts.programmes.is_none() {
            pat.push(packet.payload(), packet.unit_start(), &mut |section| {
                let read = section.ok().and_then(|section| Pat::parse(section).ok());
                facts.programmes = read.map(|pat| pat.programmes.len()).or(facts.programmes);
            });
        }
        if watch.wants(packet.pid()) {
            found = watch.push(&packet);
        }
        if found.is_some() {
            facts.tables_first = others == 0 && index < TABLE_PACKETS_MAX;
            break;
        }
        others += usize::from(!watch.wants(packet.pid()));
    }
    facts.tracks =
        found.as_ref().map(|programme| programme.tracks.iter().map(|track| (track.source_pid, track.kind)).collect());
    found.unwrap_or_default()
}
