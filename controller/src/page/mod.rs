//! What every page of ours shares: [`assets`] under content-hashed addresses, the security [`headers`], the
//! reader's [`language`], and who is [`asking`].
//!
//! The pages themselves live in `noc` and `portal`. Nothing here knows a channel or a subscriber.

pub mod asking;
pub mod assets;
pub mod headers;
pub mod language;
