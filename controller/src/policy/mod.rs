//! Decisions of the controller as pure functions: what is known in, the decision and its
//! reason out. No IO, no clock.

pub mod entitlement;
