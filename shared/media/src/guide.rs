//! Collects the guide a multiplex sends about itself and others: events of EIT, and the time of TDT and TOT.
//!
//! Sans-IO like [`crate::service`], and driven beside it by those who want a guide, for most packets of EIT are
//! text nobody else reads. ETSI EN 300 468 §5.2.4. Merging with other guides, zones and validity are the
//! controller's matter. Bounds: 20,000 events and 32 MiB of text; more are counted and dropped.

use std::collections::BTreeMap;

use crate::descriptor::{self, Content, ExtendedEvent, Language, ParentalRating, extended_events, tag};
use crate::packet::{Packet, Pid};
use crate::section::SectionReader;
use crate::service::{Damage, ServiceId};
use crate::table::{Arrival, Eit, EitEvent, TableError, Tdt, Tot, Versions};
use crate::text::{CodeTable, TextDefaults, decode};

/// Events kept at most: two weeks of about thirty services.
const EVENTS_MAX: usize = 20_000;

/// Bytes of text kept at most.
const TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A service anywhere: original network, transport stream, service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePath {
    /// `original_network_id`.
    pub onid: u16,
    /// `transport_stream_id`.
    pub tsid: u16,
    /// `service_id`.
    pub service: ServiceId,
}

/// One event of a guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuideEvent {
    /// `event_id`, unique within the service.
    pub id: u16,
    /// Whether its service is in the multiplex that sent it.
    pub actual: bool,
    /// Start, UTC; `None` when undefined.
    pub start: Option<jiff::Timestamp>,
    /// Duration in seconds; `None` when undefined.
    pub duration_secs: Option<u32>,
    /// Whether it is the present event and not said to be stopped.
    pub running: bool,
    /// `free_CA_mode`: at least one stream may be scrambled.
    pub scrambled: bool,
    /// Titles and short texts, one per language, in the order sent.
    pub titles: Vec<GuideTitle>,
    /// Long descriptions, one per language.
    pub extended: Vec<ExtendedEvent>,
    /// Genres.
    pub genres: Vec<Content>,
    /// Ages by country.
    pub ratings: Vec<ParentalRating>,
}

/// Title and short text in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuideTitle {
    /// Which language.
    pub language: Option<Language>,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub text: String,
}

/// What a packet changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuideNews {
    /// Events of this service came or changed.
    Events(ServicePath),
    /// The multiplex says what time it is.
    Clock(jiff::Timestamp),
    /// A section was thrown away.
    Damaged(Damage),
}

/// Watches the guide of one multiplex.
#[derive(Debug, Default)]
pub struct GuideWatch {
    defaults: TextDefaults,
    events_reader: SectionReader,
    clock_reader: SectionReader,
    versions: Versions,
    services: BTreeMap<ServicePath, BTreeMap<u16, GuideEvent>>,
    event_count: usize,
    text_bytes: usize,
    dropped: u64,
}

impl GuideWatch {
    /// Watches a guide whose texts without a selector are in the tables of `defaults`.
    pub fn new(defaults: TextDefaults) -> Self {
        Self { defaults, ..Self::default() }
    }

    /// Services and their events by id.
    pub fn services(&self) -> &BTreeMap<ServicePath, BTreeMap<u16, GuideEvent>> {
        &self.services
    }

    /// Events dropped because the guide is full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets events that ended before `instant`, and those that say no time.
    pub fn forget_before(&mut self, instant: jiff::Timestamp) {
        let ends_later = |event: &GuideEvent| {
            let duration = i64::from(event.duration_secs.unwrap_or(0));
            event.start.is_some_and(|start| start.as_second().saturating_add(duration) >= instant.as_second())
        };
        for events in self.services.values_mut() {
            events.retain(|_, event| ends_later(event));
        }
        self.services.retain(|_, events| !events.is_empty());
        let all = || self.services.values().flat_map(BTreeMap::values);
        (self.event_count, self.text_bytes) = (all().count(), all().map(text_bytes).sum());
    }

    /// Takes the next packet of the multiplex and calls `emit` for what it changed.
    pub fn push(&mut self, packet: &Packet<'_>, emit: &mut dyn FnMut(GuideNews)) {
        let pid = packet.pid();
        let reader = match pid {
            Pid::EIT => &mut self.events_reader,
            Pid::TDT => &mut self.clock_reader,
            _ => return,
        };
        let mut sections = vec![];
        reader.push(packet, &mut |result| sections.push(result.map(<[u8]>::to_vec)));
        for result in sections {
            let news = match result {
                Ok(section) => self.take(&section).map_err(|error| Damage::Table(pid, error)),
                Err(defect) => Err(Damage::Framing(pid, defect)),
            };
            if let Some(news) = news.unwrap_or_else(|damage| Some(GuideNews::Damaged(damage))) {
                emit(news);
            }
        }
    }

    fn take(&mut self, section: &[u8]) -> Result<Option<GuideNews>, TableError> {
        match section[0] {
            0x70 => Ok(Some(GuideNews::Clock(Tdt::parse(section)?.utc))),
            0x73 => Ok(Some(GuideNews::Clock(Tot::parse(section)?.utc))),
            0x4E..=0x6F => self.take_eit(section),
            // Running status and discontinuity tables may share these PIDs.
            _ => Ok(None),
        }
    }

    fn take_eit(&mut self, section: &[u8]) -> Result<Option<GuideNews>, TableError> {
        let eit = Eit::parse(section)?;
        let scope = u32::from(eit.onid) << 16 | u32::from(eit.tsid);
        if self.versions.note(&eit.header, scope) == Arrival::Known {
            return Ok(None);
        }
        let path = ServicePath { onid: eit.onid, tsid: eit.tsid, service: ServiceId(eit.service) };
        let table = self.defaults.table(eit.onid, Some(eit.service));
        let present = eit.present_following && eit.header.number == 0;
        if present {
            self.stop_others(path);
        }
        for event in &eit.events {
            self.keep(path, read(event, eit.actual, table), present.then_some(event.running_status));
        }
        Ok(Some(GuideNews::Events(path)))
    }

    fn stop_others(&mut self, path: ServicePath) {
        for event in self.services.get_mut(&path).into_iter().flat_map(BTreeMap::values_mut) {
            event.running = false;
        }
    }

    /// Keeps an event; `present_status` is its running status when it comes as the present one. Status 0 is undefined,
    /// and a present event is then taken to run.
    fn keep(&mut self, path: ServicePath, mut event: GuideEvent, present_status: Option<u8>) {
        let old = self.services.get(&path).and_then(|events| events.get(&event.id));
        event.running = match present_status {
            Some(status) => matches!(status, 0 | 4),
            // The schedule does not know what runs now.
            None => old.is_some_and(|old| old.running),
        };
        if let Some(old) = old {
            // Now and next often leave out the long description that the schedule has.
            if event.extended.is_empty() {
                event.extended.clone_from(&old.extended);
            }
            (self.event_count, self.text_bytes) = (self.event_count - 1, self.text_bytes - text_bytes(old));
        }
        let bytes = text_bytes(&event);
        if self.event_count >= EVENTS_MAX || self.text_bytes + bytes > TEXT_BYTES_MAX {
            self.dropped += 1;
            if let Some(events) = self.services.get_mut(&path) {
                events.remove(&event.id);
            }
            return;
        }
        (self.event_count, self.text_bytes) = (self.event_count + 1, self.text_bytes + bytes);
        self.services.entry(path).or_default().insert(event.id, event);
    }
}

fn text_bytes(event: &GuideEvent) -> usize {
    let titles = event.titles.iter().map(|title| title.title.len() + title.text.len());
    let items = event.extended.iter().flat_map(|extended| &extended.items).map(|(what, who)| what.len() + who.len());
    titles.sum::<usize>()
        + items.sum::<usize>()
        + event.extended.iter().map(|extended| extended.text.len()).sum::<usize>()
}

fn read(event: &EitEvent<'_>, actual: bool, table: CodeTable) -> GuideEvent {
    let text = |bytes: &[u8]| decode(bytes, table).text.trim().to_owned();
    let short = event.descriptors.all(tag::SHORT_EVENT).filter_map(descriptor::short_event);
    GuideEvent {
        id: event.id,
        actual,
        start: event.start,
        duration_secs: event.duration_secs,
        running: false,
        scrambled: event.scrambled,
        titles: short
            .map(|short| GuideTitle { language: short.language, title: text(short.title), text: text(short.text) })
            .collect(),
        extended: extended_events(event.descriptors, table),
        genres: event.descriptors.all(tag::CONTENT).flat_map(descriptor::content).collect(),
        ratings: event.descriptors.all(tag::PARENTAL_RATING).flat_map(descriptor::parental_ratings).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PACKET_BYTES;
    use crate::table::compose;
    use proptest::prelude::*;

    const START: [u8; 5] = [0xC0, 0x79, 0x12, 0x45, 0x00];
    const PATH: ServicePath = ServicePath { onid: 0x13E, tsid: 5, service: ServiceId(257) };

    fn event(id: u16, status: u8, title: &[u8]) -> Vec<u8> {
        let short = [&b"fra"[..], &[u8::try_from(title.len()).unwrap()], title, &[0]].concat();
        let mut counted = compose::counted(&compose::descriptor(tag::SHORT_EVENT, &short));
        counted[0] = status << 5 | counted[0] & 0x0F;
        [&id.to_be_bytes()[..], &START, &[1, 0, 0], &counted].concat()
    }

    fn eit(table_id: u8, version: u8, numbers: (u8, u8), events: &[Vec<u8>]) -> Vec<u8> {
        let body = [&[0, 5, 0x01, 0x3E, 0, 0x4E], &events.concat()[..]].concat();
        compose::section(table_id, 257, version, numbers, &body)
    }

    fn feed(watch: &mut GuideWatch, pid: Pid, sections: &[Vec<u8>]) -> Vec<GuideNews> {
        let (mut news, mut counter) = (vec![], 0);
        for bytes in sections.iter().flat_map(|section| compose::packets(pid, section, &mut counter)) {
            watch.push(&Packet::new(&bytes).unwrap(), &mut |item| news.push(item));
        }
        news
    }

    fn check(watch: &GuideWatch, want: &[(u16, &str, bool)]) {
        let events = &watch.services()[&PATH];
        let got: Vec<_> = events.values().map(|e| (e.id, e.titles[0].title.as_str(), e.running)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn present_following_and_schedule() {
        let mut watch = GuideWatch::default();
        let now = eit(0x4E, 1, (0, 1), &[event(7, 4, b"JT")]);
        let next = eit(0x4E, 1, (1, 1), &[event(8, 1, b"M\xC2et\xC2eo")]);
        let schedule = eit(0x50, 3, (0, 0), &[event(7, 0, b"Journal"), event(9, 0, b"Film")]);
        let news = feed(&mut watch, Pid::EIT, &[now.clone(), next, now, schedule]);
        assert_eq!(news, [GuideNews::Events(PATH); 3]);
        check(&watch, &[(7, "Journal", true), (8, "Météo", false), (9, "Film", false)]);
        // The next event begins.
        feed(&mut watch, Pid::EIT, &[eit(0x4E, 2, (0, 1), &[event(8, 0, b"M")])]);
        check(&watch, &[(7, "Journal", false), (8, "M", true), (9, "Film", false)]);
        watch.forget_before("1993-10-13T13:45:00Z".parse().unwrap());
        assert_eq!(watch.services().len(), 1);
        watch.forget_before("1993-10-13T13:45:01Z".parse().unwrap());
        assert!(watch.services().is_empty() && watch.event_count == 0 && watch.text_bytes == 0);
    }

    #[test]
    fn clock_and_damage() {
        let mut watch = GuideWatch::default();
        let tdt = [&[0x70, 0x70, 5], &START[..]].concat();
        let at = "1993-10-13T12:45:00Z".parse().unwrap();
        assert_eq!(feed(&mut watch, Pid::TDT, &[tdt]), [GuideNews::Clock(at)]);
        let mut broken = eit(0x4E, 1, (0, 0), &[event(7, 4, b"JT")]);
        broken[20] ^= 1;
        let damage = Damage::Table(Pid::EIT, TableError::BadCrc { table_id: 0x4E });
        assert_eq!(feed(&mut watch, Pid::EIT, &[broken]), [GuideNews::Damaged(damage)]);
    }

    #[test]
    fn the_count_of_events_is_bounded() {
        let mut watch = GuideWatch::default();
        let blank =
            read(&Eit::parse(&eit(0x50, 1, (0, 0), &[event(7, 0, b"x")])).unwrap().events[0], true, CodeTable::Utf8);
        for number in 0..=EVENTS_MAX {
            let (id, tsid) = (u16::try_from(number % 1000).unwrap(), u16::try_from(number / 1000).unwrap());
            watch.keep(ServicePath { tsid, ..PATH }, GuideEvent { id, ..blank.clone() }, None);
        }
        assert_eq!((watch.event_count, watch.dropped()), (EVENTS_MAX, 1));
    }

    proptest! {
        #[test]
        fn any_packets_are_survived(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 184), 1..30),
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 6..900), 0..6),
        ) {
            let mut watch = GuideWatch::default();
            for payload in packets {
                let bytes: [u8; PACKET_BYTES] = [&[0x47, 0x40, 0x12, 0x10], &payload[..]].concat().try_into().unwrap();
                watch.push(&Packet::new(&bytes).unwrap(), &mut |_| {});
            }
            let sections: Vec<_> = bodies.iter().map(|body| compose::section(0x50, 1, 0, (0, 0), body)).collect();
            feed(&mut watch, Pid::EIT, &sections);
            let all = || watch.services().values().flat_map(BTreeMap::values);
            prop_assert_eq!((all().count(), all().map(text_bytes).sum::<usize>()), (watch.event_count, watch.text_bytes));
        }
    }
}
