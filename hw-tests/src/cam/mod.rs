//! A CAM played by the test in the pretended card's slot, and a multiplex that is clear when the CAM was told of it.
//!
//! Written apart from the product's own room, from EN 50221 alone: it is the second opinion on who says what, and when.
//! [`wire`] is the link below `/dev/headend-camN` and the objects on it, [`Module`] the CAM with its moods, [`Cable`]
//! what comes out of the card behind it.

mod cable;
mod module;
mod wire;

pub use cable::Cable;
pub use module::{List, Module, Mood, Played};
