//! Who asks: operators by bearer token or cookie, viewers by bearer token or `?token=`.
//!
//! A cookie alone never authorises a write ([`crate::page::asking`]): a write that came with it also needs the
//! `Origin` of this host. A bearer token does not.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, request::Parts},
};
use headend_rt::serve::Peer;

use super::{Office, error::ApiError};
use crate::{
    domain::{Operator, Role, Session, Subscriber},
    noc::operator_token,
    page::asking::{bearer, same_origin},
    store::Table,
};

/// The operator behind a request, checked.
#[derive(Debug)]
pub struct SignedIn {
    /// As kept now.
    pub operator: Operator,
    /// The request's `Idempotency-Key`, if it has one.
    pub idempotency: Option<String>,
    /// The request's method and path.
    pub target: (Method, String),
}

impl SignedIn {
    /// Refuses an operator who may not do what needs `role`.
    ///
    /// # Errors
    /// 403.
    pub fn need(&self, role: Role) -> Result<(), ApiError> {
        if self.operator.may(role) {
            return Ok(());
        }
        let words = match role {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        };
        Err(ApiError::forbidden(format!("this needs the role {words}"), "ask an admin for the role, or to do it"))
    }
}

impl FromRequestParts<Arc<Office>> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, office: &Arc<Office>) -> Result<Self, ApiError> {
        let out = || ApiError::signed_out("sign in with POST /api/v1/operator/session");
        let headers = &parts.headers;
        let token = operator_token(headers, office.secure).ok_or_else(out)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if bearer(headers).is_none() && !reads && !same_origin(headers) {
            let fix = "send the request from a page of this controller, or with a bearer token";
            return Err(ApiError::forbidden("a write with a cookie needs the Origin of this host", fix));
        }
        let login = office.operators.who(token, office.now_secs()).ok_or_else(out)?;
        let table: Table<Operator> = Table::new(Arc::clone(&office.engine));
        let operator = table.get(&login).await?.map(|kept| kept.record).filter(|operator| operator.enabled);
        let idempotency = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let target = (parts.method.clone(), parts.uri.path().to_owned());
        Ok(Self { operator: operator.ok_or_else(out)?, idempotency, target })
    }
}

/// The value of a query parameter as it stands: our tokens and names need no percent-decoding.
#[must_use]
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
}

/// The session behind a viewer's request: bearer token or `?token=`.
#[must_use]
pub fn viewer_session(office: &Office, headers: &HeaderMap, query: &str) -> Option<Session> {
    let token = bearer(headers).or_else(|| parameter(query, "token"))?;
    office.sessions.by_token(token, office.now_secs())
}

/// A viewer: the session and the subscriber as kept now.
#[derive(Debug)]
pub struct Viewer {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub subscriber: Subscriber,
    /// The token as it was shown.
    pub token: String,
}

impl FromRequestParts<Arc<Office>> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, office: &Arc<Office>) -> Result<Self, ApiError> {
        let out = || ApiError::signed_out("sign in with POST /api/v1/session");
        let query = parts.uri.query().unwrap_or_default();
        let token = bearer(&parts.headers).or_else(|| parameter(query, "token")).ok_or_else(out)?;
        let session = office.sessions.by_token(token, office.now_secs()).ok_or_else(out)?;
        let table: Table<Subscriber> = Table::new(Arc::clone(&office.engine));
        let kept = table.get(&session.subscriber).await?.ok_or_else(out)?;
        Ok(Self { session, subscriber: kept.record, token: token.to_owned() })
    }
}

/// Where the request's connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub std::net::IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Peer(address) =
            parts.extensions.get::<Peer>().ok_or_else(|| ApiError::internal("request without a peer"))?;
        Ok(Self(address.ip()))
    }
}
