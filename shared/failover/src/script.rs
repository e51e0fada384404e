//! Plays an incident from a text: what happened goes in, the timeline of decisions comes out.
//!
//! For rehearsals ("Caribbean dish down") and for regression tests written after an incident. The same machines
//! decide as in production; only the world is simulated: origins probed every 2 s (limit 1.5 s) together with
//! the anchors, or sources sampled every 250 ms. One line a fact, `#` starts a comment:
//!
//! ```text
//! origins caribbean france          or: sources satellite from-france
//! rule soak 300s                    or: relapse, window, leave-after, up-after (durations), switches, failures
//! at 10s caribbean stops            or: refuses, is killed, freezes, goes silent, is scrambled, loses packets
//! at 60s caribbean recovers
//! at 70s controller is cut off      or: controller is back
//! at 80s operator pins france for 60s [by force]
//! at 90s box 17 fails on caribbean
//! at 400s end
//! ```
//!
//! It reads no file and prints nothing; a script is at most [`SCRIPT_BYTES_MAX`] and simulates a day at most.

use std::fmt::Write as _;

use crate::{
    choose::{Choice, Decision, Pin},
    chooser::Chooser,
    policy::{DURATION_MS_MAX, Policy, PolicyError, ProbeRules, SourceRules},
    reason::Reason,
};

mod world;

use world::{State, World};

/// The longest script, bytes.
pub const SCRIPT_BYTES_MAX: usize = 65_536;

/// Simulated time goes in steps of this, milliseconds.
const STEP_MS: u64 = 250;

/// Why a script cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Over [`SCRIPT_BYTES_MAX`].
    #[error("the script has {bytes} bytes, the limit is {SCRIPT_BYTES_MAX}")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// A line that says nothing we know.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What would be right.
        what: &'static str,
    },
    /// The rules cannot be run.
    #[error("the rules of the script")]
    Policy(#[source] PolicyError),
}

/// Plays the script and gives the timeline, one line for each decision that changed or changed its kind of reason.
///
/// ```
/// let incident = "origins caribbean france\nat 3s caribbean stops\nat 20s end\n";
/// let timeline = headend_failover::script::simulate(incident).unwrap();
/// assert!(timeline.ends_with("at 9.50s move to france: caribbean is down: 3 probes failed in a row, the last timed out\n"));
/// ```
///
/// # Errors
/// The first line that cannot be understood, or rules out of range.
pub fn simulate(script: &str) -> Result<String, ScriptError> {
    let mut play = Play::read(script)?;
    let mut timeline = String::new();
    let mut shown = "";
    for now in (0..=play.end).step_by(usize::try_from(STEP_MS).expect("a quarter second fits")) {
        while let Some((_, event)) = play.events.pop_if(|(at, _)| *at <= now) {
            event.happen(&mut play.world, &mut play.chooser, now);
        }
        let observed = play.world.step(now);
        if !observed && now % 1_000 != 0 {
            continue;
        }
        let candidates = play.world.candidates(now);
        let decision = play.chooser.decide(now, &candidates, play.world.blind());
        let kind = kind(&decision.reason, play.chooser.on() == play.chooser.policy().order.first());
        if kind != shown || matches!(decision.choice, Choice::MoveTo(_)) {
            shown = kind;
            show(&mut timeline, now, &decision, play.chooser.on());
        }
    }
    Ok(timeline)
}

/// What makes a decision worth a new line though nothing moves: why in kind, not in figures.
fn kind(reason: &Reason<String>, on_first: bool) -> &'static str {
    match reason {
        // A state of affairs, told at the move to it and again after it.
        Reason::Lost { .. } | Reason::Available { .. } if on_first => "preferred",
        Reason::Returned { .. } | Reason::Preferred { .. } => "preferred",
        Reason::Lost { .. } | Reason::Available { .. } | Reason::OnBackup { .. } => "backup",
        Reason::Soaking { .. } => "soaking",
        Reason::SwitchLimit { .. } => "limit",
        Reason::Untested { .. } => "untested",
        Reason::LastResort { .. } => "last resort",
        Reason::Pinned { .. } => "pinned",
        Reason::Blind => "blind",
        Reason::NothingUp { .. } => "slate",
    }
}

fn show(timeline: &mut String, now: u64, decision: &Decision<String>, on: Option<&String>) {
    let what = match (&decision.choice, on) {
        (Choice::Keep, Some(on)) => format!("stay on {on}"),
        (Choice::MoveTo(id), _) => format!("move to {id}"),
        (Choice::Slate, _) | (Choice::Keep, None) => "slate".to_owned(),
    };
    let (secs, hundredths) = (now / 1_000, now % 1_000 / 10);
    writeln!(timeline, "at {secs}.{hundredths:02}s {what}: {}", decision.reason)
        .expect("a String takes what is written");
}

/// A script ready to run.
struct Play {
    world: World,
    chooser: Chooser<String>,
    /// The last first.
    events: Vec<(u64, Event)>,
    end: u64,
}

/// One fact.
enum Event {
    Becomes(String, State),
    Controller { cut_off: bool },
    Pin { id: String, for_ms: u64, forced: bool },
    Box { subscriber: u64, id: String },
}

impl Event {
    fn happen(self, world: &mut World, chooser: &mut Chooser<String>, now: u64) {
        match self {
            Self::Becomes(id, state) => world.becomes(&id, state, now),
            Self::Controller { cut_off } => world.cut_off(cut_off),
            Self::Pin { id, for_ms, forced } => chooser.pin(Some(Pin { id, until_ms: now + for_ms, forced })),
            Self::Box { subscriber, id } => world.box_report(&id, subscriber, now),
        }
    }
}

/// The head of a script while it is read.
struct Head {
    sources: bool,
    ids: Vec<String>,
    voluntary_max: u8,
    window_ms: u64,
    probes: ProbeRules,
    samples: SourceRules,
}

impl Play {
    fn read(script: &str) -> Result<Self, ScriptError> {
        if script.len() > SCRIPT_BYTES_MAX {
            return Err(ScriptError::TooLong { bytes: script.len() });
        }
        let template = Policy::new(vec![String::new()]);
        let mut head = Head {
            sources: false,
            ids: vec![],
            voluntary_max: template.voluntary_max,
            window_ms: template.window_ms,
            probes: ProbeRules::default(),
            samples: SourceRules::default(),
        };
        let (mut events, mut end) = (vec![], None);
        for (index, line) in script.lines().enumerate() {
            let fail = |what| ScriptError::Line { line: index + 1, what };
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["at", at, "end"] => end = Some(duration(at).ok_or(fail(DURATION))?),
                ["at", at, fact @ ..] => {
                    events.push((duration(at).ok_or(fail(DURATION))?, head.fact(fact).map_err(fail)?));
                }
                [kind @ ("origins" | "sources"), ids @ ..] if head.ids.is_empty() => {
                    head.sources = *kind == "sources";
                    head.ids = ids.iter().map(|&id| id.to_owned()).collect();
                }
                ["rule", name, value] => head.rule(name, value).map_err(fail)?,
                _ => return Err(fail("expected origins, sources, rule or at")),
            }
        }
        // They are taken from the end; the sort is stable, so facts of one moment stay in the order written.
        events.sort_by_key(|(at, _)| *at);
        events.reverse();
        let last = events.first().map_or(0, |(at, _)| *at);
        head.play(events, end.unwrap_or(last + 60_000))
    }
}

const DURATION: &str = "a duration is a number with ms, s, m or h, at most a day";

impl Head {
    fn fact(&self, words: &[&str]) -> Result<Event, &'static str> {
        let known = |id: &str| {
            let found = self.ids.iter().find(|known| *known == id);
            found.cloned().ok_or("name it in origins or sources first")
        };
        Ok(match words {
            ["controller", "is", "cut", "off"] => Event::Controller { cut_off: true },
            ["controller", "is", "back"] => Event::Controller { cut_off: false },
            ["operator", "pins", id, "for", span, force @ ..] => {
                let forced = match force {
                    [] => false,
                    ["by", "force"] => true,
                    _ => return Err("expected: by force"),
                };
                Event::Pin { id: known(id)?, for_ms: duration(span).ok_or(DURATION)?, forced }
            }
            ["box", subscriber, "fails", "on", id] => {
                let subscriber = subscriber.parse().map_err(|_| "a box has a number")?;
                Event::Box { subscriber, id: known(id)? }
            }
            [id, state @ ..] => Event::Becomes(known(id)?, state_of(state).ok_or("not a state this can be in")?),
            [] => return Err("expected what happens"),
        })
    }

    fn rule(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let span = || duration(value).ok_or(DURATION);
        let count = || value.parse::<u8>().map_err(|_| "expected a small number");
        match name {
            "soak" => {
                for soak in [&mut self.probes.soak, &mut self.samples.soak] {
                    soak.soak_ms = span()?;
                    soak.soak_max_ms = soak.soak_ms.saturating_mul(8).min(DURATION_MS_MAX);
                }
            }
            "relapse" => {
                self.probes.soak.relapse_ms = span()?;
                self.samples.soak.relapse_ms = span()?;
            }
            "window" => self.window_ms = span()?,
            "leave-after" => self.samples.leave_after_ms = span()?,
            "up-after" => self.samples.up_after_ms = span()?,
            "switches" => self.voluntary_max = count()?,
            "failures" => self.probes.failures_to_down = count()?,
            _ => return Err("the rules are soak, relapse, window, leave-after, up-after, switches, failures"),
        }
        Ok(())
    }

    fn play(self, events: Vec<(u64, Event)>, end: u64) -> Result<Play, ScriptError> {
        let (voluntary_max, window_ms) = (self.voluntary_max, self.window_ms);
        let policy = Policy { voluntary_max, window_ms, ..Policy::new(self.ids.clone()) };
        let chooser = Chooser::new(policy).map_err(ScriptError::Policy)?;
        let world = if self.sources {
            World::of_sources(self.samples, self.ids)
        } else {
            World::of_origins(self.probes, self.ids)
        };
        Ok(Play { world: world.map_err(ScriptError::Policy)?, chooser, events, end: end.min(DURATION_MS_MAX) })
    }
}

fn state_of(words: &[&str]) -> Option<State> {
    Some(match words {
        ["recovers"] => State::Good,
        ["stops"] => State::Silent,
        ["refuses"] => State::Refuses,
        ["is", "killed"] => State::Killed,
        ["freezes"] => State::Frozen,
        ["goes", "silent"] => State::NoSound,
        ["is", "scrambled"] => State::Scrambled,
        ["loses", "packets"] => State::Torn,
        _ => return None,
    })
}

/// Milliseconds of `10s`, `250ms`, `5m`, `2h`.
fn duration(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|ms| *ms <= DURATION_MS_MAX)
}

#[cfg(test)]
mod tests;
