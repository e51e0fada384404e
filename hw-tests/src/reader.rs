//! PC/SC as a program sees it: find a reader, wait for a card, send a command, see it go.

use std::{
    ffi::CString,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use pcsc::{Context, Error, Protocols, ReaderState, Scope, ShareMode, State};

use crate::wait;

/// A connection to the PC/SC service.
pub struct Service {
    context: Context,
}

impl Service {
    /// Connects, waiting until the service answers.
    ///
    /// # Errors
    /// When it does not by the deadline.
    pub fn connect(deadline: Duration) -> Result<Self> {
        let (context, _) = wait::until("the PC/SC service", deadline, || Ok(Context::establish(Scope::System).ok()))?;
        Ok(Self { context })
    }

    /// The readers whose name contains `part`.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn readers(&self, part: &str) -> Result<Vec<CString>> {
        let all = match self.context.list_readers_owned() {
            Ok(all) => all,
            Err(Error::NoReadersAvailable) => vec![],
            Err(error) => return Err(error).context("list the readers"),
        };
        Ok(all.into_iter().filter(|name| name.to_string_lossy().contains(part)).collect())
    }

    /// Waits until the reader is there (or gone), and tells how long that took.
    ///
    /// # Errors
    /// When it is not by the deadline.
    pub fn wait_reader(&self, part: &str, there: bool, deadline: Duration) -> Result<Duration> {
        let what = if there { "the reader to come" } else { "the reader to go" };
        let look = || Ok((self.readers(part)?.is_empty() != there).then_some(()));
        wait::until(what, deadline, look).map(|((), took)| took)
    }

    /// Waits until a card is in the reader (or not), and tells how long that took.
    ///
    /// # Errors
    /// When it is not by the deadline.
    pub fn wait_card(&self, part: &str, there: bool, deadline: Duration) -> Result<Duration> {
        let what = if there { "the card to be seen" } else { "the card to be missed" };
        let look = || {
            let Some(name) = self.readers(part)?.into_iter().next() else { return Ok(None) };
            let mut states = [ReaderState::new(name, State::UNAWARE)];
            if self.context.get_status_change(Duration::ZERO, &mut states).is_err() {
                return Ok(None);
            }
            let state = states[0].event_state();
            // A mute card is there: one put back faster than the service looks stays mute until somebody powers it up.
            let wanted = if there { State::PRESENT } else { State::EMPTY };
            Ok(state.contains(wanted).then_some(()))
        };
        wait::until(what, deadline, look).map(|((), took)| took)
    }

    /// Powers up the card in the first reader of that name; one that has just been put in may need several tries.
    ///
    /// # Errors
    /// What PC/SC says.
    pub fn card(&self, part: &str) -> Result<Session> {
        let name = self.readers(part)?.into_iter().next().with_context(|| format!("no reader is called {part}"))?;
        let mut last = Error::NoSmartcard;
        let connect = || {
            let card = self.context.connect(&name, ShareMode::Shared, Protocols::ANY);
            Ok(card.inspect_err(|error| last = *error).ok())
        };
        let powered = wait::until("the card to be powered up", Duration::from_secs(10), connect);
        let (card, _) = powered.with_context(|| format!("PC/SC says {last:?}"))?;
        Ok(Session { card })
    }
}

/// A powered card.
pub struct Session {
    card: pcsc::Card,
}

impl Session {
    /// Its answer to reset.
    ///
    /// # Errors
    /// What PC/SC says.
    pub fn atr(&self) -> Result<Vec<u8>> {
        let status = self.card.status2_owned().context("ask for the answer to reset")?;
        Ok(status.atr().to_vec())
    }

    /// Sends a command, and tells what came back and how long it took.
    ///
    /// # Errors
    /// What PC/SC says: `RemovedCard`, `ResetCard`, `ReaderUnavailable` and the like.
    pub fn command(&self, command: &[u8]) -> Result<(Vec<u8>, Duration), Error> {
        let start = Instant::now();
        let mut buffer = [0; pcsc::MAX_BUFFER_SIZE];
        let answer = self.card.transmit(command, &mut buffer)?.to_vec();
        Ok((answer, start.elapsed()))
    }
}
