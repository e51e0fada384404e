//! Looks at the packets of one input: which of its wanted services are scrambled, and whether they come out clear.
//!
//! Runs on the input's own thread, once for each batch, and waits for nothing. It changes no packet: what a module
//! descrambles is clear in the card already. What it sees is put on the board of [`Cams`] at its edges.

use std::sync::Arc;

use headend_media::{
    packet::{PACKET_BYTES, Packet, Scrambling},
    service::{Service, ServiceId, Services, StreamKind},
};

use super::{
    ca_pmt::{Programme, ServiceKey},
    desk::Cams,
    list::View,
};
use crate::input::Wanted;

/// Packets are judged together for so long.
const WINDOW_MS: u64 = 250;
/// Without a packet for so long a service is quiet.
const QUIET_MS: u64 = 2_000;
/// Services of one input: bits of a number.
const LINES_MAX: usize = 64;
/// A module may let a packet through as it changes keys: so many in a thousand are no trouble.
const LEAK_PERMILLE: u32 = 20;

struct Line {
    programme: Programme,
    clear: u32,
    scrambled: u32,
    heard_ms: u64,
    view: View,
}

/// The eye on one input.
pub(super) struct Watch {
    cams: Cams,
    input: Arc<str>,
    services: Arc<Services>,
    wanted_version: u64,
    tuner: Option<Arc<str>>,
    lines: Vec<Line>,
    /// For each PID the lines it belongs to; empty while there are none.
    lines_of: Vec<u64>,
    window_ms: u64,
}

impl Watch {
    pub(super) fn new(input: &str, cams: Cams) -> Self {
        Self {
            cams,
            input: input.into(),
            services: Arc::default(),
            wanted_version: 0,
            tuner: None,
            lines: vec![],
            lines_of: vec![],
            window_ms: 0,
        }
    }

    /// Takes a batch.
    pub(super) fn look(&mut self, packets: &[u8], services: &Arc<Services>, wanted: &Wanted, now_ms: u64) {
        let version = wanted.version();
        if version != self.wanted_version || !Arc::ptr_eq(services, &self.services) {
            (self.services, self.wanted_version, self.tuner) = (Arc::clone(services), version, wanted.tuner());
            self.gather(wanted, now_ms);
        }
        if self.lines.is_empty() {
            return;
        }
        for bytes in packets.as_chunks::<PACKET_BYTES>().0 {
            let Some(packet) = Packet::new(bytes).filter(|packet| packet.has_payload() && !packet.tei()) else {
                continue;
            };
            let mut lines = self.lines_of[packet.pid().index()];
            let clear = packet.scrambling() == Scrambling::Clear;
            while lines != 0 {
                let line = &mut self.lines[lines.trailing_zeros() as usize];
                line.heard_ms = now_ms;
                *(if clear { &mut line.clear } else { &mut line.scrambled }) += 1;
                lines &= lines - 1;
            }
        }
        if now_ms >= self.window_ms + WINDOW_MS {
            self.window_ms = now_ms;
            self.judge(now_ms);
        }
    }

    /// Finds the services that are wanted and announced with a CA system.
    fn gather(&mut self, wanted: &Wanted, now_ms: u64) {
        let ids = wanted.services();
        let first = self.services.list.keys().next().filter(|_| ids.contains(&None));
        let mut chosen: Vec<ServiceId> = ids.iter().flatten().chain(first).copied().collect();
        chosen.sort_unstable();
        chosen.dedup();
        let mut old = std::mem::take(&mut self.lines);
        self.lines_of = vec![];
        for id in chosen {
            let Some(service) = self.services.list.get(&id) else { continue };
            let key = ServiceKey { input: Arc::clone(&self.input), service: id };
            let Some(programme) = Programme::of(key, service).filter(|one| !one.systems().is_empty()) else { continue };
            if self.lines.len() == LINES_MAX || self.tuner.is_none() {
                break;
            }
            let bit = 1 << self.lines.len();
            self.lines_of.resize(headend_media::packet::Pid::COUNT, 0);
            for pid in pids(service) {
                self.lines_of[pid] |= bit;
            }
            let kept = old.iter().position(|line| line.programme.key == programme.key).map(|at| old.swap_remove(at));
            self.lines.push(match kept {
                Some(line) => Line { programme, ..line },
                None => Line { programme, clear: 0, scrambled: 0, heard_ms: now_ms, view: View::Quiet },
            });
        }
        self.post();
    }

    fn judge(&mut self, now_ms: u64) {
        let mut changed = false;
        for line in &mut self.lines {
            let (clear, scrambled) = (std::mem::take(&mut line.clear), std::mem::take(&mut line.scrambled));
            let view = match scrambled.saturating_mul(1_000).checked_div(clear + scrambled) {
                Some(permille) if permille > LEAK_PERMILLE => View::Scrambled,
                Some(_) => View::Clear,
                None if now_ms >= line.heard_ms + QUIET_MS => View::Quiet,
                None => line.view,
            };
            changed |= view != line.view;
            line.view = view;
        }
        if changed {
            self.post();
        }
    }

    fn post(&self) {
        let seen = self.lines.iter().map(|line| (line.programme.clone(), line.view)).collect();
        self.cams.post(&self.input, self.tuner.as_ref(), seen);
    }
}

/// The input is closed: nothing of it is wanted any more.
impl Drop for Watch {
    fn drop(&mut self) {
        self.cams.post(&self.input, None, vec![]);
    }
}

/// PIDs that show whether a service is clear: those with sound and picture when it has any.
fn pids(service: &Service) -> Vec<usize> {
    let of = |any: bool| {
        let streams = service.streams.iter().filter(move |stream| any || stream.kind() != StreamKind::Data);
        streams.map(|stream| stream.pid.index()).collect::<Vec<_>>()
    };
    let shown = of(false);
    if shown.is_empty() { of(true) } else { shown }
}
