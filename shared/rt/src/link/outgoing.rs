//! What waits to leave on a link: latest state per topic and a short ring of metrics. Pure.
//!
//! State is coalesced: a topic waits once however often it was set, and keeps its place, so no topic
//! starves. All of it becomes due again at each connect, because a broker may have lost its memory.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::uplink::Publish;

/// The most distinct state topics of one link: 200 nodes and 300 channels of four sources fit.
pub(crate) const STATE_TOPICS_MAX: usize = 4_096;
/// The most metrics that wait.
pub(crate) const METRICS_MAX: usize = 256;

/// State and metrics that wait.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    state: HashMap<String, Bytes>,
    due: VecDeque<String>,
    metrics: VecDeque<Publish>,
    metrics_dropped: u64,
}

impl Outgoing {
    /// Sets a topic's value. False when the topic is new and there are [`STATE_TOPICS_MAX`] already.
    pub(crate) fn set(&mut self, topic: &str, payload: Bytes) -> bool {
        if !self.state.contains_key(topic) && self.state.len() >= STATE_TOPICS_MAX {
            return false;
        }
        let waits = self.due.iter().any(|due| due == topic);
        self.state.insert(topic.to_owned(), payload);
        if !waits {
            self.due.push_back(topic.to_owned());
        }
        true
    }

    /// Adds a metric; the oldest makes room.
    pub(crate) fn metric(&mut self, publish: Publish) {
        if self.metrics.len() >= METRICS_MAX {
            self.metrics.pop_front();
            self.metrics_dropped += 1;
        }
        self.metrics.push_back(publish);
    }

    /// Makes every state value due again, for a fresh connection; what waits anyway goes first.
    pub(crate) fn all_due(&mut self) {
        let waiting: std::collections::HashSet<&String> = self.due.iter().collect();
        let mut again: Vec<String> = self.state.keys().filter(|topic| !waiting.contains(topic)).cloned().collect();
        again.sort_unstable();
        self.due.extend(again);
    }

    /// The next to send: state first.
    pub(crate) fn pop_state(&mut self) -> Option<Publish> {
        let topic = self.due.pop_front()?;
        let payload = self.state.get(&topic).cloned().unwrap_or_default();
        if payload.is_empty() {
            // An empty value clears the broker's copy once; a broker that lost its memory has none.
            self.state.remove(&topic);
        }
        Some(Publish { topic, payload, retained: true, once: true })
    }

    /// The oldest metric.
    pub(crate) fn pop_metric(&mut self) -> Option<Publish> {
        self.metrics.pop_front()
    }

    /// How many metrics were pushed out so far.
    pub(crate) fn metrics_dropped(&self) -> u64 {
        self.metrics_dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outgoing: &mut Outgoing) -> Vec<String> {
        std::iter::from_fn(|| outgoing.pop_state().or_else(|| outgoing.pop_metric()))
            .map(|p| format!("{}={}", p.topic, String::from_utf8_lossy(&p.payload)))
            .collect()
    }

    #[test]
    fn a_topic_waits_once_with_its_latest_value() {
        let mut outgoing = Outgoing::default();
        for (topic, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
            assert!(outgoing.set(topic, value.into()));
        }
        assert_eq!(drain(&mut outgoing), ["a=2", "b=1"]);
        assert!(drain(&mut outgoing).is_empty());
        outgoing.set("b", "2".into());
        outgoing.all_due();
        assert_eq!(drain(&mut outgoing), ["b=2", "a=2"], "a reconnect sends everything again");
    }

    #[test]
    fn an_empty_value_clears_once() {
        let mut outgoing = Outgoing::default();
        outgoing.set("a", "1".into());
        outgoing.set("a", Bytes::new());
        assert_eq!(drain(&mut outgoing), ["a="]);
        outgoing.all_due();
        assert!(drain(&mut outgoing).is_empty());
    }

    #[test]
    fn both_queues_are_bounded() {
        let mut outgoing = Outgoing::default();
        for n in 0..METRICS_MAX + 3 {
            outgoing.metric(Publish { topic: n.to_string(), payload: Bytes::new(), retained: false, once: false });
        }
        assert_eq!((outgoing.metrics_dropped(), outgoing.pop_metric().map(|p| p.topic)), (3, Some("3".to_owned())));
        for n in 0..STATE_TOPICS_MAX {
            assert!(outgoing.set(&n.to_string(), "v".into()));
        }
        assert!(!outgoing.set("one more", "v".into()));
        assert!(outgoing.set("7", "w".into()), "a known topic is still taken");
    }
}
