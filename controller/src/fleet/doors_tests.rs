//! The doors over real TLS: enrolment, then day keys with the certificate it gave.

#![expect(clippy::disallowed_methods, reason = "a test owns its tasks: they end with its runtime")]

use std::sync::Arc;

use headend_access::{Day, Generation, Root};
use headend_rt::{
    CancellationToken, Clock, SystemClock, atomic_file,
    serve::{Limits, Server},
    tls::{Identity, TlsHandle, client_config, server_config},
};
use headend_wire::{
    DesiredChannel, SourcePolicy,
    fleet::{DayKeysAnswer, DayKeysRequest, EnrolAnswer, EnrolRequest, KeyScope},
};
use reqwest::StatusCode;
use tokio::sync::watch;

use super::{
    authority::Authority,
    desired::{FleetPlan, NodePlan},
    doors::{Doors, OpenDoors, Roots},
    state::NodeKey,
};

fn key(node: &str) -> NodeKey {
    NodeKey { site: "caribbean".parse().unwrap(), node: node.parse().unwrap() }
}

fn channel(name: &str, key_generation: u32) -> DesiredChannel {
    DesiredChannel {
        name: name.parse().unwrap(),
        title: name.to_owned(),
        sources: vec![],
        policy: SourcePolicy::default(),
        segment_secs: 2,
        window_segments: 6,
        key_generation,
        key_period_secs: 300,
        free: false,
        dvr: None,
    }
}

struct Bench {
    folder: tempfile::TempDir,
    open: Arc<OpenDoors>,
    address: String,
    _plan: watch::Sender<Arc<FleetPlan>>,
    _roots: watch::Sender<Roots>,
}

fn root(generation: u32) -> Root {
    Root::new(Generation(generation), [u8::try_from(generation).unwrap(); 32])
}

fn start() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), &"caribbean".parse().unwrap(), SystemClock.now()).unwrap();
    let (identity, check) = authority.server(&["localhost".to_owned()], SystemClock.now()).unwrap();
    let tls = TlsHandle::new(server_config(&identity, Some(&check)).unwrap());
    let mut plan = FleetPlan::default();
    plan.nodes.insert(key("car-1"), NodePlan { channels: vec![channel("news", 2)], key_url: None });
    let (plan_in, plan) = watch::channel(Arc::new(plan));
    let roots = (1..=3).map(|generation| (Generation(generation), root(generation))).collect();
    let (roots_in, roots) = watch::channel(Arc::new(roots));
    let (controller_key, mqtt_url) = ("ab".repeat(32), "mqtt://127.0.0.1:1883".to_owned());
    let doors = Doors { authority, plan, roots, controller_key, mqtt_url, clock: Arc::new(SystemClock) };
    let open = OpenDoors::new(doors);
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default(), Some(tls)).unwrap();
    let address = format!("https://localhost:{}/fleet/v1", server.address().port());
    drop(tokio::spawn(server.run(Arc::clone(&open).router(), CancellationToken::new())));
    Bench { folder, open, address, _plan: plan_in, _roots: roots_in }
}

impl Bench {
    fn client(&self, identity: Option<&Identity>) -> reqwest::Client {
        let tls = client_config(&self.folder.path().join("fleet-authority.pem"), identity).unwrap();
        reqwest::Client::builder().tls_backend_preconfigured((*tls).clone()).no_proxy().build().unwrap()
    }

    async fn enrol(&self, code: &str, csr_pem: String) -> reqwest::Response {
        let request = EnrolRequest { code: code.to_owned(), csr_pem };
        let body = serde_json::to_vec(&request).unwrap();
        let post = self.client(None).post(format!("{}/enrol", self.address));
        post.header("content-type", "application/json").body(body).send().await.unwrap()
    }

    async fn day_keys(
        &self,
        identity: Option<&Identity>,
        asked: &[(&str, u32)],
    ) -> (StatusCode, Vec<(String, u32, u32)>) {
        let scope =
            |(name, generation): &(&str, u32)| KeyScope { channel: name.parse().unwrap(), generation: *generation };
        let body = serde_json::to_vec(&DayKeysRequest { channels: asked.iter().map(scope).collect() }).unwrap();
        let post = self.client(identity).post(format!("{}/day-keys", self.address));
        let answer = post.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        let Ok(answer) = serde_json::from_slice::<DayKeysAnswer>(&bytes) else { return (status, vec![]) };
        for entry in &answer.keys {
            let want = root(entry.generation).day_key(entry.channel.as_str(), Day(entry.day));
            let want: String = want.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(entry.key, want, "derived, as every controller would");
        }
        (status, answer.keys.iter().map(|entry| (entry.channel.to_string(), entry.generation, entry.day)).collect())
    }

    /// A key pair and its request.
    fn request(name: &str) -> (rcgen::KeyPair, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        (key, pem)
    }

    /// Enrols a node and stores what it got.
    async fn enrolled(&self, name: &str) -> Identity {
        let code = self.open.issue(key(name)).unwrap();
        let (pair, csr) = Self::request(name);
        let answer = self.enrol(&code, csr).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: EnrolAnswer = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!((answer.node.as_str(), answer.mqtt_url.as_str()), (name, "mqtt://127.0.0.1:1883"));
        let file = |suffix: &str| self.folder.path().join(format!("{name}.{suffix}"));
        let identity = Identity { cert: file("pem"), key: file("key") };
        atomic_file::write(&identity.cert, answer.certificate_pem.as_bytes(), 0o600).unwrap();
        atomic_file::write(&identity.key, pair.serialize_pem().as_bytes(), 0o600).unwrap();
        identity
    }
}

#[tokio::test]
async fn a_node_enrols_and_gets_the_keys_of_its_channels_only() {
    let bench = start();
    let identity = bench.enrolled("car-1").await;
    let today = Day::of_unix_ms(u64::try_from(SystemClock.unix_ms()).unwrap()).0;
    let asked = [("news", 2), ("news", 1), ("news", 3), ("films", 2), ("news", 2)];
    let (status, keys) = bench.day_keys(Some(&identity), &asked).await;
    let of = |generation| (today - 1..=today + 3).map(move |day| ("news".to_owned(), generation, day));
    assert_eq!((status, keys), (StatusCode::OK, of(2).chain(of(1)).collect()));
}

#[tokio::test]
async fn nobody_else_gets_keys() {
    let bench = start();
    assert_eq!(bench.day_keys(None, &[("news", 2)]).await, (StatusCode::FORBIDDEN, vec![]));
    // Enrolled, but in no plan.
    let stranger = bench.enrolled("car-9").await;
    assert_eq!(bench.day_keys(Some(&stranger), &[("news", 2)]).await, (StatusCode::FORBIDDEN, vec![]));
}

#[tokio::test]
async fn every_refused_enrolment_looks_the_same() {
    let bench = start();
    let code = bench.open.issue(key("car-1")).unwrap();
    let mut answers = Vec::new();
    let other = Bench::request("car-2").1;
    let ours = Bench::request("car-1").1;
    for (code, csr) in [(code.as_str(), other), ("2222-2222", ours.clone()), (code.as_str(), "no request".to_owned())] {
        let answer = bench.enrol(code, csr).await;
        answers.push((answer.status(), answer.text().await.unwrap()));
    }
    assert_eq!(bench.enrol(&code, ours.clone()).await.status(), StatusCode::OK);
    let again = bench.enrol(&code, ours).await;
    answers.push((again.status(), again.text().await.unwrap()));
    assert!(answers.iter().all(|answer| *answer == (StatusCode::FORBIDDEN, "refused\n".to_owned())), "{answers:?}");
}
