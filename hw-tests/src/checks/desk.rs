//! Where a check reports and asks: the serial line of the virtual machine, or a terminal.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};

use crate::line::Say;

/// The way to whoever watches.
pub struct Desk {
    out: Box<dyn Write>,
    answers: Option<Box<dyn BufRead>>,
    check: String,
}

impl Desk {
    /// A desk that writes to `out`; whoever reads it can lend a hand when there are answers.
    #[must_use]
    pub fn new(out: Box<dyn Write>, answers: Option<Box<dyn BufRead>>) -> Self {
        Self { out, answers, check: String::new() }
    }

    /// Says something.
    ///
    /// # Errors
    /// When nobody can hear it.
    pub fn say(&mut self, say: &Say) -> Result<()> {
        writeln!(self.out, "{say}").and_then(|()| self.out.flush()).context("report")
    }

    /// A check starts: what is measured from now on is its.
    ///
    /// # Errors
    /// When nobody can hear it.
    pub fn begin(&mut self, check: &str) -> Result<()> {
        check.clone_into(&mut self.check);
        self.say(&Say::Begin(check.to_owned()))
    }

    /// Notes a measured figure.
    ///
    /// # Errors
    /// When nobody can hear it.
    pub fn figure(&mut self, name: &str, value: impl std::fmt::Display) -> Result<()> {
        self.say(&Say::Figure(self.check.clone(), name.to_owned(), value.to_string()))
    }

    /// Asks the host for something and waits until it is done.
    ///
    /// # Errors
    /// When there is no host, or it refuses.
    pub fn ask(&mut self, what: &str) -> Result<()> {
        self.say(&Say::Ask(what.to_owned()))?;
        let Some(answers) = &mut self.answers else { bail!("nobody is there to {what}") };
        let mut answer = String::new();
        answers.read_line(&mut answer).context("read the host's answer")?;
        match answer.trim() {
            "done" => Ok(()),
            other => bail!("asked for {what}: {other}"),
        }
    }
}

/// Milliseconds with one decimal, as figures are written.
pub(super) fn ms(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
