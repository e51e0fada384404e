//! Calls on `frontendN`, and the properties of API 5 as plain values.
//!
//! All of them queue behind the kernel's own thread of that frontend, so any may block for as long as the driver does.

#![expect(unsafe_code, reason = "typed calls and the unions of the kernel's structures")]

use std::ffi::c_ulong;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::call;
use crate::request;
use crate::types::{
    dtv_properties, dtv_property, dtv_property__bindgen_ty_1, dvb_diseqc_master_cmd, dvb_frontend_event,
    dvb_frontend_info, fe_sec_mini_cmd, fe_sec_tone_mode, fe_sec_voltage,
};

/// The most properties of one call (`DTV_IOCTL_MAX_MSGS`).
pub const PROPERTIES_MAX: usize = 64;
/// The longest DiSEqC message, bytes.
pub const MESSAGE_BYTES_MAX: usize = 6;

/// One figure of a `DTV_STAT_*` property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `fecap_scale_params`: 0 not available, 1 decibel, 2 relative, 3 counter.
    pub scale: u8,
    /// The eight bytes as a signed number: 0.001 dB or dBm on the decibel scale.
    pub value: i64,
}

impl Stat {
    /// The same bytes as an unsigned number, for the relative and the counter scale.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        u64::from_ne_bytes(self.value.to_ne_bytes())
    }
}

/// A property to set, or to ask for with any `value`.
#[must_use]
pub fn property(command: u32, value: u32) -> dtv_property {
    // SAFETY: the structure is numbers and one pointer the kernel does not use; zeroes are good.
    let mut property: dtv_property = unsafe { std::mem::zeroed() };
    property.cmd = command;
    property.u = dtv_property__bindgen_ty_1 { data: value };
    // The union's other bytes are undefined after an assignment of the whole: they are written again.
    zero_behind_data(&mut property);
    property
}

fn zero_behind_data(property: &mut dtv_property) {
    // SAFETY: every member of the union is made of bytes; `buffer` is the largest and covers it whole.
    unsafe {
        let data = property.u.data;
        property.u.buffer = std::mem::zeroed();
        property.u.data = data;
    }
}

/// The number in a property that was read.
#[must_use]
pub fn value(property: &dtv_property) -> u32 {
    // SAFETY: all bytes of the union were initialised by `property`, and any bytes are a number.
    unsafe { property.u.data }
}

/// The bytes of a property such as `DTV_ENUM_DELSYS`, at most 32 whatever length the driver claims.
#[must_use]
pub fn bytes(property: &dtv_property) -> Vec<u8> {
    // SAFETY: as in `value`; the pointer among the fields is not read.
    let (data, len) = unsafe { (property.u.buffer.data, property.u.buffer.len) };
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(data.len());
    data[..len].to_vec()
}

/// The figures of a `DTV_STAT_*` property, at most four whatever length the driver claims; empty: not provided.
#[must_use]
pub fn stats(property: &dtv_property) -> Vec<Stat> {
    // SAFETY: as in `value`: numbers all through.
    let (len, stats) = unsafe { (property.u.st.len, property.u.st.stat) };
    let stats = stats.iter().take(usize::from(len));
    // SAFETY: both members of the inner union are eight bytes of number.
    stats.map(|stat| Stat { scale: stat.scale, value: unsafe { stat.__bindgen_anon_1.svalue } }).collect()
}

/// Name, limits and capabilities.
///
/// # Errors
/// The kernel's, ENODEV after removal.
pub fn info(fd: impl AsFd) -> Result<dvb_frontend_info, Errno> {
    // SAFETY: FE_GET_INFO writes a `dvb_frontend_info`, which is numbers.
    unsafe { call::get(fd, request::FE_GET_INFO) }
}

/// Sets properties in order.
///
/// # Errors
/// E2BIG over [`PROPERTIES_MAX`]; EINVAL out of the frontend's range; EPERM on a read-only descriptor.
pub fn set_properties(fd: impl AsFd, properties: &mut [dtv_property]) -> Result<(), Errno> {
    exchange(fd, request::FE_SET_PROPERTY, properties)
}

/// Reads the properties whose commands are given, in place.
///
/// # Errors
/// E2BIG over [`PROPERTIES_MAX`], and the kernel's.
pub fn get_properties(fd: impl AsFd, properties: &mut [dtv_property]) -> Result<(), Errno> {
    exchange(fd, request::FE_GET_PROPERTY, properties)
}

fn exchange(fd: impl AsFd, request: c_ulong, properties: &mut [dtv_property]) -> Result<(), Errno> {
    let num = u32::try_from(properties.len()).ok().filter(|num| *num as usize <= PROPERTIES_MAX).ok_or(Errno::E2BIG)?;
    let mut list = dtv_properties { num, props: properties.as_mut_ptr() };
    // SAFETY: both requests take a `dtv_properties`; its pointer leads to `num` properties that are ours for the call.
    unsafe { call::with(fd, request, &mut list) }
}

/// Lock bits (`fe_status`); 0 while a retune is pending.
///
/// # Errors
/// The kernel's, ENODEV after removal.
pub fn read_status(fd: impl AsFd) -> Result<u32, Errno> {
    // SAFETY: FE_READ_STATUS writes a 32-bit number.
    unsafe { call::get(fd, request::FE_READ_STATUS) }
}

/// The next event of the queue.
///
/// # Errors
/// EWOULDBLOCK when there is none, EOVERFLOW once when some were lost.
pub fn event(fd: impl AsFd) -> Result<dvb_frontend_event, Errno> {
    // SAFETY: FE_GET_EVENT writes a `dvb_frontend_event`, which is numbers and a union of numbers.
    unsafe { call::get(fd, request::FE_GET_EVENT) }
}

/// API 3 figures, for drivers that give no others: strength and quality (0 to 65535, unit unknown), bit errors, blocks.
///
/// # Errors
/// ENOTTY, EOPNOTSUPP where the driver has none of it.
pub fn legacy_figures(fd: impl AsFd + Copy) -> Result<(u16, u16, u32, u32), Errno> {
    // SAFETY: the four requests write a 16-bit or 32-bit number each, as typed here.
    unsafe {
        Ok((
            call::get(fd, request::FE_READ_SIGNAL_STRENGTH)?,
            call::get(fd, request::FE_READ_SNR)?,
            call::get(fd, request::FE_READ_BER)?,
            call::get(fd, request::FE_READ_UNCORRECTED_BLOCKS)?,
        ))
    }
}

/// Continuous 22 kHz tone.
///
/// # Errors
/// The kernel's.
pub fn set_tone(fd: impl AsFd, tone: fe_sec_tone_mode) -> Result<(), Errno> {
    call::plain(fd, request::FE_SET_TONE, tone.into())
}

/// LNB supply.
///
/// # Errors
/// The kernel's.
pub fn set_voltage(fd: impl AsFd, voltage: fe_sec_voltage) -> Result<(), Errno> {
    call::plain(fd, request::FE_SET_VOLTAGE, voltage.into())
}

/// About a volt more on the cable.
///
/// # Errors
/// EOPNOTSUPP where the hardware cannot.
pub fn set_high_voltage(fd: impl AsFd, on: bool) -> Result<(), Errno> {
    call::plain(fd, request::FE_ENABLE_HIGH_LNB_VOLTAGE, on.into())
}

/// Tone burst A or B.
///
/// # Errors
/// The kernel's.
pub fn send_burst(fd: impl AsFd, burst: fe_sec_mini_cmd) -> Result<(), Errno> {
    call::plain(fd, request::FE_DISEQC_SEND_BURST, burst.into())
}

/// Sends a DiSEqC message of 3 to 6 bytes.
///
/// # Errors
/// EINVAL for other lengths, and the kernel's.
pub fn send_message(fd: impl AsFd, message: &[u8]) -> Result<(), Errno> {
    let msg_len = u8::try_from(message.len()).map_err(|_| Errno::EINVAL)?;
    let mut command = dvb_diseqc_master_cmd { msg: [0; MESSAGE_BYTES_MAX], msg_len };
    command.msg.get_mut(..message.len()).ok_or(Errno::EINVAL)?.copy_from_slice(message);
    // SAFETY: FE_DISEQC_SEND_MASTER_CMD reads a `dvb_diseqc_master_cmd`.
    unsafe { call::with(fd, request::FE_DISEQC_SEND_MASTER_CMD, &mut command) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DTV_ENUM_DELSYS, dtv_fe_stats, dtv_stats, dtv_stats__bindgen_ty_1};

    #[test]
    fn layouts_of_what_the_calls_carry() {
        assert_eq!((size_of::<dtv_property>(), align_of::<dtv_property>()), (76, 1));
        assert_eq!((size_of::<dtv_properties>(), size_of::<dtv_fe_stats>()), (16, 37));
        assert_eq!((size_of::<dvb_frontend_info>(), size_of::<dvb_frontend_event>()), (168, 40));
    }

    #[test]
    fn properties_read_back_what_the_driver_wrote() {
        let mut read = property(DTV_ENUM_DELSYS, 7);
        assert_eq!((value(&read), bytes(&read)), (7, vec![]));
        let mut data = [0; 32];
        data[..2].copy_from_slice(&[5, 6]);
        read.u.buffer.data = data;
        read.u.buffer.len = 2;
        assert_eq!(bytes(&read), [5, 6]);
        // A driver that claims more than there is.
        read.u.buffer.len = u32::MAX;
        assert_eq!(bytes(&read).len(), 32);
    }

    #[test]
    fn figures_are_bounded_by_the_structure() {
        let stat = |scale, svalue| dtv_stats { scale, __bindgen_anon_1: dtv_stats__bindgen_ty_1 { svalue } };
        let mut read = property(0, 0);
        assert_eq!(stats(&read), []);
        read.u.st = dtv_fe_stats { len: 255, stat: [stat(1, -34_000), stat(2, -1), stat(3, 9), stat(0, 0)] };
        let figures = stats(&read);
        assert_eq!((figures.len(), figures[0]), (4, Stat { scale: 1, value: -34_000 }));
        assert_eq!(figures[1].unsigned(), u64::MAX);
    }

    #[test]
    fn calls_on_something_else_are_refused_by_the_kernel() {
        let file = std::fs::OpenOptions::new().read(true).open("/dev/null").unwrap();
        assert_eq!(info(&file).err(), Some(Errno::ENOTTY));
        assert_eq!(read_status(&file).err(), Some(Errno::ENOTTY));
        assert_eq!(set_tone(&file, 0).err(), Some(Errno::ENOTTY));
        assert_eq!(send_message(&file, &[0; 7]).err(), Some(Errno::EINVAL));
        let mut many = vec![property(0, 0); 65];
        assert_eq!(set_properties(&file, &mut many).err(), Some(Errno::E2BIG));
    }
}
