//! A page of our own with hls.js, and what it tells of a viewer's evening.
//!
//! The page plays one address with the player's own defaults: nothing is tuned to make Headend look good. It is
//! served on loopback from another origin than the stream's, as an operator's own page would be. Players of the
//! product's portal are driven through the portal, not through this page.

use std::{fs, future::IntoFuture as _, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{browser::Browser, program::workspace, wait};

/// Where the vendored player lies.
const PLAYER: &str = "controller/web/vendor/hls.js-1.7.4";

/// A served page; it ends with this value.
#[derive(Debug)]
pub struct HlsPage {
    address: String,
    server: JoinHandle<()>,
}

/// One error event of hls.js.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PlayerError {
    /// Milliseconds since play was asked for.
    pub at_ms: f64,
    /// `Hls.ErrorDetails`.
    pub details: String,
    /// The player gave up.
    pub fatal: bool,
    /// HTTP status, 0 when there was none.
    pub code: u16,
    /// In words.
    pub reason: String,
}

/// A stretch in which the picture stood.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Stall {
    /// Milliseconds since play was asked for.
    pub at_ms: f64,
    /// How long.
    pub ms: f64,
}

/// What a viewer saw so far.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tally {
    /// Milliseconds since play was asked for.
    pub at_ms: f64,
    /// From play to the first picture.
    pub first_picture_ms: Option<f64>,
    /// The player's clock, seconds.
    pub clock_s: f64,
    /// Pictures decoded.
    pub pictures: u64,
    /// Of them, too late to be shown.
    pub dropped: u64,
    /// Bytes of sound decoded.
    pub audio_bytes: u64,
    /// Seconds buffered ahead.
    pub ahead_s: f64,
    /// Holes in the buffer.
    pub holes: u64,
    /// How long the picture stands now.
    pub standing_ms: f64,
    /// Behind the live edge, seconds.
    pub latency_s: f64,
    /// Stalls that are over: the player's clock stood.
    pub stalls: Vec<Stall>,
    /// Pictures that were held, whether the clock stood or went on with sound alone.
    pub holds: Vec<Stall>,
    /// Error events.
    pub errors: Vec<PlayerError>,
    /// Origins that segments came from, in the order of change.
    pub origins: Vec<String>,
    /// Media sequence numbers shown.
    pub numbers: Vec<u64>,
    /// Discontinuities passed.
    pub discontinuities: u64,
    /// Mean colour of the bar at the head of the picture.
    pub bar: [u8; 3],
}

/// Whose picture is on the screen, by the colour of its bar (`tests/content/make.sh`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Teal: made for the Caribbean site.
    Caribbean,
    /// Navy: made for the site in France.
    France,
    /// Almost black: the slate.
    Slate,
    /// Something else.
    Other,
}

impl Tally {
    /// Whose picture is on the screen.
    #[must_use]
    pub fn scene(&self) -> Scene {
        match self.bar {
            [0..=90, 100..=160, 100..=160] => Scene::Caribbean,
            [0..=60, 0..=60, 100..=160] => Scene::France,
            [0..=40, 0..=50, 20..=70] => Scene::Slate,
            _ => Scene::Other,
        }
    }

    /// Milliseconds of standing picture since the first one, the present stall included.
    #[must_use]
    pub fn stalled_ms(&self) -> f64 {
        self.stalls.iter().map(|stall| stall.ms).sum::<f64>() + self.standing_ms
    }

    /// Error events after the first picture. Before it hls.js jumps over sound that came without a picture, and may call
    /// off its first request; nobody saw that.
    #[must_use]
    pub fn troubles(&self) -> Vec<&PlayerError> {
        let shown = self.first_picture_ms.unwrap_or(0.0);
        self.errors.iter().filter(|error| error.at_ms > shown).collect()
    }

    /// The longest that a picture was held, milliseconds.
    #[must_use]
    pub fn held_ms(&self) -> f64 {
        self.holds.iter().map(|hold| hold.ms).fold(0.0, f64::max)
    }

    /// One line for a report.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "first picture {:.0} ms, {} pictures ({} dropped), {} kB of sound, clock {:.1} s in {:.1} s, stalled {:.0} ms, \
             picture held {:.0} ms at worst, {} discontinuities, {} holes, {:.1} s behind, errors {:?}",
            self.first_picture_ms.unwrap_or(f64::NAN),
            self.pictures,
            self.dropped,
            self.audio_bytes / 1000,
            self.clock_s,
            self.at_ms / 1000.0,
            self.stalled_ms(),
            self.held_ms(),
            self.discontinuities,
            self.holes,
            self.latency_s,
            self.errors
                .iter()
                .map(|error| (error.details.as_str(), error.fatal, error.at_ms.round()))
                .collect::<Vec<_>>(),
        )
    }

    /// No fatal error, numbers one after the other.
    ///
    /// # Errors
    /// Says what a viewer or his player suffered.
    pub fn sound(&self) -> Result<()> {
        if let Some(error) = self.errors.iter().find(|error| error.fatal) {
            bail!("hls.js gave up: {error:?}; {}", self.line());
        }
        let steps = self.numbers.windows(2).find(|pair| pair[1] != pair[0] && pair[1] != pair[0] + 1);
        ensure!(steps.is_none(), "segments {steps:?} follow each other; {}", self.line());
        Ok(())
    }
}

impl HlsPage {
    /// Serves the page.
    ///
    /// # Errors
    /// When the vendored player is not there or no port is free.
    pub async fn serve() -> Result<Self> {
        let folder = workspace().join(PLAYER);
        let script = |body: String| get(move || async move { ([(CONTENT_TYPE, "text/javascript")], body) });
        let vendored = |file: &str| read(&folder.join(file)).map(script);
        let page = include_str!("../pages/hls.html");
        let router = Router::new()
            .route("/", get(move || async move { ([(CONTENT_TYPE, "text/html; charset=utf-8")], page) }))
            .route("/hls.js", script(include_str!("../pages/hls.js").to_owned()))
            .route("/hls.min.js", vendored("hls.min.js")?)
            .route("/hls.worker.js", vendored("hls.worker.js")?);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let address = format!("http://{}/", listener.local_addr()?);
        let serving = axum::serve(listener, router).into_future();
        let server = tokio::task::spawn(async move { drop(serving.await) });
        Ok(Self { address, server })
    }

    /// Opens the page in `browser` and lets it play `url`.
    ///
    /// # Errors
    /// When the page does not load.
    pub async fn play(&self, browser: &Browser, url: &str) -> Result<()> {
        browser.open(&self.address).await?;
        browser.run("play(arguments[0])", vec![url.into()]).await?;
        Ok(())
    }
}

impl Drop for HlsPage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What the viewer saw so far.
///
/// # Errors
/// When the page is not there or tells something else.
pub async fn tally(browser: &Browser) -> Result<Tally> {
    let told = browser.run("return tally()", vec![]).await?;
    serde_json::from_value(told.clone()).with_context(|| format!("read the tally {told}"))
}

/// Waits until the viewer saw what `enough` asks for; a fatal error ends the wait at once.
///
/// # Errors
/// A fatal error of the player, or the deadline with the tally of that moment.
pub async fn watch(
    browser: &Browser,
    what: &str,
    deadline: Duration,
    enough: impl Fn(&Tally) -> bool,
) -> Result<Tally> {
    let look = || async {
        let tally = tally(browser).await?;
        // A player that gave up will not come back: that is an answer, not a reason to wait on.
        let over = enough(&tally) || tally.errors.iter().any(|error| error.fatal);
        ensure!(over, "{:?} on screen; {}", tally.scene(), tally.line());
        Ok(tally)
    };
    let (tally, _) = wait::until(what, deadline, look).await?;
    tally.sound()?;
    Ok(tally)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
