//! The watch on composed multiplexes: versions, moves, missing tables, wrong maps.

use proptest::prelude::*;

use super::{CaSystem, Codec, Damage, ServiceEvent, ServiceId, ServiceWatch};
use crate::descriptor::tag;
use crate::packet::{PACKET_BYTES, Packet, Pid};
use crate::table::{TableError, compose};
use crate::text::{CodeTable, TextDefaults};

const MAP: Pid = Pid::new(0x100);

fn pat(tsid: u16, version: u8, programmes: &[(u16, Pid)]) -> Vec<u8> {
    let entry = |&(number, pid): &(u16, Pid)| [number.to_be_bytes(), (pid.value() | 0xE000).to_be_bytes()].concat();
    compose::section(0, tsid, version, (0, 0), &programmes.iter().flat_map(entry).collect::<Vec<_>>())
}

fn pmt(programme: u16, version: u8, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0xE2, 0x00, 0xF0, 0x00];
    for (stream_type, pid, descriptors) in streams {
        body.push(*stream_type);
        body.extend((pid | 0xE000).to_be_bytes());
        body.extend(compose::counted(descriptors));
    }
    compose::section(2, programme, version, (0, 0), &body)
}

fn sdt(version: u8, services: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0x01, 0x3E, 0xFF];
    for (id, name) in services {
        let names = [&[0x01, 0x00, u8::try_from(name.len()).unwrap()], *name].concat();
        body.extend(id.to_be_bytes());
        body.push(0xFC);
        body.extend(compose::counted(&compose::descriptor(tag::SERVICE, &names)));
    }
    compose::section(0x42, 5, version, (0, 0), &body)
}

/// A watch, and the counters of what it is fed.
struct Mux {
    watch: ServiceWatch,
    counters: std::collections::BTreeMap<Pid, u8>,
}

impl Mux {
    fn new() -> Self {
        Self { watch: ServiceWatch::new(TextDefaults::default()), counters: Default::default() }
    }

    fn feed(&mut self, pid: Pid, section: &[u8]) -> Vec<ServiceEvent> {
        let mut events = vec![];
        for bytes in compose::packets(pid, section, self.counters.entry(pid).or_default()) {
            self.watch.push(&Packet::new(&bytes).unwrap(), &mut |event| events.push(event));
        }
        events
    }

    /// Ids, names and stream PIDs.
    fn check(&self, want: &[(u16, Option<&str>, &[u16])]) {
        let list = &self.watch.services().list;
        let got: Vec<_> = list
            .iter()
            .map(|(id, service)| {
                let pids = service.streams.iter().map(|stream| stream.pid.value());
                (id.0, service.name.as_deref(), pids.collect::<Vec<_>>())
            })
            .collect();
        let want: Vec<_> = want.iter().map(|(id, name, pids)| (*id, *name, pids.to_vec())).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn tables_in_any_order() {
    let mut mux = Mux::new();
    assert_eq!(mux.feed(Pid::SDT, &sdt(0, &[(7, b"Sept"), (8, b"Huit")])), [ServiceEvent::Names]);
    mux.check(&[(7, Some("Sept"), &[]), (8, Some("Huit"), &[])]);
    assert!(mux.feed(MAP, &pmt(7, 0, &[(0x1B, 0x200, &[])])).is_empty());
    assert_eq!(mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP)])), [ServiceEvent::Programmes]);
    mux.check(&[(7, Some("Sept"), &[])]);
    let map = pmt(7, 0, &[(0x1B, 0x200, &[])]);
    assert_eq!(mux.feed(MAP, &map), [ServiceEvent::Map(ServiceId(7))]);
    assert!(mux.feed(MAP, &map).is_empty());
    mux.check(&[(7, Some("Sept"), &[0x200])]);
}

#[test]
fn versions_and_moves() {
    let mut mux = Mux::new();
    mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP), (8, MAP)]));
    mux.feed(MAP, &pmt(7, 0, &[(0x1B, 0x200, &[])]));
    mux.feed(MAP, &pmt(8, 0, &[(0x02, 0x300, &[])]));
    mux.check(&[(7, None, &[0x200]), (8, None, &[0x300])]);
    mux.feed(MAP, &pmt(7, 1, &[(0x1B, 0x200, &[]), (0x0F, 0x201, &[])]));
    mux.check(&[(7, None, &[0x200, 0x201]), (8, None, &[0x300])]);
    // Same version, other content: some multiplexers do it.
    mux.feed(MAP, &pmt(7, 1, &[(0x24, 0x210, &[])]));
    mux.check(&[(7, None, &[0x210]), (8, None, &[0x300])]);
    // Service 7 moves, 8 goes, 9 comes.
    let place = Pid::new(0x111);
    mux.feed(Pid::PAT, &pat(5, 1, &[(7, place), (9, MAP)]));
    mux.check(&[(7, None, &[]), (9, None, &[])]);
    assert!(mux.feed(MAP, &pmt(7, 1, &[(0x24, 0x210, &[])])).is_empty());
    mux.feed(place, &pmt(7, 1, &[(0x24, 0x210, &[])]));
    mux.check(&[(7, None, &[0x210]), (9, None, &[])]);
}

#[test]
fn another_multiplex_forgets_all() {
    let mut mux = Mux::new();
    mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP)]));
    mux.feed(Pid::SDT, &sdt(0, &[(7, b"Sept")]));
    mux.feed(Pid::PAT, &pat(6, 0, &[(7, MAP)]));
    mux.check(&[(7, None, &[])]);
    mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP)]));
    mux.feed(Pid::SDT, &sdt(0, &[(7, b"Sept")]));
    mux.check(&[(7, Some("Sept"), &[])]);
}

#[test]
fn a_pat_of_two_sections() {
    let mut mux = Mux::new();
    let part = |number: u8, id: u8| compose::section(0, 5, 0, (number, 1), &[0, id, 0xE1, id]);
    assert!(mux.feed(Pid::PAT, &part(1, 8)).is_empty());
    assert_eq!(mux.feed(Pid::PAT, &part(0, 7)), [ServiceEvent::Programmes]);
    mux.check(&[(7, None, &[]), (8, None, &[])]);
}

#[test]
fn damage_is_told_and_changes_nothing() {
    let mut mux = Mux::new();
    mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP)]));
    let mut broken = pat(5, 1, &[(8, MAP)]);
    broken[9] ^= 1;
    let damage = Damage::Table(Pid::PAT, TableError::BadCrc { table_id: 0 });
    assert_eq!(mux.feed(Pid::PAT, &broken), [ServiceEvent::Damaged(damage)]);
    mux.check(&[(7, None, &[])]);
}

#[test]
fn network_access_and_default_text() {
    let mut defaults = TextDefaults::default();
    defaults.set_service(0x13E, 7, CodeTable::Iso8859(15));
    let mut mux = Mux { watch: ServiceWatch::new(defaults), ..Mux::new() };
    mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP), (8, MAP)]));
    mux.feed(Pid::SDT, &sdt(0, &[(7, b"T\xE9l\xE9"), (8, b"T\xC2el\xC2e ")]));
    mux.check(&[(7, Some("Télé"), &[]), (8, Some("Télé"), &[])]);
    let name = compose::descriptor(tag::NETWORK_NAME, b"R\xC2eseau");
    let nit = [compose::counted(&name), compose::counted(&[])].concat();
    assert_eq!(mux.feed(Pid::NIT, &compose::section(0x40, 1, 0, (0, 0), &nit)), [ServiceEvent::Network]);
    let cat = compose::descriptor(tag::CA, &[0x05, 0x00, 0xE0, 0xC0]);
    assert_eq!(mux.feed(Pid::CAT, &compose::section(1, 0xFFFF, 0, (0, 0), &cat)), [ServiceEvent::Access]);
    let services = mux.watch.services();
    assert_eq!((services.onid, services.network.as_deref()), (Some(0x13E), Some("Réseau")));
    assert_eq!(services.emm, [CaSystem { system: 0x0500, pid: Pid::new(0xC0) }]);
    let ecm = compose::descriptor(tag::CA, &[0x01, 0x00, 0xE0, 0xC1]);
    mux.feed(MAP, &pmt(7, 0, &[(0x1B, 0x200, &ecm), (0x03, 0x201, &ecm)]));
    assert_eq!(mux.watch.services().list[&ServiceId(7)].ca_systems(), [0x0100]);
}

#[test]
fn audio_announced_as_what_it_is_not() {
    let mut mux = Mux::new();
    mux.feed(Pid::PAT, &pat(5, 0, &[(7, MAP)]));
    mux.feed(MAP, &pmt(7, 0, &[(0x03, 0x201, &[]), (0x03, 0x202, &[])]));
    let mut pes = |pid: u8, es: [u8; 2]| {
        let mut bytes = [0; PACKET_BYTES];
        let head = [0x47, 0x42, pid, 0x10, 0, 0, 1, 0xC0, 0, 0, 0x80, 0, 0, es[0], es[1]];
        bytes[..head.len()].copy_from_slice(&head);
        let mut events = vec![];
        mux.watch.push(&Packet::new(&bytes).unwrap(), &mut |event| events.push(event));
        events
    };
    assert_eq!(pes(1, [0xFF, 0xF1]), [ServiceEvent::Codec(ServiceId(7), Pid::new(0x201))]);
    assert!(pes(1, [0xFF, 0xFD]).is_empty());
    assert!(pes(2, [0xFF, 0xFD]).is_empty());
    assert!(pes(2, [0xFF, 0xF1]).is_empty());
    let codecs: Vec<_> = mux.watch.services().list[&ServiceId(7)].streams.iter().map(|s| s.codec).collect();
    assert_eq!(codecs, [Codec::Aac, Codec::Mpa]);
}

#[test]
fn the_count_of_services_is_bounded() {
    let mut mux = Mux::new();
    for number in 0..20_u8 {
        let ids = (1..=200_u16).map(|id| (u16::from(number) * 200 + id, Pid::new(id)));
        let mut body = pat(5, 0, &ids.collect::<Vec<_>>());
        body.truncate(body.len() - 4);
        mux.feed(Pid::PAT, &compose::section(0, 5, 0, (number, 19), &body[8..]));
    }
    assert_eq!(mux.watch.services().list.len(), 1024);
}

proptest! {
    #[test]
    fn any_sections_are_survived(
        sections in proptest::collection::vec(
            (prop::sample::select(vec![0_u8, 1, 2, 0x40, 0x42]), 0..3_u16, 0..3_u8, proptest::collection::vec(any::<u8>(), 0..300)),
            1..40,
        ),
    ) {
        let mut mux = Mux::new();
        for (table_id, extension, version, body) in sections {
            let pid = match table_id {
                0 => Pid::PAT,
                1 => Pid::CAT,
                0x40 => Pid::NIT,
                0x42 => Pid::SDT,
                _ => mux.watch.services().list.values().find_map(|service| service.pmt_pid).unwrap_or(MAP),
            };
            mux.feed(pid, &compose::section(table_id, extension, version, (0, 0), &body));
        }
    }

    #[test]
    fn any_packets_are_survived(packets in proptest::collection::vec((0..32_u8, proptest::collection::vec(any::<u8>(), 185)), 1..50)) {
        let mut mux = Mux::new();
        for (pid, tail) in packets {
            let bytes: [u8; PACKET_BYTES] = [&[0x47, 0x40, pid], &tail[..]].concat().try_into().unwrap();
            mux.watch.push(&Packet::new(&bytes).unwrap(), &mut |_| {});
        }
    }
}
