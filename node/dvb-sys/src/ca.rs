//! Calls on `caN`: slots of a common interface, messages, control words for hardware descramblers.
//!
//! Link-level modules are read and written as plain bytes (EN 50221 §7); that needs no ioctl.

#![expect(unsafe_code, reason = "typed calls")]

use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::types::{ca_caps, ca_descr, ca_msg, ca_slot_info};
use crate::{call, request};

/// Resets all slots.
///
/// # Errors
/// The kernel's.
pub fn reset(fd: impl AsFd) -> Result<(), Errno> {
    call::plain(fd, request::CA_RESET, 0)
}

/// How many slots and descramblers, and of which kind.
///
/// # Errors
/// The kernel's.
pub fn capabilities(fd: impl AsFd) -> Result<ca_caps, Errno> {
    // SAFETY: CA_GET_CAP writes a `ca_caps`, which is numbers.
    unsafe { call::get(fd, request::CA_GET_CAP) }
}

/// Whether slot `num` (from 0) has a module, and whether it is ready.
///
/// # Errors
/// EINVAL when there is no such slot.
pub fn slot(fd: impl AsFd, num: i32) -> Result<ca_slot_info, Errno> {
    let mut slot = ca_slot_info { num, type_: 0, flags: 0 };
    // SAFETY: CA_GET_SLOT_INFO reads and writes a `ca_slot_info`.
    unsafe { call::with(fd, request::CA_GET_SLOT_INFO, &mut slot) }.map(|()| slot)
}

/// Sends a message to a high-level interface.
///
/// # Errors
/// The kernel's.
pub fn send_message(fd: impl AsFd, message: &mut ca_msg) -> Result<(), Errno> {
    // SAFETY: CA_SEND_MSG reads a `ca_msg`.
    unsafe { call::with(fd, request::CA_SEND_MSG, message) }
}

/// Takes the answer of a high-level interface; `message` says which one.
///
/// # Errors
/// The kernel's.
pub fn receive_message(fd: impl AsFd, message: &mut ca_msg) -> Result<(), Errno> {
    // SAFETY: CA_GET_MSG reads and writes a `ca_msg`.
    unsafe { call::with(fd, request::CA_GET_MSG, message) }
}

/// Hands a control word to a hardware descrambler.
///
/// # Errors
/// EINVAL when there is no such descrambler.
pub fn set_word(fd: impl AsFd, word: &mut ca_descr) -> Result<(), Errno> {
    // SAFETY: CA_SET_DESCR reads a `ca_descr`.
    unsafe { call::with(fd, request::CA_SET_DESCR, word) }
}
