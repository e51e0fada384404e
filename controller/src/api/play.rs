//! `/play/NAME/…?token=`: sends a viewer to the same path on the chosen origin, with a playback token.
//!
//! Every live spelling of a node is known. Who may not watch gets a 403 in words; a free channel needs no session.
//! When no origin is left, playlists lead to the slate, which sends the viewer back when one is. The token is bound
//! to the session and this channel and is the same for hours ([`crate::policy::playback`]).

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::get,
};
use headend_access::{Scope, TokenClaims};
use headend_failover::Viewer;
use headend_media::playlist::{LiveKind, LivePath, Refusal};
use headend_wire::ChannelName;

use super::{
    Office,
    viewer_answer::{plain, redirect},
    who::parameter,
};
use crate::{
    domain::{Channel, Session, Subscriber},
    fleet::{probe::round::Answer, state::NodeKey},
    page::asking::bearer,
    policy::{
        entitlement::{Entitlement, entitlement},
        line_up::DEFAULT_AUDIENCE,
        playback,
    },
    store::Table,
};

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/play/{*path}", get(play))
}

/// Why a viewer is not sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSent {
    NoChannel,
    NotEntitled,
    NotNow,
}

impl NotSent {
    pub(super) fn answer(self) -> Response {
        match self {
            Self::NoChannel => plain(StatusCode::NOT_FOUND, "no such channel\n"),
            Self::NotEntitled => {
                plain(StatusCode::FORBIDDEN, "this session may not watch this channel; sign in again\n")
            }
            Self::NotNow => plain(StatusCode::SERVICE_UNAVAILABLE, "try again in a moment\n"),
        }
    }
}

/// Where a viewer belongs.
pub(super) enum Sent {
    /// To this address, without path; with the playback token to show there.
    Origin { url: String, token: Option<String> },
    /// To the slate.
    Slate,
}

/// Sends a viewer to an origin.
#[utoipa::path(get, path = "/play/{name}/index.m3u8", tag = "viewing", params(
    ("name" = String, Path, description = "The channel; may hold slashes. Every live path of a node works, not only index.m3u8"),
    ("token" = Option<String>, Query, description = "The session's token; not for free channels")),
    responses((status = 302, description = "To an origin, or to the slate"), (status = 403, description = "Not entitled"), (status = 404, description = "No such channel")))]
pub(super) async fn play(State(office): State<Arc<Office>>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().strip_prefix("/play").unwrap_or_default();
    let Some(live) = LivePath::parse(path) else { return NotSent::NoChannel.answer() };
    let query = uri.query().unwrap_or_default();
    let token = bearer(&headers).or_else(|| parameter(query, "token"));
    match live.kind {
        LiveKind::Key(_) | LiveKind::Ranges => return NotSent::NoChannel.answer(),
        LiveKind::Refused(cause) => return refusal(cause),
        _ => {}
    }
    match place(&office, &live.channel, token).await {
        Ok(Sent::Origin { url, token: playback }) => {
            office.tally.redirected.fetch_add(1, Ordering::Relaxed);
            redirect(&with_query(&format!("{url}{path}"), query, playback.as_deref()))
        }
        Ok(Sent::Slate) => {
            office.tally.slated.fetch_add(1, Ordering::Relaxed);
            slate(&live, token)
        }
        Err(refused) => {
            office.tally.play_refused.fetch_add(1, Ordering::Relaxed);
            refused.answer()
        }
    }
}

/// Decides for a channel and a session's token.
pub(super) async fn place(office: &Arc<Office>, name: &str, token: Option<&str>) -> Result<Sent, NotSent> {
    let catalogue = office.catalogue.current();
    let channel = catalogue.channels.get(name).filter(|channel| channel.enabled).ok_or(NotSent::NoChannel)?;
    let session = token.and_then(|token| office.sessions.by_token(token, office.now_secs()));
    let subscriber = match &session {
        Some(session) => Some(subscriber(office, session).await?),
        None if channel.free => None,
        None => return Err(NotSent::NotEntitled),
    };
    if let Some(subscriber) = &subscriber
        && let Entitlement::Refused(cause) = entitlement(subscriber, &catalogue.tariffs, channel, office.now_secs())
    {
        tracing::debug!(channel = name, subscriber = %subscriber.login, %cause, "play refused");
        return Err(NotSent::NotEntitled);
    }
    let audience = subscriber.as_ref().map_or(DEFAULT_AUDIENCE, |subscriber| subscriber.audience.as_str());
    let Some((key, url)) = choose(office, &channel.name, audience, session.as_ref()) else { return Ok(Sent::Slate) };
    if let Some(session) = &session {
        office.placed.set(session.id, &channel.name, Some(&key));
    }
    let token = session.map(|session| sign(office, &session, channel)).transpose()?;
    Ok(Sent::Origin { url, token })
}

async fn subscriber(office: &Arc<Office>, session: &Session) -> Result<Subscriber, NotSent> {
    let table: Table<Subscriber> = Table::new(Arc::clone(&office.engine));
    match table.get(&session.subscriber).await {
        Ok(kept) => kept.map(|kept| kept.record).ok_or(NotSent::NotEntitled),
        Err(error) => {
            tracing::error!(error = headend_rt::chain(&error), "subscriber could not be read");
            Err(NotSent::NotNow)
        }
    }
}

fn choose(
    office: &Office,
    channel: &ChannelName,
    audience: &str,
    session: Option<&Session>,
) -> Option<(NodeKey, String)> {
    let on = session.and_then(|session| office.placed.on(&session.id, channel));
    match office.fleet.desk.place(channel, audience, &Viewer { on: on.as_ref(), failed: None }) {
        Answer::Origin { key, url } => Some((key, url)),
        Answer::Slate | Answer::NoChannel => None,
    }
}

fn sign(office: &Office, session: &Session, channel: &Channel) -> Result<String, NotSent> {
    let (not_before, expires) = playback::window(office.now_secs(), session.expires_at);
    let claims = TokenClaims {
        session: session.id,
        device: session.device.0,
        not_before,
        expires,
        scope: Scope::Channel(channel.name.to_string()),
    };
    office.signer.sign(&claims).map_err(|error| {
        tracing::error!(channel = %channel.name, error = headend_rt::chain(&error), "playback token could not be signed");
        NotSent::NotNow
    })
}

/// An address with the asked query, the session's token replaced by the playback token.
pub(super) fn with_query(address: &str, query: &str, playback: Option<&str>) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("token=")).map(str::to_owned);
    let pairs: Vec<String> = playback.map(|token| format!("token={token}")).into_iter().chain(kept).collect();
    if pairs.is_empty() { address.to_owned() } else { format!("{address}?{}", pairs.join("&")) }
}

/// What no origin would answer with media.
fn refusal(cause: Refusal) -> Response {
    match cause {
        Refusal::Obsolete => plain(StatusCode::GONE, "this format is obsolete and not served; play index.m3u8\n"),
        Refusal::NotMade => plain(StatusCode::NOT_FOUND, "this format is not made here; play index.m3u8\n"),
        _ => plain(StatusCode::BAD_REQUEST, "the times in this address cannot be: Unix seconds, then a duration\n"),
    }
}

/// The slate for what was asked; it carries channel and token, so that it can send the viewer back.
fn slate(live: &LivePath, token: Option<&str>) -> Response {
    let file = match live.kind {
        LiveKind::Master => "index.m3u8",
        LiveKind::Media(_) => "video.m3u8",
        LiveKind::Segment { .. } => return plain(StatusCode::NOT_FOUND, "no origin has this segment now\n"),
        LiveKind::Past(_) | LiveKind::RecordingStatus | LiveKind::Ranges | LiveKind::Preview => {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "no origin that keeps this archive answers now\n");
        }
        LiveKind::Refused(cause) => return refusal(cause),
        LiveKind::MpegTs | LiveKind::Key(_) => {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "no origin is left for this channel; try again in a moment\n",
            );
        }
    };
    let name = live.channel.replace('+', "%2B");
    let token = token.map(|token| format!("&token={token}")).unwrap_or_default();
    redirect(&format!("/slate/{file}?channel={name}{token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_keep_what_is_not_ours() {
        let check = |query: &str, playback: Option<&str>, expected: &str| {
            assert_eq!(
                with_query("http://o/n/index.m3u8", query, playback),
                format!("http://o/n/index.m3u8{expected}")
            );
        };
        check("token=S", Some("P"), "?token=P");
        check("a=1&token=S&b=2", Some("P"), "?token=P&a=1&b=2");
        check("", None, "");
        check("token=S&a=1", None, "?a=1");
    }
}
