//! The way of a probe: master, renditions, keys, segments, and the same lists again while they change.
//!
//! Shell. One thing at a time, so that a probe is never the load that it looks for. Memory: one segment, the lists, and
//! [`KEYS_MAX`] keys, which are wiped. It ends early on Ctrl-C and tells what it found by then.

use std::{collections::BTreeMap, time::Duration};

use headend_media::{
    crypt::{Key128, decrypt_from},
    lint::{
        Chain, Listed, Master, Media, PLAYLIST_BYTES_MAX, Place, Playlist, Rule, Severity, Tally, Watcher, compare,
        read, redirected, shown,
    },
};
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, sleep_until};

use super::{
    Patience, Segments,
    fetch::{FetchError, Fetched, Fetcher},
    report::{Looked, Report},
};

/// The most bytes of a segment that are read: 4 s at 134 Mbit/s.
const SEGMENT_BYTES_MAX: usize = 64 << 20;
/// A key is 16 bytes; what answers a page is not read whole.
const KEY_BYTES_MAX: usize = 1_024;
/// Keys held at a time; the one that was fetched first goes.
const KEYS_MAX: usize = 64;
/// New segments that are looked into after one reload, unless all were asked for.
const NEW_MAX: usize = 8;
/// Left of a removed segment's time when it is asked for, so that the answer is not judged by the way to it.
const OWED_MARGIN: Duration = Duration::from_secs(2);

/// What a playlist is to its master.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// It was asked for itself.
    Alone,
    /// The variant of this place in the master.
    Variant(usize),
    /// An audio, video or subtitle rendition.
    Rendition,
}

/// One media playlist.
struct List {
    url: Url,
    role: Role,
    watcher: Watcher,
    chain: Chain,
    tally: Tally,
    /// The number of the next segment that was not looked into.
    next: Option<u64>,
    peak_bps: u64,
    /// It could not be fetched; it was said, and it is not asked for again.
    gone: bool,
}

impl List {
    fn new(url: Url, role: Role) -> Self {
        let (watcher, chain, tally) = (Watcher::new(), Chain::default(), Tally::default());
        Self { url, role, watcher, chain, tally, next: None, peak_bps: 0, gone: false }
    }
}

/// A probe on its way.
pub(super) struct Walk {
    fetcher: Fetcher,
    segments: Segments,
    begun: Instant,
    master: Option<(Url, Master)>,
    /// What is wrong with the master, or with what was asked for where that is no playlist.
    top: Tally,
    lists: Vec<List>,
    keys: BTreeMap<Url, Key128>,
    key_order: Vec<Url>,
    /// What was asked for was refused, with this status if one was answered.
    refused: Option<Option<StatusCode>>,
}

impl Walk {
    /// A probe that has asked for nothing yet.
    pub(super) fn new(fetcher: Fetcher, segments: Segments) -> Self {
        Self {
            fetcher,
            segments,
            begun: Instant::now(),
            master: None,
            top: Tally::default(),
            lists: vec![],
            keys: BTreeMap::new(),
            key_order: vec![],
            refused: None,
        }
    }

    /// Whether what was asked for was refused, and with which status.
    pub(super) fn refusal(&self) -> Option<Option<StatusCode>> {
        self.refused
    }

    /// Goes all the way.
    pub(super) async fn go(&mut self, url: &Url, patience: Patience) {
        self.begun = Instant::now();
        tokio::select! {
            () = self.all(url, patience) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }

    async fn all(&mut self, url: &Url, patience: Patience) {
        let Some(mut first) = self.enter(url).await else { return };
        let mut round = 0;
        loop {
            for index in 0..self.lists.len() {
                self.look(index, first.take()).await;
            }
            self.compare_variants();
            round += 1;
            let Some(wait) = self.wait(round, patience) else { break };
            sleep_until(Instant::now() + wait).await;
        }
        self.judge_bandwidth().await;
    }

    /// Fetches what was asked for: a master, whose lists come next, or a media playlist, which is given back.
    async fn enter(&mut self, url: &Url) -> Option<Option<Fetched>> {
        let fetched = match self.fetcher.get(url, PLAYLIST_BYTES_MAX).await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.refused = Some(error.status());
                self.top.add(Rule::PlaylistUnfetchable, Place::Playlist, headend_rt::chain(&error));
                return None;
            }
        };
        let reading = read(&fetched.body);
        match reading.playlist {
            Playlist::Media(_) => {
                self.lists = vec![List::new(url.clone(), Role::Alone)];
                Some(Some(fetched))
            }
            Playlist::Nothing => {
                self.top = reading.tally;
                None
            }
            Playlist::Master(master) => {
                self.top = reading.tally;
                fetched.headers.playlist(None, &mut self.top);
                let relative = master.variants.iter().any(|variant| is_relative(&variant.address));
                redirected(url.as_str(), fetched.url.as_str(), relative, &mut self.top);
                self.add_lists(&fetched.url, &master);
                self.master = Some((fetched.url, master));
                Some(None)
            }
        }
    }

    fn add_lists(&mut self, base: &Url, master: &Master) {
        let variants =
            master.variants.iter().enumerate().map(|(at, variant)| (Role::Variant(at), &variant.address, variant.line));
        let renditions = master.renditions.iter().filter_map(|one| Some((Role::Rendition, one.address.as_ref()?, 0)));
        for (role, address, line) in variants.chain(renditions) {
            match base.join(address) {
                Ok(url) if self.lists.iter().any(|list| list.url == url) => {}
                Ok(url) => self.lists.push(List::new(url, role)),
                Err(_) => {
                    let words = format!("{} is no address that anything could be fetched from", shown(address));
                    self.top.add(Rule::AddressMalformed, Place::Line(line), words);
                }
            }
        }
    }

    /// How long until the next round; `None` when it is over.
    fn wait(&self, rounds: u32, patience: Patience) -> Option<Duration> {
        let lists = self.lists.iter().filter(|list| !list.gone).filter_map(|list| list.watcher.last());
        let changing = lists.clone().any(Media::is_live);
        let target = lists.filter_map(|media| media.target_secs).min()?;
        let target = Duration::from_secs(target.clamp(1, 60));
        match patience {
            Patience::Reloads(count) if rounds <= count && (changing || rounds == 1) => Some(target),
            Patience::For(_) if !changing && rounds == 1 => Some(target),
            Patience::For(time) if changing && self.begun.elapsed() < time => Some(target),
            _ => None,
        }
    }

    async fn look(&mut self, index: usize, fetched: Option<Fetched>) {
        let list = &mut self.lists[index];
        if list.gone {
            return;
        }
        let fetched = match fetched {
            Some(fetched) => Ok(fetched),
            None => self.fetcher.get(&list.url, PLAYLIST_BYTES_MAX).await,
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                // A list that never answered is not asked for again; one that did may come back.
                list.gone = list.watcher.last().is_none();
                return list.tally.add(Rule::PlaylistUnfetchable, Place::Playlist, headend_rt::chain(&error));
            }
        };
        let at = self.begun.elapsed();
        let reading = read(&fetched.body);
        let tally = &mut list.tally;
        tally.merge(&reading.tally);
        let Playlist::Media(media) = reading.playlist else {
            list.gone = true;
            if !matches!(reading.playlist, Playlist::Nothing) {
                tally.add(Rule::NotAPlaylist, Place::Playlist, "a master playlist where a media playlist belongs");
            }
            return;
        };
        fetched.headers.playlist(Some(&media), tally);
        let relative = media.segments.iter().any(|segment| is_relative(&segment.address));
        redirected(list.url.as_str(), fetched.url.as_str(), relative, tally);
        let wanted = wanted(&media, list.next, self.segments);
        list.next = Some(media.end());
        let independent = media.independent || self.master.as_ref().is_some_and(|(_, master)| master.independent);
        list.watcher.look(media, at, tally);
        for segment in wanted {
            self.look_into(index, &fetched.url, &segment, independent).await;
        }
        self.ask_for_removed(index, &fetched.url).await;
    }

    async fn look_into(&mut self, index: usize, base: &Url, segment: &Listed, independent: bool) {
        let place = Place::Segment(segment.number);
        let list = &mut self.lists[index];
        if segment.gap {
            return list.chain.skip();
        }
        if segment.mapped || segment.range.is_some() {
            list.tally.add(Rule::SegmentUnread, place, "it has a MAP or a byte range");
            return list.chain.skip();
        }
        let fetched = match base.join(&segment.address) {
            Ok(url) => self.fetcher.get(&url, SEGMENT_BYTES_MAX).await,
            Err(_) => Err(FetchError::Location),
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                let words = format!("{}: {}", shown(&segment.address), headend_rt::chain(&error));
                list.chain.skip();
                return list.tally.add(Rule::SegmentUnfetchable, place, words);
            }
        };
        fetched.headers.segment(segment.number, &mut list.tally);
        let target_us = list.watcher.last().map_or(0, Media::target_us);
        if segment.duration_us > 0 && segment.duration_us * 2 >= target_us {
            let bits = 8_000_000 * fetched.body.len() as u128;
            let bps = u64::try_from(bits / u128::from(segment.duration_us)).unwrap_or(u64::MAX);
            list.peak_bps = list.peak_bps.max(bps);
        }
        let Some(clear) = self.open(index, base, segment, fetched.body).await else {
            return self.lists[index].chain.skip();
        };
        let list = &mut self.lists[index];
        list.chain.push(segment, independent, &clear, &mut list.tally);
    }

    /// The segment in the clear; `None` where that cannot be had, which was said.
    async fn open(&mut self, index: usize, base: &Url, segment: &Listed, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let Some(key) = &segment.key else { return Some(bytes) };
        if !key.whole {
            return None;
        }
        let secret = self.key(index, base, (segment.number, &key.address)).await?;
        let (place, tally) = (Place::Segment(segment.number), &mut self.lists[index].tally);
        match decrypt_from(&secret, key.iv_of(segment.number), bytes) {
            Ok(clear) => Some(clear),
            Err(defect) => {
                let words = format!(
                    "{defect}: the key is another than the one it was encrypted with, or the segment was cut short"
                );
                tally.add(Rule::KeyRefused, place, words);
                None
            }
        }
    }

    async fn key(&mut self, index: usize, base: &Url, (number, address): (u64, &str)) -> Option<Key128> {
        let (place, tally) = (Place::Segment(number), &mut self.lists[index].tally);
        let Ok(url) = base.join(address) else {
            tally.add(
                Rule::KeyUnfetchable,
                place,
                "the address of its key is none that anything could be fetched from",
            );
            return None;
        };
        if let Some(key) = self.keys.get(&url) {
            return Some(key.clone());
        }
        let fetched = match self.fetcher.get(&url, KEY_BYTES_MAX).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let words = format!("{}: {}", shown(address), headend_rt::chain(&error));
                tally.add(Rule::KeyUnfetchable, place, words);
                return None;
            }
        };
        fetched.headers.key(number, tally);
        let Ok(bytes) = <[u8; 16]>::try_from(fetched.body.as_slice()) else {
            let words = format!(
                "its key has {} bytes: 16 raw ones are needed, not hexadecimal digits or a page",
                fetched.body.len()
            );
            tally.add(Rule::KeySize, place, words);
            return None;
        };
        let key = Key128::new(bytes);
        if self.key_order.len() >= KEYS_MAX {
            self.keys.remove(&self.key_order.remove(0));
        }
        self.key_order.push(url.clone());
        self.keys.insert(url, key.clone());
        Some(key)
    }

    /// One segment that left the list and must still be there.
    async fn ask_for_removed(&mut self, index: usize, base: &Url) {
        let list = &mut self.lists[index];
        let at = self.begun.elapsed() + OWED_MARGIN;
        let Some(removed) = list.watcher.owed(at).filter(|_| self.segments != Segments::None) else { return };
        let (number, left) = (removed.listed.number, removed.until.saturating_sub(at) + OWED_MARGIN);
        let Ok(url) = base.join(&removed.listed.address) else { return };
        if let Err(error) = self.fetcher.head(&url).await
            && error.status().is_some_and(|status| status.is_client_error())
        {
            let words = format!(
                "{}; it left the list and is owed for {:.0} s more: keep it for its duration and that of the list",
                headend_rt::chain(&error),
                left.as_secs_f64()
            );
            list.tally.add(Rule::SegmentGoneEarly, Place::Segment(number), words);
        }
    }

    fn compare_variants(&mut self) {
        let variants: Vec<usize> =
            (0..self.lists.len()).filter(|at| matches!(self.lists[*at].role, Role::Variant(_))).collect();
        let Some((first, others)) = variants.split_first() else { return };
        for other in others {
            let mut tally = Tally::default();
            if let (Some(one), Some(two)) = (self.lists[*first].watcher.last(), self.lists[*other].watcher.last()) {
                compare(one, two, &mut tally);
            }
            self.lists[*other].tally.merge(&tally);
        }
    }

    /// Segments against what the master promised. A master that learns as it goes is asked again before it is blamed.
    async fn judge_bandwidth(&mut self) {
        let Some((url, mut master)) = self.master.take() else { return };
        let over = |master: &Master, list: &List| match list.role {
            Role::Variant(at) => {
                let bandwidth = master.variants.get(at).and_then(|variant| variant.bandwidth);
                bandwidth.is_some_and(|bps| list.peak_bps > bps + bps / 10)
            }
            _ => false,
        };
        if self.lists.iter().any(|list| over(&master, list))
            && let Ok(fetched) = self.fetcher.get(&url, PLAYLIST_BYTES_MAX).await
            && let Playlist::Master(again) = read(&fetched.body).playlist
        {
            master = again;
        }
        for list in &self.lists {
            let Role::Variant(at) = list.role else { continue };
            let Some(variant) = master.variants.get(at) else { continue };
            let place = Place::Line(variant.line);
            if over(&master, list) {
                let (peak, said) = (list.peak_bps, variant.bandwidth.unwrap_or(0));
                let words = format!(
                    "a segment has {peak} bit/s, BANDWIDTH says {said}: players choose it on lines that do not carry it"
                );
                self.top.add(Rule::BandwidthLow, place, words);
            }
            if let Some(what) = variant.codecs.as_deref().and_then(|codecs| list.chain.unnamed(codecs)) {
                let words = format!("CODECS does not name its {what}: browsers make no decoder for it");
                self.top.add(Rule::CodecsIncomplete, place, words);
            }
        }
        self.master = Some((url, master));
    }

    /// What was found, from `least` on.
    pub(super) fn report(&self, url: &Url, least: Severity) -> Report {
        let address = shown(url.as_str());
        let mut looked = vec![];
        if self.master.is_some() || self.lists.is_empty() {
            let kind = if self.master.is_some() { "master" } else { "unread" };
            looked.push((Looked::new(address.clone(), kind, Default::default()), &self.top));
        }
        for list in &self.lists {
            let media = list.watcher.last();
            let kind = match media {
                None => "unread",
                Some(media) if !media.is_live() => "vod",
                Some(media) if media.kind.is_some() => "event",
                Some(_) => "live",
            };
            let mut one = Looked::new(shown(list.url.as_str()), kind, list.watcher.figures());
            one.target_secs = media.and_then(|media| media.target_secs);
            (one.looked_into, one.peak_bps) = (list.chain.seen(), list.peak_bps);
            looked.push((one, &list.tally));
        }
        Report::new(address, looked, least)
    }
}

/// The segments of a list to be looked into; `next` is the first that was not listed before.
fn wanted(media: &Media, next: Option<u64>, segments: Segments) -> Vec<Listed> {
    let fresh = media.segments.iter().filter(|segment| next.is_none_or(|next| segment.number >= next));
    match (segments, next) {
        (Segments::None, _) => vec![],
        (Segments::All, _) => fresh.cloned().collect(),
        (Segments::Ends, None) => {
            let mut ends: Vec<Listed> =
                media.segments.first().into_iter().chain(media.segments.last()).cloned().collect();
            ends.dedup_by_key(|segment| segment.number);
            ends
        }
        (Segments::Ends, Some(_)) => {
            let fresh: Vec<&Listed> = fresh.collect();
            fresh[fresh.len().saturating_sub(NEW_MAX)..].iter().map(|segment| (*segment).clone()).collect()
        }
    }
}

fn is_relative(address: &str) -> bool {
    !address.contains("://") && !address.starts_with('/')
}
