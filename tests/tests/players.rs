//! Real players on the redirected, encrypted stream: ffprobe and ffmpeg, VLC, hls.js in Chromium, and the portal.
//!
//! Each plays `lagon` as a subscriber would: through the controller's redirect, with keys from the key address. How long
//! is in `HEADEND_PLAY_SECS`, 20 s when it says nothing. Screenshots and logs stay in `target/tmp/players`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    browser::Browser,
    client::{Listed, Viewer},
    ffmpeg,
    hls_page::{self, HlsPage, Scene, Tally},
    vlc::{Statistics, Vlc},
    wait,
    world::{Options, SUBSCRIBER, World},
};
use tokio::sync::{Mutex, MutexGuard};

/// Patience with what happens once; a shared machine is slow at times.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pictures a second of `lagon`.
const RATE: f64 = 25.0;

/// A player begins with whole groups of pictures and may not have shown what it decoded last.
const SHARE: f64 = 0.9;

/// The player's clock may stand so long over a whole play, ms.
const STALL_MAX: f64 = 500.0;

/// A picture may be held so long while the source changes, ms: until the new one's next random access point, which are
/// 2 s apart in `lagon`, and the grain of the measure.
const HOLD_MAX: f64 = 2_500.0;

/// Under `cargo test` all tests of a file run at once; two worlds with a browser each would judge the machine.
static MACHINE: Mutex<()> = Mutex::const_new(());

/// A world in which `lagon` plays, and a subscriber in front of it.
struct Evening {
    world: World,
    viewer: Viewer,
    lagon: Listed,
    folder: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Evening {
    async fn begin(name: &str) -> Result<Self> {
        let alone = MACHINE.lock().await;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("players").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        let options = Options { folder: folder.clone(), fixed_ports: false, return_after_secs: 5 };
        let world = World::start(options).await?;
        let viewer = Viewer::sign_in(&world.base()?, SUBSCRIBER.0, SUBSCRIBER.1).await?;
        let channels = viewer.channels().await?;
        let lagon = channels.into_iter().find(|channel| channel.name == "lagon").context("no channel lagon")?;
        let evening = Self { world, viewer, lagon, folder, _alone: alone };
        wait::until("lagon from the Caribbean", PATIENCE, || evening.plays()).await?;
        Ok(evening)
    }

    /// Viewers are sent to the preferred origin, and a player's usual start fits into its window.
    async fn plays(&self) -> Result<()> {
        let master = self.viewer.redirect(&self.lagon).await?;
        let place = self.world.origin(0)?;
        ensure!(master.as_str().starts_with(&place), "sent to {master}, not to {place}");
        let playlist = self.viewer.playlist(&master).await?;
        let listed = playlist.segments.len();
        ensure!(playlist.segments.last().is_some_and(|last| last.key.is_some()), "the stream is not encrypted");
        ensure!(listed >= 6, "{listed} segments are listed");
        Ok(())
    }

    async fn browser(&self) -> Result<Browser> {
        Browser::start(&self.folder).await
    }

    /// Told at the end of a test that went well.
    async fn end(self) -> Result<()> {
        self.world.stop().await
    }
}

/// How long each player plays.
fn play_secs() -> u32 {
    std::env::var("HEADEND_PLAY_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

fn patience() -> Duration {
    PATIENCE + Duration::from_secs(u64::from(play_secs()) * 2)
}

#[tokio::test]
async fn ffprobe_and_ffmpeg_play() -> Result<()> {
    let evening = Evening::begin("ffmpeg").await?;
    let (url, seconds) = (&evening.lagon.play, play_secs());
    let streams = ffmpeg::streams(url).await?;
    assert_eq!(streams, ["h264,640,360", "aac,48000,1", "aac,48000,1"]);
    let played = ffmpeg::play(url, seconds).await?;
    println!("ffmpeg: {played:?}");
    let wanted = f64::from(seconds) * RATE * SHARE;
    assert!(played.pictures as f64 >= wanted, "{} of {wanted} pictures", played.pictures);
    // 48,000 samples of two bytes, one channel.
    let wanted = f64::from(seconds) * 96.0 / 1.024 * SHARE;
    assert!(played.audio_kb as f64 >= wanted, "{} of {wanted} kB of sound", played.audio_kb);
    // The looped source lays its last unit of sound over its first, by less than one unit.
    let complaints: Vec<&String> = played.complaints.iter().filter(|line| !line.contains("monotonically")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    evening.end().await
}

#[tokio::test]
async fn vlc_plays() -> Result<()> {
    let evening = Evening::begin("vlc").await?;
    let (wanted, vlc) = (f64::from(play_secs()) * RATE, Vlc::play(&evening.lagon.play, &evening.folder)?);
    let vlc = Mutex::new(vlc);
    let look = || async {
        let seen = vlc.lock().await.statistics().await?;
        ensure!(seen.shown as f64 >= wanted, "{seen:?} of {wanted} pictures");
        Ok(seen)
    };
    let (seen, took) = wait::until("VLC to show its pictures", patience(), look).await?;
    let complaints = vlc.into_inner().quit().await?;
    println!("vlc: {seen:?} in {:.1} s", took.as_secs_f64());
    let Statistics { shown, lost, audio_played, audio_lost, corrupted, discontinuities, .. } = seen;
    assert_eq!((corrupted, discontinuities), (0, 0), "{complaints:#?}");
    // A second's worth of pictures holds 47 frames of sound.
    assert!(audio_played as f64 > wanted / RATE * 46.0 * SHARE, "{audio_played} buffers of sound for {shown} pictures");
    assert!(lost * 50 <= shown && audio_lost * 20 <= audio_played, "{seen:?}");
    evening.end().await
}

/// Plays on for as long as a test is to play, and judges what the viewer saw meanwhile.
async fn play_on(browser: &Browser, what: &str) -> Result<Tally> {
    let (before, seconds) = (hls_page::tally(browser).await?, f64::from(play_secs()));
    let enough = |now: &Tally| {
        now.clock_s >= before.clock_s + seconds
            && now.pictures as f64 >= before.pictures as f64 + seconds * RATE * SHARE
            && now.audio_bytes > before.audio_bytes
    };
    let now = hls_page::watch(browser, what, patience(), enough).await?;
    let (grown, passed) = (now.clock_s - before.clock_s, (now.at_ms - before.at_ms) / 1000.0);
    ensure!(grown >= passed * SHARE, "the clock went {grown:.1} s in {passed:.1} s; {}", now.line());
    Ok(now)
}

#[tokio::test]
async fn hls_js_plays_on_when_the_satellite_falls() -> Result<()> {
    let mut evening = Evening::begin("source-change").await?;
    let (page, browser) = (HlsPage::serve().await?, evening.browser().await?);
    page.play(&browser, &evening.lagon.play).await?;
    let first = hls_page::watch(&browser, "the first picture", PATIENCE, |now| now.pictures > 25).await?;
    println!("hls.js at its start: {}", first.line());
    let steady = play_on(&browser, "play from the satellite").await?;
    println!("hls.js on the satellite: {}", steady.line());
    assert_eq!(steady.scene(), Scene::Caribbean);
    assert!(steady.troubles().is_empty() && steady.discontinuities == 0, "{}", steady.line());
    assert!(steady.stalled_ms() < STALL_MAX, "{}", steady.line());
    browser.screenshot(&evening.folder.join("1-satellite.png")).await?;

    evening.world.feeds[0].cut().await?;
    let changed =
        hls_page::watch(&browser, "the picture of France", PATIENCE, |now| now.scene() == Scene::France).await?;
    println!("hls.js over the change: {}", changed.line());
    browser.screenshot(&evening.folder.join("2-terrestrial.png")).await?;
    let steady = play_on(&browser, "play from the other source").await?;
    println!("hls.js on the other source: {}", steady.line());
    assert_eq!(steady.scene(), Scene::France);
    assert!(steady.discontinuities == 0, "like sources need no discontinuity: {}", steady.line());

    evening.world.feeds[0].resume()?;
    let back = |now: &Tally| now.scene() == Scene::Caribbean;
    let back = hls_page::watch(&browser, "the return to the satellite", PATIENCE, back).await?;
    println!("hls.js after the return: {}", back.line());
    browser.screenshot(&evening.folder.join("3-satellite-again.png")).await?;
    assert!(back.stalled_ms() < STALL_MAX && back.troubles().is_empty(), "{}", back.line());
    assert!(back.held_ms() < HOLD_MAX, "{:?}; {}", back.holds, back.line());
    assert_eq!(back.origins, [evening.world.origin(0)?], "the player never had to leave its origin");
    browser.close().await?;
    evening.end().await
}

#[tokio::test]
async fn hls_js_plays_through_the_slate() -> Result<()> {
    let mut evening = Evening::begin("slate").await?;
    let (page, browser) = (HlsPage::serve().await?, evening.browser().await?);
    page.play(&browser, &evening.lagon.play).await?;
    hls_page::watch(&browser, "a picture", PATIENCE, |now| now.pictures > 100).await?;
    for feed in &mut evening.world.feeds {
        feed.cut().await?;
    }
    let slate = |now: &Tally| now.scene() == Scene::Slate;
    let slate = hls_page::watch(&browser, "the slate", PATIENCE, slate).await?;
    println!("hls.js on the slate: {}", slate.line());
    browser.screenshot(&evening.folder.join("1-slate.png")).await?;
    let long =
        hls_page::watch(&browser, "the slate to move", PATIENCE, |now| now.pictures > slate.pictures + 100).await?;
    assert_eq!(long.scene(), Scene::Slate);

    for feed in &mut evening.world.feeds {
        feed.resume()?;
    }
    let programme = |now: &Tally| matches!(now.scene(), Scene::Caribbean | Scene::France);
    let programme = hls_page::watch(&browser, "the programme", PATIENCE, programme).await?;
    let seen = hls_page::watch(&browser, "more of it", PATIENCE, |now| now.pictures > programme.pictures + 150).await?;
    println!("hls.js after the slate: {}", seen.line());
    browser.screenshot(&evening.folder.join("2-programme.png")).await?;
    assert!(seen.discontinuities >= 2, "into the slate and out of it: {}", seen.line());
    assert!(seen.stalled_ms() < STALL_MAX, "{}", seen.line());
    browser.close().await?;
    evening.end().await
}

/// What the portal's own video element says: clock, pictures, bytes of sound, width.
async fn portal_video(browser: &Browser) -> Result<(f64, f64, f64, f64)> {
    let script = "const v = document.getElementById('video');
        return [v.currentTime, v.getVideoPlaybackQuality().totalVideoFrames, v.webkitAudioDecodedByteCount, v.videoWidth];";
    let told = browser.run(script, vec![]).await?;
    let figure = |index: usize| told[index].as_f64().with_context(|| format!("read {told}"));
    Ok((figure(0)?, figure(1)?, figure(2)?, figure(3)?))
}

#[tokio::test]
async fn the_portal_plays() -> Result<()> {
    let evening = Evening::begin("portal").await?;
    let browser = evening.browser().await?;
    browser.open(&format!("{}/portal", evening.world.base()?)).await?;
    wait::until("the door", PATIENCE, || browser.type_into("#sign-in input[name=login]", SUBSCRIBER.0)).await?;
    browser.type_into("#sign-in input[name=password]", SUBSCRIBER.1).await?;
    browser.click("#sign-in button").await?;
    let (_, listed) = wait::until("the list", PATIENCE, || browser.click("#channels button[data-name=lagon]")).await?;
    let moving = || async {
        let (clock, pictures, sound, width) = portal_video(&browser).await?;
        let enough = clock >= 5.0 && pictures >= 125.0 && sound > 0.0 && width > 0.0;
        ensure!(enough, "clock {clock} s, {pictures} pictures, {sound} bytes of sound, width {width}");
        Ok((pictures, sound))
    };
    let ((pictures, sound), took) = wait::until("the picture to move", PATIENCE, moving).await?;
    browser.screenshot(&evening.folder.join("portal.png")).await?;
    println!(
        "portal: list after {:.1} s, {pictures} pictures and {sound} bytes of sound after {:.1} s",
        listed.as_secs_f64(),
        took.as_secs_f64()
    );
    let stage = browser.run("return document.getElementById('stage').dataset.stage", vec![]).await?;
    assert_eq!(stage, "playing");
    let console = browser.console().await?;
    assert!(console.iter().all(|line| line.level != "SEVERE" && line.source != "security"), "{console:#?}");
    let requests = browser.requests().await?;
    let strangers: Vec<String> = requests
        .iter()
        .filter(|url| !matches!(url.scheme(), "blob" | "data") && url.host_str() != Some("127.0.0.1"))
        .map(ToString::to_string)
        .collect();
    assert!(strangers.is_empty(), "the page asked for {strangers:?}");
    let has = |part: &str| requests.iter().any(|url| url.path().contains(part));
    assert!(has("/play/lagon/") && has("/k/lagon/") && has(".ts"), "the record of requests is not whole: {requests:?}");
    browser.close().await?;
    evening.end().await
}
