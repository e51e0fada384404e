//! `probe`: looks at HLS as a player would, and judges it by the rules of `docs/lint.md`.
//!
//! Shell of `headend_media::lint`: `fetch` asks, `walk` goes from the master to renditions, keys and segments and reloads what
//! changes, `report` prints. What is not there or does not answer is a finding like any other; the exit code says how the
//! whole of it went.

mod fetch;
mod report;
mod walk;

use std::{path::PathBuf, time::Duration};

use headend_media::lint::{Severity, shown};
use reqwest::{StatusCode, Url};

use super::Exit;
use fetch::Fetcher;
use walk::Walk;

/// Which segments are fetched and looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Segments {
    /// Playlists alone.
    None,
    /// The first and the last, and those that come while it looks.
    Ends,
    /// All of them.
    All,
}

/// Arguments of `probe`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The http:// or https:// address of a master or media playlist; a token in it is not printed.
    url: String,
    /// Tell every rule that is broken, and look again at lists that change; without it only what stops players is told.
    #[arg(long)]
    lint: bool,
    /// How often a list that changes is fetched again, one target duration apart.
    #[arg(long, default_value_t = 4, conflicts_with = "seconds", requires = "lint")]
    reloads: u32,
    /// Look for so long instead.
    #[arg(long = "for", value_name = "SECONDS", requires = "lint", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    seconds: Option<u64>,
    /// Which segments are fetched, decrypted and looked into.
    #[arg(long, value_enum, default_value_t = Segments::Ends)]
    segments: Segments,
    /// Certificate authorities (PEM) to trust instead of the machine's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print JSON (stable names).
    #[arg(long)]
    json: bool,
}

/// How long a list that changes is watched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// So many reloads.
    Reloads(u32),
    /// So long.
    For(Duration),
}

/// What was asked for is no address.
#[derive(Debug, thiserror::Error)]
#[error("{address} is no http:// or https:// address of a playlist")]
struct NoAddress {
    address: String,
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    let url = arguments.url.parse::<Url>().ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let Some(url) = url else {
        return Exit::Usage.say(&NoAddress { address: shown(&arguments.url) });
    };
    let fetcher = match Fetcher::new(arguments.ca.as_deref()) {
        Ok(fetcher) => fetcher,
        Err(error) => return Exit::Usage.say(&error),
    };
    let patience = match (arguments.lint, arguments.seconds) {
        (false, _) => Patience::Reloads(0),
        (true, Some(seconds)) => Patience::For(Duration::from_secs(seconds)),
        (true, None) => Patience::Reloads(arguments.reloads),
    };
    let mut walk = Walk::new(fetcher, arguments.segments);
    walk.go(&url, patience).await;
    let least = if arguments.lint { Severity::Note } else { Severity::Error };
    let report = walk.report(&url, least);
    let exit = exit(&walk, report.errors);
    show(&report, arguments.json);
    exit
}

fn exit(walk: &Walk, errors: u64) -> Exit {
    match walk.refusal() {
        Some(Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => Exit::NotAuthorised,
        Some(Some(StatusCode::NOT_FOUND | StatusCode::GONE)) => Exit::NotFound,
        Some(_) => Exit::Failed,
        None if errors > 0 => Exit::Degraded,
        None => Exit::Done,
    }
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn show(report: &report::Report, json: bool) {
    if json {
        println!("{}", serde_json::to_string_pretty(report).expect("a report has a JSON form"));
    } else {
        print!("{}", report.describe());
    }
}
