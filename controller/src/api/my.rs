//! What the signed-in subscriber has: the channels of the tariffs.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Office,
    error::{ApiError, Problem},
    who::Viewer,
};
use crate::{
    domain::{Channel, Subscriber},
    policy::entitlement::entitlement,
};

/// A channel to play.
#[derive(Debug, Serialize, ToSchema)]
pub struct MyChannel {
    /// System name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The number on the remote control.
    pub number: u16,
    /// Where a player goes, below this host: holds the session's token.
    pub play: String,
}

/// The channels of the signed-in subscriber.
#[derive(Debug, Serialize, ToSchema)]
pub struct MyChannels {
    /// By number.
    pub channels: Vec<MyChannel>,
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/api/v1/my/channels", get(channels))
}

/// What a subscriber may watch now, by number.
pub(super) fn entitled(office: &Office, subscriber: &Subscriber) -> Vec<Channel> {
    let (catalogue, now) = (office.catalogue.current(), office.now_secs());
    let may = |channel: &&Channel| entitlement(subscriber, &catalogue.tariffs, channel, now).is_allowed();
    catalogue.in_order().into_iter().filter(may).cloned().collect()
}

/// Where a player goes for a channel.
pub(super) fn play_path(channel: &Channel, token: &str) -> String {
    format!("/play/{}/index.m3u8?token={token}", channel.name.as_str().replace('+', "%2B"))
}

/// The channels that may be watched now.
#[utoipa::path(get, path = "/api/v1/my/channels", tag = "viewing", security(("viewer" = [])), responses(
    (status = 200, body = MyChannels), (status = 401, body = Problem)))]
pub(super) async fn channels(State(office): State<Arc<Office>>, viewer: Viewer) -> Result<impl IntoResponse, ApiError> {
    let channels = entitled(&office, &viewer.subscriber).into_iter().map(|channel| MyChannel {
        name: channel.name.to_string(),
        play: play_path(&channel, &viewer.token),
        title: channel.title,
        number: channel.number,
    });
    let body = MyChannels { channels: channels.collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)))
}
