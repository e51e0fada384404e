//! The Linux DVB kernel interface (API 5): types made from the kernel's headers, ioctl numbers, and typed calls.
//!
//! - [`types`]: what bindgen made of `linux/dvb/frontend.h`, `dmx.h` and `ca.h`; the layouts are asserted when it is
//!   compiled, on each architecture.
//! - [`request`]: the ioctl numbers, which bindgen cannot read.
//! - [`frontend`], [`demux`], [`ca`]: one function for each ioctl, on a borrowed descriptor; errors are the kernel's own.
//!
//! No policy, no state, no waiting beyond what the driver does: every call blocks as long as the driver likes. This
//! crate is the unsafe room of the tuners; who calls it needs no `unsafe`. Standard: the kernel's
//! `Documentation/userspace-api/media/dvb`.

pub mod ca;
mod call;
pub mod demux;
pub mod frontend;
pub mod request;

#[expect(missing_docs, reason = "documented where they come from, in the kernel's headers")]
#[expect(non_camel_case_types, reason = "the kernel's names, so that they can be searched for")]
#[expect(non_snake_case, reason = "the kernel's names, so that they can be searched for")]
#[expect(ambiguous_glob_reexports, reason = "each file names the kernel's number types anew; nobody uses them by name")]
#[expect(unreachable_pub, reason = "the same number types")]
#[expect(clippy::allow_attributes, reason = "bindgen writes them")]
pub mod types;

pub use nix::errno::Errno;
