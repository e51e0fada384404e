//! Groups of composed services, ECMs that repeat, cards that can and cannot.

use headend_media::{
    packet::PACKET_BYTES,
    service::{Codec, Stream},
};
use proptest::prelude::*;

use super::*;

fn ca(list: &[(u16, u16)]) -> Vec<CaSystem> {
    list.iter().map(|(system, pid)| CaSystem { system: *system, pid: Pid::new(*pid) }).collect()
}

fn stream(pid: u16, codec: Codec, ecm: &[(u16, u16)]) -> Stream {
    Stream {
        pid: Pid::new(pid),
        stream_type: 0x1B,
        codec,
        languages: vec![],
        component_tag: None,
        ecm: ca(ecm),
        descriptors: vec![],
    }
}

/// A service: its id, its ECMs, its streams.
type Composed<'a> = (u16, &'a [(u16, u16)], Vec<Stream>);

fn services(list: Vec<Composed<'_>>) -> Services {
    let service =
        |(id, ecm, streams): Composed<'_>| (ServiceId(id), Service { ecm: ca(ecm), streams, ..Service::default() });
    Services { list: list.into_iter().map(service).collect(), ..Services::default() }
}

/// The groups in a few letters: service, ECMs, PIDs, those with PES.
fn check(services: &Services, wanted: &[Option<u16>], want: &[&str]) {
    let wanted = wanted.iter().map(|id| id.map(ServiceId)).collect();
    let list = |pids: &BTreeSet<Pid>| pids.iter().map(|pid| format!("{:x}", pid.value())).collect::<Vec<_>>().join(",");
    let show = |group: &Group| {
        format!("{} {:x?} {} ({})", group.key.service.0, group.key.ecm, list(&group.pids), list(&group.pes))
    };
    assert_eq!(groups(services, &wanted, &|_| false).iter().map(show).collect::<Vec<_>>(), want);
}

#[test]
fn a_service_with_a_session_word_is_one_group_whatever_it_announces() {
    let streams = vec![stream(0x200, Codec::H264, &[]), stream(0x201, Codec::Mpa, &[(0x500, 0x52)])];
    let mux = services(vec![(1, &[(0x2600, 0x1FFF)], streams), (2, &[], vec![stream(0x300, Codec::H264, &[])])]);
    let wanted = [Some(ServiceId(1)), Some(ServiceId(2))].into();
    let found = groups(&mux, &wanted, &|service| service == ServiceId(1));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].key.ecm.len(), found[0].pids.len(), found[0].pes.len()), (0, 2, 2));
}

#[test]
fn streams_follow_their_service_or_their_own_descriptor() {
    let mux = services(vec![
        (1, &[], vec![stream(0x100, Codec::H264, &[])]),
        (
            2,
            &[(0x500, 0x50), (0x100, 0x51)],
            vec![
                stream(0x200, Codec::H264, &[]),
                stream(0x201, Codec::Mpa, &[(0x500, 0x52)]),
                stream(0x202, Codec::Other, &[]),
            ],
        ),
        (3, &[(0x500, 0x53)], vec![stream(0x300, Codec::Hevc, &[])]),
    ]);
    let two = ["2 [(500, 50), (100, 51)] 200,202 (200)", "2 [(500, 52)] 201 (201)"];
    check(&mux, &[Some(2)], &two);
    check(&mux, &[None, Some(9)], &[]);
    check(&mux, &[Some(3), Some(2)], &[two[0], two[1], "3 [(500, 53)] 300 (300)"]);
}

fn seat(name: &str, systems: &[u16]) -> SeatView {
    SeatView { name: name.to_owned(), systems: systems.to_vec() }
}

#[test]
fn the_first_card_that_can_is_asked() {
    let seats = [seat("a", &[0x100]), seat("b", &[0x500]), seat("c", &[0x500, 0x100])];
    let check = |ecm: &[(u16, u16)], refused: &[usize], want: Option<(usize, u16, u16)>| {
        let got = choose_seat(ecm, &seats, &refused.iter().copied().collect());
        assert_eq!(got, want.map(|(seat, system, pid)| (seat, system, Pid::new(pid))));
    };
    check(&[(0x500, 0x50)], &[], Some((1, 0x500, 0x50)));
    check(&[(0x500, 0x50), (0x100, 0x51)], &[], Some((0, 0x100, 0x51)));
    check(&[(0x500, 0x50)], &[1], Some((2, 0x500, 0x50)));
    check(&[(0x500, 0x50)], &[1, 2], None);
    check(&[(0x600, 0x50)], &[], None);
}

/// Packets that carry a section on a PID.
fn packets(pid: u16, section: &[u8], counter: &mut u8) -> Vec<[u8; PACKET_BYTES]> {
    let stream = [&[0], section].concat();
    let [high, low] = pid.to_be_bytes();
    let mut packets = vec![];
    for (number, payload) in stream.chunks(PACKET_BYTES - 4).enumerate() {
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..4].copy_from_slice(&[0x47, if number == 0 { 0x40 | high } else { high }, low, 0x10 | *counter]);
        packet[4..4 + payload.len()].copy_from_slice(payload);
        packets.push(packet);
        *counter = (*counter + 1) % 16;
    }
    packets
}

fn section(table_id: u8, body: &[u8]) -> Vec<u8> {
    [&[table_id, 0x70, u8::try_from(body.len()).unwrap()], body].concat()
}

/// Feeds sections of (PID, table_id, content), and compares what is heard.
fn hear(sections: &[(u16, u8, u8)], want: &[&str]) {
    let mut reader = CaReader::default();
    reader.listen(&BTreeSet::from([Pid::new(0x50)]), &ca(&[(0x500, 0x60)]));
    let heard = std::cell::RefCell::new(vec![]);
    let mut counters = BTreeMap::new();
    for (pid, table_id, content) in sections {
        let section = section(*table_id, &[*content; 4]);
        for packet in packets(*pid, &section, counters.entry(*pid).or_default()) {
            let mut ecm = |ecm: Ecm, fresh| {
                heard.borrow_mut().push(format!(
                    "ecm {} {}{}",
                    ecm.number,
                    ecm.section[3],
                    if fresh { " new" } else { "" }
                ));
            };
            let mut emm = |system, section: &[u8]| heard.borrow_mut().push(format!("emm {system:x} {}", section[3]));
            reader.push(&Packet::new(&packet).unwrap(), &mut ecm, &mut emm);
        }
    }
    assert_eq!(heard.into_inner(), want);
}

#[test]
fn sections_are_new_when_their_bytes_are() {
    hear(
        &[(0x50, 0x80, 1), (0x50, 0x80, 1), (0x50, 0x81, 1), (0x50, 0x80, 1), (0x50, 0x80, 2)],
        &["ecm 1 1 new", "ecm 1 1", "ecm 2 1 new", "ecm 3 1 new", "ecm 4 2 new"],
    );
    hear(&[(0x60, 0x82, 1), (0x60, 0x84, 2), (0x60, 0x82, 1)], &["emm 500 1", "emm 500 2"]);
    hear(&[(0x50, 0x42, 1), (0x51, 0x80, 1), (0x60, 0x80, 1)], &[]);
}

fn ecm(content: u8) -> Ecm {
    Ecm { pid: Pid::new(0x50), number: 1, section: [0x80, 0x70, 1, content].into() }
}

#[test]
fn an_ecm_is_asked_once_and_again_only_without_an_answer() {
    let mut inquiring = Inquiring::default();
    assert_eq!(inquiring.should_ask(0, &ecm(1), 0), Some(1));
    assert_eq!(inquiring.should_ask(0, &ecm(1), 100), None);
    assert_eq!(inquiring.should_ask(0, &ecm(1), 400), Some(2));
    assert!(!inquiring.answered(1, Reception::Settled, 500));
    assert!(inquiring.answered(2, Reception::Settled, 500));
    assert_eq!(inquiring.should_ask(0, &ecm(1), 9_000), None);
    assert_eq!(inquiring.should_ask(0, &ecm(2), 9_000), Some(3));
    assert!(inquiring.answered(3, Reception::Again, 9_001));
    assert_eq!(inquiring.should_ask(0, &ecm(2), 9_301), Some(4));
    inquiring.cards_changed();
    assert_eq!(inquiring.should_ask(0, &ecm(2), 9_700), Some(5));
}

#[test]
fn a_card_that_refused_is_left_alone_until_the_cards_change_or_a_minute_is_over() {
    let mut inquiring = Inquiring::default();
    inquiring.should_ask(1, &ecm(1), 0);
    inquiring.answered(1, Reception::NotThisCard, 10);
    assert_eq!(inquiring.refused(11), BTreeSet::from([1]));
    assert_eq!(inquiring.refused(60_011), BTreeSet::new());
    inquiring.cards_changed();
    assert_eq!(inquiring.refused(11), BTreeSet::new());
}

proptest! {
    /// Storms of anything keep the reader's memory where it is, and each new ECM has another number.
    #[test]
    fn any_packets_are_survived(storm in proptest::collection::vec((0..3_u16, any::<u8>(), 1..6_u8, any::<u8>()), 0..300)) {
        let mut reader = CaReader::default();
        reader.listen(&BTreeSet::from([Pid::new(0x50)]), &ca(&[(1, 0x51)]));
        let (mut counter, mut last) = (0, 0);
        for (pid, table_id, length, content) in storm {
            let section = section(table_id, &vec![content; usize::from(length) * 40]);
            for packet in packets(0x50 + pid, &section, &mut counter) {
                let mut numbers = vec![];
                reader.push(&Packet::new(&packet).unwrap(), &mut |ecm, fresh| numbers.push((ecm.number, fresh)), &mut |_, _| {});
                for (number, fresh) in numbers {
                    prop_assert_eq!(number, last + u64::from(fresh));
                    last = number;
                }
            }
            prop_assert!(reader.seen.len() <= EMMS_SEEN_MAX);
        }
    }
}
