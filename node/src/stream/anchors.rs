//! The anchors this node knows: what ties each source's time to UTC, kept over restarts.
//!
//! An anchor is made where a source is first heard, kept on the disk, told to the controller and handed to every node that
//! plays the same capture, so that all of them number and stamp alike. A higher version wins; at equal versions the one
//! that is known first stays.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use headend_media::{time::Ticks90k, timeline::Anchor};
use headend_rt::atomic_file::{self, FileError};
use headend_wire::{ChannelName, SourceName, report::WireAnchor};
use serde::{Deserialize, Serialize};

/// 300 channels of 8 sources, about 200 bytes each.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ANCHORS_MAX: usize = 4_096;

#[derive(Serialize, Deserialize)]
struct Line {
    channel: ChannelName,
    source: SourceName,
    anchor: WireAnchor,
}

/// Every anchor this node has made or been told.
pub struct Anchors {
    path: PathBuf,
    known: Mutex<HashMap<(ChannelName, SourceName), WireAnchor>>,
}

impl Anchors {
    /// Reads what an earlier life kept; a file that cannot be read counts as none, and the sources are tied anew.
    #[must_use]
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("anchors.json");
        let bytes = atomic_file::read(&path, FILE_BYTES_MAX).ok().flatten().unwrap_or_default();
        let lines: Vec<Line> = serde_json::from_slice(&bytes).unwrap_or_default();
        let known = lines.into_iter().take(ANCHORS_MAX).map(|line| ((line.channel, line.source), line.anchor));
        Self { path, known: Mutex::new(known.collect()) }
    }

    /// The anchor of a source.
    #[must_use]
    pub fn get(&self, channel: &ChannelName, source: &SourceName) -> Option<Anchor> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(channel.clone(), source.clone())).map(|anchor| Anchor {
            source_pts: anchor.source_pts & 0x1_FFFF_FFFF,
            at: Ticks90k(anchor.at_90k),
            version: anchor.version,
        })
    }

    /// Takes an anchor when it is newer than the one known; whether it was. Blocking: the disk.
    ///
    /// # Errors
    /// [`FileError`]; the anchor holds for this life all the same.
    pub fn put(&self, channel: &ChannelName, source: &SourceName, anchor: WireAnchor) -> Result<bool, FileError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (channel.clone(), source.clone());
        let newer = known.get(&name).is_none_or(|old| anchor.version > old.version);
        if !newer || (known.len() >= ANCHORS_MAX && !known.contains_key(&name)) {
            return Ok(false);
        }
        known.insert(name, anchor);
        let lines: Vec<Line> = known
            .iter()
            .map(|((channel, source), anchor)| Line {
                channel: channel.clone(),
                source: source.clone(),
                anchor: *anchor,
            })
            .collect();
        let text = serde_json::to_vec(&lines).expect("names and numbers have a JSON form");
        atomic_file::write(&self.path, &text, 0o600).map(|()| true)
    }
}

/// An anchor as it travels.
#[must_use]
pub fn to_wire(anchor: Anchor) -> WireAnchor {
    WireAnchor { source_pts: anchor.source_pts, at_90k: anchor.at.0, version: anchor.version }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(puts: &[(u32, i64)], want: &[bool], kept: i64) {
        let folder = tempfile::tempdir().expect("folder");
        let (channel, source): (ChannelName, SourceName) = ("tf1".parse().expect("name"), "dtt".parse().expect("name"));
        let anchors = Anchors::open(folder.path());
        let got: Vec<bool> = puts
            .iter()
            .map(|(version, at_90k)| {
                let anchor = WireAnchor { source_pts: 5, at_90k: *at_90k, version: *version };
                anchors.put(&channel, &source, anchor).expect("written")
            })
            .collect();
        assert_eq!(got, want);
        let again = Anchors::open(folder.path());
        assert_eq!(again.get(&channel, &source).map(|anchor| anchor.at), Some(Ticks90k(kept)));
    }

    #[test]
    fn a_higher_version_wins_over_restarts() {
        check(&[(1, 10), (1, 20)], &[true, false], 10);
        check(&[(1, 10), (2, 20), (1, 30)], &[true, true, false], 20);
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("anchors.json"), b"{]").expect("written");
        let anchors = Anchors::open(folder.path());
        assert_eq!(anchors.get(&"a".parse().expect("name"), &"b".parse().expect("name")), None);
    }
}
