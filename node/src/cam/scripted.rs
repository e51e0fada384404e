//! A module that a test plays: it answers the host's commands as a plain CAM does, and keeps what it was told.

use std::collections::VecDeque;

use super::{
    apdu::{self, tag},
    length,
    session::Resource,
};

/// A module in a slot of its own.
#[derive(Debug)]
pub(crate) struct Cam {
    id: u8,
    /// Messages to the host, one for each time it fetches.
    out: VecDeque<Vec<u8>>,
    /// Sessions the host granted, with their resources.
    sessions: Vec<(u16, u32)>,
    /// Objects the host sent: session, tag, body.
    pub(crate) heard: Vec<(u16, u32, Vec<u8>)>,
    /// It says nothing any more.
    pub(crate) mute: bool,
    /// CA systems it announces.
    pub(crate) systems: Vec<u16>,
}

impl Cam {
    /// A module of slot 0 for these systems, fresh from its reset.
    pub(crate) fn new(systems: &[u16]) -> Self {
        let (out, sessions, heard) = (VecDeque::new(), vec![], vec![]);
        Self { id: 1, out, sessions, heard, mute: false, systems: systems.to_vec() }
    }

    /// Asks for a session.
    pub(crate) fn open(&mut self, resource: u32) {
        self.out.push_back(length::object(0x91, &resource.to_be_bytes()));
    }

    /// Says something over the session of a resource; the host must have granted it.
    pub(crate) fn say(&mut self, resource: Resource, tag: u32, body: &[u8]) {
        let session = self.sessions.iter().find(|(_, id)| *id == resource.id()).expect("an open session").0;
        self.raw(&[&[0x90, 2], &session.to_be_bytes()[..], &apdu::object(tag, body)].concat());
    }

    /// Says any bytes of the session layer.
    pub(crate) fn raw(&mut self, message: &[u8]) {
        self.out.push_back(message.to_vec());
    }

    /// What the host told with this tag.
    pub(crate) fn told(&self, tag: u32) -> Vec<Vec<u8>> {
        self.heard.iter().filter(|(_, heard, _)| *heard == tag).map(|(_, _, body)| body.clone()).collect()
    }

    /// Takes a command and gives what the host reads then, if anything.
    pub(crate) fn command(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        if self.mute {
            return None;
        }
        let (body, _) = length::split(&command[1..])?;
        let mut answer = vec![];
        match command[0] {
            0x82 => {
                answer.extend(length::object(0x83, &[self.id]));
                self.out.clear();
                self.sessions.clear();
                self.open(Resource::ResourceManager.id());
            }
            0x81 => {
                if let Some(message) = self.out.pop_front() {
                    answer.extend(length::object(0xA0, &[&[self.id], &message[..]].concat()));
                }
            }
            0xA0 => self.message(&body[1..]),
            _ => {}
        }
        answer.extend([0x80, 2, self.id, if self.out.is_empty() { 0 } else { 0x80 }]);
        Some(answer)
    }

    fn message(&mut self, message: &[u8]) {
        match *message {
            [0x92, 7, 0, a, b, c, d, high, low] => {
                let resource = u32::from_be_bytes([a, b, c, d]);
                self.sessions.push((u16::from_be_bytes([high, low]), resource));
            }
            [0x90, 2, high, low, ref object @ ..] => {
                let session = u16::from_be_bytes([high, low]);
                let mut rest = object;
                while let Some((tag, body, behind)) = apdu::split(rest) {
                    self.heard.push((session, tag, body.to_vec()));
                    self.object(tag, body);
                    rest = behind;
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, tag: u32, body: &[u8]) {
        match tag {
            tag::PROFILE_ENQUIRY => self.say(Resource::ResourceManager, tag::PROFILE, &[]),
            tag::PROFILE_CHANGE => self.say(Resource::ResourceManager, tag::PROFILE_ENQUIRY, &[]),
            tag::PROFILE => {
                for id in body.as_chunks::<4>().0.iter().map(|id| u32::from_be_bytes(*id)).skip(1).take(3) {
                    self.open(id);
                }
            }
            tag::APPLICATION_ENQUIRY => {
                self.say(Resource::ApplicationInformation, tag::APPLICATION, b"\x01\x0D\x00\x00\x01\x09AlphaTest");
            }
            tag::CA_ENQUIRY => {
                let systems: Vec<u8> = self.systems.iter().flat_map(|system| system.to_be_bytes()).collect();
                self.say(Resource::ConditionalAccess, tag::CA, &systems);
            }
            tag::ENTER_MENU => self.open(Resource::Mmi.id()),
            _ => {}
        }
    }
}
