//! A channel's folder on the disk: segment files and the record of its window.
//!
//! A segment file is written before the record that lists it, so the record never names what is not there. The record is
//! replaced by rename: a kill at any moment leaves the old one or the new one. It carries a checksum; a damaged one is
//! set aside, and the channel begins a new window at the number that UTC gives.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use headend_media::playlist::{Bandwidth, KeyBase, KeyRef, WindowRecord};
use headend_rt::atomic_file::{self, FileError};
use serde::{Deserialize, Serialize};

const RECORD_FILE: &str = "window.json";

/// A window of 60 entries is about 10 kB; this leaves room for 1,024 entries.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Why the folder, a segment or the record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder cannot be made or read.
    #[error("use folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A segment file cannot be written.
    #[error("write segment {path}")]
    Segment {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The record cannot be written or read.
    #[error("record of the window")]
    File(#[source] FileError),
    /// The record's checksum or shape is wrong; it was set aside.
    #[error("record {path} was damaged; it was set aside as window.damaged and a new window begins")]
    Damaged {
        /// The record.
        path: PathBuf,
    },
    /// The segment length is outside 1 to 99 s.
    #[error("segment length is outside 1 to 99 s")]
    Grid,
}

/// What must survive a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Segment length, milliseconds; a record of another length cannot go on.
    pub segment_ms: u32,
    /// Layout of the last segment.
    pub layout: u32,
    /// Numbers, entries and counters.
    pub window: WindowRecord,
    /// Measured rates.
    pub bandwidth: Bandwidth,
    /// Which server each listed key is named at.
    pub key_bases: Vec<(KeyRef, KeyBase)>,
}

/// The folder of one channel.
pub struct RecordStore {
    folder: PathBuf,
    layout: Option<u32>,
}

impl RecordStore {
    /// Opens or makes the folder and reads the record. Files that no record names are removed.
    ///
    /// # Errors
    /// [`RecordError::Folder`]; a damaged record is given as the third value and set aside.
    pub fn open(folder: PathBuf) -> Result<(Self, Option<Record>, Option<RecordError>), RecordError> {
        fs::create_dir_all(&folder).map_err(|source| RecordError::Folder { path: folder.clone(), source })?;
        let path = folder.join(RECORD_FILE);
        let bytes = atomic_file::read(&path, RECORD_BYTES_MAX).map_err(RecordError::File)?;
        let (record, damage) = match bytes.as_deref().map(unseal) {
            None => (None, None),
            Some(Some(record)) => (Some(record), None),
            Some(None) => {
                // Kept for whoever looks into it; failing to keep it is no reason not to play.
                let _ = fs::rename(&path, folder.join("window.damaged"));
                (None, Some(RecordError::Damaged { path }))
            }
        };
        let store = Self { folder, layout: record.as_ref().map(|record| record.layout) };
        store.sweep(record.as_ref());
        Ok((store, record, damage))
    }

    /// Layout of the last segment of an earlier life or this one.
    #[must_use]
    pub fn layout(&self) -> Option<u32> {
        self.layout
    }

    /// Where a segment lies.
    #[must_use]
    pub fn segment_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.ts"))
    }

    /// Writes a segment.
    ///
    /// # Errors
    /// [`RecordError::Segment`].
    pub fn put_segment(&self, number: u64, bytes: &[u8]) -> Result<(), RecordError> {
        let path = self.segment_path(number);
        // A file of an earlier life may be the archive's too: its bytes are left alone.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).map_err(|source| RecordError::Segment { path, source })
    }

    /// Reads a segment back, if it is there and as long as it should be.
    #[must_use]
    pub fn get_segment(&self, number: u64, bytes: u64) -> Option<Bytes> {
        let found = fs::read(self.segment_path(number)).ok()?;
        (found.len() as u64 == bytes).then(|| found.into())
    }

    /// Replaces the record; `sync` makes it survive a power cut, otherwise it survives a kill.
    ///
    /// # Errors
    /// [`RecordError::File`]; the old record still stands.
    pub fn put_record(&mut self, record: &Record, sync: bool) -> Result<(), RecordError> {
        let path = self.folder.join(RECORD_FILE);
        let bytes = seal(record);
        if sync {
            atomic_file::write(&path, &bytes, 0o600).map_err(RecordError::File)?;
        } else {
            let neighbour = self.folder.join(".window.next");
            let failed = |source| RecordError::File(FileError::Write { path: path.clone(), source });
            fs::write(&neighbour, &bytes).and_then(|()| fs::rename(&neighbour, &path)).map_err(failed)?;
        }
        self.layout = Some(record.layout);
        Ok(())
    }

    /// Removes the files of segments that nobody may ask for any more.
    pub fn forget(&self, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            // Already gone is as good as removed; anything else is swept at the next start.
            let _ = fs::remove_file(self.segment_path(number));
        }
    }

    fn sweep(&self, record: Option<&Record>) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let number = segment_number(&path);
            let known = |number: u64| record.is_some_and(|record| record.names(number));
            if number.is_some_and(|number| !known(number)) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Record {
    fn names(&self, number: u64) -> bool {
        // The window is restored from its own record; a throw-away copy answers the question by the same rules.
        headend_media::playlist::Window::restore(self.window.clone(), 1).is_ok_and(|w| w.fetchable(number).is_some())
    }
}

fn segment_number(path: &Path) -> Option<u64> {
    (path.extension()? == "ts").then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

/// Checksum in hexadecimal, a line feed, JSON.
fn seal(record: &Record) -> Vec<u8> {
    let json = serde_json::to_vec(record).expect("numbers and names have a JSON form");
    let mut bytes = format!("{:08x}\n", crc32c::crc32c(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes
}

fn unseal(bytes: &[u8]) -> Option<Record> {
    let (checksum, json) = bytes.split_at_checked(9)?;
    let checksum = u32::from_str_radix(str::from_utf8(checksum).ok()?.strip_suffix('\n')?, 16).ok()?;
    (checksum == crc32c::crc32c(json)).then(|| serde_json::from_slice(json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use headend_media::{
        playlist::{Entry, SegmentGrid, Window},
        time::Ticks90k,
    };
    use proptest::prelude::*;

    use super::*;

    fn record(numbers: std::ops::Range<u64>) -> Record {
        let grid = SegmentGrid::new(2_000).expect("grid");
        let mut window = Window::new(grid, 4, 6, numbers.start);
        for number in numbers {
            let start = grid.start(number).expect("in the calendar");
            let duration = Ticks90k::from_secs(2);
            let entry = Entry { number, start, duration, independent: true, discontinuity: false, key: None, bytes: 3 };
            window.push(entry).expect("fits");
        }
        let window = window.record().clone();
        Record { segment_ms: 2_000, layout: 7, window, bandwidth: Bandwidth::default(), key_bases: vec![] }
    }

    #[test]
    fn what_was_put_comes_back_and_strangers_are_swept() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut store, found, _) = RecordStore::open(folder.path().join("fr%2Ftf1")).expect("opens");
        assert!(found.is_none());
        store.put_segment(100, b"abc").expect("written");
        store.put_segment(999, b"a kill came before its record").expect("written");
        store.put_record(&record(100..101), true).expect("written");
        drop(store);
        let (store, found, damage) = RecordStore::open(folder.path().join("fr%2Ftf1")).expect("opens");
        assert!(damage.is_none());
        assert_eq!(found, Some(record(100..101)));
        assert_eq!(store.get_segment(100, 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(store.get_segment(100, 4), None);
        assert!(!store.segment_path(999).exists());
    }

    proptest! {
        #[test]
        fn a_damaged_record_is_never_believed(at in 0_usize..400, flip in 1_u8..) {
            let folder = tempfile::tempdir().expect("folder");
            let (mut store, ..) = RecordStore::open(folder.path().to_path_buf()).expect("opens");
            store.put_record(&record(5..9), false).expect("written");
            let path = folder.path().join(RECORD_FILE);
            let mut bytes = fs::read(&path).expect("record");
            let at = at % bytes.len();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).expect("written");
            let (_, found, damage) = RecordStore::open(folder.path().to_path_buf()).expect("opens");
            // A flip of letter case in the checksum changes nothing; everything else is found out.
            prop_assert!(found.is_none_or(|found| found == record(5..9)) );
            prop_assert!(damage.is_none() || folder.path().join("window.damaged").exists());
        }
    }
}
