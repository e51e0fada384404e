//! `headend-node probe --lint`: what the real node emits is clean, live and archived; what others get wrong is found and named.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    response::IntoResponse,
};
use headend_media::crypt::{Key128, encrypt};
use headend_tests::{
    lone::{Lone, channel, file},
    program::binary,
    wait::until,
    world::{content, fixture},
};
use headend_wire::{DesiredChannel, Dvr};
use serde_json::Value;
use tokio::{net::TcpListener, process::Command, task::JoinHandle};

const NAME: &str = "fr/lagon";

/// Runs the probe; gives its exit code and what it printed.
async fn probe(arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = Command::new(binary("headend-node")?);
    command.args(["--log", "error", "probe"]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!said.contains("token=") && !said.contains("panicked"), "{said}");
    let code = output.status.code().context("it was killed")?;
    Ok((code, String::from_utf8(output.stdout)? + &said))
}

async fn lint(url: &str, more: &[&str]) -> Result<(i32, Value)> {
    let (code, text) = probe(&[&["--lint", "--json"][..], more, &[url]].concat()).await?;
    ensure!(!text.contains("token="), "a token was printed: {text}");
    Ok((code, serde_json::from_str(&text).with_context(|| text.clone())?))
}

fn recorded() -> Result<DesiredChannel> {
    let url = file(&content("lagon-caribbean.ts"));
    let dvr = Some(Dvr { keep: "1h".parse()?, locks: vec![] });
    // The shortest key period: keys turn while the lint looks.
    Ok(DesiredChannel { dvr, key_period_secs: 10, ..channel(NAME, &[("file", &url)]) })
}

async fn node(folder: &Path) -> Result<Lone> {
    let archive = format!("[archive]\npaths = ['{}']\n", folder.join("disk").display());
    let mut node = Lone::prepare(folder, "car-1", &archive, vec![recorded()?])?;
    node.run().await?;
    Ok(node)
}

/// Waits until so many seconds are recorded; gives the first of them.
async fn record(node: &Lone, secs: u64) -> Result<u64> {
    let look = || async {
        let url = node.url(&format!("/{NAME}/recording_status.json?token={}", node.token))?;
        let status: Value = node.http.get(url).send().await?.error_for_status()?.json().await?;
        let range = status[0]["ranges"].as_array().and_then(|ranges| ranges.last()).context("no range")?;
        let (from, duration) = range["from"].as_u64().zip(range["duration"].as_u64()).context("no times")?;
        ensure!(duration >= secs, "{duration} of {secs} s");
        Ok(from)
    };
    let (from, _) = until("a recording", Duration::from_secs(secs + 40), look).await.with_context(|| node.log())?;
    Ok(from)
}

#[tokio::test]
async fn what_a_node_emits_is_clean() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path()).await?;
    let first = record(&node, 30).await?;
    let mut wrong = vec![];
    for (path, more, kind) in [
        ("index.m3u8".to_owned(), &["--segments", "all", "--for", "14"][..], "live"),
        ("video.m3u8".to_owned(), &["--reloads", "2"], "live"),
        (format!("archive-{first}-20.m3u8"), &["--segments", "all"], "vod"),
        (format!("video-{first}-20.m3u8"), &["--segments", "all"], "vod"),
        (format!("video-{first}-now.m3u8"), &["--reloads", "2"], "event"),
        ("rewind-3600.m3u8".to_owned(), &["--reloads", "2"], "live"),
        ("video-timeshift_rel-20.m3u8".to_owned(), &["--segments", "all", "--reloads", "2"], "live"),
    ] {
        let url = node.url(&format!("/{NAME}/{path}?token={}", node.token))?;
        let (code, report) = lint(url.as_str(), more).await?;
        let lists = report["playlists"].as_array().context("no playlists")?;
        let last = lists.last().context("no playlist")?;
        println!("{path}: {}, {} segments, {} looked into", report["verdict"], last["segments"], last["looked_into"]);
        if code != 0 || report["verdict"] != "clean" || last["kind"] != kind || last["looked_into"].as_u64() < Some(2) {
            wrong.push(format!("{path}: exit {code}\n{report:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), node.log());
    let (code, text) = probe(&["--lint", "--reloads", "0", node.media_url(NAME)?.as_str()]).await?;
    ensure!(code == 0 && text.contains("\nclean: 0 errors, 0 warnings, 0 notes\n"), "{code} {text}");
    for (path, want) in
        [("nobody/index.m3u8", 3), ("fr/lagon/index.m3u8", 5), ("fr/lagon/archive-1600000000-10.m3u8", 3)]
    {
        let token = if want == 3 { node.token.as_str() } else { "wrong" };
        let (code, text) = probe(&["--lint", node.url(&format!("/{path}?token={token}"))?.as_str()]).await?;
        ensure!(code == want && text.contains("playlist-unfetchable"), "{path}: {code} {text}");
    }
    ensure!(node.stop().await? == 0, "{}", node.log());
    Ok(())
}

/// A server of one list that may differ from load to load, with what is behind it.
struct Server {
    address: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const KEY: [u8; 16] = [9; 16];

/// Promises less than it gives.
const MASTER: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.640028\"\nlist.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=100000000,CODECS=\"avc1.640028,mp4a.40.2\"\nlist.m3u8?other\n";

/// Packets of a recording, tables first.
fn clear() -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(fixture("h264-aac.ts"))?;
    bytes.truncate(bytes.len() / 188 * 188);
    Ok(bytes)
}

/// What stands at an address: `list` for the playlist, by how often it was asked for.
type List = fn(usize) -> String;

async fn serve(list: List) -> Result<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/live/list.m3u8?token=SECRET", listener.local_addr()?);
    let (loads, clear) = (Arc::new(AtomicUsize::new(0)), clear()?);
    let answer = move |request: Request| {
        let (loads, clear) = (Arc::clone(&loads), clear.clone());
        async move {
            let sealed = |iv: u64| encrypt(&Key128::new(KEY), iv, clear.clone());
            let path = request.uri().path();
            let number = path.rsplit('/').next().and_then(|name| name.strip_suffix(".ts")?.parse::<u64>().ok());
            match (path, number) {
                ("/live/list.m3u8", _) => {
                    let text = list(loads.fetch_add(1, Ordering::Relaxed));
                    let head =
                        [(header::CONTENT_TYPE, "application/vnd.apple.mpegurl"), (header::CACHE_CONTROL, "no-cache")];
                    (head, [(header::ETAG, "\"1\"")], text).into_response()
                }
                ("/moved.m3u8", _) => {
                    (StatusCode::FOUND, [(header::LOCATION, "/live/list.m3u8?token=SECRET")]).into_response()
                }
                ("/live/key", _) => ([(header::CACHE_CONTROL, "no-store")], KEY.to_vec()).into_response(),
                ("/live/short-key", _) => KEY[..7].to_vec().into_response(),
                ("/live/sixteen", _) => vec![b'x'; 16].into_response(),
                ("/huge.m3u8", _) => vec![b'#'; 17 << 20].into_response(),
                ("/page.m3u8", _) => "<html>".into_response(),
                ("/live/master.m3u8", _) => MASTER.into_response(),
                (_, Some(404)) => StatusCode::NOT_FOUND.into_response(),
                (_, Some(number)) => ([(header::CACHE_CONTROL, "max-age=60")], sealed(number)).into_response(),
                _ => StatusCode::FORBIDDEN.into_response(),
            }
        }
    };
    let router = Router::new().fallback(answer);
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok(Server { address, task })
}

/// A list of one-second segments from `first` on.
fn text(first: usize, count: usize) -> String {
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:";
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n";
    let segments = (first..first + count).map(|number| format!("#EXTINF:1.000000,\n{number}.ts\n"));
    format!("{head}{first}\n{key}{}", segments.collect::<String>())
}

/// Lists that are wrong, and one of the rules that each of them breaks.
const BROKEN: &[(&str, List)] = &[
    ("sequence-back", |load| text(70 - load, 4)),
    ("target-changed", |load| text(70, 4).replace("TARGETDURATION:1", &format!("TARGETDURATION:{}", 1 + load))),
    ("segment-changed", |load| text(70, 4).replace("71.ts", &format!("{}.ts", 710 + load))),
    ("discontinuity-sequence", |load| {
        text(70, 4).replace("#EXT-X-KEY", &format!("#EXT-X-DISCONTINUITY-SEQUENCE:{load}\n#EXT-X-KEY"))
    }),
    ("discontinuity-moved", |load| {
        text(70, 4).replace("71.ts", if load == 0 { "71.ts" } else { "71.ts\n#EXT-X-DISCONTINUITY" })
    }),
    ("window-short", |load| text(70 + 2 * load, 4 - load.min(2))),
    ("stalled", |_| text(70, 4)),
    ("ended-changed", |load| text(70, 4 + load) + "#EXT-X-ENDLIST\n"),
    ("event-shrank", |load| text(70 + load, 4).replace("#EXT-X-KEY", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-KEY")),
    ("target-too-small", |_| text(70, 4).replace("EXTINF:1.0", "EXTINF:2.0")),
    ("iv-wrong", |_| text(70, 4).replace("key\"", "key\",IV=0x00000000000000000000000000000001")),
    ("not-decrypted", |_| text(70, 4).replace("URI=\"key\"", "URI=\"sixteen\"")),
    ("key-size", |_| text(70, 4).replace("URI=\"key\"", "URI=\"short-key\"")),
    ("key-cached", |_| text(70, 4).replace("URI=\"key\"", "URI=\"short-key\"")),
    ("key-unfetchable", |_| text(70, 4).replace("URI=\"key\"", "URI=\"other-key\"")),
    ("segment-unfetchable", |_| text(404, 1)),
    ("segment-gone-early", |load| text(404 + load, 4)),
    ("discontinuity-missing", |load| text(70 + load, 4)),
    ("not-a-playlist", |load| if load == 0 { text(70, 4) } else { "<html>".to_owned() }),
    ("version-low", |_| text(70, 4).replace("VERSION:3", "VERSION:2")),
];

#[tokio::test]
async fn what_others_break_is_found_and_named() -> Result<()> {
    let mut wrong = vec![];
    for (rule, list) in BROKEN {
        let server = serve(*list).await?;
        let (code, report) = lint(&server.address, &["--reloads", "2"]).await?;
        let findings = report["findings"].as_array().context("no findings")?;
        let found = findings.iter().find(|finding| finding["rule"] == *rule);
        let weight = found.and_then(|found| found["severity"].as_str());
        if weight.is_none() || weight == Some("error") && code != 4 {
            wrong.push(format!("{rule}: exit {code}\n{report:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} broken lists, each found", BROKEN.len());
    Ok(())
}

#[tokio::test]
async fn what_does_not_answer_is_a_finding_with_a_way_out() -> Result<()> {
    let server = serve(|_| text(70, 4)).await?;
    let at = |path: &str| server.address.replace("/live/list.m3u8", path);
    for (path, want, words) in [
        ("/live/none.m3u8", 5, "the token is missing, has ended"),
        ("/404.ts", 3, "nothing is there"),
        ("/huge.m3u8", 1, "more than 16777216 bytes"),
        ("/page.m3u8", 4, "look at what the address really answers"),
    ] {
        let (code, text) = probe(&["--lint", &at(path)]).await?;
        ensure!(code == want && text.contains(words) && !text.contains("SECRET"), "{path}: {code} {text}");
    }
    let (_, report) = lint(&at("/moved.m3u8"), &["--reloads", "0", "--segments", "none"]).await?;
    ensure!(report["findings"].to_string().contains("redirect-relative"), "{report:#}");
    let (code, report) = lint(&at("/live/master.m3u8"), &["--reloads", "0"]).await?;
    let found = report["findings"].to_string();
    ensure!(found.contains("bandwidth-low") && found.contains("codecs-incomplete"), "{code} {report:#}");
    ensure!(report["playlists"].as_array().is_some_and(|lists| lists.len() == 3), "{report:#}");
    // Without --lint only what stops players is told, and no time is spent on reloads.
    let (code, text) = probe(&[&server.address]).await?;
    ensure!(code == 0 && text.contains("clean: 0 errors, 0 warnings, 0 notes"), "{code} {text}");
    let gone = server.address.clone();
    drop(server);
    let (code, text) = probe(&["--lint", &gone]).await?;
    ensure!(code == 1 && text.contains("cannot connect"), "{code} {text}");
    let (code, text) = probe(&["--lint", "rtsp://127.0.0.1/SECRET?token=SECRET"]).await?;
    ensure!(code == 2 && text.contains("no http:// or https:// address"), "{code} {text}");
    Ok(())
}
