//! A stream's name as the system name of a channel.
//!
//! Pure. Flussonic takes nearly any text, with slashes, and accepts it percent-encoded in URLs; a channel's name is
//! letters, digits and `- _ . + /` ([`ChannelName`]) and no path of a server ([`check_name`]). A name that fits stays
//! letter for letter, because boxes and portals have it in their URLs. What does not fit becomes `_`, and the caller
//! says so; a name that keeps no letter that way is refused, because nobody would know it again.

use std::collections::BTreeMap;

use headend_wire::ChannelName;

use crate::domain::channel::check_name;

/// Names that an operator gives by hand, by the name in the file.
pub type Renames = BTreeMap<String, ChannelName>;

/// A name, and whether it is the one of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// For the channel.
    pub name: ChannelName,
    /// How it came to differ; none when it does not.
    pub changed: Option<&'static str>,
}

/// The channel's name for a stream's.
///
/// # Errors
/// Why there is none, with the way out.
pub fn channel_name(text: &str, renames: &Renames) -> Result<Named, String> {
    let refused = |why: String| format!("{why}; name it with --rename OLD=NEW");
    if let Some(name) = renames.get(text) {
        check_name(name).map_err(|refusal| refused(refusal.to_string()))?;
        return Ok(Named { name: name.clone(), changed: Some("named by --rename") });
    }
    let (plain, decoded) = match decode(text) {
        Some(plain) => (plain, true),
        None => (text.to_owned(), false),
    };
    let fitted = fit(plain.trim_matches('/'));
    let changed = match (fitted == plain, decoded) {
        (true, false) => None,
        (true, true) => Some("percent-encoding was taken off"),
        (false, _) => Some("what a channel's name cannot hold became _"),
    };
    if !fitted.chars().any(|c| c.is_ascii_alphanumeric()) || letters(&fitted) * 2 < letters(&plain) {
        return Err(refused("too little of its name would be left in letters, digits and - _ . + /".to_owned()));
    }
    let name: ChannelName = fitted.parse().map_err(|error: headend_wire::IdError| refused(error.to_string()))?;
    check_name(&name).map_err(|refusal| refused(refusal.to_string()))?;
    Ok(Named { name, changed })
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphanumeric()).count()
}

/// Each run of other characters as one `_`; parts stay parts.
fn fit(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "-_.+/".contains(c) {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out
}

/// The text with its `%XX` taken off; none when it has none, or they spell no text.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (pair, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let renames = Renames::from([("Мир".to_owned(), "mir".parse().unwrap())]);
        let got = match channel_name(text, &renames) {
            Ok(Named { name, changed: None }) => name.to_string(),
            Ok(Named { name, changed: Some(how) }) => format!("{name} ({how})"),
            Err(why) => why,
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn names_of_streams() {
        check("lagon", "lagon");
        check("fr/lagon_hd", "fr/lagon_hd");
        check("fr%2Flagon", "fr/lagon (percent-encoding was taken off)");
        check("Lagon TV (HD)", "Lagon_TV_HD_ (what a channel's name cannot hold became _)");
        check("Lagon%20TV", "Lagon_TV (what a channel's name cannot hold became _)");
        check("/lagon/", "lagon (what a channel's name cannot hold became _)");
        check("100%", "100_ (what a channel's name cannot hold became _)");
        check("Мир", "mir (named by --rename)");
    }

    #[test]
    fn names_that_cannot_be_say_what_to_do() {
        let little =
            "too little of its name would be left in letters, digits and - _ . + /; name it with --rename OLD=NEW";
        check("Живая природа", little);
        check("%", little);
        check("", little);
        check(
            "portal/x",
            "name begins with portal, which is a path of the server; choose another first part; name it with --rename OLD=NEW",
        );
        check(
            "news/2026",
            "name has the part 2026, which reads like a date; add a letter to it; name it with --rename OLD=NEW",
        );
        check(
            "a/../b",
            "the channel name \"a/../b\" has an empty or dotted part; write it without \"//\", \".\" or \"..\"; \
             name it with --rename OLD=NEW",
        );
    }

    proptest! {
        #[test]
        fn a_name_is_good_or_refused(text in ".{0,60}") {
            if let Ok(named) = channel_name(&text, &Renames::new()) {
                prop_assert!(check_name(&named.name).is_ok());
                prop_assert_eq!(named.changed.is_none(), named.name.as_str() == text);
                let again = channel_name(named.name.as_str(), &Renames::new()).unwrap();
                prop_assert_eq!(again, Named { name: named.name, changed: None });
            }
        }
    }
}
