//! What every engine is held to, run against each of them. A new engine is one more line
//! in [`Bench`].

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::engine::{
    Batch, CommitError, Engine, Entries, Expect, IdempotencyKey, SCAN_ENTRIES_MAX, VALUE_BYTES_MAX, Version,
};
use super::export;
use super::memory::MemoryEngine;
use super::sled::{SledEngine, SledOptions};
use super::stage::AnswerLimits;

/// An engine kind that can be closed and opened again.
enum Bench {
    Memory(Arc<MemoryEngine>),
    Sled(tempfile::TempDir),
}

const ANSWERS: AnswerLimits = AnswerLimits { keep_ms: 1000, count_max: 50 };

impl Bench {
    fn all() -> [Self; 2] {
        let memory = Self::Memory(Arc::new(MemoryEngine::with_answers(ANSWERS)));
        [memory, Self::Sled(tempfile::tempdir().unwrap())]
    }

    /// Opens it; what was opened before must be dropped.
    fn open(&self) -> Arc<dyn Engine> {
        match self {
            Self::Memory(engine) => engine.clone(),
            Self::Sled(directory) => {
                let mut options = SledOptions::new(directory.path());
                options.ballast_bytes = 0;
                options.free_bytes_min = 0;
                options.answers = ANSWERS;
                options.on_fatal = Some(Arc::new(|what| panic!("{what}")));
                Arc::new(SledEngine::open(&options).unwrap())
            }
        }
    }
}

fn batch() -> Batch {
    Batch::new(IdempotencyKey::random("suite"), 0)
}

fn named(name: &str, at_ms: u64) -> Batch {
    Batch::new(IdempotencyKey::new(name).unwrap(), at_ms)
}

async fn keys(engine: &dyn Engine, prefix: &str, after: Option<&str>, limit: usize) -> String {
    let found = engine.scan(prefix.as_bytes(), after.map(str::as_bytes), limit).await.unwrap();
    found.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect::<Vec<_>>().join(" ")
}

/// Where an export is written to in memory.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn exported(engine: &dyn Engine) -> Vec<u8> {
    let text = Text::default();
    engine.export(Box::new(text.clone()), 77).await.unwrap();
    Arc::try_unwrap(text.0).unwrap().into_inner().unwrap()
}

#[tokio::test]
async fn conditions_hold_or_nothing_is_written() {
    for bench in Bench::all() {
        let engine = bench.open();
        let first = engine.commit(batch().expect("k", Expect::Absent).put("k", "1")).await.unwrap();
        assert_eq!(engine.get(b"k").await.unwrap().unwrap().version, first.version);
        let conflict = Err(CommitError::Conflict { key: "k".to_owned() });
        for stale in [Expect::Absent, Expect::At(Version(first.version.0 + 9))] {
            let refused = batch().expect("k", stale).put("k", "x").put("other", "x");
            assert_eq!(engine.commit(refused).await, conflict);
        }
        assert_eq!(keys(&*engine, "", None, 10).await, "k");
        let moved = batch().expect("k", Expect::At(first.version)).put("k", "2");
        let second = engine.commit(moved).await.unwrap();
        assert!(second.version > first.version);
        // Removed and written again: the old version does not come back.
        engine.commit(batch().delete("k")).await.unwrap();
        engine.commit(batch().put("k", "1")).await.unwrap();
        let stale = batch().expect("k", Expect::At(first.version)).put("k", "x");
        assert_eq!(engine.commit(stale).await, conflict);
        // A check of a key that the batch does not write.
        let only = batch().expect("gone", Expect::Absent).put("new", "");
        assert!(engine.commit(only).await.is_ok());
    }
}

#[tokio::test]
async fn scans_are_in_order_within_the_prefix_and_resume() {
    for bench in Bench::all() {
        let engine = bench.open();
        let all = ["b", "a/2", "a/10", "a/1", "a", "a0", "a/\u{ff}"];
        let filled = all.iter().fold(batch(), |b, key| b.put(*key, *key));
        engine.commit(filled).await.unwrap();
        let check = async |prefix, after, limit, expected| {
            assert_eq!(keys(&*engine, prefix, after, limit).await, expected);
        };
        check("", None, 100, "a a/1 a/10 a/2 a/\u{ff} a0 b").await;
        check("a/", None, 100, "a/1 a/10 a/2 a/\u{ff}").await;
        check("a/", None, 2, "a/1 a/10").await;
        check("a/", Some("a/10"), 2, "a/2 a/\u{ff}").await;
        check("a/", Some("a/\u{ff}"), 2, "").await;
        check("a/", Some("A"), 1, "a/1").await;
        check("a/", Some("b"), 1, "").await;
        check("a/", None, 0, "").await;
        check("\0", None, SCAN_ENTRIES_MAX, "").await;
        assert_eq!(engine.get(b"\0m").await.unwrap(), None);
        assert_eq!(engine.get(b"").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_after_a_reopen_too() {
    for bench in Bench::all() {
        let engine = bench.open();
        let first = engine.commit(named("job", 10).put("k", "1").answer("made 1")).await.unwrap();
        assert!(!first.repeated);
        drop(engine);
        let engine = bench.open();
        let again = named("job", 1009).expect("k", Expect::Absent).put("k", "2").answer("made 2");
        let again = engine.commit(again).await.unwrap();
        assert_eq!((again.version, again.answer.as_slice()), (first.version, &b"made 1"[..]));
        assert!(again.repeated);
        assert_eq!(engine.get(b"k").await.unwrap().unwrap().bytes, b"1");
        // After its time the key is a new write.
        let late = engine.commit(named("job", 1010).put("k", "3")).await.unwrap();
        assert!(!late.repeated);
        // A refused batch is not remembered.
        let refused = named("other", 0).expect("k", Expect::Absent);
        assert!(engine.commit(refused).await.is_err());
        assert!(!engine.commit(named("other", 0)).await.unwrap().repeated);
    }
}

#[tokio::test]
async fn bounds_are_kept_and_nothing_of_a_refused_batch_is_there() {
    for bench in Bench::all() {
        let engine = bench.open();
        let large = batch().put("small", "").put("large", vec![0; VALUE_BYTES_MAX + 1]);
        assert!(matches!(engine.commit(large).await, Err(CommitError::TooLarge { .. })));
        let reserved = batch().put("small", "").put("\0x", "");
        assert!(matches!(engine.commit(reserved).await, Err(CommitError::Reserved { .. })));
        assert_eq!(keys(&*engine, "", None, 10).await, "");
        let largest = batch().put("k", vec![0xFF; VALUE_BYTES_MAX]);
        engine.commit(largest).await.unwrap();
        assert_eq!(engine.get(b"k").await.unwrap().unwrap().bytes.len(), VALUE_BYTES_MAX);
    }
}

#[tokio::test]
async fn many_at_once_are_as_if_one_by_one() {
    for bench in Bench::all() {
        let engine = bench.open();
        engine.commit(batch().put("sum", 0_u64.to_be_bytes())).await.unwrap();
        let add = |n: u64| {
            let engine = engine.clone();
            async move {
                for turn in 0.. {
                    let sum = engine.get(b"sum").await.unwrap().unwrap();
                    let value = u64::from_be_bytes(sum.bytes.try_into().unwrap()) + n;
                    let next = batch()
                        .expect("sum", Expect::At(sum.version))
                        .put("sum", value.to_be_bytes())
                        .put(format!("by/{n:03}"), "");
                    match engine.commit(next).await {
                        Ok(_) => return turn,
                        Err(CommitError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                unreachable!("the loop ends by returning");
            }
        };
        futures_util::future::join_all((1..=40).map(add)).await;
        let sum = engine.get(b"sum").await.unwrap().unwrap();
        assert_eq!(sum.bytes, (40 * 41_u64 / 2).to_be_bytes());
        assert_eq!(engine.scan(b"by/", None, 100).await.unwrap().len(), 40);
    }
}

#[tokio::test]
async fn an_export_moves_to_every_other_engine() {
    for from in Bench::all() {
        let engine = from.open();
        for part in 0..3 {
            let filled = (0..200)
                .fold(batch(), |b, n| b.put(format!("f/{part}/{n:04}"), vec![part, 0xFE, u8::try_from(n).unwrap()]));
            engine.commit(filled).await.unwrap();
        }
        engine.commit(named("job", 5).put("last", "one").answer("first")).await.unwrap();
        let newest = engine.get(b"last").await.unwrap().unwrap().version;
        let text = exported(&*engine).await;
        for to in Bench::all() {
            let copy = to.open();
            let summary = export::import(&*copy, Cursor::new(&text)).await.unwrap();
            assert_eq!(summary.at_ms, 77);
            drop(copy);
            let copy = to.open();
            let plain = |entries: Entries| entries.into_iter().map(|(key, kept)| (key, kept.bytes)).collect::<Vec<_>>();
            let expected = plain(engine.scan(b"", None, 1000).await.unwrap());
            let got = copy.scan(b"", None, 1000).await.unwrap();
            assert!(got.iter().all(|(_, kept)| kept.version > newest));
            assert_eq!(plain(got), expected);
            assert_eq!(expected.len(), 601);
            // What was answered stays answered, and the copy exports the same records.
            let again = copy.commit(named("job", 6).put("last", "two")).await.unwrap();
            assert_eq!((again.repeated, again.answer), (true, b"first".to_vec()));
            let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().skip(1).count();
            assert_eq!(lines(&exported(&*copy).await), lines(&text));
            let again = export::import(&*copy, Cursor::new(&text)).await;
            assert!(matches!(again, Err(export::ExportError::NotEmpty)));
        }
    }
}

/// One step of a random history. Keys and names are drawn from few, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Commit { name: u8, expect: Vec<(u8, u8)>, puts: BTreeMap<u8, Vec<u8>>, delete: Option<u8> },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 3000..VALUE_BYTES_MAX),
    ];
    let commit = (
        any::<u8>(),
        prop::collection::vec((0..12_u8, 0..8_u8), 0..3),
        prop::collection::btree_map(0..12_u8, value, 0..6),
        prop::option::of(12..16_u8),
    );
    let commit = commit.prop_map(|(name, expect, puts, delete)| {
        // The last of the keys is deleted under another number than it is put.
        Step::Commit { name, expect, puts, delete: delete.map(|n| n - 8) }
    });
    prop_oneof![8 => commit, 1 => Just(Step::Reopen)]
}

type Model = BTreeMap<Vec<u8>, (Version, Vec<u8>)>;

fn model_key(n: u8) -> Vec<u8> {
    format!("{}/{n}", n % 3).into_bytes()
}

/// Builds the batch of a step and says whether the model lets it pass.
fn planned(model: &Model, step: &Step) -> Option<(Batch, bool)> {
    let Step::Commit { name, expect, puts, delete } = step else {
        return None;
    };
    let mut planned = named(&format!("name-{name}"), 0);
    let mut passes = true;
    for (key, kind) in expect {
        let version = model.get(&model_key(*key)).map(|(version, _)| *version);
        // Most conditions are what was read; some are wrong on purpose.
        let expect = match (kind, version) {
            (0, _) => Expect::Absent,
            (1, _) => Expect::At(Version(1)),
            (_, Some(version)) => Expect::At(version),
            (_, None) => Expect::Absent,
        };
        passes &= match expect {
            Expect::Absent => version.is_none(),
            Expect::At(wanted) => version == Some(wanted),
        };
        planned = planned.expect(model_key(*key), expect);
    }
    for (key, value) in puts {
        planned = planned.put(model_key(*key), value.clone());
    }
    if let Some(key) = delete.filter(|key| !puts.contains_key(key)) {
        planned = planned.delete(model_key(key));
    }
    Some((planned, passes))
}

async fn runs_like_the_model(bench: &Bench, steps: &[Step]) {
    let (mut engine, mut model) = (bench.open(), Model::new());
    let mut answered: BTreeMap<String, Version> = BTreeMap::new();
    for step in steps {
        let Some((batch, passes)) = planned(&model, step) else {
            drop(engine);
            engine = bench.open();
            continue;
        };
        let name = batch.idempotency.to_string();
        let got = engine.commit(batch.clone()).await;
        if let Some(first) = answered.get(&name) {
            let got = got.unwrap();
            assert_eq!((got.version, got.repeated), (*first, true));
        } else if passes {
            let version = got.unwrap().version;
            answered.insert(name, version);
            for (key, value) in batch.puts {
                model.insert(key, (version, value));
            }
            for key in batch.deletes {
                model.remove(&key);
            }
        } else {
            assert!(matches!(got, Err(CommitError::Conflict { .. })), "{got:?}");
        }
        let all = engine.scan(b"", None, 100).await.unwrap();
        let all: Model = all.into_iter().map(|(key, kept)| (key, (kept.version, kept.bytes))).collect();
        assert_eq!(all, model);
    }
    for (key, (_, value)) in &model {
        assert_eq!(&engine.get(key).await.unwrap().unwrap().bytes, value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_history_is_that_of_an_ordered_map(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for bench in Bench::all() {
            runtime.block_on(runs_like_the_model(&bench, &steps));
        }
    }
}
