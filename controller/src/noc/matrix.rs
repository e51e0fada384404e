//! What the dashboard shows, built from what we believe. Pure: time is in the [`Picture`].
//!
//! Unknown is a state: a figure older than it may be is kept for people to see, marked stale, and never
//! counted as good. A channel is as well as what its viewers get, which is what the origin they are sent to
//! does; the other origins are listed under it. Lines come by pain, then by number, so that what hurts is on
//! top. Fields serialise without nulls, because [`super::patch`] says "gone" with null (RFC 7396).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use headend_wire::{ChannelHealth, ChannelName, ChannelState, SiteName, SourceName, report::WillCause};
use jiff::Timestamp;
use serde::Serialize;

use super::hardware::{Level, warnings};
use crate::{
    fleet::state::{Elapsed, FleetState, NodeKey, NodeState, Presence},
    page::headers::origin_of,
};

/// A probe older than three of its periods of 2 s says nothing.
pub const PROBE_HOLDS: Duration = Duration::from_secs(6);
/// Rows (a channel on an origin) that one page carries; the calmest are left out and counted.
pub const ROWS_MAX: usize = 4_096;
/// Rates are shown, and therefore sent, in steps of 0.1 Mbit/s.
const RATE_STEP_BPS: u64 = 100_000;

/// A channel of the line-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// System name.
    pub name: ChannelName,
    /// What people call it.
    pub title: String,
    /// Its number on a remote control.
    pub number: Option<u32>,
    /// Target duration of a segment, seconds.
    pub segment_secs: u32,
    /// The source each site's origins would rather play.
    pub preferred: BTreeMap<SiteName, SourceName>,
}

/// What the last look at a channel on an origin, as a viewer would, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether a viewer would get a picture.
    pub ok: bool,
    /// What was found, in words; may be empty when it is well.
    pub verdict: String,
    /// When it was taken.
    pub taken: Elapsed,
}

/// Where the viewers of a channel are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Which viewers; empty for all.
    pub audience: String,
    /// To which origin; none is the slate.
    pub origin: Option<NodeKey>,
    /// The origin that would be chosen if all were well.
    pub wanted: Option<NodeKey>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Everything a matrix is built from.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// The line-up.
    pub channels: &'a [Listed],
    /// Nodes that are enrolled, whether they were ever heard or not.
    pub nodes: &'a [NodeKey],
    /// What nodes said.
    pub fleet: &'a FleetState,
    /// What probes found.
    pub probes: &'a BTreeMap<(ChannelName, NodeKey), Probe>,
    /// Where viewers are sent.
    pub sent: &'a BTreeMap<ChannelName, Vec<Sent>>,
    /// Wall time at which `now` was zero; to be taken anew when the wall clock was stepped.
    pub started: Timestamp,
    /// Now.
    pub now: Elapsed,
}

/// A state word, from bad to good: the order is the order of pain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Viewers would get nothing.
    Down,
    /// Viewers get the slate.
    Slate,
    /// It plays with faults.
    Degraded,
    /// We do not know: never heard, or too long ago.
    #[default]
    Unknown,
    /// Nothing was packaged yet.
    Starting,
    /// It plays from another source, or from another origin, than the preferred one.
    OnBackup,
    /// As it should be.
    Ok,
}

impl State {
    /// Every state, worst first.
    pub const ALL: [Self; 7] =
        [Self::Down, Self::Slate, Self::Degraded, Self::Unknown, Self::Starting, Self::OnBackup, Self::Ok];

    /// The word in styles, scripts and JSON.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Slate => "slate",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::OnBackup => "on-backup",
            Self::Ok => "ok",
        }
    }
}

impl From<ChannelState> for State {
    fn from(state: ChannelState) -> Self {
        match state {
            ChannelState::Ok => Self::Ok,
            ChannelState::Degraded => Self::Degraded,
            ChannelState::OnBackup => Self::OnBackup,
            ChannelState::Slate => Self::Slate,
            ChannelState::Starting => Self::Starting,
        }
    }
}

/// A source as a chip: its name, whether it plays, whether it could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chip {
    /// Its name.
    pub name: String,
    /// Whether it plays now.
    pub playing: bool,
    /// Whether it could.
    pub up: bool,
    /// What is wrong with it; empty when nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fault: String,
}

/// A probe as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeCell {
    /// Whether a viewer would have got a picture.
    pub ok: bool,
    /// Too old to say anything of now.
    pub stale: bool,
    /// What was found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verdict: String,
    /// When, Unix milliseconds.
    pub at: i64,
}

/// One channel on one origin. Figures are those last heard; `stale` says that they are not of now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The node's name.
    pub node: String,
    /// Its site.
    pub site: String,
    /// The state, unknown when the figures are stale or were never heard.
    pub state: State,
    /// Whether the figures are too old.
    pub stale: bool,
    /// Unix milliseconds; when the stale figures were heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<i64>,
    /// Unix milliseconds; since when it is in the state it reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// The source that plays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The source it would rather play, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Why this source, or what the probe met.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Every source.
    pub chips: Vec<Chip>,
    /// Output rate, bit/s in steps of 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Continuity errors in the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cc: Option<u32>,
    /// End of the last segment, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<i64>,
    /// The last probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeCell>,
    /// Sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u32>,
    /// Which viewers are sent here; `*` for all.
    pub serves: Vec<String>,
}

/// One channel with its origins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// System name: the key.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// What viewers get; of several audiences the worst.
    pub state: State,
    /// Unix milliseconds; since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Why viewers are sent where they are, when that is not the wanted origin.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// By `site/node`.
    pub origins: BTreeMap<String, Row>,
}

/// Whether a node is there, as a word for the strip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeWord {
    /// Its figures are fresh.
    Alive,
    /// Its figures stopped.
    Silent,
    /// Its connection died.
    Lost,
    /// It stopped in good order.
    Stopped,
    /// It was enrolled and never heard.
    #[default]
    Never,
}

impl NodeWord {
    /// The word in styles, scripts and JSON.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
            Self::Never => "never",
        }
    }
}

/// One node of the strip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeCard {
    /// Its name.
    pub node: String,
    /// Its site.
    pub site: String,
    /// Whether it is there.
    pub state: NodeWord,
    /// Unix milliseconds; when its figures last came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<i64>,
    /// Program version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Generation of the desired state that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// How many parts of it could not be applied.
    pub differences: usize,
    /// Its own page, for technicians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// How bad the worst trouble of its cards and tuners is: `bad` or `warn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Level>,
    /// How many such troubles it has.
    pub warnings: usize,
}

/// Everything the dashboard shows at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// When.
    pub at: Timestamp,
    /// Channels by pain, then number, then name.
    pub lines: Vec<Line>,
    /// Nodes by `site/node`.
    pub nodes: BTreeMap<String, NodeCard>,
    /// Channels left out because of [`ROWS_MAX`].
    pub hidden: usize,
}

impl Matrix {
    /// A matrix of nothing, for a start before the first picture.
    #[must_use]
    pub fn empty(at: Timestamp) -> Self {
        Self { at, lines: vec![], nodes: BTreeMap::new(), hidden: 0 }
    }

    /// How many channels are in a state.
    #[must_use]
    pub fn count(&self, state: &State) -> usize {
        self.lines.iter().filter(|line| line.state == *state).count()
    }
}

/// Builds the matrix of a moment.
#[must_use]
pub fn build(picture: &Picture<'_>) -> Matrix {
    let nodes: BTreeSet<&NodeKey> = picture.nodes.iter().chain(picture.fleet.nodes().map(|(key, _)| key)).collect();
    let mut lines: Vec<Line> = picture.channels.iter().map(|listed| line(picture, listed, &nodes)).collect();
    lines.sort_by(|a, b| order(a).cmp(&order(b)));
    let fit = ROWS_MAX / nodes.len().max(1);
    let hidden = lines.len().saturating_sub(fit);
    lines.truncate(fit);
    let cards = nodes.iter().map(|key| (address(key), card(picture, key))).collect();
    Matrix { at: wall(picture, picture.now), lines, nodes: cards, hidden }
}

/// By pain of what viewers get, then of the worst origin, then number (none last), then name.
fn order(line: &Line) -> (State, State, u32, &str) {
    let worst = line.origins.values().map(|row| row.state).min().unwrap_or(State::Unknown);
    (line.state, worst, line.number.unwrap_or(u32::MAX), &line.name)
}

fn address(key: &NodeKey) -> String {
    format!("{}/{}", key.site, key.node)
}

fn wall(picture: &Picture<'_>, at: Elapsed) -> Timestamp {
    picture
        .started
        .saturating_add(jiff::SignedDuration::try_from(at).unwrap_or(jiff::SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn line(picture: &Picture<'_>, listed: &Listed, nodes: &BTreeSet<&NodeKey>) -> Line {
    let none = vec![];
    let sent = picture.sent.get(&listed.name).unwrap_or(&none);
    let origins: BTreeMap<String, Row> =
        nodes.iter().map(|key| (address(key), row(picture, listed, key, sent))).collect();
    let worst = sent.iter().map(|sent| (viewers_get(sent, &origins), sent)).min_by_key(|(state, _)| *state);
    let (state, since, reason) = match worst {
        None => (State::Unknown, None, String::new()),
        Some((state, sent)) => {
            let row = sent.origin.as_ref().and_then(|key| origins.get(&address(key)));
            // The later of "sent here" and "here in this state": before that, viewers got something else.
            let reported = row.filter(|row| !row.stale).and_then(|row| row.since);
            let moved = sent.origin != sent.wanted;
            let since = reported.map_or(ms(sent.since), |since| since.max(ms(sent.since)));
            (state, Some(since), if moved { sent.reason.clone() } else { String::new() })
        }
    };
    let (name, title) = (listed.name.to_string(), listed.title.clone());
    Line { name, title, number: listed.number, state, since, reason, origins }
}

fn viewers_get(sent: &Sent, origins: &BTreeMap<String, Row>) -> State {
    let Some(origin) = &sent.origin else { return State::Slate };
    let state = origins.get(&address(origin)).map_or(State::Unknown, |row| row.state);
    let elsewhere = sent.wanted.as_ref().is_some_and(|wanted| wanted != origin);
    if elsewhere && state == State::Ok { State::OnBackup } else { state }
}

fn row(picture: &Picture<'_>, listed: &Listed, key: &NodeKey, sent: &[Sent]) -> Row {
    let node = picture.fleet.node(key);
    let heard = node.and_then(|node| node.channels(picture.now).find(|(health, _)| health.channel == listed.name));
    let fresh = node.is_some_and(|node| node.channel(&listed.name, picture.now).is_some());
    let probe = picture.probes.get(&(listed.name.clone(), key.clone())).map(|probe| probe_cell(picture, probe));
    let serves = sent.iter().filter(|sent| sent.origin.as_ref() == Some(key));
    let mut row = Row {
        node: key.node.to_string(),
        site: key.site.to_string(),
        state: State::Unknown,
        stale: !fresh,
        heard: None,
        since: None,
        source: None,
        wanted: None,
        reason: String::new(),
        chips: vec![],
        rate: None,
        cc: None,
        segment: None,
        probe,
        viewers: None,
        serves: serves
            .map(|sent| if sent.audience.is_empty() { "*".to_owned() } else { sent.audience.clone() })
            .collect(),
    };
    if let Some((health, age)) = heard {
        fill(&mut row, health, listed);
        row.heard = (!fresh).then(|| ms(wall(picture, picture.now.saturating_sub(age))));
        row.state = if fresh { health.state.into() } else { State::Unknown };
    }
    // A probe that failed just now outweighs what the node says of itself: it saw what a viewer sees.
    if let Some(failed) = row.probe.as_ref().filter(|probe| !probe.ok && !probe.stale) {
        row.state = State::Down;
        row.reason.clone_from(&failed.verdict);
    }
    row
}

fn fill(row: &mut Row, health: &ChannelHealth, listed: &Listed) {
    let playing = health.playing.as_ref();
    let preferred = listed.preferred.get(row.site.as_str());
    row.since = Some(ms(health.since));
    row.source = playing.map(SourceName::to_string);
    row.wanted = preferred.filter(|wanted| playing != Some(*wanted)).map(SourceName::to_string);
    row.reason = if health.state == ChannelState::Ok { String::new() } else { health.reason.clone() };
    row.chips = health
        .sources
        .iter()
        .map(|source| Chip {
            name: source.source.to_string(),
            playing: playing == Some(&source.source),
            up: source.up,
            fault: source.fault.clone(),
        })
        .collect();
    row.rate = Some(health.bitrate_bps / RATE_STEP_BPS * RATE_STEP_BPS);
    row.cc = Some(health.cc_errors_per_minute);
    row.segment = health.last_segment.map(|k| {
        let end = k.saturating_add(1).saturating_mul(u64::from(listed.segment_secs)).saturating_mul(1_000);
        i64::try_from(end).unwrap_or(i64::MAX)
    });
    row.viewers = Some(health.viewers);
}

fn probe_cell(picture: &Picture<'_>, probe: &Probe) -> ProbeCell {
    ProbeCell {
        ok: probe.ok,
        stale: picture.now.saturating_sub(probe.taken) > PROBE_HOLDS,
        verdict: probe.verdict.clone(),
        at: ms(wall(picture, probe.taken)),
    }
}

fn card(picture: &Picture<'_>, key: &NodeKey) -> NodeCard {
    let node = picture.fleet.node(key);
    let seen = node.and_then(|node| node.age(picture.now)).map(|age| wall(picture, picture.now.saturating_sub(age)));
    let birth = node.and_then(|node| node.birth.as_ref());
    let reported = node.and_then(|node| node.reported.as_ref());
    let troubles = node.map(|node| warnings(node.hardware(), wall(picture, picture.now))).unwrap_or_default();
    let page = birth.and_then(|birth| origin_of(&birth.origin_url)).map(|origin| format!("{origin}/"));
    NodeCard {
        node: key.node.to_string(),
        site: key.site.to_string(),
        state: node.map_or(NodeWord::Never, |node| word(node, picture.now)),
        seen: seen.map(ms),
        version: birth.map(|birth| birth.version.clone()),
        generation: node.and_then(|node| node.age(picture.now).map(|_| node.generation)),
        differences: reported.map_or(0, |reported| reported.differences.len()),
        page,
        hardware: troubles.first().map(|worst| worst.level),
        warnings: troubles.len(),
    }
}

fn word(node: &NodeState, now: Elapsed) -> NodeWord {
    match node.presence(now) {
        Presence::Alive => NodeWord::Alive,
        Presence::Silent => NodeWord::Silent,
        Presence::Gone(WillCause::Lost) => NodeWord::Lost,
        Presence::Gone(WillCause::Stopped) => NodeWord::Stopped,
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
