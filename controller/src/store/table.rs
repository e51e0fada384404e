//! Typed keys and versioned records over an engine.
//!
//! A family of records lies under its name and a slash; a record is one version byte and
//! JSON. The version rises when the shape changes, and the family's file says how an older
//! one is read, so that no release needs a migration run. A [`Draft`] gathers conditions
//! and writes over any families into one atomic batch. Nothing is kept that breaks its
//! own rules: a draft checks each record before it takes it.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::{Batch, CommitError, Engine, Expect, IdempotencyKey, ReadError, Version};
use crate::domain::Refusal;

/// The most records one page returns.
pub const PAGE_RECORDS_MAX: usize = 1000;

/// A kind of record that is kept.
pub trait Record: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {
    /// The family's name: the first part of its keys. Letters only.
    const FAMILY: &'static str;
    /// The version of the shape that this release writes.
    const VERSION: u8;
    /// What names one record of the family.
    type Key: Send + Sync;

    /// This record's key.
    fn key(&self) -> Self::Key;

    /// The key as text; its order is the order of pages.
    fn key_text(key: &Self::Key) -> String;

    /// Checks the record's own rules before it is kept.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Reads a body of an older version; none when this release does not know it.
    fn from_older(_version: u8, _body: &[u8]) -> Option<Self> {
        None
    }
}

/// Why the store gave nothing or kept nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record breaks a rule of its own.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine could not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine did not commit; [`CommitError::Conflict`] means read and decide again.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A record has a version or a shape that this release does not know.
    #[error(
        "record {key} has version {version} and does not read as {want} ({what}); it was written by another release"
    )]
    Shape {
        /// Family and key.
        key: String,
        /// The version byte found.
        version: u8,
        /// The version this release writes.
        want: u8,
        /// Where reading stopped; never the content.
        what: String,
    },
}

/// A record and the version to name when it is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<R> {
    /// The commit that wrote it; goes into [`Draft::replace`] and [`Draft::remove`].
    pub version: Version,
    /// The record.
    pub record: R,
}

/// One family of records.
#[derive(Clone)]
pub struct Table<R> {
    engine: Arc<dyn Engine>,
    records: PhantomData<fn() -> R>,
}

impl<R: Record> Table<R> {
    /// The family in `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, records: PhantomData }
    }

    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Shape`].
    pub async fn get(&self, key: &R::Key) -> Result<Option<Kept<R>>, StoreError> {
        let key = full_key::<R>(key);
        match self.engine.get(key.as_bytes()).await? {
            Some(kept) => parsed(&key, kept.version, &kept.bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Up to `limit` records after `after`, in key order.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn page(&self, after: Option<&R::Key>, limit: usize) -> Result<Vec<Kept<R>>, StoreError> {
        let after = after.map(|key| full_key::<R>(key));
        self.part("", after, limit).await
    }

    /// Every record, page by page. For families that are small: tariffs, channels, nodes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn all(&self) -> Result<Vec<Kept<R>>, StoreError> {
        self.all_under("").await
    }

    /// Every record whose key text begins with `prefix`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn all_under(&self, prefix: &str) -> Result<Vec<Kept<R>>, StoreError> {
        let mut all: Vec<Kept<R>> = vec![];
        loop {
            let after = all.last().map(|kept| full_key::<R>(&kept.record.key()));
            let part = self.part(prefix, after, PAGE_RECORDS_MAX).await?;
            let last = part.len() < PAGE_RECORDS_MAX;
            all.extend(part);
            if last {
                return Ok(all);
            }
        }
    }

    /// Up to `limit` records whose key text begins with `prefix`, after the full key `after`.
    pub(crate) async fn part(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Kept<R>>, StoreError> {
        let prefix = format!("{}/{prefix}", R::FAMILY);
        let after = after.as_deref().map(str::as_bytes);
        let found = self.engine.scan(prefix.as_bytes(), after, limit.min(PAGE_RECORDS_MAX)).await?;
        let parse = |(key, kept): (Vec<u8>, super::engine::Versioned)| {
            parsed(&String::from_utf8_lossy(&key), kept.version, &kept.bytes)
        };
        found.into_iter().map(parse).collect()
    }
}

/// The key of the engine.
pub(crate) fn full_key<R: Record>(key: &R::Key) -> String {
    format!("{}/{}", R::FAMILY, R::key_text(key))
}

fn parsed<R: Record>(key: &str, written: Version, bytes: &[u8]) -> Result<Kept<R>, StoreError> {
    let (&version, body) = bytes.split_first().unwrap_or((&0, &[]));
    let (record, what) = if version == R::VERSION {
        match serde_json::from_slice(body) {
            Ok(record) => (Some(record), String::new()),
            // The error's own text may repeat a value, and values may be secrets.
            Err(error) => (None, format!("{:?} error at column {}", error.classify(), error.column())),
        }
    } else {
        (R::from_older(version, body), "unknown version".to_owned())
    };
    let shape = || StoreError::Shape { key: key.to_owned(), version, want: R::VERSION, what };
    record.map(|record| Kept { version: written, record }).ok_or_else(shape)
}

/// One atomic write over any families.
#[derive(Debug, Clone)]
pub struct Draft {
    batch: Batch,
}

/// A draft that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The version of every record it wrote.
    pub version: Version,
    /// It was a repeat of an earlier write and nothing was written.
    pub repeated: bool,
    /// The answer of the first write with this idempotency key.
    pub answer: Vec<u8>,
}

impl Draft {
    /// An empty draft; `at_ms` is wall time in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(idempotency: IdempotencyKey, at_ms: u64) -> Self {
        Self { batch: Batch::new(idempotency, at_ms) }
    }

    /// Keeps a record that is not there yet.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the record breaks its own rules.
    pub fn insert<R: Record>(self, record: &R) -> Result<Self, StoreError> {
        let key = full_key::<R>(&record.key());
        let draft = self.put(record)?;
        Ok(Self { batch: draft.batch.expect(key, Expect::Absent) })
    }

    /// Changes a record that is still as it was read.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn replace<R: Record>(self, record: &R, read: Version) -> Result<Self, StoreError> {
        let key = full_key::<R>(&record.key());
        let draft = self.put(record)?;
        Ok(Self { batch: draft.batch.expect(key, Expect::At(read)) })
    }

    /// Keeps a record whatever was there.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn put<R: Record>(self, record: &R) -> Result<Self, StoreError> {
        record.check()?;
        let mut value = vec![R::VERSION];
        serde_json::to_writer(&mut value, record).expect("a record has text keys and writes to memory");
        Ok(Self { batch: self.batch.put(full_key::<R>(&record.key()), value) })
    }

    /// Removes a record that is still as it was read.
    #[must_use]
    pub fn remove<R: Record>(self, key: &R::Key, read: Version) -> Self {
        let key = full_key::<R>(key);
        Self { batch: self.batch.expect(key.clone(), Expect::At(read)).delete(key) }
    }

    /// Goes through only if a record is still as it was read, or still absent.
    #[must_use]
    pub fn only_if<R: Record>(self, key: &R::Key, read: Option<Version>) -> Self {
        let expect = read.map_or(Expect::Absent, Expect::At);
        Self { batch: self.batch.expect(full_key::<R>(key), expect) }
    }

    /// What a repeat is answered with, up to 1,024 bytes.
    #[must_use]
    pub fn answer(self, answer: impl Into<Vec<u8>>) -> Self {
        Self { batch: self.batch.answer(answer) }
    }

    /// Commits and returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError::Commit`].
    pub async fn commit(self, engine: &dyn Engine) -> Result<Done, StoreError> {
        let done = engine.commit(self.batch).await?;
        Ok(Done { version: done.version, repeated: done.repeated, answer: done.answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tariff;
    use crate::store::MemoryEngine;

    fn tariff(id: &str) -> Tariff {
        Tariff { id: id.parse().unwrap(), name: id.to_owned(), tags: ["base".parse().unwrap()].into() }
    }

    fn draft() -> Draft {
        Draft::new(IdempotencyKey::random("test"), 0)
    }

    fn bench() -> (Arc<dyn Engine>, Table<Tariff>) {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        (engine.clone(), Table::new(engine))
    }

    #[tokio::test]
    async fn insert_replace_remove_each_once() {
        let (engine, table) = bench();
        draft().insert(&tariff("Base")).unwrap().commit(&*engine).await.unwrap();
        let again = draft().insert(&tariff("Base")).unwrap().commit(&*engine).await;
        let conflict = "key tariffs/Base is no longer as it was read";
        assert_eq!(again.unwrap_err().to_string(), conflict);
        let kept = table.get(&"Base".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(kept.record, tariff("Base"));
        let renamed = Tariff { name: "Basic".to_owned(), ..kept.record.clone() };
        let done = draft().replace(&renamed, kept.version).unwrap().commit(&*engine).await.unwrap();
        let late = draft().replace(&renamed, kept.version).unwrap().commit(&*engine).await;
        assert_eq!(late.unwrap_err().to_string(), conflict);
        let gone = draft().remove::<Tariff>(&kept.record.id, kept.version).commit(&*engine).await;
        assert_eq!(gone.unwrap_err().to_string(), conflict);
        draft().remove::<Tariff>(&kept.record.id, done.version).commit(&*engine).await.unwrap();
        assert_eq!(table.get(&kept.record.id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_broken_rule_keeps_the_whole_draft_out() {
        let nameless = Tariff { name: String::new(), ..tariff("x") };
        let refused = draft().put(&tariff("Base")).unwrap().put(&nameless).unwrap_err();
        assert_eq!(refused.to_string(), "name has 0 characters; use 1 to 100");
    }

    #[tokio::test]
    async fn pages_are_in_order_and_all_is_all() {
        let (engine, table) = bench();
        for part in 0..11 {
            let add = (0..100).fold(draft(), |d, n| d.put(&tariff(&format!("t{part:02}{n:02}"))).unwrap());
            add.commit(&*engine).await.unwrap();
        }
        let ids = |page: Vec<Kept<Tariff>>| page.iter().map(|k| k.record.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(table.page(None, 2).await.unwrap()), ["t0000", "t0001"]);
        let after = "t0098".parse().unwrap();
        assert_eq!(ids(table.page(Some(&after), 2).await.unwrap()), ["t0099", "t0100"]);
        assert_eq!(table.all().await.unwrap().len(), 1100);
        assert_eq!(table.all_under("t05").await.unwrap().len(), 100);
    }

    #[tokio::test]
    async fn a_record_of_another_release_says_so_and_nothing_of_its_content() {
        let (engine, table) = bench();
        let raw = |key: &str, value: &[u8]| {
            Batch::new(IdempotencyKey::random("test"), 0).put(format!("tariffs/{key}"), value.to_vec())
        };
        engine.commit(raw("new", b"\x09{}")).await.unwrap();
        engine.commit(raw("odd", b"\x01{\"id\":\"secret?!\"}")).await.unwrap();
        let check = async |key: &str, expected: &str| {
            let error = table.get(&key.parse().unwrap()).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(
            "new",
            "record tariffs/new has version 9 and does not read as 1 (unknown version); it was written by another release",
        )
        .await;
        check(
            "odd",
            "record tariffs/odd has version 1 and does not read as 1 (Data error at column 17); it was written by another release",
        )
        .await;
    }
}
