//! The fleet: what nodes say ([`inbox`], [`state`]), how well origins serve ([`probe`], [`redirect`]), what
//! we want of them ([`desired`], [`commands`]) and who may join ([`enrol`], [`authority`], [`doors`]).
//!
//! The way of a message: MQTT bytes, decoded and counted by the inbox, merged by the pure state, published
//! as a watch; a node's death nudges the probe; the probe's verdicts and the merged state decide redirects.
//! [`records`] keeps events and changes in the audit, [`broker`] is the embedded broker of a one-box
//! installation. Which node is to carry what is `policy`'s.

pub mod anchors;
pub mod authority;
pub mod broker;
pub mod commands;
pub mod desired;
pub mod doors;
#[cfg(test)]
mod doors_tests;
pub mod enrol;
pub mod inbox;
pub mod ledger;
pub mod probe;
pub mod records;
pub mod redirect;
pub mod state;
#[cfg(test)]
mod tests;
pub mod voice;
