//! How a link reaches its broker: address, identity, subscriptions, announcement.
//!
//! Everything is checked here, before a task starts; nothing connects.

use std::{fmt, str::FromStr, sync::Arc};

use rustls::ClientConfig;

use super::uplink::Publish;

/// Why a link cannot be made or a message not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The broker's address is not one.
    #[error("broker address {url:?}: {reason}; write mqtt://HOST:PORT or mqtts://HOST:PORT")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `mqtts://` without an authority, or authority with `mqtt://`.
    #[error("broker address {url}: {reason}")]
    TlsMismatch {
        /// The address.
        url: String,
        /// What to do.
        reason: &'static str,
    },
    /// The client id is empty or too long.
    #[error("MQTT client id {id:?} must have 1 to 120 bytes")]
    ClientId {
        /// As given.
        id: String,
    },
    /// The message is over [`super::PAYLOAD_BYTES_MAX`].
    #[error("message of {bytes} bytes for {topic}, the limit is {}", super::PAYLOAD_BYTES_MAX)]
    TooLarge {
        /// Its topic.
        topic: String,
        /// Its size.
        bytes: usize,
    },
    /// Too many retained topics.
    #[error("no room for the retained topic {topic}: this link holds 4096 already")]
    TooManyTopics {
        /// The topic that was refused.
        topic: String,
    },
    /// The queue is full: the broker is away or slow.
    #[error("the link's queue is full")]
    Full,
    /// The carrier has ended: the program is stopping.
    #[error("the link is closed")]
    Closed,
}

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// `mqtts`: over TLS.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port; 1883, or 8883 over TLS, when none was given.
    pub port: u16,
}

impl FromStr for BrokerUrl {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let refused = |reason| LinkError::Address { url: text.chars().take(200).collect(), reason };
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(refused("the scheme is neither mqtt nor mqtts")),
        };
        if rest.contains('@') {
            // Not shown: it may hold a password.
            let url = "(hidden)".to_owned();
            return Err(LinkError::Address {
                url,
                reason: "no user or password in an address: nodes have certificates",
            });
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']').ok_or_else(|| refused("a bracket is not closed"))?,
            None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
        };
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return Err(refused("the host is empty or has a path"));
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => {
                if tls {
                    8_883
                } else {
                    1_883
                }
            }
            Some(digits) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| refused("the port is not 1 to 65535"))?
            }
            None => return Err(refused("something follows the host that is no port")),
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Topic filter.
    pub filter: String,
    /// The topics hold retained state: asked for anew at every connect, QoS 0. rumqttd sends retained
    /// messages to new subscriptions only, and at QoS 1 no more than 100 of them. Otherwise the topics
    /// carry messages: QoS 1, kept by the broker while we are away.
    pub state: bool,
}

/// What a connection says of itself, made anew for each attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Published by the broker when the connection dies without a word.
    pub will: Publish,
    /// Published first on the new connection.
    pub greeting: Option<Publish>,
}

/// Makes the announcement of a connection attempt.
///
/// Called before each connect. A node's takes the greeting's sequence number *before* the will's, so that
/// of a retained birth and a retained will the one with the higher number is the truth.
pub type Announce = Box<dyn FnMut() -> Announcement + Send>;

/// All of it.
pub struct LinkOptions {
    /// Where the broker is.
    pub url: BrokerUrl,
    /// Stable id of this client, 1 to 120 bytes: the broker keeps our session under it.
    pub client_id: String,
    /// TLS, for `mqtts`: made by [`crate::tls::client_config`].
    pub tls: Option<Arc<ClientConfig>>,
    /// What to receive.
    pub subscriptions: Vec<Subscription>,
    /// Last will and greeting.
    pub announce: Option<Announce>,
}

impl fmt::Debug for LinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOptions")
            .field("url", &self.url)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl LinkOptions {
    pub(crate) fn check(&self) -> Result<(), LinkError> {
        if self.client_id.is_empty() || self.client_id.len() > 120 {
            return Err(LinkError::ClientId { id: self.client_id.chars().take(200).collect() });
        }
        let mismatch = |reason| Err(LinkError::TlsMismatch { url: self.url.to_string(), reason });
        match (self.url.tls, self.tls.is_some()) {
            (true, false) => mismatch("mqtts needs the fleet's authority; enrol first"),
            (false, true) => mismatch("certificates are configured but the address is not mqtts"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = text.parse::<BrokerUrl>().map_or_else(|error| error.to_string(), |url| url.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn addresses() {
        check("mqtt://127.0.0.1", "mqtt://127.0.0.1:1883");
        check("mqtts://broker.example/", "mqtts://broker.example:8883");
        check("mqtt://[::1]:1884", "mqtt://[::1]:1884");
        let hint = "write mqtt://HOST:PORT or mqtts://HOST:PORT";
        check("tcp://a", &format!("broker address \"tcp://a\": the scheme is neither mqtt nor mqtts; {hint}"));
        check("mqtt://a:0", &format!("broker address \"mqtt://a:0\": the port is not 1 to 65535; {hint}"));
        check("mqtt://a/b", &format!("broker address \"mqtt://a/b\": the host is empty or has a path; {hint}"));
        check("mqtt://[::1", &format!("broker address \"mqtt://[::1\": a bracket is not closed; {hint}"));
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let error = "mqtt://user:secret@host".parse::<BrokerUrl>().unwrap_err().to_string();
        assert!(error.contains("certificates") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn tls_and_scheme_must_agree() {
        let url: BrokerUrl = "mqtts://a".parse().unwrap();
        let options = LinkOptions { url, client_id: "n".to_owned(), tls: None, subscriptions: vec![], announce: None };
        let error = options.check().unwrap_err().to_string();
        assert_eq!(error, "broker address mqtts://a:8883: mqtts needs the fleet's authority; enrol first");
    }
}
