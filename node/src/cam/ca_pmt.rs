//! What a module is told of a service, and what it says to that (EN 50221 §8.4.3.4 and §8.4.3.5).
//!
//! Pure. A [`Programme`] is what matters of a service's PMT: streams and CA_descriptors with their private bytes. A CA_PMT
//! keeps the descriptors of those CA systems that the module announced; others would be for another module.

use std::{fmt, sync::Arc};

use headend_media::{
    descriptor::{Descriptors, ca, tag},
    service::{Service, ServiceId},
};

/// A service of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The input's address, secrets masked.
    pub input: Arc<str>,
    /// The service.
    pub service: ServiceId,
}

/// A CA_descriptor as sent, tag and length included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Access {
    system: u16,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stream {
    stream_type: u8,
    pid: u16,
    access: Vec<Access>,
}

/// A service as modules are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programme {
    /// Which.
    pub key: ServiceKey,
    /// Its name, for people.
    pub label: String,
    version: u8,
    access: Vec<Access>,
    streams: Vec<Stream>,
}

/// `ca_pmt_list_management`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management {
    /// Neither the first nor the last of a list.
    More = 0,
    /// The first of a list that takes the old one's place.
    First = 1,
    /// The last of it.
    Last = 2,
    /// The whole list.
    Only = 3,
    /// One more; the others stay as they are.
    Add = 4,
    /// Another version of one on the list; the others stay as they are.
    Update = 5,
}

/// `ca_pmt_cmd_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `ok_descrambling`.
    Descramble = 1,
    /// `query`: say whether you could.
    Query = 3,
    /// `not_selected`: it is no longer wanted.
    NotSelected = 4,
}

/// `CA_enable`: what a module says of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Possible,
    /// It can after a purchase or a dialogue.
    Conditional,
    /// The card has no right to it.
    NoEntitlement,
    /// It cannot, for another reason.
    Technical,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "the module says it can descramble it, and does not",
            Self::Conditional => "the module wants a purchase or a dialogue first; look at its menu",
            Self::NoEntitlement => "the module has no entitlement for it",
            Self::Technical => "the module says it cannot, for technical reasons",
        })
    }
}

impl Programme {
    /// What matters of a service; `None` while its PMT is not known.
    #[must_use]
    pub fn of(key: ServiceKey, service: &Service) -> Option<Self> {
        let version = service.pmt_version?;
        let access = |descriptors: Descriptors<'_>| {
            let found = descriptors.filter(|one| one.tag == tag::CA);
            let keep = |body: &[u8]| {
                let bytes = [&[tag::CA, u8::try_from(body.len()).ok()?], body].concat();
                Some(Access { system: ca(body)?.system, bytes })
            };
            found.filter_map(|one| keep(one.body)).collect()
        };
        let stream = |stream: &headend_media::service::Stream| Stream {
            stream_type: stream.stream_type,
            pid: stream.pid.value(),
            access: access(stream.descriptors()),
        };
        let streams = service.streams.iter().map(stream).collect();
        let label = service.name.clone().unwrap_or_default();
        Some(Self { key, label, version, access: access(Descriptors::new(&service.descriptors)), streams })
    }

    /// CA systems it is announced with, in rising order.
    #[must_use]
    pub fn systems(&self) -> Vec<u16> {
        let of_streams = self.streams.iter().flat_map(|stream| &stream.access);
        let mut systems: Vec<u16> = self.access.iter().chain(of_streams).map(|one| one.system).collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }

    /// Whether another is the same to a module.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.key, self.version, &self.access, &self.streams)
            == (&other.key, other.version, &other.access, &other.streams)
    }

    /// The body of a CA_PMT, at most 65,535 bytes as a PMT has at most 1,024.
    #[must_use]
    pub fn ca_pmt(&self, systems: &[u16], management: Management, command: Command) -> Vec<u8> {
        let [high, low] = self.key.service.0.to_be_bytes();
        let mut body = vec![management as u8, high, low, 0xC1 | (self.version & 0x1F) << 1];
        put_access(&self.access, systems, command, &mut body);
        for stream in &self.streams {
            let [high, low] = stream.pid.to_be_bytes();
            body.extend([stream.stream_type, 0xE0 | high, low]);
            put_access(&stream.access, systems, command, &mut body);
        }
        body
    }
}

/// A length of 12 bits, and the command with its descriptors when there are any.
fn put_access(access: &[Access], systems: &[u16], command: Command, into: &mut Vec<u8>) {
    let kept: Vec<u8> =
        access.iter().filter(|one| systems.contains(&one.system)).flat_map(|one| one.bytes.clone()).collect();
    if kept.is_empty() {
        return into.extend([0xF0, 0]);
    }
    let [high, low] = u16::try_from(kept.len() + 1).unwrap_or(0xFFF).to_be_bytes();
    into.extend([0xF0 | high & 0x0F, low, command as u8]);
    into.extend(kept);
}

/// Reads a CA_PMT_reply: the programme, and the worst that is said of it and its streams; `None` when it is cut short or
/// says nothing.
#[must_use]
pub fn reply(body: &[u8]) -> Option<(ServiceId, Verdict)> {
    let (&[high, low, _version, enable], mut rest) = body.split_first_chunk()?;
    let mut said = vec![verdict(enable)];
    while let Some((&[_, _, enable], behind)) = rest.split_first_chunk() {
        said.push(verdict(enable));
        rest = behind;
    }
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Possible => 0,
        Verdict::Conditional => 1,
        Verdict::Technical => 2,
        Verdict::NoEntitlement => 3,
    };
    let worst = said.into_iter().flatten().max_by_key(rank)?;
    Some((ServiceId(u16::from_be_bytes([high, low])), worst))
}

/// `CA_enable` behind its flag; reserved values say nothing.
fn verdict(enable: u8) -> Option<Verdict> {
    match enable {
        0x81 => Some(Verdict::Possible),
        0x82 | 0x83 => Some(Verdict::Conditional),
        0xF1 => Some(Verdict::NoEntitlement),
        0xF3 => Some(Verdict::Technical),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use headend_media::{
        packet::Pid,
        service::{Codec, Stream as MediaStream},
    };
    use proptest::prelude::*;

    use super::*;

    /// A service with a CA_descriptor for each of `systems`, and a picture with one of its own for system 0x0100.
    pub(crate) fn programme(service: u16, version: u8, systems: &[u16]) -> Programme {
        let descriptor = |system: u16, pid: u16| {
            let ([a, b], [c, d]) = (system.to_be_bytes(), (pid | 0xE000).to_be_bytes());
            [0x09, 5, a, b, c, d, 0x77]
        };
        let descriptors = systems.iter().flat_map(|system| descriptor(*system, 0x300)).collect();
        let stream = |pid, stream_type, descriptors: Vec<u8>| MediaStream {
            pid: Pid::new(pid),
            stream_type,
            codec: Codec::H264,
            languages: vec![],
            component_tag: None,
            ecm: vec![],
            descriptors,
        };
        let streams = vec![
            stream(0x201, 0x1B, [&[0x52, 1, 1], &descriptor(0x0100, 0x301)[..]].concat()),
            stream(0x202, 3, vec![]),
        ];
        let service_of = Service {
            name: Some("Film".to_owned()),
            pmt_version: Some(version),
            descriptors,
            streams,
            ..Service::default()
        };
        let key = ServiceKey { input: "dvb://astra".into(), service: ServiceId(service) };
        Programme::of(key, &service_of).unwrap()
    }

    #[test]
    fn descriptors_of_other_systems_are_left_out() {
        let programme = programme(0x1234, 7, &[0x0500, 0x0B00]);
        assert_eq!(programme.systems(), [0x0100, 0x0500, 0x0B00]);
        let want = [
            &[3, 0x12, 0x34, 0xCF, 0xF0, 8, 1, 9, 5, 5, 0, 0xE3, 0, 0x77][..],
            &[0x1B, 0xE2, 1, 0xF0, 0, 3, 0xE2, 2, 0xF0, 0],
        ];
        assert_eq!(programme.ca_pmt(&[0x0500], Management::Only, Command::Descramble), want.concat());
        let want = [
            &[5, 0x12, 0x34, 0xCF, 0xF0, 0][..],
            &[0x1B, 0xE2, 1, 0xF0, 8, 4, 9, 5, 1, 0, 0xE3, 1, 0x77, 3, 0xE2, 2, 0xF0, 0],
        ];
        assert_eq!(programme.ca_pmt(&[0x0100], Management::Update, Command::NotSelected), want.concat());
    }

    #[test]
    fn the_worst_of_a_reply_counts() {
        let check = |body: &[u8], want: Option<Verdict>| {
            assert_eq!(
                reply(body).map(|(service, verdict)| (service.0, verdict)),
                want.map(|verdict| (0x1234, verdict))
            );
        };
        check(&[0x12, 0x34, 0xC1, 0x81], Some(Verdict::Possible));
        check(&[0x12, 0x34, 0xC1, 0x00, 0xE2, 1, 0x81, 0xE2, 2, 0xF1], Some(Verdict::NoEntitlement));
        check(&[0x12, 0x34, 0xC1, 0xF3, 0xE2], Some(Verdict::Technical));
        check(&[0x12, 0x34, 0xC1, 0x01], None);
        check(&[0x12, 0x34, 0xC1], None);
    }

    #[test]
    fn another_version_is_another_list() {
        assert!(programme(1, 1, &[0x0500]).is_same(&programme(1, 1, &[0x0500])));
        assert!(!programme(1, 1, &[0x0500]).is_same(&programme(1, 2, &[0x0500])));
    }

    proptest! {
        #[test]
        fn any_descriptors_make_an_object_of_right_lengths(
            descriptors in proptest::collection::vec(any::<u8>(), 0..900), systems in proptest::collection::vec(any::<u16>(), 0..20))
        {
            let service = Service { pmt_version: Some(31), descriptors, ..Service::default() };
            let key = ServiceKey { input: "x".into(), service: ServiceId(1) };
            let programme = Programme::of(key, &service).unwrap();
            let body = programme.ca_pmt(&[systems, programme.systems()].concat(), Management::Add, Command::Query);
            let length = usize::from(u16::from_be_bytes([body[4] & 0x0F, body[5]]));
            prop_assert_eq!(body.len(), 6 + length);
        }

        #[test]
        fn any_reply_is_survived(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = reply(&body);
        }
    }
}
