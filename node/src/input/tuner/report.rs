//! What a multiplex on a tuner says of itself, for the status page, `femon` and the controller.
//!
//! Plain values; [`super::session`] keeps them up to date inside the input's report.

use serde::Serialize;

use super::figures::Figures;
use super::lock::{LadderCounts, TunerState};
use super::losses::Losses;

/// One multiplex on one tuner.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TunerReport {
    /// The tuner's name in the node's file; empty while none is free.
    pub tuner: String,
    /// Where it is plugged in.
    pub device: String,
    /// What its driver calls it; empty before it was opened.
    pub driver: String,
    /// How it does.
    pub state: TunerState,
    /// Monotonic milliseconds since when.
    pub since_ms: u64,
    /// The newest figures.
    pub figures: Option<Figures>,
    /// Rungs of the ladder climbed since the input was opened.
    pub ladder: LadderCounts,
    /// Losses by cause since the input was opened.
    pub losses: Losses,
    /// Nothing helped: this box should be drained and rebooted.
    pub reboot_asked: bool,
}
