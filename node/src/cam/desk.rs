//! The CAMs of a node: which services are wanted of which, one thread for each card's interface, orders of the technician.
//!
//! Shell. Inputs put what they want and see on the board ([`Cams::post`]), never waiting; the thread of an interface takes
//! it from there, drives its [`Module`]s, and keeps the [`CamStatus`] that people see. Calls into the driver are made on that
//! thread alone, so one that hangs disturbs neither inputs nor the HTTP interface; it is seen by its silence.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use headend_rt::{
    Clock,
    supervisor::{Fate, Supervisor},
};

use super::{
    assign::{Placing, Seat, Want, assign},
    ca_pmt::{Programme, ServiceKey},
    list::{Pacing, View},
    module::Unable,
    screen::{Misfit, Reply},
    status::{CamState, CamStatus, ServiceStatus},
    watch::Watch,
};
use crate::input::{
    Monotonic, Refinery,
    tuner::place::{Place, SYSFS},
};

mod owner;

/// Orders of one module that wait.
const ORDERS_MAX: usize = 8;
/// An interface's thread that is silent for so long hangs in a driver call; writing to a module that takes nothing may
/// take a second or two.
const HANGS_MS: u64 = 5_000;

/// A CAM as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CamSpec {
    /// Its name, for people and addresses.
    pub name: String,
    /// Where its card's interface is.
    pub device: Place,
    /// The slot, from 0.
    pub slot: u8,
    /// Names of tuners whose packets go through it.
    pub tuners: Vec<Arc<str>>,
    /// CA systems to use; empty: all that it announces.
    pub systems: Vec<u16>,
    /// How it is paced.
    pub pacing: Pacing,
    /// It may be reset when nothing else helps.
    pub may_reset: bool,
}

/// What a technician orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Show the module's menu.
    Menu,
    /// Answer the screen of this number.
    Answer(u64, Reply),
    /// Close the menu.
    Close,
}

/// Why an order is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No CAM of this name.
    #[error("no CAM of this name is configured")]
    Unknown,
    /// It does not fit what the module shows.
    #[error(transparent)]
    Unable(#[from] Unable),
    /// Too many wait, because the interface hangs.
    #[error("the card's interface does not take orders now")]
    Busy,
}

/// All CAMs of the node; clones are the same.
#[derive(Clone, Default)]
pub struct Cams {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    berths: Vec<Berth>,
    board: Mutex<Board>,
    /// Counts changes of the board.
    turn: AtomicU64,
    /// Monotonic time for hangs; none without CAMs.
    mono: Option<Monotonic>,
}

/// A configured CAM and what is exchanged with its thread.
struct Berth {
    spec: CamSpec,
    status: Mutex<CamStatus>,
    orders: Mutex<VecDeque<Order>>,
    /// When its thread was last seen alive; 0 before it ran.
    beat_ms: AtomicU64,
}

/// What is wanted, what is seen, and which module has it.
#[derive(Default)]
struct Board {
    wants: BTreeMap<ServiceKey, (Want, View)>,
    usable: Vec<Option<Vec<u16>>>,
    placed: BTreeMap<ServiceKey, Placing>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cams {
    /// Starts a thread for each interface below `supervisor`. CAMs of one device share it: the kernel lets it be open once.
    #[must_use]
    pub fn start(specs: &[CamSpec], supervisor: &Supervisor, (mono, clock): (Monotonic, Arc<dyn Clock>)) -> Self {
        let cams = Self::new(specs, mono);
        let mut devices: Vec<&Place> = specs.iter().map(|spec| &spec.device).collect();
        devices.sort();
        devices.dedup();
        for device in devices {
            let indices: Vec<usize> = (0..specs.len()).filter(|index| specs[*index].device == *device).collect();
            let (cams, clock, name) = (cams.clone(), Arc::clone(&clock), format!("cam {}", specs[indices[0]].name));
            supervisor.spawn_thread(&name, Fate::Restart, move |token| {
                owner::Owner::new(cams.clone(), indices.clone(), Arc::clone(&clock), Path::new(SYSFS)).run(&token);
            });
        }
        cams
    }

    fn new(specs: &[CamSpec], mono: Monotonic) -> Self {
        let berth = |spec: &CamSpec| Berth {
            spec: spec.clone(),
            status: Mutex::new(CamStatus {
                name: spec.name.clone(),
                device: spec.device.to_string(),
                slot: spec.slot,
                advice: CamState::NoDevice.advice().to_owned(),
                since_ms: mono.ms(),
                ..CamStatus::default()
            }),
            orders: Mutex::default(),
            beat_ms: AtomicU64::new(0),
        };
        let board = Mutex::new(Board { usable: vec![None; specs.len()], ..Board::default() });
        let berths = specs.iter().map(berth).collect();
        Self { shared: Arc::new(Shared { berths, board, turn: AtomicU64::new(1), mono: Some(mono) }) }
    }

    /// What an input's packets are looked at by, before anybody else has them.
    #[must_use]
    pub fn refinery(&self) -> Refinery {
        let cams = self.clone();
        Refinery::new(move |input: &str| {
            let mut watch = Watch::new(input, cams.clone());
            Box::new(move |packets, services, wanted, now_ms| watch.look(packets, services, wanted, now_ms))
        })
    }

    /// How every CAM stands, with what it shows: for trusted peers.
    #[must_use]
    pub fn reports(&self) -> Vec<CamStatus> {
        let refused = self.refused();
        let with_refused = |(index, berth): (usize, &Berth)| {
            let mut status = lock(&berth.status).clone();
            status.services.extend(refused.iter().filter(|(at, _)| *at == index).map(|(_, one)| one.clone()));
            self.judge_hang(berth, &mut status);
            status
        };
        self.shared.berths.iter().enumerate().map(with_refused).collect()
    }

    /// The same without what modules show.
    #[must_use]
    pub fn public_reports(&self) -> Vec<CamStatus> {
        self.reports().into_iter().map(|status| CamStatus { screen: None, ..status }).collect()
    }

    fn judge_hang(&self, berth: &Berth, status: &mut CamStatus) {
        let beat_ms = berth.beat_ms.load(Ordering::Acquire);
        let now_ms = self.shared.mono.map_or(0, |mono| mono.ms());
        if beat_ms > 0 && now_ms > beat_ms + HANGS_MS {
            (status.state, status.menu, status.screen) = (CamState::Failed, false, None);
            let secs = (now_ms - beat_ms) / 1_000;
            status.advice = format!("the driver has not come back for {secs} s; unplug the card or restart the box");
        }
    }

    /// Services that no module takes, with the module that says why.
    fn refused(&self) -> Vec<(usize, ServiceStatus)> {
        let board = lock(&self.shared.board);
        let refused = board.placed.iter().filter_map(|(key, placing)| match placing {
            Placing::Refused(index, refusal) => Some((key, *index, *refusal)),
            Placing::At(_) => None,
        });
        let shown = refused.filter_map(|(key, index, refusal)| {
            let (want, view) = board.wants.get(key)?;
            let service = ServiceStatus {
                input: key.input.to_string(),
                service: key.service.0,
                label: want.programme.label.clone(),
                systems: hexadecimal(&want.programme.systems()),
                list: "refused",
                state: view.word(),
                since_ms: 0,
                trouble: if *view == View::Clear { String::new() } else { refusal.to_string() },
            };
            Some((index, service))
        });
        shown.collect()
    }

    /// Gives an order to a CAM. Never waits; what comes of it is seen in the reports.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn order(&self, name: &str, order: Order) -> Result<(), OrderError> {
        let berth = self.shared.berths.iter().find(|berth| berth.spec.name == name).ok_or(OrderError::Unknown)?;
        let status = lock(&berth.status);
        match &order {
            Order::Menu if !status.menu => return Err(Unable::NoMenu.into()),
            Order::Answer(number, reply) => {
                let screen = status.screen.as_ref().filter(|screen| screen.number == *number);
                screen.ok_or(Misfit::Gone).and_then(|screen| screen.object(reply)).map_err(Unable::from)?;
            }
            Order::Menu | Order::Close => {}
        }
        drop(status);
        let mut orders = lock(&berth.orders);
        if orders.len() >= ORDERS_MAX {
            return Err(OrderError::Busy);
        }
        orders.push_back(order);
        Ok(())
    }

    /// What an input wants of modules and how it comes out, in place of what it said before. Never waits.
    pub(super) fn post(&self, input: &Arc<str>, tuner: Option<&Arc<str>>, seen: Vec<(Programme, View)>) {
        let mut board = lock(&self.shared.board);
        if seen.is_empty() && board.wants.keys().all(|key| key.input != *input) {
            return;
        }
        board.wants.retain(|key, _| key.input != *input);
        if let Some(tuner) = tuner {
            for (programme, view) in seen {
                let tuner = Arc::clone(tuner);
                board.wants.insert(programme.key.clone(), (Want { programme, tuner }, view));
            }
        }
        self.settle(board);
    }

    /// What a module can do from now on.
    fn able(&self, index: usize, usable: Option<Vec<u16>>) {
        let mut board = lock(&self.shared.board);
        if board.usable[index] != usable {
            board.usable[index] = usable;
            self.settle(board);
        }
    }

    fn settle(&self, mut board: MutexGuard<'_, Board>) {
        let seat = |(berth, usable): (&Berth, &Option<Vec<u16>>)| Seat {
            tuners: berth.spec.tuners.clone(),
            systems: usable.clone(),
            services_max: berth.spec.pacing.services_max,
        };
        let seats: Vec<Seat> = self.shared.berths.iter().zip(&board.usable).map(seat).collect();
        let wants: Vec<Want> = board.wants.values().map(|(want, _)| want.clone()).collect();
        board.placed = assign(&wants, &seats, &board.placed);
        drop(board);
        self.shared.turn.fetch_add(1, Ordering::Release);
    }

    /// The services of a module and how they come out.
    fn services_of(&self, index: usize) -> Vec<(Programme, View)> {
        let board = lock(&self.shared.board);
        let here = board.wants.iter().filter(|(key, _)| board.placed.get(key) == Some(&Placing::At(index)));
        here.map(|(_, (want, view))| (want.programme.clone(), *view)).collect()
    }
}

fn hexadecimal(systems: &[u16]) -> Vec<String> {
    systems.iter().map(|system| format!("{system:04X}")).collect()
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
