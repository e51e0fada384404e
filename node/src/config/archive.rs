//! `[archive]`: the folders that recordings go to.

use std::path::PathBuf;

use serde::Deserialize;

/// The most disks.
const PATHS_MAX: usize = 32;
/// The largest minimum that may be promised, seconds: a month.
const GUARANTEED_SECS_MAX: u64 = 31 * 86_400;

/// As typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ArchiveFile {
    paths: Vec<PathBuf>,
    guaranteed_secs: u64,
}

impl Default for ArchiveFile {
    fn default() -> Self {
        Self { paths: vec![], guaranteed_secs: 3_600 }
    }
}

/// Where channels are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// One folder a disk; none: nothing is recorded.
    pub paths: Vec<PathBuf>,
    /// Seconds of each channel that a lower share of a disk does not take.
    pub guaranteed_secs: u64,
}

pub(super) fn check(file: ArchiveFile) -> Result<ArchiveConfig, (&'static str, String)> {
    let ArchiveFile { paths, guaranteed_secs } = file;
    if paths.len() > PATHS_MAX {
        return Err(("archive.paths", format!("has {} folders; at most {PATHS_MAX}", paths.len())));
    }
    for (at, path) in paths.iter().enumerate() {
        if !path.is_absolute() {
            return Err(("archive.paths", format!("has {}, which is no absolute path", path.display())));
        }
        if paths[..at].iter().any(|other| other.starts_with(path) || path.starts_with(other)) {
            return Err(("archive.paths", format!("has {} and a folder in or above it", path.display())));
        }
    }
    if guaranteed_secs > GUARANTEED_SECS_MAX {
        return Err(("archive.guaranteed_secs", format!("is {guaranteed_secs}; at most {GUARANTEED_SECS_MAX}")));
    }
    Ok(ArchiveConfig { paths, guaranteed_secs })
}
