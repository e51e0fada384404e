//! One sled database and its mark, with every call guarded: an error or a panic of sled
//! comes out as text, never as a partial answer.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::super::engine::{RESERVED, ReadError, Version, Versioned, printable};
use super::super::export::{ExportError, Summary, Writer};
use super::super::record::{self, Tally};
use super::super::stage::{ANSWER, BY_AGE, Base, Changes};
use super::fatal::{FatalHook, caught};
use super::mark::Mark;

/// The key of the record that holds the [`Tally`]; written with every group.
const TALLY: &[u8] = &[RESERVED, b'm'];
/// sled frees its lock a moment after the last handle is gone.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Why a database did not open or is not whole.
#[derive(Debug)]
pub(super) enum Fault {
    /// No room on the disk.
    NoSpace,
    /// The system refused; nothing is said about the content.
    Io(io::Error),
    /// The content is not what was written.
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull { Self::NoSpace } else { Self::Io(error) }
    }
}

impl From<::sled::Error> for Fault {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) if is_full(&error) => Self::NoSpace,
            // sled's own reads and writes fail like this on damaged offsets as well.
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// sled copies errors as text, so the number may be gone.
fn is_full(error: &io::Error) -> bool {
    let text = error.to_string();
    error.kind() == io::ErrorKind::StorageFull
        || ["StorageFull", "os error 28", "No space left"].iter().any(|sign| text.contains(sign))
}

/// Given each record in key order; an error ends the reading.
type Take<'a> = &'a mut dyn FnMut(&[u8], Versioned) -> Result<(), ExportError>;

/// An open sled database. Its file is fsynced by us, because sled's flush does not.
pub(super) struct Database {
    tree: ::sled::Db,
    file: File,
    directory: PathBuf,
    /// Set while serving: who is told of a panic. Before that a panic is damage.
    on_panic: OnceLock<FatalHook>,
}

impl Database {
    /// Opens or makes the database in `directory`, after removing what a crash in an
    /// earlier open left: sled takes a half-written snapshot for its newest one.
    pub(super) fn open(directory: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        fs::create_dir_all(directory)?;
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                fs::remove_file(&path)?;
            }
        }
        let config = ::sled::Config::default().path(directory).cache_capacity(cache_bytes).flush_every_ms(None);
        let start = Instant::now();
        let tree = loop {
            match caught(|| config.open()).map_err(Fault::Damaged)? {
                Ok(tree) => break tree,
                Err(::sled::Error::Io(error))
                    if error.to_string().contains("could not acquire lock") && start.elapsed() < LOCK_WAIT =>
                {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                Err(error) => return Err(error.into()),
            }
        };
        let file = File::open(directory.join("db"))?;
        let database = Self { tree, file, directory: directory.to_owned(), on_panic: OnceLock::new() };
        // The open may have renamed a snapshot; the directory must know before we go on.
        database.make_durable().map_err(Fault::Damaged)?;
        sync_directory(directory)?;
        Ok(database)
    }

    /// Writes the first tally and the mark, and brings every file and directory to disk.
    pub(super) fn found(&self, tally: Tally) -> Result<Mark, Fault> {
        self.apply(&Changes::new(), tally).map_err(Fault::Damaged)?;
        self.make_durable().map_err(Fault::Damaged)?;
        let mark = Mark::create(&self.mark_path(), tally)?;
        File::open(self.directory.join("conf"))?.sync_all()?;
        sync_directory(&self.directory.join("blobs"))?;
        sync_directory(&self.directory)?;
        Ok(mark)
    }

    /// From now on a panic of sled is told to `hook`.
    pub(super) fn serve(&self, hook: FatalHook) {
        // Served once; a second call would bring the same hook.
        let _ = self.on_panic.set(hook);
    }

    pub(super) fn mark_path(&self) -> PathBuf {
        self.directory.join("mark")
    }

    /// Reads every record and compares all with the tally and with the mark. Gives the
    /// mark, the tally and the number of answers remembered.
    pub(super) fn verify(&self) -> Result<(Mark, Tally, u64), Fault> {
        let (mut found, mut answers, mut kept_tally) = (Tally::default(), 0, None);
        self.each(&mut |key, kept| {
            if key == TALLY {
                kept_tally = Tally::from_bytes(&kept.bytes);
                return Ok(());
            }
            answers += u64::from(key.starts_with(ANSWER));
            found.add(key, &kept);
            Ok(())
        })
        .map_err(|error| Fault::Damaged(error.to_string()))?;
        let tally = kept_tally.ok_or_else(|| damaged("the record of the last commit is missing"))?;
        found.commit = tally.commit;
        if found != tally {
            return Err(damaged("records are missing or stale"));
        }
        if !self.mark_path().exists() {
            return Err(damaged("its mark file is missing"));
        }
        let (mark, acknowledged) = Mark::open(&self.mark_path())?;
        let acknowledged = acknowledged.ok_or_else(|| damaged("its mark file does not match"))?;
        if tally.commit < acknowledged.commit {
            return Err(Fault::Damaged(format!(
                "it ends at commit {}, but {} was acknowledged",
                tally.commit, acknowledged.commit
            )));
        }
        if tally.commit == acknowledged.commit && tally != acknowledged {
            return Err(damaged("it does not match its mark"));
        }
        Ok((mark, tally, answers))
    }

    /// The value under `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let raw = self.guarded(key, || self.tree.get(key))?;
        raw.map(|raw| decoded(key, &raw)).transpose()
    }

    /// Entries after `after` that begin with `prefix`, without the engine's own, until
    /// `take` says no.
    pub(super) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        take: &mut dyn FnMut(Vec<u8>, Versioned) -> bool,
    ) -> Result<(), ReadError> {
        let first_free: &[u8] = &[RESERVED + 1];
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.max(first_free).to_vec()),
        };
        let mut iter = self.tree.range((from, Bound::Unbounded));
        while let Some(entry) = self.guarded(prefix, || iter.next().transpose())? {
            let key = entry.0.to_vec();
            if !key.starts_with(prefix) {
                break;
            }
            let kept = decoded(&key, &entry.1)?;
            if !take(key, kept) {
                break;
            }
        }
        Ok(())
    }

    /// Writes everything as an export.
    pub(super) fn export(&self, mut writer: Writer) -> Result<Summary, ExportError> {
        self.each(&mut |key, kept| {
            if key == TALLY {
                return Ok(());
            }
            writer.record(key, &kept.bytes)
        })?;
        writer.finish()
    }

    /// Applies changes and the tally after them in one atomic batch; durable only after
    /// [`Self::make_durable`].
    pub(super) fn apply(&self, changes: &Changes, tally: Tally) -> Result<(), String> {
        let mut batch = ::sled::Batch::default();
        for (key, change) in changes {
            match change {
                Some(kept) => batch.insert(&key[..], record::encode(key, kept)),
                None => batch.remove(&key[..]),
            }
        }
        let version = Version(tally.commit);
        let kept = Versioned { version, bytes: tally.to_bytes().to_vec() };
        batch.insert(TALLY, record::encode(TALLY, &kept));
        self.run(|| self.tree.apply_batch(batch))
    }

    /// Returns when everything applied is on disk: sled's flush, then the fsync it omits.
    pub(super) fn make_durable(&self) -> Result<(), String> {
        self.run(|| self.tree.flush())?;
        self.file.sync_all().map_err(|error| error.to_string())
    }

    /// Every record with its own key, the engine's included.
    fn each(&self, take: Take<'_>) -> Result<(), ExportError> {
        let mut iter = self.tree.iter();
        while let Some((key, raw)) = self.guarded(b"", || iter.next().transpose())? {
            take(&key, decoded(&key, &raw)?)?;
        }
        Ok(())
    }

    fn guarded<T>(&self, key: &[u8], work: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, ReadError> {
        self.run(work).map_err(|what| ReadError::Engine { key: printable(key), what })
    }

    fn run<T>(&self, work: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, String> {
        match caught(work) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(panic) => {
                if let Some(hook) = self.on_panic.get() {
                    hook(&panic);
                }
                Err(panic)
            }
        }
    }
}

impl Base for Database {
    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, String> {
        self.get(key).map_err(|error| error.to_string())
    }

    fn oldest_answers(&self, max: usize) -> Result<Vec<Vec<u8>>, String> {
        let oldest = || self.tree.scan_prefix(BY_AGE).keys().take(max).collect();
        let keys: Vec<::sled::IVec> = self.run(oldest)?;
        Ok(keys.iter().map(|key| key.to_vec()).collect())
    }
}

fn decoded(key: &[u8], raw: &[u8]) -> Result<Versioned, ReadError> {
    record::decode(key, raw).map_err(|what| ReadError::Damaged { key: printable(key), what: what.to_string() })
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged(what.to_owned())
}

/// Brings the entries of a directory to disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
