//! What the kernel says when a tuner comes or goes (kobject uevents).
//!
//! [`parse`] is pure: `action@path`, then `KEY=value` fields, each ended by a NUL (`lib/kobject_uevent.c`). [`Listener`]
//! is the netlink socket. An event is only a nudge to look at sysfs again: a lost or forged one does no harm, and the
//! pool looks each second anyway.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket};

/// The longest event the kernel sends (`UEVENT_BUFFER_SIZE`) with room for its header.
const EVENT_BYTES: usize = 4096;
/// Multicast group of the kernel's own events; udev's are in group 2.
const KERNEL_GROUP: u32 = 1;

/// What happened to a DVB node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there now.
    Add,
    /// It is not there any more.
    Remove,
}

/// A DVB node came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which of it.
    pub change: Change,
    /// `adapterN`.
    pub adapter: u8,
    /// `frontend`, `demux`, `dvr`, `net`, `ca`.
    pub kind: String,
    /// Number of the node.
    pub number: u8,
}

/// Reads an event; `None` for those of other subsystems and for anything malformed.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Event> {
    let mut fields = message.split(|byte| *byte == 0).filter_map(|field| std::str::from_utf8(field).ok());
    let (head, _path) = fields.next()?.split_once('@')?;
    let change = match head {
        "add" => Change::Add,
        "remove" => Change::Remove,
        _ => return None,
    };
    let (mut subsystem, mut adapter, mut kind, mut number) = (None, None, None, None);
    for field in fields {
        match field.split_once('=') {
            Some(("SUBSYSTEM", value)) => subsystem = Some(value),
            Some(("DVB_ADAPTER_NUM", value)) => adapter = value.parse().ok(),
            Some(("DVB_DEVICE_TYPE", value)) => kind = Some(value.to_owned()),
            Some(("DVB_DEVICE_NUM", value)) => number = value.parse().ok(),
            _ => {}
        }
    }
    (subsystem == Some("dvb")).then_some(())?;
    Some(Event { change, adapter: adapter?, kind: kind?, number: number? })
}

/// Hears the kernel's events.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel's, EAFNOSUPPORT in a sandbox without netlink: the timer does the work then.
    pub fn open() -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kind = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, kind)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Self { socket })
    }

    /// Takes the next event of a DVB node that is waiting; `None` when none is. A lost one counts as an event without
    /// meaning, so that the caller looks again.
    #[must_use]
    pub fn take(&self) -> Option<Option<Event>> {
        let mut buffer = [0; EVENT_BYTES];
        loop {
            match recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                // Only the kernel has the port id 0.
                Ok((bytes, from)) if from.is_none_or(|from| from.pid() == 0) => {
                    if let Some(event) = parse(&buffer[..bytes]) {
                        return Some(Some(event));
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => return Some(None),
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REMOVE: &str = "remove@/devices/platform/x/dvb/dvb0.frontend1\0ACTION=remove\0DEVPATH=/devices/platform/x\0\
                          SUBSYSTEM=dvb\0MAJOR=212\0DVB_ADAPTER_NUM=0\0DVB_DEVICE_TYPE=frontend\0DVB_DEVICE_NUM=1\0SEQNUM=7\0";

    #[test]
    fn a_frontend_goes() {
        let want = Event { change: Change::Remove, adapter: 0, kind: "frontend".to_owned(), number: 1 };
        assert_eq!(parse(REMOVE.as_bytes()), Some(want));
        assert_eq!(parse(REMOVE.replace("=dvb\0", "=usb\0").as_bytes()), None);
        assert_eq!(parse(REMOVE.replace("remove@", "change@").as_bytes()), None);
        assert_eq!(parse(REMOVE.replace("_NUM=0", "_NUM=x").as_bytes()), None);
        assert_eq!(parse(b"libudev\0\xFE\xED\xCA\xFE"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
