//! Channels: from sources to segments, by the rules of `failover` and the packager of `media`.

pub mod anchors;
pub mod channel;
mod entry;
pub mod lineup;
mod standing;
