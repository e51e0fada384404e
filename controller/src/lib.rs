//! Controller: subscribers, tariffs, keys, failover, dashboard.
