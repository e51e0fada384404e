//! Channels: from sources to segments, by the rules of `failover` and the packager of `media`; and before that, in the
//! input's own thread, from scrambled packets to clear ones.

pub mod access;
pub mod anchors;
pub mod ca;
pub mod channel;
pub mod descramble;
mod entry;
pub mod lineup;
mod standing;
