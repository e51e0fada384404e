//! A reader that plays a script: for tests of everything above the hardware.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::reader::{CardReader, Presence, ReaderError};

/// What the reader does at one transmission.
#[derive(Debug, Clone)]
pub enum Line {
    /// The card answers with these bytes.
    Answer(Vec<u8>),
    /// The card fails.
    Fails(ReaderError),
}

/// A reader with a card that answers line by line; after the last line it is pulled.
#[derive(Debug)]
pub struct ScriptedReader {
    presence: Presence,
    lines: VecDeque<Line>,
    /// What was transmitted, in order.
    pub sent: Vec<Vec<u8>>,
    /// Resets asked for.
    pub resets: usize,
}

impl ScriptedReader {
    /// A card with this answer to reset and these lines.
    #[must_use]
    pub fn new(atr: &[u8], lines: impl IntoIterator<Item = Line>) -> Self {
        let lines = lines.into_iter().collect();
        Self { presence: Presence::Card(atr.to_vec()), lines, sent: vec![], resets: 0 }
    }
}

impl CardReader for ScriptedReader {
    fn presence(&mut self) -> Presence {
        self.presence.clone()
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        self.sent.push(command.to_vec());
        match self.lines.pop_front() {
            Some(Line::Answer(bytes)) => Ok(Zeroizing::new(bytes)),
            Some(Line::Fails(error)) => {
                if error == ReaderError::Removed {
                    self.presence = Presence::Empty;
                }
                Err(error)
            }
            None => {
                self.presence = Presence::Empty;
                Err(ReaderError::Removed)
            }
        }
    }

    fn reset(&mut self) {
        self.resets += 1;
    }

    fn name(&self) -> Option<String> {
        Some("scripted".to_owned())
    }
}
