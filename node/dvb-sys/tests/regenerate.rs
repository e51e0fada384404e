//! The committed bindings are what bindgen makes of the installed headers, on both architectures.
//!
//! Run with `cargo test -p headend-dvb-sys --features regenerate`; with `HEADEND_BLESS=1` the committed files are
//! written instead. Constants may be more than ours in newer headers, so the test belongs to Debian 12's.
#![cfg(feature = "regenerate")]

use std::path::Path;

#[test]
fn the_committed_files_are_what_the_headers_say() {
    let out = Path::new(env!("OUT_DIR"));
    for header in ["frontend", "dmx", "ca"] {
        let file = format!("{header}.rs");
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&file)).expect("generated file");
        let made = read(&out.join("x86_64-unknown-linux-gnu"));
        assert_eq!(made, read(&out.join("aarch64-unknown-linux-gnu")), "{header}: architectures differ");
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/types");
        if std::env::var_os("HEADEND_BLESS").is_some() {
            std::fs::write(committed.join(&file), &made).expect("written");
        }
        assert!(made == read(&committed), "{file} is not what the installed headers say: run with HEADEND_BLESS=1");
    }
}
