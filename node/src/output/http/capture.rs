//! A local capture for the other site: `/NAME/mpegts?source=SOURCE`.
//!
//! What goes through the tunnel is always this site's own capture, never what this site chose to play: a chosen feed
//! could be the other site's, and the two would feed each other. A source that is itself remote is refused. Of a
//! multiplex only the channel's own service crosses. Its packets are sent as they were captured, so that both sites
//! package the same packets into the same bytes.

use axum::{
    http::{StatusCode, request::Parts},
    response::Response,
};

use headend_media::excerpt::Excerpt;

use super::{
    Shared,
    answer::{self, Kind, plain},
    live::peer,
    transport,
};
use crate::output::live::{Capture, Live};

pub(super) fn answer(shared: &Shared, live: &Live, source: &str, request: &Parts) -> Response {
    if !shared.trusted(peer(request)) {
        return plain(
            StatusCode::FORBIDDEN,
            "captures go to configured peers only; add this address to http.clear_peers\n",
        );
    }
    match live.capture(source) {
        Capture::Local(reader, service) => {
            let excerpt = service.map(|service| Excerpt::new(Some(service.0)));
            answer::of(
                StatusCode::OK,
                Kind::Stream,
                transport::body((reader, excerpt), transport::Leave::with(&shared.stopping)),
            )
        }
        Capture::Remote => plain(
            StatusCode::CONFLICT,
            "this source is remote itself; take it from the site that captures it, or two sites would feed each other\n",
        ),
        Capture::Unknown => plain(StatusCode::NOT_FOUND, "the channel has no such source on this node\n"),
    }
}
