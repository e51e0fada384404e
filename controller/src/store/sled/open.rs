//! Opening, making and restoring a store's directory: the safe recipe up to the moment the
//! engine serves. See the room's page for the files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2};

use super::super::engine::{Version, Versioned};
use super::super::export::{self, ExportError, Reader, Summary};
use super::super::record::Tally;
use super::super::shelf;
use super::super::stage::{AnswerLimits, Changes};
use super::ballast::Ballast;
use super::database::{Database, Fault, sync_directory};
use super::fatal::FatalHook;
use super::mark::Mark;

/// The database, in a directory per format version.
const DATABASE: &str = "sled-v1";
/// A database being made; renamed when it is whole.
const MAKING: &str = "sled-v1.making";
/// What a restore replaced; kept until the next one.
const DAMAGED: &str = "damaged";
/// Says that a database was made here once, so that its absence is damage.
const CREATED: &str = "created";
/// Records per batch of a restore.
const RESTORE_RECORDS: usize = 1000;

/// How to open a store.
#[derive(Clone)]
pub struct SledOptions {
    /// Where the store's files are; made when missing.
    pub directory: PathBuf,
    /// Disk space kept back for opening on a full disk. Zero for none. Default 64 MiB.
    pub ballast_bytes: u64,
    /// Writes are refused while less is free on the disk. Default 32 MiB.
    pub free_bytes_min: u64,
    /// sled's page cache. Default 64 MB.
    pub cache_bytes: u64,
    /// How long and how many answers to idempotency keys are kept.
    pub answers: AnswerLimits,
    /// Told when the engine cannot go on; none ends the process.
    pub on_fatal: Option<FatalHook>,
}

impl SledOptions {
    /// The product's values for the store in `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            ballast_bytes: 64 << 20,
            free_bytes_min: 32 << 20,
            cache_bytes: 64_000_000,
            answers: AnswerLimits::default(),
            on_fatal: None,
        }
    }

    pub(super) fn ballast(&self) -> Ballast {
        Ballast { path: self.directory.join("ballast"), bytes: self.ballast_bytes }
    }
}

/// Where the copies of the store in `directory` are.
#[must_use]
pub fn exports_directory(directory: &Path) -> PathBuf {
    directory.join("exports")
}

/// Why a store did not open. Each says the way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("store at {} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The store's directory.
        path: PathBuf,
    },
    /// No room, even without the ballast.
    #[error("no room on the disk to open the store at {}; free some and start again", path.display())]
    NoSpace {
        /// The store's directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("could not open the store at {}; check the disk and the permissions", path.display())]
    Io {
        /// The store's directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is there is not what was written. Nothing was changed.
    #[error("store at {} is damaged ({what}); {}", path.display(), way_out(newest_export.as_deref()))]
    Damaged {
        /// The store's directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// The newest good export in the store's directory.
        newest_export: Option<PathBuf>,
    },
    /// The export to restore from is no good; nothing was changed.
    #[error("store at {} was not restored and is as it was", path.display())]
    Export {
        /// The store's directory.
        path: PathBuf,
        /// What is wrong with the export.
        #[source]
        source: ExportError,
    },
}

fn way_out(newest: Option<&Path>) -> String {
    match newest {
        Some(export) => {
            format!("restore it with: headend-controller import {}", export.display())
        }
        None => "there is no good export beside it; restore it from a copy kept elsewhere with: \
                 headend-controller import FILE"
            .to_owned(),
    }
}

/// A store's directory, locked, with its database read to the end and found whole.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) mark: Mark,
    pub(super) tally: Tally,
    pub(super) answers: u64,
    pub(super) lock: Flock<File>,
}

/// Opens the store, making it first where there was never one.
pub(super) fn open(options: &SledOptions) -> Result<Opened, OpenError> {
    let directory = &options.directory;
    let fail = |fault| explain(directory, fault);
    let lock = lock(directory)?;
    let first = open_database(options);
    let (database, (mark, tally, answers)) = match first {
        // The ballast is there for exactly this.
        Err(Fault::NoSpace) if options.ballast().release() => {
            tracing::warn!(directory = %directory.display(), "disk full, gave up the ballast to open the store");
            open_database(options).map_err(fail)?
        }
        other => other.map_err(fail)?,
    };
    match options.ballast().tend() {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(directory = %directory.display(), "too little room for the ballast")
        }
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "could not make the ballast")
        }
    }
    Ok(Opened { database, mark, tally, answers, lock })
}

fn lock(directory: &Path) -> Result<Flock<File>, OpenError> {
    let fail = |source| OpenError::Io { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(fail)?;
    let file = File::create(directory.join("lock")).map_err(fail)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => OpenError::InUse { path: directory.to_owned() },
        other => fail(other.into()),
    })
}

fn explain(directory: &Path, fault: Fault) -> OpenError {
    let path = directory.to_owned();
    match fault {
        Fault::NoSpace => OpenError::NoSpace { path },
        Fault::Io(source) => OpenError::Io { path, source },
        Fault::Damaged(what) => {
            let newest_export = shelf::newest_good(&exports_directory(directory));
            OpenError::Damaged { path, what, newest_export }
        }
    }
}

fn open_database(options: &SledOptions) -> Result<(Database, (Mark, Tally, u64)), Fault> {
    let directory = &options.directory;
    let (place, made) = (directory.join(DATABASE), directory.join(CREATED));
    remove(&directory.join(MAKING))?;
    if !place.exists() {
        if made.exists() {
            return Err(Fault::Damaged(format!("{DATABASE} is gone")));
        }
        make::<Fault>(options, &mut |_| Ok(Tally::default()))?;
        fs::rename(directory.join(MAKING), &place)?;
        sync_directory(directory)?;
    }
    if !made.exists() {
        File::create(&made)?.sync_all()?;
        sync_directory(directory)?;
    }
    if !place.join("db").exists() || !place.join("conf").exists() {
        // sled would make a new, empty database without a word.
        return Err(Fault::Damaged("sled's own files are gone".to_owned()));
    }
    let database = Database::open(&place, options.cache_bytes)?;
    let verified = database.verify()?;
    Ok((database, verified))
}

/// Makes a whole database beside the place it will have; a crash leaves nothing but a
/// directory that the next open removes.
fn make<E: From<Fault>>(options: &SledOptions, fill: &mut dyn FnMut(&Database) -> Result<Tally, E>) -> Result<(), E> {
    let path = options.directory.join(MAKING);
    let io = |error: io::Error| E::from(error.into());
    remove(&path).map_err(io)?;
    let database = Database::open(&path, options.cache_bytes)?;
    let tally = fill(&database)?;
    database.found(tally)?;
    drop(database);
    // Dropping writes once more; the files as they are now are what is renamed.
    sync_files(&path).map_err(io)
}

fn sync_files(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync_directory(directory)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

enum RestoreFault {
    Database(Fault),
    Export(ExportError),
}

impl From<Fault> for RestoreFault {
    fn from(fault: Fault) -> Self {
        Self::Database(fault)
    }
}

/// Puts the content of an export in place of whatever is in the store's directory, in one
/// step and only after the whole export was read and found good. What was there stays in
/// `damaged/` until the next restore. The store must not be in use.
///
/// # Errors
/// [`OpenError::Export`] when the export is no good, and as opening does. The store is then
/// as it was.
pub fn restore(options: &SledOptions, export: &Path) -> Result<Summary, OpenError> {
    let directory = &options.directory;
    let _lock = lock(directory)?;
    let bad = |source| OpenError::Export { path: directory.clone(), source };
    let summary = export::verify(export::open(export).map_err(bad)?).map_err(bad)?;
    let restored = make(options, &mut |database| {
        let source = export::open(export).map_err(RestoreFault::Export)?;
        fill(database, source)
    });
    restored.map_err(|fault| match fault {
        RestoreFault::Export(source) => bad(source),
        RestoreFault::Database(fault) => explain(directory, fault),
    })?;
    swap(directory).map_err(|error| explain(directory, error.into()))?;
    Ok(summary)
}

fn fill(database: &Database, source: File) -> Result<Tally, RestoreFault> {
    let mut reader = Reader::new(source).map_err(RestoreFault::Export)?;
    let commit = export::floor_above(reader.summary().commit);
    let mut tally = Tally { commit, ..Tally::default() };
    loop {
        let mut changes = Changes::new();
        while changes.len() < RESTORE_RECORDS
            && let Some((key, bytes)) = reader.next_record().map_err(RestoreFault::Export)?
        {
            let kept = Versioned { version: Version(commit), bytes };
            tally.add(&key, &kept);
            changes.insert(key, Some(kept));
        }
        if changes.is_empty() {
            return Ok(tally);
        }
        database.apply(&changes, tally).map_err(Fault::Damaged)?;
    }
}

/// Exchanges the made database with the one in place, in one rename, so that there is no
/// moment without a database.
fn swap(directory: &Path) -> io::Result<()> {
    let (made, place) = (directory.join(MAKING), directory.join(DATABASE));
    if place.exists() {
        renameat2(AT_FDCWD, &made, AT_FDCWD, &place, RenameFlags::RENAME_EXCHANGE)?;
        let aside = directory.join(DAMAGED);
        remove(&aside)?;
        fs::rename(&made, &aside)?;
    } else {
        fs::rename(&made, &place)?;
    }
    File::create(directory.join(CREATED))?.sync_all()?;
    sync_directory(directory)
}
