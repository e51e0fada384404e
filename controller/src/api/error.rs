//! Errors as HTTP: RFC 9457 problem documents with a `fix`, and nowhere else.
//!
//! An [`ApiError`] has a public part, which the caller is shown, and a private one, which is printed once, in the
//! log. What a status means: 400 the request is not readable, 401 sign in (again), 403 signed in but not allowed,
//! 404 no such thing, 409 somebody else was faster, 422 readable but against a rule, 429 later, 500 us, 503 not
//! now, 507 no room on the disk. Viewers' addresses (`/play`, `/k`) answer plain text instead: players read nothing.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::Refusal,
    store::{CommitError, StoreError},
};

/// A problem document (RFC 9457 section 3) with a way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:headend:problem:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// What would be right.
    pub fix: String,
}

/// Why a request is not answered as asked.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    fix: String,
    private: Option<String>,
    retry_after_secs: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, (slug, title): (&'static str, &'static str)) -> Self {
        let (detail, fix) = (title.to_owned(), String::new());
        Self(Box::new(Inner { status, slug, title, detail, fix, private: None, retry_after_secs: None }))
    }

    fn says(mut self, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        (self.0.detail, self.0.fix) = (detail.into(), fix.into());
        self
    }

    /// With what is for the log alone.
    fn privately(mut self, private: String) -> Self {
        self.0.private = Some(private);
        self
    }

    fn later(mut self, secs: u64) -> Self {
        self.0.retry_after_secs = Some(secs);
        self
    }

    /// 400: the request cannot be read.
    pub fn unreadable(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ("unreadable", "the request cannot be read")).says(detail, fix)
    }

    /// 413: the body is too long.
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body has more than {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ("too-large", "the request is too large")).says(detail, "send less")
    }

    /// 401: nobody, or nobody any more, is signed in.
    pub fn signed_out(way: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ("signed-out", "not signed in"))
            .says("there is no valid sign-in with this request", way)
    }

    /// 401: the one answer to a wrong password and to a login that does not exist.
    pub fn wrong_password() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ("wrong-password", "login or password is wrong"))
            .says("login or password is wrong", "check both and try again")
    }

    /// 429: too many tries.
    pub fn too_many_tries(retry_after_secs: u64) -> Self {
        let fix = format!("try again in {retry_after_secs} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, ("too-many-tries", "too many tries"))
            .says("too many passwords were tried", fix)
            .later(retry_after_secs)
    }

    /// 503: too much at once.
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ("busy", "too many requests at once"))
            .says("too many sign-ins at once", "try again in 2 s")
            .later(2)
    }

    /// 403: signed in, but not allowed.
    pub fn forbidden(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ("forbidden", "not allowed")).says(detail, fix)
    }

    /// 404: no such thing.
    pub fn not_found(what: &str, name: &str) -> Self {
        let name: String = name.chars().take(120).collect();
        Self::new(StatusCode::NOT_FOUND, ("not-found", "no such thing"))
            .says(format!("there is no {what} {name:?}"), format!("list every {what} for the names there are"))
    }

    /// 404: no such address.
    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, ("no-such-path", "no such address"))
            .says("nothing is served under this address", "see /api/openapi.json")
    }

    /// 405.
    pub fn no_such_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ("no-such-method", "no such method here"))
            .says("this address does not take this method", "see /api/openapi.json")
    }

    /// 422: readable, but against a rule.
    pub fn refused(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ("refused", "the value breaks a rule")).says(detail, fix)
    }

    /// 422: an idempotency key that stood for another request.
    pub fn key_reused() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ("idempotency-key-reused", "idempotency key used before"))
            .says("this Idempotency-Key was used for another request", "use a new key for each intended write")
    }

    /// 503: what is asked for needs something that is not there now.
    pub fn unavailable(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ("unavailable", "not now")).says(detail, fix)
    }

    /// 500: our fault; `private` goes to the log.
    pub fn internal(private: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ("internal", "internal error"))
            .says("the controller failed at this", "look at its log; repeat with the same Idempotency-Key")
            .privately(private.into())
    }

    /// What the caller is shown.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("urn:headend:problem:{}", self.0.slug),
            title: self.0.title,
            status: self.0.status.as_u16(),
            detail: self.0.detail.clone(),
            fix: self.0.fix.clone(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::refused(format!("{} {}", refusal.field, refusal.problem), refusal.fix)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let private = headend_rt::chain(&error);
        match error {
            StoreError::Refused(refusal) => refusal.into(),
            StoreError::Commit(CommitError::Conflict { .. }) => {
                Self::new(StatusCode::CONFLICT, ("conflict", "changed by somebody else"))
                    .says("it was changed since it was read", "read it again and repeat with a new Idempotency-Key")
            }
            StoreError::Commit(CommitError::TooLarge { what, have, max }) => {
                Self::refused(format!("{have} {what}"), format!("stay within {max}"))
            }
            StoreError::Commit(CommitError::NoSpace { .. }) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, ("disk-full", "no room on the disk"))
                    .says("the store takes no writes: its disk is nearly full", "make room and repeat")
                    .privately(private)
            }
            StoreError::Commit(CommitError::Failed { .. } | CommitError::Stopped) => {
                Self::unavailable("the store takes no writes", "repeat with the same Idempotency-Key later")
                    .privately(private)
            }
            _ => Self::internal(private),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(private) = &self.0.private {
            tracing::error!(error = private, status = self.0.status.as_u16(), "request failed");
        }
        let mut response = (self.0.status, Json(self.problem())).into_response();
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.status == StatusCode::UNAUTHORIZED {
            fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(secs) = self.0.retry_after_secs {
            fields.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}
