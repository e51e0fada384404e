//! Conditional access of one input: listens to its ECMs, asks cards, and descrambles its packets before anybody reads them.
//!
//! Glue between [`super::ca`], [`super::descramble`] and [`crate::card`]. It runs on the input's own thread, once for each
//! batch of packets, and waits for nothing: questions go into a card's inbox, answers are fetched from letter boxes. What
//! comes out clear is clear for every channel of the input and for its health; what stays scrambled is counted there.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use headend_media::{
    packet::{PACKET_BYTES, Packet, Pid, Scrambling},
    service::{ServiceId, Services},
};
use serde::Serialize;

use super::{
    ca::{CaReader, Ecm, Group, Inquiring, Reception, choose_seat, groups},
    descramble::{Descrambler, GroupState},
};
use crate::{
    cam::status::ServiceStatus,
    card::{Cards, Inquiry, Word, WordBox, Words, desk::SeatView, profile::Trouble},
    input::{Refinery, Wanted},
};

/// Numbers groups over all inputs of the process.
static GROUPS: AtomicU64 = AtomicU64::new(1);

/// A session word is put in again this often: a wrong one is thrown away, and the sender may be put right.
const BISS_AGAIN_MS: u64 = 1_000;

/// A session word and what it is for.
#[derive(Debug, Clone)]
pub struct BissSpec {
    /// The input's address, secrets masked.
    pub input: String,
    /// The service; none: every service.
    pub service: Option<ServiceId>,
    /// The word, checksum bytes included.
    pub word: Word,
}

/// How a scrambled service of an input stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessStatus {
    /// The input's address, secrets masked.
    pub input: String,
    /// The service.
    pub service: u16,
    /// CA_system_IDs it is announced with, in hexadecimal.
    pub systems: Vec<String>,
    /// `clear`, `scrambled`, or `quiet` while no scrambled packet was seen.
    pub state: &'static str,
    /// The card that was asked last.
    pub card: Option<String>,
    /// The CAM that is to descramble it.
    pub cam: Option<String>,
    /// Why it is scrambled; empty when it is not.
    pub trouble: String,
    /// Different ECMs seen.
    pub ecms: u64,
}

impl AccessStatus {
    /// A service that a CAM is to descramble.
    #[must_use]
    pub fn of_cam(cam: &str, service: &ServiceStatus) -> Self {
        Self {
            input: service.input.clone(),
            service: service.service,
            systems: service.systems.clone(),
            state: service.state,
            card: None,
            cam: Some(cam.to_owned()),
            trouble: service.trouble.clone(),
            ecms: 0,
        }
    }
}

/// Descrambling for all inputs of a node, and what it says of itself; clones are the same.
#[derive(Clone)]
pub struct Descrambling {
    cards: Cards,
    biss: Arc<[BissSpec]>,
    boards: Arc<Mutex<Vec<Board>>>,
}

type Board = std::sync::Weak<Mutex<Vec<AccessStatus>>>;

impl Descrambling {
    /// Descrambles with these cards and session words.
    #[must_use]
    pub fn new(cards: Cards, biss: Vec<BissSpec>) -> Self {
        Self { cards, biss: biss.into(), boards: Arc::default() }
    }

    /// Every scrambled service of every open input.
    #[must_use]
    pub fn reports(&self) -> Vec<AccessStatus> {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        boards.retain(|board| board.strong_count() > 0);
        let open: Vec<_> = boards.iter().filter_map(std::sync::Weak::upgrade).collect();
        drop(boards);
        open.iter().flat_map(|board| board.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// What an input passes its packets through.
    #[must_use]
    pub fn refinery(&self) -> Refinery {
        let shared = self.clone();
        Refinery::new(move |input: &str| {
            let board = Arc::new(Mutex::new(vec![]));
            let mut boards = shared.boards.lock().unwrap_or_else(PoisonError::into_inner);
            boards.push(Arc::downgrade(&board));
            drop(boards);
            let mut access = Access::new(input, shared.cards.clone(), board);
            access.biss = shared.biss.iter().filter(|spec| spec.input == input).cloned().collect();
            Box::new(move |packets, services, wanted, now_ms| access.refine(packets, services, wanted, now_ms))
        })
    }
}

/// One group of streams at work.
struct Line {
    group: Group,
    id: u64,
    inquiring: Inquiring,
    letters: WordBox,
    card: Option<String>,
    trouble: Option<Trouble>,
    ecms: u64,
}

struct Access {
    input: String,
    cards: Cards,
    /// Session words of this input.
    biss: Vec<BissSpec>,
    biss_ms: u64,
    board: Arc<Mutex<Vec<AccessStatus>>>,
    services: Arc<Services>,
    wanted: BTreeSet<Option<ServiceId>>,
    wanted_version: u64,
    turn: u64,
    views: Vec<SeatView>,
    reader: CaReader,
    lines: Vec<Line>,
    descrambler: Descrambler,
}

impl Access {
    fn new(input: &str, cards: Cards, board: Arc<Mutex<Vec<AccessStatus>>>) -> Self {
        Self {
            input: input.to_owned(),
            cards,
            biss: vec![],
            biss_ms: 0,
            board,
            services: Arc::default(),
            wanted: BTreeSet::new(),
            wanted_version: 0,
            turn: 0,
            views: vec![],
            reader: CaReader::default(),
            lines: vec![],
            descrambler: Descrambler::default(),
        }
    }

    fn refine(&mut self, packets: &mut [u8], services: &Arc<Services>, wanted: &Wanted, now_ms: u64) {
        self.follow(services, wanted);
        self.fetch(now_ms);
        if !self.reader.is_idle() {
            self.listen(packets, now_ms);
        }
        if self.lines.is_empty() {
            return;
        }
        if !self.biss.is_empty() && now_ms >= self.biss_ms + BISS_AGAIN_MS {
            self.biss_ms = now_ms;
            self.give_session_words();
        }
        let before: Vec<GroupState> = self.states();
        self.descrambler.descramble(packets, now_ms);
        if before != self.states() {
            self.tell();
        }
    }

    fn states(&self) -> Vec<GroupState> {
        self.lines.iter().map(|line| self.descrambler.state(&line.group.key)).collect()
    }

    /// Keeps up with services, wishes and cards; does nothing while none of them changed.
    fn follow(&mut self, services: &Arc<Services>, wanted: &Wanted) {
        let version = wanted.version();
        if version != self.wanted_version || !Arc::ptr_eq(services, &self.services) {
            (self.wanted, self.services, self.wanted_version) = (wanted.services(), Arc::clone(services), version);
            self.regroup();
        }
        let turn = self.cards.turn();
        if turn != self.turn {
            (self.turn, self.views) = (turn, self.cards.views());
            self.reader.forget_emms();
            self.lines.iter_mut().for_each(|line| line.inquiring.cards_changed());
            self.tell();
        }
    }

    fn regroup(&mut self) {
        let with_word = |service: ServiceId| self.session_word(service).is_some();
        let fresh = groups(&self.services, &self.wanted, &with_word);
        let ecm: BTreeSet<Pid> =
            fresh.iter().flat_map(|group| group.key.ecm.iter().map(|(_, pid)| Pid::new(*pid))).collect();
        let emm = if fresh.is_empty() { &[][..] } else { &self.services.emm };
        self.reader.listen(&ecm, emm);
        self.descrambler.set_groups(&fresh);
        let mut old = std::mem::take(&mut self.lines);
        for group in fresh {
            let kept = old.iter().position(|line| line.group.key == group.key).map(|index| old.swap_remove(index));
            self.lines.push(match kept {
                Some(line) => Line { group, ..line },
                None => Line {
                    group,
                    id: GROUPS.fetch_add(1, Ordering::Relaxed),
                    inquiring: Inquiring::default(),
                    letters: WordBox::default(),
                    card: None,
                    trouble: None,
                    ecms: 0,
                },
            });
        }
        self.give_session_words();
        self.tell();
    }

    /// The word of a service, one for it alone before one for all.
    fn session_word(&self, service: ServiceId) -> Option<&Word> {
        let of = |wanted: Option<ServiceId>| self.biss.iter().find(|spec| spec.service == wanted);
        of(Some(service)).or_else(|| of(None)).map(|spec| &spec.word)
    }

    /// Senders mark their packets even or odd as they like; the word is the same.
    fn give_session_words(&mut self) {
        for line in self.lines.iter().filter(|line| line.group.key.ecm.is_empty()) {
            let Some(word) = self.session_word(line.group.key.service).cloned() else { continue };
            self.descrambler.give(&line.group.key, Words { even: Some(word.clone()), odd: Some(word) });
        }
    }

    /// Takes answers.
    fn fetch(&mut self, now_ms: u64) {
        let mut news = false;
        for line in &mut self.lines {
            let Some((number, letter)) = line.letters.take() else { continue };
            let reception = match &letter {
                Ok(_) => Reception::Settled,
                Err(Trouble::NotEntitled | Trouble::Expired | Trouble::NotOurs(_)) => Reception::NotThisCard,
                Err(trouble) if trouble.is_final() => Reception::Settled,
                Err(_) => Reception::Again,
            };
            let current = line.inquiring.answered(number, reception, now_ms);
            match letter {
                // Also the answer to an ECM that is no longer the newest may hold the word that is needed now.
                Ok(words) => {
                    self.descrambler.give(&line.group.key, words);
                    line.trouble = None;
                }
                Err(trouble) if current => line.trouble = Some(trouble),
                Err(_) => {}
            }
            news = true;
        }
        if news {
            self.tell();
        }
    }

    /// Reads ECMs and EMMs, and asks.
    fn listen(&mut self, packets: &[u8], now_ms: u64) {
        let mut heard: Vec<(Ecm, bool)> = vec![];
        let cards = &self.cards;
        for bytes in packets.as_chunks::<PACKET_BYTES>().0 {
            let Some(packet) = Packet::new(bytes).filter(|packet| packet.scrambling() == Scrambling::Clear) else {
                continue;
            };
            let (ecm, emm) =
                (&mut |ecm, fresh| heard.push((ecm, fresh)), &mut |system, section: &[u8]| cards.emm(system, section));
            self.reader.push(&packet, ecm, emm);
        }
        for (ecm, fresh) in heard {
            self.ask(&ecm, fresh, now_ms);
        }
    }

    fn ask(&mut self, ecm: &Ecm, fresh: bool, now_ms: u64) {
        for line in &mut self.lines {
            let key = &line.group.key;
            if !key.ecm.iter().any(|(_, pid)| *pid == ecm.pid.value()) {
                continue;
            }
            line.ecms += u64::from(fresh);
            let chosen = choose_seat(&key.ecm, &self.views, &line.inquiring.refused(now_ms));
            // Another system's ECM of the same streams is not this card's.
            let Some((seat, system, _)) = chosen.filter(|(_, _, pid)| *pid == ecm.pid) else { continue };
            let Some(number) = line.inquiring.should_ask(seat, ecm, now_ms) else { continue };
            line.card = self.views.get(seat).map(|view| view.name.clone());
            let dark = !matches!(self.descrambler.state(key), GroupState::Clear | GroupState::Quiet);
            let section = Arc::clone(&ecm.section);
            let letters = line.letters.clone();
            self.cards.ask(seat, Inquiry { group: line.id, number, system, section, at_ms: now_ms, dark, letters });
        }
    }

    /// Puts what is known on the board.
    fn tell(&self) {
        let status = |line: &Line| {
            let key = &line.group.key;
            let state = self.descrambler.state(key);
            let trouble = match (state, &line.trouble) {
                (GroupState::Clear | GroupState::Quiet, None) => String::new(),
                (_, None) if key.ecm.is_empty() => "the session word in node.toml is not the sender's".to_owned(),
                (_, Some(trouble)) => headend_rt::chain(trouble),
                (_, None) if choose_seat(&key.ecm, &self.views, &BTreeSet::new()).is_none() => {
                    "no card answers for its CA systems".to_owned()
                }
                (GroupState::WrongWord, None) => "the card's control word is wrong".to_owned(),
                (_, None) => "no control word has come yet".to_owned(),
            };
            AccessStatus {
                input: self.input.clone(),
                service: key.service.0,
                systems: match key.ecm.is_empty() {
                    true => vec!["BISS".to_owned()],
                    false => key.ecm.iter().map(|(system, _)| format!("{system:04X}")).collect(),
                },
                state: match state {
                    GroupState::Quiet => "quiet",
                    GroupState::Clear => "clear",
                    GroupState::NoWord | GroupState::WrongWord => "scrambled",
                },
                card: line.card.clone(),
                cam: None,
                trouble,
                ecms: line.ecms,
            }
        };
        let list: Vec<AccessStatus> = self.lines.iter().map(status).collect();
        *self.board.lock().unwrap_or_else(PoisonError::into_inner) = list;
    }
}
