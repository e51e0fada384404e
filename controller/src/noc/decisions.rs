//! Where viewers are sent and why, as the matrix wants it: from the redirects and their changes.
//!
//! [`Redirects`] knows where each audience is sent now; the reason and the moment of the last change are in
//! the [`Change`] it gave then, and are kept here. Bounded by the channels times audiences of the plan.
//! Times of probes are the caller's, because health machines keep verdicts, not times: an origin whose probe
//! time is not known is shown as not probed, never as well.

use std::collections::BTreeMap;

use headend_failover::Health;
use headend_wire::ChannelName;
use jiff::Timestamp;

use super::matrix::{Probe, Sent};
use crate::fleet::{
    redirect::{Audience, Change, RedirectPlan, Redirects},
    state::{Elapsed, NodeKey},
};

/// The last change of every choice.
#[derive(Debug, Default)]
pub struct Decisions {
    last: BTreeMap<(ChannelName, String), (String, Timestamp)>,
}

impl Decisions {
    /// Remembers a change that was made at `at`.
    pub fn take(&mut self, change: &Change, at: Timestamp) {
        let key = (change.channel.clone(), change.audience.clone());
        self.last.insert(key, (change.reason.to_string(), at));
    }

    /// Where each channel's viewers are sent now (`now_ms` as the redirects count). What the plan no longer
    /// names is forgotten. Before the first change a choice counts from `started`.
    pub fn sent(
        &mut self,
        redirects: &Redirects,
        plan: &RedirectPlan,
        now_ms: u64,
        started: Timestamp,
    ) -> BTreeMap<ChannelName, Vec<Sent>> {
        self.last.retain(|(channel, audience), _| {
            plan.origins.contains_key(channel) && plan.audiences.iter().any(|known| known.name == *audience)
        });
        let mut sent: BTreeMap<ChannelName, Vec<Sent>> = BTreeMap::new();
        for (channel, audience, origin, _) in redirects.choices(now_ms) {
            let known = self.last.get(&(channel.clone(), audience.to_owned()));
            let (reason, since) = known.map_or(("", started), |(reason, at)| (reason.as_str(), *at));
            // One audience is everybody, and needs no name.
            let name = if plan.audiences.len() > 1 { audience.to_owned() } else { String::new() };
            let wanted = plan
                .audiences
                .iter()
                .find(|known| known.name == audience)
                .and_then(|known| first(plan, channel, known));
            let line = Sent { audience: name, origin: origin.cloned(), wanted, reason: reason.to_owned(), since };
            sent.entry(channel.clone()).or_default().push(line);
        }
        sent
    }
}

/// The origin an audience would have if all were well: the redirects' own order.
fn first(plan: &RedirectPlan, channel: &ChannelName, audience: &Audience) -> Option<NodeKey> {
    let rank = |key: &NodeKey| audience.sites.iter().position(|site| *site == key.site).unwrap_or(usize::MAX);
    plan.origins.get(channel)?.iter().min_by_key(|key| rank(key)).cloned()
}

/// What is believed of every channel on every origin from probing it; `taken` tells when that was last done.
pub fn probes(
    redirects: &Redirects,
    now_ms: u64,
    taken: impl Fn(&ChannelName, &NodeKey) -> Option<Elapsed>,
) -> BTreeMap<(ChannelName, NodeKey), Probe> {
    let mut probes = BTreeMap::new();
    for (channel, _, _, seen) in redirects.choices(now_ms) {
        for candidate in seen.into_iter().filter(|candidate| candidate.health != Health::Untested) {
            let Some(taken) = taken(channel, &candidate.id) else { continue };
            let verdict = candidate.fault.map(|fault| fault.to_string()).unwrap_or_default();
            let ok = candidate.health != Health::Down;
            probes.insert((channel.clone(), candidate.id), Probe { ok, verdict, taken });
        }
    }
    probes
}

#[cfg(test)]
mod tests {
    use headend_failover::{Observation, ProbeFault, ProbeRules};

    use super::*;

    fn key(text: &str) -> NodeKey {
        let (site, node) = text.split_once('/').unwrap();
        NodeKey { site: site.parse().unwrap(), node: node.parse().unwrap() }
    }

    const CAR: &str = "caribbean/car-1";
    const FRA: &str = "france/fra-1";

    fn plan(audiences: &[(&str, [&str; 2])]) -> RedirectPlan {
        let audience = |(name, sites): &(&str, [&str; 2])| Audience {
            name: (*name).to_owned(),
            sites: sites.iter().map(|site| site.parse().unwrap()).collect(),
        };
        RedirectPlan {
            origins: [("news".parse().unwrap(), vec![key(FRA), key(CAR)])].into(),
            audiences: audiences.iter().map(audience).collect(),
            rules: ProbeRules::default(),
        }
    }

    /// Both origins good at 0 s, the Caribbean one refused three times until 6 s.
    fn lost(plan: &RedirectPlan) -> (Redirects, Decisions) {
        let (mut redirects, mut decisions) = (Redirects::default(), Decisions::default());
        redirects.set_plan(plan.clone(), 0).unwrap();
        for second in [0, 2, 4, 6_u32] {
            let now = u64::from(second) * 1_000;
            let refused = Observation::ProbeFailed(ProbeFault::Refused);
            redirects.observe(&key(CAR), None, now, if second == 0 { &Observation::ProbeGood } else { &refused });
            redirects.observe(&key(FRA), None, now, &Observation::ProbeGood);
            for change in redirects.decide(now) {
                decisions.take(&change, Timestamp::from_second(i64::from(second)).unwrap());
            }
        }
        (redirects, decisions)
    }

    fn check(audiences: &[(&str, [&str; 2])], want: &[&str]) {
        let plan = plan(audiences);
        let (redirects, mut decisions) = lost(&plan);
        let sent = decisions.sent(&redirects, &plan, 6_000, Timestamp::UNIX_EPOCH);
        let text = |key: &Option<NodeKey>| key.as_ref().map_or("slate".to_owned(), |key| key.node.to_string());
        let got: Vec<String> = sent
            .values()
            .flatten()
            .map(|sent| {
                format!(
                    "{}>{} wanted {} at {}",
                    sent.audience,
                    text(&sent.origin),
                    text(&sent.wanted),
                    sent.since.as_second()
                )
            })
            .collect();
        assert_eq!(got, want);
        assert!(sent.values().flatten().all(|sent| !sent.reason.is_empty()));
    }

    #[test]
    fn each_audience_is_told_with_its_own_wish() {
        check(&[("all", ["caribbean", "france"])], &[">fra-1 wanted car-1 at 6"]);
        check(
            &[("martinique", ["caribbean", "france"]), ("paris", ["france", "caribbean"])],
            &["martinique>fra-1 wanted car-1 at 6", "paris>fra-1 wanted fra-1 at 0"],
        );
    }

    #[test]
    fn what_left_the_plan_is_forgotten() {
        let plan = plan(&[("all", ["caribbean", "france"])]);
        let (_, mut decisions) = lost(&plan);
        let sent = decisions.sent(&Redirects::default(), &RedirectPlan::default(), 0, Timestamp::UNIX_EPOCH);
        assert!(sent.is_empty() && decisions.last.is_empty());
    }

    #[test]
    fn a_probe_without_a_time_is_not_shown() {
        let plan = plan(&[("all", ["caribbean", "france"])]);
        let (redirects, _) = lost(&plan);
        let taken = |_: &ChannelName, origin: &NodeKey| (*origin == key(CAR)).then(|| Elapsed::from_secs(6));
        let found = probes(&redirects, 6_000, taken);
        let probe = &found[&("news".parse().unwrap(), key(CAR))];
        assert!(!probe.ok && probe.verdict.contains("3 probes failed"), "{probe:?}");
        assert_eq!(found.len(), 1);
    }
}
