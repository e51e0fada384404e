//! `run`: opens everything, starts the tasks in their stages, waits for the end.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use headend_access::Day;
use headend_csa::ControlWord;
use headend_media::{
    package::{Slate, SlateError},
    playlist::KeyBase,
    service::ServiceId,
};
use headend_rt::{
    CancellationToken, Clock, Heartbeats, SystemClock,
    config::Network,
    secret::SecretError,
    serve::{Limits, ServeError, Server},
    service_manager,
    shutdown::{self, SignalError},
    supervisor::{Fate, Supervisor},
    tls::{self, TlsError, TlsHandle},
};
use headend_wire::{Birth, Incarnation};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    agent::{
        controller::{self, ControllerError},
        desired::DesiredStore,
        identity::{self, Identity, IdentityError},
        session::{Agent, Known},
        uplink::{Halves, Speaker, Uplink, UplinkError},
    },
    cam::{CamStatus, Cams},
    card::{CardSpec, Cards, Word, desk::ProfileSpec, open_card::CardKey, word::Algorithm},
    config::{ArchiveConfig, BissConfig, CardConfig, CardProfileConfig, Config},
    input::{
        InputOptions, InputSet, Monotonic, Refinery,
        tuner::{pool::Tuners, replay::ReplayError},
    },
    output::{
        archive::Archive,
        channels::Channels,
        http::{self, Gate, NodeStatus},
        keys::{KeyStore, KeyStoreError},
        viewing::{Opened as Guarding, Rules, RulesError},
    },
    reload::Reloader,
    stream::{
        access::{AccessStatus, BissSpec, Descrambling},
        anchors::Anchors,
        lineup::{Lineup, Surroundings},
    },
};

/// The slate shipped with the program: two seconds of picture and silence.
const SLATE: &[u8] = include_bytes!("../../shared/media/assets/slate.ts");

/// Why the node did not start, or what ended it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state folder.
    #[error("use state folder {path}")]
    State {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Keys on the disk.
    #[error("content keys")]
    Keys(#[source] KeyStoreError),
    /// The listener.
    #[error("http listener")]
    Serve(#[source] ServeError),
    /// TLS of the listener or towards the controller.
    #[error("tls")]
    Tls(#[source] TlsError),
    /// The controller's address or our certificate.
    #[error("link to the controller")]
    Controller(#[source] ControllerError),
    /// The broker's address or the outbox.
    #[error("link to the broker")]
    Uplink(#[source] UplinkError),
    /// The broker's address.
    #[error("mqtt address")]
    Broker(#[source] headend_rt::link::LinkError),
    /// A recording that is to be a tuner.
    #[error("tuners")]
    Tuners(#[source] ReplayError),
    /// The built-in slate.
    #[error("built-in slate")]
    Slate(#[source] SlateError),
    /// A card's key.
    #[error("key of card {card}")]
    CardKey {
        /// Its name.
        card: String,
        /// Why it cannot be read.
        #[source]
        source: SecretError,
    },
    /// A card's key that is none.
    #[error("key of card {card} is none: 32 bytes or 64 hexadecimal digits are")]
    NoCardKey {
        /// Its name.
        card: String,
    },
    /// A session word.
    #[error("session word of {input}")]
    Biss {
        /// The input.
        input: String,
        /// Why it cannot be read.
        #[source]
        source: SecretError,
    },
    /// A session word that is none.
    #[error("session word of {input} is none: 12 hexadecimal digits are")]
    NoBiss {
        /// The input.
        input: String,
    },
    /// Who decides about viewers.
    #[error("viewers")]
    Viewing(#[source] RulesError),
    /// Signals.
    #[error("signals")]
    Signals(#[source] SignalError),
}

/// How long requests may go on after the stop: a segment's download is a matter of a second.
const DRAIN: Duration = Duration::from_secs(5);

/// What is opened before any task starts.
struct Opened {
    identity: Identity,
    server: Server,
    tls: Option<TlsHandle>,
    clear_peers: Arc<ArcSwap<Vec<IpAddr>>>,
    technicians: Arc<ArcSwap<Vec<Network>>>,
    keys: Arc<KeyStore>,
    gate: Arc<Gate>,
    channels: Arc<Channels>,
    anchors: Arc<Anchors>,
    slate: Arc<Slate>,
    cards: Vec<CardSpec>,
    biss: Vec<BissSpec>,
    rules: Arc<Rules>,
    guards: Vec<Guarding>,
    mono: Monotonic,
    clock: Arc<dyn Clock>,
    origin_url: String,
}

/// Runs the node until a signal or the loss of an essential task; gives the process's exit code. A SIGHUP reads the
/// configuration at `path` again.
///
/// # Errors
/// [`RunError`] when something it cannot do without is missing; the text names it and the way out.
pub async fn run(config: Config, path: &Path) -> Result<u8, RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let reloads = shutdown::listen(&supervisor).map_err(RunError::Signals)?;
    let opened = open(&config, clock)?;
    let (clear_peers, tls) = (Arc::clone(&opened.clear_peers), opened.tls.clone());
    let technicians = Arc::clone(&opened.technicians);
    start(&config, opened, &supervisor)?;
    let reloader = Reloader { path: path.to_path_buf(), started: config, clear_peers, technicians, tls };
    supervisor.once("reload", |stop| reloads.serve(stop, move || reloader.apply()));
    Ok(supervisor.run().await.exit_code())
}

fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Opened, RunError> {
    let state = &config.state_dir;
    fs::create_dir_all(state).map_err(|source| RunError::State { path: state.clone(), source })?;
    let identity = identity::load(state, &config.site, &config.name)?;
    let (keys, refused) = KeyStore::open(state).map_err(RunError::Keys)?;
    if refused > 0 {
        warn!(refused, "stored day keys do not open with this machine's storage key; the controller sends them again");
    }
    let cards = config.cards.iter().map(card_spec).collect::<Result<Vec<_>, _>>()?;
    let biss = config.biss.iter().map(biss_spec).collect::<Result<Vec<_>, _>>()?;
    let mono = Monotonic::new();
    let per_address_max = config.http.clients_per_address_max;
    let (rules, guards) = Rules::open(&config.viewing, per_address_max, mono).map_err(RunError::Viewing)?;
    let slate = Arc::new(Slate::from_ts(SLATE).map_err(RunError::Slate)?);
    let server_tls = match &config.http.tls {
        Some((cert, key)) => {
            let identity = tls::Identity { cert: cert.clone(), key: key.clone() };
            Some(TlsHandle::new(tls::server_config(&identity, None).map_err(RunError::Tls)?))
        }
        None => None,
    };
    let limits = Limits {
        connections_max: config.http.clients_max,
        per_address_max: Some(config.http.clients_per_address_max),
        drain: DRAIN,
        ..Limits::live()
    };
    let scheme = if server_tls.is_some() { "https" } else { "http" };
    let server = Server::bind(config.http.listen, limits, server_tls.clone()).map_err(RunError::Serve)?;
    let origin_url = config.http.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", server.address()));
    Ok(Opened {
        identity,
        server,
        tls: server_tls,
        clear_peers: Arc::new(ArcSwap::from_pointee(config.http.clear_peers.clone())),
        technicians: Arc::new(ArcSwap::from_pointee(config.http.technicians.clone())),
        keys: Arc::new(keys),
        gate: Arc::new(Gate::default()),
        channels: Arc::new(Channels::default()),
        anchors: Arc::new(Anchors::open(state)),
        slate,
        cards,
        biss,
        rules: Arc::new(rules),
        guards,
        mono,
        clock,
        origin_url,
    })
}

fn start(config: &Config, mut opened: Opened, supervisor: &Supervisor) -> Result<(), RunError> {
    // The stop order: no new clients, no more segments, the archive's last lines, no more packets, the last word to the
    // controller.
    let serving = supervisor.stage("http", DRAIN + Duration::from_secs(1));
    let streaming = supervisor.stage("streams", Duration::from_secs(5));
    let recording = supervisor.stage("archive", Duration::from_secs(5));
    let receiving = supervisor.stage("inputs", Duration::from_secs(3));
    let descrambling = supervisor.stage("cards", Duration::from_secs(4));
    let reporting = supervisor.stage("agent", Duration::from_secs(4));

    let (uplink, halves) = uplink(config, &opened)?;
    let Halves { incoming, connection, resender, recovery } = halves;
    info!(pending = recovery.pending, "events from an earlier life");
    let mono = opened.mono;
    let cards = Cards::start(&opened.cards, &descrambling, mono);
    let access = Descrambling::new(cards.clone(), opened.biss.clone());
    let cams = Cams::start(&config.cams, &descrambling, (mono, Arc::clone(&opened.clock)));
    let refinery = refinery(config, &opened, (&access, &cams));
    let (inputs, tuners) = open_inputs(config, &opened, receiving, (mono, refinery))?;
    let hearts = Heartbeats::default();
    let live_dir = config.state_dir.join("live");
    let archive = open_archive(config, &opened, &live_dir, &recording);
    let (key_base, key_base_now) = watch::channel(KeyBase::default());
    let (wanted, wanted_now) = watch::channel(vec![]);
    let (key_url, key_url_now) = watch::channel(None);
    let around = Surroundings {
        folder: live_dir,
        archive: Arc::clone(&archive),
        inputs: inputs.clone(),
        keys: Arc::clone(&opened.keys),
        anchors: Arc::clone(&opened.anchors),
        channels: Arc::clone(&opened.channels),
        uplink: Some(uplink.clone()),
        key_base: key_base_now,
        rules: Arc::clone(&opened.rules),
        clock: Arc::clone(&opened.clock),
        slate: Arc::clone(&opened.slate),
        sealer: Arc::default(),
        hearts: hearts.clone(),
    };
    let known = Arc::new(ArcSwap::from_pointee(Known::default()));
    let identity = &opened.identity;
    let agent = Agent {
        desired: DesiredStore::open(
            &config.state_dir,
            config.site.clone(),
            config.name.clone(),
            identity.controller_key,
        ),
        lineup: Lineup::new(around, streaming),
        uplink: uplink.clone(),
        gate: Arc::clone(&opened.gate),
        anchors: Arc::clone(&opened.anchors),
        keys: Arc::clone(&opened.keys),
        wanted,
        key_url,
        known: Arc::clone(&known),
        cards: cards.clone(),
        cams: cams.clone(),
        inputs: inputs.clone(),
        tuners: tuners.clone(),
        clock: Arc::clone(&opened.clock),
    };
    let authority = identity::authority_path(&config.state_dir);
    let own = tls::Identity { cert: identity::certificate_path(&config.state_dir), key: identity.key_path.clone() };
    let fleet = controller::client(&authority, Some(&own)).map_err(RunError::Controller)?;
    let key_server = controller::plain_client().map_err(RunError::Controller)?;
    let (keys, clock, url) = (Arc::clone(&opened.keys), Arc::clone(&opened.clock), config.controller_url.clone());

    reporting.once("watchdog", |token| hearts.feed_watchdog(token));
    reporting.essential("link", |token| connection.run(token));
    reporting.essential("events", |token| resender.run(token));
    reporting.essential("agent", |token| agent.run(incoming, token));
    reporting.essential("day keys", |token| controller::keep_keys(fleet, url, keys, wanted_now, (clock, token)));
    reporting.essential("key server", |token| controller::watch_key_server(key_server, key_url_now, key_base, token));
    ask_backends(std::mem::take(&mut opened.guards), &serving);
    serve(config, opened, Watched { inputs, tuners, uplink, known, cards, access, cams, archive }, &serving);
    Ok(())
}

/// A task for each rule whose backends are asked about viewers.
fn ask_backends(guards: Vec<Guarding>, serving: &Supervisor) {
    for ((guard, questions), number) in guards.into_iter().zip(1..) {
        serving.essential(&format!("viewing {number}"), move |token| guard.run(questions, token));
    }
}

/// What packets pass through: the eye of the modules, whose packets come clear, and the descrambler of the cards.
fn refinery(config: &Config, opened: &Opened, (access, cams): (&Descrambling, &Cams)) -> Option<Refinery> {
    let keyed = !opened.cards.is_empty() || !opened.biss.is_empty();
    let cards = keyed.then(|| access.refinery());
    let modules = (!config.cams.is_empty()).then(|| cams.refinery());
    match (modules, cards) {
        (Some(modules), Some(cards)) => Some(modules.then(cards)),
        (modules, cards) => modules.or(cards),
    }
}

/// The inputs, with the tuners behind them and the descrambler before their rings.
fn open_inputs(
    config: &Config,
    opened: &Opened,
    receiving: Supervisor,
    (mono, refinery): (Monotonic, Option<Refinery>),
) -> Result<(InputSet, Tuners), RunError> {
    let options = InputOptions { ring_bytes: config.ring_bytes, refinery, ..InputOptions::default() };
    let tuners = Tuners::new(config.inventory.clone()).map_err(RunError::Tuners)?;
    if !config.inventory.tuners.is_empty() {
        let watched = tuners.clone();
        receiving.spawn_thread("tuners", Fate::Restart, move |token| watched.run(&token));
        if let Some(every) = config.prove_every {
            let proved = tuners.clone();
            receiving.spawn_thread("proofs", Fate::Restart, move |token| proved.prove(every, mono, &token));
        }
    }
    let inputs = InputSet::with_tuners(receiving, Arc::clone(&opened.clock), (mono, options), Some(tuners.clone()));
    Ok((inputs, tuners))
}

/// The archive and its disks' threads.
fn open_archive(config: &Config, opened: &Opened, live_dir: &Path, recording: &Supervisor) -> Arc<Archive> {
    let ArchiveConfig { paths, guaranteed_secs } = &config.archive;
    let folders = (config.state_dir.as_path(), live_dir);
    let archive = Archive::new(paths, *guaranteed_secs, folders, Arc::clone(&opened.clock));
    if archive.configured() {
        // Until the archive was looked at, any key may be needed.
        opened.keys.keep_since(Some(Day(0)));
    }
    archive.start(recording, &opened.keys);
    archive
}

fn uplink(config: &Config, opened: &Opened) -> Result<(Uplink, Halves), RunError> {
    let identity = &opened.identity;
    let text = config.mqtt_url.as_deref().unwrap_or(&identity.mqtt_url);
    let url: headend_rt::link::BrokerUrl = text.parse().map_err(RunError::Broker)?;
    let tls = if url.tls {
        let authority = identity::authority_path(&config.state_dir);
        let own = tls::Identity { cert: identity::certificate_path(&config.state_dir), key: identity.key_path.clone() };
        Some(tls::client_config(&authority, Some(&own)).map_err(RunError::Tls)?)
    } else {
        None
    };
    let incarnation = Incarnation(u64::try_from(opened.clock.unix_ms()).unwrap_or(0));
    let speaker = Speaker { site: config.site.clone(), node: config.name.clone(), incarnation };
    let birth = birth(&opened.origin_url);
    Uplink::open(speaker, Arc::clone(&opened.clock), (url, tls), birth, &config.state_dir).map_err(RunError::Uplink)
}

/// What the status page shows.
struct Watched {
    inputs: InputSet,
    tuners: Tuners,
    uplink: Uplink,
    known: Arc<ArcSwap<Known>>,
    cards: Cards,
    access: Descrambling,
    cams: Cams,
    archive: Arc<Archive>,
}

fn serve(config: &Config, opened: Opened, watched: Watched, serving: &Supervisor) {
    let Watched { inputs, tuners, uplink, known, cards, access, cams, archive } = watched;
    let modules = cams.clone();
    let (counters, stopping) = (opened.server.counters(), CancellationToken::new());
    let status = move || {
        let (known, modules) = (known.load(), modules.public_reports());
        NodeStatus {
            version: env!("CARGO_PKG_VERSION"),
            generation: known.generation,
            controller_connected: uplink.connected(),
            events_pending: uplink.events_pending(),
            keys_until_day: known.keys_until_day,
            now_ms: inputs.mono().ms(),
            channels: known.channels.clone(),
            feeds: known.feeds.clone(),
            inputs: inputs.reports(),
            tuners: tuners.seats(),
            cards: cards.reports(),
            access: with_cams(access.reports(), &modules),
            cams: modules,
            http: counters.counts(),
        }
    };
    let shared = http::Shared {
        site: config.site.clone(),
        node: config.name.clone(),
        channels: opened.channels,
        archive,
        keys: opened.keys,
        gate: opened.gate,
        rules: opened.rules,
        clock: opened.clock,
        clear_peers: opened.clear_peers,
        technicians: opened.technicians,
        public_host: config.http.public_url.as_deref().and_then(http::host_of).map(str::to_owned),
        tls: config.http.tls.is_some(),
        stopping: stopping.clone(),
        status: Box::new(status),
        cams,
    };
    let (server, router) = (opened.server, http::router(Arc::new(shared)));
    info!(address = %server.address(), origin = opened.origin_url, "listening");
    crate::cmd::ready(&[("http", server.address().to_string())]);
    service_manager::ready(&format!("serving {origin}", origin = opened.origin_url));
    serving.essential("http", move |token| async move {
        let told = async {
            token.cancelled().await;
            stopping.cancel();
        };
        let (drained, ()) = tokio::join!(server.run(router, token.clone()), told);
        info!(open = drained.open, cut = drained.cut, "http drained");
    });
}

/// Scrambled services of cards and of modules. What a module has is shown for the module alone; what it refuses, only
/// when no card is asked for it either.
fn with_cams(cards: Vec<AccessStatus>, cams: &[CamStatus]) -> Vec<AccessStatus> {
    let same = |one: &AccessStatus, other: &AccessStatus| (&one.input, one.service) == (&other.input, other.service);
    let (mut taken, mut refused) = (vec![], vec![]);
    for cam in cams {
        for service in &cam.services {
            let list = if service.list == "refused" { &mut refused } else { &mut taken };
            list.push(AccessStatus::of_cam(&cam.name, service));
        }
    }
    let mut shown: Vec<AccessStatus> =
        cards.into_iter().filter(|card| !taken.iter().any(|module| same(card, module))).collect();
    // A card that was never asked has nothing to say.
    shown.retain(|card| card.card.is_some() || !refused.iter().any(|module| same(card, module)));
    refused.retain(|module| !shown.iter().any(|card| same(card, module)));
    shown.into_iter().chain(taken).chain(refused).collect()
}

/// A configured card with its key read.
pub(crate) fn card_spec(card: &CardConfig) -> Result<CardSpec, RunError> {
    let profile = match &card.profile {
        CardProfileConfig::Vendor(spec) => ProfileSpec::Vendor(spec.clone()),
        CardProfileConfig::OpenTestCard(place) => {
            let secret = place.read().map_err(|source| RunError::CardKey { card: card.name.clone(), source })?;
            let key = CardKey::read(secret.bytes());
            ProfileSpec::OpenTestCard(key.ok_or_else(|| RunError::NoCardKey { card: card.name.clone() })?)
        }
    };
    let (name, reader) = (card.name.clone(), card.reader.clone());
    Ok(CardSpec { name, reader, profile, pause_ms: card.pause_ms })
}

fn biss_spec(biss: &BissConfig) -> Result<BissSpec, RunError> {
    let input = biss.input.clone();
    let wrong = |source| RunError::Biss { input: input.clone(), source };
    let secret = biss.key.read().map_err(wrong)?;
    let digits = secret.text().map_err(wrong)?;
    let word = ControlWord::from_session_word(digits.trim()).ok();
    let word = word.and_then(|word| Word::new(Algorithm::Csa, word.expose()));
    let word = word.ok_or_else(|| RunError::NoBiss { input: input.clone() })?;
    Ok(BissSpec { input, service: biss.service.map(ServiceId), word })
}

fn birth(origin_url: &str) -> Birth {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default().trim().to_owned();
    Birth {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        origin_url: origin_url.to_owned(),
        host: read("/proc/sys/kernel/hostname"),
        kernel: read("/proc/sys/kernel/osrelease"),
        slot: None,
        capabilities: ["hls", "http-ts", "file", "udp", "rtp", "http", "dvb"].map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cam::status::ServiceStatus;

    #[test]
    fn a_service_is_shown_once_with_who_has_it() {
        let service = |number: u16, list| ServiceStatus {
            input: "dvb://astra".to_owned(),
            service: number,
            label: String::new(),
            systems: vec![],
            list,
            state: "scrambled",
            since_ms: 0,
            trouble: "module".to_owned(),
        };
        let services =
            vec![service(1, "selected"), service(2, "refused"), service(3, "refused"), service(4, "waiting")];
        let cam = CamStatus { name: "main".to_owned(), services, ..CamStatus::default() };
        let card = |number: u16, card: Option<&str>| AccessStatus {
            card: card.map(str::to_owned),
            cam: None,
            trouble: "card".to_owned(),
            ..AccessStatus::of_cam("", &service(number, "selected"))
        };
        let cards = vec![card(1, Some("x")), card(2, Some("x")), card(3, None), card(5, None)];
        let shown = with_cams(cards, &[cam]);
        let words: Vec<String> = shown.iter().map(|one| format!("{} {}", one.service, one.trouble)).collect();
        assert_eq!(words, ["2 card", "5 card", "1 module", "4 module", "3 module"]);
    }
}
