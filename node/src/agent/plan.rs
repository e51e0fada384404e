//! From what is desired and what runs to the steps between: pure.
//!
//! A channel whose description did not change is not touched: a new generation for one channel must not cost the
//! others a picture.

use headend_wire::{ChannelName, DesiredChannel};

/// One thing to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is no longer wanted.
    Stop(ChannelName),
    /// It is new, or described anew; what ran under its name stops first.
    Start(DesiredChannel),
    /// Only what is kept of it changed: it runs on.
    Keep(DesiredChannel),
}

/// The steps from what runs to what is desired. Stops come first, so that a source that moves from one channel to
/// another is free when it is asked for. Channels described twice keep their first description and are named.
#[must_use]
pub fn plan(running: &[DesiredChannel], desired: &[DesiredChannel]) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut differences) = (vec![], vec![]);
    let mut wanted: Vec<&DesiredChannel> = vec![];
    for channel in desired {
        if wanted.iter().any(|known| known.name == channel.name) {
            differences.push(format!("channel {} is described twice; the first description counts", channel.name));
            continue;
        }
        match unusable(channel) {
            Some(reason) => differences.push(format!("channel {} is left out: {reason}", channel.name)),
            None => wanted.push(channel),
        }
    }
    let gone = running.iter().filter(|old| !wanted.iter().any(|new| new.name == old.name));
    steps.extend(gone.map(|old| Step::Stop(old.name.clone())));
    for new in wanted {
        let same = |old: &&DesiredChannel| DesiredChannel { dvr: new.dvr.clone(), ..(*old).clone() } == *new;
        if let Some(old) = running.iter().find(same) {
            if old.dvr != new.dvr {
                steps.push(Step::Keep(new.clone()));
            }
            continue;
        }
        if running.iter().any(|old| old.name == new.name) {
            steps.push(Step::Stop(new.name.clone()));
        }
        steps.push(Step::Start(new.clone()));
    }
    (steps, differences)
}

/// Why a channel cannot be run as described.
fn unusable(channel: &DesiredChannel) -> Option<String> {
    if channel.sources.is_empty() {
        return Some("it has no source".to_owned());
    }
    if !(1..=10).contains(&channel.segment_secs) {
        return Some(format!("segment_secs is {}, allowed are 1 to 10", channel.segment_secs));
    }
    // Three target durations of 2·d, as RFC 8216 §6.2.2 asks.
    if !(6..=60).contains(&channel.window_segments) {
        return Some(format!("window_segments is {}, allowed are 6 to 60", channel.window_segments));
    }
    let mut names: Vec<&str> = channel.sources.iter().map(|source| source.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| format!("source {} is listed twice", pair[0]))
}

#[cfg(test)]
mod tests {
    use headend_wire::{DesiredSource, Dvr, SourcePolicy};

    use super::*;

    fn channel(text: &str) -> DesiredChannel {
        let (name, url) = text.split_once(' ').expect("name and address");
        let source = |url: &str| DesiredSource {
            name: "s".parse().expect("name"),
            url: url.to_owned(),
            service: None,
            remote: false,
        };
        DesiredChannel {
            name: name.parse().expect("name"),
            title: name.to_owned(),
            sources: url.split_whitespace().map(source).collect(),
            policy: SourcePolicy::default(),
            segment_secs: 2,
            window_segments: 10,
            key_generation: 1,
            key_period_secs: 300,
            free: false,
            dvr: None,
        }
    }

    fn check(running: &[&str], desired: &[&str], want: &[&str]) {
        let list = |texts: &[&str]| texts.iter().map(|text| channel(text)).collect::<Vec<_>>();
        let (steps, differences) = plan(&list(running), &list(desired));
        let steps = steps.iter().map(|step| match step {
            Step::Stop(name) => format!("stop {name}"),
            Step::Start(channel) => format!("start {} {}", channel.name, channel.sources[0].url),
            Step::Keep(channel) => format!("keep {}", channel.name),
        });
        assert_eq!(steps.chain(differences).collect::<Vec<_>>(), want);
    }

    #[test]
    fn only_what_changed_is_touched() {
        check(&[], &["a file:1", "b file:2"], &["start a file:1", "start b file:2"]);
        check(&["a file:1", "b file:2"], &["a file:1", "b file:3"], &["stop b", "start b file:3"]);
        check(&["a file:1", "b file:2"], &["b file:2"], &["stop a"]);
        check(&["a file:1"], &["a file:1"], &[]);
    }

    #[test]
    fn a_deeper_archive_costs_no_picture() {
        let (old, dvr) = (channel("a file:1"), Some(Dvr { keep: "5d".parse().expect("retention"), locks: vec![] }));
        let new = DesiredChannel { dvr, ..old.clone() };
        assert_eq!(plan(std::slice::from_ref(&old), std::slice::from_ref(&new)).0, [Step::Keep(new.clone())]);
        assert_eq!(plan(std::slice::from_ref(&new), std::slice::from_ref(&old)).0, [Step::Keep(old)]);
        assert_eq!(plan(std::slice::from_ref(&new), std::slice::from_ref(&new)).0, []);
    }

    #[test]
    fn nonsense_is_left_out_and_named() {
        check(
            &[],
            &["a file:1", "a file:2", "b ", "c file:1 file:2"],
            &[
                "start a file:1",
                "channel a is described twice; the first description counts",
                "channel b is left out: it has no source",
                "channel c is left out: source s is listed twice",
            ],
        );
    }
}
