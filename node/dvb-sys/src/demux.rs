//! Calls on `demuxN` and `dvrN`.

#![expect(unsafe_code, reason = "typed calls")]

use std::ffi::c_ulong;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::types::{DMX_IMMEDIATE_START, DMX_IN_FRONTEND, DMX_OUT_TS_TAP, DMX_PES_OTHER, dmx_pes_filter_params};
use crate::{call, request};

/// The PID that stands for all of a multiplex.
pub const ALL_PIDS: u16 = 0x2000;

/// Size of the kernel's ring behind the descriptor, bytes. On a dvr that streams it also empties the ring.
///
/// # Errors
/// EBUSY on a demux whose filter runs, ENOMEM, EINVAL for 0.
pub fn set_buffer_bytes(fd: impl AsFd, bytes: u32) -> Result<(), Errno> {
    call::plain(fd, request::DMX_SET_BUFFER_SIZE, c_ulong::from(bytes))
}

/// Sends the packets of `pid` ([`ALL_PIDS`] for all) from the frontend to the dvr device, from now on.
///
/// # Errors
/// EINVAL for a PID over 0x2000, and what the driver says when it starts the feed.
pub fn start_capture(fd: impl AsFd, pid: u16) -> Result<(), Errno> {
    let mut filter = dmx_pes_filter_params {
        pid,
        input: DMX_IN_FRONTEND,
        output: DMX_OUT_TS_TAP,
        pes_type: DMX_PES_OTHER,
        flags: DMX_IMMEDIATE_START,
    };
    // SAFETY: DMX_SET_PES_FILTER reads a `dmx_pes_filter_params`.
    unsafe { call::with(fd, request::DMX_SET_PES_FILTER, &mut filter) }
}

/// One more PID for a running filter.
///
/// # Errors
/// EINVAL when the filter is not one of [`start_capture`].
pub fn add_pid(fd: impl AsFd, mut pid: u16) -> Result<(), Errno> {
    // SAFETY: DMX_ADD_PID reads a 16-bit number.
    unsafe { call::with(fd, request::DMX_ADD_PID, &mut pid) }
}

/// One PID less.
///
/// # Errors
/// The kernel's.
pub fn remove_pid(fd: impl AsFd, mut pid: u16) -> Result<(), Errno> {
    // SAFETY: DMX_REMOVE_PID reads a 16-bit number.
    unsafe { call::with(fd, request::DMX_REMOVE_PID, &mut pid) }
}

/// Stops the filter of the descriptor.
///
/// # Errors
/// The kernel's.
pub fn stop(fd: impl AsFd) -> Result<(), Errno> {
    call::plain(fd, request::DMX_STOP, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_on_something_else_are_refused_by_the_kernel() {
        let file = std::fs::OpenOptions::new().read(true).open("/dev/null").unwrap();
        assert_eq!(start_capture(&file, ALL_PIDS), Err(Errno::ENOTTY));
        assert_eq!(set_buffer_bytes(&file, 188), Err(Errno::ENOTTY));
        assert_eq!((add_pid(&file, 1), remove_pid(&file, 1)), (Err(Errno::ENOTTY), Err(Errno::ENOTTY)));
    }
}
