//! The dashboard's doors: who gets in, what is written where, which policy goes with it.

use axum::http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::noc::matrix::{Line, Matrix, NodeCard, Row, State as Word};

fn matrix() -> Matrix {
    let mut matrix = Matrix::empty(Timestamp::from_second(1_700_000_000).unwrap());
    let row = Row {
        node: "car-1".to_owned(),
        site: "caribbean".to_owned(),
        rate: Some(8_200_000),
        reason: "<script>alert(1)</script>".to_owned(),
        stale: true,
        heard: Some(1_699_999_955_000),
        ..Row::default()
    };
    let origins = [("caribbean/car-1".to_owned(), row)].into();
    matrix.lines.push(Line {
        name: "tf1".to_owned(),
        title: "TF1".to_owned(),
        number: Some(1),
        origins,
        ..Line::default()
    });
    matrix.nodes.insert("caribbean/car-1".to_owned(), NodeCard { node: "car-1".to_owned(), ..NodeCard::default() });
    matrix
}

fn noc(secure: bool) -> Noc {
    Noc {
        hub: Arc::new(Hub::new(1, matrix())),
        fleet: FleetWatch::default(),
        check: Arc::new(|token| {
            Box::pin(async move { (token == "good").then(|| Operator { login: "noc".to_owned() }) })
        }),
        sign_in: Arc::new(|typed| {
            Box::pin(async move {
                match (typed.login.as_str(), typed.password.as_str()) {
                    ("noc", "open-sesame") => {
                        let expires = Timestamp::from_second(1_700_000_000).unwrap();
                        Ok(Session { token: Zeroizing::new("good".to_owned()), expires })
                    }
                    ("noc", "odd") => Ok(Session {
                        token: Zeroizing::new("a; Domain=evil".to_owned()),
                        expires: Timestamp::UNIX_EPOCH,
                    }),
                    ("busy", _) => Err(SignInRefusal::TooMany { retry_secs: 90 }),
                    _ => Err(SignInRefusal::Wrong),
                }
            })
        }),
        sign_out: Arc::new(|_| Box::pin(async {})),
        secure,
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

async fn ask(secure: bool, method: Method, address: &str, fields: &[(&str, &str)], body: &'static str) -> Answer {
    let mut request = Request::builder().method(method).uri(address);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let noc = noc(secure);
    let hub = Arc::clone(&noc.hub);
    let response = router(noc).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    // A stream of events would never end by itself.
    hub.close();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

const HOST: (&str, &str) = ("host", "noc.example");
const OURS: (&str, &str) = ("origin", "http://noc.example");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn strangers_are_sent_to_the_door() {
    let answer = ask(false, Method::GET, "/", &[HOST], "").await;
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (303, "/sign-in"));
    assert_eq!(ask(false, Method::GET, "/", &[HOST, ("cookie", "operator=bad")], "").await.status, 303);
    let events = ask(false, Method::GET, "/api/v1/events", &[HOST], "").await;
    assert_eq!((events.status, events.headers["content-type"].to_str().unwrap()), (401, "application/problem+json"));
    assert!(events.body.contains("\"fix\""));
}

#[tokio::test]
async fn the_dashboard_is_whole_without_a_script_and_escapes_what_nodes_say() {
    let fields = [HOST, ("cookie", "operator=good"), ("accept-language", "fr")];
    let answer = ask(false, Method::GET, "/", &fields, "").await;
    assert_eq!(answer.status, 200);
    for part in ["<html lang=\"fr\"", "INCONNU", "8,2", "45 s", "&#60;script&#62;alert(1)", "data-stale", ">noc<"] {
        assert!(answer.body.contains(part), "{part} is not in {}", answer.body);
    }
    for inline in ["<script>", " style=", " onclick=", "<style"] {
        assert!(!answer.body.contains(inline), "{inline} would be blocked");
    }
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && policy.contains("connect-src 'self';"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn each_state_has_its_word_for_the_script() {
    let answer = ask(false, Method::GET, "/", &[HOST, ("authorization", "Bearer good")], "").await;
    for state in Word::ALL {
        assert!(answer.body.contains(&format!("data-st-{}=\"", state.tag())), "{state:?}");
    }
}

async fn check_sign_in(secure: bool, origin: &str, body: &'static str, status: u16, cookie: &str) {
    let answer = ask(secure, Method::POST, "/sign-in", &[HOST, FORM, ("origin", origin)], body).await;
    assert_eq!(answer.status, status, "{origin} {body}");
    let set = answer.headers.get("set-cookie").map_or("", |value| value.to_str().unwrap());
    assert_eq!(set, cookie);
    assert!(!answer.body.contains("sesame"), "a password is never written back");
}

#[tokio::test]
async fn the_door_lets_in_who_knows_the_password_on_our_own_page() {
    let plain = "operator=good; Path=/; Expires=Tue, 14 Nov 2023 22:13:20 GMT; HttpOnly; SameSite=Strict";
    let secure =
        "__Host-operator=good; Path=/; Expires=Tue, 14 Nov 2023 22:13:20 GMT; HttpOnly; SameSite=Strict; Secure";
    check_sign_in(false, OURS.1, "login=noc&password=open-sesame", 303, plain).await;
    check_sign_in(true, "https://noc.example", "login=noc&password=open-sesame", 303, secure).await;
    check_sign_in(false, "http://evil.example", "login=noc&password=open-sesame", 403, "").await;
    check_sign_in(false, "null", "login=noc&password=open-sesame", 403, "").await;
    check_sign_in(false, OURS.1, "login=noc&password=wrong", 401, "").await;
    check_sign_in(false, OURS.1, "login=noc&password=odd", 503, "").await;
    let busy = ask(false, Method::POST, "/sign-in", &[HOST, FORM, OURS], "login=busy&password=x").await;
    assert_eq!((busy.status, busy.headers["retry-after"].to_str().unwrap()), (429, "90"));
    assert!(busy.body.contains("value=\"busy\"") && busy.body.contains("1 min"));
}

#[tokio::test]
async fn the_way_out_takes_the_cookie_back() {
    let fields = [HOST, FORM, OURS, ("cookie", "operator=good")];
    let answer = ask(false, Method::POST, "/sign-out", &fields, "").await;
    assert_eq!(answer.status, 303);
    assert!(answer.headers["set-cookie"].to_str().unwrap().starts_with("operator=; Path=/; Expires=Thu, 01 Jan 1970"));
    let stranger = ask(false, Method::POST, "/sign-out", &[HOST, FORM, ("origin", "http://evil.example")], "").await;
    assert_eq!(stranger.status, 403);
}

#[tokio::test]
async fn the_stream_starts_with_everything() {
    let answer = ask(false, Method::GET, "/api/v1/events", &[HOST, ("authorization", "Bearer good")], "").await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    assert!(answer.body.starts_with("retry: "));
    assert!(answer.body.contains("event: reset\ndata: {}\n\nevent: row\ndata: {\"key\":\"tf1\",\"patch\":{"));
    assert!(answer.body.ends_with("id: 1-0\nevent: tick\ndata: {\"at\":1700000000000,\"order\":[\"tf1\"]}\n\n"));
}

#[tokio::test]
async fn the_language_switch_keeps_a_cookie() {
    let answer = ask(false, Method::GET, "/?lang=fr", &[HOST], "").await;
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (303, "/"));
    assert!(answer.headers["set-cookie"].to_str().unwrap().starts_with("lang=fr;"));
}
