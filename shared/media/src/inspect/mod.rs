//! The technician's eye on a stream: raw bytes of any framing in, one [`Report`] out.
//!
//! Pure: the shell reads the file or the socket and prints. Puts together [`crate::resync`], [`crate::continuity`],
//! [`crate::service`] and [`crate::guide`], and counts. The JSON of the report is a contract with outside programs.

mod inspector;
#[cfg(test)]
mod recordings;
mod report;

pub use inspector::Inspector;
pub use report::{Report, ReportEvent, ReportService, ReportStream};
