//! Drives probes, health and redirects: a round every 2 s, a probe at once when a node has died.
//!
//! One task owns the health of everything. Probes run beside it, at most one round per origin at a time; what
//! they find, and what nodes say of themselves on MQTT, goes into [`Redirects`]; after each piece of news and
//! once a second it decides, and every change is passed on to be stored. [`Desk`] is how requests ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headend_failover::{Observation, Pin, ProbeFault, StreamFault, Viewer};
use headend_rt::{Beat, CancellationToken, Clock};
use headend_wire::{ChannelName, ChannelState, Incarnation};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{
    fetch::{Asked, Fetcher, PROBE_TIME_MAX},
    rota::Rota,
};
use crate::fleet::{
    inbox::FleetWatch,
    redirect::{Change, Placement, RedirectPlan, Redirects},
    state::NodeKey,
};

/// How often each origin is probed.
pub const PROBE_EVERY: Duration = Duration::from_secs(2);
const DECIDE_EVERY: Duration = Duration::from_secs(1);
/// Changes on their way to the store. The store being slow never delays a redirect.
const CHANGES_MAX: usize = 4_096;

/// What probes are made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbePlan {
    /// Origins and audiences.
    pub redirects: RedirectPlan,
    /// Key period of each channel, milliseconds; one that is missing has the default of 5 minutes.
    pub key_period_ms: BTreeMap<ChannelName, u64>,
    /// The registered address of each origin, without a trailing slash. One that is missing here is reached
    /// where its birth says, which only a broker with permissions makes trustworthy.
    pub addresses: BTreeMap<NodeKey, String>,
    /// The controller's own anchors: gateway, outside addresses, the other controller. None: never blind.
    pub lookout: Vec<SocketAddr>,
}

/// Answers where a viewer belongs; cheap to clone, for every request.
#[derive(Clone)]
pub struct Desk {
    redirects: Arc<Mutex<Redirects>>,
    plan: watch::Receiver<Arc<ProbePlan>>,
    fleet: FleetWatch,
    started: Instant,
}

/// Where to send a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To this origin, at its own address without a trailing slash.
    Origin {
        /// Which.
        key: NodeKey,
        /// Where it says it is.
        url: String,
    },
    /// The slate: nothing is left.
    Slate,
    /// No such channel.
    NoChannel,
}

impl Desk {
    /// Where this viewer of a channel belongs now. `viewer.failed` counts in [`Self::now_ms`].
    #[must_use]
    pub fn place(&self, channel: &ChannelName, audience: &str, viewer: &Viewer<'_, NodeKey>) -> Answer {
        let placement = self.lock().place(channel, audience, viewer, self.now_ms());
        match placement {
            Placement::Origin(key) => match self.url(&key) {
                Some(url) => Answer::Origin { key, url },
                // Nobody has told us where it is: no better than dead.
                None => Answer::Slate,
            },
            Placement::Slate => Answer::Slate,
            Placement::NoChannel => Answer::NoChannel,
        }
    }

    /// A box came back because this origin failed it.
    pub fn box_failed(&self, channel: &ChannelName, origin: &NodeKey, subscriber: u64) {
        let now = self.now_ms();
        self.lock().observe(origin, Some(channel), now, &Observation::BoxReport { subscriber });
    }

    /// Sets or lifts the operator's pin; its end counts in [`Self::now_ms`].
    pub fn pin(&self, channel: &ChannelName, audience: Option<&str>, pin: Option<&Pin<NodeKey>>) {
        self.lock().pin(channel, audience, pin);
    }

    /// Monotonic milliseconds of this desk.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks at every choice, for a dashboard.
    pub fn look<T>(&self, at: impl FnOnce(&Redirects, u64) -> T) -> T {
        let now = self.now_ms();
        at(&self.lock(), now)
    }

    fn url(&self, key: &NodeKey) -> Option<String> {
        if let Some(registered) = self.plan.borrow().addresses.get(key) {
            return Some(registered.clone());
        }
        let state = self.fleet.subscribe();
        let state = state.borrow();
        Some(state.node(key)?.birth.as_ref()?.origin_url.trim_end_matches('/').to_owned())
    }

    /// Held for one observation, decision or answer, never over an await.
    fn lock(&self) -> MutexGuard<'_, Redirects> {
        self.redirects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Newest number and target duration of a channel that was pulled, or what was wrong.
type Pull = (ChannelName, Result<(u64, u32), ProbeFault>);

/// What one probe found.
enum Found {
    /// A whole round on an origin.
    Round { key: NodeKey, alive: Result<(), ProbeFault>, pulls: Vec<Pull> },
    /// A single look at an origin whose node has died.
    Death { key: NodeKey, alive: Result<(), ProbeFault> },
    /// A look at our own anchors.
    Lookout { answered: u32, asked: u32 },
}

/// What a node said of itself, as far as it was passed on.
#[derive(Default, PartialEq, Eq, Clone)]
struct Said {
    gone: bool,
    incarnation: Option<Incarnation>,
    slates: BTreeSet<ChannelName>,
}

/// The probing task.
pub struct Round {
    plan: watch::Receiver<Arc<ProbePlan>>,
    deaths: mpsc::Receiver<NodeKey>,
    fetcher: Arc<Fetcher>,
    clock: Arc<dyn Clock>,
    desk: Desk,
    changes: mpsc::Sender<Change>,
    rotas: BTreeMap<NodeKey, Rota>,
    said: BTreeMap<NodeKey, Said>,
    running: BTreeSet<NodeKey>,
    looking: bool,
    probes: JoinSet<Found>,
}

impl Round {
    /// A task, the desk that answers from it (from the plan's order until the first probes), and the changes to be
    /// stored.
    #[must_use]
    pub fn new(
        plan: watch::Receiver<Arc<ProbePlan>>,
        deaths: mpsc::Receiver<NodeKey>,
        fleet: FleetWatch,
        fetcher: Arc<Fetcher>,
        clock: Arc<dyn Clock>,
    ) -> (Self, Desk, mpsc::Receiver<Change>) {
        let desk = Desk { redirects: Arc::default(), plan: plan.clone(), fleet, started: Instant::now() };
        let (changes, to_store) = mpsc::channel(CHANGES_MAX);
        let mut round = Self {
            plan,
            deaths,
            fetcher,
            clock,
            desk: desk.clone(),
            changes,
            rotas: BTreeMap::new(),
            said: BTreeMap::new(),
            running: BTreeSet::new(),
            looking: false,
            probes: JoinSet::new(),
        };
        round.take_plan();
        (round, desk, to_store)
    }

    /// Probes until `stop`.
    pub async fn run(mut self, beat: Beat, stop: CancellationToken) {
        let mut rounds = tokio::time::interval(PROBE_EVERY);
        let mut decisions = tokio::time::interval(DECIDE_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        decisions.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(key) = self.deaths.recv() => self.look_at_once(&key),
                Some(found) = self.probes.join_next() => {
                    if let Ok(found) = found {
                        self.take(found);
                    }
                }
                planned = self.plan.changed() => {
                    if planned.is_err() {
                        return;
                    }
                    self.take_plan();
                }
                _ = rounds.tick() => self.start_round(),
                _ = decisions.tick() => self.hear_nodes(),
            }
            self.decide();
            beat.strike();
        }
    }

    fn take_plan(&mut self) {
        let plan = Arc::clone(&self.plan.borrow_and_update());
        let mut channels: BTreeMap<&NodeKey, Vec<&ChannelName>> = BTreeMap::new();
        for (channel, origins) in &plan.redirects.origins {
            for origin in origins {
                channels.entry(origin).or_default().push(channel);
            }
        }
        self.rotas.retain(|key, _| channels.contains_key(key));
        self.said.retain(|key, _| channels.contains_key(key));
        for (key, names) in channels {
            self.rotas.entry(key.clone()).or_default().set_channels(names.into_iter().cloned());
        }
        let now = self.desk.now_ms();
        if let Err((channel, error)) = self.desk.lock().set_plan(plan.redirects.clone(), now) {
            tracing::error!(%channel, error = %error, "channel has no redirects: its plan cannot be used");
        }
    }

    /// What nodes say on MQTT, passed on once per change.
    fn hear_nodes(&mut self) {
        let (state, now, unix_ms) = (self.desk.fleet.subscribe(), self.desk.fleet.now(), self.clock.unix_ms());
        let state = state.borrow();
        let at = self.desk.now_ms();
        let mut redirects = self.desk.lock();
        for (key, rota) in &self.rotas {
            let Some(node) = state.node(key) else { continue };
            let on_slate =
                |name: &&ChannelName| node.channel(name, now).is_some_and(|health| health.state == ChannelState::Slate);
            let slates = rota.names().filter(on_slate).cloned().collect();
            let heard = Said { gone: node.gone.is_some(), incarnation: Some(node.incarnation), slates };
            let said = self.said.entry(key.clone()).or_default();
            if *said == heard {
                continue;
            }
            if said.gone != heard.gone || said.incarnation != heard.incarnation {
                let seen = if heard.gone { Observation::NodeWill } else { Observation::NodeBirth };
                redirects.observe(key, None, at, &seen);
            }
            for name in heard.slates.difference(&said.slates) {
                let since = node.channel(name, now).map_or(unix_ms, |health| health.since.as_millisecond());
                let for_ms = u64::try_from(unix_ms.saturating_sub(since)).unwrap_or(0);
                let stream = Some(StreamFault::NoPackets { for_ms });
                redirects.observe(key, Some(name), at, &Observation::NodeFault { stream });
            }
            for name in said.slates.difference(&heard.slates) {
                redirects.observe(key, Some(name), at, &Observation::NodeFault { stream: None });
            }
            *said = heard;
        }
    }

    /// A will has just arrived: with one refused probe the origin is down, so look now.
    fn look_at_once(&mut self, key: &NodeKey) {
        if !self.rotas.contains_key(key) {
            return;
        }
        self.hear_nodes();
        let Some(origin) = self.desk.url(key) else { return };
        let (fetcher, key) = (Arc::clone(&self.fetcher), key.clone());
        self.probes.spawn(async move {
            let alive = fetcher.alive(&origin).await;
            Found::Death { key, alive }
        });
    }

    fn start_round(&mut self) {
        let plan = Arc::clone(&self.plan.borrow());
        let unix_secs = u64::try_from(self.clock.unix_ms() / 1_000).unwrap_or(0);
        if !plan.lookout.is_empty() && !self.looking {
            self.looking = true;
            self.probes.spawn(look_out(plan.lookout.clone()));
        }
        for (key, rota) in &mut self.rotas {
            let Some(origin) = self.desk.url(key) else { continue };
            if !self.running.insert(key.clone()) {
                continue;
            }
            let round = rota.next_round();
            let period = |name: &ChannelName| plan.key_period_ms.get(name).copied().unwrap_or(300_000);
            let round = round.into_iter().map(|name| (Asked { unix_secs, period_ms: period(&name) }, name)).collect();
            self.probes.spawn(probe(Arc::clone(&self.fetcher), key.clone(), origin, round));
        }
    }

    fn take(&mut self, found: Found) {
        let (now, elapsed) = (self.desk.now_ms(), self.desk.started.elapsed());
        let mut redirects = self.desk.redirects.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Found::Lookout { answered, asked } => {
                self.looking = false;
                redirects.anchors(answered, asked);
            }
            Found::Death { key, alive } => {
                let seen = alive.map_or_else(Observation::ProbeFailed, |()| Observation::ProbeGood);
                // That it lives says nothing of its channels; that it is dead, everything.
                if alive.is_err() {
                    redirects.observe(&key, None, now, &seen);
                }
            }
            Found::Round { key, alive, pulls } => {
                self.running.remove(&key);
                let Some(rota) = self.rotas.get_mut(&key) else { return };
                if let Err(fault) = alive {
                    redirects.observe(&key, None, now, &Observation::ProbeFailed(fault));
                    return;
                }
                let pulled: Vec<ChannelName> = pulls.iter().map(|(name, _)| name.clone()).collect();
                for name in rota.resting(&pulled) {
                    redirects.observe(&key, Some(name), now, &Observation::ProbeGood);
                }
                for (name, outcome) in pulls {
                    let Some(verdict) = rota.pulled(&name, outcome, elapsed) else { continue };
                    let seen = verdict.map_or_else(Observation::ProbeFailed, |()| Observation::ProbeGood);
                    redirects.observe(&key, Some(&name), now, &seen);
                }
            }
        }
    }

    fn decide(&self) {
        let now = self.desk.now_ms();
        let changes = self.desk.lock().decide(now);
        for change in changes {
            let name = |key: &Option<NodeKey>| key.as_ref().map_or("slate".to_owned(), NodeKey::to_string);
            tracing::info!(
                channel = %change.channel, audience = change.audience, from = name(&change.from), to = name(&change.to),
                reason = %change.reason, "redirect changed"
            );
            if self.changes.try_send(change).is_err() {
                tracing::error!("a redirect changed and its record is lost: the store is far behind");
            }
        }
    }
}

/// A round on one origin: liveness and pulls side by side.
async fn probe(fetcher: Arc<Fetcher>, key: NodeKey, origin: String, round: Vec<(Asked, ChannelName)>) -> Found {
    let pulls = round.into_iter().map(|(asked, name)| {
        let (fetcher, origin) = (&fetcher, &origin);
        async move {
            let outcome = fetcher.channel(origin, &name, &asked).await;
            (name, outcome)
        }
    });
    let (alive, pulls) = tokio::join!(fetcher.alive(&origin), futures_util::future::join_all(pulls));
    Found::Round { key, alive, pulls }
}

/// Counts the anchors that answer a TCP connect; a refusal is an answer.
async fn look_out(anchors: Vec<SocketAddr>) -> Found {
    let looks = anchors.iter().map(|address| async move {
        match tokio::time::timeout(PROBE_TIME_MAX, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        }
    });
    let answers = futures_util::future::join_all(looks).await;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Found::Lookout {
        answered: count(answers.iter().filter(|answered| **answered).count()),
        asked: count(answers.len()),
    }
}
