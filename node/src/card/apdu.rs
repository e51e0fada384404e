//! Commands to a card and its answers, byte by byte: ISO/IEC 7816-4 §5, short lengths only.
//!
//! Pure. [`Command`] is written, [`Response`] is read, [`Exchange`] follows a card that keeps part of its answer back
//! (`61xx`) or wants another length (`6Cxx`). What a command means is a profile's business; carrying the bytes a reader's.
//! Bytes that come from a card are wiped when dropped: some systems answer with key material.

use std::fmt;

use zeroize::Zeroizing;

/// The most data of one command: a one-byte length.
pub const DATA_BYTES_MAX: usize = 255;

/// The longest command: header, length, data, expected length.
pub const COMMAND_BYTES_MAX: usize = 4 + 1 + DATA_BYTES_MAX + 1;

/// The longest answer: 256 bytes and the status word.
pub const RESPONSE_BYTES_MAX: usize = 258;

/// The most data gathered over `61xx` turns.
const GATHERED_BYTES_MAX: usize = 2048;

/// Turns of one exchange; a card that keeps saying "more" is not waited for.
const TURNS_MAX: usize = 16;

/// Why bytes are no command or no answer. Holds none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApduError {
    /// More data than a short command carries.
    #[error("{bytes} bytes do not fit into one command, which carries {DATA_BYTES_MAX}")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
    /// No status word, or more than 256 bytes before it.
    #[error("a card's answer of {bytes} bytes is none: 2 to {RESPONSE_BYTES_MAX} are")]
    NoAnswer {
        /// Bytes that came.
        bytes: usize,
    },
    /// It kept saying that there is more.
    #[error("the card's answer does not end")]
    Endless,
}

/// Class, instruction and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// CLA.
    pub class: u8,
    /// INS.
    pub instruction: u8,
    /// P1 and P2.
    pub parameters: [u8; 2],
}

/// A command as it goes to the card.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Zeroizing<Vec<u8>>);

impl Command {
    /// Composes a command of case 1 to 4; `expected` is Le, 0 for up to 256 bytes.
    ///
    /// # Errors
    /// [`ApduError::TooLong`].
    pub fn new(header: Header, data: &[u8], expected: Option<u8>) -> Result<Self, ApduError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(COMMAND_BYTES_MAX));
        bytes.extend([header.class, header.instruction]);
        bytes.extend(header.parameters);
        if !data.is_empty() {
            bytes.push(u8::try_from(data.len()).map_err(|_| ApduError::TooLong { bytes: data.len() })?);
            bytes.extend_from_slice(data);
        }
        bytes.extend(expected);
        Ok(Self(bytes))
    }

    /// Takes a command that somebody else composed; a module's, to be carried.
    ///
    /// # Errors
    /// [`ApduError::TooLong`]; also for fewer than the four bytes of a header.
    pub fn carried(bytes: &[u8]) -> Result<Self, ApduError> {
        if !(4..=COMMAND_BYTES_MAX).contains(&bytes.len()) {
            return Err(ApduError::TooLong { bytes: bytes.len() });
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({:02X?}, {} bytes)", &self.0[..4], self.0.len())
    }
}

/// SW1 and SW2, with their meaning for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// Normal end.
    pub const DONE: Self = Self(0x9000);
    /// Security status not satisfied.
    pub const NOT_ENTITLED: Self = Self(0x6982);
    /// Conditions of use not satisfied.
    pub const EXPIRED: Self = Self(0x6985);
    /// The card is working on something else (as GSM 11.11 §9.4.2 has it).
    pub const BUSY: Self = Self(0x9300);

    /// What ISO/IEC 7816-4 §5.6 says it means.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "done",
            0x9300 => "busy",
            0x6100..=0x61FF => "more data is waiting",
            0x6200..=0x63FF => "done with a warning",
            0x6400..=0x66FF => "execution error or memory fault",
            0x6700 => "wrong length",
            0x6800..=0x68FF => "function of the class not supported",
            0x6982 => "security status not satisfied",
            0x6983 => "authentication blocked",
            0x6984 => "reference data not usable",
            0x6985 => "conditions of use not satisfied",
            0x6988 => "message authentication is wrong",
            0x6900..=0x69FF => "command not allowed",
            0x6A80 => "wrong data",
            0x6A82 => "application not found",
            0x6A88 => "data not found",
            0x6A00..=0x6AFF => "wrong parameters",
            0x6B00 => "wrong parameters P1-P2",
            0x6C00..=0x6CFF => "wrong expected length",
            0x6D00 => "instruction not known",
            0x6E00 => "class not known",
            0x6F00..=0x6FFF => "the card cannot say what is wrong",
            _ => "not a status of ISO/IEC 7816-4",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X} ({})", self.0, self.meaning())
    }
}

/// An answer: data and status.
#[derive(PartialEq, Eq)]
pub struct Response<'a> {
    /// Up to 256 bytes.
    pub data: &'a [u8],
    /// The last two.
    pub status: Status,
}

impl<'a> Response<'a> {
    /// Reads what a reader gave.
    ///
    /// # Errors
    /// [`ApduError::NoAnswer`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ApduError> {
        let short = ApduError::NoAnswer { bytes: bytes.len() };
        let (data, &[high, low]) = bytes.split_last_chunk().ok_or(short)?;
        if bytes.len() > RESPONSE_BYTES_MAX {
            return Err(short);
        }
        Ok(Self { data, status: Status(u16::from_be_bytes([high, low])) })
    }
}

/// What comes next in an exchange.
#[derive(Debug)]
pub enum Turn {
    /// Send this.
    Send(Command),
    /// The whole answer.
    Done(Zeroizing<Vec<u8>>, Status),
}

/// One command to the end of its answer, over as many turns as the card wants.
pub struct Exchange {
    command: Command,
    gathered: Zeroizing<Vec<u8>>,
    turns: usize,
}

impl Exchange {
    /// Begins; the first to send is [`Self::command`].
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { command, gathered: Zeroizing::new(vec![]), turns: 0 }
    }

    /// The command that was given.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command.clone()
    }

    /// Takes the card's answer to what was sent last.
    ///
    /// # Errors
    /// [`ApduError`] when it is none, or none that ends.
    pub fn answer(&mut self, bytes: &[u8]) -> Result<Turn, ApduError> {
        let response = Response::parse(bytes)?;
        self.turns += 1;
        self.gathered.extend_from_slice(response.data);
        let [high, low] = response.status.0.to_be_bytes();
        if self.turns > TURNS_MAX || self.gathered.len() > GATHERED_BYTES_MAX {
            return Err(ApduError::Endless);
        }
        match high {
            0x61 => {
                // GET RESPONSE (§7.6.1).
                let header = Header { class: 0x00, instruction: 0xC0, parameters: [0, 0] };
                Ok(Turn::Send(Command::new(header, &[], Some(low))?))
            }
            0x6C => {
                let mut bytes = self.command.0.clone();
                let end = bytes.len() - 1;
                // A command without Le has no length to be corrected; the card is told one all the same.
                if has_expected(&bytes) {
                    bytes[end] = low
                } else {
                    bytes.push(low)
                }
                Ok(Turn::Send(Command(bytes)))
            }
            _ => Ok(Turn::Done(std::mem::take(&mut self.gathered), response.status)),
        }
    }
}

/// Whether the last byte is Le (case 2 or 4).
fn has_expected(bytes: &[u8]) -> bool {
    match bytes.get(4) {
        None => false,
        Some(_) if bytes.len() == 5 => true,
        Some(&length) => bytes.len() == 6 + usize::from(length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READ: Header = Header { class: 0x00, instruction: 0xCA, parameters: [1, 0] };

    fn check(data: &[u8], expected: Option<u8>, want: &[u8]) {
        let command = Command::new(READ, data, expected).unwrap();
        assert_eq!(command.bytes(), want);
    }

    #[test]
    fn the_four_cases() {
        check(&[], None, &[0, 0xCA, 1, 0]);
        check(&[], Some(0), &[0, 0xCA, 1, 0, 0]);
        check(&[7, 8], None, &[0, 0xCA, 1, 0, 2, 7, 8]);
        check(&[7, 8], Some(16), &[0, 0xCA, 1, 0, 2, 7, 8, 16]);
        assert_eq!(Command::new(READ, &[0; 256], None), Err(ApduError::TooLong { bytes: 256 }));
    }

    /// Plays the card's answers, and compares what is sent and the end.
    fn play(data: &[u8], answers: &[&[u8]], want: &[&[u8]], end: Result<(&[u8], u16), ApduError>) {
        let mut exchange = Exchange::new(Command::new(READ, data, Some(0)).unwrap());
        let (mut sent, mut got) = (vec![], None);
        for answer in answers {
            match exchange.answer(answer) {
                Ok(Turn::Send(command)) => sent.push(command.bytes().to_vec()),
                Ok(Turn::Done(data, status)) => got = Some(Ok((data.to_vec(), status.0))),
                Err(error) => got = Some(Err(error)),
            }
        }
        assert_eq!(sent, want);
        assert_eq!(got.unwrap(), end.map(|(data, status)| (data.to_vec(), status)));
    }

    #[test]
    fn a_card_that_keeps_part_back_is_asked_for_it() {
        play(&[], &[&[1, 2, 0x61, 3], &[3, 4, 5, 0x90, 0]], &[&[0, 0xC0, 0, 0, 3]], Ok((&[1, 2, 3, 4, 5], 0x9000)));
        play(&[9], &[&[0x6C, 4], &[1, 0x90, 0]], &[&[0, 0xCA, 1, 0, 1, 9, 4]], Ok((&[1], 0x9000)));
        play(&[], &[&[0x69, 0x82]], &[], Ok((&[], 0x6982)));
        play(&[], &[&[0x90]], &[], Err(ApduError::NoAnswer { bytes: 1 }));
        play(&[], &[&[0; 259]], &[], Err(ApduError::NoAnswer { bytes: 259 }));
    }

    #[test]
    fn what_a_command_carries_is_not_printed() {
        let command = Command::new(READ, &[0xAB; 9], None).unwrap();
        assert_eq!(format!("{command:?}"), "Command([00, CA, 01, 00], 14 bytes)");
    }

    proptest! {
        /// Any card, however it answers, is done with after a bounded number of turns and bytes.
        #[test]
        fn any_answers_come_to_an_end(
            answers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 64),
            more in any::<bool>(),
        ) {
            let mut exchange = Exchange::new(Command::new(READ, &[], Some(0)).unwrap());
            let mut turns = 0;
            for mut answer in answers {
                if more && answer.len() >= 2 {
                    let at = answer.len() - 2;
                    answer[at] = 0x61;
                }
                turns += 1;
                prop_assert!(exchange.gathered.len() <= GATHERED_BYTES_MAX);
                if !matches!(exchange.answer(&answer), Ok(Turn::Send(_))) {
                    break;
                }
            }
            prop_assert!(turns <= TURNS_MAX + 1);
        }

        #[test]
        fn data_comes_back(data in proptest::collection::vec(any::<u8>(), 0..=256), status in any::<u16>()) {
            let bytes = [&data[..], &status.to_be_bytes()].concat();
            let response = Response::parse(&bytes).unwrap();
            prop_assert_eq!((response.data, response.status), (&data[..], Status(status)));
            prop_assert!(!response.status.to_string().is_empty());
        }
    }
}
