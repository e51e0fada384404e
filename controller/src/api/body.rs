//! JSON bodies: read within a limit, with an answer that says which field is wrong and what was likely meant.
//!
//! serde passes its errors as English text; the fixed forms are taken apart here. Values are never repeated: a
//! password typed into the wrong field must not come back.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::header,
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// The most bytes of a body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What names a request besides its idempotency key: the start of a hash over method, path and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHash(pub [u8; 16]);

impl RequestHash {
    /// Of a request with this body.
    #[must_use]
    pub fn of(method: &str, path: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), path.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let full: [u8; 32] = hash.finalize().into();
        let (first, _) = full.split_first_chunk().expect("32 bytes hold 16");
        Self(*first)
    }
}

/// A JSON body, and what names the request it came with.
#[derive(Debug)]
pub struct Body<T> {
    /// The value.
    pub value: T,
    /// Names the request.
    pub hash: RequestHash,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(ApiError::unreadable("the body is not marked as JSON", "send Content-Type: application/json"));
        }
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| ApiError::too_large(BODY_BYTES_MAX))?;
        let hash = RequestHash::of(parts.method.as_str(), parts.uri.path(), &bytes);
        Ok(Self { value: read(&bytes)?, hash })
    }
}

/// Reads a value.
///
/// # Errors
/// 400 when it is no JSON, 422 when it is not the value we expect.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        if error.is_data() {
            let text = error.to_string();
            let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
            let (detail, fix) = explain(message);
            ApiError::refused(format!("{detail} ({place})"), fix)
        } else {
            ApiError::unreadable(format!("the body is no JSON at {place}"), "send one JSON object")
        }
    })
}

/// A serde message as what is wrong and what would be right.
fn explain(message: &str) -> (String, String) {
    let listed = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    for (start, what) in [("unknown field ", "field"), ("unknown variant ", "value")] {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let (given, expected) = rest.split_once(", ").unwrap_or((rest, ""));
        let given: String = given.trim_matches('`').chars().take(60).collect();
        let known = listed(expected);
        let fix = match nearest(&given, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown {what} `{given}`"), fix);
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return (format!("field {rest} is missing"), format!("add {rest}"));
    }
    for start in ["invalid type: ", "invalid value: "] {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "another"));
        let found = found.split([' ', '`']).next().unwrap_or_default();
        return (format!("a value is of the wrong kind: {found}"), format!("send {expected}"));
    }
    // Texts of our own types: "login has 0 bytes; use 1 to 64 characters".
    match message.split_once("; ") {
        Some((detail, fix)) => (detail.to_owned(), fix.to_owned()),
        None => (message.to_owned(), "see /api/openapi.json".to_owned()),
    }
}

/// The known word that was most likely meant: not more than one slip in three letters.
fn nearest<'k>(given: &str, known: &'k [String]) -> Option<&'k str> {
    let slips = |word: &str| strsim::damerau_levenshtein(&given.to_lowercase(), word);
    let near = known.iter().min_by_key(|word| slips(word))?;
    (slips(near) * 3 <= given.chars().count().max(near.len())).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only reading is tested")]
        password: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only reading is tested")]
        tags: Vec<crate::domain::Tag>,
    }

    #[track_caller]
    fn check(text: &str, status: u16, detail: &str, fix: &str) {
        let problem = read::<Sample>(text.as_bytes()).unwrap_err().problem();
        assert_eq!((problem.status, problem.detail.as_str(), problem.fix.as_str()), (status, detail, fix));
    }

    #[test]
    fn what_is_wrong_and_what_would_be_right() {
        check("{\"pasword\":\"x\"}", 422, "unknown field `pasword` (line 1 column 10)", "did you mean `password`?");
        check("{\"zzz\":1}", 422, "unknown field `zzz` (line 1 column 6)", "known here: password, tags");
        check("{}", 422, "field `password` is missing (line 1 column 2)", "add `password`");
        check(
            "{\"password\":12345678}",
            422,
            "a value is of the wrong kind: integer (line 1 column 20)",
            "send a string",
        );
        check(
            "{\"password\":\"x\",\"tags\":[\"a b\"]}",
            422,
            "tag has ' ' (line 1 column 30)",
            "use letters, digits and . _ - +",
        );
        check("{\"password\":\"secret", 400, "the body is no JSON at line 1 column 19", "send one JSON object");
    }

    #[test]
    fn hashes_tell_requests_apart() {
        let one = RequestHash::of("PUT", "/a", b"x");
        assert_eq!(one, RequestHash::of("PUT", "/a", b"x"));
        for other in [("PUT", "/ax", ""), ("PUT", "/a", "y"), ("POST", "/a", "x")] {
            assert_ne!(one, RequestHash::of(other.0, other.1, other.2.as_bytes()));
        }
    }
}
