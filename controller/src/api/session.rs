//! Signing in to watch.

use std::sync::{Arc, atomic::Ordering};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    Office,
    body::Body,
    error::{ApiError, Problem},
    operators::time,
    who::{Client, Viewer},
};
use crate::{
    domain::{DeviceId, Status, Subscriber},
    store::Table,
    viewing::{Checked, passwords::Typed, sessions::device_hash},
};

/// Who wants to watch, on which device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionBody {
    /// The subscriber's login.
    pub login: String,
    /// The password.
    pub password: String,
    /// What the device calls itself: an identifier, no secret.
    #[serde(default = "unnamed")]
    #[schema(value_type = String)]
    pub device: DeviceId,
}

fn unnamed() -> DeviceId {
    "unnamed".parse().expect("it is a name")
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionToken {
    /// For `Authorization: Bearer`, and `?token=` where a player cannot send that.
    pub token: String,
    /// When it ends, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// Whose it is.
    pub subscriber: SignedInSubscriber,
}

/// A subscriber as the subscriber sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedInSubscriber {
    /// Who signed in.
    pub login: String,
    /// For people.
    pub name: String,
    /// The group of viewers.
    pub audience: String,
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/api/v1/session", post(begin).delete(end))
}

/// Signs a subscriber in. A login that does not exist and a wrong password get the same answer after the same work.
#[utoipa::path(post, path = "/api/v1/session", tag = "viewing", request_body = SessionBody, responses(
    (status = 200, body = SessionToken), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn begin(
    State(office): State<Arc<Office>>,
    Client(from): Client,
    Body { value, .. }: Body<SessionBody>,
) -> Result<Json<SessionToken>, ApiError> {
    let typed = Typed { login: &value.login, password: Zeroizing::new(value.password), from };
    let login = typed.as_login();
    let table: Table<Subscriber> = Table::new(Arc::clone(&office.engine));
    let kept = table.get(&login).await?.map(|kept| kept.record);
    let hash = kept.as_ref().map(|subscriber| subscriber.password.clone());
    let checked = office.viewer_passwords.check(typed, hash).await;
    let counter = if checked == Checked::Right { &office.tally.sign_ins } else { &office.tally.sign_ins_refused };
    counter.fetch_add(1, Ordering::Relaxed);
    let subscriber = match (checked, kept) {
        (Checked::Right, Some(subscriber)) => subscriber,
        (Checked::Right | Checked::Wrong, _) => return Err(ApiError::wrong_password()),
        (Checked::Wait { retry_after_secs }, _) => return Err(ApiError::too_many_tries(retry_after_secs)),
        (Checked::Busy, _) => return Err(ApiError::busy()),
    };
    // Only who knows the password is told.
    if subscriber.status == Status::Suspended {
        return Err(ApiError::forbidden("this subscription is suspended", "call your operator"));
    }
    let begun = office.sessions.begin(&login, device_hash(&value.device), &*office.clock).await?;
    let Subscriber { login, name, audience, .. } = subscriber;
    Ok(Json(SessionToken {
        token: begun.token,
        expires: time(begun.session.expires_at),
        subscriber: SignedInSubscriber { login: login.to_string(), name, audience: audience.to_string() },
    }))
}

/// Signs out: the session's playback tokens and keys end with it.
#[utoipa::path(delete, path = "/api/v1/session", tag = "viewing", security(("viewer" = [])), responses((status = 204), (status = 401, body = Problem)))]
pub(super) async fn end(State(office): State<Arc<Office>>, viewer: Viewer) -> Result<StatusCode, ApiError> {
    office.sessions.end(viewer.session, &*office.clock).await?;
    Ok(StatusCode::NO_CONTENT)
}
