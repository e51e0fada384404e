//! Source addresses as operators type them, and their one canonical spelling.
//!
//! `file:/srv/clip.ts` (or a plain path), `udp://eth1@239.1.1.1:5000`, `rtp://…`, `http://…`, `https://…`, and
//! `dvb://astra?system=s2&frequency=11538MHz&…` ([`super::tuner::mux`]).
//! Pure: text in, [`SourceAddress`] or a sentence that says what is wrong and what would be right out. It opens
//! nothing and resolves no names. The configuration and the desired state are read through it; [`super::set`] keys
//! inputs by it. `Display` and `FromStr` round trip. URLs follow RFC 3986; the `interface@group` form is that of
//! dvblast and VLC, where a leading lone `@` means "no interface named".
//!
//! Options follow `?` for files and groups. For HTTP the query belongs to the server asked, so ours follow `#`,
//! which is never sent (RFC 3986 §3.5): `http://peer:8081/france24/mpegts?x=1#service=257`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use reqwest::Url;

use super::tuner::mux::{DvbFeed, MuxError};

/// The most bytes an address may have; a longer one is a pasting accident.
pub const ADDRESS_BYTES_MAX: usize = 2048;

/// The longest name Linux gives a network interface (`IFNAMSIZ` less its NUL).
const INTERFACE_BYTES_MAX: usize = 15;

/// Query parameters whose values are secrets and are masked by [`SourceAddress::label`].
const SECRET_PARAMETERS: [&str; 8] = ["token", "auth", "key", "pass", "password", "secret", "sig", "signature"];

/// Where a transport stream comes from, and which service of it is meant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceAddress {
    /// How the bytes get here. Inputs are shared by this part: two channels of one mux differ in `service` alone.
    pub feed: Feed,
    /// `program_number` of the wanted service, 1..=65535; `None` takes the lowest-numbered one of the stream.
    pub service: Option<u16>,
}

/// The feed part of an address: one open input per value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feed {
    /// A recorded transport stream, played in a loop; the path is as typed, absolute or relative.
    File(String),
    /// Datagrams to a group or to an address of this machine.
    Udp(UdpFeed),
    /// Endless HTTP body with a transport stream.
    Http(HttpFeed),
    /// A multiplex off the air.
    Dvb(DvbFeed),
}

/// A UDP or RTP receiver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UdpFeed {
    /// Typed as `rtp://`. Both framings are recognised either way; this only keeps the operator's word.
    pub rtp: bool,
    /// Multicast group, or the local address to listen on (`0.0.0.0` and `::` mean all).
    pub address: IpAddr,
    /// Port, 1..=65535 when typed; 0 (only from code) lets the system choose one.
    pub port: u16,
    /// Interface to join a group on; `None` leaves it to the routing table.
    pub interface: Option<Interface>,
}

/// A network interface by name or by one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interface {
    /// `eth1`, `vlan20`, …
    Name(String),
    /// One of the interface's own addresses.
    Address(IpAddr),
}

/// An HTTP source.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpFeed {
    /// The URL asked for, with its query, without our `#` options and without a user or password.
    pub url: Url,
    /// File with a token sent as `Authorization: Bearer`.
    pub bearer_file: Option<String>,
    /// File with a token added to the query as `token=`, as our own nodes and Flussonic take it.
    pub token_file: Option<String>,
    /// PEM file with the only certificate authorities to trust; the system's when absent.
    pub ca_file: Option<String>,
}

/// Why a text is not a source address. Messages say what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing was typed.
    #[error("address is empty: write for example udp://239.1.1.1:5000, http://host/name/mpegts or file:/path.ts")]
    Empty,
    /// Longer than [`ADDRESS_BYTES_MAX`].
    #[error("address has {0} bytes, more than the {ADDRESS_BYTES_MAX} allowed")]
    TooLong(usize),
    /// A control character or a blank at a place where none can be.
    #[error("address holds a control character or a blank at byte {0}: remove it, or write it as %20 in a file path")]
    BadCharacter(usize),
    /// A multiplex that is not described as it must be.
    #[error(transparent)]
    Dvb(#[from] MuxError),
    /// Not a scheme we open.
    #[error("scheme {0:?} is not known: use file:, udp://, rtp://, http://, https:// or dvb://")]
    Scheme(String),
    /// `file:` with no path of this machine behind it.
    #[error("file address names no file of this machine: write file:/path/name.ts")]
    NoPath,
    /// A `%` that is not followed by two hexadecimal digits, or does not spell UTF-8.
    #[error("{0:?} has a bad %-escape: write a plain % as %25")]
    Escape(String),
    /// The part before `:port` is no IP address.
    #[error(
        "{0:?} is not an IP address: write the group's address, as in udp://239.1.1.1:5000 or udp://[ff15::1]:5000"
    )]
    Group(String),
    /// No port, or not a number of 1..=65535.
    #[error("port {0:?} is not a number from 1 to 65535: write it after the group, as in 239.1.1.1:5000")]
    Port(String),
    /// Not an interface name nor an address.
    #[error("interface {0:?} is neither a name of up to 15 characters such as eth1 nor an IP address")]
    Interface(String),
    /// Given before `@` and again as an option.
    #[error("interface is given twice: keep either eth1@ or ?interface=eth1")]
    InterfaceTwice,
    /// Something follows the port that is not an option.
    #[error("{0:?} after the port is not understood: options follow a question mark")]
    Trailing(String),
    /// An option this kind of address does not have.
    #[error("option {name:?} is not known here: {known}")]
    Option {
        /// The option as typed.
        name: String,
        /// Which options would be right.
        known: &'static str,
    },
    /// The same option twice.
    #[error("option {0:?} is given twice")]
    OptionTwice(String),
    /// Not a `program_number`.
    #[error("service {0:?} is not a number from 1 to 65535")]
    Service(String),
    /// The URL parser refused it; the text is its reason.
    #[error("URL is not valid ({0}): write http://host:port/path")]
    Url(String),
    /// A password in the address would end in logs and reports.
    #[error(
        "address holds a user or password: put the token in a file and add #bearer_file=/path or #token_file=/path"
    )]
    Credentials,
}

impl SourceAddress {
    /// The address for logs, reports and the technician's page: values of secret-looking query parameters masked.
    #[must_use]
    pub fn label(&self) -> String {
        self.text(true)
    }

    fn text(&self, masked: bool) -> String {
        let mut options: Vec<(&str, String)> = Vec::new();
        let head = match &self.feed {
            // A path that starts with two slashes needs an empty authority before it, or it would be taken for one.
            Feed::File(path) if path.starts_with("//") => format!("file://{}", escape(path)),
            Feed::File(path) => format!("file:{}", escape(path)),
            Feed::Udp(udp) => udp.to_string(),
            Feed::Dvb(dvb) => dvb.to_string(),
            Feed::Http(http) => {
                let files =
                    [("bearer_file", &http.bearer_file), ("token_file", &http.token_file), ("ca_file", &http.ca_file)];
                options.extend(files.into_iter().filter_map(|(name, file)| Some((name, escape(file.as_ref()?)))));
                if masked { masked_url(&http.url).to_string() } else { http.url.to_string() }
            }
        };
        options.extend(self.service.map(|service| ("service", service.to_string())));
        let mark = match self.feed {
            Feed::Http(_) => '#',
            Feed::Dvb(_) => '&',
            Feed::File(_) | Feed::Udp(_) => '?',
        };
        let mut text = head;
        for (index, (name, value)) in options.iter().enumerate() {
            text.push(if index == 0 { mark } else { '&' });
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }
}

impl Feed {
    /// The feed for logs and reports, secrets masked.
    #[must_use]
    pub fn label(&self) -> String {
        SourceAddress { feed: self.clone(), service: None }.label()
    }

    /// The feed as inputs are keyed by it: of a multiplex whatever its priority.
    #[must_use]
    pub fn shared(&self) -> Self {
        match self {
            Self::Dvb(dvb) => Self::Dvb(dvb.shared()),
            other => other.clone(),
        }
    }

    /// One word for what kind of feed it is: `file`, `udp`, `rtp`, `http` or `dvb`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Udp(udp) if udp.rtp => "rtp",
            Self::Udp(_) => "udp",
            Self::Http(_) => "http",
            Self::Dvb(_) => "dvb",
        }
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

impl fmt::Debug for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl fmt::Debug for HttpFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(masked_url(&self.url).as_str())
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for UdpFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.rtp { "rtp://" } else { "udp://" })?;
        if let Some(interface) = &self.interface {
            write!(f, "{interface}@")?;
        }
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

impl FromStr for SourceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong(text.len()));
        }
        if let Some(at) = text.find(|c: char| c.is_control()) {
            return Err(AddressError::BadCharacter(at));
        }
        // A plain path is taken letter for letter: it may hold `?`, `%` and blanks, and has no options.
        if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
            let path = Some(text.to_owned()).filter(|path| !path.ends_with('/')).ok_or(AddressError::NoPath)?;
            return Ok(Self { feed: Feed::File(path), service: None });
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(AddressError::Scheme(text.to_owned()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => parse_file(rest),
            "http" | "https" => parse_http(text),
            "udp" => parse_udp(rest, false),
            "rtp" => parse_udp(rest, true),
            "dvb" => parse_dvb(rest),
            _ => Err(AddressError::Scheme(scheme.to_owned())),
        }
    }
}

fn parse_file(rest: &str) -> Result<SourceAddress, AddressError> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    // RFC 8089 writes file:///path or file://localhost/path; the short file:/path is equal to them.
    let path = match path.strip_prefix("//") {
        Some(after) => {
            let local = after.strip_prefix("localhost").unwrap_or(after);
            Some(local).filter(|path| path.starts_with('/')).ok_or(AddressError::NoPath)?
        }
        None => path,
    };
    let path = unescape(path)?;
    if path.is_empty() || path.ends_with('/') {
        return Err(AddressError::NoPath);
    }
    let mut service = None;
    for (name, value) in options_of(options)? {
        match name {
            "service" => service = Some(parse_service(value)?),
            _ => return Err(unknown(name, "files take service")),
        }
    }
    Ok(SourceAddress { feed: Feed::File(path), service })
}

fn parse_udp(rest: &str, rtp: bool) -> Result<SourceAddress, AddressError> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if let Some(at) = rest.find(char::is_whitespace) {
        return Err(AddressError::BadCharacter(at));
    }
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let place = place.strip_suffix('/').unwrap_or(place);
    let (interface, group) = match place.rsplit_once('@') {
        Some(("", group)) => (None, group),
        Some((interface, group)) => (Some(parse_interface(interface)?), group),
        None => (None, place),
    };
    let (address, port) = parse_group(group)?;
    let (mut service, mut optional_interface) = (None, None);
    for (name, value) in options_of(options)? {
        match name {
            "service" => service = Some(parse_service(value)?),
            "interface" => optional_interface = Some(parse_interface(value)?),
            _ => return Err(unknown(name, "udp and rtp take interface and service")),
        }
    }
    if interface.is_some() && optional_interface.is_some() {
        return Err(AddressError::InterfaceTwice);
    }
    let feed = Feed::Udp(UdpFeed { rtp, address, port, interface: interface.or(optional_interface) });
    Ok(SourceAddress { feed, service })
}

fn parse_dvb(rest: &str) -> Result<SourceAddress, AddressError> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if let Some(at) = rest.find(char::is_whitespace) {
        return Err(AddressError::BadCharacter(at));
    }
    let (antenna, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut service, mut others) = (None, vec![]);
    for (name, value) in options_of(options)? {
        match name {
            "service" => service = Some(parse_service(value)?),
            _ => others.push((name, value)),
        }
    }
    Ok(SourceAddress { feed: Feed::Dvb(DvbFeed::parse(antenna, &others)?), service })
}

/// `239.1.1.1:5000`, `[ff15::1]:5000`, or `:5000` for every address of the machine.
fn parse_group(group: &str) -> Result<(IpAddr, u16), AddressError> {
    let (host, port) = match group.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, after)) => {
            let address = host.parse::<Ipv6Addr>().map_err(|_| AddressError::Group(host.to_owned()))?;
            let port = after.strip_prefix(':').ok_or_else(|| AddressError::Port(after.to_owned()))?;
            (IpAddr::V6(address), port)
        }
        None => {
            let (host, port) = group.rsplit_once(':').ok_or_else(|| match group.parse::<IpAddr>() {
                Ok(_) => AddressError::Port(String::new()),
                Err(_) => AddressError::Group(group.to_owned()),
            })?;
            let address = match host {
                "" => Ipv4Addr::UNSPECIFIED,
                _ => host.parse().map_err(|_| AddressError::Group(host.to_owned()))?,
            };
            (IpAddr::V4(address), port)
        }
    };
    if let Some((_, trailing)) = port.split_once('/') {
        return Err(AddressError::Trailing(format!("/{trailing}")));
    }
    let all_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if number > 0 && all_digits => Ok((host, number)),
        _ => Err(AddressError::Port(port.to_owned())),
    }
}

fn parse_interface(text: &str) -> Result<Interface, AddressError> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(Interface::Address(address));
    }
    let fits = (1..=INTERFACE_BYTES_MAX).contains(&text.len());
    let clean = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if fits && clean && text != "." && text != ".." {
        return Ok(Interface::Name(text.to_owned()));
    }
    Err(AddressError::Interface(text.to_owned()))
}

fn parse_http(text: &str) -> Result<SourceAddress, AddressError> {
    if let Some(at) = text.find(char::is_whitespace) {
        return Err(AddressError::BadCharacter(at));
    }
    let (address, options) = text.split_once('#').unwrap_or((text, ""));
    let url = Url::parse(address).map_err(|error| AddressError::Url(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Credentials);
    }
    let mut feed = HttpFeed { url, bearer_file: None, token_file: None, ca_file: None };
    let mut service = None;
    for (name, value) in options_of(options)? {
        match name {
            "service" => service = Some(parse_service(value)?),
            "bearer_file" => feed.bearer_file = Some(unescape(value)?),
            "token_file" => feed.token_file = Some(unescape(value)?),
            "ca_file" => feed.ca_file = Some(unescape(value)?),
            _ => {
                return Err(unknown(name, "behind # http takes bearer_file, token_file, ca_file and service"));
            }
        }
    }
    Ok(SourceAddress { feed: Feed::Http(feed), service })
}

/// Splits `a=1&b=2`; an option twice is an error because either value would surprise somebody.
fn options_of(text: &str) -> Result<Vec<(&str, &str)>, AddressError> {
    let mut options: Vec<(&str, &str)> = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if options.iter().any(|(seen, _)| *seen == name) {
            return Err(AddressError::OptionTwice(name.to_owned()));
        }
        options.push((name, value));
    }
    Ok(options)
}

fn unknown(name: &str, known: &'static str) -> AddressError {
    AddressError::Option { name: name.to_owned(), known }
}

fn parse_service(text: &str) -> Result<u16, AddressError> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&service| service > 0 && all_digits).ok_or_else(|| AddressError::Service(text.to_owned()))
}

/// Escapes what would end the path or start an option, and blanks at the ends, which parsing trims.
fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '%' | '?' | '#' | '&' | ' ' => text.push_str(&format!("%{:02X}", u32::from(c))),
            c if c.is_whitespace() => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
            }
            c => text.push(c),
        }
    }
    text
}

fn unescape(text: &str) -> Result<String, AddressError> {
    let bad = || AddressError::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(bad)?;
        rest = after;
        let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
        let value = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        // A NUL or a line end in a path is an attack or an accident, and the kernel refuses the first anyway.
        if value.is_ascii_control() || digits.starts_with('+') {
            return Err(bad());
        }
        bytes.push(value);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

fn masked_url(url: &Url) -> Url {
    let mut masked = url.clone();
    let secret = |name: &str| SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str());
    if url.query_pairs().any(|(name, _)| secret(&name)) {
        let pairs =
            url.query_pairs().map(|(name, value)| if secret(&name) { (name, "***".into()) } else { (name, value) });
        masked.query_pairs_mut().clear().extend_pairs(pairs);
    }
    masked
}

#[cfg(test)]
mod tests;
