//! The controller: who may watch what, on which origin, with which key.
//!
//! Rooms, in the order the data takes:
//! - [`domain`]: subscribers, tariffs, channels, devices, nodes: types with rules, no IO.
//! - [`policy`]: who may watch: pure functions over the domain.
//! - [`store`]: what must not be forgotten, behind one narrow engine.
//! - [`fleet`]: the nodes: what they say, what we want of them, who may join.
//! - [`page`]: what every page shares: files, security headers, language.
//! - [`noc`]: the operators' dashboard.
//! - [`portal`]: the subscribers' page.

pub mod domain;
pub mod fleet;
pub mod noc;
pub mod page;
pub mod policy;
pub mod portal;
pub mod store;
