//! `[[biss]]`: session words of the operator's own contribution feeds (EBU Tech 3292, BISS mode 1).
//!
//! As typed and as checked. The word is named, not held: it is read from its file when the node starts.

use headend_rt::SecretFile;
use serde::Deserialize;

use crate::input::address::SourceAddress;

/// The most entries of one node.
const ENTRIES_MAX: usize = 64;

/// One entry as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BissFile {
    input: String,
    service: Option<u16>,
    key: SecretFile,
}

/// One entry as checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BissConfig {
    /// The input, as reports call it.
    pub input: String,
    /// The service; none: every service of the input.
    pub service: Option<u16>,
    /// Where the session word is: 12 hexadecimal digits.
    pub key: SecretFile,
}

pub(super) fn check(files: Vec<BissFile>) -> Result<Vec<BissConfig>, String> {
    if files.len() > ENTRIES_MAX {
        return Err(format!("has {} entries, at most {ENTRIES_MAX}", files.len()));
    }
    let mut checked: Vec<BissConfig> = vec![];
    for BissFile { input, service, key } in files {
        let address: SourceAddress =
            input.parse().map_err(|error| format!("input {input:?}: {}", headend_rt::chain(&error)))?;
        // An address may name the service itself, as a channel's source does.
        let (input, service) = (address.feed.shared().label(), service.or(address.service));
        if checked.iter().any(|other| (&other.input, other.service) == (&input, service)) {
            return Err(format!("names {input} with this service twice"));
        }
        checked.push(BissConfig { input, service, key });
    }
    Ok(checked)
}
