//! The importer whole: example configurations against their reports, rules as tables, and what any text may do to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use headend_wire::ChannelName;
use proptest::prelude::*;

use super::{
    Config, Plan, Wishes,
    directive::{OF_INPUTS, OF_SERVERS, OF_STREAMS, OUTPUTS},
    finding::Fate,
    grammar::{self, Statement, Word},
    plan, report,
};
use crate::domain::{Channel, Source};

const FILE: &str = include_str!("../../../tests/fixtures/flussonic/headend.conf");
const ANSWER: &str = include_str!("../../../tests/fixtures/flussonic/streams.json");
/// What must never be shown of [`FILE`] and [`ANSWER`].
const SECRETS: [&str; 12] = [
    "un;mot",
    "{de}",
    "regarder",
    "cle-du-cluster",
    "jeton",
    "mot-de-passe",
    "operateur",
    "cle-de",
    "contract",
    "4711",
    "auth.php",
    "live2",
];

type Channels = BTreeMap<ChannelName, Channel>;

/// A path of the workspace.
fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn wishes() -> Wishes {
    let tags = BTreeSet::from(["base".parse().unwrap()]);
    Wishes { site: "caribbean".parse().unwrap(), tags, renames: BTreeMap::new() }
}

fn config(text: &str) -> Config {
    super::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn planned(text: &str, there: &Channels) -> Plan {
    plan(config(text), &wishes(), there).unwrap_or_else(|error| panic!("{error}"))
}

fn write(plan: &Plan, there: &mut Channels) {
    there.extend(plan.changes.iter().map(|change| (change.after.name.clone(), change.after.clone())));
}

fn imported(text: &str) -> Channels {
    let mut there = Channels::new();
    write(&planned(text, &there), &mut there);
    there
}

/// The findings of a fate, one a line.
fn found(plan: &Plan, fate: Fate) -> String {
    let lines =
        plan.findings.of(fate).map(|(finding, _)| format!("{}: {}: {}", finding.place, finding.what, finding.why));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_give_their_reports() {
    for (text, want) in [(FILE, "headend.report.txt"), (ANSWER, "streams.report.txt")] {
        let want = beside("tests/fixtures/flussonic").join(want);
        let want = std::fs::read_to_string(want).unwrap();
        let got = report::text(&planned(text, &Channels::new()));
        assert_eq!(got.trim_end(), want.trim_end(), "the report is:\n{got}");
    }
}

#[test]
fn no_secret_of_the_examples_is_shown() {
    for text in [FILE, ANSWER] {
        let plan = planned(text, &Channels::new());
        let debug = format!("{:?} {:?}", config(text).streams, grammar::parse(FILE).unwrap());
        let shown = format!("{}{:#}{}{debug}", report::text(&plan), report::machine(&plan), report::summary(&plan));
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
    }
}

#[test]
fn a_second_import_changes_nothing() {
    for text in [FILE, ANSWER] {
        let there = imported(text);
        let again = planned(text, &there);
        assert!(again.changes.is_empty(), "{}", report::text(&again));
        assert_eq!(again.unchanged.len(), there.len());
    }
}

#[test]
fn the_file_and_the_answer_give_the_same_channel() {
    let (file, answer) = (imported(FILE), imported(ANSWER));
    assert_eq!(file["lagon"], answer["lagon"]);
    assert_eq!(file["lagon"].dvr.as_ref().unwrap().keep.to_string(), "5d 95%");
}

#[test]
fn what_stream_and_template_say() {
    let channels = imported(FILE);
    let horizon = &channels["fr/horizon"];
    assert_eq!((horizon.title.as_str(), horizon.number, horizon.segment_ms), ("Horizon \"Info\"", 2, 6000));
    // The stream's own depth; the share of the storage, because the template's line is not the stream's.
    assert_eq!(horizon.dvr.as_ref().unwrap().keep.to_string(), "2d 90%");
    assert_eq!(horizon.sources_at("caribbean")[0].service, Some(2001));
    assert_eq!((horizon.period_ms, horizon.leave_after_ms), (600_000, Some(10_000)));
    assert!(!channels["fermee"].enabled);
    assert_eq!(channels["Radio_Plage"].title, "Radio Plage");
    assert!(!channels.contains_key("camera"), "an address with a password is never taken");
}

/// A channel that was imported, and then worked on at the controller, keeps that work.
#[test]
fn what_the_file_does_not_say_stays() {
    let mut there = imported(FILE);
    let lagon = there.get_mut("lagon").unwrap();
    lagon.free = true;
    lagon.tags = BTreeSet::from(["sport".parse().unwrap()]);
    let own = |name: &str| Source {
        id: name.parse().unwrap(),
        url: "dvb://astra?system=s2".to_owned(),
        service: Some(1),
        node: None,
    };
    lagon.sources.get_mut("caribbean").unwrap().insert(0, own("dish"));
    lagon.sources.get_mut("caribbean").unwrap().push(own("spare"));
    lagon.sources.insert("france".parse().unwrap(), vec![own("dtt")]);
    let want = lagon.clone();
    let again = planned(FILE, &there);
    assert!(again.changes.is_empty(), "{}", report::text(&again));
    let changed = planned(&FILE.replace("239.20.1.1", "239.20.1.9"), &there);
    let [change] = &changed.changes[..] else { panic!("{}", report::text(&changed)) };
    let after = &change.after;
    assert_eq!((after.free, &after.tags, &after.sources["france"]), (true, &want.tags, &want.sources["france"]));
    let names: Vec<&str> = after.sources_at("caribbean").iter().map(|source| source.id.as_str()).collect();
    assert_eq!(names, ["dish", "flussonic-caribbean-3", "flussonic-caribbean-2", "spare"]);
}

#[test]
fn a_changed_file_says_what_differs() {
    let there = imported(FILE);
    let text = FILE.replace("Lagon TV", "Lagon").replace("lagon/mpegts?token=jeton-secret", "lagon/mpegts?token=autre");
    let shown = report::text(&planned(&text.replace("position 1;", "position 7;"), &there));
    assert!(shown.contains("  ~ lagon (line 54)\n      title: Lagon TV -> Lagon\n      number: 1 -> 7\n"), "{shown}");
    let gone = "      source: caribbean flussonic-caribbean-2 http://10.21.0.7:8080/lagon/mpegts?… -> none\n";
    let come = "      source: none -> caribbean flussonic-caribbean-3 http://10.21.0.7:8080/lagon/mpegts?…\n";
    assert!(shown.contains(gone) && shown.contains(come), "{shown}");
    assert!(!shown.contains("autre"), "{shown}");
}

#[track_caller]
fn refused(text: &str, want: &str) {
    let got = match super::read(text.as_bytes()) {
        Ok(config) => {
            plan(config, &wishes(), &Channels::new()).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(got, want, "{text}");
}

#[test]
fn what_is_no_configuration_says_why() {
    refused("stream a { input udp://239.1.1.1:5000 }", "line 1: the statement is not ended; add ; at its end");
    refused("stream a {\n  title \"A\"\n  dvr /d 5d;\n}", "line 2: the statement is not ended; add ; at its end");
    refused("http 80", "line 1: the statement is not ended; add ; at its end");
    refused("stream a {\n  title \"A;\n}\n", "line 2: the quote that begins here is not closed; add \" at its end");
    refused("http 80;\nstream a {\n", "line 2: the block that begins here is not closed; add } at its end");
    refused("http 80;\n}", "line 2: this } closes nothing; remove it, or look for a missing { above");
    refused("http 80;\n{ a; }", "line 2: this block has no name; write for example stream NAME { … }");
    refused("stream { }", "line 1: a stream without a name; write stream NAME { … }");
    refused("a\u{7};", "line 1: a control character; remove it");
    refused(&"a {".repeat(9), "line 1: blocks are nested deeper than 8; look for a missing } above");
    refused("template t { }\ntemplate t { }", "line 1 and line 2: two templates of one name; remove one");
    let erlang = "these are Erlang terms, the configuration of a server before 2013; let a Flussonic from 2013 on \
                  convert it, or write each stream as: stream NAME { input URL; }";
    refused("{http, 80}.\n{stream, \"a\", \"udp://239.1.1.1:5000\"}.\n", &format!("line 1: {erlang}"));
    refused("\n[\n {rtmp, 1935}\n].\n", &format!("line 2: {erlang}"));
    refused("% since 2012\n{http, 80}.\n", &format!("line 1: {erlang}"));
    refused(
        "{\"streams\": [",
        "line 1 column 13: no valid JSON; save the answer of GET /streamer/api/v3/streams whole",
    );
    refused("{\"a\":1}", "the JSON holds no list of streams; save the answer of GET /streamer/api/v3/streams");
    refused(
        "{\"streams\":[],\"next\":\"abc\"}",
        "the JSON is one page of several; give the address of the server, so that all of them are fetched",
    );
    refused("{\"streams\":[{}]}", "stream 1 of the list: a stream without a name; write stream NAME { … }");
    refused("<html>", "the file is a web page; give the flussonic.conf itself, or the address of the server");
    let bytes = |bytes: &[u8]| super::read(bytes).unwrap_err().to_string();
    assert_eq!(bytes(b"ok;\nt\xE9;"), "line 2: not UTF-8 text; save the file as UTF-8");
    assert_eq!(bytes(b"h\0t\0"), "the file is not text; give the flussonic.conf itself, unpacked");
    assert_eq!(
        bytes(&vec![b'\n'; grammar::BYTES_MAX + 1]),
        "the file has more than 8388608 bytes; give the flussonic.conf itself"
    );
}

#[test]
fn two_streams_are_never_one_channel() {
    let input = "{ input udp://239.1.1.1:5000; }";
    refused(
        &format!("stream a {input}\n\nstream a {input}"),
        "line 1 and line 3: both streams would be channel a; remove one, or name it with --rename OLD=NEW",
    );
    refused(
        &format!("stream \"a b\" {input}\nstream a_b {input}"),
        "line 1 and line 2: both streams would be channel a_b; remove one, or name it with --rename OLD=NEW",
    );
    let mut wishes = wishes();
    wishes.renames.insert("a b".to_owned(), "ab".parse().unwrap());
    let both = plan(config(&format!("stream \"a b\" {input}\nstream a_b {input}")), &wishes, &Channels::new());
    assert_eq!(both.unwrap().changes.len(), 2);
    let none = plan(config(&format!("stream a {input}")), &wishes, &Channels::new());
    assert_eq!(
        none.unwrap_err().to_string(),
        "--rename names a stream that is not there; give the name as the file has it"
    );
}

/// Reads one stream with these lines and gives what came of them.
#[track_caller]
fn check(lines: &str, changed: &str, dropped: &str) -> Channel {
    let text = format!("stream a {{\ninput udp://239.1.1.1:5000;\n{lines}\n}}");
    let plan = planned(&text, &Channels::new());
    assert_eq!(found(&plan, Fate::Changed), changed, "{lines}");
    assert_eq!(found(&plan, Fate::Dropped), dropped, "{lines}");
    plan.changes.first().expect("one stream gives one channel").after.clone()
}

fn urls(channel: &Channel) -> Vec<&str> {
    channel.sources_at("caribbean").iter().map(|source| source.url.as_str()).collect()
}

#[test]
fn inputs_are_ordered_as_there() {
    let two = check("input udp://239.1.1.2:5000;", "", "");
    assert_eq!(urls(&two), ["udp://239.1.1.1:5000", "udp://239.1.1.2:5000"]);
    let text = "stream a { input udp://239.1.1.1:5000 priority=2; input udp://239.1.1.2:5000 priority=1; }";
    assert_eq!(urls(&imported(text)["a"]), ["udp://239.1.1.2:5000", "udp://239.1.1.1:5000"]);
    let partly = check(
        "input udp://239.1.1.2:5000 priority=1;",
        "line 2: priority: not every input has a priority; they are tried in the order of the file",
        "",
    );
    assert_eq!(urls(&partly), ["udp://239.1.1.1:5000", "udp://239.1.1.2:5000"]);
    let same = "stream a { input udp://239.1.1.1:5000 priority=1; input udp://239.1.1.2:5000 priority=1; }";
    assert!(found(&planned(same, &Channels::new()), Fate::Changed).contains("inputs of one priority"));
    let many: Vec<String> = (2..9).map(|n| format!("input udp://239.1.1.{n}:5000;")).collect();
    let plan = planned(&format!("stream a {{ input udp://239.1.1.1:5000; {} }}", many.join(" ")), &Channels::new());
    assert_eq!(plan.findings.count(Fate::Dropped), 2, "six sources are all a channel has");
}

#[test]
fn settings_that_become_something_else() {
    let five = check("segment_duration 5.5;", "line 3: segment_duration: segments are 6 s: whole seconds, 1 to 10", "");
    assert_eq!((five.segment_ms, five.period_ms), (6_000, 300_000));
    let seven = check("segment_duration 7;\ndrm aes128 expires=1;", "", "");
    assert_eq!((seven.segment_ms, seven.period_ms), (7_000, 63_000), "a key is for whole segments");
    let count = check("segment_count 2;", "line 3: segment_count: the playlist lists 3 segments: 3 to 60", "");
    assert_eq!(count.window_segments, 3);
    let patience = check("source_timeout 120;", "line 3: source_timeout: leave_after_ms is 60000: 200 to 60000", "");
    assert_eq!(patience.leave_after_ms, Some(60_000));
    let _ = check("hls off;", "", "line 3: hls off: every channel is made as HLS; to offer none, disable the channel");
    let _ = check("protocols hls mpegts dash;", "", "line 3: dash: it is not made; players take HLS or HTTP-TS");
    let http_ts = "HTTP-TS cannot be switched off for a channel; in the clear it goes to loopback and clear_peers alone, else under TLS";
    let _ = check("protocols -mpegts;", &format!("line 3: mpegts off: {http_ts}"), "");
    let _ = check("mpegts off;\nrtmp off;", &format!("line 3: mpegts: {http_ts}"), "");
    let _ = check("drm widevine;", "", "line 3: drm: only AES-128 is made; every channel has it");
    let far = check(
        "position 70000;",
        "line 1: position: numbers are 1 to 9999; it keeps its number, or gets the next free one",
        "",
    );
    assert_eq!(far.number, 1);
}

#[test]
fn what_does_not_read_is_dropped_and_not_repeated() {
    let unread = |what: &str| format!("line 3: {what}: its value does not read; put right what stands there");
    for what in ["segment_duration", "segment_count", "position", "source_timeout", "protocols"] {
        let _ = check(&format!("{what} hidden;"), "", &unread(what));
    }
    let unknown = "not known here; look at the line, and at docs/flussonic.md for what has a counterpart";
    let _ = check("hidden;", "", &format!("line 3: a directive: {unknown}"));
    let _ = check(
        "template hidden2;",
        "",
        "line 1: template hidden2: it is not in this file, so its settings are missing; import its file, or copy it here",
    );
}

/// What stands behind a value, in a block, or a second time is told as well.
#[test]
fn nothing_beside_a_value_is_lost() {
    let unknown = "not known here; look at the line, and at docs/flussonic.md for what has a counterpart";
    let _ = check("position 1 2;", "", &format!("line 3: more words than one value: {unknown}"));
    let _ = check("title \"A\" { x; }", "", &format!("line 3: a block behind it: {unknown}"));
    let _ = check("dvr /d 5d { x; }", "", &format!("line 3: a block behind it: {unknown}"));
    let last = check("title \"A\";\ntitle \"B\";", "line 4: title: it is said twice; the last one counts", "");
    assert_eq!(last.title, "B");
    let storage = "dvr main /d 5d replicate {\nroot /e hidden;\nexpiration hidden;\nhidden 1;\n}";
    let want = format!(
        "line 1: dvr storage an option that is not known here: the archive has no such setting; see docs/archive.md\n\
         line 1: dvr storage replicate: the archive has no such setting; see docs/archive.md\n\
         line 3: a directive of a storage: {unknown}\nline 4: a directive of a storage: {unknown}"
    );
    assert_eq!(found(&planned(storage, &Channels::new()), Fate::Dropped), want);
    let answer = r#"[{"name":"x","inputs":[{"url":"udp://239.1.1.1:5000"}],"dvr":{"expiration":90,"new":1},"protocols":{"beam":true}}]"#;
    let not_known = "not known here; see docs/flussonic.md for what has a counterpart";
    let want = format!(
        "stream 1 of the list: an output: {not_known}\n\
         stream 1 of the list: dvr an option that is not known here: the archive has no such setting; see docs/archive.md"
    );
    assert_eq!(found(&planned(answer, &Channels::new()), Fate::Dropped), want);
}

#[test]
fn numbers_do_not_wander() {
    let stream = |name: &str, rest: &str| format!("stream {name} {{ input udp://239.1.1.1:5000; {rest} }}\n");
    let text = stream("wa", "") + &stream("wb", "position 5;") + &stream("wc", "position 5;") + &stream("wd", "");
    let mut there = imported(&text);
    let numbers = |there: &Channels| there.values().map(|channel| channel.number).collect::<Vec<_>>();
    assert_eq!(numbers(&there), [6, 5, 7, 8]);
    assert!(planned(&text, &there).changes.is_empty());
    // Two channels change places in one import, and stay there.
    let swapped = stream("wa", "position 5;") + &stream("wb", "position 6;") + &stream("wc", "") + &stream("wd", "");
    write(&planned(&swapped, &there), &mut there);
    assert_eq!(numbers(&there), [5, 6, 7, 8]);
    assert!(planned(&swapped, &there).changes.is_empty());
}

#[test]
fn circles_of_templates_end() {
    let text =
        "template a { template b; } template b { template a; }\nstream s { template a; input udp://239.1.1.1:5000; }";
    assert!(found(&planned(text, &Channels::new()), Fate::Dropped).contains("in a circle"));
}

/// The guide tells operators of every directive that the tables know.
#[test]
fn the_guide_names_every_directive() {
    let rules = [OF_STREAMS, OF_INPUTS, OF_SERVERS].into_iter().flatten().flat_map(|rule| rule.names);
    let outputs = OUTPUTS.iter().map(|(name, _)| name);
    let guide = std::fs::read_to_string(beside("docs/flussonic.md")).unwrap();
    let missing: Vec<&&str> = rules.chain(outputs).filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/flussonic.md: {missing:?}");
}

#[test]
fn hostile_names_write_nothing_to_a_terminal() {
    let text = r#"{"streams":[{"name":"a\u001b[2J","title":"b\u0007","inputs":[{"url":"udp://239.1.1.1:5000"}]}]}"#;
    let shown = report::text(&planned(text, &Channels::new()));
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}

/// Words and marks of the grammar in any order: deeper into the parser than any text gets.
fn soup() -> impl Strategy<Value = String> {
    let words = [
        "stream",
        "template",
        "input",
        "url",
        "udp://239.1.1.1:5000",
        "tshttp://h/x",
        "priority=1",
        "dvr",
        "/data",
        "@d",
        "5d",
        "95%",
        "500G",
        "title",
        "\"a \\\" b\"",
        "a=\"b c\"",
        "position",
        "7",
        "protocols",
        "-mpegts",
        "hls",
        "off",
        "drm",
        "aes128",
        "expires=3",
        "disabled",
        "segment_duration",
        "{",
        "}",
        "{",
        "}",
        ";",
        ";",
        ";",
        "#x\n",
        "\n",
        "é",
        "\\",
        "\"",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..80).prop_map(|words| words.join(" "))
}

/// Streams with lines that mean something, in any mixture, some of them through a template.
fn streams() -> impl Strategy<Value = String> {
    let lines = [
        "input udp://239.1.1.1:5000;",
        "input udp://239.1.1.1:5000 priority=2;",
        "input udp://239.1.1.2:5000/10.0.0.1 priority=1 source_timeout=7;",
        "url mpts-udp://239.1.1.3:5000 programs=7,8;",
        "input tshttp://10.0.0.9/x?token=y;",
        "input hls://10.0.0.9/x.m3u8;",
        "dvr /d 5d 95%;",
        "dvr @main 500G;",
        "title \"A \\\" B\";",
        "position 1;",
        "position 2;",
        "position 0;",
        "segment_duration 7;",
        "segment_count 100;",
        "drm aes128 expires=1;",
        "drm aes128 expires=100000;",
        "source_timeout 90;",
        "disabled;",
        "protocols -hls;",
        "template t;",
        "template u;",
    ];
    let block = prop::collection::vec(prop::sample::select(lines.to_vec()), 0..12);
    prop::collection::vec(block, 1..7).prop_map(|blocks| {
        let mut text = String::from("dvr main { root /storage 3d 80%; }\n");
        for (index, block) in blocks.iter().enumerate() {
            // Two of the blocks are templates; one name is that of a channel that is there.
            let head = ["stream lagon", "template t", "stream x1", "stream x2", "template u", "stream x3"][index];
            text.push_str(&format!("{head} {{\n{}\n}}\n", block.join("\n")));
        }
        text
    })
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let word = || prop::string::string_regex("[a-z=;{}\"\\\\ #é\n.0-9]{0,8}").expect("it is an expression");
    let word = (word(), any::<bool>()).prop_map(|(text, quoted)| {
        // A word that begins with a mark can only have been quoted.
        let quoted = quoted || text.is_empty() || text.starts_with([';', '{', '}', '"', ' ', '#', '\n']);
        Word { text, quoted }
    });
    let word = word.boxed();
    let words = prop::collection::vec(word, 1..4);
    let leaf = words.clone().prop_map(|words| Statement { line: 0, words, block: None });
    let tree = leaf.prop_recursive(3, 24, 4, move |inner| {
        (words.clone(), prop::option::of(prop::collection::vec(inner, 0..4))).prop_map(|(words, block)| Statement {
            line: 0,
            words,
            block,
        })
    });
    prop::collection::vec(tree, 0..6)
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = super::read(&bytes);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
        let _ = super::read(text.as_bytes());
    }

    #[test]
    fn what_was_read_is_printed_and_read_the_same(text in soup()) {
        if let Ok(read) = grammar::parse(&text) {
            let printed = grammar::print(&read);
            prop_assert!(grammar::parse(&printed).as_ref() == Ok(&read), "{printed}");
        }
    }

    #[test]
    fn what_was_printed_is_read_the_same(statements in statements()) {
        let printed = grammar::print(&statements);
        prop_assert!(grammar::parse(&printed).as_ref() == Ok(&statements), "{printed}");
    }

    #[test]
    fn any_import_is_whole_after_one_time(text in streams()) {
        let mut there = imported(FILE);
        let names = there.len();
        write(&planned(&text, &there), &mut there);
        for channel in there.values() {
            prop_assert_eq!(channel.check(), Ok(()));
        }
        let again = planned(&text, &there);
        prop_assert!(again.changes.is_empty(), "{}", report::text(&again));
        prop_assert!(there.len() >= names, "nothing is removed");
    }
}
