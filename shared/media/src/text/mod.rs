//! DVB text: the names and descriptions of SI tables as strings (ETSI EN 300 468 annex A).
//!
//! Bytes and a default [`CodeTable`] in, a [`Text`] out, whatever the bytes are. The default is the caller's
//! because broadcasters disagree about it: the standard says ISO 6937 where no selector stands in front, French
//! satellite sends Latin-9 without one, French terrestrial marks the same with 0x05. [`TextDefaults`] keeps what an
//! operator knows about a network or a service.

mod code_table;
mod decode;
mod iso6937;

pub use code_table::{CodeTable, TextDefaults, UnknownCodeTable};
pub use decode::{Text, TextDefect, decode};
