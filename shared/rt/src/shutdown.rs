//! Signals: the first SIGTERM or SIGINT asks for the orderly shutdown, the second exits at once, SIGHUP reloads.

use std::error::Error;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::supervisor::{Cause, Supervisor};

/// What the process exits with when it is told twice: it was cut short.
const EXIT_CUT_SHORT: i32 = 1;

/// The system refused a signal handler.
#[derive(Debug, thiserror::Error)]
#[error("listen to {name}")]
pub struct SignalError {
    /// The signal.
    pub name: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// The requests to reload. Several that come while one is being served become one.
#[derive(Debug)]
pub struct Reloads {
    asked: mpsc::Receiver<()>,
}

impl Reloads {
    /// Waits for the next SIGHUP; never returns once signals are no longer listened to. Safe to drop and call again.
    pub async fn next(&mut self) {
        if self.asked.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Answers each request with `apply` until `stop`, and says what came of it. `apply` reads the configuration anew and
    /// changes nothing when it is bad; it gives the keys that changed and count from the next start only.
    pub async fn serve<E: Error + 'static>(
        mut self,
        stop: CancellationToken,
        mut apply: impl FnMut() -> Result<Vec<&'static str>, E>,
    ) {
        while stop.run_until_cancelled(self.next()).await.is_some() {
            match apply() {
                Ok(later) if later.is_empty() => tracing::info!("configuration reloaded"),
                Ok(later) => tracing::warn!(
                    keys = later.join(", "),
                    "configuration reloaded; these keys count from the next start"
                ),
                Err(error) => {
                    tracing::error!(error = crate::chain(&error), "configuration refused; the old one stays in force");
                }
            }
        }
    }
}

/// Listens to signals from now on. Call it before anything that takes long, so that an early SIGTERM is orderly too.
///
/// # Errors
/// [`SignalError`].
pub fn listen(supervisor: &Supervisor) -> Result<Reloads, SignalError> {
    listen_and(supervisor, || std::process::exit(EXIT_CUT_SHORT))
}

fn listen_and(supervisor: &Supervisor, exit: impl Fn() + Send + 'static) -> Result<Reloads, SignalError> {
    let mut terminate = open("SIGTERM", SignalKind::terminate())?;
    let mut interrupt = open("SIGINT", SignalKind::interrupt())?;
    let mut hang_up = open("SIGHUP", SignalKind::hangup())?;
    let (ask, asked) = mpsc::channel(1);
    let supervisor = supervisor.clone();
    // Outside the supervisor's tree: it must hear the second signal while everything else stops.
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = interrupt.recv() => "SIGINT",
                Some(()) = hang_up.recv() => {
                    // Full means that a reload is due already.
                    let _ = ask.try_send(());
                    continue;
                }
                else => return,
            };
            if supervisor.shutdown_asked().is_cancelled() {
                tracing::warn!(signal = name, "told again, exiting at once");
                exit();
            }
            supervisor.shut_down(Cause::Asked(name.to_owned()));
        }
    });
    Ok(Reloads { asked })
}

fn open(name: &'static str, kind: SignalKind) -> Result<Signal, SignalError> {
    signal(kind).map_err(|source| SignalError { name, source })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;
    use crate::clock::SystemClock;

    const PATIENCE: Duration = Duration::from_secs(10);

    // One test, because signals go to the whole process.
    #[tokio::test]
    async fn reload_then_orderly_then_at_once() {
        let supervisor = Supervisor::new(Arc::new(SystemClock));
        let exited = Arc::new(Notify::new());
        let noted = Arc::clone(&exited);
        let mut reloads = listen_and(&supervisor, move || noted.notify_one()).unwrap();

        raise(Signal::SIGHUP).unwrap();
        timeout(PATIENCE, reloads.next()).await.unwrap();
        assert!(!supervisor.shutdown_asked().is_cancelled());

        raise(Signal::SIGTERM).unwrap();
        let stopped = timeout(PATIENCE, supervisor.run()).await.unwrap();
        assert_eq!((stopped.exit_code(), stopped.cause), (0, Cause::Asked("SIGTERM".to_owned())));

        raise(Signal::SIGINT).unwrap();
        timeout(PATIENCE, exited.notified()).await.unwrap();
    }
}
