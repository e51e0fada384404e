//! The answer of `GET /streamer/api/v3/streams` as the same configuration that the file gives.
//!
//! Pure. Fields and units follow the vendor's public API model (`flussonic/go-flussonic`): durations of segments in
//! milliseconds, timeouts and depths in seconds, storage in bytes, `protocols` with or without `whitelist`. The API has
//! filled streams up from their templates already. Places are the streams' numbers in the list.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    config::{Config, ConfigError, Drm, Input, Item, STREAMS_MAX, Setting, Stream},
    directive::{self, OF_SERVERS, OF_STREAMS, STATE},
    finding::{Fate, Finding, Place},
    grammar::GrammarError,
    retention::{Archive, UNKNOWN as UNKNOWN_OPTION, WITHOUT},
};

/// One page of the list.
#[derive(Debug, Default)]
pub struct Page {
    /// Its streams.
    pub streams: Vec<Value>,
    /// What to ask the next page with.
    pub next: Option<String>,
    /// What else the answer holds that is configuration.
    pub others: Vec<String>,
}

/// What an answer holds besides streams that is no configuration.
const ABOUT_PAGES: [&str; 6] = ["streams", "estimated_count", "next", "prev", "timing", "stats"];

/// Reads a saved answer.
///
/// # Errors
/// [`ConfigError`].
pub fn read(text: &str) -> Result<Config, ConfigError> {
    let page = page(text)?;
    if page.next.is_some() {
        return Err(ConfigError::OnePage);
    }
    config(page.streams, &page.others)
}

/// Reads one page of the list: an object with `streams`, the bare list, or one stream.
///
/// # Errors
/// [`ConfigError::Json`], [`ConfigError::NoStreams`] or that it is a configuration of before 2013.
pub fn page(text: &str) -> Result<Page, ConfigError> {
    let value: Value = serde_json::from_str(text).map_err(|error| broken(text, &error))?;
    match value {
        Value::Array(streams) => Ok(Page { streams, ..Page::default() }),
        Value::Object(mut object) => match object.remove("streams") {
            Some(Value::Array(streams)) => {
                let next = object.get("next").and_then(Value::as_str).map(str::to_owned);
                let others = object.iter().filter(|(key, value)| !ABOUT_PAGES.contains(&key.as_str()) && said(value));
                Ok(Page { streams, next, others: others.map(|(key, _)| key.clone()).collect() })
            }
            Some(_) => Err(ConfigError::NoStreams),
            None if object.contains_key("name") => Ok(Page { streams: vec![Value::Object(object)], ..Page::default() }),
            None => Err(ConfigError::NoStreams),
        },
        _ => Err(ConfigError::NoStreams),
    }
}

/// Erlang's terms begin with the same brackets, but then with an atom.
fn broken(text: &str, error: &serde_json::Error) -> ConfigError {
    let inner = text.trim_start_matches(|c: char| c.is_whitespace() || c == '{' || c == '[');
    if inner.starts_with(|c: char| c.is_ascii_lowercase() || c == '%') {
        let blanks = text.len() - text.trim_start().len();
        let line = text.get(..blanks).unwrap_or_default().matches('\n').count() + 1;
        return GrammarError::ErlangTerms { line: u32::try_from(line).unwrap_or(u32::MAX) }.into();
    }
    ConfigError::Json { line: error.line(), column: error.column() }
}

/// The streams of all pages as a configuration.
///
/// # Errors
/// [`ConfigError`].
pub fn config(streams: Vec<Value>, others: &[String]) -> Result<Config, ConfigError> {
    if streams.len() > STREAMS_MAX {
        return Err(ConfigError::TooMuch);
    }
    let mut config = Config { storages: BTreeMap::new(), ..Config::default() };
    for (index, value) in streams.into_iter().enumerate() {
        let place = Place::Item(u32::try_from(index + 1).unwrap_or(u32::MAX));
        let Value::Object(object) = value else { return Err(ConfigError::NoStreams) };
        config.streams.push(stream(place, &object)?);
    }
    for key in others {
        let finding = match directive::rule(OF_SERVERS, key.strip_suffix('s').unwrap_or(key)) {
            Some((_, rule)) => Finding::new(Place::Item(0), rule.fate, key_name(key), rule.why),
            None => Finding::new(Place::Item(0), Fate::Dropped, key_name(key), UNKNOWN),
        };
        config.findings.add(finding, None);
    }
    Ok(config)
}

const UNKNOWN: &str = "not known here; see docs/flussonic.md for what has a counterpart";
const UNREAD: &str = "its value does not read; put right what stands there";

/// A key as shown: a plain word, or nothing.
fn key_name(key: &str) -> String {
    let plain = key.len() <= 40 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$');
    if plain { key.to_owned() } else { "a field".to_owned() }
}

/// Whether a value says anything.
fn said(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn stream(place: Place, object: &Map<String, Value>) -> Result<Stream, ConfigError> {
    let name = object.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or(ConfigError::Nameless { place, what: "stream" })?.to_owned();
    let template = object.get("template").and_then(Value::as_str).map(str::to_owned);
    let mut items = vec![];
    let mut add = |directive, setting| items.push(Item { place, directive, setting });
    for (key, value) in object {
        match (key.as_str(), value) {
            ("name" | "template", _) | (_, Value::Null) => {}
            ("inputs", Value::Array(inputs)) => {
                for value in inputs {
                    add("input", input(value).map_or_else(|| unread("inputs"), Setting::Input));
                }
            }
            ("protocols", Value::Object(outputs)) => {
                protocols(outputs).into_iter().for_each(|setting| add("protocols", setting));
            }
            ("static", Value::Bool(false)) => {
                let why = "channels always run here, whether somebody watches or not".to_owned();
                add("static", Setting::Told(Fate::Changed, "static".to_owned(), why));
            }
            (key, value) => match field(key, value) {
                Some((directive, setting)) => add(directive, setting.unwrap_or_else(|| unread(directive))),
                None if STATE.contains(&key) || !said(value) => {}
                None => add("", ruled(key)),
            },
        }
    }
    Ok(Stream { name, place, template, items })
}

fn unread(what: &str) -> Setting {
    Setting::Told(Fate::Dropped, what.to_owned(), UNREAD.to_owned())
}

fn ruled(key: &str) -> Setting {
    match directive::rule(OF_STREAMS, key) {
        Some((name, rule)) => Setting::Told(rule.fate, name.to_owned(), rule.why.to_owned()),
        None => Setting::Told(Fate::Dropped, key_name(key), UNKNOWN.to_owned()),
    }
}

/// A field that is a setting of a channel; the inner none when it does not read.
fn field(key: &str, value: &Value) -> Option<(&'static str, Option<Setting>)> {
    Some(match key {
        "title" => ("title", value.as_str().map(|text| Setting::Title(text.to_owned()))),
        "position" => ("position", value.as_u64().map(Setting::Position)),
        "disabled" => ("disabled", value.as_bool().map(Setting::Disabled)),
        "segment_duration" => ("segment_duration", value.as_u64().map(Setting::SegmentMs)),
        "segment_count" => ("segment_count", value.as_u64().map(Setting::SegmentCount)),
        "source_timeout" => ("source_timeout", seconds(value).map(Setting::SourceTimeoutMs)),
        "dvr" => ("dvr", value.as_object().map(|object| Setting::Archive(archive(object)))),
        "drm" => ("drm", value.as_object().map(|object| Setting::Drm(drm(object)))),
        _ => return None,
    })
}

/// Whole or broken seconds as milliseconds.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().and_then(|secs| secs.checked_mul(1_000)).or_else(|| super::unit::duration_ms(&value.to_string()))
}

fn archive(object: &Map<String, Value>) -> Archive {
    let number = |key: &str| object.get(key).and_then(Value::as_u64).filter(|number| *number > 0);
    let mut found = Archive {
        depth_ms: number("expiration").map(|secs| secs.saturating_mul(1_000)),
        percent: number("disk_usage_limit").map(|share| u8::try_from(share).unwrap_or(100)),
        bytes: number("storage_limit"),
        ..Archive::default()
    };
    for (name, _) in object.iter().filter(|(_, value)| said(value)) {
        if !matches!(
            name.as_str(),
            "reference" | "root" | "expiration" | "disk_usage_limit" | "storage_limit" | "stats"
        ) {
            found.without.push(WITHOUT.into_iter().find(|known| known == name).unwrap_or(UNKNOWN_OPTION));
        }
    }
    found
}

fn drm(object: &Map<String, Value>) -> Drm {
    let has = |key: &str| object.get(key).is_some_and(said);
    Drm {
        aes128: object.get("vendor").and_then(Value::as_str) == Some("aes128"),
        key_server: has("keyserver"),
        expires_min: object.get("expires").and_then(Value::as_u64),
        others: object.keys().any(|key| !matches!(key.as_str(), "vendor" | "keyserver" | "expires")),
    }
}

fn input(value: &Value) -> Option<Input> {
    let object = value.as_object()?;
    let address = object.get("url")?.as_str()?.to_owned();
    let mut found = Input { address, priority: None, timeout_ms: None, services: vec![], told: vec![] };
    for (key, value) in object.iter().filter(|(key, value)| key.as_str() != "url" && said(value)) {
        match (key.as_str(), value) {
            ("stats", _) => {}
            ("programs", Value::Array(numbers)) => {
                let text: Vec<String> = numbers.iter().map(Value::to_string).collect();
                found.option("programs", &text.join(","));
            }
            (key, Value::String(text)) => found.option(key, text),
            (key, value) => found.option(key, &value.to_string()),
        }
    }
    Some(found)
}

/// With `whitelist` only what is named `true` is on; without it all is on but what is named `false`.
fn protocols(object: &Map<String, Value>) -> Vec<Setting> {
    let mut found = vec![];
    let mut only = vec![];
    let listed = object.get("whitelist").and_then(Value::as_bool) == Some(true);
    for (key, value) in object.iter().filter(|(key, _)| key.as_str() != "whitelist") {
        match (directive::output(key), value.as_bool()) {
            (Some(output), Some(true)) if listed => only.push(output),
            (Some((name, output)), Some(on)) if !listed => found.push(Setting::Output(output, name, on)),
            (Some(_), Some(false)) => {}
            _ => found.push(Setting::Told(Fate::Dropped, "an output".to_owned(), UNKNOWN.to_owned())),
        }
    }
    if listed {
        found.push(Setting::OnlyOutputs(only));
    }
    found
}
