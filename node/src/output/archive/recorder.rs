//! A channel's way into the archive and back: what the live side and the HTTP side hold.

use std::{fs, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use headend_media::{
    playlist::{Entry, Recorded, SegmentGrid},
    time::Ticks90k,
};
use headend_wire::{ChannelName, Dvr};

use super::{
    gap::{Cause, Gap},
    keeper::Archive,
    line::Stored,
    reel::{self, Stretch},
    vault::Vault,
};

/// A channel's archive.
#[derive(Debug, Clone)]
pub struct Recorder {
    archive: Arc<Archive>,
    vault: Arc<Vault>,
}

impl Recorder {
    /// The archive of a channel, recorded as `dvr` says from now on; `None` where the node has no disk for it.
    #[must_use]
    pub fn open(archive: &Arc<Archive>, name: &ChannelName, dvr: Option<Dvr>) -> Option<Self> {
        let vault = archive.configured().then(|| archive.vault(name, dvr))?;
        Some(Self { archive: Arc::clone(archive), vault })
    }

    /// Reads its indexes. Blocking; segments that come meanwhile wait.
    pub fn load(&self) {
        self.archive.load(&self.vault);
    }

    /// Takes a segment that was given out: its entry, its bytes' checksum, and its file in the live window, which stays
    /// there for as long as it may be listed. Never waits for a disk.
    pub fn record(&self, entry: Entry, (grid, key_period_secs): (SegmentGrid, u32), crc: u32, live: PathBuf) {
        let recorded = Recorded { ordinal: entry.number, entry, grid, discontinuities: 0 };
        self.archive.record(&self.vault, Stored { recorded, crc, key_period_secs }, live);
    }

    /// Something that would have been recorded was never made; Unix milliseconds.
    pub fn missed(&self, from_ms: i64, to_ms: i64, cause: Cause) {
        if self.vault.locked().dvr.is_some() {
            self.vault.note((from_ms, to_ms), cause);
        }
    }

    /// Whether its indexes have been read.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.vault.locked().loaded
    }

    /// Recorded segments between two instants, with the one that holds `from`, oldest first. Blocking.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn select(&self, from: Ticks90k, until: Ticks90k) -> io::Result<Vec<Stored>> {
        let found = self.vault.select(&self.archive.disks, from, until)?;
        Ok(found.into_iter().map(|(stored, _)| stored).collect())
    }

    /// A segment's bytes by its name, read back and checked; `None` when it is not there or not what was written. Blocking.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(&self, grid: SegmentGrid, number: u64) -> io::Result<Option<Bytes>> {
        let Some((stored, disk)) = self.vault.find(&self.archive.disks, grid, number)? else { return Ok(None) };
        let Some(disk) = self.archive.disks.get(disk) else { return Ok(None) };
        let Some(path) = reel::place_in(&disk.channel(&self.vault.folder), &stored) else { return Ok(None) };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(error),
        };
        if bytes.len() as u64 == stored.recorded.entry.bytes && crc32c::crc32c(&bytes) == stored.crc {
            return Ok(Some(bytes.into()));
        }
        self.vault.damaged(&stored);
        Ok(None)
    }

    /// What is recorded without a hole, oldest first.
    #[must_use]
    pub fn stretches(&self) -> Vec<Stretch> {
        self.vault.stretches(&self.archive.disks)
    }

    /// The holes between stretches and since, with their causes.
    #[must_use]
    pub fn holes(&self, stretches: &[Stretch]) -> Vec<Gap> {
        self.vault.holes(stretches, self.archive.now_ms())
    }

    /// Lengths of key periods that its segments were encrypted in, seconds.
    #[must_use]
    pub fn periods(&self) -> Vec<u32> {
        self.vault.periods()
    }
}
