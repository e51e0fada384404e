//! One disk of the archive: whether it is the one it was, what room it has, and how a file gets onto it.
//!
//! A disk that is not mounted leaves an empty folder behind, on the disk of the system. So every archive folder carries a
//! mark, and the node remembers which mark belongs to which path: without it nothing is written there. A small ballast is
//! kept so that a full disk still takes the lines which say what is to be deleted.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use headend_rt::atomic_file;
use nix::{sys::statvfs::statvfs, unistd::syncfs};
use serde::Serialize;

use super::gap::Cause;

const MARK: &str = "headend-archive.id";
/// An operator puts this file on a new disk to say that it is meant.
const FRESH: &str = "headend-archive.new";
const BALLAST: &str = "headend-archive.ballast";
const BALLAST_BYTES: usize = 256 << 10;
const PROBE: &str = "headend-archive.probe";
const PROBE_BYTES: usize = 1 << 20;
const KNOWN: &str = "archive-disks.json";
const KNOWN_BYTES_MAX: u64 = 64 << 10;

/// How a disk is.
#[derive(Debug, Clone, Serialize)]
pub struct DiskStatus {
    /// Its folder.
    pub path: PathBuf,
    /// Bytes of its file system.
    pub total_bytes: u64,
    /// Bytes that are not free.
    pub used_bytes: u64,
    /// Why nothing is written to it now.
    pub fault: Option<Cause>,
}

/// A folder on a disk.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    state_dir: PathBuf,
    status: Mutex<DiskStatus>,
}

impl Disk {
    pub(crate) fn new(path: PathBuf, state_dir: &Path) -> Self {
        let status = DiskStatus { path: path.clone(), total_bytes: 0, used_bytes: 0, fault: None };
        Self { path, state_dir: state_dir.to_path_buf(), status: Mutex::new(status) }
    }

    /// Where a channel's reels lie.
    pub(crate) fn channel(&self, folder: &str) -> PathBuf {
        self.path.join(folder)
    }

    pub(crate) fn status(&self) -> DiskStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what lies on it can be read.
    pub(crate) fn readable(&self) -> bool {
        !matches!(self.status().fault, Some(Cause::DiskGone | Cause::DiskFault))
    }

    /// Notes why nothing can be written, or that it can; whether that changed.
    pub(crate) fn set_fault(&self, fault: Option<Cause>) -> bool {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut status.fault, fault) != fault
    }

    /// Whether the disk that belongs here is here. A new folder is marked; one that was marked before must still be.
    pub(crate) fn check(&self) -> Result<(), Cause> {
        let known = self.known();
        let key = self.path.display().to_string();
        let found = fs::read_to_string(self.path.join(MARK));
        match (known.get(&key), found) {
            (Some(mark), Ok(found)) if *mark == found => return Ok(()),
            // Another archive's disk, or one that this node was told to take.
            (Some(_), Ok(_)) if !self.path.join(FRESH).exists() => return Err(Cause::DiskGone),
            (Some(_), Err(error)) if !self.path.join(FRESH).exists() => return Err(gone(&error)),
            (None, Ok(found)) if !found.is_empty() => return self.remember(known, key, found),
            _ => {}
        }
        fs::create_dir_all(&self.path).map_err(|error| cause(&error))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| Cause::DiskFault)?;
        let mark: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        atomic_file::write(&self.path.join(MARK), mark.as_bytes(), 0o600).map_err(|error| file_cause(&error))?;
        self.remember(known, key, mark)?;
        // Last: a kill before it finds the operator's word still there.
        let _ = fs::remove_file(self.path.join(FRESH));
        Ok(())
    }

    /// Looks at the room there is: bytes in all, bytes not free.
    pub(crate) fn measure(&self) -> Result<(u64, u64), Cause> {
        let stat = statvfs(&self.path).map_err(|errno| cause(&errno.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
        let (total, free) = (bytes(stat.blocks()), bytes(stat.blocks_available()));
        // What only root may use counts as used: it is not for us.
        let used = total.saturating_sub(free);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.total_bytes, status.used_bytes) = (total, used);
        Ok((total, used))
    }

    /// Puts a file in place, sharing its bytes with the live window where both lie on one file system.
    pub(crate) fn place(&self, live: &Path, place: &Path, bytes: u64) -> Result<(), Cause> {
        let folder = place.parent().ok_or(Cause::DiskFault)?;
        fs::create_dir_all(folder).map_err(|error| cause(&error))?;
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cause(&error)),
            _ => {}
        }
        if fs::hard_link(live, place).is_err() {
            let copied = fs::copy(live, place);
            if let Err(error) = copied {
                // Half a file is none; it has no line and would be swept later anyway.
                let _ = fs::remove_file(place);
                // The live window let go of it before this disk came round to it.
                return Err(if live.exists() { cause(&error) } else { Cause::DiskSlow });
            }
        }
        let length = fs::metadata(place).map_err(|error| cause(&error))?.len();
        if length == bytes {
            return Ok(());
        }
        let _ = fs::remove_file(place);
        Err(Cause::Damaged)
    }

    /// Waits until everything written so far is on the disk (syncfs(2)): one wait for a batch of many channels.
    pub(crate) fn sync(&self) -> Result<(), Cause> {
        let folder = File::open(&self.path).map_err(|error| cause(&error))?;
        syncfs(&folder).map_err(|errno| cause(&errno.into()))
    }

    /// Keeps, or gives up, the bytes that a full disk needs for its own bookkeeping.
    pub(crate) fn ballast(&self, keep: bool) {
        let path = self.path.join(BALLAST);
        // Without it a full disk stays full until somebody else makes room; nothing is lost by that.
        let kept = keep && (path.exists() || fs::write(&path, vec![1; BALLAST_BYTES]).is_ok());
        if !kept {
            let _ = fs::remove_file(&path);
        }
    }

    /// Whether a disk that took no writes takes them again: a mebibyte, which is less than a segment of many.
    pub(crate) fn probe(&self) -> Result<(), Cause> {
        let path = self.path.join(PROBE);
        let done = fs::write(&path, vec![1; PROBE_BYTES]).and_then(|()| File::open(&path)?.sync_all());
        // What a refused write left behind is in the way of the next.
        let _ = fs::remove_file(&path);
        done.map_err(|error| cause(&error))
    }

    /// Folders of channels on it.
    pub(crate) fn folders(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.path) else { return vec![] };
        let folder = |entry: fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir()).then(|| entry.file_name());
        entries.flatten().filter_map(folder).filter_map(|name| name.into_string().ok()).collect()
    }

    fn known(&self) -> BTreeMap<String, String> {
        let bytes = atomic_file::read(&self.state_dir.join(KNOWN), KNOWN_BYTES_MAX).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn remember(&self, mut known: BTreeMap<String, String>, key: String, mark: String) -> Result<(), Cause> {
        known.insert(key, mark);
        let text = serde_json::to_vec(&known).expect("paths and digits have a JSON form");
        atomic_file::write(&self.state_dir.join(KNOWN), &text, 0o600).map_err(|error| file_cause(&error))
    }
}

/// What an error of the system means for the archive.
pub(crate) fn cause(error: &io::Error) -> Cause {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => Cause::DiskFull,
        Kind::ReadOnlyFilesystem => Cause::DiskReadOnly,
        _ => gone(error),
    }
}

fn gone(error: &io::Error) -> Cause {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    match errno {
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO | Errno::ESTALE | Errno::ENOTCONN | Errno::ENOTDIR) => {
            Cause::DiskGone
        }
        _ => Cause::DiskFault,
    }
}

fn file_cause(error: &atomic_file::FileError) -> Cause {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or(Cause::DiskFault, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_left_behind_by_a_disk_is_not_the_disk() {
        let (state, disks) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let path = disks.path().join("a");
        let disk = Disk::new(path.clone(), state.path());
        assert_eq!(disk.check(), Ok(()), "a new folder is taken");
        assert_eq!(disk.check(), Ok(()));
        fs::rename(&path, disks.path().join("away")).expect("unmounted");
        assert_eq!(disk.check(), Err(Cause::DiskGone));
        fs::create_dir(&path).expect("an empty mount point");
        assert_eq!(disk.check(), Err(Cause::DiskGone));
        assert_eq!(fs::read_dir(&path).expect("folder").count(), 0, "something was written to the wrong disk");
        fs::write(path.join(MARK), "another archive's").expect("written");
        assert_eq!(disk.check(), Err(Cause::DiskGone));
        fs::write(path.join(FRESH), "").expect("the operator says so");
        assert_eq!(disk.check(), Ok(()), "a disk that the operator means is taken");
        assert_eq!(disk.check(), Ok(()));
        fs::remove_dir_all(&path).expect("removed");
        fs::rename(disks.path().join("away"), &path).expect("the old one is back");
        assert_eq!(disk.check(), Err(Cause::DiskGone), "it is another one now");
    }

    #[test]
    fn files_are_linked_and_half_a_file_is_none() {
        let folder = tempfile::tempdir().expect("folder");
        let disk = Disk::new(folder.path().join("d"), folder.path());
        disk.check().expect("taken");
        let (live, place) = (folder.path().join("1.ts"), disk.channel("c").join("2026-01-01/00/0000-02000.ts"));
        fs::write(&live, b"segment").expect("written");
        assert_eq!(disk.place(&live, &place, 9), Err(Cause::Damaged));
        assert!(!place.exists());
        assert_eq!(disk.place(&live, &place, 7), Ok(()));
        assert_eq!(disk.place(&live, &place, 7), Ok(()), "again");
        fs::remove_file(&live).expect("the live window let go");
        assert_eq!(fs::read(&place).expect("file"), b"segment");
        assert_eq!(disk.place(&live, &place, 7), Err(Cause::DiskSlow));
        disk.sync().expect("synced");
        assert!(disk.measure().expect("measured").0 > 0);
    }
}
