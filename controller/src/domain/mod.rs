//! The things of the trade and their rules: subscribers, tariffs, channels, devices, nodes,
//! operators, sessions, passwords. Plain values: no IO, no clock, no randomness; what is
//! needed of those comes in as an argument. Who may watch what is `policy`'s business, and
//! keeping is `store`'s. A refusal names the field, what is wrong, and what would be right.

pub mod attempts;
pub mod channel;
pub mod device;
pub mod name;
pub mod node;
pub mod operator;
pub mod password;
pub mod refusal;
pub mod session;
pub mod subscriber;
pub mod tariff;

pub use attempts::{Attempt, AttemptLimiter, AttemptLimits};
pub use channel::{Channel, Source};
pub use device::{Device, DeviceKind};
pub use name::{AudienceName, DeviceId, Login, PolicyName, SettingName, Tag, TariffId};
pub use node::{Fingerprint, NodeRecord};
pub use operator::{Operator, Role};
pub use password::{PasswordHash, Verdict};
pub use refusal::Refusal;
pub use session::{DeviceHash, Session};
pub use subscriber::{Status, Subscriber};
pub use tariff::Tariff;
