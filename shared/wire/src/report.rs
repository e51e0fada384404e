//! What a node says of itself: birth, will, health, events, reported state.
//!
//! Health is figures at a cadence (1 s what changed, 10 s everything) and may be lost; an event is a thing
//! that happened and may not be. Words, not colours: the dashboard shows [`ChannelState`] as it is spelt.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    hardware::{CardHealth, TunerHealth},
    ids::{ChannelName, SourceName},
};

/// Retained at `birth`: what this node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// Program version.
    pub version: String,
    /// Address that viewers and probes reach this origin at, without a trailing slash.
    pub origin_url: String,
    /// Host name of the machine.
    pub host: String,
    /// Kernel release.
    #[serde(default)]
    pub kernel: String,
    /// Boot slot of the image (`A`, `B`), when the machine has slots.
    #[serde(default)]
    pub slot: Option<String>,
    /// What this build can do, by word: `hls`, `http-ts`, `file`, `udp`, `rtp`, `http`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// Retained at `will` by the broker when the node's connection dies, or by the node when it stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Will {
    /// `lost` when the broker says it, `stopped` when the node says it.
    pub cause: WillCause,
}

/// How a node went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WillCause {
    /// The connection died.
    Lost,
    /// An orderly stop.
    Stopped,
}

/// Figures at `health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Every channel is listed; otherwise only those that changed.
    pub whole: bool,
    /// Generation of the desired state that runs.
    pub generation: u64,
    /// One entry a channel.
    pub channels: Vec<ChannelHealth>,
    /// Every card of the node, in a message without channels: each 10 s and within 5 s of a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<CardHealth>,
    /// Every tuner of the node, under the same rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuners: Vec<TunerHealth>,
}

/// What a channel is doing, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelState {
    /// The preferred source plays, no fault over its threshold.
    Ok,
    /// It plays, with faults.
    Degraded,
    /// It plays from another than the preferred source.
    OnBackup,
    /// The slate plays: no source is left.
    Slate,
    /// Nothing was packaged yet.
    Starting,
}

/// One channel on one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHealth {
    /// Which channel.
    pub channel: ChannelName,
    /// Its state.
    pub state: ChannelState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The source that plays; none while the slate does.
    pub playing: Option<SourceName>,
    /// Why this source, in words.
    pub reason: String,
    /// Output rate over the last segments, bit/s.
    pub bitrate_bps: u64,
    /// Continuity errors of the playing source in the last minute.
    pub cc_errors_per_minute: u32,
    /// Last segment emitted.
    pub last_segment: Option<u64>,
    /// Sessions that asked for something in the last 30 s.
    pub viewers: u32,
    /// Every source, the playing one included.
    pub sources: Vec<SourceHealth>,
}

/// One source of a channel, watched whether it plays or waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHealth {
    /// Which source.
    pub source: SourceName,
    /// Whether it could play now.
    pub up: bool,
    /// What is wrong, in words; empty when nothing is.
    pub fault: String,
    /// Input rate of the service's multiplex, bit/s.
    pub bitrate_bps: u64,
    /// Continuity errors in the last minute.
    pub cc_errors_per_minute: u32,
}

/// One thing that happened, at `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up for the life of the node's outbox; the acknowledgement names it.
    pub id: u64,
    /// When it happened (the envelope's time is when it was sent).
    pub happened: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventKind {
    /// The node chose another source, or the slate.
    SourceChanged {
        /// The channel.
        channel: ChannelName,
        /// What played before; none for the slate.
        from: Option<SourceName>,
        /// What plays now; none for the slate.
        to: Option<SourceName>,
        /// The measurements behind it, in words.
        reason: String,
    },
    /// A source's time base was tied to UTC, or tied anew.
    Anchored {
        /// The channel.
        channel: ChannelName,
        /// The source.
        source: SourceName,
        /// The tie.
        anchor: WireAnchor,
    },
    /// A desired state was applied or refused.
    Desired {
        /// Its generation.
        generation: u64,
        /// Empty when it was applied.
        refused: String,
    },
    /// The node's process started.
    Started {
        /// Program version.
        version: String,
    },
    /// No rung of the ladder helped a tuner: this box should be drained and rebooted.
    RebootAsked {
        /// The tuner.
        tuner: String,
        /// The multiplex it was wanted for.
        mux: String,
    },
    /// A card that served does not any more; or one that should serve does not.
    CardTrouble {
        /// Its name.
        card: String,
        /// How it stands, as in [`CardHealth::state`].
        state: String,
        /// The last trouble in words.
        trouble: String,
    },
    /// A card serves again.
    CardWell {
        /// Its name.
        card: String,
    },
    /// A right to watch runs out soon, or has run out.
    EntitlementEnding {
        /// The card.
        card: String,
        /// Product as the system counts them.
        product: u32,
        /// Its name, where the card tells.
        label: String,
        /// When.
        until: Timestamp,
        /// Whole days until then, negative when it has passed.
        days: i64,
    },
    /// A CAM that served does not any more, or one of its services stays scrambled.
    CamTrouble {
        /// Its name.
        cam: String,
        /// What is wrong, in words.
        trouble: String,
    },
    /// A CAM serves again.
    CamWell {
        /// Its name.
        cam: String,
    },
    /// Events were dropped because the outbox was full.
    OutboxOverflow {
        /// How many.
        dropped: u64,
    },
}

/// Acknowledges the event `id` and no other, at `event-ack`: a broker that restarts may lose earlier ones
/// while it delivers this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAck {
    /// The event the controller has stored.
    pub id: u64,
}

/// Ties a source's presentation time to UTC; retained at `headend/v1/anchor/CHANNEL/SOURCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireAnchor {
    /// 33-bit presentation time of the source, 90 kHz.
    pub source_pts: u64,
    /// The same moment on the channel's timeline: 90 kHz ticks since the Unix epoch.
    pub at_90k: i64,
    /// Counts up each time the source's time base broke.
    pub version: u32,
}

/// Retained at `reported`: what the node has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The generation that runs; none before the first.
    pub generation: Option<u64>,
    /// What of it could not be applied, one line each.
    pub differences: Vec<String>,
    /// Last day (days since the Unix epoch) for which the node holds keys of every channel.
    pub keys_until_day: Option<u32>,
}
