//! The services of a multiplex: what is on air, on which PIDs, in which codec and language.
//!
//! [`ServiceWatch`] is fed packets and keeps [`Services`] up to date with PAT, PMT, SDT, NIT and CAT; it tells what
//! changed as [`ServiceEvent`]s. No clock and no IO: an input room drives it with the packets of one multiplex, be it
//! of one programme or many. Guide data are [`crate::guide`]'s job, counting is [`crate::inspect`]'s.

mod codec;
#[cfg(test)]
mod line_ups;
mod services;
mod watch;

pub use codec::{Codec, StreamKind, codec_of_payload, codec_of_stream};
pub use services::{CaSystem, Service, ServiceId, Services, Stream};
pub use watch::{Damage, ServiceEvent, ServiceWatch};
