//! What an input shows of itself: one sample each 250 ms, for the input and for each of its services.
//!
//! Pure: packets and monotonic milliseconds in, plain figures out; no clock, no lock. The same code watches inputs
//! that play and inputs that stand by. It measures and does not judge: limits and decisions are
//! `headend_failover`'s, which takes a [`Sample`] from [`InputSample::observe`]. The measurements are those of ETSI
//! TR 101 290 §5.2 that a viewer would notice: 1.1 sync, 1.3 PAT, 1.4 continuity, 1.5 PMT, 2.1 transport errors, 2.2 CRC.

use std::collections::BTreeMap;
use std::sync::Arc;

use headend_failover::Sample;
use headend_media::continuity::Continuity;
use headend_media::packet::{Packet, Pid, Scrambling};
use headend_media::pes::PesHeader;
use headend_media::section::SectionReader;
use headend_media::service::{Service, ServiceEvent, ServiceId, ServiceWatch, Services, StreamKind};
use headend_media::table::Pat;
use headend_media::text::TextDefaults;

use super::ring::PACKET_BYTES;

/// How often [`SourceWatch::sample`] is meant to be called, milliseconds.
pub const SAMPLE_MS: u64 = 250;

const MINUTE_SECS: u64 = 60;

/// Figures of one input since the sample before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSample {
    /// Monotonic milliseconds of the sample.
    pub at_ms: u64,
    /// Milliseconds since the last packet; `u64::MAX` when there was none.
    pub packet_age_ms: u64,
    /// Packets, null packets included.
    pub packets: u64,
    /// Bits a second over the sample, packets times 188 bytes.
    pub bitrate_bps: u64,
    /// Packets the demodulator marked as damaged.
    pub tei: u64,
    /// Continuity errors of all PIDs.
    pub continuity_errors: u64,
    /// Continuity errors of all PIDs in the last minute.
    pub continuity_per_minute: u64,
    /// Sections thrown away: CRC_32 or syntax.
    pub crc_errors: u64,
    /// Services of the PAT, in rising order; they stay listed while a source is lost.
    pub services: Vec<ServiceSample>,
}

/// Figures of one service since the sample before.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSample {
    /// Which service.
    pub service: ServiceId,
    /// What the failover rules look at.
    pub sample: Sample,
    /// Bits a second of the PIDs of its PMT.
    pub bitrate_bps: u64,
    /// Continuity errors on its PIDs in the last minute.
    pub continuity_per_minute: u64,
    /// Whether its PMT was read.
    pub mapped: bool,
}

impl InputSample {
    /// What the failover rules are told of `service` at `now_ms`: this sample, grown older. `None` asks for the lowest-
    /// numbered service. A service that is not there, or not yet, has given no packets. Call it once for each new sample, and
    /// when none came for longer than [`SAMPLE_MS`], so that an input that died is seen to.
    #[must_use]
    pub fn observe(&self, service: Option<ServiceId>, now_ms: u64) -> Sample {
        let older = now_ms.saturating_sub(self.at_ms);
        let found = match service {
            Some(id) => self.services.iter().find(|seen| seen.service == id),
            None => self.services.first(),
        };
        let Some(found) = found else {
            return Sample { packet_age_ms: u64::MAX, pat_age_ms: u64::MAX, ..Sample::GOOD };
        };
        Sample {
            packet_age_ms: found.sample.packet_age_ms.saturating_add(older),
            pat_age_ms: found.sample.pat_age_ms.saturating_add(older),
            video_age_ms: found.sample.video_age_ms.map(|age| age.saturating_add(older)),
            audio_age_ms: found.sample.audio_age_ms.map(|age| age.saturating_add(older)),
            ..found.sample
        }
    }
}

/// Watches one input. Memory: about 600 KiB for tables by PID, and the bounds of [`ServiceWatch`].
pub struct SourceWatch {
    services: ServiceWatch,
    /// Read beside the service watch, which is silent about tables that did not change.
    pat: SectionReader,
    continuity: Continuity,
    tallies: Box<[Tally]>,
    pulses: BTreeMap<Pid, Pulse>,
    tracks: BTreeMap<ServiceId, Track>,
    minute: Minute,
    snapshot: Arc<Services>,
    packet_at: Option<u64>,
    pat_at: Option<u64>,
    sampled_at: Option<u64>,
    packets: u64,
    tei: u64,
    crc_errors: u64,
}

/// One PID since the last sample.
#[derive(Clone, Copy, Default)]
struct Tally {
    packets: u32,
    scrambled: u32,
    errors: u32,
    /// Whether its PES starts are looked at.
    pulse: bool,
}

/// Signs of life of one picture or sound stream.
struct Pulse {
    kind: StreamKind,
    pts: Option<u64>,
    /// When its time stamps last moved (picture) or a PES packet last came (sound); at first, when it was announced.
    moved_at: u64,
}

#[derive(Default)]
struct Track {
    pat_at: Option<u64>,
    packet_at: Option<u64>,
    minute: Minute,
}

/// Events of the last minute, by second.
struct Minute {
    seconds: [u32; 60],
    second: u64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { seconds: [0; 60], second: 0 }
    }
}

impl SourceWatch {
    /// Watches an input whose service names without a table selector are read by `defaults`.
    #[must_use]
    pub fn new(defaults: TextDefaults) -> Self {
        Self {
            services: ServiceWatch::new(defaults),
            pat: SectionReader::default(),
            continuity: Continuity::default(),
            tallies: vec![Tally::default(); Pid::COUNT].into_boxed_slice(),
            pulses: BTreeMap::new(),
            tracks: BTreeMap::new(),
            minute: Minute::default(),
            snapshot: Arc::default(),
            packet_at: None,
            pat_at: None,
            sampled_at: None,
            packets: 0,
            tei: 0,
            crc_errors: 0,
        }
    }

    /// The services as they are known now; a new value after each change.
    #[must_use]
    pub fn services(&self) -> Arc<Services> {
        Arc::clone(&self.snapshot)
    }

    /// What comes does not join what came, for a reason that is counted elsewhere.
    pub fn rejoin(&mut self) {
        self.continuity = Continuity::default();
    }

    /// When the last PAT with a right CRC_32 came, monotonic milliseconds.
    #[must_use]
    pub fn pat_at(&self) -> Option<u64> {
        self.pat_at
    }

    /// Takes the next packet of the input, arrived at monotonic `now_ms`.
    pub fn push(&mut self, packet: &Packet<'_>, now_ms: u64) {
        self.packets += 1;
        self.packet_at = Some(now_ms);
        if packet.tei() {
            self.tei += 1;
            return;
        }
        let pid = packet.pid();
        let error = self.continuity.judge(packet).is_error();
        let tally = &mut self.tallies[pid.index()];
        tally.packets = tally.packets.saturating_add(1);
        tally.errors = tally.errors.saturating_add(u32::from(error));
        let scrambled = packet.scrambling() != Scrambling::Clear;
        tally.scrambled = tally.scrambled.saturating_add(u32::from(scrambled));
        if tally.pulse && packet.unit_start() && !scrambled {
            self.feel(pid, packet.payload(), now_ms);
        }
        if pid == Pid::PAT {
            self.see_pat(packet, now_ms);
        }
        self.watch_services(packet, now_ms);
    }

    /// The figures since the call before, and starts the next interval at `now_ms`.
    pub fn sample(&mut self, now_ms: u64) -> InputSample {
        let span_ms = self.sampled_at.map_or(SAMPLE_MS, |at| now_ms.saturating_sub(at)).max(1);
        let services = self.services.services().list.iter();
        let services: Vec<_> = services
            .map(|(&id, service)| {
                let track = self.tracks.entry(id).or_default();
                measure(id, service, track, &self.tallies, &self.pulses, (now_ms, span_ms))
            })
            .collect();
        let errors = self.tallies.iter().map(|tally| u64::from(tally.errors)).sum();
        self.minute.add(now_ms, errors);
        let sample = InputSample {
            at_ms: now_ms,
            packet_age_ms: age(self.packet_at, now_ms),
            packets: self.packets,
            bitrate_bps: bitrate(self.packets, span_ms),
            tei: self.tei,
            continuity_errors: errors,
            continuity_per_minute: self.minute.sum(now_ms),
            crc_errors: self.crc_errors,
            services,
        };
        (self.packets, self.tei, self.crc_errors) = (0, 0, 0);
        self.sampled_at = Some(now_ms);
        for tally in &mut self.tallies {
            (tally.packets, tally.scrambled, tally.errors) = (0, 0, 0);
        }
        sample
    }

    /// A PES packet starts on a stream of picture or sound.
    fn feel(&mut self, pid: Pid, payload: &[u8], now_ms: u64) {
        let Some(pulse) = self.pulses.get_mut(&pid) else { return };
        // A long header may end in the next packet; its beginning is enough to know that there is sound.
        let header = PesHeader::parse(payload).ok();
        match (pulse.kind, header.and_then(|header| header.pts)) {
            (StreamKind::Video, Some(pts)) if pulse.pts != Some(pts) => {
                (pulse.pts, pulse.moved_at) = (Some(pts), now_ms)
            }
            (StreamKind::Audio, _) if payload.starts_with(&[0, 0, 1]) => pulse.moved_at = now_ms,
            _ => {}
        }
    }

    fn see_pat(&mut self, packet: &Packet<'_>, now_ms: u64) {
        let (tracks, pat_at) = (&mut self.tracks, &mut self.pat_at);
        self.pat.push(packet, &mut |section| {
            let Some(pat) = section.ok().and_then(|section| Pat::parse(section).ok()) else { return };
            *pat_at = Some(now_ms);
            for entry in pat.programmes {
                tracks.entry(ServiceId(entry.number)).or_default().pat_at = Some(now_ms);
            }
        });
    }

    fn watch_services(&mut self, packet: &Packet<'_>, now_ms: u64) {
        let (mut changed, crc_errors) = (false, &mut self.crc_errors);
        self.services.push(packet, &mut |event| match event {
            ServiceEvent::Damaged(_) => *crc_errors += 1,
            _ => changed = true,
        });
        if changed {
            self.follow(now_ms);
        }
    }

    /// The services changed: look at the streams they have now.
    fn follow(&mut self, now_ms: u64) {
        self.snapshot = Arc::new(self.services.services().clone());
        let list = &self.snapshot.list;
        self.tracks.retain(|id, _| list.contains_key(id));
        let mut old = std::mem::take(&mut self.pulses);
        for pid in old.keys() {
            self.tallies[pid.index()].pulse = false;
        }
        for stream in list.values().flat_map(|service| &service.streams) {
            let kind = stream.kind();
            if !matches!(kind, StreamKind::Video | StreamKind::Audio) {
                continue;
            }
            let fresh = Pulse { kind, pts: None, moved_at: now_ms };
            let pulse = old.remove(&stream.pid).filter(|pulse| pulse.kind == kind).unwrap_or(fresh);
            self.pulses.insert(stream.pid, pulse);
            self.tallies[stream.pid.index()].pulse = true;
        }
    }
}

fn measure(
    id: ServiceId,
    service: &Service,
    track: &mut Track,
    tallies: &[Tally],
    pulses: &BTreeMap<Pid, Pulse>,
    (now_ms, span_ms): (u64, u64),
) -> ServiceSample {
    let mut sum = (0_u64, 0_u64, 0_u64);
    for stream in &service.streams {
        let tally = tallies[stream.pid.index()];
        sum.0 += u64::from(tally.packets);
        sum.1 += u64::from(tally.scrambled);
        sum.2 += u64::from(tally.errors);
    }
    let (packets, scrambled, errors) = sum;
    if packets > 0 {
        // To the sample, not to the packet: an interval of uncertainty that the rules allow for.
        track.packet_at = Some(now_ms);
    }
    track.minute.add(now_ms, errors);
    let newest = |kind: StreamKind| {
        let of_kind = service.streams.iter().filter_map(|stream| pulses.get(&stream.pid)).filter(|p| p.kind == kind);
        of_kind.map(|pulse| now_ms.saturating_sub(pulse.moved_at)).min()
    };
    ServiceSample {
        service: id,
        sample: Sample {
            packet_age_ms: age(track.packet_at, now_ms),
            pat_age_ms: age(track.pat_at, now_ms),
            video_age_ms: newest(StreamKind::Video),
            audio_age_ms: newest(StreamKind::Audio),
            continuity_errors: u32::try_from(errors).unwrap_or(u32::MAX),
            scrambled_permille: u16::try_from((scrambled * 1000).checked_div(packets).unwrap_or(0)).unwrap_or(1000),
        },
        bitrate_bps: bitrate(packets, span_ms),
        continuity_per_minute: track.minute.sum(now_ms),
        mapped: service.pmt_version.is_some(),
    }
}

fn age(at: Option<u64>, now_ms: u64) -> u64 {
    at.map_or(u64::MAX, |at| now_ms.saturating_sub(at))
}

fn bitrate(packets: u64, span_ms: u64) -> u64 {
    packets.saturating_mul(8 * 1000 * PACKET_BYTES as u64) / span_ms
}

impl Minute {
    fn add(&mut self, now_ms: u64, count: u64) {
        self.advance(now_ms / 1000);
        let second = &mut self.seconds[slot(self.second)];
        *second = second.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn sum(&mut self, now_ms: u64) -> u64 {
        self.advance(now_ms / 1000);
        self.seconds.iter().map(|&count| u64::from(count)).sum()
    }

    fn advance(&mut self, second: u64) {
        for passed in (self.second + 1..=second).rev().take(self.seconds.len()) {
            self.seconds[slot(passed)] = 0;
        }
        self.second = self.second.max(second);
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % MINUTE_SECS).expect("below sixty")
}

#[cfg(test)]
mod tests;
