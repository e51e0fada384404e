//! This box's tuners for the verbs that look at the air: opened as `run` opens them, one multiplex at a time.
//!
//! Shell. It uses the same inputs as the node, so what a technician sees is what the node would do. A node that runs
//! holds its tuners; the verbs then say so.

use std::{path::Path, sync::Arc, time::Duration};

use headend_rt::{Supervisor, SystemClock, config::ConfigError, supervisor::Fate};
use tokio::time::{Instant, timeout};

use super::Exit;
use crate::{
    config,
    input::{
        InputHandle, InputOptions, InputSet, Monotonic,
        address::{AddressError, Feed, SourceAddress},
        report::InputReport,
        tuner::{
            inventory::Inventory, lock::TunerState, mux::DvbFeed, pool::Tuners, replay::ReplayError,
            report::TunerReport,
        },
    },
};

/// Memory of the ring behind a look.
const RING_BYTES: usize = 8 << 20;

/// Why the air cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum AirError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "node.toml names no tuner: add [[antenna]] and [[tuner]], and see `headend-node femon --list` for the devices"
    )]
    NoTuner,
    #[error("no [[tuner]] of node.toml is called {0:?}")]
    Unknown(String),
    #[error("address {text:?}")]
    Address {
        text: String,
        #[source]
        source: AddressError,
    },
    #[error("address {0:?} is no dvb:// address")]
    NotDvb(String),
    #[error("tuners")]
    Replay(#[source] ReplayError),
}

impl AirError {
    /// Says it, and what the program exits with.
    pub(super) fn say(&self) -> Exit {
        let exit = match self {
            Self::Config(_) | Self::Replay(_) => Exit::ConfigInvalid,
            Self::NoTuner => Exit::HardwareMissing,
            Self::Unknown(_) => Exit::NotFound,
            Self::Address { .. } | Self::NotDvb(_) => Exit::Usage,
        };
        exit.say(self)
    }
}

/// The open air.
pub(super) struct Air {
    pub(super) inputs: InputSet,
    pub(super) tuners: Tuners,
    _supervisor: Supervisor,
}

impl Air {
    /// The tuners of the node's file, or one of them.
    pub(super) fn open(path: &Path, only: Option<&str>) -> Result<Self, AirError> {
        Self::of(config::load(path)?.inventory, only)
    }

    /// The same for an inventory.
    pub(super) fn of(mut inventory: Inventory, only: Option<&str>) -> Result<Self, AirError> {
        if let Some(name) = only {
            inventory.tuners.retain(|tuner| tuner.name.as_str() == name);
            // A slave alone has no master; it is tried with what its cable has now.
            inventory.tuners.iter_mut().for_each(|tuner| tuner.slave_of = None);
            if inventory.tuners.is_empty() {
                return Err(AirError::Unknown(name.to_owned()));
            }
        }
        if inventory.tuners.is_empty() {
            return Err(AirError::NoTuner);
        }
        let tuners = Tuners::new(inventory).map_err(AirError::Replay)?;
        let clock = Arc::new(SystemClock);
        let supervisor = Supervisor::new(clock.clone());
        let watched = tuners.clone();
        supervisor.spawn_thread("tuners", Fate::Restart, move |token| watched.run(&token));
        let timing = (Monotonic::new(), InputOptions { ring_bytes: RING_BYTES, ..InputOptions::default() });
        let inputs = InputSet::with_tuners(supervisor.clone(), clock, timing, Some(tuners.clone()));
        Ok(Self { inputs, tuners, _supervisor: supervisor })
    }

    /// Whether the device of any tuner is there.
    pub(super) fn any_device(&self) -> bool {
        (0..self.tuners.inventory().tuners.len()).any(|tuner| self.tuners.epoch(tuner).is_some())
    }

    /// Opens a multiplex.
    pub(super) fn tune(&self, feed: &DvbFeed) -> InputHandle {
        self.inputs.open(&SourceAddress { feed: Feed::Dvb(feed.clone()), service: None })
    }
}

/// The multiplex of an address.
pub(super) fn multiplex(text: &str) -> Result<DvbFeed, AirError> {
    let address: SourceAddress = text.parse().map_err(|source| AirError::Address { text: text.to_owned(), source })?;
    match address.feed {
        Feed::Dvb(feed) => Ok(feed),
        _ => Err(AirError::NotDvb(text.to_owned())),
    }
}

/// Waits for a report that `done` accepts, up to `wait`; gives the last one in any case.
pub(super) async fn report_within(
    input: &InputHandle,
    wait: Duration,
    done: impl Fn(&InputReport) -> bool,
) -> InputReport {
    let (mut samples, until) = (input.samples(), Instant::now() + wait);
    loop {
        let report = input.report();
        let left = until.saturating_duration_since(Instant::now());
        if done(&report) || left.is_zero() {
            return report;
        }
        // A sample that does not come, or an input that ended, leaves what is known.
        if timeout(left, samples.changed()).await.is_ok_and(|changed| changed.is_err()) {
            return report;
        }
    }
}

/// Whether a multiplex is received.
pub(super) fn receiving(report: &InputReport) -> bool {
    report.tuner.as_ref().is_some_and(|tuner| tuner.state == TunerState::Receiving)
}

/// Why it is not, in words.
pub(super) fn reason(report: &InputReport) -> String {
    let state = report.tuner.as_ref().map(|tuner: &TunerReport| match tuner.state {
        TunerState::Absent => "the tuner's device is not there",
        TunerState::Opening => "the tuner cannot be opened",
        TunerState::NoLock => "no lock",
        TunerState::Locked | TunerState::LockWithoutData => "lock, but no data",
        TunerState::Receiving => "received",
    });
    match (state, &report.last_error) {
        (Some("no lock" | "lock, but no data"), _) | (Some("received"), _) => state.unwrap_or_default().to_owned(),
        (_, Some(error)) => error.clone(),
        (Some(state), None) => state.to_owned(),
        (None, None) => "no tuner took it".to_owned(),
    }
}
