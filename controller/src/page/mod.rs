//! The [`assets`] of the controller's pages, and what they share with every page of ours (`headend_rt::page`).
//!
//! The pages themselves live in `noc` and `portal`. Nothing here knows a channel or a subscriber.

pub mod assets;

pub use headend_rt::page::{asking, figures, headers, language};
