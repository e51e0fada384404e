//! The profile of our own open test card, as docs/test-card.md specifies it.
//!
//! Pure. It selects the application, reads identity and entitlements, and trades ECM sections for control words that
//! the card wraps under the key it shares with this box. The card's side of the same document is played by the tests.

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    apdu::{Command, Exchange, Header, Status, Turn},
    atr::hex,
    profile::{CardProfile, ENTITLEMENTS_MAX, Entitlement, Identity, Outcome, Step, Task, Trouble, label, tail},
    word::{Algorithm, Word, Words},
};

/// CA_system_ID of the open test card; see docs/test-card.md for why this one.
pub const SYSTEM: u16 = 0xF48D;

/// The application: category F0, "not registered" (ISO/IEC 7816-4 §12.2.3.4), and a name.
pub const APPLICATION: [u8; 9] = *b"\xF0HEADEND\x01";

const SELECT: Header = Header { class: 0x00, instruction: 0xA4, parameters: [0x04, 0x00] };
const IDENTITY: Header = Header { class: 0x00, instruction: 0xCA, parameters: [0x01, 0x00] };
const ENTITLEMENTS: Header = Header { class: 0x00, instruction: 0xCA, parameters: [0x01, 0x01] };
const DECIPHER: Header = Header { class: 0x80, instruction: 0x2A, parameters: [0x80, 0x86] };
const PUT_EMM: Header = Header { class: 0x80, instruction: 0xDA, parameters: [0x01, 0x01] };

const WRAP_VERSION: u8 = 1;
const MAC_BYTES: usize = 8;
const IV_BYTES: usize = 16;

/// The secret a card and its box share: 16 bytes to encrypt, 16 to authenticate. Wiped when dropped, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CardKey {
    encrypt: [u8; 16],
    authenticate: [u8; 16],
}

impl CardKey {
    /// Takes 32 bytes, or their 64 hexadecimal digits; `None` otherwise.
    #[must_use]
    pub fn read(secret: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        match secret.len() {
            32 => bytes.copy_from_slice(secret),
            64 => {
                for (byte, pair) in bytes.iter_mut().zip(secret.chunks_exact(2)) {
                    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
                    *byte = digit(pair[0])? << 4 | digit(pair[1])?;
                }
            }
            _ => return None,
        }
        let mut key = Self { encrypt: [0; 16], authenticate: [0; 16] };
        key.encrypt.copy_from_slice(&bytes[..16]);
        key.authenticate.copy_from_slice(&bytes[16..]);
        Some(key)
    }

    /// Checks and opens what the card wrapped: version, algorithm, period, IV, words, MAC.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Words, Trouble> {
        let (body, mac) = wrapped.split_last_chunk::<MAC_BYTES>().ok_or(Trouble::Garbled("too short"))?;
        let mut check = Hmac::<Sha256>::new_from_slice(&self.authenticate).expect("HMAC takes keys of any length");
        check.update(body);
        check.verify_truncated_left(mac).map_err(|_| Trouble::Garbled("its seal does not fit this box's card key"))?;
        let (&[version, algorithm, _, _, _, _], rest) =
            body.split_first_chunk().ok_or(Trouble::Garbled("too short"))?;
        let algorithm = match (version, algorithm) {
            (WRAP_VERSION, 1) => Algorithm::Csa,
            (WRAP_VERSION, 2) => Algorithm::Cissa,
            _ => return Err(Trouble::Garbled("another version or algorithm")),
        };
        let (iv, sealed) = rest.split_first_chunk::<IV_BYTES>().ok_or(Trouble::Garbled("too short"))?;
        let bytes = algorithm.word_bytes();
        if sealed.len() != 2 * bytes {
            return Err(Trouble::Garbled("another length of words"));
        }
        let mut clear = Zeroizing::new(sealed.to_vec());
        cbc::Decryptor::<Aes128>::new(&self.encrypt.into(), iv.into())
            .decrypt_padded::<NoPadding>(&mut clear)
            .map_err(|_| Trouble::Garbled("no whole blocks"))?;
        let (even, odd) = clear.split_at(bytes);
        Ok(Words { even: Word::new(algorithm, even), odd: Word::new(algorithm, odd) })
    }
}

impl std::fmt::Debug for CardKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardKey(..)")
    }
}

/// Where in a task we are.
enum Stage {
    Idle,
    Selecting(Exchange),
    Identifying(Exchange),
    Listing(Exchange),
    Deciphering(Exchange),
    Updating(Exchange),
}

/// The open test card's profile.
pub struct OpenCard {
    key: CardKey,
    stage: Stage,
}

impl OpenCard {
    /// A profile for the card that shares `key`.
    #[must_use]
    pub fn new(key: CardKey) -> Self {
        Self { key, stage: Stage::Idle }
    }

    fn start(&mut self, header: Header, data: &[u8], stage: fn(Exchange) -> Stage) -> Step {
        match Command::new(header, data, Some(0)) {
            Ok(command) => {
                self.stage = stage(Exchange::new(command.clone()));
                Step::Transmit(command)
            }
            Err(error) => self.end(Err(Trouble::Apdu(error))),
        }
    }

    fn end(&mut self, result: Result<Outcome, Trouble>) -> Step {
        self.stage = Stage::Idle;
        Step::Done(result)
    }
}

impl CardProfile for OpenCard {
    fn inserted(&mut self, _atr: &[u8]) {
        self.stage = Stage::Idle;
    }

    fn removed(&mut self) {
        self.stage = Stage::Idle;
    }

    fn begin(&mut self, task: &Task) -> Step {
        match task {
            Task::Open => self.start(SELECT, &APPLICATION, Stage::Selecting),
            Task::Entitlements => self.start(ENTITLEMENTS, &[], Stage::Listing),
            Task::Ecm { section, .. } => self.start(DECIPHER, section, Stage::Deciphering),
            Task::Emm { section, .. } => self.start(PUT_EMM, section, Stage::Updating),
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Step {
        let (Stage::Selecting(exchange)
        | Stage::Identifying(exchange)
        | Stage::Listing(exchange)
        | Stage::Deciphering(exchange)
        | Stage::Updating(exchange)) = &mut self.stage
        else {
            return self.end(Err(Trouble::Garbled("an answer to nothing")));
        };
        let (answer, status) = match exchange.answer(bytes) {
            Ok(Turn::Send(command)) => return Step::Transmit(command),
            Ok(Turn::Done(answer, status)) => (answer, status),
            Err(error) => return self.end(Err(Trouble::Apdu(error))),
        };
        if status == Status::BUSY {
            return self.end(Err(Trouble::Busy));
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        match stage {
            Stage::Selecting(_) if status == Status::DONE => self.start(IDENTITY, &[], Stage::Identifying),
            Stage::Selecting(_) => self.end(Err(Trouble::NotOurs(status))),
            Stage::Updating(_) => self.end(match status.0 {
                0x9000 => Ok(Outcome::Emm { taken: true }),
                // For another card, or an old one again: neither is a fault.
                0x6A88 | 0x6985 => Ok(Outcome::Emm { taken: false }),
                _ => Err(Trouble::Refused(status)),
            }),
            _ if status == Status::NOT_ENTITLED => self.end(Err(Trouble::NotEntitled)),
            _ if status == Status::EXPIRED => self.end(Err(Trouble::Expired)),
            _ if status != Status::DONE => self.end(Err(Trouble::Refused(status))),
            Stage::Identifying(_) => self.end(identity(&answer).map(Outcome::Opened)),
            Stage::Listing(_) => self.end(entitlements(&answer).map(Outcome::Entitlements)),
            Stage::Deciphering(_) => {
                let words = self.key.unwrap(&answer);
                self.end(words.map(Outcome::Words))
            }
            Stage::Idle => self.end(Err(Trouble::Garbled("an answer to nothing"))),
        }
    }
}

/// One object: a one-byte tag, a one-byte length (to 127; ISO/IEC 7816-4 §5.2.2.1), a value.
fn objects(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), Trouble>> {
    std::iter::from_fn(move || {
        let whole = bytes;
        let (&tag, rest) = whole.split_first()?;
        let split = rest
            .split_first()
            .and_then(|(&length, rest)| rest.split_at_checked(usize::from(length)).filter(|_| length < 0x80));
        let Some((value, behind)) = split else {
            bytes = &[];
            return Some(Err(Trouble::Garbled("an object leads out of the answer")));
        };
        bytes = behind;
        Some(Ok((tag, value)))
    })
}

fn identity(bytes: &[u8]) -> Result<Identity, Trouble> {
    let mut identity = Identity::default();
    for object in objects(bytes) {
        match object? {
            (0xC1, number) => identity.number_tail = tail(&hex(number)),
            (0xC2, systems) => {
                identity.systems = systems.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            }
            (0xC3, text) => identity.label = label(text),
            // Room for later versions.
            _ => {}
        }
    }
    if identity.systems.is_empty() { Err(Trouble::Garbled("it names no CA system")) } else { Ok(identity) }
}

fn entitlements(bytes: &[u8]) -> Result<Vec<Entitlement>, Trouble> {
    let mut list = vec![];
    for object in objects(bytes) {
        let (0xE1, body) = object? else { continue };
        let mut one = Entitlement { product: 0, label: String::new(), from: None, until: None };
        for object in objects(body) {
            match object? {
                (0x80, &[high, low]) => one.product = u32::from(u16::from_be_bytes([high, low])),
                (0x81, value) => one.from = moment(value)?,
                (0x82, value) => one.until = moment(value)?,
                (0x83, text) => one.label = label(text),
                _ => {}
            }
        }
        if list.len() < ENTITLEMENTS_MAX {
            list.push(one);
        }
    }
    Ok(list)
}

/// Unix seconds, four bytes; all ones is "never".
fn moment(value: &[u8]) -> Result<Option<Timestamp>, Trouble> {
    let bytes: [u8; 4] = value.try_into().map_err(|_| Trouble::Garbled("a time of another length"))?;
    let seconds = u32::from_be_bytes(bytes);
    Ok(Timestamp::from_second(seconds.into()).ok().filter(|_| seconds != u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile() -> OpenCard {
        OpenCard::new(CardKey::read(&[7; 32]).unwrap())
    }

    /// Runs a task against the card's answers; gives what was sent and how it ended.
    fn run(task: &Task, answers: &[&[u8]]) -> (Vec<Vec<u8>>, String) {
        let mut profile = profile();
        let (mut sent, mut step, mut answers) = (vec![], profile.begin(task), answers.iter());
        loop {
            match step {
                Step::Transmit(command) => {
                    sent.push(command.bytes().to_vec());
                    let Some(answer) = answers.next() else { return (sent, "unfinished".to_owned()) };
                    step = profile.answer(answer);
                }
                Step::Done(Ok(outcome)) => return (sent, format!("{outcome:?}")),
                Step::Done(Err(trouble)) => return (sent, headend_rt::chain(&trouble)),
            }
        }
    }

    fn check(task: &Task, answers: &[&[u8]], want: &str) {
        assert_eq!(run(task, answers).1, want);
    }

    fn ecm() -> Task {
        Task::Ecm { system: SYSTEM, section: [0x80, 0x70, 0].into() }
    }

    #[test]
    fn a_card_is_opened_by_name_and_shows_no_more_than_the_end_of_its_number() {
        let identity =
            [&[0xC1, 4, 0x12, 0x34, 0x56, 0x78][..], &[0xC2, 2, 0xF4, 0x8D], &[0xC3, 2, b'O', b'T'], &[0x90, 0]];
        let (sent, end) = run(&Task::Open, &[&[0x90, 0], &identity.concat()]);
        assert_eq!(sent[0], b"\0\xA4\x04\0\x09\xF0HEADEND\x01\0");
        assert_eq!(sent[1], [0, 0xCA, 1, 0, 0]);
        assert_eq!(end, "Opened(Identity { systems: [62605], label: \"OT\", number_tail: \"5678\" })");
        check(&Task::Open, &[&[0x6A, 0x82]], "the card is not one of this profile: 6A82 (application not found)");
        check(&Task::Open, &[&[0x90, 0], &[0x90, 0]], "the card's answer makes no sense: it names no CA system");
    }

    #[test]
    fn refusals_are_told_apart() {
        check(&ecm(), &[&[0x69, 0x82]], "the card is not entitled to this service");
        check(&ecm(), &[&[0x69, 0x85]], "the entitlement has run out, or has not begun");
        check(&ecm(), &[&[0x93, 0x00]], "the card is busy");
        check(&ecm(), &[&[0x6F, 0x00]], "the card refused: 6F00 (the card cannot say what is wrong)");
        check(&ecm(), &[&[0x90]], "the card's answer cannot be read: a card's answer of 1 bytes is none: 2 to 258 are");
        check(&ecm(), &[&[0x90, 0]], "the card's answer makes no sense: too short");
        let sealed = [[1; 40].as_slice(), &[0x90, 0]].concat();
        check(&ecm(), &[&sealed], "the card's answer makes no sense: its seal does not fit this box's card key");
        let long = Task::Ecm { system: SYSTEM, section: vec![0; 256].into() };
        check(&long, &[], "the card's answer cannot be read: 256 bytes do not fit into one command, which carries 255");
    }

    #[test]
    fn emms_for_others_are_no_fault() {
        let emm = Task::Emm { system: SYSTEM, section: [0x82, 0x70, 0].into() };
        check(&emm, &[&[0x90, 0]], "Emm { taken: true }");
        check(&emm, &[&[0x6A, 0x88]], "Emm { taken: false }");
        check(&emm, &[&[0x69, 0x88]], "the card refused: 6988 (message authentication is wrong)");
    }

    #[test]
    fn entitlements_with_their_end() {
        let body = [0xE1, 13, 0x80, 2, 0, 5, 0x82, 4, 0x65, 0x53, 0xF1, 0x00, 0x83, 1, b'B'];
        let answer = [&body[..], &[0x90, 0]].concat();
        let want =
            "Entitlements([Entitlement { product: 5, label: \"B\", from: None, until: Some(2023-11-14T22:13:20Z) }])";
        check(&Task::Entitlements, &[&answer], want);
        check(
            &Task::Entitlements,
            &[&[0xE1, 9, 0x90, 0]],
            "the card's answer makes no sense: an object leads out of the answer",
        );
    }

    #[test]
    fn keys_are_bytes_or_digits_and_are_not_shown() {
        let digits = "07".repeat(32);
        assert_eq!(CardKey::read(digits.as_bytes()).unwrap().encrypt, [7; 16]);
        assert!(CardKey::read(b"short").is_none() && CardKey::read(&[b'x'; 64]).is_none());
        assert_eq!(format!("{:?}", CardKey::read(&[7; 32]).unwrap()), "CardKey(..)");
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(answers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
            for task in [Task::Open, Task::Entitlements, ecm()] {
                run(&task, &answers);
            }
        }

        #[test]
        fn any_objects_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(list) = entitlements(&bytes) {
                prop_assert!(list.len() <= bytes.len() / 2);
            }
            if let Ok(identity) = identity(&bytes) {
                prop_assert!(identity.number_tail.len() <= 4 && identity.label.len() <= 4 * LABEL);
            }
        }
    }

    const LABEL: usize = crate::card::profile::LABEL_BYTES_MAX;
}
