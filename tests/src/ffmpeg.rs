//! ffprobe and ffmpeg as players of a live address: they follow the redirect, fetch keys, decrypt and decode.

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, time::timeout};

/// ffmpeg's HLS reader opens nothing that is not named here.
const PROTOCOLS: &str = "http,tcp,crypto";

/// Time over the stream's own that a run may take: start, probing, a machine that builds something else.
const SLACK: Duration = Duration::from_secs(45);

/// What a live run of ffmpeg decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// Pictures.
    pub pictures: u64,
    /// Kilobytes (1024) of PCM sound of the first track.
    pub audio_kb: u64,
    /// Wall time.
    pub seconds: f64,
    /// Warnings and errors it printed.
    pub complaints: Vec<String>,
}

/// What ffprobe says of the streams behind an address: `codec,width,height` for video, `codec,rate,channels` for audio.
///
/// # Errors
/// When ffprobe fails.
pub async fn streams(url: &str) -> Result<Vec<String>> {
    let entries = "program_stream=codec_name,width,height,sample_rate,channels";
    let arguments = ["-v", "error", "-protocol_whitelist", PROTOCOLS, "-show_entries", entries, "-of", "csv=p=0", url];
    let output = run("ffprobe", &arguments, SLACK).await?;
    let talk = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffprobe {url}: {talk}");
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| line.trim_end_matches(',').to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Plays the first picture and the first sound track of a live address for `seconds` of the stream's time.
///
/// # Errors
/// When ffmpeg fails, or takes much longer than the stream lasts.
pub async fn play(url: &str, seconds: u32) -> Result<Played> {
    let length = seconds.to_string();
    let arguments = [
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "level+info",
        "-protocol_whitelist",
        PROTOCOLS,
        "-i",
        url,
        "-t",
        &length,
        "-map",
        "0:v:0",
        "-map",
        "0:a:0",
        "-f",
        "null",
        "-progress",
        "pipe:1",
        "-",
    ];
    let start = Instant::now();
    let output = run("ffmpeg", &arguments, Duration::from_secs(seconds.into()) + SLACK).await?;
    let talk = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg {url}: {talk}");
    let progress = String::from_utf8_lossy(&output.stdout);
    let pictures =
        progress.lines().rev().find_map(|line| line.strip_prefix("frame=")).context("ffmpeg counted nothing")?;
    // The sum at the end: `video:236kB audio:1875kB subtitle:0kB …`; the null muxer takes PCM.
    let audio =
        talk.rsplit("audio:").next().and_then(|rest| rest.split("kB").next()).context("ffmpeg summed nothing")?;
    let complaints = talk.lines().filter(|line| line.contains("[error]") || line.contains("[warning]"));
    Ok(Played {
        pictures: pictures.trim().parse().with_context(|| format!("read {pictures:?}"))?,
        audio_kb: audio.trim().parse().with_context(|| format!("read {audio:?}"))?,
        seconds: start.elapsed().as_secs_f64(),
        complaints: complaints.map(str::to_owned).collect(),
    })
}

async fn run(program: &str, arguments: &[&str], deadline: Duration) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(deadline, command.output()).await;
    output.with_context(|| format!("{program} took over {deadline:?}"))?.with_context(|| format!("start {program}"))
}
