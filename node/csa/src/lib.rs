//! DVB-CSA1, the common scrambling algorithm: our own kernels, portable and for the instruction sets of x86-64 and ARM.
//!
//! From the outside in: [`Descrambler`] and [`Scrambler`] take 188-byte packets in place; [`KeyRing`] says which PID uses
//! whose words; [`ControlWord`] is the 64-bit key, also from a BISS-1 session word; [`Kernel`] is the machine code in use;
//! [`reference`] is the algorithm written to be read. Inside: `cipher` makes batches, `stream` runs the bit-sliced stream
//! cipher over a `lane`, `block` and `bytes` run the block cipher, `x86` and `neon` are the machines, and the only places
//! with `unsafe`. [`aes_cbc`] is the other cipher of a node that deserves machine code: what segments are encrypted with. No clock, no socket, no file, no log line; where words come from and go to is for others to know.

pub mod aes_cbc;
mod block;
mod bytes;
mod cipher;
mod descrambler;
mod gates;
mod kernel;
mod keys;
mod lane;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packet;
pub mod reference;
mod schedule;
mod stream;
mod tables;
mod word;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use descrambler::{Descrambler, Scrambler, Verdict};
pub use kernel::Kernel;
pub use keys::{KeyRing, Slot};
pub use packet::{PACKET_BYTES, Parity};
pub use word::{ControlWord, WordError};
