//! Who may see the technician's page and the status: loopback, the trusted peers, and the networks of `http.technicians`.
//!
//! Pure but for what it reads of [`Shared`]. The page names antennas, addresses and cards, and will let a technician answer a
//! module's questions, so whoever can reach the streams' port cannot see it for that. There is no password: a box in the
//! field has nobody who could hand one out, and over plain HTTP it would be read anyway; who needs more than a network's
//! door uses a tunnel. A name that is none of this box's is refused too: with it a stranger's page could make the
//! technician's browser read ours (DNS rebinding).

use axum::{
    http::{Extensions, HeaderMap, StatusCode, header},
    response::Response,
};
use headend_rt::{page::headers, serve::Peer};

use super::super::Shared;

/// Endings that no name of the public DNS has (RFC 6762, RFC 8375, and what ICANN reserved).
const PRIVATE_ENDINGS: [&str; 4] = [".local", ".lan", ".internal", ".home.arpa"];

/// The answer to a request that is not let in; none for one that is.
pub(crate) fn refusal(shared: &Shared, fields: &HeaderMap, extensions: &Extensions) -> Option<Response> {
    let peer = extensions.get::<Peer>();
    let near = |Peer(address): &Peer| shared.technicians.load().iter().any(|network| network.contains(address.ip()));
    if !shared.trusted(peer) && !peer.is_some_and(near) {
        let text = "this page is for technicians: add the network you are in to http.technicians in node.toml\n";
        return Some(headers::plain(StatusCode::FORBIDDEN, text));
    }
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(host_only);
    if host.is_none_or(|host| !is_ours(host, shared.public_host.as_deref())) {
        let text = "this box does not know itself by that name: open the page by its IP address\n";
        return Some(headers::plain(StatusCode::MISDIRECTED_REQUEST, text));
    }
    None
}

/// A name that only this box's own network can have given it, or the one that viewers are told.
fn is_ours(host: &str, public: Option<&str>) -> bool {
    let literal = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    let host = host.to_ascii_lowercase();
    literal
        || !host.contains('.')
        || PRIVATE_ENDINGS.iter().any(|ending| host.ends_with(ending))
        || public.is_some_and(|public| public.eq_ignore_ascii_case(&host))
}

/// The host of an authority, its port cut off.
fn host_only(authority: &str) -> Option<&str> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => host,
        _ => authority,
    };
    (!host.is_empty()).then_some(host)
}

/// The host of an `http(s)` address.
#[must_use]
pub fn host_of(url: &str) -> Option<&str> {
    headers::origin_of(url)?.split_once("://").and_then(|(_, authority)| host_only(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, want: bool) {
        let public = host_of("https://car-1.example:8081/live");
        assert_eq!(host_only(host).is_some_and(|host| is_ours(host, public)), want, "{host}");
    }

    #[test]
    fn names_that_a_stranger_could_have_made_are_refused() {
        for ours in [
            "127.0.0.1:8081",
            "192.168.7.4",
            "[::1]:8081",
            "[fd00::1]",
            "localhost:80",
            "car-1",
            "Car-1.local:80",
            "car-1.lan",
            "CAR-1.example",
        ] {
            check(ours, true);
        }
        for theirs in ["evil.example:8081", "127.0.0.1.evil.example", "car-1.example.evil", "local.evil.example", ""] {
            check(theirs, false);
        }
    }
}
