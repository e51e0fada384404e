//! `linux/dvb/dmx.h`, made by bindgen; `make` it anew with the `regenerate` feature.

pub const DMX_FILTER_SIZE: u32 = 16;
pub const DMX_CHECK_CRC: u32 = 1;
pub const DMX_ONESHOT: u32 = 2;
pub const DMX_IMMEDIATE_START: u32 = 4;
pub type __u8 = std::ffi::c_uchar;
pub type __u16 = std::ffi::c_ushort;
pub type __s32 = std::ffi::c_int;
pub type __u32 = std::ffi::c_uint;
pub type __u64 = std::ffi::c_ulonglong;
pub const DMX_OUT_DECODER: dmx_output = 0;
pub const DMX_OUT_TAP: dmx_output = 1;
pub const DMX_OUT_TS_TAP: dmx_output = 2;
pub const DMX_OUT_TSDEMUX_TAP: dmx_output = 3;
pub type dmx_output = std::ffi::c_uint;
pub const DMX_IN_FRONTEND: dmx_input = 0;
pub const DMX_IN_DVR: dmx_input = 1;
pub type dmx_input = std::ffi::c_uint;
pub const DMX_PES_AUDIO0: dmx_ts_pes = 0;
pub const DMX_PES_VIDEO0: dmx_ts_pes = 1;
pub const DMX_PES_TELETEXT0: dmx_ts_pes = 2;
pub const DMX_PES_SUBTITLE0: dmx_ts_pes = 3;
pub const DMX_PES_PCR0: dmx_ts_pes = 4;
pub const DMX_PES_AUDIO1: dmx_ts_pes = 5;
pub const DMX_PES_VIDEO1: dmx_ts_pes = 6;
pub const DMX_PES_TELETEXT1: dmx_ts_pes = 7;
pub const DMX_PES_SUBTITLE1: dmx_ts_pes = 8;
pub const DMX_PES_PCR1: dmx_ts_pes = 9;
pub const DMX_PES_AUDIO2: dmx_ts_pes = 10;
pub const DMX_PES_VIDEO2: dmx_ts_pes = 11;
pub const DMX_PES_TELETEXT2: dmx_ts_pes = 12;
pub const DMX_PES_SUBTITLE2: dmx_ts_pes = 13;
pub const DMX_PES_PCR2: dmx_ts_pes = 14;
pub const DMX_PES_AUDIO3: dmx_ts_pes = 15;
pub const DMX_PES_VIDEO3: dmx_ts_pes = 16;
pub const DMX_PES_TELETEXT3: dmx_ts_pes = 17;
pub const DMX_PES_SUBTITLE3: dmx_ts_pes = 18;
pub const DMX_PES_PCR3: dmx_ts_pes = 19;
pub const DMX_PES_OTHER: dmx_ts_pes = 20;
pub type dmx_ts_pes = std::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_filter {
    pub filter: [__u8; 16usize],
    pub mask: [__u8; 16usize],
    pub mode: [__u8; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_filter"][::std::mem::size_of::<dmx_filter>() - 48usize];
    ["Alignment of dmx_filter"][::std::mem::align_of::<dmx_filter>() - 1usize];
    ["Offset of field: dmx_filter::filter"][::std::mem::offset_of!(dmx_filter, filter) - 0usize];
    ["Offset of field: dmx_filter::mask"][::std::mem::offset_of!(dmx_filter, mask) - 16usize];
    ["Offset of field: dmx_filter::mode"][::std::mem::offset_of!(dmx_filter, mode) - 32usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_sct_filter_params {
    pub pid: __u16,
    pub filter: dmx_filter,
    pub timeout: __u32,
    pub flags: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_sct_filter_params"][::std::mem::size_of::<dmx_sct_filter_params>() - 60usize];
    ["Alignment of dmx_sct_filter_params"][::std::mem::align_of::<dmx_sct_filter_params>() - 4usize];
    ["Offset of field: dmx_sct_filter_params::pid"][::std::mem::offset_of!(dmx_sct_filter_params, pid) - 0usize];
    ["Offset of field: dmx_sct_filter_params::filter"][::std::mem::offset_of!(dmx_sct_filter_params, filter) - 2usize];
    ["Offset of field: dmx_sct_filter_params::timeout"]
        [::std::mem::offset_of!(dmx_sct_filter_params, timeout) - 52usize];
    ["Offset of field: dmx_sct_filter_params::flags"][::std::mem::offset_of!(dmx_sct_filter_params, flags) - 56usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_pes_filter_params {
    pub pid: __u16,
    pub input: dmx_input,
    pub output: dmx_output,
    pub pes_type: dmx_ts_pes,
    pub flags: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_pes_filter_params"][::std::mem::size_of::<dmx_pes_filter_params>() - 20usize];
    ["Alignment of dmx_pes_filter_params"][::std::mem::align_of::<dmx_pes_filter_params>() - 4usize];
    ["Offset of field: dmx_pes_filter_params::pid"][::std::mem::offset_of!(dmx_pes_filter_params, pid) - 0usize];
    ["Offset of field: dmx_pes_filter_params::input"][::std::mem::offset_of!(dmx_pes_filter_params, input) - 4usize];
    ["Offset of field: dmx_pes_filter_params::output"][::std::mem::offset_of!(dmx_pes_filter_params, output) - 8usize];
    ["Offset of field: dmx_pes_filter_params::pes_type"]
        [::std::mem::offset_of!(dmx_pes_filter_params, pes_type) - 12usize];
    ["Offset of field: dmx_pes_filter_params::flags"][::std::mem::offset_of!(dmx_pes_filter_params, flags) - 16usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_stc {
    pub num: std::ffi::c_uint,
    pub base: std::ffi::c_uint,
    pub stc: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_stc"][::std::mem::size_of::<dmx_stc>() - 16usize];
    ["Alignment of dmx_stc"][::std::mem::align_of::<dmx_stc>() - 8usize];
    ["Offset of field: dmx_stc::num"][::std::mem::offset_of!(dmx_stc, num) - 0usize];
    ["Offset of field: dmx_stc::base"][::std::mem::offset_of!(dmx_stc, base) - 4usize];
    ["Offset of field: dmx_stc::stc"][::std::mem::offset_of!(dmx_stc, stc) - 8usize];
};
pub const DMX_BUFFER_FLAG_HAD_CRC32_DISCARD: dmx_buffer_flags = 1;
pub const DMX_BUFFER_FLAG_TEI: dmx_buffer_flags = 2;
pub const DMX_BUFFER_PKT_COUNTER_MISMATCH: dmx_buffer_flags = 4;
pub const DMX_BUFFER_FLAG_DISCONTINUITY_DETECTED: dmx_buffer_flags = 8;
pub const DMX_BUFFER_FLAG_DISCONTINUITY_INDICATOR: dmx_buffer_flags = 16;
pub type dmx_buffer_flags = std::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_buffer {
    pub index: __u32,
    pub bytesused: __u32,
    pub offset: __u32,
    pub length: __u32,
    pub flags: __u32,
    pub count: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_buffer"][::std::mem::size_of::<dmx_buffer>() - 24usize];
    ["Alignment of dmx_buffer"][::std::mem::align_of::<dmx_buffer>() - 4usize];
    ["Offset of field: dmx_buffer::index"][::std::mem::offset_of!(dmx_buffer, index) - 0usize];
    ["Offset of field: dmx_buffer::bytesused"][::std::mem::offset_of!(dmx_buffer, bytesused) - 4usize];
    ["Offset of field: dmx_buffer::offset"][::std::mem::offset_of!(dmx_buffer, offset) - 8usize];
    ["Offset of field: dmx_buffer::length"][::std::mem::offset_of!(dmx_buffer, length) - 12usize];
    ["Offset of field: dmx_buffer::flags"][::std::mem::offset_of!(dmx_buffer, flags) - 16usize];
    ["Offset of field: dmx_buffer::count"][::std::mem::offset_of!(dmx_buffer, count) - 20usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_requestbuffers {
    pub count: __u32,
    pub size: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_requestbuffers"][::std::mem::size_of::<dmx_requestbuffers>() - 8usize];
    ["Alignment of dmx_requestbuffers"][::std::mem::align_of::<dmx_requestbuffers>() - 4usize];
    ["Offset of field: dmx_requestbuffers::count"][::std::mem::offset_of!(dmx_requestbuffers, count) - 0usize];
    ["Offset of field: dmx_requestbuffers::size"][::std::mem::offset_of!(dmx_requestbuffers, size) - 4usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dmx_exportbuffer {
    pub index: __u32,
    pub flags: __u32,
    pub fd: __s32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dmx_exportbuffer"][::std::mem::size_of::<dmx_exportbuffer>() - 12usize];
    ["Alignment of dmx_exportbuffer"][::std::mem::align_of::<dmx_exportbuffer>() - 4usize];
    ["Offset of field: dmx_exportbuffer::index"][::std::mem::offset_of!(dmx_exportbuffer, index) - 0usize];
    ["Offset of field: dmx_exportbuffer::flags"][::std::mem::offset_of!(dmx_exportbuffer, flags) - 4usize];
    ["Offset of field: dmx_exportbuffer::fd"][::std::mem::offset_of!(dmx_exportbuffer, fd) - 8usize];
};
pub use self::dmx_input as dmx_input_t;
pub use self::dmx_output as dmx_output_t;
pub use self::dmx_ts_pes as dmx_pes_type_t;
pub type dmx_filter_t = dmx_filter;
