//! Transport streams, packaging and playlists, without IO: bytes and values in, bytes and values out.
//!
//! The rooms, from the wire up: [`resync`] and [`packet`] (188 bytes), [`section`], [`table`], [`descriptor`] and [`text`]
//! (PSI and SI), [`service`] (what a multiplex carries), [`excerpt`] (one service of it), [`pes`] and [`es`] (pictures and
//! sound), [`timeline`] and [`package`] (numbered segments on UTC), [`crypt`] and [`playlist`] (what players get), [`cissa`]
//! (what nodes send each other), [`splice`] (a file as an endless source), [`inspect`] (a technician's eye), [`lint`] (what is
//! wrong with HLS). No clock, no socket, no file, no log line; broken input is a value.

pub mod cissa;
pub mod continuity;
pub mod crc;
pub mod crypt;
pub mod descriptor;
pub mod es;
pub mod excerpt;
pub mod guide;
pub mod inspect;
pub mod lint;
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
