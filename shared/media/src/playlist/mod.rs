//! Playlists: names and numbers of segments, the live window, and the text of media and master playlists.
//!
//! All of it is a function of values given: times come from the channel's timeline, never from a clock. `window` owns
//! what must never step back; `media` and `master` print it once per change, with holes (`splice`) for what differs per
//! viewer; `grid`, `live_path` and `past_path` name things and read those names back from requests; `past` prints
//! what was recorded. The node's output room drives it. Standard: RFC 8216.

mod grid;
#[cfg(test)]
mod lint;
mod live_path;
mod master;
mod media;
mod past;
mod past_path;
mod splice;
mod window;

pub use grid::SegmentGrid;
pub use live_path::{LiveKind, LivePath, MediaSpelling};
pub use master::{Bandwidth, Master, Variant};
pub use media::{KeyBase, KeyBaseError, MediaPlaylist};
pub use past::{PastKind, PastPlaylist, Recorded};
pub use past_path::{Past, Refusal, SPAN_SECS_MAX, Shape, Span};
pub use splice::{Folder, Query, Rendered, Spliced};
pub use window::{Entry, KeyRef, PushError, RestoreError, Window, WindowRecord};
