//! Health and choice: when a source or an origin is down, and what to play from instead.
//!
//! Pure: evidence and monotonic milliseconds go in, a decision with its reason comes out. A node drives
//! [`Sources`] with samples of its inputs, a controller drives [`Paths`] with probes of its origins; both ask a
//! [`Chooser`] over the same [`choose()`]. No clock, no randomness, no floating point, no IO: the same evidence
//! gives the same decision on every machine, which is what lets two sites decide at once without harm.
//!
//! Ids are any type that can be compared: source names on a node, origins on a controller.
//!
//! The model was searched exhaustively (`exhaustive.rs` does it again in each test run): never on a dead one
//! while another lives, at most two voluntary switches a window, the slate only when nothing lives and never
//! because the observer is cut off, back only after the full soak, away only after k failures in a row.
//! [`script`] plays an incident from a text and is what a rehearsal runs.

mod choose;
mod chooser;
mod fault;
mod path;
mod paths;
pub mod policy;
mod reason;
pub mod script;
mod soak;
mod source;
mod sources;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod histories;

pub use choose::{Candidate, Choice, Decision, Health, Pin, Playing, Seen, Viewer, choose, serve};
pub use chooser::Chooser;
pub use fault::{Fault, ProbeFault, StreamFault};
pub use path::{Observation, PathHealth};
pub use paths::Paths;
pub use policy::{Limits, Policy, PolicyError, ProbeRules, SoakRules, SourceRules};
pub use reason::Reason;
pub use source::{Sample, SourceHealth};
pub use sources::Sources;
