//! From the operator's channels and nodes to what the fleet is to do. Pure.
//!
//! A node carries every enabled channel that has sources at its site. Its own address, which viewers are sent
//! to, is the registered one: what a node says of itself on MQTT moves no viewer.

use std::collections::BTreeMap;

use headend_wire::{DesiredChannel, DesiredSource, SourcePolicy, desired::TokenKey};

use super::{
    desired::{FleetPlan, NodePlan},
    probe::round::ProbePlan,
    redirect::{Audience, RedirectPlan},
    state::NodeKey,
};
use crate::domain::{Channel, NodeRecord};

/// What the operator wants, and the keys that go with it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Every channel.
    pub channels: Vec<Channel>,
    /// Every registered node.
    pub nodes: Vec<NodeRecord>,
    /// Every audience with its order of sites; the first serves those who have none.
    pub audiences: Vec<Audience>,
    /// The content-key generation in use.
    pub key_generation: u32,
    /// Public keys of playback tokens.
    pub token_keys: Vec<TokenKey>,
    /// Base address of the key server that playlists name; none: each node itself.
    pub key_url: Option<String>,
    /// Sessions that are refused, hexadecimal.
    pub revoked_sessions: Vec<String>,
}

/// What every node is to package. A disabled node still packages, so that it is warm when it is wanted.
#[must_use]
pub fn fleet_plan(wanted: &Wanted) -> FleetPlan {
    let plan = |node: &NodeRecord| {
        let carried = wanted.channels.iter().filter(|channel| carries(node, channel));
        let channels = carried.map(|channel| desired(channel, node, wanted.key_generation)).collect();
        (key(node), NodePlan { channels, key_url: wanted.key_url.clone() })
    };
    FleetPlan {
        nodes: wanted.nodes.iter().map(plan).collect(),
        token_keys: wanted.token_keys.clone(),
        revoked_sessions: wanted.revoked_sessions.clone(),
    }
}

/// Which origins viewers may be sent to, and how they are probed. Disabled nodes are left out.
#[must_use]
pub fn probe_plan(wanted: &Wanted) -> ProbePlan {
    let enabled: Vec<&NodeRecord> = wanted.nodes.iter().filter(|node| node.enabled).collect();
    let of = |channel: &Channel| enabled.iter().filter(|node| carries(node, channel)).map(|node| key(node)).collect();
    let channels = wanted.channels.iter().filter(|channel| channel.enabled);
    let origins = channels.clone().map(|channel| (channel.name.clone(), of(channel))).collect();
    ProbePlan {
        redirects: RedirectPlan { origins, audiences: wanted.audiences.clone(), ..RedirectPlan::default() },
        key_period_ms: channels.map(|channel| (channel.name.clone(), channel.period_ms)).collect(),
        addresses: enabled.iter().map(|node| (key(node), node.base_url.clone())).collect::<BTreeMap<_, _>>(),
        lookout: Vec::new(),
    }
}

fn key(node: &NodeRecord) -> NodeKey {
    NodeKey { site: node.site.clone(), node: node.name.clone() }
}

fn carries(node: &NodeRecord, channel: &Channel) -> bool {
    channel.enabled && !channel.sources_at(node.site.as_str()).is_empty()
}

fn desired(channel: &Channel, node: &NodeRecord, key_generation: u32) -> DesiredChannel {
    let source = |source: &crate::domain::Source| DesiredSource {
        name: source.id.clone(),
        url: source.url.clone(),
        service: source.service,
        remote: source.remote,
    };
    DesiredChannel {
        name: channel.name.clone(),
        title: channel.title.clone(),
        sources: channel.sources_at(node.site.as_str()).iter().map(source).collect(),
        policy: SourcePolicy::default(),
        segment_secs: channel.segment_ms / 1_000,
        window_segments: channel.window_segments.into(),
        key_generation,
        // At most a day, by the channel's own rules.
        key_period_secs: u32::try_from(channel.period_ms / 1_000).unwrap_or(300),
        free: channel.free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Source;

    fn node(name: &str, site: &str, enabled: bool) -> NodeRecord {
        let base_url = format!("http://{name}");
        NodeRecord { name: name.parse().unwrap(), site: site.parse().unwrap(), base_url, fingerprint: None, enabled }
    }

    fn channel(name: &str, sites: &[&str], enabled: bool) -> Channel {
        let source = |site: &str| Source {
            id: format!("{site}-dish").parse().unwrap(),
            url: "udp://239.0.0.1:1".to_owned(),
            service: Some(7),
            remote: false,
        };
        Channel {
            name: name.parse().unwrap(),
            title: name.to_owned(),
            number: 1,
            tags: [].into(),
            sources: sites.iter().map(|site| (site.parse().unwrap(), vec![source(site)])).collect(),
            segment_ms: 2_000,
            window_segments: 6,
            period_ms: 300_000,
            free: false,
            enabled,
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            channels: vec![
                channel("news", &["caribbean", "france"], true),
                channel("films", &["france"], true),
                channel("off", &["france"], false),
            ],
            nodes: vec![
                node("car-1", "caribbean", true),
                node("fra-1", "france", true),
                node("fra-2", "france", false),
            ],
            key_generation: 3,
            ..Wanted::default()
        }
    }

    #[test]
    fn a_node_carries_what_its_site_can_receive() {
        let plan = fleet_plan(&wanted());
        let carried: Vec<String> = plan
            .nodes
            .iter()
            .map(|(key, plan)| {
                format!(
                    "{key}: {}",
                    plan.channels
                        .iter()
                        .map(|c| format!("{} by {}", c.name, c.sources[0].name))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            })
            .collect();
        let france = "news by france-dish, films by france-dish";
        assert_eq!(
            carried,
            [
                "caribbean/car-1: news by caribbean-dish".to_owned(),
                format!("france/fra-1: {france}"),
                format!("france/fra-2: {france}")
            ]
        );
        let news = &plan.by_name("car-1").unwrap().1.channels[0];
        assert_eq!((news.segment_secs, news.key_period_secs, news.key_generation), (2, 300, 3));
    }

    #[test]
    fn viewers_are_sent_to_enabled_nodes_at_their_registered_address() {
        let plan = probe_plan(&wanted());
        let origins: Vec<String> = plan
            .redirects
            .origins
            .iter()
            .map(|(name, keys)| format!("{name}: {}", keys.iter().map(|k| k.to_string()).collect::<Vec<_>>().join(" ")))
            .collect();
        assert_eq!(origins, ["films: france/fra-1", "news: caribbean/car-1 france/fra-1"]);
        assert_eq!(plan.addresses.values().collect::<Vec<_>>(), ["http://car-1", "http://fra-1"]);
    }
}
