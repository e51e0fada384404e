//! The shapes of answers: headers that players and caches need, in one place.
//!
//! Playlists are never cached longer than they hold, segments for ever (their bytes never change), keys never. Every
//! answer may be read by a page of another origin: players run on the controller's pages.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

/// RFC 8216 §4.
pub(super) const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// What is sent, which decides type and caching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A playlist (RFC 8216 §4): changes with each segment.
    Playlist,
    /// A segment: immutable.
    Segment,
    /// A content key: not to be stored.
    Key,
    /// An endless stream.
    Stream,
    /// A picture, in the codec of its channel.
    Picture,
    /// JSON for portals and monitors.
    Json,
    /// Text for people and monitors.
    Text,
}

impl Kind {
    fn headers(self) -> (&'static str, &'static str) {
        match self {
            Self::Playlist => (PLAYLIST_TYPE, "no-cache"),
            Self::Segment => ("video/mp2t", "public, max-age=31536000, immutable"),
            Self::Key => ("application/octet-stream", "no-store"),
            Self::Stream => ("video/mp2t", "no-store"),
            Self::Picture => ("video/h264", "no-cache"),
            Self::Json => ("application/json", "no-store"),
            Self::Text => ("text/plain; charset=utf-8", "no-store"),
        }
    }
}

const ORIGIN_ANY: HeaderValue = HeaderValue::from_static("*");

/// An answer with a body and the headers of its kind.
pub(super) fn of(status: StatusCode, kind: Kind, body: impl Into<Body>) -> Response {
    let (content_type, cache) = kind.headers();
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN_ANY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A line of text.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    of(status, Kind::Text, text)
}

/// Whole bytes or the part that `Range` asks for (RFC 9110 §14): players send `bytes=0-`, some seek.
pub(super) fn ranged(kind: Kind, bytes: &Bytes, request: &HeaderMap) -> Response {
    let total = bytes.len();
    let tag = (kind == Kind::Segment).then(|| segment_tag(bytes));
    if let Some(tag) = tag.as_deref().filter(|tag| lists(request, header::IF_NONE_MATCH, tag)) {
        return not_modified(kind, tag);
    }
    // A part of other bytes than the asker holds would not fit to them (RFC 9110 §13.1.5).
    let fits = !request.contains_key(header::IF_RANGE)
        || tag.as_deref().is_some_and(|tag| lists(request, header::IF_RANGE, tag));
    let asked = request.get(header::RANGE).filter(|_| fits).and_then(|value| value.to_str().ok());
    let mut response = match asked.map(|text| read_range(text, total)) {
        None | Some(Range::Ignored) => of(StatusCode::OK, kind, bytes.clone()),
        Some(Range::Part { from, to }) => {
            let mut response = of(StatusCode::PARTIAL_CONTENT, kind, bytes.slice(from..to));
            let text = format!("bytes {from}-{}/{total}", to - 1);
            let value = HeaderValue::from_str(&text).expect("digits are a header value");
            response.headers_mut().insert(header::CONTENT_RANGE, value);
            response
        }
        Some(Range::Outside) => {
            let mut response = of(StatusCode::RANGE_NOT_SATISFIABLE, Kind::Text, "");
            let value = HeaderValue::from_str(&format!("bytes */{total}")).expect("digits are a header value");
            response.headers_mut().insert(header::CONTENT_RANGE, value);
            response
        }
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(tag) = tag {
        set_tag(&mut response, &tag);
    }
    response
}

/// A playlist with its entity tag, or nothing but the tag to a player that has these very lines.
pub(super) fn playlist(text: Vec<u8>, request: &HeaderMap) -> Response {
    let tag = format!("\"{:08x}-{:x}\"", crc32c::crc32c(&text), text.len());
    if lists(request, header::IF_NONE_MATCH, &tag) {
        return not_modified(Kind::Playlist, &tag);
    }
    let mut response = of(StatusCode::OK, Kind::Playlist, text);
    set_tag(&mut response, &tag);
    response
}

/// The last cipher block: with CBC it depends on every byte before it, and two origins that serve the same bytes give
/// the same tag without having agreed on it.
fn segment_tag(bytes: &[u8]) -> String {
    let last = &bytes[bytes.len().saturating_sub(16)..];
    let digits: String = last.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Whether a conditional header names this tag; weak tags count as strong, ours are the same (RFC 9110 §8.8.3.2).
fn lists(request: &HeaderMap, name: HeaderName, tag: &str) -> bool {
    let listed = request.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    listed.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

fn not_modified(kind: Kind, tag: &str) -> Response {
    let mut response = of(StatusCode::NOT_MODIFIED, kind, Body::empty());
    set_tag(&mut response, tag);
    response
}

fn set_tag(response: &mut Response, tag: &str) {
    let value = HeaderValue::from_str(tag).expect("hexadecimal digits in quotes are a header value");
    response.headers_mut().insert(header::ETAG, value);
}

/// Lets a page of another origin send what players send.
pub(super) fn preflight() -> Response {
    const NAMES: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "range"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    let mut response = of(StatusCode::NO_CONTENT, Kind::Text, Body::empty());
    for (name, value) in NAMES {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What a `Range` header asks of so many bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Not one we read; RFC 9110 lets a server answer with the whole.
    Ignored,
    /// Up to `to`, without it.
    Part { from: usize, to: usize },
    /// Nothing there.
    Outside,
}

/// Reads a `Range` header.
pub(super) fn read_range(text: &str, total: usize) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|rest| rest.split_once('-')) else {
        return Range::Ignored;
    };
    let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(from), Ok(last)) if from <= last => (from, last.saturating_add(1).min(total)),
        (Ok(from), Err(_)) if last.is_empty() => (from, total),
        (Err(_), Ok(tail)) if first.is_empty() => (total.saturating_sub(tail), total),
        _ => return Range::Ignored,
    };
    if from < to { Range::Part { from, to } } else { Range::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        assert_eq!(format!("{:?}", read_range(text, 100)), want, "{text}");
    }

    fn conditional(headers: &[(HeaderName, &str)], want: u16) {
        let bytes = Bytes::from_static(&[7; 100]);
        let mut request = HeaderMap::new();
        for (name, value) in headers {
            request.insert(name, HeaderValue::from_str(value).expect("plain text"));
        }
        assert_eq!(ranged(Kind::Segment, &bytes, &request).status().as_u16(), want, "{headers:?}");
    }

    #[test]
    fn who_has_the_bytes_is_sent_none() {
        let ours = segment_tag(&[7; 16]);
        conditional(&[(header::IF_NONE_MATCH, &ours)], 304);
        conditional(&[(header::IF_NONE_MATCH, &format!("\"a\", W/{ours}"))], 304);
        conditional(&[(header::IF_NONE_MATCH, "*")], 304);
        conditional(&[(header::IF_NONE_MATCH, "\"a\"")], 200);
        conditional(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, &ours)], 206);
        conditional(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, "\"a\"")], 200);
    }

    #[test]
    fn ranges_as_players_send_them() {
        check("bytes=0-", "Part { from: 0, to: 100 }");
        check("bytes=10-19", "Part { from: 10, to: 20 }");
        check("bytes=90-1000", "Part { from: 90, to: 100 }");
        check("bytes=-16", "Part { from: 84, to: 100 }");
        check("bytes=100-", "Outside");
        check("bytes=-0", "Outside");
        for odd in ["", "bytes=", "bytes=5-3", "items=0-1", "bytes=0-1,5-6", "bytes=a-b", "bytes=18446744073709551616-"]
        {
            check(odd, "Ignored");
        }
    }
}
