//! The seam to the hardware: is a card there, and what does it answer.
//!
//! A reader is driven by one thread, [`super::desk`]'s, which calls it and waits. [`super::pcsc`] is the real one,
//! [`super::scripted`] the one of tests. An implementation must come back within a bounded time from each call.

use std::time::Duration;

use zeroize::Zeroizing;

/// The longest a card may take over one command.
pub const TRANSMIT_MAX: Duration = Duration::from_secs(3);

/// What is in the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// No such reader: unplugged, or pcscd does not run.
    NoReader,
    /// A reader without a card.
    Empty,
    /// A card that says nothing at reset: the wrong way round, dirty, or dead.
    Mute,
    /// Another program has the card for itself.
    InUse,
    /// A card and its answer to reset.
    Card(Vec<u8>),
}

/// Why a card did not answer. Never holds bytes of command or answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// The card was pulled, or the reader with it.
    #[error("the card was pulled")]
    Removed,
    /// Nothing within [`TRANSMIT_MAX`], or the reader says the card is mute.
    #[error("the card gives no answer")]
    Mute,
    /// Another program has the card for itself.
    #[error("another program has the card")]
    InUse,
    /// The smart-card service is away or refuses us.
    #[error("the smart-card service: {words}")]
    Service {
        /// What it said.
        words: String,
    },
}

/// One reader. See the module for who calls it.
pub trait CardReader {
    /// Looks what is in the reader now, and connects to a card that is new.
    fn presence(&mut self) -> Presence;

    /// Sends a command and gives the card's answer, status word included.
    ///
    /// # Errors
    /// [`ReaderError`]; the next [`Self::presence`] says what became of the card.
    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError>;

    /// Resets the card, because it is mute or answers nonsense.
    fn reset(&mut self);

    /// Its name, once one was found; for status.
    fn name(&self) -> Option<String>;
}
