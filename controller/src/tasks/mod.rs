//! The background tasks of the controller and their periods, on one page.
//!
//! | task | period | what it does |
//! |---|---|---|
//! | [`plans`] | each change of the line-up, of revocations, of where nodes are | makes what nodes and probes are to do |
//! | [`upkeep`]: copies | looked at every 5 minutes | a copy of the store an hour, on its own disk |
//! | [`upkeep`]: ballast | hourly | makes the disk's reserve again |
//! | [`upkeep`]: sessions | hourly | removes those that are over |
//! | [`upkeep`]: catalogue | 30 s | reads the line-up anew, for writes of others |
//! | [`upkeep`]: audit | hourly | removes lines that are older than it is kept |
//! | [`dashboard`] | each redirect; each second | remembers why viewers were sent where; shows the fleet |
//!
//! None retries inside: what fails is said and comes again with the next period.

pub mod dashboard;
pub mod origins;
pub mod plans;
pub mod upkeep;
