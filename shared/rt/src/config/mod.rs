//! Configuration from a TOML file and its `conf.d`, with errors an operator can act on.
//!
//! [`load`] reads the main file and `conf.d/*.toml` in name order, merges them key by key, and gives the typed file with
//! a [`Places`] that still knows where each key was written. An error names file, line and key and what would be right:
//! "/etc/headend/node.toml:12: unknown key `chanels` in [output]; did you mean `channels`?". Loading reads files and
//! nothing else: it binds no port, opens no device, changes nothing. Types use `deny_unknown_fields`; what a value means
//! is the caller's to check, with [`Places::refuse`] for what it does not like. TOML 1.0.
//!
//! [`files`] finds and reads, [`merge`] makes one tree, [`places`] remembers, [`explain`] finds the words, [`network`] reads
//! networks.

mod explain;
mod files;
mod merge;
mod network;
mod places;

use serde::de::DeserializeOwned;
use std::path::Path;
use toml::Spanned;

pub use files::{CONFIG_BYTES_MAX, CONFIG_FILES_MAX, Source, conf_d};
pub use merge::Override;
pub use network::{Network, NetworkError};
pub use places::{Place, Places};

use files::Sources;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or the folder could not be read.
    #[error("read configuration {}", path.display())]
    Read {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More than [`CONFIG_BYTES_MAX`] in all files together.
    #[error("configuration is larger than {CONFIG_BYTES_MAX} bytes with {}", path.display())]
    TooLarge {
        /// The file that was too much.
        path: std::path::PathBuf,
    },
    /// More than [`CONFIG_FILES_MAX`] files.
    #[error("more than {CONFIG_FILES_MAX} files in {}", path.display())]
    TooMany {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// Something is wrong at a place in a file.
    #[error("{place}: {text}")]
    Wrong {
        /// Where.
        place: Place,
        /// What, and what would be right.
        text: String,
    },
}

/// A configuration as typed, and where it came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The file's content.
    pub config: T,
    /// Where each key was written.
    pub places: Places,
    /// Keys that a later file replaced, for `check-config` to tell.
    pub overrides: Vec<Override>,
}

/// Reads `main` and the `*.toml` files of `conf.d` beside it, in name order. Tables merge key by key; a value or a list
/// in a later file replaces the earlier one.
///
/// # Errors
/// [`ConfigError`].
pub fn load<T: DeserializeOwned>(main: &Path) -> Result<Loaded<T>, ConfigError> {
    parse(files::read_all(main)?)
}

/// The pure part of [`load`]: texts in, configuration out. The first is the main file.
///
/// # Errors
/// [`ConfigError::Wrong`].
pub fn parse<T: DeserializeOwned>(sources: Vec<Source>) -> Result<Loaded<T>, ConfigError> {
    let sources = Sources::new(sources);
    let (tree, overrides) = merge::merge(&sources)?;
    let places = Places::of(&tree, &sources);
    match T::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, tree))) {
        Ok(config) => Ok(Loaded { config, places, overrides }),
        Err(error) => Err(explain::explain(&error, &places, &sources)),
    }
}

#[cfg(test)]
mod tests;
