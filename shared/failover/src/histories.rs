//! Random histories, longer and wilder than the exhaustive search can afford: three origins, every kind of
//! evidence, pins, reports of viewers; and two sites that feed each other.
//!
//! The promises are the same. Proptest shrinks a broken history to the shortest one it can find.

use proptest::prelude::*;

use crate::{
    choose::{Candidate, Choice, Health, Pin, Viewer},
    chooser::Chooser,
    fault::{ProbeFault, StreamFault},
    path::Observation,
    paths::Paths,
    policy::{Policy, ProbeRules, SoakRules, SourceRules},
    reason::Reason,
    source::Sample,
    sources::Sources,
};

#[derive(Debug, Clone)]
enum Event {
    Seen(u8, Observation),
    Anchors(u32),
    Pin(u8, u64, bool),
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let fault = prop_oneof![
        4 => Just(ProbeFault::TimedOut),
        2 => Just(ProbeFault::Refused),
        1 => Just(ProbeFault::Status { status: 503 }),
        1 => Just(ProbeFault::Stream { stream: StreamFault::Silent { for_ms: 9_000 } }),
    ];
    prop_oneof![
        8 => Just(Observation::ProbeGood),
        8 => fault.prop_map(Observation::ProbeFailed),
        1 => Just(Observation::NodeWill),
        1 => Just(Observation::NodeBirth),
        1 => Just(Observation::NodeFault { stream: Some(StreamFault::Frozen { for_ms: 2_000 }) }),
        1 => Just(Observation::NodeFault { stream: None }),
        2 => (0u64..7).prop_map(|subscriber| Observation::BoxReport { subscriber }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => (0u8..3, any_observation()).prop_map(|(id, seen)| Event::Seen(id, seen)),
        2 => prop_oneof![Just(0u32), Just(4u32)].prop_map(Event::Anchors),
        1 => (0u8..3, 0u64..60_000, any::<bool>()).prop_map(|(id, ms, forced)| Event::Pin(id, ms, forced)),
    ]
}

fn health(candidates: &[Candidate<u8>], id: u8) -> Health {
    candidates[usize::from(id)].health
}

/// Checks one decision against what was believed when it was made.
fn check_decision(
    before: Option<u8>,
    chooser: &Chooser<u8>,
    candidates: &[Candidate<u8>],
    blind: bool,
    reason: &Reason<u8>,
) -> Result<(), TestCaseError> {
    let on = chooser.on().copied();
    if matches!(reason, Reason::Pinned { .. }) {
        return Ok(());
    }
    if blind {
        prop_assert!(on.is_some(), "the slate while blind");
        prop_assert!(before.is_none() || before == on, "moved while blind");
        return Ok(());
    }
    let good = candidates.iter().any(|c| c.health == Health::Good);
    let alive = candidates.iter().any(|c| c.health != Health::Down);
    match on {
        Some(on) if health(candidates, on) == Health::Down => {
            prop_assert!(!good, "on a dead one while another is alive");
            prop_assert!(matches!(reason, Reason::LastResort { .. }), "on a dead one that is not watchable");
        }
        Some(_) => {}
        None => prop_assert!(!alive, "the slate while one is alive"),
    }
    if let (Some(from), true) = (before, before != on) {
        let forced = health(candidates, from) == Health::Down;
        let returned = matches!(reason, Reason::Returned { .. });
        prop_assert!(forced != returned, "a move is either forced or a return: {reason:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_random_history_breaks_a_promise(
        events in proptest::collection::vec((any_event(), 100u64..3_000), 1..200),
    ) {
        let soak = SoakRules { soak_ms: 8_000, soak_max_ms: 64_000, relapse_ms: 100_000 };
        let rules = ProbeRules { soak, ..ProbeRules::default() };
        let mut paths = Paths::new(rules, vec![0, 1, 2], 0).unwrap();
        let policy = Policy { window_ms: 90_000, ..Policy::new(vec![0, 1, 2]) };
        let mut chooser = Chooser::new(policy).unwrap();
        let (mut now, mut has_left, mut returns) = (0, false, vec![]);
        for (event, gap) in events {
            now += gap;
            match event {
                Event::Seen(id, seen) => prop_assert!(paths.observe(&id, now, &seen)),
                Event::Anchors(answered) => paths.anchors(answered, 4),
                Event::Pin(id, ms, forced) => chooser.pin(Some(Pin { id, until_ms: now + ms, forced })),
            }
            let (before, candidates, blind) = (chooser.on().copied(), paths.candidates(now), paths.blind());
            let decision = chooser.decide(now, &candidates, blind);
            check_decision(before, &chooser, &candidates, blind, &decision.reason)?;
            if let (Choice::MoveTo(to), Reason::Returned { .. }) = (&decision.choice, &decision.reason) {
                prop_assert_eq!(candidates[usize::from(*to)].soak_left_ms, 0);
                // Before anything was left, the first choice is still being made.
                returns.extend(has_left.then_some(now));
                let recent = returns.iter().filter(|at| now - **at < 90_000).count();
                prop_assert!(recent <= 2, "{recent} returns in the window");
            } else {
                has_left |= before.is_some() && before != chooser.on().copied();
            }
            // A second decision on the same evidence changes nothing.
            prop_assert_eq!(chooser.decide(now, &candidates, blind).choice, match chooser.on() {
                Some(_) => Choice::Keep,
                None => Choice::Slate,
            });
            check_viewers(&chooser, &candidates, now, blind)?;
        }
    }

    #[test]
    fn no_random_samples_break_a_promise(
        steps in proptest::collection::vec((0u8..2, 0u8..6, 1usize..20), 1..60),
    ) {
        let rules = SourceRules { soak: SoakRules { soak_ms: 3_000, ..SoakRules::default() }, ..SourceRules::default() };
        let mut sources = Sources::new(rules, vec![0, 1], 0).unwrap();
        let mut chooser = Chooser::new(Policy::new(vec![0, 1])).unwrap();
        let (mut now, mut since, mut kinds) = (0, [0; 2], [0; 2]);
        for (id, kind, times) in steps {
            (since[usize::from(id)], kinds[usize::from(id)]) = (now, kind);
            for _ in 0..times {
                now += 250;
                for id in 0..2 {
                    let age = now - since[usize::from(id)];
                    sources.sample(&id, now, &sample(kinds[usize::from(id)], age));
                }
                let candidates = sources.candidates(now);
                chooser.decide(now, &candidates, false);
                let on = chooser.on().map(|on| health(&candidates, *on));
                let good = candidates.iter().any(|c| c.health == Health::Good);
                prop_assert!(!good || matches!(on, Some(Health::Good | Health::Shaky)), "{on:?} of {candidates:?}");
            }
        }
    }
}

/// No viewer is sent to a dead origin while another lives, whatever it runs on and complains of.
fn check_viewers(
    chooser: &Chooser<u8>,
    candidates: &[Candidate<u8>],
    now: u64,
    blind: bool,
) -> Result<(), TestCaseError> {
    for on in [None, Some(&0), Some(&1), Some(&2)] {
        for failed in [None, Some((&0, now)), Some((&1, now))] {
            let served = chooser.serve(now, candidates, blind, &Viewer { on, failed });
            prop_assert_eq!(served.is_none(), chooser.on().is_none(), "slate for one, not for all");
            let Some(served) = served else { continue };
            let dead = health(candidates, served) == Health::Down;
            prop_assert!(!dead || blind || chooser.on() == Some(&served), "a viewer on a dead origin");
            let current = health(candidates, *chooser.on().unwrap());
            if on.is_none() && failed.is_none() && current != Health::Down {
                prop_assert_eq!(Some(&served), chooser.on());
            }
        }
    }
    Ok(())
}

fn sample(kind: u8, age: u64) -> Sample {
    match kind {
        0 => Sample { packet_age_ms: age, pat_age_ms: age, ..Sample::GOOD },
        1 => Sample { video_age_ms: Some(age), ..Sample::GOOD },
        2 => Sample { continuity_errors: 9, ..Sample::GOOD },
        3 => Sample { scrambled_permille: 1_000, ..Sample::GOOD },
        _ => Sample::GOOD,
    }
}

/// One node of two sites that feed each other: its own capture first, then the feed through the tunnel.
struct Site {
    sources: Sources<&'static str>,
    chooser: Chooser<&'static str>,
    /// When its capture and its feed last gave a packet.
    capture_at: u64,
    feed_at: u64,
}

impl Site {
    fn new() -> Self {
        let soak = SoakRules { soak_ms: 1_000, ..SoakRules::default() };
        let rules = SourceRules { soak, ..SourceRules::default() };
        let ids = vec!["capture", "feed"];
        let sources = Sources::new(rules, ids.clone(), 0).unwrap();
        Self { sources, chooser: Chooser::new(Policy::new(ids)).unwrap(), capture_at: 0, feed_at: 0 }
    }

    fn on(&self) -> Option<&'static str> {
        self.chooser.on().copied()
    }

    /// One sample interval in which capture and feed gave packets or not.
    fn step(&mut self, now: u64, capture: bool, feed: bool) {
        for (id, flows, at) in [("capture", capture, &mut self.capture_at), ("feed", feed, &mut self.feed_at)] {
            *at = if flows { now } else { *at };
            let age = now - *at;
            self.sources.sample(&id, now, &Sample { packet_age_ms: age, pat_age_ms: age, ..Sample::GOOD });
        }
        self.chooser.decide(now, &self.sources.candidates(now), false);
    }
}

/// What a feed through the tunnel takes from the other site.
#[derive(Clone, Copy, PartialEq)]
enum Feed {
    Capture,
    ChosenOutput,
}

/// Runs every history of `PHASES` phases of 4 s in which each capture works or not; true when the two sites ever
/// play each other's packets in a circle (I9).
fn loops(feed: Feed) -> bool {
    const PHASES: u32 = 5;
    (0..4_u32.pow(PHASES)).any(|history| {
        let mut sites = [Site::new(), Site::new()];
        (0..u64::from(PHASES) * 16).any(|step| {
            let phase = history >> (2 * (step / 16));
            let captures = [phase & 1 == 1, phase & 2 == 2];
            // A chosen output always flows: where nothing else is left it is the slate.
            let flows = |other: usize| feed == Feed::ChosenOutput || captures[other];
            for site in 0..2 {
                sites[site].step((step + 1) * 250, captures[site], flows(1 - site));
            }
            feed == Feed::ChosenOutput && sites.iter().all(|site| site.on() == Some("feed"))
                || feed == Feed::Capture && (0..2).any(|site| plays_nothing(&sites[site], captures, site, step))
        })
    })
}

/// Well into a phase, a site plays the feed of a capture that is dead, or nothing though a capture works.
fn plays_nothing(site: &Site, captures: [bool; 2], own: usize, step: u64) -> bool {
    let settled = step % 16 >= 8;
    let source = match site.on() {
        Some("capture") => captures[own],
        Some(_) => captures[1 - own],
        None => !captures[0] && !captures[1],
    };
    settled && !source
}

#[test]
fn a_feed_of_the_other_sites_capture_never_loops() {
    assert!(!loops(Feed::Capture));
}

#[test]
fn a_feed_of_the_other_sites_chosen_output_would_loop() {
    assert!(loops(Feed::ChosenOutput));
}
