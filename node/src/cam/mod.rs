//! CAMs: modules in the common interface of a tuner card descramble in the card, and are told here for which services.
//!
//! In the order of the layers (EN 50221): `length` fields, the [`link`]'s connection, its [`session`]s, the objects of
//! [`apdu`]; what they say of a service is [`ca_pmt`], what they show to a technician [`screen`]. [`list`] paces and watches
//! the services of one module, [`module`] puts all of it together: pure, with time as an argument. [`assign`] puts services
//! on modules. The shell: [`desk`] owns the slots of a card on one thread, `slot` is the kernel's ca device, `watch` looks at
//! the packets of an input, [`status`] is what people see. No control word passes here: it stays in the module. The
//! decision record is `docs/adr/0016-cams.md`.

pub mod apdu;
pub mod assign;
pub mod ca_pmt;
pub mod desk;
mod length;
pub mod link;
pub mod list;
pub mod module;
pub mod screen;
#[cfg(test)]
pub(crate) mod scripted;
pub mod session;
pub mod slot;
pub mod status;
mod watch;

pub use desk::{CamSpec, Cams};
pub use status::{CamState, CamStatus};
