//! `headend-node run` as a child process, and what it costs.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{Home, http};
use crate::wait;

const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);
/// Of /proc/PID/stat; every Linux on x86 and arm64 has it.
const CLOCK_TICKS: u64 = 100;

/// A running node; it is killed when dropped.
pub struct Node {
    child: Child,
    /// Kept open: the program's next line must not meet a closed pipe.
    _stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    log: PathBuf,
}

/// What a process used up so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effort {
    /// Of the processor, user and system.
    pub cpu: Duration,
    /// `read` and `write` calls and their like, as the kernel counts them.
    pub calls: u64,
    /// Times a thread waited or was put aside.
    pub switches: u64,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Threads.
    pub threads: u64,
}

impl Node {
    /// Starts the program on a state and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready; the message ends with its log.
    pub fn start(program: &Path, home: &Home) -> Result<Self> {
        let log = home.log();
        let errors = File::options().create(true).append(true).open(&log).context("the node's log")?;
        let mut child = Command::new(program)
            .args(["run", "--config"])
            .arg(home.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let address = match address(&mut stdout) {
            Ok(address) => address,
            Err(error) => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                bail!("{error:#}; its log ends with {}", tail(&log));
            }
        };
        Ok(Self { child, _stdout: stdout, address, log })
    }

    /// Runs a verb of the program to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn verb(program: &Path, home: &Home, verb: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(program);
        command.args(["--log", "warn", verb, "--config"]).arg(home.config()).args(arguments).stdin(Stdio::null());
        command.output().with_context(|| format!("start headend-node {verb}"))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks for a path; also tells how long the answer took.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, Vec<u8>, Duration)> {
        let start = Instant::now();
        let (status, body) = http::get(self.address, path)?;
        Ok((status, body, start.elapsed()))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer with JSON.
    pub fn status(&self) -> Result<Value> {
        let (code, body, _) = self.get("/api/node/v1/status")?;
        ensure!(code == 200, "the status page answers {code}");
        let answer: Value = serde_json::from_slice(&body).context("the status page")?;
        Ok(answer["status"].clone())
    }

    /// What it says of the tuner of that name, with the input's counters beside it; `Null` while it says nothing.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn input(&self, tuner: &str) -> Result<Value> {
        let status = self.status()?;
        let inputs = status["inputs"].as_array().context("status without inputs")?;
        Ok(inputs.iter().find(|input| input["tuner"]["tuner"] == tuner).cloned().unwrap_or(Value::Null))
    }

    /// Waits until the input of a tuner is as `wanted`.
    ///
    /// # Errors
    /// When it is not by the deadline; the message has what it says instead.
    pub fn wait_input(
        &self,
        tuner: &str,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<(Value, Duration)> {
        let mut last = Value::Null;
        let look = || {
            last = self.input(tuner)?;
            Ok(wanted(&last).then(|| last.clone()))
        };
        let waited = wait::until(what, deadline, look);
        waited.with_context(|| format!("tuner {tuner} says {last}; the log ends with {}", self.log_tail()))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("a process id")?;
        kill(Pid::from_raw(id), signal).context("signal the node")
    }

    /// What it used up so far.
    ///
    /// # Errors
    /// When it does not run.
    pub fn effort(&self) -> Result<Effort> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.child.id());
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let stat = read("stat")?;
        // Behind the name in brackets, which may hold anything: user and system time are fields 14 and 15.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0))
            .collect();
        let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
        let number = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let (status, io) = (read("status")?, read("io").unwrap_or_default());
        Ok(Effort {
            cpu: Duration::from_millis(ticks * 1000 / CLOCK_TICKS),
            calls: number(&io, "syscr") + number(&io, "syscw"),
            switches: self.switches(),
            rss: number(&status, "VmRSS") * 1024,
            threads: number(&status, "Threads"),
        })
    }

    /// Of all threads, ended ones left out.
    fn switches(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let of = |text: String| -> u64 {
            let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
            lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
        };
        tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).map(of).sum()
    }

    /// Files it has open whose name contains `part`.
    #[must_use]
    pub fn open_files(&self, part: &str) -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).into_iter().flatten().flatten();
        let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.map(|target| target.display().to_string()).filter(|target| target.contains(part)).collect()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of it.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// SIGTERM; gives its exit code.
    ///
    /// # Errors
    /// When it is still there after 20 s.
    pub fn stop(&mut self) -> Result<i32> {
        self.signal(Signal::SIGTERM)?;
        let ended = || self.child.try_wait().context("wait for the node");
        let (status, _) = wait::until("the node to stop", STOP, ended)?;
        Ok(status.code().unwrap_or(-1))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(stdout: &mut BufReader<ChildStdout>) -> Result<SocketAddr> {
    let (start, mut line) = (Instant::now(), String::new());
    while start.elapsed() < READY {
        line.clear();
        ensure!(
            stdout.read_line(&mut line).context("read the node's output")? > 0,
            "the node ended before it was ready"
        );
        let ready = serde_json::from_str::<Value>(&line).ok();
        if let Some(address) = ready.as_ref().and_then(|ready| ready["ready"]["http"].as_str()) {
            return address.parse().context("the node's address");
        }
    }
    bail!("the node was not ready after {READY:?}")
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
