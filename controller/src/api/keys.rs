//! `/k/NAME/GENERATION-PERIOD?s=&e=&h=`: 16 bytes to those entitled, one and the same 403 to everybody else.
//!
//! Nothing is asked of the player but the address: its MAC is checked, then that the session is known and not
//! revoked, then that its subscriber may watch the channel now. The key follows from the root, so there is nothing
//! to look up. A player never asks again for a key that was refused, so no refusal is for a passing cause except
//! that the store cannot be read. The cause is in the log, at debug level.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::get,
};
use bytes::Bytes;
use headend_access::{KeyAddress, PeriodKey, Schedule, SessionId};

use super::{
    Office,
    viewer_answer::{plain, ranged},
};
use crate::{
    domain::{Channel, Subscriber},
    policy::entitlement::{Entitlement, Reason, entitlement},
    store::{StoreError, Table},
};

const KEY: (&str, &str) = ("application/octet-stream", "no-store");
/// The session of those who watch a free channel without one; nodes write it into key addresses.
const NOBODY: SessionId = SessionId([0; 16]);

/// Why a key was refused; for the log alone.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("not an address of ours, or expired")]
    Address,
    #[error("no such channel, or it is off")]
    Channel,
    #[error("no such key generation or period")]
    Key,
    #[error("the period has not come yet")]
    Early,
    #[error("the session is unknown, over or revoked")]
    Session,
    #[error("the subscriber is gone")]
    Subscriber,
    #[error("{0}")]
    NotEntitled(Reason),
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/k/{*path}", get(key))
}

/// A content key.
#[utoipa::path(get, path = "/k/{name}/{generation}-{period}", tag = "viewing", params(
    ("name" = String, Path, description = "The channel; may hold slashes"), ("generation" = u32, Path), ("period" = u64, Path),
    ("s" = String, Query, description = "Session"), ("e" = u32, Query, description = "Expiry, Unix seconds"), ("h" = String, Query, description = "MAC")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>, description = "16 bytes"),
    (status = 206, description = "The part that Range asks for"), (status = 403, description = "Whatever the cause")))]
pub(super) async fn key(State(office): State<Arc<Office>>, uri: Uri, headers: HeaderMap) -> Response {
    match find(&office, &uri).await {
        Ok(key) => {
            office.tally.keys_given.fetch_add(1, Ordering::Relaxed);
            ranged(KEY, Bytes::copy_from_slice(key.bytes()), &headers)
        }
        Err(cause) => {
            office.tally.keys_refused.fetch_add(1, Ordering::Relaxed);
            match &cause {
                Refused::Store(error) => tracing::error!(error = headend_rt::chain(error), "key refused"),
                cause => tracing::debug!(path = uri.path(), %cause, "key refused"),
            }
            plain(StatusCode::FORBIDDEN, "refused\n")
        }
    }
}

async fn find(office: &Arc<Office>, uri: &Uri) -> Result<PeriodKey, Refused> {
    let path = uri.path().strip_prefix("/k/").ok_or(Refused::Address)?.replace("%2B", "+");
    let (name, id) = path.rsplit_once('/').ok_or(Refused::Address)?;
    let address = KeyAddress::parse(name, id, uri.query().unwrap_or_default()).map_err(|_| Refused::Address)?;
    let catalogue = office.catalogue.current();
    let channel = catalogue.channels.get(name).filter(|channel| channel.enabled).ok_or(Refused::Channel)?;
    let root = office.roots.get(&address.id().generation).ok_or(Refused::Key)?;
    let schedule = Schedule::new(name, channel.period_ms).map_err(|_| Refused::Key)?;
    let period = address.id().period;
    let day_key = root.day_key(name, schedule.day_of(period));
    day_key.address_key().verify(&address, office.now_secs()).map_err(|_| Refused::Address)?;
    if schedule.too_early(period, office.now_ms()) {
        return Err(Refused::Early);
    }
    welcome(office, &catalogue.tariffs, channel, address.session()).await?;
    Ok(day_key.period_key(period))
}

/// Whether this session may still watch this channel.
async fn welcome(
    office: &Arc<Office>,
    tariffs: &[crate::domain::Tariff],
    channel: &Channel,
    session: SessionId,
) -> Result<(), Refused> {
    if session == NOBODY {
        return if channel.free { Ok(()) } else { Err(Refused::Session) };
    }
    let now = office.now_secs();
    let session = office.sessions.by_id(&session, now).ok_or(Refused::Session)?;
    let table: Table<Subscriber> = Table::new(Arc::clone(&office.engine));
    let kept = table.get(&session.subscriber).await.map_err(Refused::Store)?.ok_or(Refused::Subscriber)?;
    match entitlement(&kept.record, tariffs, channel, now) {
        Entitlement::Allowed => Ok(()),
        Entitlement::Refused(reason) => Err(Refused::NotEntitled(reason)),
    }
}
