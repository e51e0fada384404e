//! The agent's task: what arrives from the controller is checked and applied, how the node is goes out.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use headend_access::{Day, Generation, SessionId, TokenVerifier};
use headend_rt::{CancellationToken, Clock, link::Incoming};
use headend_wire::{CardHealth, ChannelHealth, ChannelName, Desired, EventKind, Health, Reported, Signed};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    desired::DesiredStore,
    identity::parse_key,
    uplink::{Arrived, Uplink},
};
use crate::{
    card::{CardStatus, Cards},
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
        let (mut ticks, mut tick, mut sent) = (tokio::time::interval(HEALTH), 0_u32, (vec![], vec![]));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {
                    self.report(tick.is_multiple_of(WHOLE_EVERY), &mut sent);
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
    fn report(&self, whole: bool, sent: &mut (Vec<ChannelHealth>, Vec<CardHealth>)) {
        let channels = self.lineup.health();
        let generation = self.desired.running().map(|running| running.generation);
        let feeds = self.desired.running().map(|running| feeds(&running.channels)).unwrap_or_default();
        let keys_until_day = self.keys_until();
        self.known.store(Arc::new(Known { generation, channels: channels.clone(), feeds, keys_until_day }));
        let changed: Vec<ChannelHealth> =
            channels.iter().filter(|health| whole || !sent.0.contains(health)).cloned().collect();
        // Cards are few: all of them, whenever one of them is another than before.
        let cards: Vec<CardHealth> = self.cards.reports().into_iter().map(card_health).collect();
        let news = if whole || cards != sent.1 { cards.clone() } else { vec![] };
        if whole || !changed.is_empty() || !news.is_empty() {
            self.uplink.health(Health { whole, generation: generation.unwrap_or(0), channels: changed, cards: news });
        }
        *sent = (channels, cards);
    }
}

fn card_health(card: CardStatus) -> CardHealth {
    CardHealth {
        state: card.state.word().to_owned(),
        entitled_until: card.entitlements.iter().filter_map(|right| right.until).min(),
        entitlements: u32::try_from(card.entitlements.len()).unwrap_or(u32::MAX),
        name: card.name,
        label: card.label,
        atr: card.atr.join("; "),
        last_error: card.last_error.unwrap_or_default(),
    }
}
