//! Sans-IO transport stream, packaging and playlists.

pub mod crc;
pub mod crypt;
pub mod descriptor;
pub mod es;
pub mod packet;
pub mod pes;
pub mod playlist;
pub mod section;
pub mod table;
pub mod time;
