//! Tests of the list: what a module hears, in words, over time.

use proptest::prelude::*;

use super::*;
use crate::cam::ca_pmt::tests::programme;

const SYSTEMS: [u16; 1] = [0x0500];

/// `add 1`, `update 2 query`: management, service, command.
fn words(body: &[u8]) -> String {
    let management = ["more", "first", "last", "only", "add", "update"][usize::from(body[0])];
    let service = u16::from_be_bytes([body[1], body[2]]);
    let command = match body[6] {
        1 => "",
        3 => " query",
        4 => " not-selected",
        _ => " ?",
    };
    format!("{management} {service}{command}")
}

/// Lets time pass in steps of 100 ms and tells what was sent when.
fn pass(list: &mut ServiceList, now_ms: &mut u64, for_ms: u64) -> Vec<String> {
    let end = *now_ms + for_ms;
    let mut heard = vec![];
    while *now_ms < end {
        heard.extend(list.next(*now_ms).iter().map(|body| format!("{} {}", *now_ms, words(body))));
        *now_ms += 100;
    }
    heard
}

fn list(services: &[u16]) -> ServiceList {
    let mut list = ServiceList::new(Pacing::default());
    list.set(&wanted(services), 0);
    list.ready(SYSTEMS.to_vec(), 0);
    list
}

fn wanted(services: &[u16]) -> Vec<Programme> {
    services.iter().map(|service| programme(*service, 1, &SYSTEMS)).collect()
}

fn see(list: &mut ServiceList, services: &[u16], view: View, now_ms: u64) {
    for one in wanted(services) {
        list.see(&one.key, view, now_ms);
    }
}

#[test]
fn the_first_list_waits_for_the_module_to_settle_and_is_whole() {
    let mut now_ms = 0;
    assert_eq!(pass(&mut list(&[1]), &mut now_ms, 5_000), ["3000 only 1"]);
    now_ms = 0;
    assert_eq!(pass(&mut list(&[1, 2, 3]), &mut now_ms, 9_000), ["3000 first 1", "3000 more 2", "3000 last 3"]);
    now_ms = 0;
    assert_eq!(pass(&mut list(&[]), &mut now_ms, 9_000), [""; 0]);
}

#[test]
fn later_services_are_added_one_by_one_and_neighbours_are_left_alone() {
    let (mut list, mut now_ms) = (list(&[1]), 0);
    pass(&mut list, &mut now_ms, 3_100);
    see(&mut list, &[1], View::Clear, now_ms);
    list.set(&wanted(&[1, 2, 3]), now_ms);
    assert_eq!(pass(&mut list, &mut now_ms, 60_000), ["5000 add 2", "7000 add 3"]);
    list.set(&wanted(&[1, 3]), now_ms);
    assert_eq!(pass(&mut list, &mut now_ms, 60_000), ["63100 update 2 not-selected"]);
    list.set(&[programme(1, 2, &SYSTEMS), programme(3, 1, &SYSTEMS)], now_ms);
    assert_eq!(pass(&mut list, &mut now_ms, 60_000), ["123100 update 1"], "another version of its PMT");
}

#[test]
fn a_full_module_is_freed_of_who_leaves_before_another_is_added() {
    let mut list = ServiceList::new(Pacing { services_max: 1, ..Pacing::default() });
    list.set(&wanted(&[1]), 0);
    list.ready(SYSTEMS.to_vec(), 0);
    let mut now_ms = 0;
    pass(&mut list, &mut now_ms, 4_000);
    list.set(&wanted(&[2]), now_ms);
    // Nothing is on the module any more when the newcomer comes, so its list is a new one.
    assert_eq!(pass(&mut list, &mut now_ms, 6_000), ["5000 update 1 not-selected", "7000 only 2"]);
}

#[test]
fn who_comes_back_before_he_was_given_back_stays() {
    let (mut list, mut now_ms) = (list(&[1, 2]), 0);
    pass(&mut list, &mut now_ms, 3_100);
    list.set(&wanted(&[1]), now_ms);
    list.set(&wanted(&[1, 2]), now_ms);
    assert_eq!(pass(&mut list, &mut now_ms, 60_000), [""; 0]);
}

#[test]
fn a_service_that_stays_scrambled_is_asked_about_then_told_again_less_and_less_often() {
    let (mut list, mut now_ms) = (list(&[1, 2]), 0);
    see(&mut list, &[1, 2], View::Scrambled, 0);
    pass(&mut list, &mut now_ms, 3_100);
    see(&mut list, &[1], View::Clear, now_ms);
    let trouble = |list: &ServiceList, now_ms| list.standings(now_ms)[1].trouble.clone();
    assert_eq!(trouble(&list, now_ms), "", "too early to say");
    let heard = pass(&mut list, &mut now_ms, 120_000);
    assert_eq!(heard, ["13000 update 2 query", "15000 update 2", "35000 update 2", "75000 update 2"]);
    assert_eq!(trouble(&list, now_ms), "the module was told of it, and it is still scrambled after 10 s");
    assert!(list.hopeless() && list.any_healthy(), "the shell will not reset while service 1 is clear");
    list.said(2, Verdict::NoEntitlement);
    assert_eq!(trouble(&list, now_ms), "the module has no entitlement for it");
    assert!(!list.hopeless(), "a reset brings no rights");
    see(&mut list, &[2], View::Clear, now_ms);
    assert_eq!((trouble(&list, now_ms).as_str(), pass(&mut list, &mut now_ms, 500_000).len()), ("", 0));
}

#[test]
fn a_module_that_comes_back_gets_its_list_again() {
    let (mut list, mut now_ms) = (list(&[1, 2]), 0);
    pass(&mut list, &mut now_ms, 3_100);
    list.set(&wanted(&[2]), now_ms);
    list.lost(now_ms);
    assert_eq!(pass(&mut list, &mut now_ms, 10_000), [""; 0]);
    assert!(!list.standings(now_ms)[0].selected);
    list.ready(SYSTEMS.to_vec(), now_ms);
    assert_eq!(pass(&mut list, &mut now_ms, 10_000), ["16100 only 2"]);
}

proptest! {
    /// Whatever is wanted and seen: one message in each spacing, nothing about a neighbour that did not change, and in the
    /// end the module knows what is wanted.
    #[test]
    fn neighbours_are_never_rewritten(steps in proptest::collection::vec(
        (proptest::collection::btree_set(1_u16..6, 0..5), 0_u64..6_000, 0_usize..3), 1..20))
    {
        let mut list = ServiceList::new(Pacing { services_max: 3, ..Pacing::default() });
        list.ready(SYSTEMS.to_vec(), 0);
        let (mut now_ms, mut known, mut last) = (0, std::collections::BTreeSet::new(), None::<u64>);
        let mut run = |list: &mut ServiceList, now_ms: u64, known: &mut std::collections::BTreeSet<u16>| {
            let bodies = list.next(now_ms);
            if !bodies.is_empty() {
                assert!(last.is_none_or(|last| now_ms >= last + 2_000), "spacing");
                last = Some(now_ms);
            }
            for body in bodies {
                let service = u16::from_be_bytes([body[1], body[2]]);
                match (body[0], body[6]) {
                    (0..=3, 1) => assert!(known.insert(service), "a whole list while {known:?}"),
                    (4, 1) => assert!(known.insert(service) && known.len() > 1, "added to nothing"),
                    (5, 4) => assert!(known.remove(&service)),
                    (5, _) => assert!(known.contains(&service)),
                    other => panic!("{other:?}"),
                }
            }
        };
        for (services, wait, view) in steps {
            let services: Vec<u16> = services.into_iter().take(3).collect();
            list.set(&wanted(&services), now_ms);
            see(&mut list, &services, [View::Quiet, View::Clear, View::Scrambled][view], now_ms);
            for _ in 0..=wait / 500 {
                run(&mut list, now_ms, &mut known);
                now_ms += 500;
            }
        }
        let end: Vec<u16> = list.standings(now_ms).iter().map(|standing| standing.key.service.0).collect();
        for _ in 0..100 {
            run(&mut list, now_ms, &mut known);
            now_ms += 500;
        }
        prop_assert_eq!(known.into_iter().collect::<Vec<_>>(), { let mut end = end; end.sort_unstable(); end });
    }
}
