//! RTP with a transport stream inside: header parsing and a bounded reorder window.
//!
//! Sans-IO: datagrams and a monotonic time in, payloads in sequence order and counts out. It opens no socket and
//! does not look inside the payload; [`super::udp`] drives it and passes what comes out to the resync of the media
//! room. Headers are RFC 3550 §5.1, sequence rules follow RFC 3550 appendix A.1, the payload type RFC 2250 §2
//! and RFC 3551 (33 = MP2T). Encoders in the field also send MP2T with a dynamic type, 96 to 127, so both are taken.

use std::collections::BTreeMap;

/// Fixed part of an RTP header, in bytes (RFC 3550 §5.1).
const HEADER_BYTES: usize = 12;
const MP2T: u8 = 33;
/// A jump of more than this forward is a new sequence, not a loss (`MAX_DROPOUT`, RFC 3550 A.1).
const DROPOUT_MAX: u16 = 3000;
/// Packets up to this far back are late or duplicate (`MAX_MISORDER` is 100; satellite gateways reorder more).
const MISORDER_MAX: u16 = 1000;
/// This many packets behind, with none in sequence between, are no stragglers: the sender restarted a little lower.
const BEHIND_MAX: u16 = 64;
/// How many delivered sequence numbers are remembered to tell a duplicate from a late packet.
const HISTORY: u64 = 1024;
/// Extended sequence numbers start one cycle up, so that looking back never goes below zero.
const FIRST_CYCLE: u64 = 1 << 16;

/// One parsed RTP packet; the payload is lent from the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Payload type, 0..=127.
    pub payload_type: u8,
    /// Sequence number modulo 65,536.
    pub sequence: u16,
    /// RTP timestamp, 90 kHz for MP2T.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Payload without CSRCs, extension and padding.
    pub payload: &'a [u8],
}

/// Why a datagram is no RTP packet with a transport stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpDefect {
    /// Shorter than its header, CSRC list or extension says.
    #[error("rtp packet of {0} bytes is shorter than its header says")]
    Short(usize),
    /// The version is not 2.
    #[error("rtp version is {0}, not 2")]
    Version(u8),
    /// The padding count is zero or longer than the packet.
    #[error("rtp padding of {0} bytes does not fit the packet")]
    Padding(u8),
    /// The payload is something else, for example audio or FEC sent to the same port.
    #[error("rtp payload type {0} is neither 33 (MP2T) nor dynamic")]
    PayloadType(u8),
}

/// Parses one datagram (RFC 3550 §5.1, §5.3.1).
///
/// # Errors
/// A [`RtpDefect`] for anything that is not a whole RTP packet with MP2T or a dynamic payload type.
pub fn parse(datagram: &[u8]) -> Result<RtpPacket<'_>, RtpDefect> {
    let short = RtpDefect::Short(datagram.len());
    let Some((&[b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3], rest)) = datagram.split_first_chunk::<HEADER_BYTES>()
    else {
        return Err(short);
    };
    if b0 >> 6 != 2 {
        return Err(RtpDefect::Version(b0 >> 6));
    }
    let payload_type = b1 & 0x7F;
    if payload_type != MP2T && payload_type < 96 {
        return Err(RtpDefect::PayloadType(payload_type));
    }
    let mut payload = rest.get(4 * usize::from(b0 & 0x0F)..).ok_or(short)?;
    if b0 & 0x10 != 0 {
        let (&[_, _, high, low], body) = payload.split_first_chunk::<4>().ok_or(short)?;
        payload = body.get(4 * usize::from(u16::from_be_bytes([high, low]))..).ok_or(short)?;
    }
    if b0 & 0x20 != 0 {
        let padding = payload.last().copied().unwrap_or(0);
        let kept = payload.len().checked_sub(usize::from(padding)).filter(|_| padding > 0);
        payload = &payload[..kept.ok_or(RtpDefect::Padding(padding))?];
    }
    Ok(RtpPacket {
        payload_type,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        payload,
    })
}

/// Bounds of the reorder window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Packets held at most while one before them is missing, 1..=1024. The byte bound is this times the datagram size.
    pub packets_max: usize,
    /// Milliseconds a packet is held at most.
    pub wait_ms: u64,
}

impl Default for Window {
    /// 128 packets (about 160 kB) and 100 ms: more than gateways reorder, less than a viewer notices.
    fn default() -> Self {
        Self { packets_max: 128, wait_ms: 100 }
    }
}

/// What comes out, in sequence order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered<'a> {
    /// The next payload.
    Payload(&'a [u8]),
    /// This many packets before the next payload are given up.
    Lost(u64),
    /// The sender started a new sequence (other SSRC, or a jump that held): nothing joins what came before.
    Restarted,
}

/// Counts since the start; they never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpCounts {
    /// Datagrams that were no RTP packet for us.
    pub defects: u64,
    /// Payloads passed on.
    pub delivered: u64,
    /// Packets that arrived out of order and were put right.
    pub reordered: u64,
    /// Packets that arrived again.
    pub duplicates: u64,
    /// Packets that arrived after they were given up (they are also in `lost`).
    pub late: u64,
    /// Packets given up.
    pub lost: u64,
    /// Packets of a foreign sequence that did not hold.
    pub strays: u64,
    /// Times the sender started a new sequence.
    pub restarts: u64,
}

struct Held {
    since_ms: u64,
    payload: Vec<u8>,
}

/// A packet that fits no sequence yet; the next one decides whether the sender restarted.
struct Candidate {
    ssrc: u32,
    next: u16,
    payload: Vec<u8>,
}

/// The state of one RTP session: at most [`Window::packets_max`] packets held, and one candidate.
pub struct Reorder {
    window: Window,
    ssrc: Option<u32>,
    /// Extended number of the next payload to pass on; its low 16 bits are the sender's.
    next: u64,
    held: BTreeMap<u64, Held>,
    /// One bit per delivered number, indexed modulo `HISTORY`.
    delivered: Box<[bool]>,
    candidate: Option<Candidate>,
    /// Packets behind the sequence since the last one in it.
    behind: u16,
    spare: Vec<Vec<u8>>,
    counts: RtpCounts,
}

impl Reorder {
    /// An empty session.
    #[must_use]
    pub fn new(window: Window) -> Self {
        let packets_max = window.packets_max.clamp(1, usize::from(MISORDER_MAX));
        Self {
            window: Window { packets_max, ..window },
            ssrc: None,
            next: FIRST_CYCLE,
            held: BTreeMap::new(),
            delivered: vec![false; usize::try_from(HISTORY).expect("fits")].into_boxed_slice(),
            candidate: None,
            behind: 0,
            spare: Vec::new(),
            counts: RtpCounts::default(),
        }
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> RtpCounts {
        self.counts
    }

    /// When [`Self::tick`] has something to do, in the clock of `now_ms`; `None` when nothing is held.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        self.held.values().map(|held| held.since_ms).min().map(|since| since.saturating_add(self.window.wait_ms))
    }

    /// Takes one datagram at monotonic `now_ms`; calls `emit` for everything that is now in order. Datagrams that are
    /// no RTP packet are counted in [`RtpCounts::defects`] and named in the answer.
    ///
    /// # Errors
    /// The [`RtpDefect`] of a datagram that was not taken; what is held stays as it was.
    pub fn push(&mut self, datagram: &[u8], now_ms: u64, emit: &mut dyn FnMut(Ordered<'_>)) -> Result<(), RtpDefect> {
        let packet = parse(datagram).inspect_err(|_| self.counts.defects += 1)?;
        self.tick(now_ms, emit);
        match self.ssrc {
            None => {
                self.ssrc = Some(packet.ssrc);
                self.next = FIRST_CYCLE + u64::from(packet.sequence);
            }
            Some(ssrc) if ssrc != packet.ssrc => {
                self.probe(&packet, emit);
                return Ok(());
            }
            Some(_) => {}
        }
        let ahead = packet.sequence.wrapping_sub(low16(self.next));
        if ahead < DROPOUT_MAX {
            (self.candidate, self.behind) = (None, 0);
        }
        if ahead == 0 {
            self.counts.reordered += u64::from(!self.held.is_empty());
            self.deliver(packet.payload, emit);
            self.drain(emit);
        } else if ahead < DROPOUT_MAX {
            self.hold(self.next + u64::from(ahead), packet.payload, now_ms);
            self.skip_while(emit, |this| this.held.len() > this.window.packets_max);
        } else if ahead.wrapping_neg() <= MISORDER_MAX {
            self.behind += 1;
            if self.behind > BEHIND_MAX {
                self.restart(packet.ssrc, packet.sequence, emit);
                self.deliver(packet.payload, emit);
                return Ok(());
            }
            let number = self.next - u64::from(ahead.wrapping_neg());
            match self.delivered[slot(number)] {
                true => self.counts.duplicates += 1,
                false => self.counts.late += 1,
            }
        } else {
            self.probe(&packet, emit);
        }
        Ok(())
    }

    /// Gives up packets whose successors have waited longer than the window.
    pub fn tick(&mut self, now_ms: u64, emit: &mut dyn FnMut(Ordered<'_>)) {
        self.skip_while(emit, |this| this.deadline_ms().is_some_and(|deadline| deadline <= now_ms));
    }

    /// A packet outside the sequence: the second in a row of the same foreign sequence makes it the sequence.
    fn probe(&mut self, packet: &RtpPacket<'_>, emit: &mut dyn FnMut(Ordered<'_>)) {
        let following = packet.sequence.wrapping_add(1);
        match self.candidate.take() {
            Some(first) if first.ssrc == packet.ssrc && first.next == packet.sequence => {
                self.restart(packet.ssrc, packet.sequence.wrapping_sub(1), emit);
                self.deliver(&first.payload, emit);
                self.deliver(packet.payload, emit);
            }
            old => {
                self.counts.strays += u64::from(old.is_some());
                self.candidate =
                    Some(Candidate { ssrc: packet.ssrc, next: following, payload: packet.payload.to_vec() });
            }
        }
    }

    /// Lets out what is held of the old sequence and starts the new one at `sequence`.
    fn restart(&mut self, ssrc: u32, sequence: u16, emit: &mut dyn FnMut(Ordered<'_>)) {
        self.skip_while(emit, |this| !this.held.is_empty());
        self.counts.restarts += 1;
        emit(Ordered::Restarted);
        self.ssrc = Some(ssrc);
        self.delivered.fill(false);
        self.behind = 0;
        self.next = FIRST_CYCLE + u64::from(sequence);
    }

    fn hold(&mut self, number: u64, payload: &[u8], since_ms: u64) {
        if self.held.contains_key(&number) {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.reordered += u64::from(self.held.last_key_value().is_some_and(|(&last, _)| last > number));
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(payload);
        self.held.insert(number, Held { since_ms, payload: copy });
    }

    /// While `give_up` says so, counts the hole before the first held packet as lost and goes on from there.
    fn skip_while(&mut self, emit: &mut dyn FnMut(Ordered<'_>), give_up: impl Fn(&Self) -> bool) {
        while give_up(self) {
            let Some((&first, _)) = self.held.first_key_value() else {
                return;
            };
            let lost = first - self.next;
            for number in self.next..first {
                self.delivered[slot(number)] = false;
            }
            self.next = first;
            self.counts.lost += lost;
            emit(Ordered::Lost(lost));
            self.drain(emit);
        }
    }

    /// Passes on held packets as long as they follow.
    fn drain(&mut self, emit: &mut dyn FnMut(Ordered<'_>)) {
        while let Some(held) = self.held.remove(&self.next) {
            self.deliver(&held.payload, emit);
            self.spare.push(held.payload);
        }
    }

    fn deliver(&mut self, payload: &[u8], emit: &mut dyn FnMut(Ordered<'_>)) {
        self.delivered[slot(self.next)] = true;
        self.next += 1;
        self.counts.delivered += 1;
        emit(Ordered::Payload(payload));
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % HISTORY).expect("HISTORY fits usize")
}

fn low16(number: u64) -> u16 {
    u16::try_from(number & 0xFFFF).expect("masked to 16 bits")
}

#[cfg(test)]
mod tests;
