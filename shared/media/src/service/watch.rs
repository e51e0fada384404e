//! Follows PAT, PMT, SDT, NIT and CAT through their versions.
//!
//! A PAT of another transport stream forgets everything: the input was changed. Names stay until a newer SDT replaces
//! them, so that a version change does not blank the line-up. A PMT counts only on the PID its PAT gives. Bounds:
//! 1,024 services, one unfinished section of up to 4,098 bytes per PID watched.

use std::collections::{BTreeMap, BTreeSet};

use mpeg2ts_reader::pes::{PesContents, PesHeader};

use super::services::{CaSystem, Service, ServiceId, Services, Stream};
use super::{Codec, codec_of_payload, codec_of_stream};
use crate::descriptor::{self, Descriptors, Language, ServiceKind, tag};
use crate::packet::{Packet, Pid, Scrambling};
use crate::section::{Defect, SectionReader};
use crate::table::{Arrival, Cat, LongSection, Nit, Pat, PatEntry, Pmt, PmtStream, Sdt, TableError, Versions};
use crate::text::{TextDefaults, decode};

/// Services kept of one multiplex; a satellite transponder has about a hundred.
const SERVICES_MAX: usize = 1024;

/// PES packets whose start is looked at before the announced codec is believed.
const PES_STARTS_MAX: u8 = 8;

/// What changed, or arrived broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceEvent {
    /// A PAT came into force: services appeared, went, or moved.
    Programmes,
    /// This service's PMT changed: its streams, PCR PID or ECM PIDs.
    Map(ServiceId),
    /// This service's stream turned out to be coded otherwise than announced.
    Codec(ServiceId, Pid),
    /// Names, kinds or scrambling flags of the SDT changed.
    Names,
    /// The network's name or number changed.
    Network,
    /// The CAT changed: EMM PIDs.
    Access,
    /// A section was thrown away.
    Damaged(Damage),
}

/// A section that was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its packets did not fit together.
    #[error("section on PID {0} lost")]
    Framing(Pid, #[source] Defect),
    /// It was whole but not to be believed.
    #[error("section on PID {0} refused")]
    Table(Pid, #[source] TableError),
}

/// Where events go.
type Emit<'a> = &'a mut dyn FnMut(ServiceEvent);

/// Watches one multiplex.
///
/// ```
/// use headend_media::{packet::Packet, service::ServiceWatch, text::TextDefaults};
/// let mut watch = ServiceWatch::new(TextDefaults::default());
/// let mut bytes = [0xFF; 188];
/// let pat = [0, 0, 0xB0, 0x0D, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 0x04, 0xB2];
/// bytes[..4].copy_from_slice(&[0x47, 0x40, 0, 0x10]);
/// bytes[4..21].copy_from_slice(&pat);
/// watch.push(&Packet::new(&bytes).unwrap(), &mut |event| println!("{event:?}"));
/// assert_eq!(watch.services().tsid, Some(1));
/// ```
#[derive(Debug)]
pub struct ServiceWatch {
    defaults: TextDefaults,
    services: Services,
    versions: Versions,
    readers: BTreeMap<Pid, SectionReader>,
    network_pid: Pid,
    /// Sections of a PAT that is not whole yet.
    programmes: Vec<PatEntry>,
    names: BTreeMap<ServiceId, Named>,
    /// Streams whose codec is to be checked, and how many more PES starts to look at.
    doubted: BTreeMap<Pid, u8>,
}

/// What an SDT says of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Named {
    name: Option<String>,
    provider: Option<String>,
    kind: Option<ServiceKind>,
    may_be_scrambled: bool,
}

impl ServiceWatch {
    /// Watches a multiplex whose texts without a selector are in the tables of `defaults`.
    pub fn new(defaults: TextDefaults) -> Self {
        let mut watch = Self {
            defaults,
            services: Services::default(),
            versions: Versions::default(),
            readers: BTreeMap::new(),
            network_pid: Pid::NIT,
            programmes: vec![],
            names: BTreeMap::new(),
            doubted: BTreeMap::new(),
        };
        watch.choose_pids();
        watch
    }

    /// What is known now.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Takes the next packet of the multiplex and calls `emit` for what it changed.
    pub fn push(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        let pid = packet.pid();
        if let Some(reader) = self.readers.get_mut(&pid) {
            let mut sections = vec![];
            reader.push(packet, &mut |result| sections.push(result.map(<[u8]>::to_vec)));
            for result in sections {
                let handled = match result {
                    Ok(section) => self.take(pid, &section, emit).map_err(|error| Damage::Table(pid, error)),
                    Err(defect) => Err(Damage::Framing(pid, defect)),
                };
                if let Err(damage) = handled {
                    emit(ServiceEvent::Damaged(damage));
                }
            }
        } else if packet.unit_start() && self.doubted.contains_key(&pid) {
            self.look_into(packet, emit);
        }
    }

    fn take(&mut self, pid: Pid, section: &[u8], emit: Emit<'_>) -> Result<(), TableError> {
        match (section[0], pid) {
            (0x00, Pid::PAT) => self.take_pat(section, emit),
            (0x01, Pid::CAT) => self.take_cat(section, emit),
            (0x02, _) => self.take_pmt(pid, section, emit),
            (0x40, _) if pid == self.network_pid => self.take_nit(section, emit),
            (0x42, Pid::SDT) => self.take_sdt(section, emit),
            // Other tables share these PIDs by right: BAT, stuffing, private ones.
            _ => Ok(()),
        }
    }

    fn take_pat(&mut self, section: &[u8], emit: Emit<'_>) -> Result<(), TableError> {
        let header = LongSection::parse(section)?;
        let pat = Pat::parse(section)?;
        if pat.current && self.services.tsid != Some(pat.tsid) {
            // Names may have come before the first PAT; those of another multiplex must go.
            if self.services.tsid.is_some() {
                (self.services, self.names) = (Services::default(), BTreeMap::new());
                self.versions.clear();
            }
            self.services.tsid = Some(pat.tsid);
        }
        let arrival = self.versions.note(&header, 0);
        match arrival {
            Arrival::Known => return Ok(()),
            Arrival::Restarted { .. } => self.programmes.clear(),
            Arrival::Fresh { .. } => {}
        }
        self.network_pid = pat.network_pid.unwrap_or(self.network_pid);
        self.programmes.extend(pat.programmes);
        self.programmes.truncate(SERVICES_MAX);
        if arrival.completes() {
            self.apply_programmes();
            emit(ServiceEvent::Programmes);
        }
        Ok(())
    }

    /// Makes the list of services that of the PAT; a service that moved loses its map until the new one comes.
    fn apply_programmes(&mut self) {
        let places: BTreeMap<_, _> = self.programmes.iter().map(|p| (ServiceId(p.number), p.pmt_pid)).collect();
        let versions = &mut self.versions;
        self.services.list.retain(|id, service| {
            let stays = places.get(id).is_some_and(|pid| service.pmt_pid == Some(*pid));
            if !stays {
                versions.forget(0x02, id.0);
            }
            stays
        });
        for (id, pmt_pid) in places {
            self.services.list.entry(id).or_default().pmt_pid = Some(pmt_pid);
        }
        self.apply_names();
        self.choose_pids();
        self.choose_doubts();
    }

    /// Watches the PIDs that tables are on now, and no others.
    fn choose_pids(&mut self) {
        let maps = self.services.list.values().filter_map(|service| service.pmt_pid);
        let wanted: BTreeSet<_> = maps.chain([Pid::PAT, Pid::CAT, Pid::SDT, self.network_pid]).collect();
        self.readers.retain(|pid, _| wanted.contains(pid));
        for pid in wanted.into_iter().filter(|pid| *pid != Pid::NULL) {
            self.readers.entry(pid).or_default();
        }
    }

    fn take_pmt(&mut self, pid: Pid, section: &[u8], emit: Emit<'_>) -> Result<(), TableError> {
        let header = LongSection::parse(section)?;
        let pmt = Pmt::parse(section)?;
        let id = ServiceId(pmt.programme);
        let Some(service) = self.services.list.get_mut(&id).filter(|service| service.pmt_pid == Some(pid)) else {
            return Ok(());
        };
        if self.versions.note(&header, 0) == Arrival::Known {
            return Ok(());
        }
        service.pmt_version = Some(pmt.version);
        service.pcr_pid = Some(pmt.pcr_pid);
        service.ecm = ca_systems(pmt.descriptors);
        service.descriptors = pmt.descriptors.bytes().to_vec();
        service.streams = pmt.streams.iter().map(stream).collect();
        self.choose_doubts();
        emit(ServiceEvent::Map(id));
        Ok(())
    }

    /// MPEG audio is what wrong maps announce, so only that is looked into.
    fn choose_doubts(&mut self) {
        let streams = self.services.list.values().flat_map(|service| &service.streams);
        let doubted: BTreeSet<_> =
            streams.filter(|stream| stream.codec == Codec::Mpa).map(|stream| stream.pid).collect();
        self.doubted.retain(|pid, _| doubted.contains(pid));
        for pid in doubted {
            self.doubted.entry(pid).or_insert(PES_STARTS_MAX);
        }
    }

    fn look_into(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        let pid = packet.pid();
        let Some(left) = self.doubted.get_mut(&pid).filter(|left| **left > 0) else {
            return;
        };
        if packet.tei() || packet.scrambling() != Scrambling::Clear {
            return;
        }
        *left -= 1;
        let Some(codec) = pes_payload(packet.payload()).and_then(codec_of_payload) else {
            return;
        };
        *left = 0;
        for (id, service) in &mut self.services.list {
            for stream in service.streams.iter_mut().filter(|stream| stream.pid == pid && stream.codec != codec) {
                stream.codec = codec;
                emit(ServiceEvent::Codec(*id, pid));
            }
        }
    }

    fn take_sdt(&mut self, section: &[u8], emit: Emit<'_>) -> Result<(), TableError> {
        let sdt = Sdt::parse(section)?;
        if self.versions.note(&sdt.header, 0) == Arrival::Known {
            return Ok(());
        }
        let before = self.services.clone();
        self.services.onid = Some(sdt.onid);
        for service in sdt.services {
            let table = self.defaults.table(sdt.onid, Some(service.id));
            let text = |bytes: &[u8]| Some(decode(bytes, table).text.trim().to_owned()).filter(|text| !text.is_empty());
            let read = service.descriptors.find(tag::SERVICE).and_then(descriptor::service);
            let named = Named {
                name: read.and_then(|read| text(read.name)),
                provider: read.and_then(|read| text(read.provider)),
                kind: read.map(|read| read.kind),
                may_be_scrambled: service.scrambled,
            };
            if self.names.len() < SERVICES_MAX || self.names.contains_key(&ServiceId(service.id)) {
                self.names.insert(ServiceId(service.id), named);
            }
        }
        self.apply_names();
        if self.services != before {
            emit(ServiceEvent::Names);
        }
        Ok(())
    }

    fn apply_names(&mut self) {
        if self.programmes.is_empty() {
            // No PAT, or one that lists nothing: what the SDT names is all there is.
            self.services.list = self.names.keys().map(|id| (*id, Service::default())).collect();
        }
        for (id, service) in &mut self.services.list {
            let Named { name, provider, kind, may_be_scrambled } = self.names.get(id).cloned().unwrap_or_default();
            (service.name, service.provider, service.kind) = (name, provider, kind);
            service.may_be_scrambled = may_be_scrambled;
        }
    }

    fn take_nit(&mut self, section: &[u8], emit: Emit<'_>) -> Result<(), TableError> {
        let nit = Nit::parse(section)?;
        if self.versions.note(&nit.header, 0) == Arrival::Known {
            return Ok(());
        }
        let own = nit.multiplexes.iter().find(|multiplex| Some(multiplex.tsid) == self.services.tsid);
        let onid = self.services.onid.or(own.map(|own| own.onid));
        let table = self.defaults.table(onid.unwrap_or(nit.network_id), None);
        let name = nit.descriptors.find(tag::NETWORK_NAME).map(|bytes| decode(bytes, table).text.trim().to_owned());
        let network = name.filter(|name| !name.is_empty()).or_else(|| self.services.network.clone());
        if (onid, &network) != (self.services.onid, &self.services.network) {
            (self.services.onid, self.services.network) = (onid, network);
            emit(ServiceEvent::Network);
        }
        Ok(())
    }

    fn take_cat(&mut self, section: &[u8], emit: Emit<'_>) -> Result<(), TableError> {
        let cat = Cat::parse(section)?;
        match self.versions.note(&cat.header, 0) {
            Arrival::Known => return Ok(()),
            Arrival::Restarted { .. } => self.services.emm.clear(),
            Arrival::Fresh { .. } => {}
        }
        self.services.emm.extend(ca_systems(cat.descriptors));
        emit(ServiceEvent::Access);
        Ok(())
    }
}

fn ca_systems(descriptors: Descriptors<'_>) -> Vec<CaSystem> {
    let read = descriptors.all(tag::CA).filter_map(descriptor::ca);
    read.map(|ca| CaSystem { system: ca.system, pid: ca.pid }).collect()
}

fn stream(entry: &PmtStream<'_>) -> Stream {
    let descriptors = entry.descriptors;
    Stream {
        pid: entry.pid,
        stream_type: entry.stream_type,
        codec: codec_of_stream(entry.stream_type, descriptors),
        languages: languages(descriptors),
        component_tag: descriptors.find(tag::STREAM_IDENTIFIER).and_then(descriptor::component_tag),
        ecm: ca_systems(descriptors),
        descriptors: descriptors.bytes().to_vec(),
    }
}

/// Languages of audio, teletext pages and subtitles, in order, each once. Where a supplementary audio descriptor
/// names the language, it is the true one: the other descriptor then says `qad`, "audio description", to old boxes.
fn languages(descriptors: Descriptors<'_>) -> Vec<Language> {
    let supplementary = descriptors.all(tag::EXTENSION).find_map(descriptor::supplementary_audio);
    if let Some(language) = supplementary.and_then(|audio| audio.language) {
        return vec![language];
    }
    let mut languages: Vec<Language> = vec![];
    for descriptor in descriptors {
        let found: Vec<_> = match descriptor.tag {
            tag::LANGUAGE => descriptor::languages(descriptor.body).map(|entry| entry.language).collect(),
            tag::TELETEXT => descriptor::teletext(descriptor.body).map(|page| page.language).collect(),
            tag::SUBTITLING => descriptor::subtitles(descriptor.body).map(|subtitle| subtitle.language).collect(),
            _ => continue,
        };
        for language in found {
            if !languages.contains(&language) {
                languages.push(language);
            }
        }
    }
    languages
}

/// What follows the header of a PES packet that starts here.
fn pes_payload(payload: &[u8]) -> Option<&[u8]> {
    // Asked first, because the reader logs what it does not like.
    let header = payload.starts_with(&[0, 0, 1]).then(|| PesHeader::from_bytes(payload)).flatten()?;
    match header.contents() {
        PesContents::Parsed(parsed) => parsed.map(|parsed| parsed.payload()),
        PesContents::Payload(_) => None,
    }
}
