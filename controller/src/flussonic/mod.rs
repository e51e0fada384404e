//! What a Flussonic server was configured to do, read so that a Headend can do it: pure, text in and a plan out.
//!
//! The data's way: [`grammar`] (the configuration file as statements with their lines) or [`json`] (the answer of
//! `GET /streamer/api/v3/streams`) give the same [`config::Config`]; [`address`], [`name`] and [`retention`] say what
//! becomes of one input, one name, one archive; [`channel`] turns a stream into a channel; [`plan`] compares with what
//! the controller has; [`report`] prints. Nothing is left out without a [`finding::Finding`] that names the line.
//!
//! It reads no file, asks no server and writes nothing: `cmd/import_flussonic` does. Words of the file that may be a
//! secret (logins, keys, stream keys in addresses) never get into a finding. Known from the vendor's documentation
//! and API model; `docs/flussonic.md` is the operators' side of it.

pub mod address;
pub mod channel;
pub mod config;
pub mod directive;
pub mod finding;
pub mod grammar;
pub mod json;
pub mod name;
pub mod plan;
pub mod report;
pub mod retention;
pub mod unit;

pub use config::{Config, ConfigError};
pub use plan::{Plan, PlanError, Wishes, plan};

/// Reads a configuration, whichever of the two forms it has: the file, or a saved answer of the API.
///
/// # Errors
/// [`ConfigError`] with the line, or what kind of file it is instead.
pub fn read(bytes: &[u8]) -> Result<Config, ConfigError> {
    let text = grammar::text(bytes)?;
    match text.trim_start().chars().next() {
        Some('{' | '[') => json::read(text),
        _ => config::read(&grammar::parse(text)?),
    }
}

#[cfg(test)]
mod tests;
