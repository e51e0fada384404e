//! What a card is asked next: pure, with monotonic milliseconds as an argument.
//!
//! One task is in flight at a time, with a pause between two. A new card is opened and asked for its entitlements; then
//! questions are served, those of dark streams first, then the oldest. Each group of streams has one question waiting: a
//! newer ECM drops the older. An ECM carries the word of the next crypto period too, so asking when its content changes is
//! asking a whole period ahead. The same section is not put to the card twice. A busy card is asked again, a mute one is
//! reset, and one that stays mute rests; meanwhile every question gets its answer, so that nobody waits for a dead card.
//! [`super::desk`] drives it.

use std::{collections::VecDeque, sync::Arc};

use super::{
    profile::{Entitlement, Identity, Outcome, Task, Trouble},
    word::{Letter, WordBox},
};

/// Groups of streams with a question waiting; the 257th drops the oldest.
pub const QUESTIONS_MAX: usize = 256;

/// EMMs waiting; one more drops the oldest.
pub const EMMS_MAX: usize = 64;

/// Answers remembered, by the bytes of their ECM.
const REMEMBERED_MAX: usize = 64;

/// A busy card is asked again after this long, this many times.
const BUSY_PAUSE_MS: u64 = 150;
const BUSY_TRIES_MAX: u32 = 5;

/// Resets in a row before a mute card rests.
const RESETS_MAX: u32 = 3;

/// The first rest; it doubles up to the last.
const REST_MS: u64 = 1_000;
const REST_MS_MAX: u64 = 30_000;

/// A card of another system is looked at again after this long: it may have been a bad contact.
const FOREIGN_PAUSE_MS: u64 = 30_000;

/// How often entitlements are read again without cause.
const ENTITLEMENTS_EVERY_MS: u64 = 600_000;

/// The words of an ECM, wanted by a group of streams.
#[derive(Debug, Clone)]
pub struct Question {
    /// The group; unique in the process.
    pub group: u64,
    /// Counts the ECMs of the group.
    pub number: u64,
    /// CA_system_ID.
    pub system: u16,
    /// The whole section.
    pub section: Arc<[u8]>,
    /// Monotonic milliseconds of its arrival.
    pub at_ms: u64,
    /// The group has no good word now: viewers see nothing.
    pub dark: bool,
    /// Where the answer goes.
    pub letters: WordBox,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Run this task, and tell [`Session::done`].
    Begin(Task),
    /// Reset the card; then [`Session::inserted`] or [`Session::removed`].
    Reset,
    /// Nothing before this moment; none: until something is asked.
    Wait(Option<u64>),
}

/// What came of something.
#[derive(Debug)]
pub enum Event {
    /// The answer to a question.
    Answer(Question, Letter),
    /// The card is open.
    Opened(Identity),
    /// Its entitlements.
    Entitlements(Vec<Entitlement>),
    /// Something went wrong, in words for status.
    Trouble(Trouble),
}

/// Figures since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct SessionCounts {
    /// ECMs put to the card.
    pub asked: u64,
    /// ECMs it gave words for.
    pub answered: u64,
    /// ECMs it refused or failed on.
    pub refused: u64,
    /// Questions answered from memory.
    pub remembered: u64,
    /// Questions dropped for a newer one.
    pub dropped: u64,
    /// Repetitions to a busy card.
    pub retries: u64,
    /// Resets of a mute card.
    pub resets: u64,
    /// EMMs the card took.
    pub emms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Opening,
    Ready,
    /// It failed; it is tried again with a reset at this time.
    Resting(u64),
}

#[derive(Debug)]
enum Flight {
    Open,
    Entitlements,
    Ecm(Question),
    Emm,
}

/// The state of one card.
#[derive(Debug)]
pub struct Session {
    state: State,
    pause_ms: u64,
    questions: Vec<Question>,
    emms: VecDeque<(u16, Arc<[u8]>)>,
    flight: Option<Flight>,
    /// Not before this moment.
    next_ms: u64,
    busy_tries: u32,
    resets: u32,
    rest_ms: u64,
    reset_due: bool,
    entitlements_ms: Option<u64>,
    last: Option<Trouble>,
    remembered: VecDeque<(Arc<[u8]>, Letter)>,
    counts: SessionCounts,
}

impl Session {
    /// No card yet; `pause_ms` lie between the end of a task and the begin of the next.
    #[must_use]
    pub fn new(pause_ms: u64) -> Self {
        Self {
            state: State::Absent,
            pause_ms,
            questions: vec![],
            emms: VecDeque::new(),
            flight: None,
            next_ms: 0,
            busy_tries: 0,
            resets: 0,
            rest_ms: REST_MS,
            reset_due: false,
            entitlements_ms: None,
            last: None,
            remembered: VecDeque::new(),
            counts: SessionCounts::default(),
        }
    }

    /// Figures so far.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        self.counts
    }

    /// Questions waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.questions.len()
    }

    /// Whether it is open and serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// A card was put in, or answered a reset.
    pub fn inserted(&mut self) {
        (self.state, self.flight, self.reset_due) = (State::Opening, None, false);
        self.entitlements_ms = None;
    }

    /// The card was pulled: everything that waits is answered, and what was remembered of it is wiped.
    pub fn removed(&mut self) -> Vec<Event> {
        (self.state, self.resets, self.rest_ms, self.reset_due) = (State::Absent, 0, REST_MS, false);
        self.remembered.clear();
        self.emms.clear();
        self.refuse_all(&Trouble::Removed)
    }

    /// Takes a question; the answer, if it needs no card.
    pub fn ask(&mut self, question: Question) -> Option<Event> {
        match self.state {
            State::Absent => return Some(Event::Answer(question, Err(Trouble::Removed))),
            State::Resting(_) => {
                let trouble = self.last.clone().unwrap_or(Trouble::Mute);
                return Some(Event::Answer(question, Err(trouble)));
            }
            State::Opening | State::Ready => {}
        }
        if let Some((_, letter)) = self.remembered.iter().find(|(section, _)| *section == question.section) {
            self.counts.remembered += 1;
            return Some(Event::Answer(question, letter.clone()));
        }
        let same = |other: &Question| other.group == question.group && other.section == question.section;
        if matches!(&self.flight, Some(Flight::Ecm(running)) if same(running)) || self.questions.iter().any(same) {
            return None;
        }
        let older = self.questions.iter().position(|other| other.group == question.group);
        let oldest = (self.questions.len() >= QUESTIONS_MAX).then_some(0);
        if let Some(index) = older.or(oldest) {
            self.questions.remove(index);
            self.counts.dropped += 1;
        }
        self.questions.push(question);
        None
    }

    /// Takes an entitlement message; a full queue drops the oldest. Without a card it is dropped: it comes again.
    pub fn emm(&mut self, system: u16, section: Arc<[u8]>) {
        if self.state == State::Absent || self.emms.iter().any(|(_, other)| *other == section) {
            return;
        }
        if self.emms.len() >= EMMS_MAX {
            self.emms.pop_front();
        }
        self.emms.push_back((system, section));
    }

    /// What to do at `now_ms`.
    pub fn next(&mut self, now_ms: u64) -> Action {
        if self.flight.is_some() {
            return Action::Wait(None);
        }
        if self.reset_due {
            self.reset_due = false;
            self.counts.resets += 1;
            return Action::Reset;
        }
        match self.state {
            State::Absent => Action::Wait(None),
            State::Resting(until) if now_ms < until => Action::Wait(Some(until)),
            State::Resting(_) => {
                self.counts.resets += 1;
                Action::Reset
            }
            _ if now_ms < self.next_ms => Action::Wait(Some(self.next_ms)),
            State::Opening => self.begin(Flight::Open, Task::Open),
            State::Ready => self.serve(now_ms),
        }
    }

    fn serve(&mut self, now_ms: u64) -> Action {
        // Entitlements are read once before anything else; later only when no viewer waits.
        let due = match self.entitlements_ms {
            None => true,
            Some(at) => self.questions.is_empty() && now_ms.saturating_sub(at) >= ENTITLEMENTS_EVERY_MS,
        };
        if due {
            self.entitlements_ms = Some(now_ms);
            return self.begin(Flight::Entitlements, Task::Entitlements);
        }
        let urgent = |question: &&Question| (!question.dark, question.at_ms);
        if let Some(group) = self.questions.iter().min_by_key(urgent).map(|question| question.group)
            && let Some(index) = self.questions.iter().position(|question| question.group == group)
        {
            let question = self.questions.remove(index);
            self.counts.asked += 1;
            let task = Task::Ecm { system: question.system, section: Arc::clone(&question.section) };
            return self.begin(Flight::Ecm(question), task);
        }
        match self.emms.pop_front() {
            Some((system, section)) => self.begin(Flight::Emm, Task::Emm { system, section }),
            None => Action::Wait(self.entitlements_ms.map(|at| at + ENTITLEMENTS_EVERY_MS)),
        }
    }

    fn begin(&mut self, flight: Flight, task: Task) -> Action {
        self.flight = Some(flight);
        Action::Begin(task)
    }

    /// The task that was begun is over.
    pub fn done(&mut self, result: Result<Outcome, Trouble>, now_ms: u64) -> Vec<Event> {
        let Some(flight) = self.flight.take() else { return vec![] };
        self.next_ms = now_ms + self.pause_ms;
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(trouble) => return self.failed(flight, trouble, now_ms),
        };
        self.busy_tries = 0;
        if matches!(flight, Flight::Ecm(_)) {
            // Only a served question proves a card: one that opens and then falls silent must come to rest.
            (self.resets, self.rest_ms) = (0, REST_MS);
        }
        match (flight, outcome) {
            (Flight::Open, Outcome::Opened(identity)) => {
                self.state = State::Ready;
                vec![Event::Opened(identity)]
            }
            (Flight::Entitlements, Outcome::Entitlements(list)) => vec![Event::Entitlements(list)],
            (Flight::Ecm(question), Outcome::Words(words)) => {
                self.counts.answered += 1;
                let mut events = self.share(&question.section, &Ok(words.clone()));
                events.push(Event::Answer(question, Ok(words)));
                events
            }
            (Flight::Emm, Outcome::Emm { taken }) => {
                if taken {
                    self.counts.emms += 1;
                    // What was refused may be granted now.
                    self.entitlements_ms = None;
                    self.remembered.retain(|(_, letter)| letter.is_ok());
                }
                vec![]
            }
            (flight, _) => self.failed(flight, Trouble::Garbled("an answer to another question"), now_ms),
        }
    }

    fn failed(&mut self, flight: Flight, trouble: Trouble, now_ms: u64) -> Vec<Event> {
        match &trouble {
            Trouble::Removed => {
                let mut events = self.removed();
                if let Flight::Ecm(question) = flight {
                    events.push(Event::Answer(question, Err(Trouble::Removed)));
                }
                return events;
            }
            Trouble::Busy if self.busy_tries < BUSY_TRIES_MAX => {
                self.busy_tries += 1;
                self.counts.retries += 1;
                self.next_ms = now_ms + BUSY_PAUSE_MS;
                self.again(flight);
                return vec![];
            }
            Trouble::Mute | Trouble::Apdu(_) if self.resets < RESETS_MAX => {
                self.resets += 1;
                self.reset_due = true;
                self.again(flight);
                return vec![Event::Trouble(trouble)];
            }
            _ => {}
        }
        self.busy_tries = 0;
        let mut events = vec![];
        match flight {
            Flight::Ecm(question) => {
                self.counts.refused += 1;
                if trouble.is_final() {
                    events = self.share(&question.section, &Err(trouble.clone()));
                }
                events.push(Event::Answer(question, Err(trouble.clone())));
            }
            // A card that cannot list its entitlements may still serve.
            Flight::Entitlements | Flight::Emm => {}
            Flight::Open => events.extend(self.rest(&trouble, now_ms)),
        }
        if matches!(trouble, Trouble::Mute | Trouble::Apdu(_) | Trouble::Module(_)) {
            events.extend(self.rest(&trouble, now_ms));
        }
        events.push(Event::Trouble(trouble));
        events
    }

    /// Puts a task back to be tried once more; a question for which a newer one waits is not.
    fn again(&mut self, flight: Flight) {
        match flight {
            Flight::Ecm(question) => {
                if self.questions.iter().any(|other| other.group == question.group) {
                    self.counts.dropped += 1;
                } else {
                    self.questions.insert(0, question);
                }
            }
            Flight::Entitlements => self.entitlements_ms = None,
            // The next insertion opens it; an EMM comes again.
            Flight::Open | Flight::Emm => {}
        }
    }

    /// Lets the card be for a while, and answers what waits for it.
    fn rest(&mut self, trouble: &Trouble, now_ms: u64) -> Vec<Event> {
        if matches!(self.state, State::Resting(_)) {
            return vec![];
        }
        let foreign = matches!(trouble, Trouble::NotOurs(_) | Trouble::Refused(_) | Trouble::Garbled(_));
        let rest_ms = if foreign { FOREIGN_PAUSE_MS } else { self.rest_ms };
        self.rest_ms = (self.rest_ms * 2).min(REST_MS_MAX);
        self.state = State::Resting(now_ms + rest_ms);
        self.last = Some(trouble.clone());
        self.refuse_all(trouble)
    }

    fn refuse_all(&mut self, trouble: &Trouble) -> Vec<Event> {
        let refuse = |question| Event::Answer(question, Err(trouble.clone()));
        let mut events: Vec<Event> = self.questions.drain(..).map(refuse).collect();
        if let Some(Flight::Ecm(question)) = self.flight.take() {
            events.push(refuse(question));
        }
        events
    }

    /// Remembers an answer, and gives it to all who wait for the same section: services often share their ECMs.
    fn share(&mut self, section: &Arc<[u8]>, letter: &Letter) -> Vec<Event> {
        self.remember(section, letter.clone());
        let same: Vec<Question> = self.questions.extract_if(.., |question| question.section == *section).collect();
        self.counts.remembered += same.len() as u64;
        same.into_iter().map(|question| Event::Answer(question, letter.clone())).collect()
    }

    fn remember(&mut self, section: &Arc<[u8]>, letter: Letter) {
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.remembered.push_back((Arc::clone(section), letter));
    }
}

#[cfg(test)]
mod tests;
