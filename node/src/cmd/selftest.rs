//! `selftest`: is each tuner there, does it open, does it lock, are its packets clean; the record of an installation.

use std::{path::PathBuf, time::Duration};

use headend_rt::{Clock as _, SystemClock};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    Exit,
    air::{Air, AirError, multiplex, reason, receiving, report_within},
};
use crate::{
    config,
    input::{
        report::InputReport,
        tuner::{figures::Figures, inventory::Inventory, mux::DvbFeed, place::Place},
    },
};

/// A tuner must be received within this.
const LOCK: Duration = Duration::from_secs(15);

/// Arguments of `selftest`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Known good multiplexes, one for each antenna: dvb:// addresses. Without one a tuner is only opened.
    addresses: Vec<String>,
    /// How long packets must be clean.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Only this tuner of the configuration.
    #[arg(long)]
    tuner: Option<String>,
    /// The configuration file.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Print JSON (stable names): the installation record.
    #[arg(long)]
    json: bool,
}

/// The record.
#[derive(Debug, Serialize)]
struct Record {
    at: String,
    version: &'static str,
    kernel: String,
    tuners: Vec<Tested>,
}

/// One tuner of it.
#[derive(Debug, Default, Serialize)]
struct Tested {
    tuner: String,
    device: String,
    present: bool,
    driver: String,
    address: Option<String>,
    lock_ms: Option<u64>,
    seconds: u64,
    packets: u64,
    faults: u64,
    figures: Option<Figures>,
    verdict: Verdict,
    reason: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    #[default]
    Good,
    /// There, and no address was given for it.
    NotTried,
    /// Received with faults, or not at all.
    Bad,
    /// No device.
    Missing,
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    match test(&arguments).await {
        Ok(record) => {
            let worst = record.tuners.iter().map(|tested| tested.verdict).max().unwrap_or_default();
            print(&record, arguments.json);
            match worst {
                Verdict::Good | Verdict::NotTried => Exit::Done,
                Verdict::Bad => Exit::Degraded,
                Verdict::Missing => Exit::HardwareMissing,
            }
        }
        Err(error) => error.say(),
    }
}

async fn test(arguments: &Arguments) -> Result<Record, AirError> {
    let feeds = arguments.addresses.iter().map(|text| multiplex(text)).collect::<Result<Vec<_>, _>>()?;
    let inventory = config::load(&arguments.config)?.inventory;
    let names: Vec<String> = inventory.tuners.iter().map(|tuner| tuner.name.to_string()).collect();
    let wanted: Vec<&String> =
        names.iter().filter(|name| arguments.tuner.as_ref().is_none_or(|only| only == *name)).collect();
    if wanted.is_empty() {
        return Err(arguments.tuner.clone().map_or(AirError::NoTuner, AirError::Unknown));
    }
    let mut tuners = vec![];
    for name in wanted {
        tuners.push(test_one(&inventory, name, &feeds, arguments.seconds).await?);
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    Ok(Record { at: SystemClock.now().to_string(), version: env!("CARGO_PKG_VERSION"), kernel, tuners })
}

async fn test_one(inventory: &Inventory, name: &str, feeds: &[DvbFeed], seconds: u64) -> Result<Tested, AirError> {
    let air = Air::of(inventory.clone(), Some(name))?;
    let tuner = &air.tuners.inventory().tuners[0];
    let device: &Place = &tuner.device;
    let mut tested = Tested { tuner: name.to_owned(), device: device.to_string(), ..Tested::default() };
    tested.present = air.any_device();
    if !tested.present {
        (tested.verdict, tested.reason) = (Verdict::Missing, Some("the device is not there".to_owned()));
        return Ok(tested);
    }
    let reached =
        |feed: &&DvbFeed| inventory.antenna(&feed.antenna).is_some_and(|index| tuner.antennas.contains(&index));
    let Some(feed) = feeds.iter().find(reached) else {
        (tested.verdict, tested.reason) = (Verdict::NotTried, Some("no address was given for its antennas".to_owned()));
        return Ok(tested);
    };
    tested.address = Some(feed.to_string());
    let (input, began) = (air.tune(feed), Instant::now());
    let first = report_within(&input, LOCK, receiving).await;
    if !receiving(&first) {
        (tested.verdict, tested.reason) = (Verdict::Bad, Some(reason(&first)));
        return Ok(told(tested, &first));
    }
    tested.lock_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let last = report_within(&input, Duration::from_secs(seconds), |_| false).await;
    tested.seconds = seconds;
    tested.packets = last.counters.packets.saturating_sub(first.counters.packets);
    tested.faults = last.counters.troubles().saturating_sub(first.counters.troubles());
    if !receiving(&last) {
        (tested.verdict, tested.reason) = (Verdict::Bad, Some(reason(&last)));
    } else if tested.faults > 0 {
        (tested.verdict, tested.reason) = (Verdict::Bad, Some(format!("{} faults in {seconds} s", tested.faults)));
    }
    Ok(told(tested, &last))
}

fn told(mut tested: Tested, report: &InputReport) -> Tested {
    if let Some(tuner) = &report.tuner {
        (tested.driver, tested.figures) = (tuner.driver.clone(), tuner.figures.clone());
    }
    tested
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn print(record: &Record, json: bool) {
    if json {
        println!("{}", serde_json::to_string_pretty(record).expect("a record has a JSON form"));
        return;
    }
    for tested in &record.tuners {
        let verdict = match tested.verdict {
            Verdict::Good => "good",
            Verdict::NotTried => "there, not tried",
            Verdict::Bad => "BAD",
            Verdict::Missing => "MISSING",
        };
        let lock = tested.lock_ms.map_or_else(String::new, |ms| format!(", received after {ms} ms"));
        let packets = if tested.packets > 0 { format!(", {} packets", tested.packets) } else { String::new() };
        let margin = tested.figures.as_ref().and_then(|figures| figures.margin);
        let margin = margin.map_or_else(String::new, |margin| format!(", margin {margin} dB"));
        let reason = tested.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        println!("{:<16} {:<28} {verdict}{lock}{packets}{margin}{reason}", tested.tuner, tested.device);
    }
}
