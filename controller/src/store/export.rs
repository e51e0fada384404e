//! The portable text of a whole store: the backup, and the way from one engine to another.
//!
//! JSON lines. The first names the format, the time and the newest commit; then one line
//! per record in key order; the last holds the number of records and the CRC32C of every
//! byte before it, so that a text cut short or changed is refused before any of it is used.
//! A value is its first byte (the record version of the table) and the rest as text, or
//! base64 where it is no UTF-8. Nothing is decrypted or added here: sealed content-key
//! roots stay sealed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::engine::{Batch, CommitError, Engine, IdempotencyKey, KEY_BYTES_MAX, ReadError, VALUE_BYTES_MAX};

/// The format this release writes and reads.
pub const FORMAT: u32 = 1;
/// The longest line: a value and a key, every byte escaped, and the names of the fields.
const LINE_BYTES_MAX: usize = 6 * (VALUE_BYTES_MAX + KEY_BYTES_MAX) + 256;
/// Records per batch when an engine is filled.
const FILL_RECORDS: usize = 200;

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// When it was made, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The newest commit in it.
    pub commit: u64,
    /// Number of records.
    pub records: u64,
}

/// Why an export was not written, read or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The text could not be written.
    #[error("could not write the export")]
    Write(#[source] io::Error),
    /// The text could not be read.
    #[error("could not read the export")]
    Read(#[source] io::Error),
    /// A file could not be opened, made or renamed.
    #[error("could not open, make or rename {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The text is not an export, or was cut short or changed.
    #[error("export is damaged at line {line} ({what}); take another export")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The export was made by another release.
    #[error("export has format {format}, this release reads {FORMAT}")]
    Format {
        /// The format found.
        format: u32,
    },
    /// The engine to be filled holds records already.
    #[error("the store to be filled is not empty; import into an empty store")]
    NotEmpty,
    /// The engine could not be read.
    #[error("could not read the store for the export")]
    Store(#[from] ReadError),
    /// The engine refused a record.
    #[error("the store refused a record of the export")]
    Refused(#[source] CommitError),
    /// The engine is closing.
    #[error("store is closing")]
    Stopped,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    headend_export: u32,
    at_ms: u64,
    commit: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    records: u64,
    crc32c: String,
}

/// Writes an export, record by record.
pub(crate) struct Writer {
    out: BufWriter<Box<dyn Write + Send>>,
    crc: u32,
    summary: Summary,
}

impl Writer {
    /// Begins the text.
    pub(crate) fn new(out: Box<dyn Write + Send>, at_ms: u64, commit: u64) -> Result<Self, ExportError> {
        let summary = Summary { at_ms, commit, records: 0 };
        let mut writer = Self { out: BufWriter::with_capacity(1 << 16, out), crc: 0, summary };
        writer.line(&Head { headend_export: FORMAT, at_ms, commit })?;
        Ok(writer)
    }

    /// Writes the next record.
    pub(crate) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ExportError> {
        let (key, key_base64) = text_or_base64(key);
        let (version, rest) = match value.split_first() {
            Some((version, rest)) => (Some(*version), rest),
            None => (None, value),
        };
        let (text, base64) = text_or_base64(rest);
        self.summary.records += 1;
        self.line(&Line { key, key_base64, version, text, base64 })
    }

    /// Writes the last line and hands everything to the file below.
    pub(crate) fn finish(mut self) -> Result<Summary, ExportError> {
        let crc32c = format!("{:08x}", self.crc);
        self.line(&Tail { records: self.summary.records, crc32c })?;
        self.out.flush().map_err(ExportError::Write)?;
        Ok(self.summary)
    }

    fn line(&mut self, content: &impl Serialize) -> Result<(), ExportError> {
        let mut text = serde_json::to_vec(content).map_err(|error| ExportError::Write(io::Error::other(error)))?;
        text.push(b'\n');
        self.crc = crc32c::crc32c_append(self.crc, &text);
        self.out.write_all(&text).map_err(ExportError::Write)
    }
}

fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

impl Line {
    /// Key and value as the engine has them.
    fn bytes(self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let key = either(self.key, self.key_base64).map_err(|what| format!("key: {what}"))?;
        let rest = either(self.text, self.base64).map_err(|what| format!("value: {what}"))?;
        let value: Vec<u8> = self.version.into_iter().chain(rest).collect();
        if key.is_empty() || key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(format!("key of {} and value of {} bytes", key.len(), value.len()));
        }
        Ok((key, value))
    }
}

fn either(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(coded)) => STANDARD.decode(coded).map_err(|error| error.to_string()),
        _ => Err("needs text or base64, one of them".to_owned()),
    }
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Reads an export record by record. Memory is bounded by the longest line allowed. What
/// was given must be thrown away when an error follows: that the text is whole is known at
/// its last line only.
pub struct Reader<R> {
    lines: Lines<R>,
    summary: Summary,
    last_key: Vec<u8>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`ExportError::Damaged`], [`ExportError::Format`] or [`ExportError::Read`].
    pub fn new(source: R) -> Result<Self, ExportError> {
        let mut lines = Lines { source: BufReader::new(source), number: 0, crc: 0 };
        let first = lines.next()?;
        let head: Head = lines.parse(&first)?;
        if head.headend_export != FORMAT {
            return Err(ExportError::Format { format: head.headend_export });
        }
        let summary = Summary { at_ms: head.at_ms, commit: head.commit, records: 0 };
        Ok(Self { lines, summary, last_key: vec![], ended: false })
    }

    /// The next key and value; none once the last line was read and found to match.
    ///
    /// # Errors
    /// [`ExportError::Damaged`] or [`ExportError::Read`].
    pub fn next_record(&mut self) -> Result<Option<Pair>, ExportError> {
        if self.ended {
            return Ok(None);
        }
        let crc32c = format!("{:08x}", self.lines.crc);
        let line = self.lines.next()?;
        // A record's line has other fields than the last one, so it never parses as it.
        if let Ok(tail) = serde_json::from_slice::<Tail>(&line) {
            if (tail.records, tail.crc32c) != (self.summary.records, crc32c) {
                return Err(self.lines.damaged("checksum or number of records does not match"));
            }
            self.ended = true;
            return self.lines.end().map(|()| None);
        }
        let record: Line = self.lines.parse(&line)?;
        let (key, value) = record.bytes().map_err(|what| self.lines.damaged(what))?;
        if key <= self.last_key {
            return Err(self.lines.damaged("keys are out of order"));
        }
        self.last_key.clone_from(&key);
        self.summary.records += 1;
        Ok(Some((key, value)))
    }

    /// What was read so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }
}

/// Lines of bounded length, with the checksum over those read.
struct Lines<R> {
    source: BufReader<R>,
    number: u64,
    crc: u32,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Result<Vec<u8>, ExportError> {
        self.number += 1;
        let mut line = vec![];
        let mut bounded = (&mut self.source).take(LINE_BYTES_MAX as u64);
        bounded.read_until(b'\n', &mut line).map_err(ExportError::Read)?;
        if line.last() != Some(&b'\n') {
            return Err(self.damaged("cut short, or a line is too long"));
        }
        self.crc = crc32c::crc32c_append(self.crc, &line);
        Ok(line)
    }

    fn parse<'l, T: Deserialize<'l>>(&self, line: &'l [u8]) -> Result<T, ExportError> {
        serde_json::from_slice(line).map_err(|error| self.damaged(error.to_string()))
    }

    fn end(&mut self) -> Result<(), ExportError> {
        match self.source.fill_buf().map_err(ExportError::Read)? {
            [] => Ok(()),
            _ => Err(self.damaged("text goes on after the last line")),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> ExportError {
        ExportError::Damaged { line: self.number, what: what.into() }
    }
}

/// Reads an export to its end and says what it holds.
///
/// # Errors
/// As [`Reader::new`] and [`Reader::next_record`].
pub fn verify(source: impl Read) -> Result<Summary, ExportError> {
    let mut reader = Reader::new(source)?;
    while reader.next_record()?.is_some() {}
    Ok(reader.summary())
}

pub(crate) fn open(path: &Path) -> Result<File, ExportError> {
    File::open(path).map_err(|source| ExportError::Open { path: path.to_owned(), source })
}

/// The number that versions of a store filled from an export of `commit` start above: far
/// enough that no version given out after the export was made comes again.
pub(crate) fn floor_above(commit: u64) -> u64 {
    ((commit >> 32) + 1) << 32
}

/// Fills an empty engine from an export, after the whole text was found good. For the sled
/// engine use `sled::restore`, which puts the filled store in place in one step; this one
/// may leave a part when the engine fails under it.
///
/// # Errors
/// As [`verify`], [`ExportError::NotEmpty`], [`ExportError::Refused`].
pub async fn import(engine: &dyn Engine, mut source: impl Read + Seek) -> Result<Summary, ExportError> {
    let summary = verify(&mut source)?;
    if !engine.scan(b"", None, 1).await?.is_empty() {
        return Err(ExportError::NotEmpty);
    }
    source.rewind().map_err(ExportError::Read)?;
    let mut reader = Reader::new(source)?;
    loop {
        let mut batch = Batch::new(IdempotencyKey::random("import"), summary.at_ms);
        batch.fills_above = Some(floor_above(summary.commit));
        while batch.puts.len() < FILL_RECORDS
            && let Some(record) = reader.next_record()?
        {
            batch.puts.push(record);
        }
        if batch.puts.is_empty() {
            return Ok(summary);
        }
        engine.commit(batch).await.map_err(ExportError::Refused)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written<'a>(records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
        let out = Shared::default();
        let mut writer = Writer::new(Box::new(out.clone()), 5, 9).unwrap();
        for (key, value) in records {
            writer.record(key, value).unwrap();
        }
        writer.finish().unwrap();
        out.0.lock().unwrap().clone()
    }

    fn all(text: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ExportError> {
        let mut reader = Reader::new(text)?;
        let mut found = BTreeMap::new();
        while let Some((key, value)) = reader.next_record()? {
            found.insert(key, value);
        }
        Ok(found)
    }

    #[test]
    fn the_text_is_readable() {
        let text = written([(&b"a/1"[..], &b"\x01{\"x\":1}"[..]), (b"b", b""), (b"c", b"\x02\xFF")]);
        let expected = concat!(
            "{\"headend_export\":1,\"at_ms\":5,\"commit\":9}\n",
            "{\"key\":\"a/1\",\"version\":1,\"text\":\"{\\\"x\\\":1}\"}\n",
            "{\"key\":\"b\",\"text\":\"\"}\n",
            "{\"key\":\"c\",\"version\":2,\"base64\":\"/w==\"}\n",
        );
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.strip_suffix("\n").unwrap().rsplit_once('\n').unwrap().0, expected.trim());
    }

    fn check(text: &[u8], expected: &str) {
        assert_eq!(all(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let text = written([(&b"a"[..], &b"\x01one"[..]), (b"b", b"\x01two")]);
        check(b"", "export is damaged at line 1 (cut short, or a line is too long); take another export");
        let cut = &text[..text.len() - 3];
        check(cut, "export is damaged at line 4 (cut short, or a line is too long); take another export");
        let changed = String::from_utf8(text.clone()).unwrap().replace("two", "twe");
        check(
            changed.as_bytes(),
            "export is damaged at line 4 (checksum or number of records does not match); take another export",
        );
        let longer = [&text[..], b"x"].concat();
        check(&longer, "export is damaged at line 4 (text goes on after the last line); take another export");
        check(b"{\"headend_export\":2,\"at_ms\":0,\"commit\":0}\n", "export has format 2, this release reads 1");
        let endless = vec![b'x'; 2 * LINE_BYTES_MAX];
        check(&endless, "export is damaged at line 1 (cut short, or a line is too long); take another export");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            records in prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 1..40),
                prop::collection::vec(any::<u8>(), 0..80),
                0..12,
            ),
            place: prop::sample::Index,
            bit in 0..8_u32,
        ) {
            let mut text = written(records.iter().map(|(k, v)| (&k[..], &v[..])));
            prop_assert_eq!(&all(&text).unwrap(), &records);
            // One flipped bit is an error, or at the worst a spelling of the same records
            // (the last line is not under its own checksum).
            let place = place.index(text.len());
            text[place] ^= 1_u8 << bit;
            if let Ok(read) = all(&text) {
                prop_assert_eq!(read, records);
            }
        }

        #[test]
        fn any_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let head = b"{\"headend_export\":1,\"at_ms\":5,\"commit\":9}\n";
            prop_assert!(all(&[&head[..], &text].concat()).is_err());
        }
    }
}
