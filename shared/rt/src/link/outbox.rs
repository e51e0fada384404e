//! The durable outbox: events on disk until the receiver has stored them.
//!
//! Append-only segment files of CRC-checked records (`journal`) in one folder. [`Outbox::append`] writes,
//! [`Outbox::commit`] makes everything appended so far durable with one sync, [`Outbox::acknowledge`]
//! forgets one event. Ids only ever grow, over restarts and damaged journals too: they are reserved in
//! blocks in a file of their own before the first of a block is used. The outbox is bounded in bytes and
//! count: the oldest go first and are counted.
//!
//! After a crash an acknowledged event may come back, never the reverse: receivers drop duplicates.
//! Sending is the courier's job. One process owns the folder. Blocking file IO: not for an async task.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::journal::{self, HEADER_BYTES, RECORD_PAYLOAD_MAX};
use crate::atomic_file::{self, FileError};

/// How many ids one write of the reservation covers.
const ID_BLOCK: u64 = 1_024;
const IDS_FILE: &str = "ids";
const SEGMENT_SUFFIX: &str = ".journal";

/// Bounds of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// The most bytes on disk; memory stays below it too. At least 1 MiB is sensible.
    pub bytes_max: u64,
    /// The most events kept.
    pub count_max: usize,
}

impl Default for OutboxLimits {
    /// 16 MiB or 20,000 events: two weeks of a node that changes source every minute.
    fn default() -> Self {
        Self { bytes_max: 16 << 20, count_max: 20_000 }
    }
}

/// Why the outbox could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A file operation failed.
    #[error("outbox: cannot {doing} {}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The reservation of ids cannot be written.
    #[error("outbox: cannot reserve event ids")]
    Ids(#[source] FileError),
    /// The event does not fit a message.
    #[error("outbox: event of {bytes} bytes, the limit is {RECORD_PAYLOAD_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// What opening found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Events that wait for their acknowledgement.
    pub pending: usize,
    /// Bytes at the end of journals that were no whole record.
    pub torn_bytes: u64,
}

/// One journal file: every id from `first` up to the next segment's first.
#[derive(Debug)]
struct Segment {
    first: u64,
    path: PathBuf,
    bytes: u64,
}

/// Events that wait for the receiver's acknowledgement.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    limits: OutboxLimits,
    pending: BTreeMap<u64, Bytes>,
    /// Oldest first; never empty, the last is the one written.
    segments: VecDeque<Segment>,
    file: File,
    next_id: u64,
    reserved: u64,
    dropped: u64,
}

impl Outbox {
    /// Opens or creates the outbox in `folder`, dropping torn tails.
    ///
    /// # Errors
    /// [`OutboxError::Io`] when the folder or a file cannot be read or written.
    pub fn open(folder: &Path, limits: OutboxLimits) -> Result<(Self, Recovery), OutboxError> {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        let (mut recovery, mut pending, mut segments) = (Recovery::default(), BTreeMap::new(), VecDeque::new());
        for path in segment_paths(folder)? {
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            let (records, used) = journal::scan(&bytes);
            recovery.torn_bytes += (bytes.len() - used) as u64;
            let Some(first) = records.first().map(|record| record.id) else {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                continue;
            };
            pending.extend(records.iter().map(|record| (record.id, Bytes::copy_from_slice(record.payload))));
            segments.push_back(Segment { first, path, bytes: used as u64 });
        }
        recovery.pending = pending.len();
        let after_last = pending.last_key_value().map_or(1, |(id, _)| id + 1);
        // Without its reservation a journal may have lost at most one block of used ids.
        let next_id = read_reservation(folder).map_or(after_last + ID_BLOCK, |reserved| reserved.max(after_last));
        // Never written behind a torn tail: a new segment for each start.
        let (file, active) = new_segment(folder, next_id)?;
        segments.push_back(active);
        let reserved = next_id;
        Ok((
            Self { folder: folder.to_owned(), limits, pending, segments, file, next_id, reserved, dropped: 0 },
            recovery,
        ))
    }

    /// Writes one event, made by `make` from its id. It is not durable before [`Self::commit`].
    ///
    /// # Errors
    /// [`OutboxError::TooLarge`], or [`OutboxError::Io`] when the disk does not take it; the event is then
    /// counted as dropped and nothing of it stays.
    pub fn append(&mut self, make: impl FnOnce(u64) -> Vec<u8>) -> Result<u64, OutboxError> {
        let outcome = self.try_append(make);
        self.dropped += u64::from(outcome.is_err());
        outcome
    }

    fn try_append(&mut self, make: impl FnOnce(u64) -> Vec<u8>) -> Result<u64, OutboxError> {
        if self.next_id >= self.reserved {
            write_reservation(&self.folder, self.next_id + ID_BLOCK)?;
            self.reserved = self.next_id + ID_BLOCK;
        }
        let id = self.next_id;
        let payload = make(id);
        let mut record = Vec::with_capacity(HEADER_BYTES + payload.len());
        journal::pack(id, &payload, &mut record).ok_or(OutboxError::TooLarge { bytes: payload.len() })?;
        self.make_room(record.len() as u64)?;
        let active = self.segments.back_mut().expect("an outbox always has its active segment");
        if let Err(source) = self.file.write_all(&record) {
            // Half a record in the middle would hide all that follow it.
            let _ = self.file.set_len(active.bytes);
            return Err(OutboxError::Io { doing: "write", path: active.path.clone(), source });
        }
        active.bytes += record.len() as u64;
        self.next_id = id + 1;
        self.pending.insert(id, payload.into());
        Ok(id)
    }

    /// Makes everything appended so far durable (`fdatasync`).
    ///
    /// # Errors
    /// [`OutboxError::Io`]; the events stay pending in memory.
    pub fn commit(&self) -> Result<(), OutboxError> {
        let path = &self.segments.back().expect("an outbox always has its active segment").path;
        self.file.sync_data().map_err(failed("sync", path))
    }

    /// Forgets one event that the receiver has stored; whether it was waiting. Exactly this one: a broker
    /// that restarts may have lost earlier ones while it delivered this.
    pub fn acknowledge(&mut self, id: u64) -> bool {
        let known = self.pending.remove(&id).is_some();
        if known {
            self.compact();
        }
        known
    }

    /// The events that wait, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.pending.iter().map(|(id, payload)| (*id, payload))
    }

    /// Takes the count of events lost since the last call: pushed out by newer ones or refused by the disk.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Drops the oldest until one more record fits, and starts a new segment when the active one is full.
    fn make_room(&mut self, record_bytes: u64) -> Result<(), OutboxError> {
        let segment_bytes = (self.limits.bytes_max / 16).max(4_096);
        if self.segments.back().is_some_and(|active| active.bytes > 0 && active.bytes + record_bytes > segment_bytes) {
            self.commit()?;
            let (file, active) = new_segment(&self.folder, self.next_id)?;
            self.file = file;
            self.segments.push_back(active);
        }
        while self.pending.len() >= self.limits.count_max.max(1) {
            self.pending.pop_first();
            self.dropped += 1;
        }
        self.compact();
        while self.segments.len() > 1 && self.disk_bytes() + record_bytes > self.limits.bytes_max {
            let kept = self.pending.split_off(&self.segments[1].first);
            self.dropped += self.pending.len() as u64;
            self.pending = kept;
            self.compact();
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Removes every old segment that holds nothing pending, and empties the active one when all is done.
    /// A removal that fails costs duplicates after a restart, nothing else.
    fn compact(&mut self) {
        let mut ends: Vec<u64> = self.segments.iter().skip(1).map(|segment| segment.first).collect();
        ends.push(self.next_id);
        let pending = &self.pending;
        let mut ends = ends.into_iter();
        let active = self.segments.back().map(|segment| segment.first);
        self.segments.retain(|segment| {
            let end = ends.next().unwrap_or(segment.first);
            let alive = pending.range(segment.first..end.max(segment.first)).next().is_some();
            let keep = alive || Some(segment.first) == active;
            if !keep {
                let _ = fs::remove_file(&segment.path);
            }
            keep
        });
        if self.pending.is_empty()
            && let Some(active) = self.segments.back_mut()
            && active.bytes > 0
            && self.file.set_len(0).is_ok()
        {
            active.bytes = 0;
        }
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OutboxError + use<'a> {
    move |source| OutboxError::Io { doing, path: path.to_owned(), source }
}

/// The journals of a folder, oldest first (the name is the first id, zero padded).
fn segment_paths(folder: &Path) -> Result<Vec<PathBuf>, OutboxError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SEGMENT_SUFFIX)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Creates a segment (append mode, so that emptying it needs no seek) and makes its name durable.
fn new_segment(folder: &Path, first: u64) -> Result<(File, Segment), OutboxError> {
    let path = folder.join(format!("{first:020}{SEGMENT_SUFFIX}"));
    let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed("create", &path))?;
    file.set_len(0).map_err(failed("empty", &path))?;
    sync_folder(folder)?;
    Ok((file, Segment { first, path, bytes: 0 }))
}

fn sync_folder(folder: &Path) -> Result<(), OutboxError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

/// The first id that no life of this outbox has used; none when the file is missing or damaged.
fn read_reservation(folder: &Path) -> Option<u64> {
    let bytes = fs::read(folder.join(IDS_FILE)).ok()?;
    let (id, crc) = bytes.split_first_chunk::<8>()?;
    (crc == crc32c::crc32c(id).to_le_bytes()).then(|| u64::from_le_bytes(*id))
}

fn write_reservation(folder: &Path, id: u64) -> Result<(), OutboxError> {
    let (path, id) = (folder.join(IDS_FILE), id.to_le_bytes());
    let bytes = [id.as_slice(), &crc32c::crc32c(&id).to_le_bytes()].concat();
    atomic_file::write(&path, &bytes, 0o600).map_err(OutboxError::Ids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: OutboxLimits = OutboxLimits { bytes_max: 64 << 10, count_max: 1_000 };

    fn payload(id: u64, size: usize) -> Vec<u8> {
        let mut bytes = format!("event {id} ").into_bytes();
        bytes.resize(bytes.len() + size, b'x');
        bytes
    }

    fn ids(outbox: &Outbox) -> Vec<u64> {
        outbox.pending().map(|(id, _)| id).collect()
    }

    #[test]
    fn events_survive_a_restart_until_each_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(folder.path(), SMALL).unwrap();
        let sent: Vec<u64> = (0..3).map(|_| outbox.append(|id| payload(id, 10)).unwrap()).collect();
        outbox.commit().unwrap();
        // The middle one alone is not proof of the first.
        assert!(outbox.acknowledge(sent[1]));
        drop(outbox);
        let (mut outbox, recovery) = Outbox::open(folder.path(), SMALL).unwrap();
        assert_eq!((recovery.pending, recovery.torn_bytes), (3, 0), "a partly acknowledged segment comes back whole");
        for id in sent {
            assert!(outbox.acknowledge(id));
        }
        drop(outbox);
        assert_eq!(Outbox::open(folder.path(), SMALL).unwrap().1, Recovery::default());
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let limits = OutboxLimits { bytes_max: 64 << 10, count_max: 3 };
        let (mut outbox, _) = Outbox::open(folder.path(), limits).unwrap();
        let sent: Vec<u64> = (0..5).map(|_| outbox.append(|id| payload(id, 10)).unwrap()).collect();
        assert_eq!(ids(&outbox), sent[2..]);
        assert_eq!((outbox.take_dropped(), outbox.take_dropped()), (2, 0));
    }

    #[test]
    fn the_disk_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(folder.path(), SMALL).unwrap();
        for _ in 0..600 {
            outbox.append(|id| payload(id, 500)).unwrap();
        }
        let on_disk: u64 = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert!(on_disk <= SMALL.bytes_max + 100, "{on_disk}");
        assert_eq!(outbox.take_dropped() + ids(&outbox).len() as u64, 600);
    }

    #[test]
    fn too_large_an_event_is_refused_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(folder.path(), SMALL).unwrap();
        let error = outbox.append(|_| vec![0; RECORD_PAYLOAD_MAX + 1]).unwrap_err();
        assert!(error.to_string().contains("the limit is"), "{error}");
        assert_eq!(outbox.take_dropped(), 1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append(usize),
        Commit,
        Acknowledge(prop::sample::Index),
        /// Kill: reopen with this many bytes cut from the newest journal's end.
        Restart(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0_usize..900).prop_map(Step::Append),
            2 => Just(Step::Commit),
            3 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
            1 => (0_usize..2_000).prop_map(Step::Restart),
        ]
    }

    /// Every event ever appended, and which are surely durable and not acknowledged.
    #[derive(Default)]
    struct Model {
        all: BTreeMap<u64, Vec<u8>>,
        owed: BTreeMap<u64, Vec<u8>>,
        fresh: BTreeMap<u64, Vec<u8>>,
    }

    /// Cuts the newest journal and returns the ids whose bytes were touched.
    fn tear(folder: &Path, cut: usize) -> Vec<u64> {
        let path = segment_paths(folder).unwrap().pop().unwrap();
        let bytes = fs::read(&path).unwrap();
        let kept = bytes.len().saturating_sub(cut);
        fs::write(&path, &bytes[..kept]).unwrap();
        let whole = journal::scan(&bytes[..kept]).0.len();
        journal::scan(&bytes).0.iter().skip(whole).map(|record| record.id).collect()
    }

    fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(folder.path(), SMALL).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(size) => {
                    let id = outbox.append(|id| payload(id, size)).unwrap();
                    let newest = model.all.last_key_value().map_or(0, |(id, _)| *id);
                    prop_assert!(id > newest, "id {} after {}", id, newest);
                    model.all.insert(id, payload(id, size));
                    model.fresh.insert(id, payload(id, size));
                }
                Step::Commit => {
                    outbox.commit().unwrap();
                    model.owed.append(&mut model.fresh);
                }
                Step::Acknowledge(which) if !model.owed.is_empty() => {
                    let id = *model.owed.keys().nth(which.index(model.owed.len())).unwrap();
                    outbox.acknowledge(id);
                    model.owed.remove(&id);
                }
                Step::Acknowledge(_) => {}
                Step::Restart(cut) => {
                    drop(outbox);
                    for id in tear(folder.path(), cut) {
                        model.owed.remove(&id);
                    }
                    model.fresh.clear();
                    outbox = Outbox::open(folder.path(), SMALL).unwrap().0;
                }
            }
            // What was pushed out by the bound is no longer owed.
            let oldest = outbox.pending().next().map_or(u64::MAX, |(id, _)| id);
            if outbox.take_dropped() > 0 {
                model.owed = model.owed.split_off(&oldest);
            }
            for (id, bytes) in outbox.pending() {
                prop_assert_eq!(Some(bytes.as_ref()), model.all.get(&id).map(Vec::as_slice), "event {}", id);
            }
            let kept = ids(&outbox);
            prop_assert!(model.owed.keys().all(|id| kept.contains(id)), "owed {:?}, kept {kept:?}", model.owed.keys());
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn nothing_durable_is_lost_and_no_id_returns(steps in prop::collection::vec(step(), 1..120)) {
            play(steps)?;
        }
    }
}
