//! Elementary streams: what a packager must know of the coded picture and sound, and no more.
//!
//! `access_unit` says, from the stream itself, whether a PES packet begins with a random access point; the codec files
//! read parameter sets and frame headers into sizes, rates and the CODECS strings of RFC 6381. Nothing is decoded and
//! nothing is changed. `package` and `playlist` drive it. The standards are named in each file.

mod aac;
mod ac3;
mod access_unit;
mod audio;
mod bits;
mod h264;
mod hevc;
mod mpa;
mod mpeg2;
#[cfg(test)]
mod recordings;
mod units;

pub(crate) use access_unit::Entry;
pub use access_unit::{AccessUnitScan, Verdict, VideoCodec, VideoParameters};
pub use audio::{AudioCodec, AudioParameters, FrameScan, first_frame, sniff};
pub use bits::Defect;
