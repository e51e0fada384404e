//! What operators get to read when a file is wrong, and what several files make together.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::secret::SecretFile;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are there to be misspelt")]
struct File {
    site: String,
    #[serde(default)]
    output: Output,
    #[serde(default)]
    channel: Vec<Channel>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    password: Option<SecretFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are there to be misspelt")]
struct Output {
    listen: Option<SocketAddr>,
    #[serde(default)]
    channels: Vec<String>,
    port: Option<u16>,
    verbose: Option<bool>,
    mode: Option<Mode>,
    hls: Option<Hls>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are there to be misspelt")]
struct Hls {
    window_secs: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are there to be misspelt")]
struct Channel {
    name: String,
    rate: Option<f64>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Live,
    Archive,
}

/// The first text is the main file, the others `a.toml`, `b.toml` of `conf.d`.
fn sources(texts: &[&str]) -> Vec<Source> {
    let names = ["node.toml", "conf.d/a.toml", "conf.d/b.toml"];
    texts.iter().zip(names).map(|(text, name)| Source { path: PathBuf::from(name), text: (*text).to_owned() }).collect()
}

fn check(text: &str, want: &str) {
    check_all(&[text], want);
}

fn check_all(texts: &[&str], want: &str) {
    let error = parse::<File>(sources(texts)).expect_err("a refusal");
    assert_eq!(error.to_string(), want);
}

#[test]
fn a_misspelt_key_is_named_with_its_nearest() {
    let text = "site = 'a'\n\n[output]\nport = 1\nchanels = []\n";
    check(text, "node.toml:5: unknown key `chanels` in [output]; did you mean `channels`?");
    check("sote = 'a'", "node.toml:1: unknown key `sote` at the top level; did you mean `site`?");
    check(
        "site='a'\noutput.hls.window-secs = 3",
        "node.toml:2: unknown key `window-secs` in [output.hls]; did you mean `window_secs`?",
    );
    check(
        "site='a'\n[[channel]]\nname='x'\n[[channel]]\nnam='y'",
        "node.toml:5: unknown key `nam` in [channel#2]; did you mean `name`?",
    );
    check(
        "site='a'\n[output.hls]\ncolour = 3",
        "node.toml:3: unknown key `colour` in [output.hls]; known here: `window_secs`",
    );
    check("site='a'\noutput = { prot = 1 }", "node.toml:2: unknown key `prot` in [output]; did you mean `port`?");
}

#[test]
fn a_wrong_type_says_what_is_right() {
    let check = |line: &str, want: &str| {
        check(&format!("site = 'a'\n[output]\n{line}"), &format!("node.toml:3: {want}"));
    };
    check("port = 'eight'", "`port` in [output] should be a whole number from 0 to 65535, not text");
    check("port = 70000", "`port` in [output] should be a whole number from 0 to 65535, not the number 70000");
    check("port = -1", "`port` in [output] should be a whole number from 0 to 65535, not the number -1");
    check("verbose = 1", "`verbose` in [output] should be true or false, not the number 1");
    check("channels = 'news'", "`channels` in [output] should be a list in [ ], not text");
    check("channels = ['a', 5]", "`output.channels#2` should be text in quotes, not the number 5");
    check("hls = 5", "`hls` in [output] should be a table, not the number 5");
    check("mode = 'life'", "unknown value `life` for `mode` in [output]; did you mean `live`?");
    check("listen = 'here'", "`listen` in [output]: invalid socket address syntax");
}

#[test]
fn what_is_missing_is_named() {
    check("", "node.toml:1: missing key `site` at the top level");
    check("site='a'\n[output.hls]", "node.toml:2: missing key `window_secs` in [output.hls]");
    check("site='a'\n[[channel]]\nrate = 1.5\n", "node.toml:2: missing key `name` in [channel#1]");
}

#[test]
fn what_is_not_toml_is_placed() {
    check("site = 'a'\nport = = 3", "node.toml:2: not TOML at column 8: extra `=`, expected nothing");
    check("site = 'a'\nsite = 'b'", "node.toml:2: not TOML at column 1: duplicate key");
}

#[test]
fn a_secret_typed_into_the_wrong_place_is_not_repeated() {
    for line in [
        "output.port = 'hunter2'",
        "password = ''",
        "output.verbose = 'hunter2, expected `x`'",
        "output.hls = 'hunter2'",
    ] {
        let error = parse::<File>(sources(&[&format!("site='a'\n{line}")])).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn later_files_add_and_replace() {
    let texts = [
        "site = 'a'\n[output]\nport = 1\nchannels = ['one']\n[tags]\nx = '1'",
        "[output]\nport = 2\n[tags]\ny = '2'",
        "\u{FEFF}[output]\nchannels = ['two', 'three']\n",
    ];
    let loaded = parse::<File>(sources(&texts)).unwrap();
    let config = &loaded.config;
    assert_eq!((config.site.as_str(), config.output.port), ("a", Some(2)));
    assert_eq!(config.output.channels, ["two", "three"]);
    assert_eq!(config.tags.len(), 2);
    let place = |key| loaded.places.find(key).map(ToString::to_string);
    assert_eq!(place("output.port").as_deref(), Some("conf.d/a.toml:2"), "the value in force");
    assert_eq!(place("output").as_deref(), Some("node.toml:2"));
    let told: Vec<_> = loaded.overrides.iter().map(|o| format!("{} {} {}", o.key, o.by, o.was)).collect();
    assert_eq!(told, ["output.port conf.d/a.toml:2 node.toml:3", "output.channels conf.d/b.toml:2 node.toml:4"]);
}

#[test]
fn an_error_names_the_file_it_is_in() {
    let main = "site = 'a'\n[output]\nport = 1\n";
    check_all(
        &[main, "", "\n\n[output]\nprot = 2"],
        "conf.d/b.toml:4: unknown key `prot` in [output]; did you mean `port`?",
    );
    check_all(
        &[main, "[output]\nport = 'x'"],
        "conf.d/a.toml:2: `port` in [output] should be a whole number from 0 to 65535, not text",
    );
    check_all(
        &[main, "x = "],
        "conf.d/a.toml:1: not TOML at column 5: string values must be quoted, expected literal string",
    );
    check_all(
        &[main, "output = 5"],
        "conf.d/a.toml:1: `output` is a value here, but a table in node.toml:2; one of them must go",
    );
    check_all(
        &["site='a'\ntags = 'x'", "[tags]"],
        "conf.d/a.toml:1: `tags` is a table here, but a text in node.toml:2; one of them must go",
    );
}

#[test]
fn a_later_check_can_point_at_a_key() {
    let text = "site = 'a'\n[output]\n  port = 1\n[[channel]]\nname = 'x'";
    let loaded = parse::<File>(sources(&[text])).unwrap();
    let check = |path: &str, want: &str| {
        assert_eq!(loaded.places.refuse(path, "is odd").to_string(), want);
    };
    check("output.port", "node.toml:3: `output.port` is odd");
    check("output.hls.window_secs", "node.toml:2: `output.hls.window_secs` is odd");
    check("channel#1.name", "node.toml:5: `channel#1.name` is odd");
    check("nowhere", "node.toml:1: `nowhere` is odd");
    assert_eq!(loaded.places.find("output.port").unwrap().column, 3);
}

#[test]
fn files_come_in_name_order_and_strangers_stay_out() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("node.toml");
    assert!(matches!(load::<File>(&main), Err(ConfigError::Read { .. })));
    fs::write(&main, "site = 'main'").unwrap();
    assert_eq!(load::<File>(&main).unwrap().config.site, "main", "conf.d may be absent");
    let add = |name: &str, text: &[u8]| fs::write(conf_d(&main).join(name), text).unwrap();
    fs::create_dir(conf_d(&main)).unwrap();
    add("20-last.toml", b"site = 'last'");
    add("10-first.toml", b"site = 'first'");
    add(".hidden.toml", b"site = 'hidden'");
    add("30.toml.bak", b"site = 'backup'");
    assert_eq!(load::<File>(&main).unwrap().config.site, "last");
    add("30.toml", b"# \xC3\xA9\n# \xFF");
    let error = load::<File>(&main).unwrap_err().to_string();
    assert!(error.ends_with("conf.d/30.toml:2: not UTF-8 text from here on"), "{error}");
    add("30.toml", &vec![b'#'; CONFIG_BYTES_MAX]);
    assert!(matches!(load::<File>(&main), Err(ConfigError::TooLarge { .. })));
    (0..CONFIG_FILES_MAX).for_each(|n| add(&format!("{n}.toml"), b""));
    assert!(matches!(load::<File>(&main), Err(ConfigError::TooMany { .. })));
}

proptest! {
    #[test]
    fn any_texts_are_taken_or_refused(a in ".{0,80}", b in "[a-z\\[\\].='\"\n{},0-9 ]{0,80}") {
        let _ = parse::<File>(sources(&[&a, &b]));
        let _ = parse::<toml::Table>(sources(&[&b, &a, &b]));
    }

    #[test]
    fn a_place_is_in_its_file(before in "(#[a-zé]{0,10}\n){0,5}", other in "(#[a-zé]{0,10}\n){0,5}") {
        let text = format!("{before}  oops = 1");
        let error = parse::<File>(sources(&["site='a'", &other, &text])).unwrap_err();
        let ConfigError::Wrong { place, .. } = error else { panic!("{error}") };
        let line = before.matches('\n').count() + 1;
        prop_assert_eq!(place, Place { file: PathBuf::from("conf.d/b.toml"), line, column: 3 });
    }
}
