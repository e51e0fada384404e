//! The embedded engine: sled 0.34.7, never bare.
//!
//! Measured: sled's flush does not reach the disk, a crash while it opens can leave a
//! database that never opens again, damage in the part written since the last start loses
//! commits without a word, and it does not open on a full disk. So here: an own lock;
//! half-written snapshots are removed before the open; a new or restored database is built
//! beside and renamed into place; a write is answered after flush, fsync of the database
//! file and fsync of a [`mark`] that names it; every record has a checksum, and at start
//! all are read and compared with the mark; a [`ballast`] file is given up when the open
//! lacks room; a panic inside, or a
//! write or fsync that fails, ends the process ([`fatal`]). Damage is never worked around:
//! the open fails and names the export to restore from.
//!
//! Files in the store's directory: `lock`, `created`, `ballast`, `sled-v1/` (sled's own
//! files and `mark`), `exports/`, and after a restore `damaged/`.

mod ballast;
mod database;
mod engine;
mod fatal;
mod mark;
mod open;
mod writer;

#[cfg(test)]
mod tests;

pub use engine::SledEngine;
pub use fatal::FatalHook;
pub use open::{OpenError, SledOptions, exports_directory, restore};
