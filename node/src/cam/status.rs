//! What a CAM says of itself to people: the module, its services, the last trouble.
//!
//! Plain values, kept by [`super::desk`], shown by the status page, the technician's page and the metrics.
//! `docs/cam.md` is their description.

use serde::Serialize;

use super::{list::Standing, module::Application, screen::Screen};

/// How a CAM stands, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CamState {
    /// The card is not there, or another program has its interface.
    #[default]
    NoDevice,
    /// No module in the slot.
    Empty,
    /// It was put in, and has not said yet what it can.
    Starting,
    /// It works.
    Ready,
    /// It does not answer.
    Failed,
}

impl CamState {
    /// What a technician should do; empty when nothing.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NoDevice => {
                "plug the card in; `headend-node cam` lists the interfaces that are there, and who has them"
            }
            Self::Empty => "put the module in, to the end",
            Self::Starting | Self::Ready => "",
            Self::Failed => "take the module out and put it in again; see docs/runbooks/cam.md",
        }
    }
}

/// What the module is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleStatus {
    /// Its name.
    pub label: String,
    /// `application_manufacturer`, hexadecimal.
    pub maker: String,
    /// `manufacturer_code`, hexadecimal.
    pub code: String,
    /// `conditional-access`, `programme-guide`, or `other`.
    pub kind: &'static str,
}

impl From<&Application> for ModuleStatus {
    fn from(application: &Application) -> Self {
        let kind = match application.kind {
            1 => "conditional-access",
            2 => "programme-guide",
            _ => "other",
        };
        let Application { label, maker, code, .. } = application;
        Self { label: label.clone(), maker: format!("{maker:04X}"), code: format!("{code:04X}"), kind }
    }
}

/// A service that is wanted of the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// The input's address, secrets masked.
    pub input: String,
    /// The service.
    pub service: u16,
    /// Its name.
    pub label: String,
    /// CA_system_IDs it is announced with, hexadecimal.
    pub systems: Vec<String>,
    /// `waiting`, `selected`, `refused`.
    pub list: &'static str,
    /// `clear`, `scrambled`, `quiet`.
    pub state: &'static str,
    /// Since when, monotonic milliseconds.
    pub since_ms: u64,
    /// Why it is not clear; empty when it is.
    pub trouble: String,
}

impl From<Standing> for ServiceStatus {
    fn from(standing: Standing) -> Self {
        Self {
            input: standing.key.input.to_string(),
            service: standing.key.service.0,
            label: standing.label,
            systems: standing.systems.iter().map(|system| format!("{system:04X}")).collect(),
            list: if standing.selected { "selected" } else { "waiting" },
            state: standing.view.word(),
            since_ms: standing.since_ms,
            trouble: standing.trouble,
        }
    }
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CamCounts {
    /// Modules that came or came back.
    pub starts: u64,
    /// Resets by this program.
    pub resets: u64,
    /// Messages about services.
    pub lists: u64,
    /// Commands without an answer in time.
    pub timeouts: u64,
    /// Things it said that make no sense.
    pub defects: u64,
}

/// A configured CAM.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CamStatus {
    /// Its name.
    pub name: String,
    /// Where its card is.
    pub device: String,
    /// Its slot.
    pub slot: u8,
    /// How it stands.
    pub state: CamState,
    /// What to do about it; empty when nothing.
    pub advice: String,
    /// Monotonic milliseconds since when.
    pub since_ms: u64,
    /// What it is.
    pub module: Option<ModuleStatus>,
    /// CA_system_IDs it announced, hexadecimal.
    pub systems: Vec<String>,
    /// Services that are wanted of it.
    pub services: Vec<ServiceStatus>,
    /// It takes a question for its menu.
    pub menu: bool,
    /// What it shows; only told to trusted peers.
    pub screen: Option<Screen>,
    /// The last trouble in words, also after it has passed.
    pub last_error: Option<String>,
    /// When, monotonic milliseconds.
    pub last_error_ms: Option<u64>,
    /// How it works.
    pub counts: CamCounts,
}

impl CamStatus {
    pub(crate) fn enter(&mut self, state: CamState, now_ms: u64) {
        if state != self.state {
            let lasted_ms = now_ms.saturating_sub(self.since_ms);
            tracing::info!(cam = self.name, from = ?self.state, to = ?state, lasted_ms, "cam state");
            (self.state, self.since_ms) = (state, now_ms);
        }
        state.advice().clone_into(&mut self.advice);
    }

    pub(crate) fn troubled(&mut self, words: String, now_ms: u64) {
        if self.last_error.as_ref() != Some(&words) {
            tracing::warn!(cam = self.name, error = words, "cam failed");
        }
        (self.last_error, self.last_error_ms) = (Some(words), Some(now_ms));
    }
}
