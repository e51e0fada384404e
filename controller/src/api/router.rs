//! Puts the routes together.
//!
//! What players ask may be read by pages of any origin; nothing else says so. Unknown addresses below `/api` answer
//! a problem, others a sentence.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::{
    Office, backend, channels, error::ApiError, fleet, health, keys, my, nodes, openapi, operators, play, playlist,
    session, slate, subscribers, tariffs, viewer_answer::plain,
};

/// Everything of this room, and the `pages`. Handlers find [`headend_rt::serve::Peer`] in the request's extensions.
pub fn router(office: Arc<Office>, pages: Router) -> Router {
    let players = Router::new()
        .merge(play::routes())
        .merge(keys::routes())
        .merge(playlist::routes())
        .merge(slate::routes())
        .layer(middleware::from_fn(preflight));
    Router::new()
        .merge(operators::routes())
        .merge(tariffs::routes())
        .merge(channels::routes())
        .merge(subscribers::routes())
        .merge(nodes::routes())
        .merge(fleet::routes())
        .merge(session::routes())
        .merge(my::routes())
        .merge(health::routes())
        .merge(backend::routes())
        .merge(openapi::routes())
        .method_not_allowed_fallback(|| async { ApiError::no_such_method() })
        .merge(players)
        .with_state(office)
        .merge(pages)
        .fallback(unknown)
}

async fn unknown(request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        return ApiError::no_such_path().into_response();
    }
    plain(StatusCode::NOT_FOUND, "nothing is served under this address\n")
}

/// Lets a page of another origin send what players send.
async fn preflight(request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("range, authorization"));
    fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}
