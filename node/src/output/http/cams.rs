//! The technician's addresses for CAMs: what they show, and what is answered (`docs/cam.md`).
//!
//! For whom the technician's page is for ([`door`]), because a screen may show a card's number. Orders come as JSON with its content type, which a form of
//! another page cannot send, and never from a page of another origin; no answer may be read by one.

use std::sync::Arc;

use axum::{
    body::to_bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Shared,
    answer::{self, Kind},
    page::door,
};
use crate::cam::{
    CamStatus,
    desk::{Order, OrderError},
    screen::Reply,
};

/// The longest order.
const ORDER_BYTES_MAX: usize = 4_096;

#[derive(Serialize)]
struct Answer {
    cams: Vec<CamStatus>,
}

/// What answers a screen: exactly one of `choice`, `text` and `cancel`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    number: u64,
    choice: Option<u8>,
    text: Option<String>,
    #[serde(default)]
    cancel: bool,
}

/// Orders without anything to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Every CAM with what it shows.
pub(super) async fn list(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    if let Some(refusal) = door::refusal(&shared, &request.headers, &request.extensions) {
        return refusal;
    }
    let cams = shared.cams.reports();
    said(StatusCode::OK, serde_json::to_vec(&Answer { cams }).expect("figures and names have a JSON form"))
}

/// An order to one CAM.
pub(super) async fn order(
    State(shared): State<Arc<Shared>>,
    Path((name, order)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (request, body) = request.into_parts();
    if let Some(refusal) = door::refusal(&shared, &request.headers, &request.extensions) {
        return refusal;
    }
    if is_foreign(&request.headers) {
        return refuse(StatusCode::FORBIDDEN, "CAMs take no orders from pages of another origin");
    }
    if !is_json(&request.headers) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json");
    }
    let Ok(body) = to_bytes(body, ORDER_BYTES_MAX).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "an order has at most 4 kB");
    };
    match read(&order, &body) {
        Ok(order) => match shared.cams.order(&name, order) {
            Ok(()) => said(StatusCode::ACCEPTED, json!({"accepted": true}).to_string()),
            Err(error) => refuse(status_of(&error), &headend_rt::chain(&error)),
        },
        Err(Unread::Path) => refuse(StatusCode::NOT_FOUND, "an order is menu, answer or close"),
        Err(Unread::Body) => {
            refuse(StatusCode::BAD_REQUEST, "the body is not that of this order; docs/cam.md has examples")
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Unread {
    Path,
    Body,
}

fn read(order: &str, body: &[u8]) -> Result<Order, Unread> {
    let nothing = || serde_json::from_slice::<Nothing>(body).map_err(|_| Unread::Body);
    match order {
        "menu" => nothing().map(|Nothing {}| Order::Menu),
        "close" => nothing().map(|Nothing {}| Order::Close),
        "answer" => {
            let AnswerBody { number, choice, text, cancel } = serde_json::from_slice(body).map_err(|_| Unread::Body)?;
            let reply = match (choice, text, cancel) {
                (Some(choice), None, false) => Reply::Choice(choice),
                (None, Some(text), false) => Reply::Text(text),
                (None, None, true) => Reply::Cancel,
                _ => return Err(Unread::Body),
            };
            Ok(Order::Answer(number, reply))
        }
        _ => Err(Unread::Path),
    }
}

fn status_of(error: &OrderError) -> StatusCode {
    match error {
        OrderError::Unknown => StatusCode::NOT_FOUND,
        OrderError::Unable(_) => StatusCode::CONFLICT,
        OrderError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// A browser names the origin of the page that sends (RFC 6454 §7); ours is the host that was asked.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let Some(origin) = text(header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text(header::HOST)
}

fn refuse(status: StatusCode, words: &str) -> Response {
    said(status, json!({ "error": words }).to_string())
}

fn said(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = answer::of(status, Kind::Text, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_a_page_sends_them() {
        let check = |order: &str, body: &str, want: Result<Order, Unread>| {
            assert_eq!(read(order, body.as_bytes()), want, "{order} {body}");
        };
        check("menu", "{}", Ok(Order::Menu));
        check("close", "{}", Ok(Order::Close));
        check("answer", r#"{"number":3,"choice":1}"#, Ok(Order::Answer(3, Reply::Choice(1))));
        check("answer", r#"{"number":4,"text":"12"}"#, Ok(Order::Answer(4, Reply::Text("12".to_owned()))));
        check("answer", r#"{"number":4,"cancel":true}"#, Ok(Order::Answer(4, Reply::Cancel)));
        for odd in
            ["", "{}", "[]", r#"{"number":4}"#, r#"{"number":4,"choice":1,"text":""}"#, r#"{"number":4,"choice":999}"#]
        {
            check("answer", odd, Err(Unread::Body));
        }
        check("menu", r#"{"x":1}"#, Err(Unread::Body));
        check("reset", "{}", Err(Unread::Path));
    }

    #[test]
    fn pages_of_other_origins_are_known() {
        let check = |origin: Option<&str>, want: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("10.0.0.1:8081"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).expect("a header value"));
            }
            assert_eq!(is_foreign(&headers), want, "{origin:?}");
        };
        check(None, false);
        check(Some("http://10.0.0.1:8081"), false);
        check(Some("http://evil.example"), true);
        check(Some("null"), true);
    }
}
