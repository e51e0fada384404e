//! What a module shows and asks: menus, lists, questions, texts (EN 50221 §8.6, high-level MMI).
//!
//! Pure. Objects in, a [`Screen`] out that a page can draw; what the technician does becomes an object again. Texts are
//! those of DVB (ETSI EN 300 468 annex A). The dialogue ends by either side; a module that wants to draw by itself
//! (low-level MMI) is told that only the high level is there.

use headend_media::text::{CodeTable, decode};
use serde::Serialize;

use super::apdu::{self, tag};

/// Entries of a menu or list; the number field ends at 254.
const CHOICES_MAX: usize = 254;
/// Characters of one text that are shown.
const TEXT_CHARS_MAX: usize = 400;
/// The longest answer to a question.
pub const ANSWER_BYTES_MAX: usize = 254;
/// `answ_id` and `choice_ref` that refuse.
const CANCEL: u8 = 0;
const ANSWER: u8 = 1;
/// `answer_text_length` that says nothing.
const LENGTH_UNKNOWN: u8 = 0xFF;
/// `display_control_cmd`: set the mode; and the mode.
const SET_MODE: u8 = 1;
const HIGH_LEVEL: u8 = 1;
/// `display_reply_id`: the mode is set; this mode is not to be had.
const MODE_SET: u8 = 1;
const UNKNOWN_MODE: u8 = 0xF1;
const UNKNOWN_COMMAND: u8 = 0xF0;

/// What kind of screen it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One of its entries can be chosen.
    Menu,
    /// It can only be read.
    List,
    /// It asks for a text.
    Enquiry,
    /// It says something.
    Text,
}

/// What the module shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Screen {
    /// Another for each screen.
    pub number: u64,
    /// What can be done with it.
    pub kind: Kind,
    /// Its title; of an enquiry the question, of a text the text.
    pub title: String,
    /// Below the title.
    pub subtitle: String,
    /// The bottom line.
    pub bottom: String,
    /// Entries of a menu or a list.
    pub choices: Vec<String>,
    /// What is typed is not to be shown.
    pub blind: bool,
    /// So many characters are expected.
    pub length: Option<u8>,
}

/// What the technician does with a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Chooses an entry, from 1; 0 goes back.
    Choice(u8),
    /// Answers a question.
    Text(String),
    /// Refuses a question.
    Cancel,
}

/// Why a reply does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// No such screen now.
    #[error("the module shows another screen by now")]
    Gone,
    /// A text for a menu, a choice for a question.
    #[error("this screen is answered otherwise: a menu by a choice, a question by a text")]
    Kind,
    /// No such entry.
    #[error("the menu has no such entry")]
    Choice,
    /// What the module could not read.
    #[error("an answer has at most 254 characters, without accents")]
    Text,
}

/// The dialogue with the technician.
#[derive(Debug, Default)]
pub struct Dialogue {
    screen: Option<Screen>,
    numbers: u64,
}

/// What an object of the dialogue came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The screen changed.
    Screen,
    /// This is to be answered.
    Answer(Vec<u8>),
    /// It makes no sense.
    Defect,
}

impl Dialogue {
    /// What is shown.
    #[must_use]
    pub fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref()
    }

    /// The dialogue is over.
    pub fn clear(&mut self) {
        self.screen = None;
    }

    /// Takes a whole object of the module.
    pub fn hear(&mut self, object: u32, body: &[u8]) -> Heard {
        let screen = match object {
            tag::MENU_LAST => listed(Kind::Menu, body),
            tag::LIST_LAST => listed(Kind::List, body),
            tag::ENQUIRY => asked(body),
            tag::TEXT_LAST => Some(Screen { title: text(body), ..blank(Kind::Text) }),
            tag::CLOSE_MMI => {
                self.clear();
                return Heard::Screen;
            }
            tag::DISPLAY_CONTROL => return control(body),
            _ => None,
        };
        let Some(screen) = screen else { return Heard::Defect };
        self.numbers += 1;
        self.screen = Some(Screen { number: self.numbers, ..screen });
        Heard::Screen
    }

    /// The object for a reply to screen `number`; the screen is done with then.
    ///
    /// # Errors
    /// [`Misfit`], in words for the technician.
    pub fn reply(&mut self, number: u64, reply: &Reply) -> Result<Vec<u8>, Misfit> {
        let screen = self.screen.as_ref().filter(|screen| screen.number == number).ok_or(Misfit::Gone)?;
        let object = screen.object(reply)?;
        self.screen = None;
        Ok(object)
    }
}

impl Screen {
    /// The object for a reply to this screen.
    ///
    /// # Errors
    /// [`Misfit`] when the reply is none to it.
    pub fn object(&self, reply: &Reply) -> Result<Vec<u8>, Misfit> {
        match (self.kind, reply) {
            (Kind::Menu, Reply::Choice(choice)) if usize::from(*choice) > self.choices.len() => Err(Misfit::Choice),
            (Kind::Menu, Reply::Choice(choice)) => Ok(apdu::object(tag::MENU_ANSWER, &[*choice])),
            // A list or a text was read: only "back" can be said to it.
            (Kind::List | Kind::Text, Reply::Choice(0)) | (Kind::Menu | Kind::List | Kind::Text, Reply::Cancel) => {
                Ok(apdu::object(tag::MENU_ANSWER, &[CANCEL]))
            }
            (Kind::Enquiry, Reply::Text(text)) => {
                if text.len() > ANSWER_BYTES_MAX || !text.bytes().all(|byte| matches!(byte, 0x20..0x7F)) {
                    return Err(Misfit::Text);
                }
                Ok(apdu::object(tag::ANSWER, &[&[ANSWER], text.as_bytes()].concat()))
            }
            (Kind::Enquiry, Reply::Cancel) => Ok(apdu::object(tag::ANSWER, &[CANCEL])),
            _ => Err(Misfit::Kind),
        }
    }
}

fn blank(kind: Kind) -> Screen {
    let (title, subtitle, bottom) = (String::new(), String::new(), String::new());
    Screen { number: 0, kind, title, subtitle, bottom, choices: vec![], blind: false, length: None }
}

fn text(bytes: &[u8]) -> String {
    // Annex A's default table; modules that want another one say so in the first byte.
    let text = decode(bytes, CodeTable::Iso6937).text;
    text.chars().filter(|letter| *letter == '\n' || !letter.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// A menu or a list: the number of entries, then texts: title, subtitle, bottom, entries (EN 50221 §8.6.5.1, 8.6.5.3). The
/// number may be 255 for "not told", and modules lie about it: what is there is shown.
fn listed(kind: Kind, body: &[u8]) -> Option<Screen> {
    let (_number, mut rest) = body.split_first()?;
    let mut texts = vec![];
    while let Some((tag::TEXT_LAST | tag::TEXT_MORE, bytes, behind)) = apdu::split(rest) {
        if texts.len() < CHOICES_MAX + 3 {
            texts.push(text(bytes));
        }
        rest = behind;
    }
    let mut texts = texts.into_iter();
    let (title, subtitle, bottom) = (texts.next()?, texts.next()?, texts.next()?);
    Some(Screen { title, subtitle, bottom, choices: texts.collect(), ..blank(kind) })
}

fn asked(body: &[u8]) -> Option<Screen> {
    let (&[blind, length], question) = body.split_first_chunk()?;
    let length = Some(length).filter(|length| *length != LENGTH_UNKNOWN);
    Some(Screen { title: text(question), blind: blind & 1 != 0, length, ..blank(Kind::Enquiry) })
}

fn control(body: &[u8]) -> Heard {
    let answer = match *body {
        [SET_MODE, HIGH_LEVEL, ..] => vec![MODE_SET, HIGH_LEVEL],
        [SET_MODE, _, ..] => vec![UNKNOWN_MODE],
        [_, ..] => vec![UNKNOWN_COMMAND],
        [] => return Heard::Defect,
    };
    Heard::Answer(apdu::object(tag::DISPLAY_REPLY, &answer))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn menu(texts: &[&[u8]]) -> Vec<u8> {
        let texts = texts.iter().flat_map(|text| apdu::object(tag::TEXT_LAST, text));
        std::iter::once(u8::try_from(texts.clone().count()).unwrap_or(0xFF)).chain(texts).collect()
    }

    #[test]
    fn a_menu_is_shown_and_an_entry_chosen() {
        let mut dialogue = Dialogue::default();
        let body = menu(&[b"Main", b"", b"OK", b"Card", b"\x05T\xE9l\xE9"]);
        assert_eq!(dialogue.hear(tag::MENU_LAST, &body), Heard::Screen);
        let screen = dialogue.screen().unwrap().clone();
        assert_eq!((screen.kind, screen.number, screen.title.as_str()), (Kind::Menu, 1, "Main"));
        assert_eq!(screen.choices, ["Card", "Télé"]);
        assert_eq!(dialogue.reply(2, &Reply::Choice(1)), Err(Misfit::Gone));
        assert_eq!(dialogue.reply(1, &Reply::Choice(3)), Err(Misfit::Choice));
        assert_eq!(dialogue.reply(1, &Reply::Text("1".to_owned())), Err(Misfit::Kind));
        assert_eq!(dialogue.reply(1, &Reply::Choice(2)), Ok(vec![0x9F, 0x88, 0x0B, 1, 2]));
        assert_eq!(dialogue.reply(1, &Reply::Choice(2)), Err(Misfit::Gone), "answered once");
    }

    #[test]
    fn a_question_is_answered_or_refused() {
        let mut dialogue = Dialogue::default();
        dialogue.hear(tag::ENQUIRY, b"\x01\x04PIN?");
        let screen = dialogue.screen().unwrap();
        assert_eq!((screen.blind, screen.length, screen.title.as_str()), (true, Some(4), "PIN?"));
        assert_eq!(dialogue.reply(1, &Reply::Text("é".to_owned())), Err(Misfit::Text));
        assert_eq!(dialogue.reply(1, &Reply::Text("1234".to_owned())), Ok(b"\x9F\x88\x08\x05\x011234".to_vec()));
        dialogue.hear(tag::ENQUIRY, b"\x00\xFFName?");
        assert_eq!(dialogue.screen().unwrap().length, None);
        assert_eq!(dialogue.reply(2, &Reply::Cancel), Ok(vec![0x9F, 0x88, 0x08, 1, 0]));
    }

    #[test]
    fn only_the_high_level_is_there() {
        let mut dialogue = Dialogue::default();
        let reply = |bytes: &[u8]| Heard::Answer(apdu::object(tag::DISPLAY_REPLY, bytes));
        assert_eq!(dialogue.hear(tag::DISPLAY_CONTROL, &[1, 1]), reply(&[1, 1]));
        assert_eq!(dialogue.hear(tag::DISPLAY_CONTROL, &[1, 2]), reply(&[0xF1]));
        assert_eq!(dialogue.hear(tag::DISPLAY_CONTROL, &[3]), reply(&[0xF0]));
        assert_eq!(dialogue.hear(tag::DISPLAY_CONTROL, &[]), Heard::Defect);
    }

    proptest! {
        #[test]
        fn any_object_is_survived(tag in 0x009F_8800_u32..0x009F_8810, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut dialogue = Dialogue::default();
            let _ = dialogue.hear(tag, &body);
            if let Some(screen) = dialogue.screen() {
                prop_assert!(screen.choices.len() <= CHOICES_MAX);
            }
            let _ = dialogue.reply(1, &Reply::Choice(0));
        }

        #[test]
        fn a_menu_of_any_texts_comes_out(texts in proptest::collection::vec("[ -~]{0,30}", 3..300)) {
            let mut dialogue = Dialogue::default();
            let bytes: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            prop_assert_eq!(dialogue.hear(tag::LIST_LAST, &menu(&bytes)), Heard::Screen);
            prop_assert_eq!(dialogue.screen().unwrap().choices.len(), (texts.len() - 3).min(CHOICES_MAX));
        }
    }
}
