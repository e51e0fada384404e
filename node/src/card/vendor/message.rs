//! The messages between the node and a vendor's module, byte by byte, as docs/vendor-module.md specifies them.
//!
//! Pure. One message is one datagram: version, kind, a number that ties a reply to its question, a body. Numbers are
//! big-endian. What does not fit the rules is [`Defect`]; the module is not forgiven, it is started anew.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::card::{
    profile::{ENTITLEMENTS_MAX, Entitlement, Identity, Trouble, label, tail},
    word::{Algorithm, Word, Words},
};

/// The version of this interface.
pub const VERSION: u8 = 1;

/// The longest message, header included.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;

const HEADER_BYTES: usize = 4;

/// Why a datagram is no message. Holds none of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Shorter than its header or body must be, or longer than [`MESSAGE_BYTES_MAX`].
    #[error("sent a message of a wrong length")]
    Length,
    /// Another version.
    #[error("speaks another version of the interface")]
    Version,
    /// A kind that a module does not send.
    #[error("sent a message of an unknown kind")]
    Kind,
    /// A body that makes no sense.
    #[error("sent a message that makes no sense")]
    Body,
}

impl Defect {
    /// The same as status shows it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Length => "sent a message of a wrong length",
            Self::Version => "speaks another version of the interface",
            Self::Kind => "sent a message of an unknown kind",
            Self::Body => "sent a message that makes no sense",
        }
    }
}

/// What the node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Asking {
    /// First of all. Body: none.
    Hello = 0x01,
    /// A card was put in. Body: its answer to reset.
    Inserted = 0x02,
    /// The card was pulled. Body: none; no reply.
    Removed = 0x03,
    /// Words are wanted. Body: CA_system_ID, section.
    Ecm = 0x04,
    /// An entitlement message. Body: CA_system_ID, section.
    Emm = 0x05,
    /// What may this card watch. Body: none.
    Entitlements = 0x06,
    /// The card's answer to a command. Body: data and status word.
    Answer = 0x07,
}

/// Composes what the node says.
#[must_use]
pub fn compose(asking: Asking, number: u16, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(HEADER_BYTES + parts.iter().map(|part| part.len()).sum::<usize>()));
    bytes.extend([VERSION, asking as u8]);
    bytes.extend(number.to_be_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// What a module says.
#[derive(Debug)]
pub enum Reply {
    /// To hello: its name.
    Welcome(String),
    /// The card is open.
    Ready(Identity),
    /// The words of an ECM.
    Words(Words),
    /// An EMM was looked at; whether the card took it.
    Emm(bool),
    /// What the card may watch.
    Entitlements(Vec<Entitlement>),
    /// Send this command to the card, and give its answer.
    Transmit(Zeroizing<Vec<u8>>),
    /// It cannot be done.
    Refused(Trouble),
}

/// Reads what a module says: the number of the question, and the reply.
///
/// # Errors
/// [`Defect`].
pub fn read(bytes: &[u8]) -> Result<(u16, Reply), Defect> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Defect::Length);
    }
    let (&[version, kind, high, low], body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Defect::Length)?;
    if version != VERSION {
        return Err(Defect::Version);
    }
    let reply = match kind {
        0x81 => Reply::Welcome(label(body)),
        0x82 => Reply::Ready(identity(body).ok_or(Defect::Body)?),
        0x83 => Reply::Words(words(body).ok_or(Defect::Body)?),
        0x84 => match body {
            [taken @ 0..=1] => Reply::Emm(*taken == 1),
            _ => return Err(Defect::Body),
        },
        0x85 => Reply::Entitlements(entitlements(body).ok_or(Defect::Body)?),
        0x86 => Reply::Transmit(Zeroizing::new(body.to_vec())),
        0x87 => Reply::Refused(match body {
            [1] => Trouble::NotEntitled,
            [2] => Trouble::Expired,
            [3] => Trouble::Busy,
            [4] => Trouble::Mute,
            [5] => Trouble::Garbled("the module does not know this card"),
            [_] => Trouble::Garbled("the module cannot say why"),
            _ => return Err(Defect::Body),
        }),
        _ => return Err(Defect::Kind),
    };
    Ok((u16::from_be_bytes([high, low]), reply))
}

/// Splits off a text with a one-byte length.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

/// Count of systems, systems, number, label.
fn identity(body: &[u8]) -> Option<Identity> {
    let (&count, rest) = body.split_first()?;
    let (systems, rest) = rest.split_at_checked(2 * usize::from(count))?;
    let (number, rest) = text(rest)?;
    let (name, rest) = text(rest)?;
    let systems: Vec<u16> = systems.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let number_tail = tail(&label(number));
    (rest.is_empty() && !systems.is_empty()).then(|| Identity { systems, label: label(name), number_tail })
}

/// Algorithm, which words are there (1 even, 2 odd), words.
fn words(body: &[u8]) -> Option<Words> {
    let (&[algorithm, there], rest) = body.split_first_chunk()?;
    let algorithm = match algorithm {
        1 => Algorithm::Csa,
        2 => Algorithm::Cissa,
        _ => return None,
    };
    let mut rest = rest;
    let mut take = |bit: u8| {
        if there & bit == 0 {
            return Some(None);
        }
        let (word, behind) = rest.split_at_checked(algorithm.word_bytes())?;
        rest = behind;
        Word::new(algorithm, word).map(Some)
    };
    let words = Words { even: take(1)?, odd: take(2)? };
    (rest.is_empty() && matches!(there, 1..=3)).then_some(words)
}

/// Entries of product, from, until (Unix seconds, all ones for "not told"), label.
fn entitlements(mut body: &[u8]) -> Option<Vec<Entitlement>> {
    let mut list = vec![];
    while !body.is_empty() {
        let (&product, rest) = body.split_first_chunk()?;
        let (&from, rest) = rest.split_first_chunk()?;
        let (&until, rest) = rest.split_first_chunk()?;
        let (name, rest) = text(rest)?;
        let moment = |bytes: [u8; 4]| {
            let seconds = u32::from_be_bytes(bytes);
            Timestamp::from_second(seconds.into()).ok().filter(|_| seconds != u32::MAX)
        };
        let (from, until) = (moment(from), moment(until));
        if list.len() < ENTITLEMENTS_MAX {
            list.push(Entitlement { product: u32::from_be_bytes(product), label: label(name), from, until });
        }
        body = rest;
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], want: &str) {
        let got = match read(bytes) {
            Ok((number, reply)) => format!("{number}: {reply:?}"),
            Err(defect) => defect.to_string(),
        };
        assert_eq!(got, want, "{bytes:02x?}");
    }

    #[test]
    fn replies() {
        check(b"\x01\x81\0\x05Ours", "5: Welcome(\"Ours\")");
        check(
            b"\x01\x82\0\x05\x01\x0B\0\x06123456\x01X",
            "5: Ready(Identity { systems: [2816], label: \"X\", number_tail: \"3456\" })",
        );
        check(b"\x01\x83\0\x05\x01\x0212345678", "5: Words(Words { even: None, odd: Some(Word(..)) })");
        check(b"\x01\x84\0\x05\x01", "5: Emm(true)");
        check(b"\x01\x87\0\x05\x01", "5: Refused(NotEntitled)");
        let entry = b"\x01\x85\0\x05\0\0\0\x09\xFF\xFF\xFF\xFF\0\0\0\0\x01P";
        let until = "until: Some(1970-01-01T00:00:00Z)";
        check(entry, &format!("5: Entitlements([Entitlement {{ product: 9, label: \"P\", from: None, {until} }}])"));
    }

    #[test]
    fn what_is_no_reply() {
        check(b"\x01\x81\0", "sent a message of a wrong length");
        check(&[1; MESSAGE_BYTES_MAX + 1], "sent a message of a wrong length");
        check(b"\x02\x81\0\x05", "speaks another version of the interface");
        check(b"\x01\x04\0\x05", "sent a message of an unknown kind");
        for body in
            [&b"\x83\0\x05\x01\x0312345678"[..], b"\x83\0\x05\x03\x0112345678", b"\x82\0\x05\0\0\0", b"\x84\0\x05\x02"]
        {
            check(&[b"\x01", body].concat(), "sent a message that makes no sense");
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_survived(kind in 0x80..0x8A_u8, body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let bytes = [&[VERSION, kind, 0, 1][..], &body].concat();
            if let Ok((_, Reply::Entitlements(list))) = read(&bytes) {
                prop_assert!(list.len() <= ENTITLEMENTS_MAX && list.len() <= body.len() / 13);
            }
            let _ = read(&body);
        }
    }
}
