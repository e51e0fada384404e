//! What a group of batches changes, worked out before anything is written.
//!
//! Pure: reads what is below through [`Base`], and gives the changes and one answer per
//! batch. A batch sees the batches before it in the group. A batch that is refused leaves
//! no trace. Every engine that applies batches itself uses this, so that conditions and
//! idempotency mean the same everywhere.

use std::collections::BTreeMap;

use super::engine::{Batch, CommitError, Committed, Expect, RESERVED, Version, Versioned, printable};

/// Keys of the engine itself. `ANSWER` + idempotency key holds the time and the first
/// answer; `BY_AGE` + time + idempotency key finds the oldest.
pub(crate) const ANSWER: &[u8] = &[RESERVED, b'i'];
pub(crate) const BY_AGE: &[u8] = &[RESERVED, b't'];

/// How long and how many answers are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Milliseconds after which a repeated key counts as new.
    pub keep_ms: u64,
    /// The most answers kept; the oldest go first.
    pub count_max: u64,
}

impl Default for AnswerLimits {
    /// A day, and 100,000 answers (at the most about 130 MB, usually under 10).
    fn default() -> Self {
        Self { keep_ms: 24 * 3_600_000, count_max: 100_000 }
    }
}

/// What lies below a stage. An error is what the engine said, for a person.
pub(crate) trait Base {
    /// The value under `key`.
    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, String>;
    /// The first `max` keys that begin with [`BY_AGE`].
    fn oldest_answers(&self, max: usize) -> Result<Vec<Vec<u8>>, String>;
}

/// Changes not yet written: a value, or none for a removed key.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Versioned>>;

/// The changes of a group of batches over a [`Base`].
pub(crate) struct Stage<'b> {
    base: &'b dyn Base,
    limits: AnswerLimits,
    changes: Changes,
    commit: u64,
    answers: u64,
    added: usize,
    now_ms: u64,
}

/// What a finished stage wants written.
pub(crate) struct Staged {
    /// The changes, in key order.
    pub(crate) changes: Changes,
    /// The newest commit number given out.
    pub(crate) commit: u64,
    /// How many answers are remembered once this is written.
    pub(crate) answers: u64,
}

impl<'b> Stage<'b> {
    /// A stage over `base`, whose newest commit is `commit` and which remembers `answers`.
    pub(crate) fn new(base: &'b dyn Base, limits: AnswerLimits, commit: u64, answers: u64) -> Self {
        let changes = Changes::new();
        Self { base, limits, changes, commit, answers, added: 0, now_ms: 0 }
    }

    /// Stages one batch and says what it will be answered once the group is durable.
    pub(crate) fn add(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        batch.check()?;
        let remembered = self.remembered(batch)?;
        if let Some((at_ms, first)) = &remembered
            && batch.at_ms < at_ms.saturating_add(self.limits.keep_ms)
        {
            return Ok(first.clone());
        }
        for (key, expect) in &batch.expect {
            let version = self.read(key)?.map(|kept| kept.version);
            let holds = match expect {
                Expect::Absent => version.is_none(),
                Expect::At(wanted) => version == Some(*wanted),
            };
            if !holds {
                return Err(CommitError::Conflict { key: printable(key) });
            }
        }
        // Nothing can be refused from here on.
        self.commit = self.commit.max(batch.fills_above.unwrap_or(0)) + 1;
        for (key, value) in &batch.puts {
            self.set(key.clone(), value.clone());
        }
        for key in &batch.deletes {
            self.changes.insert(key.clone(), None);
        }
        if batch.fills_above.is_none() {
            self.remember(batch, remembered.map(|(at_ms, _)| at_ms));
        } else {
            let answers = batch.puts.iter().filter(|(key, _)| key.starts_with(ANSWER)).count();
            self.answers += answers as u64;
        }
        let version = Version(self.commit);
        Ok(Committed { version, answer: batch.answer.clone(), repeated: false })
    }

    /// Drops answers that are too old or too many, a few more than were added, and gives
    /// the changes of the whole group.
    pub(crate) fn finish(mut self) -> Result<Staged, CommitError> {
        if self.added > 0 {
            let oldest = self.base.oldest_answers(2 * self.added + 8).map_err(failed)?;
            for by_age in oldest {
                self.expire(&by_age);
            }
        }
        Ok(Staged { changes: self.changes, commit: self.commit, answers: self.answers })
    }

    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, CommitError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.base.read(key).map_err(failed),
        }
    }

    fn set(&mut self, key: Vec<u8>, bytes: Vec<u8>) {
        let version = Version(self.commit);
        self.changes.insert(key, Some(Versioned { version, bytes }));
    }

    /// When and with what the first batch of this idempotency key was answered.
    fn remembered(&self, batch: &Batch) -> Result<Option<(u64, Committed)>, CommitError> {
        if batch.fills_above.is_some() {
            return Ok(None);
        }
        let Some(kept) = self.read(&[ANSWER, batch.idempotency.as_str().as_bytes()].concat())? else {
            return Ok(None);
        };
        let (at_ms, answer) = kept
            .bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| failed("an idempotency record is cut short".to_owned()))?;
        let answer = answer.to_vec();
        let first = Committed { version: kept.version, answer, repeated: true };
        Ok(Some((u64::from_be_bytes(*at_ms), first)))
    }

    fn remember(&mut self, batch: &Batch, stale_at_ms: Option<u64>) {
        let name = batch.idempotency.as_str().as_bytes();
        match stale_at_ms {
            Some(at_ms) => {
                self.changes.insert([BY_AGE, &at_ms.to_be_bytes(), name].concat(), None);
            }
            None => self.answers += 1,
        }
        let at_ms = batch.at_ms.to_be_bytes();
        self.set([ANSWER, name].concat(), [&at_ms, &batch.answer[..]].concat());
        self.set([BY_AGE, &at_ms, name].concat(), vec![]);
        self.added += 1;
        self.now_ms = batch.at_ms;
    }

    fn expire(&mut self, by_age: &[u8]) {
        let Some((at_ms, name)) = by_age.strip_prefix(BY_AGE).and_then(|rest| rest.split_first_chunk::<8>()) else {
            return;
        };
        let old = u64::from_be_bytes(*at_ms).saturating_add(self.limits.keep_ms) <= self.now_ms;
        // A key that this group wrote or removed was dealt with above.
        let touched = self.changes.contains_key(by_age);
        if !touched && (old || self.answers > self.limits.count_max) {
            self.changes.insert([ANSWER, name].concat(), None);
            self.changes.insert(by_age.to_vec(), None);
            self.answers -= 1;
        }
    }
}

fn failed(reason: String) -> CommitError {
    CommitError::Failed { reason }
}

#[cfg(test)]
mod tests {
    use super::super::engine::IdempotencyKey;
    use super::*;

    #[derive(Default)]
    struct Map(BTreeMap<Vec<u8>, Versioned>);

    impl Base for Map {
        fn read(&self, key: &[u8]) -> Result<Option<Versioned>, String> {
            Ok(self.0.get(key).cloned())
        }
        fn oldest_answers(&self, max: usize) -> Result<Vec<Vec<u8>>, String> {
            let keys = self.0.keys().filter(|key| key.starts_with(BY_AGE));
            Ok(keys.take(max).cloned().collect())
        }
    }

    impl Map {
        /// Runs a group and writes it, as an engine would.
        fn run(
            &mut self,
            at: &mut (u64, u64),
            limits: AnswerLimits,
            group: &[Batch],
        ) -> Vec<Result<Committed, CommitError>> {
            let mut stage = Stage::new(self, limits, at.0, at.1);
            let answers = group.iter().map(|batch| stage.add(batch)).collect();
            let staged = stage.finish().unwrap();
            *at = (staged.commit, staged.answers);
            for (key, change) in staged.changes {
                match change {
                    Some(kept) => self.0.insert(key, kept),
                    None => self.0.remove(&key),
                };
            }
            answers
        }

        fn remembered(&self) -> (usize, usize) {
            let count = |prefix| self.0.keys().filter(|key| key.starts_with(prefix)).count();
            (count(ANSWER), count(BY_AGE))
        }
    }

    fn batch(name: &str, at_ms: u64) -> Batch {
        Batch::new(IdempotencyKey::new(name).unwrap(), at_ms)
    }

    #[test]
    fn a_batch_sees_the_one_before_it_and_a_refused_one_leaves_no_trace() {
        let (mut map, mut at) = (Map::default(), (0, 0));
        let got = map.run(
            &mut at,
            AnswerLimits::default(),
            &[
                batch("1", 0).expect("k", Expect::Absent).put("k", "one"),
                batch("2", 0).expect("k", Expect::Absent).put("k", "two").put("other", "x"),
                batch("3", 0).expect("k", Expect::At(Version(1))).put("k", "three"),
            ],
        );
        assert_eq!(got[1], Err(CommitError::Conflict { key: "k".to_owned() }));
        assert_eq!(got[2].as_ref().unwrap().version, Version(2));
        assert_eq!(map.0[b"k".as_slice()].bytes, b"three");
        assert!(!map.0.contains_key(b"other".as_slice()));
        assert_eq!(map.remembered(), (2, 2));
    }

    #[test]
    fn a_repeat_within_one_group_and_later_gets_the_first_answer() {
        let (mut map, mut at) = (Map::default(), (0, 0));
        let limits = AnswerLimits { keep_ms: 100, count_max: 10 };
        let first = batch("1", 1000).put("k", "one").answer("made 17");
        let again = batch("1", 1050).put("k", "two").answer("made 18");
        let got = map.run(&mut at, limits, &[first, again.clone()]);
        let expected = Committed { version: Version(1), answer: b"made 17".to_vec(), repeated: true };
        assert_eq!(got[1], Ok(expected.clone()));
        assert_eq!(map.run(&mut at, limits, &[again]), [Ok(expected)]);
        // A day later (here 100 ms) the same key is a new write.
        let later = batch("1", 1100).put("k", "three");
        assert!(!map.run(&mut at, limits, &[later])[0].as_ref().unwrap().repeated);
        assert_eq!((map.remembered(), at), ((1, 1), (2, 1)));
    }

    #[test]
    fn answers_are_bounded_in_number_and_age() {
        let (mut map, mut at) = (Map::default(), (0, 0));
        let limits = AnswerLimits { keep_ms: 100, count_max: 4 };
        for n in 0..50 {
            map.run(&mut at, limits, &[batch(&n.to_string(), n)]);
            assert!(map.remembered().0 <= 4 && map.remembered().0 == map.remembered().1);
        }
        assert_eq!(at.1, 4);
        map.run(&mut at, limits, &[batch("late", 1000)]);
        assert_eq!((map.remembered(), at.1), ((1, 1), 1));
    }
}
