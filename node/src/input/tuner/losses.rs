//! Every lost interval and whose fault it was, in packets, bytes and milliseconds.
//!
//! Pure. Five causes are told apart: the signal (the demodulator marked packets, counted blocks, or lost its lock), the
//! kernel's ring (it ran over, and threw all of it away), the transfer from the card (packets are missing with neither),
//! removal of the device, and our own queue (a viewer or a channel came too late to the input's ring). Bytes are what is
//! known at least: continuity counters count modulo 16.

use serde::{Deserialize, Serialize};

const PACKET_BYTES: u64 = 188;

/// Looks after the one in which a silence ended: the first packets behind it may be of streams that lost none.
const PROOF_LOOKS: u8 = 1;

/// Losses of one cause since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Intervals.
    pub times: u64,
    /// Bytes, at least.
    pub bytes: u64,
    /// Milliseconds in which it happened.
    pub ms: u64,
}

impl Loss {
    fn add(&mut self, bytes: u64, ms: u64) {
        self.times += 1;
        self.bytes += bytes;
        self.ms += ms;
    }
}

/// Losses of a tuner by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Outside the box: dish, cable, weather.
    pub signal: Loss,
    /// We came too late, and the kernel's ring ran over.
    pub kernel_ring: Loss,
    /// Between card and kernel: USB, PCIe, driver.
    pub transfer: Loss,
    /// The device was away.
    pub removal: Loss,
    /// Readers of the input's ring came too late: the sum over all of them.
    pub own_queue: Loss,
}

/// What was seen in one look, a quarter of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its length.
    pub ms: u64,
    /// Packets the demodulator marked.
    pub marked: u64,
    /// Continuity errors.
    pub continuity_errors: u64,
    /// The demodulator lost blocks, or its lock, within it or just before.
    pub signal_trouble: bool,
}

/// What is known of a time without packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The lock was away: the signal's.
    Dark,
    /// Tuned again under lock, so that packets are counted anew and none can be found missing: the transfer's.
    Rejoined,
    /// Under lock: the transfer's only if packets are missing behind it. A busy machine reads late and loses nothing.
    Counted,
}

/// Keeps the account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    losses: Losses,
    /// The ring ran over or the device was away within this window: its continuity errors are accounted for.
    explained: bool,
    /// A silence under lock that has just ended, and how many looks may still find that packets are missing.
    unproven: Option<(Loss, u8)>,
}

impl Ledger {
    /// The kernel's ring ran over `gap_ms` after the last read, at so many bits a second.
    pub fn overflow(&mut self, gap_ms: u64, bitrate_bps: u64) {
        self.losses.kernel_ring.add(bitrate_bps.saturating_mul(gap_ms) / 8000, gap_ms);
        self.explained = true;
    }

    /// The device was away for this long.
    pub fn removed(&mut self, gap_ms: u64, bitrate_bps: u64) {
        self.losses.removal.add(bitrate_bps.saturating_mul(gap_ms) / 8000, gap_ms);
        self.explained = true;
    }

    /// No packet came for this long, with the device there.
    pub fn silence(&mut self, gap_ms: u64, bitrate_bps: u64, silence: Silence) {
        let bytes = bitrate_bps.saturating_mul(gap_ms) / 8000;
        let loss = match silence {
            Silence::Dark => &mut self.losses.signal,
            Silence::Rejoined => &mut self.losses.transfer,
            Silence::Counted => {
                self.unproven = Some((Loss { times: 1, bytes, ms: gap_ms }, PROOF_LOOKS));
                return;
            }
        };
        loss.add(bytes, gap_ms);
        self.explained = true;
    }

    /// Readers of the input's ring have lost so many bytes by now, since the input was opened; looked at each `ms`.
    pub fn queue(&mut self, bytes: u64, ms: u64) {
        let fresh = bytes.saturating_sub(self.losses.own_queue.bytes);
        if fresh > 0 {
            self.losses.own_queue.add(fresh, ms);
        }
    }

    /// Attributes what a look found.
    pub fn look(&mut self, window: Window) {
        let explained = std::mem::take(&mut self.explained);
        let unproven = self.unproven.take();
        if window.marked > 0 {
            self.losses.signal.add(window.marked.max(window.continuity_errors) * PACKET_BYTES, window.ms);
        } else if window.continuity_errors > 0 && !explained {
            let loss = if window.signal_trouble { &mut self.losses.signal } else { &mut self.losses.transfer };
            let seen = window.continuity_errors * PACKET_BYTES;
            match unproven {
                Some((silence, _)) => loss.add(silence.bytes.max(seen), silence.ms),
                None => loss.add(seen, window.ms),
            }
        } else if window.continuity_errors == 0 {
            self.unproven = unproven.and_then(|(silence, looks)| Some((silence, looks.checked_sub(1)?)));
        }
    }

    /// The account so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(marked: u64, continuity_errors: u64, signal_trouble: bool) -> Window {
        Window { ms: 250, marked, continuity_errors, signal_trouble }
    }

    #[test]
    fn each_loss_has_one_cause() {
        let mut ledger = Ledger::default();
        ledger.look(window(0, 0, true));
        assert_eq!(ledger.losses(), Losses::default());
        ledger.look(window(3, 2, false));
        ledger.look(window(0, 2, true));
        assert_eq!(ledger.losses().signal, Loss { times: 2, bytes: 5 * 188, ms: 500 });
        ledger.look(window(0, 4, false));
        assert_eq!(ledger.losses().transfer, Loss { times: 1, bytes: 4 * 188, ms: 250 });
        // 40 Mbit/s for 3 s do not fit into two seconds of ring.
        ledger.overflow(3_000, 40_000_000);
        ledger.look(window(0, 60, false));
        let want = Loss { times: 1, bytes: 15_000_000, ms: 3_000 };
        assert_eq!((ledger.losses().kernel_ring, ledger.losses().transfer.times), (want, 1));
        ledger.silence(4_000, 8_000, Silence::Dark);
        ledger.look(window(0, 9, false));
        ledger.silence(500, 800_000, Silence::Counted);
        ledger.look(window(0, 9, false));
        assert_eq!(ledger.losses().signal, Loss { times: 3, bytes: 5 * 188 + 4000, ms: 4_500 });
        assert_eq!(ledger.losses().transfer, Loss { times: 2, bytes: 4 * 188 + 50_000, ms: 750 });
        ledger.removed(1_000, 8_000);
        ledger.look(window(0, 9, false));
        assert_eq!(ledger.losses().removal, Loss { times: 1, bytes: 1000, ms: 1000 });
        for lost in [0, 376, 376, 564] {
            ledger.queue(lost, 250);
        }
        assert_eq!(ledger.losses().own_queue, Loss { times: 2, bytes: 564, ms: 500 });
    }

    #[test]
    fn a_silence_under_lock_is_a_loss_only_if_packets_are_missing_behind_it() {
        for (errors_behind, bytes) in [(&[0, 0, 0][..], 0), (&[0, 2], 1000), (&[0, 0, 2], 2 * 188), (&[200], 200 * 188)]
        {
            let mut ledger = Ledger::default();
            ledger.silence(1_000, 8_000, Silence::Counted);
            for errors in errors_behind {
                ledger.look(window(0, *errors, false));
            }
            assert_eq!(ledger.losses().transfer.bytes, bytes, "{errors_behind:?}");
        }
        let mut ledger = Ledger::default();
        ledger.silence(1_000, 8_000, Silence::Rejoined);
        ledger.look(window(0, 0, false));
        assert_eq!(ledger.losses().transfer.bytes, 1000, "nothing could show it");
    }
}
