//! The node's configuration: the file as typed, and the checked form the program uses.
//!
//! What a node plays is not in here: it comes as desired state from its controller. The file holds what a
//! technician sets at the box: names, addresses, folders. `check-config` runs the very same code.

mod archive;
mod biss;
mod cams;
mod cards;
mod viewing;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use headend_rt::config::{self, ConfigError, Network};
use headend_wire::{NodeName, SiteName};
use serde::Deserialize;

use crate::{
    cam::CamSpec,
    input::tuner::inventory::{AntennaFile, Inventory, TunerFile},
};

pub use archive::ArchiveConfig;
pub use biss::BissConfig;
pub use cards::{CardConfig, CardProfileConfig};
pub use viewing::{ViewingConfig, ViewingKeeper, ViewingList};

/// Where the configuration lies unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/headend/node.toml";

/// The file as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    site: SiteName,
    name: NodeName,
    #[serde(default = "state_dir")]
    state_dir: PathBuf,
    #[serde(default)]
    http: HttpFile,
    controller: ControllerFile,
    #[serde(default)]
    mqtt: MqttFile,
    #[serde(default)]
    input: InputFile,
    #[serde(default)]
    archive: archive::ArchiveFile,
    #[serde(default)]
    antenna: Vec<AntennaFile>,
    #[serde(default)]
    tuner: Vec<TunerFile>,
    #[serde(default)]
    cards: Vec<cards::CardFile>,
    #[serde(default)]
    biss: Vec<biss::BissFile>,
    #[serde(default)]
    cam: Vec<cams::CamFile>,
    #[serde(default)]
    viewing: Vec<viewing::ViewingFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpFile {
    listen: SocketAddr,
    public_url: Option<String>,
    clear_peers: Vec<IpAddr>,
    technicians: Vec<Network>,
    clients_max: usize,
    clients_per_address_max: usize,
    tls: Option<TlsFile>,
}

impl Default for HttpFile {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            public_url: None,
            clear_peers: vec![],
            technicians: vec![],
            clients_max: 10_000,
            clients_per_address_max: 2_000,
            tls: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ControllerFile {
    url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MqttFile {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InputFile {
    ring_bytes: usize,
    prove_every_s: u64,
}

impl Default for InputFile {
    fn default() -> Self {
        Self { ring_bytes: 8 << 20, prove_every_s: 600 }
    }
}

fn state_dir() -> PathBuf {
    PathBuf::from("/var/lib/headend")
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The site this box stands at.
    pub site: SiteName,
    /// This box.
    pub name: NodeName,
    /// Identity, keys, outbox, live window.
    pub state_dir: PathBuf,
    /// The listener.
    pub http: Http,
    /// Fleet interface of the controller, `https://…`, without a trailing slash.
    pub controller_url: String,
    /// A broker other than the one the controller named at enrolment.
    pub mqtt_url: Option<String>,
    /// Memory of each input's ring, bytes.
    pub ring_bytes: usize,
    /// How often each spare tuner is proved with each wanted multiplex; none: never.
    pub prove_every: Option<Duration>,
    /// Where channels are recorded.
    pub archive: ArchiveConfig,
    /// Tuners and what hangs on them.
    pub inventory: Inventory,
    /// The operator's cards, in the order in which they are asked.
    pub cards: Vec<CardConfig>,
    /// Session words of contribution feeds.
    pub biss: Vec<BissConfig>,
    /// CAMs in the common interfaces of tuner cards.
    pub cams: Vec<CamSpec>,
    /// Who decides about viewers besides our own tokens.
    pub viewing: Vec<ViewingConfig>,
}

/// The node's listener.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What viewers and probes are told, without a trailing slash; none: the bound address over plain HTTP.
    pub public_url: Option<String>,
    /// Peers that may take the clear HTTP-TS and the local captures, besides loopback.
    pub clear_peers: Vec<IpAddr>,
    /// Networks that see the technician's page and the status, besides loopback and [`Self::clear_peers`].
    pub technicians: Vec<Network>,
    /// Connections at a time.
    pub clients_max: usize,
    /// Connections at a time from one address.
    pub clients_per_address_max: usize,
    /// Certificate and key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Reads and checks the configuration; binds nothing and writes nothing.
///
/// # Errors
/// [`ConfigError`] names file, line and key, and what would be right.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let loaded = config::load::<File>(path)?;
    check(loaded.config).map_err(|(key, reason)| loaded.places.refuse(&key, &reason))
}

fn check(file: File) -> Result<Config, (Cow<'static, str>, String)> {
    let url = file.controller.url.trim_end_matches('/').to_owned();
    if !url.starts_with("https://") {
        let text = format!("is {url:?}; the fleet interface is mutual TLS, write https://HOST:8443");
        return Err(("controller.url".into(), text));
    }
    if let Some(mqtt) = &file.mqtt.url
        && !(mqtt.starts_with("mqtt://") || mqtt.starts_with("mqtts://"))
    {
        return Err(("mqtt.url".into(), format!("is {mqtt:?}; write mqtt://HOST:1883 or mqtts://HOST:8883")));
    }
    const RING_MIN: usize = 1 << 20;
    if file.input.ring_bytes < RING_MIN {
        return Err(("input.ring_bytes".into(), format!("is {}; at least {RING_MIN}", file.input.ring_bytes)));
    }
    const PROVE_S: std::ops::RangeInclusive<u64> = 5..=86_400;
    let prove_every_s = file.input.prove_every_s;
    if prove_every_s != 0 && !PROVE_S.contains(&prove_every_s) {
        return Err(("input.prove_every_s".into(), format!("is {prove_every_s}; write 0 for never, or 5 to 86400")));
    }
    let public_url = file.http.public_url.map(|url| url.trim_end_matches('/').to_owned());
    if let Some(public) = public_url.as_ref().filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        return Err(("http.public_url".into(), format!("is {public:?}; write http://HOST:PORT or https://HOST:PORT")));
    }
    let archive = archive::check(file.archive).map_err(|(key, reason)| (Cow::Borrowed(key), reason))?;
    let inventory =
        Inventory::check(&file.antenna, &file.tuner).map_err(|wrong| (Cow::Owned(wrong.key), wrong.text))?;
    let cards = cards::check(file.cards).map_err(|reason| ("cards".into(), reason))?;
    let biss = biss::check(file.biss).map_err(|reason| ("biss".into(), reason))?;
    let viewing = viewing::check(file.viewing).map_err(|(key, text)| (Cow::Owned(key), text))?;
    let cams = cams::check(&file.cam, &inventory).map_err(|(key, text)| (Cow::Owned(key), text))?;
    Ok(Config {
        site: file.site,
        name: file.name,
        state_dir: file.state_dir,
        http: Http {
            listen: file.http.listen,
            public_url,
            clear_peers: file.http.clear_peers,
            technicians: file.http.technicians,
            clients_max: file.http.clients_max,
            clients_per_address_max: file.http.clients_per_address_max,
            tls: file.http.tls.map(|tls| (tls.cert, tls.key)),
        },
        controller_url: url,
        mqtt_url: file.mqtt.url,
        ring_bytes: file.input.ring_bytes,
        prove_every: (prove_every_s != 0).then(|| Duration::from_secs(prove_every_s)),
        archive,
        inventory,
        cards,
        biss,
        cams,
        viewing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, want: &str) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("written");
        let got = load(&path).map_or_else(|error| error.to_string(), |config| config.name.to_string());
        assert_eq!(got.replace(folder.path().to_str().expect("UTF-8"), ""), want);
    }

    #[test]
    fn the_example_file_is_right() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/node.toml");
        let config = load(&path).expect("systemd/node.toml is right");
        assert_eq!(config.controller_url, "https://controller.example:8443");
    }

    #[test]
    fn the_tuners_of_the_example_are_right() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/node.toml");
        let text = std::fs::read_to_string(path).expect("systemd/node.toml");
        let (head, tuners) = text.split_once("# [[antenna]]").expect("the example shows antennas");
        let tuners: Vec<&str> = tuners.lines().map(|line| line.strip_prefix("# ").unwrap_or("")).collect();
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, format!("{head}[[antenna]]\n{}", tuners.join("\n"))).expect("written");
        let inventory = load(&path).expect("the example's tuners are right").inventory;
        assert_eq!((inventory.antennas.len(), inventory.tuners.len()), (3, 3));
        assert_eq!(inventory.tuners[1].slave_of, Some(0));
    }

    #[test]
    fn a_tuner_that_is_wrong_is_named_by_file_and_line() {
        check_text(
            "site = 'c'\nname = 'n'\n[controller]\nurl = 'https://c:8443'\n[[antenna]]\nname = 'roof'\nterrestrial = true\n\
             [[tuner]]\nname = 't'\ndevice = 'usb:1-1'\nantennas = ['attic']\n",
            "/node.toml:11: `tuner#1.antennas` has \"attic\", which is no [[antenna]] of this file",
        );
    }

    #[test]
    fn a_misspelt_key_is_named_with_the_right_one() {
        check_text(
            "site = 'caribbean'\nname = 'car-1'\n[http]\nlisen = '127.0.0.1:1'\n[controller]\nurl = 'https://c:8443'\n",
            "/node.toml:4: unknown key `lisen` in [http]; did you mean `listen`?",
        );
    }

    #[test]
    fn cards_are_checked() {
        let check_cards = |lines: &str, want: &str| {
            let head = "site = 'caribbean'\nname = 'car-1'\n[controller]\nurl = 'https://c:8443'\n[[cards]]\n";
            check_text(&format!("{head}{lines}"), want);
        };
        check_cards("name = 'main'\nprofile = 'open-test-card'\nkey = 'card-key'\n", "car-1");
        check_cards("name = 'main'\nprofile = 'vendor'\nmodule = '/usr/lib/x'\n", "car-1");
        let wrong = |text: &str| format!("/node.toml:5: `cards` {text}");
        check_cards("name = 'a'\nprofile = 'vendor'\n", &wrong("a: vendor needs `module`, an absolute path"));
        check_cards("name = 'a'\nprofile = 'open-test-card'\n", &wrong("a: open-test-card needs `key`, a secret"));
        let two = "name = 'a'\nprofile = 'vendor'\nmodule = '/x'\n[[cards]]\n".to_owned();
        check_cards(&format!("{two}name = 'a'\nprofile = 'vendor'\nmodule = '/x'\n"), &wrong("names \"a\" twice"));
    }

    #[test]
    fn session_words_are_checked() {
        let check_biss = |lines: &str, want: &str| {
            let head = "site = 'caribbean'\nname = 'car-1'\n[controller]\nurl = 'https://c:8443'\n[[biss]]\n";
            check_text(&format!("{head}{lines}"), want);
        };
        check_biss("input = 'udp://239.1.1.1:5000'\nkey = 'feed'\n", "car-1");
        let one = "input = 'udp://239.1.1.1:5000'\nservice = 7\nkey = 'feed'\n";
        check_biss(
            &format!("{one}[[biss]]\n{one}"),
            "/node.toml:5: `biss` names udp://239.1.1.1:5000 with this service twice",
        );
    }

    #[test]
    fn cams_are_checked() {
        let check_cam = |lines: &str, want: &str| {
            let head = "site = 'c'\nname = 'car-1'\n[controller]\nurl = 'https://c:8443'\n[[antenna]]\nname = 'roof'\n\
                        terrestrial = true\n[[tuner]]\nname = 't'\ndevice = 'usb:1-1/0.1'\nantennas = ['roof']\n[[cam]]\n\
                        name = 'main'\n";
            check_text(&format!("{head}{lines}"), want);
        };
        check_cam("device = 'usb:1-1'\nsystems = ['0500', '0x1800']\n", "car-1");
        check_cam("device = 'usb:1-2'\ntuners = ['t']\n", "car-1");
        check_cam(
            "device = 'usb:1-1/1.0'\n",
            "/node.toml:14: `cam#1.device` is usb:1-1/1.0, but no [[tuner]] is on this device; give `tuners = [...]`, the names \
             of those whose packets go through it",
        );
        let wrong = |text: &str| format!("/node.toml:15: `cam#1.{text}");
        let device = "device = 'usb:1-1'\n";
        check_cam(
            &format!("{device}tuners = ['x']\n"),
            &wrong("tuners` has \"x\", which is no [[tuner]] of this file"),
        );
        check_cam(
            &format!("{device}systems = ['sky']\n"),
            &wrong("systems` has \"sky\"; write CA_system_IDs in hexadecimal: \"0500\""),
        );
        check_cam(&format!("{device}spacing_ms = 5\n"), &wrong("spacing_ms` is 5; from 100 to 120000"));
    }

    #[test]
    fn archive_folders_are_checked() {
        let check_archive = |lines: &str, want: &str| {
            let head = "site = 'caribbean'\nname = 'car-1'\n[controller]\nurl = 'https://c:8443'\n[archive]\n";
            check_text(&format!("{head}{lines}"), want);
        };
        check_archive("paths = ['/srv/a', '/srv/b']\n", "car-1");
        check_archive("paths = ['a']\n", "/node.toml:6: `archive.paths` has a, which is no absolute path");
        check_archive("paths = ['/a', '/a/b']\n", "/node.toml:6: `archive.paths` has /a/b and a folder in or above it");
    }

    #[test]
    fn a_plain_controller_address_is_refused() {
        check_text(
            "site = 'caribbean'\nname = 'car-1'\n[controller]\nurl = 'http://c:8443/'\n",
            "/node.toml:4: `controller.url` is \"http://c:8443\"; the fleet interface is mutual TLS, write https://HOST:8443",
        );
    }
}
