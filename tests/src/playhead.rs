//! A player's patience, measured: how long a viewer would have looked at a standing picture.
//!
//! It plays like a set-top box: begins three target durations behind the live edge, reloads the playlist, and plays on
//! at the speed of time as long as the next segment is there. What it could not play in time is stall.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use reqwest::Url;

use crate::client::{Playlist, Viewer};

/// How often the playlist is asked for.
const RELOAD: Duration = Duration::from_millis(500);

/// What a viewer saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    /// Seconds of picture played.
    pub played: f64,
    /// Seconds of standing picture.
    pub stalled: f64,
    /// Discontinuities passed.
    pub discontinuities: u32,
    /// First and last number.
    pub numbers: (u64, u64),
}

/// Plays a media playlist until `enough` says so or `deadline` passes.
///
/// # Errors
/// When numbers step back, or leave a hole, or the deadline passes. A refused reload is waited through.
pub async fn watch(
    viewer: &Viewer,
    playlist: &Url,
    deadline: Duration,
    mut enough: impl FnMut(&Playlist, &Watched) -> bool,
) -> Result<Watched> {
    let (start, mut ticks) = (Instant::now(), tokio::time::interval(RELOAD));
    let (mut buffer, mut last_look) = (0.0, Instant::now());
    let mut next: Option<u64> = None;
    let mut seen = Watched { played: 0.0, stalled: 0.0, discontinuities: 0, numbers: (0, 0) };
    let mut sequence = 0;
    loop {
        ticks.tick().await;
        let passed = last_look.elapsed().as_secs_f64();
        last_look = Instant::now();
        let loaded = viewer.reload(playlist).await;
        if next.is_some() {
            let played = passed.min(buffer);
            (buffer, seen.played) = (buffer - played, seen.played + played);
            seen.stalled += passed - played;
        }
        if let Ok(list) = &loaded {
            if list.sequence < sequence {
                bail!("MEDIA-SEQUENCE stepped back from {sequence} to {}", list.sequence);
            }
            sequence = list.sequence;
            let from = next.unwrap_or_else(|| begin(list));
            if list.sequence > from {
                bail!("segment {from} was never listed; the list begins at {}", list.sequence);
            }
            for segment in list.segments.iter().filter(|segment| segment.number >= from) {
                buffer += segment.duration;
                seen.discontinuities += u32::from(segment.discontinuity);
                seen.numbers = (if next.is_none() { segment.number } else { seen.numbers.0 }, segment.number);
                next = Some(segment.number + 1);
            }
            if enough(list, &seen) {
                return Ok(seen);
            }
        }
        if start.elapsed() > deadline {
            match loaded {
                Ok(_) => bail!("not enough after {deadline:?}: {seen:?}"),
                Err(error) => bail!("not enough after {deadline:?}: {seen:?}; {error:#}"),
            }
        }
    }
}

/// Three target durations before the end (RFC 8216 §6.3.3).
fn begin(list: &Playlist) -> u64 {
    let (mut number, mut behind) = (list.sequence + list.segments.len() as u64, 0.0);
    for segment in list.segments.iter().rev() {
        if behind + segment.duration > 3.0 * list.target as f64 {
            break;
        }
        (number, behind) = (segment.number, behind + segment.duration);
    }
    number
}
