//! Starts every task and thread of a program, sees each of them end, and stops them in order.
//!
//! A task has a name, a span and a [`Fate`]. A panic is an end with a reason, like an error. Nothing else in the house
//! spawns, so that nothing can die unnoticed. Stopping is a tree of tokens: a program makes its stages in the order in
//! which they are to stop, each with a deadline, and may make groups inside (one per channel, say) that it stops by
//! themselves. Restarting belongs here alone: a task that fails returns its error and does not retry around itself.
//!
//! [`tree`] holds stages and groups, [`task`] runs one task through its fate, [`record`] counts, [`backoff`] paces.

mod backoff;
mod record;
mod task;
#[cfg(test)]
mod tests;
mod tree;

pub use record::{TaskEvent, TaskState, Totals, What};
pub use task::{End, Fate, Outcome};
pub use tree::{Cause, Stopped, Supervisor};
