//! Clock, supervisor, shutdown, tracing, configuration, HTTP accept loop.
