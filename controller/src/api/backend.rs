//! `/auth`: authorisation backend of an existing Flussonic, so that its viewers are decided about here before its
//! channels move.
//!
//! The server asks with the fields of its backend contract; of them `name` and `token` decide. The token is the session's,
//! as `/play` takes it, or a playback token that this controller signed. Only servers that the configuration lists may
//! ask: what is answered would tell anybody else which tokens are good. A store that cannot be read is 500, on which the
//! server keeps what it decided before.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
    routing::get,
};
use headend_access::{TokenSigner, TokenVerifier};

use super::{Office, viewer_answer::plain, who::Client};
use crate::{
    domain::{Session, Subscriber},
    policy::entitlement::{Entitlement, entitlement},
    store::Table,
};

/// A viewer whose tariff ends is cut off so much later at most, seconds.
const HOLD_SECS: u64 = 180;
/// What the contract allows at least, seconds.
const HOLD_SECS_MIN: u64 = 10;

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/auth", get(decide))
}

/// Decides about a session of an existing Flussonic.
#[utoipa::path(get, path = "/auth", tag = "viewing", params(
    ("name" = String, Query, description = "The stream, which is the channel's name here"),
    ("token" = Option<String>, Query, description = "The session's token, or a playback token; not for free channels")),
    responses((status = 200, description = "May watch; X-AuthDuration, X-UserId, X-Max-Sessions"), (status = 403, description = "May not watch, or not a listed server"), (status = 500, description = "Not decided")))]
pub(super) async fn decide(
    State(office): State<Arc<Office>>,
    Client(server): Client,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    if !office.flussonic_servers.iter().any(|network| network.contains(server)) {
        tracing::debug!(%server, "a server that is not listed in flussonic.servers asked about a viewer");
        return plain(StatusCode::FORBIDDEN, "this server is not listed in flussonic.servers\n");
    }
    let field = |name: &str| asked.get(name).map(String::as_str).filter(|text| !text.is_empty());
    match viewer(&office, field("name").unwrap_or_default(), field("token")).await {
        Ok(viewer) => allowed(viewer.as_ref(), office.now_secs()),
        Err(status) => plain(status, "not authorised\n"),
    }
}

/// Who watches, nobody in particular on a free channel; or what is answered instead.
async fn viewer(
    office: &Arc<Office>,
    name: &str,
    token: Option<&str>,
) -> Result<Option<(Session, Subscriber)>, StatusCode> {
    const NO: StatusCode = StatusCode::FORBIDDEN;
    let now = office.now_secs();
    let catalogue = office.catalogue.current();
    let channel = catalogue.channels.get(name).filter(|channel| channel.enabled).ok_or(NO)?;
    if channel.free {
        return Ok(None);
    }
    let token = token.ok_or(NO)?;
    let session = office.sessions.by_token(token, now);
    let session = session.or_else(|| signed(office, token, name, now)).ok_or(NO)?;
    let table: Table<Subscriber> = Table::new(Arc::clone(&office.engine));
    let subscriber = match table.get(&session.subscriber).await {
        Ok(kept) => kept.ok_or(NO)?.record,
        Err(error) => {
            tracing::error!(error = headend_rt::chain(&error), "subscriber could not be read");
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    match entitlement(&subscriber, &catalogue.tariffs, channel, now) {
        Entitlement::Allowed => Ok(Some((session, subscriber))),
        Entitlement::Refused(cause) => {
            tracing::debug!(channel = name, subscriber = %subscriber.login, %cause, "refused for an existing server");
            Err(NO)
        }
    }
}

/// The live session of a playback token for this channel.
fn signed(office: &Office, token: &str, name: &str, now: u64) -> Option<Session> {
    let verifier = TokenVerifier::new([TokenSigner::public(&office.signer)]).ok()?;
    let claims = verifier.verify(token, name, now).ok()?;
    office.sessions.by_id(&claims.session, now)
}

fn allowed(viewer: Option<&(Session, Subscriber)>, now: u64) -> Response {
    let mut response = plain(StatusCode::OK, "");
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    let hold = viewer.map_or(HOLD_SECS, |(session, subscriber)| {
        let ends = subscriber.paid_until.map_or(session.expires_at, |until| until.min(session.expires_at));
        ends.saturating_sub(now).clamp(HOLD_SECS_MIN, HOLD_SECS)
    });
    set("x-authduration", &hold.to_string());
    if let Some((_, subscriber)) = viewer {
        set("x-userid", subscriber.login.as_str());
        set("x-max-sessions", &subscriber.devices_max.to_string());
    }
    response
}
