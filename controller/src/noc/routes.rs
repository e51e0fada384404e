//! Where the dashboard lives: `/`, `/nodes/SITE/NAME`, `/sign-in`, `/sign-out` and the stream `/api/v1/events`.
//!
//! Whether a token is an operator's, and whether a password is right, is asked of the caller through
//! [`Noc`]: this room keeps no account. The cookie is HttpOnly and SameSite=Strict; forms are also held to
//! their `Origin`.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Form, Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use futures_util::future::BoxFuture;
use headend_rt::serve::Peer;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    live::{FollowError, Hub},
    node_page, page,
    words::{Words, age},
};
use crate::{
    fleet::{inbox::FleetWatch, state::NodeKey},
    page::{
        asking::{bearer, cookie, same_origin},
        headers,
        language::{Language, Switch},
    },
};

/// The cookie over TLS: the prefix makes browsers insist on Secure, our host and Path=/ (RFC 6265bis).
pub const COOKIE_SECURE: &str = "__Host-operator";
/// The cookie over plain HTTP on loopback.
pub const COOKIE_PLAIN: &str = "operator";
const FORM_BYTES_MAX: usize = 4_096;

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Login, shown on the page.
    pub login: String,
}

/// What a sign-in gave.
pub struct Session {
    /// The token, a secret, of characters a cookie may hold (RFC 6265 section 4.1.1).
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires: Timestamp,
}

/// Why a sign-in was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInRefusal {
    /// Login or password; which of them is not told.
    Wrong,
    /// Too many attempts.
    TooMany {
        /// Seconds until the next one is heard.
        retry_secs: u32,
    },
    /// The store does not answer.
    Unavailable,
}

/// What was typed.
pub struct Credentials {
    /// Who.
    pub login: String,
    /// The password, a secret.
    pub password: Zeroizing<String>,
    /// From where, for whoever counts attempts.
    pub peer: Option<IpAddr>,
}

/// Says whose token this is, if it is anybody's and still good.
pub type CheckOperator = Arc<dyn Fn(String) -> BoxFuture<'static, Option<Operator>> + Send + Sync>;
/// Checks a password and starts a session.
pub type SignIn = Arc<dyn Fn(Credentials) -> BoxFuture<'static, Result<Session, SignInRefusal>> + Send + Sync>;
/// Ends a session.
pub type SignOut = Arc<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the dashboard needs of the rest.
#[derive(Clone)]
pub struct Noc {
    /// The newest matrix and its followers.
    pub hub: Arc<Hub>,
    /// What nodes said.
    pub fleet: FleetWatch,
    /// Whose token this is.
    pub check: CheckOperator,
    /// The door.
    pub sign_in: SignIn,
    /// The way out.
    pub sign_out: SignOut,
    /// Whether browsers reach us over TLS.
    pub secure: bool,
}

/// The dashboard's routes.
pub fn router(noc: Noc) -> Router {
    Router::new()
        .route("/", get(dashboard))
        .route("/nodes/{site}/{node}", get(node))
        .route("/sign-in", get(form).post(enter).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
        .route("/sign-out", post(leave))
        .route("/api/v1/events", get(events))
        .with_state(noc)
}

/// The operator's token of a request: bearer first, then cookie. A write that came with the cookie also
/// needs [`same_origin`].
#[must_use]
pub fn operator_token(headers: &HeaderMap, secure: bool) -> Option<&str> {
    bearer(headers).or_else(|| cookie(headers, cookie_name(secure)))
}

fn cookie_name(secure: bool) -> &'static str {
    if secure { COOKIE_SECURE } else { COOKIE_PLAIN }
}

impl Noc {
    async fn operator(&self, headers: &HeaderMap) -> Option<Operator> {
        let token = operator_token(headers, self.secure)?;
        (self.check)(token.to_owned()).await
    }

    fn set_cookie(&self, token: &str, expires: Timestamp) -> Option<HeaderValue> {
        let name = cookie_name(self.secure);
        let secure = if self.secure { "; Secure" } else { "" };
        let expires = expires.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte));
        let text = format!("{name}={token}; Path=/; Expires={expires}; HttpOnly; SameSite=Strict{secure}");
        let mut value = plain.then(|| HeaderValue::try_from(text).ok())??;
        value.set_sensitive(true);
        Some(value)
    }
}

async fn dashboard(State(noc): State<Noc>, Query(switch): Query<Switch>, headers: HeaderMap) -> Response {
    if let Some(response) = switch.response("/") {
        return response;
    }
    let Some(operator) = noc.operator(&headers).await else {
        return Redirect::to("/sign-in").into_response();
    };
    let html = page::dashboard(&noc.hub.matrix(), Language::of(&headers), &operator.login);
    headers::page(StatusCode::OK, html, &[])
}

async fn node(
    State(noc): State<Noc>,
    Path((site, node)): Path<(String, String)>,
    Query(switch): Query<Switch>,
    headers: HeaderMap,
) -> Response {
    let (Ok(site), Ok(node)) = (site.parse(), node.parse()) else {
        return headers::plain(StatusCode::NOT_FOUND, "a node is at /nodes/SITE/NAME\n");
    };
    let key = NodeKey { site, node };
    if let Some(response) = switch.response(&format!("/nodes/{}/{}", key.site, key.node)) {
        return response;
    }
    if noc.operator(&headers).await.is_none() {
        return Redirect::to("/sign-in").into_response();
    }
    let (matrix, now) = (noc.hub.matrix(), noc.fleet.now());
    let watch = noc.fleet.subscribe();
    let state = watch.borrow();
    let shown = node_page::Shown { key: &key, card: matrix.nodes.get(&key.to_string()), state: state.node(&key), now };
    let found = shown.card.is_some() || shown.state.is_some();
    let status = if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
    headers::page(status, node_page::render(&shown, matrix.at, Language::of(&headers)), &[])
}

async fn form(State(noc): State<Noc>, Query(switch): Query<Switch>, headers: HeaderMap) -> Response {
    if let Some(response) = switch.response("/sign-in") {
        return response;
    }
    if noc.operator(&headers).await.is_some() {
        return Redirect::to("/").into_response();
    }
    headers::page(StatusCode::OK, page::sign_in(Language::of(&headers), "", ""), &[])
}

#[derive(Deserialize)]
struct Typed {
    login: String,
    password: String,
}

async fn enter(
    State(noc): State<Noc>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(Typed { login, password }): Form<Typed>,
) -> Response {
    let password = Zeroizing::new(password);
    let language = Language::of(&headers);
    let words = Words::of(language);
    let again = |status, complaint: &str| headers::page(status, page::sign_in(language, &login, complaint), &[]);
    if !same_origin(&headers) {
        return again(StatusCode::FORBIDDEN, words.elsewhere);
    }
    let peer = peer.map(|Extension(Peer(address))| address.ip());
    let credentials = Credentials { login: login.clone(), password, peer };
    match (noc.sign_in)(credentials).await {
        Ok(session) => match noc.set_cookie(&session.token, session.expires) {
            Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
            None => again(StatusCode::SERVICE_UNAVAILABLE, words.unavailable),
        },
        Err(SignInRefusal::Wrong) => again(StatusCode::UNAUTHORIZED, words.wrong),
        Err(SignInRefusal::TooMany { retry_secs }) => {
            let complaint = format!("{} {}.", words.too_many, age(i64::from(retry_secs) * 1_000, language));
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, &complaint);
            response.headers_mut().insert(header::RETRY_AFTER, retry_secs.into());
            response
        }
        Err(SignInRefusal::Unavailable) => again(StatusCode::SERVICE_UNAVAILABLE, words.unavailable),
    }
}

async fn leave(State(noc): State<Noc>, headers: HeaderMap) -> Response {
    if !same_origin(&headers) {
        return headers::plain(StatusCode::FORBIDDEN, "this form was sent from another site\n");
    }
    if let Some(token) = operator_token(&headers, noc.secure) {
        (noc.sign_out)(token.to_owned()).await;
    }
    let gone = noc.set_cookie("", Timestamp::UNIX_EPOCH);
    let mut response = Redirect::to("/sign-in").into_response();
    response.headers_mut().extend(gone.map(|gone| (header::SET_COOKIE, gone)));
    response
}

async fn events(State(noc): State<Noc>, headers: HeaderMap) -> Response {
    if noc.operator(&headers).await.is_none() {
        let fix = "POST /api/v1/operator/session, then send Authorization: Bearer, or sign in at /sign-in";
        return problem(StatusCode::UNAUTHORIZED, "no operator is signed in", fix);
    }
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    match noc.hub.follow(last) {
        Ok(follower) => {
            let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
            (fields, follower.body(retry_ms())).into_response()
        }
        Err(error @ (FollowError::Full | FollowError::Closed)) => {
            let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), "come back in 10 seconds");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            response
        }
    }
}

/// After a restart every page comes back: not all in one moment.
fn retry_ms() -> u32 {
    1_000 + getrandom::u32().unwrap_or(0) % 2_000
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str, fix: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("error");
    let body =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "fix": fix });
    let mut response: Response<Body> = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
