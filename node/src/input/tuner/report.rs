//! What a multiplex on a tuner says of itself, for the status page, `femon` and the controller.
//!
//! Plain values; [`super::session`] keeps them up to date inside the input's report.

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::lock::{LadderCounts, TunerState};
use super::losses::Losses;

/// One multiplex on one tuner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The rung of the ladder it stands on: 0 to 7, see `docs/technician-page.md`.
    pub rung: u8,
    /// Rungs of the ladder climbed since the input was opened.
    pub ladder: LadderCounts,
    /// Losses by cause since the input was opened.
    pub losses: Losses,
    /// Nothing helped: this box should be drained and rebooted.
    pub reboot_asked: bool,
}

/// What a configured tuner is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeatUse {
    /// Its device is not there.
    #[default]
    Absent,
    /// Nobody has it, and it is closed.
    Idle,
    /// Nobody has it; it is open so that its LNB keeps its power.
    Warm,
    /// It is being proved as a backup.
    Proving,
    /// An input has it.
    Serving,
}

/// A tuner of the node's file, at work or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SeatReport {
    /// Its name in the node's file.
    pub tuner: String,
    /// Where it is plugged in.
    pub device: String,
    /// Antennas that hang on it.
    pub antennas: Vec<String>,
    /// What it is doing.
    pub doing: SeatUse,
    /// The multiplex it is on, as an address; empty when on none.
    pub mux: String,
    /// Calls into its driver that never came back.
    pub hanging: usize,
    /// When it last showed that it can do a wanted multiplex, or could not; one for each that was tried.
    pub proofs: Vec<ProofReport>,
}

/// How a tuner did as a backup for one multiplex.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProofReport {
    /// The multiplex, as an address.
    pub mux: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Milliseconds since.
    pub age_ms: u64,
    /// Milliseconds since it last ended well; none when it never did.
    pub proven_age_ms: Option<u64>,
    /// Margin at the end, dB.
    pub margin: Option<f64>,
    /// Services that were wanted and did not come.
    pub missing: Vec<u16>,
}

/// How a proof ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Lock, valid PATs and every wanted service.
    Proven,
    /// The device could not be opened, or went away.
    NoDevice,
    /// No lock.
    NoLock,
    /// Lock, and no valid PAT.
    NoData,
    /// Valid PATs, but not every wanted service.
    ServicesMissing,
}
