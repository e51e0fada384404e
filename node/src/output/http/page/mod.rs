//! The technician's page at `/`: what this box does, for a phone in the field, with no controller and no internet.
//!
//! [`door`] says who may see it, [`attention`] what to look at first, [`say`] writes values as people read them, [`words`]
//! holds every word in both languages; the templates are in `node/web`. The page is whole without a script: a script of
//! ours asks for it again twice a second and changes only what differs, so there is one renderer, here. It shows no secret:
//! addresses are masked where they come from, card numbers are cut before they get here.

mod attention;
pub(super) mod door;
mod say;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Query, Request, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use headend_rt::page::{
    assets::{Asset, AssetSet, BASE_STYLE, CSS, FRESH_SCRIPT, MARK, SCRIPT},
    headers,
    language::{Language, Switch},
};

use self::{
    attention::{Attention, attention},
    say::Say,
    words::Words,
};
use super::{NodeStatus, Shared};

static ASSETS: AssetSet = AssetSet::new(&[
    BASE_STYLE,
    MARK,
    FRESH_SCRIPT,
    Asset { name: "cams.js", media_type: SCRIPT, bytes: include_bytes!("../../../../web/assets/cams.js") },
    Asset { name: "technician.css", media_type: CSS, bytes: include_bytes!("../../../../web/assets/technician.css") },
]);

#[derive(Template)]
#[template(path = "technician.html")]
struct Page<'a> {
    w: &'static Words,
    say: Say,
    build: &'static str,
    site: &'a str,
    node: &'a str,
    status: &'a NodeStatus,
    attention: &'a [Attention],
}

/// The page and its files.
pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/", get(page)).merge(ASSETS.router())
}

async fn page(State(shared): State<Arc<Shared>>, Query(switch): Query<Switch>, request: Request) -> Response {
    if let Some(refusal) = door::refusal(&shared, request.headers(), request.extensions()) {
        return refusal;
    }
    if let Some(response) = switch.response("/") {
        return response;
    }
    let status = (shared.status)();
    let html = render(&shared, &status, Language::of(request.headers()));
    headers::page(StatusCode::OK, html, &[])
}

fn render(shared: &Shared, status: &NodeStatus, language: Language) -> String {
    let say = Say { language, at: shared.clock.now(), now_ms: status.now_ms };
    let w = Words::of(language);
    let (site, node) = (shared.site.as_str(), shared.node.as_str());
    let attention = attention(status, &say);
    let page = Page { w, say, build: ASSETS.build(), site, node, status, attention: &attention };
    page.render().expect("a template of plain values renders")
}
