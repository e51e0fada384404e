//! Log lines on stderr, for a person or for a machine, and a limiter for lines that repeat.
//!
//! Level and form come from flags, never from the environment. systemd's journal stamps lines itself, so under it the
//! human form carries no time of its own.

use std::io;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// One readable line per event.
    #[default]
    Human,
    /// One JSON object per event.
    Json,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The level is not one; `info` or `info,headend_node=debug` would be.
    #[error("log level {given:?} (use error, warn, info, debug, or info,headend_node=debug)")]
    Level {
        /// What was given.
        given: String,
        /// What the parser said.
        source: ParseError,
    },
    /// Something else logs already.
    #[error("start logging")]
    Start(#[source] TryInitError),
}

/// Starts logging to stderr. `level` is a level or a list of `target=level`. Also turns panics into error lines, so that
/// they reach the same place as everything else.
///
/// # Errors
/// [`TraceError`] for a bad level or a second call.
pub fn start(level: &str, form: Form) -> Result<(), TraceError> {
    // mpeg2ts-reader logs once per scrambled packet, which would drown everything else.
    let filter = EnvFilter::builder()
        .parse(format!("mpeg2ts_reader=off,{level}"))
        .map_err(|source| TraceError::Level { given: level.to_owned(), source })?;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = fmt::layer().with_writer(io::stderr).with_target(true);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match form {
        Form::Json => Box::new(lines.json().flatten_event(true).with_span_list(false)),
        Form::Human if journal => Box::new(lines.with_ansi(false).without_time()),
        Form::Human => Box::new(lines.with_ansi(false)),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(TraceError::Start)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let text = panic.payload_as_str().unwrap_or("no text");
    if reader_left(text) {
        // `inspect FILE | head`: who read our answer has enough of it. That is no defect, and nothing is lost.
        std::process::exit(1);
    }
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, text, "panic");
}

/// What `println!` panics with when the other end of the pipe is closed.
fn reader_left(text: &str) -> bool {
    text.starts_with("failed printing to stdout") && text.contains("Broken pipe")
}

/// Lets one line through per period and counts the rest (house rule G3).
///
/// ```ignore
/// if let Some(times) = self.lost.hit() {
///     tracing::warn!(times, channel = %name, "packets lost");
/// }
/// ```
#[derive(Debug)]
pub struct Repeat {
    period: Duration,
    state: Mutex<Option<Spell>>,
}

#[derive(Debug)]
struct Spell {
    said: Instant,
    unsaid: u64,
}

impl Default for Repeat {
    fn default() -> Self {
        Self::new()
    }
}

impl Repeat {
    /// One line per 10 s.
    #[must_use]
    pub fn new() -> Self {
        Self::every(Duration::from_secs(10))
    }

    /// One line per `period`.
    #[must_use]
    pub fn every(period: Duration) -> Self {
        Self { period, state: Mutex::new(None) }
    }

    /// Notes one occurrence. `Some(n)` means: print now, this line stands for `n` occurrences (itself included).
    pub fn hit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spell) = state.as_mut().filter(|spell| now.duration_since(spell.said) < self.period) {
            spell.unsaid += 1;
            return None;
        }
        let unsaid = state.take().map_or(0, |spell| spell.unsaid);
        *state = Some(Spell { said: now, unsaid: 0 });
        Some(unsaid + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_period_with_a_count() {
        let repeat = Repeat::new();
        let mut said = vec![];
        for _ in 0..25 {
            said.extend(repeat.hit());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(said, [1, 10, 10]);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(repeat.hit(), Some(5));
    }

    #[test]
    fn logging_starts_once_and_explains_a_bad_level() {
        let error = start("nonsense=loud", Form::Human).unwrap_err();
        assert!(crate::chain(&error).starts_with("log level \"nonsense=loud\" (use error"), "{error}");
        // Other tests in this process keep the usual report of their panics.
        let usual = std::panic::take_hook();
        start("error,headend_rt=warn", Form::Json).unwrap();
        std::panic::set_hook(usual);
        assert!(matches!(start("info", Form::Human), Err(TraceError::Start(_))));
    }
}
