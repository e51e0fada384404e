//! The tuners of a node: which are there, who uses which, and what is left of those that hang.
//!
//! Shell around [`super::arbiter`] and [`super::place`]. One thread ([`Tuners::run`]) listens to the kernel and looks at
//! sysfs each second; everybody else asks. A [`Claim`] is a want; it gets a lease when the arbiter says so and must let
//! go when it is revoked. Dropping it frees the tuner on every path. An open frontend of a warm tuner is parked here
//! between two users, so that its LNB keeps its power.

mod seats;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headend_rt::CancellationToken;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::antenna::{Antenna, AntennaKind};
use super::arbiter::{self, PROVING, Slot, Want};
use super::delivery::Delivery;
use super::demand::Demand;
use super::frontend::{DeviceError, Frontend};
use super::inventory::{Inventory, Tuner};
use super::linux::LinuxFrontend;
use super::lock::Limits;
use super::mux::DvbFeed;
use super::place::{Found, Place, SYSFS, find};
use super::replay::{ReplayDevice, ReplayError};
use super::report::Verdict;
use super::talk::Talk;
use super::uevent::Listener;
use super::worker::{Cable, Held, Opener, Worker};

/// Sysfs is looked at this often when the kernel says nothing.
const LOOK: Duration = Duration::from_secs(1);
/// The token is looked at this often.
const STEP_MS: u16 = 100;
/// Workers of one tuner that were given up and still hang; no more are started then.
const HANGING_MAX: usize = 3;

/// A device that is there.
#[derive(Clone, Debug)]
pub enum Device {
    /// The kernel's.
    Linux(Found),
    /// A recording.
    Replay(ReplayDevice),
}

impl Device {
    /// What opens it, on a worker.
    #[must_use]
    pub fn opener(&self) -> Opener {
        match self.clone() {
            Self::Linux(found) => Box::new(move || boxed(LinuxFrontend::open(&found))),
            Self::Replay(device) => Box::new(move || boxed(device.open())),
        }
    }
}

fn boxed<F: Frontend + 'static>(opened: Result<F, DeviceError>) -> Result<Box<dyn Frontend>, DeviceError> {
    opened.map(|open| Box::new(open) as Box<dyn Frontend>)
}

/// All tuners; clones are the same.
#[derive(Clone)]
pub struct Tuners {
    shared: Arc<Shared>,
}

struct Shared {
    inventory: Inventory,
    sysfs: PathBuf,
    cables: Vec<Cable>,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    devices: Vec<Seat>,
    wants: Vec<Want>,
    /// What each want is for.
    errands: BTreeMap<u64, Errand>,
    held: BTreeMap<u64, usize>,
    leaving: Vec<u64>,
    next_id: u64,
}

struct Errand {
    feed: DvbFeed,
    demand: Demand,
}

/// A tuner's device as last looked at.
#[derive(Default)]
struct Seat {
    device: Option<Device>,
    replay: Option<ReplayDevice>,
    /// Grows each time the device comes or goes.
    epoch: u64,
    parked: Option<Worker>,
    hanging: Vec<Held>,
    talk: Talk,
    /// How it did as a backup, by multiplex.
    proofs: BTreeMap<DvbFeed, Proof>,
}

/// How a proof ended; times are those of the pool.
#[derive(Clone, Debug)]
struct Proof {
    at_ms: u64,
    proven_ms: Option<u64>,
    verdict: Verdict,
    margin: Option<f64>,
    missing: Vec<u16>,
}

/// A lease as its holder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// None is free.
    Waiting,
    /// This tuner.
    Granted(usize),
    /// Let go.
    Revoked,
}

/// A want and, when it is granted, a tuner. Dropping it gives both back.
pub struct Claim {
    tuners: Tuners,
    id: u64,
    proving: bool,
}

impl Tuners {
    /// The tuners of an inventory; looks for their devices once.
    ///
    /// # Errors
    /// [`ReplayError`] for a recording whose script cannot be read.
    pub fn new(inventory: Inventory) -> Result<Self, ReplayError> {
        Self::with_sysfs(inventory, Path::new(SYSFS))
    }

    /// The same with another sysfs, for tests.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_sysfs(inventory: Inventory, sysfs: &Path) -> Result<Self, ReplayError> {
        let mut devices = vec![];
        for tuner in &inventory.tuners {
            let replay = match &tuner.device {
                Place::Replay(path) => Some(ReplayDevice::new(path)?),
                Place::Port { .. } | Place::Number { .. } => None,
            };
            devices.push(Seat { replay, ..Seat::default() });
        }
        let cables = inventory.antennas.iter().map(|_| Cable::default()).collect();
        let (wants, held, leaving) = (vec![], BTreeMap::new(), vec![]);
        let errands = BTreeMap::new();
        let state = Mutex::new(State { devices, wants, errands, held, leaving, next_id: 1 });
        let tuners = Self {
            shared: Arc::new(Shared { inventory, sysfs: sysfs.to_owned(), cables, began: Instant::now(), state }),
        };
        tuners.refresh();
        Ok(tuners)
    }

    /// Looks for devices that came or went until the token is cancelled. Blocks.
    pub fn run(&self, token: &CancellationToken) {
        let listener = Listener::open()
            .inspect_err(|errno| tracing::warn!(%errno, "no kernel events; tuners are looked for each second"))
            .ok();
        let mut looked = Instant::now();
        while !token.is_cancelled() {
            let told = match &listener {
                Some(listener) => {
                    let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                    // An interrupted wait is a wait that ended.
                    let _ = poll(&mut polled, PollTimeout::from(STEP_MS));
                    std::iter::from_fn(|| listener.take()).count() > 0
                }
                None => {
                    std::thread::park_timeout(Duration::from_millis(STEP_MS.into()));
                    false
                }
            };
            if told || looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.refresh();
            }
        }
    }

    /// Looks once for devices that came or went.
    pub fn refresh(&self) {
        let tuners = &self.shared.inventory.tuners;
        let real = tuners.iter().any(|tuner| !matches!(tuner.device, Place::Replay(_)));
        let found = if real { find(&self.shared.sysfs) } else { vec![] };
        let mut state = self.lock();
        for (tuner, seat) in tuners.iter().zip(&mut state.devices) {
            seat.look(tuner, &found, self.now_ms());
        }
        self.settle(&mut state);
    }

    /// What the node's file says.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.shared.inventory
    }

    /// Asks for a tuner for the users of a multiplex; `None` when no antenna has this name.
    #[must_use]
    pub fn claim(&self, feed: &DvbFeed, demand: &Demand) -> Option<Claim> {
        self.enter(feed, demand, (rank(demand.priority()), None))
    }

    /// Asks for this very tuner to prove it; anybody else takes it away again.
    #[must_use]
    pub fn claim_spare(&self, feed: &DvbFeed, demand: &Demand, tuner: usize) -> Option<Claim> {
        self.enter(feed, demand, (PROVING, Some(tuner)))
    }

    fn enter(&self, feed: &DvbFeed, demand: &Demand, (priority, only): (u8, Option<usize>)) -> Option<Claim> {
        let antenna = self.shared.inventory.antenna(&feed.antenna)?;
        let wave = wave(&self.shared.inventory.antennas[antenna], &feed.delivery);
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.wants.push(Want { id, antenna, wave, priority, only });
        state.errands.insert(id, Errand { feed: feed.shared(), demand: demand.clone() });
        self.settle(&mut state);
        drop(state);
        Some(Claim { tuners: self.clone(), id, proving: priority == PROVING })
    }

    /// The device of a tuner and its epoch, when it is there.
    #[must_use]
    pub fn device(&self, tuner: usize) -> Option<(Device, u64)> {
        let state = self.lock();
        let seat = state.devices.get(tuner)?;
        seat.device.clone().map(|device| (device, seat.epoch))
    }

    /// The epoch of a tuner's device, when it is there: another one means another device.
    #[must_use]
    pub fn epoch(&self, tuner: usize) -> Option<u64> {
        let state = self.lock();
        state.devices.get(tuner).and_then(|seat| seat.device.as_ref().map(|_| seat.epoch))
    }

    /// The recording behind a tuner, for tests.
    #[must_use]
    pub fn replay(&self, tuner: usize) -> Option<ReplayDevice> {
        self.lock().devices.get(tuner)?.replay.clone()
    }

    /// What tuners on one cable take turns on.
    #[must_use]
    pub fn cable(&self, antenna: usize) -> Option<Cable> {
        self.shared.cables.get(antenna).cloned()
    }

    /// A worker for a tuner: the parked one with its open frontend (`true`), or a new one; `None` when the system gives no
    /// thread.
    #[must_use]
    pub fn worker(&self, tuner: usize) -> Option<(Worker, bool)> {
        let mut state = self.lock();
        let seat = state.devices.get_mut(tuner)?;
        if let Some(worker) = seat.parked.take() {
            return Some((worker, true));
        }
        drop(state);
        Worker::start(self.shared.inventory.tuners[tuner].name.as_str()).map(|worker| (worker, false))
    }

    /// Gives a worker back: kept for the next user of a warm tuner, else closed.
    pub fn park(&self, tuner: usize, worker: Worker) {
        let warm = self.shared.inventory.tuners[tuner].keep_warm && !worker.busy();
        let mut state = self.lock();
        if let Some(seat) = state.devices.get_mut(tuner).filter(|seat| warm && seat.device.is_some()) {
            seat.parked = Some(worker);
        }
    }

    /// Remembers that a call never came back.
    pub fn abandoned(&self, tuner: usize, held: Held) {
        let mut state = self.lock();
        if let Some(seat) = state.devices.get_mut(tuner) {
            seat.hanging.retain(Held::holds);
            seat.hanging.push(held);
        }
    }

    /// Whether a call that never came back still holds the device, so that it cannot be opened.
    #[must_use]
    pub fn is_held(&self, tuner: usize) -> bool {
        let state = self.lock();
        state.devices.get(tuner).is_some_and(|seat| seat.hanging.iter().any(Held::holds))
    }

    /// Whether so many calls hang that nothing more is tried.
    #[must_use]
    pub fn beyond_help(&self, tuner: usize) -> bool {
        let state = self.lock();
        state
            .devices
            .get(tuner)
            .is_some_and(|seat| seat.hanging.iter().filter(|held| held.holds()).count() >= HANGING_MAX)
    }

    /// What the ladder may do to a tuner's device now.
    #[must_use]
    pub fn limits(&self, tuner: usize) -> Limits {
        let state = self.lock();
        let device = |tuner: usize| match state.devices.get(tuner).and_then(|seat| seat.device.as_ref()) {
            Some(Device::Linux(found)) => Some(found.usb.as_ref().unwrap_or(&found.device).clone()),
            _ => None,
        };
        let Some(own) = device(tuner) else { return Limits::default() };
        let neighbour = state.held.values().any(|other| *other != tuner && device(*other).as_ref() == Some(&own));
        let usb = matches!(&state.devices[tuner].device, Some(Device::Linux(found)) if found.usb.is_some());
        Limits { may_reset: self.shared.inventory.tuners[tuner].may_reset && !neighbour, usb }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, state: &mut State) {
        let slots = self.slots(state);
        let settlement = arbiter::settle(&slots, &state.wants, &state.held, &state.leaving);
        state.held.extend(settlement.grants);
        state.leaving.extend(settlement.revokes);
    }

    fn slots(&self, state: &State) -> Vec<Slot> {
        let demux = |seat: &Seat| match &seat.device {
            Some(Device::Linux(found)) => Some((found.adapter, found.demux)),
            _ => None,
        };
        let group = |index: usize| {
            let own = demux(&state.devices[index]);
            let first = state.devices.iter().position(|other| own.is_some() && demux(other) == own);
            first.unwrap_or(index)
        };
        let slot = |(index, tuner): (usize, &Tuner)| Slot {
            antennas: tuner.antennas.clone(),
            present: state.devices[index].device.is_some(),
            group: group(index),
            slave_of: tuner.slave_of,
        };
        self.shared.inventory.tuners.iter().enumerate().map(slot).collect()
    }
}

impl Seat {
    fn look(&mut self, tuner: &Tuner, found: &[Found], now_ms: u64) {
        let device = match &self.replay {
            Some(replay) => replay.plugged().then(|| Device::Replay(replay.clone())),
            None => found.iter().find(|found| found.is_at(&tuner.device)).cloned().map(Device::Linux),
        };
        let same = match (&self.device, &device) {
            (Some(Device::Linux(old)), Some(Device::Linux(new))) => old == new,
            (old, new) => old.is_some() == new.is_some(),
        };
        if same {
            return;
        }
        let there = device.is_some();
        if self.talk.may(now_ms) {
            tracing::info!(tuner = %tuner.name, device = %tuner.device, there, "tuner device");
        }
        (self.device, self.epoch) = (device, self.epoch + 1);
        // Its descriptor would keep the driver from letting go.
        self.parked = None;
    }
}

impl Claim {
    /// How it stands.
    #[must_use]
    pub fn lease(&self) -> Lease {
        let state = self.tuners.lock();
        match state.held.get(&self.id) {
            _ if state.leaving.contains(&self.id) => Lease::Revoked,
            Some(tuner) => Lease::Granted(*tuner),
            None => Lease::Waiting,
        }
    }

    /// Another priority, as channels come and go.
    pub fn set_priority(&self, priority: u8) {
        if self.proving {
            return;
        }
        let priority = rank(priority);
        let mut state = self.tuners.lock();
        if let Some(want) = state.wants.iter_mut().find(|want| want.id == self.id && want.priority != priority) {
            want.priority = priority;
            self.tuners.settle(&mut state);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.tuners.lock();
        state.wants.retain(|want| want.id != self.id);
        state.leaving.retain(|id| *id != self.id);
        state.held.remove(&self.id);
        state.errands.remove(&self.id);
        self.tuners.settle(&mut state);
    }
}

/// A channel's rank among wants: above every proof.
fn rank(priority: u8) -> u8 {
    priority.saturating_add(PROVING + 1)
}

/// What goes up the cable: high polarisation, high band.
fn wave(antenna: &Antenna, delivery: &Delivery) -> (bool, bool) {
    match (&antenna.kind, delivery) {
        (AntennaKind::Dish { lnb, .. }, Delivery::Satellite(satellite)) => {
            let high_band = lnb.convert(satellite.frequency).is_ok_and(|converted| converted.high_band);
            (satellite.polarisation.is_high(), high_band)
        }
        _ => (false, false),
    }
}
