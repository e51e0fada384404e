//! The channels this node runs: started, stopped and started again as the desired state says.
//!
//! Each channel is a group of its own under the supervisor; a panic in one is an end with a reason, and that one starts
//! again. Viewers find the channels in `output::channels`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use headend_access::{Schedule, ScheduleError};
use headend_failover::PolicyError;
use headend_media::{package::Slate, playlist::KeyBase};
use headend_rt::{
    CancellationToken, Clock, Heartbeats,
    supervisor::{Fate, Supervisor},
};
use headend_wire::{ChannelHealth, ChannelName, ChannelState, DesiredChannel};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    anchors::Anchors,
    channel::{Channel, OpenSource, Parts},
};
use crate::{
    agent::{
        plan::{self, Step},
        uplink::Uplink,
    },
    input::{
        address::{AddressError, SourceAddress},
        ring::ring,
        set::InputSet,
    },
    output::{
        archive::{Archive, Recorder},
        channels::Channels,
        http::Feeds,
        keys::KeyStore,
        live::{Live, Outlets},
        record::RecordError,
        sealing::Sealer,
        viewing::Rules,
    },
};

/// How long a channel may take to stop before it is cut.
const STOP: Duration = Duration::from_secs(3);

/// A channel looks at its sources four times a second; one that has not for so long is taken for dead.
const STANDSTILL: Duration = Duration::from_secs(10);

/// Bytes of the ring behind a channel's endless stream: 1.6 s at 10 Mbit/s.
const PACKETS_BYTES: usize = 2 << 20;

/// What all channels have in common.
pub struct Surroundings {
    /// Where channels keep their windows, one folder each.
    pub folder: PathBuf,
    /// Sources.
    pub inputs: InputSet,
    /// What is kept of them.
    pub archive: Arc<Archive>,
    /// Content keys.
    pub keys: Arc<KeyStore>,
    /// Anchors.
    pub anchors: Arc<Anchors>,
    /// What viewers see.
    pub channels: Arc<Channels>,
    /// The line to the controller.
    pub uplink: Option<Uplink>,
    /// Where keys are fetched.
    pub key_base: watch::Receiver<KeyBase>,
    /// Who decides about viewers besides our own tokens.
    pub rules: Arc<Rules>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The slate.
    pub slate: Arc<Slate>,
    /// Where their segments meet to be encrypted.
    pub sealer: Arc<Sealer>,
    /// Channels say here that they go round.
    pub hearts: Heartbeats,
}

/// Why a channel could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("source {source_name} of channel {channel}")]
    Address {
        channel: ChannelName,
        source_name: String,
        #[source]
        source: AddressError,
    },
    #[error("key period of channel {channel}")]
    Schedule {
        channel: ChannelName,
        #[source]
        source: ScheduleError,
    },
    #[error("window of channel {channel}")]
    Window {
        channel: ChannelName,
        #[source]
        source: RecordError,
    },
    #[error("policy of channel {channel}")]
    Policy {
        channel: ChannelName,
        #[source]
        source: PolicyError,
    },
    #[error("the program is stopping")]
    Stopping,
}

struct Running {
    desired: DesiredChannel,
    group: Supervisor,
    health: watch::Receiver<ChannelHealth>,
}

/// All channels; one owner.
pub struct Lineup {
    around: Arc<Surroundings>,
    supervisor: Supervisor,
    running: Vec<Running>,
}

impl Lineup {
    /// No channel yet; their tasks will run below `supervisor`.
    #[must_use]
    pub fn new(around: Surroundings, supervisor: Supervisor) -> Self {
        Self { around: Arc::new(around), supervisor, running: vec![] }
    }

    /// Goes to what is desired; gives what of it cannot be had, one line each.
    pub async fn apply(&mut self, desired: &[DesiredChannel]) -> Vec<String> {
        let running: Vec<DesiredChannel> = self.running.iter().map(|running| running.desired.clone()).collect();
        let (steps, mut differences) = plan::plan(&running, desired);
        for step in steps {
            match step {
                Step::Stop(name) => self.stop(&name).await,
                Step::Start(channel) => differences.extend(self.start(channel)),
                Step::Keep(channel) => self.keep(channel),
            }
        }
        let archived =
            self.running.iter().filter(|running| running.desired.dvr.is_some()).map(|running| &running.desired.name);
        if !self.around.archive.configured() {
            differences.extend(
                archived.map(|name| format!("channel {name} is not recorded: no [archive] path is configured")),
            );
        }
        differences
    }

    /// How every channel is.
    #[must_use]
    pub fn health(&self) -> Vec<ChannelHealth> {
        self.running.iter().map(|running| running.health.borrow().clone()).collect()
    }

    async fn stop(&mut self, name: &ChannelName) {
        let Some(index) = self.running.iter().position(|running| running.desired.name == *name) else { return };
        let running = self.running.swap_remove(index);
        self.around.channels.remove(name);
        self.around.archive.unwant(name);
        let cut = running.group.stop(STOP).await;
        info!(channel = %name, cut, "channel stopped");
    }

    /// Changes what is kept of a channel that runs on.
    fn keep(&mut self, desired: DesiredChannel) {
        let Some(running) = self.running.iter_mut().find(|running| running.desired.name == desired.name) else {
            return;
        };
        // The recorder is the same that the channel has; opening it again tells it what is wanted now.
        drop(Recorder::open(&self.around.archive, &desired.name, desired.dvr.clone()));
        running.desired = desired;
    }

    /// Starts a channel; a description that cannot be run is a difference, and nothing starts.
    fn start(&mut self, desired: DesiredChannel) -> Option<String> {
        if let Err(error) = addresses(&desired).and_then(|_| schedule(&desired)) {
            return Some(headend_rt::chain(&error));
        }
        let group = self.supervisor.group(desired.name.as_str());
        let (said, health) = watch::channel(starting(&desired, self.around.clock.now()));
        let (around, wanted) = (Arc::clone(&self.around), desired.clone());
        group.spawn("channel", Fate::Restart, move |token| {
            run(Arc::clone(&around), wanted.clone(), said.clone(), token)
        });
        info!(channel = %desired.name, sources = desired.sources.len(), "channel started");
        self.running.push(Running { desired, group, health });
        None
    }
}

async fn run(
    around: Arc<Surroundings>,
    desired: DesiredChannel,
    health: watch::Sender<ChannelHealth>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let name = desired.name.clone();
    let sources: Vec<OpenSource> = addresses(&desired)?
        .iter()
        .zip(&desired.sources)
        .map(|(address, source)| OpenSource::new(source.name.clone(), around.inputs.open(address)))
        .collect();
    let schedule = schedule(&desired)?;
    let (packets, packets_ring) = ring(PACKETS_BYTES);
    let folder = around.folder.join(name.as_str().replace('/', "%2F"));
    let wanted = desired.clone();
    let recorder = Recorder::open(&around.archive, &name, desired.dvr.clone());
    let reading = recorder.clone();
    let outlets = Outlets { packets: packets_ring, recorder, sealer: Arc::clone(&around.sealer) };
    // Reading a window back is disk work.
    let opened = tokio::task::spawn_blocking(move || Live::open(&wanted, schedule, folder, outlets)).await;
    let opened = opened.map_err(|_| StartError::Stopping)?;
    let (live, damage) = opened.map_err(|source| StartError::Window { channel: name.clone(), source })?;
    if let Some(damage) = damage {
        warn!(channel = %name, error = headend_rt::chain(&damage), "window begins anew");
    }
    let live = Arc::new(live);
    let (last_life, keys) = (Arc::clone(&live), Arc::clone(&around.keys));
    // Reading days of indexes takes seconds; the channel does not wait for it.
    drop(tokio::task::spawn_blocking(move || {
        last_life.adopt(&keys);
        if let Some(recorder) = reading {
            recorder.load();
        }
    }));
    let rings = sources.iter().zip(&desired.sources);
    live.set_sources(
        rings.map(|(open, source)| (open.name.clone(), source.remote, open.input.service(), open.input.ring().clone())),
    );
    around.channels.insert(&name, &live);
    let key_base = key_base(&around, &name);
    let parts = Parts {
        desired,
        live,
        packets,
        sources,
        keys: Arc::clone(&around.keys),
        anchors: Arc::clone(&around.anchors),
        uplink: around.uplink.clone(),
        key_base,
        clock: Arc::clone(&around.clock),
        mono: around.inputs.mono(),
        slate: Arc::clone(&around.slate),
        health,
        beat: around.hearts.beat(format!("channel {name}"), STANDSTILL),
    };
    let channel = Channel::new(parts).map_err(|source| StartError::Policy { channel: name, source })?;
    channel.run(stop).await;
    Ok(())
}

/// Where the keys of a channel are fetched. A controller knows nothing of sessions that a portal or a backend at this box
/// opened, so their keys are given out here.
fn key_base(around: &Surroundings, name: &ChannelName) -> watch::Receiver<KeyBase> {
    match around.rules.of(name) {
        Some(_) => watch::channel(KeyBase::default()).1,
        None => around.key_base.clone(),
    }
}

/// The input behind each source of these channels, as reports call it; sources whose address is none are left out.
#[must_use]
pub fn feeds(channels: &[DesiredChannel]) -> Feeds {
    let input = |url: &str| url.parse::<SourceAddress>().ok().map(|address| address.feed.shared().label());
    let of = |channel: &DesiredChannel| {
        let sources = channel.sources.iter().filter_map(|source| Some((source.name.clone(), input(&source.url)?)));
        (channel.name.clone(), sources.collect())
    };
    channels.iter().map(of).collect()
}

fn addresses(desired: &DesiredChannel) -> Result<Vec<SourceAddress>, StartError> {
    let parse = |source: &headend_wire::DesiredSource| {
        let mut address: SourceAddress = source.url.parse().map_err(|error| StartError::Address {
            channel: desired.name.clone(),
            source_name: source.name.to_string(),
            source: error,
        })?;
        address.service = source.service.or(address.service);
        Ok(address)
    };
    desired.sources.iter().map(parse).collect()
}

fn schedule(desired: &DesiredChannel) -> Result<Schedule, StartError> {
    let period_ms = u64::from(desired.key_period_secs) * 1000;
    Schedule::new(desired.name.as_str(), period_ms)
        .map_err(|source| StartError::Schedule { channel: desired.name.clone(), source })
}

fn starting(desired: &DesiredChannel, now: jiff::Timestamp) -> ChannelHealth {
    ChannelHealth {
        channel: desired.name.clone(),
        state: ChannelState::Starting,
        since: now,
        playing: None,
        reason: "the channel was just started".to_owned(),
        bitrate_bps: 0,
        cc_errors_per_minute: 0,
        last_segment: None,
        viewers: 0,
        sources: vec![],
    }
}
