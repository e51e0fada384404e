//! One stream as what it says of a channel: its sources in order, and the settings that a channel has.
//!
//! Pure. What the stream does not say stays unsaid here, because the controller may already have it. Each setting that
//! becomes something else, or nothing, is a finding with its line.

use std::collections::BTreeMap;

use headend_access::schedule::{PERIOD_MS_MAX, PERIOD_MS_MIN};
use headend_wire::{ChannelName, Retention};

use super::{
    address::{self, Playable},
    config::{Drm, Input, Item, Setting, Stream},
    directive::Output,
    finding::{Fate, Finding, Findings, Place},
    retention::Archive,
};

/// What a stream says of a channel.
#[derive(Clone)]
pub struct Draft {
    /// The channel's name.
    pub name: ChannelName,
    /// The stream's name, as the file has it.
    pub stream: String,
    /// Where it stands.
    pub place: Place,
    /// For people.
    pub title: Option<String>,
    /// The number on the remote control, as wished.
    pub position: Option<u64>,
    /// Whether it is offered.
    pub enabled: Option<bool>,
    /// Address and service, in order of preference.
    pub sources: Vec<(String, Option<u16>)>,
    /// Target duration, milliseconds: whole seconds, 1 to 10.
    pub segment_ms: Option<u32>,
    /// Segments of the live playlist, 3 to 60.
    pub window_segments: Option<u16>,
    /// Key period, milliseconds.
    pub period_ms: Option<u64>,
    /// When a bad source is left, milliseconds.
    pub leave_after_ms: Option<u32>,
    /// What is kept.
    pub keep: Option<Retention>,
}

/// Reads a stream.
pub struct Reader<'c> {
    /// Storages of the server.
    pub storages: &'c BTreeMap<String, Archive>,
    /// Where findings go.
    pub findings: &'c mut Findings,
    /// The stream that is read.
    pub stream: &'c Stream,
}

impl Reader<'_> {
    /// What the stream says of the channel `name`; none when it has no source that a node plays.
    pub fn read(&mut self, name: ChannelName) -> Option<Draft> {
        let stream = self.stream;
        let mut draft = Draft {
            name,
            stream: stream.name.clone(),
            place: stream.place,
            title: None,
            position: None,
            enabled: None,
            sources: vec![],
            segment_ms: None,
            window_segments: None,
            period_ms: None,
            leave_after_ms: None,
            keep: None,
        };
        let stream_timeout = stream.items.iter().rev().find_map(|item| match item.setting {
            Setting::SourceTimeoutMs(ms) => Some((item.place, ms)),
            _ => None,
        });
        self.sources(&mut draft, stream_timeout);
        let mut seen = BTreeMap::new();
        for item in &stream.items {
            let once = !matches!(
                item.setting,
                Setting::Input(_) | Setting::Told(..) | Setting::Output(..) | Setting::OnlyOutputs(_)
            );
            if once && seen.insert(item.directive, item.place).is_some() {
                self.tell(item.place, Fate::Changed, item.directive, "it is said twice; the last one counts");
            }
            self.setting(&mut draft, item);
        }
        if draft.sources.is_empty() {
            let why = "none of its inputs can be played here, so no channel is made of it";
            self.tell(stream.place, Fate::Dropped, "stream", why);
            return None;
        }
        let why = said(&draft, stream);
        self.tell(stream.place, Fate::Taken, "stream", &why);
        Some(draft)
    }

    fn tell(&mut self, place: Place, fate: Fate, what: &str, why: &str) {
        self.findings.add(Finding::new(place, fate, what, why), Some(&self.stream.name));
    }

    fn setting(&mut self, draft: &mut Draft, item: &Item) {
        let place = item.place;
        match &item.setting {
            Setting::Input(_) | Setting::SourceTimeoutMs(_) => {}
            Setting::Title(text) => draft.title = self.title(place, text),
            Setting::Position(position) => draft.position = Some(*position),
            Setting::Disabled(disabled) => draft.enabled = Some(!disabled),
            Setting::SegmentMs(ms) => {
                let whole = ms.saturating_add(500) / 1_000;
                let secs = whole.clamp(1, 10);
                if secs * 1_000 != *ms {
                    self.tell(
                        place,
                        Fate::Changed,
                        "segment_duration",
                        &format!("segments are {secs} s: whole seconds, 1 to 10"),
                    );
                }
                draft.segment_ms = u32::try_from(secs * 1_000).ok();
            }
            Setting::SegmentCount(count) => {
                let fitted = (*count).clamp(3, 60);
                if fitted != *count {
                    self.tell(
                        place,
                        Fate::Changed,
                        "segment_count",
                        &format!("the playlist lists {fitted} segments: 3 to 60"),
                    );
                }
                draft.window_segments = u16::try_from(fitted).ok();
            }
            Setting::Archive(archive) => draft.keep = self.archive(place, archive),
            Setting::Drm(drm) => draft.period_ms = self.drm(place, drm),
            Setting::Output(output, name, on) => self.output(place, (*output, name), *on),
            Setting::OnlyOutputs(only) => self.only(place, only),
            Setting::Told(fate, what, why) => self.tell(place, *fate, what, why),
        }
    }

    fn title(&mut self, place: Place, text: &str) -> Option<String> {
        let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut: String = plain.trim().chars().take(100).collect();
        if cut.is_empty() {
            return None;
        }
        if cut != text {
            self.tell(place, Fate::Changed, "title", "a title is one line of 100 characters at most");
        }
        Some(cut)
    }

    fn archive(&mut self, place: Place, archive: &Archive) -> Option<Retention> {
        if archive.off {
            return None;
        }
        let mut whole = archive.clone();
        if let Some(reference) = &archive.reference {
            match self.storages.get(reference) {
                Some(storage) => whole = whole.over(storage),
                // The API gives streams with the depth filled in.
                None if matches!(place, Place::Item(_)) => {}
                None => self.tell(place, Fate::Dropped, "dvr", "it refers to a storage that is not in this file"),
            }
        }
        for option in &whole.without {
            self.tell(
                place,
                Fate::Dropped,
                &format!("dvr {option}"),
                "the archive has no such setting; see docs/archive.md",
            );
        }
        let (keep, remarks) = whole.retention();
        for remark in remarks {
            self.tell(place, Fate::Changed, "dvr", remark);
        }
        Some(keep)
    }

    fn drm(&mut self, place: Place, drm: &Drm) -> Option<u64> {
        if !drm.aes128 {
            self.tell(place, Fate::Dropped, "drm", "only AES-128 is made; every channel has it");
            return None;
        }
        if drm.key_server {
            let why =
                "keys come from the controller instead of that key server; players get their address from the playlist";
            self.tell(place, Fate::Changed, "drm keyserver", why);
        }
        if drm.others {
            let why = "segments are encrypted whole, with their number as IV; no more is to be set";
            self.tell(place, Fate::Changed, "drm options", why);
        }
        let wanted = drm.expires_min?.saturating_mul(60_000);
        let period_ms = wanted.clamp(PERIOD_MS_MIN, PERIOD_MS_MAX);
        if period_ms != wanted {
            self.tell(place, Fate::Changed, "drm expires", "a key is valid for 10 s to a day");
        }
        Some(period_ms)
    }

    fn output(&mut self, place: Place, (output, name): (Output, &'static str), on: bool) {
        match (output, on) {
            (Output::Hls, false) => {
                self.tell(
                    place,
                    Fate::Dropped,
                    "hls off",
                    "every channel is made as HLS; to offer none, disable the channel",
                );
            }
            (Output::HttpTs, false) => self.tell(place, Fate::Changed, name, HTTP_TS),
            (Output::None, true) => {
                self.tell(place, Fate::Dropped, name, "it is not made; players take HLS or HTTP-TS");
            }
            (Output::None, false) | (Output::Hls | Output::HttpTs, true) => {}
        }
    }

    fn only(&mut self, place: Place, only: &[(&'static str, Output)]) {
        let has = |wanted: Output| only.iter().any(|(_, output)| *output == wanted);
        if !has(Output::Hls) {
            self.output(place, (Output::Hls, "hls"), false);
        }
        if !has(Output::HttpTs) {
            self.output(place, (Output::HttpTs, "mpegts off"), false);
        }
        for (name, output) in only {
            self.output(place, (*output, name), true);
        }
    }

    /// The inputs that a node plays, the best first.
    fn sources(&mut self, draft: &mut Draft, stream_timeout: Option<(Place, u64)>) {
        let mut inputs: Vec<(Place, &Input)> = self
            .stream
            .items
            .iter()
            .filter_map(|item| match &item.setting {
                Setting::Input(input) => Some((item.place, input)),
                _ => None,
            })
            .collect();
        self.order(&mut inputs);
        let mut timeouts = vec![];
        for (place, input) in inputs {
            let what = format!("input {}", address::label(&input.address));
            for (option, fate, why) in &input.told {
                self.tell(place, *fate, &format!("{what}: {option}"), why);
            }
            let found = match address::playable(&input.address) {
                Ok(found) => found,
                Err(why) => {
                    self.tell(place, Fate::Dropped, &what, why);
                    continue;
                }
            };
            let service = self.service(place, &what, (input, &found));
            let source = (found.url, service);
            if draft.sources.contains(&source) {
                self.tell(place, Fate::Changed, &what, "the channel has this source already; it is kept once");
                continue;
            }
            draft.sources.push(source);
            timeouts.extend(input.timeout_ms.map(|ms| (place, ms)).or(stream_timeout));
        }
        draft.leave_after_ms = self.leave_after(&timeouts);
    }

    /// Orders inputs by priority, as that server does: only when each has one.
    fn order(&mut self, inputs: &mut [(Place, &Input)]) {
        let with = inputs.iter().filter(|(_, input)| input.priority.is_some()).count();
        let Some((place, _)) = inputs.first().copied().filter(|_| with > 0 && inputs.len() > 1) else { return };
        if with < inputs.len() {
            let why = "not every input has a priority; they are tried in the order of the file";
            self.tell(place, Fate::Changed, "priority", why);
            return;
        }
        inputs.sort_by_key(|(_, input)| input.priority);
        if inputs.windows(2).any(|pair| matches!(pair, [(_, one), (_, two)] if one.priority == two.priority)) {
            let why = "inputs of one priority are not returned to there; here the first is, once it was good for return_after_ms";
            self.tell(place, Fate::Changed, "priority", why);
        }
    }

    fn service(&mut self, place: Place, what: &str, (input, found): (&Input, &Playable)) -> Option<u16> {
        for remark in &found.remarks {
            self.tell(place, Fate::Changed, what, remark);
        }
        if input.services.len() > 1 {
            self.tell(place, Fate::Changed, what, "a source gives one service; the first of programs is taken");
        }
        let service = input.services.first().copied().or(found.service).filter(|service| *service > 0);
        if service.is_none() && found.multiplex {
            self.tell(
                place,
                Fate::Changed,
                what,
                "no programs are named; the lowest service of the multiplex is taken",
            );
        }
        service
    }

    /// The patience with a source. Ours is one of the channel's: that of its best source.
    fn leave_after(&mut self, timeouts: &[(Place, u64)]) -> Option<u32> {
        let (place, wanted) = *timeouts.first()?;
        if let Some((place, _)) = timeouts.iter().find(|(_, other)| *other != wanted) {
            let why = "a channel has one leave_after_ms; that of the best source is taken";
            self.tell(*place, Fate::Changed, "source_timeout", why);
        }
        let ms = wanted.clamp(200, 60_000);
        if ms != wanted {
            let why = format!("leave_after_ms is {ms}: 200 to 60000");
            self.tell(place, Fate::Changed, "source_timeout", &why);
        }
        u32::try_from(ms).ok()
    }
}

const HTTP_TS: &str = "HTTP-TS cannot be switched off for a channel; in the clear it goes to loopback and clear_peers alone, else under TLS";

/// What was taken, in words.
fn said(draft: &Draft, stream: &Stream) -> String {
    let mut parts = vec![match draft.sources.len() {
        1 => "1 source".to_owned(),
        many => format!("{many} sources"),
    }];
    let named = [
        (draft.title.is_some(), "title"),
        (draft.position.is_some(), "position"),
        (draft.enabled.is_some(), "disabled"),
        (draft.segment_ms.is_some(), "segment_duration"),
        (draft.window_segments.is_some(), "segment_count"),
        (draft.period_ms.is_some(), "drm expires"),
        (draft.leave_after_ms.is_some(), "source_timeout"),
    ];
    parts.extend(named.into_iter().filter(|(is_said, _)| *is_said).map(|(_, name)| name.to_owned()));
    parts.extend(draft.keep.map(|keep| format!("dvr {keep}")));
    let off = stream
        .items
        .iter()
        .filter(|item| matches!(item.setting, Setting::Output(_, _, false) | Setting::OnlyOutputs(_)));
    let off = off.count();
    if off > 0 {
        parts.push("switches of outputs".to_owned());
    }
    let from = stream.template.as_ref().map(|name| format!(", with template {name}")).unwrap_or_default();
    format!("channel {}: {}{from}", draft.name, parts.join(", "))
}
