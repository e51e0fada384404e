//! Runs one task through its fate: once, again and again, or with the whole program hanging on it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::backoff::Backoff;
use super::record::Row;

/// What the end of a task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The program cannot go on without it: any end that was not ordered shuts down with exit code 1.
    Essential,
    /// It is started again after 1 s to 60 s, whether it ended well or badly.
    Restart,
    /// It ends when it is done.
    Once,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It returned without an error.
    Finished,
    /// It returned an error; the chain in one line.
    Failed(String),
    /// It panicked, with this text.
    Panicked(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => write!(f, "finished"),
            Self::Failed(line) => write!(f, "failed: {line}"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
        }
    }
}

/// What a task may return: nothing, or a result whose error becomes the reason of its end.
pub trait Outcome {
    /// The end this outcome stands for.
    fn end(self) -> End;
}

impl Outcome for () {
    fn end(self) -> End {
        End::Finished
    }
}

impl<E: Error> Outcome for Result<(), E> {
    fn end(self) -> End {
        match self {
            Ok(()) => End::Finished,
            Err(error) => End::Failed(crate::chain(&error)),
        }
    }
}

pub(super) type Run = Pin<Box<dyn Future<Output = End> + Send>>;

/// Starts the next run of a task.
pub(super) type Start = Box<dyn FnMut(CancellationToken) -> Run + Send>;

/// A task factory as a [`Start`].
pub(super) fn start_of<F>(mut factory: impl FnMut(CancellationToken) -> F + Send + 'static) -> Start
where
    F: Future<Output: Outcome> + Send + 'static,
{
    Box::new(move |token| {
        let work = factory(token);
        Box::pin(async { work.await.end() })
    })
}

/// A thread's body as a [`Start`]. The thread cannot be cut: one that ignores its token at the stop deadline stays behind
/// until the process exits.
pub(super) fn start_of_thread<O: Outcome>(
    name: &str,
    body: impl FnMut(CancellationToken) -> O + Send + 'static,
) -> Start {
    let (name, body) = (name.to_owned(), Arc::new(Mutex::new(body)));
    Box::new(move |token| {
        let (done, ended) = oneshot::channel();
        let (body, span) = (Arc::clone(&body), Span::current());
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            // Held for the whole run; the next run starts only after this one, so it never waits.
            let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = span.in_scope(|| catch_unwind(AssertUnwindSafe(|| body(token))));
            drop(body);
            // Nobody listens when the stop deadline has passed.
            drop(done.send(outcome.map_or_else(|panic| panicked(&*panic), Outcome::end)));
        });
        Box::pin(async move {
            match thread {
                Ok(_) => ended.await.unwrap_or_else(|_| End::Panicked("thread died".to_owned())),
                Err(error) => End::Failed(format!("start thread: {error}")),
            }
        })
    })
}

/// What a task is told, and what it tells.
pub(super) struct Watch {
    pub(super) row: Row,
    pub(super) fate: Fate,
    /// Stop in good order.
    pub(super) stop: CancellationToken,
    /// The deadline has passed: be dropped.
    pub(super) cut: CancellationToken,
}

/// Runs a task until it is over for good. Returns the end if the program must not go on.
pub(super) async fn supervise(mut start: Start, watch: Watch) -> Option<End> {
    let mut backoff = Backoff::default();
    loop {
        let began = Instant::now();
        watch.row.started();
        let end = tokio::select! {
            biased;
            end = run(&mut start, watch.stop.clone()) => end,
            () = watch.cut.cancelled() => {
                tracing::warn!("task did not stop in time");
                watch.row.cut();
                return None;
            }
        };
        let ordered = watch.stop.is_cancelled();
        watch.row.ended(&end, ordered);
        if ordered {
            if end != End::Finished {
                tracing::warn!(%end, "task ended badly while stopping");
            }
            return None;
        }
        match watch.fate {
            Fate::Essential => {
                tracing::error!(%end, "essential task ended");
                return Some(end);
            }
            Fate::Once => {
                if end != End::Finished {
                    tracing::warn!(%end, "task ended badly");
                }
                return None;
            }
            Fate::Restart => {}
        }
        // Without randomness the wait is merely not spread.
        let wait = backoff.next(began.elapsed(), getrandom::u32().unwrap_or(u32::MAX / 2));
        watch.row.restarts_in(wait, backoff.in_a_row);
        tracing::warn!(%end, wait_ms = wait.as_millis(), ends_in_a_row = backoff.in_a_row, "task ended, starting again");
        tokio::select! {
            () = sleep(wait) => {}
            () = watch.stop.cancelled() => return None,
        }
    }
}

/// One run; a panic in the factory or the task is its end.
async fn run(start: &mut Start, stop: CancellationToken) -> End {
    match catch_unwind(AssertUnwindSafe(|| start(stop))) {
        Ok(run) => CatchPanic(run).await,
        Err(panic) => panicked(&*panic),
    }
}

struct CatchPanic(Run);

impl Future for CatchPanic {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        // The future is dropped and never polled again after a panic, so what it left half done is not seen.
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(panicked(&*panic)))
    }
}

fn panicked(payload: &(dyn Any + Send)) -> End {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    End::Panicked(text.unwrap_or("no text").to_owned())
}
