//! Playlist text that is built once and given to many: prepared pieces with holes for what differs per viewer.
//!
//! The text of a playlist changes once per segment, its readers are thousands, and each has a session of its own in
//! every address. So the text is kept in pieces, and a request only copies them with its own queries in between. What is
//! spliced in is a [`Query`], which cannot break out of its line.

use bytes::Bytes;

use super::window::KeyRef;
use crate::time::Ticks90k;

const QUERY_BYTES_MAX: usize = 2_048;
const FOLDER_BYTES_MAX: usize = 64;
const DAY_SECS: i64 = 86_400;

/// The query part of an address, without the `?`: at most 2,048 bytes of what RFC 3986 §3.4 allows there, so that it
/// ends neither a line nor a quoted string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query(String);

impl Query {
    /// Takes the text if it is a query; an empty one leaves out the `?`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
        (text.len() <= QUERY_BYTES_MAX && text.bytes().all(allowed)).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One folder in an address, or none: unreserved characters of RFC 3986 §2.3, at most 64, so that it can end neither a
/// line nor a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder(String);

impl Folder {
    /// Takes the text if it is a name; an empty one leaves the folder out.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let dots = !text.is_empty() && text.bytes().all(|byte| byte == b'.');
        (text.len() <= FOLDER_BYTES_MAX && text.bytes().all(allowed) && !dots).then_some(Self(text))
    }
}

/// What differs from viewer to viewer in the addresses of a playlist.
pub struct Spliced<'a> {
    /// Goes on every segment or child playlist.
    pub session: &'a Query,
    /// Goes on the address of each key that is named, once per run of segments with that key.
    pub key: &'a dyn Fn(KeyRef) -> Query,
    /// Goes before the name of each segment that begins on this day, counted from 1970 in UTC.
    pub folder: &'a dyn Fn(u32) -> Folder,
}

/// A piece of a playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// The same for all.
    Text(Bytes),
    /// The session's query, on the address before it.
    Session,
    /// The folder before the name of a segment that begins on this day.
    Folder(u32),
    /// The query of a key's address for this session.
    Key(KeyRef),
}

/// A playlist ready to be given to any session. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    pieces: Vec<Piece>,
    /// Bytes of all text pieces.
    text_bytes: usize,
    sessions: usize,
}

impl Rendered {
    /// The playlist of one session, segments right below their list: `session` and `key_query` as in [`Spliced`].
    #[must_use]
    pub fn with_session(&self, session: &Query, key_query: impl Fn(KeyRef) -> Query) -> Vec<u8> {
        self.spliced(&Spliced { session, key: &key_query, folder: &|_| Folder::default() })
    }

    /// The playlist of one viewer.
    #[must_use]
    pub fn spliced(&self, with: &Spliced<'_>) -> Vec<u8> {
        let hole = with.session.0.len() + 1 + FOLDER_BYTES_MAX;
        let mut text = Vec::with_capacity(self.text_bytes + self.sessions * hole + 256);
        // Neighbours lie on the same day, and making the name costs a MAC.
        let mut last: Option<(u32, Folder)> = None;
        for piece in &self.pieces {
            match piece {
                Piece::Text(bytes) => text.extend_from_slice(bytes),
                Piece::Session => append(&mut text, with.session),
                Piece::Key(key) => append(&mut text, &(with.key)(*key)),
                Piece::Folder(day) => {
                    let (_, Folder(name)) = match last.take().filter(|(of, _)| of == day) {
                        Some(same) => last.insert(same),
                        None => last.insert((*day, (with.folder)(*day))),
                    };
                    if !name.is_empty() {
                        text.extend_from_slice(name.as_bytes());
                        text.push(b'/');
                    }
                }
            }
        }
        text
    }

    /// Keys whose addresses stand in the playlist, in order; a node may prepare their queries.
    pub fn keys(&self) -> impl Iterator<Item = KeyRef> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Key(key) => Some(*key),
            _ => None,
        })
    }
}

fn append(text: &mut Vec<u8>, query: &Query) {
    if !query.0.is_empty() {
        text.push(b'?');
        text.extend_from_slice(query.0.as_bytes());
    }
}

/// Collects text and holes.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    done: Vec<Piece>,
    text: String,
}

impl Builder {
    /// The text being written, for `write!`.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// One line and its end.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(crate) fn session(&mut self) {
        self.close();
        self.done.push(Piece::Session);
    }

    /// Whatever goes before the name of a segment that begins then.
    pub(crate) fn folder(&mut self, start: Ticks90k) {
        self.close();
        let day = start.as_secs().div_euclid(DAY_SECS);
        self.done.push(Piece::Folder(u32::try_from(day).unwrap_or(0)));
    }

    pub(crate) fn key(&mut self, key: KeyRef) {
        self.close();
        self.done.push(Piece::Key(key));
    }

    pub(crate) fn finish(mut self) -> Rendered {
        self.close();
        let text = |piece: &Piece| if let Piece::Text(bytes) = piece { bytes.len() } else { 0 };
        let text_bytes = self.done.iter().map(text).sum();
        let sessions = self.done.iter().filter(|piece| **piece == Piece::Session).count();
        Rendered { pieces: self.done, text_bytes, sessions }
    }

    fn close(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Piece::Text(std::mem::take(&mut self.text).into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn holes_are_filled() {
        let mut builder = Builder::default();
        builder.text().push_str("key");
        builder.key(KeyRef { generation: 1, period: 2 });
        builder.line("\"");
        builder.folder(Ticks90k::from_secs(3 * DAY_SECS - 1));
        builder.text().push_str("segment");
        builder.session();
        builder.line("");
        let rendered = builder.finish();
        let key = |key: KeyRef| Query::new(format!("s={key}")).unwrap();
        let got = rendered.with_session(&Query::new("token=abc").unwrap(), key);
        assert_eq!(String::from_utf8(got).unwrap(), "key?s=1-2\"\nsegment?token=abc\n");
        let bare = rendered.with_session(&Query::default(), |_| Query::default());
        assert_eq!(String::from_utf8(bare).unwrap(), "key\"\nsegment\n");
        assert_eq!(rendered.keys().count(), 1);
        let folder = |day: u32| Folder::new(format!("~{day}")).unwrap();
        let got = rendered.spliced(&Spliced { session: &Query::default(), key: &key, folder: &folder });
        assert_eq!(String::from_utf8(got).unwrap(), "key?s=1-2\"\n~2/segment\n");
    }

    #[test]
    fn queries_cannot_break_out() {
        for bad in ["a\nb", "a\rb", "a\"b", "a b", "a#b", "a<b", "é", "a\\b", "a\0b"] {
            assert_eq!(Query::new(bad), None, "{bad:?}");
        }
        assert_eq!(Query::new("x".repeat(QUERY_BYTES_MAX + 1)), None);
        assert_eq!(Query::new("token=A-z_9~%2F&s=1").unwrap().as_str(), "token=A-z_9~%2F&s=1");
    }

    #[test]
    fn folders_are_one_name() {
        for bad in ["a/b", "..", ".", "a b", "a%2f", "a?b", "é", "a\nb"] {
            assert_eq!(Folder::new(bad), None, "{bad:?}");
        }
        assert_eq!(Folder::new("x".repeat(FOLDER_BYTES_MAX + 1)), None);
        assert!(Folder::new("~19675-ZrzzZt7XshqJ56b4").is_some());
    }

    proptest! {
        #[test]
        fn any_query_stays_on_its_line(text in any::<String>()) {
            if let Some(query) = Query::new(text) {
                assert!(!query.as_str().contains(|c: char| c.is_whitespace() || c == '"'));
            }
        }
    }
}
