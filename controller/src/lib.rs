//! The controller: who may watch what, on which origin, with which key.
//!
//! Rooms, in the order the data takes:
//! - [`config`], [`installation`]: what the operator wrote, and what `init` made.
//! - [`domain`]: subscribers, tariffs, channels, devices, nodes: types with rules, no IO.
//! - [`policy`]: who may watch, and which node carries what: pure functions over the domain.
//! - [`store`]: what must not be forgotten, behind one narrow engine.
//! - [`fleet`]: the nodes: what they say, what we want of them, who may join.
//! - [`viewing`]: who is signed in, the line-up in memory, passwords.
//! - [`api`]: HTTP: REST, redirects, content keys, the slate.
//! - [`page`]: what every page shares: files, security headers, language.
//! - [`noc`]: the operators' dashboard.
//! - [`portal`]: the subscribers' page.
//! - [`tasks`]: what runs beside the requests, and how often.
//! - [`flussonic`]: what another server was configured to do, read into channels.
//! - [`run`]: puts them together; [`cmd`]: the verbs of the program.

pub mod api;
pub mod cmd;
pub mod config;
pub mod domain;
pub mod fleet;
pub mod flussonic;
pub mod installation;
pub mod noc;
pub mod page;
pub mod policy;
pub mod portal;
pub mod run;
pub mod store;
pub mod tasks;
pub mod viewing;
