//! Sans-IO transport stream, packaging and playlists.

pub mod continuity;
pub mod crc;
pub mod crypt;
pub mod descriptor;
pub mod es;
pub mod package;
pub mod packet;
pub mod pes;
pub mod playlist;
pub mod section;
pub mod splice;
pub mod table;
pub mod time;
pub mod timeline;
