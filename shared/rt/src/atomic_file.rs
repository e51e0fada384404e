//! Small state files that are either the old one or the new one, whatever happens in between.
//!
//! Write to a neighbour, fsync, rename over, fsync the directory: after [`write()`] returned, a power cut keeps the new
//! bytes; before, it keeps the old ones (rename(2): an open of the name always finds one or the other). One owner per
//! file: two writers of one path at the same time are the caller's mistake. These calls block on the disk; from async
//! code use `spawn_blocking`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What could not be done with a state file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The path ends in no file name.
    #[error("no file name in {}", path.display())]
    NoName {
        /// The path as given.
        path: PathBuf,
    },
    /// Writing, syncing or renaming failed; the old file still stands.
    #[error("write {}", path.display())]
    Write {
        /// The state file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading failed for another reason than absence.
    #[error("read {}", path.display())]
    Read {
        /// The state file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds more than the reader is ready to hold.
    #[error("{} is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The state file.
        path: PathBuf,
        /// The reader's cap.
        limit_bytes: u64,
    },
}

/// Replaces `path` by a file of these bytes with permission bits `mode` (0o600 for anything private). A neighbour
/// `.NAME.new` that an earlier crash left is overwritten, so crashes cannot pile up files.
///
/// # Errors
/// [`FileError::Write`] when the disk refuses; the old content is untouched then.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let name = path.file_name().ok_or_else(|| FileError::NoName { path: path.to_owned() })?;
    let mut neighbour_name = OsString::from(".");
    neighbour_name.push(name);
    neighbour_name.push(".new");
    let neighbour = path.with_file_name(neighbour_name);
    replace(path, &neighbour, bytes, mode).map_err(|source| {
        // The neighbour is of no use to anybody; when even its removal fails the first error says more.
        drop(fs::remove_file(&neighbour));
        FileError::Write { path: path.to_owned(), source }
    })
}

/// Reads the whole file, or `None` when there is none.
///
/// # Errors
/// [`FileError::TooLarge`] above `limit_bytes`, [`FileError::Read`] for anything but absence.
pub fn read(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    // One byte more than allowed tells "full" from "too large" without trusting the file's own length.
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(FileError::TooLarge { path: path.to_owned(), limit_bytes });
    }
    Ok(Some(bytes))
}

fn replace(path: &Path, neighbour: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Removed first, because `mode` counts only when a file is created.
    match fs::remove_file(neighbour) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(neighbour)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(neighbour, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_new_bytes_replace_the_old_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desired.json");
        assert_eq!(read(&path, 10).unwrap(), None);
        write(&path, b"one", 0o600).unwrap();
        fs::write(folder.path().join(".desired.json.new"), b"left by a crash").unwrap();
        write(&path, b"two", 0o640).unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        // A folder in the neighbour's place cannot be removed as a file, also not by root.
        fs::create_dir(folder.path().join(".state.new")).unwrap();
        fs::write(&path, b"old").unwrap();
        let error = write(&path, b"new", 0o600).unwrap_err();
        assert!(crate::chain(&error).starts_with("write /"), "{error}");
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"old");
        assert!(matches!(write(Path::new("/"), b"", 0o600), Err(FileError::NoName { .. })));
    }

    #[test]
    fn reading_has_a_cap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write(&path, b"12345", 0o600).unwrap();
        assert!(matches!(read(&path, 4), Err(FileError::TooLarge { limit_bytes: 4, .. })));
        assert_eq!(read(&path, u64::MAX).unwrap().unwrap(), b"12345");
        assert!(matches!(read(folder.path(), 4), Err(FileError::Read { .. })));
    }
}
