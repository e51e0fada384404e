//! `femon`: the signal of a multiplex, live, as a line or as JSON; and which devices there are.
//!
//! With `--attach` it opens nothing: it shows what the running node says of its tuners, and so disturbs none of them.

mod attached;

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Exit,
    air::{Air, AirError, multiplex, reason, receiving, report_within},
};
use crate::{
    config,
    input::{
        report::InputReport,
        tuner::{
            figures::{Figures, Level, Remark},
            inventory::Inventory,
            lock::{LadderCounts, TunerState},
            losses::Losses,
            place::{SYSFS, find},
        },
    },
};

/// A new line, or a new bar, this often.
const STEP: Duration = Duration::from_secs(1);
/// What a full bar stands for, dB of margin.
const BAR_DB: f64 = 12.0;
const BAR_CELLS: usize = 24;

/// Arguments of `femon`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The multiplex, as in a channel's source: dvb://astra?system=s2&frequency=11538MHz&...
    #[arg(required_unless_present_any = ["list", "attach"])]
    address: Option<String>,
    /// Say which devices there are and what the configuration calls them.
    #[arg(long, conflicts_with = "address")]
    list: bool,
    /// Show the tuners of the node that runs here, without touching them.
    #[arg(long, conflicts_with_all = ["address", "list"])]
    attach: bool,
    /// Only this tuner of the configuration.
    #[arg(long)]
    tuner: Option<String>,
    /// The configuration file.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// One JSON object a line (stable names).
    #[arg(long)]
    json: bool,
    /// One line as soon as there are figures of a signal, then end.
    #[arg(long)]
    once: bool,
    /// How long; for ever when not given. With --once, how long to wait for a signal: 10 s when not given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
}

pub(super) async fn run(arguments: Arguments) -> Exit {
    if arguments.list {
        return list(&arguments);
    }
    if arguments.attach {
        return attached::run(&arguments).await;
    }
    match watch(&arguments).await {
        Ok(exit) => exit,
        Err(error) => error.say(),
    }
}

async fn watch(arguments: &Arguments) -> Result<Exit, AirError> {
    let feed = multiplex(arguments.address.as_deref().unwrap_or_default())?;
    let air = Air::open(&arguments.config, arguments.tuner.as_deref())?;
    let input = air.tune(&feed);
    if arguments.once {
        let wait = Duration::from_secs(arguments.seconds.unwrap_or(10));
        // Figures of the moment before the lock say nothing of the signal.
        let figures = |report: &InputReport| {
            let figures = report.tuner.as_ref().and_then(|tuner| tuner.figures.as_ref());
            figures.is_some_and(|figures| figures.locked && (figures.quality.is_some() || !figures.remarks.is_empty()))
        };
        let report = report_within(&input, wait, |report| receiving(report) && figures(report)).await;
        show(&report, arguments.json, false);
        return Ok(exit_of(&air, &report));
    }
    let until = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let live = std::io::stdout().is_terminal() && !arguments.json;
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = steps.tick() => show(&input.report(), arguments.json, live),
            _ = tokio::signal::ctrl_c() => break,
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
    if live {
        end_line();
    }
    Ok(exit_of(&air, &input.report()))
}

/// 0 with a signal, 4 without, 7 without a device.
fn exit_of(air: &Air, report: &InputReport) -> Exit {
    match receiving(report) {
        true => Exit::Done,
        false if !air.any_device() => Exit::HardwareMissing,
        false => Exit::Degraded,
    }
}

#[derive(Serialize)]
struct Line<'a> {
    state: TunerState,
    tuner: &'a str,
    device: &'a str,
    driver: &'a str,
    bitrate: u64,
    figures: Option<&'a Figures>,
    remarks: Vec<&'static str>,
    cc_errors: u64,
    tei: u64,
    ladder: LadderCounts,
    losses: Losses,
    reason: Option<String>,
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn show(report: &InputReport, json: bool, live: bool) {
    if json {
        println!("{}", as_json(report));
    } else if live {
        // Back to the start of the line, and clear what was there.
        print!("\r\x1b[K{}", as_line(report));
        let _ = std::io::stdout().flush();
    } else {
        println!("{}", as_line(report));
    }
}

#[expect(clippy::print_stdout, reason = "the shell's prompt begins on a line of its own")]
fn end_line() {
    println!();
}

fn as_json(report: &InputReport) -> String {
    let tuner = report.tuner.clone().unwrap_or_default();
    let figures = tuner.figures.as_ref();
    let remarks = figures.map_or(vec![], |figures| figures.remarks.iter().map(|remark| remark.words()).collect());
    let line = Line {
        state: tuner.state,
        tuner: &tuner.tuner,
        device: &tuner.device,
        driver: &tuner.driver,
        bitrate: report.sample.as_ref().map_or(0, |sample| sample.bitrate_bps),
        figures,
        remarks,
        cc_errors: report.counters.cc_errors,
        tei: report.counters.tei,
        ladder: tuner.ladder,
        losses: tuner.losses,
        reason: (!receiving(report)).then(|| reason(report)),
    };
    serde_json::to_string(&line).expect("a line has a JSON form")
}

/// `[#########------] lock  -52.0 dBm  14.5 dB  margin 10.5 dB  ber 0  8psk 3/4  38.2 Mbit/s`.
pub(super) fn as_line(report: &InputReport) -> String {
    let tuner = report.tuner.clone().unwrap_or_default();
    let Some(figures) = tuner.figures.filter(|_| tuner.state != TunerState::Absent) else {
        return reason(report);
    };
    let mut parts = vec![bar(&figures)];
    parts.push(match tuner.state {
        TunerState::Receiving => "lock".to_owned(),
        _ => reason(report),
    });
    parts.extend(figures.strength.map(|level| words(level, "dBm", "strength")));
    parts.extend(figures.quality.map(|level| words(level, "dB", "quality")));
    parts.extend(figures.margin.map(|margin| format!("margin {margin} dB")));
    parts.extend(figures.ber_before.or(figures.ber_behind).map(|ber| match ber {
        0.0 => "ber 0".to_owned(),
        ber => format!("ber {ber:.1e}"),
    }));
    parts.extend(figures.lost_blocks.filter(|lost| *lost > 0).map(|lost| format!("{lost} lost blocks")));
    parts.extend(figures.modcod.clone());
    if let Some(sample) = report.sample.as_ref().filter(|sample| sample.packets > 0) {
        parts.push(format!("{}.{} Mbit/s", sample.bitrate_bps / 1_000_000, sample.bitrate_bps % 1_000_000 / 100_000));
    }
    if figures.remarks.contains(&Remark::NoDecibels) {
        parts.push(format!("({})", Remark::NoDecibels.words()));
    }
    parts.join("  ")
}

fn words(level: Level, unit: &str, name: &str) -> String {
    match level {
        Level::Decibel(value) => format!("{value} {unit}"),
        Level::Relative(percent) => format!("{name} {percent} %"),
    }
}

/// Margin where there is one, else quality: what is turned at the dish.
fn bar(figures: &Figures) -> String {
    let share = match (figures.margin, figures.quality) {
        (Some(margin), _) => margin.as_f64() / BAR_DB,
        (None, Some(Level::Decibel(quality))) => quality.as_f64() / 20.0,
        (None, Some(Level::Relative(percent))) => f64::from(percent) / 100.0,
        (None, None) => 0.0,
    };
    let full = (0..BAR_CELLS).filter(|cell| share * cells() > f64::from(u32::try_from(*cell).unwrap_or(0))).count();
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR_CELLS - full))
}

fn cells() -> f64 {
    f64::from(u32::try_from(BAR_CELLS).unwrap_or(1))
}

/// Devices do not need a configuration: it is written from this list.
#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn list(arguments: &Arguments) -> Exit {
    let inventory = config::load(&arguments.config).map(|config| config.inventory).unwrap_or_default();
    let found = find(Path::new(SYSFS));
    for device in &found {
        let name = name_of(&inventory, device);
        if arguments.json {
            let (adapter, frontend) = (device.adapter, device.frontend);
            let line = serde_json::json!({
                "device": device.place.to_string(), "adapter": adapter, "frontend": frontend, "demux": device.demux, "tuner": name,
            });
            println!("{line}");
        } else {
            let node = device.node("frontend", device.frontend);
            println!(
                "{:<28} {:<34} {}",
                device.place.to_string(),
                node.display(),
                name.unwrap_or("(not in node.toml)")
            );
        }
    }
    if found.is_empty() { Exit::HardwareMissing.say(&NoDevice) } else { Exit::Done }
}

fn name_of<'a>(inventory: &'a Inventory, device: &crate::input::tuner::place::Found) -> Option<&'a str> {
    inventory.tuners.iter().find(|tuner| device.is_at(&tuner.device)).map(|tuner| tuner.name.as_str())
}

#[derive(Debug, thiserror::Error)]
#[error("no DVB frontend is there: is the card plugged in, and its driver loaded?")]
struct NoDevice;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tuner::{report::TunerReport, units::Decibels};

    fn report(state: TunerState, figures: Figures) -> InputReport {
        let tuner = TunerReport { tuner: "sat-1".to_owned(), state, figures: Some(figures), ..TunerReport::default() };
        InputReport { tuner: Some(tuner), ..InputReport::default() }
    }

    #[test]
    fn a_line_says_what_a_technician_turns_for() {
        let figures = Figures {
            locked: true,
            strength: Some(Level::Decibel(Decibels(-52_000))),
            quality: Some(Level::Decibel(Decibels(14_500))),
            margin: Some(Decibels(6_000)),
            ber_before: Some(0.0),
            lost_blocks: Some(2),
            modcod: Some("8psk 3/4".to_owned()),
            ..Figures::default()
        };
        assert_eq!(
            as_line(&report(TunerState::Receiving, figures.clone())),
            "[############------------]  lock  -52.0 dBm  14.5 dB  margin 6.0 dB  ber 0  2 lost blocks  8psk 3/4"
        );
        let json: serde_json::Value = serde_json::from_str(&as_json(&report(TunerState::Receiving, figures))).unwrap();
        assert_eq!((&json["state"], &json["figures"]["margin"]), (&"receiving".into(), &6.0.into()));
        assert_eq!(json["figures"]["quality"]["scale"], "decibel");
    }

    #[test]
    fn percentages_are_called_so() {
        let figures = Figures {
            locked: true,
            quality: Some(Level::Relative(50)),
            remarks: vec![Remark::NoDecibels],
            ..Figures::default()
        };
        let line = as_line(&report(TunerState::LockWithoutData, figures));
        assert!(
            line.starts_with("[############------------]  lock, but no data  quality 50 %  (the driver gives no dB"),
            "{line}"
        );
    }
}
