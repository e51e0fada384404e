//! `[[viewing]]`: for which channels others decide who may watch, and how they are asked.
//!
//! As typed and as checked. Secrets are named, not held: they are read when the node starts. What a channel is comes from
//! the controller; who stands beside this box and decides about viewers of an older portal is known at the box, and the
//! desired state holds no secret.

use std::time::Duration;

use headend_rt::{SecretFile, config::Network};
use reqwest::Url;
use serde::Deserialize;

/// The most entries.
const ENTRIES_MAX: usize = 16;
const CHANNELS_MAX: usize = 1_000;
const BACKENDS_MAX: usize = 8;
const LIST_MAX: usize = 1_000;
const WITHIN_MS: std::ops::RangeInclusive<u64> = 100..=30_000;
const DESYNC_SECS_MAX: u64 = 86_400;
const SOFT_LIMIT_SECS_MAX: u64 = 600;

/// One entry as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewingFile {
    channels: Vec<String>,
    securetoken: Option<SecretFile>,
    desync_secs: Option<u64>,
    no_check_ip: Option<bool>,
    backends: Option<Vec<String>>,
    answer_within_ms: Option<u64>,
    allow_default: Option<bool>,
    no_auto_token: Option<bool>,
    soft_limit_secs: Option<u64>,
    allow: Option<ListFile>,
    deny: Option<ListFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListFile {
    networks: Vec<Network>,
    user_agents: Vec<String>,
    tokens: Option<SecretFile>,
}

/// One entry as checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewingConfig {
    /// Names; one that ends with `*` is the beginning of names.
    pub channels: Vec<String>,
    /// Who decides.
    pub keeper: ViewingKeeper,
}

/// Who decides about viewers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewingKeeper {
    /// A portal, by secure tokens.
    SecureToken {
        /// Where the key is.
        key: SecretFile,
        /// How far the portal's clock may be ahead, seconds, at most a day.
        desync_secs: u64,
        /// Tokens are bound to the viewer's address.
        check_ip: bool,
    },
    /// Backends that are asked.
    Backends {
        /// The preferred first; 1 to 8.
        urls: Vec<Url>,
        /// An answer later than this is none.
        within: Duration,
        /// New sessions are open while no backend answers.
        allow_default: bool,
        /// How long a user may have too many sessions.
        soft_limit: Duration,
        /// A request without a token is refused.
        no_auto_token: bool,
        /// Let in without a question.
        allow: ViewingList,
        /// Refused without a question.
        deny: ViewingList,
    },
}

/// Viewers who are let in or refused without a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewingList {
    /// By address.
    pub networks: Vec<Network>,
    /// By a part of their User-Agent.
    pub user_agents: Vec<String>,
    /// By token; a file with one a line.
    pub tokens: Option<SecretFile>,
}

pub(super) fn check(files: Vec<ViewingFile>) -> Result<Vec<ViewingConfig>, (String, String)> {
    if files.len() > ENTRIES_MAX {
        return Err(("viewing".to_owned(), format!("has {} entries, at most {ENTRIES_MAX}", files.len())));
    }
    let one = |(file, number): (ViewingFile, usize)| {
        check_one(file).map_err(|(key, text)| (format!("viewing#{number}{key}"), text))
    };
    files.into_iter().zip(1..).map(one).collect()
}

fn check_one(file: ViewingFile) -> Result<ViewingConfig, (&'static str, String)> {
    let count = file.channels.len();
    if !(1..=CHANNELS_MAX).contains(&count) {
        return Err((".channels", format!("has {count} patterns; from 1 to {CHANNELS_MAX}, [\"*\"] is all channels")));
    }
    if let Some(wrong) = file.channels.iter().find(|text| text.is_empty() || text.trim_end_matches('*').contains('*')) {
        return Err((".channels", format!("has {wrong:?}; write a channel's name, or the beginning of names and a *")));
    }
    let asks = file.answer_within_ms.is_some()
        || file.allow_default.is_some()
        || file.no_auto_token.is_some()
        || file.soft_limit_secs.is_some()
        || file.allow.is_some()
        || file.deny.is_some();
    let signs = file.desync_secs.is_some() || file.no_check_ip.is_some();
    let keeper = match (file.securetoken, file.backends) {
        (Some(key), None) if !asks => {
            let desync_secs = file.desync_secs.unwrap_or(300);
            if desync_secs > DESYNC_SECS_MAX {
                return Err((".desync_secs", format!("is {desync_secs}; at most {DESYNC_SECS_MAX}")));
            }
            ViewingKeeper::SecureToken { key, desync_secs, check_ip: !file.no_check_ip.unwrap_or(false) }
        }
        (None, Some(backends)) if !signs => ViewingKeeper::Backends {
            urls: urls(&backends)?,
            within: within(file.answer_within_ms.unwrap_or(2_000))?,
            allow_default: file.allow_default.unwrap_or(false),
            soft_limit: soft_limit(file.soft_limit_secs.unwrap_or(0))?,
            no_auto_token: file.no_auto_token.unwrap_or(false),
            allow: list(file.allow.unwrap_or_default(), ".allow")?,
            deny: list(file.deny.unwrap_or_default(), ".deny")?,
        },
        (Some(_), None) => {
            return Err(("", "has `securetoken` with a key that is for `backends` alone".to_owned()));
        }
        (None, Some(_)) => {
            return Err(("", "has `backends` with a key that is for `securetoken` alone".to_owned()));
        }
        _ => return Err(("", "needs `securetoken`, a secret, or `backends`, addresses; not both".to_owned())),
    };
    Ok(ViewingConfig { channels: file.channels, keeper })
}

fn urls(backends: &[String]) -> Result<Vec<Url>, (&'static str, String)> {
    if !(1..=BACKENDS_MAX).contains(&backends.len()) {
        return Err((".backends", format!("has {} addresses; from 1 to {BACKENDS_MAX}", backends.len())));
    }
    let url = |text: &String| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        // The text may hold a password and is not repeated.
        url.ok_or((".backends", "has what is no address; write http://HOST/PATH or https://HOST/PATH".to_owned()))
    };
    backends.iter().map(url).collect()
}

fn within(ms: u64) -> Result<Duration, (&'static str, String)> {
    if WITHIN_MS.contains(&ms) {
        return Ok(Duration::from_millis(ms));
    }
    Err((".answer_within_ms", format!("is {ms}; from {} to {}", WITHIN_MS.start(), WITHIN_MS.end())))
}

fn soft_limit(secs: u64) -> Result<Duration, (&'static str, String)> {
    if secs <= SOFT_LIMIT_SECS_MAX {
        return Ok(Duration::from_secs(secs));
    }
    Err((".soft_limit_secs", format!("is {secs}; at most {SOFT_LIMIT_SECS_MAX}")))
}

fn list(file: ListFile, key: &'static str) -> Result<ViewingList, (&'static str, String)> {
    let ListFile { networks, user_agents, tokens } = file;
    if networks.len() > LIST_MAX || user_agents.len() > LIST_MAX {
        return Err((key, format!("has a list of more than {LIST_MAX}")));
    }
    if user_agents.iter().any(String::is_empty) {
        return Err((key, "has an empty part of a User-Agent, which every client has".to_owned()));
    }
    Ok(ViewingList { networks, user_agents, tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, want: &str) {
        #[derive(Deserialize)]
        struct Whole {
            viewing: Vec<ViewingFile>,
        }
        let whole: Whole = headend_rt_toml(text);
        let got = check(whole.viewing).map_or_else(|(key, text)| format!("{key}: {text}"), |_| "good".to_owned());
        assert_eq!(got, want, "{text}");
    }

    /// The configuration's own reader, on a text.
    fn headend_rt_toml<T: serde::de::DeserializeOwned>(text: &str) -> T {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("written");
        headend_rt::config::load::<T>(&path).expect("well formed").config
    }

    #[test]
    fn one_keeper_and_its_own_keys() {
        let head = "[[viewing]]\nchannels = ['*']\n";
        let check = |lines: &str, want: &str| check_text(&format!("{head}{lines}"), want);
        check("securetoken = 'k'\ndesync_secs = 60\nno_check_ip = true\n", "good");
        check(
            "backends = ['http://portal/auth']\nallow_default = true\ndeny = { networks = ['10.0.0.0/8'] }\n",
            "good",
        );
        let neither = "viewing#1: needs `securetoken`, a secret, or `backends`, addresses; not both";
        check("", neither);
        check("securetoken = 'k'\nbackends = ['http://portal/auth']\n", neither);
        check(
            "securetoken = 'k'\nallow_default = true\n",
            "viewing#1: has `securetoken` with a key that is for `backends` alone",
        );
        check(
            "backends = ['http://p/']\ndesync_secs = 1\n",
            "viewing#1: has `backends` with a key that is for `securetoken` alone",
        );
    }

    #[test]
    fn bounds() {
        let check = |lines: &str, want: &str| {
            check_text(&format!("[[viewing]]\nchannels = ['*']\nbackends = ['http://p/']\n{lines}"), want);
        };
        check("answer_within_ms = 5\n", "viewing#1.answer_within_ms: is 5; from 100 to 30000");
        check("soft_limit_secs = 9999\n", "viewing#1.soft_limit_secs: is 9999; at most 600");
        let empty = "viewing#1.deny: has an empty part of a User-Agent, which every client has";
        check("deny = { user_agents = [''] }\n", empty);
        let wrong = "[[viewing]]\nchannels = ['*']\nbackends = ['ftp://user:word@p/']\n";
        check_text(wrong, "viewing#1.backends: has what is no address; write http://HOST/PATH or https://HOST/PATH");
        check_text(
            "[[viewing]]\nchannels = []\nbackends = ['http://p/']\n",
            "viewing#1.channels: has 0 patterns; from 1 to 1000, [\"*\"] is all channels",
        );
        check_text(
            "[[viewing]]\nchannels = ['a*b']\nbackends = ['http://p/']\n",
            "viewing#1.channels: has \"a*b\"; write a channel's name, or the beginning of names and a *",
        );
    }
}
