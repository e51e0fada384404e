//! Which PID is scrambled with whose control words.
//!
//! A slot holds the even and the odd control word of one service, or of a group of PIDs that share them. PIDs point at
//! slots. How words are come by, when they change, and which PIDs a service has, is for others to know. Words are wiped
//! when replaced, forgotten or dropped.

use crate::packet::{PIDS, Parity};
use crate::schedule::Schedule;
use crate::word::ControlWord;

const NO_SLOT: u16 = u16::MAX;

/// A place for the two control words of a service. Not copied, so that a removed one is not used again.
#[derive(Debug, PartialEq, Eq)]
pub struct Slot(u16);

/// Slots, and the PIDs that point at them: at most 8,192 PIDs, and 65,535 slots of two words.
pub struct KeyRing {
    slot_of: Box<[u16; PIDS]>,
    /// Two for each slot: even, odd. Absent ones are all zero, see `present`.
    schedules: Vec<Schedule>,
    present: Vec<bool>,
    free: Vec<u16>,
}

impl Default for KeyRing {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyRing {
    /// A ring without slots.
    #[must_use]
    pub fn new() -> Self {
        Self { slot_of: Box::new([NO_SLOT; PIDS]), schedules: vec![], present: vec![], free: vec![] }
    }

    /// Makes a slot without words; none when there are 65,535 already.
    pub fn add(&mut self) -> Option<Slot> {
        if let Some(number) = self.free.pop() {
            return Some(Slot(number));
        }
        let number = u16::try_from(self.present.len() / 2).ok().filter(|&number| number != NO_SLOT)?;
        for _ in 0..2 {
            self.schedules.push(Schedule::empty());
            self.present.push(false);
        }
        Some(Slot(number))
    }

    /// Wipes a slot's words and takes its PIDs away.
    pub fn remove(&mut self, slot: Slot) {
        self.forget(&slot, Parity::Even);
        self.forget(&slot, Parity::Odd);
        self.slot_of.iter_mut().filter(|number| **number == slot.0).for_each(|number| *number = NO_SLOT);
        self.free.push(slot.0);
    }

    /// Points a PID (0 to 8,191; higher bits are ignored) at a slot, and no longer at another.
    pub fn assign(&mut self, pid: u16, slot: &Slot) {
        self.slot_of[usize::from(pid) % PIDS] = slot.0;
    }

    /// Points a PID at no slot.
    pub fn release(&mut self, pid: u16) {
        self.slot_of[usize::from(pid) % PIDS] = NO_SLOT;
    }

    /// Puts a control word into a slot, in place of the one before it. Packets of a later call use it.
    pub fn set(&mut self, slot: &Slot, parity: Parity, word: &ControlWord) {
        let at = index(slot.0, parity);
        if let Some(schedule) = self.schedules.get_mut(at) {
            *schedule = Schedule::new(word);
            self.present[at] = true;
        }
    }

    /// Wipes one of a slot's control words.
    pub fn forget(&mut self, slot: &Slot, parity: Parity) {
        let at = index(slot.0, parity);
        if let Some(schedule) = self.schedules.get_mut(at) {
            *schedule = Schedule::empty();
            self.present[at] = false;
        }
    }

    /// Which of [`Self::schedules`] belongs to a packet; none without slot or word.
    pub(crate) fn find(&self, pid: u16, parity: Parity) -> Option<usize> {
        let at = index(self.slot_of[usize::from(pid)], parity);
        self.present.get(at).copied().unwrap_or(false).then_some(at)
    }

    pub(crate) fn has_slot(&self, pid: u16) -> bool {
        self.slot_of[usize::from(pid)] != NO_SLOT
    }

    pub(crate) fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({} slots)", self.present.len() / 2 - self.free.len())
    }
}

fn index(slot: u16, parity: Parity) -> usize {
    usize::from(slot) * 2 + usize::from(parity == Parity::Odd)
}
