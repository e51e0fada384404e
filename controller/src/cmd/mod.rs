//! The verbs of `headend-controller`: what an operator types.
//!
//! Data goes to stdout, talk to stderr; the exit codes are those of [`Exit`]. A verb says what it could not do and
//! what to do about it in one line. Passwords come from files, never from the command line.

mod import_flussonic;
mod init;
mod moving;
mod simulate;

use std::{
    error::Error,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};
use headend_rt::SystemClock;

use crate::{
    config::{self, Checked, Config, Mqtt},
    run::{Ready, RunError, run},
};

/// Headend controller.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    /// What is logged to stderr, from `error` to `trace`, or a filter such as `info,headend_controller=debug`.
    #[arg(long, global = true, default_value = "info,rumqttd=warn")]
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
    /// Serve viewers, nodes and operators.
    Run(ConfigArgument),
    /// Say what is wrong with the configuration, and start nothing.
    CheckConfig(ConfigArgument),
    /// Make the store, the keys and the first operator, once.
    Init(init::Arguments),
    /// Write the whole store to a file; the controller must not be running.
    Export(moving::Arguments),
    /// Put the content of an export in place of the store; the controller must not be running.
    Import(moving::Arguments),
    /// Read the configuration of a Flussonic into channels; says what is taken, changed and dropped.
    ImportFlussonic(import_flussonic::Arguments),
    /// Rehearse an incident from a script, and print the timeline of decisions.
    Simulate(simulate::Arguments),
    /// Print the OpenAPI document of the REST interface.
    Openapi,
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
    /// Who asks may not.
    NotAuthorised = 5,
    /// The controller or server that is asked does not answer.
    Unreachable = 6,
    /// The configuration is invalid, or there is no installation.
    ConfigInvalid = 8,
    /// It needs a yes that was not given.
    ConfirmationNeeded = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Says an error once, with its whole chain, and gives the code.
    pub fn say<C: From<Self>>(self, error: &dyn Error) -> C {
        talk(&headend_rt::chain(error));
        self.into()
    }
}

/// Tells a person something.
#[expect(clippy::print_stderr, reason = "this is the edge where a person is talked to")]
fn talk(text: &str) {
    eprintln!("headend-controller: {text}");
}

/// Gives data to whoever asked for it. A reader that went away (`| head`) is no reason to stop.
fn tell(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Runs the verb.
pub async fn dispatch(arguments: Arguments) -> Exit {
    match arguments.verb {
        Verb::Run(ConfigArgument { config }) => match load(&config) {
            Ok(checked) => serve(checked.config, &config).await,
            Err(exit) => exit,
        },
        Verb::CheckConfig(ConfigArgument { config }) => match load(&config) {
            Ok(checked) => check(&config, &checked),
            Err(exit) => exit,
        },
        Verb::Init(arguments) => init::run(arguments).await,
        Verb::Export(arguments) => moving::export(arguments).await,
        Verb::Import(arguments) => moving::import(arguments),
        Verb::ImportFlussonic(arguments) => import_flussonic::run(arguments).await,
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Openapi => openapi(),
        Verb::Info => info(),
    }
}

fn load(path: &Path) -> Result<Checked, Exit> {
    config::load(path).map_err(|error| Exit::ConfigInvalid.say(&error))
}

async fn serve(config: Config, path: &Path) -> Exit {
    let outcome = run((config, path), Arc::new(SystemClock), |ready: &Ready| {
        tell(&serde_json::json!({ "ready": ready }).to_string());
    });
    match outcome.await {
        Ok(0) => Exit::Done,
        Ok(_) => Exit::Failed,
        Err(error @ RunError::Installation(crate::installation::InstallationError::None { .. })) => {
            Exit::ConfigInvalid.say(&error)
        }
        Err(error) => Exit::Failed.say(&error),
    }
}

fn check(path: &Path, checked: &Checked) -> Exit {
    let config = &checked.config;
    for replaced in &checked.overrides {
        talk(&format!("{} at {} replaces {}", replaced.key, replaced.by, replaced.was));
    }
    let mqtt = match &config.mqtt {
        Mqtt::Embedded(listen) => format!("embedded on {listen}"),
        Mqtt::At { url, .. } => url.to_string(),
    };
    talk(&format!(
        "{} is good: site {}, http {}, fleet {}, mqtt {mqtt}, state in {}",
        path.display(),
        config.site,
        config.http.listen,
        config.fleet.listen,
        config.state_dir.display()
    ));
    Exit::Done
}

fn openapi() -> Exit {
    match crate::api::openapi::openapi().to_pretty_json() {
        Ok(text) => {
            tell(&text);
            Exit::Done
        }
        Err(error) => Exit::Failed.say(&error),
    }
}

fn info() -> Exit {
    let about = serde_json::json!({
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "wire": headend_wire::WIRE_VERSION,
        "store": { "engine": "sled 0.34.7", "export_format": crate::store::export::FORMAT },
        "mqtt": "3.1.1, embedded broker or another",
    });
    tell(&about.to_string());
    Exit::Done
}
