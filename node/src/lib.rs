//! Capture node: sources in, encrypted HLS and HTTP-TS out.

pub mod input;
