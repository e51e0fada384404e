//! Probes: what a viewer would find at each origin, every 2 s.
//!
//! [`verdict`] is pure: playlist text and segment bytes in, good or a fault out. [`fetch`] is the shell that
//! pulls them within 1.5 s, as a viewer does: with a playback token, and the content key derived, not
//! fetched. [`round`] decides what is pulled next (pure) and drives everything: rounds every 2 s, an
//! immediate probe when a node's will arrives, observations into the redirects, changes out.

pub mod fetch;
pub mod rota;
pub mod round;
pub mod verdict;

pub use fetch::{Fetcher, ProbeKeys};
pub use round::{Desk, Round};
