//! The addresses of a running controller: bound first, so that nothing starts where something else already listens.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use headend_rt::{
    Clock,
    link::BrokerUrl,
    serve::{Limits, Server},
    tls::{self, TlsHandle},
};

use super::{Ready, RunError};
use crate::{
    config::{Config, Mqtt},
    fleet::{
        authority::Authority,
        broker::{Broker, BrokerError},
    },
};

/// A port that was free a moment ago may be taken by another program; then another is tried.
const BROKER_TRIES: usize = 5;
/// How long the embedded broker may take to listen, and how often it is tried meanwhile.
const BROKER_STARTS: Duration = Duration::from_secs(5);
const BROKER_KNOCK: Duration = Duration::from_millis(20);

/// The two listeners, the broker, and the addresses they are known by.
pub(super) struct Listeners {
    pub(super) http: Server,
    /// The certificate of [`Self::http`], which a reload replaces; none without TLS.
    pub(super) http_tls: Option<TlsHandle>,
    pub(super) fleet: Server,
    pub(super) public_url: String,
    pub(super) mqtt_url: BrokerUrl,
    broker: Option<Broker>,
}

impl Listeners {
    pub(super) fn bind(config: &Config, authority: &Authority, clock: &dyn Clock) -> Result<Self, RunError> {
        let http_tls = config.http.tls.as_ref().map(|identity| tls::server_config(identity, None));
        let http_tls =
            http_tls.transpose().map_err(|source| RunError::Tls { listener: "http", source })?.map(TlsHandle::new);
        let limits = Limits {
            connections_max: config.http.clients_max,
            per_address_max: config.http.clients_per_address_max,
            ..Limits::default()
        };
        let http = Server::bind(config.http.listen, limits, http_tls.clone())?;
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        let public_url = config.http.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", http.address()));

        let (identity, check) = authority.server(&fleet_names(config), clock.now())?;
        let fleet_tls = tls::server_config(&identity, Some(&check));
        let fleet_tls = fleet_tls.map_err(|source| RunError::Tls { listener: "fleet", source })?;
        let fleet = Server::bind(config.fleet.listen, Limits::default(), Some(TlsHandle::new(fleet_tls)))?;
        let (mqtt_url, broker) = match &config.mqtt {
            Mqtt::At { url, .. } => (url.clone(), None),
            Mqtt::Embedded(listen) => {
                let broker = broker(*listen)?;
                let address = broker.address();
                (BrokerUrl { tls: false, host: address.ip().to_string(), port: address.port() }, Some(broker))
            }
        };
        Ok(Self { http, http_tls, fleet, public_url, mqtt_url, broker })
    }

    /// Waits until the embedded broker takes connections: it binds on a thread of its own. Gives up after
    /// [`BROKER_STARTS`], because nothing here needs a broker to go on.
    pub(super) async fn broker_listens(&self) {
        let Some(broker) = &self.broker else { return };
        let knocking = async {
            while tokio::net::TcpStream::connect(broker.address()).await.is_err() {
                tokio::time::sleep(BROKER_KNOCK).await;
            }
        };
        if tokio::time::timeout(BROKER_STARTS, knocking).await.is_err() {
            tracing::error!(address = %broker.address(), "the embedded broker takes no connections yet");
        }
    }

    pub(super) fn ready(&self) -> Ready {
        let embedded = self.broker.as_ref().map(|broker| broker.address().to_string());
        let mqtt = embedded.unwrap_or_else(|| self.mqtt_url.to_string());
        Ready { http: self.http.address(), fleet: self.fleet.address(), mqtt }
    }
}

/// Names that the fleet's certificate is made for: where it listens, and what nodes call it.
fn fleet_names(config: &Config) -> Vec<String> {
    let mut names = vec![config.fleet.listen.ip().to_string()];
    if config.fleet.listen.ip().is_loopback() || config.fleet.listen.ip().is_unspecified() {
        names.extend(["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()]);
    }
    let host = config.fleet.public_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    let host = host.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if !host.is_empty() {
        names.push(host.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Starts the embedded broker. It cannot tell which port it got, so a free one is looked for first.
fn broker(listen: SocketAddr) -> Result<Broker, RunError> {
    if listen.port() != 0 {
        return Ok(Broker::start(listen)?);
    }
    let free = || TcpListener::bind(listen).and_then(|probe| probe.local_addr());
    let mut tries = 1;
    loop {
        let address = free().map_err(|source| BrokerError::Listen { address: listen, source })?;
        match Broker::start(address) {
            Err(BrokerError::Listen { .. }) if tries < BROKER_TRIES => tries += 1,
            other => return Ok(other?),
        }
    }
}
