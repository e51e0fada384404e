//! One of our programs as a child process: started, awaited by its ready line, stopped or killed.
//!
//! A program that serves prints one JSON line on stdout when it is ready: `{"ready":{"http":"127.0.0.1:40123",…}}`.
//! Ports are chosen by the system (`:0` in the configuration), so any number of worlds run side by side.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a program may take to get ready; generous, because machines are shared.
const READY: Duration = Duration::from_secs(60);

/// Where the workspace lies.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The path of one of our binaries: beside the running test or demo, where cargo puts them. A name with a `/` is a path.
///
/// # Errors
/// When it is not there: build it with `cargo build --workspace --bins` first.
pub fn binary(name: &str) -> Result<PathBuf> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let own = std::env::current_exe().context("find the running program")?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run `cargo build --workspace --bins` first"))
}

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    /// What it said when it was ready.
    pub ready: Value,
    /// Its log.
    pub log: PathBuf,
}

impl Program {
    /// Starts a program and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, ends early or says nothing in time; the message ends with the tail of its log.
    pub async fn start(name: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_in(&[], name, arguments, log).await
    }

    /// The same with these variables in its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_in(
        environment: &[(String, String)],
        name: &str,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let mut program = Self::spawn_in(environment, name, arguments, log)?;
        let stdout = program.child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(READY, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(ready) = serde_json::from_str::<Value>(&line).ok().and_then(|v| v.get("ready").cloned()) {
                    return Ok(ready);
                }
            }
            bail!("it ended before it was ready")
        });
        match ready.await.unwrap_or_else(|_| bail!("no ready line in {READY:?}")) {
            Ok(ready) => program.ready = ready,
            Err(error) => bail!("start {name}: {error:#}\n{}", program.log_tail()),
        }
        // Keep the pipe open and empty, or the program's next line would meet a closed pipe.
        tokio::task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(program)
    }

    /// Starts a program that says nothing when it is ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::spawn_in(&[], name, arguments, log)
    }

    fn spawn_in(environment: &[(String, String)], name: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        let path = binary(name)?;
        let file =
            File::options().create(true).append(true).open(log).with_context(|| format!("open {}", log.display()))?;
        let child = Command::new(&path)
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", path.display()))?;
        Ok(Self { name: name.to_owned(), child, ready: Value::Null, log: log.to_path_buf() })
    }

    /// Runs a verb to its end and gives its stdout.
    ///
    /// # Errors
    /// When it ends with another code than 0; the message holds what it said.
    pub async fn run(name: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(binary(name)?).args(arguments).stdin(Stdio::null()).output().await?;
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{name} {}: {}\n{talk}", arguments.join(" "), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// An address of the ready line, `http` or `fleet` or `mqtt`.
    ///
    /// # Errors
    /// When the program named none of that kind.
    pub fn address(&self, kind: &str) -> Result<&str> {
        self.ready.get(kind).and_then(Value::as_str).with_context(|| format!("{} named no {kind} address", self.name))
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Orderly stop by SIGTERM; gives the exit code.
    ///
    /// # Errors
    /// When it is still there after 20 s.
    pub async fn stop(&mut self) -> Result<i32> {
        if let Some(id) = self.child.id() {
            let status = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
            ensure!(status.success(), "kill -TERM {id}: {status}");
        }
        let status = timeout(Duration::from_secs(20), self.child.wait()).await;
        let status = status.with_context(|| format!("{} did not stop in 20 s\n{}", self.name, self.log_tail()))??;
        Ok(status.code().unwrap_or(-1))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The last lines of its log, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
