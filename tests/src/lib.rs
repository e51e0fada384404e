//! Black-box tests of the real programs, and what they share with the demo.
//!
//! Everything here drives the programs from outside: it starts binaries, reads their ready line, talks HTTP and
//! counts pictures with ffmpeg. It knows formats (`media`, `access`, `wire`) and no room of node or controller.

pub mod backend;
pub mod broadcast;
pub mod browser;
pub mod client;
pub mod endless;
pub mod feed;
pub mod ffmpeg;
pub mod gstreamer;
pub mod history;
pub mod hls_page;
pub mod lone;
pub mod player;
pub mod playhead;
pub mod program;
pub mod test_card;
pub mod transport;
pub mod vlc;
pub mod vpcd;
pub mod wait;
pub mod walk;
pub mod world;
