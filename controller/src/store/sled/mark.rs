//! The mark: a small file that says which commit was acknowledged last, and the sum over
//! all records then. A database that is behind its mark lost acknowledged writes.
//!
//! Two slots are written in turn, each with its checksum and in its own disk block, so
//! that a write cut short by a power failure leaves the one before. A cut write was never
//! acknowledged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::super::record::Tally;

const SLOT_BYTES: u64 = 4096;
const TALLY_BYTES: usize = 24;

/// The open mark file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    next_slot: u64,
}

impl Mark {
    /// Makes the file with `tally` in it, durable but for its directory entry.
    pub(super) fn create(path: &Path, tally: Tally) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        file.set_len(2 * SLOT_BYTES)?;
        let mut mark = Self { file, next_slot: 0 };
        mark.set(tally)?;
        mark.file.sync_all()?;
        Ok(mark)
    }

    /// Opens the file and reads the newest slot; no tally when both slots are damaged.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Tally>)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let slots = [read_slot(&file, 0), read_slot(&file, 1)];
        let newest = slots.iter().flatten().max_by_key(|tally| tally.commit).copied();
        // The next write goes over the other slot.
        let next_slot = u64::from(slots[0].is_some() && slots[0] == newest);
        Ok((Self { file, next_slot }, newest))
    }

    /// Writes `tally` and returns when it is on disk.
    pub(super) fn set(&mut self, tally: Tally) -> io::Result<()> {
        let mut slot = [0; TALLY_BYTES + 4];
        slot[..TALLY_BYTES].copy_from_slice(&tally.to_bytes());
        let crc = crc32c::crc32c(&slot[..TALLY_BYTES]);
        slot[TALLY_BYTES..].copy_from_slice(&crc.to_be_bytes());
        self.file.write_all_at(&slot, self.next_slot * SLOT_BYTES)?;
        self.file.sync_data()?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

fn read_slot(file: &File, slot: u64) -> Option<Tally> {
    let mut bytes = [0; TALLY_BYTES + 4];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let (tally, crc) = bytes.split_last_chunk::<4>()?;
    let good = crc32c::crc32c(tally) == u32::from_be_bytes(*crc);
    // An unwritten slot is all zeros, and the CRC32C of zeros is not zero.
    good.then(|| Tally::from_bytes(tally)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(commit: u64) -> Tally {
        Tally { commit, records: 2 * commit, sum: 3 * commit }
    }

    #[test]
    fn the_newest_slot_counts_and_a_torn_one_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        drop(Mark::create(&path, tally(1)).unwrap());
        for commit in 2..7 {
            let (mut mark, found) = Mark::open(&path).unwrap();
            assert_eq!(found, Some(tally(commit - 1)));
            mark.set(tally(commit)).unwrap();
        }
        // Commit 6 lies in the second slot, 5 in the first.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"torn", SLOT_BYTES).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, Some(tally(5)));
        file.write_all_at(b"torn", 0).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, None);
    }
}
