//! What to do next with a tuner: the machine that tunes it, judges it, and climbs the ladder when it fails.
//!
//! Pure: monotonic milliseconds and what happened in, one [`Action`] at a time out. Health is a flow of valid PATs, never
//! the lock bit: cards are known that report lock for days with no packet. Missing lock and missing data are different
//! faults. Without lock the likely cause is outside the box (rain, a switch, a cable), so gentle rungs repeat and heavy
//! ones are rare. With lock and no data, with errors or with a hang it is the card or its driver, and the ladder goes
//! up to asking for a reboot. Each rung has a budget and a count. The shell is [`super::session`].

use serde::{Deserialize, Serialize};

/// No valid PAT for this long is no data (PATs come at least each 500 ms, ISO/IEC 13818-1 by TR 101 290 §5.2.1): a second,
/// less what telling it takes.
pub const NO_DATA_MS: u64 = 900;
/// Data for this long, and the ladder starts at its foot again.
const RECOVERED_MS: u64 = 10_000;
/// Status is read this often while data flow; more often makes some drivers lose packets.
const LOOK_MS: u64 = 1_000;
/// And this often while they do not, or no PAT came for [`UNEASY_MS`].
const LOOK_SEEKING_MS: u64 = 100;
/// A PAT is late after this: whether the lock is still there must be known before the data are missed.
const UNEASY_MS: u64 = 600;
/// The wait at the top, before the ladder starts again.
const PAUSE_MS: u64 = 10_000;
/// Between attempts to open.
const OPEN_AGAIN_MS: u64 = 1_000;
/// Failed openings before the device itself is taken to be at fault.
const OPEN_FAILURES_MAX: u32 = 5;
/// For a missing signal the device is reset at most this often.
const RESET_FOR_SIGNAL_MS: u64 = 3_600_000;
/// A reboot is asked for at most this often.
const ASK_AGAIN_MS: u64 = 3_600_000;

/// What the shell shall do; it answers with [`Keeper::done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the frontend and the stream.
    Open,
    /// Tune; with the antenna's control sequence of this attempt, or without.
    Tune {
        /// Attempt from 0; later ones wait longer.
        sec_attempt: Option<u32>,
    },
    /// Read lock and figures.
    Look,
    /// Close everything and open it again.
    Reopen,
    /// Close, take the driver off the device and put it on again.
    Rebind,
    /// Close, take the device off the USB and put it on again.
    Reauthorise,
    /// Tell the controller that this box should be drained and rebooted.
    AskReboot,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As wished.
    Done,
    /// The status that was read.
    Status {
        /// Lock bit.
        locked: bool,
    },
    /// The device is not there (any more).
    Gone,
    /// It did not work, and the device may be at fault.
    Failed,
    /// It cannot work, and the device is not at fault: another program has it, a permission is missing, or the values are
    /// out of its range.
    Refused,
    /// It did not end in its time and was left alone; everything is closed.
    Hung,
}

/// What to do about a call that does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Go on waiting.
    Wait,
    /// Leave it alone with its thread.
    GiveUp,
}

/// What the ladder may do to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// No other tuner of the same device is at work, so it may be reset.
    pub may_reset: bool,
    /// It is on the USB.
    pub usb: bool,
}

/// How the tuner does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunerState {
    /// The device is not there.
    #[default]
    Absent,
    /// It is being opened.
    Opening,
    /// Tuned, no lock yet or any more.
    NoLock,
    /// Locked for over a second without a valid PAT.
    LockWithoutData,
    /// Locked, and the first PAT may still come.
    Locked,
    /// PATs flow.
    Receiving,
}

/// Rungs climbed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderCounts {
    /// Tuned again without control sequence.
    pub retunes: u32,
    /// Control sequence sent again with longer waits.
    pub sec_repeats: u32,
    /// Closed and opened.
    pub reopens: u32,
    /// Driver unbound and bound.
    pub rebinds: u32,
    /// Taken off the USB and put on.
    pub reauthorisations: u32,
    /// Reboots asked for.
    pub reboots_asked: u32,
    /// Calls that never came back in time.
    pub hangs: u32,
    /// Times the device went away.
    pub removals: u32,
}

impl std::ops::Add for LadderCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            retunes: self.retunes + other.retunes,
            sec_repeats: self.sec_repeats + other.sec_repeats,
            reopens: self.reopens + other.reopens,
            rebinds: self.rebinds + other.rebinds,
            reauthorisations: self.reauthorisations + other.reauthorisations,
            reboots_asked: self.reboots_asked + other.reboots_asked,
            hangs: self.hangs + other.hangs,
            removals: self.removals + other.removals,
        }
    }
}

/// A rung: what it does, and how long lock and data may take behind it, milliseconds.
struct Rung {
    action: Action,
    lock_ms: u64,
    data_ms: u64,
}

const fn rung(action: Action, lock_ms: u64, data_ms: u64) -> Rung {
    Rung { action, lock_ms, data_ms }
}

/// From the foot: the first is the tune everything starts with.
const LADDER: [Rung; 8] = [
    rung(Action::Tune { sec_attempt: Some(0) }, 3_000, NO_DATA_MS),
    rung(Action::Tune { sec_attempt: None }, 3_000, NO_DATA_MS),
    rung(Action::Tune { sec_attempt: Some(1) }, 4_000, 2_000),
    rung(Action::Tune { sec_attempt: Some(2) }, 5_000, 2_000),
    rung(Action::Reopen, 5_000, 3_000),
    rung(Action::Rebind, 10_000, 5_000),
    rung(Action::Reauthorise, 10_000, 5_000),
    rung(Action::AskReboot, 30_000, 30_000),
];
const REOPEN: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing there to open.
    Absent,
    /// To be opened at this time.
    Closed(u64),
    /// Open.
    Open,
}

/// Keeps one multiplex on one tuner.
#[derive(Debug)]
pub struct Keeper {
    phase: Phase,
    /// Rung that was climbed last.
    rung: usize,
    /// To be done before anything else.
    pending: Option<Action>,
    in_flight: Option<Action>,
    locked: bool,
    /// When the lock came or went, or the last rung was done: budgets count from here.
    since_ms: u64,
    pat_ms: Option<u64>,
    good_since_ms: Option<u64>,
    /// When the next look is planned, and when the last one was.
    look_ms: u64,
    looked_ms: u64,
    open_failures: u32,
    reset_ms: Option<u64>,
    asked_ms: Option<u64>,
    /// The last fault found was lock without data, and no data came since.
    mute: bool,
    limits: Limits,
    counts: LadderCounts,
}

impl Keeper {
    /// A tuner that is there and closed.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            phase: Phase::Closed(now_ms),
            rung: 0,
            pending: None,
            in_flight: None,
            locked: false,
            since_ms: now_ms,
            pat_ms: None,
            good_since_ms: None,
            look_ms: now_ms,
            looked_ms: now_ms,
            open_failures: 0,
            reset_ms: None,
            asked_ms: None,
            mute: false,
            limits: Limits::default(),
            counts: LadderCounts::default(),
        }
    }

    /// Begins without a device; [`Self::appeared`] tells when there is one.
    pub fn absent(&mut self) {
        self.phase = Phase::Absent;
    }

    /// A valid PAT came at `now_ms`; the same one may be told again.
    pub fn pat(&mut self, now_ms: u64) {
        if self.pat_ms.is_some_and(|last| now_ms <= last) {
            return;
        }
        (self.pat_ms, self.mute) = (Some(now_ms), false);
        self.good_since_ms.get_or_insert(now_ms);
    }

    /// The device went away; everything of it is closed. An action in flight is void.
    pub fn gone(&mut self, now_ms: u64) {
        if self.phase != Phase::Absent {
            self.counts.removals += 1;
        }
        self.close(Phase::Absent, now_ms);
        (self.rung, self.mute) = (0, false);
    }

    /// The device is there; nothing happens when that is known.
    pub fn appeared(&mut self, now_ms: u64) {
        if self.phase == Phase::Absent {
            self.phase = Phase::Closed(now_ms);
        }
    }

    /// The next thing to do, if anything is due. While one is in flight there is none.
    pub fn next(&mut self, now_ms: u64, limits: Limits) -> Option<Action> {
        if self.in_flight.is_some() {
            return None;
        }
        self.limits = limits;
        let action = match self.phase {
            Phase::Absent => None,
            // A rung that resets the device comes before it is opened again.
            Phase::Closed(at) if now_ms >= at => Some(self.pending.take().unwrap_or(Action::Open)),
            Phase::Closed(_) => None,
            Phase::Open => self.pending.take().or_else(|| self.judge(now_ms)),
        };
        self.in_flight = action;
        action
    }

    /// Nobody looked for this long, because this program stood still: what did not come meanwhile says nothing.
    pub fn excuse(&mut self, gap_ms: u64) {
        self.since_ms += gap_ms;
        self.pat_ms = self.pat_ms.map(|at| at + gap_ms);
    }

    /// The action in flight takes longer than it may. Whether it is given up (then [`Self::done`] with [`Outcome::Hung`]
    /// follows) or waited for, because packets flow all the same and closing the frontend would end them.
    pub fn late(&mut self, now_ms: u64) -> Patience {
        if self.in_flight.is_some() && self.phase == Phase::Open && self.receiving(now_ms) {
            return Patience::Wait;
        }
        Patience::GiveUp
    }

    /// A call that was waited for is counted once.
    pub fn waited(&mut self) {
        self.counts.hangs += 1;
    }

    /// How the action in flight ended.
    pub fn done(&mut self, now_ms: u64, outcome: Outcome) {
        let Some(action) = self.in_flight.take() else { return };
        match (action, outcome) {
            (_, Outcome::Gone) => self.gone(now_ms),
            (_, Outcome::Hung) => {
                self.counts.hangs += 1;
                // What hangs twice in a row is not helped by opening it again.
                self.device_failed(REOPEN, now_ms);
            }
            (Action::Look, Outcome::Status { locked }) => self.note_lock(locked, now_ms),
            (Action::Open, Outcome::Done) => {
                self.phase = Phase::Open;
                self.open_failures = 0;
                self.pending = Some(Action::Tune { sec_attempt: Some(0) });
            }
            (Action::Open, Outcome::Refused) => self.close(Phase::Closed(now_ms + OPEN_AGAIN_MS), now_ms),
            (Action::Open, _) => self.open_failed(now_ms),
            // No rung of the ladder changes the values.
            (Action::Tune { .. }, Outcome::Refused) => (self.rung, self.since_ms) = (0, now_ms + PAUSE_MS),
            (Action::Reopen | Action::Rebind | Action::Reauthorise, _) => {
                self.close(Phase::Closed(now_ms), now_ms);
            }
            (Action::Tune { .. }, Outcome::Done) => {
                (self.locked, self.since_ms, self.look_ms) = (false, now_ms, now_ms);
            }
            // Budgets run from the attempt, so that a call that fails at once is not repeated at once.
            (Action::Tune { .. } | Action::AskReboot, _) => self.since_ms = now_ms,
            (Action::Look, _) => {}
        }
    }

    /// How it does.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> TunerState {
        match self.phase {
            Phase::Absent => TunerState::Absent,
            Phase::Closed(_) => TunerState::Opening,
            Phase::Open if self.receiving(now_ms) => TunerState::Receiving,
            Phase::Open if self.mute => TunerState::LockWithoutData,
            Phase::Open if !self.locked => TunerState::NoLock,
            Phase::Open if now_ms < self.data_base() + NO_DATA_MS => TunerState::Locked,
            Phase::Open => TunerState::LockWithoutData,
        }
    }

    /// The rung it stands on, 0 for the first tune to 7 for the question for a reboot; 0 again when all is well.
    #[must_use]
    pub fn rung(&self) -> u8 {
        u8::try_from(self.rung).unwrap_or(u8::MAX)
    }

    /// Rungs climbed since the start.
    #[must_use]
    pub fn counts(&self) -> LadderCounts {
        self.counts
    }

    fn receiving(&self, now_ms: u64) -> bool {
        self.pat_ms.is_some_and(|pat| now_ms < pat + NO_DATA_MS)
    }

    /// From when data are missing while locked.
    fn data_base(&self) -> u64 {
        self.since_ms.max(self.pat_ms.unwrap_or(0))
    }

    fn judge(&mut self, now_ms: u64) -> Option<Action> {
        let receiving = self.receiving(now_ms);
        if receiving {
            if self.good_since_ms.is_some_and(|since| now_ms >= since + RECOVERED_MS) {
                self.rung = 0;
            }
        } else {
            self.good_since_ms = None;
            let budget = &LADDER[self.rung];
            let (base, budget) =
                if self.locked { (self.data_base(), budget.data_ms) } else { (self.since_ms, budget.lock_ms) };
            if now_ms >= base + budget {
                self.mute = self.locked;
                return self.climb(now_ms);
            }
        }
        let pause = if self.pat_ms.is_some_and(|pat| now_ms < pat + UNEASY_MS) { LOOK_MS } else { LOOK_SEEKING_MS };
        // A look that is far off was planned while all was well.
        if now_ms < self.look_ms.min(self.looked_ms + pause) {
            return None;
        }
        (self.looked_ms, self.look_ms) = (now_ms, now_ms + pause);
        Some(Action::Look)
    }

    fn note_lock(&mut self, locked: bool, now_ms: u64) {
        if locked != self.locked {
            (self.locked, self.since_ms) = (locked, now_ms);
        }
    }

    /// The next rung that makes sense; at the top, or when only gentle ones do, the foot again after a pause.
    fn climb(&mut self, now_ms: u64) -> Option<Action> {
        let Some(next) = self.next_rung(self.rung + 1, self.locked, now_ms) else {
            // The kernel goes on searching meanwhile, and what it finds is seen.
            (self.rung, self.since_ms) = (0, now_ms + PAUSE_MS);
            return None;
        };
        self.climb_to(next, now_ms);
        self.pending.take()
    }

    /// The first rung from `from` up that is allowed now. Heavy ones are for a device at fault, and rare for a missing
    /// signal.
    fn next_rung(&self, from: usize, device_at_fault: bool, now_ms: u64) -> Option<usize> {
        let old = |at: Option<u64>, age: u64| at.is_none_or(|at| now_ms >= at + age);
        let may_reset = self.limits.may_reset && (device_at_fault || old(self.reset_ms, RESET_FOR_SIGNAL_MS));
        (from..LADDER.len()).find(|rung| match LADDER[*rung].action {
            Action::Rebind => may_reset,
            Action::Reauthorise => may_reset && self.limits.usb,
            Action::AskReboot => device_at_fault && old(self.asked_ms, ASK_AGAIN_MS),
            _ => true,
        })
    }

    /// A call hung, or it cannot be opened: at least rung `least`, or a pause when all was tried.
    fn device_failed(&mut self, least: usize, now_ms: u64) {
        let from = if self.rung < least { least } else { self.rung + 1 };
        self.close(Phase::Closed(now_ms), now_ms);
        match self.next_rung(from, true, now_ms) {
            Some(next) => self.climb_to(next, now_ms),
            None => (self.rung, self.phase) = (0, Phase::Closed(now_ms + PAUSE_MS)),
        }
    }

    fn climb_to(&mut self, rung: usize, now_ms: u64) {
        self.rung = rung;
        let action = LADDER[rung].action;
        let counts = &mut self.counts;
        let count = match action {
            Action::Tune { sec_attempt: None } => &mut counts.retunes,
            Action::Reopen => &mut counts.reopens,
            Action::Rebind => &mut counts.rebinds,
            Action::Reauthorise => &mut counts.reauthorisations,
            Action::AskReboot => &mut counts.reboots_asked,
            _ => &mut counts.sec_repeats,
        };
        *count += 1;
        match action {
            Action::Rebind | Action::Reauthorise => self.reset_ms = Some(now_ms),
            Action::AskReboot => self.asked_ms = Some(now_ms),
            _ => {}
        }
        self.pending = Some(action);
        self.since_ms = now_ms;
    }

    fn open_failed(&mut self, now_ms: u64) {
        self.open_failures += 1;
        if self.open_failures.is_multiple_of(OPEN_FAILURES_MAX) {
            return self.device_failed(REOPEN + 1, now_ms);
        }
        self.close(Phase::Closed(now_ms + OPEN_AGAIN_MS), now_ms);
    }

    fn close(&mut self, phase: Phase, now_ms: u64) {
        self.phase = phase;
        (self.pending, self.in_flight) = (None, None);
        (self.locked, self.since_ms, self.look_ms) = (false, now_ms, now_ms);
        (self.pat_ms, self.good_since_ms) = (None, None);
    }
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
