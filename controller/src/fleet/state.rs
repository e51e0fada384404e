//! What we believe of every node, merged from what arrived. Pure: time is an argument.
//!
//! A node's word is ordered by (incarnation, sequence), never by arrival: retained messages come in any
//! order after a subscription, and a will may be late. Of a birth and a will of one incarnation the higher
//! sequence number is the truth, because a node numbers its will after the birth of the same connection
//! (`headend_rt::link::Announce`). Health figures are believed for three of their periods of 10 s.
//!
//! Bounded: [`NODES_MAX`] nodes, [`CHANNELS_MAX`] channels each, [`EVENTS_KEPT`] events each, texts clipped.
//! Whether an origin can be *reached* is the probe's to say, not this room's.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use headend_wire::{
    Birth, CardHealth, ChannelHealth, ChannelName, Event, Health, Incarnation, Message, NodeName, Reported, SiteName,
    SourceName, TunerHealth, Will,
    hardware::{CARDS_MAX, TUNERS_MAX, clip},
    report::{WillCause, WireAnchor},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most nodes we keep; the wire may name more, which are counted.
pub const NODES_MAX: usize = 200;
/// The most channels of one node.
pub const CHANNELS_MAX: usize = 300;
/// The most anchors of the fleet.
pub const ANCHORS_MAX: usize = 4_096;
/// Events kept per node, for people; the store keeps them all.
pub const EVENTS_KEPT: usize = 32;
/// A node sends everything at least this often.
pub const HEALTH_PERIOD: Duration = Duration::from_secs(10);
/// Older than this a figure is unknown: three periods.
pub const HEALTH_HOLDS: Duration = Duration::from_secs(30);
const TEXT_CHARS_MAX: usize = 300;
const SOURCES_MAX: usize = 16;
const FAILED_MAX: usize = 4;

/// Monotonic time since the process started.
pub type Elapsed = Duration;

/// Site and name of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeKey {
    /// Its site.
    pub site: SiteName,
    /// Its name.
    pub node: NodeName,
}

/// One message of a node, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What the node is.
    Birth(Message<Birth>),
    /// How it went away.
    Will(Message<Will>),
    /// Its figures.
    Health(Message<Health>),
    /// What it has applied.
    Reported(Message<Reported>),
    /// What happened.
    Event(Message<Event>),
}

/// What came of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// Believed.
    Taken,
    /// The node has just gone away: probe it now.
    Gone,
    /// An older incarnation or sequence than what we have.
    Old,
    /// Over a bound; the rest was believed.
    TooMany,
}

/// Whether a node is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It said so, and its figures are fresh.
    Alive,
    /// It said so, but its figures are older than [`HEALTH_HOLDS`].
    Silent,
    /// It went away.
    Gone(WillCause),
}

/// Cards and tuners of a node as it told them last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Its cards.
    pub cards: Vec<CardHealth>,
    /// Its tuners.
    pub tuners: Vec<TunerHealth>,
    /// When; none before the first.
    pub heard: Option<Elapsed>,
}

/// What we believe of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its newest life.
    pub incarnation: Incarnation,
    /// What it is; none when only other messages arrived.
    pub birth: Option<Birth>,
    /// When its birth was sent, by its own clock.
    pub born: Option<Timestamp>,
    /// How it went away, if it did.
    pub gone: Option<WillCause>,
    /// What it has applied.
    pub reported: Option<Reported>,
    /// Generation of the desired state that runs, from its figures.
    pub generation: u64,
    /// Last events, newest last.
    pub events: VecDeque<Event>,
    channels: BTreeMap<ChannelName, (ChannelHealth, Elapsed)>,
    hardware: Hardware,
    heard: Option<Elapsed>,
    birth_seq: u64,
    will_seq: u64,
    health_seq: Option<u64>,
    reported_at: (Incarnation, u64),
}

impl NodeState {
    fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            birth: None,
            born: None,
            gone: None,
            reported: None,
            generation: 0,
            events: VecDeque::new(),
            channels: BTreeMap::new(),
            hardware: Hardware::default(),
            heard: None,
            birth_seq: 0,
            will_seq: 0,
            health_seq: None,
            reported_at: (Incarnation(0), 0),
        }
    }

    /// Whether it is there, at `now`.
    #[must_use]
    pub fn presence(&self, now: Elapsed) -> Presence {
        match self.gone {
            Some(cause) => Presence::Gone(cause),
            None if self.age(now).is_some_and(|age| age <= HEALTH_HOLDS) => Presence::Alive,
            None => Presence::Silent,
        }
    }

    /// How long ago its figures arrived; none when none did.
    #[must_use]
    pub fn age(&self, now: Elapsed) -> Option<Duration> {
        self.heard.map(|heard| now.saturating_sub(heard))
    }

    /// A channel's figures; none when they are unknown: never heard, too old, or the node is gone.
    #[must_use]
    pub fn channel(&self, channel: &ChannelName, now: Elapsed) -> Option<&ChannelHealth> {
        let (health, heard) = self.channels.get(channel)?;
        (self.gone.is_none() && now.saturating_sub(*heard) <= HEALTH_HOLDS).then_some(health)
    }

    /// Every channel it ever named in this life, with the age of the figures.
    pub fn channels(&self, now: Elapsed) -> impl Iterator<Item = (&ChannelHealth, Duration)> {
        self.channels.values().map(move |(health, heard)| (health, now.saturating_sub(*heard)))
    }

    /// Its cards and tuners, however old.
    #[must_use]
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// A newer life forgets what the older one said of now; what it *is* stays until its own birth comes.
    fn reborn(&mut self, incarnation: Incarnation) {
        let kept = (self.birth.take(), std::mem::take(&mut self.events), self.reported.take(), self.reported_at);
        *self = Self::new(incarnation);
        (self.birth, self.events, self.reported, self.reported_at) = kept;
    }

    fn merge(&mut self, report: Report, now: Elapsed) -> Merged {
        match report {
            Report::Birth(message) => self.merge_birth(message),
            Report::Will(message) => self.merge_will(&message),
            Report::Health(message) => self.merge_health(message, now),
            Report::Reported(message) => self.merge_reported(message),
            Report::Event(message) => {
                if self.events.len() >= EVENTS_KEPT {
                    self.events.pop_front();
                }
                self.events.push_back(message.body);
                Merged::Taken
            }
        }
    }

    fn merge_birth(&mut self, message: Message<Birth>) -> Merged {
        if message.seq < self.birth_seq {
            return Merged::Old;
        }
        self.birth_seq = message.seq;
        self.born = Some(message.at);
        self.birth = Some(message.body);
        if self.birth_seq > self.will_seq {
            self.gone = None;
        }
        Merged::Taken
    }

    fn merge_will(&mut self, message: &Message<Will>) -> Merged {
        self.will_seq = self.will_seq.max(message.seq);
        if message.seq <= self.birth_seq {
            // The death of an earlier connection of this very life: it is back already.
            return Merged::Old;
        }
        let was_there = self.gone.is_none();
        self.gone = Some(message.body.cause);
        if was_there { Merged::Gone } else { Merged::Taken }
    }

    fn merge_health(&mut self, message: Message<Health>, now: Elapsed) -> Merged {
        if self.health_seq.is_some_and(|last| message.seq <= last) {
            return Merged::Old;
        }
        self.health_seq = Some(message.seq);
        self.heard = Some(now);
        self.generation = message.body.generation;
        if message.body.whole {
            self.channels.clear();
        }
        let Health { cards, tuners, channels, .. } = message.body;
        // They come together, in messages of their own; a node that lost its last card was started anew.
        if !cards.is_empty() || !tuners.is_empty() {
            self.hardware = hardware(cards, tuners, now);
        }
        let mut merged = Merged::Taken;
        for health in channels {
            if self.channels.len() >= CHANNELS_MAX && !self.channels.contains_key(&health.channel) {
                merged = Merged::TooMany;
                continue;
            }
            self.channels.insert(health.channel.clone(), (clipped(health), now));
        }
        merged
    }

    fn merge_reported(&mut self, message: Message<Reported>) -> Merged {
        if (message.incarnation, message.seq) < self.reported_at {
            return Merged::Old;
        }
        self.reported_at = (message.incarnation, message.seq);
        self.reported = Some(message.body);
        Merged::Taken
    }
}

/// As many as a node has, with texts as long as a node may send them.
fn hardware(mut cards: Vec<CardHealth>, mut tuners: Vec<TunerHealth>, now: Elapsed) -> Hardware {
    cards.truncate(CARDS_MAX);
    tuners.truncate(TUNERS_MAX);
    for card in &mut cards {
        for text in [&mut card.name, &mut card.state, &mut card.label, &mut card.atr, &mut card.last_error] {
            *text = clip(text);
        }
    }
    for tuner in &mut tuners {
        tuner.backup.failed.truncate(FAILED_MAX);
        let texts = [&mut tuner.name, &mut tuner.doing, &mut tuner.state, &mut tuner.mux];
        for text in texts.into_iter().chain(&mut tuner.backup.failed) {
            *text = clip(text);
        }
    }
    Hardware { cards, tuners, heard: Some(now) }
}

/// Texts of strangers are shown to people and kept per channel: no longer than a person reads.
fn clipped(mut health: ChannelHealth) -> ChannelHealth {
    let clip = |text: &mut String| {
        if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(at);
        }
    };
    clip(&mut health.reason);
    health.sources.truncate(SOURCES_MAX);
    health.sources.iter_mut().for_each(|source| clip(&mut source.fault));
    health
}

/// What we believe of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetState {
    nodes: BTreeMap<NodeKey, NodeState>,
    anchors: BTreeMap<(ChannelName, SourceName), WireAnchor>,
}

impl FleetState {
    /// Merges one report of a node, at `now`.
    pub fn merge(&mut self, key: &NodeKey, report: Report, now: Elapsed) -> Merged {
        let incarnation = match &report {
            Report::Birth(message) => message.incarnation,
            Report::Will(message) => message.incarnation,
            Report::Health(message) => message.incarnation,
            Report::Reported(message) => message.incarnation,
            Report::Event(message) => message.incarnation,
        };
        // What outlives a process says nothing about which process lives now.
        let of_now = !matches!(report, Report::Event(_) | Report::Reported(_));
        if !self.nodes.contains_key(key) {
            if self.nodes.len() >= NODES_MAX {
                return Merged::TooMany;
            }
            let first = if of_now { incarnation } else { Incarnation(0) };
            self.nodes.insert(key.clone(), NodeState::new(first));
        }
        let node = self.nodes.get_mut(key).expect("inserted above");
        if of_now && incarnation < node.incarnation {
            return Merged::Old;
        }
        if of_now && incarnation > node.incarnation {
            node.reborn(incarnation);
        }
        node.merge(report, now)
    }

    /// Takes an anchor when it is newer than ours; whether it was.
    pub fn anchor(&mut self, channel: ChannelName, source: SourceName, anchor: WireAnchor) -> bool {
        let key = (channel, source);
        let newer = self.anchors.get(&key).is_none_or(|known| anchor.version > known.version);
        let fits = self.anchors.len() < ANCHORS_MAX || self.anchors.contains_key(&key);
        if newer && fits {
            self.anchors.insert(key, anchor);
        }
        newer && fits
    }

    /// Every anchor.
    #[must_use]
    pub fn anchors(&self) -> &BTreeMap<(ChannelName, SourceName), WireAnchor> {
        &self.anchors
    }

    /// One node.
    #[must_use]
    pub fn node(&self, key: &NodeKey) -> Option<&NodeState> {
        self.nodes.get(key)
    }

    /// Every node, by site and name.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeKey, &NodeState)> {
        self.nodes.iter()
    }

    /// Every node that names the channel, with its figures when they are known.
    pub fn origins<'a>(
        &'a self,
        channel: &'a ChannelName,
        now: Elapsed,
    ) -> impl Iterator<Item = (&'a NodeKey, &'a NodeState, Option<&'a ChannelHealth>)> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.channels.contains_key(channel))
            .map(move |(key, node)| (key, node, node.channel(channel, now)))
    }
}

#[cfg(test)]
mod tests {
    use headend_wire::ChannelState;
    use proptest::prelude::*;

    use super::*;

    fn key() -> NodeKey {
        NodeKey { site: "caribbean".parse().unwrap(), node: "car-1".parse().unwrap() }
    }

    fn message<T>(incarnation: u64, seq: u64, body: T) -> Message<T> {
        Message { v: 1, incarnation: Incarnation(incarnation), seq, at: Timestamp::UNIX_EPOCH, body }
    }

    fn birth(incarnation: u64, seq: u64) -> Report {
        let origin_url = format!("http://{incarnation}");
        let (version, host, kernel) = ("1".to_owned(), "h".to_owned(), String::new());
        Report::Birth(message(
            incarnation,
            seq,
            Birth { version, origin_url, host, kernel, slot: None, capabilities: vec![] },
        ))
    }

    fn will(incarnation: u64, seq: u64) -> Report {
        Report::Will(message(incarnation, seq, Will { cause: WillCause::Lost }))
    }

    fn channel(name: &str, reason: &str) -> ChannelHealth {
        ChannelHealth {
            channel: name.parse().unwrap(),
            state: ChannelState::Ok,
            since: Timestamp::UNIX_EPOCH,
            playing: None,
            reason: reason.to_owned(),
            bitrate_bps: 0,
            cc_errors_per_minute: 0,
            last_segment: None,
            viewers: 0,
            sources: vec![],
        }
    }

    fn health(incarnation: u64, seq: u64, whole: bool, channels: &[&str]) -> Report {
        let channels = channels.iter().map(|name| channel(name, "")).collect();
        Report::Health(message(
            incarnation,
            seq,
            Health { whole, generation: 1, channels, cards: vec![], tuners: vec![] },
        ))
    }

    /// Merges `(second, report)` in order and says who is believed at the last second.
    fn check(steps: &[(u64, Report)], want: &str) {
        let mut fleet = FleetState::default();
        for (second, report) in steps {
            fleet.merge(&key(), report.clone(), Duration::from_secs(*second));
        }
        let now = Duration::from_secs(steps.last().map_or(0, |(second, _)| *second));
        let node = fleet.node(&key()).unwrap();
        let channels: Vec<String> =
            node.channels.keys().filter(|name| node.channel(name, now).is_some()).map(|n| n.to_string()).collect();
        let presence = format!("{:?}", node.presence(now));
        assert_eq!(format!("{} {presence} {}", node.incarnation.0, channels.join(",")).trim_end(), want);
    }

    #[test]
    fn a_will_ends_the_life_it_belongs_to() {
        check(&[(0, birth(5, 1)), (0, health(5, 3, true, &["a"])), (1, will(5, 2))], "5 Gone(Lost)");
        check(&[(0, will(5, 2)), (1, birth(5, 1))], "5 Gone(Lost)");
    }

    #[test]
    fn a_late_will_of_an_older_life_is_ignored() {
        check(&[(0, birth(4, 1)), (1, birth(5, 1)), (1, health(5, 3, true, &["a"])), (2, will(4, 2))], "5 Alive a");
        check(&[(0, will(4, 2)), (1, birth(5, 1)), (1, health(5, 3, true, &["a"]))], "5 Alive a");
    }

    #[test]
    fn a_late_will_of_an_older_connection_of_this_life_is_ignored() {
        let back = [(0, birth(5, 1)), (1, birth(5, 11)), (1, health(5, 13, true, &["a"])), (2, will(5, 2))];
        check(&back, "5 Alive a");
        check(&[(0, will(5, 2)), (1, birth(5, 11)), (1, health(5, 13, true, &["a"]))], "5 Alive a");
        check(&[(0, birth(5, 11)), (1, will(5, 12)), (1, birth(5, 1))], "5 Gone(Lost)");
    }

    #[test]
    fn a_newer_life_that_died_before_we_saw_its_birth_is_gone() {
        check(&[(0, birth(5, 1)), (0, health(5, 3, true, &["a"])), (1, will(6, 2))], "6 Gone(Lost)");
    }

    #[test]
    fn a_figure_older_than_three_periods_is_unknown() {
        let steps =
            |last: u64| [(0, birth(5, 1)), (0, health(5, 3, true, &["a", "b"])), (last, health(5, 4, false, &["b"]))];
        check(&steps(30), "5 Alive a,b");
        check(&steps(31), "5 Alive b");
        check(&[(0, birth(5, 1)), (0, health(5, 3, true, &["a"])), (31, birth(5, 1))], "5 Silent");
    }

    #[test]
    fn a_whole_report_drops_what_it_does_not_name_and_an_old_one_changes_nothing() {
        check(
            &[(0, health(5, 3, true, &["a", "b"])), (1, health(5, 5, true, &["b"])), (1, health(5, 4, true, &["a"]))],
            "5 Alive b",
        );
    }

    #[test]
    fn bounds_hold_and_are_told() {
        let mut fleet = FleetState::default();
        let names: Vec<String> = (0..CHANNELS_MAX + 1).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(fleet.merge(&key(), health(5, 1, true, &names), Duration::ZERO), Merged::TooMany);
        for n in 0..NODES_MAX {
            let key = NodeKey { site: "s".parse().unwrap(), node: format!("n{n}").parse().unwrap() };
            fleet.merge(&key, birth(1, 1), Duration::ZERO);
        }
        assert_eq!(fleet.nodes().count(), NODES_MAX);
        let long = Report::Health(message(
            5,
            2,
            Health {
                whole: false,
                generation: 1,
                channels: vec![channel("c1", &"é".repeat(5_000))],
                cards: vec![],
                tuners: vec![],
            },
        ));
        fleet.merge(&key(), long, Duration::ZERO);
        let kept = fleet.node(&key()).unwrap().channel(&"c1".parse().unwrap(), Duration::ZERO).unwrap();
        assert_eq!(kept.reason.chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn hardware_is_kept_until_it_is_told_anew_and_has_bounds() {
        let tuner = TunerHealth { name: "t".repeat(5_000), ..TunerHealth::default() };
        let told = |seq, whole, tuners| {
            Report::Health(message(5, seq, Health { whole, generation: 1, channels: vec![], cards: vec![], tuners }))
        };
        let mut fleet = FleetState::default();
        fleet.merge(&key(), told(1, false, vec![tuner; TUNERS_MAX + 5]), Duration::from_secs(3));
        fleet.merge(&key(), told(2, false, vec![]), Duration::from_secs(9));
        let kept = fleet.node(&key()).unwrap().hardware();
        assert_eq!((kept.tuners.len(), kept.heard), (TUNERS_MAX, Some(Duration::from_secs(3))));
        assert!(kept.tuners[0].name.len() < 300);
        fleet.merge(&key(), told(3, true, vec![]), Duration::from_secs(10));
        assert_eq!(fleet.node(&key()).unwrap().hardware().tuners.len(), TUNERS_MAX);
        fleet.merge(&key(), health(6, 1, true, &[]), Duration::from_secs(11));
        assert!(fleet.node(&key()).unwrap().hardware().tuners.is_empty(), "another life tells for itself");
    }

    #[test]
    fn only_a_newer_anchor_replaces() {
        let mut fleet = FleetState::default();
        let mut put = |version, at_90k| {
            fleet.anchor("a".parse().unwrap(), "dtt".parse().unwrap(), WireAnchor { source_pts: 0, at_90k, version })
        };
        assert_eq!([put(1, 10), put(1, 11), put(3, 12), put(2, 13)], [true, false, true, false]);
        assert_eq!(fleet.anchors().values().next().unwrap().at_90k, 12);
    }

    fn any_report() -> impl Strategy<Value = Report> {
        (0_u64..3, 0_u64..6, 0_usize..4).prop_map(|(incarnation, seq, kind)| match kind {
            0 => birth(incarnation, seq * 2),
            1 => will(incarnation, seq * 2 + 1),
            2 => health(incarnation, seq, true, &["a"]),
            _ => health(incarnation, seq, false, &["b"]),
        })
    }

    proptest! {
        #[test]
        fn presence_does_not_depend_on_the_order_of_arrival(reports in prop::collection::vec(any_report(), 1..12), seed in any::<u64>()) {
            let lives = |reports: &[Report]| {
                let mut fleet = FleetState::default();
                for report in reports {
                    fleet.merge(&key(), report.clone(), Duration::ZERO);
                }
                let node = fleet.node(&key()).unwrap();
                (node.incarnation, node.gone)
            };
            let mut shuffled = reports.clone();
            let mut random = seed;
            for index in (1..shuffled.len()).rev() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(index, usize::try_from(random >> 33).unwrap() % (index + 1));
            }
            prop_assert_eq!(lives(&reports), lives(&shuffled));
        }
    }
}
