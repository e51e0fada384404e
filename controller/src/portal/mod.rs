//! The subscribers' page: sign in, choose a channel, watch.
//!
//! One page; its script talks to the same interface as any other client (`POST /api/v1/session`,
//! `GET /api/v1/my/channels`, `/play/…`) and plays with the vendored hls.js, or natively where a browser has
//! no Media Source. When an origin dies the script asks `/play` again, so the redirect decides where a viewer
//! goes, not the page. Nothing here knows an account.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};

use crate::page::{
    assets, headers,
    language::{Language, Switch},
};

mod words;

use words::Words;

/// What the portal needs of the rest.
#[derive(Clone)]
pub struct Portal {
    /// Addresses of every origin that viewers may be sent to, now: they go into the page's policy.
    pub origins: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// The portal's route, `/portal`.
pub fn router(portal: Portal) -> Router {
    Router::new().route("/portal", get(show)).with_state(portal)
}

#[derive(Template)]
#[template(path = "portal.html")]
struct Page {
    w: &'static Words,
    lang: &'static str,
    other_lang: &'static str,
    build: &'static str,
}

async fn show(State(portal): State<Portal>, Query(switch): Query<Switch>, asked: HeaderMap) -> Response {
    if let Some(response) = switch.response("/portal") {
        return response;
    }
    let language = Language::of(&asked);
    let other_lang = if language == Language::En { "fr" } else { "en" };
    let page = Page { w: Words::of(language), lang: language.tag(), other_lang, build: assets::build() };
    let html = page.render().expect("a template of plain values renders");
    headers::page(StatusCode::OK, html, &(portal.origins)())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn check(address: &str, language: &str, status: u16, part: &str) {
        let portal =
            Portal { origins: Arc::new(|| vec!["http://car-1:8081/".to_owned(), "http://x; script-src *".to_owned()]) };
        let request = Request::get(address).header("accept-language", language).body(Body::empty()).unwrap();
        let response = router(portal).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let policy = response.headers().get("content-security-policy").map(|value| value.to_str().unwrap().to_owned());
        let html = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        if status == 200 {
            let policy = policy.unwrap();
            assert!(policy.contains("connect-src 'self' http://car-1:8081;"), "{policy}");
            assert!(html.contains(part), "{part} is not in {html}");
            assert!(!html.contains(" style=") && !html.contains("<script>"), "inline parts would be blocked");
        }
    }

    #[tokio::test]
    async fn the_page_comes_in_the_reader_s_language_with_the_origins_in_its_policy() {
        check("/portal", "fr", 200, "<html lang=\"fr\"").await;
        check("/portal", "en", 200, "<html lang=\"en\"").await;
        check("/portal?lang=fr", "en", 303, "").await;
    }
}
