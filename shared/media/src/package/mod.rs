//! Packages one service of a transport stream into numbered segments on the channel's timeline.
//!
//! The heart of the node, and a pure function of (packets, profile, anchor): two nodes that are fed the same packets
//! write the same bytes, however the packets were chunked and whenever each node started. `packager` drives the rest:
//! `programme` follows PAT and PMT, `mapper` moves packets to our PIDs and times, `cut` numbers segments, `counters` and
//! `psi` write them out, `slate` fills what no source can. Encryption, playlists, storage and clocks are elsewhere.

mod assembly;
mod counters;
mod cut;
mod event;
mod mapper;
mod packager;
pub(crate) mod programme;
mod psi;
mod seam;
mod slate;
mod sound;

pub use assembly::Emit;
pub use cut::FILL_MAX;
pub use event::{DefectKind, Event, Profile, Resume, Segment, SourceStart};
pub(crate) use mapper::pcr_field;
pub use packager::Packager;
pub use programme::{Kind, Track};
pub use psi::{AUDIO_PID, PCR_PID, PMT_PID, SUBTITLE_PID, VIDEO_PID};
pub(crate) use psi::{append_section, long_section};
pub use slate::{Slate, SlateError};
