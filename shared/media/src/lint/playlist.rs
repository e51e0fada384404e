//! Playlists as the lint's reader gives them: what was written, checked, nothing made up.
//!
//! Plain values. Times are microseconds, so that sums of EXTINF are exact. Standard: RFC 8216 §4.3.

use std::sync::Arc;

/// What was found behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playlist {
    /// A media playlist.
    Media(Media),
    /// A master playlist.
    Master(Master),
    /// Neither.
    Nothing,
}

/// PLAYLIST-TYPE (§4.3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It may only grow.
    Event,
    /// It may not change.
    Vod,
}

/// A media playlist (§4.3.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// VERSION; 1 where none is written.
    pub version: u32,
    /// TARGETDURATION, seconds.
    pub target_secs: Option<u64>,
    /// MEDIA-SEQUENCE; 0 where none is written.
    pub sequence: u64,
    /// DISCONTINUITY-SEQUENCE; 0 where none is written.
    pub discontinuity_sequence: u64,
    /// PLAYLIST-TYPE.
    pub kind: Option<Kind>,
    /// ENDLIST.
    pub ended: bool,
    /// INDEPENDENT-SEGMENTS.
    pub independent: bool,
    /// Tags of low latency were seen.
    pub low_latency: bool,
    /// In order; at most [`super::SEGMENTS_MAX`].
    pub segments: Vec<Listed>,
}

/// One segment of a media playlist (§4.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its media sequence number.
    pub number: u64,
    /// The line of its address, from 1.
    pub line: usize,
    /// Its address as written.
    pub address: Box<str>,
    /// EXTINF, microseconds.
    pub duration_us: u64,
    /// DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// PROGRAM-DATE-TIME of this segment, microseconds since the Unix epoch.
    pub date_us: Option<i64>,
    /// The key in force; `None` in the clear.
    pub key: Option<Arc<Key>>,
    /// GAP: it is not there.
    pub gap: bool,
    /// BYTERANGE, first byte and how many; a start that is left out is where the one before ended.
    pub range: Option<(Option<u64>, u64)>,
    /// A MAP is in force: no transport stream, or one without its tables.
    pub mapped: bool,
}

/// A KEY tag other than METHOD=NONE (§4.3.2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// METHOD is AES-128; else it is one that is not looked into.
    pub whole: bool,
    /// URI as written.
    pub address: Box<str>,
    /// IV, where written.
    pub iv: Option<u128>,
}

impl Key {
    /// The initialization vector of segment `number` (§5.2).
    #[must_use]
    pub fn iv_of(&self, number: u64) -> u128 {
        self.iv.unwrap_or_else(|| number.into())
    }
}

impl Media {
    /// Whether it will change: neither VOD nor ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.ended && self.kind != Some(Kind::Vod)
    }

    /// The number after the last one listed.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.sequence.saturating_add(self.segments.len() as u64)
    }

    /// A listed segment.
    #[must_use]
    pub fn segment(&self, number: u64) -> Option<&Listed> {
        self.segments.get(usize::try_from(number.checked_sub(self.sequence)?).ok()?)
    }

    /// The sum of EXTINF, microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        self.segments.iter().map(|segment| segment.duration_us).sum()
    }

    /// TARGETDURATION, microseconds; 0 where it is missing.
    #[must_use]
    pub fn target_us(&self) -> u64 {
        self.target_secs.unwrap_or(0).saturating_mul(1_000_000)
    }
}

/// A master playlist (§4.3.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Master {
    /// VERSION; 1 where none is written.
    pub version: u32,
    /// INDEPENDENT-SEGMENTS, which then holds for every segment of every rendition.
    pub independent: bool,
    /// STREAM-INF in order; at most [`super::VARIANTS_MAX`].
    pub variants: Vec<Variant>,
    /// MEDIA with an address of its own; at most [`super::VARIANTS_MAX`].
    pub renditions: Vec<Rendition>,
}

/// A STREAM-INF (§4.3.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variant {
    /// The line of its address, from 1.
    pub line: usize,
    /// Its address as written.
    pub address: Box<str>,
    /// BANDWIDTH, bits a second.
    pub bandwidth: Option<u64>,
    /// CODECS.
    pub codecs: Option<String>,
}

/// A MEDIA (§4.3.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// TYPE and GROUP-ID.
    pub group: (String, String),
    /// URI; none when it is muxed into the variants.
    pub address: Option<Box<str>>,
}
