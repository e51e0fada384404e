//! The house rules as tests: what a reviewer would otherwise say again and again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

fn tracked(ending: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let list = String::from_utf8(output.stdout).expect("git prints UTF-8");
    let found: Vec<PathBuf> = list
        .lines()
        .filter(|line| line.ends_with(ending))
        .map(PathBuf::from)
        .filter(|p| root().join(p).exists())
        .collect();
    assert!(!found.is_empty(), "no {ending} file found: the check would check nothing");
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).expect("a tracked file can be read")
}

fn complain(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let found: Vec<String> = tracked(".rs")
        .iter()
        .filter(|path| !read(path).starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    complain("no module doc at the head", &found);
}

#[test]
fn no_file_grows_past_the_limit() {
    let found: Vec<String> = tracked(".rs")
        .iter()
        .map(|path| (path, read(path).lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines, the limit is {LINES_MAX}", path.display()))
        .collect();
    complain("too long", &found);
}

#[test]
fn no_attic() {
    const FORBIDDEN: [&str; 8] = ["util", "utils", "helpers", "common", "misc", "manager", "handler", "processor"];
    let found: Vec<String> = tracked(".rs")
        .iter()
        .filter(|path| {
            path.components().any(|part| {
                let word = part.as_os_str().to_string_lossy();
                FORBIDDEN.contains(&word.trim_end_matches(".rs"))
            })
        })
        .map(|path| path.display().to_string())
        .collect();
    complain("a name that says nothing", &found);
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    let mut found = vec![];
    for path in tracked(".rs") {
        for (number, line) in read(&path).lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) || line.contains(concat!("#[ig", "nore")) {
                found.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    complain("unfinished", &found);
}

#[test]
fn tests_wait_on_predicates_not_on_sleep() {
    let found: Vec<String> = tracked(".rs")
        .iter()
        .filter(|path| path.starts_with("tests"))
        .flat_map(|path| {
            let sleeps = [concat!("thread::sl", "eep("), concat!("time::sl", "eep(")];
            read(path)
                .lines()
                .enumerate()
                .filter(|(_, line)| sleeps.iter().any(|sleep| line.contains(sleep)))
                .map(|(number, _)| format!("{}:{}", path.display(), number + 1))
                .collect::<Vec<_>>()
        })
        .collect();
    complain("a sleep; wait on a predicate with a deadline (headend_tests::wait)", &found);
}

/// Which of our packages each package may depend on.
const ARROWS: [(&str, &[&str]); 11] = [
    ("headend-csa", &[]),
    ("headend-media", &[]),
    ("headend-failover", &[]),
    ("headend-access", &[]),
    ("headend-wire", &[]),
    ("headend-rt", &["headend-wire"]),
    ("headend-dvb-sys", &[]),
    (
        "headend-node",
        &[
            "headend-csa",
            "headend-dvb-sys",
            "headend-media",
            "headend-failover",
            "headend-access",
            "headend-wire",
            "headend-rt",
        ],
    ),
    ("headend-controller", &["headend-media", "headend-failover", "headend-access", "headend-wire", "headend-rt"]),
    ("headend-tests", &["headend-csa", "headend-media", "headend-access", "headend-wire"]),
    ("headend-hw-tests", &["headend-media", "headend-access", "headend-wire"]),
];

/// What a pure package must not be able to reach.
const IO: [&str; 6] = ["tokio", "tracing", "reqwest", "hyper", "nix", "socket2"];

#[test]
fn dependency_arrows_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let mut found = vec![];
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            found.push(format!("{name} is not in the list of packages"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let target = dependency["name"].as_str().expect("name");
            let dev = dependency["kind"] == "dev";
            if target.starts_with("headend-") && !dev && !allowed.contains(&target) {
                found.push(format!("{name} -> {target}"));
            }
            // The kernel's DVB interface depends on none of ours and is IO by its nature.
            let pure = allowed.is_empty() && name != "headend-dvb-sys";
            if pure && !dev && IO.contains(&target) {
                found.push(format!("{name} is pure and depends on {target}"));
            }
        }
    }
    complain("a new arrow between rooms needs a decision record", &found);
}

#[test]
fn one_library_per_need() {
    const BANNED: [(&str, &str); 7] = [
        ("openssl", "TLS is rustls"),
        ("native-tls", "TLS is rustls"),
        ("aws-lc-rs", "the crypto provider of TLS is ring"),
        ("chrono", "time is jiff"),
        ("ureq", "the HTTP client is reqwest"),
        ("mockall", "fakes are written by hand at the seams"),
        ("sled-1", "the store pins sled =0.34.7"),
    ];
    let lock = read(Path::new("Cargo.lock"));
    let found: Vec<String> = BANNED
        .iter()
        .filter(|(name, _)| lock.contains(&format!("\nname = \"{name}\"\n")))
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    complain("a second library for the same need", &found);
    assert!(lock.contains("name = \"sled\"\nversion = \"0.34.7\""), "sled is not pinned to 0.34.7");
}
