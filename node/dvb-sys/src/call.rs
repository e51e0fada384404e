//! The three shapes of ioctl the DVB devices have; the only system call of this crate.

#![expect(unsafe_code, reason = "ioctl has no safe form; this crate is where it is allowed")]

use std::ffi::c_ulong;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

/// An ioctl whose argument is a number, not an address.
pub(crate) fn plain(fd: impl AsFd, request: c_ulong, value: c_ulong) -> Result<(), Errno> {
    // SAFETY: the descriptor is borrowed and so open; the requests used with this function take their argument by value,
    // so that the kernel touches no memory of ours.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, value) };
    Errno::result(result).map(drop)
}

/// An ioctl that reads `*value`, and for some requests writes it.
///
/// # Safety
/// `request` must be one whose argument is a `T`, with every pointer in it good for what the kernel does with it.
pub(crate) unsafe fn with<T>(fd: impl AsFd, request: c_ulong, value: &mut T) -> Result<(), Errno> {
    // SAFETY: the descriptor is open; the size in the request is that of `T`, which the caller vouches for, so the kernel
    // stays within `value`, exclusively ours for the time of the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, std::ptr::from_mut(value)) };
    Errno::result(result).map(drop)
}

/// An ioctl that fills a `T` of plain numbers.
///
/// # Safety
/// `request` must be one that writes a `T`; all-zero bytes must be a good `T`.
pub(crate) unsafe fn get<T>(fd: impl AsFd, request: c_ulong) -> Result<T, Errno> {
    // SAFETY: the caller vouches that zeroes are a good `T` and that the request writes one.
    unsafe {
        let mut value = std::mem::zeroed();
        with(fd, request, &mut value).map(|()| value)
    }
}
