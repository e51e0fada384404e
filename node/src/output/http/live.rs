//! Answers of a live channel: master, media playlist, segment, key, endless stream.

use axum::{
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use headend_access::{KeyAddress, Period, PeriodKeyId, SessionId};
use headend_media::playlist::{LiveKind, LivePath};
use headend_rt::serve::Peer;
use headend_wire::ChannelName;
use tracing::debug;

use super::{
    Refused, Shared,
    answer::{self, Kind, plain},
    capture, transport,
};
use crate::output::live::{Found, Live, Viewing};

const REFUSED: &str = "not authorised\n";
const NO_SEGMENT: &str = "no such segment: it is older than the window, or not cut yet\n";

/// Answers a request for a live path.
pub(super) async fn answer(shared: &Shared, path: &LivePath, request: &Parts) -> Response {
    // Names that could not be a channel's are not looked up: the map holds checked names only.
    let Ok(name) = path.channel.parse::<ChannelName>() else { return unknown() };
    if let LiveKind::Key(_) = path.kind {
        return key(shared, &name, request);
    }
    let Some(live) = shared.channels.get(&name) else { return unknown() };
    let query = request.uri.query().unwrap_or_default();
    if let (LiveKind::MpegTs, Some(source)) = (&path.kind, parameter(query, "source")) {
        return capture::answer(shared, &live, source, request);
    }
    let viewing = match admit(shared, &live, &name, request) {
        Ok(viewing) => viewing,
        Err(cause) => {
            shared.channels.counters().refused();
            debug!(channel = %name, error = %headend_rt::chain(&cause), "request refused");
            return plain(StatusCode::FORBIDDEN, REFUSED);
        }
    };
    match &path.kind {
        LiveKind::Master => playlist(live.master(&viewing), request),
        LiveKind::Media(_) => playlist(live.media(&viewing, &shared.keys), request),
        LiveKind::Segment { grid, number } => match live.segment(*grid, *number) {
            Some(Found::Memory(bytes)) => answer::ranged(Kind::Segment, &bytes, &request.headers),
            Some(Found::File(path)) => match tokio::fs::read(&path).await {
                Ok(bytes) => answer::ranged(Kind::Segment, &bytes.into(), &request.headers),
                // It left the window between the look-up and the read.
                Err(_) => plain(StatusCode::NOT_FOUND, NO_SEGMENT),
            },
            None => plain(StatusCode::NOT_FOUND, NO_SEGMENT),
        },
        LiveKind::MpegTs => transport::answer(shared, &live, request),
        LiveKind::Key(_)
        | LiveKind::Past(_)
        | LiveKind::RecordingStatus
        | LiveKind::Ranges
        | LiveKind::Preview
        | LiveKind::Refused(_) => unknown(),
    }
}

fn unknown() -> Response {
    plain(StatusCode::NOT_FOUND, "no such channel on this node\n")
}

/// A media playlist exists once there is something to list; until then the player is asked to come again.
fn playlist(text: Option<Vec<u8>>, request: &Parts) -> Response {
    match text {
        Some(text) => answer::playlist(text, &request.headers),
        None => {
            let mut response =
                plain(StatusCode::SERVICE_UNAVAILABLE, "the channel is starting; try again in a moment\n");
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            response
        }
    }
}

fn admit(shared: &Shared, live: &Live, name: &ChannelName, request: &Parts) -> Result<Viewing, Refused> {
    let token = parameter(request.uri.query().unwrap_or_default(), "token");
    let now = shared.now_secs();
    if token.is_none() && live.free() {
        // Free channels have no session: their key addresses carry one that is the same for everybody.
        let expires = u32::try_from(now / 86_400 * 86_400 + 2 * 86_400).unwrap_or(u32::MAX);
        return Ok(Viewing { token: None, session: SessionId([0; 16]), expires });
    }
    let claims = shared.gate.admit(token, name.as_str(), now)?;
    live.seen(claims.session, now);
    Ok(Viewing { token: token.map(str::to_owned), session: claims.session, expires: claims.expires })
}

/// A content key: the address is its own proof, and one and the same 403 answers everything else.
fn key(shared: &Shared, name: &ChannelName, request: &Parts) -> Response {
    let refused = || {
        shared.channels.counters().refused();
        plain(StatusCode::FORBIDDEN, REFUSED)
    };
    let id = request.uri.path().rsplit('/').next().unwrap_or_default();
    let query = request.uri.query().unwrap_or_default();
    let Ok(address) = KeyAddress::parse(name.as_str(), id, query) else { return refused() };
    let Some(live) = shared.channels.get(name) else { return refused() };
    let id: PeriodKeyId = address.id();
    let (now, schedule) = (shared.now_secs(), live.schedule());
    let genuine = shared.keys.address_key(name, &schedule, id).is_some_and(|key| key.verify(&address, now).is_ok());
    if !genuine || shared.gate.revoked(&address.session()) || schedule.too_early(Period(id.period.0), now * 1000) {
        return refused();
    }
    match shared.keys.key_of(name, &schedule, id) {
        Some(key) => answer::ranged(Kind::Key, &bytes::Bytes::copy_from_slice(key.bytes()), &request.headers),
        None => refused(),
    }
}

/// The value of a query parameter, as it stands: our tokens and names need no percent-decoding.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
}

/// The peer of a request, from the accept loop.
pub(super) fn peer(request: &Parts) -> Option<&Peer> {
    request.extensions.get::<Peer>()
}
