//! A channel: what viewers see, under a name that is also its stream name in URLs.
//!
//! `headend_wire` says what any name on the wire may be. Here are the rules that the URLs
//! of a node add: a name must not read like one of its own paths, or `/news/archive/…`
//! would be two things.

use std::collections::{BTreeMap, BTreeSet};

use headend_access::schedule::{PERIOD_MS_MAX, PERIOD_MS_MIN};
use headend_wire::dvr::LOCKS_MAX;
use headend_wire::{ChannelName, Dvr, NodeName, SiteName, SourceName};
use serde::{Deserialize, Serialize};

use super::name::Tag;
use super::refusal::{Refusal, address, at_most, in_range, plain_text};
use super::tariff::TAGS_MAX;

/// Most sites a channel may have sources at.
pub const SITES_MAX: usize = 4;
/// Most sources of a channel, all sites together, so that it fits a record of the store.
pub const SOURCES_MAX: usize = 6;
/// Most bytes of a source's address.
pub const URL_BYTES_MAX: usize = 200;
/// Schemes a source's address may have.
pub const SCHEMES: [&str; 6] = ["file", "udp", "rtp", "http", "https", "dvb"];

/// First parts of paths that node and controller answer themselves.
const FIRST_PARTS: [&str; 20] = [
    "api",
    "assets",
    "c",
    "cas",
    "debug",
    "favicon.ico",
    "get.php",
    "healthz",
    "k",
    "metrics",
    "nodes",
    "play",
    "player_api.php",
    "portal",
    "portal.php",
    "slate",
    "stalker_portal",
    "streamer",
    "wall",
    "xmltv",
];
/// Parts that mean something after a name.
const PARTS: [&str; 4] = ["archive", "mpegts", "recording_status.json", "preview.h264"];
/// Endings of the files of a stream.
const ENDINGS: [&str; 4] = [".m3u8", ".ts", ".mp4", ".json"];

/// One way a site's node obtains the channel, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name within the channel: it names one capture everywhere.
    pub id: SourceName,
    /// `file:`, `udp:`, `rtp:`, `http:` or `https:` address.
    pub url: String,
    /// The service id in a multiplex; none takes the first.
    pub service: Option<u16>,
    /// The one node of the site that can reach it, for a source at a tuner; none when every node can.
    pub node: Option<NodeName>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// System name and stream name; does not change.
    pub name: ChannelName,
    /// For people, 1 to 100 characters.
    pub title: String,
    /// The number on the remote control, 1 to 9999.
    pub number: u16,
    /// Tie it to tariffs.
    pub tags: BTreeSet<Tag>,
    /// Sources per site, in order of preference.
    pub sources: BTreeMap<SiteName, Vec<Source>>,
    /// Target duration in milliseconds: whole seconds, 1 to 10.
    pub segment_ms: u32,
    /// Segments the live playlist lists, 3 to 60.
    pub window_segments: u16,
    /// Content key period in milliseconds: whole segments, 10 s to a day.
    pub period_ms: u64,
    /// A source is left after being bad this long, milliseconds: 200 to 60,000; none for the default.
    pub leave_after_ms: Option<u32>,
    /// A better source is returned to after being good this long, milliseconds: up to a day; none for the default.
    pub return_after_ms: Option<u32>,
    /// Needs no tariff and no token; it is encrypted all the same.
    pub free: bool,
    /// Whether it is offered at all.
    pub enabled: bool,
    /// What is kept of it; none: nothing beyond the live window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dvr: Option<Dvr>,
}

impl Channel {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        check_name(&self.name)?;
        plain_text("title", &self.title, 1..=100)?;
        in_range("number", self.number.into(), 1..=9999)?;
        at_most("tags", self.tags.len(), TAGS_MAX)?;
        at_most("sources", self.sources.len(), SITES_MAX)?;
        in_range("segment_ms", self.segment_ms.into(), 1000..=10_000)?;
        if !self.segment_ms.is_multiple_of(1000) {
            let problem = format!("is {}", self.segment_ms);
            return Err(Refusal::new("segment_ms", problem, "use whole seconds, 1000 or 2000 or so on"));
        }
        in_range("window_segments", self.window_segments.into(), 3..=60)?;
        in_range("period_ms", self.period_ms, PERIOD_MS_MIN..=PERIOD_MS_MAX)?;
        if !self.period_ms.is_multiple_of(u64::from(self.segment_ms)) {
            let fix = format!("use a multiple of segment_ms, {}", self.segment_ms);
            return Err(Refusal::new("period_ms", format!("is {}", self.period_ms), fix));
        }
        if let Some(ms) = self.leave_after_ms {
            in_range("leave_after_ms", ms.into(), 200..=60_000)?;
        }
        if let Some(ms) = self.return_after_ms {
            in_range("return_after_ms", ms.into(), 0..=86_400_000)?;
        }
        if let Some(dvr) = &self.dvr {
            check_dvr(dvr)?;
        }
        check_sources(self.sources.values().flatten())
    }

    /// The sources at a site, in order of preference; none where it has none.
    #[must_use]
    pub fn sources_at(&self, site: &str) -> &[Source] {
        self.sources.get(site).map_or(&[], Vec::as_slice)
    }
}

/// The text of a retention checks itself when it is read.
fn check_dvr(dvr: &Dvr) -> Result<(), Refusal> {
    at_most("dvr_locks", dvr.locks.len(), LOCKS_MAX)?;
    match dvr.locks.iter().find(|lock| lock.until <= lock.from) {
        Some(lock) => {
            let problem = format!("has one from {} until {}", lock.from, lock.until);
            Err(Refusal::new("dvr_locks", problem, "let it end after it begins, in Unix seconds"))
        }
        None => Ok(()),
    }
}

fn check_sources<'a>(sources: impl Iterator<Item = &'a Source> + Clone) -> Result<(), Refusal> {
    at_most("sources", sources.clone().count(), SOURCES_MAX)?;
    let mut ids = BTreeSet::new();
    for source in sources {
        if !ids.insert(&source.id) {
            let problem = format!("has {} twice", source.id);
            return Err(Refusal::new("sources.name", problem, "give each source of a channel its own name"));
        }
        address("sources.url", &source.url, &SCHEMES, URL_BYTES_MAX)?;
    }
    Ok(())
}

/// Refuses a name that a node or controller would take for a path of its own.
///
/// # Errors
/// A [`Refusal`] of the field `name`.
pub fn check_name(name: &ChannelName) -> Result<(), Refusal> {
    let refuse = |problem: String, fix: &str| Err(Refusal::new("name", problem, fix));
    for (place, part) in name.as_str().split('/').enumerate() {
        let lower = part.to_ascii_lowercase();
        if place == 0 && FIRST_PARTS.contains(&lower.as_str()) {
            return refuse(format!("begins with {part}, which is a path of the server"), "choose another first part");
        }
        let playlist_like = ["tracks-", "archive-", "index-", "video-", "mono-", "rewind-", "timeshift_"]
            .iter()
            .any(|start| lower.starts_with(start));
        if PARTS.contains(&lower.as_str()) || playlist_like || ENDINGS.iter().any(|end| lower.ends_with(end)) {
            return refuse(format!("has the part {part}, which is a file of a stream"), "choose another part");
        }
        // Segments lie under /NAME/YYYY/MM/DD/HH/MM/.
        if place > 0 && part.bytes().all(|byte| byte.is_ascii_digit()) {
            return refuse(format!("has the part {part}, which reads like a date"), "add a letter to it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> Channel {
        let source = Source {
            id: "satellite".parse().unwrap(),
            url: "udp://239.1.1.1:5000".to_owned(),
            service: Some(100),
            node: None,
        };
        Channel {
            name: "france24".parse().unwrap(),
            title: "France 24".to_owned(),
            number: 24,
            tags: ["news".parse().unwrap()].into(),
            sources: [("caribbean".parse().unwrap(), vec![source])].into(),
            segment_ms: 2000,
            window_segments: 6,
            period_ms: 300_000,
            leave_after_ms: None,
            return_after_ms: None,
            free: false,
            enabled: true,
            dvr: None,
        }
    }

    fn check_named(name: &str, expected: &str) {
        let got = check_name(&name.parse().unwrap()).map_or_else(|refusal| refusal.to_string(), |()| String::new());
        assert_eq!(got, expected, "{name}");
    }

    #[test]
    fn names_that_are_paths_of_the_server_are_refused() {
        for good in ["france24", "fr/france2", "24", "rai1+6", "news/k", "archive2/x"] {
            check_named(good, "");
        }
        check_named("k/news", "name begins with k, which is a path of the server; choose another first part");
        check_named("API", "name begins with API, which is a path of the server; choose another first part");
        check_named("news/mpegts", "name has the part mpegts, which is a file of a stream; choose another part");
        check_named("news.m3u8/x", "name has the part news.m3u8, which is a file of a stream; choose another part");
        check_named("archive-1-2", "name has the part archive-1-2, which is a file of a stream; choose another part");
        check_named("news/2026", "name has the part 2026, which reads like a date; add a letter to it");
    }

    fn check(change: impl FnOnce(&mut Channel), expected: &str) {
        let mut channel = channel();
        change(&mut channel);
        assert_eq!(channel.check().unwrap_err().to_string(), expected);
    }

    #[test]
    fn each_rule_names_its_field_and_the_way_out() {
        assert_eq!(channel().check(), Ok(()));
        check(|c| c.title.clear(), "title has 0 characters; use 1 to 100");
        check(|c| c.title = "a\u{7}".to_owned(), "title has a control character; use visible characters and spaces");
        check(|c| c.number = 0, "number is 0; use 1 to 9999");
        check(|c| c.segment_ms = 2500, "segment_ms is 2500; use whole seconds, 1000 or 2000 or so on");
        check(|c| c.window_segments = 2, "window_segments is 2; use 3 to 60");
        check(|c| c.period_ms = 9_000, "period_ms is 9000; use 10000 to 86400000");
        let dvr = |from, until| Dvr { keep: "5d".parse().unwrap(), locks: vec![headend_wire::Lock { from, until }] };
        check(
            |c| c.dvr = Some(dvr(9, 9)),
            "dvr_locks has one from 9 until 9; let it end after it begins, in Unix seconds",
        );
        check(|c| c.period_ms = 11_000, "period_ms is 11000; use a multiple of segment_ms, 2000");
        check(|c| c.leave_after_ms = Some(1), "leave_after_ms is 1; use 200 to 60000");
        check(
            |c| drop(c.sources.insert("france".parse().unwrap(), c.sources.values().next().unwrap().clone())),
            "sources.name has satellite twice; give each source of a channel its own name",
        );
        let site: SiteName = "caribbean".parse().unwrap();
        let sources = |c: &mut Channel| c.sources.get_mut(&site).unwrap().clone();
        let with = |change: &dyn Fn(&mut Vec<Source>), expected: &str| {
            check(
                |c| {
                    let mut changed = sources(c);
                    change(&mut changed);
                    c.sources.insert(site.clone(), changed);
                },
                expected,
            );
        };
        with(&|s| s.push(s[0].clone()), "sources.name has satellite twice; give each source of a channel its own name");
        with(&|s| s.resize(7, s[0].clone()), "sources has 7 entries; use 6 at most");
        with(
            &|s| s[0].url = "ftp://x".to_owned(),
            "sources.url has no scheme that is known here; begin with one of file, udp, rtp, http, https, dvb",
        );
        with(&|s| s[0].url = "udp://".to_owned(), "sources.url ends after its scheme; add a host or a path");
        with(
            &|s| s[0].url = "udp://a b".to_owned(),
            "sources.url has a space or is not ASCII; write such characters as %XX",
        );
    }
}
