//! The interface as its callers see it: requests into the router, in process, on the memory engine.
//!
//! [`house`] is a whole controller without sockets; origins, where a test needs some, are real HTTP servers that
//! give the slate.

mod access;
mod backend;
mod house;
mod operators;
mod viewing;
