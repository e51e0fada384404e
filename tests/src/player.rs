//! Judging pictures with ffmpeg: what a player would show, counted.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// What was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Video pictures.
    pub pictures: u64,
    /// Audio packets of the first audio track.
    pub audio: u64,
}

/// Decodes a clear transport stream and counts pictures and audio packets.
///
/// # Errors
/// When ffprobe fails or complains.
pub async fn decode(bytes: &[u8]) -> Result<Decoded> {
    let pictures = count(bytes, "v:0", "nb_read_frames", "-count_frames").await?;
    let audio = count(bytes, "a:0", "nb_read_packets", "-count_packets").await?;
    Ok(Decoded { pictures, audio })
}

/// What ffmpeg made of a stream, and what it said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Pictures decoded.
    pub pictures: u64,
    /// Lines of its log at level `warning` and worse.
    pub complaints: Vec<String>,
}

/// Decodes picture and sound with ffmpeg, which tells more of a stream's faults than ffprobe does.
///
/// # Errors
/// When ffmpeg gives up.
pub async fn watch(bytes: &[u8]) -> Result<Watched> {
    let arguments = ["-v", "warning", "-nostats", "-progress", "pipe:1", "-f", "mpegts", "-i", "-", "-f", "null", "-"];
    let output = feed("ffmpeg", &arguments, bytes).await?;
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ffmpeg: {talk}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let frames = text.lines().rev().find_map(|line| line.strip_prefix("frame=")).context("ffmpeg told no frames")?;
    Ok(Watched { pictures: frames.trim().parse()?, complaints: talk.lines().map(str::to_owned).collect() })
}

/// As [`decode`], for recorded television: a short recording played in a loop begins in the middle of things, and a
/// decoder says so at each pass.
///
/// # Errors
/// When ffmpeg gives up.
pub async fn decode_recorded(bytes: &[u8]) -> Result<Decoded> {
    let audio = count(bytes, "a:0", "nb_read_packets", "-count_packets").await?;
    Ok(Decoded { pictures: watch(bytes).await?.pictures, audio })
}

async fn count(bytes: &[u8], stream: &str, entry: &str, flag: &str) -> Result<u64> {
    let entries = format!("stream={entry}");
    // Counting packets decodes nothing: what a decoder would say does not belong to it.
    let level = if flag == "-count_packets" { "fatal" } else { "error" };
    let arguments = ["-v", level, flag, "-select_streams", stream, "-show_entries", &entries, "-of", "csv=p=0", "-"];
    let output = feed("ffprobe", &arguments, bytes).await?;
    let talk = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && talk.trim().is_empty(), "ffprobe: {talk}");
    let text = String::from_utf8_lossy(&output.stdout);
    // A programme lists its stream twice, once below the programme.
    let figure =
        text.lines().map(|line| line.trim().trim_end_matches(',')).find(|line| !line.is_empty()).unwrap_or("0");
    figure.parse().with_context(|| format!("ffprobe counted {text:?}"))
}

async fn feed(program: &str, arguments: &[&str], bytes: &[u8]) -> Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let input = bytes.to_vec();
    let feed = async move {
        // It may have seen enough before the end; a closed pipe is its way of saying so.
        let _ = stdin.write_all(&input).await;
    };
    let id = child.id();
    let limited = async {
        let mut running = std::pin::pin!(child.wait_with_output());
        match timeout(Duration::from_secs(60), running.as_mut()).await {
            Ok(output) => output.with_context(|| format!("run {program}")),
            // It was seen once, with two seconds of a small picture: next time we know where it stands.
            Err(_) => bail!("{program} took over 60 s for {} bytes; {}", bytes.len(), standing(id)),
        }
    };
    tokio::join!(limited, feed).0
}

/// Where the threads of a process that does not end wait (proc(5)).
fn standing(id: Option<u32>) -> String {
    let Some(id) = id else { return "it is gone".to_owned() };
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let told = threads.map(|thread| {
        let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let state = read("stat").rsplit(')').next().unwrap_or_default().trim().chars().next().unwrap_or('?');
        format!("{} {state} {}", read("comm").trim(), read("syscall").trim())
    });
    told.collect::<Vec<_>>().join("; ")
}
