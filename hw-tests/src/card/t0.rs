//! T=0 in front of a card that answers whole commands (ISO/IEC 7816-3 §12): a reader that works at this level sends a
//! header of five bytes and the data, and fetches an answer with GET RESPONSE.

use super::Card;

const GET_RESPONSE: u8 = 0xc0;
const MORE: u8 = 0x61;
const OTHER_LENGTH: u8 = 0x6c;

/// What waits to be fetched.
#[derive(Debug, Default)]
pub(super) struct T0 {
    waiting: Vec<u8>,
}

impl T0 {
    pub(super) fn reset(&mut self) {
        self.waiting.clear();
    }

    /// The answer to one T=0 command.
    pub(super) fn answer(&mut self, card: &mut dyn Card, command: &[u8]) -> Vec<u8> {
        if command.len() >= 5 && command[1] == GET_RESPONSE {
            return self.fetch(command[4]);
        }
        self.waiting.clear();
        let mut answer = card.answer(command);
        let Some(at) = answer.len().checked_sub(2).filter(|&at| at > 0) else { return answer };
        if command.len() == 5 {
            return right_length(answer, command[4]);
        }
        // Data in and out in one command: the answer waits.
        self.waiting = answer.drain(..at).collect();
        vec![MORE, length_byte(self.waiting.len())]
    }

    fn fetch(&mut self, wanted: u8) -> Vec<u8> {
        if self.waiting.is_empty() {
            return vec![0x69, 0x85];
        }
        let len = if wanted == 0 { 256 } else { usize::from(wanted) };
        let rest = self.waiting.split_off(len.min(self.waiting.len()));
        let mut answer = std::mem::replace(&mut self.waiting, rest);
        if self.waiting.is_empty() {
            answer.extend([0x90, 0x00]);
        } else {
            answer.extend([MORE, length_byte(self.waiting.len())]);
        }
        answer
    }
}

/// The card has another length than was asked for: it says which.
fn right_length(answer: Vec<u8>, wanted: u8) -> Vec<u8> {
    let have = answer.len() - 2;
    if usize::from(wanted) == have || (wanted == 0 && have == 256) {
        return answer;
    }
    vec![OTHER_LENGTH, length_byte(have)]
}

/// 256 and more are written as 0.
fn length_byte(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;
    impl Card for Echo {
        fn reset(&mut self) -> Vec<u8> {
            vec![0x3b, 0]
        }
        fn answer(&mut self, command: &[u8]) -> Vec<u8> {
            [command.get(5..).filter(|data| !data.is_empty()).unwrap_or(b"abcd"), &[0x90, 0]].concat()
        }
    }

    #[test]
    fn an_answer_is_announced_and_fetched() {
        let mut t0 = T0::default();
        assert_eq!(t0.answer(&mut Echo, &[0, 1, 0, 0, 3, 7, 8, 9]), [0x61, 3]);
        assert_eq!(t0.answer(&mut Echo, &[0, 0xc0, 0, 0, 2]), [7, 8, 0x61, 1]);
        assert_eq!(t0.answer(&mut Echo, &[0, 0xc0, 0, 0, 0]), [9, 0x90, 0]);
        assert_eq!(t0.answer(&mut Echo, &[0, 0xc0, 0, 0, 0]), [0x69, 0x85]);
    }

    #[test]
    fn the_wrong_length_is_corrected() {
        let mut t0 = T0::default();
        assert_eq!(t0.answer(&mut Echo, &[0, 1, 0, 0, 0]), [0x6c, 4]);
        assert_eq!(t0.answer(&mut Echo, &[0, 1, 0, 0, 4]), *b"abcd\x90\0");
    }
}
