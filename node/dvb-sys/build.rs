//! With the `regenerate` feature: makes the bindings from the installed kernel headers into the build folder, for both
//! architectures we ship. `tests/regenerate.rs` compares them with the committed files, or writes those.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "regenerate")]
    regenerate::all();
}

#[cfg(feature = "regenerate")]
mod regenerate {
    use std::path::{Path, PathBuf};

    /// Header, and the names of it that a capture node needs; the old audio, video and v3 tuning parts stay out.
    const HEADERS: [(&str, &[&str]); 3] = [
        (
            "frontend",
            &["fe_.*", "fecap_.*", "FE_.*", "dtv_.*", "DTV_.*", "dvb_.*", "NO_STREAM_ID_FILTER", "SEC_.*", "SYS_.*"],
        ),
        ("dmx", &["dmx_.*", "DMX_.*"]),
        ("ca", &["ca_.*", "CA_.*"]),
    ];
    const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

    pub(crate) fn all() {
        let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
        for target in TARGETS {
            let folder = out.join(target);
            std::fs::create_dir_all(&folder).expect("a folder in OUT_DIR");
            for (header, names) in HEADERS {
                one(target, header, names, &folder.join(format!("{header}.rs")));
            }
        }
    }

    fn one(target: &str, header: &str, names: &[&str], to: &Path) {
        let format = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rustfmt.toml");
        let format = format.canonicalize().expect("rustfmt.toml at the root");
        let mut builder = bindgen::Builder::default()
            // dmx.h asks for time.h and uses nothing of it; glibc's is there for the machine's own architecture only.
            .header_contents("wanted.h", &format!("#define _TIME_H 1\n#include <linux/dvb/{header}.h>\n"))
            // Debian keeps asm/ of the machine itself here; both our architectures are LP64 and little-endian, and
            // what the DVB headers use of asm/ is equal.
            .clang_args([format!("--target={target}"), "-isystem/usr/include/x86_64-linux-gnu".to_owned()])
            .raw_line(format!(
                "//! `linux/dvb/{header}.h`, made by bindgen; `make` it anew with the `regenerate` feature."
            ))
            .rust_target(bindgen::RustTarget::stable(85, 0).expect("a Rust bindgen knows"))
            .generate_comments(false)
            // Neither ISDB nor ATSC is received in our markets.
            .blocklist_item("DTV_ISDB.*|DTV_ATSCMH.*")
            .prepend_enum_name(false)
            .ctypes_prefix("std::ffi")
            .rustfmt_configuration_file(Some(format))
            .disable_header_comment();
        for name in names {
            builder = builder.allowlist_type(name).allowlist_var(name);
        }
        // The bodies of ioctl numbers are casts that bindgen cannot read; `request` computes them.
        let bindings = builder.generate().expect("the kernel headers (linux-libc-dev) and libclang are installed");
        bindings.write_to_file(to).expect("OUT_DIR can be written");
    }
}
