//! Sans-IO transport stream, packaging and playlists.

pub mod continuity;
pub mod crc;
pub mod crypt;
pub mod descriptor;
pub mod es;
pub mod guide;
pub mod inspect;
pub mod package;
pub mod packet;
pub mod pes;
pub mod playlist;
pub mod resync;
pub mod section;
pub mod service;
pub mod splice;
pub mod table;
pub mod text;
pub mod time;
pub mod timeline;
