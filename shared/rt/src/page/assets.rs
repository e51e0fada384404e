//! Scripts and styles inside a program, served under content-hashed addresses.
//!
//! One hash over every file names the whole set (`/assets/HASH/NAME`), so that a module can import its
//! neighbour by a relative name and no page ever mixes two releases. An address with another hash is 404:
//! answering it with today's bytes would poison caches that were told `immutable` (RFC 8246).

use std::sync::OnceLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

use super::headers;

/// Media type of a style sheet.
pub const CSS: &str = "text/css; charset=utf-8";
/// Media type of a script.
pub const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Media type of a drawing.
pub const SVG: &str = "image/svg+xml";
/// Media type of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

const YEAR: &str = "public, max-age=31536000, immutable";

/// The style of every page: ink, ground and type.
pub const BASE_STYLE: Asset = Asset { name: "base.css", media_type: CSS, bytes: include_bytes!("../../web/base.css") };
/// Our mark.
pub const MARK: Asset = Asset { name: "mark.svg", media_type: SVG, bytes: include_bytes!("../../web/mark.svg") };
/// Keeps a page that the server writes up to date, element by element.
pub const FRESH_SCRIPT: Asset =
    Asset { name: "fresh.js", media_type: SCRIPT, bytes: include_bytes!("../../web/fresh.js") };

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its name in addresses.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// The files of a program.
#[derive(Debug)]
pub struct AssetSet {
    files: &'static [Asset],
    build: OnceLock<String>,
}

impl AssetSet {
    /// These files.
    #[must_use]
    pub const fn new(files: &'static [Asset]) -> Self {
        Self { files, build: OnceLock::new() }
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &'static [Asset] {
        self.files
    }

    /// Names this set, 16 hexadecimal digits: what pages put into their addresses.
    #[must_use]
    pub fn build(&self) -> &str {
        self.build.get_or_init(|| {
            let mut hash = Sha256::new();
            for asset in self.files {
                hash.update(asset.name.as_bytes());
                hash.update((asset.bytes.len() as u64).to_be_bytes());
                hash.update(asset.bytes);
            }
            hash.finalize()[..8].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        })
    }

    /// Serves `/assets/HASH/NAME`.
    pub fn router<S: Clone + Send + Sync + 'static>(&'static self) -> Router<S> {
        let serve = move |Path((build, name)): Path<(String, String)>| async move { self.serve(&build, &name) };
        Router::new().route("/assets/{build}/{name}", get(serve))
    }

    fn serve(&self, build: &str, name: &str) -> Response {
        let found = self.files.iter().find(|asset| asset.name == name && build == self.build());
        let Some(asset) = found else {
            return headers::plain(StatusCode::NOT_FOUND, "no such file in this release; load the page again\n");
        };
        let mut response = asset.bytes.into_response();
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(YEAR));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // A worker has a policy of its own: it takes the one its script came with.
        headers::policy(fields, &[]);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    static SET: AssetSet = AssetSet::new(&[BASE_STYLE, FRESH_SCRIPT, MARK]);

    async fn check(address: &str, status: u16, media_type: &str) {
        let request = Request::get(address).body(Body::empty()).unwrap();
        let response = SET.router::<()>().with_state(()).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{address}");
        assert_eq!(response.headers()["content-type"], media_type);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let cached = response.headers()["cache-control"].to_str().unwrap().contains("immutable");
        assert_eq!(cached, status == 200);
    }

    #[tokio::test]
    async fn an_address_names_its_content() {
        check(&format!("/assets/{}/base.css", SET.build()), 200, CSS).await;
        check(&format!("/assets/{}/fresh.js", SET.build()), 200, SCRIPT).await;
        check("/assets/0000000000000000/base.css", 404, TEXT).await;
        check(&format!("/assets/{}/..%2FCargo.toml", SET.build()), 404, TEXT).await;
    }
}
