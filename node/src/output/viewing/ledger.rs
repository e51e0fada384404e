//! The sessions that a backend decided about: what holds now, what must be asked, who is over the limit.
//!
//! A pure machine: requests, answers and the time go in, decisions and questions come out. It asks nobody and waits for
//! nobody; `guard` does. Rules:
//!
//! - A decision holds for the time its answer names. After that an open session stays open while it is asked about again,
//!   a closed one stays closed until it has been asked about: the backend's last word counts until the next one.
//! - A backend that fails changes nothing for a session it has decided about; one it has not follows `allow_default`.
//! - At most one question about a session is on its way at any time.
//! - Memory: [`SESSIONS_MAX`] sessions, and a limit for each address. What is closed is never forgotten to make room, or a
//!   flood would open it; newcomers are sent away instead.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use headend_access::SessionId;
use headend_wire::ChannelName;

use super::{
    answer::{Answer, Terms},
    question::{Facts, Question},
    ranges::Ranges,
    users::Users,
};

/// Sessions remembered for one rule; about 700 bytes each, 2 kB when a client says much of itself.
pub(super) const SESSIONS_MAX: usize = 20_000;
/// A session that asked for nothing so long is over, milliseconds.
const IDLE_MS: u64 = 60_000;
/// A session counts against its user's limit as long as this after its last request, milliseconds.
pub(super) const ACTIVE_MS: u64 = 30_000;
/// After a failed question the next one waits so long, milliseconds.
const RETRY_MS: u64 = 10_000;
/// A denial is asked about again after so long at the latest, milliseconds: whoever makes up tokens fills no memory.
const DENIAL_MS_MAX: u64 = 600_000;

/// What a session gets.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It may watch.
    Open(Grant),
    /// It is sent to this address.
    Elsewhere(Arc<str>),
    /// It may not.
    Closed,
}

/// What an open session has.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The archive it may see; none: all of it.
    pub ranges: Option<Arc<Ranges>>,
    /// Bytes it was sent; whoever sends adds to it.
    pub served: Arc<AtomicU64>,
}

/// What a request meets.
#[derive(Debug)]
pub(super) enum Look {
    /// A decision; with a question to be put meanwhile.
    Settled(Verdict, Option<Question>),
    /// No decision: put this question and wait for its answer.
    Ask(Question),
    /// No decision, and the question is on its way: wait.
    Wait,
    /// No room for another session, of this address or at all.
    Full,
}

/// How the sessions of a rule are bounded and decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Sessions of one address.
    pub per_address_max: usize,
    /// New sessions are open while no backend answers.
    pub allow_default: bool,
    /// How long a user may be over the limit before a session is banned, milliseconds.
    pub soft_limit_ms: u64,
}

/// What is due by the clock.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// To be put now.
    pub questions: Vec<Question>,
    /// Banned just now: streams of these end.
    pub cut: Vec<SessionId>,
}

#[derive(Debug)]
enum State {
    /// Nobody answered yet.
    New,
    Open {
        until_ms: u64,
        ranges: Option<Arc<Ranges>>,
    },
    Elsewhere {
        until_ms: u64,
        to: Arc<str>,
    },
    Closed {
        until_ms: u64,
    },
}

#[derive(Debug)]
struct Entry {
    facts: Arc<Facts>,
    state: State,
    asking: bool,
    /// A backend allowed it, and nothing since took that back: the next question is an update.
    known: bool,
    number: u32,
    started_ms: u64,
    /// Its place among all that began; two may begin in one millisecond.
    place: u64,
    seen_ms: u64,
    streams: u32,
    served: Arc<AtomicU64>,
}

/// Every session of one rule.
#[derive(Debug)]
pub(super) struct Ledger {
    bounds: Bounds,
    sessions: HashMap<SessionId, Entry>,
    addresses: HashMap<IpAddr, usize>,
    /// Open sessions by channel.
    clients: HashMap<ChannelName, u32>,
    users: Users,
    /// Sessions that began so far.
    begun: u64,
}

impl Ledger {
    /// No session yet.
    #[must_use]
    pub(super) fn new(bounds: Bounds) -> Self {
        let users = Users::new(bounds.soft_limit_ms);
        Self { bounds, sessions: HashMap::new(), addresses: HashMap::new(), clients: HashMap::new(), users, begun: 0 }
    }

    /// A request of a session at `now_ms`, any clock that never goes back. `facts` is asked for at its first one.
    pub(super) fn look(&mut self, id: SessionId, facts: impl FnOnce() -> Facts, now_ms: u64) -> (Look, Vec<SessionId>) {
        let Some(entry) = self.sessions.get_mut(&id) else { return (self.enter(id, facts(), now_ms), vec![]) };
        let returns = now_ms.saturating_sub(entry.seen_ms) > ACTIVE_MS;
        entry.seen_ms = now_ms;
        // A session that comes back counts again, and may be one too many.
        let cut = if returns { self.enforce(id, now_ms) } else { vec![] };
        let Some(entry) = self.sessions.get_mut(&id) else { return (Look::Wait, cut) };
        let due = match &entry.state {
            State::New => true,
            State::Open { until_ms, .. } | State::Elsewhere { until_ms, .. } | State::Closed { until_ms } => {
                *until_ms <= now_ms
            }
        };
        let stands = !due || matches!(entry.state, State::Open { .. });
        let asks = due && !entry.asking;
        let verdict = entry.verdict().filter(|_| stands);
        let question = asks.then(|| self.question(id, now_ms)).flatten();
        let look = match (verdict, question) {
            (Some(verdict), question) => Look::Settled(verdict, question),
            (None, Some(question)) => Look::Ask(question),
            (None, None) => Look::Wait,
        };
        (look, cut)
    }

    /// What stands about a session; none when nobody answered yet, or it is not known.
    #[must_use]
    pub(super) fn verdict(&self, id: &SessionId) -> Option<Verdict> {
        self.sessions.get(id)?.verdict()
    }

    /// A request of a session that is served whatever stands, because it shows another proof: it counts as alive.
    pub(super) fn seen(&mut self, id: &SessionId, now_ms: u64) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.seen_ms = now_ms;
        }
    }

    /// An answer to the question about a session. Gives the sessions that are closed by it.
    pub(super) fn answered(&mut self, id: SessionId, answer: Answer, now_ms: u64) -> Vec<SessionId> {
        let allow_default = self.bounds.allow_default;
        let Some(entry) = self.sessions.get_mut(&id) else { return vec![] };
        entry.asking = false;
        // Banned while the question was on its way: no answer shortens that.
        if matches!(entry.state, State::Closed { until_ms } if until_ms > now_ms) {
            return vec![];
        }
        let retry_ms = now_ms + RETRY_MS;
        match answer {
            Answer::Failed => {
                let fresh = match &mut entry.state {
                    State::New if allow_default => Some(State::Open { until_ms: retry_ms, ranges: None }),
                    State::New => Some(State::Closed { until_ms: retry_ms }),
                    State::Open { until_ms, .. } | State::Elsewhere { until_ms, .. } | State::Closed { until_ms } => {
                        *until_ms = retry_ms;
                        None
                    }
                };
                if let Some(fresh) = fresh {
                    self.set(id, fresh);
                }
                vec![]
            }
            Answer::Denied { hold_ms } => {
                self.close(id, now_ms + hold_ms.min(DENIAL_MS_MAX));
                vec![id]
            }
            Answer::Elsewhere { to, hold_ms } => {
                entry.known = false;
                self.users.leave(&id);
                self.set(id, State::Elsewhere { until_ms: now_ms + hold_ms, to });
                vec![id]
            }
            Answer::Allowed(terms) => {
                entry.known = true;
                let Terms { hold_ms, limit, ranges } = terms;
                self.set(id, State::Open { until_ms: now_ms + hold_ms, ranges });
                self.users.join(id, limit, hold_ms);
                self.enforce(id, now_ms)
            }
        }
    }

    /// A stream of an open session began; it counts as alive until [`Self::left`].
    pub(super) fn entered(&mut self, id: &SessionId) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.streams += 1;
        }
    }

    /// A stream of a session ended.
    pub(super) fn left(&mut self, id: &SessionId, now_ms: u64) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.streams = entry.streams.saturating_sub(1);
            entry.seen_ms = now_ms;
        }
    }

    /// Forgets sessions that are over, asks about streams, bans who was over the limit for too long. To be called every
    /// second or so.
    pub(super) fn tick(&mut self, now_ms: u64) -> Due {
        let over = |entry: &Entry| {
            let idle = !entry.asking && entry.streams == 0 && entry.seen_ms + IDLE_MS <= now_ms;
            idle && !matches!(entry.state, State::Closed { until_ms } if until_ms > now_ms)
        };
        let gone: Vec<SessionId> = self.sessions.iter().filter(|(_, entry)| over(entry)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.forget(id));
        let mut streaming = vec![];
        for (id, entry) in self.sessions.iter_mut().filter(|(_, entry)| entry.streams > 0) {
            entry.seen_ms = now_ms;
            if !entry.asking && matches!(entry.state, State::Open { until_ms, .. } if until_ms <= now_ms) {
                streaming.push(*id);
            }
        }
        let questions = streaming.into_iter().filter_map(|id| self.question(id, now_ms)).collect();
        let mut cut = vec![];
        for one in self.users.over_limit() {
            cut.extend(self.enforce(one, now_ms));
        }
        Due { questions, cut }
    }

    /// Sessions remembered, and those of them that are open.
    #[must_use]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.clients.values().map(|count| *count as usize).sum())
    }

    fn enter(&mut self, id: SessionId, facts: Facts, now_ms: u64) -> Look {
        let of_address = self.addresses.get(&facts.ip).copied().unwrap_or(0);
        if self.sessions.len() >= SESSIONS_MAX || of_address >= self.bounds.per_address_max {
            return Look::Full;
        }
        *self.addresses.entry(facts.ip).or_default() += 1;
        let entry = Entry {
            facts: Arc::new(facts),
            state: State::New,
            asking: false,
            known: false,
            number: 0,
            started_ms: now_ms,
            place: 0,
            seen_ms: now_ms,
            streams: 0,
            served: Arc::default(),
        };
        self.sessions.insert(id, entry);
        self.question(id, now_ms).map_or(Look::Full, Look::Ask)
    }

    fn question(&mut self, id: SessionId, now_ms: u64) -> Option<Question> {
        let total_clients = self.clients.values().sum();
        let entry = self.sessions.get_mut(&id)?;
        entry.asking = true;
        if !entry.known {
            entry.number = 0;
            self.begun += 1;
            entry.place = self.begun;
            entry.started_ms = if entry.streams == 0 { now_ms } else { entry.started_ms };
        }
        let number = entry.number;
        entry.number = number.saturating_add(1);
        Some(Question {
            session: id,
            facts: Arc::clone(&entry.facts),
            first: !entry.known,
            number,
            duration_secs: now_ms.saturating_sub(entry.started_ms) / 1_000,
            bytes: entry.served.load(Ordering::Relaxed),
            stream_clients: self.clients.get(&entry.facts.channel).copied().unwrap_or(0),
            total_clients,
        })
    }

    fn close(&mut self, id: SessionId, until_ms: u64) {
        self.users.leave(&id);
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.known = false;
        }
        self.set(id, State::Closed { until_ms });
    }

    /// Bans what is too much of the user of this session; gives what was banned.
    fn enforce(&mut self, id: SessionId, now_ms: u64) -> Vec<SessionId> {
        let sessions = &self.sessions;
        let active = |id: &SessionId| {
            let entry = sessions.get(id)?;
            let counts = entry.streams > 0 || entry.seen_ms + ACTIVE_MS > now_ms;
            (counts && matches!(entry.state, State::Open { .. })).then_some(entry.place)
        };
        let (surplus, ban_ms) = self.users.surplus(&id, active, now_ms);
        for one in &surplus {
            self.close(*one, now_ms + ban_ms);
        }
        surplus
    }

    /// The only place where a state changes, so that the count of clients follows.
    fn set(&mut self, id: SessionId, state: State) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let was = matches!(entry.state, State::Open { .. });
        let is = matches!(state, State::Open { .. });
        entry.state = state;
        match (was, is) {
            (false, true) => *self.clients.entry(entry.facts.channel.clone()).or_default() += 1,
            (true, false) => less(&mut self.clients, &entry.facts.channel),
            _ => {}
        }
    }

    fn forget(&mut self, id: SessionId) {
        self.users.leave(&id);
        let Some(entry) = self.sessions.remove(&id) else { return };
        if matches!(entry.state, State::Open { .. }) {
            less(&mut self.clients, &entry.facts.channel);
        }
        if let Some(count) = self.addresses.get_mut(&entry.facts.ip) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&entry.facts.ip);
            }
        }
    }
}

impl Entry {
    fn verdict(&self) -> Option<Verdict> {
        match &self.state {
            State::New => None,
            State::Open { ranges, .. } => {
                Some(Verdict::Open(Grant { ranges: ranges.clone(), served: Arc::clone(&self.served) }))
            }
            State::Elsewhere { to, .. } => Some(Verdict::Elsewhere(Arc::clone(to))),
            State::Closed { .. } => Some(Verdict::Closed),
        }
    }
}

fn less(clients: &mut HashMap<ChannelName, u32>, channel: &ChannelName) {
    if let Some(count) = clients.get_mut(channel) {
        *count -= 1;
        if *count == 0 {
            clients.remove(channel);
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
