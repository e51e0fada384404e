//! Real players on the three forms of an encrypted channel: live, a stretch of the past, and the past that grows with live.
//!
//! hls.js in Chromium, ffmpeg, GStreamer and VLC each play all three from a node, with a token, over changes of the key.
//! How long the stretch is, is in `HEADEND_PLAY_SECS`, 16 s when it says nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    browser::Browser,
    ffmpeg, gstreamer,
    hls_page::{self, HlsPage, Tally},
    lone::{Lone, channel, file, now_secs},
    vlc::Vlc,
    wait::until,
    world::content,
};
use headend_wire::{DesiredChannel, Dvr};
use tokio::sync::Mutex;

const NAME: &str = "lagon";
const PATIENCE: Duration = Duration::from_secs(60);
/// Pictures a second.
const RATE: u64 = 25;

fn play_secs() -> u64 {
    std::env::var("HEADEND_PLAY_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(16)
}

/// A player begins with whole groups of pictures, and may not have shown what it decoded last: two seconds.
fn enough() -> u64 {
    (play_secs() - 2) * RATE
}

/// A node that has recorded for long enough.
struct Recorded {
    node: Lone,
    from: u64,
    folder: PathBuf,
}

impl Recorded {
    async fn begin(name: &str) -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archive-players").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)?;
        let dvr = Some(Dvr { keep: "1h".parse()?, locks: vec![] });
        // Ten seconds a key: every form passes changes of it.
        let plan = channel(NAME, &[("file", &file(&content("lagon-caribbean.ts")))]);
        let plan = DesiredChannel { dvr, key_period_secs: 10, ..plan };
        let archive = format!("[archive]\npaths = ['{}']\n", folder.join("disk").display());
        let mut node = Lone::prepare(&folder, "car-1", &archive, vec![plan])?;
        node.run().await?;
        node.playlist(NAME, 2).await?;
        let recorded = Self { from: now_secs(), node, folder };
        let whole = || async {
            let text = recorded.list(&recorded.past()?).await?;
            ensure!(text.contains("#EXT-X-ENDLIST"), "not over yet");
            Ok(())
        };
        until("the recording", Duration::from_secs(play_secs() + 40), whole)
            .await
            .with_context(|| recorded.node.log())?;
        Ok(recorded)
    }

    async fn list(&self, url: &str) -> Result<String> {
        Ok(self.node.http.get(url).send().await?.error_for_status()?.text().await?)
    }

    fn form(&self, form: &str) -> Result<String> {
        Ok(self.node.url(&format!("/{NAME}/{form}?token={}", self.node.token))?.to_string())
    }

    fn past(&self) -> Result<String> {
        self.form(&format!("video-{}-{}.m3u8", self.from, play_secs()))
    }

    /// Live, the stretch, and the stretch that goes on, as a box asks for them.
    fn forms(&self) -> Result<[(&'static str, String); 3]> {
        let (from, secs) = (self.from, play_secs());
        Ok([
            ("live", self.form("index.m3u8")?),
            ("past", self.form(&format!("archive-{from}-{secs}.m3u8"))?),
            ("event", self.form(&format!("archive-{from}-now.m3u8"))?),
        ])
    }

    async fn end(mut self) -> Result<()> {
        ensure!(self.node.stop().await? == 0, "the node stopped badly");
        Ok(())
    }
}

#[tokio::test]
async fn ffmpeg_plays_the_past() -> Result<()> {
    let recorded = Recorded::begin("ffmpeg").await?;
    for (form, url) in recorded.forms()? {
        let played = ffmpeg::play(&url, u32::try_from(play_secs())?).await?;
        println!("ffmpeg, {form}: {played:?}");
        ensure!(played.pictures >= enough(), "{form}: {played:?} of {} pictures", enough());
        let complaints: Vec<&String> =
            played.complaints.iter().filter(|line| !line.contains("monotonically")).collect();
        ensure!(complaints.is_empty(), "{form}: {complaints:#?}");
    }
    recorded.end().await
}

#[tokio::test]
async fn gstreamer_plays_the_past() -> Result<()> {
    let recorded = Recorded::begin("gstreamer").await?;
    for (form, url) in recorded.forms()? {
        let played = gstreamer::play(&url, enough(), PATIENCE + Duration::from_secs(2 * play_secs())).await?;
        println!("GStreamer, {form}: {played:?}");
        ensure!(played.pictures >= enough(), "{form}: {played:?} of {} pictures", enough());
    }
    recorded.end().await
}

#[tokio::test]
async fn vlc_plays_the_past() -> Result<()> {
    let recorded = Recorded::begin("vlc").await?;
    for (form, url) in recorded.forms()? {
        let vlc = Mutex::new(Vlc::play(&url, &recorded.folder)?);
        let look = || async {
            let seen = vlc.lock().await.statistics().await?;
            ensure!(seen.shown >= enough(), "{form}: {seen:?} of {} pictures", enough());
            Ok(seen)
        };
        let (seen, _) = until("VLC to show its pictures", PATIENCE + Duration::from_secs(play_secs()), look).await?;
        let complaints = vlc.into_inner().quit().await?;
        println!("VLC, {form}: {seen:?}");
        ensure!((seen.corrupted, seen.discontinuities) == (0, 0), "{form}: {seen:?} {complaints:#?}");
    }
    recorded.end().await
}

#[tokio::test]
async fn hls_js_plays_the_past() -> Result<()> {
    let recorded = Recorded::begin("hls-js").await?;
    let (page, browser) = (HlsPage::serve().await?, Browser::start(&recorded.folder).await?);
    for (form, url) in recorded.forms()? {
        page.play(&browser, &url).await?;
        let long = |now: &Tally| now.pictures >= enough() && now.audio_bytes > 0;
        let seen = hls_page::watch(&browser, form, PATIENCE + Duration::from_secs(2 * play_secs()), long).await?;
        println!("hls.js, {form}: {}", seen.line());
        ensure!(seen.troubles().is_empty() && seen.discontinuities == 0, "{form}: {}", seen.line());
        browser.screenshot(&recorded.folder.join(format!("{form}.png"))).await?;
    }
    browser.close().await?;
    recorded.end().await
}
