//! The kernel's types and constants under the kernel's names, one generated file a header.

mod ca;
mod dmx;
mod frontend;

pub use self::{ca::*, dmx::*, frontend::*};
