//! Channels: what viewers see, and where each site gets it from.
//!
//! A source names one capture everywhere: the nodes of its site take it from its address, those of other sites pull
//! it from there. The flat list of the API is kept by site; the order within a site is the order of preference.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use headend_wire::{ChannelName, Dvr, Lock, NodeName, Retention, SiteName, SourceName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Office,
    body::Body,
    error::{ApiError, Problem},
    operators::{delete, yes},
    who::SignedIn,
    write::{Deed, once},
};
use crate::domain::{Channel, Role, Source, Tag};

/// One way a site obtains a channel.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceBody {
    /// The one node of the site that can reach it; left out when every node can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
    /// The site it is captured at.
    #[schema(value_type = String)]
    pub site: SiteName,
    /// Its name, unique within the channel.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// `file:`, `udp:`, `rtp:`, `http:` or `https:` address.
    pub url: String,
    /// The service id in a multiplex; the first when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<u16>,
}

/// What is set of a channel.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelBody {
    /// For people, 1 to 100 characters.
    pub title: String,
    /// The number on the remote control, 1 to 9999.
    pub number: u16,
    /// Tie it to tariffs.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub tags: BTreeSet<Tag>,
    /// In order of preference within each site.
    #[serde(default)]
    pub sources: Vec<SourceBody>,
    /// Target duration, 1 to 10 s.
    #[serde(default = "two")]
    pub segment_secs: u32,
    /// Segments the live playlist lists, 3 to 60.
    #[serde(default = "ten")]
    pub window_segments: u16,
    /// Seconds a content key is valid, 10 to 86400, a multiple of `segment_secs`.
    #[serde(default = "five_minutes")]
    pub key_period_secs: u32,
    /// Needs no tariff and no token.
    #[serde(default)]
    pub free: bool,
    /// Whether it is offered at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// A source is left after being bad this long; 1500 ms when left out.
    #[serde(default)]
    pub leave_after_ms: Option<u32>,
    /// A better source is returned to after being good this long; 300000 ms when left out.
    #[serde(default)]
    pub return_after_ms: Option<u32>,
    /// What is kept of it: depth, how full a disk may get, the most bytes, as in `5d 95% 500G`; nothing when left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub dvr: Option<Retention>,
    /// Programmes that are kept whatever the depth, at most 32.
    #[serde(default)]
    pub dvr_locks: Vec<LockBody>,
}

/// A programme that is not deleted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    /// Its start, Unix seconds.
    pub from: u64,
    /// Its end, Unix seconds.
    pub until: u64,
}

fn two() -> u32 {
    2
}

fn ten() -> u16 {
    10
}

fn five_minutes() -> u32 {
    300
}

/// A channel as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelView {
    /// System name and stream name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The number on the remote control.
    pub number: u16,
    /// Tie it to tariffs.
    #[schema(value_type = Vec<String>)]
    pub tags: BTreeSet<Tag>,
    /// By site, in order of preference.
    pub sources: Vec<SourceBody>,
    /// Target duration, seconds.
    pub segment_secs: u32,
    /// Segments the live playlist lists.
    pub window_segments: u16,
    /// Seconds a content key is valid.
    pub key_period_secs: u64,
    /// Needs no tariff and no token.
    pub free: bool,
    /// Whether it is offered at all.
    pub enabled: bool,
    /// A source is left after being bad this long, when it is not the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave_after_ms: Option<u32>,
    /// A better source is returned to after being good this long, when it is not the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_after_ms: Option<u32>,
    /// What is kept of it, when anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dvr: Option<String>,
    /// Programmes that are kept whatever the depth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dvr_locks: Vec<LockBody>,
}

/// Every channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelList {
    /// By number.
    pub channels: Vec<ChannelView>,
}

impl ChannelBody {
    fn named(self, name: ChannelName) -> Channel {
        let mut sources: BTreeMap<SiteName, Vec<Source>> = BTreeMap::new();
        for SourceBody { node, site, name, url, service } in self.sources {
            sources.entry(site).or_default().push(Source { id: name, url, service, node });
        }
        Channel {
            name,
            title: self.title,
            number: self.number,
            tags: self.tags,
            sources,
            segment_ms: self.segment_secs.saturating_mul(1_000),
            window_segments: self.window_segments,
            period_ms: u64::from(self.key_period_secs) * 1_000,
            leave_after_ms: self.leave_after_ms,
            return_after_ms: self.return_after_ms,
            free: self.free,
            enabled: self.enabled,
            dvr: self.dvr.map(|keep| Dvr {
                keep,
                locks: self
                    .dvr_locks
                    .iter()
                    .map(|LockBody { from, until }| Lock { from: *from, until: *until })
                    .collect(),
            }),
        }
    }
}

impl From<&Channel> for ChannelView {
    fn from(channel: &Channel) -> Self {
        let of_site = |(site, sources): (&SiteName, &Vec<Source>)| -> Vec<SourceBody> {
            let body = |source: &Source| SourceBody {
                node: source.node.clone(),
                site: site.clone(),
                name: source.id.clone(),
                url: source.url.clone(),
                service: source.service,
            };
            sources.iter().map(body).collect()
        };
        Self {
            name: channel.name.to_string(),
            title: channel.title.clone(),
            number: channel.number,
            tags: channel.tags.clone(),
            sources: channel.sources.iter().flat_map(of_site).collect(),
            segment_secs: channel.segment_ms / 1_000,
            window_segments: channel.window_segments,
            key_period_secs: channel.period_ms / 1_000,
            free: channel.free,
            enabled: channel.enabled,
            leave_after_ms: channel.leave_after_ms,
            return_after_ms: channel.return_after_ms,
            dvr: channel.dvr.as_ref().map(|dvr| dvr.keep.to_string()),
            dvr_locks: channel.dvr.iter().flat_map(|dvr| &dvr.locks).map(lock_body).collect(),
        }
    }
}

/// What a `PUT` of a channel takes, for a program of ours that asks another controller.
#[must_use]
pub fn put_body(channel: &Channel) -> serde_json::Value {
    let mut body = serde_json::to_value(ChannelView::from(channel)).expect("a view has text keys");
    if let Some(fields) = body.as_object_mut() {
        let _ = fields.remove("name");
    }
    body
}

/// A channel as it is shown, read back; none when it was shown by something else than this release.
#[must_use]
pub fn read_view(mut shown: serde_json::Value) -> Option<Channel> {
    let name = shown.as_object_mut()?.remove("name")?;
    let name: ChannelName = serde_json::from_value(name).ok()?;
    let body: ChannelBody = serde_json::from_value(shown).ok()?;
    Some(body.named(name))
}

fn lock_body(lock: &Lock) -> LockBody {
    LockBody { from: lock.from, until: lock.until }
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new()
        .route("/api/v1/channels", get(list))
        .route("/api/v1/channels/{*name}", get(read).put(put).delete(remove))
}

/// A name from a path.
pub(super) fn name_of(text: &str) -> Result<ChannelName, ApiError> {
    text.parse().map_err(|error: headend_wire::IdError| ApiError::refused(error.to_string(), "choose another name"))
}

/// Every channel.
#[utoipa::path(get, path = "/api/v1/channels", tag = "channels", security(("operator" = [])), responses((status = 200, body = ChannelList)))]
pub(super) async fn list(State(office): State<Arc<Office>>, who: SignedIn) -> Result<Json<ChannelList>, ApiError> {
    who.need(Role::Viewer)?;
    let channels = office.catalogue.current().in_order().into_iter().map(ChannelView::from).collect();
    Ok(Json(ChannelList { channels }))
}

/// One channel; its name may hold slashes.
#[utoipa::path(get, path = "/api/v1/channels/{name}", tag = "channels", security(("operator" = [])), params(("name" = String, Path)), responses(
    (status = 200, body = ChannelView), (status = 404, body = Problem)))]
pub(super) async fn read(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Json<ChannelView>, ApiError> {
    who.need(Role::Viewer)?;
    let catalogue = office.catalogue.current();
    let found = catalogue.channels.get(name.as_str()).map(ChannelView::from);
    found.map(Json).ok_or_else(|| ApiError::not_found("channel", &name))
}

/// Makes or changes a channel; nodes are told at once.
#[utoipa::path(put, path = "/api/v1/channels/{name}", tag = "channels", security(("operator" = [])), params(("name" = String, Path)),
    request_body = ChannelBody, responses((status = 200, body = ChannelView), (status = 201, body = ChannelView), (status = 422, body = Problem)))]
pub(super) async fn put(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
    Body { value, hash }: Body<ChannelBody>,
) -> Result<(StatusCode, Json<ChannelView>), ApiError> {
    who.need(Role::Admin)?;
    if value.dvr.is_none() && !value.dvr_locks.is_empty() {
        return Err(ApiError::refused("dvr_locks has entries, but dvr is not set", "set dvr, for example to 5d"));
    }
    let channel = value.named(name_of(&name)?);
    let there = office.catalogue.current().channels.contains_key(&channel.name);
    let status = if there { StatusCode::OK } else { StatusCode::CREATED };
    let deed = Deed { action: "channel.put", subject: channel.name.as_str(), status, hash };
    let status = once(&office, &who, deed, |draft| draft.put(&channel)).await?;
    Ok((status, Json(ChannelView::from(&channel))))
}

/// Removes a channel; nodes stop it at once.
#[utoipa::path(delete, path = "/api/v1/channels/{name}", tag = "channels", security(("operator" = [])), params(("name" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(office): State<Arc<Office>>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    who.need(Role::Admin)?;
    let name = name_of(&name)?;
    delete::<Channel>(&office, &who, ("channel", "channel.delete"), &name).await
}
