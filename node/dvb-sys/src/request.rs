//! ioctl numbers of the DVB devices, computed as `asm-generic/ioctl.h` does.
//!
//! The number holds direction, size of the argument, the letter `o` and a count, so the kernel refuses a structure of the
//! wrong size with ENOTTY. x86-64 and aarch64 use the generic layout: direction in bits 30 and 31, size in 16 to 29.

use std::ffi::c_ulong;

use crate::types::{
    ca_caps, ca_descr, ca_descr_info, ca_msg, ca_slot_info, dmx_pes_filter_params, dmx_sct_filter_params,
    dtv_properties, dvb_diseqc_master_cmd, dvb_diseqc_slave_reply, dvb_frontend_event, dvb_frontend_info,
};

const NONE: c_ulong = 0;
const WRITE: c_ulong = 1;
const READ: c_ulong = 2;

const fn number<T>(direction: c_ulong, count: c_ulong) -> c_ulong {
    direction << 30 | (size_of::<T>() as c_ulong) << 16 | (b'o' as c_ulong) << 8 | count
}

/// Name, limits and capability bits of a frontend.
pub const FE_GET_INFO: c_ulong = number::<dvb_frontend_info>(READ, 61);
/// Ends a short-circuit shutdown of the LNB supply.
pub const FE_DISEQC_RESET_OVERLOAD: c_ulong = number::<()>(NONE, 62);
/// Sends a DiSEqC message.
pub const FE_DISEQC_SEND_MASTER_CMD: c_ulong = number::<dvb_diseqc_master_cmd>(WRITE, 63);
/// Reads the answer to a DiSEqC 2.x message.
pub const FE_DISEQC_RECV_SLAVE_REPLY: c_ulong = number::<dvb_diseqc_slave_reply>(READ, 64);
/// Sends a tone burst.
pub const FE_DISEQC_SEND_BURST: c_ulong = number::<()>(NONE, 65);
/// Continuous 22 kHz tone on or off.
pub const FE_SET_TONE: c_ulong = number::<()>(NONE, 66);
/// LNB supply: 13 V, 18 V, off.
pub const FE_SET_VOLTAGE: c_ulong = number::<()>(NONE, 67);
/// About one volt more, for long cables.
pub const FE_ENABLE_HIGH_LNB_VOLTAGE: c_ulong = number::<()>(NONE, 68);
/// Lock bits.
pub const FE_READ_STATUS: c_ulong = number::<u32>(READ, 69);
/// API 3: bit errors, unit unknown.
pub const FE_READ_BER: c_ulong = number::<u32>(READ, 70);
/// API 3: strength, unit unknown.
pub const FE_READ_SIGNAL_STRENGTH: c_ulong = number::<u16>(READ, 71);
/// API 3: quality, unit unknown.
pub const FE_READ_SNR: c_ulong = number::<u16>(READ, 72);
/// API 3: uncorrected blocks.
pub const FE_READ_UNCORRECTED_BLOCKS: c_ulong = number::<u32>(READ, 73);
/// Next event of at most eight that are queued.
pub const FE_GET_EVENT: c_ulong = number::<dvb_frontend_event>(READ, 78);
/// Zigzag or one shot.
pub const FE_SET_FRONTEND_TUNE_MODE: c_ulong = number::<()>(NONE, 81);
/// Sets properties; the last may be `DTV_TUNE`.
pub const FE_SET_PROPERTY: c_ulong = number::<dtv_properties>(WRITE, 82);
/// Reads properties.
pub const FE_GET_PROPERTY: c_ulong = number::<dtv_properties>(READ, 83);

/// Starts a filter.
pub const DMX_START: c_ulong = number::<()>(NONE, 41);
/// Stops a filter.
pub const DMX_STOP: c_ulong = number::<()>(NONE, 42);
/// Section filter.
pub const DMX_SET_FILTER: c_ulong = number::<dmx_sct_filter_params>(WRITE, 43);
/// PID filter.
pub const DMX_SET_PES_FILTER: c_ulong = number::<dmx_pes_filter_params>(WRITE, 44);
/// Ring of a demux or dvr descriptor.
pub const DMX_SET_BUFFER_SIZE: c_ulong = number::<()>(NONE, 45);
/// One more PID into a filter that runs.
pub const DMX_ADD_PID: c_ulong = number::<u16>(WRITE, 51);
/// One PID less.
pub const DMX_REMOVE_PID: c_ulong = number::<u16>(WRITE, 52);

/// Resets the slots.
pub const CA_RESET: c_ulong = number::<()>(NONE, 128);
/// Slots, descramblers and their kinds.
pub const CA_GET_CAP: c_ulong = number::<ca_caps>(READ, 129);
/// One slot: module present, module ready.
pub const CA_GET_SLOT_INFO: c_ulong = number::<ca_slot_info>(READ, 130);
/// Descramblers.
pub const CA_GET_DESCR_INFO: c_ulong = number::<ca_descr_info>(READ, 131);
/// Message from a high-level interface.
pub const CA_GET_MSG: c_ulong = number::<ca_msg>(READ, 132);
/// Message to a high-level interface.
pub const CA_SEND_MSG: c_ulong = number::<ca_msg>(WRITE, 133);
/// Control word for a hardware descrambler.
pub const CA_SET_DESCR: c_ulong = number::<ca_descr>(WRITE, 134);

#[cfg(test)]
mod tests {
    use super::*;

    /// As `strace -X raw` shows them, and as the macros of the headers give them in C on both architectures.
    #[test]
    fn numbers_are_those_of_the_kernel() {
        let table: [(c_ulong, c_ulong); 31] = [
            (FE_GET_INFO, 0x80A8_6F3D),
            (FE_DISEQC_RESET_OVERLOAD, 0x6F3E),
            (FE_DISEQC_SEND_MASTER_CMD, 0x4007_6F3F),
            (FE_DISEQC_RECV_SLAVE_REPLY, 0x800C_6F40),
            (FE_DISEQC_SEND_BURST, 0x6F41),
            (FE_SET_TONE, 0x6F42),
            (FE_SET_VOLTAGE, 0x6F43),
            (FE_ENABLE_HIGH_LNB_VOLTAGE, 0x6F44),
            (FE_READ_STATUS, 0x8004_6F45),
            (FE_READ_BER, 0x8004_6F46),
            (FE_READ_SIGNAL_STRENGTH, 0x8002_6F47),
            (FE_READ_SNR, 0x8002_6F48),
            (FE_READ_UNCORRECTED_BLOCKS, 0x8004_6F49),
            (FE_GET_EVENT, 0x8028_6F4E),
            (FE_SET_FRONTEND_TUNE_MODE, 0x6F51),
            (FE_SET_PROPERTY, 0x4010_6F52),
            (FE_GET_PROPERTY, 0x8010_6F53),
            (DMX_START, 0x6F29),
            (DMX_STOP, 0x6F2A),
            (DMX_SET_FILTER, 0x403C_6F2B),
            (DMX_SET_PES_FILTER, 0x4014_6F2C),
            (DMX_SET_BUFFER_SIZE, 0x6F2D),
            (DMX_ADD_PID, 0x4002_6F33),
            (DMX_REMOVE_PID, 0x4002_6F34),
            (CA_RESET, 0x6F80),
            (CA_GET_CAP, 0x8010_6F81),
            (CA_GET_SLOT_INFO, 0x800C_6F82),
            (CA_GET_DESCR_INFO, 0x8008_6F83),
            (CA_GET_MSG, 0x810C_6F84),
            (CA_SEND_MSG, 0x410C_6F85),
            (CA_SET_DESCR, 0x4010_6F86),
        ];
        for (ours, kernels) in table {
            assert_eq!(format!("{ours:#X}"), format!("{kernels:#X}"));
        }
    }
}
