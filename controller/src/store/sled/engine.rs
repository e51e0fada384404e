//! The engine as callers see it: reads go to the database at once, writes to the store
//! thread's bounded queue.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::future::{BoxFuture, FutureExt, ready};
use nix::fcntl::Flock;
use tokio::sync::{mpsc, oneshot};

use super::super::engine::{
    Batch, CommitError, Committed, Engine, Entries, RESERVED, ReadError, SCAN_ENTRIES_MAX, Versioned,
};
use super::super::export::{ExportError, Summary};
use super::ballast::Ballast;
use super::fatal::abort_process;
use super::open::{OpenError, SledOptions, open};
use super::writer::{Job, Shared, Writer};

/// Batches that may wait; when full, callers wait for a place.
const QUEUE_JOBS: usize = 256;

/// The embedded engine. One per directory; dropping it closes the store.
pub struct SledEngine {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    ballast: Ballast,
    // Last, so that the lock outlives everything that uses the files.
    _lock: Flock<File>,
}

impl SledEngine {
    /// Opens or makes the store, reads all of it, and starts the store thread. Takes time:
    /// call it where blocking is allowed.
    ///
    /// # Errors
    /// [`OpenError`], which says the way out.
    pub fn open(options: &SledOptions) -> Result<Self, OpenError> {
        let on_fatal = options.on_fatal.clone().unwrap_or_else(abort_process);
        let opened = open(options)?;
        opened.database.serve(on_fatal.clone());
        let shared = Arc::new(Shared::new(opened.database));
        let writer = Writer {
            shared: shared.clone(),
            mark: opened.mark,
            tally: opened.tally,
            answers: opened.answers,
            limits: options.answers,
            directory: options.directory.clone(),
            free_bytes_min: options.free_bytes_min,
            on_fatal,
        };
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|source| OpenError::Io { path: options.directory.clone(), source })?;
        let (jobs, thread) = (Some(jobs), Some(thread));
        Ok(Self { shared, jobs, thread, ballast: options.ballast(), _lock: opened.lock })
    }

    /// Why writes are no longer taken, if they are not. Seen only where the hook for faults
    /// does not end the process.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.shared.failure()
    }

    /// Makes the ballast again when there is room. Says whether it is there. Called hourly.
    ///
    /// # Errors
    /// What the system said when it could not be made.
    pub fn tend_ballast(&self) -> io::Result<bool> {
        self.ballast.tend()
    }

    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        if key.first().is_none_or(|first| *first == RESERVED) {
            return Ok(None);
        }
        let before = self.shared.before();
        match before.get(key) {
            Some(old) => Ok(old.clone()),
            None => self.shared.database.get(key),
        }
    }

    fn entries(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Entries, ReadError> {
        let limit = limit.min(SCAN_ENTRIES_MAX);
        let before = self.shared.before();
        let mut entries: Entries = before
            .iter()
            .filter(|(key, _)| key.first() != Some(&RESERVED) && key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| &key[..] > after))
            .filter_map(|(key, old)| Some((key.clone(), old.clone()?)))
            .collect();
        let wanted = entries.len() + limit;
        if limit > 0 {
            self.shared.database.scan(prefix, after, &mut |key, kept| {
                if !before.contains_key(&key) {
                    entries.push((key, kept));
                }
                entries.len() < wanted
            })?;
        }
        drop(before);
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        entries.truncate(limit);
        Ok(entries)
    }

    async fn ask<T, E>(&self, job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job, stopped: E) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let Some(jobs) = &self.jobs else {
            return Err(stopped);
        };
        if jobs.send(job(reply)).await.is_err() {
            return Err(stopped);
        }
        answer.await.unwrap_or(Err(stopped))
    }
}

impl Engine for SledEngine {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        ready(self.read(key)).boxed()
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Entries, ReadError>> {
        ready(self.entries(prefix, after, limit)).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        self.ask(|reply| Job::Commit(batch, reply), CommitError::Stopped).boxed()
    }

    fn export(&self, out: Box<dyn Write + Send>, at_ms: u64) -> BoxFuture<'_, Result<Summary, ExportError>> {
        self.ask(move |reply| Job::Export(out, at_ms, reply), ExportError::Stopped).boxed()
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        // The thread ends when the last sender is gone, after what is queued was written.
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A panic in there was told to the hook already.
            let _ = thread.join();
        }
    }
}
