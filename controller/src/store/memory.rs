//! The engine that keeps everything in memory: for tests and trials, and the yardstick the
//! others are compared with. Durable means here "until the process ends".

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::engine::{Batch, CommitError, Committed, Engine, Entries, RESERVED, ReadError, SCAN_ENTRIES_MAX, Versioned};
use super::export::{ExportError, Summary, Writer};
use super::stage::{AnswerLimits, BY_AGE, Base, Stage};

/// Ordered keys in memory.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    kept: Mutex<Kept>,
    limits: AnswerLimits,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<Vec<u8>, Versioned>,
    commit: u64,
    answers: u64,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty engine that remembers answers within `limits`.
    #[must_use]
    pub fn with_answers(limits: AnswerLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The records. A panic elsewhere cannot leave them half changed: a group is worked
    /// out before it is applied.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Entries {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.records
            .range::<[u8], _>((from, Bound::Unbounded))
            .skip_while(|(key, _)| key.first() == Some(&RESERVED))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit.min(SCAN_ENTRIES_MAX))
            .map(|(key, kept)| (key.clone(), kept.clone()))
            .collect()
    }

    fn commit(&mut self, batch: &Batch, limits: AnswerLimits) -> Result<Committed, CommitError> {
        let mut stage = Stage::new(self, limits, self.commit, self.answers);
        let answer = stage.add(batch)?;
        let staged = stage.finish()?;
        (self.commit, self.answers) = (staged.commit, staged.answers);
        for (key, change) in staged.changes {
            match change {
                Some(kept) => self.records.insert(key, kept),
                None => self.records.remove(&key),
            };
        }
        Ok(answer)
    }
}

impl Base for Kept {
    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, String> {
        Ok(self.records.get(key).cloned())
    }

    fn oldest_answers(&self, max: usize) -> Result<Vec<Vec<u8>>, String> {
        let keys = self.records.range(BY_AGE.to_vec()..).map(|(key, _)| key);
        Ok(keys.take_while(|key| key.starts_with(BY_AGE)).take(max).cloned().collect())
    }
}

impl Engine for MemoryEngine {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        let own = key.first() == Some(&RESERVED);
        ready(Ok(self.kept().records.get(key).filter(|_| !own).cloned())).boxed()
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Entries, ReadError>> {
        ready(Ok(self.kept().scan(prefix, after, limit))).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        ready(self.kept().commit(&batch, self.limits)).boxed()
    }

    fn export(&self, out: Box<dyn Write + Send>, at_ms: u64) -> BoxFuture<'_, Result<Summary, ExportError>> {
        let kept = self.kept();
        let written = Writer::new(out, at_ms, kept.commit).and_then(|mut writer| {
            for (key, value) in &kept.records {
                writer.record(key, &value.bytes)?;
            }
            writer.finish()
        });
        ready(written).boxed()
    }
}
