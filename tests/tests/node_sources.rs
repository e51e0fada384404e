//! Sources that fall away, come back, or are not what they should be; one site's capture at the other.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    client::Viewer,
    endless::Endless,
    feed::Feed,
    history::History,
    lone::{Lone, channel, file},
    player,
    program::{Program, workspace},
    transport,
    wait::until,
    world::{content, feed_socket, fixture},
};
use headend_wire::DesiredChannel;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const NAME: &str = "lagon";
const SOON: Duration = Duration::from_secs(30);

fn feed(folder: &Path, name: &str) -> Result<(Feed, String)> {
    let address = format!("udp://{}", feed_socket());
    Ok((Feed::start(&content(name), &address, &folder.join("feeds.log"))?, address))
}

/// Waits until the channel is in a state, and plays from a source.
async fn stands(node: &Lone, state: &str, playing: Option<&str>) -> Result<(Value, Duration)> {
    let look = || async {
        let channel = node.channel(NAME).await?;
        ensure!(channel["state"] == state && channel["playing"].as_str() == playing, "{channel}");
        Ok(channel)
    };
    until(&format!("{state} from {playing:?}"), SOON, look).await.with_context(|| node.log())
}

async fn endless(node: &Lone) -> Result<Endless> {
    let url = node.url(&format!("/{NAME}/mpegts?token={}", node.token))?;
    Endless::start(&node.http, url, 32 << 20).await
}

/// What a viewer of the playlist has seen.
#[derive(Default)]
struct Seen {
    history: History,
    segments: BTreeMap<u64, Vec<u8>>,
}

/// Follows the playlist until `enough` says so, and holds every reload against those before.
async fn follow(node: &Lone, seen: &mut Seen, what: &str, enough: impl Fn(&History) -> bool) -> Result<()> {
    let done = tokio::time::timeout(2 * SOON, follow_until(node, seen, what, enough)).await;
    done.with_context(|| format!("waited {:?} for {what}; {}", 2 * SOON, node.log()))?
}

async fn follow_until(node: &Lone, seen: &mut Seen, what: &str, enough: impl Fn(&History) -> bool) -> Result<()> {
    let (viewer, master) = (Viewer::guest()?, node.master(NAME)?);
    let look = || {
        let (viewer, master) = (&viewer, &master);
        async move { viewer.playlist(master).await }
    };
    loop {
        let (playlist, _) = until(what, SOON, look).await?;
        seen.history.take(&playlist)?;
        for segment in &playlist.segments {
            if let Entry::Vacant(place) = seen.segments.entry(segment.number) {
                let bytes = viewer.segment(segment).await.with_context(|| format!("segment {}", segment.number))?;
                transport::whole(&bytes)?;
                place.insert(bytes);
            }
        }
        if enough(&seen.history) {
            return Ok(());
        }
        let last = seen.history.last();
        let news = || async {
            let playlist = viewer.playlist(&master).await?;
            ensure!(playlist.segments.last().map(|segment| segment.number) > last, "nothing after {last:?}");
            Ok(())
        };
        until(what, SOON, news).await.with_context(|| node.log())?;
    }
}

#[tokio::test]
async fn the_picture_goes_on_when_a_source_is_cut() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut satellite, one) = feed(folder.path(), "lagon-caribbean.ts")?;
    let (mut dtt, two) = feed(folder.path(), "lagon-france.ts")?;
    let lineup = vec![channel(NAME, &[("satellite", &one), ("dtt", &two)])];
    let node = Lone::start(folder.path(), "car-1", lineup).await?;
    node.playlist(NAME, 2).await?;
    stands(&node, "ok", Some("satellite")).await?;
    let (viewer, mut seen) = (endless(&node).await?, Seen::default());
    follow(&node, &mut seen, "the first source", |history| history.taken >= 2).await?;
    let smooth = viewer.gap();

    satellite.cut().await?;
    let (after, left) = stands(&node, "on-backup", Some("dtt")).await?;
    viewer.more(4.0).await?;
    let cut = viewer.gap();
    println!(
        "satellite cut: left after {:.2} s, stall {:.2} s (before {:.2} s)",
        left.as_secs_f64(),
        cut.as_secs_f64(),
        smooth.as_secs_f64()
    );
    assert!(cut < Duration::from_millis(2_500), "the stream stood still for {cut:?}");
    let reason = after["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("satellite") && reason.contains("packets"), "{reason}");
    let last = seen.history.last().unwrap_or(0);
    follow(&node, &mut seen, "the second source", |history| history.last() >= Some(last + 3)).await?;
    viewer.whole()?;

    satellite.resume()?;
    let (_, back) = stands(&node, "ok", Some("satellite")).await?;
    viewer.more(4.0).await?;
    println!("satellite back: returned after {:.2} s, stall {:.2} s", back.as_secs_f64(), viewer.gap().as_secs_f64());
    let last = seen.history.last().unwrap_or(0);
    follow(&node, &mut seen, "the first source again", |history| history.last() >= Some(last + 2)).await?;
    viewer.whole()?;
    assert_eq!(seen.history.discontinuities(), Vec::<u64>::new(), "equal codings need no DISCONTINUITY");
    assert_eq!(seen.history.holes(), Vec::<u64>::new());
    let clear: Vec<u8> = seen.segments.values().flatten().copied().collect();
    let whole = player::watch(&clear).await?;
    println!("segments: {} pictures, {:?}", whole.pictures, whole.complaints);
    let watched = player::watch(transport::trim(&viewer.bytes())?).await?;
    println!("endless: {:?}", watched.complaints);
    let pictures = viewer.seconds() * 25.0;
    println!("endless: {} pictures in {:.1} s", watched.pictures, viewer.seconds());
    // A source is entered at its next random access point: each change may cost a group of pictures, two seconds here.
    assert!(watched.pictures as f64 > pictures - 105.0, "{} pictures of {pictures:.0}", watched.pictures);
    // What was sent of a picture or a sound before the cut cannot be taken back: a few lines for each change, no more.
    assert!(watched.complaints.len() <= 20, "{:?}", watched.complaints);

    satellite.cut().await?;
    dtt.cut().await?;
    let (after, dark) = stands(&node, "slate", None).await?;
    println!("both cut: slate after {:.2} s: {}", dark.as_secs_f64(), after["reason"]);
    viewer.more(3.0).await?;
    println!("both cut: stall {:.2} s", viewer.gap().as_secs_f64());
    let shown = |history: &History| history.discontinuities().first().is_some_and(|at| history.last() >= Some(at + 3));
    follow(&node, &mut seen, "slate behind a DISCONTINUITY", shown).await?;
    assert_eq!(seen.history.discontinuities().len(), 1);

    dtt.resume()?;
    let (_, back) = stands(&node, "on-backup", Some("dtt")).await?;
    println!("dtt back: left the slate after {:.2} s", back.as_secs_f64());
    let shown = |history: &History| history.discontinuities().get(1).is_some_and(|at| history.last() >= Some(at + 1));
    follow(&node, &mut seen, "picture after slate", shown).await?;
    let slate = seen.history.discontinuities()[0];
    for (number, bytes) in seen.segments.range(slate..) {
        let alone = player::decode(bytes).await.with_context(|| format!("segment {number}"))?;
        assert!(alone.pictures > 0 && alone.audio > 0, "segment {number}: {alone:?}");
    }
    satellite.resume()?;
    stands(&node, "ok", Some("satellite")).await?;
    let last = seen.history.last().unwrap_or(0);
    follow(&node, &mut seen, "the end", |history| history.last() >= Some(last + 3)).await?;
    viewer.whole()?;
    assert_eq!(seen.history.holes(), Vec::<u64>::new());
    assert_eq!(seen.history.discontinuities().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_source_that_answers_html_is_named_and_the_next_one_plays() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/lagon/mpegts", listener.local_addr()?);
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4_096]).await;
            let page = "<!DOCTYPE html><html><body>Please sign in</body></html>";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", page.len());
            let _ = socket.write_all(format!("{head}{page}").as_bytes()).await;
        }
    });
    let spare = file(&content("lagon-france.ts"));
    let node =
        Lone::start(folder.path(), "car-1", vec![channel(NAME, &[("peer", &address), ("file", &spare)])]).await?;
    let (channel, _) = stands(&node, "on-backup", Some("file")).await?;
    let fault = channel["sources"][0]["fault"].as_str().unwrap_or_default().to_lowercase();
    assert!(fault.contains("html"), "{channel}");
    node.playlist(NAME, 2).await?;
    Ok(())
}

/// A channel from `url` comes out with these languages, and every segment decodes.
async fn plays(channel: DesiredChannel, languages: &[&str]) -> Result<()> {
    let (folder, name) = (tempfile::tempdir()?, channel.name.to_string());
    let node = Lone::start(folder.path(), "car-1", vec![channel]).await?;
    let (playlist, _) = node.playlist(&name, 2).await?;
    let viewer = Viewer::guest()?;
    for segment in &playlist.segments {
        let bytes = viewer.segment(segment).await?;
        transport::whole(&bytes)?;
        let path = folder.path().join("segment.ts");
        std::fs::write(&path, &bytes)?;
        let path = path.display().to_string();
        let text = Program::run("headend-node", &["inspect", "--json", &path]).await?;
        let report: Value = serde_json::from_str(&text)?;
        let services = report["services"].as_array().context("no services")?;
        assert_eq!(services.len(), 1, "one service comes out");
        let streams = services[0]["streams"].as_array().context("no streams")?;
        let seen: Vec<&str> = streams.iter().filter_map(|stream| stream["language"].as_str()).collect();
        for language in languages {
            assert!(seen.contains(language), "{language} is not among {seen:?}");
        }
        assert_eq!((&report["cc_errors"], &report["crc_errors"]), (&0.into(), &0.into()));
        let watched = player::watch(&bytes).await?;
        assert!(watched.pictures > 0, "segment {}: {watched:?}", segment.number);
    }
    Ok(())
}

#[tokio::test]
async fn a_service_is_taken_out_of_a_multiplex() -> Result<()> {
    let address = format!("udp://{}", feed_socket());
    let folder = tempfile::tempdir()?;
    let arguments = (fixture("rai1.ts"), folder.path().join("feeds.log"));
    let _feed = Feed::start(&arguments.0, &address, &arguments.1)?;
    let mut rai = channel("it/rai1", &[("sat", &address)]);
    rai.sources[0].service = Some(3401);
    plays(rai, &["ita"]).await
}

#[tokio::test]
async fn rtp_from_somebody_elses_sender_plays() -> Result<()> {
    let address = format!("rtp://{}", feed_socket());
    let input = content("lagon-france.ts").display().to_string();
    let arguments = [
        "-v",
        "error",
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        &input,
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "rtp_mpegts",
        &address,
    ];
    let _sender = tokio::process::Command::new("ffmpeg")
        .args(arguments)
        .current_dir(workspace())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("start ffmpeg")?;
    // That sender drops the languages.
    plays(channel(NAME, &[("rtp", &address)]), &[]).await
}

#[tokio::test]
async fn a_file_of_204_byte_packets_plays() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("long.ts");
    let long: Vec<u8> = std::fs::read(content("lagon-france.ts"))?
        .chunks(transport::PACKET_BYTES)
        .flat_map(|packet| packet.iter().copied().chain([0xEE; 16]))
        .collect();
    std::fs::write(&path, long)?;
    plays(channel(NAME, &[("file", &file(&path))]), &["eng", "fra"]).await
}

#[tokio::test]
async fn a_capture_crosses_once_and_no_further() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_dish, address) = feed(folder.path(), "lagon-caribbean.ts")?;
    let near = Lone::start(folder.path(), "car-1", vec![channel(NAME, &[("satellite", &address)])]).await?;
    near.playlist(NAME, 1).await?;
    let capture = near.url(&format!("/{NAME}/mpegts?source=satellite"))?;
    let mut lineup = channel(NAME, &[("from-car", capture.as_str())]);
    lineup.sources[0].remote = true;
    let far = Lone::start(folder.path(), "fr-1", vec![lineup]).await?;
    far.playlist(NAME, 2).await?;
    stands(&far, "ok", Some("from-car")).await?;
    let ask = |path: &'static str| async { Ok::<_, anyhow::Error>(far.http.get(far.url(path)?).send().await?) };
    let refused = ask("/lagon/mpegts?source=from-car").await?;
    assert_eq!(refused.status(), 409);
    assert!(refused.text().await?.contains("remote"), "it does not say why");
    assert_eq!(ask("/lagon/mpegts?source=nothing").await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn only_the_service_crosses_of_a_whole_multiplex() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let address = format!("udp://{}", feed_socket());
    let _feed = Feed::start(&fixture("rai1.ts"), &address, &folder.path().join("feeds.log"))?;
    let mut rai = channel("it/rai1", &[("sat", &address)]);
    rai.sources[0].service = Some(3401);
    let near = Lone::start(folder.path(), "car-1", vec![rai]).await?;
    near.playlist("it/rai1", 1).await?;
    let capture = near.url("/it/rai1/mpegts?source=sat")?;
    let report = Program::run("headend-node", &["inspect", capture.as_str(), "--seconds", "3", "--json"]).await?;
    let report: Value = serde_json::from_str(&report)?;
    let services = report["services"].as_array().context("services")?;
    let crossed: Vec<u64> = services
        .iter()
        .filter(|service| service["streams"].as_array().is_some_and(|streams| !streams.is_empty()))
        .filter_map(|service| service["id"].as_u64())
        .collect();
    assert_eq!(crossed, [3401], "{report:#}");
    assert_eq!(report["cc_errors"], 0, "{report:#}");
    let mut lineup = channel("it/rai1", &[("from-car", capture.as_str())]);
    lineup.sources[0].remote = true;
    let far = Lone::start(folder.path(), "fr-1", vec![lineup]).await?;
    far.playlist("it/rai1", 2).await?;
    Ok(())
}
