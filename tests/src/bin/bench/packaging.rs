//! What packaging costs, beside ffmpeg on the same input in the same run.
//!
//! CPU-seconds of the whole process (user and system) per GiB of input, three interleaved rounds, medians. A ratio between
//! two programs in one run survives a noisy machine; the seconds alone do not.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};

use crate::fresh;

const ROUNDS: usize = 5;
const SECONDS: u32 = 300;

/// Packages a recording with our node and with ffmpeg, and prints both.
pub(crate) fn run(node: &Path, folder: &Path) -> Result<()> {
    let input = folder.join("input.ts");
    make_input(&input)?;
    let gib = fs::metadata(&input)?.len() as f64 / f64::from(1 << 30);
    let key = folder.join("key.bin");
    fs::write(&key, [0x42; 16])?;
    let keyinfo = folder.join("keyinfo");
    fs::write(&keyinfo, format!("http://127.0.0.1/key\n{}\n000102030405060708090a0b0c0d0e0f\n", key.display()))?;

    let (mut ours, mut theirs, mut copies) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let out = fresh(&folder.join("ours"))?;
        let arguments = ["--log", "error", "replay"].map(str::to_owned).into_iter();
        let arguments =
            arguments.chain([text(&input), "--segments".into(), text(&out), "--segment-secs".into(), "4".into()]);
        let arguments: Vec<String> = arguments.chain(["--key-file".into(), text(&key)]).collect();
        ours.push(cpu_seconds(Command::new(node).args(arguments))? / gib);

        let out = fresh(&folder.join("theirs"))?;
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-threads", "1", "-i"]).arg(&input);
        ffmpeg.args(["-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_list_size", "0", "-hls_key_info_file"]);
        ffmpeg.arg(&keyinfo).arg("-hls_segment_filename").arg(out.join("s%05d.ts")).arg(out.join("index.m3u8"));
        theirs.push(cpu_seconds(&mut ffmpeg)? / gib);

        let out = fresh(&folder.join("copy"))?;
        copies.push(cpu_seconds(Command::new("cp").arg(&input).arg(out.join("copy.ts")))? / gib);
    }
    let (ours, theirs, copy) = (median(&mut ours), median(&mut theirs), median(&mut copies));
    report(gib, &[("headend-node, AES-128", ours), ("ffmpeg -c copy, AES-128", theirs), ("cp (floor)", copy)]);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the bench's answer")]
fn report(gib: f64, rows: &[(&str, f64)]) {
    println!("packaging {:.2} GiB into 4 s segments, CPU-seconds per GiB, median of {ROUNDS} interleaved rounds", gib);
    for (name, seconds) in rows {
        println!("  {name:<26} {seconds:>7.2}");
    }
    let ratio = rows[0].1 / rows[1].1;
    println!("  ratio to ffmpeg            {ratio:>7.2}   (aim 0.20; ceiling of ours 2.0 CPU-s/GiB)");
}

fn make_input(path: &Path) -> Result<()> {
    let seconds = SECONDS.to_string();
    let arguments = [
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=1920x1080:rate=25",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
        "-t",
        &seconds,
        "-vf",
        "noise=alls=18:allf=t+u,format=yuv420p",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "50",
        "-keyint_min",
        "50",
        "-sc_threshold",
        "0",
        "-b:v",
        "7700k",
        "-minrate",
        "7700k",
        "-maxrate",
        "7700k",
        "-bufsize",
        "7700k",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        "-ac",
        "2",
        "-f",
        "mpegts",
    ];
    let status = Command::new("ffmpeg").args(arguments).arg(path).status().context("start ffmpeg")?;
    ensure!(status.success(), "ffmpeg could not make the input: {status}");
    Ok(())
}

/// User and system seconds of a child.
fn cpu_seconds(command: &mut Command) -> Result<f64> {
    let before = children()?;
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(children()? - before)
}

/// User and system seconds of all children that were waited for (getrusage(2)).
fn children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
