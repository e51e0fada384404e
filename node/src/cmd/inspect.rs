//! `inspect`: what is in a stream, for people and as JSON.

use std::{fmt::Write as _, io::Read as _, path::PathBuf, sync::Arc, time::Duration};

use headend_media::{
    inspect::{Inspector, Report},
    text::TextDefaults,
};
use headend_rt::{Clock, Supervisor, SystemClock};
use tokio::time::{Instant, timeout_at};

use super::Exit;
use crate::input::{
    InputOptions, InputSet, Monotonic,
    address::{AddressError, Feed, SourceAddress},
    ring::{Start, Step},
};

/// Read at a time from a file.
const PIECE_BYTES: usize = 1 << 20;

/// Memory of the ring behind a live inspection.
const RING_BYTES: usize = 8 << 20;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A file, or udp://, rtp://, http:// or https:// address.
    source: String,
    /// How long to look at a live source.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Show the programme guide that the stream carries.
    #[arg(long)]
    epg: bool,
    /// Print JSON (stable names).
    #[arg(long)]
    json: bool,
}

/// Why nothing could be inspected.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("read {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("source {text:?}")]
    Address {
        text: String,
        #[source]
        source: AddressError,
    },
    #[error("no packet came from {label} in {seconds} s{because}")]
    Silent { label: String, seconds: u64, because: String },
    #[error("{path} holds no transport stream: no five packets in a row were found")]
    NoPackets { path: PathBuf },
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    match look(&arguments).await {
        Ok(report) => show(report, &arguments),
        Err(error @ InspectError::File { .. }) => Exit::NotFound.say(&error),
        Err(error @ InspectError::Address { .. }) => Exit::Usage.say(&error),
        Err(error) => Exit::Degraded.say(&error),
    }
}

async fn look(arguments: &Arguments) -> Result<Report, InspectError> {
    let text = &arguments.source;
    // A name without a scheme is a file, whatever is in it.
    if !text.contains("://") && !text.starts_with("file:") {
        return look_at_file(text.into());
    }
    let address: SourceAddress = text.parse().map_err(|source| InspectError::Address { text: text.clone(), source })?;
    match &address.feed {
        Feed::File(path) => look_at_file(PathBuf::from(path.clone())),
        _ => look_at_live(&address, arguments.seconds).await,
    }
}

fn look_at_file(path: PathBuf) -> Result<Report, InspectError> {
    let failed = |source| InspectError::File { path: path.clone(), source };
    let mut file = std::fs::OpenOptions::new().read(true).open(&path).map_err(failed)?;
    let (mut inspector, mut piece) = (Inspector::new(TextDefaults::default()), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            count => inspector.push(&piece[..count]),
        }
    }
    inspector.finish();
    let report = inspector.report();
    if report.packets == 0 { Err(InspectError::NoPackets { path }) } else { Ok(report) }
}

async fn look_at_live(address: &SourceAddress, seconds: u64) -> Result<Report, InspectError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let options = InputOptions { ring_bytes: RING_BYTES, ..InputOptions::default() };
    let inputs = InputSet::new(supervisor.clone(), clock, Monotonic::new(), options);
    let handle = inputs.open(address);
    let mut reader = handle.ring().reader_from(Start::Now);
    let (mut inspector, mut buffer) = (Inspector::new(TextDefaults::default()), Vec::new());
    let end = Instant::now() + Duration::from_secs(seconds);
    while let Ok(step) = timeout_at(end, reader.next(&mut buffer)).await {
        match step {
            Step::Packets { bytes, .. } => inspector.push(&buffer[..bytes]),
            Step::Closed => break,
            Step::Lost { .. } | Step::Restarted => {}
        }
    }
    inspector.finish();
    let report = inspector.report();
    if report.packets == 0 {
        let because = handle.report().last_error.map(|error| format!(": {error}")).unwrap_or_default();
        return Err(InspectError::Silent { label: address.feed.label(), seconds, because });
    }
    Ok(report)
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn show(mut report: Report, arguments: &Arguments) -> Exit {
    if !arguments.epg {
        report.epg.clear();
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("a report has a JSON form"));
    } else {
        print!("{}", describe(&report));
    }
    Exit::Done
}

/// The report as a technician reads it.
fn describe(report: &Report) -> String {
    let mut text = String::new();
    let number = |value: Option<u16>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let rate = report.bitrate.map_or_else(
        || "rate unknown".to_owned(),
        |bps| format!("{}.{:02} Mbit/s", bps / 1_000_000, bps % 1_000_000 / 10_000),
    );
    let (ts, on) = (number(report.tsid), number(report.onid));
    let network = report.network.as_deref().unwrap_or("-");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} packets, {rate}", report.packets);
    let _ = writeln!(text, "transport stream {ts}, original network {on}, network {network}");
    let _ = writeln!(
        text,
        "sync losses {}, continuity errors {}, marked damaged {}, wrong checksums {}",
        report.sync_losses, report.cc_errors, report.tei, report.crc_errors
    );
    for service in &report.services {
        let name = service.name.as_deref().unwrap_or("(no name)");
        let scrambled = if service.scrambled { ", scrambled" } else { "" };
        let _ = writeln!(text, "\nservice {} {name}{scrambled}", service.id);
        for stream in &service.streams {
            let codec = stream.codec.as_deref().unwrap_or("private");
            let language = stream.language.as_deref().unwrap_or("");
            let faults = match stream.cc_errors {
                0 => String::new(),
                count => format!(", {count} continuity errors"),
            };
            let (pid, packets) = (stream.pid, stream.packets);
            let _ = writeln!(text, "  {pid:>5}  {codec:<13} {language:<8} {packets} packets{faults}");
        }
    }
    for event in &report.epg {
        let _ = writeln!(text, "{}", serde_json::to_string(event).expect("an event has a JSON form"));
    }
    text
}
