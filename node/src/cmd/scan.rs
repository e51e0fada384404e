//! `scan`: which services are on the air, by the network's own list (NIT), by a file, or both.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use headend_media::{
    packet::{Packet, Pid},
    section::SectionReader,
    table::Nit,
};
use headend_rt::{
    Clock as _, SystemClock,
    atomic_file::{self, FileError},
};
use tokio::time::{Instant, timeout_at};

use super::{
    Exit,
    air::{Air, AirError, multiplex, reason, receiving},
};
use crate::{
    config,
    input::{
        InputHandle,
        address::{Feed, SourceAddress},
        report::InputReport,
        ring::{PACKET_BYTES, Start, Step},
        tuner::{
            chart::{Chart, ChartError, of_nit},
            figures::Level,
            lock::TunerState,
            mux::{DvbFeed, MuxError, Name},
            search::{FoundService, Search, Visited},
        },
    },
};

/// A multiplex without lock is left after this: three attempts of the ladder's first rungs.
const NO_LOCK: Duration = Duration::from_secs(8);
/// Names and network come at least each two seconds (TR 101 211 §4.4); afterwards nothing new is expected.
const SETTLED: Duration = Duration::from_millis(2_500);

/// Arguments of `scan`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Multiplexes to begin with: dvb:// addresses.
    addresses: Vec<String>,
    /// A file of multiplexes: dvb:// addresses, or a table of dtv-scan-tables.
    #[arg(long)]
    table: Option<PathBuf>,
    /// The antenna for entries of the table that name none.
    #[arg(long, requires = "table")]
    antenna: Option<String>,
    /// Look only at what was given, not at what the network's own list adds.
    #[arg(long)]
    no_nit: bool,
    /// Keep what was found in this file; a scan that was stopped goes on from there.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Only this tuner of the configuration.
    #[arg(long)]
    tuner: Option<String>,
    /// The configuration file.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// The most to look at one multiplex.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=120))]
    seconds: u64,
    /// Print JSON (stable names).
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Air(#[from] AirError),
    #[error("use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("keep what was found")]
    Keep(#[source] FileError),
    #[error("table {path}")]
    Table {
        path: PathBuf,
        #[source]
        source: ChartError,
    },
    #[error("resume file {path} is none of a scan")]
    Resume {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("antenna")]
    Antenna(#[source] MuxError),
    #[error("nothing to scan: give a dvb:// address, or --table FILE with --antenna NAME")]
    Nothing,
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    match scan(&arguments).await {
        Ok((search, exit)) => {
            print(&search, arguments.json);
            exit
        }
        Err(ScanError::Air(error)) => error.say(),
        Err(error @ (ScanError::File { .. } | ScanError::Resume { .. })) => Exit::NotFound.say(&error),
        Err(error) => Exit::Usage.say(&error),
    }
}

async fn scan(arguments: &Arguments) -> Result<(Search, Exit), ScanError> {
    let mut search = begin(arguments)?;
    let air = Air::open(&arguments.config, arguments.tuner.as_deref())?;
    if !air.any_device() {
        return Ok((search, Exit::HardwareMissing.say(&NoDevice)));
    }
    while let Some(feed) = search.next() {
        progress(&search, &feed);
        let look = look(&air, &feed, Duration::from_secs(arguments.seconds));
        let (visited, network) = tokio::select! {
            looked = look => looked,
            _ = tokio::signal::ctrl_c() => break,
        };
        search.record(visited);
        if !arguments.no_nit {
            for feed in &network {
                search.add(feed);
            }
        }
        keep(&search, arguments.resume.as_deref())?;
    }
    let any = search.visited.iter().any(|visited| visited.received);
    Ok((search, if any { Exit::Done } else { Exit::Degraded }))
}

fn begin(arguments: &Arguments) -> Result<Search, ScanError> {
    let read =
        |path: &Path| fs::read_to_string(path).map_err(|source| ScanError::File { path: path.to_owned(), source });
    let mut search = match arguments.resume.as_deref().filter(|path| path.exists()) {
        Some(path) => {
            let kept = serde_json::from_str::<Search>(&read(path)?);
            kept.map_err(|source| ScanError::Resume { path: path.to_owned(), source })?.cleaned()
        }
        None => Search::default(),
    };
    for address in &arguments.addresses {
        search.add(&multiplex(address)?);
    }
    if let Some(path) = &arguments.table {
        let antenna = Name::new(arguments.antenna.as_deref().unwrap_or_default()).map_err(ScanError::Antenna)?;
        let chart =
            Chart::parse(&read(path)?, &antenna).map_err(|source| ScanError::Table { path: path.clone(), source })?;
        for feed in &chart.feeds {
            search.add(feed);
        }
    }
    if search.pending.is_empty() && search.visited.is_empty() {
        return Err(ScanError::Nothing);
    }
    Ok(search)
}

/// Looks at one multiplex until nothing new is to be expected; also gives what its NIT lists.
async fn look(air: &Air, feed: &DvbFeed, most: Duration) -> (Visited, Vec<DvbFeed>) {
    let input = air.tune(feed);
    let mut reader = input.ring().reader_from(Start::Now);
    let (mut sections, mut network, mut buffer) = (SectionReader::default(), vec![], vec![]);
    let (began, mut complete_since) = (Instant::now(), None);
    loop {
        let pause = Instant::now() + Duration::from_millis(250);
        while let Ok(Step::Packets { bytes, .. }) = timeout_at(pause, reader.next(&mut buffer)).await {
            let packets = buffer[..bytes].chunks(PACKET_BYTES).filter_map(Packet::from_slice);
            for packet in packets.filter(|packet| packet.pid() == Pid::NIT) {
                sections.push(&packet, &mut |section| {
                    let Some(nit) = section.ok().and_then(|section| Nit::parse(section).ok()).filter(|nit| nit.actual)
                    else {
                        return;
                    };
                    for found in of_nit(&nit, &feed.antenna) {
                        if !network.contains(&found) {
                            network.push(found);
                        }
                    }
                });
            }
        }
        let report = input.report();
        let silent = !receiving(&report) && began.elapsed() >= NO_LOCK;
        if is_complete(&report) {
            complete_since.get_or_insert_with(Instant::now);
        }
        let settled = complete_since.is_some_and(|since| since.elapsed() >= SETTLED);
        if silent || settled || began.elapsed() >= most {
            return (visited(feed, &input, &report), network);
        }
    }
}

/// Every service of the PAT has its name.
fn is_complete(report: &InputReport) -> bool {
    let services = &report.services.list;
    receiving(report) && !services.is_empty() && services.values().all(|service| service.name.is_some())
}

fn visited(feed: &DvbFeed, input: &InputHandle, report: &InputReport) -> Visited {
    let received = receiving(report) || !report.services.list.is_empty();
    let services = report.services.list.iter().map(|(id, service)| FoundService {
        id: id.0,
        name: service.name.clone(),
        provider: service.provider.clone(),
        scrambled: service.may_be_scrambled || !service.ecm.is_empty(),
        address: SourceAddress { feed: Feed::Dvb(feed.clone()), service: Some(id.0) }.to_string(),
    });
    let figures = input.report().tuner.and_then(|tuner| tuner.figures);
    let decibels = |level: Option<Level>| match level {
        Some(Level::Decibel(value)) => Some(value.as_f64()),
        _ => None,
    };
    let locked = report.tuner.as_ref().is_some_and(|tuner| tuner.state != TunerState::NoLock);
    Visited {
        address: feed.to_string(),
        received,
        reason: (!received).then(|| reason(report)),
        tsid: report.services.tsid,
        network: report.services.network.clone(),
        quality_db: figures.as_ref().filter(|_| locked).and_then(|figures| decibels(figures.quality)),
        margin_db: figures.as_ref().and_then(|figures| figures.margin).map(|margin| margin.as_f64()),
        services: services.collect(),
    }
}

fn keep(search: &Search, path: Option<&Path>) -> Result<(), ScanError> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_vec_pretty(search).expect("a search has a JSON form");
    atomic_file::write(path, &text, 0o644).map_err(ScanError::Keep)
}

#[expect(clippy::print_stderr, reason = "talk goes to stderr, so that the answer can be piped")]
fn progress(search: &Search, feed: &DvbFeed) {
    let (done, all) = (search.visited.len(), search.visited.len() + search.pending.len());
    let time = SystemClock.now().strftime("%H:%M:%S");
    eprintln!("{time} multiplex {} of {all}: {}", done + 1, feed.delivery);
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn print(search: &Search, json: bool) {
    if json {
        println!("{}", serde_json::to_string_pretty(search).expect("a search has a JSON form"));
        return;
    }
    for visited in &search.visited {
        let margin = visited.margin_db.map_or_else(String::new, |margin| format!(", margin {margin:.1} dB"));
        let said = visited
            .reason
            .as_deref()
            .map_or_else(|| format!("{} services{margin}", visited.services.len()), str::to_owned);
        println!("\n{}: {said}", visited.address);
        for service in &visited.services {
            let scrambled = if service.scrambled { "scrambled" } else { "clear" };
            println!("  {:>5}  {:<9}  {}", service.id, scrambled, service.name.as_deref().unwrap_or("(no name)"));
        }
    }
    if !search.pending.is_empty() {
        println!("\n{} multiplexes are still to be looked at", search.pending.len());
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no device of a configured tuner is there; `headend-node femon --list` says which are")]
struct NoDevice;
