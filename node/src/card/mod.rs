//! Cards: the operator's own smart cards in this box's own readers, from ECM to control word.
//!
//! [`apdu`] and [`atr`] are the card's language (ISO/IEC 7816-3 and -4), pure. [`reader`] is the seam to the hardware,
//! with [`pcsc`] behind it in the field and [`scripted`] in tests. [`profile`] is the seam to a card system: [`open_card`]
//! is our own open test card, [`vendor`] a licensed module in a process of its own. [`session`] decides, purely, what a
//! card is asked next; [`desk`] runs one thread per configured card and is what the other rooms talk to. A control word
//! leaves this room through a [`word::WordBox`] to the descrambler of the same process, and in no other way.

pub mod apdu;
pub mod atr;
pub mod desk;
pub mod open_card;
pub mod pcsc;
pub mod profile;
pub mod reader;
pub mod scripted;
pub mod session;
pub mod status;
pub mod vendor;
pub mod word;

pub use desk::{CardSpec, Cards, Inquiry};
pub use status::{CardState, CardStatus};
pub use word::{Word, WordBox, Words};
