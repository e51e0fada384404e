//! The archive seen from outside: every address that portals, boxes and scripts send, and what players make of the answer.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    client::{Viewer, read_playlist},
    ffmpeg,
    lone::{Lone, channel, file, now_secs},
    player, transport,
    wait::until,
    world::content,
};
use headend_wire::{DesiredChannel, Dvr};
use reqwest::{Response, header};
use serde_json::Value;

const NAME: &str = "fr/lagon";

fn recorded(name: &str, keep: &str) -> Result<DesiredChannel> {
    let url = file(&content("lagon-caribbean.ts"));
    let dvr = Some(Dvr { keep: keep.parse()?, locks: vec![] });
    // The shortest key period: a minute of archive meets six of them.
    Ok(DesiredChannel { dvr, key_period_secs: 10, ..channel(name, &[("file", &url)]) })
}

async fn node(folder: &std::path::Path, channels: Vec<DesiredChannel>) -> Result<Lone> {
    let archive = format!("[archive]\npaths = ['{}']\n", folder.join("disk").display());
    let mut node = Lone::prepare(folder, "car-1", &archive, channels)?;
    node.run().await?;
    Ok(node)
}

async fn ranges(node: &Lone) -> Result<Vec<(u64, u64)>> {
    let url = node.url(&format!("/{NAME}/recording_status.json?token={}", node.token))?;
    let status: Value = node.http.get(url).send().await?.error_for_status()?.json().await?;
    let list = status[0]["ranges"].as_array().context("no ranges")?;
    let number = |range: &Value, name: &str| range[name].as_u64().with_context(|| format!("no {name} in {status}"));
    list.iter().map(|range| Ok((number(range, "from")?, number(range, "duration")?))).collect()
}

/// Waits until so many seconds are recorded in one stretch; gives its start.
async fn record(node: &Lone, secs: u64) -> Result<u64> {
    let look = || async {
        let found = ranges(node).await?;
        let (from, duration) = *found.last().context("nothing recorded")?;
        ensure!(duration >= secs, "{duration} of {secs} s");
        Ok(from)
    };
    let (from, _) = until("a recording", Duration::from_secs(secs + 40), look).await.with_context(|| node.log())?;
    Ok(from)
}

/// What an address must be answered with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Want {
    /// A playlist that plays: its type tag, and whether it has an end.
    List(&'static str, bool),
    /// A transport stream.
    Stream,
    /// This status, and this in the text.
    Words(u16, &'static str),
    Json(&'static str),
    Picture,
    Moved(&'static str),
}

/// Every row: what stands behind the name, with S for a recorded second.
const ROWS: &[(&str, Want)] = &[
    ("index.m3u8", Want::List("", false)),
    ("playlist.m3u8", Want::List("", false)),
    ("video.m3u8", Want::List("", false)),
    ("mono.m3u8", Want::List("", false)),
    ("index.ts.m3u8", Want::List("", false)),
    ("index.fmp4.m3u8", Want::Words(404, "does not make that format")),
    ("tracks-v1a1/mono.m3u8", Want::List("", false)),
    ("tracks-a2/mono.ts.m3u8", Want::List("", false)),
    ("tracks-1,2/index.m3u8", Want::List("", false)),
    ("video.m3u8?filter.tracks=v1a1t2", Want::List("", false)),
    ("mpegts", Want::Stream),
    ("index.mpd", Want::Words(404, "does not make that format")),
    ("2026/01/02/03/04/06.jpg", Want::Words(404, "does not make that format")),
    ("preview.jpg", Want::Words(404, "does not make that format")),
    ("preview.h264", Want::Picture),
    ("mbr.m3u8", Want::Words(410, "obsolete")),
    ("manifest.f4m", Want::Words(410, "obsolete")),
    ("hds/x/manifest.f4m", Want::Words(410, "obsolete")),
    ("media_info.json", Want::Words(404, "does not make that format")),
    ("recording_status.json", Want::Json("ranges")),
    ("archive-S-10.m3u8", Want::List("VOD", true)),
    ("index-S-10.m3u8", Want::List("VOD", true)),
    ("video-S-10.m3u8", Want::List("VOD", true)),
    ("mono-S-10.m3u8", Want::List("VOD", true)),
    ("tracks-v1a1/index-S-10.m3u8", Want::List("VOD", true)),
    ("archive/S/10/index.m3u8", Want::Moved("../../../index-S-10.m3u8")),
    ("archive-S-now.m3u8", Want::List("EVENT", false)),
    ("index-S-now.m3u8", Want::List("EVENT", false)),
    ("video-S-now.m3u8", Want::List("EVENT", false)),
    ("mono-S-now.m3u8", Want::List("EVENT", false)),
    ("rewind-3600.m3u8", Want::List("", false)),
    ("timeshift_abs-S.m3u8", Want::List("", false)),
    ("video-timeshift_abs-S.m3u8", Want::List("", false)),
    ("mono-timeshift_abs-S.m3u8", Want::List("", false)),
    ("timeshift_abs_video-S.m3u8", Want::List("", false)),
    ("timeshift_abs_mono-S.m3u8", Want::List("", false)),
    ("timeshift_rel-20.m3u8", Want::List("", false)),
    ("video-timeshift_rel-20.m3u8", Want::List("", false)),
    ("mono-timeshift_rel-20.m3u8", Want::List("", false)),
    ("timeshift_rel_video-20.m3u8", Want::List("", false)),
    ("timeshift_abs/S", Want::Stream),
    ("timeshift_rel/20", Want::Stream),
    ("timeshift_abs-S.ts", Want::Stream),
    ("timeshift_rel-20.ts", Want::Stream),
    ("archive/S/10/mpegts", Want::Stream),
    ("archive-S-10.ts", Want::Stream),
    ("S.ts", Want::Stream),
    ("archive-S-10.mp4", Want::Words(404, "does not make that format")),
    ("archive-S-10.mpd", Want::Words(404, "does not make that format")),
    ("timeshift_abs-S.mdp", Want::Words(404, "does not make that format")),
    ("index.m3u8?utc=S&lutc=S", Want::List("EVENT", false)),
    ("video.m3u8?utc=S", Want::List("EVENT", false)),
    // An end past now, and a start before the archive.
    ("index-S-7200.m3u8", Want::List("EVENT", false)),
    ("index-B-7200.m3u8", Want::List("EVENT", false)),
    ("timeshift_rel-864000.m3u8", Want::List("", false)),
    // What cannot be.
    ("archive--5-10.m3u8", Want::Words(400, "no number of seconds")),
    ("archive-S--10.m3u8", Want::Words(400, "no number of seconds")),
    ("archive-S-1600000000.m3u8", Want::Words(400, "the duration, not the end")),
    ("archive-S-0.m3u8", Want::Words(400, "holds nothing")),
    ("archive-99999999999-10.m3u8", Want::Words(400, "no number of seconds")),
    ("archive-10-10.m3u8", Want::Words(400, "before 1980")),
    ("archive-9999999999-10.m3u8", Want::Words(404, "still to come")),
    ("archive-1600000000-10.m3u8", Want::Words(404, "nothing is recorded")),
    ("archive-1600000000-now.m3u8", Want::Words(400, "more than a day ago")),
    ("timeshift_abs-9999999999.ts", Want::Words(404, "still to come")),
    ("video.m3u8?utc=-1", Want::Words(400, "no number of seconds")),
    ("archive-S-10/../../../etc/passwd", Want::Words(404, "no such")),
    ("%2e%2e/archive-S-10.m3u8", Want::Words(404, "no such")),
];

async fn check(node: &Lone, path: &str, want: Want, start: u64) -> Result<()> {
    let path = path.replace('S', &start.to_string()).replace('B', &(start - 3_000).to_string());
    let mark = if path.contains('?') { '&' } else { '?' };
    let url = node.url(&format!("/{NAME}/{path}{mark}token={}", node.token))?;
    let response = node.http.get(url.clone()).send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    match want {
        Want::Words(code, words) => {
            let text = response.text().await?;
            ensure!(status == code && text.contains(words), "{status} {text}");
        }
        Want::Moved(place) => {
            let place = place.replace('S', &start.to_string());
            let location = headers.get(header::LOCATION).context("no Location")?.to_str()?;
            ensure!(
                status == 302 && location.starts_with(&place) && location.contains("token="),
                "{status} {location}"
            );
            let text = node.http.get(url.join(location)?).send().await?.error_for_status()?.text().await?;
            ensure!(text.contains("#EXT-X-ENDLIST"), "{text}");
        }
        Want::Json(field) => {
            let text = response.text().await?;
            let json: Value = serde_json::from_str(&text)?;
            ensure!(status == 200 && kind == "application/json" && json[0][field].is_array(), "{status} {kind} {text}");
        }
        Want::Picture => {
            let bytes = response.bytes().await?;
            ensure!(status == 200 && kind == "video/h264" && bytes.starts_with(&[0, 0]), "{status} {kind}");
        }
        Want::Stream => {
            ensure!(status == 200 && kind == "video/mp2t", "{status} {kind}: {}", response.text().await?);
            let bytes = some(response).await?;
            transport::whole(transport::trim(&bytes)?)?;
            let watched = player::watch(transport::trim(&bytes)?).await?;
            ensure!(watched.pictures > 20, "{watched:?}");
        }
        Want::List(tag, ends) => {
            let text = response.text().await?;
            ensure!(status == 200 && kind == "application/vnd.apple.mpegurl", "{status} {kind} {text}");
            let tagged = text.lines().find_map(|line| line.strip_prefix("#EXT-X-PLAYLIST-TYPE:")).unwrap_or_default();
            ensure!(tagged == tag && text.contains("#EXT-X-ENDLIST") == ends, "{text}");
            let streams = ffmpeg::streams(url.as_str()).await?;
            ensure!(streams.len() >= 2, "ffprobe saw {streams:?}");
        }
    }
    Ok(())
}

/// The first two segments or so of a stream that may have no end.
async fn some(mut response: Response) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    while bytes.len() < 120_000 {
        match response.chunk().await? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(bytes)
}

#[tokio::test]
async fn every_address_of_the_list_is_answered_as_players_need_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path(), vec![recorded(NAME, "1h")?]).await?;
    let first = record(&node, 36).await?;
    let start = first + 5;
    let mut wrong = vec![];
    for (path, want) in ROWS {
        if let Err(error) = check(&node, path, *want, start).await {
            wrong.push(format!("{path}: {error:#}"));
        }
    }
    println!("{} rows, {} wrong", ROWS.len(), wrong.len());
    ensure!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), node.log());
    let url = node.url(&format!("/streamer/api/v3/streams/fr%2Flagon/dvr/ranges?token={}", node.token))?;
    let answer: Value = node.http.get(url).send().await?.error_for_status()?.json().await?;
    ensure!(answer["ranges"][0]["opened_at"].as_u64().is_some_and(|at| at / 1_000 == first), "{answer}");
    ensure!(node.stop().await? == 0, "{}", node.log());
    Ok(())
}

#[tokio::test]
async fn a_programme_is_snapped_dated_and_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path(), vec![recorded(NAME, "1h")?]).await?;
    let first = record(&node, 36).await?;
    let (viewer, start) = (Viewer::guest()?, first + 7);
    let url = node.url(&format!("/{NAME}/index-{start}-12.m3u8?token={}", node.token))?;
    let playlist = viewer.reload(&url).await?;
    // The segment that is on the air at the start comes first, and its date says so.
    let date =
        playlist.text.lines().find_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).context("no date")?;
    let node_text = &playlist.text;
    let begun: calendar::Secs = date.parse()?;
    let begun = begun.0;
    ensure!(begun <= start as f64 && begun + playlist.segments[0].duration > start as f64, "{start} in\n{node_text}");
    let secs: f64 = playlist.segments.iter().map(|segment| segment.duration).sum();
    ensure!(begun + secs >= (start + 12) as f64 && secs < 18.0, "{secs} s in\n{node_text}");
    let mut clear = vec![];
    for segment in &playlist.segments {
        clear.extend(viewer.segment(segment).await.with_context(|| segment.url.to_string())?);
    }
    let keys: BTreeSet<&str> = playlist.segments.iter().filter_map(|s| Some(s.key.as_ref()?.0.path())).collect();
    ensure!(keys.len() >= 2, "one key for 12 s of 10 s periods\n{node_text}");
    let judge = transport::whole(&clear)?;
    ensure!(judge.seconds().is_some_and(|by_clock| (by_clock - secs).abs() < 2.5), "{:?} of {secs} s", judge.seconds());

    // The same as a file: its length was told, its bytes are those of the segments, and any part may be asked for.
    let url = node.url(&format!("/{NAME}/archive-{start}-12.ts?token={}", node.token))?;
    let response = node.http.get(url.clone()).send().await?.error_for_status()?;
    ensure!(
        response.content_length() == Some(clear.len() as u64),
        "{:?} of {}",
        response.content_length(),
        clear.len()
    );
    ensure!(response.bytes().await? == clear, "the file differs from the segments");
    let from = clear.len() / 2;
    let part = node.http.get(url).header(header::RANGE, format!("bytes={from}-")).send().await?;
    ensure!(part.status() == 206 && part.bytes().await? == clear[from..], "half of the file differs");
    let all = player::decode(&clear).await?;
    ensure!(all.pictures as f64 > secs * 25.0 - 3.0, "{all:?} of {secs} s");

    // The session travels in a header or a cookie for boxes that drop queries; without any there is nothing.
    let bare = node.url(&format!("/{NAME}/index-{start}-12.m3u8"))?;
    let asked = node.http.get(bare.clone()).send().await?;
    ensure!(asked.status() == 403, "{}", asked.status());
    let asked = node.http.get(bare.clone()).header("X-Playback-Session-Id", &node.token).send().await?;
    ensure!(asked.status() == 200, "{}", asked.status());
    let shown = node.http.get(playlist.url.clone()).send().await?;
    let cookie = shown.headers().get(header::SET_COOKIE).context("no cookie")?.to_str()?.to_owned();
    let pair = cookie.split(';').next().context("an empty cookie")?;
    let asked = node.http.get(bare).header(header::COOKIE, format!("a=b; {pair}")).send().await?;
    ensure!(asked.status() == 200 && cookie.contains("Path=/fr/lagon"), "{} {cookie}", asked.status());
    ensure!(node.stop().await? == 0, "{}", node.log());
    Ok(())
}

#[tokio::test]
async fn catch_up_plays_over_a_restart_and_a_new_key_generation() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = node(folder.path(), vec![recorded(NAME, "1h")?]).await?;
    let first = record(&node, 8).await?;
    ensure!(node.stop().await? == 0, "{}", node.log());
    node.desire(vec![DesiredChannel { key_generation: 2, key_period_secs: 14, ..recorded(NAME, "1h")? }])?;
    node.run().await?;
    let before = now_secs();
    let url = node.url(&format!("/{NAME}/index-{first}-{}.m3u8?token={}", before - first + 300, node.token))?;
    let viewer = Viewer::guest()?;
    let look = || async {
        let playlist = viewer.reload(&url).await?;
        let end = first as f64 + playlist.segments.iter().map(|segment| segment.duration).sum::<f64>();
        ensure!(end > before as f64 + 12.0, "it ends at {end}");
        Ok(playlist)
    };
    let (playlist, _) =
        until("both lives in one list", Duration::from_secs(60), look).await.with_context(|| node.log())?;
    let mut generations = BTreeSet::new();
    for segment in &playlist.segments {
        let bytes = viewer.segment(segment).await.with_context(|| format!("{} of\n{}", segment.url, playlist.text))?;
        transport::whole(&bytes).with_context(|| format!("{} of\n{}", segment.url, playlist.text))?;
        let (key, _) = segment.key.as_ref().context("a clear segment")?;
        generations.insert(key.path().rsplit('/').next().and_then(|id| id.split('-').next()).map(str::to_owned));
    }
    ensure!(generations.len() == 2, "{generations:?} in\n{}", playlist.text);
    let again = read_playlist(url.clone(), viewer.reload(&url).await?.text)?;
    ensure!(again.segments.starts_with(&playlist.segments), "a growing list took something back");
    let played = ffmpeg::play(url.as_str(), 12).await?;
    ensure!(played.pictures >= 290, "{played:?}");
    println!("{} segments over two lives and two generations, {played:?}", playlist.segments.len());
    ensure!(node.stop().await? == 0, "{}", node.log());
    Ok(())
}

/// Seconds of an RFC 3339 time of day in UTC, apart from our own parsers.
mod calendar {
    use anyhow::{Context, Result, ensure};

    /// Unix seconds.
    pub(super) struct Secs(pub(super) f64);

    impl std::str::FromStr for Secs {
        type Err = anyhow::Error;

        fn from_str(text: &str) -> Result<Self> {
            let output = std::process::Command::new("date").args(["-u", "-d", text, "+%s.%3N"]).output()?;
            ensure!(output.status.success(), "date does not read {text}");
            Ok(Self(String::from_utf8(output.stdout)?.trim().parse().context("seconds")?))
        }
    }
}
