//! The copies of the store on its own disk: one an hour, 24 of them kept, and one a day
//! for 7 days. Works for every engine. When to make one is the task list's business.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::engine::Engine;
use super::export::{self, ExportError, Summary};

/// Hourly copies kept.
pub const HOURLY: usize = 24;
/// Days of which the newest copy is kept.
pub const DAILY: usize = 7;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const PREFIX: &str = "store-";
const SUFFIX: &str = ".jsonl";
const PART: &str = "part";

/// Writes a copy of the store into `directory`, brings it to disk, gives it its name, and
/// removes copies that are no longer kept. `at_ms` is wall time in milliseconds since the
/// Unix epoch. Blocks on the disk at its end: a few milliseconds on a healthy one.
///
/// # Errors
/// [`ExportError`]; the older copies are then all still there.
pub async fn put(engine: &dyn Engine, directory: &Path, at_ms: u64) -> Result<(PathBuf, Summary), ExportError> {
    let part = directory.join(format!("{PREFIX}{at_ms:015}.{PART}"));
    let fail = |path: &Path, source| ExportError::Open { path: path.to_owned(), source };
    fs::create_dir_all(directory).map_err(|source| fail(directory, source))?;
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).open(&part).map_err(|source| fail(&part, source))?;
    let copy = file.try_clone().map_err(|source| fail(&part, source))?;
    let written = engine.export(Box::new(copy), at_ms).await;
    let summary = match written.and_then(|s| file.sync_all().map(|()| s).map_err(ExportError::Write)) {
        Ok(summary) => summary,
        Err(error) => {
            // Half a copy would only take room; the error is what matters.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    };
    let path = directory.join(format!("{PREFIX}{at_ms:015}{SUFFIX}"));
    fs::rename(&part, &path).map_err(|source| fail(&path, source))?;
    let sync = || File::open(directory)?.sync_all();
    sync().map_err(|source| fail(directory, source))?;
    sweep(directory).map_err(|source| fail(directory, source))?;
    Ok((path, summary))
}

/// Whether it is time for the next copy: none was made in the hour before `now_ms`.
///
/// # Errors
/// What the system said when the directory could not be read.
pub fn is_due(directory: &Path, now_ms: u64) -> io::Result<bool> {
    let newest = times(directory)?.last().copied();
    Ok(newest.is_none_or(|newest| newest > now_ms || now_ms - newest >= HOUR_MS))
}

/// The newest copy that reads well to its last line.
#[must_use]
pub fn newest_good(directory: &Path) -> Option<PathBuf> {
    let newest_first = times(directory).ok()?.into_iter().rev();
    newest_first
        .map(|at_ms| directory.join(format!("{PREFIX}{at_ms:015}{SUFFIX}")))
        .find(|path| export::open(path).and_then(export::verify).is_ok())
}

/// The times of the copies in the directory; none when it is not there.
fn times(directory: &Path) -> io::Result<BTreeSet<u64>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut times = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        let time = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        times.extend(time.and_then(|time| time.parse::<u64>().ok()));
    }
    Ok(times)
}

fn sweep(directory: &Path) -> io::Result<()> {
    for at_ms in expired(&times(directory)?) {
        fs::remove_file(directory.join(format!("{PREFIX}{at_ms:015}{SUFFIX}")))?;
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == PART) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The copies that are neither among the newest [`HOURLY`] nor the newest of one of the
/// newest [`DAILY`] days that have one. Days are UTC. Copies from the future are kept, and
/// the number is bounded all the same: days are counted, not measured from now.
fn expired(times: &BTreeSet<u64>) -> Vec<u64> {
    let hourly: BTreeSet<u64> = times.iter().rev().take(HOURLY).copied().collect();
    let mut days = BTreeSet::new();
    let mut out = vec![];
    for &at_ms in times.iter().rev() {
        let newest_of_day = days.len() < DAILY && days.insert(at_ms / DAY_MS);
        if !newest_of_day && !hourly.contains(&at_ms) {
            out.push(at_ms);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, IdempotencyKey, MemoryEngine};

    #[test]
    fn a_fortnight_of_hours_leaves_a_day_of_hours_and_a_week_of_days() {
        let mut kept = BTreeSet::new();
        for hour in 0..14 * 24 {
            kept.insert(hour * HOUR_MS);
            for gone in expired(&kept) {
                kept.remove(&gone);
            }
            assert!(kept.len() <= HOURLY + DAILY);
        }
        let hours: Vec<u64> = kept.iter().map(|at| at / HOUR_MS).collect();
        let days = (7..13).map(|day| day * 24 + 23);
        let last_day = 13 * 24..14 * 24;
        assert_eq!(hours, days.chain(last_day).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn put_names_sweeps_and_finds_the_newest_good() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("exports");
        let engine = MemoryEngine::new();
        engine.commit(Batch::new(IdempotencyKey::random("t"), 0).put("k", "v")).await.unwrap();
        assert!(is_due(&directory, 0).unwrap());
        let (first, summary) = put(&engine, &directory, 1000).await.unwrap();
        // One record and what is remembered of its write.
        assert_eq!(summary.records, 3);
        assert!(!is_due(&directory, 1000 + HOUR_MS - 1).unwrap());
        assert!(is_due(&directory, 1000 + HOUR_MS).unwrap());
        let (second, _) = put(&engine, &directory, 2000).await.unwrap();
        assert_eq!(newest_good(&directory), Some(second.clone()));
        fs::write(&second, "damaged").unwrap();
        assert_eq!(newest_good(&directory), Some(first));
        fs::write(directory.join("store-0.part"), "left by a crash").unwrap();
        put(&engine, &directory, 3000).await.unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
    }
}
