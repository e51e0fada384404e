//! A reel: what one disk holds of one channel for one UTC day. Its files, its index, and what of it is in memory.
//!
//! The folder is `DISK/CHANNEL/YYYY-MM-DD`, with the file `index` and segments `HH/MMSS-DDDDD.ts`, which is the name that
//! viewers ask for. The index is only ever appended to, a line a segment, and only after the segment is on the disk; so a
//! line that reads back names a file that is there. It is read whole once, at the start. In memory stay 144 slices of ten
//! minutes with their place in the index: 3.5 kB a reel, 18 kB for five days.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use headend_media::time::Ticks90k;
use headend_rt::atomic_file;

use super::{
    line::{LINE_BYTES, Line, Stored, decode, encode},
    policy::SLICE_SECS,
};

const DAY_SECS: u64 = 86_400;
const SLICES: usize = 144;
const INDEX: &str = "index";

/// A day of segments of 1 s has 86,400 lines; twice as many is no index of ours.
const INDEX_BYTES_MAX: u64 = 2 * DAY_SECS * LINE_BYTES as u64;

/// Stretches remembered a reel; beyond it, neighbours are told as one.
const STRETCHES_MAX: usize = 512;

/// Segments closer than this follow each other.
const SEAM: Ticks90k = Ticks90k::from_millis(1);

/// Ten minutes of a reel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Lines of the index between which its lines lie.
    lines: (u32, u32),
    pub(crate) count: u32,
    pub(crate) bytes: u64,
}

/// What was recorded without a hole; Unix milliseconds on the channel's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Start.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
}

/// One channel's day on one disk.
#[derive(Debug, Clone)]
pub(crate) struct Reel {
    pub(crate) disk: usize,
    /// Unix days.
    pub(crate) day: u64,
    folder: PathBuf,
    slices: Vec<Slice>,
    lines: u32,
    /// Lines that do not read back.
    pub(crate) damaged: u32,
    pub(crate) stretches: Vec<Stretch>,
    /// The newest segment.
    pub(crate) last: Option<Stored>,
    /// Lengths of key periods met, seconds; at most 8.
    pub(crate) periods: Vec<u32>,
}

impl Reel {
    /// A reel that has nothing yet, below the channel's folder on a disk.
    pub(crate) fn empty(channel: &Path, disk: usize, day: u64) -> Self {
        let folder = channel.join(day_name(day));
        let slices = vec![Slice::default(); SLICES];
        Self { disk, day, folder, slices, lines: 0, damaged: 0, stretches: vec![], last: None, periods: vec![] }
    }

    /// Reads a reel's index whole.
    pub(crate) fn read(channel: &Path, disk: usize, day: u64) -> io::Result<Self> {
        let mut reel = Self::empty(channel, disk, day);
        let bytes = atomic_file::read(&reel.folder.join(INDEX), INDEX_BYTES_MAX).map_err(io::Error::other)?;
        let (lines, _torn) = bytes.as_deref().unwrap_or_default().as_chunks::<LINE_BYTES>();
        for line in lines {
            match decode(line) {
                Some(Line::Segment(stored)) if reel.place(&stored).is_some() => reel.add(&stored),
                Some(Line::Forgotten { from, until }) => {
                    reel.lines += 1;
                    reel.clear(from, until);
                }
                _ => {
                    reel.lines += 1;
                    reel.damaged += 1;
                }
            }
        }
        Ok(reel)
    }

    /// Where a segment of this reel lies.
    pub(crate) fn path(&self, stored: &Stored) -> Option<PathBuf> {
        segment_path(&self.folder, stored)
    }

    /// Appends lines to the index and remembers them. On failure nothing of it counts.
    pub(crate) fn append(&mut self, fresh: &[Stored]) -> io::Result<()> {
        let lines: Vec<u8> = fresh.iter().flat_map(|stored| encode(&Line::Segment(Box::new(stored.clone())))).collect();
        self.write(&lines)?;
        fresh.iter().for_each(|stored| self.add(stored));
        Ok(())
    }

    /// Strikes a time out of the index and deletes its files; the index first, so that nothing is listed that is gone.
    pub(crate) fn forget(&mut self, from: u64, until: u64) -> io::Result<()> {
        self.write(&encode(&Line::Forgotten { from, until }))?;
        self.lines += 1;
        self.clear(from, until);
        self.sweep(from, until);
        if self.slices.iter().all(|slice| slice.count == 0) && until >= (self.day + 1) * DAY_SECS {
            fs::remove_dir_all(&self.folder)?;
            self.lines = 0;
        }
        Ok(())
    }

    /// Removes files that no line names: a kill came between file and line, or between line and deletion.
    pub(crate) fn sweep_all(&self) {
        for hour in 0..24_usize {
            let from = self.day * DAY_SECS + hour as u64 * 3_600;
            let slices = &self.slices[hour * 6..hour * 6 + 6];
            let newest = self.last.as_ref().is_some_and(|last| last.cell_secs() / 3_600 == from / 3_600);
            if newest || slices.iter().any(|slice| slice.count == 0) {
                self.sweep(from, from + 3_600);
            }
        }
    }

    /// The segments whose cells start in these seconds, in the order of the index; damaged lines are passed over.
    pub(crate) fn select(&self, from: u64, until: u64) -> io::Result<Vec<Stored>> {
        let touched = || self.touched(from, until).filter(|slice| slice.count > 0);
        let Some(first) = touched().map(|slice| slice.lines.0).min() else { return Ok(vec![]) };
        let last = touched().map(|slice| slice.lines.1).max().unwrap_or(first);
        let mut bytes = vec![0; (last - first + 1) as usize * LINE_BYTES];
        let file = File::open(self.folder.join(INDEX))?;
        file.read_exact_at(&mut bytes, u64::from(first) * LINE_BYTES as u64)?;
        let (lines, _) = bytes.as_chunks::<LINE_BYTES>();
        let segments = lines.iter().filter_map(|line| match decode(line)? {
            Line::Segment(stored) => Some(*stored),
            Line::Forgotten { .. } => None,
        });
        let known = |stored: &Stored| self.place(stored).is_some_and(|at| self.slices[at].count > 0);
        Ok(segments.filter(|stored| (from..until).contains(&stored.cell_secs()) && known(stored)).collect())
    }

    /// Slices that hold something: start in Unix seconds, and the slice.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (u64, Slice)> + '_ {
        let at = |index: usize| self.day * DAY_SECS + index as u64 * SLICE_SECS;
        self.slices
            .iter()
            .enumerate()
            .filter(|(_, slice)| slice.count > 0)
            .map(move |(index, slice)| (at(index), *slice))
    }

    fn touched(&self, from: u64, until: u64) -> impl Iterator<Item = &Slice> {
        let day = self.day * DAY_SECS;
        let index = move |secs: u64| (secs.saturating_sub(day) / SLICE_SECS) as usize;
        let (first, last) = (index(from).min(SLICES), index(until + SLICE_SECS - 1).min(SLICES));
        self.slices[first..last.max(first)].iter()
    }

    fn place(&self, stored: &Stored) -> Option<usize> {
        let into = stored.cell_secs().checked_sub(self.day * DAY_SECS).filter(|secs| *secs < DAY_SECS)?;
        usize::try_from(into / SLICE_SECS).ok()
    }

    /// Counts a line that was read or written.
    fn add(&mut self, stored: &Stored) {
        let line = self.lines;
        self.lines += 1;
        let Some(at) = self.place(stored) else { return };
        let slice = &mut self.slices[at];
        if slice.count == 0 {
            slice.lines = (line, line);
        }
        slice.lines.1 = line;
        slice.count += 1;
        slice.bytes += stored.recorded.entry.bytes;
        let entry = &stored.recorded.entry;
        let follows = self.last.as_ref().is_some_and(|last| entry.start <= last.recorded.entry.end() + SEAM);
        let (from_ms, to_ms) = (entry.start.as_millis(), entry.end().as_millis());
        let full = self.stretches.len() >= STRETCHES_MAX;
        match self.stretches.last_mut().filter(|_| follows || full) {
            Some(last) => last.to_ms = last.to_ms.max(to_ms),
            None => self.stretches.push(Stretch { from_ms, to_ms }),
        }
        if !self.periods.contains(&stored.key_period_secs) && self.periods.len() < 8 {
            self.periods.push(stored.key_period_secs);
        }
        self.last = Some(stored.clone());
    }

    fn clear(&mut self, from: u64, until: u64) {
        let day = self.day * DAY_SECS;
        for (index, slice) in self.slices.iter_mut().enumerate() {
            let at = day + index as u64 * SLICE_SECS;
            if at >= from && at < until {
                *slice = Slice::default();
            }
        }
        // A stretch that begins among what is gone begins later now; one in the middle of it is gone.
        let (from_ms, until_ms) = (millis(from), millis(until));
        let mut left = vec![];
        for stretch in &self.stretches {
            let before = Stretch { to_ms: stretch.to_ms.min(from_ms), ..*stretch };
            let after = Stretch { from_ms: stretch.from_ms.max(until_ms), ..*stretch };
            left.extend([before, after].into_iter().filter(|part| part.from_ms < part.to_ms));
        }
        left.dedup();
        self.stretches = left;
    }

    /// Appends to the index file, at a line's boundary, and syncs; a write that fails is cut off again. Whole lines that are
    /// there stay, whatever is known of them.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = OpenOptions::new().append(true).create(true).open(self.folder.join(INDEX))?;
        let length = file.metadata()?.len();
        let whole = length - length % LINE_BYTES as u64;
        if length != whole {
            // A torn line of an earlier life, or of a full disk: nothing after it would be read.
            file.set_len(whole)?;
        }
        self.lines = u32::try_from(whole / LINE_BYTES as u64).map_err(io::Error::other)?;
        let done = file.write_all(lines).and_then(|()| file.sync_data());
        if done.is_err() {
            // Should this fail too, the next append cuts off what is torn.
            let _ = file.set_len(whole);
        }
        done
    }

    /// Deletes files of this time that the index does not name.
    fn sweep(&self, from: u64, until: u64) {
        let day = self.day * DAY_SECS;
        let kept: std::collections::HashSet<PathBuf> =
            self.select(from, until).unwrap_or_default().iter().filter_map(|stored| self.path(stored)).collect();
        for hour in from.saturating_sub(day) / 3_600..(until - day).div_ceil(3_600).min(24) {
            let folder = self.folder.join(format!("{hour:02}"));
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                let inside = minute_of(&path).is_some_and(|secs| {
                    let at = day + hour * 3_600 + secs;
                    at >= from && at < until
                });
                if inside && !kept.contains(&path) {
                    let _ = fs::remove_file(path);
                }
            }
            // Fails while something is in it, which is what is wanted.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The days a channel has on a disk, by its folder.
pub(crate) fn days(channel: &Path) -> io::Result<Vec<u64>> {
    let mut days = vec![];
    match fs::read_dir(channel) {
        Ok(entries) => {
            days.extend(entries.flatten().filter_map(|entry| day_of(entry.file_name().to_str()?)));
            days.sort_unstable();
            Ok(days)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(days),
        Err(error) => Err(error),
    }
}

/// Where a segment lies below a channel's folder.
pub(crate) fn place_in(channel: &Path, stored: &Stored) -> Option<PathBuf> {
    segment_path(&channel.join(day_name(stored.cell_secs() / DAY_SECS)), stored)
}

/// `HH/MMSS-DDDDD.ts` from `YYYY/MM/DD/HH/MM/SS-DDDDD.ts`.
fn segment_path(folder: &Path, stored: &Stored) -> Option<PathBuf> {
    let name = stored.recorded.grid.name(stored.recorded.entry.number)?;
    let (hour, minute, rest) = (name.get(11..13)?, name.get(14..16)?, name.get(17..)?);
    Some(folder.join(hour).join(format!("{minute}{rest}")))
}

/// Seconds into the hour that a file's name says.
fn minute_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    Some(digits(name.get(..2))? * 60 + digits(name.get(2..4))?)
}

fn day_name(day: u64) -> String {
    let at = i64::try_from(day * DAY_SECS).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok());
    at.unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

fn day_of(name: &str) -> Option<u64> {
    let date: jiff::civil::Date = name.parse().ok()?;
    let at = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    let day = u64::try_from(at).ok()? / DAY_SECS;
    (day_name(day) == name).then_some(day)
}

fn millis(secs: u64) -> i64 {
    i64::try_from(secs).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::line::tests::stored, *};

    /// 2026-01-02 00:00:00 UTC is number 883,656,000 of 2 s.
    const FIRST: u64 = 883_656_000;
    const DAY: u64 = FIRST * 2 / DAY_SECS;

    fn recorded(folder: &Path, numbers: impl Iterator<Item = u64>) -> Reel {
        let mut reel = Reel::empty(folder, 0, DAY);
        for number in numbers {
            let one = stored(number);
            let path = reel.path(&one).expect("path");
            fs::create_dir_all(path.parent().expect("folder")).expect("made");
            fs::write(path, b"segment").expect("written");
            reel.append(&[one]).expect("appended");
        }
        reel
    }

    fn numbers(reel: &Reel, from: u64, until: u64) -> Vec<u64> {
        let found = reel.select(from, until).expect("read");
        found.iter().map(|stored| stored.recorded.entry.number - FIRST).collect()
    }

    #[test]
    fn what_was_appended_is_read_back_and_found() {
        let folder = tempfile::tempdir().expect("folder");
        let (start, count) = (FIRST * 2, 700);
        let reel = recorded(folder.path(), (0..count).filter(|n| *n != 400).map(|n| FIRST + n));
        for reel in [&reel, &Reel::read(folder.path(), 0, DAY).expect("read")] {
            assert_eq!(numbers(reel, start + 598, start + 604), [299, 300, 301]);
            assert_eq!(numbers(reel, start + 798, start + 804), [399, 401]);
            assert_eq!(numbers(reel, start, start + DAY_SECS).len(), 699);
            assert_eq!(
                reel.slices().map(|(at, slice)| (at - start, slice.count)).collect::<Vec<_>>(),
                [(0, 300), (600, 299), (1_200, 100)]
            );
            let ms = i64::try_from(start * 1_000).expect("fits");
            let stretches: Vec<_> = reel.stretches.iter().map(|s| (s.from_ms - ms, s.to_ms - ms)).collect();
            assert_eq!(stretches, [(0, 800_000), (802_000, 1_400_000)]);
        }
        assert!(folder.path().join("2026-01-02/00/0958-02000.ts").exists());
    }

    #[test]
    fn what_is_forgotten_is_gone_from_list_and_disk() {
        let folder = tempfile::tempdir().expect("folder");
        let start = FIRST * 2;
        let mut reel = recorded(folder.path(), (0..400).map(|n| FIRST + n));
        reel.forget(start, start + 600).expect("forgotten");
        for reel in [&reel, &Reel::read(folder.path(), 0, DAY).expect("read")] {
            assert_eq!(numbers(reel, start, start + 602), [300]);
            assert_eq!(reel.stretches.len(), 1);
        }
        assert_eq!(fs::read_dir(folder.path().join("2026-01-02/00")).expect("hour").count(), 100);
        reel.append(&[stored(FIRST + 400)]).expect("goes on");
        assert_eq!(numbers(&Reel::read(folder.path(), 0, DAY).expect("read"), start + 798, start + 802), [399, 400]);
        reel.forget(start, start + DAY_SECS).expect("forgotten");
        assert!(!folder.path().join("2026-01-02").exists());
    }

    #[test]
    fn files_without_a_line_are_swept() {
        let folder = tempfile::tempdir().expect("folder");
        let reel = recorded(folder.path(), (0..3).map(|n| FIRST + n));
        let stray = folder.path().join("2026-01-02/00/0006-02000.ts");
        fs::write(&stray, b"a kill came before its line").expect("written");
        reel.sweep_all();
        assert!(!stray.exists());
        assert!(folder.path().join("2026-01-02/00/0004-02000.ts").exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A power cut leaves any beginning of the file, and sectors of it as zeros or noise.
        #[test]
        fn no_cut_and_no_damage_lists_what_was_not_written(cut in 0_usize..1_400, at in 0_usize..1_400, noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().expect("folder");
            let written: Vec<Stored> = (0..20).map(|n| stored(FIRST + n)).collect();
            Reel::empty(folder.path(), 0, DAY).append(&written).expect("appended");
            let path = folder.path().join("2026-01-02/index");
            let mut bytes = fs::read(&path).expect("index");
            bytes.truncate(cut.max(1));
            for (place, byte) in bytes.iter_mut().skip(at).zip(&noise) {
                *place = *byte;
            }
            fs::write(&path, &bytes).expect("written");
            let mut reel = Reel::read(folder.path(), 0, DAY).expect("read");
            let found = reel.select(DAY * DAY_SECS, (DAY + 1) * DAY_SECS).expect("select");
            prop_assert!(found.iter().all(|stored| written.contains(stored)));
            let next = stored(FIRST + 30);
            reel.append(std::slice::from_ref(&next)).expect("goes on");
            let reel = Reel::read(folder.path(), 0, DAY).expect("read");
            let after = reel.select(DAY * DAY_SECS, (DAY + 1) * DAY_SECS).expect("select");
            prop_assert_eq!(after.len(), found.len() + 1);
            prop_assert_eq!(after.last(), Some(&next));
        }

        #[test]
        fn any_folder_name_is_a_day_or_none(name in ".{0,12}", day in 0_u64..2_000_000) {
            if let Some(day) = day_of(&name) {
                prop_assert_eq!(day_name(day), name);
            }
            prop_assert_eq!(day_of(&day_name(day)), Some(day));
        }
    }
}
