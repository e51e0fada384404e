//! Subscribers: who pays, for which tariffs, until when.
//!
//! A new password, a suspension and a removal end every session of the subscriber in the same write; nodes are told
//! at once, and no key is given to it any more.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    Office,
    body::{Body, RequestHash},
    error::{ApiError, Problem},
    operators::not_hashed,
    who::SignedIn,
    write::{Deed, once},
};
use crate::{
    domain::{AudienceName, Login, Role, Status, Subscriber, TariffId},
    policy::line_up::DEFAULT_AUDIENCE,
    store::{Draft, Table},
};

const PAGE: usize = 200;

/// What is set of a subscriber. What is left out stays as it is, or has its default for a new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriberBody {
    /// A new password, at least 8 characters; required for a new subscriber.
    #[serde(default)]
    pub password: Option<String>,
    /// Ids of tariffs.
    #[schema(value_type = Vec<String>)]
    pub tariffs: BTreeSet<TariffId>,
    /// The group of viewers; `default` at first.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub audience: Option<AudienceName>,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// `active` or `suspended`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub status: Option<Status>,
    /// Unix seconds from which nothing is paid; left out or 0 for no end.
    #[serde(default)]
    pub paid_until: Option<u64>,
    /// How many devices may be bound, 1 to 100.
    #[serde(default)]
    pub devices_max: Option<u16>,
}

/// A subscriber as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriberView {
    /// Who signs in.
    pub login: String,
    /// For people.
    pub name: String,
    /// `active` or `suspended`.
    #[schema(value_type = String)]
    pub status: Status,
    /// Unix seconds from which nothing is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_until: Option<u64>,
    /// Ids of tariffs.
    #[schema(value_type = Vec<String>)]
    pub tariffs: BTreeSet<TariffId>,
    /// The group of viewers.
    #[schema(value_type = String)]
    pub audience: AudienceName,
    /// How many devices may be bound.
    pub devices_max: u16,
}

/// A page of subscribers.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriberList {
    /// By login.
    pub subscribers: Vec<SubscriberView>,
    /// The `after` of the next page; none when this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The last login of the page before.
    #[serde(default)]
    after: Option<String>,
}

impl From<Subscriber> for SubscriberView {
    fn from(subscriber: Subscriber) -> Self {
        let Subscriber { login, name, status, paid_until, tariffs, audience, devices_max, .. } = subscriber;
        Self { login: login.to_string(), name, status, paid_until, tariffs, audience, devices_max }
    }
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new()
        .route("/api/v1/subscribers", get(list))
        .route("/api/v1/subscribers/{login}", get(read).put(put).delete(remove))
}

fn table(office: &Office) -> Table<Subscriber> {
    Table::new(Arc::clone(&office.engine))
}

/// Subscribers by login, 200 a page.
#[utoipa::path(get, path = "/api/v1/subscribers", tag = "subscribers", security(("operator" = [])), params(PageQuery), responses((status = 200, body = SubscriberList)))]
pub(super) async fn list(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Query(query): Query<PageQuery>,
) -> Result<Json<SubscriberList>, ApiError> {
    who.need(Role::Viewer)?;
    let after: Option<Login> = query.after.map(|login| login.parse()).transpose()?;
    let page = table(&office).page(after.as_ref(), PAGE).await?;
    let last = page.last().filter(|_| page.len() == PAGE).map(|kept| kept.record.login.to_string());
    Ok(Json(SubscriberList { subscribers: page.into_iter().map(|kept| kept.record.into()).collect(), next: last }))
}

/// One subscriber.
#[utoipa::path(get, path = "/api/v1/subscribers/{login}", tag = "subscribers", security(("operator" = [])), params(("login" = String, Path)), responses(
    (status = 200, body = SubscriberView), (status = 404, body = Problem)))]
pub(super) async fn read(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(login): Path<String>,
) -> Result<Json<SubscriberView>, ApiError> {
    who.need(Role::Viewer)?;
    let missing = || ApiError::not_found("subscriber", &login);
    let key: Login = login.parse().map_err(|_| missing())?;
    Ok(Json(table(&office).get(&key).await?.ok_or_else(missing)?.record.into()))
}

/// Makes or changes a subscriber.
#[utoipa::path(put, path = "/api/v1/subscribers/{login}", tag = "subscribers", security(("operator" = [])), params(("login" = String, Path)),
    request_body = SubscriberBody, responses((status = 200, body = SubscriberView), (status = 201, body = SubscriberView), (status = 422, body = Problem)))]
pub(super) async fn put(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(login): Path<String>,
    Body { value, hash }: Body<SubscriberBody>,
) -> Result<(StatusCode, Json<SubscriberView>), ApiError> {
    who.need(Role::Operator)?;
    let login: Login = login.parse()?;
    known_tariffs(&office, &value.tariffs)?;
    let before = table(&office).get(&login).await?.map(|kept| kept.record);
    let new_password = value.password.is_some();
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let subscriber = merged(&office, login, value, before).await?;
    let ended = if new_password || subscriber.status == Status::Suspended {
        office.sessions.revocations(&subscriber.login, office.now_secs())
    } else {
        vec![]
    };
    let deed = Deed { action: "subscriber.put", subject: subscriber.login.as_str(), status, hash };
    let fill = |draft: Draft| ended.iter().try_fold(draft.put(&subscriber)?, |draft, end| draft.put(end));
    let status = once(&office, &who, deed, fill).await?;
    office.sessions.revoked_now(ended);
    Ok((status, Json(subscriber.into())))
}

/// Removes a subscriber and ends its sessions.
#[utoipa::path(delete, path = "/api/v1/subscribers/{login}", tag = "subscribers", security(("operator" = [])), params(("login" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(login): Path<String>,
) -> Result<StatusCode, ApiError> {
    who.need(Role::Operator)?;
    let login: Login = login.parse()?;
    let found = table(&office).get(&login).await?.map(|kept| kept.version);
    let ended = office.sessions.revocations(&login, office.now_secs());
    let status = if found.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND };
    let hash = RequestHash::of(who.target.0.as_str(), &who.target.1, b"");
    let deed = Deed { action: "subscriber.delete", subject: login.as_str(), status, hash };
    let fill = |draft: Draft| {
        let draft = match found {
            Some(version) => draft.remove::<Subscriber>(&login, version),
            None => draft,
        };
        ended.iter().try_fold(draft, |draft, end| draft.put(end))
    };
    let status = once(&office, &who, deed, fill).await?;
    office.sessions.revoked_now(ended);
    if status == StatusCode::NOT_FOUND { Err(ApiError::not_found("subscriber", login.as_str())) } else { Ok(status) }
}

fn known_tariffs(office: &Office, tariffs: &BTreeSet<TariffId>) -> Result<(), ApiError> {
    let catalogue = office.catalogue.current();
    let unknown = tariffs.iter().find(|id| catalogue.tariffs.iter().all(|tariff| tariff.id != **id));
    let Some(unknown) = unknown else { return Ok(()) };
    let known: Vec<&str> = catalogue.tariffs.iter().take(20).map(|tariff| tariff.id.as_str()).collect();
    let fix =
        if known.is_empty() { "make a tariff first".to_owned() } else { format!("there are {}", known.join(", ")) };
    Err(ApiError::refused(format!("there is no tariff {unknown}"), fix))
}

async fn merged(
    office: &Office,
    login: Login,
    body: SubscriberBody,
    before: Option<Subscriber>,
) -> Result<Subscriber, ApiError> {
    let password = match (body.password, &before) {
        (Some(password), _) => office.viewer_passwords.hash(Zeroizing::new(password)).await.map_err(not_hashed)?,
        (None, Some(before)) => before.password.clone(),
        (None, None) => return Err(ApiError::refused("a new subscriber has no password", "add `password`")),
    };
    let mut subscriber = before.unwrap_or_else(|| Subscriber {
        login,
        name: String::new(),
        password: password.clone(),
        status: Status::Active,
        paid_until: None,
        tariffs: BTreeSet::new(),
        audience: DEFAULT_AUDIENCE.parse().expect("the default is a name"),
        devices_max: 5,
        created_at: office.now_secs(),
    });
    subscriber.password = password;
    subscriber.tariffs = body.tariffs;
    subscriber.audience = body.audience.unwrap_or(subscriber.audience);
    subscriber.name = body.name.unwrap_or(subscriber.name);
    subscriber.status = body.status.unwrap_or(subscriber.status);
    subscriber.devices_max = body.devices_max.unwrap_or(subscriber.devices_max);
    if let Some(until) = body.paid_until {
        subscriber.paid_until = Some(until).filter(|until| *until > 0);
    }
    subscriber.check()?;
    Ok(subscriber)
}
