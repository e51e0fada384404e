//! Tariffs: what is paid for, as a set of tags.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Office,
    body::Body,
    error::{ApiError, Problem},
    operators::delete,
    who::SignedIn,
    write::{Deed, once},
};
use crate::domain::{Role, Tag, Tariff, TariffId};

/// What is set of a tariff.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TariffBody {
    /// For people, 1 to 100 characters.
    pub name: String,
    /// Channels with one of these are in it.
    #[schema(value_type = Vec<String>)]
    pub tags: BTreeSet<Tag>,
}

/// A tariff as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct TariffView {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Channels with one of these are in it.
    #[schema(value_type = Vec<String>)]
    pub tags: BTreeSet<Tag>,
    /// System names of the channels that are in it now.
    pub channels: Vec<String>,
}

/// Every tariff.
#[derive(Debug, Serialize, ToSchema)]
pub struct TariffList {
    /// By id.
    pub tariffs: Vec<TariffView>,
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/api/v1/tariffs", get(list)).route("/api/v1/tariffs/{id}", get(read).put(put).delete(remove))
}

fn view(office: &Office, tariff: &Tariff) -> TariffView {
    let catalogue = office.catalogue.current();
    let within = catalogue.in_order().into_iter().filter(|channel| !channel.tags.is_disjoint(&tariff.tags));
    TariffView {
        id: tariff.id.to_string(),
        name: tariff.name.clone(),
        tags: tariff.tags.clone(),
        channels: within.map(|channel| channel.name.to_string()).collect(),
    }
}

/// Every tariff.
#[utoipa::path(get, path = "/api/v1/tariffs", tag = "tariffs", security(("operator" = [])), responses((status = 200, body = TariffList)))]
pub(super) async fn list(State(office): State<Arc<Office>>, who: SignedIn) -> Result<Json<TariffList>, ApiError> {
    who.need(Role::Viewer)?;
    let tariffs = office.catalogue.current().tariffs.iter().map(|tariff| view(&office, tariff)).collect();
    Ok(Json(TariffList { tariffs }))
}

/// One tariff.
#[utoipa::path(get, path = "/api/v1/tariffs/{id}", tag = "tariffs", security(("operator" = [])), params(("id" = String, Path)), responses(
    (status = 200, body = TariffView), (status = 404, body = Problem)))]
pub(super) async fn read(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(id): Path<String>,
) -> Result<Json<TariffView>, ApiError> {
    who.need(Role::Viewer)?;
    let catalogue = office.catalogue.current();
    let found = catalogue.tariffs.iter().find(|tariff| tariff.id.as_str() == id);
    found.map(|tariff| Json(view(&office, tariff))).ok_or_else(|| ApiError::not_found("tariff", &id))
}

/// Makes or changes a tariff.
#[utoipa::path(put, path = "/api/v1/tariffs/{id}", tag = "tariffs", security(("operator" = [])), params(("id" = String, Path)),
    request_body = TariffBody, responses((status = 200, body = TariffView), (status = 201, body = TariffView), (status = 422, body = Problem)))]
pub(super) async fn put(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(id): Path<String>,
    Body { value, hash }: Body<TariffBody>,
) -> Result<(StatusCode, Json<TariffView>), ApiError> {
    who.need(Role::Admin)?;
    let tariff = Tariff { id: id.parse()?, name: value.name, tags: value.tags };
    let there = office.catalogue.current().tariffs.iter().any(|kept| kept.id == tariff.id);
    let status = if there { StatusCode::OK } else { StatusCode::CREATED };
    let deed = Deed { action: "tariff.put", subject: tariff.id.as_str(), status, hash };
    let status = once(&office, &who, deed, |draft| draft.put(&tariff)).await?;
    Ok((status, Json(view(&office, &tariff))))
}

/// Removes a tariff; its subscribers keep its name and get nothing for it.
#[utoipa::path(delete, path = "/api/v1/tariffs/{id}", tag = "tariffs", security(("operator" = [])), params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    who.need(Role::Admin)?;
    let id: TariffId = id.parse()?;
    delete::<Tariff>(&office, &who, ("tariff", "tariff.delete"), &id).await
}
