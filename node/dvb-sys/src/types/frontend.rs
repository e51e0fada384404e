//! `linux/dvb/frontend.h`, made by bindgen; `make` it anew with the `regenerate` feature.

pub const DTV_UNDEFINED: u32 = 0;
pub const DTV_TUNE: u32 = 1;
pub const DTV_CLEAR: u32 = 2;
pub const DTV_FREQUENCY: u32 = 3;
pub const DTV_MODULATION: u32 = 4;
pub const DTV_BANDWIDTH_HZ: u32 = 5;
pub const DTV_INVERSION: u32 = 6;
pub const DTV_DISEQC_MASTER: u32 = 7;
pub const DTV_SYMBOL_RATE: u32 = 8;
pub const DTV_INNER_FEC: u32 = 9;
pub const DTV_VOLTAGE: u32 = 10;
pub const DTV_TONE: u32 = 11;
pub const DTV_PILOT: u32 = 12;
pub const DTV_ROLLOFF: u32 = 13;
pub const DTV_DISEQC_SLAVE_REPLY: u32 = 14;
pub const DTV_FE_CAPABILITY_COUNT: u32 = 15;
pub const DTV_FE_CAPABILITY: u32 = 16;
pub const DTV_DELIVERY_SYSTEM: u32 = 17;
pub const DTV_API_VERSION: u32 = 35;
pub const DTV_CODE_RATE_HP: u32 = 36;
pub const DTV_CODE_RATE_LP: u32 = 37;
pub const DTV_GUARD_INTERVAL: u32 = 38;
pub const DTV_TRANSMISSION_MODE: u32 = 39;
pub const DTV_HIERARCHY: u32 = 40;
pub const DTV_STREAM_ID: u32 = 42;
pub const DTV_DVBT2_PLP_ID_LEGACY: u32 = 43;
pub const DTV_ENUM_DELSYS: u32 = 44;
pub const DTV_INTERLEAVING: u32 = 60;
pub const DTV_LNA: u32 = 61;
pub const DTV_STAT_SIGNAL_STRENGTH: u32 = 62;
pub const DTV_STAT_CNR: u32 = 63;
pub const DTV_STAT_PRE_ERROR_BIT_COUNT: u32 = 64;
pub const DTV_STAT_PRE_TOTAL_BIT_COUNT: u32 = 65;
pub const DTV_STAT_POST_ERROR_BIT_COUNT: u32 = 66;
pub const DTV_STAT_POST_TOTAL_BIT_COUNT: u32 = 67;
pub const DTV_STAT_ERROR_BLOCK_COUNT: u32 = 68;
pub const DTV_STAT_TOTAL_BLOCK_COUNT: u32 = 69;
pub const DTV_SCRAMBLING_SEQUENCE_INDEX: u32 = 70;
pub const DTV_MAX_COMMAND: u32 = 70;
pub const NO_STREAM_ID_FILTER: i32 = -1;
pub const DTV_IOCTL_MAX_MSGS: u32 = 64;
pub const FE_TUNE_MODE_ONESHOT: u32 = 1;
pub type __u8 = std::ffi::c_uchar;
pub type __u32 = std::ffi::c_uint;
pub type __s64 = std::ffi::c_longlong;
pub type __u64 = std::ffi::c_ulonglong;
pub const FE_IS_STUPID: fe_caps = 0;
pub const FE_CAN_INVERSION_AUTO: fe_caps = 1;
pub const FE_CAN_FEC_1_2: fe_caps = 2;
pub const FE_CAN_FEC_2_3: fe_caps = 4;
pub const FE_CAN_FEC_3_4: fe_caps = 8;
pub const FE_CAN_FEC_4_5: fe_caps = 16;
pub const FE_CAN_FEC_5_6: fe_caps = 32;
pub const FE_CAN_FEC_6_7: fe_caps = 64;
pub const FE_CAN_FEC_7_8: fe_caps = 128;
pub const FE_CAN_FEC_8_9: fe_caps = 256;
pub const FE_CAN_FEC_AUTO: fe_caps = 512;
pub const FE_CAN_QPSK: fe_caps = 1024;
pub const FE_CAN_QAM_16: fe_caps = 2048;
pub const FE_CAN_QAM_32: fe_caps = 4096;
pub const FE_CAN_QAM_64: fe_caps = 8192;
pub const FE_CAN_QAM_128: fe_caps = 16384;
pub const FE_CAN_QAM_256: fe_caps = 32768;
pub const FE_CAN_QAM_AUTO: fe_caps = 65536;
pub const FE_CAN_TRANSMISSION_MODE_AUTO: fe_caps = 131072;
pub const FE_CAN_BANDWIDTH_AUTO: fe_caps = 262144;
pub const FE_CAN_GUARD_INTERVAL_AUTO: fe_caps = 524288;
pub const FE_CAN_HIERARCHY_AUTO: fe_caps = 1048576;
pub const FE_CAN_8VSB: fe_caps = 2097152;
pub const FE_CAN_16VSB: fe_caps = 4194304;
pub const FE_HAS_EXTENDED_CAPS: fe_caps = 8388608;
pub const FE_CAN_MULTISTREAM: fe_caps = 67108864;
pub const FE_CAN_TURBO_FEC: fe_caps = 134217728;
pub const FE_CAN_2G_MODULATION: fe_caps = 268435456;
pub const FE_NEEDS_BENDING: fe_caps = 536870912;
pub const FE_CAN_RECOVER: fe_caps = 1073741824;
pub const FE_CAN_MUTE_TS: fe_caps = 2147483648;
pub type fe_caps = std::ffi::c_uint;
pub const FE_QPSK: fe_type = 0;
pub const FE_QAM: fe_type = 1;
pub const FE_OFDM: fe_type = 2;
pub const FE_ATSC: fe_type = 3;
pub type fe_type = std::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_frontend_info {
    pub name: [std::ffi::c_char; 128usize],
    pub type_: fe_type,
    pub frequency_min: __u32,
    pub frequency_max: __u32,
    pub frequency_stepsize: __u32,
    pub frequency_tolerance: __u32,
    pub symbol_rate_min: __u32,
    pub symbol_rate_max: __u32,
    pub symbol_rate_tolerance: __u32,
    pub notifier_delay: __u32,
    pub caps: fe_caps,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_frontend_info"][::std::mem::size_of::<dvb_frontend_info>() - 168usize];
    ["Alignment of dvb_frontend_info"][::std::mem::align_of::<dvb_frontend_info>() - 4usize];
    ["Offset of field: dvb_frontend_info::name"][::std::mem::offset_of!(dvb_frontend_info, name) - 0usize];
    ["Offset of field: dvb_frontend_info::type_"][::std::mem::offset_of!(dvb_frontend_info, type_) - 128usize];
    ["Offset of field: dvb_frontend_info::frequency_min"]
        [::std::mem::offset_of!(dvb_frontend_info, frequency_min) - 132usize];
    ["Offset of field: dvb_frontend_info::frequency_max"]
        [::std::mem::offset_of!(dvb_frontend_info, frequency_max) - 136usize];
    ["Offset of field: dvb_frontend_info::frequency_stepsize"]
        [::std::mem::offset_of!(dvb_frontend_info, frequency_stepsize) - 140usize];
    ["Offset of field: dvb_frontend_info::frequency_tolerance"]
        [::std::mem::offset_of!(dvb_frontend_info, frequency_tolerance) - 144usize];
    ["Offset of field: dvb_frontend_info::symbol_rate_min"]
        [::std::mem::offset_of!(dvb_frontend_info, symbol_rate_min) - 148usize];
    ["Offset of field: dvb_frontend_info::symbol_rate_max"]
        [::std::mem::offset_of!(dvb_frontend_info, symbol_rate_max) - 152usize];
    ["Offset of field: dvb_frontend_info::symbol_rate_tolerance"]
        [::std::mem::offset_of!(dvb_frontend_info, symbol_rate_tolerance) - 156usize];
    ["Offset of field: dvb_frontend_info::notifier_delay"]
        [::std::mem::offset_of!(dvb_frontend_info, notifier_delay) - 160usize];
    ["Offset of field: dvb_frontend_info::caps"][::std::mem::offset_of!(dvb_frontend_info, caps) - 164usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_diseqc_master_cmd {
    pub msg: [__u8; 6usize],
    pub msg_len: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_diseqc_master_cmd"][::std::mem::size_of::<dvb_diseqc_master_cmd>() - 7usize];
    ["Alignment of dvb_diseqc_master_cmd"][::std::mem::align_of::<dvb_diseqc_master_cmd>() - 1usize];
    ["Offset of field: dvb_diseqc_master_cmd::msg"][::std::mem::offset_of!(dvb_diseqc_master_cmd, msg) - 0usize];
    ["Offset of field: dvb_diseqc_master_cmd::msg_len"]
        [::std::mem::offset_of!(dvb_diseqc_master_cmd, msg_len) - 6usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_diseqc_slave_reply {
    pub msg: [__u8; 4usize],
    pub msg_len: __u8,
    pub timeout: std::ffi::c_int,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_diseqc_slave_reply"][::std::mem::size_of::<dvb_diseqc_slave_reply>() - 12usize];
    ["Alignment of dvb_diseqc_slave_reply"][::std::mem::align_of::<dvb_diseqc_slave_reply>() - 4usize];
    ["Offset of field: dvb_diseqc_slave_reply::msg"][::std::mem::offset_of!(dvb_diseqc_slave_reply, msg) - 0usize];
    ["Offset of field: dvb_diseqc_slave_reply::msg_len"]
        [::std::mem::offset_of!(dvb_diseqc_slave_reply, msg_len) - 4usize];
    ["Offset of field: dvb_diseqc_slave_reply::timeout"]
        [::std::mem::offset_of!(dvb_diseqc_slave_reply, timeout) - 8usize];
};
pub const SEC_VOLTAGE_13: fe_sec_voltage = 0;
pub const SEC_VOLTAGE_18: fe_sec_voltage = 1;
pub const SEC_VOLTAGE_OFF: fe_sec_voltage = 2;
pub type fe_sec_voltage = std::ffi::c_uint;
pub const SEC_TONE_ON: fe_sec_tone_mode = 0;
pub const SEC_TONE_OFF: fe_sec_tone_mode = 1;
pub type fe_sec_tone_mode = std::ffi::c_uint;
pub const SEC_MINI_A: fe_sec_mini_cmd = 0;
pub const SEC_MINI_B: fe_sec_mini_cmd = 1;
pub type fe_sec_mini_cmd = std::ffi::c_uint;
pub const FE_NONE: fe_status = 0;
pub const FE_HAS_SIGNAL: fe_status = 1;
pub const FE_HAS_CARRIER: fe_status = 2;
pub const FE_HAS_VITERBI: fe_status = 4;
pub const FE_HAS_SYNC: fe_status = 8;
pub const FE_HAS_LOCK: fe_status = 16;
pub const FE_TIMEDOUT: fe_status = 32;
pub const FE_REINIT: fe_status = 64;
pub type fe_status = std::ffi::c_uint;
pub const INVERSION_OFF: fe_spectral_inversion = 0;
pub const INVERSION_ON: fe_spectral_inversion = 1;
pub const INVERSION_AUTO: fe_spectral_inversion = 2;
pub type fe_spectral_inversion = std::ffi::c_uint;
pub const FEC_NONE: fe_code_rate = 0;
pub const FEC_1_2: fe_code_rate = 1;
pub const FEC_2_3: fe_code_rate = 2;
pub const FEC_3_4: fe_code_rate = 3;
pub const FEC_4_5: fe_code_rate = 4;
pub const FEC_5_6: fe_code_rate = 5;
pub const FEC_6_7: fe_code_rate = 6;
pub const FEC_7_8: fe_code_rate = 7;
pub const FEC_8_9: fe_code_rate = 8;
pub const FEC_AUTO: fe_code_rate = 9;
pub const FEC_3_5: fe_code_rate = 10;
pub const FEC_9_10: fe_code_rate = 11;
pub const FEC_2_5: fe_code_rate = 12;
pub type fe_code_rate = std::ffi::c_uint;
pub const QPSK: fe_modulation = 0;
pub const QAM_16: fe_modulation = 1;
pub const QAM_32: fe_modulation = 2;
pub const QAM_64: fe_modulation = 3;
pub const QAM_128: fe_modulation = 4;
pub const QAM_256: fe_modulation = 5;
pub const QAM_AUTO: fe_modulation = 6;
pub const VSB_8: fe_modulation = 7;
pub const VSB_16: fe_modulation = 8;
pub const PSK_8: fe_modulation = 9;
pub const APSK_16: fe_modulation = 10;
pub const APSK_32: fe_modulation = 11;
pub const DQPSK: fe_modulation = 12;
pub const QAM_4_NR: fe_modulation = 13;
pub type fe_modulation = std::ffi::c_uint;
pub const TRANSMISSION_MODE_2K: fe_transmit_mode = 0;
pub const TRANSMISSION_MODE_8K: fe_transmit_mode = 1;
pub const TRANSMISSION_MODE_AUTO: fe_transmit_mode = 2;
pub const TRANSMISSION_MODE_4K: fe_transmit_mode = 3;
pub const TRANSMISSION_MODE_1K: fe_transmit_mode = 4;
pub const TRANSMISSION_MODE_16K: fe_transmit_mode = 5;
pub const TRANSMISSION_MODE_32K: fe_transmit_mode = 6;
pub const TRANSMISSION_MODE_C1: fe_transmit_mode = 7;
pub const TRANSMISSION_MODE_C3780: fe_transmit_mode = 8;
pub type fe_transmit_mode = std::ffi::c_uint;
pub const GUARD_INTERVAL_1_32: fe_guard_interval = 0;
pub const GUARD_INTERVAL_1_16: fe_guard_interval = 1;
pub const GUARD_INTERVAL_1_8: fe_guard_interval = 2;
pub const GUARD_INTERVAL_1_4: fe_guard_interval = 3;
pub const GUARD_INTERVAL_AUTO: fe_guard_interval = 4;
pub const GUARD_INTERVAL_1_128: fe_guard_interval = 5;
pub const GUARD_INTERVAL_19_128: fe_guard_interval = 6;
pub const GUARD_INTERVAL_19_256: fe_guard_interval = 7;
pub const GUARD_INTERVAL_PN420: fe_guard_interval = 8;
pub const GUARD_INTERVAL_PN595: fe_guard_interval = 9;
pub const GUARD_INTERVAL_PN945: fe_guard_interval = 10;
pub type fe_guard_interval = std::ffi::c_uint;
pub const HIERARCHY_NONE: fe_hierarchy = 0;
pub const HIERARCHY_1: fe_hierarchy = 1;
pub const HIERARCHY_2: fe_hierarchy = 2;
pub const HIERARCHY_4: fe_hierarchy = 3;
pub const HIERARCHY_AUTO: fe_hierarchy = 4;
pub type fe_hierarchy = std::ffi::c_uint;
pub const INTERLEAVING_NONE: fe_interleaving = 0;
pub const INTERLEAVING_AUTO: fe_interleaving = 1;
pub const INTERLEAVING_240: fe_interleaving = 2;
pub const INTERLEAVING_720: fe_interleaving = 3;
pub type fe_interleaving = std::ffi::c_uint;
pub const PILOT_ON: fe_pilot = 0;
pub const PILOT_OFF: fe_pilot = 1;
pub const PILOT_AUTO: fe_pilot = 2;
pub type fe_pilot = std::ffi::c_uint;
pub const ROLLOFF_35: fe_rolloff = 0;
pub const ROLLOFF_20: fe_rolloff = 1;
pub const ROLLOFF_25: fe_rolloff = 2;
pub const ROLLOFF_AUTO: fe_rolloff = 3;
pub type fe_rolloff = std::ffi::c_uint;
pub const SYS_UNDEFINED: fe_delivery_system = 0;
pub const SYS_DVBC_ANNEX_A: fe_delivery_system = 1;
pub const SYS_DVBC_ANNEX_B: fe_delivery_system = 2;
pub const SYS_DVBT: fe_delivery_system = 3;
pub const SYS_DSS: fe_delivery_system = 4;
pub const SYS_DVBS: fe_delivery_system = 5;
pub const SYS_DVBS2: fe_delivery_system = 6;
pub const SYS_DVBH: fe_delivery_system = 7;
pub const SYS_ISDBT: fe_delivery_system = 8;
pub const SYS_ISDBS: fe_delivery_system = 9;
pub const SYS_ISDBC: fe_delivery_system = 10;
pub const SYS_ATSC: fe_delivery_system = 11;
pub const SYS_ATSCMH: fe_delivery_system = 12;
pub const SYS_DTMB: fe_delivery_system = 13;
pub const SYS_CMMB: fe_delivery_system = 14;
pub const SYS_DAB: fe_delivery_system = 15;
pub const SYS_DVBT2: fe_delivery_system = 16;
pub const SYS_TURBO: fe_delivery_system = 17;
pub const SYS_DVBC_ANNEX_C: fe_delivery_system = 18;
pub type fe_delivery_system = std::ffi::c_uint;
pub const FE_SCALE_NOT_AVAILABLE: fecap_scale_params = 0;
pub const FE_SCALE_DECIBEL: fecap_scale_params = 1;
pub const FE_SCALE_RELATIVE: fecap_scale_params = 2;
pub const FE_SCALE_COUNTER: fecap_scale_params = 3;
pub type fecap_scale_params = std::ffi::c_uint;
#[repr(C, packed)]
#[derive(Copy, Clone)]
pub struct dtv_stats {
    pub scale: __u8,
    pub __bindgen_anon_1: dtv_stats__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union dtv_stats__bindgen_ty_1 {
    pub uvalue: __u64,
    pub svalue: __s64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_stats__bindgen_ty_1"][::std::mem::size_of::<dtv_stats__bindgen_ty_1>() - 8usize];
    ["Alignment of dtv_stats__bindgen_ty_1"][::std::mem::align_of::<dtv_stats__bindgen_ty_1>() - 8usize];
    ["Offset of field: dtv_stats__bindgen_ty_1::uvalue"]
        [::std::mem::offset_of!(dtv_stats__bindgen_ty_1, uvalue) - 0usize];
    ["Offset of field: dtv_stats__bindgen_ty_1::svalue"]
        [::std::mem::offset_of!(dtv_stats__bindgen_ty_1, svalue) - 0usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_stats"][::std::mem::size_of::<dtv_stats>() - 9usize];
    ["Alignment of dtv_stats"][::std::mem::align_of::<dtv_stats>() - 1usize];
    ["Offset of field: dtv_stats::scale"][::std::mem::offset_of!(dtv_stats, scale) - 0usize];
};
#[repr(C, packed)]
#[derive(Copy, Clone)]
pub struct dtv_fe_stats {
    pub len: __u8,
    pub stat: [dtv_stats; 4usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_fe_stats"][::std::mem::size_of::<dtv_fe_stats>() - 37usize];
    ["Alignment of dtv_fe_stats"][::std::mem::align_of::<dtv_fe_stats>() - 1usize];
    ["Offset of field: dtv_fe_stats::len"][::std::mem::offset_of!(dtv_fe_stats, len) - 0usize];
    ["Offset of field: dtv_fe_stats::stat"][::std::mem::offset_of!(dtv_fe_stats, stat) - 1usize];
};
#[repr(C, packed)]
#[derive(Copy, Clone)]
pub struct dtv_property {
    pub cmd: __u32,
    pub reserved: [__u32; 3usize],
    pub u: dtv_property__bindgen_ty_1,
    pub result: std::ffi::c_int,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union dtv_property__bindgen_ty_1 {
    pub data: __u32,
    pub st: dtv_fe_stats,
    pub buffer: dtv_property__bindgen_ty_1__bindgen_ty_1,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dtv_property__bindgen_ty_1__bindgen_ty_1 {
    pub data: [__u8; 32usize],
    pub len: __u32,
    pub reserved1: [__u32; 3usize],
    pub reserved2: *mut std::ffi::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_property__bindgen_ty_1__bindgen_ty_1"]
        [::std::mem::size_of::<dtv_property__bindgen_ty_1__bindgen_ty_1>() - 56usize];
    ["Alignment of dtv_property__bindgen_ty_1__bindgen_ty_1"]
        [::std::mem::align_of::<dtv_property__bindgen_ty_1__bindgen_ty_1>() - 8usize];
    ["Offset of field: dtv_property__bindgen_ty_1__bindgen_ty_1::data"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1__bindgen_ty_1, data) - 0usize];
    ["Offset of field: dtv_property__bindgen_ty_1__bindgen_ty_1::len"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1__bindgen_ty_1, len) - 32usize];
    ["Offset of field: dtv_property__bindgen_ty_1__bindgen_ty_1::reserved1"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1__bindgen_ty_1, reserved1) - 36usize];
    ["Offset of field: dtv_property__bindgen_ty_1__bindgen_ty_1::reserved2"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1__bindgen_ty_1, reserved2) - 48usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_property__bindgen_ty_1"][::std::mem::size_of::<dtv_property__bindgen_ty_1>() - 56usize];
    ["Alignment of dtv_property__bindgen_ty_1"][::std::mem::align_of::<dtv_property__bindgen_ty_1>() - 8usize];
    ["Offset of field: dtv_property__bindgen_ty_1::data"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1, data) - 0usize];
    ["Offset of field: dtv_property__bindgen_ty_1::st"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1, st) - 0usize];
    ["Offset of field: dtv_property__bindgen_ty_1::buffer"]
        [::std::mem::offset_of!(dtv_property__bindgen_ty_1, buffer) - 0usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_property"][::std::mem::size_of::<dtv_property>() - 76usize];
    ["Alignment of dtv_property"][::std::mem::align_of::<dtv_property>() - 1usize];
    ["Offset of field: dtv_property::cmd"][::std::mem::offset_of!(dtv_property, cmd) - 0usize];
    ["Offset of field: dtv_property::reserved"][::std::mem::offset_of!(dtv_property, reserved) - 4usize];
    ["Offset of field: dtv_property::u"][::std::mem::offset_of!(dtv_property, u) - 16usize];
    ["Offset of field: dtv_property::result"][::std::mem::offset_of!(dtv_property, result) - 72usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dtv_properties {
    pub num: __u32,
    pub props: *mut dtv_property,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dtv_properties"][::std::mem::size_of::<dtv_properties>() - 16usize];
    ["Alignment of dtv_properties"][::std::mem::align_of::<dtv_properties>() - 8usize];
    ["Offset of field: dtv_properties::num"][::std::mem::offset_of!(dtv_properties, num) - 0usize];
    ["Offset of field: dtv_properties::props"][::std::mem::offset_of!(dtv_properties, props) - 8usize];
};
pub const BANDWIDTH_8_MHZ: fe_bandwidth = 0;
pub const BANDWIDTH_7_MHZ: fe_bandwidth = 1;
pub const BANDWIDTH_6_MHZ: fe_bandwidth = 2;
pub const BANDWIDTH_AUTO: fe_bandwidth = 3;
pub const BANDWIDTH_5_MHZ: fe_bandwidth = 4;
pub const BANDWIDTH_10_MHZ: fe_bandwidth = 5;
pub const BANDWIDTH_1_712_MHZ: fe_bandwidth = 6;
pub type fe_bandwidth = std::ffi::c_uint;
pub use self::fe_bandwidth as fe_bandwidth_t;
pub use self::fe_caps as fe_caps_t;
pub use self::fe_code_rate as fe_code_rate_t;
pub use self::fe_delivery_system as fe_delivery_system_t;
pub use self::fe_guard_interval as fe_guard_interval_t;
pub use self::fe_hierarchy as fe_hierarchy_t;
pub use self::fe_modulation as fe_modulation_t;
pub use self::fe_pilot as fe_pilot_t;
pub use self::fe_rolloff as fe_rolloff_t;
pub use self::fe_sec_mini_cmd as fe_sec_mini_cmd_t;
pub use self::fe_sec_tone_mode as fe_sec_tone_mode_t;
pub use self::fe_sec_voltage as fe_sec_voltage_t;
pub use self::fe_spectral_inversion as fe_spectral_inversion_t;
pub use self::fe_status as fe_status_t;
pub use self::fe_transmit_mode as fe_transmit_mode_t;
pub use self::fe_type as fe_type_t;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_qpsk_parameters {
    pub symbol_rate: __u32,
    pub fec_inner: fe_code_rate_t,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_qpsk_parameters"][::std::mem::size_of::<dvb_qpsk_parameters>() - 8usize];
    ["Alignment of dvb_qpsk_parameters"][::std::mem::align_of::<dvb_qpsk_parameters>() - 4usize];
    ["Offset of field: dvb_qpsk_parameters::symbol_rate"]
        [::std::mem::offset_of!(dvb_qpsk_parameters, symbol_rate) - 0usize];
    ["Offset of field: dvb_qpsk_parameters::fec_inner"]
        [::std::mem::offset_of!(dvb_qpsk_parameters, fec_inner) - 4usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_qam_parameters {
    pub symbol_rate: __u32,
    pub fec_inner: fe_code_rate_t,
    pub modulation: fe_modulation_t,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_qam_parameters"][::std::mem::size_of::<dvb_qam_parameters>() - 12usize];
    ["Alignment of dvb_qam_parameters"][::std::mem::align_of::<dvb_qam_parameters>() - 4usize];
    ["Offset of field: dvb_qam_parameters::symbol_rate"]
        [::std::mem::offset_of!(dvb_qam_parameters, symbol_rate) - 0usize];
    ["Offset of field: dvb_qam_parameters::fec_inner"][::std::mem::offset_of!(dvb_qam_parameters, fec_inner) - 4usize];
    ["Offset of field: dvb_qam_parameters::modulation"]
        [::std::mem::offset_of!(dvb_qam_parameters, modulation) - 8usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_vsb_parameters {
    pub modulation: fe_modulation_t,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_vsb_parameters"][::std::mem::size_of::<dvb_vsb_parameters>() - 4usize];
    ["Alignment of dvb_vsb_parameters"][::std::mem::align_of::<dvb_vsb_parameters>() - 4usize];
    ["Offset of field: dvb_vsb_parameters::modulation"]
        [::std::mem::offset_of!(dvb_vsb_parameters, modulation) - 0usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dvb_ofdm_parameters {
    pub bandwidth: fe_bandwidth_t,
    pub code_rate_HP: fe_code_rate_t,
    pub code_rate_LP: fe_code_rate_t,
    pub constellation: fe_modulation_t,
    pub transmission_mode: fe_transmit_mode_t,
    pub guard_interval: fe_guard_interval_t,
    pub hierarchy_information: fe_hierarchy_t,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_ofdm_parameters"][::std::mem::size_of::<dvb_ofdm_parameters>() - 28usize];
    ["Alignment of dvb_ofdm_parameters"][::std::mem::align_of::<dvb_ofdm_parameters>() - 4usize];
    ["Offset of field: dvb_ofdm_parameters::bandwidth"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, bandwidth) - 0usize];
    ["Offset of field: dvb_ofdm_parameters::code_rate_HP"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, code_rate_HP) - 4usize];
    ["Offset of field: dvb_ofdm_parameters::code_rate_LP"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, code_rate_LP) - 8usize];
    ["Offset of field: dvb_ofdm_parameters::constellation"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, constellation) - 12usize];
    ["Offset of field: dvb_ofdm_parameters::transmission_mode"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, transmission_mode) - 16usize];
    ["Offset of field: dvb_ofdm_parameters::guard_interval"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, guard_interval) - 20usize];
    ["Offset of field: dvb_ofdm_parameters::hierarchy_information"]
        [::std::mem::offset_of!(dvb_ofdm_parameters, hierarchy_information) - 24usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct dvb_frontend_parameters {
    pub frequency: __u32,
    pub inversion: fe_spectral_inversion_t,
    pub u: dvb_frontend_parameters__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union dvb_frontend_parameters__bindgen_ty_1 {
    pub qpsk: dvb_qpsk_parameters,
    pub qam: dvb_qam_parameters,
    pub ofdm: dvb_ofdm_parameters,
    pub vsb: dvb_vsb_parameters,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_frontend_parameters__bindgen_ty_1"]
        [::std::mem::size_of::<dvb_frontend_parameters__bindgen_ty_1>() - 28usize];
    ["Alignment of dvb_frontend_parameters__bindgen_ty_1"]
        [::std::mem::align_of::<dvb_frontend_parameters__bindgen_ty_1>() - 4usize];
    ["Offset of field: dvb_frontend_parameters__bindgen_ty_1::qpsk"]
        [::std::mem::offset_of!(dvb_frontend_parameters__bindgen_ty_1, qpsk) - 0usize];
    ["Offset of field: dvb_frontend_parameters__bindgen_ty_1::qam"]
        [::std::mem::offset_of!(dvb_frontend_parameters__bindgen_ty_1, qam) - 0usize];
    ["Offset of field: dvb_frontend_parameters__bindgen_ty_1::ofdm"]
        [::std::mem::offset_of!(dvb_frontend_parameters__bindgen_ty_1, ofdm) - 0usize];
    ["Offset of field: dvb_frontend_parameters__bindgen_ty_1::vsb"]
        [::std::mem::offset_of!(dvb_frontend_parameters__bindgen_ty_1, vsb) - 0usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_frontend_parameters"][::std::mem::size_of::<dvb_frontend_parameters>() - 36usize];
    ["Alignment of dvb_frontend_parameters"][::std::mem::align_of::<dvb_frontend_parameters>() - 4usize];
    ["Offset of field: dvb_frontend_parameters::frequency"]
        [::std::mem::offset_of!(dvb_frontend_parameters, frequency) - 0usize];
    ["Offset of field: dvb_frontend_parameters::inversion"]
        [::std::mem::offset_of!(dvb_frontend_parameters, inversion) - 4usize];
    ["Offset of field: dvb_frontend_parameters::u"][::std::mem::offset_of!(dvb_frontend_parameters, u) - 8usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct dvb_frontend_event {
    pub status: fe_status_t,
    pub parameters: dvb_frontend_parameters,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of dvb_frontend_event"][::std::mem::size_of::<dvb_frontend_event>() - 40usize];
    ["Alignment of dvb_frontend_event"][::std::mem::align_of::<dvb_frontend_event>() - 4usize];
    ["Offset of field: dvb_frontend_event::status"][::std::mem::offset_of!(dvb_frontend_event, status) - 0usize];
    ["Offset of field: dvb_frontend_event::parameters"]
        [::std::mem::offset_of!(dvb_frontend_event, parameters) - 4usize];
};
