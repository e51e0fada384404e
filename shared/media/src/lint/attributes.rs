//! Attribute lists as RFC 8216 §4.2 has them, read to the letter.
//!
//! `NAME=value,NAME="value"`: names of capitals, digits and hyphens, no white space around anything, each name once. The
//! text is borrowed; a list has at most [`ATTRIBUTES_MAX`] entries, whoever wrote it.

/// More than any tag of the standard has.
pub const ATTRIBUTES_MAX: usize = 64;

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// What stood between quotes.
    Quoted(&'a str),
    /// A number, an enumerated string, a resolution.
    Plain(&'a str),
}

/// Why a list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Something else than capitals, digits and hyphens before the `=`, or no `=`.
    #[error("attribute {at} has no name of capitals, digits and hyphens with = behind it")]
    Name {
        /// Which one, from 1.
        at: usize,
    },
    /// Nothing behind the `=`, or a character that no value has outside quotes.
    #[error("attribute {at} has no value, or one that needs quotes")]
    Value {
        /// Which one, from 1.
        at: usize,
    },
    /// A quote that does not end, or something else than a comma behind it.
    #[error("the quotes of attribute {at} do not end before a comma or the line")]
    Quotes {
        /// Which one, from 1.
        at: usize,
    },
    /// The same name twice.
    #[error("attribute {at} stood before")]
    Twice {
        /// Which one, from 1.
        at: usize,
    },
    /// More than [`ATTRIBUTES_MAX`].
    #[error("more than {ATTRIBUTES_MAX} attributes")]
    TooMany,
}

/// A list that was read whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes<'a>(Vec<(&'a str, Value<'a>)>);

impl<'a> Attributes<'a> {
    /// Reads a list.
    ///
    /// ```
    /// use headend_media::lint::{Attributes, Value};
    /// let list = Attributes::parse("METHOD=AES-128,URI=\"/k/a,b\",IV=0x01").unwrap();
    /// assert_eq!(list.quoted("URI"), Some("/k/a,b"));
    /// assert_eq!(list.plain("IV"), Some("0x01"));
    /// assert_eq!(list.plain("URI"), None);
    /// ```
    ///
    /// # Errors
    /// [`AttributeError`] at the first thing that breaks the grammar.
    pub fn parse(text: &'a str) -> Result<Self, AttributeError> {
        let (mut list, mut rest): (Vec<(&str, Value<'_>)>, _) = (vec![], text);
        loop {
            let at = list.len() + 1;
            if at > ATTRIBUTES_MAX {
                return Err(AttributeError::TooMany);
            }
            let (name, behind) = rest.split_once('=').ok_or(AttributeError::Name { at })?;
            let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || !name.bytes().all(good) {
                return Err(AttributeError::Name { at });
            }
            if list.iter().any(|(known, _)| *known == name) {
                return Err(AttributeError::Twice { at });
            }
            let (value, behind) = value(behind, at)?;
            list.push((name, value));
            match behind.strip_prefix(',') {
                Some(more) => rest = more,
                None => return Ok(Self(list)),
            }
        }
    }

    /// An attribute, however it was written.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// An attribute that was written in quotes.
    #[must_use]
    pub fn quoted(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Value::Quoted(text) => Some(text),
            Value::Plain(_) => None,
        }
    }

    /// An attribute that was written without quotes.
    #[must_use]
    pub fn plain(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Value::Plain(text) => Some(text),
            Value::Quoted(_) => None,
        }
    }
}

/// The value at the start of `text`, and what is behind it: a comma or nothing.
fn value(text: &str, at: usize) -> Result<(Value<'_>, &str), AttributeError> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (inside, behind) = quoted.split_once('"').ok_or(AttributeError::Quotes { at })?;
        let ends = behind.is_empty() || behind.starts_with(',');
        return if ends { Ok((Value::Quoted(inside), behind)) } else { Err(AttributeError::Quotes { at }) };
    }
    let (inside, behind) = text.split_at(text.find(',').unwrap_or(text.len()));
    let good = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
    if inside.is_empty() || !inside.chars().all(good) {
        return Err(AttributeError::Value { at });
    }
    Ok((Value::Plain(inside), behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn check(text: &str, want: &str) {
        let got = Attributes::parse(text).map_or_else(|error| error.to_string(), |list| format!("{:?}", list.0));
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn lists() {
        check("A=1,B-2=\"x,=y\"", r#"[("A", Plain("1")), ("B-2", Quoted("x,=y"))]"#);
        check("A=\"\"", r#"[("A", Quoted(""))]"#);
        check("", "attribute 1 has no name of capitals, digits and hyphens with = behind it");
        check("A=1,", "attribute 2 has no name of capitals, digits and hyphens with = behind it");
        check("A=1, B=2", "attribute 2 has no name of capitals, digits and hyphens with = behind it");
        check("a=1", "attribute 1 has no name of capitals, digits and hyphens with = behind it");
        check("A=", "attribute 1 has no value, or one that needs quotes");
        check("A=x y", "attribute 1 has no value, or one that needs quotes");
        check("A=\"x", "the quotes of attribute 1 do not end before a comma or the line");
        check("A=\"x\"y", "the quotes of attribute 1 do not end before a comma or the line");
        check("A=1,A=2", "attribute 2 stood before");
    }

    #[test]
    fn a_list_is_bounded() {
        let list: Vec<String> = (0..=ATTRIBUTES_MAX).map(|number| format!("A{number}=1")).collect();
        check(&list.join(","), "more than 64 attributes");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), like in "([A-Z]{1,3}=(\"[^\"]{0,5}\"|[a-z0-9]{0,5}),?){0,8}") {
            for text in [text, like] {
                if let Ok(list) = Attributes::parse(&text) {
                    assert!(list.0.len() <= ATTRIBUTES_MAX);
                }
            }
        }

        #[test]
        fn what_is_written_is_read(list in prop::collection::btree_map("[A-Z0-9-]{1,8}", "[^\"\n]{0,10}", 1..20)) {
            let text: Vec<String> = list.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let text = text.join(",");
            let read = Attributes::parse(&text).unwrap();
            assert!(list.iter().all(|(name, value)| read.quoted(name) == Some(value)));
        }
    }
}
