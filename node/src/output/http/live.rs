//! Answers of a channel: master, media playlist, segment, key, endless stream; its past is `past`'s.

use std::{io, sync::atomic::Ordering};

use axum::{
    body::HttpBody as _,
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use headend_access::{KeyAddress, Period, PeriodKeyId, Schedule};
use headend_media::playlist::{LiveKind, LivePath, MediaSpelling, Past, SegmentGrid, Shape};
use headend_rt::serve::Peer;
use headend_wire::ChannelName;
use tracing::debug;

use super::{
    Shared,
    admit::{self, Cause, Denial, Purpose},
    answer::{self, Kind, plain},
    capture, past, preview, transport,
};
use crate::output::{
    archive::Recorder,
    live::{Found, Live},
    viewing::{Protocol, Viewing},
};

const REFUSED: &str = "not authorised\n";
const NO_SEGMENT: &str = "no such segment: it is older than the window, or not cut yet\n";

/// Answers a request for a live path.
pub(super) async fn answer(shared: &Shared, path: &LivePath, request: &Parts) -> Response {
    // Names that could not be a channel's are not looked up: the map holds checked names only.
    let Ok(name) = path.channel.parse::<ChannelName>() else { return unknown() };
    if let LiveKind::Key(_) = path.kind {
        return key(shared, &name, request).await;
    }
    let Some(live) = shared.channels.get(&name) else { return unknown() };
    let query = request.uri.query().unwrap_or_default();
    match &path.kind {
        LiveKind::MpegTs => {
            if let Some(source) = parameter(query, "source") {
                return capture::answer(shared, &live, source, request);
            }
        }
        LiveKind::Segment { grid, number, mark } => {
            return match may_have(shared, &live, mark.as_deref(), request).await {
                Ok(viewing) => {
                    let response = segment(&live, (*grid, *number), request).await;
                    count(&response, viewing.as_ref());
                    response
                }
                Err(denial) => denial.answer(shared, &name),
            };
        }
        _ => {}
    }
    let wanted = match past::shifted(query) {
        Some(Ok(span)) if matches!(path.kind, LiveKind::Master | LiveKind::Media(_)) => {
            let below = matches!(path.kind, LiveKind::Media(MediaSpelling::Tracks(_)));
            LiveKind::Past(Past { span, shape: Shape::Playlist, below })
        }
        Some(Err(refusal)) => LiveKind::Refused(refusal),
        _ => path.kind.clone(),
    };
    let viewing = match admit::admit(shared, &live, request, purpose(&wanted)).await {
        Ok(viewing) => viewing,
        Err(denial) => return denial.answer(shared, &name),
    };
    let mut response = match wanted {
        LiveKind::Master => playlist(live.master(&viewing), request),
        LiveKind::Media(_) => playlist(live.media(&viewing, &shared.keys), request),
        LiveKind::MpegTs => transport::answer(shared, &live, (&viewing, request)),
        LiveKind::Past(asked) => past::answer(shared, &live, asked, (&viewing, request)).await,
        LiveKind::RecordingStatus => past::recording_status(&live, request),
        LiveKind::Ranges => past::ranges(&live),
        LiveKind::Preview => preview::answer(shared, &live),
        LiveKind::Refused(refusal) => past::refused(refusal),
        LiveKind::Key(_) | LiveKind::Segment { .. } => unknown(),
    };
    count(&response, Some(&viewing));
    admit::set_session(shared, &mut response, &live, (&viewing, request));
    response
}

/// How a path is served, and whether a session may begin with it.
fn purpose(wanted: &LiveKind) -> Purpose {
    let stream = match wanted {
        LiveKind::MpegTs => true,
        LiveKind::Past(past) => matches!(past.shape, Shape::Stream | Shape::Download),
        _ => false,
    };
    let protocol = if stream { Protocol::MpegTs } else { Protocol::Hls };
    Purpose { protocol, begins: true }
}

/// What is sent of known length counts for the session; endless streams count for themselves.
fn count(response: &Response, viewing: Option<&Viewing>) {
    let guarded = viewing.and_then(|viewing| viewing.guarded.as_ref());
    if let (Some(guarded), Some(bytes)) = (guarded, response.body().size_hint().exact()) {
        guarded.grant.served.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A segment is for who has a session, and for who was given a list not long ago and asks by the path in it: boxes drop
/// queries and cookies. A session that is known to be closed is refused all the same.
async fn may_have(
    shared: &Shared,
    live: &Live,
    mark: Option<&str>,
    request: &Parts,
) -> Result<Option<Viewing>, Denial> {
    if mark.is_some_and(|mark| live.marked(&shared.keys, mark, shared.now_secs())) {
        return if admit::closed(shared, live, request) { Err(Cause::Closed.into()) } else { Ok(None) };
    }
    let purpose = Purpose { protocol: Protocol::Hls, begins: false };
    admit::admit(shared, live, request, purpose).await.map(Some)
}

async fn segment(live: &Live, (grid, number): (SegmentGrid, u64), request: &Parts) -> Response {
    let missing = || plain(StatusCode::NOT_FOUND, NO_SEGMENT);
    let bytes = match live.segment(grid, number) {
        Some(Found::Memory(bytes)) => Ok(Some(bytes)),
        Some(Found::File(path)) => match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(Some(bytes.into())),
            // It left the window between the look-up and the read: it is in the archive now, where there is one.
            Err(_) => recorded(live.recorder().cloned(), (grid, number)).await,
        },
        Some(Found::Archive(recorder)) => recorded(Some(recorder), (grid, number)).await,
        None => Ok(None),
    };
    match bytes {
        Ok(bytes) => bytes.map_or_else(missing, |bytes| answer::ranged(Kind::Segment, &bytes, &request.headers)),
        Err(error) => {
            debug!(channel = %live.name(), number, error = headend_rt::chain(&error), "archived segment not read");
            past::later(past::NOT_READABLE)
        }
    }
}

/// A segment of the archive, where there is one.
async fn recorded(recorder: Option<Recorder>, (grid, number): (SegmentGrid, u64)) -> io::Result<Option<Bytes>> {
    let Some(recorder) = recorder else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || recorder.read(grid, number)).await;
    read.unwrap_or_else(|gone| Err(io::Error::other(gone)))
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

/// A content key: the address is its own proof, and one and the same 403 answers everything else. Where others decide
/// about viewers, who asks must be let in as well: what they close gets no key.
async fn key(shared: &Shared, name: &ChannelName, request: &Parts) -> Response {
    let refused = || {
        shared.channels.counters().refused();
        plain(StatusCode::FORBIDDEN, REFUSED)
    };
    let id = request.uri.path().rsplit('/').next().unwrap_or_default();
    let query: Vec<&str> = request.uri.query().unwrap_or_default().split('&').collect();
    let signed: Vec<&str> = query.into_iter().filter(|pair| !pair.starts_with("token=")).collect();
    let Ok(address) = KeyAddress::parse(name.as_str(), id, &signed.join("&")) else { return refused() };
    let Some(live) = shared.channels.get(name) else { return refused() };
    let id: PeriodKeyId = address.id();
    let now = shared.now_secs();
    // The archive may hold segments from when keys turned at other times.
    let schedules = live.schedules();
    let genuine = |schedule: &&Schedule| {
        let key = shared.keys.address_key(name, schedule, id);
        key.is_some_and(|key| key.verify(&address, now).is_ok()) && !schedule.too_early(Period(id.period.0), now * 1000)
    };
    let Some(schedule) = schedules.iter().find(genuine) else { return refused() };
    if shared.gate.revoked(&address.session()) {
        return refused();
    }
    if shared.rules.of(name).is_some() && !live.free() {
        let purpose = Purpose { protocol: Protocol::Hls, begins: false };
        match admit::admit(shared, &live, request, purpose).await {
            Ok(viewing) if viewing.may_open((schedule, id.period), now * 1_000) => {}
            Ok(_) => return refused(),
            Err(denial) => return denial.answer(shared, name),
        }
    }
    match shared.keys.key_of(name, schedule, id) {
        Some(key) => answer::ranged(Kind::Key, &Bytes::copy_from_slice(key.bytes()), &request.headers),
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
