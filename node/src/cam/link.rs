//! The transport layer towards one module: one connection, polled (EN 50221 §7.1, annex A.4.1).
//!
//! Pure: what the module sent and monotonic milliseconds in, messages and what to send out. The host speaks, the module
//! answers; one command is in flight at a time, each answer ends with a status that says whether more waits. A module
//! that stays silent is asked again twice, then its connection is made anew. A module may ask for further connections
//! (`request_t_c`) and is told that there are none, as the standard allows: everything works over sessions of the first.
//! What the messages mean is [`super::session`]'s; link fragments below are the kernel's.

use std::collections::VecDeque;

use super::length::{self, BYTES_MAX};

/// A module is asked so often whether it has something to say.
const POLL_MS: u64 = 100;
/// An answer is waited for so long.
const ANSWER_MS: u64 = 2_000;
/// Silences in a row that end a connection.
const SILENCES_MAX: u32 = 3;
/// Pause before a connection is made again.
const RETRY_MS: u64 = 1_000;
/// Messages that wait to be sent: each is an answer to something, so a module that causes more is flooding.
const WAITING_MAX: usize = 64;
/// Bytes of a message in one command; longer ones are sent in several.
const PIECE_BYTES: usize = 2_048;

mod tag {
    pub(super) const STATUS: u8 = 0x80;
    pub(super) const RECEIVE: u8 = 0x81;
    pub(super) const CREATE: u8 = 0x82;
    pub(super) const CREATE_REPLY: u8 = 0x83;
    pub(super) const DELETE: u8 = 0x84;
    pub(super) const DELETE_REPLY: u8 = 0x85;
    pub(super) const REQUEST: u8 = 0x86;
    pub(super) const ERROR: u8 = 0x88;
    pub(super) const LAST: u8 = 0xA0;
    pub(super) const MORE: u8 = 0xA1;
}

/// `T_C_error`: no transport connections available.
const NO_CONNECTIONS: u8 = 1;
/// `SB_value`: data are available.
const AVAILABLE: u8 = 0x80;

/// What a module's bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent<'a> {
    /// The connection is there.
    Opened,
    /// It is gone; it is made again by itself.
    Closed,
    /// A whole message of the session layer.
    Message(&'a [u8]),
    /// Bytes that make no sense were thrown away.
    Defect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No module, or it must not be spoken to.
    Off,
    /// Made again at this time.
    Idle { at_ms: u64 },
    /// Asked for.
    Creating { until_ms: u64 },
    /// There.
    Open,
}

/// One connection. Memory: one message of [`BYTES_MAX`] and [`WAITING_MAX`] short ones.
#[derive(Debug)]
pub struct Link {
    id: u8,
    state: State,
    /// A command is in flight until its status comes.
    asked_ms: Option<u64>,
    silences: u32,
    timeouts: u64,
    available: bool,
    poll_ms: u64,
    waiting: VecDeque<Vec<u8>>,
    partial: Vec<u8>,
    /// Answers of the transport layer itself.
    answers: VecDeque<Vec<u8>>,
}

impl Link {
    /// The connection of slot `slot` (from 0), not made yet.
    #[must_use]
    pub fn new(slot: u8) -> Self {
        Self {
            id: slot.saturating_add(1),
            state: State::Off,
            asked_ms: None,
            silences: 0,
            timeouts: 0,
            available: false,
            poll_ms: 0,
            waiting: VecDeque::new(),
            partial: vec![],
            answers: VecDeque::new(),
        }
    }

    /// The connection's number on the link (`t_c_id`).
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    /// A module is ready: the connection is made.
    pub fn start(&mut self, now_ms: u64) {
        self.forget(State::Idle { at_ms: now_ms });
        self.silences = 0;
    }

    /// The module is gone.
    pub fn stop(&mut self) {
        self.forget(State::Off);
    }

    /// Silences since the beginning.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timeouts
    }

    /// Whether the connection is there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether it is there or being made.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.state != State::Off
    }

    fn forget(&mut self, state: State) {
        self.state = state;
        (self.asked_ms, self.available) = (None, false);
        self.waiting.clear();
        self.answers.clear();
        self.partial.clear();
    }

    /// Queues a message; `false` when too many wait.
    #[must_use]
    pub fn send(&mut self, message: &[u8]) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        let pieces: Vec<&[u8]> = message.chunks(PIECE_BYTES).collect();
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.into_iter().enumerate() {
            let tag = if index == last { tag::LAST } else { tag::MORE };
            self.waiting.push_back(length::object(tag, &[&[self.id], piece].concat()));
        }
        true
    }

    /// What to write to the module now; call again until it gives nothing.
    pub fn next(&mut self, now_ms: u64, tell: &mut dyn FnMut(LinkEvent<'_>)) -> Option<Vec<u8>> {
        match self.state {
            State::Off => None,
            State::Idle { at_ms } if now_ms < at_ms => None,
            State::Idle { .. } => {
                self.state = State::Creating { until_ms: now_ms + ANSWER_MS };
                Some(length::object(tag::CREATE, &[self.id]))
            }
            State::Creating { until_ms } => {
                if now_ms >= until_ms {
                    self.timeouts += 1;
                    self.state = State::Idle { at_ms: now_ms + RETRY_MS };
                }
                None
            }
            State::Open => self.next_open(now_ms, tell),
        }
    }

    fn next_open(&mut self, now_ms: u64, tell: &mut dyn FnMut(LinkEvent<'_>)) -> Option<Vec<u8>> {
        if let Some(asked_ms) = self.asked_ms {
            if now_ms < asked_ms + ANSWER_MS {
                return None;
            }
            self.timeouts += 1;
            self.silences += 1;
            self.asked_ms = None;
            if self.silences >= SILENCES_MAX {
                self.silences = 0;
                self.forget(State::Idle { at_ms: now_ms + RETRY_MS });
                tell(LinkEvent::Closed);
                return None;
            }
        }
        let command = if let Some(answer) = self.answers.pop_front() {
            answer
        } else if std::mem::take(&mut self.available) {
            length::object(tag::RECEIVE, &[self.id])
        } else if let Some(message) = self.waiting.pop_front() {
            message
        } else if now_ms >= self.poll_ms {
            length::object(tag::LAST, &[self.id])
        } else {
            return None;
        };
        (self.asked_ms, self.poll_ms) = (Some(now_ms), now_ms + POLL_MS);
        Some(command)
    }

    /// When [`Self::next`] is worth a call again, at the latest.
    #[must_use]
    pub fn due_ms(&self) -> u64 {
        match (self.state, self.asked_ms) {
            (State::Off, _) => u64::MAX,
            (State::Idle { at_ms }, _) => at_ms,
            (State::Creating { until_ms }, _) => until_ms,
            (State::Open, Some(asked_ms)) => asked_ms + ANSWER_MS,
            (State::Open, None) if self.available || !self.waiting.is_empty() || !self.answers.is_empty() => 0,
            (State::Open, None) => self.poll_ms,
        }
    }

    /// Takes what one read gave, without the kernel's two bytes before it.
    pub fn receive(&mut self, mut bytes: &[u8], tell: &mut dyn FnMut(LinkEvent<'_>)) {
        while let Some((&tag, rest)) = bytes.split_first() {
            let Some((body, behind)) = length::split(rest) else { return tell(LinkEvent::Defect) };
            bytes = behind;
            match body.split_first() {
                Some((&id, data)) if id == self.id => self.object(tag, data, tell),
                _ => tell(LinkEvent::Defect),
            }
        }
    }

    fn object(&mut self, tag: u8, data: &[u8], tell: &mut dyn FnMut(LinkEvent<'_>)) {
        match (tag, self.state) {
            (tag::CREATE_REPLY, State::Creating { .. }) => {
                self.state = State::Open;
                (self.silences, self.poll_ms) = (0, 0);
                tell(LinkEvent::Opened);
            }
            (tag::STATUS, State::Open) => {
                self.available = data.first().is_some_and(|status| status & AVAILABLE != 0);
                (self.asked_ms, self.silences) = (None, 0);
            }
            (tag::MORE | tag::LAST, State::Open) => {
                if self.partial.len() + data.len() > BYTES_MAX {
                    self.partial.clear();
                    return tell(LinkEvent::Defect);
                }
                self.partial.extend_from_slice(data);
                if tag == tag::LAST {
                    let whole = std::mem::take(&mut self.partial);
                    if !whole.is_empty() {
                        tell(LinkEvent::Message(&whole));
                    }
                }
            }
            (tag::DELETE, State::Open) => {
                self.forget(State::Idle { at_ms: 0 });
                // The reply is the last word of the old connection, before the new one is asked for.
                self.answers.push_back(length::object(tag::DELETE_REPLY, &[self.id]));
                tell(LinkEvent::Closed);
            }
            (tag::REQUEST, State::Open) if self.answers.len() < WAITING_MAX => {
                self.answers.push_back(length::object(tag::ERROR, &[self.id, NO_CONNECTIONS]));
            }
            // The status behind a reply to our create, or behind what ended the connection.
            (tag::STATUS, _) | (tag::DELETE_REPLY, _) => {}
            _ => tell(LinkEvent::Defect),
        }
    }

    /// The last word of a connection that the module ended.
    pub fn farewell(&mut self) -> Option<Vec<u8>> {
        if self.state == State::Open { None } else { self.answers.pop_front() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: [u8; 4] = [0x80, 2, 1, 0];

    fn words(event: LinkEvent<'_>) -> String {
        match event {
            LinkEvent::Message(bytes) => format!("message {bytes:02x?}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    /// What the link says to `bytes`, in words.
    fn hear(link: &mut Link, bytes: &[u8]) -> Vec<String> {
        let mut got = vec![];
        link.receive(bytes, &mut |event| got.push(words(event)));
        got
    }

    fn ask(link: &mut Link, now_ms: u64) -> Option<Vec<u8>> {
        link.next(now_ms, &mut |_| {})
    }

    fn open() -> Link {
        let mut link = Link::new(0);
        link.start(1_000);
        assert_eq!(ask(&mut link, 1_000), Some(vec![0x82, 1, 1]));
        assert_eq!(hear(&mut link, &[&[0x83, 1, 1][..], &STATUS].concat()), ["opened"]);
        link
    }

    #[test]
    fn polls_each_100_ms_and_fetches_what_is_announced() {
        let mut link = open();
        assert_eq!(ask(&mut link, 1_000), Some(vec![0xA0, 1, 1]));
        assert_eq!(ask(&mut link, 1_050), None, "one command in flight");
        assert_eq!(hear(&mut link, &[0x80, 2, 1, 0x80]), [""; 0]);
        assert_eq!(ask(&mut link, 1_050), Some(vec![0x81, 1, 1]), "data are available");
        let answer = [&[0xA1, 2, 1, 0x91][..], &STATUS].concat();
        assert_eq!(hear(&mut link, &answer), [""; 0]);
        assert_eq!(ask(&mut link, 1_060), None);
        assert_eq!(ask(&mut link, 1_150), Some(vec![0xA0, 1, 1]));
        assert_eq!(hear(&mut link, &[&[0xA0, 2, 1, 4][..], &STATUS].concat()), ["message [91, 04]"]);
    }

    #[test]
    fn long_messages_go_in_pieces() {
        let mut link = open();
        assert!(link.send(&[7; 2_049]));
        let first = ask(&mut link, 1_000).unwrap();
        assert_eq!((first.len(), &first[..5]), (2_053, &[0xA1, 0x82, 8, 1, 1][..]));
        hear(&mut link, &STATUS);
        assert_eq!(ask(&mut link, 1_001), Some(vec![0xA0, 2, 1, 7]));
    }

    #[test]
    fn a_silent_module_loses_its_connection_after_three_silences() {
        let mut link = open();
        let mut told = vec![];
        let mut asked = vec![];
        for now_ms in (1_000..12_000).step_by(100) {
            if let Some(bytes) = link.next(now_ms, &mut |event| told.push((now_ms, words(event)))) {
                asked.push((now_ms, bytes[0]));
            }
        }
        assert_eq!(told, [(7_000, "closed".to_owned())]);
        assert_eq!(asked, [(1_000, 0xA0), (3_000, 0xA0), (5_000, 0xA0), (8_000, 0x82), (11_000, 0x82)]);
        assert_eq!(link.timeouts(), 4);
    }

    #[test]
    fn a_module_may_end_its_connection_and_ask_for_more() {
        let mut link = open();
        assert_eq!(hear(&mut link, &[0x86, 1, 1]), [""; 0]);
        assert_eq!(ask(&mut link, 1_000), Some(vec![0x88, 2, 1, 1]));
        assert_eq!(hear(&mut link, &[0x84, 1, 1]), ["closed"]);
        assert_eq!(link.farewell(), Some(vec![0x85, 1, 1]));
        assert_eq!(ask(&mut link, 1_000), Some(vec![0x82, 1, 1]));
    }

    #[test]
    fn rubbish_is_told_and_thrown_away() {
        let mut link = open();
        for rubbish in [&[0xA0][..], &[0xA0, 5, 1], &[0xA0, 1, 9], &[0xA0, 0], &[0x42, 1, 1], &[0x83, 1, 1]] {
            assert_eq!(hear(&mut link, rubbish), ["defect"], "{rubbish:02x?}");
        }
        let piece = length::object(0xA1, &[&[1][..], &[0; 60_000]].concat());
        assert_eq!(hear(&mut link, &piece), [""; 0]);
        assert_eq!(hear(&mut link, &piece), ["defect"], "a message without end");
        let sent = (0..200).filter(|_| link.send(&[1])).count();
        assert_eq!(sent, WAITING_MAX);
    }

    proptest! {
        #[test]
        fn any_module_is_survived(reads in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..40), 0_u64..3_000, any::<bool>()), 0..60))
        {
            let (mut link, mut now_ms) = (open(), 1_000);
            for (mut bytes, wait, sensible) in reads {
                now_ms += wait;
                if sensible {
                    bytes = length::object([0x80, 0x83, 0xA0, 0xA1, 0x84, 0x86][bytes.len() % 6], &[&[1][..], &bytes].concat());
                }
                link.receive(&bytes, &mut |_| {});
                let asked = std::iter::from_fn(|| ask(&mut link, now_ms)).take(300).count();
                prop_assert!(asked < 200, "one command in flight");
                prop_assert!(link.partial.len() <= BYTES_MAX && link.waiting.len() <= WAITING_MAX);
                prop_assert!(link.answers.len() <= WAITING_MAX);
            }
        }
    }
}
