//! Liveness and status: what monitors, the technician and our own verbs ask.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use headend_rt::{page::headers, serve::Counts};
use headend_wire::{ChannelHealth, ChannelName, SourceName};
use serde::Serialize;

use super::{
    Shared,
    answer::{self, Kind},
    page::door,
};
use crate::{
    cam::CamStatus,
    card::CardStatus,
    input::{report::InputReport, tuner::report::SeatReport},
    stream::access::AccessStatus,
};

/// The input behind each source of each channel, by its address, secrets masked.
pub type Feeds = BTreeMap<ChannelName, BTreeMap<SourceName, String>>;

/// What the rest of the program says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Program version.
    pub version: &'static str,
    /// Generation of the desired state that runs.
    pub generation: Option<u64>,
    /// A broker is connected.
    pub controller_connected: bool,
    /// Events that wait for the controller.
    pub events_pending: usize,
    /// Last day (days since the Unix epoch) with keys for every channel.
    pub keys_until_day: Option<u32>,
    /// Monotonic milliseconds now; every `since_ms` and `last_error_ms` is counted by the same clock.
    pub now_ms: u64,
    /// Every channel.
    pub channels: Vec<ChannelHealth>,
    /// Which input is behind which source.
    pub feeds: Feeds,
    /// Every input.
    pub inputs: Vec<InputReport>,
    /// Every tuner of the node's file.
    pub tuners: Vec<SeatReport>,
    /// Every configured card.
    pub cards: Vec<CardStatus>,
    /// Every scrambled service of every input.
    pub access: Vec<AccessStatus>,
    /// Every configured CAM, without what it shows.
    pub cams: Vec<CamStatus>,
    /// The listener.
    pub http: Counts,
}

#[derive(Serialize)]
struct Answer<'a> {
    site: &'a str,
    node: &'a str,
    now: jiff::Timestamp,
    status: NodeStatus,
}

/// `200 ok` while the process answers at all; a channel without a source is not the process's death.
pub(super) async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    let text = format!("ok {} {}\n", shared.node, env!("CARGO_PKG_VERSION"));
    answer::of(StatusCode::OK, Kind::Text, text)
}

/// Everything as JSON, to those who may see the page: it names antennas, addresses and cards.
pub(super) async fn status(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(refusal) = door::refusal(&shared, request.headers(), request.extensions()) {
        return refusal;
    }
    let status = (shared.status)();
    let (site, node) = (shared.site.as_str(), shared.node.as_str());
    let body = serde_json::to_vec(&Answer { site, node, now: shared.clock.now(), status })
        .expect("figures and names have a JSON form");
    let mut response = headers::plain(StatusCode::OK, "");
    *response.body_mut() = body.into();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
