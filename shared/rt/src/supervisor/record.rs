//! What runs now, what has ended, and why: for metrics, status pages and alerts.
//!
//! Bounded by what runs: a task that is over for good leaves its row and lives on in the totals and, for a while, in the
//! event ring.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::task::{End, Fate};
use crate::clock::Clock;
use crate::event_ring::{Event, EventRing};

/// One task that has not ended for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskState {
    /// Its name, with those of its stage and groups before it.
    pub name: Arc<str>,
    /// What happens when it ends.
    pub fate: Fate,
    /// Whether it runs now; otherwise it waits to be started again.
    pub running: bool,
    /// How often it was started.
    pub starts: u64,
    /// Bad ends with less than a minute of health between them: what an alert looks at.
    pub ends_in_a_row: u32,
    /// Why it ended last.
    pub last_end: Option<String>,
    /// Since when it runs or waits.
    pub since: Timestamp,
}

/// Counts over all tasks since the start; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Starts, restarts included.
    pub started: u64,
    /// Restarts.
    pub restarted: u64,
    /// Ends without an error.
    pub finished: u64,
    /// Ends with an error.
    pub failed: u64,
    /// Ends by panic.
    pub panicked: u64,
    /// Left behind at a stop deadline.
    pub cut: u64,
}

/// Something that happened to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskEvent {
    /// The task's full name.
    pub task: Arc<str>,
    /// What happened.
    pub what: What,
}

/// What can happen to a task. Starts of healthy tasks are not events; the ring is for what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It ended, for this reason.
    Ended(String),
    /// It will be started again after this many milliseconds.
    RestartIn(u64),
    /// It did not stop in time and was left behind.
    Cut,
}

/// The rows of all tasks.
#[derive(Debug)]
pub(super) struct Records {
    clock: Arc<dyn Clock>,
    events: EventRing<TaskEvent>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_id: u64,
    tasks: BTreeMap<u64, TaskState>,
    totals: Totals,
}

impl Records {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, events: EventRing::new(), table: Mutex::default() }
    }

    pub(super) fn tasks(&self) -> Vec<TaskState> {
        self.with(|table, _| table.tasks.values().cloned().collect())
    }

    pub(super) fn totals(&self) -> Totals {
        self.with(|table, _| table.totals)
    }

    pub(super) fn events(&self) -> Vec<Event<TaskEvent>> {
        self.events.snapshot()
    }

    /// Opens a row.
    pub(super) fn open(self: &Arc<Self>, name: &Arc<str>, fate: Fate) -> Row {
        let id = self.with(|table, now| {
            let id = table.next_id;
            table.next_id += 1;
            let name = Arc::clone(name);
            let task =
                TaskState { name, fate, running: false, starts: 0, ends_in_a_row: 0, last_end: None, since: now };
            table.tasks.insert(id, task);
            id
        });
        Row { records: Arc::clone(self), name: Arc::clone(name), id }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table, Timestamp) -> T) -> T {
        let now = self.clock.now();
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

/// One task's row; dropping it removes the task from the table.
#[derive(Debug)]
pub(super) struct Row {
    records: Arc<Records>,
    name: Arc<str>,
    id: u64,
}

impl Row {
    pub(super) fn started(&self) {
        let id = self.id;
        self.records.with(|table, now| {
            table.totals.started += 1;
            if let Some(task) = table.tasks.get_mut(&id) {
                task.starts += 1;
                if task.starts > 1 {
                    table.totals.restarted += 1;
                }
                (task.running, task.since) = (true, now);
            }
        });
    }

    /// Notes an end; an ordered stop without error is none worth an event.
    pub(super) fn ended(&self, end: &End, ordered: bool) {
        let id = self.id;
        self.records.with(|table, now| {
            match end {
                End::Finished => table.totals.finished += 1,
                End::Failed(_) => table.totals.failed += 1,
                End::Panicked(_) => table.totals.panicked += 1,
            }
            if let Some(task) = table.tasks.get_mut(&id) {
                (task.running, task.since) = (false, now);
                task.last_end = Some(end.to_string());
            }
        });
        if !(ordered && *end == End::Finished) {
            self.event(What::Ended(end.to_string()));
        }
    }

    pub(super) fn restarts_in(&self, wait: Duration, ends_in_a_row: u32) {
        let id = self.id;
        self.records.with(|table, _| {
            if let Some(task) = table.tasks.get_mut(&id) {
                task.ends_in_a_row = ends_in_a_row;
            }
        });
        self.event(What::RestartIn(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
    }

    pub(super) fn cut(&self) {
        self.records.with(|table, _| table.totals.cut += 1);
        self.event(What::Cut);
    }

    fn event(&self, what: What) {
        self.records.events.push(self.records.clock.now(), TaskEvent { task: Arc::clone(&self.name), what });
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let id = self.id;
        self.records.with(|table, _| table.tasks.remove(&id));
    }
}
