//! Control words: the 64-bit keys of DVB-CSA1, from a card, from a technician, or from a BISS-1 session word.
//!
//! On a card's interface and in CAMs the fourth and eighth byte of a control word are the sums of the three before them,
//! which leaves 48 bits of entropy; the algorithm itself takes any 64 bits, and so do we ([`ControlWord::has_checksums`]
//! is for whoever wants to doubt a word). BISS-1 is EBU Tech 3292, mode 1: the operator types 48 bits and the two sums are
//! added. Mode E, where the session word travels encrypted, is out. No error here repeats what was typed.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Digits of a BISS-1 session word.
const SESSION_DIGITS: usize = 12;

/// Digits of a whole control word.
const WORD_DIGITS: usize = 16;

/// A 64-bit key of DVB-CSA1. Wiped when dropped; never shown, and not comparable.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ControlWord([u8; 8]);

/// Why typed digits are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Too few or too many digits.
    #[error("the word has {have} characters, not {want} hexadecimal digits")]
    Length {
        /// Characters given.
        have: usize,
        /// Digits it takes: 12 for a session word, 16 for a control word.
        want: usize,
    },
    /// A character that is no digit.
    #[error("character {at} of the word is no hexadecimal digit")]
    Digit {
        /// Its place, from 1.
        at: usize,
    },
}

impl ControlWord {
    /// Takes all eight bytes as they are; the caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Adds the two checksum bytes to 48 bits of key.
    #[must_use]
    pub fn with_checksums(entropy: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = entropy;
        Self([a, b, c, sum(a, b, c), d, e, f, sum(d, e, f)])
    }

    /// Reads a BISS-1 session word: 12 hexadecimal digits, upper or lower case, no spaces (EBU Tech 3292, mode 1).
    ///
    /// ```
    /// use headend_csa::ControlWord;
    /// let word = ControlWord::from_session_word("1A2B3C4D5E6F").unwrap();
    /// assert_eq!(word.expose(), &[0x1A, 0x2B, 0x3C, 0x81, 0x4D, 0x5E, 0x6F, 0x1A]);
    /// ```
    ///
    /// # Errors
    /// [`WordError`] says how many characters there are, or where the first wrong one is.
    pub fn from_session_word(digits: &str) -> Result<Self, WordError> {
        let mut entropy = parse::<6>(digits, SESSION_DIGITS)?;
        let word = Self::with_checksums(entropy);
        entropy.zeroize();
        Ok(word)
    }

    /// Reads a whole control word: 16 hexadecimal digits. The checksum bytes are taken as typed, not verified.
    ///
    /// # Errors
    /// [`WordError`] says how many characters there are, or where the first wrong one is.
    pub fn from_hex(digits: &str) -> Result<Self, WordError> {
        parse::<8>(digits, WORD_DIGITS).map(Self)
    }

    /// Whether the fourth and eighth byte are the sums that card interfaces put there.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        let [a, b, c, first, d, e, f, second] = self.0;
        first == sum(a, b, c) && second == sum(d, e, f)
    }

    /// The bytes, for one who hands them to other equipment.
    #[must_use]
    pub fn expose(&self) -> &[u8; 8] {
        &self.0
    }
}

impl std::fmt::Debug for ControlWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControlWord(..)")
    }
}

fn sum(a: u8, b: u8, c: u8) -> u8 {
    a.wrapping_add(b).wrapping_add(c)
}

fn parse<const N: usize>(digits: &str, want: usize) -> Result<[u8; N], WordError> {
    let mut bytes = [0; N];
    let have = digits.chars().count();
    if have != want {
        return Err(WordError::Length { have, want });
    }
    for (at, character) in digits.chars().enumerate() {
        let Some(digit) = character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) else {
            bytes.zeroize();
            return Err(WordError::Digit { at: at + 1 });
        };
        bytes[at / 2] = bytes[at / 2] << 4 | digit;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn check(digits: &str, want: Result<[u8; 8], &str>) {
        let got = ControlWord::from_session_word(digits);
        assert_eq!(got.map(|word| *word.expose()).map_err(|error| error.to_string()), want.map_err(str::to_owned));
    }

    #[test]
    fn session_words() {
        check("000000000000", Ok([0; 8]));
        check("123456789ABC", Ok([0x12, 0x34, 0x56, 0x9C, 0x78, 0x9A, 0xBC, 0xCE]));
        check("ffffffffffff", Ok([0xFF, 0xFF, 0xFF, 0xFD, 0xFF, 0xFF, 0xFF, 0xFD]));
        check("", Err("the word has 0 characters, not 12 hexadecimal digits"));
        check("123456789ABCDEF0", Err("the word has 16 characters, not 12 hexadecimal digits"));
        check("12345678 ABC", Err("character 9 of the word is no hexadecimal digit"));
        check("12345678éABC", Err("character 9 of the word is no hexadecimal digit"));
        check("+23456789ABC", Err("character 1 of the word is no hexadecimal digit"));
    }

    #[test]
    fn whole_words_keep_what_was_typed() {
        let word = ControlWord::from_hex("0123456789abcdef").unwrap();
        assert_eq!(word.expose(), &[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
        assert!(!word.has_checksums());
        assert_eq!(ControlWord::from_hex("0123456789abcde").unwrap_err(), WordError::Length { have: 15, want: 16 });
    }

    #[test]
    fn a_word_is_never_shown() {
        assert_eq!(format!("{:?}", ControlWord::new([0xAB; 8])), "ControlWord(..)");
    }

    proptest! {
        #[test]
        fn checksums_are_there_and_a_changed_byte_is_seen(entropy in any::<[u8; 6]>(), at in 0..8usize, by in 1..=255u8) {
            let word = ControlWord::with_checksums(entropy);
            assert!(word.has_checksums());
            let mut bytes = *word.expose();
            bytes[at] ^= by;
            assert!(!ControlWord::new(bytes).has_checksums());
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = ControlWord::from_session_word(&text);
            let _ = ControlWord::from_hex(&text);
        }
    }
}
