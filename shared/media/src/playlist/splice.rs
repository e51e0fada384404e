//! Playlist text that is built once and given to many: prepared pieces with holes for what differs per viewer.
//!
//! The text of a playlist changes once per segment, its readers are thousands, and each has a session of its own in
//! every address. So the text is kept in pieces, and a request only copies them with its own queries in between. What is
//! spliced in is a [`Query`], which cannot break out of its line.

use bytes::Bytes;

use super::window::KeyRef;

const QUERY_BYTES_MAX: usize = 2_048;

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

/// A piece of a playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// The same for all.
    Text(Bytes),
    /// The session's query, on the address before it.
    Session,
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
    /// The playlist of one session: `session` goes on every segment or child playlist, `key_query` on the address of each
    /// key that is named (once per run of segments with that key).
    #[must_use]
    pub fn with_session(&self, session: &Query, key_query: impl Fn(KeyRef) -> Query) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.text_bytes + self.sessions * (session.0.len() + 1) + 256);
        for piece in &self.pieces {
            match piece {
                Piece::Text(bytes) => text.extend_from_slice(bytes),
                Piece::Session => append(&mut text, session),
                Piece::Key(key) => append(&mut text, &key_query(*key)),
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
    }

    #[test]
    fn queries_cannot_break_out() {
        for bad in ["a\nb", "a\rb", "a\"b", "a b", "a#b", "a<b", "é", "a\\b", "a\0b"] {
            assert_eq!(Query::new(bad), None, "{bad:?}");
        }
        assert_eq!(Query::new("x".repeat(QUERY_BYTES_MAX + 1)), None);
        assert_eq!(Query::new("token=A-z_9~%2F&s=1").unwrap().as_str(), "token=A-z_9~%2F&s=1");
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
