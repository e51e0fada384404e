//! Who asks, and whether they may: where a token is looked for, whose session it is, and who decides.
//!
//! A token is looked for in the query, in the header of TVIP boxes, in the cookie, in this order; the first that is there
//! counts. Our controller's own tokens are believed without asking anyone. Where the operator named a portal or a backend for
//! the channel, that one decides about all others, and a viewer without any token gets one to be known by.

use std::{fmt, net::IpAddr, sync::Arc};

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{self, HeaderName},
        request::Parts,
    },
    response::Response,
};
use headend_access::{Asked, Day, SecureTokenError, SessionId, TokenError};
use headend_rt::serve::Peer;
use headend_wire::ChannelName;
use sha2::{Digest as _, Sha256};

use super::{
    Refused, Shared,
    answer::{self, plain},
    live::{parameter, peer},
    past,
};
use crate::output::{
    live::Live,
    viewing::{Facts, Guard, Guarded, Keeper, Listed, Protocol, Undecided, Verdict, Viewing},
};

/// What TVIP boxes and gateways send instead of a query.
const SESSION_HEADER: &str = "x-playback-session-id";
const COOKIE: &str = "flusession";
/// The longest token of somebody else's, bytes; our own have their own limit.
const FOREIGN_BYTES_MAX: usize = 512;
const DAY_SECS: u64 = 86_400;

const REFUSED: &str = "not authorised\n";
const LATER: &str = "no decision about this session yet; try again in a moment\n";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purpose {
    /// How it is served.
    pub(super) protocol: Protocol,
    /// A session may begin with it; keys and segments belong to one that began with a playlist.
    pub(super) begins: bool,
}

/// Why somebody is not let in; for the log, a viewer sees the same 403 whatever the cause.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// Not by our own tokens, and nobody else decides.
    #[error(transparent)]
    Own(#[from] Refused),
    /// Not by the portal's token.
    #[error("secure token")]
    SecureToken(#[source] SecureTokenError),
    /// No token, where the operator wants one.
    #[error("no token, and none is made up for this channel")]
    NoToken,
    /// A token that is none.
    #[error("a token of more than {FOREIGN_BYTES_MAX} bytes")]
    TooLong,
    /// On the list.
    #[error("on the list of those who are refused")]
    Listed,
    /// The backend, or its absence.
    #[error("the backend closed this session")]
    Closed,
}

/// What is answered instead of what was asked.
pub(super) enum Denial {
    /// 403.
    Refused(Cause),
    /// Another place, as the backend says.
    Elsewhere(Arc<str>),
    /// 503.
    Later(Undecided),
}

impl From<Cause> for Denial {
    fn from(cause: Cause) -> Self {
        Self::Refused(cause)
    }
}

impl Denial {
    /// The answer to the viewer.
    pub(super) fn answer(self, shared: &Shared, name: &ChannelName) -> Response {
        match self {
            Self::Elsewhere(to) => {
                let mut response = plain(StatusCode::FOUND, "");
                // It was checked to be plain when it was read.
                if let Ok(place) = HeaderValue::from_str(&to) {
                    response.headers_mut().insert(header::LOCATION, place);
                }
                response
            }
            Self::Later(cause) => {
                tracing::debug!(channel = %name, %cause, "request put off");
                past::later(LATER)
            }
            Self::Refused(cause) => {
                shared.channels.counters().refused();
                tracing::debug!(channel = %name, error = headend_rt::chain(&cause), "request refused");
                plain(StatusCode::FORBIDDEN, REFUSED)
            }
        }
    }
}

/// Decides about a request.
pub(super) async fn admit(shared: &Shared, live: &Live, request: &Parts, purpose: Purpose) -> Result<Viewing, Denial> {
    let (name, now) = (live.name(), shared.now_secs());
    let today = Day(u32::try_from(now / DAY_SECS).unwrap_or(u32::MAX));
    let keeper = shared.rules.of(name);
    let token = token(request);
    // On a free channel a token is looked at when it is shown, and a stale cookie of another day is not held against it.
    if live.free() && parameter(request.uri.query().unwrap_or_default(), "token").is_none() {
        // Free channels have no session: their key addresses carry one that is the same for everybody.
        let session = SessionId([0; 16]);
        return Ok(Viewing {
            token: None,
            session,
            expires: end_of(today),
            today,
            asks_for_keys: false,
            guarded: None,
        });
    }
    let viewing = |token: String, session, expires, guarded| {
        let asks_for_keys = keeper.is_some();
        Viewing { token: Some(token), session, expires, today, asks_for_keys, guarded }
    };
    let foreign = match shared.gate.admit(token.as_deref(), name.as_str(), now) {
        Ok(claims) => {
            live.seen(claims.session, now);
            return Ok(viewing(token.unwrap_or_default(), claims.session, claims.expires, None));
        }
        Err(cause) => cause,
    };
    let keeper = keeper.filter(|_| !ours(&foreign)).ok_or(Cause::Own(foreign))?;
    if token.as_ref().is_some_and(|token| token.len() > FOREIGN_BYTES_MAX) {
        return Err(Cause::TooLong.into());
    }
    let ip = address(request);
    match keeper {
        Keeper::SecureToken { key, check_ip } => {
            let token = token.ok_or(Cause::NoToken)?;
            let text = ip.to_string();
            let asked = Asked { channel: name.as_str(), address: check_ip.then_some(text.as_str()), now };
            let good = key.check(&token, asked).map_err(Cause::SecureToken)?;
            let session = session_of(name, check_ip.then_some(ip), (&token, purpose.protocol), &request.headers);
            live.seen(session, now);
            let expires = u32::try_from(good.expires).unwrap_or(u32::MAX);
            Ok(viewing(token, session, expires, None))
        }
        Keeper::Backend { guard, no_auto_token, allow, deny } => {
            if token.is_none() && (*no_auto_token || !purpose.begins) {
                return Err(Cause::NoToken.into());
            }
            let asker = Asker { ip, token, purpose, request };
            let (token, session, guarded) = ask(guard, (allow, deny), name, asker).await?;
            live.seen(session, now);
            Ok(viewing(token, session, end_of(today), guarded))
        }
    }
}

/// Somebody whom a backend decides about.
struct Asker<'a> {
    ip: IpAddr,
    token: Option<String>,
    purpose: Purpose,
    request: &'a Parts,
}

async fn ask(
    guard: &Arc<Guard>,
    (allow, deny): (&Listed, &Listed),
    name: &ChannelName,
    Asker { ip, token, purpose: Purpose { protocol, .. }, request }: Asker<'_>,
) -> Result<(String, SessionId, Option<Guarded>), Denial> {
    let agent = text(&request.headers, header::USER_AGENT);
    if deny.holds(ip, token.as_deref(), &agent) {
        return Err(Cause::Listed.into());
    }
    let allowed = allow.holds(ip, token.as_deref(), &agent);
    let token = token.unwrap_or_else(made_up);
    let session = session_of(name, Some(ip), (&token, protocol), &request.headers);
    if allowed {
        return Ok((token, session, None));
    }
    let facts = || {
        let facts = Facts {
            channel: name.clone(),
            ip,
            token: token.clone(),
            protocol,
            query: request.uri.query().unwrap_or_default().to_owned(),
            user_agent: agent,
            referer: text(&request.headers, header::REFERER),
            host: text(&request.headers, header::HOST),
        };
        facts.bounded()
    };
    match guard.admit(session, facts).await {
        Ok(Verdict::Open(grant)) => Ok((token, session, Some(Guarded { guard: Arc::clone(guard), grant }))),
        Ok(Verdict::Elsewhere(to)) => Err(Denial::Elsewhere(to)),
        Ok(Verdict::Closed) => Err(Cause::Closed.into()),
        Err(cause) => Err(Denial::Later(cause)),
    }
}

/// Whether a request that shows a good path for its segment shows a session that is closed, too.
pub(super) fn closed(shared: &Shared, live: &Live, request: &Parts) -> bool {
    let Some(token) = token(request) else { return false };
    let (name, now) = (live.name(), shared.now_secs());
    match shared.gate.admit(Some(&token), name.as_str(), now) {
        Ok(claims) => {
            live.seen(claims.session, now);
            return false;
        }
        Err(Refused::Revoked) => return true,
        Err(_) => {}
    }
    let Some(Keeper::Backend { guard, .. }) = shared.rules.of(name) else { return false };
    let session = session_of(name, Some(address(request)), (&token, Protocol::Hls), &request.headers);
    match guard.standing(&session) {
        Some(Verdict::Closed) => true,
        Some(Verdict::Open(_)) => {
            live.seen(session, now);
            false
        }
        _ => false,
    }
}

/// A viewer that showed its token in the address gets it as a cookie too, and so does one that was given its token: boxes
/// that drop queries keep it.
pub(super) fn set_session(
    shared: &Shared,
    response: &mut Response,
    live: &Live,
    (viewing, request): (&Viewing, &Parts),
) {
    let header_shown = shown_in_header(&request.headers).is_some();
    let in_query = parameter(request.uri.query().unwrap_or_default(), "token").is_some();
    let in_cookie = shown_in_cookie(&request.headers).is_some();
    let fresh = in_query || !(header_shown || in_cookie);
    let playlist = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == answer::PLAYLIST_TYPE);
    let Some(token) = viewing.token.as_deref().filter(|_| fresh && playlist) else { return };
    let secure = if shared.tls { "; Secure" } else { "" };
    let (name, token) = (live.name(), encode(token));
    // Names of channels are what a path may hold, and the token was encoded.
    let text = format!("{COOKIE}={token}; Path=/{name}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

/// The token of a request.
pub(super) fn token(request: &Parts) -> Option<String> {
    let query = parameter(request.uri.query().unwrap_or_default(), "token").map(decode);
    let header = || shown_in_header(&request.headers).map(str::to_owned);
    let cookie = || shown_in_cookie(&request.headers).map(decode);
    query.or_else(header).or_else(cookie)
}

fn shown_in_header(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION_HEADER)?.to_str().ok().filter(|text| !text.is_empty())
}

fn shown_in_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).map(str::trim);
    pairs.find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('=')).filter(|text| !text.is_empty())
}

/// Whether a token is of our own controller, though it does not open this channel now: nobody else is asked about it.
fn ours(cause: &Refused) -> bool {
    match cause {
        Refused::Revoked => true,
        Refused::Token(cause) => {
            matches!(cause, TokenError::Expired { .. } | TokenError::NotYetValid { .. } | TokenError::OutOfScope)
        }
        Refused::Missing | Refused::NotReady => false,
    }
}

/// The session of somebody else's token: the same for the same viewer on every node, and after every restart.
fn session_of(
    name: &ChannelName,
    ip: Option<IpAddr>,
    (token, protocol): (&str, Protocol),
    headers: &HeaderMap,
) -> SessionId {
    let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
    let header = shown_in_header(headers).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"headend/viewing/v1");
    for text in [name.as_str(), &ip, protocol.name(), token, header] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let full: [u8; 32] = hash.finalize().into();
    let (first, _) = full.split_first_chunk().expect("32 bytes hold 16");
    SessionId(*first)
}

/// A token for who has none: a random UUID, as backends expect.
fn made_up() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    crate::output::viewing::uuid(&SessionId(bytes))
}

/// Two days ahead, and the same all day: the address of a key must not change from one reload to the next.
fn end_of(today: Day) -> u32 {
    let secs = (u64::from(today.0) + 2) * DAY_SECS;
    u32::try_from(secs).unwrap_or(u32::MAX)
}

fn address(request: &Parts) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    peer(request).map_or(unknown, |Peer(address)| address.ip().to_canonical())
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Percent-decodes (RFC 3986 §2.1); what is no escape, or does not become UTF-8, stays as it stands.
fn decode(text: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape = match bytes.get(at + 1..at + 3) {
            Some([high, low]) if *byte == b'%' => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(escape.unwrap_or(*byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// A token as it stands in addresses and cookies.
pub(in crate::output) fn encode(token: &str) -> Encoded<'_> {
    Encoded(token)
}

/// Prints with everything but unreserved characters (RFC 3986 §2.3) percent-encoded.
pub(in crate::output) struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    f.write_str(char::from(byte).encode_utf8(&mut [0; 4]))?;
                }
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use proptest::prelude::*;

    use super::*;

    fn request(query: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().uri(format!("/fr/f24/index.m3u8{query}"));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn the_first_source_counts() {
        let header = ("X-Playback-Session-Id", "H");
        let cookie = ("Cookie", "a=1; flusession=C%2F1; b=2");
        let check = |query: &str, headers: &[(&str, &str)], want: Option<&str>| {
            assert_eq!(token(&request(query, headers)).as_deref(), want, "{query} {headers:?}");
        };
        check("?token=Q", &[header, cookie], Some("Q"));
        check("?token=Q%20%2f", &[], Some("Q /"));
        check("?token=", &[header, cookie], Some("H"));
        check("?tokens=Q", &[cookie], Some("C/1"));
        check("", &[("Cookie", "flusession="), ("Cookie", "xflusession=1")], None);
        check("", &[], None);
    }

    #[test]
    fn a_session_is_who_where_what_and_how() {
        let name: ChannelName = "fr/f24".parse().expect("name");
        let ip: IpAddr = "192.0.2.7".parse().expect("address");
        let bare = HeaderMap::new();
        let session = session_of(&name, Some(ip), ("T", Protocol::Hls), &bare);
        assert_eq!(session, session_of(&name, Some(ip), ("T", Protocol::Hls), &bare));
        let tvip = request("", &[("X-Playback-Session-Id", "H")]).headers;
        let other_ip = Some("192.0.2.8".parse().expect("address"));
        for other in [
            session_of(&"fr/f2".parse().expect("name"), Some(ip), ("T", Protocol::Hls), &bare),
            session_of(&name, other_ip, ("T", Protocol::Hls), &bare),
            session_of(&name, Some(ip), ("U", Protocol::Hls), &bare),
            session_of(&name, Some(ip), ("T", Protocol::MpegTs), &bare),
            session_of(&name, Some(ip), ("T", Protocol::Hls), &tvip),
        ] {
            assert_ne!(session, other);
        }
    }

    proptest! {
        #[test]
        fn a_token_encoded_comes_back(token in ".{0,40}") {
            prop_assert_eq!(decode(&encode(&token).to_string()), token);
        }

        #[test]
        fn any_text_is_decoded(text in ".{0,40}") {
            let _ = decode(&text);
        }
    }
}
