//! Control words on their short way from a card to the descrambler of this process.
//!
//! A [`Word`] is wiped when dropped, has no `Debug` that shows it, no `Serialize` and no comparison; the only way to its
//! bytes is [`Word::expose`], which the descrambler calls. A [`WordBox`] is the letter box between one scrambled group of
//! streams and whichever card answers for it: the newest letter counts, and it is taken, not read.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::profile::Trouble;

/// What packets are scrambled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// DVB-CSA1, 64-bit words.
    Csa,
    /// DVB-CISSA version 1 (ETSI TS 103 127), 128-bit words.
    Cissa,
}

impl Algorithm {
    /// Bytes of one word.
    #[must_use]
    pub const fn word_bytes(self) -> usize {
        match self {
            Self::Csa => 8,
            Self::Cissa => 16,
        }
    }
}

/// One control word.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Word {
    #[zeroize(skip)]
    algorithm: Algorithm,
    bytes: [u8; 16],
}

impl Word {
    /// Takes a word; `None` when the length is not the algorithm's. The caller wipes its own copy.
    #[must_use]
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let mut word = Self { algorithm, bytes: [0; 16] };
        word.bytes.get_mut(..bytes.len()).filter(|_| bytes.len() == algorithm.word_bytes())?.copy_from_slice(bytes);
        Some(word)
    }

    /// What it is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes, for the descrambler.
    #[must_use]
    pub(crate) fn expose(&self) -> &[u8] {
        &self.bytes[..self.algorithm.word_bytes()]
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word(..)")
    }
}

/// What one ECM gives: the words of the period now and of the next, by parity.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// For packets marked even.
    pub even: Option<Word>,
    /// For packets marked odd.
    pub odd: Option<Word>,
}

/// A letter: words, or why there are none.
pub type Letter = Result<Words, Trouble>;

/// The letter box of one group of streams; clones are the same box.
#[derive(Clone, Default)]
pub struct WordBox {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    letter: Mutex<Option<(u64, Letter)>>,
    posted: AtomicU64,
}

impl WordBox {
    /// Puts the answer to the ECM `number` in; an older letter that was not fetched is wiped, and one about a newer ECM
    /// stays.
    pub fn post(&self, number: u64, letter: Letter) {
        let mut place = self.lock();
        if place.as_ref().is_some_and(|(newer, _)| *newer > number) {
            return;
        }
        *place = Some((number, letter));
        self.shared.posted.fetch_add(1, Ordering::Release);
    }

    /// Takes the letter, if there is a new one: the number of its ECM, and what it says.
    #[must_use]
    pub fn take(&self) -> Option<(u64, Letter)> {
        // The byte path looks at each batch of packets; without a letter it takes no lock.
        if self.shared.posted.swap(0, Ordering::Acquire) == 0 {
            return None;
        }
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Letter)>> {
        self.shared.letter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WordBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WordBox(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(byte: u8) -> Words {
        Words { even: Word::new(Algorithm::Csa, &[byte; 8]), odd: None }
    }

    #[test]
    fn a_word_is_as_long_as_its_algorithm_wants() {
        assert!(Word::new(Algorithm::Csa, &[1; 16]).is_none() && Word::new(Algorithm::Cissa, &[1; 8]).is_none());
        assert!(Word::new(Algorithm::Csa, &[1; 17]).is_none());
        assert_eq!(Word::new(Algorithm::Cissa, &[7; 16]).unwrap().expose(), [7; 16]);
    }

    #[test]
    fn the_newest_letter_is_taken_once() {
        let letters = WordBox::default();
        assert!(letters.take().is_none());
        letters.post(2, Ok(words(2)));
        letters.post(1, Ok(words(1)));
        let (number, letter) = letters.take().unwrap();
        assert_eq!((number, letter.unwrap().even.unwrap().expose()), (2, &[2; 8][..]));
        assert!(letters.take().is_none());
    }

    #[test]
    fn nothing_shows_a_word() {
        let letter: Letter = Ok(words(0xAB));
        let text = format!("{letter:?} {:?}", WordBox::default());
        assert!(!text.contains("171") && !text.to_lowercase().contains("ab"), "{text}");
    }
}
