//! The one thread that writes: takes queued batches as a group, works out their changes,
//! applies them, brings them to disk with one flush and one fsync, moves the mark, and only
//! then answers.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::{mpsc, oneshot};

use super::super::engine::{Batch, CommitError, Committed};
use super::super::export::{ExportError, Summary, Writer as ExportWriter};
use super::super::record::Tally;
use super::super::stage::{AnswerLimits, Changes, Stage, Staged};
use super::ballast::free_bytes;
use super::database::Database;
use super::fatal::{FatalHook, caught};
use super::mark::Mark;

/// The most batches in one group.
const GROUP_BATCHES_MAX: usize = 256;
/// A group is closed when it holds this many bytes; one batch may go over.
const GROUP_BYTES: usize = 1 << 20;

type CommitReply = oneshot::Sender<Result<Committed, CommitError>>;
type ExportReply = oneshot::Sender<Result<Summary, ExportError>>;

/// What the thread is asked.
pub(super) enum Job {
    Commit(Batch, CommitReply),
    Export(Box<dyn Write + Send>, u64, ExportReply),
}

/// What readers and the thread share.
pub(super) struct Shared {
    pub(super) database: Database,
    /// Values from before the group that is being written: what readers see until it is
    /// durable. Empty between groups; kept for good when a group failed.
    before: RwLock<Changes>,
    failed: OnceLock<String>,
}

impl Shared {
    pub(super) fn new(database: Database) -> Self {
        Self { database, before: RwLock::new(BTreeMap::new()), failed: OnceLock::new() }
    }

    /// The values that stand for those of a group under way. Held while the database is
    /// read, so that no group begins in between.
    pub(super) fn before(&self) -> RwLockReadGuard<'_, Changes> {
        self.before.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    fn set_before(&self, changes: Changes) {
        *self.before.write().unwrap_or_else(PoisonError::into_inner) = changes;
    }
}

/// The thread's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) mark: Mark,
    pub(super) tally: Tally,
    pub(super) answers: u64,
    pub(super) limits: AnswerLimits,
    pub(super) directory: PathBuf,
    pub(super) free_bytes_min: u64,
    pub(super) on_fatal: FatalHook,
}

impl Writer {
    /// Serves until every sender is gone. A panic is told to the hook and ends the thread.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let served = caught(|| {
            while let Some(job) = jobs.blocking_recv() {
                self.serve(job, &mut jobs);
            }
        });
        if let Err(panic) = served {
            self.fail(panic);
        }
    }

    /// Takes no write again and ends the process: what is on disk is known only after the
    /// next start has read it all, and sled refuses reads as well from here on.
    fn fail(&self, reason: String) -> CommitError {
        tracing::error!(reason, "store takes no more writes");
        let reason = self.shared.failed.get_or_init(|| reason).clone();
        (self.on_fatal)(&reason);
        CommitError::Failed { reason }
    }

    fn serve(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        let (mut group, mut bytes, mut next) = (vec![], 0, Some(first));
        while let Some(job) = next {
            match job {
                Job::Commit(batch, reply) => {
                    bytes += batch.bytes();
                    group.push((batch, reply));
                }
                // What was queued before the export is in it.
                Job::Export(out, at_ms, reply) => {
                    self.commit(std::mem::take(&mut group));
                    // The asker may have gone; the text is written all the same.
                    let _ = reply.send(self.export(out, at_ms));
                }
            }
            let room = group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES;
            next = if room { jobs.try_recv().ok() } else { None };
        }
        self.commit(group);
    }

    fn export(&self, out: Box<dyn Write + Send>, at_ms: u64) -> Result<Summary, ExportError> {
        self.shared.database.export(ExportWriter::new(out, at_ms, self.tally.commit)?)
    }

    fn commit(&mut self, group: Vec<(Batch, CommitReply)>) {
        if group.is_empty() {
            return;
        }
        let (batches, replies): (Vec<Batch>, Vec<CommitReply>) = group.into_iter().unzip();
        let answers = self.answers_to(&batches);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // The asker may have gone; a repeat with the same key will get the answer.
            let _ = reply.send(answer);
        }
    }

    fn answers_to(&mut self, batches: &[Batch]) -> Vec<Result<Committed, CommitError>> {
        if let Err(refused) = self.may_write() {
            return vec![Err(refused); batches.len()];
        }
        let database = &self.shared.database;
        let mut stage = Stage::new(database, self.limits, self.tally.commit, self.answers);
        let answers: Vec<_> = batches.iter().map(|batch| stage.add(batch)).collect();
        match stage.finish().and_then(|staged| self.write(staged)) {
            Ok(()) => answers,
            // Refused ones stay refused for their own reason.
            Err(error) => answers.into_iter().map(|a| a.and(Err(error.clone()))).collect(),
        }
    }

    fn may_write(&self) -> Result<(), CommitError> {
        if let Some(reason) = self.shared.failure() {
            return Err(CommitError::Failed { reason: reason.to_owned() });
        }
        let free_bytes =
            free_bytes(&self.directory).map_err(|error| CommitError::Failed { reason: error.to_string() })?;
        if free_bytes < self.free_bytes_min {
            return Err(CommitError::NoSpace { free_bytes, need_bytes: self.free_bytes_min });
        }
        Ok(())
    }

    fn write(&mut self, staged: Staged) -> Result<(), CommitError> {
        if staged.changes.is_empty() && staged.commit == self.tally.commit {
            return Ok(());
        }
        let database = &self.shared.database;
        let mut tally = Tally { commit: staged.commit, ..self.tally };
        let mut before = Changes::new();
        for (key, change) in &staged.changes {
            let old = database.get(key).map_err(|error| self.fail(error.to_string()))?;
            if let Some(old) = &old {
                tally.take(key, old);
            }
            if let Some(new) = change {
                tally.add(key, new);
            }
            before.insert(key.clone(), old);
        }
        self.shared.set_before(before);
        // Should the hook come back after a failure here, readers keep the old values.
        database
            .apply(&staged.changes, tally)
            .and_then(|()| database.make_durable())
            .and_then(|()| self.mark.set(tally).map_err(|error| format!("mark: {error}")))
            .map_err(|reason| self.fail(reason))?;
        (self.tally, self.answers) = (tally, staged.answers);
        self.shared.set_before(Changes::new());
        Ok(())
    }
}
