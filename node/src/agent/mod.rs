//! The node's side of its controller: who it is, what it should do, what it says of itself.
//!
//! An absent controller or broker stops nothing here: the last desired state is on the disk, keys are held three days
//! ahead, events wait in the outbox.

pub mod controller;
pub mod desired;
pub mod hardware;
pub mod identity;
pub mod plan;
pub mod session;
pub mod uplink;
