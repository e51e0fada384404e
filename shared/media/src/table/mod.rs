//! Tables: whole sections in, typed values out (ISO/IEC 13818-1 §2.4.4, ETSI EN 300 468 §5.2).
//!
//! Every reader borrows from the section it is given, checks its CRC_32 where the table has one, and never follows a
//! length out of it. Putting sections together from packets is the job of [`crate::section`]; knowing which sections
//! of a table were had, and when its version changed, that of [`Versions`].

mod cat;
#[cfg(test)]
pub(crate) mod compose;
mod eit;
mod nit;
mod pat;
mod pmt;
mod sdt;
mod syntax;
mod tdt;
mod tot;
mod versions;

pub use cat::Cat;
pub use eit::{Eit, EitEvent};
pub use nit::{Nit, NitMultiplex};
pub use pat::{Pat, PatEntry};
pub use pmt::{Pmt, PmtStream};
pub use sdt::{Sdt, SdtService};
pub use syntax::{LongSection, TableError};
pub use tdt::Tdt;
pub use tot::{LocalOffset, Tot};
pub use versions::{Arrival, Versions};
