//! The numbers a server holds its clients to, and what it counts.
//!
//! Defaults are what measurements on stalled and half-open clients asked for: a head in 5 s, a reader that takes
//! something every 15 s, half a mebibyte of kernel memory per viewer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// What a client may take, in time, number and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in total.
    pub connections_max: usize,
    /// Open connections of one address (one IPv4 address, or one IPv6 /64, which is what one home gets). `None` behind
    /// a proxy, where all clients share its address.
    pub per_address_max: Option<usize>,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request (or from accept, for the first request) to the end of its head.
    pub head: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub idle: Duration,
    /// How long a request body may keep us waiting, plus what it earns by [`Self::body_bytes_per_sec_min`].
    pub body_grace: Duration,
    /// Each received body byte buys `1 / this` seconds back, up to the grace; at least 1.
    pub body_bytes_per_sec_min: u64,
    /// How long the socket may take no byte of an answer before the reader is cut.
    pub stall: Duration,
    /// `TCP_USER_TIMEOUT`: how long the peer's kernel may leave sent bytes unacknowledged (RFC 5482).
    pub unacknowledged: Duration,
    /// Header fields in one request.
    pub headers_max: usize,
    /// Bytes of one request head; more is answered with 431.
    pub head_bytes_max: usize,
    /// `SO_SNDBUF` of each connection: what a viewer that reads nothing can pin in the kernel. `None` leaves it to the
    /// kernel, which grows it to megabytes.
    pub send_buffer_bytes: Option<usize>,
    /// How long open requests may go on after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            per_address_max: None,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            body_grace: Duration::from_secs(10),
            body_bytes_per_sec_min: 1_024,
            stall: Duration::from_secs(15),
            unacknowledged: Duration::from_secs(15),
            headers_max: 64,
            head_bytes_max: 32 * 1_024,
            send_buffer_bytes: None,
            drain: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The defaults for a server of live streams: a bounded send buffer of 512 KiB per viewer.
    #[must_use]
    pub fn live() -> Self {
        Self { send_buffer_bytes: Some(512 * 1_024), ..Self::default() }
    }
}

/// What one server has counted since it was bound. Shared with `Arc`.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) open: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused_total: AtomicU64,
    pub(crate) refused_address: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) handshake_failed: AtomicU64,
    pub(crate) timed_out_handshake: AtomicU64,
    pub(crate) timed_out_head: AtomicU64,
    pub(crate) timed_out_idle: AtomicU64,
    pub(crate) timed_out_body: AtomicU64,
    pub(crate) timed_out_stall: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) requests_refused: AtomicU64,
}

/// A copy of [`Counters`], for metrics and status pages. All but `open` only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections open now.
    pub open: u64,
    /// Connections taken in.
    pub accepted: u64,
    /// Connections refused because the server is full.
    pub refused_total: u64,
    /// Connections refused because their address has enough.
    pub refused_address: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_errors: u64,
    /// TLS handshakes that failed.
    pub handshake_failed: u64,
    /// TLS handshakes cut at their deadline.
    pub timed_out_handshake: u64,
    /// Request heads cut at their deadline.
    pub timed_out_head: u64,
    /// Idle connections closed; normal in a healthy server.
    pub timed_out_idle: u64,
    /// Request bodies cut for slowness.
    pub timed_out_body: u64,
    /// Readers cut because they took nothing.
    pub timed_out_stall: u64,
    /// Requests with a whole head.
    pub requests: u64,
    /// Of these, refused with 400 before the router saw them.
    pub requests_refused: u64,
}

impl Counters {
    /// The counts now. Each is exact; together they are not one instant.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            open: read(&self.open),
            accepted: read(&self.accepted),
            refused_total: read(&self.refused_total),
            refused_address: read(&self.refused_address),
            accept_errors: read(&self.accept_errors),
            handshake_failed: read(&self.handshake_failed),
            timed_out_handshake: read(&self.timed_out_handshake),
            timed_out_head: read(&self.timed_out_head),
            timed_out_idle: read(&self.timed_out_idle),
            timed_out_body: read(&self.timed_out_body),
            timed_out_stall: read(&self.timed_out_stall),
            requests: read(&self.requests),
            requests_refused: read(&self.requests_refused),
        }
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
