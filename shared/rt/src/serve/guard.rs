//! Watches one TCP socket: is the client slow to ask, idle too long, or not reading what we send?
//!
//! Sits below TLS, on the bytes of the socket. hyper's own head deadline runs through idle time too, so one number would
//! have to serve both; here the head has its deadline from its first byte and idle its own. A reader that takes nothing
//! is cut by our clock and not only by `TCP_USER_TIMEOUT`, because a client whose kernel answers window probes with a
//! window of zero is alive in TCP's eyes. The cut resets the connection, which frees its send buffer at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::limits::{Counters, Limits, count};

/// What the connection is doing, as far as the client's next bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// We owe something: a handshake, an answer. The client may be silent.
    Busy = 0,
    /// The client owes the rest of a request head.
    Head = 1,
    /// The client owes nothing.
    Idle = 2,
}

/// The phase, shared between the socket below hyper and the requests above it.
///
/// One atomic holds a turn counter and the phase, so that two idle spells with no read between them are told apart.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    turn_and_phase: AtomicU64,
}

impl Pulse {
    /// A request head is expected from now on.
    pub(crate) fn expect_head(&self) {
        self.turn(Phase::Head);
    }

    /// A request is being answered.
    pub(crate) fn answering(&self) {
        self.turn(Phase::Busy);
    }

    /// The answer is done.
    pub(crate) fn answered(&self) {
        self.turn(Phase::Idle);
    }

    fn turn(&self, phase: Phase) {
        // Only the connection's own task turns, so load and store need not be one step.
        let turn = (self.turn_and_phase.load(Ordering::Relaxed) >> 2).wrapping_add(1);
        self.turn_and_phase.store(turn << 2 | phase as u64, Ordering::Relaxed);
    }

    fn now(&self) -> (u64, Phase) {
        let both = self.turn_and_phase.load(Ordering::Relaxed);
        let phase = match both & 3 {
            1 => Phase::Head,
            2 => Phase::Idle,
            _ => Phase::Busy,
        };
        (both, phase)
    }
}

/// A socket with deadlines.
#[derive(Debug)]
pub(crate) struct Guard {
    socket: TcpStream,
    pulse: Arc<Pulse>,
    counters: Arc<Counters>,
    head: Duration,
    idle: Duration,
    stall: Duration,
    /// Runs while the client owes us bytes; set for one turn.
    read_clock: Pin<Box<Sleep>>,
    read_turn: u64,
    /// Runs while the socket takes nothing.
    write_clock: Pin<Box<Sleep>>,
    stalled: bool,
}

impl Guard {
    pub(crate) fn new(socket: TcpStream, pulse: Arc<Pulse>, limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            socket,
            pulse,
            counters,
            head: limits.head,
            idle: limits.idle,
            stall: limits.stall,
            read_clock: Box::pin(sleep(limits.head)),
            read_turn: 0,
            write_clock: Box::pin(sleep(limits.stall)),
            stalled: false,
        }
    }

    /// Sets the read clock when a new turn has begun; returns the phase.
    fn wind_read_clock(&mut self) -> Phase {
        let (turn, phase) = self.pulse.now();
        if turn != self.read_turn {
            self.read_turn = turn;
            let limit = if phase == Phase::Idle { self.idle } else { self.head };
            self.read_clock.as_mut().reset(Instant::now() + limit);
        }
        phase
    }

    /// Nothing came: is it too late for it? `Ready(Ok)` is the end of the stream.
    fn poll_read_deadline(&mut self, phase: Phase, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if phase == Phase::Busy {
            return Poll::Pending;
        }
        ready!(self.read_clock.as_mut().poll(cx));
        if phase == Phase::Idle {
            count(&self.counters.timed_out_idle);
            return Poll::Ready(Ok(()));
        }
        count(&self.counters.timed_out_head);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request head not finished in time")))
    }

    /// Passes a write's outcome on, unless the socket has taken nothing for too long.
    fn watch_write(&mut self, wrote: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = &wrote {
            self.stalled = false;
            self.count_kernel_cut(outcome.as_ref().err());
            return wrote;
        }
        if !self.stalled {
            self.stalled = true;
            self.write_clock.as_mut().reset(Instant::now() + self.stall);
        }
        ready!(self.write_clock.as_mut().poll(cx));
        count(&self.counters.timed_out_stall);
        // Reset instead of a polite close: the kernel must not keep the unread bytes. When the option cannot be set the
        // close is polite, and TCP_USER_TIMEOUT ends it.
        drop(SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "reader takes nothing")))
    }

    /// `TCP_USER_TIMEOUT` and our own clock race for a reader that takes nothing; whichever wins, it is one stalled viewer.
    fn count_kernel_cut(&self, error: Option<&io::Error>) {
        if error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            count(&self.counters.timed_out_stall);
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let phase = self.wind_read_clock();
        let before = buffer.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buffer) {
            Poll::Pending => self.poll_read_deadline(phase, cx),
            Poll::Ready(Err(error)) => {
                // The kernel gives its verdict once, to whoever asks first.
                if phase == Phase::Busy {
                    self.count_kernel_cut(Some(&error));
                }
                Poll::Ready(Err(error))
            }
            done => {
                if phase == Phase::Idle && buffer.filled().len() > before {
                    self.pulse.expect_head();
                    self.wind_read_clock();
                }
                done
            }
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch_write(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.watch_write(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turn_is_a_new_one() {
        let pulse = Pulse::default();
        assert_eq!(pulse.now(), (0, Phase::Busy));
        pulse.expect_head();
        let first = pulse.now();
        assert_eq!(first.1, Phase::Head);
        pulse.answering();
        pulse.answered();
        let idle = pulse.now();
        pulse.answering();
        pulse.answered();
        assert_eq!(pulse.now().1, Phase::Idle);
        assert_ne!(pulse.now().0, idle.0, "a second idle spell winds the clock again");
    }
}
