//! What came of one line: taken, changed or dropped, with the reason and the way out.
//!
//! Plain values. The same line may say the same of many streams (a template does); [`Findings::add`] keeps it once,
//! with the streams it is about. A text here is shown to people and machines, so it never holds a word of the file
//! that may be a secret.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// The most streams a finding names; the rest is counted.
const STREAMS_NAMED_MAX: usize = 3;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// As it stands there.
    Taken,
    /// In another way than there; the reason says which.
    Changed,
    /// Not at all.
    Dropped,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the file, from 1.
    Line(u32),
    /// A stream of the list that the API gave, from 1.
    Item(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "stream {item} of the list"),
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What came of it.
    pub fate: Fate,
    /// What it is about: a directive and, where it is no secret, its value.
    pub what: String,
    /// What was made of it, or why nothing was, and what to do.
    pub why: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(place: Place, fate: Fate, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place, fate, what: what.into(), why: why.into() }
    }
}

/// Findings in the order of their places, each once.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    kept: BTreeMap<Finding, Streams>,
}

/// The streams a finding is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    /// The first of them.
    pub named: Vec<String>,
    /// How many in all; 0 for what concerns the whole server.
    pub count: usize,
}

impl Findings {
    /// Keeps a finding about the whole server, or about a stream.
    pub fn add(&mut self, finding: Finding, stream: Option<&str>) {
        let streams = self.kept.entry(finding).or_default();
        if let Some(stream) = stream {
            streams.count += 1;
            if streams.named.len() < STREAMS_NAMED_MAX {
                streams.named.push(stream.to_owned());
            }
        }
    }

    /// Those of one fate, in order.
    pub fn of(&self, fate: Fate) -> impl Iterator<Item = (&Finding, &Streams)> {
        self.kept.iter().filter(move |(finding, _)| finding.fate == fate)
    }

    /// How many of a fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.of(fate).count()
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.join(", "))?;
        match self.count.saturating_sub(self.named.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
