//! Answers of a channel: master, media playlist, segment, key, endless stream; its past is `past`'s.

use axum::{
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use headend_access::{KeyAddress, Period, PeriodKeyId, Schedule, SessionId};
use headend_media::playlist::{LiveKind, LivePath, MediaSpelling, Past, SegmentGrid, Shape};
use headend_rt::serve::Peer;
use headend_wire::ChannelName;
use tracing::debug;

use super::{
    Refused, Shared,
    answer::{self, Kind, plain},
    capture, past, preview, transport,
};
use crate::output::live::{Found, Live, Viewing};

/// What TVIP boxes and gateways send instead of a query.
const SESSION_HEADER: &str = "x-playback-session-id";
const COOKIE: &str = "flusession";

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
    let wanted = match past::shifted(query) {
        Some(Ok(span)) if matches!(path.kind, LiveKind::Master | LiveKind::Media(_)) => {
            let below = matches!(path.kind, LiveKind::Media(MediaSpelling::Tracks(_)));
            LiveKind::Past(Past { span, shape: Shape::Playlist, below })
        }
        Some(Err(refusal)) => LiveKind::Refused(refusal),
        _ => path.kind.clone(),
    };
    let mut response = match wanted {
        LiveKind::Master => playlist(live.master(&viewing), request),
        LiveKind::Media(_) => playlist(live.media(&viewing, &shared.keys), request),
        LiveKind::Segment { grid, number } => return segment(&live, (grid, number), request).await,
        LiveKind::MpegTs => transport::answer(shared, &live, request),
        LiveKind::Past(asked) => past::answer(shared, &live, asked, (&viewing, request)).await,
        LiveKind::RecordingStatus => past::recording_status(&live, request),
        LiveKind::Ranges => past::ranges(&live),
        LiveKind::Preview => preview::answer(shared, &live),
        LiveKind::Refused(refusal) => past::refused(refusal),
        LiveKind::Key(_) => unknown(),
    };
    set_session(&mut response, &name, &viewing, query);
    response
}

async fn segment(live: &Live, (grid, number): (SegmentGrid, u64), request: &Parts) -> Response {
    let missing = || plain(StatusCode::NOT_FOUND, NO_SEGMENT);
    let bytes = match live.segment(grid, number) {
        Some(Found::Memory(bytes)) => Some(bytes),
        // It may leave the window between the look-up and the read.
        Some(Found::File(path)) => tokio::fs::read(&path).await.ok().map(Into::into),
        Some(Found::Archive(recorder)) => {
            let read = tokio::task::spawn_blocking(move || recorder.read(grid, number)).await;
            match read.unwrap_or_else(|gone| Err(std::io::Error::other(gone))) {
                Ok(found) => found,
                Err(error) => {
                    debug!(channel = %live.name(), number, error = headend_rt::chain(&error), "archived segment not read");
                    return past::later(past::NOT_READABLE);
                }
            }
        }
        None => None,
    };
    bytes.map_or_else(missing, |bytes| answer::ranged(Kind::Segment, &bytes, &request.headers))
}

/// A viewer that showed its token in the address gets it as a cookie too: boxes that drop queries keep it.
fn set_session(response: &mut Response, name: &ChannelName, viewing: &Viewing, query: &str) {
    let shown = viewing.token.as_deref().filter(|token| parameter(query, "token") == Some(token));
    let playlist = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == answer::PLAYLIST_TYPE);
    let Some(token) = shown.filter(|_| playlist) else { return };
    // Names of channels are what a path may hold, tokens are base64; other text sets no cookie.
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/+=".contains(&byte));
    if plain(name.as_str()) && plain(token) {
        let text = format!("{COOKIE}={token}; Path=/{name}; HttpOnly; SameSite=Lax");
        let value = header::HeaderValue::from_str(&text).expect("checked to be plain");
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

/// The token of a request: from its query, from the header that TVIP boxes send, from the cookie.
fn token(request: &Parts) -> Option<&str> {
    let query = parameter(request.uri.query().unwrap_or_default(), "token");
    let header = || request.headers.get(SESSION_HEADER)?.to_str().ok().filter(|text| !text.is_empty());
    let cookie = || {
        let cookies = request.headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).map(str::trim);
        pairs.find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('=')).filter(|text| !text.is_empty())
    };
    query.or_else(header).or_else(cookie)
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
    let token = token(request);
    let now = shared.now_secs();
    // On a free channel a token is looked at when it is shown, and a stale cookie of another day is not held against it.
    let shown = parameter(request.uri.query().unwrap_or_default(), "token");
    if shown.is_none() && live.free() {
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
    match shared.keys.key_of(name, schedule, id) {
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
