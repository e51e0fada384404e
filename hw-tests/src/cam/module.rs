//! The CAM: what a module does in the order EN 50221 wants it, and what it noted of its host.
//!
//! It runs on a thread of its own, answers each command with a status (annex A.4.1.1), opens its sessions one after
//! another, asks for the time each second, and has a small menu. A service it was told of with `ok_descrambling` comes
//! out clear from then on. Its moods are those of bad modules.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::wire::{Came, Wire, open, tlv};
use crate::wait::let_pass;

const STEP: Duration = Duration::from_millis(2);
/// CA systems it is for.
const SYSTEMS: [u8; 4] = [0x05, 0x00, 0x0d, 0x05];

const RESOURCE_MANAGER: [u8; 4] = [0x00, 0x01, 0x00, 0x41];
const APPLICATION: [u8; 4] = [0x00, 0x02, 0x00, 0x41];
const ACCESS: [u8; 4] = [0x00, 0x03, 0x00, 0x41];
const CLOCK: [u8; 4] = [0x00, 0x24, 0x00, 0x41];
const MMI: [u8; 4] = [0x00, 0x40, 0x00, 0x41];

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It takes everything and says nothing.
    Mute,
    /// It takes nothing.
    Busy,
    /// It answers with rubbish.
    Rubbish,
}

/// A CA_PMT as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// When.
    pub at: Instant,
    /// `more`, `first`, `last`, `only`, `add`, `update`.
    pub management: &'static str,
    /// `program_number`.
    pub service: u16,
    /// `version_number`.
    pub version: u8,
    /// `ca_pmt_cmd_id` of the programme; 0 when it has none.
    pub command: u8,
    /// Descriptors of the programme, as bytes.
    pub descriptors: Vec<u8>,
    /// PIDs of its streams.
    pub streams: Vec<u16>,
}

/// What it noted.
#[derive(Debug, Default)]
pub struct Played {
    /// Resets of the slot, or insertions.
    pub resets: u32,
    /// When the connection was made.
    pub connected: Option<Instant>,
    /// When the host asked what it is.
    pub asked: Option<Instant>,
    /// Resources of the host's profile.
    pub profile: usize,
    /// CA_PMTs.
    pub lists: Vec<List>,
    /// Bodies of date_time, with the time they came.
    pub times: Vec<(Instant, Vec<u8>)>,
    /// What the technician did: `choice 1`, `text 1234`, `cancel`, `close`.
    pub answers: Vec<String>,
    /// Commands of the host so far.
    pub commands: u64,
    /// Why its thread ended.
    pub ended: Option<String>,
}

struct Shared {
    played: Mutex<Played>,
    mood: Mutex<Mood>,
    /// Bit n: service n comes out clear.
    clear: Arc<AtomicU32>,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A CAM for the pretended card's slot; it ends when dropped.
pub struct Module {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Module {
    /// Plays the module at a character device; `clear` is told which services come out clear.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn start(device: &Path, clear: Arc<AtomicU32>) -> Result<Self> {
        let wire = Wire::open(device)?;
        let (played, mood, stop) = (Mutex::default(), Mutex::new(Mood::Well), AtomicBool::new(false));
        let shared = Arc::new(Shared { played, mood, clear, stop });
        let mut player = Player { wire, shared: Arc::clone(&shared), talk: Talk::default(), noise: 1 };
        let run = move || {
            let ended = player.run().map_err(|error| format!("{error:#}"));
            lock(&player.shared.played).ended = ended.err();
        };
        let thread = std::thread::Builder::new().name("cam".into()).spawn(run).context("start the CAM's thread")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Behaves so from now on.
    pub fn mood(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }

    /// What it noted.
    pub fn played(&self) -> MutexGuard<'_, Played> {
        lock(&self.shared.played)
    }

    /// Forgets what it noted; nothing comes out clear any more, as after pulling it.
    pub fn forget(&self) {
        *lock(&self.shared.played) = Played::default();
        self.shared.clear.store(0, Ordering::Relaxed);
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The conversation since the last reset.
#[derive(Default)]
struct Talk {
    /// The connection, once made.
    id: Option<u8>,
    /// Bytes of a message that came in parts.
    parts: Vec<u8>,
    /// What it wants to say, one message for each time the host fetches.
    say: VecDeque<Vec<u8>>,
    /// Sessions granted: number, resource.
    sessions: Vec<([u8; 2], [u8; 4])>,
}

struct Player {
    wire: Wire,
    shared: Arc<Shared>,
    talk: Talk,
    noise: u32,
}

impl Player {
    fn run(&mut self) -> Result<()> {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let mood = *lock(&self.shared.mood);
            let came = if mood == Mood::Busy { None } else { self.wire.take()? };
            match came {
                Some(Came::Reset) => {
                    self.talk = Talk::default();
                    self.shared.clear.store(0, Ordering::Relaxed);
                    lock(&self.shared.played).resets += 1;
                }
                Some(Came::Message(message)) => {
                    lock(&self.shared.played).commands += 1;
                    match mood {
                        Mood::Well => self.command(&message)?,
                        Mood::Rubbish => {
                            let rubbish = self.rubbish();
                            self.wire.send(rubbish[0], &rubbish[1..])?;
                        }
                        Mood::Mute | Mood::Busy => {}
                    }
                }
                None => let_pass(STEP),
            }
        }
        Ok(())
    }

    /// Bytes without sense, now and then behind a head that has some.
    fn rubbish(&mut self) -> Vec<u8> {
        let mut next = || {
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            self.noise.to_be_bytes()[0]
        };
        let length = 2 + usize::from(next());
        let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        match next() % 4 {
            0 => bytes.splice(0..2.min(length), [1, 0xa0, 0x82, 0xff, 0xff, 1]).for_each(drop),
            1 => bytes.splice(0..2.min(length), [1, 0xa0, 6, 1, 0x90, 2, 0, next() % 8, 0x9f]).for_each(drop),
            2 => bytes.splice(0..2.min(length), [1, 0x80, 2, 1, 0x80, 0xa1, 0x7f, 1]).for_each(drop),
            _ => bytes[0] = 1,
        }
        bytes
    }

    /// One command of the host, and the answer with the status at its end.
    fn command(&mut self, command: &[u8]) -> Result<()> {
        let Some((body, _)) = open(1, command) else { return Ok(()) };
        let Some((&id, data)) = body.split_first() else { return Ok(()) };
        let mut answer = vec![];
        match command[0] {
            0x82 => {
                self.talk = Talk { id: Some(id), ..Talk::default() };
                self.talk.say.push_back(tlv(&[0x91], &RESOURCE_MANAGER));
                lock(&self.shared.played).connected = Some(Instant::now());
                answer.extend(tlv(&[0x83], &[id]));
            }
            _ if self.talk.id != Some(id) => return Ok(()),
            0x81 => {
                if let Some(message) = self.talk.say.pop_front() {
                    // Longer than a fragment, so that the link has something to put together.
                    answer.extend(tlv(&[0xa0], &[&[id], &message[..]].concat()));
                }
            }
            0xa1 => self.talk.parts.extend_from_slice(data),
            0xa0 => {
                self.talk.parts.extend_from_slice(data);
                let message = std::mem::take(&mut self.talk.parts);
                self.message(&message);
            }
            _ => {}
        }
        let more = if self.talk.say.is_empty() { 0 } else { 0x80 };
        answer.extend(tlv(&[0x80], &[id, more]));
        self.wire.send(id, &answer)
    }

    fn message(&mut self, message: &[u8]) {
        match *message {
            [0x92, 7, 0, a, b, c, d, high, low] => {
                self.talk.sessions.push(([high, low], [a, b, c, d]));
                match [a, b, c, d] {
                    CLOCK => self.tell(CLOCK, [0x9f, 0x84, 0x40], &[1]),
                    MMI => self.menu(),
                    _ => {}
                }
            }
            [0x90, 2, _, _, ref object @ ..] if object.len() > 3 => {
                let tag = [object[0], object[1], object[2]];
                if let Some((body, _)) = open(3, object) {
                    self.object(tag, body);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, resource: [u8; 4], tag: [u8; 3], body: &[u8]) {
        if let Some((session, _)) = self.talk.sessions.iter().find(|(_, of)| *of == resource) {
            self.talk.say.push_back([&[0x90, 2], &session[..], &tlv(&tag, body)].concat());
        }
    }

    fn object(&mut self, tag: [u8; 3], body: &[u8]) {
        match tag {
            // The host asks first; then it is the module's turn.
            [0x9f, 0x80, 0x10] => self.tell(RESOURCE_MANAGER, [0x9f, 0x80, 0x11], &[]),
            [0x9f, 0x80, 0x12] => self.tell(RESOURCE_MANAGER, [0x9f, 0x80, 0x10], &[]),
            [0x9f, 0x80, 0x11] => {
                lock(&self.shared.played).profile = body.len() / 4;
                for wanted in [APPLICATION, ACCESS, CLOCK] {
                    if body.chunks(4).any(|resource| resource == wanted) {
                        self.talk.say.push_back(tlv(&[0x91], &wanted));
                    }
                }
            }
            [0x9f, 0x80, 0x20] => {
                lock(&self.shared.played).asked = Some(Instant::now());
                self.tell(APPLICATION, [0x9f, 0x80, 0x21], b"\x01\x48\x44\x00\x01\x0bHeadend CAM");
            }
            [0x9f, 0x80, 0x30] => self.tell(ACCESS, [0x9f, 0x80, 0x31], &SYSTEMS),
            [0x9f, 0x80, 0x32] => self.list(body),
            [0x9f, 0x80, 0x22] => self.talk.say.push_back(tlv(&[0x91], &MMI)),
            [0x9f, 0x84, 0x41] => lock(&self.shared.played).times.push((Instant::now(), body.to_vec())),
            [0x9f, 0x88, 0x0b] => {
                lock(&self.shared.played).answers.push(format!("choice {}", body.first().copied().unwrap_or(255)));
                match body.first() {
                    Some(1) => self.tell(MMI, [0x9f, 0x88, 0x0c], &texts(&["Card", "", "", "Number 1234", "Valid"])),
                    Some(2) => self.tell(MMI, [0x9f, 0x88, 0x07], b"\x01\x04PIN?"),
                    _ => self.menu(),
                }
            }
            [0x9f, 0x88, 0x08] => {
                let text = String::from_utf8_lossy(body.get(1..).unwrap_or_default()).into_owned();
                let what = if body.first() == Some(&1) { format!("text {text}") } else { "cancel".to_owned() };
                lock(&self.shared.played).answers.push(what);
                self.menu();
            }
            [0x9f, 0x88, 0x00] => {
                lock(&self.shared.played).answers.push("close".to_owned());
                let at = self.talk.sessions.iter().position(|(_, resource)| *resource == MMI);
                if let Some((session, _)) = at.map(|at| self.talk.sessions.remove(at)) {
                    self.talk.say.push_back(tlv(&[0x95], &session));
                }
            }
            _ => {}
        }
    }

    /// A menu of many words: longer than a fragment of the link.
    fn menu(&mut self) {
        let long = "x".repeat(300);
        let menu = texts(&["Headend CAM", "main menu", &long, "Card", "Pin code", "Back"]);
        self.tell(MMI, [0x9f, 0x88, 0x09], &menu);
    }

    fn list(&self, body: &[u8]) {
        let Some(list) = read(body) else { return };
        let bit = 1 << list.service.min(31);
        match (list.management, list.command) {
            ("first" | "only", 1) => self.shared.clear.store(bit, Ordering::Relaxed),
            (_, 1) => drop(self.shared.clear.fetch_or(bit, Ordering::Relaxed)),
            _ => drop(self.shared.clear.fetch_and(!bit, Ordering::Relaxed)),
        }
        lock(&self.shared.played).lists.push(list);
    }
}

/// The number of entries and all texts (EN 50221 §8.6.5.1).
fn texts(all: &[&str]) -> Vec<u8> {
    let count = u8::try_from(all.len() - 3).unwrap_or(0);
    let texts = all.iter().flat_map(|text| tlv(&[0x9f, 0x88, 0x03], text.as_bytes()));
    std::iter::once(count).chain(texts).collect()
}

/// Reads a CA_PMT (EN 50221 §8.4.3.4).
fn read(body: &[u8]) -> Option<List> {
    let management = ["more", "first", "last", "only", "add", "update"].get(usize::from(*body.first()?))?;
    let (service, version) = (u16::from_be_bytes([*body.get(1)?, *body.get(2)?]), body.get(3)? >> 1 & 0x1f);
    let length = |at: usize| Some(usize::from(u16::from_be_bytes([*body.get(at)? & 0x0f, *body.get(at + 1)?])));
    let of_programme = body.get(6..6 + length(4)?)?;
    let (command, descriptors) = of_programme.split_first().map_or((0, &[][..]), |(command, rest)| (*command, rest));
    let (mut at, mut streams) = (6 + of_programme.len(), vec![]);
    while at < body.len() {
        streams.push(u16::from_be_bytes([*body.get(at + 1)? & 0x1f, *body.get(at + 2)?]));
        at += 5 + length(at + 3)?;
    }
    (at == body.len()).then(|| List {
        at: Instant::now(),
        management,
        service,
        version,
        command,
        descriptors: descriptors.to_vec(),
        streams,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_pmt_is_read_to_its_last_byte() {
        let body = [3, 0, 1, 0xc1, 0xf0, 7, 1, 9, 4, 5, 0, 0xe1, 0xf0, 2, 0xe0, 0x50, 0xf0, 0];
        let list = read(&body).unwrap();
        assert_eq!((list.management, list.service, list.command, list.version), ("only", 1, 1, 0));
        assert_eq!((list.descriptors.as_slice(), list.streams.as_slice()), (&body[7..13], &[0x50][..]));
        assert!(read(&body[..17]).is_none() && read(&[&body[..], &[1]].concat()).is_none());
    }
}
