//! Stages and groups of tasks, and their stop in order.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::record::{Records, TaskEvent, TaskState, Totals};
use super::task::{End, Fate, Outcome, Start, Watch, start_of, start_of_thread, supervise};
use crate::clock::Clock;
use crate::event_ring::Event;
use crate::service_manager;

/// How long tasks of the root itself may take to stop, after all stages.
const ROOT_DEADLINE: Duration = Duration::from_secs(2);

/// Dropping what was cut takes no time, except for a task that blocks its worker; such a one is not waited for.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// Why the program shuts down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Someone asked: a signal's name, or a command's.
    Asked(String),
    /// An essential task ended.
    Lost {
        /// Its full name.
        task: String,
        /// How it ended.
        end: End,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(by) => write!(f, "asked by {by}"),
            Self::Lost { task, end } => write!(f, "essential task {task} {end}"),
        }
    }
}

/// How the shutdown went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub cause: Cause,
    /// Tasks that did not stop in time.
    pub cut: usize,
}

impl Stopped {
    /// What the process exits with: 0 when asked, 1 when an essential task was lost.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(matches!(self.cause, Cause::Lost { .. }))
    }
}

/// A handle on a group of tasks: the root, a stage of the stop order, or a group within one. Clones are the same group.
#[derive(Debug, Clone)]
pub struct Supervisor {
    root: Arc<Root>,
    /// Names from the stage down, empty at the root.
    path: Arc<str>,
    stop: CancellationToken,
    cut: CancellationToken,
    /// This group's tracker last, those around it before; a task counts in all of them.
    trackers: Arc<[TaskTracker]>,
}

#[derive(Debug)]
struct Root {
    records: Arc<Records>,
    asked: CancellationToken,
    cause: OnceLock<Cause>,
    stages: Mutex<Vec<(Supervisor, Duration)>>,
}

impl Supervisor {
    /// The root of a program's tasks.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let root = Root {
            records: Arc::new(Records::new(clock)),
            asked: CancellationToken::new(),
            cause: OnceLock::new(),
            stages: Mutex::default(),
        };
        Self {
            root: Arc::new(root),
            path: Arc::from(""),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            trackers: Arc::from([TaskTracker::new()]),
        }
    }

    /// The next stage of the stop order. Stages stop one after the other in the order they are made, each given
    /// `deadline`; tasks of the root stop last.
    #[must_use]
    pub fn stage(&self, name: &str, deadline: Duration) -> Self {
        // Not below the root's token: the root stops after its stages.
        let stage = self.below(name, CancellationToken::new(), CancellationToken::new());
        self.root.stages.lock().unwrap_or_else(PoisonError::into_inner).push((stage.clone(), deadline));
        stage
    }

    /// A group within this one: stops with it, or alone by [`Self::stop`]. Dropping the handle stops nothing.
    #[must_use]
    pub fn group(&self, name: &str) -> Self {
        self.below(name, self.stop.child_token(), self.cut.child_token())
    }

    /// Starts a task. `factory` makes each run of it and gets the token to watch: once cancelled, finish and return.
    /// `Essential` and `Once` call it once. In a group that was stopped nothing starts.
    pub fn spawn<F>(&self, name: &str, fate: Fate, factory: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.begin(name, fate, start_of(factory));
    }

    /// Starts an essential task that is made from things it takes along.
    pub fn essential<F>(&self, name: &str, task: impl FnOnce(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.begin(name, Fate::Essential, start_of(only_once(task)));
    }

    /// Starts a task that ends when it is done, made from things it takes along.
    pub fn once<F>(&self, name: &str, task: impl FnOnce(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.begin(name, Fate::Once, start_of(only_once(task)));
    }

    /// Starts a plain thread, for the byte path. `body` looks at its token often enough to stop within its stage's
    /// deadline; it may block. The kernel shows the first 15 bytes of `name`.
    pub fn spawn_thread<O: Outcome>(
        &self,
        name: &str,
        fate: Fate,
        body: impl FnMut(CancellationToken) -> O + Send + 'static,
    ) {
        self.begin(name, fate, start_of_thread(name, body));
    }

    /// The token that tells this group to stop.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops this group and waits for its tasks, up to `deadline`; returns how many had to be cut. A group that was
    /// stopped stays stopped.
    pub async fn stop(&self, deadline: Duration) -> usize {
        self.stop.cancel();
        let Some(tracker) = self.trackers.last() else {
            return 0;
        };
        tracker.close();
        if timeout(deadline, tracker.wait()).await.is_ok() {
            return 0;
        }
        let late = tracker.len();
        self.cut.cancel();
        // A task that holds its worker is beyond help; the process is about to end anyway.
        drop(timeout(CUT_GRACE, tracker.wait()).await);
        late
    }

    /// Asks for the shutdown; the first cause stands.
    pub fn shut_down(&self, cause: Cause) {
        // Set before the token, so that whoever sees the token finds the cause.
        drop(self.root.cause.set(cause));
        self.root.asked.cancel();
    }

    /// Cancelled when the shutdown was asked for, before the first stage stops.
    #[must_use]
    pub fn shutdown_asked(&self) -> CancellationToken {
        self.root.asked.clone()
    }

    /// Waits until the shutdown is asked for, then stops stage after stage. `main` awaits this and exits with the code.
    pub async fn run(&self) -> Stopped {
        self.root.asked.cancelled().await;
        let cause = self.root.cause.get().cloned().unwrap_or_else(|| Cause::Asked("nobody".to_owned()));
        tracing::info!(%cause, "shutting down");
        service_manager::stopping();
        let mut cut = 0;
        let mut next = 0;
        loop {
            // Looked up each time: a stage made during the shutdown is stopped too.
            let stage = self.root.stages.lock().unwrap_or_else(PoisonError::into_inner).get(next).cloned();
            let Some((stage, deadline)) = stage else {
                break;
            };
            cut += stage.stop(deadline).await;
            next += 1;
        }
        cut += self.stop(ROOT_DEADLINE).await;
        tracing::info!(cut, "stopped");
        Stopped { cause, cut }
    }

    /// All tasks that run or wait to run again, of the whole program.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskState> {
        self.root.records.tasks()
    }

    /// Counts over all tasks of the program.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.root.records.totals()
    }

    /// The last ends, restarts and cuts.
    #[must_use]
    pub fn events(&self) -> Vec<Event<TaskEvent>> {
        self.root.records.events()
    }

    fn below(&self, name: &str, stop: CancellationToken, cut: CancellationToken) -> Self {
        let around = if self.path.is_empty() { &[] } else { &self.trackers[..] };
        let trackers = around.iter().cloned().chain([TaskTracker::new()]).collect();
        Self { root: Arc::clone(&self.root), path: self.full_name(name), stop, cut, trackers }
    }

    fn full_name(&self, name: &str) -> Arc<str> {
        if self.path.is_empty() { Arc::from(name) } else { Arc::from(format!("{}/{name}", self.path)) }
    }

    fn begin(&self, name: &str, fate: Fate, start: Start) {
        let name = self.full_name(name);
        if self.stop.is_cancelled() {
            tracing::debug!(task = &*name, "not started, its group has stopped");
            return;
        }
        let row = self.root.records.open(&name, fate);
        let watch = Watch { row, fate, stop: self.stop.clone(), cut: self.cut.clone() };
        let counted: Vec<_> = self.trackers.iter().map(TaskTracker::token).collect();
        // At the highest level, so that every line says whose it is, whatever level is shown.
        let span = tracing::error_span!("task", task = &*name);
        let supervisor = self.clone();
        let work = async move {
            if let Some(end) = supervise(start, watch).await {
                supervisor.shut_down(Cause::Lost { task: name.to_string(), end });
            }
            drop(counted);
        };
        tokio::spawn(work.instrument(span));
    }
}

/// A factory for one run; the fates it is used with never ask for a second.
fn only_once<F>(task: impl FnOnce(CancellationToken) -> F + Send) -> impl FnMut(CancellationToken) -> F + Send {
    let mut task = Some(task);
    move |token| task.take().expect("essential and once tasks run once")(token)
}
