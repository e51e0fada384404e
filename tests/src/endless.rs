//! A viewer of an endless transport stream: reads it all the time and keeps account of what came and when.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use tokio::task::JoinSet;

use crate::{transport::Judge, wait::until};

/// A stream that says nothing this long has ended for us.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Heard {
    judge: Judge,
    bytes: Vec<u8>,
    last: Option<Instant>,
    gap: Duration,
    ended: Option<String>,
}

/// A reader that runs until it is dropped.
pub struct Endless {
    heard: Arc<Mutex<Heard>>,
    /// Its end ends the task.
    _task: JoinSet<()>,
}

impl Endless {
    /// Starts to read; keeps the first `keep` bytes for a decoder.
    ///
    /// # Errors
    /// When the stream is refused.
    pub async fn start(http: &reqwest::Client, url: Url, keep: usize) -> Result<Self> {
        let response = http.get(url).timeout(Duration::from_secs(600)).send().await?;
        ensure!(response.status().is_success(), "{}: {}", response.url().path(), response.status());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut task = JoinSet::new();
        task.spawn(read(response, Arc::clone(&heard), keep));
        Ok(Self { heard, _task: task })
    }

    /// Waits until `seconds` more have come, by the stream's own clock.
    ///
    /// # Errors
    /// When it ends before, or stays silent.
    pub async fn more(&self, seconds: f64) -> Result<()> {
        let from = self.seconds();
        let look = || async {
            if let Some(reason) = &self.locked().ended {
                bail!("the stream ended: {reason}");
            }
            ensure!(self.seconds() >= from + seconds, "{:.1} of {seconds} s came", self.seconds() - from);
            Ok(())
        };
        until("more of the stream", SILENCE_MAX, look).await.map(|_| ())
    }

    /// Seconds so far, by the stream's own clock.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.locked().judge.seconds().unwrap_or(0.0)
    }

    /// The longest silence since the last call, the one that lasts included.
    #[must_use]
    pub fn gap(&self) -> Duration {
        let mut heard = self.locked();
        let lasting = heard.last.map_or(Duration::ZERO, |last| last.elapsed());
        std::mem::take(&mut heard.gap).max(lasting)
    }

    /// Nothing was lost so far.
    ///
    /// # Errors
    /// Names breaks, or why the stream ended.
    pub fn whole(&self) -> Result<()> {
        let heard = self.locked();
        if let Some(reason) = &heard.ended {
            bail!("the stream ended: {reason}");
        }
        ensure!(heard.judge.breaks.is_empty(), "breaks: {:?}", heard.judge.breaks);
        ensure!(heard.judge.packets > 0, "no packet came");
        Ok(())
    }

    /// The first bytes, as many as were to be kept.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.locked().bytes.clone()
    }

    fn locked(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(mut response: reqwest::Response, heard: Arc<Mutex<Heard>>, keep: usize) {
    let ended = loop {
        let chunk = match response.chunk().await.context("read") {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break "its end".to_owned(),
            Err(error) => break format!("{error:#}"),
        };
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gap = heard.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        heard.gap = heard.gap.max(gap);
        let room = keep.saturating_sub(heard.bytes.len()).min(chunk.len());
        heard.bytes.extend_from_slice(&chunk[..room]);
        if let Err(error) = heard.judge.push(&chunk) {
            break format!("{error:#}");
        }
    };
    heard.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(ended);
}
