//! The tags of a media playlist: what they say, where they may stand, which version they need (RFC 8216 §4.3.2, §4.3.3, §7).
//!
//! Driven line by line by `read`; [`MediaReader::finish`] adds the rules that need the whole list and no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::attributes::Attributes;
use super::finding::{Place, Rule, Tally};
use super::playlist::{Key, Kind, Listed, Media};
use super::read::{SEGMENTS_MAX, check_address, micros};

/// Collects a media playlist.
#[derive(Debug, Default)]
pub(super) struct MediaReader {
    media: Media,
    /// Tags of the head that were seen.
    head: BTreeSet<String>,
    /// The highest version that something needs, and what.
    needs: (u32, &'static str),
    sequenced: bool,
    duration_us: Option<u64>,
    extinf_line: usize,
    discontinuity: bool,
    discontinuities: bool,
    date_us: Option<i64>,
    key: Option<Arc<Key>>,
    gap: bool,
    range: Option<(Option<u64>, u64)>,
    mapped: bool,
    /// Segments under the KEY tag in force, and whether it was complained about.
    under_key: u64,
    full: bool,
}

impl MediaReader {
    /// Whether the next address is a segment's.
    pub(super) fn awaits(&self) -> bool {
        self.duration_us.is_some()
    }

    /// Takes a tag of media playlists, or one that both kinds have.
    pub(super) fn tag(&mut self, line: usize, (tag, value): (&str, &str), tally: &mut Tally) {
        let name = tag.strip_prefix("#EXT-X-").unwrap_or(tag);
        match name {
            "#EXTINF" => self.extinf(line, value, tally),
            "#EXTM3U" => {
                tally.add(Rule::TagMisplaced, Place::Line(line), "a second #EXTM3U: two playlists in one answer")
            }
            "VERSION"
            | "TARGETDURATION"
            | "MEDIA-SEQUENCE"
            | "DISCONTINUITY-SEQUENCE"
            | "PLAYLIST-TYPE"
            | "I-FRAMES-ONLY" => self.head(line, (name, value), tally),
            "ENDLIST" => {
                tally.expect(!self.media.ended, Rule::TagMisplaced, Place::Line(line), || "ENDLIST twice".to_owned());
                self.media.ended = true;
            }
            "INDEPENDENT-SEGMENTS" => self.media.independent = true,
            "DISCONTINUITY" => (self.discontinuity, self.discontinuities) = (true, true),
            "KEY" => self.key(line, value, tally),
            "MAP" => {
                self.mapped = true;
                self.need(if self.head.contains("I-FRAMES-ONLY") { 5 } else { 6 }, "MAP");
                requires(line, value, ("MAP", "URI"), tally);
            }
            "PROGRAM-DATE-TIME" => self.date(line, value, tally),
            "GAP" => {
                let words = "GAP: browsers jump or freeze at it; fill the hole with a slate, or leave it out with a DISCONTINUITY";
                tally.add(Rule::Gap, Place::Line(line), words);
                self.gap = true;
            }
            "BYTERANGE" => {
                self.need(4, "BYTERANGE");
                self.range = byte_range(value);
                tally.expect(self.range.is_some(), Rule::TagMalformed, Place::Line(line), || {
                    "BYTERANGE is n or n@o".to_owned()
                });
            }
            "DATERANGE" => requires(line, value, ("DATERANGE", "ID"), tally),
            "SERVER-CONTROL" | "PART-INF" | "PART" | "SKIP" | "PRELOAD-HINT" | "RENDITION-REPORT" => {
                self.media.low_latency = true;
            }
            _ => {}
        }
    }

    /// Takes a line that is an address.
    pub(super) fn address(&mut self, line: usize, address: &str, tally: &mut Tally) {
        if self.media.segments.len() >= SEGMENTS_MAX {
            self.duration_us = None;
            if !std::mem::replace(&mut self.full, true) {
                let words =
                    format!("more than {SEGMENTS_MAX} segments; the rest is not looked at: list less at a time");
                tally.add(Rule::TooLong, Place::Line(line), words);
            }
            return;
        }
        let number = self.media.end();
        let duration_us = self.duration_us.take().unwrap_or_else(|| {
            tally.add(
                Rule::ExtinfMissing,
                Place::Line(line),
                "an address without EXTINF before it: every segment needs its own",
            );
            0
        });
        let whole = (duration_us + 500_000) / 1_000_000;
        if self.media.target_secs.is_some_and(|target| whole > target) {
            let (duration, target) = (seconds(duration_us), self.media.target_secs.unwrap_or(0));
            let words = format!(
                "lasts {duration} s, rounded {whole}, TARGETDURATION is {target}: players reload too late; cut earlier, or say more from the start"
            );
            tally.add(Rule::TargetTooSmall, Place::Segment(number), words);
        }
        self.under_key += 1;
        if self.under_key == 2 && self.key.as_ref().is_some_and(|key| key.whole && key.iv.is_some()) {
            let words = "a second segment under one KEY with an IV: write an IV for each segment, or none (then it is the number)";
            tally.add(Rule::IvRepeated, Place::Segment(number), words);
        }
        self.media.segments.push(Listed {
            number,
            line,
            address: address.into(),
            duration_us,
            discontinuity: std::mem::take(&mut self.discontinuity),
            date_us: self.date_us.take(),
            key: self.key.clone(),
            gap: std::mem::take(&mut self.gap),
            range: self.range.take(),
            mapped: self.mapped,
        });
    }

    /// The list, and what is wrong with it as a whole.
    pub(super) fn finish(mut self, tally: &mut Tally) -> Media {
        let list = Place::Playlist;
        if self.duration_us.is_some() {
            let words = "EXTINF without an address behind it: the answer was cut, or written by halves";
            tally.add(Rule::AddressMissing, Place::Line(self.extinf_line), words);
        }
        self.media.version = self.media.version.max(1);
        let (version, (needs, what)) = (self.media.version, self.needs);
        tally.expect(version >= needs, Rule::VersionLow, list, || {
            format!("VERSION is {version}, {what} needs {needs}: old players would read it wrong; raise it")
        });
        let media = &self.media;
        if media.target_secs.is_none() {
            tally.add(Rule::TargetMissing, list, "no TARGETDURATION: players do not know when to reload");
        }
        if media.segments.is_empty() {
            tally.add(Rule::NothingListed, list, "lists no segment: answer 404 or 503 until there is one");
        }
        if media.low_latency {
            tally.add(Rule::LowLatency, list, "has tags of low latency, whose own rules are not checked here");
        }
        if media.kind == Some(Kind::Vod) && !media.ended {
            tally.add(Rule::VodOpen, list, "VOD without ENDLIST: players reload it for ever; end it, or call it EVENT");
        }
        if !media.segments.is_empty() && media.segments.iter().all(|segment| segment.date_us.is_none()) {
            tally.add(
                Rule::DateMissing,
                list,
                "no PROGRAM-DATE-TIME: guides, catch-up and logs cannot find a moment in it",
            );
        }
        dates(media, tally);
        self.media
    }

    fn need(&mut self, version: u32, what: &'static str) {
        if version > self.needs.0 {
            self.needs = (version, what);
        }
    }

    fn head(&mut self, line: usize, (name, value): (&str, &str), tally: &mut Tally) {
        let place = Place::Line(line);
        let begun = !self.media.segments.is_empty() || self.duration_us.is_some();
        tally.expect(!begun, Rule::TagMisplaced, place, || {
            format!("{name} behind the first segment: it belongs to the head")
        });
        let first = self.head.insert(name.to_owned());
        tally.expect(first, Rule::TagMisplaced, place, || format!("{name} twice"));
        if name == "I-FRAMES-ONLY" {
            return self.need(4, "I-FRAMES-ONLY");
        }
        if name == "PLAYLIST-TYPE" {
            self.media.kind = match value {
                "EVENT" => Some(Kind::Event),
                "VOD" => Some(Kind::Vod),
                _ => None,
            };
            tally.expect(self.media.kind.is_some(), Rule::TagMalformed, place, || {
                "PLAYLIST-TYPE is EVENT or VOD".to_owned()
            });
            return;
        }
        // At most twenty digits (§4.2): no sign, no fraction.
        let number = value.parse::<u64>().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
        tally.expect(number.is_some(), Rule::TagMalformed, place, || format!("{name} is a whole number below 2^64"));
        let Some(number) = number else { return };
        match name {
            "VERSION" => self.media.version = u32::try_from(number).unwrap_or(u32::MAX),
            "TARGETDURATION" => self.media.target_secs = Some(number),
            "MEDIA-SEQUENCE" if !self.sequenced && !begun => (self.media.sequence, self.sequenced) = (number, true),
            "DISCONTINUITY-SEQUENCE" => {
                let late = "DISCONTINUITY-SEQUENCE behind a DISCONTINUITY: it counts those before the list";
                tally.expect(!self.discontinuities, Rule::TagMisplaced, place, || late.to_owned());
                self.media.discontinuity_sequence = number;
            }
            _ => {}
        }
    }

    fn extinf(&mut self, line: usize, value: &str, tally: &mut Tally) {
        if self.duration_us.is_some() {
            let words = "EXTINF without an address behind it: two in a row";
            tally.add(Rule::AddressMissing, Place::Line(self.extinf_line), words);
        }
        let (text, comma) = value.split_once(',').map_or((value, false), |(text, _)| (text, true));
        let duration = micros(text);
        tally.expect(duration.is_some() && comma, Rule::TagMalformed, Place::Line(line), || {
            "EXTINF is seconds and a comma, such as EXTINF:2.000000,".to_owned()
        });
        if text.contains('.') {
            self.need(3, "EXTINF with a fraction");
        }
        (self.duration_us, self.extinf_line) = (Some(duration.unwrap_or(0)), line);
    }

    fn date(&mut self, line: usize, value: &str, tally: &mut Tally) {
        let at = value.parse::<jiff::Timestamp>().ok().filter(|_| value.contains('T'));
        tally.expect(at.is_some(), Rule::DateMalformed, Place::Line(line), || {
            "PROGRAM-DATE-TIME is a date, T, a time and a zone, such as 2026-01-02T03:04:06.000Z".to_owned()
        });
        self.date_us = at.map(jiff::Timestamp::as_microsecond);
    }

    fn key(&mut self, line: usize, value: &str, tally: &mut Tally) {
        (self.key, self.under_key) = (None, 0);
        let place = Place::Line(line);
        let list = match Attributes::parse(value) {
            Ok(list) => list,
            Err(error) => return tally.add(Rule::AttributesMalformed, place, format!("KEY: {error}")),
        };
        let method = list.plain("METHOD").unwrap_or_default();
        if method == "NONE" {
            return;
        }
        if list.get("KEYFORMAT").is_some() || list.get("KEYFORMATVERSIONS").is_some() {
            self.need(5, "KEYFORMAT");
        }
        let (Some(address), false) = (list.quoted("URI"), method.is_empty()) else {
            let words = "KEY needs METHOD and, unless that is NONE, URI in quotes";
            return tally.add(Rule::AttributesMalformed, place, words);
        };
        check_address(address, line, tally);
        let foreign = list.quoted("KEYFORMAT").is_some_and(|format| format != "identity");
        let whole = method == "AES-128" && !foreign;
        if !whole {
            let words = "a METHOD or KEYFORMAT other than AES-128 with plain keys: many boxes stay black, and it is not checked here";
            tally.add(Rule::KeyMethod, place, words);
        }
        let iv = list.get("IV").map(|_| list.plain("IV").and_then(read_iv));
        if iv == Some(None) {
            tally.add(Rule::IvMalformed, place, "IV is 0x and 32 hexadecimal digits");
        }
        if iv.is_some() {
            self.need(2, "KEY with IV");
        }
        self.key = Some(Arc::new(Key { whole, address: address.into(), iv: iv.flatten() }));
    }
}

/// An attribute list that must have a quoted string of this name.
fn requires(line: usize, value: &str, (tag, attribute): (&str, &str), tally: &mut Tally) {
    let words = match Attributes::parse(value) {
        Ok(list) if list.quoted(attribute).is_some() => return,
        Ok(_) => format!("{tag} without {attribute} in quotes"),
        Err(error) => format!("{tag}: {error}"),
    };
    tally.add(Rule::AttributesMalformed, Place::Line(line), words);
}

/// `0x` and 32 digits: players pad a shorter number differently.
fn read_iv(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let good = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(digits, 16).ok().filter(|_| good)
}

fn byte_range(text: &str) -> Option<(Option<u64>, u64)> {
    let (length, start) = text.split_once('@').map_or((text, None), |(length, start)| (length, Some(start)));
    Some((start.map(str::parse).transpose().ok()?, length.parse().ok()?))
}

/// Microseconds as seconds with a fraction.
pub(super) fn seconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros / 1_000 % 1_000)
}

/// Dates inside one list: forward, and where the sum of EXTINF puts them (§4.3.2.6).
fn dates(media: &Media, tally: &mut Tally) {
    let (mut expected, mut since) = (None::<i64>, 0_i64);
    let mut last = None::<i64>;
    for segment in &media.segments {
        if segment.discontinuity {
            expected = None;
        }
        if let Some(date) = segment.date_us {
            let place = Place::Segment(segment.number);
            tally.expect(last.is_none_or(|last| date > last), Rule::DateBack, place, || {
                "its PROGRAM-DATE-TIME is not after that of a segment before it: take it from the stream's time, not from the clock".to_owned()
            });
            // Dates have milliseconds, and so may EXTINF: each adds its rounding.
            let apart = expected.map_or(0, |expected: i64| date.saturating_sub(expected));
            tally.expect(apart.unsigned_abs() <= 2_000 + 1_000 * since.unsigned_abs(), Rule::DateDrift, place, || {
                format!("its PROGRAM-DATE-TIME is {} ms off the sum of EXTINF before it: one of the two is rounded or invented", apart / 1_000)
            });
            (expected, since, last) = (Some(date), 0, Some(date));
        }
        expected = expected.map(|at| at.saturating_add(segment.duration_us.cast_signed()));
        since += 1;
    }
}
