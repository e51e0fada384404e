//! One input of a stream as an address that our nodes play, or why it cannot be.
//!
//! Pure. Flussonic names the protocol in the scheme (`tshttp://` is MPEG-TS over HTTP) and the interface of a group
//! behind the port (`udp://239.1.1.1:5000/10.0.0.5`); nodes take `http://` and `udp://10.0.0.5@239.1.1.1:5000`. What
//! the node would refuse is refused here, where there is a line to name. [`label`] is the form for people: without
//! user, password, query, and without the parts of a path that may be a key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::{
    channel::{SCHEMES, URL_BYTES_MAX},
    refusal::address as checked,
};

/// An input that a node can play.
#[derive(Clone, PartialEq, Eq)]
pub struct Playable {
    /// For a source's `url`.
    pub url: String,
    /// The service named in the address itself.
    pub service: Option<u16>,
    /// What is not as it was written.
    pub remarks: Vec<&'static str>,
    /// It carries several services.
    pub multiplex: bool,
}

const HLS: &str = "HLS cannot be an input; take the MPEG-TS of that server (tshttp://)";
const SIBLING: &str =
    "this protocol is Flussonic's own; take the MPEG-TS of that server, as in tshttp://HOST/STREAM/mpegts";
const PUSHED: &str = "nothing can be published to a node; let the encoder send UDP or RTP, or offer MPEG-TS over HTTP";
const CARD: &str = "capture cards are not opened; let an encoder send UDP or RTP, or offer MPEG-TS over HTTP";
const MADE: &str = "pictures are not made here; take a source that already carries them";
const CREDENTIALS: &str =
    "the address holds a user or password; put a token in a file at the node and set the source by hand";
const HOST: &str = "a group is named by its IP address and port here, as in udp://239.1.1.1:5000";
const OPTIONS: &str = "it has options behind ? that are not known here; write them as words behind the address";
const VOD: &str = "a file of a VOD location; put a transport stream on the node and name it as file:///path.ts";
const HTTP: &str = "no valid address; write tshttp://HOST:PORT/PATH";
const LONG: &str =
    "the address is longer than 200 bytes, or has blanks or other characters than ASCII; write them as %XX";
const GATEWAY: &str = "not played here; let a gateway send UDP or RTP, or offer MPEG-TS over HTTP";

/// What a scheme needs that has no counterpart.
const UNPLAYED: [(&str, &str); 33] = [
    ("hls", HLS),
    ("hlss", HLS),
    ("m4f", SIBLING),
    ("m4fs", SIBLING),
    ("m4s", SIBLING),
    ("m4ss", SIBLING),
    ("frip", SIBLING),
    ("publish", PUSHED),
    ("decklink", CARD),
    ("dektec", CARD),
    ("v4l", CARD),
    ("v4l2", CARD),
    ("alsa", CARD),
    ("st2110", CARD),
    ("ndi", GATEWAY),
    ("h323", GATEWAY),
    ("rtmp", GATEWAY),
    ("rtmps", GATEWAY),
    ("rtsp", GATEWAY),
    ("rtsps", GATEWAY),
    ("rtsp2", GATEWAY),
    ("shoutcast", GATEWAY),
    ("tstcp", GATEWAY),
    ("webrtc", GATEWAY),
    ("whep", GATEWAY),
    ("srt", GATEWAY),
    ("srt1", GATEWAY),
    ("srt2", GATEWAY),
    ("mixer", MADE),
    ("mosaic", MADE),
    ("fake", "a test picture; take a real source, or a file of your own"),
    ("copy", "a copy of another stream; give the channel the sources of that stream"),
    ("timeshift", "a delayed edition; viewers get it from the archive of the channel, as timeshift_rel-SECONDS.m3u8"),
];

/// The address a node plays.
///
/// # Errors
/// Why it plays none, with the way out; never with a part of the address but its scheme.
pub fn playable(text: &str) -> Result<Playable, &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("no address; write SCHEME://…");
    };
    let lower = scheme.to_ascii_lowercase();
    let (lower, multiplex) = match lower.strip_prefix("mpts-") {
        Some("dvb") => return Err("tuners are described by dvb:// addresses here; see docs/capture.md"),
        Some(inner) => (inner, true),
        None => (lower.as_str(), false),
    };
    let mut found = match lower {
        "udp" | "udp1" | "udp2" | "udp3" => group("udp", rest),
        "rtp" => group("rtp", rest),
        "tshttp" => http("http", rest),
        "tshttps" => http("https", rest),
        "http" | "https" => plain_http(lower, rest),
        "file" => file(rest),
        "playlist" => Err("a playlist of files; nodes play one file, as in file:///path.ts"),
        other => match UNPLAYED.iter().find(|(known, _)| *known == other) {
            Some((known, _)) if SCHEMES.contains(known) => Ok(as_it_is(format!("{known}://{rest}"))),
            Some((_, why)) => Err(*why),
            None => Err("its scheme is not known here; nodes play udp, rtp, tshttp, tshttps, file and dvb"),
        },
    }?;
    found.multiplex = multiplex;
    checked("url", &found.url, &SCHEMES, URL_BYTES_MAX).map_err(|_| LONG)?;
    Ok(found)
}

fn as_it_is(url: String) -> Playable {
    Playable { url, service: None, remarks: vec![], multiplex: false }
}

/// `239.1.1.1:5000`, with `eth1@` before it or `/10.0.0.5` or `/eth1` behind it.
fn group(scheme: &str, rest: &str) -> Result<Playable, &'static str> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (before, place) = match place.rsplit_once('@') {
        Some((interface, place)) => (interface, place),
        None => ("", place),
    };
    let (socket, behind) = place.split_once('/').unwrap_or((place, ""));
    let (mut service, mut local) = (None, behind.trim_end_matches('/'));
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("program" | "programs" | "pnr", number)) => service = Some(number.parse().map_err(|_| OPTIONS)?),
            Some(("localaddr" | "interface", name)) if local.is_empty() => local = name,
            _ => return Err(OPTIONS),
        }
    }
    let (host, port) = socket.rsplit_once(':').ok_or(HOST)?;
    let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => IpAddr::V6(inner.parse::<Ipv6Addr>().map_err(|_| HOST)?),
        None if host.is_empty() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V4(host.parse().map_err(|_| HOST)?),
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0).ok_or(HOST)?;
    let ((interface, "") | ("", interface)) = (before, local) else {
        return Err("an interface is named twice; keep one");
    };
    if !interface.is_empty() && !is_interface(interface) {
        return Err("its interface is neither a name such as eth1 nor an IP address");
    }
    let at = if interface.is_empty() { "" } else { "@" };
    let host = match host {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    };
    let remarks = if local.is_empty() { vec![] } else { vec!["the interface stands before the group, as IF@GROUP"] };
    let url = format!("{scheme}://{interface}{at}{host}:{port}");
    Ok(Playable { url, service, remarks, multiplex: false })
}

/// A name of Linux (15 bytes, IFNAMSIZ less its NUL) or an address of the interface.
fn is_interface(text: &str) -> bool {
    let named = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    text.parse::<IpAddr>().is_ok() || (named && text.len() <= 15 && text != "." && text != "..")
}

fn http(scheme: &str, rest: &str) -> Result<Playable, &'static str> {
    let (address, fragment) = rest.split_once('#').map_or((rest, false), |(address, _)| (address, true));
    let authority = address.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(CREDENTIALS);
    }
    if !is_authority(authority) {
        return Err(HTTP);
    }
    let path = address.split('?').next().unwrap_or_default();
    if path.to_ascii_lowercase().ends_with(".m3u8") {
        return Err(HLS);
    }
    // What follows # is never sent (RFC 3986 section 3.5), and nodes read their own options there.
    let remarks = if fragment { vec!["what follows # was left out; it is never sent"] } else { vec![] };
    Ok(Playable { url: format!("{scheme}://{address}"), service: None, remarks, multiplex: false })
}

/// A host or address, with or without a port (RFC 3986 section 3.2).
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port),
        Some(_) => return false,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let named = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let port = port.strip_prefix(':').map_or(port.is_empty(), |port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    !host.is_empty() && named && port
}

/// Flussonic refuses bare `http://`, but old files hold it.
fn plain_http(scheme: &str, rest: &str) -> Result<Playable, &'static str> {
    let mut found = http(scheme, rest)?;
    found.remarks.push("read as MPEG-TS over HTTP");
    Ok(found)
}

/// Only a transport stream with its whole path: `file://vod/x.mp4` is a file of a VOD location.
fn file(rest: &str) -> Result<Playable, &'static str> {
    let is_ts = |path: &str| [".ts", ".mts", ".m2t"].iter().any(|end| path.to_ascii_lowercase().ends_with(end));
    let dotted = rest.split('/').any(|part| part == "..");
    if rest.starts_with('/') && !rest.starts_with("//") && is_ts(rest) && !dotted && !rest.contains(['?', '%', '#']) {
        return Ok(as_it_is(format!("file:{rest}")));
    }
    Err(VOD)
}

/// An address for people and logs. A group is shown whole. Of others what follows the host is shown only where no key
/// can stand there: an ending such as `/NAME/mpegts` of a Flussonic, or the last part of a file's name.
#[must_use]
pub fn label(text: &str) -> String {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let known = scheme.len() <= 12 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !known || scheme.is_empty() {
        return "an address".to_owned();
    }
    let rest = rest.trim_start_matches('/');
    let bare = rest.split(['?', '#']).next().unwrap_or_default();
    match scheme {
        "udp" | "udp1" | "udp2" | "udp3" | "rtp" | "mpts-udp" | "dvb" | "file" => {
            let asked = if bare.len() < rest.len() && scheme != "dvb" { "?…" } else { "" };
            let slash = if matches!(scheme, "file") { "/" } else { "//" };
            let shown = if scheme == "dvb" { rest } else { bare };
            format!("{scheme}:{slash}{shown}{asked}")
        }
        _ => {
            let asked = if bare.len() < rest.len() { "?…" } else { "" };
            let (authority, path) = bare.split_once('/').unwrap_or((bare, ""));
            // A password may hold a slash; then what looks like the host is a part of it.
            let host = if bare.contains('@') { "…" } else { authority };
            let shown = match path {
                "" => String::new(),
                path if harmless(path) => format!("/{path}"),
                _ => "/…".to_owned(),
            };
            format!("{scheme}://{host}{shown}{asked}")
        }
    }
}

/// Whether a path is a stream's name and its MPEG-TS: at most three parts, none long enough or odd enough to be a key.
fn harmless(path: &str) -> bool {
    let Some(name) = path.strip_suffix("/mpegts") else { return false };
    let short = |part: &str| {
        part.len() <= 24 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte))
    };
    name.split('/').count() <= 2 && name.split('/').all(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, &str>) {
        let got = playable(text).map(|found| {
            let service = found.service.map(|service| format!(" service {service}")).unwrap_or_default();
            let multiplex = if found.multiplex { " multiplex" } else { "" };
            format!("{}{service}{multiplex}", found.url)
        });
        assert_eq!(got.as_deref().map_err(|why| *why), want, "{text}");
    }

    #[test]
    fn what_nodes_play() {
        check("udp://239.1.1.1:5000", Ok("udp://239.1.1.1:5000"));
        check("UDP://239.1.1.1:5000", Ok("udp://239.1.1.1:5000"));
        check("udp2://239.1.1.1:5000/10.0.0.5", Ok("udp://10.0.0.5@239.1.1.1:5000"));
        check("udp://239.1.1.1:5000/eth2.100", Ok("udp://eth2.100@239.1.1.1:5000"));
        check("rtp://eth1@239.1.1.1:5000", Ok("rtp://eth1@239.1.1.1:5000"));
        check("udp://[ff15::1]:5000", Ok("udp://[ff15::1]:5000"));
        check("udp://:5000", Ok("udp://0.0.0.0:5000"));
        check("mpts-udp://239.1.1.1:5000?programs=2001", Ok("udp://239.1.1.1:5000 service 2001 multiplex"));
        check("tshttp://10.0.0.9:8080/lagon/mpegts?token=abc", Ok("http://10.0.0.9:8080/lagon/mpegts?token=abc"));
        check("tshttps://head.example/x.ts#frag", Ok("https://head.example/x.ts"));
        check("tshttp://[2001:db8::9]:8080/x.ts", Ok("http://[2001:db8::9]:8080/x.ts"));
        check("http://10.0.0.9/x.ts", Ok("http://10.0.0.9/x.ts"));
        check("file:///srv/clips/loop.ts", Ok("file:/srv/clips/loop.ts"));
    }

    #[test]
    fn what_they_do_not_play_says_why() {
        check("udp://", Err(HOST));
        check("udp://head.example:5000", Err(HOST));
        check("udp://239.1.1.1", Err(HOST));
        check("udp://239.1.1.1:0", Err(HOST));
        check("udp://239.1.1.1:+5", Err(HOST));
        check("udp://239.1.1.1:5000?fec=1", Err(OPTIONS));
        check("udp://eth1@239.1.1.1:5000/eth2", Err("an interface is named twice; keep one"));
        check("udp://a b@239.1.1.1:5000", Err("its interface is neither a name such as eth1 nor an IP address"));
        check("tshttp://user:word@10.0.0.9/x", Err(CREDENTIALS));
        check("tshttp://", Err(HTTP));
        check("tshttp:///x", Err(HTTP));
        check("tshttp://head.example:0/x", Err(HTTP));
        check("tshttp://user:wo/rd@10.0.0.9/x", Err(HTTP));
        check("http://10.0.0.9/live/index.m3u8?x=1", Err(HLS));
        check("hls://10.0.0.9/live/index.m3u8", Err(HLS));
        check("file://vod/x.mp4", Err(VOD));
        check("file:///srv/../etc/x.ts", Err(VOD));
        check("m4f://10.0.0.9/lagon", Err(SIBLING));
        check("publish://", Err(PUSHED));
        check("239.1.1.1:5000", Err("no address; write SCHEME://…"));
        check("gopher://x", Err("its scheme is not known here; nodes play udp, rtp, tshttp, tshttps, file and dvb"));
        check(&format!("tshttp://10.0.0.9/{}", "x".repeat(200)), Err(LONG));
        check("tshttp://10.0.0.9/é", Err(LONG));
    }

    #[test]
    fn a_label_shows_no_secret() {
        for (text, want) in [
            ("udp://eth1@239.1.1.1:5000?x=1", "udp://eth1@239.1.1.1:5000?…"),
            ("http://10.0.0.9:8080/lagon/mpegts?token=hidden", "http://10.0.0.9:8080/lagon/mpegts?…"),
            ("http://10.0.0.9/live/hidden/word/7.ts", "http://10.0.0.9/…"),
            ("http://10.0.0.9/5f4dcc3b5aa765d61d8327deb882cf99/mpegts", "http://10.0.0.9/…"),
            ("rtmp://a.example/live2/hidden-key", "rtmp://a.example/…"),
            ("tshttp://user:hidden@10.0.0.9/x", "tshttp://…/…"),
            ("tshttp://user:hid/den@10.0.0.9/x", "tshttp://…/…"),
            ("srt://h:1?passphrase=hidden", "srt://h:1?…"),
            ("file:/srv/x.ts", "file:/srv/x.ts"),
            ("hidden", "an address"),
            ("hid den:x", "an address"),
        ] {
            assert_eq!(label(text), want);
        }
    }
}
