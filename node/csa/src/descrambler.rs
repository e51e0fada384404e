//! Packets in, packets out, in place: what the rest of a node sees of DVB-CSA1.
//!
//! Sans-IO and without a queue: a call finishes every packet it is given, so the only latency is what the caller adds by
//! gathering. Work is shared between all packets of a call whatever their service and key, so a caller with several
//! services gives them together. [`Kernel::batch`] packets in one call (64 to 512) are as good as it gets; a quarter of
//! that runs at about 0.6 of the full rate, a sixteenth at 0.2 (`benches/csa.rs`). Ten milliseconds of a 60 Mbit/s multiplex
//! are 400 packets. Nothing here waits, and a missing word stalls nothing.

use crate::cipher::{Cipher, Job};
use crate::kernel::Kernel;
use crate::keys::KeyRing;
use crate::packet::{self, Control, Header, PACKET_BYTES, Parity};

/// Below one block of the cipher, a payload is never scrambled.
const SCRAMBLED_BYTES_MIN: usize = 8;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was not scrambled, and is unchanged.
    Clear,
    /// It was scrambled and is now in the clear, its control bits too. Whether the word was the right one is not seen here.
    Descrambled,
    /// It is scrambled, no word for it is here, and it is unchanged.
    NoKey,
    /// Its header cannot be relied upon, and it is unchanged.
    Damaged,
}

/// Takes DVB-CSA1 off packets.
pub struct Descrambler {
    /// The words and the PIDs they are for.
    pub keys: KeyRing,
    cipher: Cipher,
    jobs: Vec<Job>,
}

impl Descrambler {
    /// A descrambler without keys. It keeps about 220 kB at most, and 24 bytes for each packet of the largest call.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        Self { keys: KeyRing::new(), cipher: Cipher::new(kernel), jobs: vec![] }
    }

    /// The kernel in use.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.cipher.kernel()
    }

    /// Descrambles whole packets of 188 bytes in place, and leaves a verdict on each, in order, in `verdicts`. Bytes behind
    /// the last whole packet are left alone.
    ///
    /// ```
    /// use headend_csa::{ControlWord, Descrambler, Kernel, Parity, Verdict};
    /// let mut descrambler = Descrambler::new(Kernel::best());
    /// let slot = descrambler.keys.add().unwrap();
    /// descrambler.keys.set(&slot, Parity::Even, &ControlWord::from_session_word("123456789ABC").unwrap());
    /// descrambler.keys.assign(0x100, &slot);
    /// let mut packets = [0xFF; 2 * 188];
    /// packets[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x90]);
    /// packets[188..192].copy_from_slice(&[0x47, 0x01, 0x01, 0xD0]);
    /// let mut verdicts = vec![];
    /// descrambler.descramble(&mut packets, &mut verdicts);
    /// assert_eq!(verdicts, [Verdict::Descrambled, Verdict::NoKey]);
    /// assert_eq!(packets[3], 0x10);
    /// ```
    pub fn descramble(&mut self, packets: &mut [u8], verdicts: &mut Vec<Verdict>) {
        verdicts.clear();
        self.jobs.clear();
        for (number, packet) in packets.as_chunks_mut::<PACKET_BYTES>().0.iter_mut().enumerate() {
            let verdict = self.sort(number, packet);
            if verdict == Verdict::Descrambled {
                packet::mark(packet, None);
            }
            verdicts.push(verdict);
        }
        self.cipher.descramble(packets, &mut self.jobs, self.keys.schedules());
    }

    /// Decides on a packet, and notes its payload if there is something to do.
    fn sort(&mut self, number: usize, packet: &[u8; PACKET_BYTES]) -> Verdict {
        let Some(Header { pid, control, payload }) = Header::read(packet) else { return Verdict::Damaged };
        let parity = match control {
            Control::Clear => return Verdict::Clear,
            Control::Reserved => return Verdict::NoKey,
            Control::Scrambled(parity) => parity,
        };
        if payload.len() < SCRAMBLED_BYTES_MIN && self.keys.has_slot(pid) {
            // Marked like its neighbours, but there was nothing to scramble: no word is needed.
            return Verdict::Descrambled;
        }
        let Some(key) = self.keys.find(pid, parity) else { return Verdict::NoKey };
        self.jobs.push(Job { start: number * PACKET_BYTES + payload.start, len: payload.len(), key });
        Verdict::Descrambled
    }
}

impl std::fmt::Debug for Descrambler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descrambler").field("keys", &self.keys).field("kernel", &self.kernel()).finish_non_exhaustive()
    }
}

/// Puts DVB-CSA1 on packets: for tests, benches and contribution feeds.
pub struct Scrambler {
    /// The words and the PIDs they are for.
    pub keys: KeyRing,
    cipher: Cipher,
    jobs: Vec<Job>,
}

impl Scrambler {
    /// A scrambler without keys.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        Self { keys: KeyRing::new(), cipher: Cipher::new(kernel), jobs: vec![] }
    }

    /// Scrambles whole packets in place with their slots' words of this parity, and says how many. Packets without
    /// payload, without a word, damaged, or scrambled before are left alone.
    pub fn scramble(&mut self, packets: &mut [u8], parity: Parity) -> usize {
        self.jobs.clear();
        let mut scrambled = 0;
        for (number, packet) in packets.as_chunks_mut::<PACKET_BYTES>().0.iter_mut().enumerate() {
            let Some(Header { pid, control: Control::Clear, payload }) = Header::read(packet) else { continue };
            let Some(key) = self.keys.find(pid, parity).filter(|_| !payload.is_empty()) else { continue };
            if payload.len() >= SCRAMBLED_BYTES_MIN {
                self.jobs.push(Job { start: number * PACKET_BYTES + payload.start, len: payload.len(), key });
            }
            packet::mark(packet, Some(parity));
            scrambled += 1;
        }
        self.cipher.scramble(packets, &mut self.jobs, self.keys.schedules());
        scrambled
    }
}

impl std::fmt::Debug for Scrambler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrambler").field("keys", &self.keys).finish_non_exhaustive()
    }
}
