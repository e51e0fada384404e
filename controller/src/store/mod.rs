//! What the controller must not forget: typed records over a narrow engine.
//!
//! [`engine`] is the seam: ordered keys and an atomic conditional batch that answers only
//! when it is durable. [`sled`] is the embedded engine with its safe recipe, [`memory`] the
//! one for tests and trials. [`table`] gives typed keys and versioned records on top, with
//! one file per family. [`export`] is the portable text that moves between engines and is
//! the backup; [`shelf`] keeps the hourly and daily copies. No rule of the trade is here:
//! those are in `domain` and `policy`.

pub mod engine;
pub mod export;
pub mod memory;
pub mod shelf;
pub mod sled;
pub mod table;

pub mod audit;
pub mod channels;
pub mod devices;
pub mod nodes;
pub mod operators;
pub mod policies;
pub mod roots;
pub mod sessions;
pub mod settings;
pub mod sign_ins;
pub mod subscribers;
pub mod tariffs;

mod record;
mod stage;
#[cfg(test)]
mod suite;

pub use engine::{Batch, CommitError, Committed, Engine, Expect, IdempotencyKey, ReadError, Version, Versioned};
pub use memory::MemoryEngine;
pub use sled::{SledEngine, SledOptions};
pub use table::{Draft, Kept, Record, StoreError, Table};
