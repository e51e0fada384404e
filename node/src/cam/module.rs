//! One module in one slot: all layers of the common interface together (EN 50221, ETSI TS 101 699, R206-001).
//!
//! Pure: what the slot and the module say, monotonic milliseconds and the wall clock in; bytes to write out. The order of a
//! start: connection, resource manager and the two profiles, application information, conditional access support; then
//! the module is ready and gets its [`ServiceList`]. It has [`START_MS`] for that. Whatever the module sends, memory is
//! bounded by the layers below and nothing panics; what makes no sense is counted. [`super::desk`] drives it.

use jiff::Timestamp;

use super::{
    apdu::{self, Joined, Joiner, tag},
    ca_pmt,
    link::{Link, LinkEvent},
    list::{Pacing, ServiceList},
    screen::{Dialogue, Heard, Misfit, Reply, Screen},
    session::{RESOURCES, Resource, SessionEvent, Sessions},
};
use headend_media::{
    text::{CodeTable, decode},
    time::to_mjd_bcd,
};

/// From the moment a module is there until it must have said what it is and which systems it has.
pub const START_MS: u64 = 15_000;
/// CA systems of one module that are read.
const SYSTEMS_MAX: usize = 256;
/// Characters of a module's name that are shown.
const LABEL_CHARS_MAX: usize = 64;

/// How a module is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// None is in the slot.
    #[default]
    Empty,
    /// It is there, and has not said yet what it can.
    Starting,
    /// It works.
    Ready,
    /// It did not start in time, or went silent.
    Failed,
}

/// What a module is (EN 50221 §8.4.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// `application_type`: 1 conditional access, 2 programme guide.
    pub kind: u8,
    /// `application_manufacturer`.
    pub maker: u16,
    /// `manufacturer_code`.
    pub code: u16,
    /// `menu_string`.
    pub label: String,
}

/// A dated wish for the time of day, over one session.
#[derive(Debug, Clone, Copy)]
struct TimeWish {
    session: u16,
    every_ms: u64,
    next_ms: u64,
}

/// Why a technician's wish cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// The module takes no question for its menu.
    #[error("the module is not ready, or has no menu")]
    NoMenu,
    /// The reply does not fit.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// One slot's module.
#[derive(Debug)]
pub struct Module {
    link: Link,
    sessions: Sessions,
    joiner: Joiner,
    dialogue: Dialogue,
    times: Vec<TimeWish>,
    phase: Phase,
    deadline_ms: u64,
    application: Option<Application>,
    systems: Vec<u16>,
    /// CA systems the operator allows; empty: all.
    allowed: Vec<u16>,
    list: ServiceList,
    starts: u64,
    defects: u64,
}

impl Module {
    /// No module in slot `slot` yet.
    #[must_use]
    pub fn new(slot: u8, allowed: Vec<u16>, pacing: Pacing) -> Self {
        Self {
            link: Link::new(slot),
            sessions: Sessions::default(),
            joiner: Joiner::default(),
            dialogue: Dialogue::default(),
            times: vec![],
            phase: Phase::Empty,
            deadline_ms: 0,
            application: None,
            systems: vec![],
            allowed,
            list: ServiceList::new(pacing),
            starts: 0,
            defects: 0,
        }
    }

    /// How it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What it is, when it said so.
    #[must_use]
    pub fn application(&self) -> Option<&Application> {
        self.application.as_ref()
    }

    /// CA systems it announced.
    #[must_use]
    pub fn systems(&self) -> &[u16] {
        &self.systems
    }

    /// Announced and allowed CA systems, while it takes services.
    #[must_use]
    pub fn usable(&self) -> Option<Vec<u16>> {
        let usable =
            || self.systems.iter().copied().filter(|one| self.allowed.is_empty() || self.allowed.contains(one));
        (self.phase == Phase::Ready).then(|| usable().collect())
    }

    /// What it shows to the technician.
    #[must_use]
    pub fn screen(&self) -> Option<&Screen> {
        self.dialogue.screen()
    }

    /// Whether it takes a question for its menu.
    #[must_use]
    pub fn has_menu(&self) -> bool {
        self.link.is_open() && self.sessions.of(Resource::ApplicationInformation).is_some()
    }

    /// Its services.
    pub fn list(&mut self) -> &mut ServiceList {
        &mut self.list
    }

    /// Its services, to be read.
    #[must_use]
    pub fn services(&self) -> &ServiceList {
        &self.list
    }

    /// Starts, silences, things that made no sense.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.starts, self.link.timeouts(), self.defects)
    }

    /// The connection's number, which goes before what is written.
    #[must_use]
    pub fn connection(&self) -> u8 {
        self.link.id()
    }

    /// What the kernel says of the slot: a module is there, its link works.
    pub fn slot(&mut self, (present, ready): (bool, bool), now_ms: u64) {
        match (self.phase, present, ready) {
            (Phase::Empty, true, _) => {
                self.phase = Phase::Starting;
                self.deadline_ms = now_ms + START_MS;
                self.starts += 1;
            }
            (Phase::Starting | Phase::Ready | Phase::Failed, false, _) => self.pulled(now_ms),
            // The kernel lost the link of a module that stayed: it begins anew when the link is back.
            (Phase::Ready | Phase::Failed, true, false) => {
                self.pulled(now_ms);
                self.slot((true, false), now_ms);
            }
            (Phase::Starting, true, false) if self.link.is_started() => {
                self.link.stop();
                self.forget(now_ms);
            }
            _ => {}
        }
        if ready && self.phase == Phase::Starting && !self.link.is_started() {
            self.link.start(now_ms);
        }
    }

    /// The module is gone, or is about to be reset.
    pub fn pulled(&mut self, now_ms: u64) {
        self.link.stop();
        self.forget(now_ms);
        self.phase = Phase::Empty;
    }

    fn forget(&mut self, now_ms: u64) {
        self.sessions.clear();
        self.joiner.clear();
        self.dialogue.clear();
        self.times.clear();
        self.application = None;
        self.systems.clear();
        self.list.lost(now_ms);
    }

    /// Takes what one read gave, without slot and connection number.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64, utc: Timestamp) {
        // Events are gathered first: an answer goes through the link that is telling them.
        let mut messages: Vec<Vec<u8>> = vec![];
        let (mut closed, mut defects) = (false, 0);
        self.link.receive(bytes, &mut |event| match event {
            LinkEvent::Opened => {}
            LinkEvent::Closed => closed = true,
            LinkEvent::Message(message) => messages.push(message.to_vec()),
            LinkEvent::Defect => defects += 1,
        });
        self.defects += defects;
        for message in messages {
            self.message(&message, now_ms, utc);
        }
        if closed {
            self.closed(now_ms);
        }
    }

    /// The connection is gone; it is made again, and the module has its time to start.
    fn closed(&mut self, now_ms: u64) {
        self.forget(now_ms);
        if self.phase == Phase::Ready {
            (self.phase, self.deadline_ms) = (Phase::Starting, now_ms + START_MS);
        }
    }

    /// What to write now; call again until it gives nothing.
    pub fn next(&mut self, now_ms: u64, utc: Timestamp) -> Option<Vec<u8>> {
        if self.phase == Phase::Starting && now_ms >= self.deadline_ms {
            self.phase = Phase::Failed;
        }
        if let Some(farewell) = self.link.farewell() {
            return Some(farewell);
        }
        self.tell_time(now_ms, utc);
        self.tell_services(now_ms);
        let mut closed = false;
        let command = self.link.next(now_ms, &mut |event| closed |= event == LinkEvent::Closed);
        if closed {
            self.closed(now_ms);
        }
        command
    }

    fn tell_time(&mut self, now_ms: u64, utc: Timestamp) {
        let due: Vec<u16> = self.times.iter().filter(|wish| now_ms >= wish.next_ms).map(|wish| wish.session).collect();
        for session in due {
            self.send_time(session, utc);
        }
        for wish in self.times.iter_mut().filter(|wish| now_ms >= wish.next_ms) {
            wish.next_ms = now_ms + wish.every_ms;
        }
    }

    fn send_time(&mut self, session: u16, utc: Timestamp) {
        // Out of the range of the field is beyond 2038-04-22: no time is better than a wrong one.
        if let Some(time) = to_mjd_bcd(utc) {
            self.send(session, tag::TIME, &time);
        }
    }

    fn tell_services(&mut self, now_ms: u64) {
        let Some(session) = self.sessions.of(Resource::ConditionalAccess).filter(|_| self.phase == Phase::Ready) else {
            return;
        };
        for body in self.list.next(now_ms) {
            self.send(session, tag::CA_PMT, &body);
        }
    }

    /// When [`Self::next`] is worth a call again, at the latest.
    #[must_use]
    pub fn due_ms(&self) -> u64 {
        self.link.due_ms()
    }

    fn send(&mut self, session: u16, tag: u32, body: &[u8]) {
        if !self.link.send(&Sessions::message(session, &apdu::object(tag, body))) {
            self.defects += 1;
        }
    }

    fn message(&mut self, message: &[u8], now_ms: u64, utc: Timestamp) {
        let (event, answer) = self.sessions.receive(message);
        if answer.is_some_and(|answer| !self.link.send(&answer)) {
            self.defects += 1;
        }
        match event {
            SessionEvent::Opened(session, resource) => match resource {
                Resource::ResourceManager => self.send(session, tag::PROFILE_ENQUIRY, &[]),
                Resource::ApplicationInformation => self.send(session, tag::APPLICATION_ENQUIRY, &[]),
                Resource::ConditionalAccess => self.send(session, tag::CA_ENQUIRY, &[]),
                Resource::DateTime | Resource::Mmi => {}
            },
            SessionEvent::Closed(session, resource) => self.session_closed(session, resource, now_ms),
            SessionEvent::Body(session, resource, body) => {
                let mut rest = body;
                while let Some((tag, body, behind)) = apdu::split(rest) {
                    self.object((session, resource), (tag, body), now_ms, utc);
                    rest = behind;
                }
                self.defects += u64::from(!rest.is_empty());
            }
            SessionEvent::Defect => self.defects += 1,
        }
    }

    fn session_closed(&mut self, session: u16, resource: Resource, now_ms: u64) {
        match resource {
            Resource::Mmi => {
                self.dialogue.clear();
                self.joiner.clear();
            }
            Resource::DateTime => self.times.retain(|wish| wish.session != session),
            // Without it nothing can be told: the module has its time to open it again.
            Resource::ConditionalAccess if self.phase == Phase::Ready => {
                self.systems.clear();
                self.list.lost(now_ms);
                (self.phase, self.deadline_ms) = (Phase::Starting, now_ms + START_MS);
            }
            _ => {}
        }
    }

    fn object(&mut self, (session, resource): (u16, Resource), (tag, body): (u32, &[u8]), now_ms: u64, utc: Timestamp) {
        match (resource, tag) {
            (Resource::ResourceManager, tag::PROFILE_ENQUIRY) => {
                let profile: Vec<u8> = RESOURCES.iter().flat_map(|resource| resource.id().to_be_bytes()).collect();
                self.send(session, tag::PROFILE, &profile);
            }
            (Resource::ResourceManager, tag::PROFILE) => self.send(session, tag::PROFILE_CHANGE, &[]),
            // A module that gained a resource; none of them is of use to a head-end.
            (Resource::ResourceManager, tag::PROFILE_CHANGE) => {}
            (Resource::ApplicationInformation, tag::APPLICATION) => match application(body) {
                Some(application) => self.application = Some(application),
                None => self.defects += 1,
            },
            (Resource::ConditionalAccess, tag::CA) => self.announced(body, now_ms),
            (Resource::ConditionalAccess, tag::CA_PMT_REPLY) => match ca_pmt::reply(body) {
                Some((service, verdict)) => self.list.said(service.0, verdict),
                None => self.defects += 1,
            },
            (Resource::DateTime, tag::TIME_ENQUIRY) => {
                self.times.retain(|wish| wish.session != session);
                // A second is the finest that can be wished for; 0 wishes for one answer (EN 50221 §8.5.2.1).
                let every_ms = u64::from(body.first().copied().unwrap_or(0)) * 1_000;
                if every_ms > 0 {
                    self.times.push(TimeWish { session, every_ms, next_ms: now_ms + every_ms });
                }
                self.send_time(session, utc);
            }
            (Resource::Mmi, tag) => match self.joiner.push(tag, body) {
                Joined::Whole(tag, body) => match self.dialogue.hear(tag, &body) {
                    Heard::Screen => {}
                    Heard::Answer(answer) => self.answer(session, &answer),
                    Heard::Defect => self.defects += 1,
                },
                Joined::Part => {}
                Joined::TooLong => self.defects += 1,
            },
            _ => self.defects += 1,
        }
    }

    fn answer(&mut self, session: u16, object: &[u8]) {
        if !self.link.send(&Sessions::message(session, object)) {
            self.defects += 1;
        }
    }

    fn announced(&mut self, body: &[u8], now_ms: u64) {
        let systems = body.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two));
        let mut systems: Vec<u16> = systems.take(SYSTEMS_MAX).collect();
        systems.sort_unstable();
        systems.dedup();
        if self.phase == Phase::Ready && systems == self.systems {
            return;
        }
        // A module that tells other systems than before, with another card in it, is told of its services anew.
        self.list.lost(now_ms);
        (self.systems, self.phase) = (systems, Phase::Ready);
        if let Some(usable) = self.usable() {
            self.list.ready(usable, now_ms);
        }
    }

    /// Asks for the module's menu.
    ///
    /// # Errors
    /// [`Unable::NoMenu`].
    pub fn ask_menu(&mut self) -> Result<(), Unable> {
        let session = self.sessions.of(Resource::ApplicationInformation).filter(|_| self.link.is_open());
        self.send(session.ok_or(Unable::NoMenu)?, tag::ENTER_MENU, &[]);
        Ok(())
    }

    /// What the technician says to a screen.
    ///
    /// # Errors
    /// [`Unable`], in words for the technician.
    pub fn reply(&mut self, number: u64, reply: &Reply) -> Result<(), Unable> {
        let session = self.sessions.of(Resource::Mmi).ok_or(Misfit::Gone)?;
        let object = self.dialogue.reply(number, reply)?;
        self.answer(session, &object);
        Ok(())
    }

    /// Closes the dialogue, whether there is one or not.
    pub fn close_menu(&mut self) {
        if let Some(session) = self.sessions.of(Resource::Mmi) {
            self.send(session, tag::CLOSE_MMI, &[0]);
        }
        self.dialogue.clear();
        self.joiner.clear();
    }
}

fn application(body: &[u8]) -> Option<Application> {
    let (&[kind, maker_high, maker_low, code_high, code_low, length], text) = body.split_first_chunk()?;
    // Some modules count a byte too many: what is there is the name.
    let text = &text[..text.len().min(length.into())];
    let label = decode(text, CodeTable::Iso6937).text;
    Some(Application {
        kind,
        maker: u16::from_be_bytes([maker_high, maker_low]),
        code: u16::from_be_bytes([code_high, code_low]),
        label: label.chars().filter(|letter| !letter.is_control()).take(LABEL_CHARS_MAX).collect(),
    })
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
