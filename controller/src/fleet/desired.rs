//! What we want of each node, as a whole, with a generation that only grows. Pure.
//!
//! The generation of a node changes when what we want of it changes, and then passes what the node says it
//! runs: a controller restored from an old backup would otherwise be refused by every node.

use std::collections::BTreeMap;

use headend_wire::{Desired, DesiredChannel, desired::TokenKey};

use super::state::NodeKey;

/// What one node is to package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodePlan {
    /// Its channels.
    pub channels: Vec<DesiredChannel>,
    /// Base address of the key server its playlists name; none: the node itself.
    pub key_url: Option<String>,
}

/// What we want of the fleet. Node names are unique over all sites, as their certificates are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetPlan {
    /// Every node that belongs to us.
    pub nodes: BTreeMap<NodeKey, NodePlan>,
    /// Public keys that sign playback tokens.
    pub token_keys: Vec<TokenKey>,
    /// Sessions whose tokens are refused, hexadecimal.
    pub revoked_sessions: Vec<String>,
}

impl FleetPlan {
    /// The node of this name; none when it is unknown, or not unique.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<(&NodeKey, &NodePlan)> {
        let mut named = self.nodes.iter().filter(|(key, _)| key.node.as_str() == name);
        let found = named.next()?;
        named.next().is_none().then_some(found)
    }

    fn draft(&self, key: &NodeKey, plan: &NodePlan) -> Desired {
        Desired {
            generation: 0,
            site: key.site.clone(),
            node: key.node.clone(),
            channels: plan.channels.clone(),
            token_keys: self.token_keys.clone(),
            key_url: plan.key_url.clone(),
            revoked_sessions: self.revoked_sessions.clone(),
        }
    }

    /// The desired state of a node when it is to change: `published` is what it was sent last, `runs` the
    /// generation it reports. None when `published` stands.
    #[must_use]
    pub fn next(&self, key: &NodeKey, published: Option<&Desired>, runs: Option<u64>) -> Option<Desired> {
        let mut draft = self.draft(key, self.nodes.get(key)?);
        let last = published.map_or(0, |desired| desired.generation);
        let runs = runs.unwrap_or(0);
        draft.generation = last;
        if published == Some(&draft) && runs <= last {
            return None;
        }
        draft.generation = last.max(runs).checked_add(1)?;
        Some(draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(keys: &[&str]) -> FleetPlan {
        let key = NodeKey { site: "caribbean".parse().unwrap(), node: "car-1".parse().unwrap() };
        let token_keys = keys.iter().map(|public| TokenKey { id: 1, public: (*public).to_owned() }).collect();
        FleetPlan { nodes: BTreeMap::from([(key, NodePlan::default())]), token_keys, revoked_sessions: vec![] }
    }

    /// Publishes with the first keys at generation 5, then asks for the second keys.
    fn check(first: &[&str], second: &[&str], runs: Option<u64>, want: Option<u64>) {
        let key = plan(first).nodes.keys().next().unwrap().clone();
        let mut published = plan(first).next(&key, None, None).unwrap();
        assert_eq!(published.generation, 1);
        published.generation = 5;
        let next = plan(second).next(&key, Some(&published), runs);
        assert_eq!(next.map(|desired| desired.generation), want);
    }

    #[test]
    fn a_generation_grows_when_the_content_changes() {
        check(&["a"], &["a"], None, None);
        check(&["a"], &["a"], Some(5), None);
        check(&["a"], &["b"], Some(5), Some(6));
    }

    #[test]
    fn a_controller_behind_its_nodes_passes_them() {
        check(&["a"], &["a"], Some(9), Some(10));
        check(&["a"], &["b"], Some(9), Some(10));
        check(&["a"], &["b"], Some(u64::MAX), None);
    }

    #[test]
    fn a_node_of_others_and_a_doubled_name_are_nobody() {
        let mut plan = plan(&["a"]);
        assert!(plan.by_name("car-1").is_some() && plan.by_name("car-2").is_none());
        let stranger = NodeKey { site: "france".parse().unwrap(), node: "car-1".parse().unwrap() };
        assert!(plan.next(&stranger, None, None).is_none());
        plan.nodes.insert(stranger, NodePlan::default());
        assert!(plan.by_name("car-1").is_none());
    }
}
