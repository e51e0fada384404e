//! Scripts, styles and the vendored player, inside the program and served under content-hashed addresses.
//!
//! One hash over every file names the whole set (`/assets/HASH/NAME`), so that a module can import its
//! neighbour by a relative name and no page ever mixes two releases. An address with another hash is 404:
//! answering it with today's bytes would poison caches that were told `immutable` (RFC 8246).

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

use super::headers;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";
const YEAR: &str = "public, max-age=31536000, immutable";

macro_rules! asset {
    ($name:literal, $media_type:ident, $path:literal) => {
        Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("../../web/", $path)) }
    };
}

static ASSETS: [Asset; 14] = [
    asset!("base.css", CSS, "assets/base.css"),
    asset!("noc.css", CSS, "assets/noc.css"),
    asset!("portal.css", CSS, "assets/portal.css"),
    asset!("mark.svg", SVG, "assets/mark.svg"),
    asset!("format.js", SCRIPT, "assets/format.js"),
    asset!("live.js", SCRIPT, "assets/live.js"),
    asset!("matrix.js", SCRIPT, "assets/matrix.js"),
    asset!("row.js", SCRIPT, "assets/row.js"),
    asset!("keyboard.js", SCRIPT, "assets/keyboard.js"),
    asset!("portal.js", SCRIPT, "assets/portal.js"),
    asset!("player.js", SCRIPT, "assets/player.js"),
    asset!("hls.min.js", SCRIPT, "vendor/hls.js-1.7.4/hls.min.js"),
    asset!("hls.worker.js", SCRIPT, "vendor/hls.js-1.7.4/hls.worker.js"),
    asset!("hls.LICENSE", TEXT, "vendor/hls.js-1.7.4/LICENSE"),
];

static BUILD: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in &ASSETS {
        hash.update(asset.name.as_bytes());
        hash.update((asset.bytes.len() as u64).to_be_bytes());
        hash.update(asset.bytes);
    }
    hex(&hash.finalize()[..8])
});

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Names this set of files, 16 hexadecimal digits: what pages put into their addresses.
#[must_use]
pub fn build() -> &'static str {
    &BUILD
}

/// Serves `/assets/HASH/NAME`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{build}/{name}", get(serve))
}

async fn serve(Path((build, name)): Path<(String, String)>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name && build == *BUILD);
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use axum::{body::Body, http::Request};
    use serde::Deserialize;
    use tower::ServiceExt;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Vendored {
        package: Vec<Package>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Package {
        name: String,
        version: String,
        licence: String,
        licence_file: String,
        source: String,
        folder: String,
        sha256: BTreeMap<String, String>,
    }

    #[test]
    fn vendored_files_are_the_ones_that_were_looked_at() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/vendor");
        let listed: Vendored = toml::from_str(&std::fs::read_to_string(root.join("vendor.toml")).unwrap()).unwrap();
        let mut folders = vec![];
        for package in &listed.package {
            assert_eq!(package.folder, format!("{}-{}", package.name, package.version));
            assert!(!package.licence.is_empty() && package.source.contains(&package.version));
            assert!(package.sha256.contains_key(&package.licence_file), "{} comes without its licence", package.name);
            let folder = root.join(&package.folder);
            let mut found: Vec<String> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(
                found,
                package.sha256.keys().cloned().collect::<Vec<_>>(),
                "files nobody listed, or the reverse"
            );
            for (name, want) in &package.sha256 {
                let got = hex(&Sha256::digest(std::fs::read(folder.join(name)).unwrap()));
                assert_eq!(&got, want, "{name} of {} was changed", package.name);
            }
            folders.push(package.folder.clone());
        }
        let mut on_disk: Vec<String> = std::fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        on_disk.sort();
        assert_eq!(on_disk, folders);
    }

    #[test]
    fn every_file_of_ours_is_served_and_modules_stay_readable() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/assets");
        for entry in std::fs::read_dir(root).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name} is not served");
            let lines = std::fs::read_to_string(entry.path()).unwrap().lines().count();
            assert!(!name.ends_with(".js") || lines < 300, "{name} has {lines} lines");
        }
    }

    async fn check(address: &str, status: u16, media_type: &str) {
        let request = Request::get(address).body(Body::empty()).unwrap();
        let response = router::<()>().with_state(()).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{address}");
        assert_eq!(response.headers()["content-type"], media_type);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let cached = response.headers()["cache-control"].to_str().unwrap().contains("immutable");
        assert_eq!(cached, status == 200);
    }

    #[tokio::test]
    async fn an_address_names_its_content() {
        check(&format!("/assets/{}/base.css", build()), 200, CSS).await;
        check(&format!("/assets/{}/hls.worker.js", build()), 200, SCRIPT).await;
        check("/assets/0000000000000000/base.css", 404, TEXT).await;
        check(&format!("/assets/{}/..%2FCargo.toml", build()), 404, TEXT).await;
    }
}
