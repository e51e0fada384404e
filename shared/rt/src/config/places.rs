//! Remembers where each key was written, so that a later check can point at it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::files::Sources;

/// A place in a configuration file. Displays as `file:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
}

impl Place {
    pub(super) fn in_text(file: &Path, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One key or list entry of the merged tree.
#[derive(Debug)]
pub(super) struct Entry {
    /// `output.hls`, or `channel#2.name` in the second entry of the list `channel`.
    pub(super) path: String,
    /// How long the path of the table it stands in is, in bytes of `path`.
    pub(super) table_bytes: usize,
    /// Where the key is; list entries have none.
    pub(super) key: Option<Range<usize>>,
    /// Where the value is; for a `[table]` its header.
    pub(super) value: Range<usize>,
    place: Place,
}

impl Entry {
    /// The path of the table it stands in; empty at the top level.
    pub(super) fn table(&self) -> &str {
        &self.path[..self.table_bytes]
    }

    /// Its own name.
    pub(super) fn name(&self) -> &str {
        self.path[self.table_bytes..].trim_start_matches('.')
    }
}

/// Where each key was written.
#[derive(Debug)]
pub struct Places {
    entries: Vec<Entry>,
    main: Place,
}

impl Places {
    pub(super) fn of(tree: &DeTable<'_>, sources: &Sources) -> Self {
        let mut places = Self { entries: vec![], main: sources.place(0) };
        places.add_table("", tree, sources);
        places
    }

    /// Where `path` was written: keys joined by `.`, and the n-th entry of a list (from 1) as `#n`, e.g.
    /// `channel#2.name`. `None` when no file has it.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Place> {
        self.entries.iter().find(|entry| entry.path == path).map(|entry| &entry.place)
    }

    /// An error at `path`, or at the nearest table around it that some file has. `text` says what is wrong and what
    /// would be right: "must be from 1 to 60".
    #[must_use]
    pub fn refuse(&self, path: &str, text: &str) -> ConfigError {
        let mut around = path;
        let place = loop {
            if let Some(place) = self.find(around) {
                break place;
            }
            match around.rfind(['.', '#']) {
                Some(end) => around = &around[..end],
                None => break &self.main,
            }
        };
        ConfigError::Wrong { place: place.clone(), text: format!("`{path}` {text}") }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>, sources: &Sources) {
        for (key, value) in table {
            let dot = if path.is_empty() { "" } else { "." };
            let entry = Entry {
                path: format!("{path}{dot}{}", key.get_ref()),
                table_bytes: path.len(),
                key: Some(key.span()),
                value: value.span(),
                place: sources.place(key.span().start),
            };
            self.add(entry, value.get_ref(), sources);
        }
    }

    fn add(&mut self, entry: Entry, value: &DeValue<'_>, sources: &Sources) {
        let path = entry.path.clone();
        self.entries.push(entry);
        match value {
            DeValue::Table(table) => self.add_table(&path, table, sources),
            DeValue::Array(list) => {
                for (n, value) in list.iter().enumerate() {
                    let entry = Entry {
                        path: format!("{path}#{}", n + 1),
                        table_bytes: path.len(),
                        key: None,
                        value: value.span(),
                        place: sources.place(value.span().start),
                    };
                    self.add(entry, value.get_ref(), sources);
                }
            }
            _ => {}
        }
    }
}
