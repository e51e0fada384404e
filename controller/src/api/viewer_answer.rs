//! The shapes of answers to players: plain text where something is wrong, and the headers that players, caches and
//! pages of other origins need.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

/// A body that any page may read.
#[must_use]
pub fn open(status: StatusCode, (kind, cache): (&'static str, &'static str), body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A sentence.
#[must_use]
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    open(status, ("text/plain; charset=utf-8", "no-store"), text)
}

/// A redirect that nobody keeps.
#[must_use]
pub fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return plain(StatusCode::BAD_GATEWAY, "the origin's address cannot be used\n");
    };
    let mut response = plain(StatusCode::FOUND, "");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// The whole, or the one part that `Range` asks for (RFC 9110 section 14): players send `bytes=0-` with each key.
#[must_use]
pub fn ranged(kind: (&'static str, &'static str), bytes: Bytes, headers: &HeaderMap) -> Response {
    let total = bytes.len();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let mut response = match asked.map(|text| part(text, total)) {
        None | Some(Part::Ignored) => open(StatusCode::OK, kind, bytes),
        Some(Part::From(from, to)) => {
            let mut response = open(StatusCode::PARTIAL_CONTENT, kind, bytes.slice(from..to));
            let text = format!("bytes {from}-{}/{total}", to - 1);
            let value = HeaderValue::from_str(&text).expect("digits are a header value");
            response.headers_mut().insert(header::CONTENT_RANGE, value);
            response
        }
        Some(Part::Outside) => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "");
            let value = HeaderValue::from_str(&format!("bytes */{total}")).expect("digits are a header value");
            response.headers_mut().insert(header::CONTENT_RANGE, value);
            response
        }
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Not one we read; the whole is a right answer then.
    Ignored,
    From(usize, usize),
    Outside,
}

fn part(text: &str, total: usize) -> Part {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|rest| rest.split_once('-')) else {
        return Part::Ignored;
    };
    let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(from), Ok(last)) if from <= last => (from, last.saturating_add(1).min(total)),
        (Ok(from), Err(_)) if last.is_empty() => (from, total),
        (Err(_), Ok(tail)) if first.is_empty() => (total.saturating_sub(tail), total),
        _ => return Part::Ignored,
    };
    if from < to { Part::From(from, to) } else { Part::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_key() {
        let check = |text: &str, expected: Part| assert_eq!(part(text, 16), expected, "{text}");
        check("bytes=0-", Part::From(0, 16));
        check("bytes=0-15", Part::From(0, 16));
        check("bytes=4-7", Part::From(4, 8));
        check("bytes=-4", Part::From(12, 16));
        check("bytes=8-99", Part::From(8, 16));
        check("bytes=16-", Part::Outside);
        check("bytes=-0", Part::Outside);
        check("bytes=7-4", Part::Ignored);
        check("bytes=0-1,3-4", Part::Ignored);
        check("pages=1-2", Part::Ignored);
    }
}
