//! What a backend is asked: one GET with the fields that Flussonic's backends know.
//!
//! Pure. A token stands in the question, so neither [`Facts`] nor the address it makes is ever printed.

use std::{fmt, net::IpAddr, sync::Arc};

use headend_access::SessionId;
use headend_wire::ChannelName;
use reqwest::Url;

/// The longest of what a client says of itself that is kept and told, bytes.
const SAID_BYTES_MAX: usize = 256;
/// The longest query that is kept and told, bytes.
const QUERY_BYTES_MAX: usize = 512;

/// How a session is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Playlists and segments.
    Hls,
    /// An endless transport stream, live or from the archive.
    MpegTs,
}

impl Protocol {
    /// As backends know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hls => "hls",
            Self::MpegTs => "mpegts",
        }
    }
}

/// What is known of a session since its first request.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it plays.
    pub channel: ChannelName,
    /// From where.
    pub ip: IpAddr,
    /// What it showed.
    pub token: String,
    /// How.
    pub protocol: Protocol,
    /// The query of its first request.
    pub query: String,
    /// What it says of itself.
    pub user_agent: String,
    /// Where it says it comes from.
    pub referer: String,
    /// The host it asked.
    pub host: String,
}

impl Facts {
    /// Cuts what is too long to be kept.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        cut(&mut self.query, QUERY_BYTES_MAX);
        for text in [&mut self.user_agent, &mut self.referer, &mut self.host] {
            cut(text, SAID_BYTES_MAX);
        }
        self
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} by {}", self.protocol.name(), self.channel, self.ip)
    }
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.shrink_to_fit();
    }
}

/// A question about a session.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// Which.
    pub session: SessionId,
    /// What is known of it.
    pub facts: Arc<Facts>,
    /// `new_session`, not `update_session`.
    pub first: bool,
    /// Questions about this session before this one.
    pub number: u32,
    /// Seconds since it began.
    pub duration_secs: u64,
    /// Bytes it was sent.
    pub bytes: u64,
    /// Open sessions of the channel.
    pub stream_clients: u32,
    /// Open sessions.
    pub total_clients: u32,
}

impl Question {
    /// The address to get; what stands in the backend's own query stays.
    #[must_use]
    pub(super) fn address(&self, backend: &Url) -> Url {
        let Facts { channel, ip, token, protocol, query, user_agent, referer, host } = &*self.facts;
        let mut url = backend.clone();
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("name", channel.as_str());
        pairs.append_pair("ip", &ip.to_string());
        pairs.append_pair("token", token);
        pairs.append_pair("proto", protocol.name());
        pairs.append_pair("session_id", &uuid(&self.session));
        pairs.append_pair("request_type", if self.first { "new_session" } else { "update_session" });
        pairs.append_pair("request_number", &self.number.to_string());
        pairs.append_pair("stream_clients", &self.stream_clients.to_string());
        pairs.append_pair("total_clients", &self.total_clients.to_string());
        pairs.append_pair("duration", &self.duration_secs.to_string());
        pairs.append_pair("bytes", &self.bytes.to_string());
        for (name, value) in [("qs", query), ("user_agent", user_agent), ("referer", referer), ("host", host)] {
            if !value.is_empty() {
                pairs.append_pair(name, value);
            }
        }
        drop(pairs);
        url
    }
}

/// A session's name in the form of a random UUID (RFC 9562 §5.4), which backends take for their key.
#[must_use]
pub fn uuid(SessionId(bytes): &SessionId) -> String {
    let mut bytes = *bytes;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            channel: "fr/f24".parse().expect("name"),
            ip: "2001:db8::7".parse().expect("address"),
            token: "a b&name=x".to_owned(),
            protocol: Protocol::Hls,
            query: "token=a%20b&x=1".to_owned(),
            user_agent: "MAG 254".to_owned(),
            referer: String::new(),
            host: "car-1.example".to_owned(),
        }
    }

    #[test]
    fn every_field_is_asked_and_none_breaks_out() {
        let session = SessionId([0xAB; 16]);
        let question = Question {
            session,
            facts: Arc::new(facts()),
            first: true,
            number: 0,
            duration_secs: 0,
            bytes: 0,
            stream_clients: 3,
            total_clients: 9,
        };
        let backend = "http://portal.example/auth?site=1".parse().expect("address");
        assert_eq!(
            question.address(&backend).as_str(),
            "http://portal.example/auth?site=1&name=fr%2Ff24&ip=2001%3Adb8%3A%3A7&token=a+b%26name%3Dx&proto=hls\
             &session_id=abababab-abab-4bab-abab-abababababab&request_type=new_session&request_number=0&stream_clients=3\
             &total_clients=9&duration=0&bytes=0&qs=token%3Da%2520b%26x%3D1&user_agent=MAG+254&host=car-1.example"
        );
        assert_eq!(format!("{:?}", facts()), "hls of fr/f24 by 2001:db8::7");
    }

    #[test]
    fn what_a_client_says_is_bounded() {
        let long = "é".repeat(1_000);
        let said = Facts { user_agent: long.clone(), query: long, ..facts() }.bounded();
        assert_eq!((said.user_agent.len(), said.query.len()), (256, 512));
    }
}
