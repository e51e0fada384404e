//! A card in QEMU's USB reader, over the protocol of its passed-through cards (`ccid-card-passthru`).
//!
//! Each message is type, reader and length as big-endian words of 32 bits, then its bytes. QEMU's reader works at the
//! level of T=0, so a card is played behind [`T0`].

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Action, Card, Slot, t0::T0};
use crate::wait::let_pass;

const STEP: Duration = Duration::from_millis(5);
const HEADER: usize = 12;
const MESSAGE_MAX: usize = 64 * 1024;

const INIT: u32 = 1;
const READER_ADD: u32 = 3;
const ATR: u32 = 5;
const CARD_REMOVE: u32 = 6;
const APDU: u32 = 7;
const FLUSH: u32 = 8;
const FLUSH_COMPLETE: u32 = 9;
/// `VSCD`, then version 0.0.2.
const MAGIC_AND_VERSION: [u8; 8] = [b'V', b'S', b'C', b'D', 0, 0, 0, 2];

/// Opens a slot, and tells where QEMU's character device finds it.
///
/// # Errors
/// When no port can be had.
pub fn vsc(card: Box<dyn Card>) -> Result<(Slot, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen for QEMU's reader")?;
    let address = listener.local_addr().context("listen for QEMU's reader")?;
    listener.set_nonblocking(true).context("listen for QEMU's reader")?;
    Ok((Slot::start(move |actions| play(listener, card, actions))?, address))
}

struct Player {
    card: Box<dyn Card>,
    t0: T0,
    inserted: bool,
    pull_at_command: bool,
    delay: Duration,
}

fn play(listener: TcpListener, card: Box<dyn Card>, actions: Receiver<Action>) -> Result<()> {
    let mut player = Player { card, t0: T0::default(), inserted: false, pull_at_command: false, delay: Duration::ZERO };
    let mut reader: Option<TcpStream> = None;
    loop {
        let action = match actions.try_recv() {
            Ok(Action::End) | Err(TryRecvError::Disconnected) => return Ok(()),
            Ok(action) => Some(action),
            Err(TryRecvError::Empty) => None,
        };
        if let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true).context("QEMU's connection")?;
            stream.set_read_timeout(Some(STEP)).context("QEMU's connection")?;
            player.greet(&mut stream)?;
            reader = Some(stream);
        }
        if let Some(action) = action {
            player.act(action, reader.as_mut())?;
        }
        match reader.as_mut().map(|stream| player.turn(stream)) {
            Some(Ok(true)) => {}
            Some(_) => reader = None,
            None => let_pass(STEP),
        }
    }
}

impl Player {
    fn greet(&mut self, stream: &mut TcpStream) -> Result<()> {
        say(stream, INIT, &[&MAGIC_AND_VERSION[..], &0u32.to_be_bytes()].concat())?;
        say(stream, READER_ADD, &[])?;
        if self.inserted { self.insert(stream) } else { Ok(()) }
    }

    fn insert(&mut self, stream: &mut TcpStream) -> Result<()> {
        self.t0.reset();
        say(stream, ATR, &self.card.reset())
    }

    fn act(&mut self, action: Action, stream: Option<&mut TcpStream>) -> Result<()> {
        match (action, stream) {
            (Action::Insert, stream) => {
                self.inserted = true;
                stream.map_or(Ok(()), |stream| self.insert(stream))
            }
            (Action::Pull, stream) => {
                self.inserted = false;
                stream.map_or(Ok(()), |stream| say(stream, CARD_REMOVE, &[]))
            }
            (Action::PullAtNextCommand, _) => {
                self.pull_at_command = true;
                Ok(())
            }
            (Action::AnswerAfter(delay), _) => {
                self.delay = delay;
                Ok(())
            }
            (Action::End, _) => Ok(()),
        }
    }

    /// One message, if there is one; `false` when QEMU is gone.
    fn turn(&mut self, stream: &mut TcpStream) -> Result<bool> {
        let mut header = [0; HEADER];
        match stream.peek(&mut header) {
            Ok(0) => return Ok(false),
            Ok(HEADER) => {}
            Ok(_) => return Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(true),
            Err(error) => return Err(error).context("read from QEMU"),
        }
        stream.read_exact(&mut header).context("read from QEMU")?;
        let [kind, _reader, length] = [0, 4, 8].map(|at| word(&header[at..at + 4]));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        ensure!(length <= MESSAGE_MAX, "QEMU announces {length} bytes");
        let mut body = vec![0; length];
        stream.set_read_timeout(Some(Duration::from_secs(2))).context("read from QEMU")?;
        stream.read_exact(&mut body).context("read from QEMU")?;
        stream.set_read_timeout(Some(STEP)).context("read from QEMU")?;
        match kind {
            // The reader is powered up anew: same card, fresh state.
            FLUSH => say(stream, FLUSH_COMPLETE, &[])?,
            APDU => self.command(stream, &body)?,
            _ => {}
        }
        Ok(true)
    }

    fn command(&mut self, stream: &mut TcpStream, command: &[u8]) -> Result<()> {
        if std::mem::take(&mut self.pull_at_command) {
            self.inserted = false;
            return say(stream, CARD_REMOVE, &[]);
        }
        let_pass(self.delay);
        let answer = self.t0.answer(self.card.as_mut(), command);
        say(stream, APDU, &answer)
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn say(stream: &mut TcpStream, kind: u32, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len()).context("a message too long for QEMU")?;
    let header = [kind, 0, length].map(u32::to_be_bytes).concat();
    stream.write_all(&[&header[..], body].concat()).context("talk to QEMU")
}
