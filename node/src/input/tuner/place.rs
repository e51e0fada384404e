//! Where tuners are: by the port they are plugged into, never by their adapter number.
//!
//! The kernel counts adapters in the order they appear and gives a number out again after a removal; the port stays. A
//! [`Place`] is `usb:1-1.2/0.0` or `pci:0000:03:00.0/2.0`: bus address, then which adapter of that device and which
//! frontend of that adapter. [`find`] reads the class folder of sysfs once; it opens no device. Driven by
//! [`super::pool`] and the technician's verbs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where sysfs is.
pub const SYSFS: &str = "/sys";

/// Adapters looked at; a kernel has 16, ours a few more.
const ADAPTERS_MAX: usize = 256;

/// A tuner's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A port, an adapter among those of the device there, a frontend of it.
    Port {
        /// `usb:1-1.2`, `pci:0000:03:00.0`, `platform:vidtv`.
        port: String,
        /// From 0, in the order of their numbers.
        adapter: u8,
        /// From 0.
        frontend: u8,
    },
    /// By number, for a bench; the number may be another one tomorrow.
    Number {
        /// `adapterN`.
        adapter: u8,
        /// `frontendN`.
        frontend: u8,
    },
    /// A recording played as a tuner, for rehearsals.
    Replay(PathBuf),
}

/// Why a text is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "device {0:?} is not understood: write what `headend-node femon --list` prints, such as usb:1-1.2/0.0, or adapter:0.0, or \
     replay:/path/file.ts"
)]
pub struct PlaceError(String);

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let bad = || PlaceError(text.to_owned());
        let pair = |text: &str| {
            let (adapter, frontend) = text.split_once('.')?;
            Some((adapter.parse().ok()?, frontend.parse().ok()?))
        };
        if let Some(path) = text.strip_prefix("replay:").filter(|path| !path.is_empty()) {
            return Ok(Self::Replay(path.into()));
        }
        if let Some(numbers) = text.strip_prefix("adapter:") {
            let (adapter, frontend) = pair(numbers).ok_or_else(bad)?;
            return Ok(Self::Number { adapter, frontend });
        }
        let (port, numbers) = text.rsplit_once('/').unwrap_or((text, "0.0"));
        let (adapter, frontend) = pair(numbers).ok_or_else(bad)?;
        let known = ["usb:", "pci:", "platform:"].iter().any(|bus| port.len() > bus.len() && port.starts_with(bus));
        if !known || port.contains(char::is_whitespace) {
            return Err(bad());
        }
        Ok(Self::Port { port: port.to_owned(), adapter, frontend })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { port, adapter, frontend } => write!(f, "{port}/{adapter}.{frontend}"),
            Self::Number { adapter, frontend } => write!(f, "adapter:{adapter}.{frontend}"),
            Self::Replay(path) => write!(f, "replay:{}", path.display()),
        }
    }
}

/// A frontend that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place, always a [`Place::Port`].
    pub place: Place,
    /// `adapterN` now.
    pub adapter: u8,
    /// `frontendN`.
    pub frontend: u8,
    /// The demux and dvr behind it: that of its own number if there is one, else the first. Frontends that share one
    /// cannot be used at once.
    pub demux: u8,
    /// The device in sysfs, for taking its driver off; its `authorized` file is that of the USB device above.
    pub device: PathBuf,
    /// The USB device in sysfs.
    pub usb: Option<PathBuf>,
}

impl Found {
    /// Whether a configured place means this one.
    #[must_use]
    pub fn is_at(&self, place: &Place) -> bool {
        match place {
            Place::Number { adapter, frontend } => (self.adapter, self.frontend) == (*adapter, *frontend),
            other => self.place == *other,
        }
    }

    /// `/dev/dvb/adapterN/KINDn`.
    #[must_use]
    pub fn node(&self, kind: &str, number: u8) -> PathBuf {
        PathBuf::from(format!("/dev/dvb/adapter{}/{kind}{number}", self.adapter))
    }
}

/// Every frontend that is there, in the order of adapter and frontend numbers. A machine without any, or a sysfs that
/// changes while it is read, gives fewer.
#[must_use]
pub fn find(sysfs: &Path) -> Vec<Found> {
    let mut nodes = vec![];
    for entry in fs::read_dir(sysfs.join("class/dvb")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Some(node) = name.to_str().and_then(Node::parse) {
            nodes.push((node, entry.path()));
        }
    }
    nodes.sort_by_key(|(node, _)| (node.adapter, node.number));
    nodes.truncate(ADAPTERS_MAX * 8);
    let has_demux = |adapter, number| {
        nodes.iter().any(|(node, _)| node.kind == Kind::Demux && (node.adapter, node.number) == (adapter, number))
    };
    // Adapters of one device, in the order of their numbers.
    let mut of_port: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut found = vec![];
    for (node, path) in nodes.iter().filter(|(node, _)| node.kind == Kind::Frontend) {
        let Ok(device) = fs::canonicalize(path.join("device")) else { continue };
        let (port, usb) = port_of(&device);
        let adapters = of_port.entry(port.clone()).or_default();
        if !adapters.contains(&node.adapter) {
            adapters.push(node.adapter);
        }
        let index = adapters.iter().position(|adapter| *adapter == node.adapter).unwrap_or(0);
        let place = Place::Port { port, adapter: u8::try_from(index).unwrap_or(u8::MAX), frontend: node.number };
        let demux = if has_demux(node.adapter, node.number) { node.number } else { 0 };
        found.push(Found { place, adapter: node.adapter, frontend: node.number, demux, device, usb });
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Frontend,
    Demux,
}

struct Node {
    adapter: u8,
    kind: Kind,
    number: u8,
}

impl Node {
    /// `dvb0.frontend1`.
    fn parse(name: &str) -> Option<Self> {
        let (adapter, rest) = name.strip_prefix("dvb")?.split_once('.')?;
        let (kind, number) = rest
            .strip_prefix("frontend")
            .map(|number| (Kind::Frontend, number))
            .or_else(|| rest.strip_prefix("demux").map(|number| (Kind::Demux, number)))?;
        Some(Self { adapter: adapter.parse().ok()?, kind, number: number.parse().ok()? })
    }
}

/// The bus address of a device in sysfs, and the USB device it belongs to. The nearest USB port wins over the PCI
/// address of its host controller.
pub(crate) fn port_of(device: &Path) -> (String, Option<PathBuf>) {
    let is_usb = |name: &str| {
        name.split_once('-').is_some_and(|(bus, ports)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(bus) && ports.split('.').all(digits)
        })
    };
    let is_pci = |name: &str| name.len() == 12 && name.as_bytes()[4] == b':' && name.as_bytes()[7] == b':';
    let mut fallback = None;
    for place in device.ancestors() {
        let Some(name) = place.file_name().and_then(|name| name.to_str()) else { continue };
        if is_usb(name) {
            return (format!("usb:{name}"), Some(place.to_owned()));
        }
        if is_pci(name) {
            return (format!("pci:{name}"), None);
        }
        fallback.get_or_insert_with(|| format!("platform:{name}"));
    }
    (fallback.unwrap_or_else(|| "platform:unknown".to_owned()), None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn machine(nodes: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("class/dvb")).unwrap();
        for (node, device) in nodes {
            let device = root.path().join("devices").join(device);
            let folder = device.join("dvb").join(node);
            fs::create_dir_all(&folder).unwrap();
            symlink(&device, folder.join("device")).unwrap();
            symlink(&folder, root.path().join("class/dvb").join(node)).unwrap();
        }
        root
    }

    fn places(nodes: &[(&str, &str)]) -> Vec<String> {
        let root = machine(nodes);
        let found = find(root.path());
        found.iter().map(|one| format!("{} adapter{} demux{}", one.place, one.adapter, one.demux)).collect()
    }

    const STICK: &str = "pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0";

    #[test]
    fn a_stick_with_two_frontends_on_one_demux() {
        let nodes =
            [("dvb3.frontend0", STICK), ("dvb3.frontend1", STICK), ("dvb3.demux0", STICK), ("dvb3.dvr0", STICK)];
        assert_eq!(places(&nodes), ["usb:1-1.2/0.0 adapter3 demux0", "usb:1-1.2/0.1 adapter3 demux0"]);
        let root = machine(&nodes);
        assert!(find(root.path())[0].usb.as_ref().unwrap().ends_with("1-1/1-1.2"));
    }

    #[test]
    fn a_card_with_several_adapters_and_own_demuxes() {
        let card = "pci0000:00/0000:00:1c.0/0000:03:00.0";
        let nodes = [
            ("dvb1.frontend0", card),
            ("dvb1.demux0", card),
            ("dvb0.frontend0", card),
            ("dvb0.frontend1", card),
            ("dvb0.demux0", card),
            ("dvb0.demux1", card),
        ];
        assert_eq!(
            places(&nodes),
            [
                "pci:0000:03:00.0/0.0 adapter0 demux0",
                "pci:0000:03:00.0/0.1 adapter0 demux1",
                "pci:0000:03:00.0/1.0 adapter1 demux0",
            ]
        );
        assert_eq!(places(&[("dvb0.frontend0", "platform/vidtv.0")]), ["platform:vidtv.0/0.0 adapter0 demux0"]);
    }

    #[test]
    fn a_machine_without_tuners_has_none() {
        assert!(find(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn texts() {
        for text in ["usb:1-1.2/0.1", "pci:0000:03:00.0/2.0", "adapter:0.1", "replay:/srv/a.ts"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert_eq!("usb:1-1.2".parse::<Place>().unwrap().to_string(), "usb:1-1.2/0.0");
        for text in ["", "0", "usb:", "usb:1-1/", "usb:1-1/0", "adapter:x", "replay:", "usb:1 1/0.0"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,30}") {
            let _ = text.parse::<Place>();
            let _ = Node::parse(&text);
        }
    }
}
