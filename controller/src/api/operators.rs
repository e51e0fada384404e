//! Operators: signing in and out, and who they are.
//!
//! A sign-in lasts 12 hours; a new password or switching an operator off ends them. The form page `/sign-in` puts
//! the same token into a cookie; it asks [`sign_in`] as well.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    Office,
    body::{Body, RequestHash},
    error::ApiError,
    who::{Client, SignedIn},
    write::{Deed, once},
};
use crate::{
    domain::{Login, Operator, Role},
    noc::operator_token,
    store::{Draft, StoreError, Table},
    viewing::{
        Checked,
        passwords::{NotHashed, Typed},
    },
};

/// A login and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The operator's login.
    pub login: String,
    /// The password.
    pub password: String,
}

/// A sign-in of an operator.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorToken {
    /// For `Authorization: Bearer`.
    pub token: String,
    /// When it ends, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// What is set of an operator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorBody {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// A new password; required for a new operator.
    #[serde(default)]
    pub password: Option<String>,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether they may sign in.
    #[serde(default = "yes")]
    pub enabled: bool,
}

pub(super) fn yes() -> bool {
    true
}

/// An operator as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorView {
    /// Who signs in.
    pub login: String,
    /// For people.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether they may sign in.
    pub enabled: bool,
}

/// Every operator.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorList {
    /// By login.
    pub operators: Vec<OperatorView>,
}

impl From<Operator> for OperatorView {
    fn from(operator: Operator) -> Self {
        let Operator { login, name, role, enabled, .. } = operator;
        Self { login: login.to_string(), name, role, enabled }
    }
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new()
        .route("/api/v1/operator/session", post(begin).delete(end))
        .route("/api/v1/operators", get(list))
        .route("/api/v1/operators/{login}", get(read).put(put).delete(remove))
}

/// Why an operator was not signed in.
#[derive(Debug)]
pub enum NotSignedIn {
    /// Login or password; which of them is not told.
    Wrong,
    /// Too many tries.
    Wait {
        /// Seconds until the next one is looked at.
        retry_after_secs: u64,
    },
    /// Too many at once.
    Busy,
    /// The store cannot be read.
    Store(StoreError),
}

impl From<NotSignedIn> for ApiError {
    fn from(refused: NotSignedIn) -> Self {
        match refused {
            NotSignedIn::Wrong => Self::wrong_password(),
            NotSignedIn::Wait { retry_after_secs } => Self::too_many_tries(retry_after_secs),
            NotSignedIn::Busy => Self::busy(),
            NotSignedIn::Store(error) => error.into(),
        }
    }
}

/// Signs an operator in, for the API and the form page alike.
///
/// # Errors
/// [`NotSignedIn`].
pub async fn sign_in(office: &Office, typed: Typed<'_>) -> Result<OperatorToken, NotSignedIn> {
    let (login, from) = (typed.as_login(), typed.from);
    let table: Table<Operator> = Table::new(Arc::clone(&office.engine));
    let kept = table.get(&login).await.map_err(NotSignedIn::Store)?.map(|kept| kept.record);
    let hash = kept.filter(|operator| operator.enabled).map(|operator| operator.password);
    let checked = office.operator_passwords.check(typed, hash).await;
    if checked != Checked::Right {
        office.tally.sign_ins_refused.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%from, "an operator's sign-in was refused");
    }
    match checked {
        Checked::Right => {}
        Checked::Wrong => return Err(NotSignedIn::Wrong),
        Checked::Wait { retry_after_secs } => return Err(NotSignedIn::Wait { retry_after_secs }),
        Checked::Busy => return Err(NotSignedIn::Busy),
    }
    tracing::info!(operator = %login, %from, "operator signed in");
    let (token, until) = office.operators.begin(&login, &*office.clock).await.map_err(NotSignedIn::Store)?;
    Ok(OperatorToken { token, expires: time(until) })
}

/// Unix seconds as a time; the last one there is when that is too far.
pub(super) fn time(unix_secs: u64) -> Timestamp {
    i64::try_from(unix_secs).ok().and_then(|secs| Timestamp::from_second(secs).ok()).unwrap_or(Timestamp::MAX)
}

pub(super) fn not_hashed(error: NotHashed) -> ApiError {
    match error {
        NotHashed::Refused(refusal) => refusal.into(),
        NotHashed::Busy => ApiError::busy(),
        NotHashed::Failed => ApiError::internal(error.to_string()),
    }
}

/// Signs an operator in.
#[utoipa::path(post, path = "/api/v1/operator/session", tag = "operators", request_body = Credentials, responses(
    (status = 200, body = OperatorToken), (status = 401, body = super::error::Problem), (status = 429, body = super::error::Problem)))]
pub(super) async fn begin(
    State(office): State<Arc<Office>>,
    Client(from): Client,
    Body { value, .. }: Body<Credentials>,
) -> Result<Json<OperatorToken>, ApiError> {
    let typed = Typed { login: &value.login, password: Zeroizing::new(value.password), from };
    Ok(Json(sign_in(&office, typed).await?))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/operator/session", tag = "operators", security(("operator" = [])), responses((status = 204)))]
pub(super) async fn end(
    State(office): State<Arc<Office>>,
    _: SignedIn,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    if let Some(token) = operator_token(&headers, office.secure) {
        office.operators.end(token, &*office.clock).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Every operator.
#[utoipa::path(get, path = "/api/v1/operators", tag = "operators", security(("operator" = [])), responses((status = 200, body = OperatorList)))]
pub(super) async fn list(State(office): State<Arc<Office>>, who: SignedIn) -> Result<Json<OperatorList>, ApiError> {
    who.need(Role::Admin)?;
    let table: Table<Operator> = Table::new(Arc::clone(&office.engine));
    let operators = table.all().await?.into_iter().map(|kept| kept.record.into()).collect();
    Ok(Json(OperatorList { operators }))
}

/// One operator.
#[utoipa::path(get, path = "/api/v1/operators/{login}", tag = "operators", security(("operator" = [])), params(("login" = String, Path)), responses(
    (status = 200, body = OperatorView), (status = 404, body = super::error::Problem)))]
pub(super) async fn read(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(login): Path<String>,
) -> Result<Json<OperatorView>, ApiError> {
    who.need(Role::Admin)?;
    let table: Table<Operator> = Table::new(Arc::clone(&office.engine));
    let missing = || ApiError::not_found("operator", &login);
    let key: Login = login.parse().map_err(|_| missing())?;
    Ok(Json(table.get(&key).await?.ok_or_else(missing)?.record.into()))
}

/// Makes or changes an operator.
#[utoipa::path(put, path = "/api/v1/operators/{login}", tag = "operators", security(("operator" = [])), params(("login" = String, Path)),
    request_body = OperatorBody, responses((status = 200, body = OperatorView), (status = 201, body = OperatorView), (status = 422, body = super::error::Problem)))]
pub(super) async fn put(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(login): Path<String>,
    Body { value, hash }: Body<OperatorBody>,
) -> Result<(StatusCode, Json<OperatorView>), ApiError> {
    who.need(Role::Admin)?;
    let login: Login = login.parse()?;
    let table: Table<Operator> = Table::new(Arc::clone(&office.engine));
    let before = table.get(&login).await?.map(|kept| kept.record);
    if login == who.operator.login && !(value.enabled && value.role == Role::Admin) {
        return Err(ApiError::refused("you would lock yourself out", "let another admin do it"));
    }
    let changed = value.password.is_some() || !value.enabled;
    let password = match (value.password, &before) {
        (Some(password), _) => office.operator_passwords.hash(Zeroizing::new(password)).await.map_err(not_hashed)?,
        (None, Some(before)) => before.password.clone(),
        (None, None) => return Err(ApiError::refused("a new operator has no password", "add `password`")),
    };
    let operator =
        Operator { login: login.clone(), name: value.name, password, role: value.role, enabled: value.enabled };
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let deed = Deed { action: "operator.put", subject: login.as_str(), status, hash };
    let ended = if changed { office.operators.endings(&login) } else { vec![] };
    let fill = |draft: Draft| ended.iter().try_fold(draft.put(&operator)?, |draft, end| draft.put(end));
    let status = once(&office, &who, deed, fill).await?;
    office.operators.ended(ended);
    Ok((status, Json(operator.into())))
}

/// Removes an operator.
#[utoipa::path(delete, path = "/api/v1/operators/{login}", tag = "operators", security(("operator" = [])), params(("login" = String, Path)), responses(
    (status = 204), (status = 404, body = super::error::Problem)))]
pub(super) async fn remove(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(login): Path<String>,
) -> Result<StatusCode, ApiError> {
    who.need(Role::Admin)?;
    let login: Login = login.parse()?;
    if login == who.operator.login {
        return Err(ApiError::refused("you would lock yourself out", "let another admin do it"));
    }
    let status = delete::<Operator>(&office, &who, ("operator", "operator.delete"), &login).await?;
    // Each request looks the operator up; this is for one who comes back under the same login.
    office.operators.end_all(&login, &*office.clock).await?;
    Ok(status)
}

/// Removes one record of any family; 404 when there is none.
pub(super) async fn delete<R: crate::store::Record>(
    office: &Arc<Office>,
    who: &SignedIn,
    (what, action): (&str, &str),
    key: &R::Key,
) -> Result<StatusCode, ApiError> {
    let table: Table<R> = Table::new(Arc::clone(&office.engine));
    let found = table.get(key).await?.map(|kept| kept.version);
    let name = R::key_text(key);
    let status = if found.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND };
    let hash = RequestHash::of(who.target.0.as_str(), &who.target.1, b"");
    let deed = Deed { action, subject: &name, status, hash };
    // Written even when there is nothing to remove: a repeat of a removal that was made gets its 204.
    let remove = |draft: Draft| match found {
        Some(version) => Ok(draft.remove::<R>(key, version)),
        None => Ok(draft),
    };
    match once(office, who, deed, remove).await? {
        StatusCode::NOT_FOUND => Err(ApiError::not_found(what, &name)),
        status => Ok(status),
    }
}
