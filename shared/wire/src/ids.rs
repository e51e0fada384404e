//! Names that cross the wire, each its own type so that a node is never taken for a channel.
//!
//! A name is checked once, where it enters the program; afterwards it is safe in a topic, in a URL path
//! and in a file name. MQTT wildcards, `..` and control characters never get in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The most bytes a name may have: 120 fits a file name with room for a suffix.
pub const NAME_BYTES_MAX: usize = 120;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("the {what} is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// Over [`NAME_BYTES_MAX`].
    #[error("the {what} has {bytes} bytes, the limit is {NAME_BYTES_MAX}")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// How long it was.
        bytes: usize,
    },
    /// A character outside the allowed set.
    #[error("the {what} {name:?} has {found:?}; allowed are letters, digits, and {allowed}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The offending character.
        found: char,
        /// What else is allowed, in words.
        allowed: &'static str,
    },
    /// An empty path part, or one that is only dots.
    #[error("the {what} {name:?} has an empty or dotted part; write it without \"//\", \".\" or \"..\"")]
    Part {
        /// Which kind of name.
        what: &'static str,
        /// The name as given.
        name: String,
    },
}

fn check(what: &'static str, name: &str, slash: bool) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty { what });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(IdError::TooLong { what, bytes: name.len() });
    }
    let allowed = if slash { "- _ . + /" } else { "- _ . +" };
    // `+` is a wildcard in an MQTT filter and legal in an edition's name (`france24+6`); topics escape it.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c) || (slash && c == '/');
    if let Some(found) = name.chars().find(|c| !fits(*c)) {
        return Err(IdError::Character { what, name: name.to_owned(), found, allowed });
    }
    if name.split('/').any(|part| part.is_empty() || part.chars().all(|c| c == '.')) {
        return Err(IdError::Part { what, name: name.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $slash:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check($what, text, $slash)?;
                Ok(Self(text.into()))
            }
        }
        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A place with nodes and usually a controller: `caribbean`.
    SiteName, "site name", false
);
name!(
    /// One capture box: `car-1`. Its certificate carries the same name.
    NodeName, "node name", false
);
name!(
    /// A channel's system name, which is also its stream name in URLs: `france24`, `fr/france2`.
    ChannelName, "channel name", true
);
name!(
    /// One way a node can obtain a channel: `satellite`, `dtt`, `from-france`.
    SourceName, "source name", false
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(name: &str, want: &str) {
        let got = name.parse::<ChannelName>().map_or_else(|e| e.to_string(), |n| n.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn names_of_the_trade_pass() {
        for name in ["france24", "fr/france2", "rai1+6", "RT_HD.v2"] {
            check(name, name);
        }
    }

    #[test]
    fn dangerous_names_say_what_is_wrong() {
        check("", "the channel name is empty");
        check(
            "a/../b",
            "the channel name \"a/../b\" has an empty or dotted part; write it without \"//\", \".\" or \"..\"",
        );
        check("/a", "the channel name \"/a\" has an empty or dotted part; write it without \"//\", \".\" or \"..\"");
        check("a b", "the channel name \"a b\" has ' '; allowed are letters, digits, and - _ . + /");
        check("a#", "the channel name \"a#\" has '#'; allowed are letters, digits, and - _ . + /");
        check(&"x".repeat(121), "the channel name has 121 bytes, the limit is 120");
    }

    #[test]
    fn a_node_name_has_no_slash() {
        assert!("car/1".parse::<NodeName>().is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_a_harmless_path(text in ".{0,40}") {
            if let Ok(name) = text.parse::<ChannelName>() {
                prop_assert!(!name.as_str().contains(".."), "dots: {name}");
                prop_assert!(!name.as_str().starts_with('/'));
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic() && !b"#?%*\\".contains(&b)));
            }
        }
    }
}
