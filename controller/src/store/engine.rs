//! The seam under the store: ordered keys and an atomic conditional batch.
//!
//! An engine keeps bytes under bytes. It reads one key, reads a prefix in key order, and
//! commits a batch whole or not at all, if the keys the batch names are still as they were
//! read. `commit` returns only when the batch is durable, and readers never see a batch
//! before that. What the bytes mean is the table's business. Reads are futures because an
//! engine may be across a network; the embedded ones answer at once.
//!
//! Every write carries an [`IdempotencyKey`]. A key that comes again within its time gets
//! the answer of the first commit, and nothing is written.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;

use futures_util::future::BoxFuture;

/// The most bytes one value may have. Larger things are files.
pub const VALUE_BYTES_MAX: usize = 4096;
/// The most bytes one key may have.
pub const KEY_BYTES_MAX: usize = 256;
/// The most keys one batch may name, counting expectations, puts and deletes.
pub const BATCH_OPS_MAX: usize = 512;
/// The most bytes one batch may write, keys and values together.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// The most bytes an answer kept for an idempotency key may have.
pub const ANSWER_BYTES_MAX: usize = 1024;
/// The most entries one scan returns, whatever was asked.
pub const SCAN_ENTRIES_MAX: usize = 10_000;
/// The most bytes an idempotency key may have.
pub const IDEMPOTENCY_BYTES_MAX: usize = 128;

/// Keys that begin with this byte belong to the engine; a batch may not name them.
pub(crate) const RESERVED: u8 = 0;

/// The number of the commit that wrote a record. It only grows, and never comes again in
/// one store, so that a record read, changed away and changed back is seen as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// A value and the commit that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The commit that wrote the value.
    pub version: Version,
    /// The value.
    pub bytes: Vec<u8>,
}

/// What a key must be for a batch to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The key has no value.
    Absent,
    /// The key still has the value of this commit.
    At(Version),
}

/// Names one intended write, so that a repeat is recognised. The caller puts its own name
/// in front (`operator:anna:…`), so that two callers never meet on one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Takes 1 to [`IDEMPOTENCY_BYTES_MAX`] visible ASCII characters.
    ///
    /// # Errors
    /// [`BadIdempotencyKey`] for anything else.
    pub fn new(text: impl Into<String>) -> Result<Self, BadIdempotencyKey> {
        let text = text.into();
        let good =
            (1..=IDEMPOTENCY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then_some(Self(text)).ok_or(BadIdempotencyKey)
    }

    /// A key nobody else has: `scope`, a colon and 128 random bits in hexadecimal. For
    /// writes that the controller starts by itself and never repeats.
    #[must_use]
    pub fn random(scope: &str) -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the kernel gives random bytes once it has started");
        let scope: String = scope.chars().filter(char::is_ascii_graphic).take(64).collect();
        Self(format!("{scope}:{:032x}", u128::from_be_bytes(bits)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An idempotency key that is empty, too long or not visible ASCII.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("idempotency key must be 1 to {IDEMPOTENCY_BYTES_MAX} visible ASCII characters")]
pub struct BadIdempotencyKey;

/// A write: all of it or none of it.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) idempotency: IdempotencyKey,
    pub(crate) at_ms: u64,
    pub(crate) expect: Vec<(Vec<u8>, Expect)>,
    pub(crate) puts: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) deletes: Vec<Vec<u8>>,
    pub(crate) answer: Vec<u8>,
    /// Set for a batch that fills an empty engine from an export: it may name reserved
    /// keys, is not remembered, and its versions start above this number.
    pub(crate) fills_above: Option<u64>,
}

impl Batch {
    /// An empty batch. `at_ms` is wall time, milliseconds since the Unix epoch, and is
    /// what the age of the idempotency key is counted from.
    #[must_use]
    pub fn new(idempotency: IdempotencyKey, at_ms: u64) -> Self {
        Self { idempotency, at_ms, expect: vec![], puts: vec![], deletes: vec![], answer: vec![], fills_above: None }
    }

    /// Commits only if `key` is as `expect` says.
    #[must_use]
    pub fn expect(mut self, key: impl Into<Vec<u8>>, expect: Expect) -> Self {
        self.expect.push((key.into(), expect));
        self
    }

    /// Sets `key` to `value`.
    #[must_use]
    pub fn put(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.puts.push((key.into(), value.into()));
        self
    }

    /// Removes `key`; a key that is not there is no error.
    #[must_use]
    pub fn delete(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.deletes.push(key.into());
        self
    }

    /// What a repeat of this batch is answered with, up to [`ANSWER_BYTES_MAX`].
    #[must_use]
    pub fn answer(mut self, answer: impl Into<Vec<u8>>) -> Self {
        self.answer = answer.into();
        self
    }

    /// Bytes of the keys and values the batch writes.
    pub(crate) fn bytes(&self) -> usize {
        let puts: usize = self.puts.iter().map(|(key, value)| key.len() + value.len()).sum();
        puts + self.deletes.iter().map(Vec::len).sum::<usize>() + self.answer.len()
    }

    /// Refuses a batch over a bound, with a reserved or twice written key.
    pub(crate) fn check(&self) -> Result<(), CommitError> {
        let ops = self.expect.len() + self.puts.len() + self.deletes.len();
        within("keys in the batch", ops, BATCH_OPS_MAX)?;
        within("bytes in the batch", self.bytes(), BATCH_BYTES_MAX)?;
        within("bytes in the answer", self.answer.len(), ANSWER_BYTES_MAX)?;
        let mut written = BTreeSet::new();
        for key in self.puts.iter().map(|(key, _)| key).chain(&self.deletes) {
            if !written.insert(key) {
                return Err(CommitError::WrittenTwice { key: printable(key) });
            }
        }
        for key in self.expect.iter().map(|(key, _)| key).chain(written) {
            let reserved = key.first().is_none_or(|first| *first == RESERVED);
            if reserved && self.fills_above.is_none() {
                return Err(CommitError::Reserved { key: printable(key) });
            }
            within("bytes in a key", key.len(), KEY_BYTES_MAX)?;
        }
        for (key, value) in &self.puts {
            if value.len() > VALUE_BYTES_MAX {
                return Err(CommitError::TooLarge {
                    what: format!("bytes in the value of {}", printable(key)),
                    have: value.len(),
                    max: VALUE_BYTES_MAX,
                });
            }
        }
        Ok(())
    }
}

fn within(what: &str, have: usize, max: usize) -> Result<(), CommitError> {
    let what = what.to_owned();
    (have <= max).then_some(()).ok_or(CommitError::TooLarge { what, have, max })
}

/// A key for people: what is visible ASCII, and the rest escaped.
pub(crate) fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// The answer to a batch that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The version of what was written, now or by the first commit with this key.
    pub version: Version,
    /// The answer the first commit with this key carried.
    pub answer: Vec<u8>,
    /// This was a repeat and nothing was written.
    pub repeated: bool,
}

/// Why a batch was not committed. Nothing of it was written, except after
/// [`CommitError::Failed`] and [`CommitError::Stopped`], where it may turn out to be there
/// after a restart: repeat it with the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else changed a key since it was read; read again and decide again.
    #[error("key {key} is no longer as it was read")]
    Conflict {
        /// The first key that differs.
        key: String,
    },
    /// A bound of this file is exceeded.
    #[error("too large: {have} {what}, the limit is {max}")]
    TooLarge {
        /// What was counted.
        what: String,
        /// How many there are.
        have: usize,
        /// How many there may be.
        max: usize,
    },
    /// The batch writes one key twice.
    #[error("key {key} is written twice in one batch")]
    WrittenTwice {
        /// The key.
        key: String,
    },
    /// The batch names an empty key or one of the engine's own.
    #[error("key {key} belongs to the engine")]
    Reserved {
        /// The key.
        key: String,
    },
    /// The disk is nearly full. Reads go on; writes work again when there is room.
    #[error("disk nearly full: {free_bytes} bytes free, {need_bytes} needed; make room and repeat")]
    NoSpace {
        /// Bytes free for us.
        free_bytes: u64,
        /// Bytes that must be free for a write to be tried.
        need_bytes: u64,
    },
    /// The engine met a fault and takes no writes until the controller is started again,
    /// which it brings about itself.
    #[error("store takes no writes since a fault ({reason}); restart the controller")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The engine is closing.
    #[error("store is closing")]
    Stopped,
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A record does not match its checksum.
    #[error("record {key} is damaged ({what}); restore the store from its newest export")]
    Damaged {
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// The engine could not read.
    #[error("could not read {key} from the store ({what})")]
    Engine {
        /// The key or prefix that was asked for.
        key: String,
        /// What the engine said.
        what: String,
    },
}

/// Entries of a scan: key and value in key order.
pub type Entries = Vec<(Vec<u8>, Versioned)>;

/// Ordered keys with an atomic conditional batch. See the module's page for the rules that
/// every engine keeps; `suite` is what it is held to.
pub trait Engine: Send + Sync {
    /// The value under `key`, if there is one.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>>;

    /// Up to `limit` entries whose key begins with `prefix` and comes after `after`, in
    /// key order, as one moment saw them. The engine's own keys are never among them.
    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Entries, ReadError>>;

    /// Commits the batch whole and returns when it is durable, or changes nothing. When the
    /// caller goes away while waiting, the batch may still be committed.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>>;

    /// Writes everything, as one moment saw it, as the text of [`super::export`]. Writes
    /// wait meanwhile. `at_ms` is wall time and goes into the first line.
    fn export(
        &self,
        out: Box<dyn Write + Send>,
        at_ms: u64,
    ) -> BoxFuture<'_, Result<super::export::Summary, super::export::ExportError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::new(text).unwrap()
    }

    fn check(batch: Batch, expected: Result<(), &str>) {
        let got = batch.check().map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(str::to_owned));
    }

    #[test]
    fn bounds_of_a_batch() {
        let empty = || Batch::new(key("a"), 0);
        check(empty(), Ok(()));
        check(empty().put("k", vec![0; VALUE_BYTES_MAX]), Ok(()));
        check(
            empty().put("k", vec![0; VALUE_BYTES_MAX + 1]),
            Err("too large: 4097 bytes in the value of k, the limit is 4096"),
        );
        check(empty().put(vec![b'k'; KEY_BYTES_MAX + 1], ""), Err("too large: 257 bytes in a key, the limit is 256"));
        check(empty().put("k", "").delete("k"), Err("key k is written twice in one batch"));
        check(empty().put("\0m", ""), Err("key \\x00m belongs to the engine"));
        check(empty().put("", ""), Err("key  belongs to the engine"));
        check(
            empty().answer(vec![0; ANSWER_BYTES_MAX + 1]),
            Err("too large: 1025 bytes in the answer, the limit is 1024"),
        );
        let many = (0..=BATCH_OPS_MAX).fold(empty(), |b, n| b.delete(n.to_string()));
        check(many, Err("too large: 513 keys in the batch, the limit is 512"));
    }

    #[test]
    fn idempotency_keys() {
        assert!(IdempotencyKey::new("operator:anna:1").is_ok());
        assert_eq!(IdempotencyKey::new(""), Err(BadIdempotencyKey));
        assert_eq!(IdempotencyKey::new("a b"), Err(BadIdempotencyKey));
        assert_eq!(IdempotencyKey::new("x".repeat(129)), Err(BadIdempotencyKey));
        assert_ne!(IdempotencyKey::random("probe"), IdempotencyKey::random("probe"));
    }
}
