//! Which origin a viewer of a channel is sent to.
//!
//! Composition of `headend_failover`: one health machine per (channel, origin), one choice per (channel,
//! audience). Observations and monotonic milliseconds go in, changes with their reasons and the measurements
//! behind them come out; [`Redirects::place`] answers one viewer. It fetches nothing and remembers nothing on
//! disk: after a restart origins are untested until the first probes, 2 s later.
//!
//! Nodes that a channel's plan does not name are nobody's origin, whatever they say on MQTT.

use std::{collections::BTreeMap, fmt};

use headend_failover::{
    Candidate, Choice, Chooser, Health, Observation, Paths, Pin, Policy, PolicyError, ProbeRules, Reason, Viewer,
    policy::CANDIDATES_MAX,
};
use headend_wire::{ChannelName, SiteName};
use serde::{Deserialize, Serialize};

use super::state::NodeKey;

/// How long a new channel waits for the first probe of each origin: a round and a time limit.
const FIRST_ROUND_MS: u64 = 4_000;

/// A group of viewers, and the sites it prefers, first one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Its name.
    pub name: String,
    /// Sites in order of preference; origins elsewhere come last.
    pub sites: Vec<SiteName>,
}

/// What redirects are decided for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedirectPlan {
    /// The origins of each channel, at most 16.
    pub origins: BTreeMap<ChannelName, Vec<NodeKey>>,
    /// Every audience.
    pub audiences: Vec<Audience>,
    /// Rules of health.
    pub rules: ProbeRules,
}

/// A choice that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of which channel.
    pub channel: ChannelName,
    /// For which audience.
    pub audience: String,
    /// From where; none: the slate, or the first choice.
    pub from: Option<NodeKey>,
    /// To where; none: the slate.
    pub to: Option<NodeKey>,
    /// Why.
    pub reason: Reason<NodeKey>,
    /// What was measured of every origin at that moment.
    pub seen: Vec<Candidate<NodeKey>>,
}

/// Where one viewer belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// This origin.
    Origin(NodeKey),
    /// Nothing is left.
    Slate,
    /// No such channel, or it has no origin.
    NoChannel,
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.node)
    }
}

struct Channel {
    since: u64,
    paths: Paths<NodeKey>,
    /// By audience.
    choosers: BTreeMap<String, Chooser<NodeKey>>,
}

/// Every choice of this controller. Memory: channels x (origins + audiences), all of them bounded by the plan.
#[derive(Default)]
pub struct Redirects {
    plan: RedirectPlan,
    channels: BTreeMap<ChannelName, Channel>,
    anchors: (u32, u32),
}

impl Redirects {
    /// Goes on under another plan; what stays keeps its health and its choice.
    ///
    /// # Errors
    /// The first channel whose origins or rules cannot be used, and why; the others are in force.
    pub fn set_plan(&mut self, plan: RedirectPlan, now: u64) -> Result<(), (ChannelName, PolicyError)> {
        let rules_stay = plan.rules == self.plan.rules;
        self.channels.retain(|name, _| rules_stay && plan.origins.contains_key(name));
        let mut problem = None;
        for (name, origins) in plan.origins.iter().filter(|(_, origins)| !origins.is_empty()) {
            if let Err(error) = self.set_channel(&plan, name, origins, now) {
                self.channels.remove(name);
                problem.get_or_insert((name.clone(), error));
            }
        }
        self.plan = plan;
        problem.map_or(Ok(()), Err)
    }

    fn set_channel(
        &mut self,
        plan: &RedirectPlan,
        name: &ChannelName,
        origins: &[NodeKey],
        now: u64,
    ) -> Result<(), PolicyError> {
        if origins.len() > CANDIDATES_MAX {
            return Err(PolicyError::Order { count: origins.len() });
        }
        let channel = match self.channels.entry(name.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                let mut paths = Paths::new(plan.rules, origins.to_vec(), now)?;
                paths.anchors(self.anchors.0, self.anchors.1);
                free.insert(Channel { since: now, paths, choosers: BTreeMap::new() })
            }
        };
        channel.paths.set_ids(origins.to_vec(), now)?;
        channel.choosers.retain(|audience, _| plan.audiences.iter().any(|known| known.name == *audience));
        for audience in &plan.audiences {
            let policy = Policy::new(ordered(origins, &audience.sites));
            match channel.choosers.get_mut(&audience.name) {
                Some(chooser) => chooser.set_policy(policy)?,
                None => {
                    channel.choosers.insert(audience.name.clone(), Chooser::new(policy)?);
                }
            }
        }
        Ok(())
    }

    /// Takes what was seen of an origin at `now` (monotonic milliseconds): of one channel, or of all it carries.
    pub fn observe(&mut self, origin: &NodeKey, channel: Option<&ChannelName>, now: u64, seen: &Observation) {
        match channel {
            Some(name) => {
                if let Some(channel) = self.channels.get_mut(name) {
                    channel.paths.observe(origin, now, seen);
                }
            }
            None => {
                for channel in self.channels.values_mut() {
                    channel.paths.observe(origin, now, seen);
                }
            }
        }
    }

    /// Takes a round over the controller's own anchors: how many answered of how many asked.
    pub fn anchors(&mut self, answered: u32, asked: u32) {
        self.anchors = (answered, asked);
        for channel in self.channels.values_mut() {
            channel.paths.anchors(answered, asked);
        }
    }

    /// Sets or lifts the operator's pin of a channel, for one audience or all.
    pub fn pin(&mut self, channel: &ChannelName, audience: Option<&str>, pin: Option<&Pin<NodeKey>>) {
        let Some(channel) = self.channels.get_mut(channel) else { return };
        for (name, chooser) in &mut channel.choosers {
            if audience.is_none_or(|audience| audience == name) {
                chooser.pin(pin.cloned());
            }
        }
    }

    /// Decides everything at `now` and gives what changed.
    pub fn decide(&mut self, now: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, channel) in &mut self.channels {
            let (seen, blind) = (channel.paths.candidates(now), channel.paths.blind());
            // The first probe to come back is not the best origin: until all are known, or should be, viewers
            // are served in the audience's order.
            let untested = seen.iter().any(|candidate| candidate.health == Health::Untested);
            if untested && now.saturating_sub(channel.since) < FIRST_ROUND_MS {
                continue;
            }
            for (audience, chooser) in &mut channel.choosers {
                let from = chooser.on().cloned();
                let decision = chooser.decide(now, &seen, blind);
                let to = match decision.choice {
                    Choice::Keep => continue,
                    Choice::MoveTo(origin) => Some(origin),
                    Choice::Slate => None,
                };
                if from == to {
                    continue;
                }
                let (channel, audience, reason) = (name.clone(), audience.clone(), decision.reason);
                changes.push(Change { channel, audience, from, to, reason, seen: seen.clone() });
            }
        }
        changes
    }

    /// Where one viewer belongs after the last decision. An audience that is unknown is served in the first
    /// audience's order.
    #[must_use]
    pub fn place(&self, channel: &ChannelName, audience: &str, viewer: &Viewer<'_, NodeKey>, now: u64) -> Placement {
        let Some(channel) = self.channels.get(channel) else { return Placement::NoChannel };
        let first = self.plan.audiences.first().and_then(|first| channel.choosers.get(&first.name));
        let Some(chooser) = channel.choosers.get(audience).or(first) else { return Placement::NoChannel };
        let (seen, blind) = (channel.paths.candidates(now), channel.paths.blind());
        chooser.serve(now, &seen, blind, viewer).map_or(Placement::Slate, Placement::Origin)
    }

    /// What every audience is sent to now, and the health behind it, for people.
    pub fn choices(
        &self,
        now: u64,
    ) -> impl Iterator<Item = (&ChannelName, &str, Option<&NodeKey>, Vec<Candidate<NodeKey>>)> {
        self.channels.iter().flat_map(move |(name, channel)| {
            let seen = channel.paths.candidates(now);
            channel
                .choosers
                .iter()
                .map(move |(audience, chooser)| (name, audience.as_str(), chooser.on(), seen.clone()))
        })
    }

    /// Whether any channel's view says that this controller is cut off.
    #[must_use]
    pub fn blind(&self) -> bool {
        self.channels.values().any(|channel| channel.paths.blind())
    }
}

/// The origins by the audience's order of sites; within a site in the plan's order.
fn ordered(origins: &[NodeKey], sites: &[SiteName]) -> Vec<NodeKey> {
    let mut order = origins.to_vec();
    order.sort_by_key(|origin| sites.iter().position(|site| *site == origin.site).unwrap_or(usize::MAX));
    order
}

#[cfg(test)]
mod tests {
    use headend_failover::ProbeFault;

    use super::*;

    fn node(text: &str) -> NodeKey {
        let (site, node) = text.split_once('/').unwrap();
        NodeKey { site: site.parse().unwrap(), node: node.parse().unwrap() }
    }

    const CAR: &str = "caribbean/car-1";
    const FRA: &str = "france/fra-1";

    fn redirects() -> Redirects {
        let audience = |name: &str, sites: [&str; 2]| Audience {
            name: name.to_owned(),
            sites: sites.iter().map(|site| site.parse().unwrap()).collect(),
        };
        let plan = RedirectPlan {
            origins: BTreeMap::from([("news".parse().unwrap(), vec![node(FRA), node(CAR)])]),
            audiences: vec![
                audience("martinique", ["caribbean", "france"]),
                audience("paris", ["france", "caribbean"]),
            ],
            rules: ProbeRules::default(),
        };
        let mut redirects = Redirects::default();
        redirects.set_plan(plan, 0).unwrap();
        redirects
    }

    /// Plays `second origin observation` lines and collects `audience>origin` of every change.
    fn check(script: &[(u64, &str, Observation)], want: &[&str]) -> Redirects {
        let mut redirects = redirects();
        let mut got = Vec::new();
        for (second, origin, seen) in script {
            redirects.observe(&node(origin), None, second * 1_000, seen);
            for change in redirects.decide(second * 1_000) {
                let to = change.to.map_or("slate".to_owned(), |to| to.node.to_string());
                got.push(format!("{second}s {}>{to}", change.audience));
            }
        }
        assert_eq!(got, want);
        redirects
    }

    const GOOD: Observation = Observation::ProbeGood;
    const REFUSED: Observation = Observation::ProbeFailed(ProbeFault::Refused);
    const LATE: Observation = Observation::ProbeFailed(ProbeFault::TimedOut);

    #[test]
    fn a_killed_node_is_left_at_its_will_and_one_refused_probe() {
        let redirects = check(
            &[(0, CAR, GOOD), (0, FRA, GOOD), (2, CAR, Observation::NodeWill), (2, CAR, REFUSED)],
            &["0s martinique>car-1", "0s paris>fra-1", "2s martinique>fra-1"],
        );
        let viewer = Viewer { on: Some(&node(CAR)), failed: None };
        let news = "news".parse().unwrap();
        assert_eq!(redirects.place(&news, "martinique", &viewer, 2_000), Placement::Origin(node(FRA)));
    }

    #[test]
    fn without_a_will_three_failures_in_a_row_and_then_the_slate() {
        check(
            &[
                (0, CAR, GOOD),
                (0, FRA, GOOD),
                (2, CAR, LATE),
                (4, CAR, LATE),
                (6, CAR, LATE),
                (6, FRA, LATE),
                (8, FRA, LATE),
                (10, FRA, LATE),
            ],
            &[
                "0s martinique>car-1",
                "0s paris>fra-1",
                "6s martinique>fra-1",
                "10s martinique>slate",
                "10s paris>slate",
            ],
        );
    }

    #[test]
    fn a_running_session_stays_when_new_ones_go_elsewhere() {
        let redirects = check(&[(0, CAR, GOOD), (0, FRA, GOOD)], &["0s martinique>car-1", "0s paris>fra-1"]);
        let news = "news".parse().unwrap();
        let on = |on| Viewer { on, failed: None };
        let france = node(FRA);
        assert_eq!(redirects.place(&news, "martinique", &on(Some(&france)), 1), Placement::Origin(node(FRA)));
        assert_eq!(redirects.place(&news, "martinique", &on(None), 1), Placement::Origin(node(CAR)));
        assert_eq!(redirects.place(&news, "nobody", &on(None), 1), Placement::Origin(node(CAR)));
        assert_eq!(redirects.place(&"x".parse().unwrap(), "paris", &on(None), 1), Placement::NoChannel);
    }

    #[test]
    fn a_plan_that_changes_keeps_health() {
        let mut redirects = check(&[(0, CAR, GOOD), (0, FRA, GOOD)], &["0s martinique>car-1", "0s paris>fra-1"]);
        let mut plan = redirects.plan.clone();
        plan.origins.insert("films".parse().unwrap(), vec![node(FRA)]);
        redirects.set_plan(plan.clone(), 1).unwrap();
        assert!(redirects.decide(1).iter().all(|change| change.channel.as_str() == "films"));
        let many = (0..17).map(|n| node(&format!("s/n{n}"))).collect();
        plan.origins.insert("many".parse().unwrap(), many);
        let (channel, error) = redirects.set_plan(plan, 2).unwrap_err();
        assert_eq!((channel.as_str(), error), ("many", PolicyError::Order { count: 17 }));
    }

    #[test]
    fn a_blind_controller_keeps_what_it_had() {
        let mut redirects = check(&[(0, CAR, GOOD), (0, FRA, GOOD)], &["0s martinique>car-1", "0s paris>fra-1"]);
        redirects.anchors(0, 3);
        for second in [2, 4, 6, 8, 10] {
            for origin in [CAR, FRA] {
                redirects.observe(&node(origin), None, second * 1_000, &LATE);
            }
            assert!(redirects.decide(second * 1_000).is_empty());
        }
        assert!(redirects.blind());
    }
}
