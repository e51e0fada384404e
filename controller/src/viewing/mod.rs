//! What a viewer's request needs at once: the line-up, who is signed in, and whether a password is right.
//!
//! [`catalogue`] holds the small families of the store as one value; [`sessions`] the viewers and [`sign_ins`] the
//! operators that are signed in; [`passwords`] checks passwords on a bounded pool behind the limiter. The rules are `domain`'s and `policy`'s;
//! HTTP is `api`'s.

pub mod catalogue;
pub mod passwords;
pub mod sessions;
pub mod sign_ins;

pub use catalogue::{Catalogue, CatalogueKeeper};
pub use passwords::{Checked, Passwords};
pub use sessions::{NewSession, Sessions};
pub use sign_ins::SignIns;
