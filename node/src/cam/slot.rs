//! The kernel's ca devices: where they are, and one of them open.
//!
//! Shell. `caN` of a link-level interface is read and written in whole messages of the transport layer, behind two bytes:
//! slot and connection (`dvb_ca_en50221.c`). It can be open once. The kernel does link fragments and the start of the link by
//! itself, whether somebody has it open or not. What it does not do is tell that the card is going: the driver waits
//! in its disconnect, without end and without a sign on the descriptor, until it is closed. So whoever holds it looks
//! whether the card's other nodes are still there ([`Found::is_there`]), and does not hold it for an empty slot.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use headend_dvb_sys::{ca, types as sys};
use nix::{errno::Errno, libc};

use super::length::BYTES_MAX;
use crate::input::tuner::place::{Place, port_of};

/// Nodes of `/sys/class/dvb` that are looked at.
const NODES_MAX: usize = 2_048;
/// Slots of one device; the kernel looks beyond its list for one too many.
const SLOTS_MAX: u8 = 8;

/// A ca device that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place, always a [`Place::Port`]; the last number is that of the ca device.
    pub place: Place,
    /// `adapterN` now.
    pub adapter: u8,
    /// `caN`.
    pub number: u8,
    /// What must be in sysfs as long as the card is there: frontends go first when a card is unplugged.
    signs: Vec<PathBuf>,
}

impl Found {
    /// Whether a configured place means this one.
    #[must_use]
    pub fn is_at(&self, place: &Place) -> bool {
        match place {
            Place::Number { adapter, frontend } => (self.adapter, self.number) == (*adapter, *frontend),
            other => self.place == *other,
        }
    }

    /// `/dev/dvb/adapterN/caN`.
    #[must_use]
    pub fn node(&self) -> PathBuf {
        PathBuf::from(format!("/dev/dvb/adapter{}/ca{}", self.adapter, self.number))
    }

    /// Whether the card is not about to go.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.signs.iter().all(|sign| sign.exists())
    }
}

/// Every ca device that is there, in the order of their numbers.
#[must_use]
pub fn find(sysfs: &Path) -> Vec<Found> {
    let mut nodes: Vec<(u8, String, u8, PathBuf)> = vec![];
    for entry in fs::read_dir(sysfs.join("class/dvb")).into_iter().flatten().flatten().take(NODES_MAX) {
        if let Some((adapter, kind, number)) = entry.file_name().to_str().and_then(parse) {
            nodes.push((adapter, kind, number, entry.path()));
        }
    }
    nodes.sort();
    // Adapters of one device count as those of tuners do: by their frontends first.
    let mut of_port: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let port = |path: &Path| Some(port_of(&fs::canonicalize(path.join("device")).ok()?).0);
    for wanted in ["frontend", "ca"] {
        for (adapter, _, _, path) in nodes.iter().filter(|(_, kind, ..)| kind == wanted) {
            let adapters = of_port.entry(port(path).unwrap_or_default()).or_default();
            if !adapters.contains(adapter) {
                adapters.push(*adapter);
            }
        }
    }
    let mut found = vec![];
    for (adapter, _, number, path) in nodes.iter().filter(|(_, kind, ..)| kind == "ca") {
        let Some(port) = port(path) else { continue };
        let index = of_port.get(&port).and_then(|adapters| adapters.iter().position(|one| one == adapter));
        let index = u8::try_from(index.unwrap_or(0)).unwrap_or(u8::MAX);
        let beside = nodes.iter().filter(|(other, kind, ..)| other == adapter && kind == "frontend");
        let signs = beside.map(|(.., path)| path.clone()).chain([path.clone()]).collect();
        let place = Place::Port { port, adapter: index, frontend: *number };
        found.push(Found { place, adapter: *adapter, number: *number, signs });
    }
    found
}

/// `dvb0.ca1`: adapter, kind, number.
fn parse(name: &str) -> Option<(u8, String, u8)> {
    let (adapter, rest) = name.strip_prefix("dvb")?.split_once('.')?;
    let digits = rest.find(|letter: char| letter.is_ascii_digit())?;
    let (kind, number) = rest.split_at(digits);
    Some((adapter.parse().ok()?, kind.to_owned(), number.parse().ok()?))
}

/// Why a ca device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// A call failed.
    #[error("{call} {node}")]
    Call {
        /// What was attempted.
        call: &'static str,
        /// The device node.
        node: String,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
    /// An interface that takes ready-made messages instead of the transport layer's.
    #[error("{node} is a high-level interface, which this program does not speak to")]
    HighLevel {
        /// The device node.
        node: String,
    },
}

/// An open ca device.
#[derive(Debug)]
pub struct Slots {
    file: File,
    node: String,
    count: u8,
    buffer: Vec<u8>,
}

impl Slots {
    /// Opens it, for this program alone; it never waits.
    ///
    /// # Errors
    /// [`SlotError`]: EBUSY when another program has it, ENODEV when the card is about to go.
    pub fn open(found: &Found) -> Result<Self, SlotError> {
        let node = found.node().display().to_string();
        let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(found.node());
        let failed = |call| {
            let node = node.clone();
            move |errno| SlotError::Call { call, node, errno }
        };
        let file = opened
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
            .map_err(failed("open"))?;
        let sys::ca_caps { slot_num, slot_type, .. } = ca::capabilities(&file).map_err(failed("read the kind of"))?;
        if slot_type & sys::CA_CI_LINK == 0 {
            return Err(SlotError::HighLevel { node });
        }
        // Slot, connection and the longest message.
        let count = u8::try_from(slot_num).unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
        Ok(Self { file, node, count, buffer: vec![0; BYTES_MAX + 16] })
    }

    /// How many slots it has.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Whether a module is in the slot, and whether its link works.
    ///
    /// # Errors
    /// [`SlotError`]: EINVAL when there is no such slot.
    pub fn state(&self, slot: u8) -> Result<(bool, bool), SlotError> {
        if slot >= self.count {
            return Err(self.failed("look at a slot of", Errno::EINVAL));
        }
        let flags = ca::slot(&self.file, slot.into()).map_err(|errno| self.failed("look at a slot of", errno))?.flags;
        Ok((flags & sys::CA_CI_MODULE_PRESENT != 0, flags & sys::CA_CI_MODULE_READY != 0))
    }

    /// Resets all modules of the device.
    ///
    /// # Errors
    /// [`SlotError`].
    pub fn reset(&self) -> Result<(), SlotError> {
        ca::reset(&self.file).map_err(|errno| self.failed("reset", errno))
    }

    /// The next message that waits: its slot and its bytes.
    ///
    /// # Errors
    /// [`SlotError`].
    pub fn read(&mut self) -> Result<Option<(u8, &[u8])>, SlotError> {
        match self.file.read(&mut self.buffer) {
            Ok(bytes) => match self.buffer.get(..bytes) {
                Some([slot, _connection, message @ ..]) => Ok(Some((*slot, message))),
                _ => Ok(None),
            },
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)) {
                Errno::EAGAIN | Errno::EINTR => Ok(None),
                errno => Err(self.failed("read", errno)),
            },
        }
    }

    /// Writes a message; the kernel waits up to half a second for a module that is busy.
    ///
    /// # Errors
    /// [`SlotError`]: EINVAL when the slot has no working module, EIO when it takes nothing.
    pub fn write(&mut self, (slot, connection): (u8, u8), message: &[u8]) -> Result<(), SlotError> {
        let whole = [&[slot, connection], message].concat();
        let written = self.file.write(&whole);
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        written.map(drop).map_err(|error| self.failed("write", errno(error)))
    }

    fn failed(&self, call: &'static str, errno: Errno) -> SlotError {
        SlotError::Call { call, node: self.node.clone(), errno }
    }
}

impl AsFd for Slots {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn ca_devices_are_known_by_their_port() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("class/dvb")).unwrap();
        let card = "pci0000:00/0000:00:1c.0/0000:03:00.0";
        for node in ["dvb0.frontend0", "dvb0.ca0", "dvb1.frontend0", "dvb1.ca0", "dvb1.ca1", "dvb1.net0", "odd"] {
            let device = root.path().join("devices").join(card);
            let folder = device.join("dvb").join(node);
            fs::create_dir_all(&folder).unwrap();
            symlink(&device, folder.join("device")).unwrap();
            symlink(&folder, root.path().join("class/dvb").join(node)).unwrap();
        }
        let found = find(root.path());
        let places: Vec<String> = found.iter().map(|one| format!("{} {}", one.place, one.node().display())).collect();
        assert_eq!(
            places,
            [
                "pci:0000:03:00.0/0.0 /dev/dvb/adapter0/ca0",
                "pci:0000:03:00.0/1.0 /dev/dvb/adapter1/ca0",
                "pci:0000:03:00.0/1.1 /dev/dvb/adapter1/ca1",
            ]
        );
        assert!(found[0].is_at(&Place::Number { adapter: 0, frontend: 0 }) && found[0].is_there());
        fs::remove_file(root.path().join("class/dvb/dvb0.frontend0")).unwrap();
        assert!(!found[0].is_there() && found[1].is_there(), "its frontend went: the card is going");
        assert!(find(Path::new("/nowhere")).is_empty());
    }
}
