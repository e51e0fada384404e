//! Inputs: everything that gives transport stream bytes, from the address an operator types to the shared ring.
//!
//! [`address`] reads addresses. [`udp`] (with [`rtp`] and its reorder window), [`http_ts`] and [`file`] open one kind of
//! source each; `receive` keeps them open, paced by [`backoff`]; DVB multiplexes are kept on their tuners by [`tuner`]. `intake` aligns and publishes into the [`ring`] and
//! feeds [`health`], which measures; [`report`] is what an input says of itself. [`set`] owns them all, one per feed
//! however many channels use it; [`refine`] is where packets are descrambled on their way into the ring. What is inside the packets, beyond what health needs, is the later rooms' business.

pub mod address;
pub mod backoff;
pub mod file;
pub mod health;
pub mod http_ts;
mod intake;
mod receive;
pub mod refine;
pub mod report;
pub mod ring;
pub mod rtp;
pub mod set;
pub mod tuner;
pub mod udp;

pub use address::SourceAddress;
pub use intake::Monotonic;
pub use refine::{Refine, Refinery, Wanted};
pub use set::{InputHandle, InputOptions, InputSet};
