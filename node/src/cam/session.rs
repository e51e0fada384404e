//! The session layer of one connection: which resource of ours the module uses under which number (EN 50221 §7.2).
//!
//! Pure. The module opens sessions to the host's resources; the host opens none, because its modules have no resources
//! that a head-end needs. A module gets at most [`SESSIONS_MAX`]; what goes over a session is [`super::module`]'s.

use super::length;

/// Sessions of one module; it needs five or six.
pub const SESSIONS_MAX: usize = 16;

mod tag {
    pub(super) const NUMBER: u8 = 0x90;
    pub(super) const OPEN: u8 = 0x91;
    pub(super) const OPEN_REPLY: u8 = 0x92;
    pub(super) const CLOSE: u8 = 0x95;
    pub(super) const CLOSE_REPLY: u8 = 0x96;
}

/// `session_status` (EN 50221 table 7).
mod status {
    pub(super) const OPENED: u8 = 0x00;
    pub(super) const UNKNOWN: u8 = 0xF0;
    pub(super) const OLDER: u8 = 0xF2;
    pub(super) const BUSY: u8 = 0xF3;
    /// In an answer to a close request.
    pub(super) const NOT_THERE: u8 = 0xF0;
}

/// A resource of the host (EN 50221 table 57).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Tells each side what the other has.
    ResourceManager,
    /// What the module is, and its menu.
    ApplicationInformation,
    /// Which services it is to descramble.
    ConditionalAccess,
    /// UTC.
    DateTime,
    /// Menus and questions to the technician.
    Mmi,
}

/// All resources, in the order of the profile.
pub const RESOURCES: [Resource; 5] = [
    Resource::ResourceManager,
    Resource::ApplicationInformation,
    Resource::ConditionalAccess,
    Resource::DateTime,
    Resource::Mmi,
];

/// The part of an identifier that is its version.
const VERSION_MASK: u32 = 0x3F;

impl Resource {
    /// `resource_identifier`: class, type and version.
    #[must_use]
    pub const fn id(self) -> u32 {
        match self {
            Self::ResourceManager => 0x0001_0041,
            Self::ApplicationInformation => 0x0002_0041,
            Self::ConditionalAccess => 0x0003_0041,
            Self::DateTime => 0x0024_0041,
            Self::Mmi => 0x0040_0041,
        }
    }

    /// How many sessions of it a module may have.
    const fn sessions_max(self) -> usize {
        match self {
            Self::ResourceManager | Self::DateTime => 4,
            Self::ApplicationInformation | Self::ConditionalAccess | Self::Mmi => 1,
        }
    }
}

/// What a message came to.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionEvent<'a> {
    /// A session was opened.
    Opened(u16, Resource),
    /// A session is gone.
    Closed(u16, Resource),
    /// What came over a session.
    Body(u16, Resource, &'a [u8]),
    /// A message that makes no sense, or of a session that is not open.
    Defect,
}

/// The open sessions of one connection.
#[derive(Debug, Default)]
pub struct Sessions {
    open: [Option<Resource>; SESSIONS_MAX],
}

impl Sessions {
    /// The connection is gone, and all sessions with it.
    pub fn clear(&mut self) {
        self.open = [None; SESSIONS_MAX];
    }

    /// The number of the open session of a resource.
    #[must_use]
    pub fn of(&self, resource: Resource) -> Option<u16> {
        self.open.iter().position(|open| *open == Some(resource)).and_then(number)
    }

    /// A message over a session, to be sent.
    #[must_use]
    pub fn message(session: u16, body: &[u8]) -> Vec<u8> {
        let [high, low] = session.to_be_bytes();
        [&[tag::NUMBER, 2, high, low], body].concat()
    }

    /// Takes a message; gives what happened, and the answer to send.
    pub fn receive<'a>(&mut self, message: &'a [u8]) -> (SessionEvent<'a>, Option<Vec<u8>>) {
        let Some((&tag, rest)) = message.split_first() else { return (SessionEvent::Defect, None) };
        let Some((head, body)) = length::split(rest) else { return (SessionEvent::Defect, None) };
        match (tag, head) {
            (tag::NUMBER, &[high, low]) => {
                let session = u16::from_be_bytes([high, low]);
                match self.slot(session).and_then(|slot| *slot) {
                    Some(resource) => (SessionEvent::Body(session, resource, body), None),
                    None => (SessionEvent::Defect, None),
                }
            }
            (tag::OPEN, &[a, b, c, d]) => self.open(u32::from_be_bytes([a, b, c, d])),
            (tag::CLOSE, &[high, low]) => {
                let session = u16::from_be_bytes([high, low]);
                let closed = self.slot(session).and_then(Option::take);
                let status = if closed.is_some() { status::OPENED } else { status::NOT_THERE };
                let answer = length::object(tag::CLOSE_REPLY, &[status, high, low]);
                let event = closed.map_or(SessionEvent::Defect, |resource| SessionEvent::Closed(session, resource));
                (event, Some(answer))
            }
            _ => (SessionEvent::Defect, None),
        }
    }

    fn slot(&mut self, session: u16) -> Option<&mut Option<Resource>> {
        self.open.get_mut(usize::from(session).checked_sub(1)?)
    }

    fn open(&mut self, wanted: u32) -> (SessionEvent<'static>, Option<Vec<u8>>) {
        let ours = RESOURCES.into_iter().find(|ours| ours.id() & !VERSION_MASK == wanted & !VERSION_MASK);
        let (status, session) = match ours {
            None => (status::UNKNOWN, None),
            Some(ours) if ours.id() & VERSION_MASK < wanted & VERSION_MASK => (status::OLDER, None),
            Some(ours) => {
                let used = self.open.iter().filter(|open| **open == Some(ours)).count();
                let free = self.open.iter().position(Option::is_none).filter(|_| used < ours.sessions_max());
                match free.and_then(|free| number(free).map(|session| (free, session))) {
                    Some((free, session)) => {
                        self.open[free] = Some(ours);
                        (status::OPENED, Some((session, ours)))
                    }
                    None => (status::BUSY, None),
                }
            }
        };
        let id = session.and(ours).map_or(wanted, Resource::id).to_be_bytes();
        let [high, low] = session.map_or(0, |(session, _)| session).to_be_bytes();
        let answer = length::object(tag::OPEN_REPLY, &[&[status], &id[..], &[high, low]].concat());
        let event = session.map_or(SessionEvent::Defect, |(session, ours)| SessionEvent::Opened(session, ours));
        (event, Some(answer))
    }
}

fn number(index: usize) -> Option<u16> {
    u16::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(sessions: &mut Sessions, message: &[u8], event: &SessionEvent<'_>, answer: Option<&[u8]>) {
        let (got, reply) = sessions.receive(message);
        assert_eq!((&got, reply.as_deref()), (event, answer), "{message:02x?}");
    }

    #[test]
    fn a_session_from_opening_to_closing() {
        let mut sessions = Sessions::default();
        let opened = [0x92, 7, 0, 0, 1, 0, 0x41, 0, 1];
        let manager = Resource::ResourceManager;
        check(&mut sessions, &[0x91, 4, 0, 1, 0, 0x41], &SessionEvent::Opened(1, manager), Some(&opened));
        assert_eq!(sessions.of(manager), Some(1));
        check(&mut sessions, &[0x90, 2, 0, 1, 9, 8], &SessionEvent::Body(1, manager, &[9, 8]), None);
        check(&mut sessions, &[0x95, 2, 0, 1], &SessionEvent::Closed(1, manager), Some(&[0x96, 3, 0, 0, 1]));
        check(&mut sessions, &[0x90, 2, 0, 1, 9], &SessionEvent::Defect, None);
        check(&mut sessions, &[0x95, 2, 0, 1], &SessionEvent::Defect, Some(&[0x96, 3, 0xF0, 0, 1]));
        assert_eq!(Sessions::message(1, &[7]), [0x90, 2, 0, 1, 7]);
    }

    #[test]
    fn what_we_have_not_is_refused_with_its_reason() {
        let mut sessions = Sessions::default();
        let defect = SessionEvent::Defect;
        // Host control, and a later version of application information.
        check(&mut sessions, &[0x91, 4, 0, 0x20, 0, 0x41], &defect, Some(&[0x92, 7, 0xF0, 0, 0x20, 0, 0x41, 0, 0]));
        check(&mut sessions, &[0x91, 4, 0, 2, 0, 0x43], &defect, Some(&[0x92, 7, 0xF2, 0, 2, 0, 0x43, 0, 0]));
        // One menu at a time.
        sessions.receive(&[0x91, 4, 0, 0x40, 0, 0x41]);
        check(&mut sessions, &[0x91, 4, 0, 0x40, 0, 0x41], &defect, Some(&[0x92, 7, 0xF3, 0, 0x40, 0, 0x41, 0, 0]));
    }

    #[test]
    fn a_storm_of_sessions_ends_at_the_limit() {
        let mut sessions = Sessions::default();
        let opened = (0..1_000)
            .filter(|_| matches!(sessions.receive(&[0x91, 4, 0, 1, 0, 0x41]).0, SessionEvent::Opened(..)))
            .count();
        assert_eq!(opened, Resource::ResourceManager.sessions_max());
    }

    proptest! {
        #[test]
        fn any_message_is_survived(messages in proptest::collection::vec(
            (0x90_u8..0x97, proptest::collection::vec(any::<u8>(), 0..12)), 0..50))
        {
            let mut sessions = Sessions::default();
            for (tag, body) in messages {
                let message = length::object(tag, &body);
                let (_, answer) = sessions.receive(&message);
                prop_assert!(answer.is_none_or(|answer| answer.len() < 12));
                let _ = sessions.receive(&body);
            }
        }
    }
}
