//! MQTT topic names of DESIGN.md section 6, built and read in one place.
//!
//! `headend/v1/SITE/NODE/BRANCH` for a node and `headend/v1/anchor/CHANNEL/SOURCE` for anchors. A channel
//! name may hold `/` and `+`, which mean something to MQTT, so they are written `%2F` and `%2B`.

use std::{fmt, str::FromStr};

use crate::ids::{ChannelName, NodeName, SiteName, SourceName};

const ROOT: &str = "headend/v1";
const ANCHOR: &str = "anchor";

/// The last part of a node's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Branch {
    /// Retained: what the node is.
    Birth,
    /// Retained last will, same incarnation as the birth it ends.
    Will,
    /// QoS 0: figures.
    Health,
    /// QoS 1: events, kept by the node until acknowledged.
    Event,
    /// The controller's acknowledgement of events.
    EventAck,
    /// Retained: what the node has applied.
    Reported,
    /// Retained, by the controller: the whole desired state.
    Desired,
    /// Signed commands.
    Cmd,
    /// Their answers.
    CmdResult,
}

const BRANCHES: [(Branch, &str); 9] = [
    (Branch::Birth, "birth"),
    (Branch::Will, "will"),
    (Branch::Health, "health"),
    (Branch::Event, "event"),
    (Branch::EventAck, "event-ack"),
    (Branch::Reported, "reported"),
    (Branch::Desired, "desired"),
    (Branch::Cmd, "cmd"),
    (Branch::CmdResult, "cmd-result"),
];

impl Branch {
    /// Its spelling in a topic.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        BRANCHES.iter().find(|(branch, _)| *branch == self).map_or("", |(_, text)| text)
    }
}

/// A topic of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One branch of one node.
    Node(SiteName, NodeName, Branch),
    /// The anchor of one source of one channel.
    Anchor(ChannelName, SourceName),
}

impl Topic {
    /// The filter that takes one branch of every node of every site.
    #[must_use]
    pub fn every_node(branch: Branch) -> String {
        format!("{ROOT}/+/+/{}", branch.as_str())
    }

    /// The filter that takes every anchor. A node takes all: a few hundred short messages.
    #[must_use]
    pub fn every_anchor() -> String {
        format!("{ROOT}/{ANCHOR}/+/+")
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |name: &str| name.replace('/', "%2F").replace('+', "%2B");
        match self {
            Self::Node(site, node, branch) => {
                let (site, node) = (escaped(site.as_str()), escaped(node.as_str()));
                write!(f, "{ROOT}/{site}/{node}/{}", branch.as_str())
            }
            Self::Anchor(channel, source) => {
                write!(f, "{ROOT}/{ANCHOR}/{}/{}", escaped(channel.as_str()), escaped(source.as_str()))
            }
        }
    }
}

/// A topic that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic {0:?} is not one of headend/v1")]
pub struct UnknownTopic(pub String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let unknown = || UnknownTopic(text.chars().take(120).collect());
        let rest = text.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/')).ok_or_else(unknown)?;
        let parts: Vec<String> = rest.split('/').map(|part| part.replace("%2F", "/").replace("%2B", "+")).collect();
        let [first, second, third] = parts.as_slice() else { return Err(unknown()) };
        // A site cannot be called `anchor`: the branch of an anchor topic is a source, not one of ours.
        if let Some((branch, _)) = BRANCHES.iter().find(|(_, word)| word == third)
            && first != ANCHOR
        {
            let site = first.parse().map_err(|_| unknown())?;
            return Ok(Self::Node(site, second.parse().map_err(|_| unknown())?, *branch));
        }
        if first == ANCHOR {
            let channel = second.parse().map_err(|_| unknown())?;
            return Ok(Self::Anchor(channel, third.parse().map_err(|_| unknown())?));
        }
        Err(unknown())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(topic: &Topic, want: &str) {
        assert_eq!(topic.to_string(), want);
        assert_eq!(&want.parse::<Topic>().expect("ours"), topic);
    }

    #[test]
    fn topics_read_back() {
        let (site, node) = ("caribbean".parse().expect("site"), "car-1".parse().expect("node"));
        check(&Topic::Node(site, node, Branch::CmdResult), "headend/v1/caribbean/car-1/cmd-result");
        let (channel, source) = ("fr/tf1+6".parse().expect("channel"), "dtt".parse().expect("source"));
        check(&Topic::Anchor(channel, source), "headend/v1/anchor/fr%2Ftf1%2B6/dtt");
    }

    #[test]
    fn an_escaped_name_cannot_become_a_filter() {
        assert!("headend/v1/+/#/birth".parse::<Topic>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "(headend/v1/)?[a-z/%2FB+#]{0,40}") {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string().parse::<Topic>().ok(), Some(topic));
            }
        }
    }
}
