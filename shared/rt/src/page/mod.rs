//! What every page of ours shares: [`assets`] under content-hashed addresses, the security [`headers`], the
//! reader's [`language`], its [`words`] and [`figures`], and who is [`asking`].
//!
//! The pages themselves are the programs': the node's for technicians, the controller's for operators and subscribers.
//! Nothing here knows a channel.

pub mod asking;
pub mod assets;
pub mod figures;
pub mod headers;
pub mod language;
pub mod words;
