//! A node all by itself, its live paths judged from outside: playlists, segments, keys, endless stream, gate.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headend_access::{Scope, TokenSigner};
use headend_tests::{
    client::{Playlist, Viewer, decrypt},
    lone::{self, Lone, channel, file, token},
    player, transport,
    wait::until,
    world::content,
};
use reqwest::{Method, StatusCode, header};

const NAME: &str = "lagon";

async fn node(folder: &std::path::Path) -> Result<Lone> {
    let url = file(&content("lagon-caribbean.ts"));
    let mut second = channel("fr/horizon", &[("file", &file(&content("horizon-caribbean.ts")))]);
    second.free = true;
    Lone::start(folder, "car-1", vec![channel(NAME, &[("file", &url)]), second]).await
}

fn attribute<'p>(playlist: &'p Playlist, tag: &str) -> Vec<&'p str> {
    playlist.text.lines().filter_map(|line| line.strip_prefix(tag)).collect()
}

fn check_tags(playlist: &Playlist) -> Result<()> {
    let text = &playlist.text;
    ensure!(attribute(playlist, "#EXT-X-VERSION:").len() == 1, "no VERSION in\n{text}");
    ensure!(text.contains("#EXT-X-INDEPENDENT-SEGMENTS"), "no INDEPENDENT-SEGMENTS in\n{text}");
    ensure!(playlist.target == 4, "TARGETDURATION {} is not twice the segment\n{text}", playlist.target);
    let dates = attribute(playlist, "#EXT-X-PROGRAM-DATE-TIME:");
    ensure!(!dates.is_empty() && dates.iter().all(|date| date.ends_with('Z')), "dates {dates:?}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        ensure!(!line.starts_with('/') && !line.contains("://"), "{line} is not relative");
        ensure!(line.contains("token="), "{line} carries no token");
    }
    for segment in &playlist.segments {
        let (key, iv) = segment.key.as_ref().context("a segment without a key")?;
        ensure!(*iv == u128::from(segment.number), "IV of {} is {iv}", segment.number);
        ensure!(key.path().starts_with(&format!("/k/{NAME}/1-")), "key at {key}");
        ensure!(segment.duration <= f64::from(4), "segment {} lasts {} s", segment.number, segment.duration);
    }
    Ok(())
}

#[tokio::test]
async fn a_playlist_is_right_and_its_segments_decode() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path()).await?;
    let (_, after) = node.playlist(NAME, 1).await?;
    let viewer = Viewer::guest()?;
    let (first, _) = node.playlist(NAME, 3).await?;
    println!("first segment after {:.1} s", after.as_secs_f64());

    let master = node.http.get(node.master(NAME)?).send().await?.text().await?;
    for part in [
        "BANDWIDTH=",
        "AVERAGE-BANDWIDTH=",
        "RESOLUTION=640x360",
        "FRAME-RATE=25.000",
        "CODECS=\"avc1.4D40",
        "mp4a.40.2",
    ] {
        assert!(master.contains(part), "no {part} in\n{master}");
    }
    check_tags(&first)?;
    let mut clear = vec![];
    let mut pictures = 0;
    for segment in &first.segments {
        let bytes = viewer.segment(segment).await?;
        let alone = player::decode(&bytes).await.with_context(|| format!("segment {}", segment.number))?;
        transport::whole(&bytes).with_context(|| format!("segment {}", segment.number))?;
        assert!(alone.audio > 0, "segment {} has no sound", segment.number);
        pictures += alone.pictures;
        clear.extend(bytes);
    }
    // No picture is lost at a cut: one after another they hold as many as each alone, and as their durations say.
    let judged = transport::whole(&clear)?;
    assert_eq!(player::decode(&clear).await?.pictures, pictures);
    let seconds: f64 = first.segments.iter().map(|segment| segment.duration).sum();
    assert_eq!(format!("{:.0}", seconds * 25.0), pictures.to_string(), "{seconds} s, {:?} s by PCR", judged.seconds());

    // Later reloads say the same of what both list.
    let deadline = Duration::from_secs(12);
    let reload = || async {
        let next = viewer.reload(&first.url).await?;
        ensure!(next.sequence > first.sequence + 1 || next.segments.len() > first.segments.len() + 1, "no news");
        Ok(next)
    };
    let (next, _) = until("two more segments", deadline, reload).await?;
    check_tags(&next)?;
    assert_eq!(next.target, first.target);
    for segment in &first.segments {
        let again = next.segments.iter().find(|other| other.number == segment.number).context("left too early")?;
        assert_eq!(again, segment);
    }
    for spelling in ["mono.m3u8", "tracks-v1a1/mono.m3u8"] {
        let other =
            viewer.reload(&node.url(&format!("/{NAME}/{spelling}?{}", first.url.query().unwrap_or("")))?).await?;
        assert_eq!(other.target, first.target);
        viewer.segment(other.segments.last().context("empty")?).await?;
    }
    assert_eq!(node.stop().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_opens_nothing_and_a_forged_key_address_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path()).await?;
    let (playlist, _) = node.playlist(NAME, 1).await?;
    let viewer = Viewer::guest()?;
    let segment = &playlist.segments[0];
    let bytes = viewer.bytes(&segment.url).await?;
    assert!(decrypt(&bytes, &[0; 16], u128::from(segment.number)).await.is_err());
    assert_ne!(bytes.first(), Some(&0x47).filter(|_| bytes.len().is_multiple_of(188)), "a segment in the clear");
    let (key, _) = segment.key.clone().context("no key")?;
    let genuine = key.to_string();
    let other_name = genuine.replace("/k/lagon/", "/k/fr/horizon/");
    let (head, mac) = genuine.split_at(genuine.len() - 1);
    let bent = format!("{head}{}", if mac == "A" { "B" } else { "A" });
    let next = genuine.replacen("/1-", "/2-", 1);
    let bare = genuine.split('?').next().unwrap_or_default().to_owned();
    let mut answers = vec![];
    for url in [other_name, bent, next, bare] {
        let response = node.http.get(&url).send().await?;
        answers.push((
            response.status(),
            response.headers().get(header::CACHE_CONTROL).cloned(),
            response.text().await?,
        ));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == StatusCode::FORBIDDEN), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn headers_ranges_and_methods_are_what_players_need() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path()).await?;
    let (playlist, _) = node.playlist(NAME, 1).await?;
    let segment = &playlist.segments[0];
    let key = segment.key.clone().context("no key")?.0;
    let ask = |method: Method, url: &reqwest::Url| node.http.request(method, url.clone());
    for (url, kind, cache) in [
        (&playlist.url, "application/vnd.apple.mpegurl", "no-cache"),
        (&segment.url, "video/mp2t", "public, max-age=31536000, immutable"),
        (&key, "application/octet-stream", "no-store"),
    ] {
        let whole = ask(Method::GET, url).send().await?;
        let of = |response: &reqwest::Response, name: header::HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        assert_eq!(
            (of(&whole, header::CONTENT_TYPE).as_str(), of(&whole, header::CACHE_CONTROL).as_str()),
            (kind, cache)
        );
        assert_eq!(of(&whole, header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        let length = of(&whole, header::CONTENT_LENGTH);
        let head = ask(Method::HEAD, url).send().await?;
        assert_eq!(head.status(), StatusCode::OK);
        if url != &playlist.url {
            assert_eq!(of(&head, header::CONTENT_LENGTH), length);
        }
        assert!(head.bytes().await?.is_empty());
        let options = ask(Method::OPTIONS, url).send().await?;
        assert_eq!(options.status(), StatusCode::NO_CONTENT);
        assert!(of(&options, header::ACCESS_CONTROL_ALLOW_HEADERS).contains("range"));
        assert_eq!(ask(Method::POST, url).body("x").send().await?.status(), StatusCode::METHOD_NOT_ALLOWED);
        let tag = of(&whole, header::ETAG);
        // A key is never to be found again in a cache; it has none.
        assert_eq!(tag.is_empty(), url == &key, "ETag {tag:?} of {}", url.path());
        if url == &segment.url {
            let known = ask(Method::GET, url).header(header::IF_NONE_MATCH, &tag).send().await?;
            assert_eq!((known.status(), of(&known, header::ETAG)), (StatusCode::NOT_MODIFIED, tag));
        }
    }
    let bytes = Viewer::guest()?.bytes(&segment.url).await?;
    let total = bytes.len();
    for (range, status, want) in [
        ("bytes=0-".to_owned(), StatusCode::PARTIAL_CONTENT, &bytes[..]),
        ("bytes=188-375".to_owned(), StatusCode::PARTIAL_CONTENT, &bytes[188..376]),
        ("bytes=-16".to_owned(), StatusCode::PARTIAL_CONTENT, &bytes[total - 16..]),
        (format!("bytes={total}-"), StatusCode::RANGE_NOT_SATISFIABLE, &[][..]),
    ] {
        let response = ask(Method::GET, &segment.url).header(header::RANGE, &range).send().await?;
        assert_eq!(response.status(), status, "{range}");
        assert_eq!(&response.bytes().await?[..], want, "{range}");
    }
    Ok(())
}

#[tokio::test]
async fn the_gate_says_one_and_the_same_no() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path()).await?;
    let (playlist, _) = node.playlist(NAME, 1).await?;
    let (good, stranger) = (token(Scope::All, 0, 600)?, TokenSigner::new(9, [99; 32]));
    let forged = lone::sign(&TokenSigner::new(lone::token_key(), [99; 32]), Scope::All, 0, 600)?;
    let bad = [
        ("missing", None),
        ("garbage", Some("x".repeat(150))),
        ("huge", Some("A".repeat(5_000))),
        ("expired", Some(token(Scope::All, -100, -1)?)),
        ("not yet", Some(token(Scope::All, 100, 600)?)),
        ("forged", Some(forged)),
        ("foreign", Some(lone::sign(&stranger, Scope::All, 0, 600)?)),
        ("bent", Some(good.replacen(&good[20..21], if &good[20..21] == "A" { "B" } else { "A" }, 1))),
        ("other channel", Some(token(Scope::Channel("tf1".to_owned()), 0, 600)?)),
    ];
    // The mark in the path opens a segment by itself.
    let marked = playlist.segments[0].url.path().to_owned();
    let parts: Vec<&str> = marked.split('/').filter(|part| !part.starts_with('~')).collect();
    let segment = parts.join("/");
    ensure!(segment != marked, "{marked} has no mark");
    let mut answers = vec![];
    for (what, token) in bad {
        for path in [format!("/{NAME}/index.m3u8"), format!("/{NAME}/video.m3u8"), segment.clone()] {
            let query = token.as_ref().map(|token| format!("?token={token}")).unwrap_or_default();
            let response = node.http.get(node.url(&format!("{path}{query}"))?).send().await?;
            let status = response.status();
            let mut headers: Vec<String> = response.headers().keys().map(ToString::to_string).collect();
            headers.sort_unstable();
            answers.push((format!("{what} {path}"), status, headers, response.text().await?));
        }
    }
    for answer in &answers {
        assert_eq!(
            (answer.1, &answer.2, &answer.3),
            (StatusCode::FORBIDDEN, &answers[0].2, &answers[0].3),
            "{}",
            answer.0
        );
    }
    let scoped = token(Scope::Lineup(vec!["tf1".to_owned(), NAME.to_owned()]), 0, 600)?;
    let response = node.http.get(node.url(&format!("/{NAME}/video.m3u8?token={scoped}"))?).send().await?;
    assert_eq!(response.status(), StatusCode::OK);
    // A free channel needs none, and a name with a slash is a name.
    let look = || async { Ok(node.http.get(node.url("/fr/horizon/video.m3u8")?).send().await?.error_for_status()?) };
    until("the free channel", Duration::from_secs(20), look).await?;
    Ok(())
}

#[tokio::test]
async fn strange_paths_are_told_apart_from_channels() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path()).await?;
    let address = node.address()?;
    for (path, want) in [
        ("/nobody/index.m3u8", 404),
        ("/", 200),
        ("/lagon", 404),
        ("/lagon/../lagon/index.m3u8", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/lagon/%2e%2e/index.m3u8", 404),
        ("/lagon%00/index.m3u8", 404),
        ("/lagon/2026/99/99/99/99/99-02000.ts", 404),
        ("/lagon/2026/01/01/00/00/00-99999999999999999999.ts", 404),
        ("/k/lagon/1-99999999999999999999999", 404),
        ("/identity/key.pem", 404),
        ("//lagon//index.m3u8", 404),
    ] {
        assert_eq!(
            raw(&address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await?,
            want,
            "{path}"
        );
    }
    let long = format!("/{}/index.m3u8", "a".repeat(4_000));
    assert_eq!(raw(&address, &format!("GET {long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await?, 404);
    for request in [
        "GET http://elsewhere/lagon/index.m3u8 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        "\u{1}\u{2}garbage\r\n\r\n",
    ] {
        assert_eq!(raw(&address, request).await?, 400, "{request:?}");
    }
    Ok(())
}

/// Sends bytes as they stand and gives the status.
async fn raw(address: &str, request: &str) -> Result<u16> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = vec![];
    tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await.context("no end")??;
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).context("no status")?.parse().with_context(|| text.to_string())
}

#[tokio::test]
async fn the_endless_stream_has_no_break() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path()).await?;
    node.playlist(NAME, 1).await?;
    let mut response = node
        .http
        .get(node.url(&format!("/{NAME}/mpegts?token={}", token(Scope::All, 0, 600)?))?)
        .timeout(Duration::from_secs(20))
        .send()
        .await?;
    assert_eq!(response.status(), StatusCode::OK);
    let (mut judge, mut bytes) = (transport::Judge::default(), vec![]);
    while judge.seconds().is_none_or(|seconds| seconds < 6.0) {
        let chunk = response.chunk().await?.context("the stream ended")?;
        judge.push(&chunk)?;
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(judge.breaks, Vec::<String>::new());
    let said = player::watch(transport::trim(&bytes)?).await?;
    assert!(said.complaints.iter().all(|line| !line.to_lowercase().contains("continuity")), "{:?}", said.complaints);
    assert!(said.pictures >= 100, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn monitors_get_what_they_ask_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path()).await?;
    node.playlist(NAME, 1).await?;
    let text = node.http.get(node.url("/healthz")?).send().await?.text().await?;
    assert!(text.starts_with("ok car-1 "), "{text}");
    let playing = || async {
        let channel = node.channel(NAME).await?;
        ensure!(channel["state"] == "ok" && channel["last_segment"].is_u64(), "{channel}");
        Ok(channel)
    };
    let (channel, _) = until("the channel in the status", Duration::from_secs(10), playing).await?;
    assert_eq!((&channel["playing"], &channel["sources"][0]["up"]), (&"file".into(), &true.into()), "{channel}");
    assert!(channel["bitrate_bps"].as_u64().is_some_and(|rate| (300_000..3_000_000).contains(&rate)), "{channel}");
    let status = node.status().await?;
    assert_eq!((&status["site"], &status["node"]), (&"caribbean".into(), &"car-1".into()));
    assert_eq!(status["status"]["controller_connected"], false);

    let metrics = node.http.get(node.url("/metrics")?).send().await?.text().await?;
    let mut names = vec![];
    for line in metrics.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        value.parse::<f64>().with_context(|| line.to_owned())?;
        let bare = name.split('{').next().unwrap_or_default();
        assert!(metrics.contains(&format!("# TYPE {bare} ")), "{bare} has no TYPE");
        assert!(bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        names.push(bare.to_owned());
    }
    assert!(names.iter().any(|name| name == "headend_stream_last_segment_number"), "{names:?}");
    Ok(())
}

#[tokio::test]
async fn two_nodes_serve_the_same_bytes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lineup = || vec![channel(NAME, &[("file", &file(&content("lagon-caribbean.ts")))])];
    let first = Lone::start(folder.path(), "car-1", lineup()).await?;
    let (early, _) = first.playlist(NAME, 3).await?;
    let mut second = Lone::prepare(folder.path(), "car-2", "", lineup())?;
    // What the retained anchors of the broker would have told it.
    std::fs::copy(first.state().join("anchors.json"), second.state().join("anchors.json"))?;
    second.run().await?;
    second.playlist(NAME, 3).await?;
    let viewer = Viewer::guest()?;
    let mut compared = 0;
    let (ours, theirs) = (first.playlist(NAME, 3).await?.0, second.playlist(NAME, 3).await?.0);
    for segment in &theirs.segments {
        let Some(twin) = ours.segments.iter().find(|twin| twin.number == segment.number) else { continue };
        // The first one of a life begins where its source was caught; what follows must be equal.
        assert_eq!(twin.url.path(), segment.url.path());
        assert!(
            viewer.bytes(&twin.url).await? == viewer.bytes(&segment.url).await?,
            "segment {} differs",
            segment.number
        );
        assert_eq!(
            viewer.bytes(&twin.key.clone().context("key")?.0).await?,
            viewer.bytes(&segment.key.clone().context("key")?.0).await?
        );
        compared += 1;
    }
    assert!(compared >= 2, "{compared} in common; first began at {}", early.sequence);
    Ok(())
}
