//! Nodes: which belong to the fleet, and the one-time codes with which they join.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use headend_wire::{NodeName, SiteName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Office,
    body::Body,
    error::{ApiError, Problem},
    operators::{delete, time, yes},
    who::SignedIn,
    write::{Deed, once},
};
use crate::{
    domain::{NodeRecord, Role},
    fleet::{enrol::CODE_LASTS, state::NodeKey},
};

/// What is set of a node.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeBody {
    /// Where it is.
    #[schema(value_type = String)]
    pub site: SiteName,
    /// The address players are sent to, without a slash at its end; left out: where the node says it is.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Whether it packages channels and players may be sent to it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// A node as shown. What it says of itself is under `/api/v1/fleet`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub site: SiteName,
    /// The registered address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Whether it packages channels and players may be sent to it.
    pub enabled: bool,
}

/// Every node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeList {
    /// By name.
    pub nodes: Vec<NodeView>,
}

/// A one-time code.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnrolmentCode {
    /// Eight characters in two groups, shown once.
    pub code: String,
    /// Until when it may be used, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// SHA-256 of the fleet's authority: lets the node check whom it talks to.
    pub authority: String,
}

impl From<&NodeRecord> for NodeView {
    fn from(node: &NodeRecord) -> Self {
        Self {
            name: node.name.to_string(),
            site: node.site.clone(),
            base_url: node.base_url.clone(),
            enabled: node.enabled,
        }
    }
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new()
        .route("/api/v1/nodes", get(list))
        .route("/api/v1/nodes/{name}", get(read).put(put).delete(remove))
        .route("/api/v1/nodes/{name}/enrolment", post(enrolment))
}

fn name_of(text: &str) -> Result<NodeName, ApiError> {
    text.parse().map_err(|error: headend_wire::IdError| ApiError::refused(error.to_string(), "choose another name"))
}

/// Every node.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", security(("operator" = [])), responses((status = 200, body = NodeList)))]
pub(super) async fn list(State(office): State<Arc<Office>>, who: SignedIn) -> Result<Json<NodeList>, ApiError> {
    who.need(Role::Viewer)?;
    let nodes = office.catalogue.current().nodes.values().map(NodeView::from).collect();
    Ok(Json(NodeList { nodes }))
}

/// One node.
#[utoipa::path(get, path = "/api/v1/nodes/{name}", tag = "nodes", security(("operator" = [])), params(("name" = String, Path)), responses(
    (status = 200, body = NodeView), (status = 404, body = Problem)))]
pub(super) async fn read(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Json<NodeView>, ApiError> {
    who.need(Role::Viewer)?;
    let catalogue = office.catalogue.current();
    let found = catalogue.nodes.get(name.as_str()).map(NodeView::from);
    found.map(Json).ok_or_else(|| ApiError::not_found("node", &name))
}

/// Registers or changes a node.
#[utoipa::path(put, path = "/api/v1/nodes/{name}", tag = "nodes", security(("operator" = [])), params(("name" = String, Path)),
    request_body = NodeBody, responses((status = 200, body = NodeView), (status = 201, body = NodeView), (status = 422, body = Problem)))]
pub(super) async fn put(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
    Body { value, hash }: Body<NodeBody>,
) -> Result<(StatusCode, Json<NodeView>), ApiError> {
    who.need(Role::Admin)?;
    let name = name_of(&name)?;
    let before = office.catalogue.current().nodes.get(&name).cloned();
    let fingerprint = before.as_ref().and_then(|node| node.fingerprint.clone());
    let NodeBody { site, base_url, enabled } = value;
    let node = NodeRecord { name: name.clone(), site, base_url, fingerprint, enabled };
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let deed = Deed { action: "node.put", subject: name.as_str(), status, hash };
    let status = once(&office, &who, deed, |draft| draft.put(&node)).await?;
    Ok((status, Json(NodeView::from(&node))))
}

/// Removes a node: it gets no keys any more and nobody is sent to it.
#[utoipa::path(delete, path = "/api/v1/nodes/{name}", tag = "nodes", security(("operator" = [])), params(("name" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    who.need(Role::Admin)?;
    let name = name_of(&name)?;
    delete::<NodeRecord>(&office, &who, ("node", "node.delete"), &name).await
}

/// Makes the code with which a node joins; an older one of the same node is void.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/enrolment", tag = "nodes", security(("operator" = [])), params(("name" = String, Path)), responses(
    (status = 200, body = EnrolmentCode), (status = 404, body = Problem)))]
pub(super) async fn enrolment(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Json<EnrolmentCode>, ApiError> {
    who.need(Role::Admin)?;
    let catalogue = office.catalogue.current();
    let node = catalogue.nodes.get(name.as_str()).ok_or_else(|| ApiError::not_found("node", &name))?;
    let key = NodeKey { site: node.site.clone(), node: node.name.clone() };
    let doors = &office.fleet.doors;
    let later = "let the codes that wait expire, 10 minutes";
    let code = doors.issue(key).map_err(|error| ApiError::unavailable(error.to_string(), later))?;
    tracing::info!(operator = %who.operator.login, node = name, "enrolment code made");
    let expires = time(office.now_secs() + CODE_LASTS.as_secs());
    Ok(Json(EnrolmentCode { code, expires, authority: doors.authority().fingerprint().to_owned() }))
}
