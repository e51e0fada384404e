//! Scripts for rehearsals: what happens to a tuner that is played from a recording, and when.
//!
//! Pure. One line a happening, `at 10s lock off`; times are since the tuner was first looked for. Beside `clip.ts` the
//! script is `clip.ts.script`; without one the signal is good for ever.
//!
//! | words | meaning |
//! |---|---|
//! | `lock on`, `lock off` | the demodulator locks or not |
//! | `data on`, `data off` | packets come or not, whatever the lock says |
//! | `plug`, `unplug` | the device is there or not |
//! | `hang 5s` | the next call takes so long |
//! | `overflow` | the kernel's ring ran over |
//! | `strength -52.1`, `quality 14.9` | dBm, dB |

use std::time::Duration;

use super::units::Decibels;

/// The longest script, lines.
const LINES_MAX: usize = 10_000;

/// What a tuner is like at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Lock bit.
    pub locked: bool,
    /// Whether packets come.
    pub data: bool,
    /// Whether the device is there.
    pub plugged: bool,
    /// dBm.
    pub strength: Decibels,
    /// dB.
    pub quality: Decibels,
}

impl Default for Situation {
    fn default() -> Self {
        Self { locked: true, data: true, plugged: true, strength: Decibels(-52_000), quality: Decibels(14_500) }
    }
}

/// Something that happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The next call takes so long.
    Hang(Duration),
    /// The kernel's ring ran over.
    Overflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Locked(bool),
    Data(bool),
    Plugged(bool),
    Strength(Decibels),
    Quality(Decibels),
    Once(Happening),
}

/// A script, in the order of its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    lines: Vec<(Duration, Line)>,
}

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {text:?} is not understood: write for example `at 10s lock off`, `at 1500ms hang 5s`, `at 20s unplug`"
)]
pub struct ScriptError {
    line: usize,
    text: String,
}

impl Script {
    /// Reads a script; `#` begins a remark.
    ///
    /// # Errors
    /// [`ScriptError`] names the line.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = vec![];
        for (index, text) in text.lines().take(LINES_MAX).enumerate() {
            let text = text.split('#').next().unwrap_or("").trim();
            if text.is_empty() {
                continue;
            }
            lines.push(line(text).ok_or_else(|| ScriptError { line: index + 1, text: text.to_owned() })?);
        }
        lines.sort_by_key(|(at, _)| *at);
        Ok(Self { lines })
    }

    /// How things are `since` the start.
    #[must_use]
    pub fn at(&self, since: Duration) -> Situation {
        let mut now = Situation::default();
        for (_, line) in self.lines.iter().take_while(|(at, _)| *at <= since) {
            match *line {
                Line::Locked(on) => now.locked = on,
                Line::Data(on) => now.data = on,
                Line::Plugged(on) => now.plugged = on,
                Line::Strength(level) => now.strength = level,
                Line::Quality(level) => now.quality = level,
                Line::Once(_) => {}
            }
        }
        now
    }

    /// What happens once behind `after` and up to `until`.
    pub fn happenings(&self, after: Duration, until: Duration) -> impl Iterator<Item = Happening> {
        let within = move |at: &Duration| *at > after && *at <= until;
        self.lines.iter().filter(move |(at, _)| within(at)).filter_map(|(_, line)| match line {
            Line::Once(happening) => Some(*happening),
            _ => None,
        })
    }
}

fn line(text: &str) -> Option<(Duration, Line)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["at", at, what @ ..] = &words[..] else { return None };
    let switch = |word: &str| match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    let line = match what {
        ["lock", word] => Line::Locked(switch(word)?),
        ["data", word] => Line::Data(switch(word)?),
        ["plug"] => Line::Plugged(true),
        ["unplug"] => Line::Plugged(false),
        ["overflow"] => Line::Once(Happening::Overflow),
        ["hang", length] => Line::Once(Happening::Hang(duration(length)?)),
        ["strength", level] => Line::Strength(decibels(level)?),
        ["quality", level] => Line::Quality(decibels(level)?),
        _ => return None,
    };
    Some((duration(at)?, line))
}

fn duration(text: &str) -> Option<Duration> {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().ok().map(Duration::from_millis);
    }
    let seconds: u32 = text.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// One decimal at most, between -1,000 and 1,000.
fn decibels(text: &str) -> Option<Decibels> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, tenth) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole: i32 = whole.parse().ok().filter(|whole| (0..=1000).contains(whole))?;
    let tenth: i32 = tenth.parse().ok().filter(|tenth| (0..=9).contains(tenth))?;
    Some(Decibels::from_tenths(sign * (whole * 10 + tenth)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_script_is_played_by_its_times() {
        let text = "# a bad evening\nat 20s lock on\nat 10s lock off # rain\nat 10s quality 3.5\nat 1500ms hang 5s\n\nat 30s unplug\n";
        let script = Script::parse(text).unwrap();
        let at = |secs| script.at(Duration::from_secs(secs));
        assert_eq!(at(0), Situation::default());
        assert_eq!((at(10).locked, at(10).quality), (false, Decibels(3_500)));
        assert_eq!((at(20).locked, at(29).plugged, at(30).plugged), (true, true, false));
        let once: Vec<_> = script.happenings(Duration::ZERO, Duration::from_secs(2)).collect();
        assert_eq!(once, [Happening::Hang(Duration::from_secs(5))]);
        assert_eq!(script.happenings(Duration::from_millis(1500), Duration::from_secs(9)).count(), 0);
    }

    #[test]
    fn a_bad_line_is_named() {
        let words = Script::parse("at 1s lock on\nat once lock off").unwrap_err().to_string();
        assert!(words.starts_with("line 2: \"at once lock off\" is not understood"), "{words}");
        for text in ["at 1s", "1s lock on", "at 1s strength 3.55", "at 1s lock maybe", "at 1m plug"] {
            assert!(Script::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(at [0-9]{0,3}m?s (lock|data|hang|strength|x)? ?[-a-z0-9.]{0,6}\n){0,5}") {
            let _ = Script::parse(&text);
        }
    }
}
