//! Turns a TOML or serde error into a sentence for an operator: place, key, what is wrong, what would be right.
//!
//! serde passes its errors as English text, so their fixed forms ("unknown field `x`, expected one of `a`, `b`") are
//! taken apart here; a form we do not know is passed on as it is. Text values are not repeated, except where a
//! closed set of words was asked for: a password typed into the wrong line must not reach a log.

use toml::de::Error;

use super::ConfigError;
use super::files::Sources;
use super::places::{Entry, Places};

/// Known keys are listed when none is near, up to this many.
const LISTED_MAX: usize = 16;

/// An error of the TOML grammar; `end` is where the text ends.
pub(super) fn syntax(error: &Error, end: usize, sources: &Sources) -> ConfigError {
    let place = sources.place(error.span().map_or(end, |span| span.start));
    let text = format!("not TOML at column {}: {}", place.column, error.message());
    ConfigError::Wrong { place, text }
}

/// An error of meaning: a key we do not know, a wrong type, a missing key.
pub(super) fn explain(error: &Error, places: &Places, sources: &Sources) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    let entries = places.entries();
    let deepest = |fits: &dyn Fn(&&Entry) -> bool| entries.iter().filter(fits).max_by_key(|entry| entry.path.len());
    let text = if let Some(rest) = message.strip_prefix("unknown field ") {
        let entry = deepest(&|entry| entry.key.as_ref() == Some(&span));
        unknown("key", rest, &table_name(entry.map_or("", Entry::table)))
    } else if let Some(rest) = message.strip_prefix("missing field ") {
        let table = deepest(&|entry| span != (0..0) && entry.value == span);
        format!("missing key {rest} {}", table_name(table.map_or("", |entry| entry.path.as_str())))
    } else {
        let entry = deepest(&|entry| entry.value == span)
            .or_else(|| deepest(&|entry| entry.value.start <= span.start && span.end <= entry.value.end));
        let whose = entry.map_or_else(String::new, key_of);
        value(message, &whose)
    };
    ConfigError::Wrong { place: sources.place(span.start), text }
}

fn value(message: &str, whose: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown("value", rest, &format!("for {whose}"));
    }
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(split_expected) {
        return format!("{whose} should be {}, not {}", plain_type(expected), plain_found(found));
    }
    if let Some(rest) = message.strip_prefix("invalid length ") {
        return format!("{whose} has the wrong length {rest}");
    }
    // Texts of our own types come here, and parse errors of addresses and the like.
    if whose.is_empty() { message.to_owned() } else { format!("{whose}: {message}") }
}

/// "`x`, expected one of `a`, `b`" as a sentence with the nearest of them.
fn unknown(what: &str, rest: &str, place: &str) -> String {
    let (given, expected) = match split_expected(rest) {
        Some(parts) => parts,
        None => (rest.split_once(", there are no").map_or(rest, |(given, _)| given), ""),
    };
    let given = given.trim_matches('`');
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let start = format!("unknown {what} `{given}` {place}");
    if let Some(near) = nearest(given, &known) {
        return format!("{start}; did you mean `{near}`?");
    }
    if known.is_empty() {
        return format!("{start}; none is known here");
    }
    let mut list: Vec<String> = known.iter().take(LISTED_MAX).map(|known| format!("`{known}`")).collect();
    if known.len() > LISTED_MAX {
        list.push("...".to_owned());
    }
    format!("{start}; known here: {}", list.join(", "))
}

/// The known word that was most likely meant: the fewest typing slips, and not more than one in three letters.
fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let given = fold(given);
    let slips = |word: &str| strsim::damerau_levenshtein(&given, &fold(word));
    let near = known.iter().copied().min_by_key(|word| slips(word))?;
    (slips(near) * 3 <= given.chars().count().max(near.len())).then_some(near)
}

/// Splits at the last ", expected ", because what was found may hold anything.
fn split_expected(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(", expected ")
}

fn plain_found(found: &str) -> String {
    let number = |name: &str| {
        let digits = found.strip_prefix(name)?.trim_matches([' ', '`']);
        Some(format!("the number {digits}"))
    };
    if found.starts_with("string ") {
        return "text".to_owned();
    }
    if let Some(text) = number("integer").or_else(|| number("floating point")) {
        return text;
    }
    match found.strip_prefix("boolean ") {
        Some(truth) => truth.trim_matches('`').to_owned(),
        None if found == "sequence" => "a list".to_owned(),
        None if found == "map" => "a table".to_owned(),
        None => found.to_owned(),
    }
}

fn plain_type(expected: &str) -> String {
    let range = match expected {
        "u8" => "from 0 to 255",
        "u16" => "from 0 to 65535",
        "u32" => "from 0 to 4294967295",
        "u64" | "usize" => "of 0 or more",
        "i8" => "from -128 to 127",
        "i16" => "from -32768 to 32767",
        "i32" => "from -2147483648 to 2147483647",
        "i64" | "isize" => "(negative ones too)",
        _ => "",
    };
    if !range.is_empty() {
        return format!("a whole number {range}");
    }
    if let Some(rest) = expected.strip_prefix("a nonzero ") {
        return format!("{}, but not 0", plain_type(rest));
    }
    match expected {
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" | "a borrowed string" => "text in quotes".to_owned(),
        "a sequence" => "a list in [ ]".to_owned(),
        "a map" => "a table".to_owned(),
        _ if expected.starts_with("struct ") => "a table".to_owned(),
        _ => expected.to_owned(),
    }
}

fn table_name(path: &str) -> String {
    if path.is_empty() { "at the top level".to_owned() } else { format!("in [{path}]") }
}

fn key_of(entry: &Entry) -> String {
    match entry.table() {
        "" => format!("`{}`", entry.name()),
        // An entry of a list has no name of its own.
        _ if entry.key.is_none() => format!("`{}`", entry.path),
        table => format!("`{}` in [{table}]", entry.name()),
    }
}
