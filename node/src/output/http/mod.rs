//! The node's HTTP: live paths, keys, liveness, metrics, status, and the technician's page.
//!
//! Every path of a channel goes through one door: the path is read by `media::playlist::LivePath`, the token by
//! [`gate::Gate`], and what is sent are shared bytes. Nothing is kept per viewer but a session's last sign of life. A
//! viewer is told no more than a status; the cause is in the log and in the counters.

mod admit;
mod answer;
mod cams;
mod capture;
mod gate;
mod live;
mod metrics;
mod page;
mod past;
mod past_stream;
mod preview;
mod status;
mod transport;

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::Response,
    routing::{get, post},
};
use headend_media::playlist::LivePath;
use headend_rt::{CancellationToken, Clock, config::Network, serve::Peer};
use headend_wire::{NodeName, SiteName};

pub(super) use admit::encode;
pub use gate::{Gate, Refused};
pub use page::door::host_of;
pub use status::{Feeds, NodeStatus};

use super::{archive::Archive, channels::Channels, keys::KeyStore, viewing::Rules};
use crate::cam::Cams;
use answer::plain;

/// What every request can reach.
pub struct Shared {
    /// The site, for status.
    pub site: SiteName,
    /// The node, for status.
    pub node: NodeName,
    /// The channels that run.
    pub channels: Arc<Channels>,
    /// What is kept of them.
    pub archive: Arc<Archive>,
    /// Content keys.
    pub keys: Arc<KeyStore>,
    /// Tokens.
    pub gate: Arc<Gate>,
    /// Who decides about viewers besides our own tokens.
    pub rules: Arc<Rules>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Peers that may take clear streams and captures, besides loopback.
    pub clear_peers: Arc<ArcSwap<Vec<IpAddr>>>,
    /// Where technicians sit: these networks see the page and the status, besides loopback and the peers.
    pub technicians: Arc<ArcSwap<Vec<Network>>>,
    /// The host of the address that viewers are told, when one is configured.
    pub public_host: Option<String>,
    /// The listener speaks TLS: what leaves it is not in the clear.
    pub tls: bool,
    /// Cancelled when the node stops: endless streams end then, requests that have an end may reach it.
    pub stopping: CancellationToken,
    /// What the status page and the metrics ask the rest of the program.
    pub status: Box<dyn Fn() -> NodeStatus + Send + Sync>,
    /// The CAMs, for the technician.
    pub cams: Cams,
}

impl Shared {
    /// Whether this peer may have a clear stream without a token.
    fn trusted(&self, peer: Option<&Peer>) -> bool {
        let Some(Peer(address)) = peer else { return false };
        let ip = address.ip().to_canonical();
        ip.is_loopback() || self.clear_peers.load().contains(&ip)
    }

    fn now_secs(&self) -> u64 {
        u64::try_from(self.clock.now().as_second()).unwrap_or(0)
    }
}

/// The whole of the node's HTTP.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(status::healthz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/node/v1/status", get(status::status))
        .merge(page::router())
        .route("/api/node/v1/cams", get(cams::list))
        .route("/api/node/v1/cams/{name}/{order}", post(cams::order))
        .route("/api/node/v1/archive", get(archive))
        .fallback(stream)
        .with_state(shared)
}

/// Disks, and what is kept of each channel: for the technician and for monitors at the box.
async fn archive(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !shared.trusted(request.extensions().get::<Peer>()) {
        return plain(StatusCode::FORBIDDEN, "only loopback and configured peers may see the archive's state\n");
    }
    past::json(&shared.archive.status())
}

/// Everything else is a channel's.
async fn stream(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        // A browser asks before it sends a Range or a token from another origin.
        Method::OPTIONS => return answer::preflight(),
        _ => return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS are answered here\n"),
    }
    // The body is dropped here: nothing of ours has one.
    let (request, _) = request.into_parts();
    match LivePath::parse(request.uri.path()) {
        Some(path) => live::answer(&shared, &path, &request).await,
        None => plain(StatusCode::NOT_FOUND, "no such path; a channel's playlist is /NAME/index.m3u8\n"),
    }
}
