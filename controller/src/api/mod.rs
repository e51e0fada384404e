//! HTTP of the controller: REST for operators and subscribers, and what players ask.
//!
//! One file per resource, with its routes, bodies and handlers. [`office`] is what handlers can reach, [`who`] says
//! who asks, [`write`] makes a write happen once, [`body`] reads JSON, [`error`] answers what goes wrong.
//! [`router`] puts the routes together.

pub mod backend;
pub mod body;
pub mod channels;
pub mod error;
pub mod fleet;
pub mod health;
pub mod keys;
pub mod my;
pub mod nodes;
pub mod office;
pub mod openapi;
pub mod operators;
pub mod pages;
pub mod play;
pub mod playlist;
pub mod router;
pub mod session;
pub mod slate;
pub mod subscribers;
pub mod tariffs;
pub mod viewer_answer;
pub mod who;
pub mod write;

#[cfg(test)]
mod tests;

pub use office::Office;
pub use router::router;
