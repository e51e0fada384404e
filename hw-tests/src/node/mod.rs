//! The product as a program: its state on the disk, its process, and viewers that keep account of what they get.
//!
//! [`Home`] is what an enrolment and a controller would have left behind, so that a node plays by itself. [`Node`] is the
//! running program, asked over HTTP. [`Session`] is one HTTP connection that reads for ever.

mod http;
mod process;
mod session;
mod state;

pub use process::{Effort, Node};
pub use session::Session;
pub use state::{Channel, Home};
