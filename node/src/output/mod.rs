//! What leaves the node: encrypted segments, playlists, endless streams, keys, over HTTP.

pub mod archive;
pub mod channels;
pub mod http;
pub mod keys;
pub mod live;
pub mod record;
pub mod sealing;
mod viewers;
pub mod viewing;
