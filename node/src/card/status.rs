//! What a card says of itself to people: presence, ATR in words, entitlements, the last trouble. Never a key, never a
//! whole card number.
//!
//! Plain values, kept by [`super::desk`], shown by the status page, the metrics and the report to the controller.

use serde::Serialize;

use super::{
    atr::Atr,
    profile::{Entitlement, Identity, Trouble},
    reader::Presence,
    session::SessionCounts,
};

/// How a card stands, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardState {
    /// No reader of that name.
    #[default]
    NoReader,
    /// No card in the reader.
    Empty,
    /// A card that says nothing.
    Mute,
    /// Another program has it.
    InUse,
    /// It was put in and is being opened.
    Opening,
    /// It serves.
    Ready,
    /// It failed, or is of another system; it is tried again.
    Failed,
}

impl CardState {
    /// The word as it is reported.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoReader => "no-reader",
            Self::Empty => "empty",
            Self::Mute => "mute",
            Self::InUse => "in-use",
            Self::Opening => "opening",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// What a technician should do; empty when nothing.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NoReader => "plug the reader in, and see that pcscd runs; `headend-node card` lists what is there",
            Self::Empty => "put the card in",
            Self::Mute => "take the card out, look at the arrow and clean the contacts, put it in again",
            Self::InUse => "stop the other program that uses this reader",
            Self::Opening | Self::Ready => "",
            Self::Failed => "see last_error; a card in the wrong reader and a dirty contact look like this",
        }
    }
}

/// A right to watch, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntitlementStatus {
    /// Product as the system counts them.
    pub product: u32,
    /// Its name, where the card tells.
    pub label: String,
    /// Valid from, RFC 3339.
    pub from: Option<jiff::Timestamp>,
    /// Valid until, RFC 3339.
    pub until: Option<jiff::Timestamp>,
}

/// A configured card.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CardStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The reader in use; the pattern of the configuration while none is found.
    pub reader: String,
    /// Its profile.
    pub profile: String,
    /// How it stands.
    pub state: CardState,
    /// What to do about it; empty when nothing.
    pub advice: String,
    /// Monotonic milliseconds since when it stands so.
    pub since_ms: u64,
    /// The answer to reset in words.
    pub atr: Vec<String>,
    /// What the card is called.
    pub label: String,
    /// The end of its number.
    pub number_tail: String,
    /// CA_system_IDs it answers for, in hexadecimal.
    pub systems: Vec<String>,
    /// What it may watch, as far as it tells.
    pub entitlements: Vec<EntitlementStatus>,
    /// The last trouble in words, also after it has passed.
    pub last_error: Option<String>,
    /// Monotonic milliseconds of the last trouble.
    pub last_error_ms: Option<u64>,
    /// How long the last ECM took, milliseconds.
    pub answer_ms_last: Option<u64>,
    /// How long the slowest took.
    pub answer_ms_max: Option<u64>,
    /// Questions waiting.
    pub waiting: usize,
    /// Figures.
    pub counts: SessionCounts,
}

impl CardStatus {
    pub(crate) fn enter(&mut self, state: CardState, now_ms: u64) {
        if self.state == state {
            return;
        }
        let lasted_ms = now_ms.saturating_sub(self.since_ms);
        tracing::info!(card = self.name, from = self.state.word(), to = state.word(), lasted_ms, "card state");
        (self.state, self.since_ms) = (state, now_ms);
        state.advice().clone_into(&mut self.advice);
        if !matches!(state, CardState::Ready | CardState::Opening | CardState::Failed) {
            (self.atr, self.systems, self.entitlements) = (vec![], vec![], vec![]);
            (self.label, self.number_tail) = (String::new(), String::new());
        }
    }

    pub(crate) fn seen(&mut self, presence: &Presence, now_ms: u64) {
        match presence {
            Presence::NoReader => self.enter(CardState::NoReader, now_ms),
            Presence::Empty => self.enter(CardState::Empty, now_ms),
            Presence::Mute => self.enter(CardState::Mute, now_ms),
            Presence::InUse => self.enter(CardState::InUse, now_ms),
            Presence::Card(atr) => {
                self.enter(CardState::Opening, now_ms);
                self.atr = Atr::parse(atr).map_or_else(|error| vec![error.to_string()], |atr| atr.explain());
            }
        }
    }

    pub(crate) fn opened(&mut self, identity: Identity, now_ms: u64) {
        self.systems = identity.systems.iter().map(|system| format!("{system:04X}")).collect();
        (self.label, self.number_tail) = (identity.label, identity.number_tail);
        self.enter(CardState::Ready, now_ms);
    }

    pub(crate) fn entitled(&mut self, list: Vec<Entitlement>) {
        let shown = |one: Entitlement| {
            let Entitlement { product, label, from, until } = one;
            EntitlementStatus { product, label, from, until }
        };
        self.entitlements = list.into_iter().map(shown).collect();
    }

    pub(crate) fn troubled(&mut self, trouble: &Trouble, now_ms: u64) {
        let words = headend_rt::chain(trouble);
        if self.last_error.as_ref() != Some(&words) {
            tracing::warn!(card = self.name, error = words, "card failed");
        }
        (self.last_error, self.last_error_ms) = (Some(words), Some(now_ms));
    }
}
