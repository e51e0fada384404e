//! Smart cards played by the test, and the two slots they can be put into.
//!
//! A [`Card`] answers commands (ISO/IEC 7816-4). [`vpcd`] puts it into the virtual reader of vsmartcard, [`vsc`] into
//! the USB reader that QEMU gives the virtual machine. Neither slot knows what the card does.

mod demo;
mod slot;
mod t0;
mod vpcd;
mod vsc;

pub use demo::{AID, Demo, SERIAL};
pub use slot::{Action, Slot};
pub use vpcd::vpcd;
pub use vsc::vsc;

/// A card: an answer to reset, and an answer to each command.
pub trait Card: Send {
    /// The answer to reset; the card forgets what was selected.
    fn reset(&mut self) -> Vec<u8>;

    /// The answer to one command: data, then the status word.
    fn answer(&mut self, command: &[u8]) -> Vec<u8>;
}
