//! Viewers whom others decide about: secure tokens of a portal, and backends that are asked.
//!
//! Tokens that our own controller signed are `http::Gate`'s and need nothing of this. `[[viewing]]` of the node's
//! configuration says for which channels a portal's secure tokens are taken, or which backend is asked. `ledger`, `users`,
//! `answer`, `question` and `ranges` are pure; `guard` is the shell around them.

mod answer;
mod guard;
mod ledger;
mod question;
mod ranges;
mod rules;
mod users;
mod viewer;

pub use guard::{Guard, Questions, Seat, Tally, Undecided};
pub use ledger::{Grant, Verdict};
pub use question::{Facts, Protocol, uuid};
pub use ranges::Ranges;
pub use rules::{Keeper, Listed, Opened, Rule, Rules, RulesError};
pub use viewer::{Guarded, Viewing};
