//! Anchors on disk: the ties of sources to UTC, which must outlive a broker without memory.
//!
//! A handful of kilobytes in one file, replaced as a whole when one changes, which is when a source's time
//! base breaks. Which of two is newer is [`super::state`]'s to say.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use headend_rt::atomic_file::{self, FileError};
use headend_wire::{ChannelName, SourceName, report::WireAnchor};
use serde::{Deserialize, Serialize};

const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why anchors could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The file cannot be read or replaced.
    #[error("anchors file")]
    File(#[from] FileError),
    /// The file is not ours.
    #[error("anchors file {} is not readable: remove it, nodes will tie their sources anew", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Entry {
    channel: ChannelName,
    source: SourceName,
    anchor: WireAnchor,
}

/// Every anchor of the fleet, by channel and source.
pub type Anchors = BTreeMap<(ChannelName, SourceName), WireAnchor>;

/// Reads the anchors; none when the file is not there. Blocks on the disk.
///
/// # Errors
/// [`AnchorsError`].
pub fn load(path: &Path) -> Result<Anchors, AnchorsError> {
    let Some(bytes) = atomic_file::read(path, FILE_BYTES_MAX)? else { return Ok(Anchors::new()) };
    let entries: Vec<Entry> =
        serde_json::from_slice(&bytes).map_err(|source| AnchorsError::Format { path: path.to_owned(), source })?;
    Ok(entries.into_iter().map(|entry| ((entry.channel, entry.source), entry.anchor)).collect())
}

/// Replaces the file. Blocks on the disk.
///
/// # Errors
/// [`AnchorsError::File`].
pub fn save(path: &Path, anchors: &Anchors) -> Result<(), AnchorsError> {
    let entry = |((channel, source), anchor): (&(ChannelName, SourceName), &WireAnchor)| Entry {
        channel: channel.clone(),
        source: source.clone(),
        anchor: *anchor,
    };
    let entries: Vec<Entry> = anchors.iter().map(entry).collect();
    let text = serde_json::to_vec(&entries).expect("names and numbers have a JSON form");
    Ok(atomic_file::write(path, &text, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_come_back_and_a_foreign_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors.json");
        assert_eq!(load(&path).unwrap(), Anchors::new());
        let anchor = WireAnchor { source_pts: 1, at_90k: -2, version: 3 };
        let anchors = Anchors::from([(("fr/a+6".parse().unwrap(), "dtt".parse().unwrap()), anchor)]);
        save(&path, &anchors).unwrap();
        assert_eq!(load(&path).unwrap(), anchors);
        std::fs::write(&path, "{").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("nodes will tie their sources anew"));
    }
}
