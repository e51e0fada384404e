//! `[[cards]]`: which card is expected in which reader, and how it is talked to.
//!
//! As typed and as checked. Secrets are named, not held: the card key is read when the node starts.

use std::path::PathBuf;

use headend_rt::SecretFile;
use serde::Deserialize;

use crate::card::vendor::{SANDBOX, VendorSpec};

/// The most cards of one node; pcscd serves 16 readers.
const CARDS_MAX: usize = 16;

/// The longest pause between two tasks: a card that rests a second serves nobody.
const PAUSE_MS_MAX: u64 = 1_000;

/// One entry as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardFile {
    name: String,
    #[serde(default = "any_reader")]
    reader: String,
    profile: ProfileWord,
    key: Option<SecretFile>,
    module: Option<PathBuf>,
    #[serde(default)]
    arguments: Vec<String>,
    sandbox: Option<Vec<String>>,
    #[serde(default = "pause_ms")]
    pause_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ProfileWord {
    OpenTestCard,
    Vendor,
}

fn any_reader() -> String {
    "*".to_owned()
}

fn pause_ms() -> u64 {
    20
}

/// One card as checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardConfig {
    /// Its name, for people.
    pub name: String,
    /// Which reader; `*` stands for anything.
    pub reader: String,
    /// How it is talked to.
    pub profile: CardProfileConfig,
    /// Pause between two tasks, milliseconds, 0 to 1,000.
    pub pause_ms: u64,
}

/// How a card is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardProfileConfig {
    /// Our open test card, and where the key is that it shares with this box.
    OpenTestCard(SecretFile),
    /// A vendor's module.
    Vendor(VendorSpec),
}

pub(super) fn check(files: Vec<CardFile>) -> Result<Vec<CardConfig>, String> {
    if files.len() > CARDS_MAX {
        return Err(format!("has {} entries, a node serves {CARDS_MAX}", files.len()));
    }
    let mut cards: Vec<CardConfig> = vec![];
    for file in files {
        let card = check_one(file)?;
        if cards.iter().any(|other| other.name == card.name) {
            return Err(format!("names {:?} twice", card.name));
        }
        cards.push(card);
    }
    Ok(cards)
}

fn check_one(file: CardFile) -> Result<CardConfig, String> {
    let name = file.name;
    if name.is_empty() || name.len() > 32 || name.chars().any(char::is_control) {
        return Err(format!("has the name {name:?}; give 1 to 32 characters"));
    }
    if file.pause_ms > PAUSE_MS_MAX {
        return Err(format!("{name}: pause_ms is {}; at most {PAUSE_MS_MAX}", file.pause_ms));
    }
    let profile = match (file.profile, file.key, file.module) {
        (ProfileWord::OpenTestCard, Some(key), None) => CardProfileConfig::OpenTestCard(key),
        (ProfileWord::OpenTestCard, None, _) => return Err(format!("{name}: open-test-card needs `key`, a secret")),
        (ProfileWord::OpenTestCard, Some(_), Some(_)) => {
            return Err(format!("{name}: `module` belongs to profile vendor"));
        }
        (ProfileWord::Vendor, None, Some(module)) if module.is_absolute() => {
            let sandbox = file.sandbox.unwrap_or_else(|| SANDBOX.map(str::to_owned).to_vec());
            CardProfileConfig::Vendor(VendorSpec { module, arguments: file.arguments, sandbox })
        }
        (ProfileWord::Vendor, None, _) => return Err(format!("{name}: vendor needs `module`, an absolute path")),
        (ProfileWord::Vendor, Some(_), _) => {
            return Err(format!("{name}: `key` belongs to profile open-test-card; a module keeps its own secrets"));
        }
    };
    Ok(CardConfig { name, reader: file.reader, profile, pause_ms: file.pause_ms })
}
