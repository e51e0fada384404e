//! A channel's archive: its reels on all disks, its newest segment, its gaps.
//!
//! One disk's thread at a time writes for a channel; any number of requests read. The lock is never held over the disk: a
//! reel is taken out as a copy, changed with its file, and put back. Memory for a channel: 3.5 kB for each day and disk, up
//! to 1,024 gaps of 24 bytes, and up to 64 segments that wait for the index to be read: about 60 kB for five days.

use std::{
    collections::{HashSet, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headend_media::{playlist::SegmentGrid, time::Ticks90k};
use headend_wire::{ChannelName, Dvr};

use super::{
    disk::Disk,
    gap::{Cause, Gap, GapLog},
    line::Stored,
    policy::{Held, Holding, SLICE_SECS},
    reel::{self, Reel, Stretch},
};

const DAY_SECS: u64 = 86_400;

/// A segment may start this much after its cell: twice the longest cell.
const LATE_SECS: u64 = 200;

/// Segments that wait while the index is read.
pub(crate) const BACKLOG_MAX: usize = 64;

/// Segments known to be damaged; more are found again when they are asked for.
const DAMAGED_MAX: usize = 1_024;

/// A channel that nobody wants recorded keeps what it has for so long, seconds, before others may take its room.
const GRACE_SECS: u64 = 600;

/// A segment on its way into the archive.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) vault: Arc<Vault>,
    /// Without its place in the archive, which it gets when it is in.
    pub(crate) stored: Stored,
    /// Its file in the live window.
    pub(crate) live: PathBuf,
}

/// One channel's archive.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) name: ChannelName,
    /// Its folder's name on each disk.
    pub(crate) folder: String,
    state: Mutex<State>,
    gaps: Mutex<GapLog>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dvr: Option<Dvr>,
    /// Unix seconds since when nobody wants it recorded.
    unwanted_since: Option<u64>,
    /// Somebody reads the indexes, or has.
    loading: bool,
    pub(crate) loaded: bool,
    pub(crate) backlog: VecDeque<Job>,
    reels: Vec<Reel>,
    tail: Option<Stored>,
    /// The disk its segments go to, and how many are on their way there.
    pub(crate) on: Option<usize>,
    pub(crate) pending: usize,
    damaged: HashSet<(SegmentGrid, u64)>,
}

impl Vault {
    pub(crate) fn new(name: ChannelName, live_folder: &Path) -> Self {
        let folder = name.as_str().replace('/', "%2F");
        let state = State {
            dvr: None,
            unwanted_since: None,
            loading: false,
            loaded: false,
            backlog: VecDeque::new(),
            reels: vec![],
            tail: None,
            on: None,
            pending: 0,
            damaged: HashSet::new(),
        };
        Self { name, folder, state: Mutex::new(state), gaps: Mutex::new(GapLog::open(live_folder)) }
    }

    pub(crate) fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gaps(&self) -> MutexGuard<'_, GapLog> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants it recorded so from now on, or not at all.
    pub(crate) fn want(&self, dvr: Option<Dvr>, now: u64) {
        let mut state = self.locked();
        state.unwanted_since = if dvr.is_some() { None } else { state.unwanted_since.or(Some(now)) };
        state.dvr = dvr;
    }

    /// Reads what one disk has of it; what was known of that disk is replaced.
    pub(crate) fn load(&self, index: usize, disk: &Disk) -> io::Result<()> {
        let channel = disk.channel(&self.folder);
        let days = reel::days(&channel)?;
        let reels = days.into_iter().map(|day| Reel::read(&channel, index, day)).collect::<io::Result<Vec<_>>>()?;
        reels.iter().for_each(Reel::sweep_all);
        let mut state = self.locked();
        state.reels.retain(|reel| reel.disk != index);
        state.reels.extend(reels);
        state.reels.sort_by_key(|reel| (reel.day, reel.disk));
        let newest =
            state.reels.iter().filter_map(|reel| reel.last.clone()).max_by_key(|last| last.recorded.entry.start);
        let newer =
            |known: &Stored| newest.as_ref().is_none_or(|new| new.recorded.entry.start <= known.recorded.entry.start);
        if !state.tail.as_ref().is_some_and(newer) {
            state.tail = newest;
        }
        Ok(())
    }

    /// Appends what a disk now has, in order. What is not newer than the archive's end is there already, and is passed
    /// over.
    pub(crate) fn commit(&self, index: usize, disk: &Disk, fresh: Vec<Stored>) -> io::Result<()> {
        self.append(index, disk, fresh)?;
        self.gaps().close();
        Ok(())
    }

    /// Whether the archive has that time already.
    pub(crate) fn has(&self, stored: &Stored) -> bool {
        self.locked().tail.as_ref().is_some_and(|tail| follow(Some(tail), stored.clone()).is_none())
    }

    /// Whether the caller is to read the indexes: the first who asks.
    pub(crate) fn begin_load(&self) -> bool {
        !std::mem::replace(&mut self.locked().loading, true)
    }

    /// So many of its segments are on their way no more.
    pub(crate) fn settle(&self, count: usize) {
        let mut state = self.locked();
        state.pending = state.pending.saturating_sub(count);
    }

    fn append(&self, index: usize, disk: &Disk, fresh: Vec<Stored>) -> io::Result<()> {
        let mut fresh = fresh.into_iter().peekable();
        while let Some(first) = fresh.peek() {
            let day = first.cell_secs() / DAY_SECS;
            let (mut tail, known) = {
                let state = self.locked();
                let known = state.reels.iter().find(|reel| (reel.day, reel.disk) == (day, index)).cloned();
                (state.tail.clone(), known)
            };
            let mut reel = match known {
                Some(reel) => reel,
                // Nearly always new; what the disk has nevertheless is not to be lost.
                None => Reel::read(&disk.channel(&self.folder), index, day)?,
            };
            let mut lines = vec![];
            while let Some(next) = fresh.next_if(|next| next.cell_secs() / DAY_SECS == day) {
                let Some(stored) = follow(tail.as_ref(), next) else { continue };
                tail = Some(stored.clone());
                lines.push(stored);
            }
            if lines.is_empty() {
                continue;
            }
            reel.append(&lines)?;
            self.put(reel, tail);
        }
        Ok(())
    }

    /// Deletes slices on a disk: starts in Unix seconds, oldest first.
    pub(crate) fn forget(&self, index: usize, slices: &[u64]) -> io::Result<()> {
        for run in slices.chunk_by(|one, next| one + SLICE_SECS == *next && one / DAY_SECS == next / DAY_SECS) {
            let (from, until) = (run[0], run[run.len() - 1] + SLICE_SECS);
            let known =
                self.locked().reels.iter().find(|reel| (reel.day, reel.disk) == (from / DAY_SECS, index)).cloned();
            let Some(mut reel) = known else { continue };
            reel.forget(from, until)?;
            self.put(reel, None);
        }
        Ok(())
    }

    fn put(&self, reel: Reel, tail: Option<Stored>) {
        let mut state = self.locked();
        if tail.is_some() {
            state.tail = tail;
        }
        let at = state.reels.iter().position(|known| (known.day, known.disk) == (reel.day, reel.disk));
        match at {
            Some(at) if reel.slices().next().is_none() => drop(state.reels.remove(at)),
            Some(at) => state.reels[at] = reel,
            None => {
                state.reels.push(reel);
                state.reels.sort_by_key(|reel| (reel.day, reel.disk));
            }
        }
    }

    /// A segment did not get in; whether that begins a gap.
    pub(crate) fn missed(&self, stored: &Stored, cause: Cause) -> bool {
        let entry = &stored.recorded.entry;
        self.note((entry.start.as_millis(), entry.end().as_millis()), cause)
    }

    pub(crate) fn note(&self, span: (i64, i64), cause: Cause) -> bool {
        self.gaps().note(span, cause)
    }

    /// A file does not read back as it was written: it is listed no more.
    pub(crate) fn damaged(&self, stored: &Stored) {
        let mut state = self.locked();
        if state.damaged.len() < DAMAGED_MAX {
            state.damaged.insert((stored.recorded.grid, stored.recorded.entry.number));
        }
        drop(state);
        self.missed(stored, Cause::Damaged);
    }

    /// The segments between two instants, with the one that holds `from`, oldest first, and where they lie. Blocking.
    pub(crate) fn select(
        &self,
        disks: &[Arc<Disk>],
        from: Ticks90k,
        until: Ticks90k,
    ) -> io::Result<Vec<(Stored, usize)>> {
        let secs = |at: Ticks90k| u64::try_from(at.as_secs()).unwrap_or(0);
        let (first, last) = (secs(from).saturating_sub(LATE_SECS), secs(until).saturating_add(1));
        let mut found = self.read(disks, first, last)?;
        found.retain(|(stored, _)| stored.recorded.entry.end() > from && stored.recorded.entry.start < until);
        found.sort_by_key(|(stored, _)| stored.recorded.entry.start);
        found.dedup_by_key(|(stored, _)| (stored.recorded.grid, stored.recorded.entry.number));
        Ok(found)
    }

    /// A segment by its name. Blocking.
    pub(crate) fn find(
        &self,
        disks: &[Arc<Disk>],
        grid: SegmentGrid,
        number: u64,
    ) -> io::Result<Option<(Stored, usize)>> {
        let cell = super::line::cell_secs(grid, number);
        let found = self.read(disks, cell, cell + 1)?;
        let named =
            |(stored, _): &(Stored, usize)| (stored.recorded.grid, stored.recorded.entry.number) == (grid, number);
        Ok(found.into_iter().find(named))
    }

    fn read(&self, disks: &[Arc<Disk>], from: u64, until: u64) -> io::Result<Vec<(Stored, usize)>> {
        let (reels, damaged) = {
            let state = self.locked();
            let touched = |reel: &&Reel| reel.day >= from / DAY_SECS && reel.day <= until / DAY_SECS;
            let reels: Vec<Reel> = state.reels.iter().filter(touched).cloned().collect();
            (reels, state.damaged.clone())
        };
        let mut found = vec![];
        for reel in reels.iter().filter(|reel| disks.get(reel.disk).is_some_and(|disk| disk.readable())) {
            let selected = match reel.select(from, until) {
                Ok(selected) => selected,
                // It was deleted, or its disk taken away, between the look and the read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let good = |stored: &Stored| !damaged.contains(&(stored.recorded.grid, stored.recorded.entry.number));
            found.extend(selected.into_iter().filter(good).map(|stored| (stored, reel.disk)));
        }
        Ok(found)
    }

    /// What is recorded without a hole, oldest first, on disks that can be read.
    pub(crate) fn stretches(&self, disks: &[Arc<Disk>]) -> Vec<Stretch> {
        let state = self.locked();
        let there = state.reels.iter().filter(|reel| disks.get(reel.disk).is_some_and(|disk| disk.readable()));
        let mut all: Vec<Stretch> = there.flat_map(|reel| reel.stretches.iter().copied()).collect();
        drop(state);
        all.sort_by_key(|stretch| stretch.from_ms);
        let mut joined: Vec<Stretch> = vec![];
        for stretch in all {
            match joined.last_mut().filter(|last| stretch.from_ms <= last.to_ms + 1) {
                Some(last) => last.to_ms = last.to_ms.max(stretch.to_ms),
                None => joined.push(stretch),
            }
        }
        joined
    }

    /// The holes between what is recorded, and what is missing since, with their causes.
    pub(crate) fn holes(&self, stretches: &[Stretch], now_ms: i64) -> Vec<Gap> {
        let wanted = self.locked().dvr.is_some();
        let gaps = self.gaps();
        let between = stretches.windows(2).flat_map(|pair| gaps.explain(pair[0].to_ms, pair[1].from_ms));
        let mut holes: Vec<Gap> = between.collect();
        // With the disk away nothing is known to be recorded; what was noted is known all the same.
        let last = stretches.last().map(|last| last.to_ms).or_else(|| gaps.first());
        holes.extend(last.filter(|_| wanted).map(|last| gaps.since(last, now_ms)).unwrap_or_default());
        holes
    }

    /// Lengths of key periods that its segments were encrypted in, seconds.
    pub(crate) fn periods(&self) -> Vec<u32> {
        let state = self.locked();
        let mut periods: Vec<u32> = state.reels.iter().flat_map(|reel| reel.periods.iter().copied()).collect();
        periods.sort_unstable();
        periods.dedup();
        periods
    }

    /// When its oldest segment starts, Unix seconds.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.locked().reels.iter().filter_map(|reel| reel.slices().next()).map(|(at, _)| at).min()
    }

    /// Bytes of its files, lines of its indexes that do not read back, and its newest segment.
    pub(crate) fn figures(&self) -> (u64, u32, Option<u64>) {
        let state = self.locked();
        let bytes = state.reels.iter().flat_map(Reel::slices).map(|(_, slice)| slice.bytes).sum();
        let damaged = state.reels.iter().map(|reel| reel.damaged).sum();
        (bytes, damaged, state.tail.as_ref().map(|tail| tail.recorded.entry.number))
    }

    /// What the policy looks at.
    pub(crate) fn holding(&self, now: u64) -> Holding {
        let state = self.locked();
        let since = state.unwanted_since.map(|since| now.saturating_sub(since));
        let locks: Vec<(u64, u64)> =
            state.dvr.iter().flat_map(|dvr| &dvr.locks).map(|lock| (lock.from, lock.until)).collect();
        let locked = |at: u64| locks.iter().any(|(from, until)| *from < at + SLICE_SECS + LATE_SECS && *until > at);
        let held = |reel: &Reel| {
            let disk = reel.disk;
            let of = reel.slices().map(move |(at, slice)| (at, slice.bytes, disk));
            of.collect::<Vec<_>>()
        };
        let slices = state.reels.iter().flat_map(held);
        let mut slices: Vec<Held> =
            slices.map(|(at, bytes, disk)| Held { at, bytes, disk, locked: locked(at) }).collect();
        slices.sort_by_key(|slice| slice.at);
        let keep = state.dvr.as_ref().map(|dvr| dvr.keep);
        let unwanted = since.is_some_and(|since| since > GRACE_SECS);
        // A channel that was taken away may come back; after a day it did not.
        let wished = keep.map_or(u64::MAX, |keep| keep.depth_secs.into());
        Holding {
            depth_secs: if since > Some(DAY_SECS) { 0 } else { wished },
            disk_percent: keep.map_or(headend_wire::dvr::DISK_PERCENT_DEFAULT, |keep| keep.disk_percent),
            bytes_max: keep.and_then(|keep| keep.bytes_max),
            unwanted,
            slices,
        }
    }
}

/// Gives a segment its place after the archive's end; `None` when the archive has that time already.
fn follow(tail: Option<&Stored>, mut next: Stored) -> Option<Stored> {
    const SEAM: Ticks90k = Ticks90k::from_millis(1);
    let Some(tail) = tail else {
        next.recorded.ordinal = next.recorded.entry.number;
        next.recorded.discontinuities = 0;
        return Some(next);
    };
    let (end, start) = (tail.recorded.entry.end(), next.recorded.entry.start);
    if start + SEAM < end {
        return None;
    }
    next.recorded.ordinal = tail.recorded.ordinal + 1;
    next.recorded.discontinuities = tail.recorded.discontinuities + u64::from(tail.recorded.entry.discontinuity);
    next.recorded.entry.discontinuity |= start > end + SEAM;
    Some(next)
}
