//! `linux/dvb/ca.h`, made by bindgen; `make` it anew with the `regenerate` feature.

pub const CA_CI: u32 = 1;
pub const CA_CI_LINK: u32 = 2;
pub const CA_CI_PHYS: u32 = 4;
pub const CA_DESCR: u32 = 8;
pub const CA_SC: u32 = 128;
pub const CA_CI_MODULE_PRESENT: u32 = 1;
pub const CA_CI_MODULE_READY: u32 = 2;
pub const CA_ECD: u32 = 1;
pub const CA_NDS: u32 = 2;
pub const CA_DSS: u32 = 4;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ca_slot_info {
    pub num: std::ffi::c_int,
    pub type_: std::ffi::c_int,
    pub flags: std::ffi::c_uint,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ca_slot_info"][::std::mem::size_of::<ca_slot_info>() - 12usize];
    ["Alignment of ca_slot_info"][::std::mem::align_of::<ca_slot_info>() - 4usize];
    ["Offset of field: ca_slot_info::num"][::std::mem::offset_of!(ca_slot_info, num) - 0usize];
    ["Offset of field: ca_slot_info::type_"][::std::mem::offset_of!(ca_slot_info, type_) - 4usize];
    ["Offset of field: ca_slot_info::flags"][::std::mem::offset_of!(ca_slot_info, flags) - 8usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ca_descr_info {
    pub num: std::ffi::c_uint,
    pub type_: std::ffi::c_uint,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ca_descr_info"][::std::mem::size_of::<ca_descr_info>() - 8usize];
    ["Alignment of ca_descr_info"][::std::mem::align_of::<ca_descr_info>() - 4usize];
    ["Offset of field: ca_descr_info::num"][::std::mem::offset_of!(ca_descr_info, num) - 0usize];
    ["Offset of field: ca_descr_info::type_"][::std::mem::offset_of!(ca_descr_info, type_) - 4usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ca_caps {
    pub slot_num: std::ffi::c_uint,
    pub slot_type: std::ffi::c_uint,
    pub descr_num: std::ffi::c_uint,
    pub descr_type: std::ffi::c_uint,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ca_caps"][::std::mem::size_of::<ca_caps>() - 16usize];
    ["Alignment of ca_caps"][::std::mem::align_of::<ca_caps>() - 4usize];
    ["Offset of field: ca_caps::slot_num"][::std::mem::offset_of!(ca_caps, slot_num) - 0usize];
    ["Offset of field: ca_caps::slot_type"][::std::mem::offset_of!(ca_caps, slot_type) - 4usize];
    ["Offset of field: ca_caps::descr_num"][::std::mem::offset_of!(ca_caps, descr_num) - 8usize];
    ["Offset of field: ca_caps::descr_type"][::std::mem::offset_of!(ca_caps, descr_type) - 12usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ca_msg {
    pub index: std::ffi::c_uint,
    pub type_: std::ffi::c_uint,
    pub length: std::ffi::c_uint,
    pub msg: [std::ffi::c_uchar; 256usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ca_msg"][::std::mem::size_of::<ca_msg>() - 268usize];
    ["Alignment of ca_msg"][::std::mem::align_of::<ca_msg>() - 4usize];
    ["Offset of field: ca_msg::index"][::std::mem::offset_of!(ca_msg, index) - 0usize];
    ["Offset of field: ca_msg::type_"][::std::mem::offset_of!(ca_msg, type_) - 4usize];
    ["Offset of field: ca_msg::length"][::std::mem::offset_of!(ca_msg, length) - 8usize];
    ["Offset of field: ca_msg::msg"][::std::mem::offset_of!(ca_msg, msg) - 12usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ca_descr {
    pub index: std::ffi::c_uint,
    pub parity: std::ffi::c_uint,
    pub cw: [std::ffi::c_uchar; 8usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of ca_descr"][::std::mem::size_of::<ca_descr>() - 16usize];
    ["Alignment of ca_descr"][::std::mem::align_of::<ca_descr>() - 4usize];
    ["Offset of field: ca_descr::index"][::std::mem::offset_of!(ca_descr, index) - 0usize];
    ["Offset of field: ca_descr::parity"][::std::mem::offset_of!(ca_descr, parity) - 4usize];
    ["Offset of field: ca_descr::cw"][::std::mem::offset_of!(ca_descr, cw) - 8usize];
};
pub type ca_slot_info_t = ca_slot_info;
pub type ca_descr_info_t = ca_descr_info;
pub type ca_caps_t = ca_caps;
pub type ca_msg_t = ca_msg;
pub type ca_descr_t = ca_descr;
