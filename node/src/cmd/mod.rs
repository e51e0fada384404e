//! The verbs of `headend-node`: what an operator or a technician types.
//!
//! Data goes to stdout, talk to stderr; the exit codes are those of [`Exit`]. A verb says what it could not do and what to
//! do about it in one line.

mod air;
mod cam;
mod card;
mod descramble;
mod enrol;
mod femon;
mod inspect;
mod probe;
mod replay;
mod scan;
mod selftest;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    agent::identity::IdentityError,
    config::{self, Config},
    start::{RunError, run},
};

/// Headend capture node.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    /// What is logged to stderr, from `error` to `trace`, or a filter such as `info,headend_node=debug`.
    #[arg(long, global = true, default_value = "info")]
    pub log: String,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    pub log_json: bool,
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Capture, package and serve, as the controller wants it.
    Run(ConfigArgument),
    /// Say what is wrong with the configuration, and start nothing.
    CheckConfig(ConfigArgument),
    /// Get this box its certificate with a one-time code.
    Enrol(enrol::Arguments),
    /// Show what is in a stream: a file, a UDP or RTP group, or an HTTP address.
    Inspect(inspect::Arguments),
    /// Look at HLS as a player would: can it be played, and by which rules is it wrong.
    Probe(probe::Arguments),
    /// Play a file at its own pace to a UDP address, or package it into a folder as fast as possible.
    Replay(replay::Arguments),
    /// Show the signal of a multiplex, live; or which tuners there are.
    Femon(femon::Arguments),
    /// Find services on the air.
    Scan(scan::Arguments),
    /// Test every tuner, and write the record of an installation.
    Selftest(selftest::Arguments),
    /// Show card readers and cards: the answer to reset explained, entitlements.
    Card(card::Arguments),
    /// Show the common interfaces of tuner cards, and whether modules are in their slots.
    Cam(cam::Arguments),
    /// Take a known key off a recorded stream; for the bench.
    Descramble(descramble::Arguments),
    /// Versions and what this build can do.
    Info,
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration file.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Exit codes of every program of Headend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed while running.
    Failed = 1,
    /// Bad usage.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// It runs, but not as it should: no packets, no lock.
    Degraded = 4,
    /// Not authorised.
    NotAuthorised = 5,
    /// The controller cannot be reached.
    Unreachable = 6,
    /// A tuner, a card reader, a card, or another device that is needed, is not there.
    HardwareMissing = 7,
    /// The configuration is invalid.
    ConfigInvalid = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Says an error once, with its whole chain, and gives the code.
    #[expect(clippy::print_stderr, reason = "this is the edge where an error is told to a person")]
    pub fn say<C: From<Self>>(self, error: &dyn Error) -> C {
        eprintln!("headend-node: {}", headend_rt::chain(error));
        self.into()
    }
}

/// Prints the line that tells a starter which addresses are served.
#[expect(clippy::print_stdout, reason = "the ready line is data for whoever started the program")]
pub(crate) fn ready(addresses: &[(&str, String)]) {
    let addresses: serde_json::Map<String, serde_json::Value> =
        addresses.iter().map(|(kind, address)| ((*kind).to_owned(), address.clone().into())).collect();
    println!("{}", serde_json::json!({ "ready": addresses }));
}

/// Runs the verb.
pub async fn dispatch(arguments: Arguments) -> Exit {
    match arguments.verb {
        Verb::Run(ConfigArgument { config }) => match load(&config) {
            Ok(loaded) => run_node(loaded, &config).await,
            Err(exit) => exit,
        },
        Verb::CheckConfig(ConfigArgument { config }) => match load(&config) {
            Ok(loaded) => check(&config, &loaded),
            Err(exit) => exit,
        },
        Verb::Enrol(arguments) => enrol::run(arguments).await,
        Verb::Inspect(arguments) => inspect::run(arguments).await,
        Verb::Probe(arguments) => probe::run(arguments).await,
        Verb::Replay(arguments) => replay::run(arguments).await,
        Verb::Femon(arguments) => femon::run(arguments).await,
        Verb::Scan(arguments) => scan::run(arguments).await,
        Verb::Selftest(arguments) => selftest::run(arguments).await,
        Verb::Cam(arguments) => cam::run(&arguments),
        Verb::Card(arguments) => card::run(&arguments),
        Verb::Descramble(arguments) => descramble::run(&arguments),
        Verb::Info => info(),
    }
}

fn load(path: &Path) -> Result<Config, Exit> {
    config::load(path).map_err(|error| Exit::ConfigInvalid.say(&error))
}

async fn run_node(config: Config, path: &Path) -> Exit {
    match run(config, path).await {
        Ok(0) => Exit::Done,
        Ok(_) => Exit::Failed,
        Err(error @ RunError::Identity(IdentityError::NotEnrolled { .. })) => Exit::NotAuthorised.say(&error),
        Err(
            error @ (RunError::Broker(_) | RunError::Tls(_) | RunError::CardKey { .. } | RunError::NoCardKey { .. }),
        ) => Exit::ConfigInvalid.say(&error),
        Err(error) => Exit::Failed.say(&error),
    }
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn check(path: &Path, config: &Config) -> Exit {
    println!("{}: good; node {} at site {}", path.display(), config.name, config.site);
    Exit::Done
}

#[expect(clippy::print_stdout, reason = "the verb's answer")]
fn info() -> Exit {
    println!("headend-node {}", env!("CARGO_PKG_VERSION"));
    println!("sources: file, udp, rtp, http, https, dvb (DVB-S, S2, T, T2)");
    println!("CAMs: common interface (EN 50221) of tuner cards");
    println!("cards: PC/SC; open test card, vendor modules; DVB-CSA, DVB-CISSA");
    println!("output: HLS (MPEG-2 TS, AES-128), HTTP-TS");
    Exit::Done
}
