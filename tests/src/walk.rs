//! The main job, walked as a client would: what `make demo CHECK=1` and the end-to-end test do.
//!
//! Each step is measured and told in one line. A step that fails ends the walk; the programs' logs tell why.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde_json::Value;

use crate::{
    client::{Listed, Viewer, http_client},
    player, playhead, wait,
    world::{SUBSCRIBER, World},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A killed origin must be left within this, seconds.
const LEFT_WITHIN: f64 = 3.0;

/// A zap must show a picture within this, seconds (2 s segments, loopback).
const ZAP_WITHIN: f64 = 1.5;

/// One step that was walked.
#[derive(Debug, Clone)]
pub struct Walked {
    /// What was done.
    pub step: String,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Figures worth a look.
    pub figures: String,
}

/// Walks every step; `told` hears of each as it is done.
///
/// # Errors
/// The first step that failed.
pub async fn walk(world: &mut World, started: Instant, told: &mut dyn FnMut(&Walked)) -> Result<()> {
    let mut done = |step: &str, seconds: f64, figures: String| {
        told(&Walked { step: step.to_owned(), seconds, figures });
    };
    let base = world.base()?;
    let (viewer, took) =
        wait::until("sign-in", PATIENCE, || Viewer::sign_in(&base, SUBSCRIBER.0, SUBSCRIBER.1)).await?;
    done("sign in", took.as_secs_f64(), String::new());
    let channels = viewer.channels().await?;
    ensure!(channels.len() >= 3, "only {} channels in tariff Base", channels.len());
    for (index, channel) in channels.iter().enumerate() {
        let (pictures, took) = wait::until("a picture", PATIENCE, || picture(&viewer, channel)).await?;
        let seconds = if index == 0 { started.elapsed().as_secs_f64() } else { took.as_secs_f64() };
        let what = if index == 0 { "first picture after start" } else { "picture of another channel" };
        done(what, seconds, format!("{}: {pictures} pictures in a segment", channel.name));
    }
    let lagon = channels.iter().find(|channel| channel.name == "lagon").context("no channel lagon")?;
    zap(&viewer, &channels, &mut done).await?;
    refusals(world, &viewer, lagon, &mut done).await?;
    source_dies(world, &viewer, lagon, &mut done).await?;
    controller_dies(world, &viewer, lagon, &mut done).await?;
    origins_die(world, &viewer, lagon, &mut done).await
}

/// Waits until a subscriber can pull a picture of the first channel; gives the seconds it took.
///
/// # Errors
/// When none comes within a minute.
pub async fn first_picture(world: &World) -> Result<f64> {
    let base = world.base()?;
    // Once: each sign-in is a session of its own, counted as a viewer.
    let (viewer, signed_in) =
        wait::until("sign-in", PATIENCE, || Viewer::sign_in(&base, SUBSCRIBER.0, SUBSCRIBER.1)).await?;
    let look = || async {
        let channels = viewer.channels().await?;
        picture(&viewer, channels.first().context("no channel in the tariff")?).await
    };
    let (_, took) = wait::until("a picture", PATIENCE, look).await?;
    Ok((signed_in + took).as_secs_f64())
}

type Done<'a> = &'a mut dyn FnMut(&str, f64, String);

/// Plays a channel as far as a decoded segment.
async fn picture(viewer: &Viewer, channel: &Listed) -> Result<u64> {
    let master = viewer.redirect(channel).await?;
    let playlist = viewer.playlist(&master).await?;
    let segment = playlist.segments.last().context("empty playlist")?;
    let bytes = viewer.segment(segment).await?;
    let own = ["lagon", "horizon"].contains(&channel.name.as_str());
    let decoded = if own { player::decode(&bytes).await? } else { player::decode_recorded(&bytes).await? };
    ensure!(decoded.pictures > 0 && decoded.audio > 0, "{}: {decoded:?}", channel.name);
    Ok(decoded.pictures)
}

async fn zap(viewer: &Viewer, channels: &[Listed], done: Done<'_>) -> Result<()> {
    let mut worst: f64 = 0.0;
    for channel in channels.iter().take(2).cycle().take(6) {
        let start = Instant::now();
        picture(viewer, channel).await?;
        worst = worst.max(start.elapsed().as_secs_f64());
    }
    ensure!(worst < ZAP_WITHIN, "a zap took {worst:.2} s, the limit is {ZAP_WITHIN} s");
    done("zap, worst of six", worst, "play request to a decoded picture".to_owned());
    Ok(())
}

/// What must not be given out is not.
async fn refusals(world: &World, viewer: &Viewer, channel: &Listed, done: Done<'_>) -> Result<()> {
    let (start, http) = (Instant::now(), http_client()?);
    let playlist = viewer.playlist(&viewer.redirect(channel).await?).await?;
    let (key, _) = playlist.segments.last().and_then(|segment| segment.key.clone()).context("not encrypted")?;
    let mut forged = key.clone();
    forged.set_query(Some(&key.query().unwrap_or_default().replace("h=", "h=A")));
    for url in [
        Url::parse(&format!("{}/{}/index.m3u8", world.origin(0)?, channel.name))?,
        Url::parse(&format!("{}/{}/index.m3u8?token=forged", world.origin(0)?, channel.name))?,
        Url::parse(&format!("{}/play/{}/index.m3u8?token=forged", world.base()?, channel.name))?,
        forged,
    ] {
        let status = http.get(url.clone()).send().await?.status();
        ensure!(status == 403, "{} gave {status}, not 403", url.path());
    }
    done("refusals", start.elapsed().as_secs_f64(), "no token, forged token, forged key address: 403".to_owned());
    Ok(())
}

/// What a node says of a channel.
async fn standing(world: &World, node: usize, channel: &str) -> Result<Value> {
    let url = format!("{}/api/node/v1/status", world.origin(node)?);
    let status: Value = http_client()?.get(url).send().await?.json().await?;
    let channels = status["status"]["channels"].as_array().context("no channels in the status")?;
    channels.iter().find(|health| health["channel"] == channel).cloned().context("channel is not in the status")
}

async fn plays_from(world: &World, node: usize, channel: &str, source: &str) -> Result<()> {
    let health = standing(world, node, channel).await?;
    ensure!(health["playing"] == source, "{channel} plays from {}: {}", health["playing"], health["reason"]);
    Ok(())
}

async fn source_dies(world: &mut World, viewer: &Viewer, channel: &Listed, done: Done<'_>) -> Result<()> {
    wait::until("the satellite to play", PATIENCE, || plays_from(world, 0, &channel.name, "satellite")).await?;
    let playlist = viewer.playlist(&viewer.redirect(channel).await?).await?;
    let url = playlist.url.clone();
    world.feeds[0].cut().await?;
    let cut = Instant::now();
    let mut switched = None;
    let world_now = &*world;
    let watching = playhead::watch(viewer, &url, Duration::from_secs(40), |_, seen| seen.played > 24.0);
    let switching = wait::until("the other source", PATIENCE, || plays_from(world_now, 0, &channel.name, "dtt"));
    let (watched, switch) = tokio::join!(watching, switching);
    switch?;
    switched.get_or_insert(cut.elapsed().as_secs_f64());
    let watched = watched?;
    let figures = format!(
        "viewer stalled {:.2} s in {:.0} s, {} discontinuities, segments {} to {}",
        watched.stalled, watched.played, watched.discontinuities, watched.numbers.0, watched.numbers.1
    );
    ensure!(watched.stalled < 0.5, "the picture stood: {figures}");
    let decoded = picture(viewer, channel).await?;
    done(
        "satellite cut, picture goes on",
        cut.elapsed().as_secs_f64(),
        format!("{figures}, {decoded} pictures decoded"),
    );
    world.feeds[0].resume()?;
    let (_, took) = wait::until("the return", PATIENCE, || plays_from(world, 0, &channel.name, "satellite")).await?;
    done("satellite back, channel returns", took.as_secs_f64(), "by itself, after the soak".to_owned());
    Ok(())
}

async fn controller_dies(world: &mut World, viewer: &Viewer, channel: &Listed, done: Done<'_>) -> Result<()> {
    let playlist = viewer.playlist(&viewer.redirect(channel).await?).await?;
    world.controller.kill().await?;
    let start = Instant::now();
    let watched = playhead::watch(viewer, &playlist.url, Duration::from_secs(30), |_, seen| seen.played > 8.0).await?;
    ensure!(watched.stalled < 0.5, "the picture stood without a controller: {watched:?}");
    done(
        "controller killed, picture goes on",
        start.elapsed().as_secs_f64(),
        format!("stalled {:.2} s", watched.stalled),
    );
    world.restart_controller().await?;
    let start = Instant::now();
    wait::until("a redirect", PATIENCE, || picture(viewer, channel)).await?;
    done("controller back, same session plays", start.elapsed().as_secs_f64(), String::new());
    wait::until("both origins healthy again", PATIENCE, || healthy(world)).await?;
    Ok(())
}

/// Both nodes serve the channel, as the controller sees it.
async fn healthy(world: &World) -> Result<()> {
    let fleet = world.call(reqwest::Method::GET, "/api/v1/fleet", None).await?;
    let nodes = fleet["nodes"].as_array().context("no nodes in the fleet")?;
    let up = nodes.iter().filter(|node| node["presence"] == "alive").count();
    ensure!(up == 2, "{up} of 2 nodes are alive");
    Ok(())
}

async fn sent_to(viewer: &Viewer, channel: &Listed, place: &str) -> Result<()> {
    let url = viewer.redirect(channel).await?;
    ensure!(url.as_str().starts_with(place), "sent to {}", url.origin().ascii_serialization());
    Ok(())
}

async fn origins_die(world: &mut World, viewer: &Viewer, channel: &Listed, done: Done<'_>) -> Result<()> {
    let (first, second, slate) = (world.origin(0)?, world.origin(1)?, format!("{}/slate/", world.base()?));
    wait::until("the preferred origin", PATIENCE, || sent_to(viewer, channel, &first)).await?;
    world.nodes[0].kill().await?;
    let (_, took) = wait::until("the other origin", PATIENCE, || sent_to(viewer, channel, &second)).await?;
    ensure!(took.as_secs_f64() < LEFT_WITHIN, "the dead origin was left after {:.2} s", took.as_secs_f64());
    let (pictures, _) = wait::until("a picture there", PATIENCE, || picture(viewer, channel)).await?;
    done("origin killed, redirected to the other", took.as_secs_f64(), format!("{pictures} pictures decoded there"));

    world.nodes[1].kill().await?;
    let (_, took) = wait::until("the slate", PATIENCE, || sent_to(viewer, channel, &slate)).await?;
    let (pictures, _) = wait::until("a picture of the slate", PATIENCE, || picture(viewer, channel)).await?;
    done("both origins killed, slate plays", took.as_secs_f64(), format!("{pictures} pictures decoded"));

    let start = Instant::now();
    world.restart_node(0).await?;
    world.restart_node(1).await?;
    wait::until("an origin again", PATIENCE, || async {
        let url = viewer.redirect(channel).await?;
        ensure!(!url.as_str().starts_with(&slate), "still the slate");
        picture(viewer, channel).await
    })
    .await?;
    done("origins back, channel plays", start.elapsed().as_secs_f64(), "nobody did anything but start them".to_owned());
    Ok(())
}
