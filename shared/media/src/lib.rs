//! Sans-IO transport stream, packaging and playlists.

pub mod continuity;
pub mod crc;
pub mod descriptor;
pub mod es;
pub mod package;
pub mod packet;
pub mod pes;
pub mod resync;
pub mod section;
pub mod service;
pub mod splice;
pub mod table;
pub mod text;
pub mod time;
pub mod timeline;
