//! The matrix as tables: what was heard and probed, and what an operator then reads.

use headend_wire::{Birth, Health, Incarnation, Message, Reported, Will, report::SourceHealth};
use proptest::prelude::*;

use super::*;
use crate::fleet::state::Report;

/// What one test sees; `car-1` and `fra-1` are enrolled.
#[derive(Default)]
struct World {
    channels: Vec<Listed>,
    fleet: FleetState,
    seq: u64,
    probes: BTreeMap<(ChannelName, NodeKey), Probe>,
    sent: BTreeMap<ChannelName, Vec<Sent>>,
}

fn key(text: &str) -> NodeKey {
    let (site, node) = text.split_once('/').unwrap();
    NodeKey { site: site.parse().unwrap(), node: node.parse().unwrap() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn epoch(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const CAR: &str = "caribbean/car-1";
const FRA: &str = "france/fra-1";

impl World {
    fn new(names: &[(&str, Option<u32>)]) -> Self {
        let preferred: BTreeMap<SiteName, SourceName> = [
            ("caribbean".parse().unwrap(), "sat".parse().unwrap()),
            ("france".parse().unwrap(), "dtt".parse().unwrap()),
        ]
        .into();
        let listed = |(name, number): &(&str, Option<u32>)| Listed {
            name: name.parse().unwrap(),
            title: name.to_uppercase(),
            number: *number,
            segment_secs: 2,
            preferred: preferred.clone(),
        };
        Self { channels: names.iter().map(listed).collect(), ..Self::default() }
    }

    fn hear(mut self, node: &str, at: u64, channel: &str, state: ChannelState, playing: Option<&str>) -> Self {
        self.seq += 2;
        let health = Health {
            whole: false,
            generation: 7,
            channels: vec![figures(channel, state, playing)],
            cards: vec![],
            tuners: vec![],
        };
        self.fleet.merge(&key(node), Report::Health(message(self.seq + 1, health)), seconds(at));
        self
    }

    fn die(mut self, node: &str, at: u64) -> Self {
        let will = Will { cause: WillCause::Lost };
        self.fleet.merge(&key(node), Report::Will(message(at * 2 + 1, will)), seconds(at));
        self
    }

    fn probe(mut self, node: &str, at: u64, channel: &str, ok: bool) -> Self {
        let verdict = if ok { String::new() } else { "connection refused".to_owned() };
        self.probes.insert((channel.parse().unwrap(), key(node)), Probe { ok, verdict, taken: seconds(at) });
        self
    }

    fn send(mut self, channel: &str, audience: &str, origin: Option<&str>, wanted: &str) -> Self {
        let sent = Sent {
            audience: audience.to_owned(),
            origin: origin.map(key),
            wanted: Some(key(wanted)),
            reason: "car-1 refused three probes".to_owned(),
            since: epoch(1_003),
        };
        self.sent.entry(channel.parse().unwrap()).or_default().push(sent);
        self
    }

    fn at(&self, now: u64) -> Matrix {
        let nodes = [key(CAR), key(FRA)];
        let (channels, fleet, probes, sent) = (&self.channels, &self.fleet, &self.probes, &self.sent);
        build(&Picture { channels, nodes: &nodes, fleet, probes, sent, started: epoch(1_000), now: seconds(now) })
    }
}

fn message<T>(seq: u64, body: T) -> Message<T> {
    Message { v: 1, incarnation: Incarnation(1), seq, at: Timestamp::UNIX_EPOCH, body }
}

fn figures(channel: &str, state: ChannelState, playing: Option<&str>) -> ChannelHealth {
    let source = |name: &str, up| SourceHealth {
        source: name.parse().unwrap(),
        up,
        fault: if up { String::new() } else { "no lock".to_owned() },
        bitrate_bps: 1,
        cc_errors_per_minute: 0,
    };
    ChannelHealth {
        channel: channel.parse().unwrap(),
        state,
        since: epoch(1_001),
        playing: playing.map(|name| name.parse().unwrap()),
        reason: "sat silent for 2.1 s".to_owned(),
        bitrate_bps: 8_299_999,
        cc_errors_per_minute: 3,
        last_segment: Some(500),
        viewers: 12,
        sources: vec![source("sat", playing == Some("sat")), source("dtt", true)],
    }
}

/// Reads the only line: what viewers get, then each origin's state, stale ones with `~`.
fn words(matrix: &Matrix) -> String {
    let line = &matrix.lines[0];
    let row = |row: &Row| format!("{}{}", row.state.tag(), if row.stale { "~" } else { "" });
    let rows: Vec<String> = line.origins.values().map(row).collect();
    format!("{}: {}", line.state.tag(), rows.join(" "))
}

fn check(world: &World, now: u64, want: &str) {
    assert_eq!(words(&world.at(now)), want, "at {now} s");
}

fn both() -> World {
    World::new(&[("tf1", Some(1))])
        .hear(CAR, 10, "tf1", ChannelState::Ok, Some("sat"))
        .hear(FRA, 10, "tf1", ChannelState::Ok, Some("dtt"))
        .probe(CAR, 10, "tf1", true)
        .probe(FRA, 10, "tf1", true)
}

#[test]
fn a_figure_older_than_three_periods_is_unknown_never_ok() {
    let world = both().send("tf1", "", Some(CAR), CAR);
    check(&world, 10, "ok: ok ok");
    check(&world, 40, "ok: ok ok");
    check(&world, 41, "unknown: unknown~ unknown~");
    let row = &world.at(41).lines[0].origins[CAR];
    assert_eq!((row.heard, row.rate, row.viewers), (Some(1_010_000), Some(8_200_000), Some(12)), "kept for people");
}

#[test]
fn what_was_never_heard_is_unknown() {
    check(&World::new(&[("tf1", None)]), 0, "unknown: unknown~ unknown~");
    check(&World::new(&[("tf1", None)]).send("tf1", "", Some(CAR), CAR), 0, "unknown: unknown~ unknown~");
}

#[test]
fn without_a_decision_nobody_knows_what_viewers_get() {
    check(&both(), 10, "unknown: ok ok");
}

#[test]
fn viewers_get_what_the_origin_they_are_sent_to_does() {
    let backup = || both().hear(CAR, 11, "tf1", ChannelState::OnBackup, Some("dtt"));
    check(&backup().send("tf1", "", Some(CAR), CAR), 11, "on-backup: on-backup ok");
    check(&backup().send("tf1", "", Some(FRA), FRA), 11, "ok: on-backup ok");
    check(&backup().send("tf1", "", Some(FRA), CAR), 11, "on-backup: on-backup ok");
    check(&backup().send("tf1", "", None, CAR), 11, "slate: on-backup ok");
    check(&backup().send("tf1", "fr", Some(FRA), FRA).send("tf1", "gp", None, CAR), 11, "slate: on-backup ok");
}

#[test]
fn a_failed_probe_outweighs_what_the_node_says() {
    let failing = || both().probe(CAR, 12, "tf1", false).send("tf1", "", Some(CAR), CAR);
    check(&failing(), 12, "down: down ok");
    assert_eq!(failing().at(12).lines[0].origins[CAR].reason, "connection refused");
    // Six seconds on, that probe says nothing of now either.
    check(&failing(), 18, "down: down ok");
    check(&failing(), 19, "ok: ok ok");
    assert!(failing().at(19).lines[0].origins[CAR].probe.as_ref().unwrap().stale);
}

#[test]
fn a_node_that_went_away_is_unknown_until_a_probe_says_down() {
    let gone = || both().die(CAR, 12).send("tf1", "", Some(CAR), CAR);
    check(&gone(), 12, "unknown: unknown~ ok");
    check(&gone().probe(CAR, 13, "tf1", false), 13, "down: down~ ok");
    let card = &gone().at(13).nodes[CAR];
    assert_eq!((card.state, card.seen), (NodeWord::Lost, Some(1_010_000)));
}

#[test]
fn a_line_says_since_when_and_why() {
    let world = both().send("tf1", "", Some(FRA), CAR);
    let line = &world.at(10).lines[0];
    assert_eq!(line.since, Some(1_003_000), "sent there later than the origin came into its state");
    assert_eq!(line.reason, "car-1 refused three probes");
    assert_eq!(line.origins[FRA].serves, ["*"]);
    assert!(line.origins[CAR].serves.is_empty());
    let usual = both().send("tf1", "", Some(CAR), CAR).at(10);
    assert_eq!(usual.lines[0].reason, "", "nothing to explain");
}

#[test]
fn a_row_names_the_source_and_the_wanted_one() {
    let world = both().hear(CAR, 11, "tf1", ChannelState::OnBackup, Some("dtt"));
    let row = &world.at(11).lines[0].origins[CAR];
    assert_eq!((row.source.as_deref(), row.wanted.as_deref()), (Some("dtt"), Some("sat")));
    assert_eq!(row.reason, "sat silent for 2.1 s");
    let chips: Vec<(&str, bool, bool)> =
        row.chips.iter().map(|chip| (chip.name.as_str(), chip.playing, chip.up)).collect();
    assert_eq!(chips, [("sat", false, false), ("dtt", true, true)]);
    assert_eq!(row.segment, Some(1_002_000), "segment 500 of 2 s ends at 1002 s");
    let ok = &both().at(11).lines[0].origins[CAR];
    assert_eq!((ok.wanted.as_deref(), ok.reason.as_str()), (None, ""));
}

#[test]
fn pain_first_then_number_then_name() {
    let mut world =
        World::new(&[("a", Some(9)), ("b", Some(2)), ("c", None), ("d", Some(5)), ("e", Some(3)), ("f", None)]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        let state = if name == "d" { ChannelState::Degraded } else { ChannelState::Ok };
        world = world.hear(CAR, 1, name, state, Some("sat")).hear(FRA, 1, name, ChannelState::Ok, Some("dtt")).send(
            name,
            "",
            Some(CAR),
            CAR,
        );
    }
    // `a` plays, but its other origin does not: it comes before those where all is well.
    world = world.hear(FRA, 2, "a", ChannelState::Slate, None);
    let order: Vec<String> = world.at(2).lines.into_iter().map(|line| line.name).collect();
    assert_eq!(order, ["d", "a", "b", "e", "c", "f"]);
}

#[test]
fn a_node_s_card_tells_what_it_is() {
    let mut world = both();
    let birth = Birth {
        version: "0.1.0".to_owned(),
        origin_url: "http://127.0.0.1:8081".to_owned(),
        host: "h".to_owned(),
        kernel: String::new(),
        slot: None,
        capabilities: vec![],
    };
    world.fleet.merge(&key(CAR), Report::Birth(message(1, birth.clone())), seconds(10));
    let reported = Reported { generation: Some(7), differences: vec!["x".to_owned()], keys_until_day: None };
    world.fleet.merge(&key(CAR), Report::Reported(message(2, reported)), seconds(10));
    let evil = Birth { origin_url: "javascript:alert(1)".to_owned(), ..birth };
    world.fleet.merge(&key(FRA), Report::Birth(message(1, evil)), seconds(10));
    let matrix = world.at(12);
    let card = &matrix.nodes[CAR];
    assert_eq!((card.state, card.seen, card.generation), (NodeWord::Alive, Some(1_010_000), Some(7)));
    assert_eq!((card.version.as_deref(), card.differences), (Some("0.1.0"), 1));
    assert_eq!(card.page.as_deref(), Some("http://127.0.0.1:8081/"));
    assert_eq!(matrix.nodes[FRA].page, None);
    assert_eq!(World::default().at(0).nodes[CAR].state, NodeWord::Never);
}

#[test]
fn a_page_has_a_bound_and_the_worst_stay() {
    let names: Vec<String> = (0..=ROWS_MAX / 2).map(|n| format!("c{n}")).collect();
    let listed: Vec<(&str, Option<u32>)> = names.iter().map(|name| (name.as_str(), Some(1))).collect();
    let world = World::new(&listed).send("c77", "", None, CAR);
    let matrix = world.at(0);
    assert_eq!((matrix.lines.len(), matrix.hidden), (ROWS_MAX / 2, 1));
    assert_eq!(matrix.lines[0].name, "c77");
}

proptest! {
    #[test]
    fn ok_is_only_said_of_fresh_figures(heard in 0_u64..100, probed in 0_u64..100, now in 0_u64..200, good in any::<bool>(), gone in any::<bool>()) {
        let now = now.max(heard).max(probed);
        let mut world = World::new(&[("tf1", Some(1))])
            .hear(CAR, heard, "tf1", ChannelState::Ok, Some("sat"))
            .probe(CAR, probed, "tf1", good)
            .send("tf1", "", Some(CAR), CAR);
        if gone {
            world = world.die(CAR, 199);
        }
        let matrix = world.at(now);
        let fresh = now - heard <= 30 && !gone && (good || now - probed > 6);
        prop_assert_eq!(matrix.lines[0].state == State::Ok, fresh);
        prop_assert_eq!(matrix.count(&State::Ok), usize::from(fresh));
    }
}
