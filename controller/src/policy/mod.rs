//! Decisions of the controller as pure functions: what is known in, the decision and its
//! reason out. No IO, no clock.
//!
//! [`entitlement`]: who may watch what. [`playback`]: how long a playback token holds.
//! [`line_up`]: which node packages what, from which sources, and who is sent where.

pub mod entitlement;
pub mod line_up;
pub mod playback;
