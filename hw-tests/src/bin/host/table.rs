//! What the checks said, as lines while they run and as a table at the end.

use std::time::Instant;

use headend_hw_tests::line::Say;

use crate::tell;

struct Row {
    name: String,
    outcome: Outcome,
    figures: Vec<(String, String)>,
}

enum Outcome {
    Running,
    Passed(u64),
    Failed(u64, String),
    Skipped(String),
}

/// The rows so far.
pub(crate) struct Table {
    rows: Vec<Row>,
    broken: Vec<String>,
    start: Instant,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: vec![], broken: vec![], start: Instant::now() }
    }

    /// Takes one line of the protocol.
    pub(crate) fn hear(&mut self, say: &Say) {
        match say {
            Say::Begin(name) => self.row(name, Outcome::Running),
            Say::Skip(name, why) => {
                tell(&format!("  skip  {name}: {why}"));
                self.row(name, Outcome::Skipped(why.clone()));
            }
            Say::Figure(_, name, value) => {
                if let Some(row) = self.rows.last_mut() {
                    row.figures.push((name.clone(), value.clone()));
                }
            }
            Say::Pass(name, ms) => {
                tell(&format!("  ok    {name} ({})", seconds(*ms)));
                self.close(name, Outcome::Passed(*ms));
            }
            Say::Fail(name, ms, why) => {
                tell(&format!("  FAIL  {name} ({}): {why}", seconds(*ms)));
                self.close(name, Outcome::Failed(*ms, why.clone()));
            }
            Say::Note(text) => self.broken(text),
            Say::Hello(_) | Say::Ask(_) | Say::Bye => {}
        }
    }

    /// Something outside the checks went wrong.
    pub(crate) fn broken(&mut self, why: &str) {
        tell(&format!("  FAIL  {why}"));
        self.broken.push(why.to_owned());
    }

    fn row(&mut self, name: &str, outcome: Outcome) {
        self.rows.push(Row { name: name.to_owned(), outcome, figures: vec![] });
    }

    fn close(&mut self, name: &str, outcome: Outcome) {
        if let Some(row) = self.rows.iter_mut().rev().find(|row| row.name == name) {
            row.outcome = outcome;
        }
    }

    /// Prints the table, and tells whether all is well: nothing failed, nothing was left half done, something ran.
    pub(crate) fn print(&self) -> bool {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        say("");
        let mut good = self.broken.is_empty() && !self.rows.is_empty();
        let (mut passed, mut skipped) = (0, 0);
        for row in &self.rows {
            let (mark, took, why) = match &row.outcome {
                Outcome::Passed(ms) => ("ok", seconds(*ms), ""),
                Outcome::Failed(ms, why) => ("FAIL", seconds(*ms), why.as_str()),
                Outcome::Skipped(why) => ("skip", String::new(), why.as_str()),
                Outcome::Running => ("FAIL", String::new(), "did not end"),
            };
            passed += usize::from(mark == "ok");
            skipped += usize::from(mark == "skip");
            good &= mark != "FAIL";
            say(&format!("{mark:4}  {:width$}  {took:>8}  {why}", row.name));
            for (name, value) in &row.figures {
                say(&format!("{:width$}        {name}: {value}", ""));
            }
        }
        for why in &self.broken {
            say(&format!("FAIL  {why}"));
        }
        let failed = self.rows.len() - passed - skipped;
        let took = self.start.elapsed().as_secs();
        say(&format!("\n{passed} passed, {failed} failed, {skipped} skipped in {} min {} s", took / 60, took % 60));
        good
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
