//! `headend-node inspect` on recorded television, whole and mistreated.

use anyhow::{Context, Result};
use headend_tests::{program::Program, world::fixture};
use serde_json::Value;

/// A service: id, name, and its streams as `pid codec language`.
type Service = (u64, &'static str, &'static [&'static str]);

/// What each file holds, from tests/fixtures/ts/README.md.
const EXPECTED: [(&str, &[Service]); 4] = [
    (
        "france2.ts",
        &[(
            257,
            "France 2",
            &[
                "120 h264 ",
                "130 eac3 fre",
                "131 eac3 fra",
                "132 eac3 qaa",
                "140 dvb_subtitle fra",
                "142 dvb_subtitle fra",
            ],
        )],
    ),
    (
        "rai1.ts",
        &[
            (
                3401,
                "Rai 1",
                &["512 mpeg2video ", "650 mp2 ita", "694 mp2 Oth", "699 mp2 eng", "576 dvb_teletext ita,eng"],
            ),
            (3402, "Rai 2", &[]),
            (3403, "Rai 3 TGR Emilia Romagna", &[]),
            (3404, "Rai Radio1", &[]),
            (3405, "Rai Radio2", &[]),
            (3406, "Rai Radio3", &[]),
            (3410, "Test HEVC main10", &[]),
            (3411, "Rai News 24", &[]),
        ],
    ),
    ("h264-aac.ts", &[(1, "", &["100 aac ", "101 h264 "])]),
    ("eac3.ts", &[(1, "", &["256 h264 ", "257 aac eng", "258 aac eng", "259 eac3 eng"])]),
];

async fn inspect(path: &std::path::Path) -> Result<Value> {
    let text = Program::run("headend-node", &["inspect", "--json", &path.display().to_string()]).await?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn services(report: &Value) -> Vec<(u64, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let stream = |stream: &Value| format!("{} {} {}", stream["pid"], text(&stream["codec"]), text(&stream["language"]));
    let service = |service: &Value| {
        let streams = service["streams"].as_array().map(|list| list.iter().map(stream).collect()).unwrap_or_default();
        (service["id"].as_u64().unwrap_or(0), text(&service["name"]), streams)
    };
    report["services"].as_array().map(|list| list.iter().map(service).collect()).unwrap_or_default()
}

fn check(file: &str, how: &str, report: &Value) {
    let (_, wanted) = EXPECTED.iter().find(|(name, _)| *name == file).expect("in the table");
    let found = services(report);
    let ids: Vec<u64> = found.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids, wanted.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), "{file} {how}");
    for ((_, name, streams), (id, wanted_name, wanted_streams)) in found.iter().zip(*wanted) {
        assert_eq!(name, wanted_name, "{file} {how} service {id}");
        for wanted in *wanted_streams {
            assert!(streams.iter().any(|stream| stream == wanted), "{file} {how} {id}: no {wanted:?} in {streams:?}");
        }
    }
}

#[tokio::test]
async fn every_recording_shows_what_is_in_it() -> Result<()> {
    for (file, _) in EXPECTED {
        check(file, "whole", &inspect(&fixture(file)).await?);
    }
    Ok(())
}

/// A small generator (Steele and others' SplitMix64), so that each run mistreats alike.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Twice in a row: one file has its only PAT, another its only SDT, in one place.
fn twice(bytes: &[u8]) -> Vec<u8> {
    [bytes, bytes].concat()
}

fn reframed(bytes: &[u8], extra: usize) -> Vec<u8> {
    bytes.chunks_exact(188).flat_map(|packet| packet.iter().copied().chain(std::iter::repeat_n(0xA5, extra))).collect()
}

#[tokio::test]
async fn mistreated_recordings_still_give_their_services() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mistreated.ts");
    for (file, _) in EXPECTED {
        let bytes = twice(&std::fs::read(fixture(file))?);
        let mut flipped = bytes.clone();
        let mut state = 2026;
        for _ in 0..bytes.len() / 4_000 {
            let at = usize::try_from(next(&mut state) % bytes.len() as u64)?;
            flipped[at] ^= 1 << (next(&mut state) % 8);
        }
        let cases = [
            ("cut at 1", bytes[1..].to_vec()),
            ("cut at 12345", bytes[12_345..].to_vec()),
            ("cut at both ends", bytes[777..bytes.len() - 99].to_vec()),
            ("in 204-byte framing", reframed(&bytes, 16)),
            ("in 204-byte framing, cut", reframed(&bytes, 16)[5_001..].to_vec()),
            ("with bits flipped", flipped),
        ];
        for (how, bytes) in cases {
            std::fs::write(&path, bytes)?;
            check(file, how, &inspect(&path).await?);
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_stream_is_named() {
    let error = |arguments: Vec<String>| async move {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Program::run("headend-node", &arguments).await.expect_err("refused").to_string()
    };
    let page = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(page.path(), "<html>no television here</html>".repeat(200)).expect("written");
    let text = error(vec!["inspect".into(), page.path().display().to_string()]).await;
    assert!(text.contains("holds no transport stream") && text.contains("exit status: 4"), "{text}");
    let text = error(vec!["inspect".into(), "/nowhere.ts".into()]).await;
    assert!(text.contains("read /nowhere.ts: No such file") && text.contains("exit status: 3"), "{text}");
    let text = error(vec!["inspect".into(), "udp://nowhere".into()]).await;
    assert!(text.contains("exit status: 2"), "{text}");
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_defect() -> Result<()> {
    use std::process::Stdio;
    let mut command = tokio::process::Command::new(headend_tests::program::binary("headend-node")?);
    command.args(["inspect", "--json"]).arg(fixture("rai1.ts")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdin(Stdio::null()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(!said.contains("panic"), "`inspect | head` says {said}");
    Ok(())
}
