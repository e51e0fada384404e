//! Clock, supervisor, shutdown, tracing, configuration, HTTP accept loop.

pub mod link;
