//! The running controller: opens everything, starts it in stages, and stops them in order.
//!
//! Nothing waits for a broker or a node: they are met when they come. When every listener is bound, one JSON line on
//! stdout says where. Stop order: HTTP (open requests finish), the fleet's door, probes and plans, the link, and last
//! what writes to the store.

mod listeners;
mod reload;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use headend_access::Generation;
use headend_rt::{
    Clock, Heartbeats, Supervisor,
    link::{BrokerUrl, Incoming, Link, LinkError, LinkOptions, MqttTask, mqtt},
    serve::ServeError,
    service_manager,
    shutdown::SignalError,
    tls::{self, TlsError, TlsHandle},
};
use headend_wire::{SigningKey, desired::TokenKey};
use tokio::sync::{mpsc, watch};

use self::{listeners::Listeners, reload::Reloader};
use crate::{
    api::{
        Office,
        office::{FleetView, Placed, Tally},
        pages, router,
        slate::SlateShow,
    },
    config::{Config, KeyServer, Mqtt},
    fleet::{
        anchors::AnchorsError,
        authority::{Authority, AuthorityError},
        broker::BrokerError,
        commands::{Commands, Issued, PublishError},
        desired::FleetPlan,
        doors::{Doors, OpenDoors},
        inbox::{Defects, FleetWatch, Inbox, InboxEnds, subscriptions},
        ledger::Ledger,
        probe::{Fetcher, ProbeKeys, Round, fetch::FetcherError, round::ProbePlan},
        records,
        redirect::Change,
        state::NodeKey,
        voice::Voice,
    },
    installation::{self, InstallationError, Secrets},
    noc::{self, Decisions, Hub, Matrix},
    policy::line_up::Settings,
    store::{Engine, SledEngine, StoreError, sled::exports_directory},
    tasks::{
        dashboard::{self, Look},
        origins::Origins,
        plans::Planner,
        upkeep,
    },
    viewing::{CatalogueKeeper, Passwords, Sessions, SignIns},
};

const ANCHORS_FILE: &str = "anchors.json";
const DESIRED_FOLDER: &str = "desired";
/// A loop that has not gone round for so long is taken for dead.
const STANDSTILL: Duration = Duration::from_secs(10);
/// Changes of redirects that wait to be kept.
const CHANGES_MAX: usize = 1_024;

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
    Signal(#[from] SignalError),
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
/// everything listens. A SIGHUP reads the configuration at `path` again.
///
/// # Errors
/// [`RunError`], before anything was served.
pub async fn run(
    (config, path): (Config, &Path),
    clock: Arc<dyn Clock>,
    ready: impl FnOnce(&Ready),
) -> Result<u8, RunError> {
    let supervisor = Supervisor::new(Arc::clone(&clock));
    let reloads = headend_rt::shutdown::listen(&supervisor)?;
    if !installation::store_folder(&config.state_dir).exists() {
        return Err(InstallationError::None { folder: config.state_dir }.into());
    }
    let engine = Arc::new(installation::open_store(&config.state_dir)?);
    let (started, tls) = start(&config, clock, &supervisor, Arc::clone(&engine)).await?;
    let reloader = Reloader { path: path.to_path_buf(), started: config, tls };
    supervisor.once("reload", |stop| reloads.serve(stop, move || reloader.apply()));
    ready(&started);
    service_manager::ready(&format!("serving {}", started.http));
    tracing::info!(http = %started.http, fleet = %started.fleet, mqtt = started.mqtt, "ready");
    let stopped = supervisor.run().await;
    Ok(stopped.exit_code())
}

/// The stages in the order in which they stop.
struct Stages {
    pages: Supervisor,
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
            pages: stage("pages", 1),
            http: stage("http", 12),
            doors: stage("doors", 4),
            control: stage("control", 3),
            link: stage("link", 3),
            store: stage("store", 5),
        }
    }
}

async fn start(
    config: &Config,
    clock: Arc<dyn Clock>,
    supervisor: &Supervisor,
    engine: Arc<SledEngine>,
) -> Result<(Ready, Option<TlsHandle>), RunError> {
    let store: Arc<dyn Engine> = Arc::clone(&engine) as Arc<dyn Engine>;
    let secrets = installation::open(Arc::clone(&store), (&config.state_dir, &config.site)).await?;
    let authority = Authority::open(&config.state_dir, &config.site, clock.now())?;
    let listeners = Listeners::bind(config, &authority, &*clock)?;
    listeners.broker_listens().await;
    let catalogue = CatalogueKeeper::open(Arc::clone(&store)).await?;
    let sessions = Sessions::open(Arc::clone(&store)).await?;
    let sign_ins = SignIns::open(Arc::clone(&store)).await?;
    let stages = Stages::of(supervisor);
    let hearts = Heartbeats::default();
    let watched = hearts.clone();
    stages.control.once("watchdog", move |stop| watched.feed_watchdog(stop));
    let settings = settings(config, &secrets, &listeners.public_url);
    let roots = Arc::new(secrets.roots);
    let signer_public = hexadecimal(&secrets.fleet_signer.verifying_key().to_bytes());

    let plan = watch::Sender::<Arc<FleetPlan>>::default();
    let wire = Wire { config, mqtt_url: &listeners.mqtt_url, plan: plan.subscribe(), signer: secrets.fleet_signer };
    let Heard { fleet, defects, deaths, issued } = wire.open(&store, &clock, &stages)?;

    let probes = watch::Sender::<Arc<ProbePlan>>::default();
    let probe_keys = ProbeKeys { signer: secrets.probe_signer, roots: BTreeMap::clone(&roots) };
    let fetcher = Arc::new(Fetcher::new(probe_keys)?);
    let (round, desk, changes) = Round::new(probes.subscribe(), deaths, fleet.clone(), fetcher, Arc::clone(&clock));
    let beat = hearts.beat("probes", STANDSTILL);
    stages.control.essential("probes", |stop| round.run(beat, stop));

    let doors = OpenDoors::new(Doors {
        authority,
        plan: plan.subscribe(),
        roots: watch::channel(Arc::clone(&roots)).1,
        controller_key: signer_public,
        mqtt_url: listeners.mqtt_url.to_string(),
        clock: Arc::clone(&clock),
    });
    let probing = probes.subscribe();
    let mut planner = Planner {
        catalogue: catalogue.subscribe(),
        revoked: sessions.revoked(),
        fleet: fleet.clone(),
        settings,
        origins: Origins::open(config.state_dir.join("origins.json")),
        lookout: config.lookout.clone(),
        nodes: plan,
        probes,
    };
    // Made before anybody asks, so that a node that is there already is not refused.
    planner.plan(&BTreeMap::new());
    stages.control.essential("plans", |stop| planner.run(stop));

    let failing = Arc::clone(&engine);
    let office = Arc::new(Office {
        engine: Arc::clone(&store),
        clock,
        catalogue,
        sessions,
        viewer_passwords: Passwords::default(),
        operator_passwords: Passwords::default(),
        operators: sign_ins,
        roots,
        signer: secrets.token_signer,
        fleet: FleetView { state: fleet, defects, desk, issued, doors: Arc::clone(&doors) },
        slate: SlateShow::new()?,
        flussonic_servers: config.flussonic_servers.clone(),
        secure: listeners.public_url.starts_with("https://"),
        public_url: listeners.public_url.clone(),
        tally: Tally::default(),
        servers: vec![("http", listeners.http.counters()), ("fleet", listeners.fleet.counters())],
        supervisor: supervisor.clone(),
        store_failure: Box::new(move || failing.failure().map(str::to_owned)),
        placed: Placed::default(),
    });
    keep_up(&stages.store, &office, (store, engine), config);
    let hub = show(&stages, &office, changes, probing);
    let ready = (listeners.ready(), listeners.http_tls.clone());
    serve(&stages, listeners, office, (doors, hub));
    Ok(ready)
}

/// What the link to the nodes is made of.
struct Wire<'a> {
    config: &'a Config,
    mqtt_url: &'a BrokerUrl,
    plan: watch::Receiver<Arc<FleetPlan>>,
    signer: SigningKey,
}

/// What comes in over the link.
struct Heard {
    fleet: FleetWatch,
    defects: Arc<Defects>,
    deaths: mpsc::Receiver<NodeKey>,
    issued: watch::Receiver<BTreeMap<NodeKey, Issued>>,
}

impl Wire<'_> {
    /// Makes the link and starts what lives on it: the inbox, the ledger, the desired states.
    fn open(self, store: &Arc<dyn Engine>, clock: &Arc<dyn Clock>, stages: &Stages) -> Result<Heard, RunError> {
        let state_dir = &self.config.state_dir;
        let (voice, fleet) = (Voice::new(Arc::clone(clock)), FleetWatch::default());
        let (link, incoming, carrier) = link(self.config, self.mqtt_url)?;
        let InboxEnds { inbox, defects, arrived, deaths } = Inbox::open(incoming, fleet.clone());
        let keep = records::keep_events(Arc::clone(store));
        let anchors = state_dir.join(ANCHORS_FILE);
        let ledger = Ledger::open(arrived, (link.clone(), voice.clone()), fleet.clone(), keep, anchors)?;
        let folder = state_dir.join(DESIRED_FOLDER);
        let commands = Commands::open(self.plan, fleet.clone(), (link, voice), self.signer, &folder)?;
        let issued = commands.issued();
        stages.link.essential("mqtt", |stop| carrier.run(stop));
        stages.control.essential("inbox", |stop| inbox.run(stop));
        stages.control.essential("ledger", |stop| ledger.run(stop));
        stages.control.essential("desired", |stop| commands.run(stop));
        Ok(Heard { fleet, defects, deaths, issued })
    }
}

/// Starts what the dashboard lives on: changes of redirects, noted and then kept, and a picture each second.
fn show(
    stages: &Stages,
    office: &Arc<Office>,
    changes: mpsc::Receiver<Change>,
    plan: watch::Receiver<Arc<ProbePlan>>,
) -> Arc<Hub> {
    let began = office.clock.now();
    let hub = Arc::new(Hub::new(office.now_ms(), Matrix::empty(began)));
    let decisions = Arc::new(Mutex::new(Decisions::default()));
    let (onward, to_keep) = mpsc::channel(CHANGES_MAX);
    let (noted, clock) = (Arc::clone(&decisions), Arc::clone(&office.clock));
    // Once: they end by themselves when the probes have, which are stopped before.
    stages.store.once("changes", |stop| dashboard::note_changes(changes, noted, onward, (clock, stop)));
    let (engine, clock) = (Arc::clone(&office.engine), Arc::clone(&office.clock));
    stages.store.once("redirects", |stop| records::keep_changes(engine, to_keep, clock, stop));
    let look = Look { office: Arc::clone(office), decisions, plan, began };
    let shown = Arc::clone(&hub);
    // Before the listener: it ends the streams of browsers, which would hold up the listener's drain.
    stages.pages.essential("dashboard", |stop| noc::pump(shown, move || look.matrix(), stop));
    hub
}

fn serve(stages: &Stages, listeners: Listeners, office: Arc<Office>, (doors, hub): (Arc<OpenDoors>, Arc<Hub>)) {
    let Listeners { http, fleet, .. } = listeners;
    let pages = pages::routes(&office, hub);
    stages.http.essential("serve", |stop| async move {
        let drained = http.run(router(office, pages), stop).await;
        tracing::info!(open = drained.open, cut = drained.cut, "http drained");
    });
    stages.doors.essential("serve", |stop| async move {
        fleet.run(doors.router(), stop).await;
    });
}

fn keep_up(
    stage: &Supervisor,
    office: &Arc<Office>,
    (store, engine): (Arc<dyn Engine>, Arc<SledEngine>),
    config: &Config,
) {
    let folder = exports_directory(&installation::store_folder(&config.state_dir));
    let clock = Arc::clone(&office.clock);
    stage.once("copies", |stop| upkeep::copies(store, folder, clock, stop));
    stage.once("ballast", |stop| upkeep::ballast(engine, stop));
    let with = || Arc::clone(office);
    let (for_sessions, for_catalogue, for_audit) = (with(), with(), with());
    stage.once("sessions", |stop| upkeep::sessions(for_sessions, stop));
    stage.once("catalogue", |stop| upkeep::catalogue(for_catalogue, stop));
    stage.once("audit", |stop| upkeep::audit(for_audit, stop));
}

fn link(config: &Config, url: &BrokerUrl) -> Result<(Link, Incoming, MqttTask), RunError> {
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
