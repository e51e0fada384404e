//! The lint of HLS: what servers get wrong, in rules with names, from a playlist's bytes to thirty hours of reloads.
//!
//! Pure and bounded: [`read`] judges one playlist by itself, [`Watcher`] its reloads, [`Chain`] its segments in the clear,
//! [`Headers`] and [`redirected`] the HTTP around them, [`compare`] the renditions of a channel. All of them add to a
//! [`Tally`] of [`Finding`]s, whose rules stand in one table (`finding`) and in `docs/lint.md`. It shares no code with the
//! printers of `playlist`. The shell is `headend-node probe --lint`; simulations feed [`replay`]. Standard: RFC 8216; the
//! nineteen groups are what servers were seen to break.

mod answer;
mod attributes;
mod chain;
mod finding;
mod master_tags;
mod media_tags;
mod playlist;
mod read;
mod segment;
mod variants;
mod watch;

pub use answer::{Headers, redirected};
pub use attributes::{ATTRIBUTES_MAX, AttributeError, Attributes, Value};
pub use chain::Chain;
pub use finding::{Finding, Place, Rule, Severity, Tally, shown};
pub use playlist::{Key, Kind, Listed, Master, Media, Playlist, Rendition, Variant};
pub use read::{PLAYLIST_BYTES_MAX, Reading, SEGMENTS_MAX, VARIANTS_MAX, read};
pub use variants::compare;
pub use watch::{Figures, REMOVED_MAX, Removed, Watcher, replay};
