//! A broadcaster with conditional access: announces it, scrambles, changes words, sends ECMs; and the relay that does so to
//! a live feed.
//!
//! Words are derived from the period's number, so that a test knows every one of them and can look for it where it must not
//! be. Only what the document and the standards say is used of the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headend_csa::{ControlWord, Kernel, Parity, Scrambler};
use headend_media::{
    crc,
    packet::{PACKET_BYTES, Packet, Pid},
    service::{ServiceWatch, StreamKind},
    text::TextDefaults,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{net::UdpSocket, task::JoinSet};

use crate::test_card::{Key, SYSTEM, seal};

/// ECMs repeat this often (ETSI ETR 289 has 100 ms to 1 s in the field).
const ECM_EVERY: Duration = Duration::from_millis(100);

/// PID of the ECMs.
pub const ECM_PID: u16 = 0x1F0;

/// PID of the EMMs.
pub const EMM_PID: u16 = 0x1F1;

/// The keys and words of one product.
#[derive(Debug, Clone)]
pub struct Broadcaster {
    product: u16,
    key: Key,
    /// Length of a crypto period.
    pub period: Duration,
}

impl Broadcaster {
    /// Words change every `period_secs` seconds.
    #[must_use]
    pub fn new(product: u16, key: Key, period_secs: u64) -> Self {
        Self { product, key, period: Duration::from_secs(period_secs) }
    }

    /// The word of a period.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn word(&self, period: u32) -> [u8; 8] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(&period.to_be_bytes());
        let bytes = mac.finalize().into_bytes();
        let [a, b, c, d, e, f, ..] = *bytes else { return [0; 8] };
        *ControlWord::with_checksums([a, b, c, d, e, f]).expose()
    }

    /// The ECM section of a period: its word and the next one's.
    #[must_use]
    pub fn ecm(&self, period: u32) -> Vec<u8> {
        let even = period.is_multiple_of(2);
        let (now, next) = (self.word(period), self.word(period + 1));
        let words = if even { [now, next].concat() } else { [next, now].concat() };
        let mut head = vec![if even { 0x80 } else { 0x81 }, 0x70, 48, 1, 1];
        head.extend(self.product.to_be_bytes());
        head.extend(period.to_be_bytes());
        let mut iv = [0; 16];
        iv[..4].copy_from_slice(&period.to_be_bytes());
        seal(&self.key, iv, &head, &words)
    }
}

/// Scrambles a transport stream packet by packet: every stream of every service, or of one.
pub struct Scrambling {
    broadcaster: Broadcaster,
    only: Option<u16>,
    watch: ServiceWatch,
    scrambler: Scrambler,
    slot: headend_csa::Slot,
    scrambled: BTreeSet<u16>,
    maps: BTreeSet<Pid>,
    period: Option<u32>,
    counters: BTreeMap<u16, u8>,
    next_ecm: Option<Instant>,
    /// An EMM to be sent with the ECMs.
    pub emm: Option<Vec<u8>>,
}

impl Scrambling {
    /// Scrambles with a broadcaster's words; `only` one service, or all.
    ///
    /// # Errors
    /// Never with a fresh scrambler.
    pub fn new(broadcaster: Broadcaster, only: Option<u16>) -> Result<Self> {
        let mut scrambler = Scrambler::new(Kernel::best());
        let slot = scrambler.keys.add().context("a slot")?;
        Ok(Self {
            broadcaster,
            only,
            watch: ServiceWatch::new(TextDefaults::default()),
            scrambler,
            slot,
            scrambled: BTreeSet::new(),
            maps: BTreeSet::new(),
            period: None,
            counters: BTreeMap::new(),
            next_ecm: None,
            emm: None,
        })
    }

    /// Scrambles packets in place, as of `since_start`; gives further packets to be sent, ECMs above all.
    pub fn packets(&mut self, packets: &mut [u8], since_start: Duration, now: Instant) -> Vec<u8> {
        for bytes in packets.as_chunks::<PACKET_BYTES>().0 {
            if let Some(packet) = Packet::new(bytes) {
                let mut changed = false;
                self.watch.push(&packet, &mut |_| changed = true);
                if changed {
                    self.follow();
                }
            }
        }
        let period = u32::try_from(since_start.as_millis() / self.broadcaster.period.as_millis()).unwrap_or(0);
        if self.period != Some(period) {
            self.period = Some(period);
            self.next_ecm = None;
            for (number, parity) in [(period, parity(period)), (period + 1, parity(period + 1))] {
                self.scrambler.keys.set(&self.slot, parity, &ControlWord::new(self.broadcaster.word(number)));
            }
        }
        self.scrambler.scramble(packets, parity(period));
        for bytes in packets.as_chunks_mut::<PACKET_BYTES>().0 {
            if Packet::new(bytes).is_some_and(|packet| packet.unit_start() && self.maps.contains(&packet.pid())) {
                announce(bytes);
            }
        }
        if self.next_ecm.is_some_and(|next| now < next) {
            return vec![];
        }
        self.next_ecm = Some(now + ECM_EVERY);
        let mut more = self.section(ECM_PID, &self.broadcaster.ecm(period));
        if let Some(emm) = self.emm.clone() {
            more.extend(self.section(1, &cat()));
            more.extend(self.section(EMM_PID, &emm));
        }
        more
    }

    fn follow(&mut self) {
        let chosen = |id: &u16| self.only.is_none_or(|only| only == *id);
        let services: Vec<_> = self.watch.services().list.iter().filter(|(id, _)| chosen(&id.0)).collect();
        self.maps = services.iter().filter_map(|(_, service)| service.pmt_pid).collect();
        let streams = services.iter().flat_map(|(_, service)| &service.streams);
        self.scrambled = streams.filter(|s| s.kind() != StreamKind::Data).map(|stream| stream.pid.value()).collect();
        for pid in 0..0x1FFF {
            if self.scrambled.contains(&pid) {
                self.scrambler.keys.assign(pid, &self.slot);
            } else {
                self.scrambler.keys.release(pid);
            }
        }
    }

    fn section(&mut self, pid: u16, section: &[u8]) -> Vec<u8> {
        let counter = self.counters.entry(pid).or_default();
        let [high, low] = pid.to_be_bytes();
        let stream = [&[0], section].concat();
        let mut packets = vec![];
        for (number, payload) in stream.chunks(PACKET_BYTES - 4).enumerate() {
            let start = if number == 0 { 0x40 } else { 0 };
            packets.extend([0x47, start | high, low, 0x10 | *counter]);
            packets.extend_from_slice(payload);
            packets.resize(packets.len().next_multiple_of(PACKET_BYTES), 0xFF);
            *counter = (*counter + 1) % 16;
        }
        packets
    }
}

fn parity(period: u32) -> Parity {
    if period.is_multiple_of(2) { Parity::Even } else { Parity::Odd }
}

fn ca_descriptor(pid: u16) -> [u8; 6] {
    let ([system_high, system_low], [high, low]) = (SYSTEM.to_be_bytes(), pid.to_be_bytes());
    [0x09, 4, system_high, system_low, 0xE0 | high, low]
}

fn cat() -> Vec<u8> {
    let mut section = vec![0x01, 0xB0, 15, 0xFF, 0xFF, 0xC1, 0, 0];
    section.extend(ca_descriptor(EMM_PID));
    crc::append(&mut section);
    section
}

/// Puts a CA_descriptor into a PMT that lies in one packet with room to spare; another is left as it is.
fn announce(packet: &mut [u8; PACKET_BYTES]) {
    let Some(start) = Packet::new(packet).map(|packet| packet.payload_offset() + 1) else { return };
    let Some(&[0x02, high, low]) = packet.get(start..start + 3) else { return };
    let length = usize::from(u16::from_be_bytes([high & 0x0F, low]));
    let Some(section) = packet.get(start..start + 3 + length).map(<[u8]>::to_vec) else { return };
    let descriptor = ca_descriptor(ECM_PID);
    if start + section.len() + descriptor.len() > PACKET_BYTES || section.len() < 16 {
        return;
    }
    let infos = usize::from(u16::from_be_bytes([section[10] & 0x0F, section[11]]));
    let [info_high, info_low] = u16::try_from(infos + descriptor.len()).unwrap_or(0).to_be_bytes();
    let [length_high, length_low] = u16::try_from(length + descriptor.len()).unwrap_or(0).to_be_bytes();
    let mut fresh = vec![0x02, high & 0xF0 | length_high, length_low];
    fresh.extend(&section[3..10]);
    fresh.extend([section[10] & 0xF0 | info_high, info_low]);
    fresh.extend(&section[12..12 + infos]);
    fresh.extend(descriptor);
    fresh.extend(&section[12 + infos..section.len() - 4]);
    crc::append(&mut fresh);
    packet[start..start + fresh.len()].copy_from_slice(&fresh);
    packet[start + fresh.len()..].fill(0xFF);
}

/// What a relay has sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// The packets of scrambled streams as they were before, in order.
    pub clear: Vec<[u8; PACKET_BYTES]>,
    /// The last period that was begun.
    pub period: u32,
}

/// A relay between a sender and the node: takes datagrams, scrambles, sends on, until it is dropped.
pub struct Relay {
    sent: Arc<Mutex<Sent>>,
    emm: Arc<Mutex<Option<Vec<u8>>>>,
    _task: JoinSet<()>,
}

impl Relay {
    /// Relays from one address to another.
    ///
    /// # Errors
    /// When a socket cannot be had.
    pub async fn start(from: SocketAddr, to: SocketAddr, scrambling: Scrambling) -> Result<Self> {
        let input = UdpSocket::bind(from).await.context("the relay's input")?;
        let output = UdpSocket::bind((from.ip(), 0)).await.context("the relay's output")?;
        output.connect(to).await?;
        let (sent, emm) = (Arc::new(Mutex::new(Sent::default())), Arc::new(Mutex::new(None)));
        let mut task = JoinSet::new();
        task.spawn(relay(input, output, scrambling, (Arc::clone(&sent), Arc::clone(&emm))));
        Ok(Self { sent, emm, _task: task })
    }

    /// What was sent so far, looked at.
    pub fn sent<T>(&self, look: impl FnOnce(&Sent) -> T) -> T {
        look(&self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends this EMM from now on, and a CAT that announces it.
    pub fn send_emm(&self, emm: Vec<u8>) {
        *self.emm.lock().unwrap_or_else(PoisonError::into_inner) = Some(emm);
    }
}

type Ledger = (Arc<Mutex<Sent>>, Arc<Mutex<Option<Vec<u8>>>>);

async fn relay(input: UdpSocket, output: UdpSocket, mut scrambling: Scrambling, (sent, emm): Ledger) {
    let (start, mut buffer) = (Instant::now(), [0; 65_536]);
    while let Ok(length) = input.recv(&mut buffer).await {
        let packets = &mut buffer[..length];
        let before = packets.to_vec();
        scrambling.emm = emm.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = Instant::now();
        let more = scrambling.packets(packets, now - start, now);
        {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.period = scrambling.period.unwrap_or(0);
            let ours = |bytes: &&[u8; PACKET_BYTES]| {
                Packet::new(bytes).is_some_and(|packet| scrambling.scrambled.contains(&packet.pid().value()))
            };
            sent.clear.extend(before.as_chunks::<PACKET_BYTES>().0.iter().filter(ours));
        }
        // The ECM goes first: a receiver that hears it has the word before the packets.
        for datagram in [&more[..], packets].into_iter().filter(|bytes| !bytes.is_empty()) {
            if output.send(datagram).await.is_err() {
                // The node is not there yet, or is away.
                continue;
            }
        }
    }
}
