//! A Flussonic's configuration as streams with their settings, each with its place; templates already expanded.
//!
//! Pure. [`read`] takes the statements of a file; [`super::json`] makes the same from the API. A template gives a stream
//! what the stream does not say itself, directive by directive ("stream values win"): a stream with an input of its own
//! takes none of the template's. What no channel has a place for is a finding here already.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    directive::{self, OF_INPUTS, OF_SERVERS, OF_STREAMS, Output, Rule},
    finding::{Fate, Finding, Findings, Place},
    grammar::{GrammarError, Statement, Word},
    retention::Archive,
    unit,
};

/// The most streams of a configuration.
pub const STREAMS_MAX: usize = 20_000;
/// The most settings once templates are expanded, so that a template of thousands of lines stays cheap.
pub const SETTINGS_MAX: usize = 500_000;
/// The longest chain of templates.
const TEMPLATES_DEEP: usize = 8;

/// Why a configuration could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is no configuration.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// The text is no JSON.
    #[error("line {line} column {column}: no valid JSON; save the answer of GET /streamer/api/v3/streams whole")]
    Json {
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// JSON of something else.
    #[error("the JSON holds no list of streams; save the answer of GET /streamer/api/v3/streams")]
    NoStreams,
    /// The answer is one page of several.
    #[error("the JSON is one page of several; give the address of the server, so that all of them are fetched")]
    OnePage,
    /// A stream or template without a name.
    #[error("{place}: a {what} without a name; write {what} NAME {{ … }}")]
    Nameless {
        /// Where.
        place: Place,
        /// `stream` or `template`.
        what: &'static str,
    },
    /// Two templates of one name.
    #[error("{first} and {second}: two templates of one name; remove one")]
    TemplateTwice {
        /// The first.
        first: Place,
        /// The second.
        second: Place,
    },
    /// Too many streams or settings.
    #[error("more than {STREAMS_MAX} streams, or more than {SETTINGS_MAX} settings; import it in parts")]
    TooMuch,
}

/// A configuration.
#[derive(Debug, Default)]
pub struct Config {
    /// In the order of the file.
    pub streams: Vec<Stream>,
    /// What concerns the whole server, and what templates hold that no stream uses.
    pub findings: Findings,
    /// Storages that streams refer to.
    pub storages: BTreeMap<String, Archive>,
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    /// As the file has it.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// The template it was filled up from.
    pub template: Option<String>,
    /// Its settings and those of its template.
    pub items: Vec<Item>,
}

/// One setting and where it stands.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where.
    pub place: Place,
    /// What names it: a stream's own setting replaces those of its template with the same.
    pub directive: &'static str,
    /// The setting.
    pub setting: Setting,
}

/// A setting of a stream.
#[derive(Debug, Clone)]
pub enum Setting {
    /// A source.
    Input(Input),
    /// For people.
    Title(String),
    /// Its place in lists.
    Position(u64),
    /// Whether it is switched off.
    Disabled(bool),
    /// Segment length, milliseconds.
    SegmentMs(u64),
    /// Segments in a playlist.
    SegmentCount(u64),
    /// When a silent source is left, milliseconds.
    SourceTimeoutMs(u64),
    /// What is kept.
    Archive(Archive),
    /// Encryption.
    Drm(Drm),
    /// One output on or off.
    Output(Output, &'static str, bool),
    /// Only these outputs.
    OnlyOutputs(Vec<(&'static str, Output)>),
    /// Something that no channel has a place for.
    Told(Fate, String, String),
}

/// A source of a stream. Its address may hold secrets: it is not printed.
#[derive(Clone)]
pub struct Input {
    /// As the file has it.
    pub address: String,
    /// 1 is the best.
    pub priority: Option<i64>,
    /// When it is left, milliseconds.
    pub timeout_ms: Option<u64>,
    /// The services wanted of a multiplex.
    pub services: Vec<u16>,
    /// Options that have no counterpart, and what becomes of them.
    pub told: Vec<(&'static str, Fate, &'static str)>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::address::label(&self.address))
    }
}

/// The `drm` of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drm {
    /// `aes128` or another system.
    pub aes128: bool,
    /// It names a key server.
    pub key_server: bool,
    /// Minutes until a new key.
    pub expires_min: Option<u64>,
    /// Options that become something else.
    pub others: bool,
}

const UNKNOWN: &str = "not known here; look at the line, and at docs/flussonic.md for what has a counterpart";

/// Reads the statements of a file.
///
/// # Errors
/// [`ConfigError`] with the place.
pub fn read(statements: &[Statement]) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let templates = templates(statements)?;
    let mut used = BTreeSet::new();
    let mut settings = 0;
    for statement in statements {
        let place = Place::Line(statement.line);
        match statement.name() {
            "stream" | "ondemand" => {
                let mut stream = stream(statement)?;
                expand(&mut stream, &templates, &mut used);
                settings += stream.items.len();
                config.streams.push(stream);
                if config.streams.len() > STREAMS_MAX || settings > SETTINGS_MAX {
                    return Err(ConfigError::TooMuch);
                }
            }
            "template" => {}
            "dvr" => storage(&mut config, statement),
            name => {
                let finding = match directive::rule(OF_SERVERS, name) {
                    Some((name, rule)) => Finding::new(place, rule.fate, name, rule.why),
                    None => Finding::new(place, Fate::Dropped, "a directive", UNKNOWN),
                };
                config.findings.add(finding, None);
            }
        }
    }
    for (name, template) in templates.iter().filter(|(name, _)| !used.contains(**name)) {
        let why = "no stream uses it; nothing was to be taken";
        config.findings.add(Finding::new(template.place, Fate::Changed, format!("template {name}"), why), None);
    }
    Ok(config)
}

struct Template {
    place: Place,
    items: Vec<Item>,
    parent: Option<String>,
}

fn templates(statements: &[Statement]) -> Result<BTreeMap<&str, Template>, ConfigError> {
    let mut found: BTreeMap<&str, Template> = BTreeMap::new();
    for statement in statements.iter().filter(|statement| statement.name() == "template") {
        let place = Place::Line(statement.line);
        let name = statement.arguments().first().map(|word| word.text.as_str()).filter(|name| !name.is_empty());
        let name = name.ok_or(ConfigError::Nameless { place, what: "template" })?;
        let (items, parent) = items(statement.block.as_deref().unwrap_or_default());
        if let Some(first) = found.insert(name, Template { place, items, parent }) {
            return Err(ConfigError::TemplateTwice { first: first.place, second: place });
        }
    }
    Ok(found)
}

/// The items of a block, and the template it names.
fn items(block: &[Statement]) -> (Vec<Item>, Option<String>) {
    let mut found = vec![];
    let mut template = None;
    for statement in block {
        match (statement.name(), statement.arguments().first()) {
            ("template", Some(name)) => template = Some(name.text.clone()),
            _ => found.push(item(statement)),
        }
        let one = ["template", "title", "position", "disabled", "segment_duration", "segment_count", "source_timeout"];
        let one = one.contains(&statement.name());
        if one && statement.words.len() > 2 {
            found.push(told(statement, Fate::Dropped, "more words than one value", UNKNOWN));
        }
        if (one || matches!(statement.name(), "dvr" | "drm" | "protocols")) && statement.block.is_some() {
            found.push(told(statement, Fate::Dropped, "a block behind it", UNKNOWN));
        }
    }
    (found, template)
}

fn stream(statement: &Statement) -> Result<Stream, ConfigError> {
    let place = Place::Line(statement.line);
    let (name, rest) = match statement.arguments().split_first() {
        Some((name, rest)) if !name.text.is_empty() => (name.text.clone(), rest),
        _ => return Err(ConfigError::Nameless { place, what: "stream" }),
    };
    let (mut items, template) = items(statement.block.as_deref().unwrap_or_default());
    // The oldest form names the source behind the name: stream NAME URL;
    if let Some(first) = rest.first() {
        let short = Statement { line: statement.line, words: rest.to_vec(), block: None };
        if first.text.contains("://") {
            items.insert(0, input(&short, rest, &[]));
        } else {
            items.push(told(&short, Fate::Dropped, "a word behind the name", UNKNOWN));
        }
    }
    if statement.name() == "ondemand" {
        items.push(told(
            statement,
            Fate::Changed,
            "ondemand",
            "channels always run here, whether somebody watches or not",
        ));
    }
    Ok(Stream { name, place, template, items })
}

/// Fills a stream up from its template, and that from its own.
fn expand<'t>(stream: &mut Stream, templates: &BTreeMap<&'t str, Template>, used: &mut BTreeSet<&'t str>) {
    let mut wanted = stream.template.clone();
    for _ in 0..TEMPLATES_DEEP {
        let Some(name) = wanted.take() else { return };
        let Some((name, template)) = templates.get_key_value(name.as_str()) else {
            let what = format!("template {name}");
            let why = "it is not in this file, so its settings are missing; import its file, or copy it here";
            let setting = Setting::Told(Fate::Dropped, what, why.to_owned());
            stream.items.push(Item { place: stream.place, directive: "", setting });
            return;
        };
        used.insert(name);
        let own: BTreeSet<&str> =
            stream.items.iter().map(|item| item.directive).filter(|name| !name.is_empty()).collect();
        let more: Vec<Item> = template.items.iter().filter(|item| !own.contains(item.directive)).cloned().collect();
        stream.items.extend(more);
        wanted = template.parent.clone();
    }
    if wanted.is_some() {
        let why =
            format!("templates name each other more than {TEMPLATES_DEEP} deep, or in a circle; the rest is missing");
        let setting = Setting::Told(Fate::Dropped, "template".to_owned(), why);
        stream.items.push(Item { place: stream.place, directive: "", setting });
    }
}

/// A storage of the server, which streams name as `dvr @NAME`.
fn storage(config: &mut Config, statement: &Statement) {
    let place = Place::Line(statement.line);
    let Some(name) = statement.arguments().first().map(|word| word.text.clone()) else {
        config.findings.add(Finding::new(place, Fate::Dropped, "dvr", "a storage without a name"), None);
        return;
    };
    let mut archive = Archive::read(statement.arguments().get(1..).unwrap_or_default());
    let mut lost = archive.without.clone();
    for inner in statement.block.as_deref().unwrap_or_default() {
        let unknown = match inner.name() {
            "root" => {
                archive = Archive::read(inner.arguments()).over(&archive);
                lost.append(&mut archive.without);
                false
            }
            "expiration" | "disk_usage_limit" | "storage_limit" | "limits" => {
                // Every word is read, whether or not one before it does.
                inner.arguments().iter().map(|word| archive.limit(&word.text)).fold(false, |lost, read| lost | !read)
            }
            name => !matches!(name, "raid" | "disk" | "disks" | "active" | "metadata" | "index" | "check_mount"),
        };
        if unknown {
            let place = Place::Line(inner.line);
            config.findings.add(Finding::new(place, Fate::Dropped, "a directive of a storage", UNKNOWN), None);
        }
    }
    for option in lost {
        let why = "the archive has no such setting; see docs/archive.md";
        config.findings.add(Finding::new(place, Fate::Dropped, format!("dvr storage {option}"), why), None);
    }
    let why =
        "disks are named at each node: [archive] paths in node.toml; depth and shares go to the channels that use it";
    config.findings.add(Finding::new(place, Fate::Changed, "dvr storage", why), None);
    config.storages.insert(name, archive);
}

fn told(statement: &Statement, fate: Fate, what: &str, why: &str) -> Item {
    let setting = Setting::Told(fate, what.to_owned(), why.to_owned());
    Item { place: Place::Line(statement.line), directive: "", setting }
}

/// One statement of a stream.
fn item(statement: &Statement) -> Item {
    let words = statement.arguments();
    let first = words.first().map_or("", |word| word.text.as_str());
    let (directive, setting) = match statement.name() {
        "input" | "url" => return input(statement, words, statement.block.as_deref().unwrap_or_default()),
        "title" => ("title", Some(Setting::Title(first.to_owned())).filter(|_| words.len() == 1)),
        "position" => ("position", first.parse().ok().map(Setting::Position)),
        "disabled" => ("disabled", Some(Setting::Disabled(!matches!(first, "false" | "off" | "0")))),
        "segment_duration" => ("segment_duration", unit::duration_ms(first).map(Setting::SegmentMs)),
        "segment_count" => ("segment_count", first.parse().ok().map(Setting::SegmentCount)),
        "source_timeout" => ("source_timeout", unit::duration_ms(first).map(Setting::SourceTimeoutMs)),
        "dvr" => ("dvr", Some(Setting::Archive(Archive::read(words)))),
        "drm" => ("drm", Some(Setting::Drm(drm(words)))),
        "protocols" => ("protocols", protocols(words)),
        name => match (directive::output(name), directive::rule(OF_STREAMS, name)) {
            // `rtmp off`, `mpegts off`: the first generation of output switches.
            (Some((name, output)), _) if matches!(first, "on" | "off" | "true" | "false") => {
                (name, Some(Setting::Output(output, name, matches!(first, "on" | "true"))))
            }
            (_, Some((name, Rule { fate, why, .. }))) => {
                (name, Some(Setting::Told(*fate, name.to_owned(), (*why).to_owned())))
            }
            (Some((name, _)), None) => (
                name,
                Some(Setting::Told(
                    Fate::Dropped,
                    name.to_owned(),
                    "it is set in a way that is not known here".to_owned(),
                )),
            ),
            (None, None) => return told(statement, Fate::Dropped, "a directive", UNKNOWN),
        },
    };
    let unread = || {
        Setting::Told(
            Fate::Dropped,
            directive.to_owned(),
            "its value does not read; put right what stands there".to_owned(),
        )
    };
    Item { place: Place::Line(statement.line), directive, setting: setting.unwrap_or_else(unread) }
}

fn input(statement: &Statement, words: &[Word], block: &[Statement]) -> Item {
    let address = words.first().map(|word| word.text.clone()).unwrap_or_default();
    let mut found = Input { address, priority: None, timeout_ms: None, services: vec![], told: vec![] };
    for word in words.get(1..).unwrap_or_default() {
        let (name, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
        found.option(name, value);
    }
    for inner in block {
        found.option(inner.name(), inner.arguments().first().map_or("", |word| &word.text));
    }
    Item { place: Place::Line(statement.line), directive: "input", setting: Setting::Input(found) }
}

impl Input {
    /// Takes one option, or says what becomes of it.
    pub fn option(&mut self, name: &str, value: &str) {
        const UNREAD: &str = "its value does not read; put right what stands there";
        let unread = |name| (name, Fate::Dropped, UNREAD);
        match name {
            "priority" => match value.parse() {
                Ok(priority) => self.priority = Some(priority),
                Err(_) => self.told.push(unread("priority")),
            },
            "source_timeout" => match unit::duration_ms(value) {
                Some(ms) => self.timeout_ms = Some(ms),
                None => self.told.push(unread("source_timeout")),
            },
            "program" | "programs" => {
                let numbers: Result<Vec<u16>, _> = value.split(',').map(|number| number.trim().parse()).collect();
                match numbers {
                    Ok(numbers) if !numbers.contains(&0) => self.services = numbers,
                    _ => self.told.push(unread("programs")),
                }
            }
            name => self.told.push(match directive::rule(OF_INPUTS, name) {
                Some((name, rule)) => (name, rule.fate, rule.why),
                None => ("an option of the input", Fate::Dropped, UNKNOWN),
            }),
        }
    }
}

/// `drm aes128 keyserver=URL expires=10`.
fn drm(words: &[Word]) -> Drm {
    let mut found = Drm::default();
    for (index, word) in words.iter().enumerate() {
        match word.text.split_once('=') {
            None if index == 0 => found.aes128 = word.text == "aes128",
            Some(("keyserver", _)) => found.key_server = true,
            Some(("expires", minutes)) => found.expires_min = minutes.parse().ok(),
            _ => found.others = true,
        }
    }
    found
}

/// `protocols hls dash;` or `protocols -mpegts;`: the second generation of output switches.
fn protocols(words: &[Word]) -> Option<Setting> {
    let mut only = vec![];
    let mut without = vec![];
    for word in words {
        let (name, list) = match word.text.strip_prefix('-') {
            Some(name) => (name, &mut without),
            None => (word.text.as_str(), &mut only),
        };
        list.push(directive::output(name)?);
    }
    if without.is_empty() {
        return Some(Setting::OnlyOutputs(only)).filter(|_| !words.is_empty());
    }
    // MPEG-TS has a name in each generation; what is not made here need not be named as missing.
    let kept = |output: Output| output != Output::None && without.iter().all(|(_, gone)| *gone != output);
    let rest = directive::OUTPUTS.iter().copied().filter(|(_, output)| kept(*output));
    only.is_empty().then(|| Setting::OnlyOutputs(rest.collect()))
}
