//! Binds an address, accepts connections under the caps, and ends in good order.
//!
//! The accept loop never dies of a failed accept: a client that gave up is skipped, and when descriptors or memory run
//! out (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`) it waits before it asks again, since the refused connection stays in
//! the queue and would make it spin.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caps::{Door, Refusal};
use super::connection::{self, Shared};
use super::limits::{Counters, Limits, count};
use crate::tls::TlsHandle;
use crate::trace::Repeat;

const BACKLOG: u32 = 1_024;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a server could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not ours, or not allowed.
    #[error("listen on {address}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound server. It answers once [`Self::run`] is called; until then clients wait in the kernel's queue.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    counters: Arc<Counters>,
    tls: Option<TlsHandle>,
}

/// How the end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections still open when the drain began.
    pub open: u64,
    /// Of these, cut at the drain deadline.
    pub cut: u64,
}

impl Server {
    /// Binds `address`; port 0 takes a free one, which [`Self::address`] tells.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn bind(address: SocketAddr, limits: Limits, tls: Option<TlsHandle>) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, limits, counters: Arc::default(), tls })
    }

    /// The address it listens on, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts; stays readable while and after it runs.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Serves until `stop`, then closes the listener, lets open requests finish for `limits.drain` and cuts the rest.
    /// Handlers find [`super::Peer`] and, where a client presented one, [`super::PeerCertificate`] in the request's
    /// extensions.
    pub async fn run(self, router: Router, stop: CancellationToken) -> Drained {
        let door = Door::new(&self.limits, Arc::clone(&self.counters));
        let shared = Arc::new(Shared {
            limits: self.limits,
            counters: Arc::clone(&self.counters),
            tls: self.tls,
            router,
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        let tracker = TaskTracker::new();
        let accepting = accept_all(self.listener, &door, &shared, &tracker);
        tokio::select! {
            () = stop.cancelled() => {}
            () = accepting => {}
        }
        drain(&shared, &tracker).await
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the old connections' TIME-WAIT (RFC 9293 §3.6.1).
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Never returns; the caller drops it, and with it the listener, to stop.
async fn accept_all(listener: TcpListener, door: &Arc<Door>, shared: &Arc<Shared>, tracker: &TaskTracker) {
    let starved = Repeat::new();
    let mut pause = Duration::ZERO;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                pause = Duration::ZERO;
                match door.enter(peer.ip()) {
                    Ok(slot) => {
                        let shared = Arc::clone(shared);
                        tracker.spawn(async move {
                            connection::serve(shared, socket, peer).await;
                            drop(slot);
                        });
                    }
                    Err(refusal) => turn_away(socket, refusal, shared.tls.is_some()),
                }
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                count(&shared.counters.accept_errors);
                pause = next_pause(pause);
                if let Some(times) = starved.hit() {
                    tracing::error!(times, %error, "cannot accept connections");
                }
                sleep(pause).await;
            }
        }
    }
}

async fn drain(shared: &Shared, tracker: &TaskTracker) -> Drained {
    let open = shared.counters.counts().open;
    shared.drain.cancel();
    tracker.close();
    if timeout(shared.limits.drain, tracker.wait()).await.is_ok() {
        return Drained { open, cut: 0 };
    }
    let cut = shared.counters.counts().open;
    shared.cut.cancel();
    tracker.wait().await;
    Drained { open, cut }
}

/// Errors of one connection that died in the queue, not of the listener (accept(2), "Error handling").
fn is_the_clients(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(
        code,
        Some(
            Errno::ECONNABORTED
                | Errno::ECONNRESET
                | Errno::EINTR
                | Errno::EPROTO
                | Errno::ENETDOWN
                | Errno::ENETUNREACH
                | Errno::EHOSTDOWN
                | Errno::EHOSTUNREACH
                | Errno::ENONET
                | Errno::ENOPROTOOPT
                | Errno::EOPNOTSUPP
                | Errno::EPERM
        )
    )
}

fn next_pause(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// Says why, when that costs nothing: one write into an empty send buffer, then the end. A TLS client cannot read it.
fn turn_away(socket: TcpStream, refusal: Refusal, tls: bool) {
    if tls {
        return;
    }
    let text = match refusal {
        Refusal::Total => "this server is full, try again",
        Refusal::Address => "too many connections from your address",
    };
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    // Best effort: the client may be gone, and then nobody misses the answer.
    drop(SockRef::from(&socket).send(answer.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_is_ours_and_backs_off() {
        use nix::errno::Errno;
        for (code, want) in [
            (Errno::EMFILE, false),
            (Errno::ENFILE, false),
            (Errno::ENOBUFS, false),
            (Errno::ENOMEM, false),
            (Errno::ECONNABORTED, true),
            (Errno::EHOSTUNREACH, true),
        ] {
            assert_eq!(is_the_clients(&io::Error::from_raw_os_error(code as i32)), want, "{code}");
        }
        let mut pause = Duration::ZERO;
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                pause = next_pause(pause);
                pause.as_millis()
            })
            .collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    }
}
