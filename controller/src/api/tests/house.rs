//! A controller in memory, with a clock that is set, and what asks it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::IntoResponse,
};
use headend_access::{Generation, Root, Schedule, SessionId, TokenSigner, TokenVerifier};
use headend_failover::ProbeRules;
use headend_media::playlist::Query;
use headend_rt::{
    CancellationToken, Clock, SimulatedClock, Supervisor,
    serve::{Limits, Peer, Server},
};
use headend_wire::{Birth, Incarnation, Message, WIRE_VERSION};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

use crate::{
    api::{
        Office,
        office::{FleetView, Placed, Tally},
        router,
        slate::{SlateShow, number_of},
    },
    domain::{Login, Operator, PasswordHash, Role},
    fleet::{
        authority::Authority,
        desired::FleetPlan,
        doors::{Doors, OpenDoors},
        inbox::{Defects, FleetWatch},
        probe::{Fetcher, ProbeKeys, Round, round::ProbePlan},
        state::{NodeKey, Report},
    },
    policy::line_up::Settings,
    store::{Draft, Engine, IdempotencyKey, MemoryEngine},
    tasks::plans::Planner,
    viewing::{CatalogueKeeper, Passwords, Sessions, SignIns},
};

pub(super) const PASSWORD: &str = "correct horse";
const SIGNER: [u8; 32] = [3; 32];
/// 2026-01-02 03:04:05 UTC.
pub(super) const START: i64 = 1_767_323_045;

pub(super) struct House {
    pub(super) office: Arc<Office>,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) supervisor: Supervisor,
    /// What nodes are to do.
    pub(super) plan: watch::Receiver<Arc<FleetPlan>>,
    router: Router,
    /// The token of operator `anna`, an admin.
    pub(super) admin: String,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Everything a caller can tell it from another by.
    pub(super) fn face(&self) -> String {
        let mut headers: Vec<String> = self.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.sort();
        format!("{} {headers:?} {}", self.status, self.text())
    }
}

pub(super) fn clock() -> Arc<SimulatedClock> {
    Arc::new(SimulatedClock::new(Timestamp::from_second(START).unwrap()))
}

impl House {
    pub(super) async fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::new()), clock()).await
    }

    /// A house over a store that may have been another's: a restart.
    pub(super) async fn on(engine: Arc<dyn Engine>, clock: Arc<SimulatedClock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dyn_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let supervisor = Supervisor::new(Arc::clone(&dyn_clock));
        let roots = Arc::new(BTreeMap::from([(Generation(1), Root::new(Generation(1), [5; 32]))]));
        let catalogue = CatalogueKeeper::open(Arc::clone(&engine)).await.unwrap();
        let sessions = Sessions::open(Arc::clone(&engine)).await.unwrap();
        let sign_ins = SignIns::open(Arc::clone(&engine)).await.unwrap();
        let (fleet, probes) = (FleetWatch::default(), watch::Sender::<Arc<ProbePlan>>::default());
        let keys = ProbeKeys { signer: TokenSigner::new(1, SIGNER), roots: BTreeMap::clone(&roots) };
        let fetcher = Arc::new(Fetcher::new(keys).unwrap());
        let (_, deaths) = mpsc::channel(1);
        let (round, desk, changes) =
            Round::new(probes.subscribe(), deaths, fleet.clone(), fetcher, Arc::clone(&dyn_clock));
        let beat = headend_rt::Heartbeats::default().beat("probes", Duration::from_secs(60));
        supervisor.once("probes", |stop| round.run(beat, stop));
        supervisor.once("changes", |stop: CancellationToken| async move {
            stop.cancelled().await;
            drop(changes);
        });
        let plan = watch::Sender::<Arc<FleetPlan>>::default();
        let doors = OpenDoors::new(Doors {
            authority: Authority::open(folder.path(), &"caribbean".parse().unwrap(), clock.now()).unwrap(),
            plan: plan.subscribe(),
            roots: watch::channel(Arc::clone(&roots)).1,
            controller_key: String::new(),
            mqtt_url: "mqtt://127.0.0.1:1883".to_owned(),
            clock: Arc::clone(&dyn_clock),
        });
        let planned = plan.subscribe();
        let planner = Planner {
            catalogue: catalogue.subscribe(),
            revoked: sessions.revoked(),
            fleet: fleet.clone(),
            settings: settings(),
            origins: crate::tasks::origins::Origins::forgetful(),
            lookout: vec![],
            nodes: plan,
            probes,
        };
        supervisor.once("plans", |stop| planner.run(stop));
        let office = Arc::new(Office {
            engine: Arc::clone(&engine),
            clock: dyn_clock,
            catalogue,
            sessions,
            viewer_passwords: Passwords::default(),
            operator_passwords: Passwords::default(),
            operators: sign_ins,
            roots,
            signer: TokenSigner::new(1, SIGNER),
            fleet: FleetView {
                state: fleet,
                defects: Arc::new(Defects::default()),
                desk,
                issued: watch::channel(BTreeMap::new()).1,
                doors,
            },
            slate: SlateShow::new().unwrap(),
            public_url: "http://tv.example".to_owned(),
            flussonic_servers: vec!["198.51.100.0/24".parse().unwrap()],
            secure: false,
            tally: Tally::default(),
            servers: vec![],
            supervisor: supervisor.clone(),
            store_failure: Box::new(|| None),
            placed: Placed::default(),
        });
        for (login, role) in [("anna", Role::Admin), ("olaf", Role::Operator), ("vera", Role::Viewer)] {
            keep_operator(&engine, login, role).await;
        }
        let (admin, _) = office.operators.begin(&"anna".parse().unwrap(), &*office.clock).await.unwrap();
        let router = router(Arc::clone(&office), Router::new());
        Self { office, clock, supervisor, plan: planned, router, admin, _folder: folder }
    }

    /// A house with tariff `Base` (tag `base`), subscriber `demo` on it, and channels `base1` (in it), `sport1` (not
    /// in it) and `open1` (free), captured at both sites.
    pub(super) async fn furnished() -> Self {
        let house = Self::new().await;
        house.furnish().await;
        house
    }

    async fn furnish(&self) {
        self.put("/api/v1/tariffs/Base", json!({"name": "Base", "tags": ["base"]})).await;
        for (number, name, tag, free) in
            [(1, "base1", "base", false), (2, "sport1", "sport", false), (3, "open1", "x", true)]
        {
            let sources = json!([
                {"site": "caribbean", "name": "sat", "url": "udp://239.0.0.1:5000"},
                {"site": "france", "name": "dtt", "url": "udp://239.0.0.2:5000"},
            ]);
            let body = json!({"title": name, "number": number, "tags": [tag], "sources": sources, "free": free});
            self.put(&format!("/api/v1/channels/{name}"), body).await;
        }
        self.put("/api/v1/subscribers/demo", json!({"password": PASSWORD, "tariffs": ["Base"]})).await;
    }

    /// Puts as the admin; it must be taken.
    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        let answer = self.ask("PUT", path, &[("authorization", &format!("Bearer {}", self.admin))], Some(body)).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None).await
    }

    pub(super) async fn get_as(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[], Some(body)).await
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.ask_from([192, 0, 2, 1], (method, path), headers, body).await
    }

    pub(super) async fn ask_from(
        &self,
        from: [u8; 4],
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request =
            Request::builder().method(Method::try_from(method).unwrap()).uri(path).header("host", "tv.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Peer(SocketAddr::from((from, 5_000))));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec();
        Answer { status, headers, body }
    }

    /// Signs `demo` in.
    pub(super) async fn sign_in(&self) -> String {
        let answer =
            self.post("/api/v1/session", json!({"login": "demo", "password": PASSWORD, "device": "box-1"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// The address of a key that is valid now, as a node would write it.
    pub(super) fn key_address(&self, channel: &str, session: SessionId, expires: u32) -> String {
        let (schedule, root) = (Schedule::new(channel, 300_000).unwrap(), Root::new(Generation(1), [5; 32]));
        let period = schedule.period_of(self.office.now_ms());
        let key = root.day_key(channel, schedule.day_of(period));
        key.address_key().sign(period, session, expires).to_string()
    }

    /// The content key that is valid now.
    pub(super) fn key_now(&self, channel: &str) -> [u8; 16] {
        let (schedule, root) = (Schedule::new(channel, 300_000).unwrap(), Root::new(Generation(1), [5; 32]));
        let period = schedule.period_of(self.office.now_ms());
        *root.day_key(channel, schedule.day_of(period)).period_key(period).bytes()
    }

    pub(super) fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new([TokenSigner::new(1, SIGNER).public()]).unwrap()
    }

    /// Registers a node and lets it be born where a fresh origin listens.
    pub(super) async fn origin(&self, site: &str, node: &str) -> Origin {
        self.put(&format!("/api/v1/nodes/{node}"), json!({"site": site})).await;
        let origin = Origin::start(&self.supervisor, Arc::clone(&self.clock));
        let key = NodeKey { site: site.parse().unwrap(), node: node.parse().unwrap() };
        let birth = Birth {
            version: "1".to_owned(),
            origin_url: format!("http://{}", origin.address),
            host: String::new(),
            kernel: String::new(),
            slot: None,
            capabilities: vec![],
        };
        let message =
            Message { v: WIRE_VERSION, incarnation: Incarnation(1), seq: 1, at: self.clock.now(), body: birth };
        self.office.fleet.state.merge(&key, Report::Birth(message));
        origin
    }

    /// Asks until the redirect leads to `expected` or 20 s have passed.
    pub(super) async fn until_sent(&self, path: &str, expected: &str) -> Answer {
        let mut last = None;
        for _ in 0..200 {
            let answer = self.get(path).await;
            if answer.header(header::LOCATION).starts_with(expected) {
                return answer;
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never sent to {expected}, but {last:?}");
    }
}

fn settings() -> Settings {
    Settings {
        site: "caribbean".parse().unwrap(),
        audiences: BTreeMap::new(),
        key_url: None,
        token_keys: vec![],
        key_generation: Generation(1),
        probe_rules: ProbeRules::default(),
    }
}

async fn keep_operator(engine: &Arc<dyn Engine>, login: &str, role: Role) {
    let login: Login = login.parse().unwrap();
    // One hash for all: it is made in 20 ms.
    let password = PasswordHash::create(PASSWORD, [9; 16]).unwrap();
    let operator = Operator { login, name: String::new(), password, role, enabled: true };
    let draft = Draft::new(IdempotencyKey::random("test"), 0).put(&operator).unwrap();
    draft.commit(&**engine).await.unwrap();
}

/// An origin that gives the slate under every channel's name.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    group: Supervisor,
}

impl Origin {
    fn start(supervisor: &Supervisor, clock: Arc<SimulatedClock>) -> Self {
        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Limits::default(), None).unwrap();
        let (address, group, show) =
            (server.address(), supervisor.group("origin"), Arc::new(SlateShow::new().unwrap()));
        let give = move |request: Request| async move {
            let now_ms = u64::try_from(clock.unix_ms()).unwrap();
            let path = request.uri().path();
            if path == "/healthz" {
                return "ok".into_response();
            }
            let (_, file) = path[1..].split_once('/').unwrap();
            if file == "video.m3u8" {
                return show.media(now_ms, &Query::default()).unwrap().into_response();
            }
            let number = number_of(&format!("/slate/{file}"));
            match number.and_then(|number| show.segment(number, now_ms)) {
                Some((_, bytes)) => bytes.into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        };
        let router = Router::new().fallback(give);
        group.once("serve", |stop| async move {
            server.run(router, stop).await;
        });
        Self { address, group }
    }

    /// Stops listening.
    pub(super) async fn stop(&self) {
        self.group.stop(Duration::from_secs(1)).await;
    }
}
