//! HTTP for axum routers on our own accept loop over hyper.
//!
//! `axum::serve` keeps half-sent headers and stalled viewers for ever; this room puts a deadline or a cap on everything
//! a client can do slowly or often: TLS handshake, request head, request body, idle keep-alive, reading our answer,
//! number of connections. It refuses requests whose target two parsers could read in two ways (RFC 9112 §3.2). It does
//! not know what is served: routes, tokens and answers are the router's.
//!
//! [`server`] accepts, [`caps`] counts connections, [`connection`] drives one, [`guard`] watches its socket,
//! [`request`] checks what it asks, [`peer`] says who it is, [`limits`] holds the numbers.

mod caps;
mod connection;
mod guard;
mod limits;
mod peer;
mod request;
mod server;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_tls;

pub use limits::{Counters, Counts, Limits};
pub use peer::{Peer, PeerCertificate};
pub use server::{Drained, ServeError, Server};
