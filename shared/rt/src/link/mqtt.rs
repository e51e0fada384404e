//! The carrier: rumqttc on MQTT 3.1.1, one event loop per connection.
//!
//! rumqttc 0.25 reconnects in a hot loop, throws queued publishes away when the broker has no session,
//! reorders what it replays and keeps a packet-id collision over a reconnect. So it never reconnects here:
//! each connection has its own client and event loop, polled by a task that does nothing else (a
//! cancelled `poll` loses what it took), and whatever was in flight when it ends is ours to send again:
//! state by [`Link`], events by the courier. The broker's persistent session is kept by the client id.

use std::{sync::atomic::Ordering, time::Duration};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, QoS,
    SubscribeFilter, TlsConfiguration, Transport,
};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::Backoff,
    options::{Announcement, LinkError, LinkOptions, Subscription},
    uplink::{self, Carrier, Delivery, Incoming, Link, Publish},
};

const KEEP_ALIVE: Duration = Duration::from_secs(5);
const CONNECT_SECS_MAX: u64 = 5;
/// Both ways; over it rumqttc would end the connection, and a retained message would end it for ever.
const PACKET_BYTES_MAX: usize = 256 * 1024;
/// Requests inside rumqttc: few, so that state can still be coalesced on our side.
const REQUESTS_MAX: usize = 8;
const INFLIGHT_MAX: u16 = 100;
/// How long the reader may stand still before the connection is given up and begun anew.
const READER_GRACE: Duration = Duration::from_secs(2);
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// A connection that held this long was a good one.
const HELD: Duration = Duration::from_secs(10);

/// Opens a link to a broker. Nothing connects before [`MqttTask::run`].
///
/// # Errors
/// [`LinkError`] when address, client id and TLS do not fit together.
pub fn mqtt(options: LinkOptions) -> Result<(Link, Incoming, MqttTask), LinkError> {
    options.check()?;
    let (link, incoming, carrier) = uplink::open();
    Ok((link, incoming, MqttTask { options, carrier, backoff: Backoff::default() }))
}

/// Keeps the connection; started through the supervisor.
#[derive(Debug)]
pub struct MqttTask {
    options: LinkOptions,
    carrier: Carrier,
    backoff: Backoff,
}

/// How one connection ended.
enum End {
    Lost(String),
    Stopped,
}

impl MqttTask {
    /// Connects, and connects again whenever the connection ends, until `stop`. Then what waits is still
    /// sent (2 s at most), and an orderly disconnect withdraws the last will.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let End::Lost(error) = self.connection(&stop).await else {
                self.carrier.disconnected("stopped");
                return;
            };
            let was_up = self.carrier.is_connected();
            let lasted = self.carrier.lasting();
            if was_up && lasted >= HELD {
                self.backoff.reset();
            }
            self.carrier.disconnected(&error);
            let broker = self.options.url.to_string();
            let wait = self.backoff.next(getrandom::u32().unwrap_or(0));
            if was_up {
                tracing::warn!(broker, error, lasted_secs = lasted.as_secs(), "broker link lost");
            } else {
                tracing::debug!(broker, error, wait_ms = wait.as_millis(), "broker not reached");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One connection from CONNECT to its end.
    async fn connection(&mut self, stop: &CancellationToken) -> End {
        let announcement = self.options.announce.as_mut().map(|announce| announce());
        let (client, mut event_loop) = AsyncClient::new(self.mqtt_options(announcement.as_ref()), REQUESTS_MAX);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECS_MAX).set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let (accepted_in, accepted) = oneshot::channel();
        let mut poller = JoinSet::new();
        let reader = Reader { deliveries: self.carrier.deliveries.clone(), accepted: Some(accepted_in) };
        let shared = std::sync::Arc::clone(&self.carrier.shared);
        poller.spawn(async move { poll(event_loop, reader, &shared.counters).await });
        let session_kept = tokio::select! {
            accepted = accepted => match accepted {
                Ok(session_kept) => session_kept,
                Err(_) => return End::Lost(ended(&mut poller).await),
            },
            () = stop.cancelled() => return End::Stopped,
        };
        if let Err(error) = introduce(&client, &self.options.subscriptions, session_kept, announcement).await {
            return End::Lost(error);
        }
        let away = self.carrier.lasting();
        self.carrier.connected();
        tracing::info!(broker = %self.options.url, away_secs = away.as_secs(), session_kept, "broker link up");
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let _ = timeout(FAREWELL_MAX, self.farewell(&client, &mut poller)).await;
                    return End::Stopped;
                }
                error = ended(&mut poller) => return End::Lost(error),
                publish = self.carrier.next() => {
                    // Fails only when the poller has ended; the next turn says why.
                    let _ = send(&client, publish).await;
                }
            }
        }
    }

    fn mqtt_options(&self, announcement: Option<&Announcement>) -> MqttOptions {
        let url = &self.options.url;
        let mut options = MqttOptions::new(self.options.client_id.as_str(), url.host.as_str(), url.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(false).set_inflight(INFLIGHT_MAX);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(tls) = &self.options.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(std::sync::Arc::clone(tls))));
        }
        if let Some(Announcement { will, .. }) = announcement {
            options.set_last_will(LastWill::new(&will.topic, will.payload.clone(), quality(will.once), will.retained));
        }
        options
    }

    /// Sends what waits and disconnects.
    async fn farewell(&mut self, client: &AsyncClient, poller: &mut JoinSet<String>) {
        while let Some(publish) = self.carrier.due() {
            if send(client, publish).await.is_err() {
                return;
            }
        }
        if client.disconnect().await.is_ok() {
            let _ = ended(poller).await;
        }
    }
}

/// Greets, then subscribes: whoever answers our subscription has seen who we are.
async fn introduce(
    client: &AsyncClient,
    subscriptions: &[Subscription],
    session_kept: bool,
    said: Option<Announcement>,
) -> Result<(), String> {
    let lost = |error: rumqttc::ClientError| error.to_string();
    if let Some(greeting) = said.and_then(|announcement| announcement.greeting) {
        send(client, greeting).await.map_err(lost)?;
    }
    if session_kept {
        for subscription in subscriptions.iter().filter(|subscription| subscription.state) {
            client.unsubscribe(subscription.filter.as_str()).await.map_err(lost)?;
        }
    }
    let filters = subscriptions.iter().map(|s| SubscribeFilter::new(s.filter.clone(), quality(!s.state)));
    let filters: Vec<SubscribeFilter> = filters.collect();
    if filters.is_empty() {
        return Ok(());
    }
    client.subscribe_many(filters).await.map_err(lost)
}

fn quality(once: bool) -> QoS {
    if once { QoS::AtLeastOnce } else { QoS::AtMostOnce }
}

async fn send(client: &AsyncClient, publish: Publish) -> Result<(), rumqttc::ClientError> {
    let Publish { topic, payload, retained, once } = publish;
    client.publish_bytes(topic, quality(once), retained, payload).await
}

/// Waits for the poller's last words. Cancel safe.
async fn ended(poller: &mut JoinSet<String>) -> String {
    match poller.join_next().await {
        Some(Ok(error)) => error,
        Some(Err(panic)) => format!("the MQTT client panicked: {panic}"),
        None => "the MQTT client ended".to_owned(),
    }
}

/// Where the poller puts what arrives.
struct Reader {
    deliveries: tokio::sync::mpsc::Sender<Delivery>,
    accepted: Option<oneshot::Sender<bool>>,
}

/// Polls one connection to its end and says how it ended.
async fn poll(mut event_loop: EventLoop, mut reader: Reader, counters: &uplink::Counters) -> String {
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(acknowledged))) => {
                if let Some(accepted) = reader.accepted.take() {
                    let _ = accepted.send(acknowledged.session_present);
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let delivery = Delivery { topic: publish.topic, payload: publish.payload, retained: publish.retain };
                if let Err(words) = deliver(&reader, delivery, counters).await {
                    return words.to_owned();
                }
            }
            // After our DISCONNECT too: closing a socket with unread bytes resets it, and a broker that sees
            // the reset first publishes the will. MQTT 3.1.1 section 3.14.4: the broker closes.
            Ok(_) => {}
            Err(error) => return in_words(&error),
        }
    }
}

/// Hands a message to the reader. One that stands still costs the connection, not the message: the next
/// connection asks for retained state again, and what was sent through a courier comes again.
async fn deliver(reader: &Reader, delivery: Delivery, counters: &uplink::Counters) -> Result<(), &'static str> {
    match timeout(READER_GRACE, reader.deliveries.send(delivery)).await {
        Ok(Ok(())) => {
            counters.delivered.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Ok(Err(_)) => Err("nobody reads this link"),
        Err(_) => {
            counters.overruns.fetch_add(1, Ordering::Relaxed);
            Err("the reader of this link stood still for 2 s")
        }
    }
}

fn in_words(error: &ConnectionError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words.chars().take(300).collect()
}
