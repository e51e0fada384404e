//! What a backend says: status, headers and body, read into one [`Answer`].
//!
//! Pure, and made for backends that are broken or hostile: every number is bounded, text that is none of ours is passed
//! over, and a list of archive ranges that cannot be read closes the archive, never opens it.

use std::sync::Arc;

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use super::ranges::{RANGES_MAX, Ranges};

/// How long an answer holds that does not say, seconds.
const HOLD_SECS: u64 = 30;
/// An answer holds so long at least, seconds.
const HOLD_SECS_MIN: u64 = 10;
/// And so long at most, seconds: a week.
const HOLD_SECS_MAX: u64 = 7 * 86_400;
/// The longest user id, bytes.
const USER_BYTES_MAX: usize = 128;
/// The longest address to send a viewer to, bytes.
const PLACE_BYTES_MAX: usize = 2_048;
/// Instants above this are milliseconds: as seconds they would lie after the year 5000.
const SECONDS_MAX: u64 = 100_000_000_000;

/// A backend's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// May watch.
    Allowed(Terms),
    /// Is to be sent to this address.
    Elsewhere {
        /// A checked `Location`.
        to: Arc<str>,
        /// How long this holds, milliseconds.
        hold_ms: u64,
    },
    /// May not watch.
    Denied {
        /// How long this holds, milliseconds.
        hold_ms: u64,
    },
    /// No answer, or one that says that the backend is broken.
    Failed,
}

/// What goes with a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long it holds, milliseconds; a surplus session is banned as long.
    pub hold_ms: u64,
    /// Whose session it is and how many there may be.
    pub limit: Option<(Arc<str>, Limit)>,
    /// The archive that may be seen; none: all.
    pub ranges: Option<Arc<Ranges>>,
}

/// How many sessions a user may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// At a time.
    pub sessions_max: usize,
    /// The oldest makes room for the newest; otherwise the newest is one too many.
    pub unique: bool,
}

/// Reads an answer. `token` stands for the user where the backend names none; `body` is cut off where it was too long, and
/// `whole` says that it was not.
#[must_use]
pub(super) fn read(status: StatusCode, headers: &HeaderMap, (body, whole): (&[u8], bool), token: &str) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let hold_secs = text("x-authduration").and_then(seconds).unwrap_or(HOLD_SECS);
    let hold_ms = hold_secs.clamp(HOLD_SECS_MIN, HOLD_SECS_MAX) * 1_000;
    if status.is_server_error() {
        return Answer::Failed;
    }
    if status == StatusCode::FOUND
        && let Some(to) = text("location").and_then(place)
    {
        return Answer::Elsewhere { to, hold_ms };
    }
    if status != StatusCode::OK && status != StatusCode::FOUND {
        return Answer::Denied { hold_ms };
    }
    let sessions_max = text("x-max-sessions").and_then(|text| text.parse::<u32>().ok()).filter(|max| *max > 0);
    let unique = text("x-unique").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    let user = text("x-userid").filter(|user| !user.is_empty() && user.len() <= USER_BYTES_MAX);
    // `X-Unique` alone means: one.
    let max = sessions_max.or(unique.then_some(1)).map(|max| max as usize);
    let limit = max.map(|sessions_max| {
        // A token of somebody's must not be taken for a user of that name.
        let name = user.map_or_else(|| format!("token {token}"), |user| format!("user {user}"));
        (name.into(), Limit { sessions_max, unique })
    });
    Answer::Allowed(Terms { hold_ms, limit, ranges: ranges(body, whole).map(Arc::new) })
}

/// Whole seconds; a fraction is dropped.
fn seconds(text: &str) -> Option<u64> {
    text.split('.').next()?.parse().ok()
}

/// An address that may stand in `Location`.
fn place(text: &str) -> Option<Arc<str>> {
    let known = text.starts_with("http://") || text.starts_with("https://") || text.starts_with('/');
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (known && plain && text.len() <= PLACE_BYTES_MAX).then(|| text.into())
}

/// `allowed_dvr_ranges` of a body; none when the body says nothing of it.
fn ranges(body: &[u8], whole: bool) -> Option<Ranges> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let closed = Some(Ranges::default());
    if !whole {
        return closed;
    }
    // Not JSON after all: a page of words, which backends of the first generation may send.
    let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(body) else { return None };
    let list = match said.get("allowed_dvr_ranges") {
        None | Some(Value::Null) => return None,
        Some(Value::Array(list)) if list.len() <= RANGES_MAX => list,
        Some(_) => return closed,
    };
    let range = |one: &Value| Some((instant(one.get("opened_at")?)?, instant(one.get("closed_at")?)?));
    Some(Ranges::new(list.iter().filter_map(range).collect()))
}

/// Milliseconds since 1970 from a number of seconds or of milliseconds.
fn instant(value: &Value) -> Option<i64> {
    let number = value.as_i64()?;
    if number.unsigned_abs() < SECONDS_MAX { number.checked_mul(1_000) } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header's name");
            map.insert(name, HeaderValue::from_str(value).expect("plain text"));
        }
        read(StatusCode::from_u16(status).expect("status"), &map, (body.as_bytes(), true), "T")
    }

    fn check(status: u16, headers: &[(&str, &str)], want: &str) {
        let got = match answer(status, headers, "") {
            Answer::Allowed(Terms { hold_ms, limit, .. }) => {
                let limit = limit.map(|(name, limit)| format!(" {name}: {} {}", limit.sessions_max, limit.unique));
                format!("allowed {hold_ms}{}", limit.unwrap_or_default())
            }
            Answer::Elsewhere { to, hold_ms } => format!("elsewhere {to} {hold_ms}"),
            Answer::Denied { hold_ms } => format!("denied {hold_ms}"),
            Answer::Failed => "failed".to_owned(),
        };
        assert_eq!(got, want, "{status} {headers:?}");
    }

    #[test]
    fn every_kind_of_answer() {
        check(200, &[], "allowed 30000");
        check(302, &[], "allowed 30000");
        check(302, &[("location", "http://o.example/x.m3u8")], "elsewhere http://o.example/x.m3u8 30000");
        check(302, &[("location", "javascript:alert(1)")], "allowed 30000");
        for status in [100, 201, 204, 301, 304, 400, 401, 403, 404, 429] {
            check(status, &[], "denied 30000");
        }
        for status in [500, 502, 503, 504] {
            check(status, &[("X-AuthDuration", "60")], "failed");
        }
    }

    #[test]
    fn headers_are_bounded() {
        check(200, &[("X-AuthDuration", "36000")], "allowed 36000000");
        check(200, &[("X-AuthDuration", "1")], "allowed 10000");
        check(200, &[("X-AuthDuration", "-1")], "allowed 30000");
        check(200, &[("X-AuthDuration", "60.9")], "allowed 60000");
        check(200, &[("X-AuthDuration", "18446744073709551615")], "allowed 604800000");
        check(403, &[("X-AuthDuration", "120")], "denied 120000");
        check(200, &[("X-UserId", "u1"), ("X-Max-Sessions", "2")], "allowed 30000 user u1: 2 false");
        check(200, &[("X-Max-Sessions", "2")], "allowed 30000 token T: 2 false");
        check(200, &[("X-UserId", "u1"), ("X-Unique", "true")], "allowed 30000 user u1: 1 true");
        check(
            200,
            &[("X-UserId", "u1"), ("X-Unique", "true"), ("X-Max-Sessions", "3")],
            "allowed 30000 user u1: 3 true",
        );
        check(200, &[("X-UserId", "u1"), ("X-Max-Sessions", "0")], "allowed 30000");
        check(200, &[("X-UserId", "u1"), ("X-Max-Sessions", "many")], "allowed 30000");
    }

    #[test]
    fn archive_ranges() {
        let check = |body: &str, want: &str| {
            let Answer::Allowed(terms) = answer(200, &[], body) else { panic!("{body}") };
            assert_eq!(format!("{:?}", terms.ranges.as_deref()), want, "{body}");
        };
        check("", "None");
        check("welcome", "None");
        check("{not json", "None");
        check("{}", "None");
        check(r#"{"allowed_dvr_ranges":null}"#, "None");
        check(r#"{"allowed_dvr_ranges":[]}"#, "Some(Ranges([]))");
        check(r#"{"allowed_dvr_ranges":"all"}"#, "Some(Ranges([]))");
        let smallest = "[{\"opened_at\":-9223372036854775808,\"closed_at\":-9223372036854775807}]";
        check(
            &format!("{{\"allowed_dvr_ranges\":{smallest}}}"),
            "Some(Ranges([(-9223372036854775808, -9223372036854775807)]))",
        );
        check(
            r#" {"allowed_dvr_ranges":[{"opened_at":1700000000,"closed_at":1700000060}]}"#,
            "Some(Ranges([(1700000000000, 1700000060000)]))",
        );
        check(
            r#"{"allowed_dvr_ranges":[{"opened_at":1700000000000,"closed_at":1700000060000},{"opened_at":"x"},7]}"#,
            "Some(Ranges([(1700000000000, 1700000060000)]))",
        );
        let many = format!("{{\"allowed_dvr_ranges\":[{}]}}", vec!["1"; RANGES_MAX + 1].join(","));
        check(&many, "Some(Ranges([]))");
        let cut = read(StatusCode::OK, &HeaderMap::new(), (b"{\"allowed_dvr_ranges\":[", false), "T");
        let Answer::Allowed(terms) = cut else { panic!("{cut:?}") };
        assert_eq!(terms.ranges.as_deref(), Some(&Ranges::default()), "what cannot be read opens no archive");
    }

    proptest! {
        #[test]
        fn any_body_is_read(body in prop::collection::vec(any::<u8>(), 0..200), whole: bool) {
            let got = read(StatusCode::OK, &HeaderMap::new(), (&body, whole), "T");
            prop_assert!(matches!(got, Answer::Allowed(_)));
        }

        #[test]
        fn any_json_is_read(text in r#"\{"allowed_dvr_ranges":(\[(\{"opened_at":-?[0-9]{1,20},"closed_at":[0-9]{1,12}\},?){0,3}\]|"x"|7)\}"#) {
            let _ = read(StatusCode::OK, &HeaderMap::new(), (text.as_bytes(), true), "T");
        }
    }
}
