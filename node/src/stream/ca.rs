//! Conditional access of one input, pure: which ECM belongs to which streams, what of it is new, which card is asked.
//!
//! The service watch of `media` gives CA_descriptors of PMT and CAT (ISO/IEC 13818-1 §2.6.16); here they become groups of
//! streams that share control words: a stream with descriptors of its own is a group, the others follow their service's.
//! ECMs repeat every 100 ms or so (ETSI ETR 289 §5.2); one is new when its bytes are, table_id's toggle (0x80, 0x81)
//! included. [`super::access`] drives it; cards are asked there, packets descrambled in [`super::descramble`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use headend_media::{
    packet::{Packet, Pid},
    section::SectionReader,
    service::{CaSystem, Service, ServiceId, Services, Stream, StreamKind},
};

use crate::card::desk::SeatView;

/// Groups of one input; a multiplex has some dozens.
pub const GROUPS_MAX: usize = 256;

/// EMM sections remembered as seen.
const EMMS_SEEN_MAX: usize = 256;

/// An ECM for which no answer came is asked again this long after, when it repeats.
const AGAIN_MS: u64 = 300;

/// A card that refused a group is left alone this long: what is shown may change to something it is entitled to.
const REFUSED_MS: u64 = 60_000;

/// A group of streams that share control words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its service.
    pub service: ServiceId,
    /// ECM PIDs and systems, in the order announced.
    pub ecm: Vec<(u16, u16)>,
}

/// Where the ECMs of a group are and which PIDs it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is known by.
    pub key: GroupKey,
    /// The PIDs its words are for.
    pub pids: BTreeSet<Pid>,
    /// Those of them that carry PES packets, whose start shows whether a word was right.
    pub pes: BTreeSet<Pid>,
}

/// The groups of the services that somebody wants; `None` among them stands for the lowest-numbered service. A service `with_word`
/// has a session word: all its streams are one group without ECMs, whatever is announced.
#[must_use]
pub fn groups(
    services: &Services,
    wanted: &BTreeSet<Option<ServiceId>>,
    with_word: &dyn Fn(ServiceId) -> bool,
) -> Vec<Group> {
    let first = services.list.keys().next().filter(|_| wanted.contains(&None));
    let named = wanted.iter().flatten().filter(|id| services.list.contains_key(id));
    let chosen: BTreeSet<&ServiceId> = first.into_iter().chain(named).collect();
    let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
    for (&id, service) in chosen.into_iter().filter_map(|id| services.list.get_key_value(id)) {
        let streams: Vec<_> = if with_word(id) {
            let stream = |stream: &Stream| (vec![], stream.pid, stream.kind() != StreamKind::Data);
            service.streams.iter().map(stream).collect()
        } else {
            scrambled_streams(service).collect()
        };
        for (ecm, pid, pes) in streams {
            let key = GroupKey { service: id, ecm };
            if groups.len() >= GROUPS_MAX && !groups.contains_key(&key) {
                continue;
            }
            let new = Group { key: key.clone(), pids: BTreeSet::new(), pes: BTreeSet::new() };
            let group = groups.entry(key).or_insert(new);
            group.pids.insert(pid);
            if pes {
                group.pes.insert(pid);
            }
        }
    }
    groups.into_values().collect()
}

/// Streams with their ECMs: system and PID.
fn scrambled_streams(service: &Service) -> impl Iterator<Item = (Vec<(u16, u16)>, Pid, bool)> {
    service.streams.iter().filter_map(|stream| {
        let own = if stream.ecm.is_empty() { &service.ecm } else { &stream.ecm };
        let ecm: Vec<_> = own.iter().map(|CaSystem { system, pid }| (*system, pid.value())).collect();
        (!ecm.is_empty()).then(|| (ecm, stream.pid, stream.kind() != StreamKind::Data))
    })
}

/// The card to ask: the first seat that answers for one of the group's systems and has not refused it. Seats are in the
/// order of the configuration, which is the operator's order of preference.
#[must_use]
pub fn choose_seat(ecm: &[(u16, u16)], seats: &[SeatView], refused: &BTreeSet<usize>) -> Option<(usize, u16, Pid)> {
    let able = |(index, seat): (usize, &SeatView)| {
        let &(system, pid) = ecm.iter().find(|(system, _)| seat.systems.contains(system))?;
        Some((index, system, Pid::new(pid)))
    };
    let free = seats.iter().enumerate().filter(|(index, _)| !refused.contains(index));
    free.into_iter().find_map(able)
}

/// What the sections of one PID say that is new.
#[derive(Debug, Default)]
struct Reading {
    reader: SectionReader,
    last: Option<Arc<[u8]>>,
    number: u64,
}

/// A new ECM, or an old one to be asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecm {
    /// The PID it came on.
    pub pid: Pid,
    /// Counts the different ECMs of the PID.
    pub number: u64,
    /// The whole section.
    pub section: Arc<[u8]>,
}

/// Reads ECMs and EMMs out of an input's packets. Memory: one section for each PID, [`EMMS_SEEN_MAX`] digests.
#[derive(Debug, Default)]
pub struct CaReader {
    ecm: BTreeMap<Pid, Reading>,
    emm: BTreeMap<Pid, (u16, SectionReader)>,
    seen: VecDeque<u64>,
}

impl CaReader {
    /// Listens on these PIDs from now on; what is known of PIDs that stay is kept.
    pub fn listen(&mut self, ecm: &BTreeSet<Pid>, emm: &[CaSystem]) {
        self.ecm.retain(|pid, _| ecm.contains(pid));
        for &pid in ecm {
            self.ecm.entry(pid).or_default();
        }
        self.emm.retain(|pid, (system, _)| emm.iter().any(|ca| ca.pid == *pid && ca.system == *system));
        for ca in emm {
            self.emm.entry(ca.pid).or_insert_with(|| (ca.system, SectionReader::default()));
        }
    }

    /// Whether it listens to anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ecm.is_empty() && self.emm.is_empty()
    }

    /// Takes a packet; tells each ECM (whether it is new), and each EMM that was not seen lately.
    pub fn push(&mut self, packet: &Packet<'_>, ecm: &mut dyn FnMut(Ecm, bool), emm: &mut dyn FnMut(u16, &[u8])) {
        let pid = packet.pid();
        if let Some(Reading { reader, last, number }) = self.ecm.get_mut(&pid) {
            reader.push(packet, &mut |section| {
                let Some(section) = section.ok().filter(|section| matches!(section[0], 0x80 | 0x81)) else { return };
                let fresh = last.as_deref() != Some(section);
                if fresh {
                    *number += 1;
                    *last = Some(section.into());
                }
                if let Some(section) = last {
                    ecm(Ecm { pid, number: *number, section: Arc::clone(section) }, fresh);
                }
            });
        }
        if let Some((system, reader)) = self.emm.get_mut(&pid) {
            let (system, seen) = (*system, &mut self.seen);
            reader.push(packet, &mut |section| {
                let Some(section) = section.ok().filter(|section| matches!(section[0], 0x82..=0x8F)) else { return };
                let digest = digest(section);
                if seen.contains(&digest) {
                    return;
                }
                if seen.len() >= EMMS_SEEN_MAX {
                    seen.pop_front();
                }
                seen.push_back(digest);
                emm(system, section);
            });
        }
    }

    /// The cards changed: EMMs are new to them.
    pub fn forget_emms(&mut self) {
        self.seen.clear();
    }
}

/// FNV-1a, 64 bits. A message that collides with an earlier one is told when the earlier one is forgotten.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

/// What was asked for a group, and what came of it.
#[derive(Debug, Default)]
pub struct Inquiring {
    /// Until when each seat that refused is left alone.
    refused: BTreeMap<usize, u64>,
    asked: Option<Asked>,
    /// Counts what was asked, over all ECM PIDs of the group.
    number: u64,
}

#[derive(Debug)]
struct Asked {
    pid: Pid,
    section: Arc<[u8]>,
    at_ms: u64,
    settled: bool,
    seat: usize,
}

/// How an answer is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// Words, or a no that stays a no for this ECM.
    Settled,
    /// This card has no right to it; another may.
    NotThisCard,
    /// It may work next time.
    Again,
}

impl Inquiring {
    /// Whether to ask `seat` about an ECM now: when it is another than the last, or the last was not answered for a while.
    /// Gives the number of the inquiry.
    pub fn should_ask(&mut self, seat: usize, ecm: &Ecm, now_ms: u64) -> Option<u64> {
        if let Some(asked) = &self.asked
            && asked.section == ecm.section
            && asked.pid == ecm.pid
            && asked.seat == seat
            && (asked.settled || now_ms.saturating_sub(asked.at_ms) < AGAIN_MS)
        {
            return None;
        }
        self.number += 1;
        let (pid, section) = (ecm.pid, Arc::clone(&ecm.section));
        self.asked = Some(Asked { pid, section, at_ms: now_ms, settled: false, seat });
        Some(self.number)
    }

    /// An answer came; says whether it is to the last inquiry.
    pub fn answered(&mut self, number: u64, reception: Reception, now_ms: u64) -> bool {
        let Some(asked) = self.asked.as_mut().filter(|_| number == self.number) else { return false };
        asked.settled = reception != Reception::Again;
        if reception == Reception::NotThisCard {
            self.refused.insert(asked.seat, now_ms + REFUSED_MS);
        }
        true
    }

    /// Seats that refused lately.
    #[must_use]
    pub fn refused(&self, now_ms: u64) -> BTreeSet<usize> {
        self.refused.iter().filter(|(_, until)| **until > now_ms).map(|(seat, _)| *seat).collect()
    }

    /// The cards changed: whoever refused may grant now.
    pub fn cards_changed(&mut self) {
        self.refused.clear();
        if let Some(asked) = &mut self.asked {
            asked.settled = false;
        }
    }
}

#[cfg(test)]
mod tests;
