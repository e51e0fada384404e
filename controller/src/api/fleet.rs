//! What we believe of the fleet, for operators: nodes, their channels, who is sent where and why.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use headend_failover::Candidate;
use headend_wire::{CardHealth, ChannelHealth, TunerHealth, report::WillCause};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Office,
    error::{ApiError, Problem},
    who::SignedIn,
};
use crate::{
    domain::Role,
    fleet::{
        inbox::DefectCounts,
        state::{NodeKey, NodeState, Presence},
    },
    noc::hardware::{Warning, warnings},
};

/// A node as we believe it to be.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeReport {
    /// Its site.
    pub site: String,
    /// Its name.
    pub node: String,
    /// Whether an operator registered it.
    pub registered: bool,
    /// `alive`, `silent`, `lost`, `stopped` or `never`.
    pub presence: &'static str,
    /// Where viewers and probes reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_url: Option<String>,
    /// Program version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When its process said that it was born, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub born: Option<Timestamp>,
    /// How old its figures are, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_ms_ago: Option<u64>,
    /// The generation of the desired state it was sent last; 0 before the first.
    pub sent_generation: u64,
    /// Why the newest desired state was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<String>,
    /// The generation it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What of it could not be applied.
    pub differences: Vec<String>,
    /// What it says of its channels, stale figures included.
    #[schema(value_type = Vec<Object>)]
    pub channels: Vec<ChannelReport>,
    /// Its smart cards as it told them last.
    #[schema(value_type = Vec<Object>)]
    pub cards: Vec<CardHealth>,
    /// Its tuners as it told them last; levels, qualities and margins in tenths of a dB.
    #[schema(value_type = Vec<Object>)]
    pub tuners: Vec<TunerHealth>,
    /// How old cards and tuners are, milliseconds; left out when they were never told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware_ms_ago: Option<u64>,
    /// What is wrong with its cards and tuners, the worst first.
    #[schema(value_type = Vec<Object>)]
    pub warnings: Vec<Warning>,
}

/// A channel on a node.
#[derive(Debug, Serialize)]
pub struct ChannelReport {
    /// How old the figures are, milliseconds.
    pub heard_ms_ago: u64,
    /// As the node said it.
    pub health: ChannelHealth,
}

/// Where the viewers of a channel are sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sending {
    /// System name.
    pub channel: String,
    /// Which viewers.
    pub audience: String,
    /// To which origin, as `site/node`; left out for the slate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Every origin with its health and what is wrong with it.
    #[schema(value_type = Vec<Object>)]
    pub seen: Vec<Candidate<NodeKey>>,
}

/// The fleet.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetReport {
    /// By site and name.
    pub nodes: Vec<NodeReport>,
    /// By channel and audience.
    pub sendings: Vec<Sending>,
    /// This controller sees nothing, not even its own lookout, and changes nothing.
    pub blind: bool,
    /// Messages refused since the start, by cause.
    #[schema(value_type = Object)]
    pub refused: DefectCounts,
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/api/v1/fleet", get(fleet)).route("/api/v1/nodes/{name}/health", get(health))
}

/// What we believe of one node: presence, channels, cards, tuners.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/health", tag = "nodes", security(("operator" = [])), params(("name" = String, Path)),
    responses((status = 200, body = NodeReport), (status = 404, body = Problem)))]
pub(super) async fn health(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Json<NodeReport>, ApiError> {
    who.need(Role::Viewer)?;
    let found = report(&office).nodes.into_iter().find(|node| node.node == name);
    found.map(Json).ok_or_else(|| ApiError::not_found("node", &name))
}

/// What we believe of nodes and channels.
#[utoipa::path(get, path = "/api/v1/fleet", tag = "nodes", security(("operator" = [])), responses((status = 200, body = FleetReport)))]
pub(super) async fn fleet(State(office): State<Arc<Office>>, who: SignedIn) -> Result<Json<FleetReport>, ApiError> {
    who.need(Role::Viewer)?;
    Ok(Json(report(&office)))
}

fn report(office: &Office) -> FleetReport {
    let catalogue = office.catalogue.current();
    let registered: Vec<NodeKey> =
        catalogue.nodes.values().map(|node| NodeKey { site: node.site.clone(), node: node.name.clone() }).collect();
    let fleet = &office.fleet;
    let watch = fleet.state.subscribe();
    let state = watch.borrow();
    let heard: BTreeMap<&NodeKey, &NodeState> = state.nodes().collect();
    let mut keys: Vec<&NodeKey> = registered.iter().chain(heard.keys().copied()).collect();
    keys.sort_unstable();
    keys.dedup();
    let nodes =
        keys.into_iter().map(|key| node(office, key, heard.get(key).copied(), registered.contains(key))).collect();
    let sendings = fleet.desk.look(|redirects, now| {
        let choices = redirects.choices(now).map(|(channel, audience, origin, seen)| Sending {
            channel: channel.to_string(),
            audience: audience.to_owned(),
            origin: origin.map(NodeKey::to_string),
            seen,
        });
        choices.collect()
    });
    let blind = fleet.desk.look(|redirects, _| redirects.blind());
    FleetReport { nodes, sendings, blind, refused: fleet.defects.counts() }
}

fn node(office: &Office, key: &NodeKey, state: Option<&NodeState>, registered: bool) -> NodeReport {
    let now = office.fleet.state.now();
    let issued = office.fleet.issued.borrow();
    let issued = issued.get(key);
    let birth = state.and_then(|state| state.birth.as_ref());
    let reported = state.and_then(|state| state.reported.as_ref());
    let ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let channel = |(health, age): (&ChannelHealth, std::time::Duration)| ChannelReport {
        heard_ms_ago: ms(age),
        health: health.clone(),
    };
    let hardware = state.map(NodeState::hardware);
    NodeReport {
        site: key.site.to_string(),
        node: key.node.to_string(),
        registered,
        presence: match state.map(|state| state.presence(now)) {
            None => "never",
            Some(Presence::Alive) => "alive",
            Some(Presence::Silent) => "silent",
            Some(Presence::Gone(WillCause::Lost)) => "lost",
            Some(Presence::Gone(WillCause::Stopped)) => "stopped",
        },
        origin_url: birth.map(|birth| birth.origin_url.clone()),
        version: birth.map(|birth| birth.version.clone()),
        born: state.and_then(|state| state.born),
        heard_ms_ago: state.and_then(|state| state.age(now)).map(ms),
        sent_generation: issued.map_or(0, |issued| issued.generation),
        not_sent: issued.and_then(|issued| issued.problem.clone()),
        generation: reported.and_then(|reported| reported.generation),
        differences: reported.map_or_else(Vec::new, |reported| reported.differences.clone()),
        channels: state.map_or_else(Vec::new, |state| state.channels(now).map(channel).collect()),
        cards: hardware.map_or_else(Vec::new, |hardware| hardware.cards.clone()),
        tuners: hardware.map_or_else(Vec::new, |hardware| hardware.tuners.clone()),
        hardware_ms_ago: hardware.and_then(|hardware| hardware.heard).map(|heard| ms(now.saturating_sub(heard))),
        warnings: hardware.map_or_else(Vec::new, |hardware| warnings(hardware, office.clock.now())),
    }
}
