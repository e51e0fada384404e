//! The OpenAPI document of everything here: at `/api/openapi.json`, and printed by `headend-controller openapi`.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{
    Office, backend, channels, error, fleet, health, keys, my, nodes, operators, play, playlist, session, slate,
    subscribers, tariffs,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Headend controller", description = "Subscribers, tariffs, channels, nodes; redirects and content keys. Errors are RFC 9457 problem documents with a `fix`. Writes of operators take an `Idempotency-Key` and are durable when they are answered."),
    paths(
        operators::begin, operators::end, operators::list, operators::read, operators::put, operators::remove,
        tariffs::list, tariffs::read, tariffs::put, tariffs::remove,
        channels::list, channels::read, channels::put, channels::remove,
        subscribers::list, subscribers::read, subscribers::put, subscribers::remove,
        nodes::list, nodes::read, nodes::put, nodes::remove, nodes::enrolment,
        fleet::fleet, fleet::health, session::begin, session::end, my::channels,
        backend::decide, play::play, keys::key, playlist::playlist, slate::slate, health::healthz, health::metrics, document,
    ),
    components(schemas(error::Problem)),
    modifiers(&Schemes),
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, words) in [
            (
                "operator",
                "The token of POST /api/v1/operator/session; or the cookie of the form page, with Origin on writes",
            ),
            ("viewer", "The token of POST /api/v1/session; or ?token="),
        ] {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(words)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// The document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/api/openapi.json", get(document))
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "monitoring", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every route of the room, as it is written in its files.
    const SOURCES: [&str; 14] = [
        include_str!("operators.rs"),
        include_str!("tariffs.rs"),
        include_str!("channels.rs"),
        include_str!("subscribers.rs"),
        include_str!("nodes.rs"),
        include_str!("fleet.rs"),
        include_str!("session.rs"),
        include_str!("my.rs"),
        include_str!("play.rs"),
        include_str!("keys.rs"),
        include_str!("playlist.rs"),
        include_str!("slate.rs"),
        include_str!("health.rs"),
        include_str!("openapi.rs"),
    ];

    #[test]
    fn every_route_is_documented() {
        let documented: Vec<String> = openapi().paths.paths.keys().cloned().collect();
        let mut routes = 0;
        for source in SOURCES {
            let own = source.split("mod tests").next().unwrap_or_default();
            for part in own.split(".route(\"").skip(1) {
                let path = part.split('"').next().unwrap_or_default();
                let start = path.replace("{*path}", "").replace("{*name}", "{name}");
                let known = documented
                    .iter()
                    .any(|known| *known == start || (start.ends_with('/') && known.starts_with(&start)));
                assert!(known, "{path} is not in the document");
                routes += 1;
            }
        }
        assert!(routes > 20, "{routes} routes were found");
    }
}
