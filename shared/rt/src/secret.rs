//! Secrets from files: a systemd credential or a path, never from the main configuration, argv or the environment.
//!
//! A [`SecretFile`] is only the reference and is safe to print; [`SecretFile::read`] gives the [`Secret`], which is
//! neither printed nor kept after use (wiped on drop). systemd puts credentials into `$CREDENTIALS_DIRECTORY`
//! (systemd.exec(5), `LoadCredential=`).

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// The largest secret file: room for a certificate chain, too small for a mistake like a disk image.
pub const SECRET_BYTES_MAX: usize = 64 * 1_024;

const OTHERS: u32 = 0o007;

/// Why a secret could not be had. Never holds any of its bytes.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A credential by name, but systemd gave us none.
    #[error(
        "secret `{name}` is a systemd credential, but CREDENTIALS_DIRECTORY is not set (add LoadCredential={name}:/path to the unit, or give a path)"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// The file is not there or not ours to read.
    #[error("read secret {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, device or pipe.
    #[error("secret {} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Other users can reach it.
    #[error("secret {} can be reached by every user (mode {mode:04o}); chmod o-rwx it", path.display())]
    WorldReadable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// More than [`SECRET_BYTES_MAX`].
    #[error("secret {} is larger than {SECRET_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in it, or nothing but one newline.
    #[error("secret {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It should be text and is not.
    #[error("secret {} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

/// Where a secret is: in configuration a string, either a credential's name or a path with a `/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    place: PathBuf,
}

impl SecretFile {
    /// A secret at a path, or by credential name when the path has no `/`.
    #[must_use]
    pub fn at(place: &Path) -> Self {
        Self { place: place.to_owned() }
    }

    /// Reads the secret now.
    ///
    /// # Errors
    /// [`SecretError`], naming the file and what would be right.
    pub fn read(&self) -> Result<Secret, SecretError> {
        self.read_from(std::env::var_os("CREDENTIALS_DIRECTORY"))
    }

    fn read_from(&self, credentials: Option<OsString>) -> Result<Secret, SecretError> {
        let path = match credentials {
            _ if self.place.components().count() != 1 || self.place.is_absolute() => self.place.clone(),
            Some(folder) => Path::new(&folder).join(&self.place),
            None => {
                return Err(SecretError::NoCredentials { name: self.place.display().to_string() });
            }
        };
        let bytes = read_private(&path)?;
        Ok(Secret { bytes, path })
    }
}

impl<'de> Deserialize<'de> for SecretFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = String::deserialize(deserializer)?;
        if place.is_empty() || place.contains(['\n', '\0']) {
            return Err(de::Error::custom("give a credential's name or the path of a file that holds the secret"));
        }
        Ok(Self { place: PathBuf::from(place) })
    }
}

/// The bytes of a secret, without one trailing newline; never empty.
pub struct Secret {
    bytes: Zeroizing<Vec<u8>>,
    path: PathBuf,
}

impl Secret {
    /// The secret as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The secret as text.
    ///
    /// # Errors
    /// [`SecretError::NotText`].
    pub fn text(&self) -> Result<&str, SecretError> {
        std::str::from_utf8(&self.bytes).map_err(|_| SecretError::NotText { path: self.path.clone() })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(from {})", self.path.display())
    }
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    // Not blocking, because opening a pipe nobody writes to would wait for ever. What is checked is what was opened.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(SecretError::NotAFile { path: path.to_owned() });
    }
    if about.mode() & OTHERS != 0 {
        return Err(SecretError::WorldReadable { path: path.to_owned(), mode: about.mode() & 0o7777 });
    }
    // All room at once, because a growing vector would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge { path: path.to_owned() });
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Writes a file with these bytes and mode, reads it as a secret, and compares the secret or the error's variant.
    fn check(bytes: &[u8], mode: u32, want: Result<&[u8], &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let got = SecretFile::at(&path).read_from(None);
        match (&got, want) {
            (Ok(secret), Ok(want)) => assert_eq!(secret.bytes(), want),
            (Err(error), Err(want)) => assert!(error.to_string().ends_with(want), "{error}"),
            _ => panic!("{got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn one_newline_goes_and_others_may_not_look() {
        check(b"hunter2\n", 0o600, Ok(b"hunter2"));
        check(b"hunter2\r\n", 0o640, Ok(b"hunter2"));
        check(b"hunter2\n\n", 0o600, Ok(b"hunter2\n"));
        check(b"\0\xFF", 0o400, Ok(b"\0\xFF"));
        check(b"\n", 0o600, Err("is empty"));
        check(b"hunter2", 0o644, Err("can be reached by every user (mode 0644); chmod o-rwx it"));
        check(b"hunter2", 0o602, Err("can be reached by every user (mode 0602); chmod o-rwx it"));
        check(&vec![b'x'; SECRET_BYTES_MAX], 0o600, Ok(&vec![b'x'; SECRET_BYTES_MAX]));
        check(&vec![b'x'; SECRET_BYTES_MAX + 1], 0o600, Err("is larger than 65536 bytes"));
    }

    #[test]
    fn a_bare_name_is_a_credential() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mqtt"), b"word\n").unwrap();
        fs::set_permissions(folder.path().join("mqtt"), fs::Permissions::from_mode(0o400)).unwrap();
        let secret = SecretFile::at(Path::new("mqtt"));
        let read = secret.read_from(Some(folder.path().into())).unwrap();
        assert_eq!(read.text().unwrap(), "word");
        assert!(!format!("{read:?}").contains("word"), "a secret is never printed");
        let error = secret.read_from(None).unwrap_err().to_string();
        assert!(error.contains("LoadCredential=mqtt:/path"), "{error}");
        let error = SecretFile::at(folder.path()).read_from(None).unwrap_err();
        assert!(matches!(error, SecretError::NotAFile { .. }), "{error}");
        let error = SecretFile::at(Path::new("./absent")).read_from(Some("/nowhere".into())).unwrap_err();
        assert_eq!(error.to_string(), "read secret ./absent");
    }
}
