//! Reads a playlist to the letter of RFC 8216 §4: bytes in, a [`Playlist`] and every breach of form out.
//!
//! Strict in what it reports and lenient in what it takes: a fault is named and the rest is still read. It looks at
//! [`PLAYLIST_BYTES_MAX`] bytes, [`SEGMENTS_MAX`] segments and [`VARIANTS_MAX`] renditions at most, and its findings are
//! bounded by [`Tally`], so no playlist costs more than some tens of megabytes. `media_tags` and `master_tags` know the tags.

use super::finding::{Place, Rule, Tally};
use super::master_tags::MasterReader;
use super::media_tags::MediaReader;
use super::playlist::Playlist;

/// A day of segments of one second, with long addresses.
pub const PLAYLIST_BYTES_MAX: usize = 16 << 20;
/// More than a day of segments of one second.
pub const SEGMENTS_MAX: usize = 1 << 17;
/// More renditions than any ladder has.
pub const VARIANTS_MAX: usize = 64;

/// What a playlist was, and what is wrong with its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// As far as it could be read.
    pub playlist: Playlist,
    /// Breaches of form.
    pub tally: Tally,
}

/// What a tag belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belongs {
    Either,
    Media,
    Master,
    Unknown,
}

/// Reads the body of an answer as a playlist.
///
/// ```
/// use headend_media::lint::{Playlist, read};
/// let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";
/// let reading = read(text.as_bytes());
/// let Playlist::Media(media) = reading.playlist else { panic!("a media playlist") };
/// assert_eq!(media.segments[0].duration_us, 2_000_000);
/// assert!(reading.tally.is_clean());
/// ```
#[must_use]
pub fn read(bytes: &[u8]) -> Reading {
    let mut tally = Tally::default();
    let playlist = read_into(bytes, &mut tally);
    Reading { playlist, tally }
}

pub(super) fn read_into(bytes: &[u8], tally: &mut Tally) -> Playlist {
    if bytes.len() > PLAYLIST_BYTES_MAX {
        let words = format!("{} bytes; at most {PLAYLIST_BYTES_MAX} are read: list less at a time", bytes.len());
        tally.add(Rule::TooLong, Place::Playlist, words);
        return Playlist::Nothing;
    }
    let text = text_of(bytes, tally);
    let mut lines = text.split('\n').enumerate();
    let first = lines.next().map_or("", |(_, line)| line.trim_end_matches('\r'));
    if first != "#EXTM3U" {
        let words = "begins with something else than a line #EXTM3U: look at what the address really answers";
        tally.add(Rule::NotAPlaylist, Place::Line(1), words);
        return Playlist::Nothing;
    }
    form(&text, tally);
    let (mut media, mut master) = (MediaReader::default(), MasterReader::default());
    let mut seen = [None; 2];
    for (index, line) in lines {
        let (number, line) = (index + 1, line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() {
            continue;
        }
        if line.trim() != line {
            tally.add(Rule::WhiteSpace, Place::Line(number), "a line begins or ends with white space: take it out");
        }
        let line = line.trim();
        match tag_of(line) {
            Line::Tag(tag, value) => match belongs(tag) {
                Belongs::Either => {
                    media.tag(number, (tag, value), tally);
                    master.tag(number, (tag, value), &mut Tally::default());
                }
                Belongs::Media => {
                    seen[0].get_or_insert(number);
                    media.tag(number, (tag, value), tally);
                }
                Belongs::Master => {
                    seen[1].get_or_insert(number);
                    master.tag(number, (tag, value), tally);
                }
                Belongs::Unknown => {
                    let words = format!("{} is in no version of the standard; players leave it aside", clipped(tag));
                    tally.add(Rule::TagUnknown, Place::Line(number), words);
                }
            },
            Line::Comment => {}
            Line::Address(address) => {
                check_address(address, number, tally);
                // Who owns an address is clear from the tag before it.
                if master.awaits() && !media.awaits() {
                    master.address(number, address);
                } else {
                    media.address(number, address, tally);
                }
            }
        }
    }
    match seen {
        [Some(_), Some(line)] => {
            let words = "tags of a master playlist beside those of a media playlist: a playlist is one or the other";
            tally.add(Rule::TagsMixed, Place::Line(line), words);
            Playlist::Media(media.finish(tally))
        }
        [None, Some(_)] => Playlist::Master(master.finish(tally)),
        _ => Playlist::Media(media.finish(tally)),
    }
}

/// UTF-8 without a mark (§4).
fn text_of<'b>(bytes: &'b [u8], tally: &mut Tally) -> std::borrow::Cow<'b, str> {
    let marked = bytes.strip_prefix(b"\xEF\xBB\xBF");
    if marked.is_some() {
        tally.add(Rule::ByteOrderMark, Place::Line(1), "begins with a byte order mark: write UTF-8 without one");
    }
    let bytes = marked.unwrap_or(bytes);
    String::from_utf8_lossy(bytes)
}

fn form(text: &str, tally: &mut Tally) {
    let line_of = |at: usize| Place::Line(text[..at].matches('\n').count() + 1);
    if let Some(at) = text.find('\u{FFFD}') {
        tally.add(Rule::NotUtf8, line_of(at), "bytes that are no UTF-8: names in addresses are percent-encoded");
    }
    let odd = |(at, c): (usize, char)| match c {
        '\n' => false,
        '\r' => !text[at + 1..].starts_with('\n'),
        _ => c.is_control(),
    };
    if let Some((at, c)) = text.char_indices().find(|found| odd(*found)) {
        let words = format!("control character U+{:04X}: only LF and CR LF may stand in a playlist", u32::from(c));
        tally.add(Rule::ControlCharacter, line_of(at), words);
    }
    if let Some(at) = text.find("\r\n") {
        tally.add(
            Rule::LineEnds,
            line_of(at),
            "lines end with CR LF; boxes were seen to ask for an address with the CR: write LF",
        );
    } else if !text.ends_with('\n') {
        tally.add(Rule::LineEnds, Place::Playlist, "the last line does not end: a cut answer looks the same");
    }
}

enum Line<'a> {
    Tag(&'a str, &'a str),
    Comment,
    Address(&'a str),
}

fn tag_of(line: &str) -> Line<'_> {
    match (line.starts_with("#EXT"), line.starts_with('#')) {
        (true, _) => {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            Line::Tag(tag, value)
        }
        (false, true) => Line::Comment,
        _ => Line::Address(line),
    }
}

fn belongs(tag: &str) -> Belongs {
    let Some(name) = tag.strip_prefix("#EXT-X-") else {
        return match tag {
            "#EXTINF" => Belongs::Media,
            // A second one is a fault of form, and of either kind.
            "#EXTM3U" => Belongs::Either,
            _ => Belongs::Unknown,
        };
    };
    match name {
        "VERSION" | "INDEPENDENT-SEGMENTS" | "START" | "DEFINE" => Belongs::Either,
        "TARGETDURATION"
        | "MEDIA-SEQUENCE"
        | "DISCONTINUITY-SEQUENCE"
        | "PLAYLIST-TYPE"
        | "I-FRAMES-ONLY"
        | "ALLOW-CACHE"
        | "ENDLIST"
        | "BYTERANGE"
        | "DISCONTINUITY"
        | "KEY"
        | "MAP"
        | "PROGRAM-DATE-TIME"
        | "DATERANGE"
        | "GAP"
        | "BITRATE"
        | "SERVER-CONTROL"
        | "PART-INF"
        | "PART"
        | "SKIP"
        | "PRELOAD-HINT"
        | "RENDITION-REPORT" => Belongs::Media,
        "MEDIA" | "STREAM-INF" | "I-FRAME-STREAM-INF" | "SESSION-DATA" | "SESSION-KEY" | "CONTENT-STEERING" => {
            Belongs::Master
        }
        _ => Belongs::Unknown,
    }
}

/// The start of something that a stranger wrote.
fn clipped(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A line, or a quoted attribute, that should be a URI reference (§4.1, RFC 3986 appendix A).
pub(super) fn check_address(address: &str, line: usize, tally: &mut Tally) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let bad = address.bytes().find(|byte| !good(*byte));
    let words = match bad {
        None if !address.is_empty() => return,
        None => "an empty address".to_owned(),
        Some(b' ') => "an address with a blank: write %20".to_owned(),
        Some(byte) => format!("an address with the byte {byte:#04x}, which no URI has: percent-encode it"),
    };
    tally.add(Rule::AddressMalformed, Place::Line(line), words);
}

/// `1` or `1.5` as microseconds, rounded; `None` for anything else, and for more than a year.
pub(super) fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + part.len() == 0 || whole.len() > 8 || !digits(whole) || !digits(part) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut scaled = part.bytes().chain(std::iter::repeat(b'0')).map(|digit| u64::from(digit - b'0'));
    let micros = scaled.by_ref().take(6).fold(0, |sum, digit| sum * 10 + digit);
    Some(seconds * 1_000_000 + micros + u64::from(scaled.next() >= Some(5)))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
