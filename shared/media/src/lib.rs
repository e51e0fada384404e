//! Sans-IO transport stream, packaging and playlists.

pub mod es;
pub mod pes;
