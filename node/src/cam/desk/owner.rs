//! The one thread that has a card's interface open.
//!
//! Shell around [`Module`]s: finds the device, opens it while a module is in, reads and writes, carries orders in and
//! status out. It closes at once when the card is about to go: as long as the device is open, the driver cannot let go of
//! the card. A reset concerns all slots of a device, so it is made only while no service of any of them is healthy.

use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use headend_rt::{CancellationToken, Clock, chain};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Cams, Order, hexadecimal, lock};
use crate::cam::{
    module::{Module, Phase},
    slot::{SlotError, Slots, find},
    status::{CamCounts, CamState, CamStatus, ModuleStatus, ServiceStatus},
};

/// How often the device is looked for while it is not there.
const LOOK_MS: u64 = 1_000;
/// How often slots are looked at, and whether the card is there.
const SLOTS_MS: u64 = 250;
/// An open device with no module in any slot is closed after so long: an empty slot is no reason to keep a card.
const IDLE_MS: u64 = 1_500;
/// The longest wait of one turn.
const TURN_MS: u64 = 50;
/// Messages read and written in one turn: what more a module says waits.
const EXCHANGES_MAX: usize = 16;
/// Pause between two resets, growing while they do not help.
const RESET_MS_MIN: u64 = 20_000;
const RESET_MS_MAX: u64 = 600_000;

/// Drives the modules of one device.
pub(super) struct Owner {
    cams: Cams,
    /// The berths of the device, and the module of each.
    modules: Vec<(usize, Module)>,
    clock: Arc<dyn Clock>,
    sysfs: PathBuf,
    open: Option<Open>,
    look_ms: u64,
    turn: u64,
    resets: u64,
    reset_at_ms: u64,
    reset_pause_ms: u64,
}

struct Open {
    slots: Slots,
    found: crate::cam::slot::Found,
    slots_ms: u64,
    /// When a module was last in a slot.
    used_ms: u64,
    /// Modules that work since before it was opened may be in the middle of somebody else's dialogue.
    fresh: bool,
}

impl Owner {
    pub(super) fn new(cams: Cams, berths: Vec<usize>, clock: Arc<dyn Clock>, sysfs: &Path) -> Self {
        let module = |index: usize| {
            let spec = &cams.shared.berths[index].spec;
            (index, Module::new(spec.slot, spec.systems.clone(), spec.pacing.clone()))
        };
        let modules = berths.into_iter().map(module).collect();
        Self {
            cams,
            modules,
            clock,
            sysfs: sysfs.to_owned(),
            open: None,
            look_ms: 0,
            turn: 0,
            resets: 0,
            reset_at_ms: 0,
            reset_pause_ms: RESET_MS_MIN,
        }
    }

    /// The thread: until the token is cancelled.
    pub(super) fn run(&mut self, token: &CancellationToken) {
        let Some(mono) = self.cams.shared.mono else { return };
        while !token.is_cancelled() {
            let now_ms = mono.ms();
            for (index, _) in &self.modules {
                self.cams.shared.berths[*index].beat_ms.store(now_ms, Ordering::Release);
            }
            self.look(now_ms);
            self.follow(now_ms);
            self.obey();
            self.exchange(now_ms);
            self.consider_reset(now_ms);
            self.tell(now_ms);
            self.wait(mono.ms());
        }
    }

    fn wait(&self, now_ms: u64) {
        let due_ms = self.modules.iter().map(|(_, module)| module.due_ms()).min().unwrap_or(u64::MAX);
        let wait_ms = due_ms.saturating_sub(now_ms).clamp(1, TURN_MS);
        match &self.open {
            Some(open) => {
                let mut polled = [PollFd::new(open.slots.as_fd(), PollFlags::POLLIN)];
                // An interrupted wait is a wait that ended. A module that floods is not read faster than this.
                let _ = poll(&mut polled, PollTimeout::from(u16::try_from(wait_ms).unwrap_or(1)));
                std::thread::park_timeout(Duration::from_millis(1));
            }
            None => std::thread::park_timeout(Duration::from_millis(TURN_MS * 2)),
        }
    }

    fn note(&self, error: &SlotError, now_ms: u64) {
        for (index, _) in &self.modules {
            lock(&self.cams.shared.berths[*index].status).troubled(chain(error), now_ms);
        }
    }

    /// Opens, looks at the slots, and closes.
    fn look(&mut self, now_ms: u64) {
        let Some(open) = &mut self.open else {
            if now_ms >= self.look_ms {
                self.look_ms = now_ms + LOOK_MS;
                self.try_open(now_ms);
            }
            return;
        };
        if now_ms < open.slots_ms {
            return;
        }
        open.slots_ms = now_ms + SLOTS_MS;
        if !open.found.is_there() {
            return self.close(true, now_ms);
        }
        let (mut failed, fresh) = (None, std::mem::replace(&mut open.fresh, false));
        let states: Vec<_> =
            self.modules.iter().map(|(_, module)| open.slots.state(module.connection().saturating_sub(1))).collect();
        if fresh && states.iter().any(|state| matches!(state, Ok((_, true)))) {
            // Whoever had it before may have left a dialogue: it begins anew.
            failed = open.slots.reset().err();
        } else {
            for ((_, module), state) in self.modules.iter_mut().zip(states) {
                match state {
                    Ok((present, ready)) => {
                        module.slot((present, ready), now_ms);
                        open.used_ms = if present { now_ms } else { open.used_ms };
                    }
                    Err(error) => failed = Some(error),
                }
            }
        }
        let idle = now_ms >= open.used_ms + IDLE_MS;
        if let Some(error) = failed {
            self.note(&error, now_ms);
            self.close(true, now_ms);
        } else if idle {
            self.close(false, now_ms);
        }
    }

    fn try_open(&mut self, now_ms: u64) {
        let device = &self.cams.shared.berths[self.modules[0].0].spec.device;
        let found = find(&self.sysfs).into_iter().find(|found| found.is_at(device) && found.is_there());
        let opened = found.map(|found| (Slots::open(&found), found));
        match opened {
            Some((Ok(slots), found)) => {
                self.open = Some(Open { slots, found, slots_ms: 0, used_ms: now_ms, fresh: true });
            }
            Some((Err(error), _)) => {
                self.note(&error, now_ms);
                self.state_of_all(CamState::NoDevice, now_ms);
            }
            None => self.state_of_all(CamState::NoDevice, now_ms),
        }
    }

    fn state_of_all(&self, state: CamState, now_ms: u64) {
        for (index, _) in &self.modules {
            lock(&self.cams.shared.berths[*index].status).enter(state, now_ms);
        }
    }

    fn close(&mut self, gone: bool, now_ms: u64) {
        self.open = None;
        self.look_ms = now_ms + LOOK_MS;
        for (_, module) in &mut self.modules {
            module.pulled(now_ms);
        }
        if gone {
            self.state_of_all(CamState::NoDevice, now_ms);
        }
    }

    /// Takes what is wanted and seen from the board.
    fn follow(&mut self, now_ms: u64) {
        for (index, module) in &self.modules {
            self.cams.able(*index, module.usable());
        }
        let turn = self.cams.shared.turn.load(Ordering::Acquire);
        if turn == self.turn {
            return;
        }
        self.turn = turn;
        for (index, module) in &mut self.modules {
            let services = self.cams.services_of(*index);
            let programmes: Vec<_> = services.iter().map(|(programme, _)| programme.clone()).collect();
            module.list().set(&programmes, now_ms);
            for (programme, view) in services {
                module.list().see(&programme.key, view, now_ms);
            }
        }
    }

    fn obey(&mut self) {
        for (index, module) in &mut self.modules {
            let orders = std::mem::take(&mut *lock(&self.cams.shared.berths[*index].orders));
            for order in orders {
                // What the module showed when the order was given may be gone: then it means nothing any more.
                let _ = match order {
                    Order::Menu => module.ask_menu(),
                    Order::Answer(number, reply) => module.reply(number, &reply),
                    Order::Close => {
                        module.close_menu();
                        Ok(())
                    }
                };
            }
        }
    }

    fn exchange(&mut self, now_ms: u64) {
        let Some(open) = &mut self.open else { return };
        let utc = self.clock.now();
        let mut failed = None;
        for _ in 0..EXCHANGES_MAX {
            match open.slots.read() {
                Ok(Some((slot, message))) => {
                    let module = self.modules.iter_mut().find(|(_, one)| one.connection() == slot.saturating_add(1));
                    if let Some((_, module)) = module {
                        module.receive(message, now_ms, utc);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        for (_, module) in &mut self.modules {
            for _ in 0..EXCHANGES_MAX {
                let Some(message) = module.next(now_ms, utc) else { break };
                let connection = module.connection();
                if let Err(error) = open.slots.write((connection - 1, connection), &message) {
                    // The slot is looked at at once: the module may be gone. If not, its silence is counted.
                    open.slots_ms = 0;
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = failed {
            self.note(&error, now_ms);
        }
    }

    /// Resets the device when a module failed or a service is lost, and no service of the device is healthy.
    fn consider_reset(&mut self, now_ms: u64) {
        let Some(open) = &mut self.open else { return };
        let healthy = self.modules.iter().any(|(_, module)| module.services().any_healthy());
        if healthy {
            self.reset_pause_ms = RESET_MS_MIN;
        }
        let wants = |(index, module): &(usize, Module)| {
            let lost = module.phase() == Phase::Failed || module.services().hopeless();
            lost && self.cams.shared.berths[*index].spec.may_reset
        };
        if healthy || now_ms < self.reset_at_ms || !self.modules.iter().any(wants) {
            return;
        }
        self.resets += 1;
        self.reset_at_ms = now_ms + self.reset_pause_ms;
        self.reset_pause_ms = (self.reset_pause_ms * 2).min(RESET_MS_MAX);
        tracing::warn!(cam = self.cams.shared.berths[self.modules[0].0].spec.name, resets = self.resets, "cam reset");
        let result = open.slots.reset();
        (open.slots_ms, open.used_ms) = (now_ms + SLOTS_MS, now_ms);
        for (_, module) in &mut self.modules {
            module.pulled(now_ms);
        }
        if let Err(error) = result {
            self.note(&error, now_ms);
        }
    }

    /// Puts what is known where people see it.
    fn tell(&mut self, now_ms: u64) {
        let (open, resets) = (self.open.is_some(), self.resets);
        for (index, module) in &mut self.modules {
            let mut status = lock(&self.cams.shared.berths[*index].status);
            let state = match module.phase() {
                // Between two looks into an empty slot the device is closed.
                Phase::Empty if !open && status.state == CamState::NoDevice => CamState::NoDevice,
                Phase::Empty => CamState::Empty,
                Phase::Starting => CamState::Starting,
                Phase::Ready => CamState::Ready,
                Phase::Failed => CamState::Failed,
            };
            if state == CamState::Failed && status.state != state {
                status.troubled("the module does not answer".to_owned(), now_ms);
            }
            status.enter(state, now_ms);
            fill(&mut status, module, (resets, now_ms));
        }
    }
}

fn fill(status: &mut CamStatus, module: &Module, (resets, now_ms): (u64, u64)) {
    let (starts, timeouts, defects) = module.counts();
    let lists = module.services().sent();
    status.module = module.application().map(ModuleStatus::from);
    status.systems = hexadecimal(module.systems());
    status.menu = module.has_menu();
    if status.screen.as_ref() != module.screen() {
        status.screen = module.screen().cloned();
    }
    let each = module.services().standings(now_ms);
    status.services = each.into_iter().map(ServiceStatus::from).collect();
    status.counts = CamCounts { starts, resets, lists, timeouts, defects };
}
