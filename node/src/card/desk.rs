//! One thread per configured card, and the handle by which the other rooms put questions.
//!
//! Shell. The thread looks at its reader, lets [`Session`] decide, carries commands between profile and reader, posts
//! answers into their letter boxes, and keeps the [`CardStatus`] that people see. Asking never waits: a question goes into
//! a bounded inbox, where a newer one of the same group takes the older one's place.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headend_rt::{
    CancellationToken,
    supervisor::{Fate, Supervisor},
};

use super::{
    open_card::{CardKey, OpenCard},
    pcsc::PcscReader,
    profile::{CardProfile, Outcome, SECTION_BYTES_MAX, Step, Task, Trouble},
    reader::{CardReader, Presence, ReaderError},
    session::{Action, EMMS_MAX, Event, QUESTIONS_MAX, Question, Session},
    status::{CardState, CardStatus},
    vendor::{Vendor, VendorSpec},
};
use crate::input::Monotonic;

pub use super::session::Question as Inquiry;

/// How often the reader is looked at.
const LOOK_MS: u64 = 200;

/// Commands one task may take.
const STEPS_MAX: usize = 64;

/// A card as it is configured.
#[derive(Debug, Clone)]
pub struct CardSpec {
    /// Its name, for people.
    pub name: String,
    /// Which reader: a name in which `*` stands for anything.
    pub reader: String,
    /// How it is talked to.
    pub profile: ProfileSpec,
    /// Pause between two tasks, milliseconds.
    pub pause_ms: u64,
}

/// The card system's profile.
#[derive(Debug, Clone)]
pub enum ProfileSpec {
    /// Our own open test card, with the key it shares with this box.
    OpenTestCard(CardKey),
    /// A licensed vendor's module.
    Vendor(VendorSpec),
}

impl ProfileSpec {
    fn word(&self) -> &'static str {
        match self {
            Self::OpenTestCard(_) => "open-test-card",
            Self::Vendor(_) => "vendor",
        }
    }
}

/// All cards of the node; clones are the same cards.
#[derive(Clone, Default)]
pub struct Cards {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seats: Vec<Arc<Seat>>,
    /// Counts changes of what any card can do.
    turns: Arc<AtomicU64>,
}

/// What one card can do now, for whoever assigns services to cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatView {
    /// CA_system_IDs it answers for; none while it does not serve.
    pub systems: Vec<u16>,
    /// Its name.
    pub name: String,
}

struct Seat {
    name: String,
    inbox: Mutex<Inbox>,
    knock: Condvar,
    status: Mutex<CardStatus>,
    systems: Mutex<Vec<u16>>,
    turns: Arc<AtomicU64>,
}

#[derive(Default)]
struct Inbox {
    questions: Vec<Question>,
    emms: VecDeque<(u16, Arc<[u8]>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cards {
    /// Starts a thread for each card below `supervisor`.
    #[must_use]
    pub fn start(specs: &[CardSpec], supervisor: &Supervisor, mono: Monotonic) -> Self {
        let turns = Arc::new(AtomicU64::new(1));
        let seat = |spec: &CardSpec| {
            let seat = Arc::new(Seat::new(spec, Arc::clone(&turns)));
            let (driven, spec) = (Arc::clone(&seat), spec.clone());
            supervisor.spawn_thread(&format!("card {}", spec.name), Fate::Restart, move |token| {
                let mut reader = PcscReader::new(&spec.reader);
                match &spec.profile {
                    ProfileSpec::OpenTestCard(key) => {
                        driven.drive(&mut reader, &mut OpenCard::new(key.clone()), (&spec, mono), &token);
                    }
                    ProfileSpec::Vendor(module) => {
                        driven.drive(&mut reader, &mut Vendor::new(module.clone()), (&spec, mono), &token);
                    }
                }
            });
            seat
        };
        let seats = specs.iter().map(seat).collect();
        Self { shared: Arc::new(Shared { seats, turns }) }
    }

    /// How every card stands.
    #[must_use]
    pub fn reports(&self) -> Vec<CardStatus> {
        self.shared.seats.iter().map(|seat| lock(&seat.status).clone()).collect()
    }

    /// Another number whenever a card came, went, or may do something else than before.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.shared.turns.load(Ordering::Acquire)
    }

    /// What every card can do now; the index is its seat.
    #[must_use]
    pub fn views(&self) -> Vec<SeatView> {
        let view = |seat: &Arc<Seat>| SeatView { systems: lock(&seat.systems).clone(), name: seat.name.clone() };
        self.shared.seats.iter().map(view).collect()
    }

    /// Puts a question to the card of a seat. Never waits; a seat that is none answers with a pulled card.
    pub fn ask(&self, seat: usize, question: Question) {
        match self.shared.seats.get(seat) {
            Some(seat) if question.section.len() <= SECTION_BYTES_MAX => seat.take(question),
            _ => question.letters.post(question.number, Err(Trouble::Removed)),
        }
    }

    /// Gives an entitlement message to every card of its system.
    pub fn emm(&self, system: u16, section: &[u8]) {
        if section.len() > SECTION_BYTES_MAX {
            return;
        }
        let section: Arc<[u8]> = section.into();
        for seat in self.shared.seats.iter().filter(|seat| lock(&seat.systems).contains(&system)) {
            let mut inbox = lock(&seat.inbox);
            if inbox.emms.len() >= EMMS_MAX {
                inbox.emms.pop_front();
            }
            inbox.emms.push_back((system, Arc::clone(&section)));
            drop(inbox);
            seat.knock.notify_one();
        }
    }
}

impl Seat {
    fn new(spec: &CardSpec, turns: Arc<AtomicU64>) -> Self {
        let status = CardStatus {
            name: spec.name.clone(),
            reader: spec.reader.clone(),
            profile: spec.profile.word().to_owned(),
            advice: CardState::NoReader.advice().to_owned(),
            ..CardStatus::default()
        };
        Self {
            name: spec.name.clone(),
            inbox: Mutex::default(),
            knock: Condvar::new(),
            status: Mutex::new(status),
            systems: Mutex::default(),
            turns,
        }
    }

    fn take(&self, question: Question) {
        let mut inbox = lock(&self.inbox);
        let older = inbox.questions.iter().position(|other| other.group == question.group);
        let full = (inbox.questions.len() >= QUESTIONS_MAX).then_some(0);
        if let Some(index) = older.or(full) {
            inbox.questions.remove(index);
        }
        inbox.questions.push(question);
        drop(inbox);
        self.knock.notify_one();
    }

    /// Says what the card can do from now on.
    fn able(&self, systems: Vec<u16>) {
        let mut now = lock(&self.systems);
        let changed = *now != systems;
        *now = systems;
        drop(now);
        if changed {
            self.turned();
        }
    }

    fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// The thread: until the token is cancelled.
    fn drive(
        &self,
        reader: &mut impl CardReader,
        profile: &mut impl CardProfile,
        (spec, mono): (&CardSpec, Monotonic),
        token: &CancellationToken,
    ) {
        let mut session = Session::new(spec.pause_ms);
        let (mut present, mut look_at) = (false, 0);
        while !token.is_cancelled() {
            let now_ms = mono.ms();
            if now_ms >= look_at {
                present = self.look(reader, profile, &mut session, (present, now_ms));
                look_at = mono.ms() + LOOK_MS;
            }
            self.fetch(&mut session, now_ms);
            match session.next(mono.ms()) {
                Action::Begin(task) => {
                    let began_ms = mono.ms();
                    let result = conduct(reader, profile, &task);
                    if matches!(result, Err(Trouble::Removed)) {
                        (present, look_at) = (false, 0);
                        profile.removed();
                    }
                    let ended_ms = mono.ms();
                    if matches!(result, Ok(Outcome::Words(_))) {
                        self.timed(ended_ms.saturating_sub(began_ms));
                    }
                    self.tell(session.done(result, ended_ms), ended_ms);
                }
                Action::Reset => {
                    profile.removed();
                    reader.reset();
                    (present, look_at) = (false, 0);
                }
                Action::Wait(until) => {
                    let until = until.unwrap_or(u64::MAX).min(look_at);
                    self.wait(until.saturating_sub(mono.ms()));
                }
            }
            if !session.is_ready() {
                self.able(vec![]);
            }
            let mut status = lock(&self.status);
            (status.counts, status.waiting) = (session.counts(), session.waiting());
        }
    }

    /// Looks at the reader; says whether a card is in it.
    fn look(
        &self,
        reader: &mut impl CardReader,
        profile: &mut impl CardProfile,
        session: &mut Session,
        (was, now_ms): (bool, u64),
    ) -> bool {
        let presence = reader.presence();
        let is = matches!(presence, Presence::Card(_));
        let mut status = lock(&self.status);
        status.reader = reader.name().unwrap_or_else(|| status.reader.clone());
        if is != was || !is {
            status.seen(&presence, now_ms);
        }
        drop(status);
        match (&presence, was) {
            (Presence::Card(atr), false) => {
                profile.inserted(atr);
                session.inserted();
            }
            (Presence::Card(_), true) => {}
            (_, was) => {
                if was {
                    profile.removed();
                }
                self.tell(session.removed(), now_ms);
                self.able(vec![]);
            }
        }
        is
    }

    fn fetch(&self, session: &mut Session, now_ms: u64) {
        let inbox = std::mem::take(&mut *lock(&self.inbox));
        for (system, section) in inbox.emms {
            session.emm(system, section);
        }
        let answered: Vec<Event> = inbox.questions.into_iter().filter_map(|question| session.ask(question)).collect();
        self.tell(answered, now_ms);
    }

    fn wait(&self, wait_ms: u64) {
        let inbox = lock(&self.inbox);
        if inbox.questions.is_empty() && inbox.emms.is_empty() {
            let wait = Duration::from_millis(wait_ms.clamp(1, LOOK_MS));
            drop(self.knock.wait_timeout(inbox, wait).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn timed(&self, took_ms: u64) {
        let mut status = lock(&self.status);
        status.answer_ms_last = Some(took_ms);
        status.answer_ms_max = status.answer_ms_max.max(Some(took_ms));
    }

    fn tell(&self, events: Vec<Event>, now_ms: u64) {
        for event in events {
            match event {
                Event::Answer(question, letter) => {
                    if let Err(trouble @ (Trouble::NotEntitled | Trouble::Expired | Trouble::Garbled(_))) = &letter {
                        lock(&self.status).troubled(trouble, now_ms);
                    }
                    question.letters.post(question.number, letter);
                }
                Event::Opened(identity) => {
                    let systems = identity.systems.clone();
                    lock(&self.status).opened(identity, now_ms);
                    self.able(systems);
                }
                Event::Entitlements(list) => {
                    lock(&self.status).entitled(list);
                    self.turned();
                }
                Event::Trouble(trouble) => {
                    let mut status = lock(&self.status);
                    status.troubled(&trouble, now_ms);
                    if status.state == CardState::Opening {
                        status.enter(CardState::Failed, now_ms);
                    }
                }
            }
        }
    }
}

/// Carries a task's commands between profile and reader until it is over.
fn conduct(reader: &mut impl CardReader, profile: &mut impl CardProfile, task: &Task) -> Result<Outcome, Trouble> {
    let mut step = profile.begin(task);
    for _ in 0..STEPS_MAX {
        let command = match step {
            Step::Done(result) => return result,
            Step::Transmit(command) => command,
        };
        let answer = reader.transmit(command.bytes()).map_err(|error| match error {
            ReaderError::Mute => Trouble::Mute,
            ReaderError::Removed | ReaderError::InUse | ReaderError::Service { .. } => Trouble::Removed,
        })?;
        step = profile.answer(&answer);
    }
    Err(Trouble::Garbled("it takes too many commands"))
}

/// One card, opened for a moment: for the technician's verb.
///
/// # Errors
/// [`Trouble`] in words.
pub fn examine(reader: &mut impl CardReader, profile: &mut impl CardProfile) -> Result<(Outcome, Outcome), Trouble> {
    let identity = conduct(reader, profile, &Task::Open)?;
    Ok((identity, conduct(reader, profile, &Task::Entitlements)?))
}

/// Where a vendor's module lies, for messages.
#[must_use]
pub fn module_path(spec: &ProfileSpec) -> Option<&PathBuf> {
    match spec {
        ProfileSpec::Vendor(vendor) => Some(&vendor.module),
        ProfileSpec::OpenTestCard(_) => None,
    }
}
