//! The test's hand at a reader's slot: put the card in, pull it out, let it answer late.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};

/// What the hand does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Put the card in.
    Insert,
    /// Pull it out.
    Pull,
    /// Pull it out when the next command has arrived, instead of answering it.
    PullAtNextCommand,
    /// Wait so long before each answer.
    AnswerAfter(Duration),
    /// The test is over.
    End,
}

/// A slot that something outside (vpcd, QEMU) is connected to.
#[derive(Debug)]
pub struct Slot {
    hand: SyncSender<Action>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Slot {
    /// Starts to play on a thread of its own, with no card in the slot.
    pub(super) fn start(play: impl FnOnce(Receiver<Action>) -> Result<()> + Send + 'static) -> Result<Self> {
        // Nothing is queued: when `act` returns, the player has taken the action.
        let (hand, actions) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("card".into())
            .spawn(move || play(actions))
            .context("start the card's thread")?;
        Ok(Self { hand, thread: Some(thread) })
    }

    /// Does something at the slot; returns when the player has it, before the next command is answered.
    ///
    /// # Errors
    /// When the card's thread is gone.
    pub fn act(&self, action: Action) -> Result<()> {
        self.hand.send(action).context("the card's thread has ended")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.hand.send(Action::End);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
