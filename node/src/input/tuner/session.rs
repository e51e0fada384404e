//! One multiplex, kept on a tuner for as long as somebody wants it.
//!
//! Shell: a plain thread for each multiplex. It asks the pool for a tuner, and on it turns the machine of [`super::lock`]
//! each 20 ms: read what came, take the worker's answer, give the next order, tell the intake. It never waits for a driver: what
//! may wait is on the worker, and reads come back at once. A device that goes away has its descriptors closed within one
//! turn; a tuner that is taken back by the arbiter likewise. Nothing else of the node runs here.

use std::time::Duration;

use headend_rt::{CancellationToken, chain};

use super::delivery::Delivery;
use super::demand::Demand;
use super::figures::{Figures, Meter};
use super::frontend::{DeviceError, Filter, Refusal, Stream, Taken};
use super::inventory::{Capture, Tuner};
use super::lock::{Action, Keeper, LadderCounts, Limits, Outcome, Patience, TunerState};
use super::losses::{Ledger, Silence, Window};
use super::mux::DvbFeed;
use super::pool::{Claim, Device, Lease, Tuners};
use super::report::TunerReport;
use super::talk::Talk;
use super::worker::{Answer, Order, Worker};
use super::{reset, sec, tune};
use crate::input::receive::Receiver;

/// A turn. Each costs a read; the kernel's ring holds a hundred of them.
const TURN: Duration = Duration::from_millis(20);
/// Taken at once: a turn of 200 Mbit/s.
const BUFFER_BYTES: usize = 512 << 10;
/// Reads of one turn at most, so that answers are seen to also when we are far behind.
const READS_MAX: usize = 64;
/// Packets of a multiplex come each millisecond; none for so long is a loss.
const SILENCE_MS: u64 = 250;
/// Packets are steady when the last came so long ago: three turns.
const STEADY_MS: u64 = 60;
/// A turn that comes later than this found the program standing still.
const STOOD_STILL_MS: u64 = 400;
/// A missing lock is told of after this.
const TOLD_AFTER_MS: u64 = 1_500;
/// The same words in a row are logged this often.
const SAID_FOR_MS: u64 = 60_000;
/// All figures are read this often.
const FIGURES_MS: u64 = 1_000;
/// A device that said it was gone and is still seen in sysfs is tried again after this.
const STILL_THERE_MS: u64 = 1_500;
/// The kernel's ring: this much of the fastest the multiplex can be.
const RING_SECS: u64 = 2;
/// And at least so much: what a transponder of 27.5 MBd needs.
const RING_BYTES_MIN: u64 = 2 << 20;

/// What a session works with.
pub(crate) struct Session {
    pub(crate) feed: DvbFeed,
    pub(crate) tuners: Tuners,
    pub(crate) demand: Demand,
    pub(crate) receiver: Receiver,
    /// A proof of this spare tuner, and of no other.
    pub(crate) proving: Option<usize>,
}

impl Session {
    /// Receives until the token is cancelled; a proof also ends when its tuner is taken away.
    pub(crate) fn run(&self, token: &CancellationToken) {
        if let Some(tuner) = self.proving {
            return self.prove(tuner, token);
        }
        let mut ledger = Ledger::default();
        let mut ladder = LadderCounts::default();
        while !token.is_cancelled() {
            let Some(claim) = self.tuners.claim(&self.feed, &self.demand) else {
                let antenna = &self.feed.antenna;
                self.receiver.failed(format!("antenna {antenna} is not in this node's file: add it as [[antenna]]"));
                self.receiver.pause(Duration::from_secs(10), token);
                continue;
            };
            let Some(tuner) = self.wait_for_tuner(&claim, token) else { continue };
            self.receiver.intake().begin();
            let mut turning = Turning::new(self, tuner, (ledger, ladder));
            turning.run(&claim, token);
            (ledger, ladder) = turning.leave();
        }
    }

    fn prove(&self, tuner: usize, token: &CancellationToken) {
        let claim = self.tuners.claim_spare(&self.feed, &self.demand, tuner);
        let Some(claim) = claim.filter(|claim| claim.lease() == Lease::Granted(tuner)) else { return };
        self.receiver.intake().begin();
        let mut turning = Turning::new(self, tuner, (Ledger::default(), LadderCounts::default()));
        turning.run(&claim, token);
        turning.leave();
    }

    /// What the ladder may do: a proof resets nothing.
    fn limits(&self, tuner: usize) -> Limits {
        if self.proving.is_some() { Limits::default() } else { self.tuners.limits(tuner) }
    }

    /// The tuner, once it is granted; none when it was taken back before we looked, or the token came: the claim has to be
    /// given up then, for others wait for it.
    fn wait_for_tuner(&self, claim: &Claim, token: &CancellationToken) -> Option<usize> {
        while !token.is_cancelled() {
            match claim.lease() {
                Lease::Granted(tuner) => return Some(tuner),
                Lease::Revoked => return None,
                Lease::Waiting => {}
            }
            claim.set_priority(self.demand.priority());
            let antenna = &self.feed.antenna;
            self.receiver
                .failed(format!("no tuner of antenna {antenna} is free: all of them have something more important"));
            self.receiver.pause(Duration::from_millis(100), token);
        }
        None
    }
}

/// A session on its tuner.
struct Turning<'a> {
    session: &'a Session,
    index: usize,
    tuner: &'a Tuner,
    device: Option<Device>,
    epoch: u64,
    /// A device that said it was gone is not believed in again before this.
    believe_ms: u64,
    keeper: Keeper,
    worker: Option<Worker>,
    stream: Option<Box<dyn Stream>>,
    meter: Meter,
    ledger: Ledger,
    /// Of tuners before this one.
    ladder: LadderCounts,
    report: TunerReport,
    talk: Talk,
    /// What was logged last, and when: the same is not said twice in a row within a minute.
    said: (String, u64),
    buffer: Vec<u8>,
    read_ms: u64,
    tuned_ms: u64,
    figures_ms: u64,
    sampled_ms: u64,
    gone_ms: Option<u64>,
    signal_trouble: bool,
    /// The order in flight is overdue and was told of.
    late: bool,
    turn_ms: u64,
    /// When the last bytes came.
    heard_ms: Option<u64>,
    /// The lock was away since then.
    dark: bool,
    /// Rate of the multiplex when it was last received: the mean of the last second's samples.
    bitrate_bps: u64,
    sampled_bps: [u64; 4],
    /// The missing lock was told of.
    told_dark: bool,
}

impl<'a> Turning<'a> {
    fn new(session: &'a Session, index: usize, (ledger, ladder): (Ledger, LadderCounts)) -> Self {
        let now_ms = session.receiver.mono.ms();
        let tuner = &session.tuners.inventory().tuners[index];
        let report = TunerReport {
            tuner: tuner.name.to_string(),
            device: tuner.device.to_string(),
            since_ms: now_ms,
            ..TunerReport::default()
        };
        let mut keeper = Keeper::new(now_ms);
        keeper.absent();
        Self {
            session,
            index,
            tuner,
            device: None,
            epoch: 0,
            believe_ms: now_ms,
            keeper,
            worker: None,
            stream: None,
            meter: Meter::default(),
            ledger,
            ladder,
            report,
            talk: Talk::default(),
            said: (String::new(), 0),
            buffer: vec![0; BUFFER_BYTES],
            read_ms: now_ms,
            tuned_ms: u64::MAX,
            figures_ms: 0,
            sampled_ms: 0,
            gone_ms: None,
            signal_trouble: false,
            late: false,
            turn_ms: now_ms,
            heard_ms: None,
            dark: false,
            bitrate_bps: 0,
            sampled_bps: [0; 4],
            told_dark: false,
        }
    }

    fn run(&mut self, claim: &Claim, token: &CancellationToken) {
        while !token.is_cancelled() {
            let now_ms = self.session.receiver.mono.ms();
            claim.set_priority(self.session.demand.priority());
            if claim.lease() != Lease::Granted(self.index) {
                self.say("the tuner was taken for something more important".to_owned(), now_ms);
                return;
            }
            let gap_ms = now_ms.saturating_sub(std::mem::replace(&mut self.turn_ms, now_ms));
            if gap_ms > STOOD_STILL_MS {
                self.keeper.excuse(gap_ms);
                self.heard_ms = self.heard_ms.map(|heard| heard + gap_ms);
            }
            self.look_for_device(now_ms);
            self.read(now_ms);
            self.take_answer(now_ms);
            self.act(now_ms);
            self.note(now_ms);
            std::thread::park_timeout(TURN);
        }
    }

    /// Gives everything back; the frontend stays open where the tuner is to be kept warm.
    fn leave(self) -> (Ledger, LadderCounts) {
        drop(self.stream);
        if let Some(worker) = self.worker.filter(|worker| worker.description().is_some()) {
            self.session.tuners.park(self.index, worker);
        }
        (self.ledger, self.ladder + self.keeper.counts())
    }

    fn look_for_device(&mut self, now_ms: u64) {
        let epoch = self.session.tuners.epoch(self.index);
        match (epoch, &self.device) {
            (Some(epoch), Some(_)) if epoch == self.epoch => {}
            (Some(epoch), None) if epoch != self.epoch || now_ms >= self.believe_ms => {
                if let Some((device, epoch)) = self.session.tuners.device(self.index) {
                    (self.device, self.epoch) = (Some(device), epoch);
                    self.keeper.appeared(now_ms);
                }
            }
            (_, Some(_)) => self.gone(now_ms),
            (_, None) => {}
        }
    }

    /// Closes everything at once: as long as a descriptor is open, the driver cannot let go of the device.
    fn gone(&mut self, now_ms: u64) {
        (self.stream, self.worker, self.device) = (None, None, None);
        (self.report.figures, self.late) = (None, false);
        self.believe_ms = now_ms + STILL_THERE_MS;
        self.gone_ms.get_or_insert(now_ms);
        self.keeper.gone(now_ms);
        let Tuner { name, device, .. } = self.tuner;
        self.say(format!("tuner {name} at {device} is not there"), now_ms);
    }

    fn read(&mut self, now_ms: u64) {
        let Some(stream) = &mut self.stream else { return };
        let mut intake = self.session.receiver.intake();
        let mut failed = None;
        for _ in 0..READS_MAX {
            match stream.take(&mut self.buffer) {
                Ok(Taken::Bytes(bytes)) => {
                    let gap_ms = self.heard_ms.map_or(0, |heard| now_ms.saturating_sub(heard));
                    if let Some(gone_ms) = self.gone_ms.take() {
                        self.ledger.removed(now_ms.saturating_sub(gone_ms), self.bitrate_bps);
                    } else if gap_ms >= SILENCE_MS {
                        let rejoined = self.heard_ms.is_some_and(|heard| self.tuned_ms > heard);
                        let silence = match self.dark {
                            true => Silence::Dark,
                            false if rejoined => Silence::Rejoined,
                            false => Silence::Counted,
                        };
                        self.ledger.silence(gap_ms, self.bitrate_bps, silence);
                    }
                    (self.heard_ms, self.dark) = (Some(now_ms), false);
                    intake.push(&self.buffer[..bytes], now_ms);
                    if bytes < self.buffer.len() / 2 {
                        break;
                    }
                }
                Ok(Taken::Empty) => break,
                Ok(Taken::Overflow) => {
                    self.ledger.overflow(now_ms.saturating_sub(self.read_ms), self.bitrate_bps);
                    self.heard_ms = Some(now_ms);
                    intake.rejoined(true);
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.read_ms = now_ms;
        intake.flush(now_ms);
        let pat_ms = intake.pat_at().filter(|at| *at >= self.tuned_ms);
        drop(intake);
        if let Some(at) = pat_ms {
            self.keeper.pat(at);
        }
        if let Some(error) = failed {
            // Removal, or a stream that is of no use any more: both begin anew.
            tracing::debug!(error = chain(&error), "stream ended");
            self.session.tuners.refresh();
            self.gone(now_ms);
        }
    }

    fn take_answer(&mut self, now_ms: u64) {
        let Some(worker) = &mut self.worker else { return };
        if let Some(answer) = worker.take() {
            self.late = false;
            return self.understand(answer, now_ms);
        }
        if !worker.overdue() {
            return;
        }
        let first = !std::mem::replace(&mut self.late, true);
        if self.keeper.late(now_ms) == Patience::Wait {
            if first {
                self.keeper.waited();
                self.say(format!("the driver of tuner {} hangs; its packets go on", self.tuner.name), now_ms);
            }
            return;
        }
        self.session.tuners.abandoned(self.index, worker.holds());
        (self.stream, self.worker, self.late, self.report.figures) = (None, None, false, None);
        self.keeper.done(now_ms, Outcome::Hung);
        self.say(format!("the driver of tuner {} hangs", self.tuner.name), now_ms);
    }

    fn understand(&mut self, answer: Answer, now_ms: u64) {
        let outcome = match answer {
            Answer::Opened(Ok(description)) => {
                self.report.driver = description.name.clone();
                let system = tune::delivery_system(&self.session.feed.delivery);
                if description.systems.contains(&system) {
                    Outcome::Done
                } else {
                    let system = self.session.feed.delivery.system();
                    self.say(format!("tuner {} ({}) cannot do {system}", self.tuner.name, description.name), now_ms);
                    Outcome::Refused
                }
            }
            Answer::Tuned(Ok(stream)) => {
                if stream.is_some() {
                    self.stream = stream;
                }
                self.meter.retuned();
                self.session.receiver.intake().rejoined(false);
                (self.tuned_ms, self.read_ms) = (now_ms, now_ms);
                Outcome::Done
            }
            Answer::Looked(Ok(reading)) => {
                let locked = reading.locked();
                self.signal_trouble |= !locked;
                // Behind a tune of our own a missing lock says nothing of why the packets had stopped before.
                self.dark |= !locked && self.heard_ms.is_none_or(|heard| self.tuned_ms <= heard);
                if self.figures_ms == now_ms || !reading.strength.is_empty() || reading.legacy.is_some() {
                    let figures = self.meter.read(&reading, &self.session.feed.delivery);
                    self.signal_trouble |= figures.lost_blocks.is_some_and(|blocks| blocks > 0);
                    self.report.figures = Some(figures);
                } else if let Some(figures) = self.report.figures.as_mut().filter(|figures| figures.locked != locked) {
                    *figures = Figures { locked, ..Figures::default() };
                }
                Outcome::Status { locked }
            }
            Answer::Reset(Ok(())) => Outcome::Done,
            Answer::Reset(Err(error)) => {
                // A missing driver or permission says nothing about the device.
                self.say(chain(&error), now_ms);
                Outcome::Failed
            }
            Answer::Opened(Err(error)) | Answer::Tuned(Err(error)) | Answer::Looked(Err(error)) => {
                return self.refused(&error, now_ms);
            }
        };
        self.keeper.done(now_ms, outcome);
    }

    fn refused(&mut self, error: &DeviceError, now_ms: u64) {
        self.say(chain(error), now_ms);
        match error.refusal() {
            Refusal::Gone => {
                self.session.tuners.refresh();
                self.gone(now_ms);
            }
            Refusal::Busy | Refusal::Denied | Refusal::Range => self.keeper.done(now_ms, Outcome::Refused),
            Refusal::Other => self.keeper.done(now_ms, Outcome::Failed),
        }
    }

    fn act(&mut self, now_ms: u64) {
        if self.session.tuners.beyond_help(self.index) {
            return;
        }
        // Answered at once are only openings and failures, and a failure is followed by a wait.
        for _ in 0..4 {
            let Some(action) = self.keeper.next(now_ms, self.session.limits(self.index)) else { return };
            if let Some(outcome) = self.start(action, now_ms) {
                self.keeper.done(now_ms, outcome);
            }
        }
    }

    /// Gives the order for an action; an outcome when there is one already.
    fn start(&mut self, action: Action, now_ms: u64) -> Option<Outcome> {
        let order = match action {
            Action::Open => match self.open_order(now_ms) {
                Ok(order) => order,
                Err(outcome) => return Some(outcome),
            },
            Action::Tune { sec_attempt } => match self.tune_order(sec_attempt) {
                Ok(order) => order,
                Err(words) => {
                    self.say(words, now_ms);
                    return Some(Outcome::Refused);
                }
            },
            Action::Look => {
                let figures = now_ms >= self.figures_ms + FIGURES_MS;
                if figures {
                    self.figures_ms = now_ms;
                }
                Order::Look { figures }
            }
            Action::Reopen | Action::Rebind | Action::Reauthorise => match self.reset_order(action) {
                Some(order) => order,
                None => return Some(Outcome::Failed),
            },
            // A spare tuner that fails is told of by its proof.
            Action::AskReboot if self.session.proving.is_some() => return Some(Outcome::Done),
            Action::AskReboot => {
                if !std::mem::replace(&mut self.report.reboot_asked, true) {
                    tracing::error!(tuner = %self.tuner.name, "no step helped; drain this node and reboot it");
                }
                return Some(Outcome::Done);
            }
        };
        let asked = self.worker.as_mut().is_some_and(|worker| worker.ask(order));
        (!asked).then_some(Outcome::Failed)
    }

    /// The order to open, or the outcome when the frontend is open already or cannot be now.
    fn open_order(&mut self, now_ms: u64) -> Result<Order, Outcome> {
        let opener = self.device.as_ref().ok_or(Outcome::Failed)?.opener();
        if self.session.tuners.is_held(self.index) {
            self.say(format!("a call that never came back still holds tuner {}", self.tuner.name), now_ms);
            return Err(Outcome::Failed);
        }
        if self.worker.is_none() {
            let (worker, warm) = self.session.tuners.worker(self.index).ok_or(Outcome::Failed)?;
            if warm {
                self.report.driver = worker.description().map_or_else(String::new, |open| open.name.clone());
            }
            self.worker = Some(worker);
            if warm {
                return Err(Outcome::Done);
            }
        }
        Ok(Order::Open(opener))
    }

    fn tune_order(&self, sec_attempt: Option<u32>) -> Result<Order, String> {
        let Session { feed, tuners, .. } = self.session;
        let index = tuners.inventory().antenna(&feed.antenna).ok_or("the antenna is not in this node's file")?;
        let antenna = &tuners.inventory().antennas[index];
        let random = getrandom::u32().unwrap_or(0);
        let plan = sec::plan(antenna, &self.tuner.outlet, &feed.delivery, sec_attempt.unwrap_or(0), random)
            .map_err(|error| chain(&error))?;
        let api = self.worker.as_ref().and_then(Worker::description).map_or(0, |description| description.api);
        let properties = tune::properties(&feed.delivery, plan.tune_to, api);
        let filter = match self.tuner.capture {
            Capture::Whole => Filter::Whole,
            Capture::Pids => Filter::Pids(self.pids()),
        };
        let stream = self.stream.is_none().then(|| (filter, ring_bytes(&feed.delivery)));
        let plan = sec_attempt.map(|_| plan);
        Ok(Order::Tune { plan, properties, stream, cable: tuners.cable(index) })
    }

    fn reset_order(&mut self, action: Action) -> Option<Order> {
        self.stream = None;
        if self.worker.is_none() {
            self.worker = self.session.tuners.worker(self.index).map(|(worker, _)| worker);
        }
        let found = if let Device::Linux(found) = self.device.as_ref()? { Some(found.clone()) } else { None };
        let job: super::worker::Job = match (action, found) {
            (Action::Rebind, Some(found)) => Box::new(move || reset::rebind(&found)),
            (Action::Reauthorise, Some(found)) => Box::new(move || reset::reauthorise(&found)),
            _ => Box::new(|| Ok(())),
        };
        Some(Order::Reset(job))
    }

    fn pids(&self) -> Vec<headend_media::packet::Pid> {
        let services = self.session.receiver.intake().board().report().services.clone();
        self.session.demand.pids(&services)
    }

    /// Four times a second: losses, PIDs, report; and the intake's own tick.
    fn note(&mut self, now_ms: u64) {
        let mut intake = self.session.receiver.intake();
        intake.tick(now_ms);
        let board = std::sync::Arc::clone(intake.board());
        drop(intake);
        let sample = board.samples.borrow().clone();
        let state = self.keeper.state(now_ms);
        if sample.at_ms == self.sampled_ms && state == self.report.state {
            return;
        }
        if sample.at_ms != self.sampled_ms {
            let ms = sample.at_ms.saturating_sub(self.sampled_ms).min(1_000);
            self.ledger.queue(board.ring.counts().lost_bytes, ms);
            self.ledger.look(Window {
                ms,
                marked: sample.tei,
                continuity_errors: sample.continuity_errors,
                signal_trouble: std::mem::take(&mut self.signal_trouble),
            });
            self.sampled_ms = sample.at_ms;
            // A sample that ends in a silence is cut short, and says less than the rate was; so does one that begins in it.
            if state == TunerState::Receiving && sample.packet_age_ms <= STEADY_MS {
                self.sampled_bps.rotate_right(1);
                self.sampled_bps[0] = sample.bitrate_bps;
                let known = self.sampled_bps.iter().filter(|rate| **rate > 0).count() as u64;
                self.bitrate_bps = self.sampled_bps.iter().sum::<u64>() / known.max(1);
            }
            self.choose_pids(now_ms);
        }
        if state != self.report.state {
            (self.report.state, self.report.since_ms, self.told_dark) = (state, now_ms, false);
            self.tell_state(state, now_ms);
        }
        if state == TunerState::NoLock && !self.told_dark && now_ms >= self.report.since_ms + TOLD_AFTER_MS {
            self.told_dark = true;
            let (tuner, mux) = (&self.tuner.name, &self.session.feed.delivery);
            self.say(format!("tuner {tuner} has no lock on {mux}"), now_ms);
        }
        self.report.rung = self.keeper.rung();
        self.report.ladder = self.ladder + self.keeper.counts();
        self.report.losses = self.ledger.losses();
        board.report().tuner = Some(self.report.clone());
    }

    fn choose_pids(&mut self, now_ms: u64) {
        if self.tuner.capture != Capture::Pids {
            return;
        }
        let pids = self.pids();
        if let Some(Err(error)) = self.stream.as_mut().map(|stream| stream.choose(&pids)) {
            self.say(chain(&error), now_ms);
        }
    }

    fn tell_state(&mut self, state: TunerState, now_ms: u64) {
        let (tuner, mux) = (&self.tuner.name, &self.session.feed.delivery);
        match state {
            TunerState::Receiving => {
                self.report.reboot_asked = false;
                if self.session.proving.is_none() && self.talk.well(now_ms) {
                    tracing::info!(%tuner, %mux, "receiving");
                }
            }
            TunerState::LockWithoutData => {
                self.say(format!("tuner {tuner} is locked on {mux} and gives no data"), now_ms);
            }
            TunerState::Absent | TunerState::Opening | TunerState::NoLock | TunerState::Locked => {}
        }
    }

    /// Into the report always; into the log as often as a reader can bear.
    fn say(&mut self, words: String, now_ms: u64) {
        let again = self.said.0 == words && now_ms < self.said.1 + SAID_FOR_MS;
        if !again && self.session.proving.is_none() && self.talk.may(now_ms) {
            tracing::warn!(tuner = %self.tuner.name, mux = %self.session.feed.delivery, words, "tuner");
            self.said = (words.clone(), now_ms);
        }
        self.session.receiver.note(words, now_ms);
    }
}

fn ring_bytes(delivery: &Delivery) -> u32 {
    let bytes = (delivery.bitrate_max() / 8 * RING_SECS).max(RING_BYTES_MIN).div_ceil(188) * 188;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
