//! One rule's line to its backends: puts the questions of the ledger, and lets requests wait for the answers.
//!
//! Bounds: [`QUESTIONS_MAX`] questions on their way and [`QUEUE_MAX`] before them; what finds no place has failed, as has
//! what is not answered in time. The backends of a rule are asked in their order, and the next one only when the one before
//! failed. Of a body no more than [`BODY_BYTES_MAX`] is read. No request of a viewer waits longer than the rule's
//! `answer_within` and [`MARGIN`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use headend_access::SessionId;
use headend_rt::CancellationToken;
use reqwest::Url;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};
use tracing::{info, warn};

use super::{
    answer::{self, Answer},
    ledger::{Bounds, Grant, Ledger, Look, Verdict},
    question::{Facts, Question},
};
use crate::input::Monotonic;

/// Questions on their way to the backends of one rule.
pub(super) const QUESTIONS_MAX: usize = 64;
/// Questions that wait for one of those places.
pub(super) const QUEUE_MAX: usize = 2_048;
/// How much of a body is read.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// What a request may wait beyond the time its question has.
pub(super) const MARGIN: Duration = Duration::from_millis(250);

const TICK: Duration = Duration::from_secs(1);

/// A question and when it was put.
struct Put {
    question: Question,
    at: Instant,
}

/// What changes with every request; one short lock.
struct Desk {
    ledger: Ledger,
    /// Requests that wait for the answer about a session; never more than there are connections.
    waiting: HashMap<SessionId, Vec<oneshot::Sender<()>>>,
    /// Streams of a session end with its token.
    streams: HashMap<SessionId, (usize, CancellationToken)>,
}

/// What became of questions, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Sessions remembered.
    pub sessions: u64,
    /// Those of them that are open.
    pub open: u64,
    /// Answers that opened, or sent elsewhere.
    pub allowed: u64,
    /// Answers that closed.
    pub denied: u64,
    /// No answer, or one of a broken backend.
    pub failed: u64,
    /// Sessions banned because their user had too many.
    pub banned: u64,
    /// Sessions that found no room.
    pub full: u64,
}

#[derive(Default)]
struct Counters {
    allowed: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
    banned: AtomicU64,
    full: AtomicU64,
}

/// Why a session is not decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// No room for another session, of this address or at all.
    #[error("no room for another session")]
    Full,
    /// Nobody decided in time.
    #[error("no decision in time")]
    Late,
}

/// One rule's sessions and backends.
pub struct Guard {
    backends: Vec<Url>,
    client: reqwest::Client,
    answer_within: Duration,
    mono: Monotonic,
    desk: Mutex<Desk>,
    queue: mpsc::Sender<Put>,
    counters: Counters,
}

/// The other end of a guard: what its task runs on.
pub struct Questions(mpsc::Receiver<Put>);

impl Guard {
    /// Sessions decided about by these backends, the preferred first. The task that asks them is [`Self::run`]. The
    /// client must follow no redirect.
    #[must_use]
    pub fn new(
        (backends, client): (Vec<Url>, reqwest::Client),
        answer_within: Duration,
        bounds: Bounds,
        mono: Monotonic,
    ) -> (Arc<Self>, Questions) {
        let (queue, questions) = mpsc::channel(QUEUE_MAX);
        let desk = Desk { ledger: Ledger::new(bounds), waiting: HashMap::new(), streams: HashMap::new() };
        let (desk, counters) = (Mutex::new(desk), Counters::default());
        let guard = Self { backends, client, answer_within, mono, desk, queue, counters };
        (Arc::new(guard), Questions(questions))
    }

    /// Decides about a request of a session; waits for the backend when nothing stands.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn admit(&self, id: SessionId, facts: impl FnOnce() -> Facts) -> Result<Verdict, Undecided> {
        let (look, waits) = {
            let mut desk = self.locked();
            let (look, cut) = desk.ledger.look(id, facts, self.mono.ms());
            self.close(&desk, &cut);
            let waits = matches!(look, Look::Ask(_) | Look::Wait).then(|| desk.wait(id));
            (look, waits)
        };
        match look {
            Look::Settled(verdict, question) => {
                question.into_iter().for_each(|question| self.put(question));
                return Ok(verdict);
            }
            Look::Full => {
                self.counters.full.fetch_add(1, Ordering::Relaxed);
                return Err(Undecided::Full);
            }
            Look::Ask(question) => self.put(question),
            Look::Wait => {}
        }
        if let Some(waits) = waits {
            // Woken, given up or late: what stands now counts.
            let _ = timeout(self.answer_within + MARGIN, waits).await;
        }
        self.locked().ledger.verdict(&id).ok_or(Undecided::Late)
    }

    /// What stands about a session, if anything; it counts as alive.
    #[must_use]
    pub fn standing(&self, id: &SessionId) -> Option<Verdict> {
        let mut desk = self.locked();
        desk.ledger.seen(id, self.mono.ms());
        desk.ledger.verdict(id)
    }

    /// A place for a stream of an open session.
    #[must_use]
    pub fn seat(self: &Arc<Self>, id: SessionId, grant: &Grant, stopping: &CancellationToken) -> Seat {
        let mut desk = self.locked();
        let (streams, token) = desk.streams.entry(id).or_insert_with(|| (0, stopping.child_token()));
        *streams += 1;
        let token = token.clone();
        desk.ledger.entered(&id);
        // Closed between the decision and now: the stream ends before it begins.
        if !matches!(desk.ledger.verdict(&id), Some(Verdict::Open(_))) {
            token.cancel();
        }
        Seat { guard: Arc::clone(self), id, token, served: Arc::clone(&grant.served) }
    }

    /// Figures.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let (sessions, open) = self.locked().ledger.counts();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { allowed, denied, failed, banned, full } = &self.counters;
        Tally {
            sessions: sessions as u64,
            open: open as u64,
            allowed: of(allowed),
            denied: of(denied),
            failed: of(failed),
            banned: of(banned),
            full: of(full),
        }
    }

    /// Asks the backends until `stop`.
    pub async fn run(self: Arc<Self>, Questions(mut questions): Questions, stop: CancellationToken) {
        let mut running = FuturesUnordered::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut edge = Edge::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some((id, answer)) = running.next(), if !running.is_empty() => {
                    edge.saw(&answer, &self.host());
                    self.answered(id, answer);
                }
                Some(put) = questions.recv(), if running.len() < QUESTIONS_MAX => {
                    running.push(self.ask(put));
                }
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn host(&self) -> String {
        // Addresses of backends may hold a password.
        let hosts = self.backends.iter().filter_map(Url::host_str);
        hosts.collect::<Vec<_>>().join(", ")
    }

    async fn ask(&self, Put { question, at }: Put) -> (SessionId, Answer) {
        let deadline = at + self.answer_within;
        for (number, backend) in self.backends.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = u32::try_from(self.backends.len() - number).unwrap_or(1);
            // Each backend has its part of what is left, so that one that hangs does not take the turn of the next.
            let until = Instant::now() + left / share;
            match timeout_at(until, self.ask_one(backend, &question)).await {
                Ok(Answer::Failed) | Err(_) => {}
                Ok(answer) => return (question.session, answer),
            }
        }
        (question.session, Answer::Failed)
    }

    async fn ask_one(&self, backend: &Url, question: &Question) -> Answer {
        let Ok(mut response) = self.client.get(question.address(backend)).send().await else { return Answer::Failed };
        let (mut body, mut whole) = (vec![], true);
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) if body.len() + bytes.len() <= BODY_BYTES_MAX => body.extend_from_slice(&bytes),
                Ok(None) => break,
                // Too long, or broken off.
                Ok(Some(_)) | Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        answer::read(response.status(), response.headers(), (&body, whole), &question.facts.token)
    }

    fn put(&self, question: Question) {
        let id = question.session;
        if self.queue.try_send(Put { question, at: Instant::now() }).is_err() {
            self.answered(id, Answer::Failed);
        }
    }

    fn answered(&self, id: SessionId, answer: Answer) {
        let counter = match &answer {
            Answer::Allowed(_) | Answer::Elsewhere { .. } => &self.counters.allowed,
            Answer::Denied { .. } => &self.counters.denied,
            Answer::Failed => &self.counters.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let bans = matches!(answer, Answer::Allowed(_));
        let mut desk = self.locked();
        let cut = desk.ledger.answered(id, answer, self.mono.ms());
        if bans {
            self.close(&desk, &cut);
        } else {
            desk.end_streams(&cut);
        }
        // Who gave up waiting is gone, and needs no answer.
        for waits in desk.waiting.remove(&id).into_iter().flatten() {
            let _ = waits.send(());
        }
    }

    fn tick(&self) {
        let questions = {
            let mut desk = self.locked();
            let due = desk.ledger.tick(self.mono.ms());
            self.close(&desk, &due.cut);
            due.questions
        };
        questions.into_iter().for_each(|question| self.put(question));
    }

    /// Ends the streams of banned sessions.
    fn close(&self, desk: &Desk, banned: &[SessionId]) {
        self.counters.banned.fetch_add(banned.len() as u64, Ordering::Relaxed);
        desk.end_streams(banned);
    }

    fn locked(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn wait(&mut self, id: SessionId) -> oneshot::Receiver<()> {
        let (wakes, waits) = oneshot::channel();
        let waiting = self.waiting.entry(id).or_default();
        waiting.retain(|other| !other.is_closed());
        waiting.push(wakes);
        waits
    }

    fn end_streams(&self, ids: &[SessionId]) {
        for id in ids {
            if let Some((_, token)) = self.streams.get(id) {
                token.cancel();
            }
        }
    }
}

/// A stream's place: the stream ends when its token is cancelled, the place is free when it is dropped.
pub struct Seat {
    guard: Arc<Guard>,
    id: SessionId,
    token: CancellationToken,
    served: Arc<AtomicU64>,
}

impl Seat {
    /// Cancelled when the session is closed or the node stops.
    #[must_use]
    pub fn ends(&self) -> &CancellationToken {
        &self.token
    }

    /// So many bytes were sent.
    pub fn served(&self, bytes: usize) {
        self.served.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now_ms = self.guard.mono.ms();
        let mut desk = self.guard.locked();
        desk.ledger.left(&self.id, now_ms);
        // Those that come after a cancelled token are new streams and get a new one.
        if let Some((streams, _)) = desk.streams.get_mut(&self.id) {
            *streams -= 1;
            if *streams == 0 {
                desk.streams.remove(&self.id);
            }
        }
    }
}

/// Says once that backends fail, and once that they are back.
#[derive(Default)]
struct Edge {
    failing_since: Option<Instant>,
}

impl Edge {
    fn saw(&mut self, answer: &Answer, host: &str) {
        match (answer, self.failing_since) {
            (Answer::Failed, None) => {
                self.failing_since = Some(Instant::now());
                warn!(host, "no backend decides about viewers; those it decided about go on as they are");
            }
            (Answer::Failed, Some(_)) | (_, None) => {}
            (_, Some(since)) => {
                info!(host, failed_secs = since.elapsed().as_secs(), "a backend decides about viewers again");
                self.failing_since = None;
            }
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
pub(super) mod tests;
