//! What the recipe promises, each promise broken on purpose: damage, a second process, a
//! panic, a missing file, a crash in the middle of making or restoring.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::super::engine::{Batch, CommitError, Engine, IdempotencyKey};
use super::super::shelf;
use super::{OpenError, SledEngine, SledOptions, exports_directory, restore};

/// Options with a hook that only remembers, and what it was told.
fn options(directory: &Path) -> (SledOptions, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(vec![]));
    let mut options = SledOptions::new(directory);
    options.ballast_bytes = 100_000;
    options.free_bytes_min = 0;
    let hook = told.clone();
    options.on_fatal = Some(Arc::new(move |what| hook.lock().unwrap().push(what.to_owned())));
    (options, told)
}

fn open(directory: &Path) -> Result<SledEngine, OpenError> {
    SledEngine::open(&options(directory).0)
}

fn batch() -> Batch {
    Batch::new(IdempotencyKey::random("test"), 0)
}

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

async fn content(engine: &dyn Engine) -> Content {
    let all = engine.scan(b"", None, 10_000).await.unwrap();
    all.into_iter().map(|(key, kept)| (key, kept.bytes)).collect()
}

async fn write(engine: &dyn Engine, from: u32, to: u32) {
    for n in from..to {
        let value = format!("value {n} ").repeat(1 + n as usize % 40);
        engine.commit(batch().put(format!("k/{:03}", n % 70), value)).await.unwrap();
    }
}

/// A store with two starts, an export after each, and writes after the last.
async fn lived_in(directory: &Path) -> (Content, Content) {
    let engine = open(directory).unwrap();
    write(&engine, 0, 120).await;
    drop(engine);
    let engine = open(directory).unwrap();
    write(&engine, 120, 160).await;
    shelf::put(&engine, &exports_directory(directory), 1_000).await.unwrap();
    let at_export = content(&engine).await;
    write(&engine, 160, 200).await;
    let newest = content(&engine).await;
    (at_export, newest)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The store's own files that may be damaged.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("sled-v1")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// Damages the file in one of five ways; the places are where something was written.
fn damage(path: &Path, rng: &mut TestRng) -> String {
    let mut bytes = fs::read(path).unwrap();
    let written: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let place = written[rng.next_u32() as usize % written.len()];
    let kind = rng.next_u32() % 5;
    match kind {
        0 | 1 => bytes[place] ^= 1_u8 << (rng.next_u32() % 8),
        2 => bytes[place & !511..].iter_mut().take(512).for_each(|byte| *byte = 0),
        3 => bytes[place & !4095..].iter_mut().take(4096).for_each(|byte| *byte = 0),
        _ => bytes.truncate(place),
    }
    fs::write(path, bytes).unwrap();
    format!("kind {kind} at {place} of {}", path.file_name().unwrap().display())
}

/// Damage never gives other data: the store opens with everything, or it says that it is
/// damaged and which export to restore, and the restore gives what the export had.
#[tokio::test]
async fn damage_is_refused_and_the_export_restores() {
    let place = tempfile::tempdir().unwrap();
    let good = place.path().join("good");
    let (at_export, newest) = lived_in(&good).await;
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let rounds: u32 = std::env::var("HEADEND_STORE_DAMAGES").map_or(60, |n| n.parse().unwrap());
    let mut refused = BTreeMap::<String, u32>::new();
    for round in 0..rounds {
        let here = place.path().join(format!("round-{round}"));
        copy(&good, &here);
        let files = files(&here);
        let file = &files[round as usize % files.len()];
        let what = damage(file, &mut rng);
        match open(&here) {
            Ok(engine) => assert_eq!(content(&engine).await, newest, "{what}"),
            Err(error @ OpenError::Damaged { .. }) => {
                let export = exports_directory(&here).join("store-000000000001000.jsonl");
                let way_out = format!("headend-controller import {}", export.display());
                assert!(error.to_string().contains(&way_out), "{what}: {error}");
                restore(&options(&here).0, &export).unwrap();
                let engine = open(&here).unwrap();
                assert_eq!(content(&engine).await, at_export, "{what}");
                write(&engine, 0, 3).await;
                let name = file.file_name().unwrap().to_string_lossy();
                *refused.entry(name.split('.').next().unwrap().to_owned()).or_default() += 1;
            }
            Err(other) => panic!("{what}: {other}"),
        }
        fs::remove_dir_all(&here).unwrap();
    }
    // The damage was real: most of it in the database itself was noticed.
    assert!(refused["db"] >= rounds / 12, "{refused:?}");
}

/// The tail written since the last start, cut off: sled alone opens this without a word.
#[tokio::test]
async fn a_database_behind_its_mark_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (early, here) = (place.path().join("early"), place.path().join("here"));
    let engine = open(&here).unwrap();
    write(&engine, 0, 5).await;
    drop(engine);
    copy(&here, &early);
    let engine = open(&here).unwrap();
    write(&engine, 5, 9).await;
    drop(engine);
    fs::copy(here.join("sled-v1/mark"), early.join("sled-v1/mark")).unwrap();
    let error = open(&early).err().unwrap().to_string();
    assert!(error.contains("it ends at commit 5, but 9 was acknowledged"), "{error}");
    assert!(error.contains("there is no good export beside it"), "{error}");
}

#[tokio::test]
async fn missing_files_are_damage_not_an_empty_store() {
    for name in ["sled-v1", "sled-v1/db", "sled-v1/conf", "sled-v1/mark"] {
        let place = tempfile::tempdir().unwrap();
        let engine = open(place.path()).unwrap();
        write(&engine, 0, 5).await;
        drop(engine);
        let path = place.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        assert!(matches!(open(place.path()), Err(OpenError::Damaged { .. })), "{name}");
    }
}

#[test]
fn a_second_one_is_told_to_wait() {
    let place = tempfile::tempdir().unwrap();
    let first = open(place.path()).unwrap();
    assert!(matches!(open(place.path()), Err(OpenError::InUse { .. })));
    drop(first);
    assert!(open(place.path()).is_ok());
}

#[tokio::test]
async fn what_crashes_left_is_cleared_away() {
    let place = tempfile::tempdir().unwrap();
    let engine = open(place.path()).unwrap();
    write(&engine, 0, 5).await;
    drop(engine);
    let half = place.path().join("sled-v1/snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&half, "half a snapshot").unwrap();
    fs::create_dir(place.path().join("sled-v1.making")).unwrap();
    let engine = open(place.path()).unwrap();
    assert_eq!(content(&engine).await.len(), 5);
    assert!(!half.exists() && !place.path().join("sled-v1.making").exists());
}

#[tokio::test]
async fn a_bad_export_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (_, newest) = lived_in(place.path()).await;
    let export = exports_directory(place.path()).join("store-000000000001000.jsonl");
    let text = fs::read_to_string(&export).unwrap().replacen("value", "valve", 1);
    fs::write(&export, text).unwrap();
    let error = restore(&options(place.path()).0, &export).unwrap_err();
    assert!(matches!(error, OpenError::Export { .. }));
    assert_eq!(content(&open(place.path()).unwrap()).await, newest);
}

/// A writer that panics, standing for any panic on the store thread.
struct Panics;

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("a page is not what it was");
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_on_the_store_thread_is_told_and_ends_writing() {
    let place = tempfile::tempdir().unwrap();
    let (options, told) = options(place.path());
    let engine = SledEngine::open(&options).unwrap();
    write(&engine, 0, 5).await;
    assert!(engine.export(Box::new(Panics), 0).await.is_err());
    let answer = engine.commit(batch().put("k", "")).await;
    assert_eq!(answer, Err(CommitError::Stopped));
    drop(engine);
    assert_eq!(*told.lock().unwrap(), ["panic: a page is not what it was"]);
    assert_eq!(content(&open(place.path()).unwrap()).await.len(), 5);
}

#[tokio::test]
async fn writes_are_refused_while_the_disk_is_nearly_full() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path()).0;
    drop(SledEngine::open(&options).unwrap());
    options.free_bytes_min = u64::MAX;
    let engine = SledEngine::open(&options).unwrap();
    let answer = engine.commit(batch().put("k", "")).await;
    assert!(matches!(answer, Err(CommitError::NoSpace { .. })));
    assert_eq!(content(&engine).await.len(), 0);
    assert_eq!(engine.failure(), None);
}
