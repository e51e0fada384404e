//! The tags of a master playlist (RFC 8216 §4.3.4).
//!
//! Driven line by line by `read`. What renditions owe each other is `variants`' business, what BANDWIDTH promised is
//! judged where segments are measured.

use super::attributes::Attributes;
use super::finding::{Place, Rule, Tally, shown};
use super::playlist::{Master, Rendition, Variant};
use super::read::{VARIANTS_MAX, check_address};

/// The group attributes of a STREAM-INF and the TYPE they name.
const GROUPS: [(&str, &str); 4] =
    [("AUDIO", "AUDIO"), ("VIDEO", "VIDEO"), ("SUBTITLES", "SUBTITLES"), ("CLOSED-CAPTIONS", "CLOSED-CAPTIONS")];

/// Collects a master playlist.
#[derive(Debug, Default)]
pub(super) struct MasterReader {
    master: Master,
    awaiting: Option<Variant>,
    /// Groups that variants name: TYPE, GROUP-ID, line.
    wanted: Vec<(&'static str, String, usize)>,
    full: bool,
}

impl MasterReader {
    /// Whether the next address is a variant's.
    pub(super) fn awaits(&self) -> bool {
        self.awaiting.is_some()
    }

    /// Takes a tag of master playlists, or one that both kinds have.
    pub(super) fn tag(&mut self, line: usize, (tag, value): (&str, &str), tally: &mut Tally) {
        match tag {
            "#EXT-X-VERSION" => self.master.version = value.parse().unwrap_or(0),
            "#EXT-X-INDEPENDENT-SEGMENTS" => self.master.independent = true,
            "#EXT-X-STREAM-INF" => self.stream_inf(line, value, tally),
            "#EXT-X-MEDIA" => self.rendition(line, value, tally),
            "#EXT-X-I-FRAME-STREAM-INF" | "#EXT-X-SESSION-DATA" | "#EXT-X-SESSION-KEY" => {
                if let Err(error) = Attributes::parse(value) {
                    tally.add(Rule::AttributesMalformed, Place::Line(line), error.to_string());
                }
            }
            _ => {}
        }
    }

    /// Takes the address behind a STREAM-INF.
    pub(super) fn address(&mut self, line: usize, address: &str) {
        if let Some(variant) = self.awaiting.take()
            && self.master.variants.len() < VARIANTS_MAX
        {
            self.master.variants.push(Variant { line, address: address.into(), ..variant });
        }
    }

    /// The list, and what is wrong with it as a whole.
    pub(super) fn finish(mut self, tally: &mut Tally) -> Master {
        if let Some(variant) = self.awaiting.take() {
            tally.add(Rule::AddressMissing, Place::Line(variant.line), "STREAM-INF without an address behind it");
        }
        for (kind, group, line) in &self.wanted {
            let made = self.master.renditions.iter().any(|made| made.group.0 == *kind && made.group.1 == *group);
            tally.expect(made, Rule::GroupUnknown, Place::Line(*line), || {
                format!(
                    "{kind} names the group {:?}, and no MEDIA tag makes it: players leave the variant out",
                    shown(group)
                )
            });
        }
        if self.full {
            let words = format!("more than {VARIANTS_MAX} variants or renditions; the rest is not looked at");
            tally.add(Rule::TooLong, Place::Playlist, words);
        }
        self.master
    }

    fn stream_inf(&mut self, line: usize, value: &str, tally: &mut Tally) {
        let place = Place::Line(line);
        if let Some(before) = &self.awaiting {
            tally.add(Rule::AddressMissing, Place::Line(before.line), "STREAM-INF without an address behind it");
        }
        self.full |= self.master.variants.len() >= VARIANTS_MAX;
        let empty = Attributes::default();
        let list = Attributes::parse(value).unwrap_or_else(|error| {
            tally.add(Rule::AttributesMalformed, place, format!("STREAM-INF: {error}"));
            empty
        });
        let bandwidth = list.plain("BANDWIDTH").and_then(|text| text.parse::<u64>().ok()).filter(|bps| *bps > 0);
        tally.expect(bandwidth.is_some(), Rule::BandwidthMissing, place, || {
            "no BANDWIDTH in bits a second: players cannot choose".to_owned()
        });
        let average = list.plain("AVERAGE-BANDWIDTH").and_then(|text| text.parse::<u64>().ok());
        tally.expect(bandwidth.is_none() || average <= bandwidth, Rule::AttributesMalformed, place, || {
            "AVERAGE-BANDWIDTH is above BANDWIDTH, which is the peak".to_owned()
        });
        let codecs = list.quoted("CODECS").map(str::to_owned);
        tally.expect(codecs.is_some(), Rule::CodecsMissing, place, || {
            "no CODECS in quotes: browsers must fetch a segment before they know whether they can play it".to_owned()
        });
        let picture = list.plain("RESOLUTION").is_some() && list.plain("FRAME-RATE").is_some();
        let radio = codecs.as_deref().is_some_and(|codecs| !codecs.split(',').any(is_video));
        tally.expect(picture || radio, Rule::PictureUnsaid, place, || {
            "no RESOLUTION or FRAME-RATE: players cannot leave out what their screen does not show".to_owned()
        });
        for (attribute, kind) in GROUPS {
            if let Some(group) = list.quoted(attribute).filter(|_| self.wanted.len() < 4 * VARIANTS_MAX) {
                self.wanted.push((kind, group.to_owned(), line));
            }
        }
        self.awaiting = Some(Variant { line, bandwidth, codecs, ..Variant::default() });
    }

    fn rendition(&mut self, line: usize, value: &str, tally: &mut Tally) {
        let place = Place::Line(line);
        let list = match Attributes::parse(value) {
            Ok(list) => list,
            Err(error) => return tally.add(Rule::AttributesMalformed, place, format!("MEDIA: {error}")),
        };
        let (kind, group, name) = (list.plain("TYPE"), list.quoted("GROUP-ID"), list.quoted("NAME"));
        let (Some(kind), Some(group), Some(_)) = (kind, group, name) else {
            return tally.add(Rule::AttributesMalformed, place, "MEDIA needs TYPE, and GROUP-ID and NAME in quotes");
        };
        let address = list.quoted("URI");
        if let Some(address) = address {
            check_address(address, line, tally);
        }
        if self.master.renditions.len() >= VARIANTS_MAX {
            self.full = true;
            return;
        }
        let group = (kind.to_owned(), group.to_owned());
        self.master.renditions.push(Rendition { group, address: address.map(Into::into) });
    }
}

/// Whether an element of CODECS is a picture's (RFC 6381 §3.3 and what is registered there).
pub(super) fn is_video(codec: &str) -> bool {
    let four: String = codec.trim().chars().take(4).collect::<String>().to_ascii_lowercase();
    matches!(four.as_str(), "avc1" | "avc3" | "hvc1" | "hev1" | "mp4v" | "vp09" | "av01" | "dvh1" | "dvhe")
}
