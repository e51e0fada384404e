//! Disk space kept back: a file that is given up when the engine cannot open on a full
//! disk, and made again when there is room.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// The file and the size it should have. A size of zero means no ballast.
#[derive(Debug, Clone)]
pub(super) struct Ballast {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl Ballast {
    /// Whether the file is there in full.
    pub(super) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.len() >= self.bytes)
    }

    /// Removes the file; false when there was none.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    /// Makes the file if it is missing and three times its size is free, so that it is not
    /// taken from a disk that was full a moment ago. Says whether it is there.
    pub(super) fn tend(&self) -> io::Result<bool> {
        if self.bytes == 0 || self.is_there() {
            return Ok(true);
        }
        let directory = self.path.parent().unwrap_or(&self.path);
        if free_bytes(directory)? < self.bytes.saturating_mul(3) {
            return Ok(false);
        }
        let made = self.make();
        if made.is_err() {
            // Half a ballast would only take room.
            self.release();
        }
        made.map(|()| true)
    }

    fn make(&self) -> io::Result<()> {
        let file = File::create(&self.path)?;
        let bytes = i64::try_from(self.bytes).map_err(io::Error::other)?;
        posix_fallocate(file.as_fd(), 0, bytes)?;
        file.sync_all()
    }
}

/// Bytes an ordinary user can still write in the file system of `path`.
pub(super) fn free_bytes(path: &std::path::Path) -> io::Result<u64> {
    let found = statvfs(path)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_released_and_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let ballast = Ballast { path: directory.path().join("ballast"), bytes: 100_000 };
        assert!(!ballast.release());
        assert!(ballast.tend().unwrap() && ballast.is_there());
        let before = fs::metadata(&ballast.path).unwrap().modified().unwrap();
        assert!(ballast.tend().unwrap());
        assert_eq!(fs::metadata(&ballast.path).unwrap().modified().unwrap(), before);
        assert!(ballast.release() && !ballast.is_there());
        assert!(ballast.tend().unwrap() && ballast.is_there());
    }

    #[test]
    fn not_made_where_room_is_short() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = free_bytes(directory.path()).unwrap();
        let ballast = Ballast { path: directory.path().join("ballast"), bytes };
        assert!(!ballast.tend().unwrap() && !ballast.is_there());
    }
}
