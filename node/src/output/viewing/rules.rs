//! The rules of `[[viewing]]`, with their secrets read: which one is a channel's, and who is on its lists.
//!
//! The first rule whose pattern fits a channel is the channel's. A channel without one takes our own tokens alone.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use headend_access::SecureTokenKey;
use headend_rt::{SecretFile, config::Network, secret::SecretError, tls};
use headend_wire::ChannelName;
use sha2::{Digest as _, Sha256};

use super::{
    guard::{Guard, Questions},
    ledger::Bounds,
};
use crate::{
    config::{ViewingConfig, ViewingKeeper, ViewingList},
    input::Monotonic,
};

/// The most tokens of one list.
const TOKENS_MAX: usize = 1_000;

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The key of secure tokens, or a list of tokens.
    #[error("secret of [[viewing]] entry {number}")]
    Secret {
        /// Which entry, from 1.
        number: usize,
        /// Why it cannot be read.
        #[source]
        source: SecretError,
    },
    /// A list of tokens is too long.
    #[error("a token list of [[viewing]] entry {number} has more than {TOKENS_MAX} lines")]
    Tokens {
        /// Which entry, from 1.
        number: usize,
    },
    /// The HTTP client.
    #[error("build the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Who decides.
pub enum Keeper {
    /// A portal, by the tokens it makes.
    SecureToken {
        /// The key shared with it.
        key: SecureTokenKey,
        /// Tokens are bound to the viewer's address.
        check_ip: bool,
    },
    /// A backend that is asked.
    Backend {
        /// The line to it.
        guard: Arc<Guard>,
        /// A request without a token is refused.
        no_auto_token: bool,
        /// Let in without a question.
        allow: Listed,
        /// Refused without a question, first of all.
        deny: Listed,
    },
}

/// One rule.
pub struct Rule {
    channels: Vec<Pattern>,
    /// Who decides.
    pub keeper: Keeper,
}

/// All rules, in their order.
#[derive(Default)]
pub struct Rules(Vec<Rule>);

/// A guard, and the questions its task is to ask.
pub type Opened = (Arc<Guard>, Questions);

/// A name, or the beginning of names.
enum Pattern {
    Name(String),
    Beginning(String),
}

/// A list of who is let in or refused.
#[derive(Default)]
pub struct Listed {
    networks: Vec<Network>,
    /// Part of a User-Agent, in small letters.
    agents: Vec<String>,
    /// Hashes, so that the time of a look-up says nothing of a token.
    tokens: HashSet<[u8; 32]>,
}

impl Listed {
    fn read(list: &ViewingList, number: usize) -> Result<Self, RulesError> {
        let tokens = list.tokens.as_ref().map(|file| read_tokens(file, number)).transpose()?.unwrap_or_default();
        let agents = list.user_agents.iter().map(|agent| agent.to_lowercase()).collect();
        Ok(Self { networks: list.networks.clone(), agents, tokens })
    }

    /// Whether a viewer is on the list.
    #[must_use]
    pub fn holds(&self, ip: IpAddr, token: Option<&str>, user_agent: &str) -> bool {
        let agent = || {
            let asked = user_agent.to_lowercase();
            self.agents.iter().any(|agent| asked.contains(agent.as_str()))
        };
        let token = || token.is_some_and(|token| self.tokens.contains(&digest(token)));
        self.networks.iter().any(|network| network.contains(ip))
            || (!self.tokens.is_empty() && token())
            || (!self.agents.is_empty() && agent())
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// One token a line; empty lines and lines that begin with `#` say nothing.
fn read_tokens(file: &SecretFile, number: usize) -> Result<HashSet<[u8; 32]>, RulesError> {
    let failed = |source| RulesError::Secret { number, source };
    let secret = file.read().map_err(failed)?;
    let text = secret.text().map_err(failed)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens: HashSet<[u8; 32]> = lines.take(TOKENS_MAX + 1).map(digest).collect();
    if tokens.len() > TOKENS_MAX { Err(RulesError::Tokens { number }) } else { Ok(tokens) }
}

impl Pattern {
    fn read(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self::Beginning(beginning.to_owned()),
            None => Self::Name(text.to_owned()),
        }
    }

    fn fits(&self, channel: &str) -> bool {
        match self {
            Self::Name(name) => name == channel,
            Self::Beginning(beginning) => channel.starts_with(beginning.as_str()),
        }
    }
}

impl Rules {
    /// Reads secrets and opens the lines to backends; each guard's questions go to a task of its own.
    /// `per_address_max` bounds the sessions of one address.
    ///
    /// # Errors
    /// [`RulesError`].
    pub fn open(
        configured: &[ViewingConfig],
        per_address_max: usize,
        mono: Monotonic,
    ) -> Result<(Self, Vec<Opened>), RulesError> {
        let (mut rules, mut guards) = (vec![], vec![]);
        for (config, number) in configured.iter().zip(1..) {
            let channels = config.channels.iter().map(|text| Pattern::read(text)).collect();
            let keeper = match &config.keeper {
                ViewingKeeper::SecureToken { key, desync_secs, check_ip } => {
                    let secret = key.read().map_err(|source| RulesError::Secret { number, source })?;
                    let key = SecureTokenKey::new(secret.bytes(), *desync_secs);
                    Keeper::SecureToken { key, check_ip: *check_ip }
                }
                ViewingKeeper::Backends { urls, within, allow_default, soft_limit, no_auto_token, allow, deny } => {
                    let bounds = Bounds {
                        per_address_max,
                        allow_default: *allow_default,
                        soft_limit_ms: u64::try_from(soft_limit.as_millis()).unwrap_or(u64::MAX),
                    };
                    let (allow, deny) = (Listed::read(allow, number)?, Listed::read(deny, number)?);
                    let (guard, questions) = Guard::new((urls.clone(), client(*within)?), *within, bounds, mono);
                    guards.push((Arc::clone(&guard), questions));
                    Keeper::Backend { guard, no_auto_token: *no_auto_token, allow, deny }
                }
            };
            rules.push(Rule { channels, keeper });
        }
        Ok((Self(rules), guards))
    }

    /// Who decides about a channel besides our own tokens; none: nobody.
    #[must_use]
    pub fn of(&self, channel: &ChannelName) -> Option<&Keeper> {
        let fits = |rule: &&Rule| rule.channels.iter().any(|pattern| pattern.fits(channel.as_str()));
        self.0.iter().find(fits).map(|rule| &rule.keeper)
    }

    /// The guards, in the order of their rules.
    pub fn guards(&self) -> impl Iterator<Item = &Guard> {
        self.0.iter().filter_map(|rule| match &rule.keeper {
            Keeper::Backend { guard, .. } => Some(&**guard),
            Keeper::SecureToken { .. } => None,
        })
    }
}

/// Follows nothing: a redirect is an answer about the viewer, and a backend must not send this node about.
fn client(within: Duration) -> Result<reqwest::Client, RulesError> {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls::public_client_config());
    let builder = builder.redirect(reqwest::redirect::Policy::none()).timeout(within).no_proxy();
    builder.pool_max_idle_per_host(super::guard::QUESTIONS_MAX).build().map_err(RulesError::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, channel: &str, want| assert_eq!(Pattern::read(pattern).fits(channel), want);
        check("*", "fr/f24", true);
        check("fr/*", "fr/f24", true);
        check("fr/*", "de/zdf", false);
        check("fr/f24", "fr/f24", true);
        check("fr/f2", "fr/f24", false);
    }

    #[test]
    fn lists() {
        let listed = Listed {
            networks: vec!["10.0.0.0/8".parse().expect("network")],
            agents: vec!["vlc".to_owned()],
            tokens: HashSet::from([digest("monitor")]),
        };
        let check = |ip: &str, token, agent, want| {
            assert_eq!(listed.holds(ip.parse().expect("address"), token, agent), want, "{ip} {token:?} {agent}");
        };
        check("10.1.2.3", None, "", true);
        check("::ffff:10.1.2.3", None, "", true);
        check("192.0.2.1", None, "VLC/3.0", true);
        check("192.0.2.1", Some("monitor"), "", true);
        check("192.0.2.1", Some("monitors"), "MAG", false);
        assert!(!Listed::default().holds("192.0.2.1".parse().expect("address"), None, ""));
    }
}
