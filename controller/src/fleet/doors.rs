//! The fleet's HTTP interface: `POST /fleet/v1/enrol` and `POST /fleet/v1/day-keys`, over mutual TLS.
//!
//! Enrolment is the one call without a client certificate; it trades a one-time code for one. Day keys go to a
//! node whose certificate our authority signed and whose name the plan knows, for the channels it carries and
//! no others, from yesterday to 72 hours ahead. A refusal never says why; the log does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use headend_access::{Day, Generation, Root};
use headend_rt::{
    Clock,
    serve::{Peer, PeerCertificate},
};
use headend_wire::fleet::{DayKeyEntry, DayKeysAnswer, DayKeysRequest, EnrolAnswer, EnrolRequest};
use tokio::{sync::watch, time::Instant};

use super::{
    authority::{Authority, Request},
    desired::{FleetPlan, NodePlan},
    enrol::{Codes, NoCode},
    state::NodeKey,
};

const BODY_BYTES_MAX: usize = 64 * 1024;
/// Days after today for which a node holds keys: 72 hours.
const DAYS_AHEAD: u32 = 3;

const DAY_SECS: u32 = 86_400;

/// Every root that is in use, by generation.
pub type Roots = Arc<BTreeMap<Generation, Root>>;

/// What the doors need.
pub struct Doors {
    /// Signs certificates.
    pub authority: Authority,
    /// Who belongs to the fleet and carries what.
    pub plan: watch::Receiver<Arc<FleetPlan>>,
    /// The roots of content keys.
    pub roots: watch::Receiver<Roots>,
    /// Ed25519 public key that signs desired states, 64 hexadecimal digits.
    pub controller_key: String,
    /// The broker that nodes are told.
    pub mqtt_url: String,
    /// Wall time, for certificates and key days.
    pub clock: Arc<dyn Clock>,
}

/// The doors with their codes; share it with `Arc`.
pub struct OpenDoors {
    doors: Doors,
    codes: Mutex<Codes>,
    started: Instant,
}

impl OpenDoors {
    /// Doors without codes.
    #[must_use]
    pub fn new(doors: Doors) -> Arc<Self> {
        Arc::new(Self { doors, codes: Mutex::default(), started: Instant::now() })
    }

    /// Makes the enrolment code of a node, for the operator who asked.
    ///
    /// # Errors
    /// [`NoCode`] when too many wait.
    ///
    /// # Panics
    /// When the system has no randomness: a code that can be guessed must not be made.
    pub fn issue(&self, key: NodeKey) -> Result<String, NoCode> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the system has randomness");
        self.codes().issue(key, random, self.started.elapsed())
    }

    /// The authority behind the doors.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.doors.authority
    }

    /// The routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/fleet/v1/enrol", post(enrol))
            .route("/fleet/v1/day-keys", post(day_keys))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }

    fn codes(&self) -> std::sync::MutexGuard<'_, Codes> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One answer for every refusal.
fn refused() -> Response {
    (StatusCode::FORBIDDEN, "refused\n").into_response()
}

async fn enrol(
    State(open): State<Arc<OpenDoors>>,
    Extension(Peer(peer)): Extension<Peer>,
    Json(asked): Json<EnrolRequest>,
) -> Response {
    let request = match Request::from_pem(&asked.csr_pem) {
        Ok(request) => request,
        Err(error) => {
            tracing::info!(%peer, error = headend_rt::chain(&error), "enrolment refused");
            return refused();
        }
    };
    let name = request.common_name().unwrap_or_default().to_owned();
    let redeemed = open.codes().redeem(&name, &asked.code, peer.ip(), open.started.elapsed());
    let key = match redeemed {
        Ok(key) => key,
        Err(error) => {
            tracing::warn!(%peer, node = name.chars().take(120).collect::<String>(), error = %error, "enrolment refused");
            return refused();
        }
    };
    let doors = &open.doors;
    match doors.authority.sign(&request, &key, doors.clock.now()) {
        Ok(certificate_pem) => {
            tracing::info!(%peer, site = %key.site, node = %key.node, "node enrolled");
            Json(EnrolAnswer {
                site: key.site,
                node: key.node,
                certificate_pem,
                authority_pem: doors.authority.certificate_pem().to_owned(),
                controller_key: doors.controller_key.clone(),
                mqtt_url: doors.mqtt_url.clone(),
            })
            .into_response()
        }
        Err(error) => {
            tracing::error!(%peer, node = %key.node, error = headend_rt::chain(&error), "enrolment failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn day_keys(
    State(open): State<Arc<OpenDoors>>,
    certificate: Option<Extension<PeerCertificate>>,
    Json(asked): Json<DayKeysRequest>,
) -> Response {
    let name = certificate.as_ref().and_then(|Extension(certificate)| certificate.common_name());
    let plan = Arc::clone(&open.doors.plan.borrow());
    let Some((key, node)) = name.and_then(|name| plan.by_name(name)) else {
        tracing::warn!(node = name.unwrap_or("(no certificate)"), "day keys refused");
        return refused();
    };
    let now_ms = u64::try_from(open.doors.clock.unix_ms()).unwrap_or(0);
    let roots = Arc::clone(&open.doors.roots.borrow());
    let keys = keys_for(node, &asked, &roots, Day::of_unix_ms(now_ms));
    tracing::debug!(site = %key.site, node = %key.node, keys = keys.len(), "day keys given");
    Json(DayKeysAnswer { keys }).into_response()
}

/// The day keys a node may have of those it asks for: its own channels, up to the generation it packages with
/// and as far back as it archives (an archive needs older ones). What it may not have is left out.
fn keys_for(node: &NodePlan, asked: &DayKeysRequest, roots: &Roots, today: Day) -> Vec<DayKeyEntry> {
    let mut keys = Vec::new();
    let mut given = std::collections::HashSet::new();
    for scope in &asked.channels {
        let carried = node.channels.iter().find(|channel| channel.name == scope.channel);
        let allowed = carried.is_some_and(|channel| scope.generation <= channel.key_generation);
        let root = roots.get(&Generation(scope.generation)).filter(|_| allowed);
        let Some(root) = root.filter(|_| given.insert(scope)) else { continue };
        let kept = carried.and_then(|channel| channel.dvr.as_ref()).map_or(0, |dvr| dvr.keep.depth_secs / DAY_SECS + 1);
        for day in today.0.saturating_sub(1 + kept)..=today.0.saturating_add(DAYS_AHEAD) {
            let key = root.day_key(scope.channel.as_str(), Day(day));
            let key = key.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
            keys.push(DayKeyEntry { channel: scope.channel.clone(), generation: scope.generation, day, key });
        }
    }
    keys
}
