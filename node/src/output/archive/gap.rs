//! What was not recorded, whose affair that was, and why.
//!
//! The index shows that something is missing; only whoever saw it happen knows why. So each cause is noted when it
//! begins, when it goes on and when it ends, in a small file beside the live window, which is on another disk than the
//! archive where there are two. A hole that nobody noted means that the node did not run. Every line carries its checksum.

use std::{
    collections::VecDeque,
    fmt,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use headend_rt::atomic_file;
use serde::{Deserialize, Serialize};

/// Gaps remembered per channel; older ones are forgotten. About 150 bytes each.
const GAPS_MAX: usize = 1_024;

/// Lines of the file before it is written anew with only what is remembered.
const LINES_MAX: usize = 4 * GAPS_MAX;

const FILE_BYTES_MAX: u64 = 4 << 20;

/// A gap that goes on is noted again after so much more of it, milliseconds, so that a kill does not shorten it.
const NOTED_EVERY_MS: i64 = 10_000;

/// A segment of today is in the index, or its loss noted, within this time of its end, milliseconds.
const LAG_MS: i64 = 30_000;

/// Two causes closer than this are one gap, milliseconds.
const SAME_MS: i64 = 1_000;

/// Why something was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No room, and nothing that may be deleted.
    DiskFull,
    /// The file system takes no writes.
    DiskReadOnly,
    /// Another disk, or none, is where the archive was.
    DiskGone,
    /// It did not keep up.
    DiskSlow,
    /// It reports errors.
    DiskFault,
    /// No disk is configured.
    NoDisk,
    /// There was no content key, so nothing was packaged.
    NoKey,
    /// What was recorded does not read back as it was written.
    Damaged,
    /// The node did not run.
    NodeDown,
}

impl Cause {
    /// Whose affair it is.
    #[must_use]
    pub fn owner(self) -> &'static str {
        match self {
            Self::DiskFull | Self::DiskReadOnly | Self::DiskGone | Self::DiskSlow | Self::DiskFault | Self::Damaged => {
                "disk"
            }
            Self::NoDisk => "configuration",
            Self::NoKey => "controller",
            Self::NodeDown => "node",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk is full and nothing on it may be deleted",
            Self::DiskReadOnly => "the disk takes no writes",
            Self::DiskGone => "the disk is not there",
            Self::DiskSlow => "the disk does not keep up",
            Self::DiskFault => "the disk reports errors",
            Self::NoDisk => "no disk is configured for the archive",
            Self::NoKey => "there was no content key",
            Self::Damaged => "the recording is damaged",
            Self::NodeDown => "the node did not run",
        })
    }
}

/// A stretch that was not recorded; Unix milliseconds on the channel's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Why.
    pub cause: Cause,
}

/// The gaps of one channel, in memory and in their file.
#[derive(Debug)]
pub(crate) struct GapLog {
    path: PathBuf,
    gaps: VecDeque<Gap>,
    lines: usize,
    noted_ms: i64,
}

impl GapLog {
    /// Reads what an earlier life noted; damaged lines are left out.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("gaps.log");
        let text = atomic_file::read(&path, FILE_BYTES_MAX).ok().flatten().unwrap_or_default();
        let mut log = Self { path, gaps: VecDeque::new(), lines: 0, noted_ms: i64::MIN };
        for line in text.split(|byte| *byte == b'\n') {
            log.lines += 1;
            let Some(gap) = unseal(line) else { continue };
            // A line of the same start is the same gap, seen later.
            match log.gaps.back_mut().filter(|last| (last.from_ms, last.cause) == (gap.from_ms, gap.cause)) {
                Some(last) => *last = gap,
                None => log.gaps.push_back(gap),
            }
            log.bound();
        }
        log
    }

    /// Takes note that this stretch was lost; whether a new gap began.
    pub(crate) fn note(&mut self, (from_ms, to_ms): (i64, i64), cause: Cause) -> bool {
        let last = self.gaps.back_mut().filter(|last| last.cause == cause);
        let last = last.filter(|last| from_ms <= last.to_ms + SAME_MS && to_ms >= last.from_ms);
        let fresh = last.is_none();
        let gap = match last {
            Some(last) => {
                last.to_ms = last.to_ms.max(to_ms);
                *last
            }
            None => {
                let gap = Gap { from_ms, to_ms, cause };
                self.gaps.push_back(gap);
                self.bound();
                gap
            }
        };
        if fresh || gap.to_ms >= self.noted_ms.saturating_add(NOTED_EVERY_MS) {
            self.write(gap);
        }
        fresh
    }

    /// Something was recorded again: what is known of the last gap goes to the disk.
    pub(crate) fn close(&mut self) {
        if let Some(last) = self.gaps.back().copied().filter(|last| last.to_ms > self.noted_ms) {
            self.write(last);
        }
    }

    /// The causes known for a hole, in order; what none of them covers is the node's.
    pub(crate) fn explain(&self, from_ms: i64, to_ms: i64) -> Vec<Gap> {
        let (mut out, mut at) = (vec![], from_ms);
        for gap in self.gaps.iter().filter(|gap| gap.from_ms < to_ms && gap.to_ms > from_ms) {
            let (begins, ends) = (gap.from_ms.max(at), gap.to_ms.min(to_ms));
            if begins >= ends {
                continue;
            }
            if begins > at + SAME_MS {
                out.push(Gap { from_ms: at, to_ms: begins, cause: Cause::NodeDown });
            }
            out.push(Gap { from_ms: if begins > at + SAME_MS { begins } else { at }, to_ms: ends, cause: gap.cause });
            at = ends;
        }
        match out.last_mut() {
            // The rest of a second is rounding, not a second cause.
            Some(last) if to_ms - at <= SAME_MS => last.to_ms = to_ms,
            _ => out.push(Gap { from_ms: at, to_ms, cause: Cause::NodeDown }),
        }
        out
    }

    /// What is missing since the last recording, up to now; nothing while it is only the index that lags.
    pub(crate) fn since(&self, last_ms: i64, now_ms: i64) -> Vec<Gap> {
        let noted =
            self.gaps.back().map(|gap| gap.to_ms).filter(|to| *to > last_ms && to.saturating_add(LAG_MS) > now_ms);
        match noted {
            Some(to_ms) => self.explain(last_ms, to_ms),
            None if last_ms.saturating_add(LAG_MS) < now_ms => self.explain(last_ms, now_ms),
            None => vec![],
        }
    }

    /// When the oldest gap that is remembered began.
    pub(crate) fn first(&self) -> Option<i64> {
        self.gaps.front().map(|gap| gap.from_ms)
    }

    fn bound(&mut self) {
        while self.gaps.len() > GAPS_MAX {
            self.gaps.pop_front();
        }
    }

    /// A note that cannot be written is kept in memory; the disk has more to say about itself elsewhere.
    fn write(&mut self, gap: Gap) {
        self.noted_ms = gap.to_ms;
        self.lines += 1;
        if self.lines > LINES_MAX {
            let text: Vec<u8> = self.gaps.iter().flat_map(seal).collect();
            let _ = atomic_file::write(&self.path, &text, 0o600);
            self.lines = self.gaps.len();
            return;
        }
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        let _ = file.and_then(|mut file| file.write_all(&seal(&gap)));
    }
}

/// A line feed, checksum in hexadecimal, a blank, JSON: a torn line before it costs only itself.
fn seal(gap: &Gap) -> Vec<u8> {
    let json = serde_json::to_string(gap).expect("numbers and a word have a JSON form");
    format!("\n{:08x} {json}", crc32c::crc32c(json.as_bytes())).into_bytes()
}

fn unseal(line: &[u8]) -> Option<Gap> {
    let (crc, json) = str::from_utf8(line).ok()?.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32c::crc32c(json.as_bytes())).then(|| serde_json::from_str(json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(log: &GapLog, from: i64, to: i64, want: &[(i64, i64, Cause)]) {
        let got: Vec<_> = log.explain(from, to).iter().map(|gap| (gap.from_ms, gap.to_ms, gap.cause)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn causes_are_remembered_over_a_restart_and_the_rest_is_the_nodes() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = GapLog::open(folder.path());
        assert!(log.note((100_000, 102_000), Cause::DiskFull));
        assert!(!log.note((102_000, 104_000), Cause::DiskFull));
        log.close();
        assert!(log.note((120_000, 122_000), Cause::DiskGone));
        for log in [&log, &GapLog::open(folder.path())] {
            check(log, 100_000, 104_000, &[(100_000, 104_000, Cause::DiskFull)]);
            check(log, 100_500, 104_500, &[(100_500, 104_500, Cause::DiskFull)]);
            check(log, 60_000, 64_000, &[(60_000, 64_000, Cause::NodeDown)]);
            let three = [
                (100_000, 104_000, Cause::DiskFull),
                (104_000, 120_000, Cause::NodeDown),
                (120_000, 122_000, Cause::DiskGone),
            ];
            check(log, 100_000, 122_000, &three);
        }
    }

    #[test]
    fn what_goes_on_is_told_while_it_does() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = GapLog::open(folder.path());
        assert_eq!(log.since(100_000, 110_000), []);
        let down = Gap { from_ms: 100_000, to_ms: 200_000, cause: Cause::NodeDown };
        assert_eq!(log.since(100_000, 200_000), [down]);
        log.note((100_000, 150_000), Cause::DiskFull);
        assert_eq!(log.since(100_000, 152_000), [Gap { from_ms: 100_000, to_ms: 150_000, cause: Cause::DiskFull }]);
        assert_eq!(log.since(150_000, 152_000), []);
    }

    #[test]
    fn a_torn_line_costs_itself_and_the_file_stays_small() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = GapLog::open(folder.path());
        log.note((1_000, 3_000), Cause::DiskFull);
        let path = folder.path().join("gaps.log");
        let torn = fs::read(&path).expect("file");
        fs::write(&path, &torn[..torn.len() - 3]).expect("written");
        let mut log = GapLog::open(folder.path());
        check(&log, 1_000, 3_000, &[(1_000, 3_000, Cause::NodeDown)]);
        for at in 0..10_000 {
            log.note((at * 10_000, at * 10_000 + 2_000), Cause::DiskSlow);
        }
        assert_eq!(log.gaps.len(), GAPS_MAX);
        assert!(fs::metadata(&path).expect("file").len() < 1 << 20);
        assert_eq!(GapLog::open(folder.path()).gaps.back().map(|gap| gap.to_ms), Some(99_992_000));
    }
}
