//! The operators' dashboard: what every channel and every origin does, now, and since when.
//!
//! [`decisions`] gathers where viewers are sent, [`matrix`] is the pure view model, [`patch`] the difference
//! between two of them, [`live`] sends those to browsers, [`page`] writes the first view as HTML that needs no
//! script, [`hardware`] what is wrong with a node's cards and tuners, `node_page.rs` a node by itself, [`routes`] wires it. [`words`] holds every word in both languages. Nothing here decides anything
//! about a channel.

pub mod decisions;
pub mod hardware;
pub mod live;
pub mod matrix;
mod node_page;
pub mod page;
pub mod patch;
pub mod routes;
pub mod words;

pub use decisions::Decisions;
pub use live::{Hub, pump};
pub use matrix::{Listed, Matrix, Picture, Probe, Sent, State};
pub use routes::{Noc, Operator, Session, SignInRefusal, operator_token, router};
