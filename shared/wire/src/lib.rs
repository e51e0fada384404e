//! Everything that crosses MQTT or node-controller HTTP: ids, topics, messages, versions.
//!
//! Both programs build their messages from these types and nothing else, so a field is spelt once. The
//! wire is MQTT 3.1.1 with JSON bodies; nothing here knows a broker, a socket or a clock. Sites run
//! different releases for a week or more: fields are only added, with a default, and `samples/` keeps
//! one JSON of every message of every released version that today's code must still read.

pub mod desired;
pub mod dvr;
pub mod fleet;
pub mod hardware;
pub mod ids;
pub mod message;
pub mod report;
pub mod signed;
pub mod topic;

pub use desired::{Desired, DesiredChannel, DesiredSource, SourcePolicy};
pub use dvr::{Dvr, Lock, Retention, RetentionError};
pub use hardware::{CardHealth, TunerHealth};
pub use ids::{ChannelName, IdError, NodeName, SiteName, SourceName};
pub use message::{Incarnation, Message, WIRE_VERSION, WireError};
pub use report::{Birth, ChannelHealth, ChannelState, Event, EventKind, Health, Reported, Will};
pub use signed::{Signed, SignedError, SigningKey, VerifyingKey};
pub use topic::{Branch, Topic};
