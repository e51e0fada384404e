//! The running controller: opens everything, starts it in stages, and stops them in order.
//!
//! Nothing waits for a broker or a node: they are met when they come. When every listener is bound, one JSON line on
//! stdout says where. Stop order: HTTP (open requests finish), the fleet's door, probes and plans, the link, and last
//! what writes to the store.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use headend_access::Generation;
use headend_rt::{
    Clock, Supervisor,
    link::{BrokerUrl, Link, LinkError, LinkOptions, MqttTask, mqtt},
    serve::{Limits, ServeError, Server},
    tls::{self, TlsError, TlsHandle},
};
use headend_wire::desired::TokenKey;
use tokio::sync::watch;

use crate::{
    api::{
        Office,
        office::{FleetView, Placed, Tally},
        operators::OperatorSessions,
        router,
        slate::SlateShow,
    },
    config::{Config, KeyServer, Mqtt},
    fleet::{
        anchors::AnchorsError,
        authority::{Authority, AuthorityError},
        broker::{Broker, BrokerError},
        commands::{Commands, PublishError},
        desired::FleetPlan,
        doors::{Doors, OpenDoors},
        inbox::{FleetWatch, Inbox, InboxEnds, subscriptions},
        ledger::Ledger,
        probe::{
            Fetcher, ProbeKeys, Round,
            fetch::FetcherError,
            round::ProbePlan,
        },
        voice::Voice,
    },
    installation::{self, InstallationError, Secrets},
    policy::line_up::Settings,
    store::{Engine, SledEngine, StoreError, sled::exports_directory},
    tasks::{plans::Planner, records, upkeep},
    viewing::{CatalogueKeeper, Passwords, Sessions},
};

const ANCHORS_FILE: &str = "anchors.json";
const DESIRED_FOLDER: &str = "desired";
/// A port that was free a moment ago may be taken by another program; then another is tried.
const BROKER_TRIES: usize = 5;

/// Why the controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The installation is missing or damaged.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The store cannot be read.
    #[error("store")]
    Store(#[from] StoreError),
    /// The fleet's authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A listener.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Certificates.
    #[error("TLS of {listener}")]
    Tls {
        /// Which listener.
        listener: &'static str,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The embedded broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The link to the broker.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Anchors on disk.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// Desired states on disk.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The prober.
    #[error(transparent)]
    Fetcher(#[from] FetcherError),
    /// The slate.
    #[error("the slate cannot be used")]
    Slate(#[from] headend_media::package::SlateError),
    /// Signals.
    #[error(transparent)]
    Signal(#[from] headend_rt::shutdown::SignalError),
}

/// Where everything listens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Ready {
    /// Boxes, pages, REST.
    pub http: SocketAddr,
    /// Nodes.
    pub fleet: SocketAddr,
    /// The embedded broker, or the address of another.
    pub mqtt: String,
}

/// Runs until a signal or a loss that cannot be lived with; gives the exit code. `ready` is called once, when
/// everything listens.
///
/// # Errors
/// [`RunError`], before anything was served.
pub async fn run(config: Config, clock: Arc<dyn Clock>, ready: impl FnOnce(&Ready)) -> Result<u8, RunError> {
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let _reloads = headend_rt::shutdown::listen(&supervisor)?;
    let engine = Arc::new(installation::open_store(&config.state_dir)?);
    let started = start(&config, clock, &supervisor, Arc::clone(&engine)).await?;
    ready(&started);
    tracing::info!(http = %started.http, fleet = %started.fleet, mqtt = started.mqtt, "ready");
    let stopped = supervisor.run().await;
    Ok(stopped.exit_code())
}

/// The stages in the order in which they stop.
struct Stages {
    http: Supervisor,
    doors: Supervisor,
    control: Supervisor,
    link: Supervisor,
    store: Supervisor,
}

impl Stages {
    fn of(supervisor: &Supervisor) -> Self {
        let stage = |name, secs| supervisor.stage(name, Duration::from_secs(secs));
        // Open requests get 10 s of the listener's own drain.
        Self {
            http: stage("http", 12),
            doors: stage("doors", 4),
            control: stage("control", 3),
            link: stage("link", 3),
            store: stage("store", 5),
        }
    }
}

/// The two listeners and the addresses they are known by.
struct Listeners {
    http: Server,
    fleet: Server,
    public_url: String,
    mqtt_url: BrokerUrl,
    broker: Option<Broker>,
}

async fn start(
    config: &Config,
    clock: Arc<dyn Clock>,
    supervisor: &Supervisor,
    engine: Arc<SledEngine>,
) -> Result<Ready, RunError> {
    let store: Arc<dyn Engine> = Arc::clone(&engine) as Arc<dyn Engine>;
    let secrets = installation::open(Arc::clone(&store), (&config.state_dir, &config.site)).await?;
    let authority = Authority::open(&config.state_dir, &config.site, clock.now())?;
    let listeners = bind(config, &authority, &*clock)?;
    let stages = Stages::of(supervisor);
    let settings = settings(config, &secrets, &listeners.public_url);
    let catalogue = CatalogueKeeper::open(Arc::clone(&store)).await?;
    let sessions = Sessions::open(Arc::clone(&store)).await?;
    let roots = Arc::new(secrets.roots);
    let plan = watch::Sender::<Arc<FleetPlan>>::default();
    let probes = watch::Sender::<Arc<ProbePlan>>::default();

    // The link and what arrives on it.
    let voice = Voice::new(Arc::clone(&clock));
    let fleet = FleetWatch::default();
    let (link, incoming, carrier) = link(config, &listeners.mqtt_url)?;
    let InboxEnds { inbox, defects, arrived, deaths } = Inbox::new(incoming, fleet.clone());
    let keep = records::keep_event(Arc::clone(&store), catalogue.subscribe());
    let anchors = config.state_dir.join(ANCHORS_FILE);
    let ledger = Ledger::open(arrived, (link.clone(), voice.clone()), fleet.clone(), keep, anchors)?;
    let folder = config.state_dir.join(DESIRED_FOLDER);
    let controller_key = secrets.fleet_signer.verifying_key().to_bytes();
    let commands =
        Commands::open(plan.subscribe(), fleet.clone(), (link, voice), secrets.fleet_signer, &folder)?;

    // Probes and where viewers belong.
    let probe_keys = ProbeKeys { signer: secrets.probe_signer, roots: BTreeMap::clone(&roots) };
    let fetcher = Arc::new(Fetcher::new(probe_keys)?);
    let (round, desk, changes) =
        Round::new(probes.subscribe(), deaths, fleet.clone(), fetcher, Arc::clone(&clock));

    let doors = OpenDoors::new(Doors {
        authority,
        plan: plan.subscribe(),
        roots: watch::channel(Arc::clone(&roots)).1,
        controller_key: hexadecimal(&controller_key),
        mqtt_url: listeners.mqtt_url.to_string(),
        clock: Arc::clone(&clock),
    });
    let mut planner = Planner {
        catalogue: catalogue.subscribe(),
        revoked: sessions.revoked(),
        fleet: fleet.clone(),
        settings,
        lookout: config.lookout.clone(),
        nodes: plan,
        probes,
    };
    // Made before anybody asks, so that a node that is there already is not refused.
    planner.plan(&BTreeMap::new());
    let failing = Arc::clone(&engine);
    let office = Arc::new(Office {
        engine: Arc::clone(&store),
        clock: Arc::clone(&clock),
        catalogue,
        sessions,
        viewer_passwords: Passwords::default(),
        operator_passwords: Passwords::default(),
        operators: OperatorSessions::default(),
        roots,
        signer: secrets.token_signer,
        fleet: FleetView { state: fleet, defects, desk, issued: commands.issued(), doors: Arc::clone(&doors) },
        slate: SlateShow::new()?,
        public_url: listeners.public_url.clone(),
        tally: Tally::default(),
        servers: vec![("http", listeners.http.counters()), ("fleet", listeners.fleet.counters())],
        supervisor: supervisor.clone(),
        store_failure: Box::new(move || failing.failure().map(str::to_owned)),
        placed: Placed::default(),
    });

    stages.link.essential("mqtt", |stop| carrier.run(stop));
    stages.control.essential("inbox", |stop| inbox.run(stop));
    stages.control.essential("ledger", |stop| ledger.run(stop));
    stages.control.essential("desired", |stop| commands.run(stop));
    stages.control.essential("plans", |stop| planner.run(stop));
    stages.control.essential("probes", |stop| round.run(stop));
    let (kept, at) = (Arc::clone(&store), Arc::clone(&clock));
    stages.store.essential("redirects", |stop| records::keep_changes(kept, changes, at, stop));
    keep_up(&stages.store, &office, (store, engine), config);
    let ready = Ready {
        http: listeners.http.address(),
        fleet: listeners.fleet.address(),
        mqtt: listeners.broker.as_ref().map_or(listeners.mqtt_url.to_string(), |broker| broker.address().to_string()),
    };
    serve(&stages, listeners, office, doors);
    Ok(ready)
}

fn serve(stages: &Stages, listeners: Listeners, office: Arc<Office>, doors: Arc<OpenDoors>) {
    let Listeners { http, fleet, .. } = listeners;
    stages.http.essential("serve", |stop| async move {
        let drained = http.run(router(office), stop).await;
        tracing::info!(open = drained.open, cut = drained.cut, "http drained");
    });
    stages.doors.essential("serve", |stop| async move {
        fleet.run(doors.router(), stop).await;
    });
}

fn keep_up(stage: &Supervisor, office: &Arc<Office>, (store, engine): (Arc<dyn Engine>, Arc<SledEngine>), config: &Config) {
    let folder = exports_directory(&installation::store_folder(&config.state_dir));
    let clock = Arc::clone(&office.clock);
    stage.once("copies", |stop| upkeep::copies(store, folder, clock, stop));
    stage.once("ballast", |stop| upkeep::ballast(engine, stop));
    let with = || Arc::clone(office);
    let (a, b, c) = (with(), with(), with());
    stage.once("sessions", |stop| upkeep::sessions(a, stop));
    stage.once("catalogue", |stop| upkeep::catalogue(b, stop));
    stage.once("trim", |stop| records::trim(c, stop));
}

fn bind(config: &Config, authority: &Authority, clock: &dyn Clock) -> Result<Listeners, RunError> {
    let http_tls = config.http.tls.as_ref().map(|identity| tls::server_config(identity, None));
    let http_tls = http_tls.transpose().map_err(|source| RunError::Tls { listener: "http", source })?;
    let limits = Limits {
        connections_max: config.http.clients_max,
        per_address_max: config.http.clients_per_address_max,
        ..Limits::default()
    };
    let http = Server::bind(config.http.listen, limits, http_tls.map(TlsHandle::new))?;
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
    Ok(Listeners { http, fleet, public_url, mqtt_url, broker })
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

fn link(config: &Config, url: &BrokerUrl) -> Result<(Link, headend_rt::link::Incoming, MqttTask), RunError> {
    let tls = match &config.mqtt {
        Mqtt::At { tls: Some((authority, identity)), .. } => {
            let made = tls::client_config(authority, identity.as_ref());
            Some(made.map_err(|source| RunError::Tls { listener: "mqtt", source })?)
        }
        _ => None,
    };
    Ok(mqtt(LinkOptions {
        url: url.clone(),
        client_id: format!("headend-controller-{}-{}", config.site, config.name).chars().take(120).collect(),
        tls,
        subscriptions: subscriptions(),
        announce: None,
    })?)
}

fn settings(config: &Config, secrets: &Secrets, public_url: &str) -> Settings {
    let (id, public) = secrets.token_signer.public();
    let key_url = match config.key_server {
        KeyServer::Controller => Some(config.key_url.clone().unwrap_or_else(|| public_url.to_owned())),
        KeyServer::Node => None,
    };
    Settings {
        site: config.site.clone(),
        audiences: config.audiences.clone(),
        key_url,
        token_keys: vec![TokenKey { id, public: hexadecimal(&public) }],
        key_generation: secrets.roots.keys().next_back().copied().unwrap_or(Generation(1)),
        probe_rules: config.probe_rules,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
