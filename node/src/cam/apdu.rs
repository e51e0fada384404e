//! The application layer: objects with tags of three bytes, and the joining of those that come in parts (EN 50221 §8).
//!
//! Pure. What is in the objects is read by the rooms of the resources: [`super::ca_pmt`], [`super::screen`].

use super::length::{self, BYTES_MAX};

/// Tags (EN 50221 table 58).
pub mod tag {
    /// Resource manager.
    pub const PROFILE_ENQUIRY: u32 = 0x009F_8010;
    /// The resources one side has.
    pub const PROFILE: u32 = 0x009F_8011;
    /// Ask for the profile again.
    pub const PROFILE_CHANGE: u32 = 0x009F_8012;
    /// Asks what the module is.
    pub const APPLICATION_ENQUIRY: u32 = 0x009F_8020;
    /// What the module is.
    pub const APPLICATION: u32 = 0x009F_8021;
    /// Asks for its menu.
    pub const ENTER_MENU: u32 = 0x009F_8022;
    /// Asks for its CA systems.
    pub const CA_ENQUIRY: u32 = 0x009F_8030;
    /// Its CA systems.
    pub const CA: u32 = 0x009F_8031;
    /// A service to descramble.
    pub const CA_PMT: u32 = 0x009F_8032;
    /// What it says to that.
    pub const CA_PMT_REPLY: u32 = 0x009F_8033;
    /// Asks for the time.
    pub const TIME_ENQUIRY: u32 = 0x009F_8440;
    /// The time.
    pub const TIME: u32 = 0x009F_8441;
    /// Ends the dialogue.
    pub const CLOSE_MMI: u32 = 0x009F_8800;
    /// Asks how it may draw.
    pub const DISPLAY_CONTROL: u32 = 0x009F_8801;
    /// How it may draw.
    pub const DISPLAY_REPLY: u32 = 0x009F_8802;
    /// A text.
    pub const TEXT_LAST: u32 = 0x009F_8803;
    /// Part of a text.
    pub const TEXT_MORE: u32 = 0x009F_8804;
    /// A question.
    pub const ENQUIRY: u32 = 0x009F_8807;
    /// What was answered.
    pub const ANSWER: u32 = 0x009F_8808;
    /// A menu.
    pub const MENU_LAST: u32 = 0x009F_8809;
    /// Part of a menu.
    pub const MENU_MORE: u32 = 0x009F_880A;
    /// What was chosen.
    pub const MENU_ANSWER: u32 = 0x009F_880B;
    /// A list.
    pub const LIST_LAST: u32 = 0x009F_880C;
    /// Part of a list.
    pub const LIST_MORE: u32 = 0x009F_880D;
}

/// An object, to be sent.
#[must_use]
pub fn object(tag: u32, body: &[u8]) -> Vec<u8> {
    let [_, tag @ ..] = tag.to_be_bytes();
    let mut object = Vec::with_capacity(body.len() + 6);
    object.extend_from_slice(&tag);
    length::put(body.len(), &mut object);
    object.extend_from_slice(body);
    object
}

/// The first object of a message and what is behind it; `None` when it leads out.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (&[high, middle, low], rest) = bytes.split_first_chunk()?;
    let (body, behind) = length::split(rest)?;
    Some((u32::from_be_bytes([0, high, middle, low]), body, behind))
}

/// Joins texts, menus and lists that come in parts. Memory: [`BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Joiner {
    parts: Vec<u8>,
    kind: u32,
}

/// What a part came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// The whole object, under the tag of its last part.
    Whole(u32, Vec<u8>),
    /// More is to come.
    Part,
    /// It grew too long, and was thrown away.
    TooLong,
}

impl Joiner {
    /// Takes an object. Parts of another kind are forgotten.
    pub fn push(&mut self, tag: u32, body: &[u8]) -> Joined {
        let (kind, more) = match tag {
            tag::TEXT_MORE => (tag::TEXT_LAST, true),
            tag::MENU_MORE => (tag::MENU_LAST, true),
            tag::LIST_MORE => (tag::LIST_LAST, true),
            other => (other, false),
        };
        if kind != self.kind {
            self.parts.clear();
        }
        self.kind = kind;
        if self.parts.len() + body.len() > BYTES_MAX {
            self.parts.clear();
            return Joined::TooLong;
        }
        self.parts.extend_from_slice(body);
        if more { Joined::Part } else { Joined::Whole(kind, std::mem::take(&mut self.parts)) }
    }

    /// The session is gone.
    pub fn clear(&mut self) {
        self.parts = vec![];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_joined_in_their_order() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.push(tag::MENU_MORE, &[1]), Joined::Part);
        assert_eq!(joiner.push(tag::MENU_MORE, &[2]), Joined::Part);
        assert_eq!(joiner.push(tag::MENU_LAST, &[3]), Joined::Whole(tag::MENU_LAST, vec![1, 2, 3]));
        assert_eq!(joiner.push(tag::TEXT_MORE, &[4]), Joined::Part);
        assert_eq!(joiner.push(tag::MENU_LAST, &[5]), Joined::Whole(tag::MENU_LAST, vec![5]), "another kind");
    }

    #[test]
    fn parts_without_end_are_thrown_away() {
        let mut joiner = Joiner::default();
        let told = (0..100).filter(|_| joiner.push(tag::LIST_MORE, &[0; 30_000]) == Joined::TooLong).count();
        assert_eq!(told, 33);
        assert!(joiner.parts.len() <= BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(tag in 0x009F_8000_u32..0x009F_FFFF, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = [object(tag, &body), vec![1]].concat();
            prop_assert_eq!(split(&bytes), Some((tag, &body[..], &[1][..])));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = split(&bytes);
        }
    }
}
