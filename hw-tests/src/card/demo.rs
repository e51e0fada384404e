//! The smallest honest card: SELECT by name and GET DATA (ISO/IEC 7816-4 §11). It proves the way to a card, no more.

use super::Card;

/// The application's name: a proprietary one (first digit F), then `HEADEND`.
pub const AID: [u8; 8] = *b"\xf0HEADEND";
/// What GET DATA for tag 0101 gives.
pub const SERIAL: [u8; 8] = *b"00000042";

/// Direct convention, T=0, seven historical bytes: proprietary, `HEADEN`.
const ATR: [u8; 9] = *b"\x3b\x07HEADEND";

const OK: [u8; 2] = [0x90, 0x00];
const NOT_FOUND: [u8; 2] = [0x6a, 0x82];
const NO_SUCH_DATA: [u8; 2] = [0x6a, 0x88];
const NOTHING_SELECTED: [u8; 2] = [0x69, 0x85];
const NO_SUCH_COMMAND: [u8; 2] = [0x6d, 0x00];
const NO_SUCH_CLASS: [u8; 2] = [0x6e, 0x00];
const WRONG_LENGTH: [u8; 2] = [0x67, 0x00];

/// The demonstration card.
#[derive(Debug, Default)]
pub struct Demo {
    selected: bool,
}

impl Card for Demo {
    fn reset(&mut self) -> Vec<u8> {
        self.selected = false;
        ATR.to_vec()
    }

    fn answer(&mut self, command: &[u8]) -> Vec<u8> {
        let [class, instruction, p1, p2, body @ ..] = command else { return WRONG_LENGTH.to_vec() };
        if *class != 0 {
            return NO_SUCH_CLASS.to_vec();
        }
        match (instruction, p1, p2) {
            (0xa4, 0x04, _) => self.select(body),
            (0xca, 0x01, 0x01) if self.selected => [&SERIAL[..], &OK].concat(),
            (0xca, ..) if self.selected => NO_SUCH_DATA.to_vec(),
            (0xca, ..) => NOTHING_SELECTED.to_vec(),
            _ => NO_SUCH_COMMAND.to_vec(),
        }
    }
}

impl Demo {
    fn select(&mut self, body: &[u8]) -> Vec<u8> {
        let [len, rest @ ..] = body else { return WRONG_LENGTH.to_vec() };
        let Some(name) = rest.get(..usize::from(*len)) else { return WRONG_LENGTH.to_vec() };
        self.selected = name == AID;
        if self.selected { OK.to_vec() } else { NOT_FOUND.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_only_after_select() {
        let mut card = Demo::default();
        card.reset();
        let select = [&[0, 0xa4, 4, 0, 8][..], &AID].concat();
        let steps: [(&[u8], &[u8]); 6] = [
            (&[0, 0xca, 1, 1, 0], &NOTHING_SELECTED),
            (&[0, 0xa4, 4, 0, 2, 1, 2], &NOT_FOUND),
            (&select, &OK),
            (&[0, 0xca, 1, 1, 0], b"00000042\x90\x00"),
            (&[0, 0xca, 9, 9, 0], &NO_SUCH_DATA),
            (&[0x80, 0xca, 1, 1, 0], &NO_SUCH_CLASS),
        ];
        for (command, want) in steps {
            assert_eq!(card.answer(command), want, "{command:02x?}");
        }
        for len in 0..6 {
            assert!(card.answer(&select[..len]).len() == 2, "a command cut at {len} has a status word");
        }
    }
}
