//! Scripts, styles and the vendored player of the controller's pages.

use axum::Router;
use headend_rt::page::assets::{Asset, AssetSet, BASE_STYLE, CSS, FRESH_SCRIPT, MARK, SCRIPT, TEXT};

macro_rules! asset {
    ($name:literal, $media_type:ident, $path:literal) => {
        Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("../../web/", $path)) }
    };
}

static ASSETS: AssetSet = AssetSet::new(&[
    BASE_STYLE,
    MARK,
    FRESH_SCRIPT,
    asset!("noc.css", CSS, "assets/noc.css"),
    asset!("portal.css", CSS, "assets/portal.css"),
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
]);

/// Names this set of files, 16 hexadecimal digits: what pages put into their addresses.
#[must_use]
pub fn build() -> &'static str {
    ASSETS.build()
}

/// Serves `/assets/HASH/NAME`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.router()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

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
            assert!(ASSETS.files().iter().any(|asset| asset.name == name), "{name} is not served");
            let lines = std::fs::read_to_string(entry.path()).unwrap().lines().count();
            assert!(!name.ends_with(".js") || lines < 300, "{name} has {lines} lines");
        }
    }
}
