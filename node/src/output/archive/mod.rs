//! The archive: encrypted segment files kept for days, on one disk or several, with an index that survives a power cut.
//!
//! A segment that was given out to viewers is handed over here and placed by the thread of a disk: linked where live
//! window and archive share a file system, copied otherwise. Only when the disk has it is its line appended to the index.
//! Nothing of this can hold a live channel up: what a disk does not take is a gap with its cause. `line`, `policy` are
//! pure; `reel` is a day of a channel on a disk; `vault` a channel's archive; `keeper` runs the disks. Decisions:
//! docs/adr/0018-archive.md.

mod disk;
mod gap;
mod keeper;
mod line;
mod policy;
mod recorder;
mod reel;
mod vault;

pub use disk::DiskStatus;
pub use gap::{Cause, Gap};
pub use keeper::{Archive, ArchiveStatus, VaultStatus};
pub use line::Stored;
pub use recorder::Recorder;
pub use reel::Stretch;
