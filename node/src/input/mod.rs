//! Inputs: everything that gives transport stream bytes, from address to shared ring.
//!
//! [`address`] reads what operators type; [`rtp`] puts datagrams in order.

pub mod address;
pub mod backoff;
pub mod http_ts;
pub mod ring;
pub mod rtp;
pub mod udp;
