//! A card in the virtual reader of vsmartcard: messages of a length in two bytes and as many bytes, over TCP.
//!
//! One byte alone is a control message: power off, power on, reset, and the question for the answer to reset. Anything
//! longer is a command. A closed connection is an empty slot.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Action, Card, Slot};
use crate::wait::let_pass;

const STEP: Duration = Duration::from_millis(5);
const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const ASK_ATR: u8 = 4;

/// A slot of the vpcd that listens at `reader`.
///
/// # Errors
/// When the card's thread cannot be started.
pub fn vpcd(card: Box<dyn Card>, reader: SocketAddr) -> Result<Slot> {
    Slot::start(move |actions| play(reader, card, actions))
}

struct Hand {
    inserted: bool,
    pull_at_command: bool,
    delay: Duration,
    /// The driver asks for it again and again, also between two commands: that must not reset the card.
    atr: Vec<u8>,
}

/// A card in the slot is a connection; vpcd may be slow to take it.
fn play(reader: SocketAddr, mut card: Box<dyn Card>, actions: Receiver<Action>) -> Result<()> {
    let mut hand = Hand { inserted: false, pull_at_command: false, delay: Duration::ZERO, atr: card.reset() };
    let mut contact: Option<TcpStream> = None;
    loop {
        match actions.try_recv() {
            Ok(Action::Insert) => hand.inserted = true,
            Ok(Action::Pull) => hand.inserted = false,
            Ok(Action::PullAtNextCommand) => hand.pull_at_command = true,
            Ok(Action::AnswerAfter(delay)) => hand.delay = delay,
            Ok(Action::End) | Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {}
        }
        if !hand.inserted {
            contact = None;
        } else if contact.is_none() {
            contact = touch(reader).ok();
        }
        match contact.as_mut().map(|stream| turn(stream, card.as_mut(), &mut hand)) {
            Some(Ok(true)) => {}
            Some(_) => contact = None,
            None => let_pass(STEP),
        }
    }
}

fn touch(reader: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(reader).context("connect to vpcd")?;
    stream.set_nodelay(true).context("connect to vpcd")?;
    stream.set_read_timeout(Some(STEP)).context("connect to vpcd")?;
    Ok(stream)
}

/// One message, if there is one; `false` when the reader is gone or the card was pulled.
fn turn(stream: &mut TcpStream, card: &mut dyn Card, hand: &mut Hand) -> Result<bool> {
    let mut length = [0; 2];
    match stream.peek(&mut length) {
        Ok(0) => return Ok(false),
        Ok(1) => return Ok(true),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(true),
        Err(error) => return Err(error).context("read from vpcd"),
    }
    stream.read_exact(&mut length).context("read from vpcd")?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.set_read_timeout(Some(Duration::from_secs(2))).context("read from vpcd")?;
    stream.read_exact(&mut message).context("read from vpcd")?;
    stream.set_read_timeout(Some(STEP)).context("read from vpcd")?;
    match message[..] {
        [POWER_OFF | POWER_ON | RESET] => hand.atr = card.reset(),
        [ASK_ATR] => say(stream, &hand.atr)?,
        _ => {
            if std::mem::take(&mut hand.pull_at_command) {
                hand.inserted = false;
                return Ok(false);
            }
            let_pass(hand.delay);
            let answer = card.answer(&message);
            say(stream, &answer)?;
        }
    }
    Ok(true)
}

fn say(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let length = u16::try_from(bytes.len()).context("an answer too long for vpcd")?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).context("answer vpcd")
}
