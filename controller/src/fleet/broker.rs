//! The embedded MQTT broker: rumqttd, for the demo, tests and a one-box trial.
//!
//! One MQTT 3.1.1 listener on loopback and nothing else: no MQTT 5 (two packets switch its listener off
//! until a restart), no console, no websocket, no TLS. It has no topic permissions and forgets retained
//! messages when it ends, which is why everything here is signed, sent again after a reconnect, or kept
//! until acknowledged. Production names a Mosquitto in `mqtt.url`, and this is not started.
//!
//! rumqttd runs on threads of its own. A panic in one ends that thread, not the controller: what is seen of
//! it is a changed [`BrokerState`]. It cannot be stopped or started again within a process, because its
//! listener never ends; and it does not tell the port it bound, so port 0 is refused.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::sync::watch;

/// Both ways, as the clients are set.
const PACKET_BYTES_MAX: usize = 256 * 1024;
const CONNECTIONS_MAX: usize = 1_000;
/// rumqttd gives a new QoS 0 subscription at most this many retained messages.
const RETAINED_MAX: u64 = 10_000;
/// Kept per topic filter, in memory: 4 segments of 1 MiB.
const SEGMENT_BYTES: usize = 1024 * 1024;
const SEGMENTS: usize = 4;

/// Why the embedded broker was not started.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// An address that others can reach.
    #[error(
        "the embedded broker has no permissions and no TLS, so it listens on loopback only, not on {address}: \
         use 127.0.0.1, or name a Mosquitto in mqtt.url"
    )]
    NotLoopback {
        /// As configured.
        address: SocketAddr,
    },
    /// Port 0.
    #[error("the embedded broker cannot choose a port itself: name one in mqtt.listen, 1883 by custom")]
    PortZero,
    /// The address is taken.
    #[error("the embedded broker cannot listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread.
    #[error("the embedded broker's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// What the embedded broker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerState {
    /// It was started and has not failed.
    Running,
    /// It failed, in words; only a restart of the process brings it back.
    Failed(String),
}

/// The running broker. Dropping it stops nothing.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    state: watch::Receiver<BrokerState>,
}

impl Broker {
    /// Starts the broker on a loopback address with a port.
    ///
    /// # Errors
    /// [`BrokerError`]: not loopback, port 0, or the address is taken.
    pub fn start(address: SocketAddr) -> Result<Self, BrokerError> {
        if !address.ip().is_loopback() {
            return Err(BrokerError::NotLoopback { address });
        }
        if address.port() == 0 {
            return Err(BrokerError::PortZero);
        }
        // rumqttd would only log it. Between this and its own bind somebody may still take the port, which
        // is then seen as a failed broker.
        TcpListener::bind(address).map_err(|source| BrokerError::Listen { address, source })?;
        let (report, state) = watch::channel(BrokerState::Running);
        let report = Arc::new(report);
        thread::Builder::new()
            .name("mqtt-broker".to_owned())
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| run(address, &report)));
                let words = outcome.unwrap_or_else(|_| "it panicked".to_owned());
                fail(&report, &words);
            })
            .map_err(BrokerError::Thread)?;
        Ok(Self { address, state })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its state, as a watch.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }
}

fn fail(report: &watch::Sender<BrokerState>, words: &str) {
    if report.send_replace(BrokerState::Failed(words.to_owned())) == BrokerState::Running {
        tracing::error!(
            reason = words,
            "embedded broker failed: restart the controller, or name a Mosquitto in mqtt.url"
        );
    }
}

/// Runs rumqttd until it ends, which it should not.
fn run(address: SocketAddr, report: &Arc<watch::Sender<BrokerState>>) -> String {
    let mut broker = rumqttd::Broker::new(config(address));
    // The router is a thread whose end nobody reports; a link into it ends with it.
    match broker.link("headend-broker-watch") {
        Ok((_keep, mut from_router)) => {
            let report = Arc::clone(report);
            let watching = thread::Builder::new().name("mqtt-broker-eye".to_owned()).spawn(move || {
                let _keep = _keep;
                while from_router.recv().is_ok() {}
                fail(&report, "its router ended");
            });
            if let Err(error) = watching {
                tracing::warn!(error = %error, "embedded broker is not watched");
            }
        }
        Err(error) => return format!("its router did not start: {error}"),
    }
    match broker.start() {
        Ok(()) => "its listener ended: is the port taken?".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn config(address: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: PACKET_BYTES_MAX,
        max_inflight_count: 500,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let listener = ServerSettings {
        name: "mqtt-311".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: CONNECTIONS_MAX,
        max_outgoing_packet_count: RETAINED_MAX,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        ..RouterConfig::default()
    };
    Config { router, v4: Some(HashMap::from([("loopback".to_owned(), listener)])), ..Config::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, want: &str) {
        let error = Broker::start(address.parse().unwrap()).expect_err("refused").to_string();
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn only_loopback_with_a_port() {
        check("0.0.0.0:1883", "listens on loopback only, not on 0.0.0.0:1883");
        check("[::]:1883", "listens on loopback only");
        check("127.0.0.1:0", "name one in mqtt.listen");
    }

    #[test]
    fn a_taken_port_is_said_at_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        check(&taken.local_addr().unwrap().to_string(), "cannot listen on 127.0.0.1:");
    }
}
