//! The agent's task: what arrives from the controller is checked and applied, how the node is goes out.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use headend_access::{Day, Generation, SessionId, TokenVerifier};
use headend_rt::{CancellationToken, Clock, link::Incoming};
use headend_wire::{CardHealth, ChannelHealth, ChannelName, Desired, EventKind, Health, Reported, Signed, TunerHealth};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    desired::DesiredStore,
    hardware::{self, Notices},
    identity::parse_key,
    uplink::{Arrived, Uplink},
};
use crate::{
    cam::Cams,
    card::Cards,
    input::{InputSet, tuner::pool::Tuners},
    output::{
        http::{Feeds, Gate},
        keys::KeyStore,
    },
    stream::{
        anchors::Anchors,
        lineup::{Lineup, feeds},
    },
};

/// Figures go out this often; every tenth time all of them.
const HEALTH: Duration = Duration::from_secs(1);
const WHOLE_EVERY: u32 = 10;
/// Changes of cards and tuners go out this often at most, in figures.
const HARDWARE_EVERY: u32 = 5;

/// What the agent knows, for the status page.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Generation that runs.
    pub generation: Option<u64>,
    /// Every channel.
    pub channels: Vec<ChannelHealth>,
    /// Which input is behind which source.
    pub feeds: Feeds,
    /// Last day with keys for every channel.
    pub keys_until_day: Option<u32>,
}

/// What the agent works with.
pub struct Agent {
    /// The newest desired state.
    pub desired: DesiredStore,
    /// The channels.
    pub lineup: Lineup,
    /// The line to the controller.
    pub uplink: Uplink,
    /// Token keys go here.
    pub gate: Arc<Gate>,
    /// Anchors go here.
    pub anchors: Arc<Anchors>,
    /// Content keys, for the report.
    pub keys: Arc<KeyStore>,
    /// Which day keys are needed.
    pub wanted: watch::Sender<Vec<(ChannelName, Generation)>>,
    /// Which key server the desired state names.
    pub key_url: watch::Sender<Option<String>>,
    /// What the status page reads.
    pub known: Arc<ArcSwap<Known>>,
    /// The operator's cards, for the report.
    pub cards: Cards,
    /// Modules in the common interface, for what is told of them.
    pub cams: Cams,
    /// The inputs, for the report.
    pub inputs: InputSet,
    /// The tuners, for the report.
    pub tuners: Tuners,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
}

impl Agent {
    /// Runs until `stop`. What was desired last is applied first, before anybody is asked.
    pub async fn run(mut self, mut incoming: Incoming, stop: CancellationToken) {
        self.uplink.event(EventKind::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
        if let Some(desired) = self.desired.running().cloned() {
            info!(generation = desired.generation, "desired state from the disk");
            self.apply(&desired).await;
        }
        let (mut ticks, mut tick, mut sent) = (tokio::time::interval(HEALTH), 0_u32, Sent::default());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {
                    self.report(tick, &mut sent);
                    tick = tick.wrapping_add(1);
                }
                delivery = incoming.next() => {
                    let Some(delivery) = delivery else { return };
                    match self.uplink.understand(&delivery.topic, &delivery.payload) {
                        Some(Arrived::Desired(signed)) => self.take(&signed).await,
                        Some(Arrived::Anchor(channel, source, anchor)) => {
                            if let Err(error) = self.anchors.put(&channel, &source, anchor) {
                                warn!(%channel, error = headend_rt::chain(&error), "anchor not kept on the disk");
                            }
                        }
                        Some(Arrived::Unusable { topic, reason }) => warn!(topic, reason, "message cannot be used"),
                        None => {}
                    }
                }
            }
        }
    }

    async fn take(&mut self, signed: &Signed) {
        match self.desired.offer(signed) {
            Ok(Some(desired)) => {
                let desired = desired.clone();
                info!(generation = desired.generation, channels = desired.channels.len(), "desired state arrived");
                self.apply(&desired).await;
            }
            Ok(None) => {}
            Err(error) => {
                let refused = headend_rt::chain(&error);
                warn!(error = refused, "desired state refused");
                let generation = self.desired.running().map_or(0, |running| running.generation);
                self.uplink.event(EventKind::Desired { generation, refused });
            }
        }
    }

    async fn apply(&mut self, desired: &Desired) {
        let mut differences = self.trust(desired);
        let scopes = desired.channels.iter().map(|c| (c.name.clone(), Generation(c.key_generation))).collect();
        self.wanted.send_replace(scopes);
        self.key_url.send_replace(desired.key_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()));
        differences.extend(self.lineup.apply(&desired.channels).await);
        for difference in &differences {
            warn!(difference, "not as desired");
        }
        let keys_until_day = self.keys_until();
        self.uplink.reported(Reported { generation: Some(desired.generation), differences, keys_until_day });
        self.uplink.event(EventKind::Desired { generation: desired.generation, refused: String::new() });
    }

    /// Takes the token keys; a key that is none is left out and named.
    fn trust(&self, desired: &Desired) -> Vec<String> {
        let mut differences = vec![];
        let mut keys = vec![];
        for key in &desired.token_keys {
            match parse_key(&key.public) {
                Some(public) => keys.push((key.id, public.to_bytes())),
                None => differences.push(format!("token key {} is no Ed25519 public key", key.id)),
            }
        }
        let revoked: HashSet<SessionId> =
            desired.revoked_sessions.iter().filter_map(|text| text.parse().ok()).collect();
        match TokenVerifier::new(keys) {
            Ok(verifier) => self.gate.trust(verifier, revoked),
            Err(error) => differences.push(headend_rt::chain(&error)),
        }
        differences
    }

    fn keys_until(&self) -> Option<u32> {
        let today = Day::of_unix_ms(u64::try_from(self.clock.unix_ms()).unwrap_or(0));
        self.keys.complete_until(&self.wanted.borrow(), today).map(|day| day.0)
    }

    /// Figures for the controller and for the status page.
    fn report(&self, tick: u32, sent: &mut Sent) {
        let whole = tick.is_multiple_of(WHOLE_EVERY);
        let channels = self.lineup.health();
        let generation = self.desired.running().map(|running| running.generation);
        let feeds = self.desired.running().map(|running| feeds(&running.channels)).unwrap_or_default();
        let keys_until_day = self.keys_until();
        self.known.store(Arc::new(Known { generation, channels: channels.clone(), feeds, keys_until_day }));
        let changed: Vec<ChannelHealth> =
            channels.iter().filter(|health| whole || !sent.channels.contains(health)).cloned().collect();
        let (cards, inputs) = (self.cards.reports(), self.inputs.reports());
        let now = (self.inputs.mono().ms(), self.clock.now());
        for notice in sent.notices.look(now, (&cards, &self.cams.public_reports()), &inputs) {
            self.uplink.event(notice);
        }
        let (cards, tuners) = (hardware::cards(&cards), hardware::tuners(&self.tuners.seats(), &inputs));
        let differs = cards != sent.cards || hardware::differ(&sent.tuners, &tuners);
        // A flapping card costs no more than this.
        let news = whole || (differs && tick.wrapping_sub(sent.hardware_tick) >= HARDWARE_EVERY);
        if news {
            (sent.cards, sent.tuners, sent.hardware_tick) = (cards, tuners, tick);
        }
        let generation = generation.unwrap_or(0);
        if whole || !changed.is_empty() {
            self.uplink.health(Health { whole, generation, channels: changed, cards: vec![], tuners: vec![] });
        }
        // In a message of its own, so that a box with many channels and much hardware stays under the wire's limit.
        if news && !(sent.cards.is_empty() && sent.tuners.is_empty()) {
            let (cards, tuners) = (sent.cards.clone(), sent.tuners.clone());
            self.uplink.health(Health { whole: false, generation, channels: vec![], cards, tuners });
        }
        sent.channels = channels;
    }
}

/// What the controller was told last.
#[derive(Default)]
struct Sent {
    channels: Vec<ChannelHealth>,
    cards: Vec<CardHealth>,
    tuners: Vec<TunerHealth>,
    hardware_tick: u32,
    notices: Notices,
}
