//! Plays a transport stream file for ever with a clean splice at its end.
//!
//! For demonstrations, tests and interludes: the looped file looks like one endless broadcast, without a jump in PTS,
//! DTS, PCR or continuity counters. Pure: which packets stand at which place of the endless stream is a function of the
//! file alone, so two nodes that begin at different moments play the same. `index` reads the file once, `loop_file` gives
//! out packets; the shell reads the file and keeps the pace.

mod index;
mod loop_file;

pub use index::SpliceError;
pub use loop_file::{Cursor, LoopFile};
