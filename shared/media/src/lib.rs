//! Sans-IO transport stream, packaging and playlists.

pub mod continuity;
pub mod crc;
pub mod descriptor;
pub mod guide;
pub mod inspect;
pub mod packet;
pub mod resync;
pub mod section;
pub mod service;
pub mod table;
pub mod text;
pub mod time;
