//! GStreamer as a viewer: `playbin3` with its adaptive demultiplexer of today, `hlsdemux2`, decodes picture and sound of an
//! address and counts the pictures.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout_at,
};

/// What was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Pictures that reached the sink.
    pub pictures: u64,
    /// Pictures that came too late.
    pub dropped: u64,
    /// The stream ended by itself.
    pub ended: bool,
}

/// Plays an HLS address until so many pictures were shown, or until its end.
///
/// # Errors
/// When GStreamer is not installed, reports an error, does not use `hlsdemux2`, or does not come so far in time.
pub async fn play(url: &str, pictures: u64, deadline: Duration) -> Result<Played> {
    // Alone, the counting sink quarrels with the bin that gst-launch makes of a description.
    let sink = "video-sink=\"identity ! fpsdisplaysink video-sink=fakesink text-overlay=false sync=true\"";
    let mut child = Command::new("gst-launch-1.0")
        .args(["-v", "playbin3", &format!("uri={url}"), sink, "audio-sink=\"fakesink sync=true\""])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("start gst-launch-1.0; Debian's package is gstreamer1.0-tools")?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    let until = tokio::time::Instant::from_std(Instant::now() + deadline);
    let (mut played, mut modern) = (Played { pictures: 0, dropped: 0, ended: false }, false);
    while !played.ended && played.pictures < pictures {
        let line = timeout_at(until, lines.next_line()).await;
        let Some(line) = line.with_context(|| format!("GStreamer showed {played:?} of {pictures} pictures"))?? else {
            bail!("GStreamer ended without a word after {played:?}");
        };
        modern |= line.contains("GstHLSDemux2");
        played.ended |= line.starts_with("Got EOS");
        ensure!(!line.starts_with("ERROR"), "GStreamer: {line}");
        // last-message = rendered: 51, dropped: 0, current: 25,01, average: 25,00
        let figure = |name: &str| line.split_once(name)?.1.split(',').next()?.trim().parse().ok();
        if let (Some(rendered), Some(dropped)) = (figure("rendered: "), figure("dropped: ")) {
            (played.pictures, played.dropped) = (rendered, dropped);
        }
    }
    ensure!(modern, "playbin3 did not choose hlsdemux2");
    Ok(played)
}
