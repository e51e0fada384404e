//! VLC as a viewer: decodes picture and sound of a live address, and is asked for its own statistics.
//!
//! It runs without a screen or a sound card, but it does decode and "show". VLC refuses to run as root; then it runs as
//! nobody. It is led over its remote-control interface on standard input.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const ANSWER: Duration = Duration::from_secs(20);

/// VLC's statistics of what it plays now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Video blocks decoded.
    pub decoded: u64,
    /// Pictures shown.
    pub shown: u64,
    /// Pictures that came too late.
    pub lost: u64,
    /// Audio blocks decoded.
    pub audio_decoded: u64,
    /// Audio buffers played.
    pub audio_played: u64,
    /// Audio buffers lost.
    pub audio_lost: u64,
    /// Damaged transport packets.
    pub corrupted: u64,
    /// Counter gaps.
    pub discontinuities: u64,
}

/// A running VLC.
#[derive(Debug)]
pub struct Vlc {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    /// Where nobody may write.
    _home: TempDir,
}

impl Vlc {
    /// Starts to play `url`; its log goes to `folder`.
    ///
    /// # Errors
    /// When VLC is not installed.
    pub fn play(url: &str, folder: &Path) -> Result<Self> {
        let home = TempDir::new().context("make a home for vlc")?;
        fs::set_permissions(home.path(), Permissions::from_mode(0o777))?;
        let log = folder.join("vlc.log");
        let flags =
            ["vlc", "--intf", "oldrc", "--rc-fake-tty", "--vout", "dummy", "--aout", "dummy", "--verbose", "1", url];
        let root = fs::metadata("/proc/self").context("find who we are")?.uid() == 0;
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut words = nobody.into_iter().filter(|_| root).chain(flags);
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words);
        let mut child = command
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("start vlc; Debian's packages are vlc-bin and vlc-plugin-base")?;
        let stdin = child.stdin.take().context("stdin is piped")?;
        let lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        Ok(Self { child, stdin, lines, log, _home: home })
    }

    /// What it decoded and showed so far.
    ///
    /// # Errors
    /// When VLC is gone or does not answer.
    pub async fn statistics(&mut self) -> Result<Statistics> {
        self.stdin.write_all(b"stats\n").await.with_context(|| self.tail())?;
        let reading = async {
            let mut seen = Statistics::default();
            while let Some(line) = self.lines.next_line().await? {
                if line.contains("stats: returned") {
                    return Ok(seen);
                }
                seen.take(&line);
            }
            anyhow::bail!("vlc ended")
        };
        match timeout(ANSWER, reading).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(error)) => Err(error).with_context(|| self.tail()),
            Err(_) => anyhow::bail!("vlc did not answer in {ANSWER:?}: {}", self.tail()),
        }
    }

    /// Ends it, and gives what it complained of.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn quit(mut self) -> Result<Vec<String>> {
        self.stdin.write_all(b"quit\n").await?;
        let ended = timeout(ANSWER, self.child.wait()).await.context("vlc does not quit")??;
        ensure!(ended.success(), "vlc ended with {ended}: {}", self.tail());
        let text = fs::read_to_string(&self.log)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn tail(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Statistics {
    /// Reads a line such as `| frames displayed :      124`.
    fn take(&mut self, line: &str) {
        let Some((name, value)) = line.trim_start_matches(['|', ' ']).split_once(':') else { return };
        let field = match name.trim() {
            "video decoded" => &mut self.decoded,
            "frames displayed" => &mut self.shown,
            "frames lost" => &mut self.lost,
            "audio decoded" => &mut self.audio_decoded,
            "buffers played" => &mut self.audio_played,
            "buffers lost" => &mut self.audio_lost,
            "demux corrupted" => &mut self.corrupted,
            "discontinuities" => &mut self.discontinuities,
            _ => return,
        };
        *field = value.trim().parse().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_as_vlc_prints_them() {
        let mut seen = Statistics::default();
        for line in ["+-[Video Decoding]", "| video decoded    :      303", "| frames displayed :      124", "|"] {
            seen.take(line);
        }
        assert_eq!(seen, Statistics { decoded: 303, shown: 124, ..Statistics::default() });
    }
}
