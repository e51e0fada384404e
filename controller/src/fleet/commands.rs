//! Publishes each node's desired state: signed, retained, on disk before it leaves.
//!
//! [`super::desired`] decides what changes; here it is written (one file per node, so that a generation is
//! never used twice), signed and set on the link, which sends it again after every reconnect. A node that
//! leaves the plan has its topic cleared; it runs on from its own copy until someone switches it off.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use headend_rt::{
    CancellationToken,
    atomic_file::{self, FileError},
    link::{Link, LinkError},
};
use headend_wire::{Branch, Desired, Signed, SignedError, SigningKey, Topic, WireError};
use tokio::sync::watch;

use super::{
    desired::FleetPlan,
    inbox::FleetWatch,
    state::{FleetState, NodeKey},
    voice::Voice,
};

const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the signature is for, as nodes check it.
pub const PURPOSE: &str = "desired";

/// Why a node's desired state was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It could not be stored.
    #[error("desired state cannot be stored")]
    File(#[from] FileError),
    /// The disk work did not end.
    #[error("desired state cannot be stored: {0}")]
    Disk(String),
    /// It could not be signed.
    #[error("desired state cannot be signed")]
    Sign(#[from] SignedError),
    /// It does not fit a message: fewer channels per node.
    #[error("desired state does not fit a message; give this node fewer channels or sources")]
    Wire(#[from] WireError),
    /// The link refused it.
    #[error("desired state cannot be queued")]
    Link(#[from] LinkError),
}

/// What a node was sent last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its generation; 0 before the first.
    pub generation: u64,
    /// Why the newest plan was not sent, in words; none when it was.
    pub problem: Option<String>,
}

/// The publishing task.
pub struct Commands {
    plan: watch::Receiver<Arc<FleetPlan>>,
    fleet: FleetWatch,
    link: Link,
    voice: Voice,
    key: SigningKey,
    folder: PathBuf,
    published: BTreeMap<NodeKey, Desired>,
    issued: watch::Sender<BTreeMap<NodeKey, Issued>>,
}

impl Commands {
    /// A task that keeps its files in `folder`, which it creates. Blocks on the disk.
    ///
    /// # Errors
    /// [`PublishError::Disk`] when the folder cannot be made.
    pub fn open(
        plan: watch::Receiver<Arc<FleetPlan>>,
        fleet: FleetWatch,
        (link, voice): (Link, Voice),
        key: SigningKey,
        folder: &Path,
    ) -> Result<Self, PublishError> {
        std::fs::create_dir_all(folder).map_err(|error| PublishError::Disk(error.to_string()))?;
        let issued = watch::Sender::new(BTreeMap::new());
        Ok(Self { plan, fleet, link, voice, key, folder: folder.to_owned(), published: BTreeMap::new(), issued })
    }

    /// What each node was sent last, as a watch.
    #[must_use]
    pub fn issued(&self) -> watch::Receiver<BTreeMap<NodeKey, Issued>> {
        self.issued.subscribe()
    }

    /// Works until `stop`, or until nobody plans any more.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut fleet = self.fleet.subscribe();
        loop {
            let plan = Arc::clone(&self.plan.borrow_and_update());
            let running = running(&fleet.borrow_and_update());
            self.publish(&plan, &running).await;
            // Figures arrive every second; only another generation is news here.
            let changed = async {
                let _ = fleet.wait_for(|state| self::running(state) != running).await;
            };
            tokio::select! {
                planned = self.plan.changed() => if planned.is_err() { return },
                () = changed => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn publish(&mut self, plan: &FleetPlan, running: &BTreeMap<NodeKey, u64>) {
        for key in plan.nodes.keys() {
            let outcome = self.publish_node(plan, key, running.get(key).copied()).await;
            let problem = outcome.err().map(|error| headend_rt::chain(&error));
            let generation = self.published.get(key).map_or(0, |desired| desired.generation);
            let now = Issued { generation, problem };
            if self.issued.borrow().get(key) == Some(&now) {
                continue;
            }
            match &now.problem {
                Some(error) => {
                    tracing::error!(site = %key.site, node = %key.node, error, "desired state not published")
                }
                None => tracing::info!(site = %key.site, node = %key.node, generation, "desired state published"),
            }
            self.issued.send_modify(|issued| {
                issued.insert(key.clone(), now);
            });
        }
        let left: Vec<NodeKey> = self.published.keys().filter(|key| !plan.nodes.contains_key(*key)).cloned().collect();
        for key in left {
            self.published.remove(&key);
            self.issued.send_modify(|issued| {
                issued.remove(&key);
            });
            if let Err(error) = self.link.set(&topic(&key), Bytes::new()) {
                tracing::warn!(site = %key.site, node = %key.node, error = %error, "desired state not withdrawn");
            }
        }
    }

    async fn publish_node(&mut self, plan: &FleetPlan, key: &NodeKey, runs: Option<u64>) -> Result<(), PublishError> {
        let known = match self.published.get(key) {
            Some(desired) => Some(desired.clone()),
            None => self.load(key).await?,
        };
        let fresh = plan.next(key, known.as_ref(), runs);
        let Some(desired) = fresh.clone().or_else(|| known.filter(|_| !self.published.contains_key(key))) else {
            return Ok(());
        };
        let payload = self.voice.say(Signed::new(PURPOSE, &desired, &self.key)?)?;
        if fresh.is_some() {
            self.save(key, &desired).await?;
        }
        self.link.set(&topic(key), payload)?;
        self.published.insert(key.clone(), desired);
        Ok(())
    }

    /// Site and node names hold no slash and are never only dots, so this stays inside the folder.
    fn path(&self, key: &NodeKey) -> PathBuf {
        self.folder.join(format!("{}@{}.json", key.node, key.site))
    }

    /// What was published before; a file that is damaged counts as none, and the node's own generation keeps
    /// ours from stepping back.
    async fn load(&self, key: &NodeKey) -> Result<Option<Desired>, PublishError> {
        let path = self.path(key);
        let bytes = blocking(move || atomic_file::read(&path, FILE_BYTES_MAX)).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    async fn save(&self, key: &NodeKey, desired: &Desired) -> Result<(), PublishError> {
        let path = self.path(key);
        let text = serde_json::to_vec(desired).map_err(|error| PublishError::Wire(WireError::Json(error)))?;
        blocking(move || atomic_file::write(&path, &text, 0o600)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, PublishError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| PublishError::Disk(error.to_string()))??)
}

fn topic(key: &NodeKey) -> String {
    Topic::Node(key.site.clone(), key.node.clone(), Branch::Desired).to_string()
}

/// The generation each node says it runs.
fn running(state: &FleetState) -> BTreeMap<NodeKey, u64> {
    let reported = state.nodes().filter_map(|(key, node)| Some((key.clone(), node.reported.as_ref()?.generation?)));
    reported.collect()
}

#[cfg(test)]
mod tests {
    use headend_rt::{SystemClock, link::FarEnd};
    use headend_wire::{Incarnation, Message, Reported, desired::TokenKey};

    use super::*;
    use crate::fleet::{desired::NodePlan, state::Report};

    fn key() -> NodeKey {
        NodeKey { site: "caribbean".parse().unwrap(), node: "car-1".parse().unwrap() }
    }

    fn plan(public: &str) -> Arc<FleetPlan> {
        let token_keys = vec![TokenKey { id: 1, public: public.to_owned() }];
        Arc::new(FleetPlan {
            nodes: BTreeMap::from([(key(), NodePlan::default())]),
            token_keys,
            revoked_sessions: vec![],
        })
    }

    struct Bench {
        plan: watch::Sender<Arc<FleetPlan>>,
        far: FarEnd,
        fleet: FleetWatch,
        stop: CancellationToken,
        running: tokio::task::JoinHandle<()>,
    }

    impl Bench {
        async fn stop(self) {
            self.stop.cancel();
            self.running.await.unwrap();
        }
    }

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn start(folder: &Path, public: &str) -> Bench {
        let (plan, planned) = watch::channel(plan(public));
        let (link, _incoming, far) = Link::in_memory();
        let (fleet, stop) = (FleetWatch::default(), CancellationToken::new());
        let ends = (link, Voice::new(Arc::new(SystemClock)));
        let commands = Commands::open(planned, fleet.clone(), ends, signer(), folder).unwrap();
        let running = tokio::task::spawn_local(commands.run(stop.clone()));
        Bench { plan, far, fleet, stop, running }
    }

    /// The next desired state: its generation and first token key.
    async fn published(far: &mut FarEnd) -> (u64, String) {
        let publish = far.next().await;
        assert_eq!((publish.topic.as_str(), publish.retained), ("headend/v1/caribbean/car-1/desired", true));
        let message = Message::<Signed>::from_bytes(&publish.payload).unwrap();
        let desired: Desired = message.body.open(PURPOSE, &signer().verifying_key()).unwrap();
        (desired.generation, desired.token_keys[0].public.clone())
    }

    async fn local(test: impl Future<Output = ()>) {
        tokio::time::timeout(std::time::Duration::from_secs(20), tokio::task::LocalSet::new().run_until(test))
            .await
            .expect("in time");
    }

    #[tokio::test]
    async fn only_a_change_makes_a_generation_and_restarts_keep_it() {
        local(async {
            let folder = tempfile::tempdir().unwrap();
            let mut bench = start(folder.path(), "aa");
            assert_eq!(published(&mut bench.far).await, (1, "aa".to_owned()));
            bench.plan.send_replace(plan("aa"));
            bench.plan.send_replace(plan("bb"));
            assert_eq!(published(&mut bench.far).await, (2, "bb".to_owned()));
            bench.stop().await;
            let mut bench = start(folder.path(), "bb");
            assert_eq!(published(&mut bench.far).await, (2, "bb".to_owned()), "published again, same generation");
            bench.stop().await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_controller_that_lost_its_state_passes_its_nodes() {
        local(async {
            let folder = tempfile::tempdir().unwrap();
            let mut bench = start(folder.path(), "aa");
            assert_eq!(published(&mut bench.far).await.0, 1);
            let body = Reported { generation: Some(41), differences: vec![], keys_until_day: None };
            let at = jiff::Timestamp::UNIX_EPOCH;
            let reported = Report::Reported(Message { v: 1, incarnation: Incarnation(1), seq: 1, at, body });
            bench.fleet.merge(&key(), reported);
            assert_eq!(published(&mut bench.far).await.0, 42);
            bench.stop().await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_node_that_left_has_its_topic_cleared() {
        local(async {
            let folder = tempfile::tempdir().unwrap();
            let mut bench = start(folder.path(), "aa");
            published(&mut bench.far).await;
            bench.plan.send_replace(Arc::new(FleetPlan::default()));
            let cleared = bench.far.next().await;
            assert!(cleared.payload.is_empty() && cleared.retained);
            bench.stop().await;
        })
        .await;
    }
}
