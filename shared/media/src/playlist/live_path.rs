//! The request paths of a node's channels, read from the request line; those of their past are `past_path`'s.
//!
//! Untrusted text in, a [`LivePath`] or nothing out. Channel names may contain `/`, so the end of the path decides what is
//! asked and what stands before it is the name. The path is percent-decoded once and then checked as a whole: nothing
//! that could climb out of a folder, no control byte and no second round of encoding survives, whatever a later reader
//! does with the name. Tokens and queries are not looked at.

use super::grid::SegmentGrid;
use super::past_path::{self, Past, Refusal};
use super::window::KeyRef;

/// The longest path read, in bytes as sent.
const PATH_BYTES_MAX: usize = 1_024;
/// The longest channel name, in bytes.
const NAME_BYTES_MAX: usize = 255;
const SELECTION_BYTES_MAX: usize = 32;
const MARK_BYTES_MAX: usize = 64;
/// Where the streamer API names its streams.
const STREAMS: [&str; 4] = ["streamer", "api", "v3", "streams"];
/// Parts of `YYYY/MM/DD/HH/MM/SS-DDDDD.ts`.
const SEGMENT_PARTS: usize = 6;

/// A request of a live channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePath {
    /// The channel's system name, decoded: 1 to 255 bytes; parts between `/` are neither empty nor made of dots alone.
    pub channel: String,
    /// What is asked of it.
    pub kind: LiveKind,
}

/// What a live path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveKind {
    /// `index.m3u8`, `playlist.m3u8`, `index.ts.m3u8`.
    Master,
    /// The muxed media playlist, in the spelling the client used.
    Media(MediaSpelling),
    /// A segment, also when asked below `tracks-…/`; `grid` is the duration its name claims.
    Segment {
        /// Which grid the name belongs to; not the channel's if the name is made up.
        grid: SegmentGrid,
        /// The media sequence number.
        number: u64,
        /// The folder before the name that begins with `~`, as it stands: at most 64 unreserved characters.
        mark: Option<String>,
    },
    /// `mpegts`: the endless transport stream.
    MpegTs,
    /// `/k/NAME/GENERATION-PERIOD`: a content key.
    Key(KeyRef),
    /// Archive, catch-up, time shift.
    Past(Past),
    /// `recording_status.json`: what is recorded.
    RecordingStatus,
    /// `/streamer/api/v3/streams/NAME/dvr/ranges`: the same, as newer monitors ask.
    Ranges,
    /// `preview.h264`: the last key picture.
    Preview,
    /// A path of Flussonic's that is answered with words only.
    Refused(Refusal),
}

/// How a client spells the media playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSpelling {
    /// `video.m3u8`.
    Video,
    /// `mono.m3u8`.
    Mono,
    /// `tracks-SELECTION/mono.m3u8`; letters, digits and commas, at most 32.
    Tracks(String),
}

impl LivePath {
    /// Reads the path of a request target, with its leading `/` and without query; `None` for every other path.
    ///
    /// ```
    /// use headend_media::playlist::{LiveKind, LivePath};
    /// let path = LivePath::parse("/fr/france24/index.m3u8").unwrap();
    /// assert_eq!((path.channel.as_str(), path.kind), ("fr/france24", LiveKind::Master));
    /// assert_eq!(LivePath::parse("/fr/%2e%2e/etc/index.m3u8"), None);
    /// ```
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let decoded = decode(path)?;
        let parts: Vec<&str> = decoded.strip_prefix('/')?.split('/').collect();
        if parts.iter().any(|part| part.bytes().all(|byte| byte == b'.')) {
            return None;
        }
        let (kind, used) = kind(&parts)?;
        let name = &parts[..parts.len() - used];
        let name = match kind {
            LiveKind::Key(_) => name.get(1..)?,
            LiveKind::Ranges => name.get(STREAMS.len()..)?,
            _ => name,
        };
        let channel = name.join("/");
        (1..=NAME_BYTES_MAX).contains(&channel.len()).then_some(Self { channel, kind })
    }
}

/// What the end of the path asks, and how many parts said so.
fn kind(parts: &[&str]) -> Option<(LiveKind, usize)> {
    let (last, before) = parts.split_last()?;
    if let Some((past, used)) = past_path::past(parts) {
        return Some((past.map_or_else(LiveKind::Refused, LiveKind::Past), used));
    }
    if let Some((refusal, used)) = past_path::not_served(parts) {
        return Some((LiveKind::Refused(refusal), used));
    }
    let tracks = before.last().and_then(|part| selection(part)).map(|tracks| MediaSpelling::Tracks(tracks.to_owned()));
    Some(match (*last, tracks) {
        ("index.m3u8" | "index.ts.m3u8" | "mono.m3u8" | "mono.ts.m3u8", Some(tracks)) => (LiveKind::Media(tracks), 2),
        ("index.m3u8" | "playlist.m3u8" | "index.ts.m3u8", _) => (LiveKind::Master, 1),
        ("video.m3u8" | "video.ts.m3u8", _) => (LiveKind::Media(MediaSpelling::Video), 1),
        ("mono.m3u8" | "mono.ts.m3u8", None) => (LiveKind::Media(MediaSpelling::Mono), 1),
        ("mpegts", _) => (LiveKind::MpegTs, 1),
        ("recording_status.json", _) => (LiveKind::RecordingStatus, 1),
        ("preview.h264", _) => (LiveKind::Preview, 1),
        ("ranges", _) if parts.starts_with(&STREAMS) && before.last() == Some(&"dvr") => (LiveKind::Ranges, 2),
        (last, _) if last.ends_with(".ts") => segment(parts)?,
        (last, _) if parts.first() == Some(&"k") => (LiveKind::Key(key(last)?), 1),
        _ => return None,
    })
}

fn segment(parts: &[&str]) -> Option<(LiveKind, usize)> {
    let at = parts.len().checked_sub(SEGMENT_PARTS)?;
    let (grid, number) = SegmentGrid::parse(&parts[at..].join("/"))?;
    let mark = parts[..at].last().filter(|part| marks(part));
    let before = &parts[..at - usize::from(mark.is_some())];
    let below_tracks = before.last().is_some_and(|part| selection(part).is_some());
    let used = SEGMENT_PARTS + usize::from(mark.is_some()) + usize::from(below_tracks);
    Some((LiveKind::Segment { grid, number, mark: mark.map(|mark| (*mark).to_owned()) }, used))
}

/// Whether a folder is what a server puts before the name of a segment.
fn marks(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.starts_with('~') && part.len() <= MARK_BYTES_MAX && part.bytes().all(allowed)
}

/// The selection of a `tracks-…` part.
pub(super) fn selection(part: &str) -> Option<&str> {
    let tracks = part.strip_prefix("tracks-")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b',';
    let good = (1..=SELECTION_BYTES_MAX).contains(&tracks.len()) && tracks.bytes().all(allowed);
    good.then_some(tracks)
}

/// `GENERATION-PERIOD` in the one spelling that is written: decimal, no sign, no leading zero.
fn key(text: &str) -> Option<KeyRef> {
    let (generation, period) = text.split_once('-')?;
    let key = KeyRef { generation: generation.parse().ok()?, period: period.parse().ok()? };
    (key.to_string() == text).then_some(key)
}

/// Percent-decodes once (RFC 3986 §2.1). `None` for a broken escape, text that is not UTF-8, control characters, a
/// backslash, a percent sign or query left after decoding, and overlong paths.
fn decode(path: &str) -> Option<String> {
    if path.len() > PATH_BYTES_MAX || path.contains(['?', '#']) {
        return None;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    let text = String::from_utf8(decoded).ok()?;
    let bad = |c: char| c.is_control() || matches!(c, '\\' | '%' | '?' | '#' | '"');
    (!text.contains(bad)).then_some(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A channel name as it stands in a path: unreserved characters and `/` as they are, all else percent-encoded.
pub(crate) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn check(path: &str, want: &str) {
        let got = LivePath::parse(path).map(|live| {
            let kind = match live.kind {
                LiveKind::Segment { grid, number, mark } => {
                    let mark = mark.map(|mark| format!(" marked {mark}")).unwrap_or_default();
                    format!("segment {number} of {}{mark}", grid.duration_ms())
                }
                LiveKind::Key(key) => format!("key {key}"),
                kind => format!("{kind:?}"),
            };
            format!("{}: {kind}", live.channel)
        });
        assert_eq!(got.as_deref().unwrap_or("none"), want, "{path}");
    }

    #[test]
    fn what_clients_send() {
        check("/france24/index.m3u8", "france24: Master");
        check("/france24/playlist.m3u8", "france24: Master");
        check("/fr/dtt/france24/video.m3u8", "fr/dtt/france24: Media(Video)");
        check("/france24/mono.m3u8", "france24: Media(Mono)");
        check("/france24/tracks-v1a1/mono.m3u8", "france24: Media(Tracks(\"v1a1\"))");
        check("/france24/mpegts", "france24: MpegTs");
        check("/fr/f24/2026/01/02/03/04/06-02000.ts", "fr/f24: segment 883661523 of 2000");
        check("/f24/tracks-v1a1/2026/01/02/03/04/06-02000.ts", "f24: segment 883661523 of 2000");
        check("/fr/f24/~20-aZ_/2026/01/02/03/04/06-02000.ts", "fr/f24: segment 883661523 of 2000 marked ~20-aZ_");
        check("/f24/tracks-v1a1/%7E20-a/2026/01/02/03/04/06-02000.ts", "f24: segment 883661523 of 2000 marked ~20-a");
        check("/k/fr/f24/3-5891077", "fr/f24: key 3-5891077");
        check("/k/france24/index.m3u8", "k/france24: Master");
        check("/Cha%C3%AEne%20un/index.m3u8", "Chaîne un: Master");
        check("/fr%2Ff24/index.m3u8", "fr/f24: Master");
        check("/streamer/api/v3/streams/fr%2Ff24/dvr/ranges", "fr/f24: Ranges");
    }

    #[test]
    fn what_must_not_get_through() {
        for path in [
            "",
            "/",
            "index.m3u8",
            "/index.m3u8",
            "//index.m3u8",
            "/a//index.m3u8",
            "/mpegts",
            "/a/mpegts/",
            "/../a/index.m3u8",
            "/a/../index.m3u8",
            "/a/./index.m3u8",
            "/a/.../index.m3u8",
            "/%2e%2e/index.m3u8",
            "/..%2fa/index.m3u8",
            "/a%00/index.m3u8",
            "/a%0d%0a/index.m3u8",
            "/a\\b/index.m3u8",
            "/a%5cb/index.m3u8",
            "/%252e%252e/index.m3u8",
            "/a%/index.m3u8",
            "/a%2/index.m3u8",
            "/a%zz/index.m3u8",
            "/a%+1/index.m3u8",
            "/%ff/index.m3u8",
            "/a/index.m3u8?x",
            "/a%3f/index.m3u8",
            "/a%22b/index.m3u8",
            "/tracks-v1a1/mono.m3u8",
            "/2026/01/02/03/04/06-02000.ts",
            "/a/2026/01/02/03/04/05-02000.ts",
            "/a/tracks-/2026/01/02/03/04/0.ts",
            "/~20-a/2026/01/02/03/04/06-02000.ts",
            "/tracks-v1/~20-a/2026/01/02/03/04/06-02000.ts",
            "/k/1-2",
            "/k/a/1-",
            "/k/a/01-2",
            "/k/a/+1-2",
            "/k/a/4294967296-2",
            "/k/a/1-2-3",
            "/a/1-2",
            "/a/other.m3u8",
        ] {
            check(path, "none");
        }
        check(&format!("/{}/index.m3u8", "a".repeat(256)), "none");
        check(&format!("/{}index.m3u8", "a/".repeat(600)), "none");
        check("/a/tracks-v1.a1/mono.m3u8", "a/tracks-v1.a1: Media(Mono)");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_name_that_stays_inside(
            bytes in prop::collection::vec(prop::sample::select(b"a/.%2eEfF\\0cC5:?# k1-\0\xc3".to_vec()), 0..60),
            tail in prop::sample::select(vec!["index.m3u8", "mono.m3u8", "tracks-a1/mono.m3u8", "mpegts", "1-2", "2026/01/02/03/04/06-02000.ts"]),
        ) {
            let path = format!("/{}/{tail}", String::from_utf8_lossy(&bytes));
            if let Some(live) = LivePath::parse(&path) {
                assert!((1..=NAME_BYTES_MAX).contains(&live.channel.len()));
                assert!(live.channel.split('/').all(|part| !part.bytes().all(|byte| byte == b'.')));
                assert!(!live.channel.contains(|c: char| c.is_control() || c == '\\' || c == '%'));
            }
        }

        #[test]
        fn a_name_encoded_comes_back(name in "[a-zé ]{1,9}(/[A-Z0-9_.&+:]{0,5}[a-z]){0,3}", number in 0_u64..100_000_000_000) {
            let grid = SegmentGrid::new(2_000).unwrap();
            let live = LivePath::parse(&format!("/{}/{}", encode(&name), grid.name(number).unwrap())).unwrap();
            assert_eq!(live, LivePath { channel: name, kind: LiveKind::Segment { grid, number, mark: None } });
        }

        #[test]
        fn any_path_is_read_or_refused(path in any::<String>()) {
            let _ = LivePath::parse(&path);
        }
    }
}
