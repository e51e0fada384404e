//! Scrambled packets and control words in, clear packets out, in place: pure, with monotonic milliseconds as an argument.
//!
//! Packets of a group of streams are marked even or odd (ETSI TS 100 289 §5.1) and the two words take turns. A word is on
//! trial until a PES packet of the group starts as one must (00 00 01, ISO/IEC 13818-1 §2.4.3.7). What a wrong word made of
//! packets is undone: they leave as they came, marked scrambled, so that nobody packages noise, and nothing waits. A word
//! whose turn has passed is not used again, because its successor may be late; a successor that is early waits for its
//! turn. The kernels are `headend-csa` and `media`'s CISSA; who gives words is [`super::access`]'s.

use std::collections::BTreeMap;

use headend_csa::{ControlWord, Kernel, Parity, Slot, Verdict};
use headend_media::{
    cissa::{self, Cissa},
    crypt::Key128,
    packet::{PACKET_BYTES, Packet, Pid, Scrambling},
};
use zeroize::Zeroize;

use super::ca::{Group, GroupKey};
use crate::card::{Word, Words, word::Algorithm};

/// PES starts that must be wrong in a row, with none right, before a word is thrown away.
const BAD_MAX: u32 = 3;

/// After a change of parity, late packets of the old one are still taken for this long.
const GRACE_MS: u64 = 1_000;

/// No group.
const NONE: u16 = u16::MAX;

/// How a group stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupState {
    /// No scrambled packet was seen.
    #[default]
    Quiet,
    /// Packets come out clear.
    Clear,
    /// Packets stay scrambled: there is no word for them.
    NoWord,
    /// Packets stay scrambled: the word is wrong.
    WrongWord,
}

/// What a word has shown of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Trial { bad: u32 },
    Good { bad: u32 },
}

/// One parity of a group.
#[derive(Default)]
struct Turn {
    /// The word in the kernel; kept to know it again.
    word: Option<Word>,
    proof: Option<Proof>,
    /// The next word of this parity, come before the one in use has passed.
    early: Option<Word>,
    /// The stream has turned to this word; when it turns away, the word is over.
    used: bool,
}

struct Ring {
    slot: Slot,
    cissa: Cissa,
    even: Turn,
    odd: Turn,
    active: Option<Parity>,
    turned_ms: u64,
    /// Late packets of the parity before are no longer expected.
    settled: bool,
    /// A word of this group was right before: the next one is believed until shown wrong.
    trusted: bool,
    state: GroupState,
}

/// Descrambles one input.
pub struct Descrambler {
    csa: headend_csa::Descrambler,
    rings: Vec<Option<Ring>>,
    keys: BTreeMap<GroupKey, u16>,
    ring_of: Box<[u16]>,
    pes: Box<[bool]>,
    verdicts: Vec<Verdict>,
    marks: Vec<Option<(u16, Parity)>>,
    before: Vec<u8>,
}

impl Default for Descrambler {
    fn default() -> Self {
        Self::new(Kernel::best())
    }
}

impl Descrambler {
    /// No groups yet. It keeps about 400 kB, and the largest batch of packets once more while a word is on trial.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        Self {
            csa: headend_csa::Descrambler::new(kernel),
            rings: vec![],
            keys: BTreeMap::new(),
            ring_of: vec![NONE; Pid::COUNT].into_boxed_slice(),
            pes: vec![false; Pid::COUNT].into_boxed_slice(),
            verdicts: vec![],
            marks: vec![],
            before: vec![],
        }
    }

    /// These groups from now on; words of groups that stay are kept, others are wiped.
    pub fn set_groups(&mut self, groups: &[Group]) {
        self.ring_of.fill(NONE);
        self.pes.fill(false);
        for pid in 0..Pid::COUNT {
            self.csa.keys.release(u16::try_from(pid).unwrap_or(0));
        }
        let gone: Vec<GroupKey> =
            self.keys.keys().filter(|key| groups.iter().all(|group| group.key != **key)).cloned().collect();
        for key in gone {
            let ring = self.keys.remove(&key).and_then(|number| self.rings[usize::from(number)].take());
            if let Some(ring) = ring {
                self.csa.keys.remove(ring.slot);
            }
        }
        for group in groups {
            let Some(number) = self.ring(&group.key) else { continue };
            for pid in &group.pids {
                self.ring_of[pid.index()] = number;
                self.pes[pid.index()] = group.pes.contains(pid);
                if let Some(ring) = &self.rings[usize::from(number)] {
                    self.csa.keys.assign(pid.value(), &ring.slot);
                }
            }
        }
    }

    fn ring(&mut self, key: &GroupKey) -> Option<u16> {
        if let Some(number) = self.keys.get(key) {
            return Some(*number);
        }
        let free = self.rings.iter().position(Option::is_none).unwrap_or(self.rings.len());
        let number = u16::try_from(free).ok().filter(|number| *number != NONE)?;
        let ring = Ring {
            slot: self.csa.keys.add()?,
            cissa: Cissa::new(),
            even: Turn::default(),
            odd: Turn::default(),
            active: None,
            turned_ms: 0,
            settled: true,
            trusted: false,
            state: GroupState::Quiet,
        };
        if free == self.rings.len() {
            self.rings.push(None);
        }
        self.rings[free] = Some(ring);
        self.keys.insert(key.clone(), number);
        Some(number)
    }

    /// How a group stands; a group that is none is quiet.
    #[must_use]
    pub fn state(&self, key: &GroupKey) -> GroupState {
        let ring = self.keys.get(key).and_then(|number| self.rings[usize::from(*number)].as_ref());
        ring.map_or(GroupState::Quiet, |ring| ring.state)
    }

    /// Takes the words of a group's newest ECM.
    pub fn give(&mut self, key: &GroupKey, words: Words) {
        let Some(number) = self.keys.get(key) else { return };
        let Some(ring) = &mut self.rings[usize::from(*number)] else { return };
        for (parity, word) in [(Parity::Even, words.even), (Parity::Odd, words.odd)] {
            let Some(word) = word else { continue };
            let in_use = ring.active == Some(parity) || !ring.settled;
            let turn = ring.turn(parity);
            if turn.word.as_ref().is_some_and(|old| same(old, &word)) {
                continue;
            }
            if in_use && turn.used && matches!(turn.proof, Some(Proof::Good { .. })) {
                // The word in use is right, so this one is for the next turn.
                turn.early = Some(word);
            } else {
                install(&mut self.csa.keys, ring, parity, word);
            }
        }
    }

    /// Descrambles whole packets in place; what cannot be stays as it is.
    pub fn descramble(&mut self, packets: &mut [u8], now_ms: u64) {
        if !self.mark(packets, now_ms) {
            return;
        }
        let on_trial = |turn: &Turn| matches!(turn.proof, Some(Proof::Trial { .. } | Proof::Good { bad: 1.. }));
        let doubt = self.rings.iter().flatten().any(|ring| on_trial(&ring.even) || on_trial(&ring.odd));
        self.before.clear();
        if doubt {
            self.before.extend_from_slice(packets);
        }
        self.csa.descramble(packets, &mut self.verdicts);
        self.descramble_cissa(packets);
        self.look_at_starts(packets);
        self.undo(packets);
    }

    /// Notes group and parity of each scrambled packet, and follows the turns; false when there is nothing to do.
    fn mark(&mut self, packets: &[u8], now_ms: u64) -> bool {
        self.marks.clear();
        let mut any = false;
        for bytes in packets.as_chunks::<PACKET_BYTES>().0 {
            let mark = Packet::new(bytes).and_then(|packet| {
                let parity = match packet.scrambling() {
                    Scrambling::Even => Parity::Even,
                    Scrambling::Odd => Parity::Odd,
                    Scrambling::Clear | Scrambling::Reserved => return None,
                };
                let number = self.ring_of[packet.pid().index()];
                (number != NONE && !packet.tei()).then_some((number, parity))
            });
            if let Some((number, parity)) = mark
                && let Some(ring) = &mut self.rings[usize::from(number)]
            {
                any = true;
                if ring.active != Some(parity) {
                    (ring.active, ring.turned_ms, ring.settled) = (Some(parity), now_ms, false);
                    ring.turn(parity).used = true;
                }
            }
            self.marks.push(mark);
        }
        for ring in self.rings.iter_mut().flatten() {
            let over = !ring.settled && now_ms.saturating_sub(ring.turned_ms) > GRACE_MS;
            if let Some(active) = ring.active.filter(|_| over) {
                settle(&mut self.csa.keys, ring, opposite(active));
            }
        }
        any
    }

    fn descramble_cissa(&mut self, packets: &mut [u8]) {
        let each = packets.as_chunks_mut::<PACKET_BYTES>().0.iter_mut().zip(&self.marks).zip(&mut self.verdicts);
        for ((packet, mark), verdict) in each {
            let Some((number, _)) = mark else { continue };
            let Some(ring) = self.rings[usize::from(*number)].as_ref().filter(|_| *verdict == Verdict::NoKey) else {
                continue;
            };
            if ring.cissa.descramble(packet) == cissa::Outcome::Descrambled {
                *verdict = Verdict::Descrambled;
            }
        }
    }

    /// Judges words by the PES packets that start in this batch.
    fn look_at_starts(&mut self, packets: &[u8]) {
        let each = packets.as_chunks::<PACKET_BYTES>().0.iter().zip(&self.marks).zip(&self.verdicts);
        for ((bytes, mark), verdict) in each {
            let (Some((number, parity)), Verdict::Descrambled) = (mark, verdict) else { continue };
            let Some(packet) = Packet::new(bytes) else { continue };
            if !packet.unit_start() || !self.pes[packet.pid().index()] {
                continue;
            }
            let Some(ring) = &mut self.rings[usize::from(*number)] else { continue };
            let right = packet.payload().starts_with(&[0, 0, 1]);
            let turn = ring.turn(*parity);
            turn.proof = Some(match (turn.proof, right) {
                (_, true) => Proof::Good { bad: 0 },
                (Some(Proof::Good { bad }), false) => Proof::Good { bad: bad + 1 },
                (Some(Proof::Trial { bad }), false) => Proof::Trial { bad: bad + 1 },
                (None, false) => Proof::Trial { bad: 1 },
            });
            ring.trusted |= right;
        }
    }

    /// Puts packets back that a word in doubt has touched, throws wrong words away, and says how each group stands.
    fn undo(&mut self, packets: &mut [u8]) {
        let (mut left, mut done) = (vec![false; self.rings.len()], vec![false; self.rings.len()]);
        for (at, (mark, verdict)) in self.marks.iter().zip(&self.verdicts).enumerate() {
            let Some((number, parity)) = mark else { continue };
            let index = usize::from(*number);
            let Some(ring) = &mut self.rings[index] else { continue };
            let trusted = ring.trusted;
            let doubtful = match ring.turn(*parity).proof {
                Some(Proof::Good { bad }) => bad >= BAD_MAX,
                Some(Proof::Trial { bad }) => bad > 0 || !trusted,
                None => true,
            };
            let range = at * PACKET_BYTES..(at + 1) * PACKET_BYTES;
            if *verdict == Verdict::Descrambled && !doubtful {
                done[index] = true;
                continue;
            }
            left[index] = true;
            if let (Verdict::Descrambled, Some(before)) = (verdict, self.before.get(range.clone())) {
                packets[range].copy_from_slice(before);
            }
        }
        for (index, ring) in self.rings.iter_mut().enumerate() {
            let Some(ring) = ring else { continue };
            let mut wrong = false;
            for parity in [Parity::Even, Parity::Odd] {
                let bad = matches!(ring.turn(parity).proof,
                    Some(Proof::Good { bad } | Proof::Trial { bad }) if bad >= BAD_MAX);
                if bad {
                    wrong = true;
                    let early = ring.turn(parity).early.take();
                    forget(&mut self.csa.keys, ring, parity);
                    ring.trusted = false;
                    if let Some(word) = early {
                        install(&mut self.csa.keys, ring, parity, word);
                    }
                }
            }
            ring.state = match (left[index], done[index], ring.state) {
                (_, true, _) => GroupState::Clear,
                (true, false, _) if wrong => GroupState::WrongWord,
                (true, false, GroupState::WrongWord) => GroupState::WrongWord,
                (true, false, _) => GroupState::NoWord,
                (false, false, state) => state,
            };
        }
    }
}

impl Ring {
    fn turn(&mut self, parity: Parity) -> &mut Turn {
        match parity {
            Parity::Even => &mut self.even,
            Parity::Odd => &mut self.odd,
        }
    }
}

fn opposite(parity: Parity) -> Parity {
    match parity {
        Parity::Even => Parity::Odd,
        Parity::Odd => Parity::Even,
    }
}

fn cissa_parity(parity: Parity) -> cissa::Parity {
    match parity {
        Parity::Even => cissa::Parity::Even,
        Parity::Odd => cissa::Parity::Odd,
    }
}

/// Whether two words are the same; takes the same time whatever they are.
fn same(one: &Word, two: &Word) -> bool {
    let differ = one.expose().iter().zip(two.expose()).fold(0, |sum, (one, two)| sum | (one ^ two));
    one.algorithm() == two.algorithm() && differ == 0
}

/// Puts a word into its kernel, on trial.
fn install(keys: &mut headend_csa::KeyRing, ring: &mut Ring, parity: Parity, word: Word) {
    forget(keys, ring, parity);
    match word.algorithm() {
        Algorithm::Csa => {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word.expose());
            keys.set(&ring.slot, parity, &ControlWord::new(bytes));
            bytes.zeroize();
        }
        Algorithm::Cissa => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(word.expose());
            ring.cissa.set(cissa_parity(parity), &Key128::new(bytes));
            bytes.zeroize();
        }
    }
    let turn = ring.turn(parity);
    (turn.word, turn.proof, turn.used) = (Some(word), Some(Proof::Trial { bad: 0 }), false);
}

fn forget(keys: &mut headend_csa::KeyRing, ring: &mut Ring, parity: Parity) {
    keys.forget(&ring.slot, parity);
    ring.cissa.forget(cissa_parity(parity));
    *ring.turn(parity) = Turn::default();
}

/// The turn of this parity is over: its successor takes its place if it has come. Used again without one, the old word
/// would make noise of packets.
fn settle(keys: &mut headend_csa::KeyRing, ring: &mut Ring, parity: Parity) {
    ring.settled = true;
    match ring.turn(parity).early.take() {
        Some(word) => install(keys, ring, parity, word),
        None if ring.turn(parity).used => forget(keys, ring, parity),
        None => {}
    }
}

#[cfg(test)]
mod tests;
