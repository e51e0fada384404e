//! `demuxN` and `dvrN`: filters, the ring, reads.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::fd::AsFd,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::O_NONBLOCK,
    poll::{PollFd, PollFlags, PollTimeout},
};

use super::raw::{self, PesFilter, RawSectionFilter};

const WHOLE_MUX: u16 = 0x2000;
const DMX_IN_FRONTEND: u32 = 0;
const DMX_OUT_TS_TAP: u32 = 2;
const DMX_PES_OTHER: u32 = 20;
const DMX_IMMEDIATE_START: u32 = 4;
/// Sections with a wrong CRC are not delivered.
pub const DMX_CHECK_CRC: u32 = 1;

/// What poll said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// There is something to read.
    pub readable: bool,
    /// `POLLERR`.
    pub error: bool,
}

/// What a section filter lets through.
#[derive(Debug, Clone, Copy)]
pub struct SectionFilter {
    /// Its PID.
    pub pid: u16,
    /// The whole of the table id must match.
    pub table_id: u8,
    /// The kernel gives up after this long without a section; 0 never.
    pub timeout_ms: u32,
}

fn open(path: &Path, write: bool) -> nix::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn read(mut file: &File, into: &mut [u8]) -> nix::Result<usize> {
    file.read(into).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn poll(file: &File, timeout: Duration) -> nix::Result<Poll> {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX))?;
    let seen = fds[0].revents().unwrap_or(PollFlags::empty());
    Ok(Poll { readable: seen.contains(PollFlags::POLLIN), error: seen.contains(PollFlags::POLLERR) })
}

/// An open demux with at most one filter.
#[derive(Debug)]
pub struct Demux {
    file: File,
}

impl Demux {
    /// Opens without blocking.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &Path) -> nix::Result<Self> {
        Ok(Self { file: open(path, true)? })
    }

    /// Lets the whole multiplex through to the dvr.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn whole_mux(&self) -> nix::Result<()> {
        self.pid(WHOLE_MUX)
    }

    /// Lets one PID through to the dvr.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pid(&self, pid: u16) -> nix::Result<()> {
        let mut filter = PesFilter {
            pid,
            input: DMX_IN_FRONTEND,
            output: DMX_OUT_TS_TAP,
            pes_type: DMX_PES_OTHER,
            flags: DMX_IMMEDIATE_START,
        };
        raw::dmx_set_pes_filter(self.file.as_fd(), &mut filter)
    }

    /// Lets sections of one table through to this descriptor, checked by the kernel.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn sections(&self, wanted: SectionFilter) -> nix::Result<()> {
        let mut filter = RawSectionFilter { pid: wanted.pid, timeout: wanted.timeout_ms, ..Default::default() };
        filter.filter[0] = wanted.table_id;
        filter.mask[0] = 0xff;
        filter.flags = DMX_CHECK_CRC | DMX_IMMEDIATE_START;
        raw::dmx_set_filter(self.file.as_fd(), &mut filter)
    }

    /// Stops the filter.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn stop(&self) -> nix::Result<()> {
        raw::dmx_stop(self.file.as_fd())
    }

    /// Waits for a section.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn poll(&self, timeout: Duration) -> nix::Result<Poll> {
        poll(&self.file, timeout)
    }

    /// Reads a section.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&self, into: &mut [u8]) -> nix::Result<usize> {
        read(&self.file, into)
    }
}

/// The dvr: the way the packets of all filters come out.
#[derive(Debug)]
pub struct Dvr {
    file: File,
}

impl Dvr {
    /// Opens for reading, without blocking.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &Path) -> nix::Result<Self> {
        Ok(Self { file: open(path, false)? })
    }

    /// Opens for reading and writing, which asks for the kernel's memory-mapped mode.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open_writable(path: &Path) -> nix::Result<Self> {
        Ok(Self { file: open(path, true)? })
    }

    /// Sets the ring's size; what is in it is lost.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ring(&self, bytes: i32) -> nix::Result<()> {
        raw::dmx_set_buffer_size(self.file.as_fd(), bytes)
    }

    /// Waits for packets.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn poll(&self, timeout: Duration) -> nix::Result<Poll> {
        poll(&self.file, timeout)
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&self, into: &mut [u8]) -> nix::Result<usize> {
        read(&self.file, into)
    }
}
