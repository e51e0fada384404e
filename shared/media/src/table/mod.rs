//! Tables: whole sections in, typed values out (ISO/IEC 13818-1 §2.4.4, ETSI EN 300 468 §5.2).
//!
//! Every reader borrows from the section it is given, checks its CRC_32 where the table has one, and never follows a
//! length out of it. Putting sections together from packets is the job of [`crate::section`].

#[cfg(test)]
pub(crate) mod compose;
mod pat;
mod pmt;
mod syntax;

pub use pat::{Pat, PatEntry};
pub use pmt::{Pmt, PmtStream};
pub use syntax::{LongSection, TableError};
