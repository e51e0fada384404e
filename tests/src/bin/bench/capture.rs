//! What a captured multiplex costs: 40 Mbit/s of eight services from one tuner, packaged and encrypted, and eight HTTP-TS
//! viewers of the clear stream.
//!
//! The tuner is a recording behind the tuner's own seam: 20 ms turns and a copy of every byte, as from the kernel's ring.
//! Processor time is the process's own account over a minute; system calls are counted by strace in a second window, which
//! slows the program but not the clock it lives by. The peers' figures are of another day and machine, so they are named
//! as such.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    endless::Endless,
    lone::{Lone, channel},
    wait::until,
};
use headend_wire::DesiredChannel;
use nix::unistd::{SysconfVar, sysconf};
use reqwest::Url;

const SERVICES: u16 = 8;
const PIECES: u32 = 3;
const PIECE_SECONDS: f64 = 20.0;
const COUNTED_SECONDS: f64 = 15.0;
/// The recording's length; a looped file may have 64 MiB.
const RECORDED_SECONDS: u32 = 12;

/// Captures, serves, and prints what it took.
pub(crate) fn run(node: &Path, folder: &Path) -> Result<()> {
    let input = folder.join("multiplex.ts");
    make_multiplex(folder, &input)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(node, folder, &input))
}

async fn measure(node: &Path, folder: &Path, input: &Path) -> Result<()> {
    let device = format!(
        "[[antenna]]\nname = 'roof'\nterrestrial = true\n[[tuner]]\nname = 'played'\ndevice = 'replay:{}'\nantennas = ['roof']\n",
        input.display()
    );
    let mut lone = Lone::prepare(folder, "bench", &device, (1..=SERVICES).map(service).collect())?;
    lone.binary = node.display().to_string();
    lone.run().await?;
    for number in 1..=SERVICES {
        lone.playlist(&name(number), 1).await?;
    }
    let mut viewers = vec![];
    for number in 1..=SERVICES {
        let url: Url = lone.url(&format!("/{}/mpegts?token={}", name(number), lone.token))?;
        viewers.push(Endless::start(&lone.http, url, 0).await?);
    }
    let id = lone.program()?.id().context("the node runs")?;
    let before = (Instant::now(), cpu_seconds(id)?, received(&lone).await?);
    for _ in 0..PIECES {
        viewers[0].more(PIECE_SECONDS).await?;
    }
    let after = (Instant::now(), cpu_seconds(id)?, received(&lone).await?);
    let resident = resident_kib(id)?;
    let calls = system_calls(id, folder, &viewers[0]).await?;
    for viewer in &viewers {
        viewer.whole()?;
    }
    let seconds = (after.0 - before.0).as_secs_f64();
    report((after.2 - before.2) as f64 * 8.0 / seconds / 1e6, (after.1 - before.1) / seconds, calls, resident);
    lone.stop().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the bench's answer")]
fn report(mbits: f64, cores: f64, calls: f64, resident_kib: u64) {
    println!("capture of {mbits:.1} Mbit/s, {SERVICES} services packaged with AES-128, {SERVICES} HTTP-TS viewers");
    println!(
        "  processor, % of a core     {:>7.2}   (aim 1.5; TVHeadend 2.7, which packages nothing, elsewhere)",
        cores * 100.0
    );
    println!("  system calls a second      {calls:>7.0}   (aim 500; TVHeadend 3,900, dvblast 10,900, elsewhere)");
    println!(
        "  resident, MiB              {:>7.0}   (live windows of {SERVICES} channels, rings and the recording included)",
        resident_kib as f64 / 1024.0
    );
}

fn name(number: u16) -> String {
    format!("service-{number}")
}

fn service(number: u16) -> DesiredChannel {
    let mut channel = channel(&name(number), &[("dish", "dvb://roof?system=t&frequency=474MHz")]);
    channel.sources[0].service = Some(number);
    channel
}

/// Bytes received by the one input.
async fn received(lone: &Lone) -> Result<u64> {
    let status = lone.status().await?;
    let inputs = status["status"]["inputs"].as_array().context("status without inputs")?;
    ensure!(inputs.len() == 1, "{} inputs where one multiplex is received", inputs.len());
    inputs[0]["counters"]["bytes"].as_u64().context("an input without its bytes")
}

/// User and system seconds of a running process (proc(5), stat, fields 14 and 15).
pub(crate) fn cpu_seconds(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in parentheses may hold blanks.
    let (_, fields) = stat.rsplit_once(')').context("a process's figures")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the system has a clock tick")?;
    Ok(ticks as f64 / per_second as f64)
}

fn resident_kib(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("resident memory")?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("read {line:?}"))
}

/// System calls a second, by strace.
async fn system_calls(id: u32, folder: &Path, viewer: &Endless) -> Result<f64> {
    let summary = folder.join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&summary).args(["-p", &id.to_string()]);
    let mut counting = strace.stderr(Stdio::null()).spawn().context("start strace")?;
    let traced = format!("/proc/{id}/status");
    let attached = || async {
        ensure!(!fs::read_to_string(&traced)?.contains("TracerPid:\t0"), "strace is not attached");
        Ok(())
    };
    until("strace to attach", Duration::from_secs(10), attached).await?;
    viewer.more(COUNTED_SECONDS).await?;
    let strace_id = nix::unistd::Pid::from_raw(i32::try_from(counting.id())?);
    nix::sys::signal::kill(strace_id, nix::sys::signal::Signal::SIGINT)?;
    counting.wait()?;
    total(&summary)
}

/// The sum of the calls that strace counted. Waits that were cut short at its end are among them, one a thread.
fn total(summary: &PathBuf) -> Result<f64> {
    let text = fs::read_to_string(summary)?;
    let calls = |line: &str| {
        let mut words = line.split_whitespace();
        let (count, name) = (words.next()?.parse::<u64>().ok()?, words.next()?);
        (name != "total").then_some(count)
    };
    let sum: u64 = text.lines().filter_map(calls).sum();
    ensure!(sum > 0, "strace counted nothing:\n{text}");
    Ok(sum as f64 / COUNTED_SECONDS)
}

/// One picture and sound of 4.8 Mbit/s in `one.ts`.
pub(crate) fn make_service(folder: &Path) -> Result<PathBuf> {
    let one = folder.join("one.ts");
    let seconds = RECORDED_SECONDS.to_string();
    let mut encode = Command::new("ffmpeg");
    encode.args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"]);
    encode.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds]);
    encode.args(["-vf", "noise=alls=18:allf=t+u,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]);
    encode.args(["-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-b:v", "4400k", "-minrate", "4400k"]);
    encode.args(["-maxrate", "4400k", "-bufsize", "2200k", "-c:a", "mp2", "-b:a", "192k", "-f", "mpegts"]).arg(&one);
    let status = encode.status().context("start ffmpeg")?;
    ensure!(status.success(), "ffmpeg could not make a service: {status}");
    Ok(one)
}

/// The service eight times over, stuffed to 40 Mbit/s.
fn make_multiplex(folder: &Path, out: &Path) -> Result<()> {
    let one = make_service(folder)?;
    let mut join = Command::new("ffmpeg");
    join.args(["-v", "error", "-y", "-i"]).arg(&one);
    for _ in 0..SERVICES {
        join.args(["-map", "0:v", "-map", "0:a"]);
    }
    join.args(["-c", "copy"]);
    for number in 1..=SERVICES {
        let (video, audio) = (2 * (number - 1), 2 * (number - 1) + 1);
        join.args(["-program", &format!("title=Service {number}:program_num={number}:st={video}:st={audio}")]);
    }
    let status = join.args(["-f", "mpegts", "-muxrate", "40000000"]).arg(out).status().context("start ffmpeg")?;
    ensure!(status.success(), "ffmpeg could not make the multiplex: {status}");
    Ok(())
}
