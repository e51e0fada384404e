//! Which node packages what, from which sources, and which origins a viewer may be sent to.
//!
//! Pure: the catalogue and what nodes said of their addresses in, whole plans out. Every enabled node packages
//! every enabled channel that it has a source for: the captures of its own site first, in the operator's order,
//! then those of other sites, pulled from the node that captures them. A remote source is always another site's
//! local capture, never its chosen output. Such a source has an address once that node was born; until then the
//! plan lacks it, and is made anew when it is.

use std::collections::{BTreeMap, BTreeSet};

use headend_access::{Generation, SessionId};
use headend_failover::ProbeRules;
use headend_wire::{DesiredChannel, DesiredSource, SiteName, SourcePolicy, desired::TokenKey};

use crate::{
    domain::{AudienceName, Channel, Source},
    fleet::{
        desired::{FleetPlan, NodePlan},
        redirect::{Audience, RedirectPlan},
        state::NodeKey,
    },
    viewing::Catalogue,
};

/// The audience of those that belong to none.
pub const DEFAULT_AUDIENCE: &str = "default";
/// What the pull address of a node says of a local capture: `ORIGIN/NAME/mpegts?source=SOURCE`.
const PULL: &str = "mpegts?source=";

/// What does not come from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our own site: the default audience prefers it.
    pub site: SiteName,
    /// Sites in order of preference, by audience.
    pub audiences: BTreeMap<AudienceName, Vec<SiteName>>,
    /// Base address of the key server that playlists name; none: the node itself.
    pub key_url: Option<String>,
    /// Public keys that sign playback tokens.
    pub token_keys: Vec<TokenKey>,
    /// The generation of content keys in use.
    pub key_generation: Generation,
    /// When an origin is down and up.
    pub probe_rules: ProbeRules,
}

/// Where each node is: registered, or else said by itself; nodes that were never born are not in it.
pub type Addresses = BTreeMap<NodeKey, String>;

/// The registered addresses, and for the others what nodes `said` of themselves.
#[must_use]
pub fn addresses(catalogue: &Catalogue, mut said: Addresses) -> Addresses {
    said.retain(|key, _| catalogue.nodes.get(&key.node).is_some_and(|node| node.site == key.site));
    said.extend(registered(catalogue));
    said
}

/// The addresses that operators registered.
#[must_use]
pub fn registered(catalogue: &Catalogue) -> Addresses {
    let with_address = |node: &crate::domain::NodeRecord| {
        Some((NodeKey { site: node.site.clone(), node: node.name.clone() }, node.base_url.clone()?))
    };
    catalogue.nodes.values().filter_map(with_address).collect()
}

/// The nodes that may package, by site and name.
#[must_use]
pub fn origins(catalogue: &Catalogue) -> BTreeSet<NodeKey> {
    let enabled = catalogue.nodes.values().filter(|node| node.enabled);
    enabled.map(|node| NodeKey { site: node.site.clone(), node: node.name.clone() }).collect()
}

/// What we want of every node. A node that is switched off stays known and packages nothing.
#[must_use]
pub fn fleet_plan(
    catalogue: &Catalogue,
    addresses: &Addresses,
    settings: &Settings,
    revoked: &[SessionId],
) -> FleetPlan {
    let origins = origins(catalogue);
    let plan = |key: &NodeKey| NodePlan {
        channels: if origins.contains(key) { channels_of(key, catalogue, addresses, settings) } else { vec![] },
        key_url: settings.key_url.clone(),
    };
    let all = catalogue.nodes.values().map(|node| NodeKey { site: node.site.clone(), node: node.name.clone() });
    FleetPlan {
        nodes: all.map(|key| (key.clone(), plan(&key))).collect(),
        token_keys: settings.token_keys.clone(),
        revoked_sessions: revoked.iter().map(SessionId::text).collect(),
    }
}

/// Who may be sent where. Origins of a channel are the nodes that have a source for it.
#[must_use]
pub fn redirect_plan(catalogue: &Catalogue, addresses: &Addresses, settings: &Settings) -> RedirectPlan {
    let origins = origins(catalogue);
    let of = |channel: &Channel| -> Vec<NodeKey> {
        let carries = |key: &&NodeKey| !sources_of(key, channel, &origins, addresses).is_empty();
        origins.iter().filter(carries).cloned().collect()
    };
    let enabled = catalogue.channels.values().filter(|channel| channel.enabled);
    let own_first = Audience { name: DEFAULT_AUDIENCE.to_owned(), sites: vec![settings.site.clone()] };
    let configured = settings.audiences.iter().filter(|(name, _)| name.as_str() != DEFAULT_AUDIENCE);
    let configured = configured.map(|(name, sites)| Audience { name: name.to_string(), sites: sites.clone() });
    let default = settings.audiences.iter().find(|(name, _)| name.as_str() == DEFAULT_AUDIENCE);
    let first = default.map_or(own_first, |(name, sites)| Audience { name: name.to_string(), sites: sites.clone() });
    RedirectPlan {
        origins: enabled.map(|channel| (channel.name.clone(), of(channel))).collect(),
        audiences: std::iter::once(first).chain(configured).collect(),
        rules: settings.probe_rules,
    }
}

fn channels_of(
    key: &NodeKey,
    catalogue: &Catalogue,
    addresses: &Addresses,
    settings: &Settings,
) -> Vec<DesiredChannel> {
    let origins = origins(catalogue);
    let enabled = catalogue.channels.values().filter(|channel| channel.enabled);
    let wanted = enabled.filter_map(|channel| {
        let sources = sources_of(key, channel, &origins, addresses);
        let secs = |ms: u64| u32::try_from(ms / 1_000).unwrap_or(u32::MAX);
        let usual = SourcePolicy::default();
        (!sources.is_empty()).then(|| DesiredChannel {
            name: channel.name.clone(),
            title: channel.title.clone(),
            sources,
            policy: SourcePolicy {
                leave_after_ms: channel.leave_after_ms.unwrap_or(usual.leave_after_ms),
                return_after_ms: channel.return_after_ms.unwrap_or(usual.return_after_ms),
            },
            segment_secs: secs(channel.segment_ms.into()),
            window_segments: channel.window_segments.into(),
            key_generation: settings.key_generation.0,
            key_period_secs: secs(channel.period_ms),
            free: channel.free,
            dvr: channel.dvr.clone(),
        })
    });
    wanted.collect()
}

/// The sources of a channel for one node: local captures, then those of other sites that can be pulled.
fn sources_of(
    key: &NodeKey,
    channel: &Channel,
    origins: &BTreeSet<NodeKey>,
    addresses: &Addresses,
) -> Vec<DesiredSource> {
    let reaches = |source: &Source, node: &NodeKey| source.node.as_ref().is_none_or(|name| *name == node.node);
    let local = channel.sources_at(key.site.as_str()).iter().filter(|source| reaches(source, key));
    let local = local.map(|source| DesiredSource {
        name: source.id.clone(),
        url: source.url.clone(),
        service: source.service,
        remote: false,
    });
    let mut sources: Vec<DesiredSource> = local.collect();
    for (site, there) in channel.sources.iter().filter(|(site, _)| **site != key.site) {
        for source in there {
            // Of several nodes that capture it, the first that has an address.
            let mut captures = origins.iter().filter(|node| node.site == *site && reaches(source, node));
            let Some(url) = captures.find_map(|node| addresses.get(node)) else { continue };
            // The node compares the query as it stands.
            let url = format!("{url}/{}/{PULL}{}", path_of(channel.name.as_str()), source.id);
            sources.push(DesiredSource { name: source.id.clone(), url, service: None, remote: true });
        }
    }
    sources
}

/// A name as it stands in a path: of what names may hold, only `+` is written otherwise by us everywhere.
fn path_of(name: &str) -> String {
    name.replace('+', "%2B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NodeRecord;

    fn key(text: &str) -> NodeKey {
        let (site, node) = text.split_once('/').unwrap();
        NodeKey { site: site.parse().unwrap(), node: node.parse().unwrap() }
    }

    fn settings() -> Settings {
        Settings {
            site: "caribbean".parse().unwrap(),
            audiences: [("miami".parse().unwrap(), vec!["france".parse().unwrap()])].into(),
            key_url: Some("http://c".to_owned()),
            token_keys: vec![],
            key_generation: Generation(1),
            probe_rules: ProbeRules::default(),
        }
    }

    /// Nodes as `site/node`, switched off with a `!` before; sources as `site/name` or `site/name@node`.
    fn catalogue(nodes: &str, sources: &str) -> Catalogue {
        let mut channel = Channel {
            name: "fr/f2+6".parse().unwrap(),
            title: "F2".to_owned(),
            number: 2,
            tags: BTreeSet::new(),
            sources: BTreeMap::new(),
            segment_ms: 2_000,
            window_segments: 10,
            period_ms: 300_000,
            leave_after_ms: None,
            return_after_ms: Some(5_000),
            free: false,
            enabled: true,
            dvr: None,
        };
        for source in sources.split_whitespace() {
            let (site, rest) = source.split_once('/').unwrap();
            let (name, node) = rest.split_once('@').map_or((rest, None), |(name, node)| (name, Some(node)));
            channel.sources.entry(site.parse().unwrap()).or_default().push(Source {
                id: name.parse().unwrap(),
                url: format!("udp://{name}"),
                service: Some(7),
                node: node.map(|node| node.parse().unwrap()),
            });
        }
        let record = |text: &str| {
            let NodeKey { site, node } = key(text.trim_start_matches('!'));
            NodeRecord { name: node, site, base_url: None, fingerprint: None, enabled: !text.starts_with('!') }
        };
        Catalogue {
            channels: [(channel.name.clone(), channel)].into(),
            tariffs: vec![],
            nodes: nodes.split_whitespace().map(|text| (record(text).name, record(text))).collect(),
        }
    }

    fn born(text: &str) -> Addresses {
        text.split_whitespace().map(|node| (key(node), format!("http://{}", key(node).node))).collect()
    }

    /// Nodes, sources and those that were born; then what each node is to have.
    #[track_caller]
    fn check(nodes: &str, sources: &str, born: &str, expected: &[(&str, &str)]) {
        let (catalogue, addresses) = (catalogue(nodes, sources), self::born(born));
        let plan = fleet_plan(&catalogue, &addresses, &settings(), &[]);
        let of = |node: &NodePlan| -> String {
            let sources = node.channels.iter().flat_map(|channel| &channel.sources);
            let words = sources.map(|s| format!("{}={}{}", s.name, s.url, if s.remote { " remote" } else { "" }));
            words.collect::<Vec<_>>().join(", ")
        };
        let got: Vec<(String, String)> = plan.nodes.iter().map(|(key, node)| (key.to_string(), of(node))).collect();
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(got, expected);
        let carriers = plan.nodes.iter().filter(|(_, node)| !node.channels.is_empty()).map(|(key, _)| key.clone());
        let redirects = redirect_plan(&catalogue, &addresses, &settings());
        assert_eq!(redirects.origins.values().next().unwrap(), &carriers.collect::<Vec<_>>());
    }

    #[test]
    fn local_captures_first_then_those_of_other_sites() {
        let (nodes, sources) = ("caribbean/car france/fra", "caribbean/sat caribbean/ip france/dtt");
        check(nodes, sources, "", &[("caribbean/car", "sat=udp://sat, ip=udp://ip"), ("france/fra", "dtt=udp://dtt")]);
        let both = [
            ("caribbean/car", "sat=udp://sat, ip=udp://ip, dtt=http://fra/fr/f2%2B6/mpegts?source=dtt remote"),
            (
                "france/fra",
                "dtt=udp://dtt, sat=http://car/fr/f2%2B6/mpegts?source=sat remote, \
                 ip=http://car/fr/f2%2B6/mpegts?source=ip remote",
            ),
        ];
        check(nodes, sources, "caribbean/car france/fra", &both);
    }

    #[test]
    fn a_node_without_a_source_carries_nothing_until_another_is_born() {
        let nodes = "caribbean/car france/fra";
        check(nodes, "caribbean/sat", "", &[("caribbean/car", "sat=udp://sat"), ("france/fra", "")]);
        let remote = "sat=http://car/fr/f2%2B6/mpegts?source=sat remote";
        check(nodes, "caribbean/sat", "caribbean/car", &[("caribbean/car", "sat=udp://sat"), ("france/fra", remote)]);
    }

    #[test]
    fn a_tuner_of_one_node_is_pulled_from_that_node() {
        let expected = [
            ("caribbean/car-1", ""),
            ("caribbean/car-2", "sat=udp://sat"),
            ("france/fra", "sat=http://car-2/fr/f2%2B6/mpegts?source=sat remote"),
        ];
        let nodes = "caribbean/car-1 caribbean/car-2 france/fra";
        check(nodes, "caribbean/sat@car-2", "caribbean/car-1 caribbean/car-2", &expected);
    }

    #[test]
    fn a_node_that_is_switched_off_is_known_and_carries_nothing() {
        check(
            "!caribbean/car france/fra",
            "caribbean/sat",
            "caribbean/car",
            &[("caribbean/car", ""), ("france/fra", "")],
        );
    }

    #[test]
    fn a_registered_address_wins_over_what_a_node_says() {
        let mut catalogue = catalogue("caribbean/car france/fra", "caribbean/sat");
        catalogue.nodes.get_mut("car").unwrap().base_url = Some("https://car.example".to_owned());
        let known = addresses(&catalogue, born("caribbean/car france/fra caribbean/stranger france/car"));
        let known: Vec<(String, &str)> = known.iter().map(|(key, url)| (key.to_string(), url.as_str())).collect();
        let expected = [("caribbean/car".to_owned(), "https://car.example"), ("france/fra".to_owned(), "http://fra")];
        assert_eq!(known, expected);
    }

    #[test]
    fn audiences_and_figures() {
        let catalogue = catalogue("caribbean/car", "caribbean/sat");
        let plan = redirect_plan(&catalogue, &Addresses::new(), &settings());
        let order = |at: usize| (plan.audiences[at].name.as_str(), plan.audiences[at].sites[0].as_str());
        assert_eq!((order(0), order(1)), (("default", "caribbean"), ("miami", "france")));
        let fleet = fleet_plan(&catalogue, &Addresses::new(), &settings(), &[SessionId([7; 16])]);
        assert_eq!(fleet.revoked_sessions, [SessionId([7; 16]).text()]);
        let channel = &fleet.nodes.values().next().unwrap().channels[0];
        assert_eq!((channel.segment_secs, channel.window_segments, channel.key_period_secs), (2, 10, 300));
        assert_eq!((channel.policy.leave_after_ms, channel.policy.return_after_ms), (1_500, 5_000));
    }
}
