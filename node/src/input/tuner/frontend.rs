//! The seam between tuners and the rest: a frontend that tunes and reports, and the stream behind it.
//!
//! Two kinds exist: [`super::linux`], the kernel's DVB devices, and [`super::replay`], a recording with a script. A
//! frontend may block in any call, so only a worker thread ([`super::worker`]) holds one. A stream never blocks.

use std::fmt;

use headend_media::packet::Pid;
use nix::errno::Errno;

use super::figures::Reading;
use super::sec::Step;
use super::tune::Property;

/// What a frontend says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Of the driver.
    pub name: String,
    /// Kernel numbers of the delivery systems it can (`SYS_…`).
    pub systems: Vec<u32>,
    /// `DTV_API_VERSION`, major in the high byte.
    pub api: u32,
}

/// Which packets are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All, with one filter that never changes.
    Whole,
    /// Only these, for links that cannot carry a whole multiplex.
    Pids(Vec<Pid>),
}

/// Tunes and reports. Every call may block as long as the driver likes.
pub trait Frontend: Send {
    /// What it is.
    fn describe(&self) -> &Description;

    /// Does one step of antenna control other than waiting.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn control(&mut self, step: &Step) -> Result<(), DeviceError>;

    /// Forgets the tune before, and tunes.
    ///
    /// # Errors
    /// [`DeviceError`]; `Refused` when the values are out of its range.
    fn tune(&mut self, properties: &[Property]) -> Result<(), DeviceError>;

    /// Reads the lock bits, and with `figures` everything else.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn read(&mut self, figures: bool) -> Result<Reading, DeviceError>;

    /// Opens the stream with `ring_bytes` of kernel memory. One at a time.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn stream(&mut self, filter: &Filter, ring_bytes: u32) -> Result<Box<dyn Stream>, DeviceError>;
}

/// What a read of a stream found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes, packet boundaries not checked.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// The kernel's ring ran over and was emptied: everything since the last read is lost.
    Overflow,
}

/// Bytes of a tuned frontend. Dropping it closes its descriptors.
pub trait Stream: Send {
    /// Takes what is there, without waiting.
    ///
    /// # Errors
    /// [`DeviceError`]; `Gone` after removal, when the stream must be dropped at once.
    fn take(&mut self, buffer: &mut [u8]) -> Result<Taken, DeviceError>;

    /// Changes the PIDs of a stream that was opened with [`Filter::Pids`]; does nothing to others.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn choose(&mut self, pids: &[Pid]) -> Result<(), DeviceError>;
}

/// A call that a device refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError {
    /// What was done: `open`, `set voltage`, …
    pub call: &'static str,
    /// The node in `/dev`, or the recording.
    pub device: String,
    /// The kernel's answer.
    pub errno: Errno,
}

/// What a refusal means for the tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device went away.
    Gone,
    /// Somebody else has it.
    Busy,
    /// This program may not.
    Denied,
    /// The values are out of its range.
    Range,
    /// Anything else.
    Other,
}

impl DeviceError {
    /// What it means.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self.errno {
            Errno::ENODEV | Errno::ENXIO | Errno::ENOENT | Errno::ESHUTDOWN => Refusal::Gone,
            Errno::EBUSY | Errno::EUSERS => Refusal::Busy,
            Errno::EPERM | Errno::EACCES => Refusal::Denied,
            Errno::EINVAL | Errno::ERANGE => Refusal::Range,
            _ => Refusal::Other,
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, device, errno } = self;
        write!(f, "{call} on {device}: {}", errno.desc())?;
        f.write_str(match self.refusal() {
            Refusal::Busy => "; another program has the tuner",
            Refusal::Denied => "; this user may not open it, see the udev rule",
            Refusal::Range => "; the tuner cannot do these values",
            Refusal::Gone | Refusal::Other => "",
        })
    }
}

impl std::error::Error for DeviceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errno: Errno, want: &str) {
        let error = DeviceError { call: "tune", device: "/dev/dvb/adapter0/frontend0".to_owned(), errno };
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn refusals_say_what_to_do() {
        check(
            Errno::EBUSY,
            "tune on /dev/dvb/adapter0/frontend0: Device or resource busy; another program has the tuner",
        );
        check(
            Errno::EACCES,
            "tune on /dev/dvb/adapter0/frontend0: Permission denied; this user may not open it, see the udev rule",
        );
        check(Errno::EINVAL, "tune on /dev/dvb/adapter0/frontend0: Invalid argument; the tuner cannot do these values");
        check(Errno::ENODEV, "tune on /dev/dvb/adapter0/frontend0: No such device");
    }
}
