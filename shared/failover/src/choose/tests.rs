//! The choice as tables: the tables are the specification.

use super::*;
use crate::chooser::Chooser;
use crate::{
    fault::{ProbeFault, StreamFault},
    policy::{SoakRules, SourceRules},
    source::Sample,
    sources::Sources,
};

/// The NOC's table of a node with a local capture and the other site's feed; leave after 5 s, return after 60 s.
const TABLE: &str = "
| playing | local (healthy, s) | remote (healthy, s) | choice             |
|---------|--------------------|---------------------|--------------------|
| local   | yes 999            | yes 999             | keep               |
| local   | no 4               | yes 999             | keep               |
| local   | no 5               | yes 3               | move to remote     |
| local   | no 5               | no 1                | slate              |
| remote  | yes 59             | yes 999             | keep               |
| remote  | yes 60             | yes 999             | move to local      |
";

/// For how many seconds a source has given no packet at `second`, so that at second 2,000 it has been healthy or
/// not for as long as the cell says.
fn dead_for(cell: &str, second: u64) -> u64 {
    let (healthy, lasting) = cell.split_once(' ').unwrap();
    let turned = 2_000 - lasting.parse::<u64>().unwrap();
    match (healthy, lasting) {
        // 999 stands for a long time: it never failed.
        ("yes", "999") => 0,
        // It was dead for twenty seconds before it turned.
        ("yes", _) if second >= turned => 0,
        ("yes", _) => second.saturating_sub(turned - 20),
        _ => second.saturating_sub(turned),
    }
}

#[test]
fn the_table() {
    for row in TABLE.lines().skip(3) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, playing, local, remote, want, _] = cells.as_slice() else { panic!("a row has four cells: {row}") };
        let soak = SoakRules { soak_ms: 60_000, soak_max_ms: 60_000, ..SoakRules::default() };
        let rules = SourceRules { leave_after_ms: 5_000, up_after_ms: 0, soak, ..SourceRules::default() };
        let mut sources = Sources::new(rules, vec!["local", "remote"], 0).unwrap();
        let mut chooser = Chooser::new(Policy::new(vec!["local", "remote"])).unwrap();
        let mut decision = None;
        for second in 1..=2_000 {
            let now = second * 1_000;
            assert!(second < 2_000 || chooser.on() == Some(playing), "before {row}");
            for (id, cell) in [("local", local), ("remote", remote)] {
                let packet_age_ms = dead_for(cell, second) * 1_000;
                sources.sample(&id, now, &Sample { packet_age_ms, ..Sample::GOOD });
            }
            decision = Some(chooser.decide(now, &sources.candidates(now), false).choice);
        }
        let got = match decision.unwrap() {
            Choice::Keep => "keep".to_owned(),
            Choice::MoveTo(id) => format!("move to {id}"),
            Choice::Slate => "slate".to_owned(),
        };
        assert_eq!(got, *want, "{row}");
    }
}

/// A candidate from a word: `good`, `soaking`, `shaky`, `torn` (down but watchable), `down`, `untested`, `gone`.
fn candidate(id: &'static str, word: &str) -> Option<Candidate<&'static str>> {
    let stream = |stream| Some(Fault::Stream { stream });
    let (health, soak_left_ms, fault) = match word {
        "good" => (Health::Good, 0, None),
        "soaking" => (Health::Good, 120_000, None),
        "shaky" => (Health::Shaky, 0, stream(StreamFault::NoPackets { for_ms: 600 })),
        "torn" => (Health::Down, 300_000, stream(StreamFault::Continuity { per_sec: 40 })),
        "down" => (Health::Down, 300_000, Some(Fault::Probes { failed: 3, last: ProbeFault::TimedOut })),
        "untested" => (Health::Untested, 0, None),
        _ => return None,
    };
    Some(Candidate { id, health, lasting_ms: 300_000, soak_left_ms, fault, watchable: word == "torn" })
}

/// `car` before `fra`; what plays (`-` for nothing), the words of both, and the decision in words.
fn check(on: &str, words: [&str; 2], want: &str) {
    check_with(on, words, |_, _| (), want);
}

fn check_with(
    on: &str,
    words: [&str; 2],
    change: impl FnOnce(&mut Playing<'_, &'static str>, &mut Seen<'_, &'static str>),
    want: &str,
) {
    let candidates: Vec<_> = ["car", "fra"].into_iter().zip(words).filter_map(|(id, w)| candidate(id, w)).collect();
    let current = ["car", "fra"].into_iter().find(|id| *id == on);
    let mut playing = Playing { on: current.as_ref(), voluntary: 0 };
    let mut seen = Seen { now_ms: 1_000_000, candidates: &candidates, blind: false, pin: None };
    change(&mut playing, &mut seen);
    let decision = choose(&Policy::new(vec!["car", "fra"]), playing, &seen);
    let what = match decision.choice {
        Choice::Keep => "keep".to_owned(),
        Choice::MoveTo(id) => id.to_owned(),
        Choice::Slate => "slate".to_owned(),
    };
    assert_eq!(format!("{what}: {}", decision.reason), want, "on {on}, {words:?}");
}

#[test]
fn on_the_preferred_one() {
    check("car", ["good", "good"], "keep: car is up and first in order");
    check("car", ["shaky", "good"], "keep: car is up and first in order");
    check("car", ["down", "good"], "fra: car is down: 3 probes failed in a row, the last timed out");
    check("car", ["down", "soaking"], "fra: car is down: 3 probes failed in a row, the last timed out");
    check("car", ["gone", "good"], "fra: car is no longer a candidate");
    check("car", ["untested", "good"], "keep: car is up and first in order");
}

#[test]
fn on_the_backup() {
    check("fra", ["good", "good"], "car: car has been up for 300 s and proved itself");
    check("fra", ["soaking", "good"], "keep: car is up again and must be good for 120 s more");
    let down = "keep: fra is up; car: 3 probes failed in a row, the last timed out";
    check("fra", ["down", "good"], down);
    check("fra", ["soaking", "down"], "car: fra is down: 3 probes failed in a row, the last timed out");
    check("fra", ["untested", "good"], "keep: fra is up; car: nothing is known of it");
}

#[test]
fn with_nothing_playing() {
    check("-", ["good", "good"], "car: car is up");
    check("-", ["soaking", "good"], "fra: fra is up");
    check("-", ["soaking", "down"], "car: car is up");
    check("-", ["untested", "untested"], "car: nothing is known to be up yet, trying car");
    check("-", ["untested", "good"], "fra: fra is up");
}

#[test]
fn with_nothing_up() {
    let both = "3 probes failed in a row, the last timed out";
    check("car", ["down", "down"], &format!("slate: nothing is up: car: {both}; fra: {both}"));
    check("car", ["torn", "down"], "keep: nothing better is left than car: 40 continuity errors a second");
    check("car", ["down", "torn"], "fra: nothing better is left than fra: 40 continuity errors a second");
    check("car", ["torn", "good"], "fra: car is down: 40 continuity errors a second");
    check("car", ["torn", "untested"], "keep: nothing better is left than car: 40 continuity errors a second");
    check("car", ["down", "shaky"], &format!("slate: nothing is up: car: {both}; fra: no packets for 600 ms"));
    check("car", ["gone", "gone"], "slate: nothing is up");
}

#[test]
fn a_third_voluntary_switch_waits() {
    let want = "keep: car is good again, but 2 switches in 3600 s are the limit";
    check_with("fra", ["good", "good"], |playing, _| playing.voluntary = 2, want);
    // A forced one does not.
    let want = "car: fra is down: 3 probes failed in a row, the last timed out";
    check_with("fra", ["good", "down"], |playing, _| playing.voluntary = 2, want);
}

#[test]
fn the_pin_of_the_operator() {
    let pin = |id, until_ms, forced| Pin { id, until_ms, forced };
    let run = |on, words, pin: Pin<&'static str>, want| {
        check_with(on, words, |_, seen| seen.pin = Some(Box::leak(Box::new(pin))), want);
    };
    let pinned = "fra: pinned to fra by the operator for 60 s more";
    run("car", ["good", "good"], pin("fra", 1_060_000, false), pinned);
    run("fra", ["good", "good"], pin("fra", 1_060_000, false), "keep: pinned to fra by the operator for 60 s more");
    run("car", ["good", "down"], pin("fra", 1_060_000, false), "keep: car is up and first in order");
    run("car", ["good", "down"], pin("fra", 1_060_000, true), pinned);
    run("car", ["good", "good"], pin("fra", 1_000_000, false), "keep: car is up and first in order");
    run("car", ["good", "good"], pin("rome", 1_060_000, true), "keep: car is up and first in order");
}

#[test]
fn blind_it_never_shows_the_slate() {
    let blind = |on, words, want: &str| check_with(on, words, |_, seen| seen.blind = true, want);
    let stands = "cut off: not even the anchors answer, the last choice stands";
    blind("fra", ["good", "good"], &format!("keep: {stands}"));
    blind("fra", ["good", "down"], &format!("keep: {stands}"));
    blind("-", ["down", "down"], &format!("car: {stands}"));
    blind("-", ["down", "good"], &format!("fra: {stands}"));
}

/// Where a viewer belongs: current choice, what it runs on, what it says has failed (10 s ago), both words.
fn belongs(current: &str, on: &str, failed: &str, words: [&str; 2], want: &str) {
    let of = |word: &str| ["car", "fra"].into_iter().find(|id| *id == word);
    let candidates: Vec<_> = ["car", "fra"].into_iter().zip(words).filter_map(|(id, w)| candidate(id, w)).collect();
    let seen = Seen { now_ms: 1_000_000, candidates: &candidates, blind: false, pin: None };
    let (current, on, failed) = (of(current), of(on), of(failed));
    let viewer = Viewer { on: on.as_ref(), failed: failed.as_ref().map(|id| (id, 990_000)) };
    let got = serve(&Policy::new(vec!["car", "fra"]), current.as_ref(), &viewer, &seen);
    assert_eq!(got.unwrap_or("slate"), want, "current {current:?}, on {on:?}, failed {failed:?}, {words:?}");
}

#[test]
fn viewers_stay_where_they_are_while_it_is_up() {
    belongs("car", "-", "-", ["good", "good"], "car");
    belongs("car", "fra", "-", ["good", "good"], "fra");
    belongs("car", "fra", "-", ["good", "down"], "car");
    belongs("-", "fra", "-", ["down", "down"], "slate");
}

#[test]
fn a_box_is_kept_from_the_origin_that_failed_it_if_there_is_another() {
    belongs("car", "car", "car", ["good", "good"], "fra");
    belongs("car", "-", "car", ["good", "good"], "fra");
    belongs("car", "car", "car", ["good", "down"], "car");
    belongs("car", "car", "fra", ["good", "good"], "car");
}

#[test]
fn a_penalty_ends_and_a_pin_moves_everyone() {
    let candidates: Vec<_> = ["car", "fra"].into_iter().filter_map(|id| candidate(id, "good")).collect();
    let pin = Pin { id: "fra", until_ms: 2_000_000, forced: false };
    let mut seen = Seen { now_ms: 1_000_000, candidates: &candidates, blind: false, pin: None };
    let policy = Policy::new(vec!["car", "fra"]);
    let viewer = Viewer { on: Some(&"car"), failed: Some((&"car", 940_000)) };
    assert_eq!(serve(&policy, Some(&"car"), &viewer, &seen), Some("car"));
    seen.pin = Some(&pin);
    assert_eq!(serve(&policy, Some(&"car"), &viewer, &seen), Some("fra"));
}
