//! What an import would change: streams against the channels that the controller has.
//!
//! Pure. What the file says is taken, what it does not say stays as it is at the controller: tags, free, sources of
//! other sites and sources that somebody added by hand at this one. So a second import of the same file changes
//! nothing. Sources of an import are known by their names, `flussonic-SITE-N`, and keep them as long as their address
//! stays. Nothing is ever removed but those.

use std::collections::{BTreeMap, BTreeSet};

use headend_access::schedule::PERIOD_MS_MAX;
use headend_wire::{ChannelName, Dvr, SiteName, SourceName};

use super::{
    address,
    channel::{Draft, Reader},
    config::Config,
    finding::{Fate, Finding, Findings, Place},
    name::{self, Renames},
};
use crate::domain::{Channel, Source, Tag, channel::SOURCES_MAX};

/// The default target duration of a new channel, milliseconds.
const SEGMENT_MS: u32 = 2_000;
/// The default of listed segments.
const WINDOW: u16 = 10;
/// The default key period, milliseconds.
const PERIOD_MS: u64 = 300_000;
const NUMBER_MAX: u16 = 9_999;

/// What an operator wants of an import.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Where the sources are.
    pub site: SiteName,
    /// For new channels.
    pub tags: BTreeSet<Tag>,
    /// Names given by hand.
    pub renames: Renames,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two streams would be one channel.
    #[error("{first} and {second}: both streams would be channel {name}; remove one, or name it with --rename OLD=NEW")]
    Collision {
        /// The channel.
        name: ChannelName,
        /// The first stream.
        first: Place,
        /// The second one.
        second: Place,
    },
    /// A name was given for a stream that is not there.
    #[error("--rename names a stream that is not there; give the name as the file has it")]
    RenameUnused,
}

/// One channel that would be written.
#[derive(Debug, Clone)]
pub struct Change {
    /// As it is; none for a new one.
    pub before: Option<Channel>,
    /// As it would be.
    pub after: Channel,
    /// Where it comes from.
    pub place: Place,
}

/// What an import would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// What came of each line.
    pub findings: Findings,
    /// In the order of the file.
    pub changes: Vec<Change>,
    /// Channels that are as the file says.
    pub unchanged: Vec<ChannelName>,
    /// Channels of the controller that are not in the file.
    pub left: Vec<ChannelName>,
}

/// Compares a configuration with the channels there are.
///
/// # Errors
/// [`PlanError`]: two streams of one name are never decided here.
pub fn plan(config: Config, wishes: &Wishes, existing: &BTreeMap<ChannelName, Channel>) -> Result<Plan, PlanError> {
    let Config { streams, mut findings, storages } = config;
    if wishes.renames.keys().any(|old| streams.iter().all(|stream| stream.name != *old)) {
        return Err(PlanError::RenameUnused);
    }
    let mut places: BTreeMap<ChannelName, Place> = BTreeMap::new();
    let mut drafts = vec![];
    for stream in &streams {
        let named = match name::channel_name(&stream.name, &wishes.renames) {
            Ok(named) => named,
            Err(why) => {
                findings.add(Finding::new(stream.place, Fate::Dropped, "stream", why), Some(&stream.name));
                continue;
            }
        };
        if let Some(first) = places.insert(named.name.clone(), stream.place) {
            return Err(PlanError::Collision { name: named.name, first, second: stream.place });
        }
        if let Some(how) = named.changed {
            let why = format!("channel {}: {how}", named.name);
            findings.add(Finding::new(stream.place, Fate::Changed, "stream name", why), Some(&stream.name));
        }
        drafts.extend(Reader { storages: &storages, findings: &mut findings, stream }.read(named.name));
    }
    let mut plan = Plan { findings, ..Plan::default() };
    let numbers = numbers(&drafts, existing, &mut plan.findings);
    for draft in drafts {
        let Some(number) = numbers.get(&draft.name).copied() else { continue };
        settle(&mut plan, wishes, draft, (number, existing));
    }
    plan.left = existing.keys().filter(|name| !places.contains_key(*name)).cloned().collect();
    Ok(plan)
}

fn settle(plan: &mut Plan, wishes: &Wishes, draft: Draft, (number, existing): (u16, &BTreeMap<ChannelName, Channel>)) {
    let before = existing.get(&draft.name);
    let after = merged(&draft, before, (number, wishes), &mut plan.findings);
    if let Err(refusal) = after.check() {
        plan.findings.add(Finding::new(draft.place, Fate::Dropped, "stream", refusal.to_string()), Some(&draft.stream));
    } else if before == Some(&after) {
        plan.unchanged.push(after.name);
    } else {
        plan.changes.push(Change { before: before.cloned(), after, place: draft.place });
    }
}

/// A number for each channel: as wished where it is free, else the one it has, else the next free one.
fn numbers(
    drafts: &[Draft],
    existing: &BTreeMap<ChannelName, Channel>,
    findings: &mut Findings,
) -> BTreeMap<ChannelName, u16> {
    // Channels whose place the file says give theirs up first, so that two may change places.
    let placed: BTreeSet<&ChannelName> =
        drafts.iter().filter(|draft| draft.position.is_some()).map(|draft| &draft.name).collect();
    let fixed = existing.values().filter(|channel| !placed.contains(&channel.name));
    let mut owners: BTreeMap<u16, &ChannelName> = fixed.map(|channel| (channel.number, &channel.name)).collect();
    let mut given: BTreeMap<ChannelName, u16> = BTreeMap::new();
    for draft in drafts {
        let Some(position) = draft.position else { continue };
        let wished = u16::try_from(position).ok().filter(|number| (1..=NUMBER_MAX).contains(number));
        let free = wished.filter(|number| !owners.contains_key(number));
        match free {
            Some(number) => {
                owners.insert(number, &draft.name);
                given.insert(draft.name.clone(), number);
            }
            None => {
                let why = match wished {
                    Some(number) => {
                        format!("number {number} is another channel's; it keeps its number, or gets the next free one")
                    }
                    None => "numbers are 1 to 9999; it keeps its number, or gets the next free one".to_owned(),
                };
                findings.add(Finding::new(draft.place, Fate::Changed, "position", why), Some(&draft.stream));
            }
        }
    }
    let mut next = owners.keys().next_back().copied().unwrap_or(0);
    for draft in drafts {
        if given.contains_key(&draft.name) {
            continue;
        }
        let kept = existing.get(&draft.name).map(|channel| channel.number);
        let kept = kept.filter(|number| owners.get(number).is_none_or(|owner| **owner == draft.name));
        let number = kept.or_else(|| {
            next = (next < NUMBER_MAX)
                .then_some(next + 1)
                .or_else(|| (1..=NUMBER_MAX).find(|free| !owners.contains_key(free)))?;
            Some(next)
        });
        let Some(number) = number else {
            let why = "every number from 1 to 9999 is taken";
            findings.add(Finding::new(draft.place, Fate::Dropped, "stream", why), Some(&draft.stream));
            continue;
        };
        owners.insert(number, &draft.name);
        given.insert(draft.name.clone(), number);
    }
    given
}

fn merged(
    draft: &Draft,
    before: Option<&Channel>,
    (number, wishes): (u16, &Wishes),
    findings: &mut Findings,
) -> Channel {
    let fresh = || Channel {
        name: draft.name.clone(),
        title: draft.stream.chars().filter(|c| !c.is_control()).take(100).collect(),
        number,
        tags: wishes.tags.clone(),
        sources: BTreeMap::new(),
        segment_ms: SEGMENT_MS,
        window_segments: WINDOW,
        period_ms: PERIOD_MS,
        leave_after_ms: None,
        return_after_ms: None,
        free: false,
        enabled: true,
        dvr: None,
    };
    let mut after = before.cloned().unwrap_or_else(fresh);
    after.number = number;
    if let Some(title) = &draft.title {
        after.title.clone_from(title);
    }
    after.enabled = draft.enabled.unwrap_or(after.enabled);
    after.segment_ms = draft.segment_ms.unwrap_or(after.segment_ms);
    after.window_segments = draft.window_segments.unwrap_or(after.window_segments);
    after.leave_after_ms = draft.leave_after_ms.or(after.leave_after_ms);
    after.period_ms = whole_segments(draft.period_ms.unwrap_or(after.period_ms), after.segment_ms);
    if let Some(keep) = draft.keep {
        // Locked programmes are the controller's own.
        let locks = after.dvr.take().map(|dvr| dvr.locks).unwrap_or_default();
        after.dvr = Some(Dvr { keep, locks });
    }
    let sources = sources(draft, &after, &wishes.site, findings);
    after.sources.insert(wishes.site.clone(), sources);
    after
}

/// The key period in whole segments, and no longer than it may be.
fn whole_segments(period_ms: u64, segment_ms: u32) -> u64 {
    let segment_ms = u64::from(segment_ms.max(1));
    let most = PERIOD_MS_MAX / segment_ms * segment_ms;
    (period_ms.div_ceil(segment_ms) * segment_ms).min(most)
}

/// The sources at the site: those somebody added by hand stay where they are, before or behind those of the import.
fn sources(draft: &Draft, channel: &Channel, site: &SiteName, findings: &mut Findings) -> Vec<Source> {
    let prefix = prefix(site);
    let ours = |source: &Source| source.id.as_str().starts_with(&prefix);
    let there = channel.sources_at(site.as_str());
    let by_hand = there.iter().filter(|source| !ours(source)).count();
    let elsewhere: usize = channel.sources.iter().filter(|(other, _)| *other != site).map(|(_, list)| list.len()).sum();
    let same = |source: &Source, wanted: &(String, Option<u16>)| source.url == wanted.0 && source.service == wanted.1;
    let wanted: Vec<&(String, Option<u16>)> = draft
        .sources
        .iter()
        .filter(|wanted| !there.iter().any(|source| !ours(source) && same(source, wanted)))
        .collect();
    let room = SOURCES_MAX.saturating_sub(by_hand + elsewhere);
    for (url, _) in wanted.iter().skip(room) {
        let why = format!("a channel has {SOURCES_MAX} sources at most, all sites together");
        let what = format!("input {}", address::label(url));
        findings.add(Finding::new(draft.place, Fate::Dropped, what, why), Some(&draft.stream));
    }
    let mut taken: BTreeSet<SourceName> = channel.sources.values().flatten().map(|source| source.id.clone()).collect();
    let imported: Vec<Source> = wanted
        .into_iter()
        .take(room)
        .filter_map(|wanted| match there.iter().find(|source| ours(source) && same(source, wanted)) {
            Some(kept) => Some(kept.clone()),
            None => {
                let free = (1..)
                    .find_map(|n| format!("{prefix}{n}").parse::<SourceName>().ok().filter(|id| !taken.contains(id)));
                let id = free?;
                taken.insert(id.clone());
                Some(Source { id, url: wanted.0.clone(), service: wanted.1, node: None })
            }
        })
        .collect();
    let first_ours = there.iter().position(ours).unwrap_or(there.len());
    let (before, behind) = there.split_at(first_ours);
    let kept = |part: &[Source]| part.iter().filter(|source| !ours(source)).cloned().collect::<Vec<_>>();
    kept(before).into_iter().chain(imported).chain(kept(behind)).collect()
}

/// How the names of imported sources begin; short enough for any site's name.
fn prefix(site: &SiteName) -> String {
    let short: String = site.as_str().chars().take(96).collect();
    format!("flussonic-{short}-")
}
