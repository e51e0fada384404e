//! The controller's configuration: the file as typed, and the checked form the program uses.
//!
//! It holds what an operator sets at the machine: names, addresses, folders, who is sent where. Subscribers,
//! channels and nodes are in the store and come over the REST API. Nothing is bound or written here; `check-config`
//! runs the very same code. The example is `systemd/controller.toml`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use headend_failover::{ProbeRules, SoakRules};
use headend_rt::{
    config::{self, ConfigError, Loaded, Network, Override, Source},
    link::BrokerUrl,
    tls::Identity,
};
use headend_wire::SiteName;
use serde::Deserialize;

use crate::domain::AudienceName;

/// Where the configuration lies unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/headend/controller.toml";
/// Most audiences.
const AUDIENCES_MAX: usize = 64;
/// Most addresses of the lookout.
const LOOKOUT_MAX: usize = 16;
/// Most networks of existing servers.
const SERVERS_MAX: usize = 64;

/// The file as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    site: SiteName,
    #[serde(default = "controller_name")]
    name: String,
    #[serde(default = "state_dir")]
    state_dir: PathBuf,
    #[serde(default)]
    http: HttpFile,
    #[serde(default)]
    fleet: FleetFile,
    #[serde(default)]
    mqtt: MqttFile,
    #[serde(default)]
    policy: PolicyFile,
    #[serde(default)]
    audiences: BTreeMap<AudienceName, AudienceFile>,
    #[serde(default)]
    keys: KeysFile,
    #[serde(default)]
    flussonic: FlussonicFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpFile {
    listen: SocketAddr,
    public_url: Option<String>,
    clients_max: usize,
    clients_per_address_max: Option<usize>,
    tls: Option<TlsFile>,
}

impl Default for HttpFile {
    fn default() -> Self {
        Self { listen: loopback(8080), public_url: None, clients_max: 20_000, clients_per_address_max: None, tls: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FleetFile {
    listen: SocketAddr,
    public_url: Option<String>,
}

impl Default for FleetFile {
    fn default() -> Self {
        Self { listen: loopback(8443), public_url: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MqttFile {
    listen: SocketAddr,
    url: Option<String>,
    tls: Option<MqttTlsFile>,
}

impl Default for MqttFile {
    fn default() -> Self {
        Self { listen: loopback(1883), url: None, tls: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MqttTlsFile {
    authority: PathBuf,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    failures_to_down: u8,
    soak_secs: u64,
    lookout: Vec<SocketAddr>,
}

impl Default for PolicyFile {
    fn default() -> Self {
        let rules = ProbeRules::default();
        Self { failures_to_down: rules.failures_to_down, soak_secs: rules.soak.soak_ms / 1_000, lookout: vec![] }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AudienceFile {
    origins: Vec<SiteName>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeysFile {
    served_by: KeyServer,
    url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FlussonicFile {
    servers: Vec<Network>,
}

/// Who gives content keys to players.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyServer {
    /// This controller: a viewer whose tariff ends loses the next key.
    #[default]
    Controller,
    /// The node that gives the playlist: the token decides until it expires.
    Node,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn controller_name() -> String {
    "controller".to_owned()
}

fn state_dir() -> PathBuf {
    PathBuf::from("/var/lib/headend")
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The site this controller stands at.
    pub site: SiteName,
    /// This controller, unique among the clients of its broker.
    pub name: String,
    /// Store, keys, anchors, copies.
    pub state_dir: PathBuf,
    /// Boxes, pages, REST, keys.
    pub http: Http,
    /// Nodes, over mutual TLS.
    pub fleet: Fleet,
    /// The broker.
    pub mqtt: Mqtt,
    /// When an origin is down and up.
    pub probe_rules: ProbeRules,
    /// Addresses that tell whether this controller sees anything; none: it is never taken for cut off.
    pub lookout: Vec<SocketAddr>,
    /// Sites in order of preference, by audience.
    pub audiences: BTreeMap<AudienceName, Vec<SiteName>>,
    /// Who gives content keys to players.
    pub key_server: KeyServer,
    /// Another address of the key server than [`Http::public_url`], without a trailing slash.
    pub key_url: Option<String>,
    /// Existing Flussonic servers that may ask who may watch.
    pub flussonic_servers: Vec<Network>,
}

/// The listener of boxes, pages and REST.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What playlists and nodes are told, without a trailing slash; none: the bound address.
    pub public_url: Option<String>,
    /// Connections at a time.
    pub clients_max: usize,
    /// Connections at a time from one address; none behind a proxy.
    pub clients_per_address_max: Option<usize>,
    /// Certificate and key, PEM files; none: plain HTTP.
    pub tls: Option<Identity>,
}

/// The listener of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What nodes call it, `https://…` without a trailing slash; none: the bound address.
    pub public_url: Option<String>,
}

/// Which broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mqtt {
    /// Ours, on this loopback address; port 0 takes a free one.
    Embedded(SocketAddr),
    /// Another.
    At {
        /// Its address.
        url: BrokerUrl,
        /// Its authority, and our certificate and key where it asks for one; PEM files.
        tls: Option<(PathBuf, Option<Identity>)>,
    },
}

/// A configuration, and the keys that a later file replaced.
#[derive(Debug)]
pub struct Checked {
    /// What the program uses.
    pub config: Config,
    /// For `check-config` to tell.
    pub overrides: Vec<Override>,
}

/// Reads and checks the configuration; binds nothing and writes nothing.
///
/// # Errors
/// [`ConfigError`] names file, line and key, and what would be right.
pub fn load(path: &Path) -> Result<Checked, ConfigError> {
    check(config::load(path)?)
}

/// The pure part of [`load`]: texts in, configuration out.
///
/// # Errors
/// As [`load`].
pub fn parse(sources: Vec<Source>) -> Result<Checked, ConfigError> {
    check(config::parse(sources)?)
}

/// A key and what is wrong with it.
type Wrong = (String, String);

fn wrong<T>(key: &str, text: impl Into<String>) -> Result<T, Wrong> {
    Err((key.to_owned(), text.into()))
}

fn check(loaded: Loaded<File>) -> Result<Checked, ConfigError> {
    let Loaded { config: file, places, overrides } = loaded;
    let config = checked(file).map_err(|(key, text)| places.refuse(&key, &text))?;
    Ok(Checked { config, overrides })
}

fn checked(file: File) -> Result<Config, Wrong> {
    if !(1..=60).contains(&file.name.len())
        || !file.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        return wrong("name", "must have 1 to 60 letters, digits and - _ .");
    }
    if !file.state_dir.is_absolute() {
        return wrong("state_dir", "must be a path from the root, such as /var/lib/headend");
    }
    let HttpFile { listen, public_url, clients_max, clients_per_address_max, tls } = file.http;
    if !(16..=1_000_000).contains(&clients_max) {
        return wrong("http.clients_max", "must be from 16 to 1000000");
    }
    if clients_per_address_max == Some(0) {
        return wrong("http.clients_per_address_max", "must be 1 or more; leave it out for no limit");
    }
    let tls = tls.map(|TlsFile { cert, key }| Identity { cert, key });
    let public_url = public_url.map(|url| address("http.public_url", &url, &["http", "https"])).transpose()?;
    let http = Http { listen, public_url, clients_max, clients_per_address_max, tls };
    let FleetFile { listen, public_url } = file.fleet;
    let public_url = public_url.map(|url| address("fleet.public_url", &url, &["https"])).transpose()?;
    if file.flussonic.servers.len() > SERVERS_MAX {
        return wrong("flussonic.servers", format!("has more than {SERVERS_MAX} networks"));
    }
    Ok(Config {
        site: file.site,
        name: file.name,
        state_dir: file.state_dir,
        http,
        fleet: Fleet { listen, public_url },
        mqtt: mqtt(file.mqtt)?,
        lookout: lookout(&file.policy)?,
        probe_rules: probe_rules(&file.policy)?,
        audiences: audiences(file.audiences)?,
        key_server: file.keys.served_by,
        key_url: file.keys.url.map(|url| address("keys.url", &url, &["http", "https"])).transpose()?,
        flussonic_servers: file.flussonic.servers,
    })
}

/// An address of a server, without its trailing slash.
fn address(key: &str, url: &str, schemes: &[&str]) -> Result<String, Wrong> {
    let url = url.trim_end_matches('/');
    let example = schemes.last().copied().unwrap_or("https");
    let rest = url.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)).map(|(_, rest)| rest);
    let plain = |rest: &str| {
        let good = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\?#@".contains(&byte);
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(good)
    };
    match rest.filter(|rest| plain(rest)) {
        Some(_) => Ok(url.to_owned()),
        None => wrong(key, format!("must be an address such as {example}://tv.example.net, without query or user")),
    }
}

fn mqtt(file: MqttFile) -> Result<Mqtt, Wrong> {
    let Some(url) = file.url else {
        if file.tls.is_some() {
            return wrong("mqtt.tls", "is for a broker named in mqtt.url; the embedded one listens on loopback only");
        }
        if !file.listen.ip().is_loopback() {
            return wrong("mqtt.listen", "must be a loopback address; for others name a Mosquitto in mqtt.url");
        }
        return Ok(Mqtt::Embedded(file.listen));
    };
    let url: BrokerUrl = match url.parse() {
        Ok(url) => url,
        Err(error) => return wrong("mqtt.url", format!("cannot be used: {error}")),
    };
    let tls = match (url.tls, file.tls) {
        (true, None) => return wrong("mqtt.url", "begins with mqtts, so mqtt.tls must name the broker's authority"),
        (false, Some(_)) => return wrong("mqtt.tls", "is of no use with an address that begins with mqtt://"),
        (_, None) => None,
        (_, Some(MqttTlsFile { authority, cert, key })) => match (cert, key) {
            (Some(cert), Some(key)) => Some((authority, Some(Identity { cert, key }))),
            (None, None) => Some((authority, None)),
            _ => return wrong("mqtt.tls", "needs both cert and key, or neither"),
        },
    };
    Ok(Mqtt::At { url, tls })
}

fn probe_rules(file: &PolicyFile) -> Result<ProbeRules, Wrong> {
    if !(1..=20).contains(&file.failures_to_down) {
        return wrong("policy.failures_to_down", "must be from 1 to 20");
    }
    if !(1..=86_400).contains(&file.soak_secs) {
        return wrong("policy.soak_secs", "must be from 1 to 86400");
    }
    let soak_ms = file.soak_secs * 1_000;
    let soak = SoakRules::default();
    // Relapses double the soak up to eight times its first length, within the day that a policy allows.
    let soak = SoakRules { soak_ms, soak_max_ms: (soak_ms * 8).min(86_400_000), relapse_ms: soak.relapse_ms };
    Ok(ProbeRules { failures_to_down: file.failures_to_down, soak, ..ProbeRules::default() })
}

fn lookout(file: &PolicyFile) -> Result<Vec<SocketAddr>, Wrong> {
    if file.lookout.len() > LOOKOUT_MAX {
        return wrong("policy.lookout", format!("has {} addresses; {LOOKOUT_MAX} are enough", file.lookout.len()));
    }
    Ok(file.lookout.clone())
}

fn audiences(file: BTreeMap<AudienceName, AudienceFile>) -> Result<BTreeMap<AudienceName, Vec<SiteName>>, Wrong> {
    if file.len() > AUDIENCES_MAX {
        return wrong("audiences", format!("has {} tables; use {AUDIENCES_MAX} at most", file.len()));
    }
    let mut audiences = BTreeMap::new();
    for (name, AudienceFile { origins }) in file {
        let key = format!("audiences.{name}.origins");
        if origins.is_empty() {
            return wrong(&key, "must name a site; leave the audience out for the default order");
        }
        if origins.iter().enumerate().any(|(at, site)| origins[..at].contains(site)) {
            return wrong(&key, "names a site twice");
        }
        audiences.insert(name, origins);
    }
    Ok(audiences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let source = Source { path: "c.toml".into(), text: text.to_owned() };
        parse(vec![source]).map(|checked| checked.config).map_err(|error| headend_rt::chain(&error))
    }

    #[test]
    fn the_example_names_every_key_and_is_the_default() {
        let text = include_str!("../../systemd/controller.toml");
        let example = read(text).unwrap();
        let default = read("site = \"caribbean\"").unwrap();
        assert_eq!(example.http.listen, default.http.listen);
        assert_eq!(example.fleet.listen, default.fleet.listen);
        assert!(matches!(default.mqtt, Mqtt::Embedded(address) if address == loopback(1883)));
        assert_eq!(example.probe_rules, default.probe_rules);
        assert_eq!(example.key_server, KeyServer::Controller);
        // What is only shown must be right as well.
        let uncommented: String =
            text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).flat_map(|line| [line, "\n"]).collect();
        let full = read(&uncommented).unwrap();
        assert!(full.http.tls.is_some() && full.key_url.is_some() && full.lookout.len() == 2);
        assert!(matches!(full.mqtt, Mqtt::At { tls: Some((_, Some(_))), .. }));
        let order = &full.audiences[&"martinique".parse().unwrap()];
        assert_eq!(order.iter().map(SiteName::as_str).collect::<Vec<_>>(), ["caribbean", "france"]);
    }

    #[track_caller]
    fn check_refused(lines: &str, expected: &str) {
        assert_eq!(read(&format!("site = \"caribbean\"\n{lines}")).unwrap_err(), expected);
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        check_refused("[htp]", "c.toml:2: unknown key `htp` at the top level; did you mean `http`?");
        check_refused("[http]\nlisten = \"8080\"", "c.toml:3: `listen` in [http]: invalid socket address syntax");
        check_refused(
            "state_dir = \"var\"",
            "c.toml:2: `state_dir` must be a path from the root, such as /var/lib/headend",
        );
        check_refused(
            "[http]\npublic_url = \"tv.example.net\"",
            "c.toml:3: `http.public_url` must be an address such as https://tv.example.net, without query or user",
        );
        check_refused(
            "[mqtt]\nlisten = \"0.0.0.0:1883\"",
            "c.toml:3: `mqtt.listen` must be a loopback address; for others name a Mosquitto in mqtt.url",
        );
        check_refused(
            "[mqtt]\nurl = \"mqtts://broker\"",
            "c.toml:3: `mqtt.url` begins with mqtts, so mqtt.tls must name the broker's authority",
        );
        check_refused(
            "[audiences.miami]\norigins = []",
            "c.toml:3: `audiences.miami.origins` must name a site; leave the audience out for the default order",
        );
        check_refused(
            "[keys]\nserved_by = \"nod\"",
            "c.toml:3: unknown value `nod` for `served_by` in [keys]; did you mean `node`?",
        );
        check_refused("[policy]\nfailures_to_down = 0", "c.toml:3: `policy.failures_to_down` must be from 1 to 20");
    }

    #[test]
    fn a_trailing_slash_is_no_matter() {
        let config = read("site = \"x\"\n[http]\npublic_url = \"https://tv.example.net/\"").unwrap();
        assert_eq!(config.http.public_url.as_deref(), Some("https://tv.example.net"));
    }
}
