//! `/playlist.m3u8?token=`: the channels of the tariffs as an M3U that players on phones and boxes take.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::get,
};

use super::{
    Office, my,
    viewer_answer::{open, plain},
    who::{parameter, viewer_session},
};
use crate::{domain::Subscriber, page::asking::bearer, store::Table};

const M3U: (&str, &str) = ("audio/x-mpegurl; charset=utf-8", "no-store");

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/playlist.m3u8", get(playlist))
}

/// The channels that may be watched now, as an M3U.
#[utoipa::path(get, path = "/playlist.m3u8", tag = "viewing", params(("token" = String, Query, description = "The session's token")), responses(
    (status = 200, content_type = "audio/x-mpegurl", body = String), (status = 403, description = "No valid session")))]
pub(super) async fn playlist(State(office): State<Arc<Office>>, uri: Uri, headers: HeaderMap) -> Response {
    let query = uri.query().unwrap_or_default();
    let refused = || plain(StatusCode::FORBIDDEN, "sign in for a playlist of your own\n");
    let Some(session) = viewer_session(&office, &headers, query) else { return refused() };
    let table: Table<Subscriber> = Table::new(Arc::clone(&office.engine));
    let subscriber = match table.get(&session.subscriber).await {
        Ok(Some(kept)) => kept.record,
        Ok(None) => return refused(),
        Err(error) => {
            tracing::error!(error = headend_rt::chain(&error), "subscriber could not be read");
            return plain(StatusCode::SERVICE_UNAVAILABLE, "try again in a moment\n");
        }
    };
    let token = bearer(&headers).or_else(|| parameter(query, "token")).unwrap_or_default();
    let mut text = "#EXTM3U\n".to_owned();
    for channel in my::entitled(&office, &subscriber) {
        // A title has no control characters; a quote would end the attribute.
        let (number, title) = (channel.number, channel.title.replace('"', "'"));
        let address = my::play_path(&channel, token);
        let line = format_args!(
            "#EXTINF:-1 tvg-id=\"{}\" tvg-chno=\"{number}\" tvg-name=\"{title}\",{title}\n{}{address}\n",
            channel.name, office.public_url
        );
        text.write_fmt(line).expect("strings take all text");
    }
    open(StatusCode::OK, M3U, text)
}
