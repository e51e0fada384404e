//! Readers through pcscd, by the pcsc crate: hot-plug, presence, one command at a time, and a time limit from outside.
//!
//! A call into PC/SC blocks for as long as a driver likes, so it is made on a worker thread; what does not come back in
//! time is left behind, worker and all, and a new one is begun. The card is taken for this process alone: another
//! program's SELECT in between would break a card's state. `PCSCLITE_CSOCK_NAME` names another pcscd, for tests.

use std::{
    ffi::CString,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use pcsc::{Card, Context, Disposition, Error, Protocols, ReaderState, Scope, ShareMode, State};
use zeroize::Zeroizing;

use super::{
    apdu::RESPONSE_BYTES_MAX,
    reader::{CardReader, Presence, ReaderError, TRANSMIT_MAX},
};

/// Workers left behind that may still hang; with more, the reader is given up until one ends.
const LEFT_BEHIND_MAX: usize = 4;

/// How long a look at the reader may take: a card that answers slowly is connected to within this.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// A reader found by name.
pub struct PcscReader {
    pattern: String,
    worker: Option<Worker>,
    /// One for each worker that has not ended.
    alive: Arc<()>,
    name: Option<String>,
}

/// How long the card's return is waited for at the end.
const GIVE_BACK_MAX: Duration = Duration::from_secs(1);

struct Worker {
    jobs: Sender<Job>,
    answers: Receiver<Answer>,
}

enum Job {
    Look,
    Transmit(Zeroizing<Vec<u8>>),
    Reset,
}

enum Answer {
    Seen(Presence, Option<String>),
    Transmitted(Result<Zeroizing<Vec<u8>>, ReaderError>),
    Reset,
}

impl PcscReader {
    /// The first reader whose name fits `pattern` (`*` stands for anything), one with a card in it before others.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), worker: None, alive: Arc::new(()), name: None }
    }

    fn run(&mut self, job: Job, limit: Duration) -> Option<Answer> {
        if self.worker.is_none() {
            if Arc::strong_count(&self.alive) > LEFT_BEHIND_MAX {
                return None;
            }
            self.worker = start(&self.pattern, Arc::clone(&self.alive));
        }
        let worker = self.worker.as_ref()?;
        let answer = worker.jobs.send(job).ok().and_then(|()| worker.answers.recv_timeout(limit).ok());
        if answer.is_none() {
            self.worker = None;
        }
        answer
    }
}

impl Drop for PcscReader {
    /// Waits until the card is given back, so that whoever comes next does not find it in use.
    fn drop(&mut self) {
        if let Some(Worker { jobs, answers }) = self.worker.take() {
            drop(jobs);
            while answers.recv_timeout(GIVE_BACK_MAX).is_ok() {}
        }
    }
}

impl CardReader for PcscReader {
    fn presence(&mut self) -> Presence {
        match self.run(Job::Look, LOOK_MAX) {
            Some(Answer::Seen(presence, name)) => {
                self.name = name;
                presence
            }
            _ => Presence::NoReader,
        }
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        match self.run(Job::Transmit(Zeroizing::new(command.to_vec())), TRANSMIT_MAX) {
            Some(Answer::Transmitted(result)) => result,
            _ => Err(ReaderError::Mute),
        }
    }

    fn reset(&mut self) {
        self.run(Job::Reset, LOOK_MAX);
    }

    fn name(&self) -> Option<String> {
        self.name.clone()
    }
}

fn start(pattern: &str, alive: Arc<()>) -> Option<Worker> {
    let (jobs, jobs_in) = channel();
    let (answers_out, answers) = channel();
    let pattern = pattern.to_owned();
    let body = move || {
        let mut desk = Desk { pattern, context: None, card: None };
        // Ends when the reader's owner has gone or has left this worker behind.
        while let Ok(job) = jobs_in.recv() {
            if answers_out.send(desk.run(job)).is_err() {
                break;
            }
        }
        drop(desk);
        drop(answers_out);
        drop(alive);
    };
    thread::Builder::new().name("pcsc".to_owned()).spawn(body).ok()?;
    Some(Worker { jobs, answers })
}

/// What lives on the worker thread.
struct Desk {
    pattern: String,
    context: Option<Context>,
    card: Option<Taken>,
}

/// A card that is connected to.
struct Taken {
    card: Card,
    reader: CString,
    /// pcscd's count of insertions and removals when we connected: another one is another card.
    events: u32,
    atr: Vec<u8>,
}

impl Desk {
    fn run(&mut self, job: Job) -> Answer {
        match job {
            Job::Look => {
                let (presence, name) = self.look().unwrap_or_else(|_| {
                    // A context of a pcscd that has died stays valid to its library, and dead.
                    (self.card, self.context) = (None, None);
                    (Presence::NoReader, None)
                });
                Answer::Seen(presence, name)
            }
            Job::Transmit(command) => Answer::Transmitted(self.transmit(&command)),
            Job::Reset => {
                let protocols = Protocols::T0 | Protocols::T1;
                let kept = self.card.take().and_then(|mut taken| {
                    taken.card.reconnect(ShareMode::Exclusive, protocols, Disposition::UnpowerCard).ok()?;
                    Some(taken)
                });
                self.card = kept;
                Answer::Reset
            }
        }
    }

    fn look(&mut self) -> Result<(Presence, Option<String>), Error> {
        let context = match &self.context {
            Some(context) => context.clone(),
            None => self.context.insert(Context::establish(Scope::System)?).clone(),
        };
        let mut states = states(&context, &self.pattern)?;
        if let Some(taken) = &self.card {
            states.sort_by_key(|state| state.name() != taken.reader.as_c_str());
        } else {
            states.sort_by_key(|state| !state.event_state().contains(State::PRESENT));
        }
        let Some(state) = states.first() else {
            self.card = None;
            return Ok((Presence::NoReader, None));
        };
        let name = Some(state.name().to_string_lossy().into_owned());
        Ok((self.judge(&context, state), name))
    }

    fn judge(&mut self, context: &Context, state: &ReaderState) -> Presence {
        let seen = state.event_state();
        if seen.intersects(State::UNKNOWN | State::UNAVAILABLE) {
            self.card = None;
            return Presence::NoReader;
        }
        if !seen.contains(State::PRESENT) {
            self.card = None;
            return Presence::Empty;
        }
        if let Some(taken) = &self.card {
            if taken.reader.as_c_str() == state.name() && taken.events == state.event_count() {
                return Presence::Card(taken.atr.clone());
            }
            // It was pulled and put back between two looks: say so once.
            self.card = None;
            return Presence::Empty;
        }
        if seen.contains(State::MUTE) {
            return Presence::Mute;
        }
        match context.connect(state.name(), ShareMode::Exclusive, Protocols::T0 | Protocols::T1) {
            Ok(card) => {
                let atr = state.atr().to_vec();
                let taken = Taken { card, reader: state.name().to_owned(), events: state.event_count(), atr };
                let presence = Presence::Card(taken.atr.clone());
                self.card = Some(taken);
                presence
            }
            Err(Error::SharingViolation) => Presence::InUse,
            Err(Error::UnresponsiveCard | Error::UnpoweredCard | Error::ProtoMismatch | Error::UnsupportedCard) => {
                Presence::Mute
            }
            Err(Error::UnknownReader | Error::ReaderUnavailable) => Presence::NoReader,
            Err(_) => Presence::Empty,
        }
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, ReaderError> {
        let taken = self.card.as_ref().ok_or(ReaderError::Removed)?;
        let mut buffer = Zeroizing::new(vec![0; RESPONSE_BYTES_MAX + 8]);
        let result = taken.card.transmit(command, &mut buffer).map(<[u8]>::len);
        match result {
            Ok(length) => {
                buffer.truncate(length);
                Ok(buffer)
            }
            Err(Error::UnresponsiveCard | Error::Timeout | Error::InsufficientBuffer) => Err(ReaderError::Mute),
            Err(Error::SharingViolation) => Err(ReaderError::InUse),
            // Pulled, reset by others, or the service died: in each case the card is to be found anew.
            Err(_) => {
                self.card = None;
                Err(ReaderError::Removed)
            }
        }
    }
}

/// One reader's name and what is in it, for the technician's verb.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Name as pcscd has it.
    pub reader: String,
    /// What is in it; a card in use by another program still shows its answer to reset.
    pub presence: Presence,
}

/// Every reader there is, without taking a card.
///
/// # Errors
/// When pcscd cannot be reached, or refuses us; in words.
pub fn survey() -> Result<Vec<Seen>, ReaderError> {
    let failed = |error: Error| ReaderError::Service { words: error.to_string() };
    let context = Context::establish(Scope::System).map_err(failed)?;
    let look = |state: ReaderState| {
        let seen = state.event_state();
        let presence = match () {
            () if !seen.contains(State::PRESENT) => Presence::Empty,
            () if seen.contains(State::MUTE) || state.atr().is_empty() => Presence::Mute,
            () => Presence::Card(state.atr().to_vec()),
        };
        Seen { reader: state.name().to_string_lossy().into_owned(), presence }
    };
    Ok(states(&context, "*").map_err(failed)?.into_iter().map(look).collect())
}

/// The state of every reader whose name fits.
fn states(context: &Context, pattern: &str) -> Result<Vec<ReaderState>, Error> {
    let names = match context.list_readers_owned() {
        Ok(names) => names,
        Err(Error::NoReadersAvailable) => vec![],
        Err(error) => return Err(error),
    };
    let fitting = names.into_iter().filter(|name| fits(pattern, &name.to_string_lossy()));
    let mut states: Vec<ReaderState> = fitting.map(|name| ReaderState::new(name, State::UNAWARE)).collect();
    if !states.is_empty() {
        context.get_status_change(Duration::ZERO, &mut states)?;
    }
    Ok(states)
}

/// Whether a name fits a pattern in which `*` stands for any characters.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        let name = "Gemalto PC Twin Reader (3A2F) 00 00";
        for pattern in ["*", "Gemalto*", "*00 00", "Gemalto * Reader*", "*Twin*3A2F*", name] {
            assert!(fits(pattern, name), "{pattern}");
        }
        for pattern in ["", "Gemalto", "*01 00", "gemalto*", "*Twin*Twin*"] {
            assert!(!fits(pattern, name), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_is_survived(pattern in "[a*é]{0,8}", name in "[aéb]{0,8}") {
            let _ = fits(&pattern, &name);
            let everything = format!("*{}*", name);
            prop_assert!(fits(&everything, &name));
        }
    }
}
