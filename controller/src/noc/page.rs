//! The dashboard and the sign-in page as HTML: complete without a script, patched in place with one.
//!
//! The script finds every value by its `data-f`, so a name changed here is changed in `web/assets/row.js`.

use askama::Template;
use jiff::Timestamp;

use super::{
    matrix::{Line, Matrix, NodeCard, Row, State},
    words::{Words, age, megabits},
};
use crate::page::{assets, language::Language};

/// The dashboard of one moment.
#[derive(Template)]
#[template(path = "noc.html")]
struct Dashboard<'a> {
    w: &'static Words,
    say: Say,
    build: &'static str,
    operator: &'a str,
    matrix: &'a Matrix,
    states: [State; 7],
    /// What the script copies for a line and a node it has not seen yet.
    blank: (Line, NodeCard),
}

/// The operators' sign-in form.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    w: &'static Words,
    say: Say,
    build: &'static str,
    login: &'a str,
    complaint: &'a str,
}

/// Writes values as people read them, in one language, at one moment.
#[derive(Debug, Clone, Copy)]
struct Say {
    language: Language,
    at: Timestamp,
}

impl Say {
    fn lang(&self) -> &'static str {
        self.language.tag()
    }

    fn other_lang(&self) -> &'static str {
        self.language.other().tag()
    }

    fn now_ms(&self) -> i64 {
        self.at.as_millisecond()
    }

    fn clock(&self) -> String {
        self.at.strftime("%H:%M:%S").to_string()
    }

    fn utc(&self, ms: &i64) -> String {
        Timestamp::from_millisecond(*ms).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
    }

    fn age(&self, ms: &i64) -> String {
        age(self.now_ms().saturating_sub(*ms), self.language)
    }

    fn rate(&self, bits_per_second: &u64) -> String {
        megabits(*bits_per_second, self.language)
    }
}

impl Line {
    fn haystack(&self) -> String {
        let number = self.number.map(|number| number.to_string()).unwrap_or_default();
        let nodes = self.origins.values().map(|row| format!(" {} {}", row.node, row.site)).collect::<String>();
        format!("{number} {} {}{nodes}", self.name, self.title).to_lowercase()
    }
}

impl NodeCard {
    /// Whether someone should look at it.
    fn quiet(&self) -> bool {
        self.state.tag() == "alive" && self.differences == 0 && self.warnings == 0
    }

    fn level(&self) -> &'static str {
        self.hardware.map_or("", super::hardware::Level::tag)
    }
}

impl Row {
    /// A stale row shows when it was last heard, since its state's age means nothing now.
    fn shown_since(&self) -> Option<i64> {
        if self.stale { self.heard } else { self.since }
    }

    fn has_errors(&self) -> bool {
        self.cc.is_some_and(|cc| cc > 0)
    }

    fn audiences(&self) -> String {
        self.serves.iter().filter(|audience| *audience != "*").map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn blank() -> (Line, NodeCard) {
    let origins = [(String::new(), Row::default())].into();
    (Line { origins, ..Line::default() }, NodeCard::default())
}

/// The dashboard.
#[must_use]
pub fn dashboard(matrix: &Matrix, language: Language, operator: &str) -> String {
    let (w, say) = (Words::of(language), Say { language, at: matrix.at });
    let page = Dashboard { w, say, build: assets::build(), operator, matrix, states: State::ALL, blank: blank() };
    page.render().expect("a template of plain values renders")
}

/// The sign-in page, with what was wrong the last time; empty at the first.
#[must_use]
pub fn sign_in(language: Language, login: &str, complaint: &str) -> String {
    let say = Say { language, at: Timestamp::UNIX_EPOCH };
    let page = SignInPage { w: Words::of(language), say, build: assets::build(), login, complaint };
    page.render().expect("a template of plain values renders")
}
