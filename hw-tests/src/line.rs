//! The line protocol between `hw-guest` and `hw-host`: one message a line, over a serial line or standard output.
//!
//! A check's name has no blanks. The host answers only an `ask`, with `done` or `refused WHY`.

use std::fmt;

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// The guest is up; the kernel's release.
    Hello(String),
    /// A check starts.
    Begin(String),
    /// A measured figure of a check: name, value with unit.
    Figure(String, String, String),
    /// The check passed, after so many milliseconds.
    Pass(String, u64),
    /// The check failed, after so many milliseconds, and why.
    Fail(String, u64, String),
    /// The check was not run, and why.
    Skip(String, String),
    /// The host's hand is needed: `card pull`, `reader unplug` and the like.
    Ask(String),
    /// For people.
    Note(String),
    /// All checks are through.
    Bye,
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(release) => write!(f, "hello {release}"),
            Self::Begin(check) => write!(f, "begin {check}"),
            Self::Figure(check, name, value) => write!(f, "figure {check} {name} {}", flat(value)),
            Self::Pass(check, ms) => write!(f, "pass {check} {ms}"),
            Self::Fail(check, ms, why) => write!(f, "fail {check} {ms} {}", flat(why)),
            Self::Skip(check, why) => write!(f, "skip {check} {}", flat(why)),
            Self::Ask(what) => write!(f, "ask {}", flat(what)),
            Self::Note(text) => write!(f, "note {}", flat(text)),
            Self::Bye => write!(f, "bye"),
        }
    }
}

fn flat(text: &str) -> String {
    text.replace(['\n', '\r'], " | ")
}

impl Say {
    /// Reads one line; anything else is nothing (the kernel may have spoken on the same line).
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.splitn(3, ' ');
        let mut word = || words.next().map(str::to_owned);
        Some(match verb {
            "hello" => Self::Hello(rest.to_owned()),
            "begin" => Self::Begin(rest.to_owned()),
            "figure" => Self::Figure(word()?, word()?, word()?),
            "pass" => Self::Pass(word()?, word()?.parse().ok()?),
            "fail" => Self::Fail(word()?, word()?.parse().ok()?, word().unwrap_or_default()),
            "skip" => {
                let (check, why) = rest.split_once(' ')?;
                Self::Skip(check.to_owned(), why.to_owned())
            }
            "ask" => Self::Ask(rest.to_owned()),
            "note" => Self::Note(rest.to_owned()),
            "bye" => Self::Bye,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let says = [
            Say::Hello("6.1.0".into()),
            Say::Begin("tune".into()),
            Say::Figure("tune".into(), "lock".into(), "52 ms".into()),
            Say::Pass("tune".into(), 12),
            Say::Fail("tune".into(), 3, "no lock | after 2 s".into()),
            Say::Skip("vidtv".into(), "no such driver here".into()),
            Say::Ask("card pull".into()),
            Say::Bye,
        ];
        for say in says {
            assert_eq!(Say::parse(&say.to_string()), Some(say));
        }
        assert_eq!(Say::parse("[    1.0] usb 1-1: new device"), None);
    }
}
