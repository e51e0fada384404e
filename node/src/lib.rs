//! The capture node: sources in, encrypted HLS and HTTP-TS out, reports to its controller.
//!
//! The rooms in the order the bytes take:
//! - [`config`]: what a technician sets at the box.
//! - [`input`]: what gives transport streams: files, UDP, RTP, HTTP, tuners; one ring each.
//! - [`card`]: the operator's own cards: ECM in, control word out.
//! - [`cam`]: modules in a card's common interface, told which services to descramble.
//! - [`stream`]: channels: which source plays, and the packager that cuts segments.
//! - [`output`]: encryption, live window, keys, HTTP.
//! - [`agent`]: desired state in, reports out.
//! - [`cmd`]: the technician's verbs.

pub mod agent;
pub mod cam;
pub mod card;
pub mod cmd;
pub mod config;
pub mod input;
pub mod output;
pub mod stream;

mod reload;
mod start;

pub use start::{RunError, run};
