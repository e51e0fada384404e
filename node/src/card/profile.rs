//! The seam to a card system: tasks in, commands and outcomes out.
//!
//! A profile knows how a card is asked; when, how often and for whom is [`super::session`]'s. It is given a [`Task`], says
//! what to transmit, is given the answer, and so on until [`Step::Done`]. Two exist: [`super::open_card`] for our own open
//! test card, and [`super::vendor`], which asks a licensed module. Nothing proprietary is reproduced here.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    apdu::{ApduError, Command, Status},
    word::Words,
};

/// The most entitlements kept of one card.
pub const ENTITLEMENTS_MAX: usize = 256;

/// The longest label kept, bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// The longest ECM or EMM section taken, bytes; DVB's own limit for them is 256 (ETSI ETR 289 §5.2), some use more.
pub const SECTION_BYTES_MAX: usize = 4096;

/// What a card is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Find out which card this is; the first task after each insertion.
    Open,
    /// List what it is entitled to.
    Entitlements,
    /// Give the words of an ECM.
    Ecm {
        /// CA_system_ID it was announced with.
        system: u16,
        /// The whole section.
        section: Arc<[u8]>,
    },
    /// Take an entitlement message.
    Emm {
        /// CA_system_ID it was announced with.
        system: u16,
        /// The whole section.
        section: Arc<[u8]>,
    },
}

/// Which card this is. The number is cut to its last four digits before it gets here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// CA_system_IDs it answers for.
    pub systems: Vec<u16>,
    /// What is printed on it, or the system's name.
    pub label: String,
    /// The last four digits of the card's number.
    pub number_tail: String,
}

/// A right to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Product or class, as the system counts them.
    pub product: u32,
    /// Its name, where the card tells.
    pub label: String,
    /// Valid from; none where the card does not tell.
    pub from: Option<Timestamp>,
    /// Valid until; none where the card does not tell.
    pub until: Option<Timestamp>,
}

/// How a task ended well.
#[derive(Debug)]
pub enum Outcome {
    /// [`Task::Open`].
    Opened(Identity),
    /// [`Task::Entitlements`].
    Entitlements(Vec<Entitlement>),
    /// [`Task::Ecm`].
    Words(Words),
    /// [`Task::Emm`]: taken, and whether entitlements changed by it.
    Emm {
        /// It was for this card.
        taken: bool,
    },
}

/// Why a task did not end well. In words for status; never with bytes of a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The card is of another system.
    #[error("the card is not one of this profile: {0}")]
    NotOurs(Status),
    /// It has no right to this service.
    #[error("the card is not entitled to this service")]
    NotEntitled,
    /// Its right has run out, or has not begun.
    #[error("the entitlement has run out, or has not begun")]
    Expired,
    /// It works on something else.
    #[error("the card is busy")]
    Busy,
    /// It gives no answer.
    #[error("the card gives no answer")]
    Mute,
    /// It was pulled.
    #[error("the card was pulled")]
    Removed,
    /// It said no, otherwise.
    #[error("the card refused: {0}")]
    Refused(Status),
    /// Its answer breaks the rules of commands and answers.
    #[error("the card's answer cannot be read")]
    Apdu(#[source] ApduError),
    /// Its answer breaks the rules of its system.
    #[error("the card's answer makes no sense: {0}")]
    Garbled(&'static str),
    /// The vendor's module failed.
    #[error("the vendor's module {0}")]
    Module(&'static str),
}

impl Trouble {
    /// Whether the same question will get the same answer, so that it is not put again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NotEntitled | Self::Expired | Self::Refused(_) | Self::NotOurs(_) | Self::Garbled(_))
    }
}

/// What to do next for a task.
#[derive(Debug)]
pub enum Step {
    /// Send this to the card, and give its answer to [`CardProfile::answer`].
    Transmit(Command),
    /// The task is over.
    Done(Result<Outcome, Trouble>),
}

/// How the cards of one system are talked to. Driven by one thread; a call may take up to three seconds where it waits
/// for a module, none where it is pure.
pub trait CardProfile {
    /// A card with this answer to reset was put in.
    fn inserted(&mut self, atr: &[u8]);

    /// The card was pulled, or is about to be reset.
    fn removed(&mut self);

    /// Begins a task; what was unfinished is forgotten.
    fn begin(&mut self, task: &Task) -> Step;

    /// Takes the card's answer, status word included, to what was transmitted last.
    fn answer(&mut self, bytes: &[u8]) -> Step;
}

/// The end of a number that may be shown.
#[must_use]
pub(crate) fn tail(digits: &str) -> String {
    let skip = digits.chars().count().saturating_sub(4);
    digits.chars().skip(skip).collect()
}

/// A label as it may be shown: bounded, printable.
#[must_use]
pub(crate) fn label(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(LABEL_BYTES_MAX)];
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).collect()
}
