//! The answer to reset, taken apart and put into words: ISO/IEC 7816-3 §8, historical bytes ISO/IEC 7816-4 §12.1.1.
//!
//! Pure. An ATR names no card number and no key; it tells a technician whether a card is in the right way round, which
//! kind it is, and how fast it talks. Bytes that are no ATR are an error that says which rule they break.

use std::fmt::Write as _;

/// The longest answer to reset.
pub const ATR_BYTES_MAX: usize = 33;

/// Why bytes are no ATR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AtrError {
    /// Under two bytes, or over [`ATR_BYTES_MAX`].
    #[error("{bytes} bytes are no answer to reset: 2 to {ATR_BYTES_MAX} are")]
    Length {
        /// Bytes given.
        bytes: usize,
    },
    /// The first byte is neither convention.
    #[error(
        "the first byte is {byte:02X}, not 3B or 3F: the contacts are dirty, or the card is in the wrong way round"
    )]
    Convention {
        /// The byte.
        byte: u8,
    },
    /// It announces more bytes than there are.
    #[error("the answer to reset ends before its {part}")]
    CutShort {
        /// What is missing.
        part: &'static str,
    },
    /// The checksum is wrong.
    #[error("the checksum of the answer to reset is wrong: dirty contacts, or a worn reader")]
    Checksum,
}

/// An answer to reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atr {
    bytes: Vec<u8>,
    /// The bit order of the card: the usual direct one, or inverse.
    pub inverse: bool,
    /// Transmission protocols offered, in order (0 for T=0, 1 for T=1); T=0 when it names none.
    pub protocols: Vec<u8>,
    /// Clock cycles per bit: Fi and Di of TA1, 372 and 1 when absent.
    pub speed: (u16, u16),
    /// Fi and Di are fixed by TA2; the reader must not negotiate.
    pub specific: bool,
    /// Extra guard time N of TC1.
    pub guard_time: u8,
    /// Waiting time integer WI of T=0 (TC2), 10 when absent.
    pub waiting_time: u8,
    /// Information field size of the card for T=1, 32 when absent.
    pub field_bytes: u8,
    /// Block and character waiting time integers of T=1.
    pub block_waiting: (u8, u8),
    /// What the maker put there.
    pub historical: Vec<u8>,
}

/// Reads bytes from the front.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn byte(&mut self, part: &'static str) -> Result<u8, AtrError> {
        let (&first, rest) = self.rest.split_first().ok_or(AtrError::CutShort { part })?;
        self.rest = rest;
        Ok(first)
    }

    fn take(&mut self, count: usize, part: &'static str) -> Result<&'a [u8], AtrError> {
        let (first, rest) = self.rest.split_at_checked(count).ok_or(AtrError::CutShort { part })?;
        self.rest = rest;
        Ok(first)
    }
}

impl Atr {
    /// Reads an ATR as a reader gives it, with its checksum where the protocols want one.
    ///
    /// # Errors
    /// [`AtrError`], in words for the technician.
    pub fn parse(bytes: &[u8]) -> Result<Self, AtrError> {
        if !(2..=ATR_BYTES_MAX).contains(&bytes.len()) {
            return Err(AtrError::Length { bytes: bytes.len() });
        }
        let mut cursor = Cursor { rest: bytes };
        let inverse = match cursor.byte("convention")? {
            0x3B => false,
            0x3F => true,
            byte => return Err(AtrError::Convention { byte }),
        };
        let mut atr = Self {
            bytes: bytes.to_vec(),
            inverse,
            protocols: vec![],
            speed: (372, 1),
            specific: false,
            guard_time: 0,
            waiting_time: 10,
            field_bytes: 32,
            block_waiting: (4, 13),
            historical: vec![],
        };
        let format = cursor.byte("format byte")?;
        atr.interface_bytes(format >> 4, &mut cursor)?;
        atr.historical = cursor.take(usize::from(format & 0x0F), "historical bytes")?.to_vec();
        // TCK is there unless T=0 alone is offered (§8.2.5).
        if atr.protocols.iter().any(|&protocol| protocol != 0) {
            cursor.byte("checksum")?;
            let sum = bytes[1..bytes.len() - cursor.rest.len()].iter().fold(0, |sum, byte| sum ^ byte);
            if sum != 0 {
                return Err(AtrError::Checksum);
            }
        }
        if atr.protocols.is_empty() {
            atr.protocols.push(0);
        }
        Ok(atr)
    }

    /// TA, TB, TC and TD of each group (§8.2.3); the presence bits of the next group are in TD.
    fn interface_bytes(&mut self, mut present: u8, cursor: &mut Cursor<'_>) -> Result<(), AtrError> {
        // Before the first TD the group's protocol is none; global bytes of groups 1 and 2 mean the same for all.
        let (mut group, mut protocol) = (1, None);
        loop {
            let mut read = |bit: u8, part| if present & bit != 0 { cursor.byte(part).map(Some) } else { Ok(None) };
            let (a, b, c, d) = (read(1, "TA")?, read(2, "TB")?, read(4, "TC")?, read(8, "TD")?);
            match (group, protocol) {
                (1, _) => {
                    if let Some(a) = a {
                        self.speed = (cycles(a >> 4), rate(a & 0x0F));
                    }
                    self.guard_time = c.unwrap_or(0);
                }
                (2, _) => {
                    self.specific = a.is_some();
                    self.waiting_time = c.unwrap_or(self.waiting_time);
                }
                (_, Some(1)) => {
                    self.field_bytes = a.unwrap_or(self.field_bytes);
                    if let Some(b) = b {
                        self.block_waiting = (b >> 4, b & 0x0F);
                    }
                }
                _ => {}
            }
            let Some(d) = d else { return Ok(()) };
            let named = d & 0x0F;
            // T=15 qualifies global bytes and is no protocol.
            if named != 15 && !self.protocols.contains(&named) {
                self.protocols.push(named);
            }
            (group, protocol, present) = (group + 1, Some(named), d >> 4);
        }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says, a line each, for a person.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let protocols: Vec<String> = self.protocols.iter().map(|protocol| format!("T={protocol}")).collect();
        let (cycles, rate) = self.speed;
        let convention = if self.inverse { "inverse" } else { "direct" };
        let fixed = if self.specific { ", fixed" } else { "" };
        let mut lines = vec![
            format!("{convention} convention, {}", protocols.join(" and ")),
            format!("{cycles} clock cycles for {rate} bit{}{fixed}", if rate == 1 { "" } else { "s" }),
        ];
        if self.guard_time > 0 {
            lines.push(format!("extra guard time {}", self.guard_time));
        }
        if self.protocols.contains(&0) {
            lines.push(format!("T=0: waiting time {}", self.waiting_time));
        }
        if self.protocols.contains(&1) {
            let (block, character) = self.block_waiting;
            lines.push(format!("T=1: fields of {} bytes, waiting times {block} and {character}", self.field_bytes));
        }
        lines.extend(explain_historical(&self.historical));
        lines
    }
}

/// Fi of table 7; 0 where it is kept for later use.
fn cycles(code: u8) -> u16 {
    const TABLE: [u16; 16] = [372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048, 0, 0];
    TABLE[usize::from(code & 0x0F)]
}

/// Di of table 8; 0 where it is kept for later use.
fn rate(code: u8) -> u16 {
    const TABLE: [u16; 16] = [0, 1, 2, 4, 8, 16, 32, 64, 12, 20, 0, 0, 0, 0, 0, 0];
    TABLE[usize::from(code & 0x0F)]
}

/// Historical bytes: COMPACT-TLV objects behind a category byte, or text, or bytes.
fn explain_historical(bytes: &[u8]) -> Vec<String> {
    let Some((&category, body)) = bytes.split_first() else { return vec![] };
    match category {
        0x00 => {
            let (body, status) = body.split_at(body.len().saturating_sub(3));
            let mut lines = compact(body);
            lines.push(format!("status indicator {}", hex(status)));
            lines
        }
        0x80 => compact(body),
        0x10 => vec![format!("directory data reference {}", hex(body))],
        _ => vec![format!("maker's own: {}", text_or_hex(bytes))],
    }
}

/// COMPACT-TLV (ISO/IEC 7816-4 §12.1.1.2): tag and length share a byte.
fn compact(mut body: &[u8]) -> Vec<String> {
    let mut lines = vec![];
    while let Some((&head, rest)) = body.split_first() {
        let Some((value, behind)) = rest.split_at_checked(usize::from(head & 0x0F)) else {
            lines.push(format!("a piece that leads out of the historical bytes: {}", hex(body)));
            return lines;
        };
        lines.push(match head >> 4 {
            1 => format!("country {}", hex(value)),
            2 => format!("issuer number {}", hex(value)),
            3 => services(value),
            4 => format!("initial access {}", hex(value)),
            5 => format!("issuer's text: {}", text_or_hex(value)),
            6 => format!("maker's text: {}", text_or_hex(value)),
            7 => format!("card capabilities {}", hex(value)),
            8 => format!("status indicator {}", hex(value)),
            15 => format!("application {}", hex(value)),
            tag => format!("object {tag:X}: {}", hex(value)),
        });
        body = behind;
    }
    lines
}

fn services(value: &[u8]) -> String {
    let mut text = "services:".to_owned();
    let bits = value.first().copied().unwrap_or(0);
    for (bit, words) in
        [(0x80, " application chosen by full name,"), (0x40, " by partial name,"), (0x20, " list in EF.DIR,")]
    {
        if bits & bit != 0 {
            text.push_str(words);
        }
    }
    text.trim_end_matches([',', ':']).to_owned()
}

fn text_or_hex(bytes: &[u8]) -> String {
    let printable = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    match std::str::from_utf8(bytes) {
        Ok(text) if printable && !text.is_empty() => format!("\"{text}\""),
        _ => hex(bytes),
    }
}

/// Upper-case digits, two a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(digits: &str, want: &[&str]) {
        let got = match Atr::parse(&bytes(digits)) {
            Ok(atr) => atr.explain(),
            Err(error) => vec![error.to_string()],
        };
        assert_eq!(got, want, "{digits}");
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(|digit| *digit != b' ').collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn answers_in_words() {
        // The open test card of docs/test-card.md.
        check(
            "3B 8B 81 31 FE 45 80 31 80 57 48 45 41 44 45 4E 44 A1",
            &[
                "direct convention, T=1",
                "372 clock cycles for 1 bit",
                "T=1: fields of 254 bytes, waiting times 4 and 5",
                "services: application chosen by full name",
                "issuer's text: \"HEADEND\"",
            ],
        );
        // ISO/IEC 7816-3 example shapes: T=0 alone, fixed speed, text without a category.
        check(
            "3F 77 18 00 00 41 42 43 44 45 46 47",
            &[
                "inverse convention, T=0",
                "372 clock cycles for 12 bits",
                "T=0: waiting time 10",
                "maker's own: \"ABCDEFG\"",
            ],
        );
        check(
            "3B D0 96 FF 81 B1 FE 45 1F 07 2A",
            &[
                "direct convention, T=1",
                "512 clock cycles for 32 bits",
                "extra guard time 255",
                "T=1: fields of 254 bytes, waiting times 4 and 5",
            ],
        );
        check("3B 00", &["direct convention, T=0", "372 clock cycles for 1 bit", "T=0: waiting time 10"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        check("3B", &["1 bytes are no answer to reset: 2 to 33 are"]);
        check(
            "00 00",
            &["the first byte is 00, not 3B or 3F: the contacts are dirty, or the card is in the wrong way round"],
        );
        check("3B 05 41", &["the answer to reset ends before its historical bytes"]);
        check("3B 10", &["the answer to reset ends before its TA"]);
        check("3B 80 01", &["the answer to reset ends before its checksum"]);
        check("3B 80 80 01 02", &["the checksum of the answer to reset is wrong: dirty contacts, or a worn reader"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40), inverse in any::<bool>()) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = if inverse { 0x3F } else { 0x3B };
            }
            if let Ok(atr) = Atr::parse(&bytes) {
                prop_assert!(atr.historical.len() <= 15 && !atr.explain().is_empty());
                prop_assert!(atr.explain().len() <= 5 + 15);
            }
        }

        /// What is announced is read, and one changed byte behind the convention is seen where there is a checksum.
        #[test]
        fn the_checksum_guards(historical in proptest::collection::vec(any::<u8>(), 0..=15), at in 2..10_usize, by in 1..=255_u8) {
            let mut bytes = vec![0x3B, 0x80 | u8::try_from(historical.len()).unwrap(), 0x01];
            bytes.extend(&historical);
            bytes.push(bytes[1..].iter().fold(0, |sum, byte| sum ^ byte));
            prop_assert_eq!(&Atr::parse(&bytes).unwrap().historical, &historical);
            if at >= 3 && at < bytes.len() {
                bytes[at] ^= by;
                prop_assert_eq!(Atr::parse(&bytes), Err(AtrError::Checksum));
            }
        }
    }
}
