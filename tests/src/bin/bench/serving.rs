//! What serving costs, beside nginx with sendfile on the same bytes in the same run.
//!
//! Three kinds: live segments of about a MiB, archived ones, and the media playlist as a viewer with a token asks for it.
//! wrk asks over 32 connections from one core; the server has the other. What counts is the server's processor time (user
//! and system), so that neither a slow client nor a busy machine changes the ratio much. Ours checks a token for each
//! request and packages the channel meanwhile; nginx hands out files from a RAM disk.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use headend_tests::{
    client::{Playlist, Viewer},
    lone::{Lone, channel, file, now_secs},
    wait::until,
};
use headend_wire::dvr::Dvr;
use reqwest::Url;

use crate::capture::{cpu_seconds, make_service};

const NAME: &str = "bench";
const ROUNDS: usize = 3;
const ROUND_SECONDS: u32 = 5;
const ARCHIVED_SECONDS: u64 = 16;

/// What is asked for, and the part of nginx's rate that is aimed at.
const KINDS: [(&str, f64); 3] = [("live segments", 1.5), ("archived segments", 0.9), ("playlists", 0.7)];

/// What one round gave: requests and bytes for each second of the server's processor.
#[derive(Clone, Copy)]
struct Rate {
    requests: f64,
    bytes: f64,
}

/// Serves, asks, and prints both servers.
pub(crate) fn run(node: &Path, folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(node, folder))
}

async fn measure(node: &Path, folder: &Path) -> Result<()> {
    let input = make_service(folder)?;
    let archive = format!("[archive]\npaths = ['{}']\n", folder.join("disk").display());
    fs::create_dir_all(folder.join("disk"))?;
    let dvr = Some(Dvr { keep: "1h".parse()?, locks: vec![] });
    let wanted = headend_wire::DesiredChannel { dvr, window_segments: 6, ..channel(NAME, &[("file", &file(&input))]) };
    let mut lone = Lone::prepare(folder, "bench", &archive, vec![wanted])?;
    lone.binary = node.display().to_string();
    lone.run().await?;
    lone.playlist(NAME, 4).await?;
    let past = archived(&lone).await?;
    let peer = Nginx::start(folder).await?;

    let mut rates = [const { vec![] }; KINDS.len()];
    for round in 0..ROUNDS {
        for (kind, rates) in rates.iter_mut().enumerate() {
            let (media, _) = lone.media(NAME).await?;
            let urls: Vec<Url> = match kind {
                0 => media.segments.iter().rev().take(3).map(|segment| segment.url.clone()).collect(),
                1 => past.segments.iter().map(|segment| segment.url.clone()).collect(),
                _ => vec![lone.media_url(NAME)?],
            };
            let copies = peer.copy(&lone.http, &format!("{kind}-{round}"), &urls).await?;
            let id = lone.program()?.id().context("the node runs")?;
            let ours = ask(folder, id, &urls).context(KINDS[kind].0)?;
            rates.push((ours, ask(folder, peer.worker()?, &copies).context("nginx")?));
        }
    }
    report(&mut rates);
    lone.stop().await?;
    Ok(())
}

/// A stretch of the past that the live window no longer holds.
async fn archived(lone: &Lone) -> Result<Playlist> {
    let (viewer, start) = (Viewer::guest()?, now_secs());
    let url = lone.url(&format!("/{NAME}/video-{start}-{ARCHIVED_SECONDS}.m3u8?token={}", lone.token))?;
    let look = || async {
        ensure!(now_secs() > start + 2 * ARCHIVED_SECONDS, "the live window still holds it");
        let playlist = viewer.reload(&url).await?;
        ensure!(playlist.segments.len() >= 8, "{} archived segments", playlist.segments.len());
        Ok(playlist)
    };
    until("the archive", Duration::from_secs(90), look).await.map(|(playlist, _)| playlist)
}

#[expect(clippy::print_stdout, reason = "the bench's answer")]
fn report(rates: &mut [Vec<(Rate, Rate)>]) {
    println!("serving over loopback, for each second of the server's processor, median of {ROUNDS} interleaved rounds");
    for (rounds, (what, aim)) in rates.iter_mut().zip(KINDS) {
        rounds.sort_by(|a, b| (a.0.requests / a.1.requests).total_cmp(&(b.0.requests / b.1.requests)));
        let (ours, theirs) = rounds[ROUNDS / 2];
        let gbits = |rate: Rate| rate.bytes * 8.0 / 1e9;
        println!(
            "  {what:<18} headend-node {:>8.0} requests, {:>6.2} Gbit; nginx {:>8.0}, {:>6.2}: ratio {:>5.2}   (aim {aim})",
            ours.requests,
            gbits(ours),
            theirs.requests,
            gbits(theirs),
            ours.requests / theirs.requests,
        );
    }
}

/// Asks one server for a round.
fn ask(folder: &Path, id: u32, urls: &[Url]) -> Result<Rate> {
    let script = folder.join("paths.lua");
    let path = |url: &Url| match url.query() {
        Some(query) => format!("'{}?{query}'", url.path()),
        None => format!("'{}'", url.path()),
    };
    let paths: Vec<String> = urls.iter().map(path).collect();
    let text = format!(
        "local paths = {{{}}}\nlocal at = 0\nrequest = function()\n  at = at % #paths + 1\n  return wrk.format('GET', paths[at])\nend\n\
         done = function(summary)\n  local e = summary.errors\n  io.write(string.format('\\nresult %d %d %d %d %d %d %d\\n', summary.requests, \
         summary.bytes, e.connect, e.read, e.write, e.status, e.timeout))\nend\n",
        paths.join(", ")
    );
    fs::write(&script, text)?;
    pin(id)?;
    let base = format!("http://{}", urls[0].authority());
    let before = cpu_seconds(id)?;
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", "1", "wrk", "-t1", "-c32", "-d", &format!("{ROUND_SECONDS}s"), "-s"]).arg(&script).arg(&base);
    let output = wrk.output().context("start wrk")?;
    let spent = cpu_seconds(id)? - before;
    let said = String::from_utf8_lossy(&output.stdout);
    let line =
        said.lines().find_map(|line| line.strip_prefix("result ")).with_context(|| format!("wrk said:\n{said}"))?;
    let figures: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let failed = &figures[2..];
    ensure!(
        failed.iter().all(|count| *count == 0.0),
        "{base} failed to connect, read, write, be 200, be in time: {failed:?}"
    );
    Ok(Rate { requests: figures[0] / spent, bytes: figures[1] / spent })
}

/// All threads of a server on the first core; the client has the second.
fn pin(id: u32) -> Result<()> {
    let status = Command::new("taskset").args(["-acp", "0", &id.to_string()]).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "taskset: {status}");
    Ok(())
}

/// The peer: one worker, sendfile, as a distributor of files is set up.
struct Nginx {
    master: Child,
    root: PathBuf,
    port: u16,
}

impl Nginx {
    async fn start(folder: &Path) -> Result<Self> {
        let root = folder.join("nginx");
        fs::create_dir_all(root.join("files"))?;
        // The port is free at the choice; a bench that loses it says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!(
            "daemon off;\nmaster_process on;\nworker_processes 1;\nerror_log {root}/error.log;\npid {root}/pid;\nevents {{}}\nhttp {{\n\
             access_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 1000000;\nopen_file_cache max=1000;\n\
             client_body_temp_path {root}/b;\nproxy_temp_path {root}/p;\nfastcgi_temp_path {root}/f;\nuwsgi_temp_path {root}/u;\n\
             scgi_temp_path {root}/s;\nserver {{ listen 127.0.0.1:{port}; root {root}/files; }}\n}}\n",
            root = root.display()
        );
        fs::write(root.join("nginx.conf"), config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&root).arg("-c").arg(root.join("nginx.conf")).stderr(Stdio::null());
        let nginx = Self { master: command.spawn().context("start nginx")?, root, port };
        let up = || async { nginx.worker().map(drop) };
        until("nginx", Duration::from_secs(10), up).await?;
        Ok(nginx)
    }

    /// Its one worker.
    fn worker(&self) -> Result<u32> {
        let master = self.master.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        children.split_whitespace().next().context("nginx has no worker yet")?.parse().context("a process")
    }

    /// The same answers as files of its own, each round's under names of their own: nginx keeps files open.
    async fn copy(&self, http: &reqwest::Client, round: &str, urls: &[Url]) -> Result<Vec<Url>> {
        let mut copies = vec![];
        for (number, url) in urls.iter().enumerate() {
            let bytes = http.get(url.clone()).send().await?.error_for_status()?.bytes().await?;
            fs::write(self.root.join(format!("files/{round}-{number}")), bytes)?;
            copies.push(format!("http://127.0.0.1:{}/{round}-{number}", self.port).parse()?);
        }
        Ok(copies)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it.
        if let Ok(id) = i32::try_from(self.master.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.master.wait();
    }
}
