//! Structures, numbers and the calls themselves. `linux/dvb/frontend.h`, `linux/dvb/dmx.h`, API 5.11.
#![expect(unsafe_code, reason = "ioctl is a call without types; every structure below is plain old data")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::Result;

/// `DTV_TUNE` and the other properties used here.
pub const DTV_TUNE: u32 = 1;
pub(super) const DTV_CLEAR: u32 = 2;
/// kHz on satellite, Hz elsewhere.
pub const DTV_FREQUENCY: u32 = 3;
/// `fe_modulation`.
pub const DTV_MODULATION: u32 = 4;
/// Hz.
pub const DTV_BANDWIDTH_HZ: u32 = 5;
/// `fe_spectral_inversion`.
pub const DTV_INVERSION: u32 = 6;
/// Symbols a second.
pub const DTV_SYMBOL_RATE: u32 = 8;
/// `fe_code_rate`.
pub const DTV_INNER_FEC: u32 = 9;
/// `fe_pilot`.
pub const DTV_PILOT: u32 = 12;
/// `fe_rolloff`.
pub const DTV_ROLLOFF: u32 = 13;
/// `fe_delivery_system`.
pub const DTV_DELIVERY_SYSTEM: u32 = 17;
pub(super) const DTV_API_VERSION: u32 = 35;
/// ISI or PLP.
pub const DTV_STREAM_ID: u32 = 42;
pub(super) const DTV_ENUM_DELSYS: u32 = 44;
/// The eight figures, from signal strength to total blocks.
pub const STATS: [u32; 8] = [62, 63, 64, 65, 66, 67, 68, 69];
/// Gold code.
pub const DTV_SCRAMBLING_SEQUENCE_INDEX: u32 = 70;

/// `struct dtv_property`: 76 bytes, packed.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(super) struct Property {
    pub(super) cmd: u32,
    reserved: [u32; 3],
    pub(super) data: [u8; 56],
    pub(super) result: i32,
}

impl Property {
    pub(super) fn new(cmd: u32, value: u32) -> Self {
        let mut data = [0; 56];
        data[..4].copy_from_slice(&value.to_ne_bytes());
        Self { cmd, reserved: [0; 3], data, result: 0 }
    }

    pub(super) fn value(&self) -> u32 {
        u32::from_ne_bytes([self.data[0], self.data[1], self.data[2], self.data[3]])
    }

    /// `dtv_property.u.buffer`: 32 bytes and how many of them count.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let len = u32::from_ne_bytes([self.data[32], self.data[33], self.data[34], self.data[35]]);
        self.data[..32].iter().copied().take(usize::try_from(len).unwrap_or(32)).collect()
    }

    /// `struct dtv_fe_stats`, the first of up to four.
    pub(super) fn stat(&self) -> Stat {
        let mut value = [0; 8];
        value.copy_from_slice(&self.data[2..10]);
        Stat { len: self.data[0], scale: self.data[1], value: i64::from_ne_bytes(value) }
    }
}

/// One signal figure as the driver gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// 0: the driver has none.
    pub len: u8,
    /// `fecap_scale_params`: 0 not available, 1 decibel, 2 relative, 3 counter.
    pub scale: u8,
    /// 0.001 dB or dBm, 0 to 65535, or a count.
    pub value: i64,
}

#[repr(C)]
struct Properties {
    num: u32,
    props: *mut Property,
}

/// `struct dvb_frontend_info`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Info {
    pub(super) name: [u8; 128],
    rest: [u32; 10],
}

/// `struct dvb_frontend_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct RawEvent {
    pub(super) status: u32,
    parameters: [u32; 9],
}

/// `struct dvb_diseqc_master_cmd`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Master {
    msg: [u8; 6],
    len: u8,
}

/// `struct dmx_pes_filter_params`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PesFilter {
    pub(super) pid: u16,
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) pes_type: u32,
    pub(super) flags: u32,
}

/// `struct dmx_sct_filter_params`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct RawSectionFilter {
    pub(super) pid: u16,
    pub(super) filter: [u8; 16],
    pub(super) mask: [u8; 16],
    pub(super) mode: [u8; 16],
    pub(super) timeout: u32,
    pub(super) flags: u32,
}

const _: () = assert!(size_of::<Property>() == 76);
const _: () = assert!(size_of::<Properties>() == 16);
const _: () = assert!(size_of::<Info>() == 168);
const _: () = assert!(size_of::<RawEvent>() == 40);
const _: () = assert!(size_of::<Master>() == 7);
const _: () = assert!(size_of::<PesFilter>() == 20);
const _: () = assert!(size_of::<RawSectionFilter>() == 60);

mod call {
    use super::{Info, Master, PesFilter, Properties, RawEvent, RawSectionFilter};

    nix::ioctl_read!(fe_get_info, b'o', 61, Info);
    nix::ioctl_write_ptr!(fe_send_master, b'o', 63, Master);
    nix::ioctl_write_int_bad!(fe_send_burst, nix::request_code_none!(b'o', 65));
    nix::ioctl_write_int_bad!(fe_set_tone, nix::request_code_none!(b'o', 66));
    nix::ioctl_write_int_bad!(fe_set_voltage, nix::request_code_none!(b'o', 67));
    nix::ioctl_read!(fe_read_status, b'o', 69, u32);
    nix::ioctl_read!(fe_read_strength, b'o', 71, u16);
    nix::ioctl_read!(fe_get_event, b'o', 78, RawEvent);
    nix::ioctl_write_ptr!(fe_set_property, b'o', 82, Properties);
    nix::ioctl_read!(fe_get_property, b'o', 83, Properties);
    nix::ioctl_none!(dmx_stop, b'o', 42);
    nix::ioctl_write_ptr!(dmx_set_filter, b'o', 43, RawSectionFilter);
    nix::ioctl_write_ptr!(dmx_set_pes_filter, b'o', 44, PesFilter);
    nix::ioctl_write_int_bad!(dmx_set_buffer_size, nix::request_code_none!(b'o', 45));
}

/// A request whose argument is a structure that the kernel fills or reads.
macro_rules! with_pointer {
    ($name:ident, $call:ident, $type:ty) => {
        pub(super) fn $name(fd: BorrowedFd<'_>, argument: &mut $type) -> Result<()> {
            // SAFETY: the pointer is to a live value of the type and size the request is defined with.
            unsafe { call::$call(fd.as_raw_fd(), argument) }.map(drop)
        }
    };
}

/// A request whose argument is a number.
macro_rules! with_number {
    ($name:ident) => {
        pub(super) fn $name(fd: BorrowedFd<'_>, argument: i32) -> Result<()> {
            // SAFETY: the argument is a number, no memory is touched.
            unsafe { call::$name(fd.as_raw_fd(), argument) }.map(drop)
        }
    };
}

with_pointer!(fe_get_info_into, fe_get_info, Info);
with_pointer!(fe_read_status, fe_read_status, u32);
with_pointer!(fe_read_strength, fe_read_strength, u16);
with_pointer!(fe_get_event, fe_get_event, RawEvent);
with_pointer!(dmx_set_filter, dmx_set_filter, RawSectionFilter);
with_pointer!(dmx_set_pes_filter, dmx_set_pes_filter, PesFilter);
with_number!(fe_send_burst);
with_number!(fe_set_tone);
with_number!(fe_set_voltage);
with_number!(dmx_set_buffer_size);

pub(super) fn fe_get_info(fd: BorrowedFd<'_>) -> Result<Info> {
    let mut info = Info { name: [0; 128], rest: [0; 10] };
    fe_get_info_into(fd, &mut info).map(|()| info)
}

pub(super) fn fe_send_master(fd: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    let mut msg = [0; 6];
    let len = message.len().min(6);
    msg[..len].copy_from_slice(&message[..len]);
    let command = Master { msg, len: u8::try_from(len).unwrap_or(6) };
    // SAFETY: the pointer is to a live value of the type the request is defined with.
    unsafe { call::fe_send_master(fd.as_raw_fd(), &command) }.map(drop)
}

pub(super) fn fe_set_property(fd: BorrowedFd<'_>, list: &mut [Property]) -> Result<()> {
    let properties = Properties { num: u32::try_from(list.len()).unwrap_or(u32::MAX), props: list.as_mut_ptr() };
    // SAFETY: `props` points to `num` live properties for the time of the call.
    unsafe { call::fe_set_property(fd.as_raw_fd(), &properties) }.map(drop)
}

pub(super) fn fe_get_property(fd: BorrowedFd<'_>, list: &mut [Property]) -> Result<()> {
    let mut properties = Properties { num: u32::try_from(list.len()).unwrap_or(u32::MAX), props: list.as_mut_ptr() };
    // SAFETY: `props` points to `num` live properties for the time of the call.
    unsafe { call::fe_get_property(fd.as_raw_fd(), &mut properties) }.map(drop)
}

pub(super) fn dmx_stop(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the request has no argument.
    unsafe { call::dmx_stop(fd.as_raw_fd()) }.map(drop)
}
