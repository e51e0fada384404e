//! The shell that both programs share: everything that knows tokio, sockets, files and the wall clock.
//!
//! The rooms in the order a program meets them: [`trace`] (log lines), [`config`] and [`secret`] (what the operator
//! wrote), [`clock`] (what time it is), [`supervisor`] and [`shutdown`] (what runs, and how it ends), [`service_manager`]
//! (what systemd is told), [`tls`] and
//! [`serve`] (HTTP on our own accept loop), [`page`] (what all web pages share), [`link`] (MQTT and the outbox), [`atomic_file`] (small durable state),
//! [`event_ring`] (what happened lately), [`error`] (one line for a person). Nothing here knows television.

pub mod atomic_file;
pub mod clock;
pub mod config;
pub mod error;
pub mod event_ring;
pub mod link;
pub mod page;
pub mod secret;
pub mod serve;
pub mod service_manager;
pub mod shutdown;
pub mod supervisor;
pub mod tls;
pub mod trace;

pub use clock::{Clock, SimulatedClock, SystemClock};
pub use error::chain;
pub use event_ring::EventRing;
pub use secret::{Secret, SecretFile};
pub use service_manager::{Beat, Heartbeats};
pub use supervisor::{Fate, Supervisor};
pub use tokio_util::sync::CancellationToken;
pub use trace::Repeat;
