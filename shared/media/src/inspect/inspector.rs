//! Counts packets and errors per PID and puts the report together.
//!
//! Bounds: counters of 8,192 PIDs (256 KiB), and those of the parts it is made of.

use std::collections::BTreeMap;

use super::report::{Report, ReportEvent, ReportService, ReportStream};
use crate::continuity::Continuity;
use crate::descriptor::ServiceKind;
use crate::guide::{GuideNews, GuideWatch};
use crate::packet::{PACKET_BYTES, Packet, Pid, Scrambling};
use crate::resync::Resync;
use crate::service::{Damage, Service, ServiceEvent, ServiceId, ServiceWatch, Services, Stream, StreamKind};
use crate::table::TableError;
use crate::text::TextDefaults;

/// Ticks of a PCR in a second.
const PCR_HERTZ: u64 = 27_000_000;

/// Ticks after which a PCR starts again.
const PCR_MODULUS: u64 = (1 << 33) * 300;

/// A PCR further on than this from the one before jumped. The standard asks for one each 0.1 s; many send fewer.
const PCR_STEP_MAX: u64 = PCR_HERTZ;

/// Inspects one stream.
///
/// ```
/// use headend_media::{inspect::Inspector, text::TextDefaults};
/// let mut inspector = Inspector::new(TextDefaults::default());
/// let mut null = [0xFF; 188];
/// null[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
/// inspector.push(&null.repeat(10));
/// inspector.finish();
/// assert_eq!(inspector.report().packets, 10);
/// ```
#[derive(Debug)]
pub struct Inspector {
    resync: Resync,
    tally: Tally,
}

/// Everything behind the aligner.
#[derive(Debug)]
struct Tally {
    continuity: Continuity,
    services: ServiceWatch,
    guide: GuideWatch,
    counts: Box<[PidCounts]>,
    clocks: BTreeMap<Pid, Clock>,
    packets: u64,
    cc_errors: u64,
    tei: u64,
    crc_errors: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct PidCounts {
    packets: u64,
    cc_errors: u64,
    scrambled: u64,
}

/// The PCR of one PID: how much time and how many packets it measured, jumps left out.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    last: Option<(u64, u64)>,
    ticks: u64,
    packets: u64,
}

impl Clock {
    /// Notes a PCR in the packet with this number.
    fn note(&mut self, pcr: u64, number: u64, discontinuity: bool) {
        if let Some((last_pcr, last_number)) = self.last.filter(|_| !discontinuity) {
            let ticks = (pcr % PCR_MODULUS + PCR_MODULUS - last_pcr) % PCR_MODULUS;
            if (1..=PCR_STEP_MAX).contains(&ticks) {
                self.ticks += ticks;
                self.packets += number - last_number;
            }
        }
        self.last = Some((pcr % PCR_MODULUS, number));
    }

    fn bitrate(&self) -> Option<u64> {
        let bits = u128::from(self.packets) * (PACKET_BYTES as u128 * 8) * u128::from(PCR_HERTZ);
        u64::try_from(bits.checked_div(u128::from(self.ticks))?).ok()
    }
}

impl Inspector {
    /// An inspector whose texts without a selector are in the tables of `defaults`.
    pub fn new(defaults: TextDefaults) -> Self {
        let tally = Tally {
            continuity: Continuity::default(),
            services: ServiceWatch::new(defaults.clone()),
            guide: GuideWatch::new(defaults),
            counts: vec![PidCounts::default(); Pid::COUNT].into_boxed_slice(),
            clocks: BTreeMap::new(),
            packets: 0,
            cc_errors: 0,
            tei: 0,
            crc_errors: 0,
        };
        Self { resync: Resync::default(), tally }
    }

    /// Takes the next bytes, of any framing and cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { resync, tally } = self;
        resync.push(bytes, &mut |packet| tally.take(&packet));
    }

    /// Ends the stream, so that its last packets count too.
    pub fn finish(&mut self) {
        let Self { resync, tally } = self;
        resync.finish(&mut |packet| tally.take(&packet));
    }

    /// What is known of the services so far.
    pub fn services(&self) -> &Services {
        self.tally.services.services()
    }

    /// What was found so far.
    pub fn report(&self) -> Report {
        let tally = &self.tally;
        let services = self.services();
        let best_clock = tally.clocks.values().max_by_key(|clock| clock.ticks);
        Report {
            packets: tally.packets,
            bitrate: best_clock.and_then(Clock::bitrate),
            sync_losses: self.resync.counts().sync_losses,
            cc_errors: tally.cc_errors,
            tei: tally.tei,
            crc_errors: tally.crc_errors,
            tsid: services.tsid,
            onid: services.onid,
            network: services.network.clone(),
            services: services.list.iter().map(|(id, service)| tally.service(*id, service)).collect(),
            epg: tally.epg(),
        }
    }
}

impl Tally {
    fn take(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        if packet.tei() {
            // Its PID and everything behind may be wrong.
            self.tei += 1;
            return;
        }
        let counts = &mut self.counts[packet.pid().index()];
        counts.packets += 1;
        counts.scrambled += u64::from(packet.scrambling() != Scrambling::Clear);
        if self.continuity.judge(packet).is_error() {
            counts.cc_errors += 1;
            self.cc_errors += 1;
        }
        if let Some((pcr, adaptation)) = packet.adaptation().and_then(|a| Some((a.pcr?, a))) {
            let clock = self.clocks.entry(packet.pid()).or_default();
            clock.note(pcr, self.packets, adaptation.discontinuity);
        }
        let mut crc_errors = 0;
        let mut count = |damage| {
            crc_errors += u64::from(matches!(damage, Damage::Table(_, TableError::BadCrc { .. })));
        };
        self.services.push(packet, &mut |event| {
            if let ServiceEvent::Damaged(damage) = event {
                count(damage);
            }
        });
        self.guide.push(packet, &mut |news| {
            if let GuideNews::Damaged(damage) = news {
                count(damage);
            }
        });
        self.crc_errors += crc_errors;
    }

    fn service(&self, id: ServiceId, service: &Service) -> ReportService {
        let streams: Vec<_> = service.streams.iter().map(|stream| self.stream(stream)).collect();
        let seen = streams.iter().any(|stream| stream.packets > 0);
        ReportService {
            id,
            name: service.name.clone(),
            provider: service.provider.clone(),
            kind: service.kind.or_else(|| kind_of(&streams)),
            pmt_pid: service.pmt_pid,
            pcr_pid: service.pcr_pid,
            scrambled: if seen { streams.iter().any(|stream| stream.scrambled) } else { service.may_be_scrambled },
            ca_systems: service.ca_systems(),
            streams,
        }
    }

    fn stream(&self, stream: &Stream) -> ReportStream {
        let counts = self.counts[stream.pid.index()];
        let languages: Vec<_> = stream.languages.iter().map(|language| language.as_str()).collect();
        ReportStream {
            pid: stream.pid,
            kind: stream.kind(),
            codec: stream.codec.name().map(str::to_owned),
            language: Some(languages.join(",")).filter(|languages| !languages.is_empty()),
            packets: counts.packets,
            cc_errors: counts.cc_errors,
            scrambled: counts.scrambled > 0,
        }
    }

    fn epg(&self) -> Vec<ReportEvent> {
        let mut epg: Vec<_> = self
            .guide
            .services()
            .iter()
            .flat_map(|(path, events)| events.values().map(|event| (path.service, event)))
            .filter(|(_, event)| event.actual)
            .map(|(service, event)| ReportEvent {
                service,
                event_id: event.id,
                start: event.start,
                duration_s: event.duration_secs,
                title: event.titles.first().map(|title| title.title.clone()).unwrap_or_default(),
                language: event.titles.first().and_then(|title| title.language),
                running: event.running,
            })
            .collect();
        epg.sort_by_key(|event| (event.service, event.start, event.event_id));
        epg
    }
}

/// The kind of a service no SDT describes.
fn kind_of(streams: &[ReportStream]) -> Option<ServiceKind> {
    let has = |kind| streams.iter().any(|stream| stream.kind == kind);
    match (has(StreamKind::Video), has(StreamKind::Audio)) {
        (true, _) => Some(ServiceKind::Tv),
        (false, true) => Some(ServiceKind::Radio),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PCRs as (milliseconds, packet number, discontinuity announced).
    fn check(pcrs: &[(u64, u64, bool)], want: Option<u64>) {
        let mut clock = Clock::default();
        for (millis, number, discontinuity) in pcrs {
            clock.note(millis * PCR_HERTZ / 1000 % PCR_MODULUS, *number, *discontinuity);
        }
        assert_eq!(clock.bitrate(), want, "{pcrs:?}");
    }

    #[test]
    fn bitrate_by_pcr() {
        // A hundred packets in 100 ms are 1,504,000 bit/s.
        let steady = Some(1_504_000);
        check(&[], None);
        check(&[(0, 0, false)], None);
        check(&[(0, 0, false), (0, 9, false)], None);
        check(&[(0, 0, false), (100, 100, false), (200, 200, false)], steady);
        // Jumps onward, back and announced are left out; a wrap is none.
        check(&[(0, 0, false), (100, 100, false), (5000, 101, false), (5100, 201, false)], steady);
        check(&[(900, 0, false), (1000, 100, false), (10, 101, false), (110, 201, false)], steady);
        check(&[(0, 0, false), (100, 100, false), (150, 900, true), (250, 1000, false)], steady);
        let wrap = PCR_MODULUS * 1000 / PCR_HERTZ;
        check(&[(wrap - 49, 0, false), (wrap + 51, 100, false)], Some(1_504_000));
    }
}
