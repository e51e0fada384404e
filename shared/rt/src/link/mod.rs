//! The MQTT link of a node or a controller, and the durable outbox behind its events.
//!
//! [`Link`] is the seam: publishing never blocks its caller, the carrier ([`MqttTask`], rumqttc on MQTT
//! 3.1.1) can be replaced without touching one. Three kinds of message leave, each with its own bound:
//! state (retained, latest value per topic, sent again after every connect), metrics (QoS 0, oldest
//! dropped) and messages (QoS 1, refused when the queue is full). What may not be lost goes through the
//! [`Courier`]: a journal on disk ([`Outbox`]) that resends until the *application* at the other end
//! acknowledges, because neither the client library nor the embedded broker keeps QoS 1 over a restart.
//!
//! The room knows topics and bytes only; `headend_wire` gives them meaning. Who runs it: the node's
//! agent and the controller's fleet room, each starting the returned tasks through the supervisor.

mod backoff;
mod courier;
mod journal;
mod mqtt;
mod options;
mod outbox;
mod outgoing;
mod uplink;

pub use backoff::Backoff;
pub use courier::{Courier, CourierError, CourierFigures, CourierTask};
pub use mqtt::{MqttTask, mqtt};
pub use options::{Announce, Announcement, BrokerUrl, LinkError, LinkOptions, Subscription};
pub use outbox::{Outbox, OutboxError, OutboxLimits, Recovery};
pub use uplink::{Connection, Delivery, FarEnd, Incoming, Link, LinkFigures, PAYLOAD_BYTES_MAX, Publish};
