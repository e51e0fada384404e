//! Chooses which packets of a file make one pass of its loop, and when each is due.
//!
//! A pass runs from the first random access point of the leading track (the service's video, else its first audio) to the
//! last one, so whole groups of pictures. Of every other PID it takes whole PES packets and sections: those that begin in
//! the pass, with tails that lie behind it; and sound whose time fits, since sound is multiplexed a little early or late.
//! Times of the pass follow the service's PCR, stretched by the little that buffers differ between its two ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::es::AccessUnitScan;
use crate::package::programme::{Kind, Programme, ProgrammeWatch};
use crate::packet::{PACKET_BYTES, Packet, Pid, SYNC_BYTE, Scrambling};
use crate::pes::PesHeader;
use crate::table::Pat;
use crate::time::{Pts, Ticks90k};
use crate::timeline::{SourceClock, Step};

/// Files beyond this are not for looping; the index takes 16 bytes a packet besides.
const FILE_BYTES_MAX: usize = 1 << 30;
/// PAT and PMT are repeated so often where the file does so more rarely.
const TABLES_EVERY: Ticks90k = Ticks90k::from_millis(200);
/// PCR may go on by this much from one to the next; beyond it lies a jump.
const PCR_STEP_MAX: i64 = 90_000 * 2;

/// Why a file cannot be looped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// Larger than 1 GiB.
    #[error("file of {bytes} bytes is larger than 1 GiB")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not a run of 188-byte packets.
    #[error("no transport packets found")]
    NoPackets,
    /// No PAT, or none of its PMTs (or not that of the service asked for) is in the file.
    #[error("no programme map of the service found")]
    NoService,
    /// No track with video or audio has packets.
    #[error("no track of video or audio with packets found")]
    NoTrack,
    /// The video has no random access point, or nothing behind it.
    #[error("no random access point with pictures behind it")]
    NoEntry,
}

/// One packet of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which packet of the file.
    pub(super) packet: u32,
    /// When it is due, in ticks from the beginning of the pass; not falling.
    pub(super) due: u32,
    /// It is the tail of what began in the pass before.
    pub(super) is_tail: bool,
    /// Its counter in pass 0.
    pub(super) counter: u8,
}

/// From this packet of the file on, so much is added to the service's times.
type Jumps = Vec<(u32, i64)>;

/// What one pass is made of.
#[derive(Debug)]
pub(super) struct Index {
    /// Offset of the first packet in the file.
    pub(super) offset: usize,
    pub(super) length: Ticks90k,
    pub(super) entries: Vec<Entry>,
    /// Payload packets per pass of each PID.
    pub(super) counts: BTreeMap<Pid, u64>,
    /// PIDs whose times are evened out where the service's clock jumps inside the file.
    pub(super) service: BTreeSet<Pid>,
    pub(super) jumps: Jumps,
    /// The first PCR of each PID in the pass, and when its packet is due.
    pub(super) clocks: BTreeMap<Pid, (Pts, u32)>,
}

/// An access unit of the leading track.
#[derive(Debug, Clone, Copy)]
struct Unit {
    packet: usize,
    at: Ticks90k,
    random_access: bool,
}

/// The file as packets.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    bytes: &'a [u8],
}

impl<'a> File<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Packet number `index`, `None` past the end, without sync byte, or marked damaged.
    pub(super) fn packet(self, index: usize) -> Option<Packet<'a>> {
        let at = index.checked_mul(PACKET_BYTES)?;
        Packet::from_slice(self.bytes.get(at..at + PACKET_BYTES)?).filter(|packet| !packet.tei())
    }

    fn packets(self) -> impl Iterator<Item = (usize, Packet<'a>)> {
        (0..self.len()).filter_map(move |index| Some((index, self.packet(index)?)))
    }

    fn len(self) -> usize {
        self.bytes.len() / PACKET_BYTES
    }
}

impl Index {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`SpliceError`] when there is nothing to loop.
    pub(super) fn read(bytes: &[u8], service: Option<u16>) -> Result<Self, SpliceError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(SpliceError::TooLarge { bytes: bytes.len() });
        }
        let offset = first_packet(bytes).ok_or(SpliceError::NoPackets)?;
        let file = File::new(&bytes[offset..]);
        let (programme, pmts) = programme(file, service)?;
        let (units, jumps) = units(file, &programme)?;
        let (first, last, length) = span(&units)?;
        let pcr = Timing::of(file, &programme, &units, (first, last), length);
        let mut chosen = choose(file, &programme, (first, last), length, &jumps);
        prepend_tables(file, &pmts, first, &mut chosen);
        let mut timed = play_order(file, &pcr, length, &chosen);
        repeat_tables(file, &pmts, length, &mut timed);
        let mut index = Self {
            offset,
            length,
            entries: vec![],
            counts: BTreeMap::new(),
            service: programme.tracks.iter().map(|track| track.source_pid).chain([programme.pcr_pid]).collect(),
            jumps,
            clocks: BTreeMap::new(),
        };
        index.number(file, &timed);
        Ok(index)
    }

    /// Makes entries of packets in play order: counters and first PCRs.
    fn number(&mut self, file: File<'_>, timed: &[Timed]) {
        for Timed { due, is_head, packet: number } in timed {
            let Some(packet) = file.packet(*number) else { continue };
            let count = self.counts.entry(packet.pid()).or_default();
            *count += u64::from(packet.has_payload());
            let counter = count.wrapping_sub(1).to_le_bytes()[0] & 0x0F;
            let packet_number = u32::try_from(*number).expect("under 1 GiB there are under 2^23 packets");
            self.entries.push(Entry { packet: packet_number, due: *due, is_tail: !is_head, counter });
            let pcr = packet.adaptation().and_then(|adaptation| adaptation.pcr);
            if let Some(pcr) = pcr.filter(|_| *is_head) {
                let jump = self.jump_at(packet.pid(), packet_number);
                self.clocks.entry(packet.pid()).or_insert((Pts::new(pcr / 300).wrapping_add(jump), *due));
            }
        }
    }

    /// What is added to times of `pid` in this packet of the file to even out jumps.
    pub(super) fn jump_at(&self, pid: Pid, packet: u32) -> i64 {
        if self.jumps.is_empty() || !self.service.contains(&pid) {
            return 0;
        }
        let behind = self.jumps.partition_point(|(from, _)| *from <= packet);
        behind.checked_sub(1).map_or(0, |at| self.jumps[at].1)
    }
}

/// Where packets begin: the first place with sync bytes as far as the file goes, five at most.
fn first_packet(bytes: &[u8]) -> Option<usize> {
    let synced = |start: usize| {
        let mut places = (start..bytes.len()).step_by(PACKET_BYTES).take(5);
        bytes.len() >= start + PACKET_BYTES && places.all(|place| bytes[place] == SYNC_BYTE)
    };
    (0..PACKET_BYTES).find(|start| synced(*start))
}

/// The service to follow, and the PIDs of PAT and every PMT.
fn programme(file: File<'_>, service: Option<u16>) -> Result<(Programme, BTreeSet<Pid>), SpliceError> {
    let (mut watch, mut found, mut tables) = (ProgrammeWatch::new(service), None, BTreeSet::from([Pid::PAT]));
    for (_, packet) in file.packets() {
        if packet.pid() == Pid::PAT && packet.unit_start() {
            let section = packet.payload().get(1..).unwrap_or(&[]);
            let length = section.get(1..3).map_or(0, |l| 3 + usize::from(u16::from_be_bytes([l[0] & 0x0F, l[1]])));
            if let Some(Ok(pat)) = section.get(..length).map(Pat::parse) {
                tables.extend(pat.programmes.iter().map(|entry| entry.pmt_pid));
            }
        }
        if watch.wants(packet.pid()) && found.is_none() {
            found = watch.push(&packet);
        }
    }
    Ok((found.ok_or(SpliceError::NoService)?, tables))
}

/// The access units of the leading track, on a time base without jumps, and what evens the jumps out.
fn units(file: File<'_>, programme: &Programme) -> Result<(Vec<Unit>, Jumps), SpliceError> {
    let leads = |kind: &Kind| matches!(kind, Kind::Video(_) | Kind::Audio(_));
    for track in programme.tracks.iter().filter(|track| leads(&track.kind)) {
        let mut scan = match track.kind {
            Kind::Video(codec) => Some(AccessUnitScan::new(codec)),
            _ => None,
        };
        let (mut clock, mut base) = (SourceClock::new(None), None);
        let (mut units, mut jumps) = (Vec::<Unit>::new(), vec![]);
        for (index, packet) in file.packets().filter(|(_, packet)| packet.pid() == track.source_pid) {
            if packet.scrambling() != Scrambling::Clear {
                continue;
            }
            let mut payload = packet.payload();
            if packet.unit_start() {
                end_unit(&mut units, scan.as_mut());
                let Ok(header) = PesHeader::parse(payload) else { continue };
                let Some(stamp) = header.decode_time() else { continue };
                let step = clock.follow(Pts::new(stamp), Ticks90k::default());
                let offset = clock.anchor().map_or(0, |anchor| anchor.offset());
                let base = *base.get_or_insert(offset);
                if matches!(step, Step::Anchored(..)) && !units.is_empty() {
                    jumps.push((u32::try_from(index).expect("under 2^23 packets"), offset - base));
                }
                let at = clock.now().unwrap_or_default();
                units.push(Unit { packet: index, at, random_access: scan.is_none() });
                payload = header.payload(payload);
            }
            if let Some(scan) = &mut scan {
                scan.push(payload);
            }
        }
        // The last unit may be cut off by the end of the file; it is only the end of the one before.
        if units.len() > 1 {
            return Ok((units, jumps));
        }
    }
    Err(SpliceError::NoTrack)
}

fn end_unit(units: &mut [Unit], scan: Option<&mut AccessUnitScan>) {
    if let (Some(unit), Some(scan)) = (units.last_mut(), scan) {
        unit.random_access = scan.end().random_access;
        scan.begin();
    }
}

/// First packet of the pass, first packet behind it, and its length.
fn span(units: &[Unit]) -> Result<(usize, usize, Ticks90k), SpliceError> {
    let mut entries = units.iter().filter(|unit| unit.random_access);
    let first = entries.next().ok_or(SpliceError::NoEntry)?;
    let end = entries.next_back().or(units.last()).ok_or(SpliceError::NoEntry)?;
    let length = end.at - first.at;
    let fits = length > Ticks90k(0) && u32::try_from(length.0).is_ok();
    if fits { Ok((first.packet, end.packet, length)) } else { Err(SpliceError::NoEntry) }
}

/// When packets of the pass are due: points of (packet, time), straight lines between them.
struct Timing {
    points: Vec<(usize, i64)>,
}

impl Timing {
    fn of(file: File<'_>, programme: &Programme, units: &[Unit], span: (usize, usize), length: Ticks90k) -> Self {
        let pcrs: Vec<(usize, u64)> = file
            .packets()
            .filter(|(_, packet)| packet.pid() == programme.pcr_pid && packet.pid() != Pid::NULL)
            .filter_map(|(index, packet)| Some((index, packet.adaptation()?.pcr? / 300)))
            .collect();
        let mut points = even(&pcrs);
        if points.len() < 2 {
            points = units.iter().map(|unit| (unit.packet, unit.at.0)).collect();
        }
        let (begin, end) = (line(&points, span.0), line(&points, span.1));
        let stretch = |time: i64| {
            let (time, whole) = (i128::from(time - begin), i128::from((end - begin).max(1)));
            i64::try_from(time * i128::from(length.0) / whole).unwrap_or(0)
        };
        Self { points: points.iter().map(|(packet, time)| (*packet, stretch(*time))).collect() }
    }

    /// When a packet is due, and whether in the pass it belongs to (else so long into the next).
    fn due(&self, packet: usize, length: Ticks90k) -> (u32, bool) {
        let due = line(&self.points, packet).clamp(0, length.0.saturating_mul(2) - 1);
        let within = u32::try_from(due % length.0).expect("lengths fit 32 bits");
        (within, due < length.0)
    }
}

/// A packet of the file in play order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timed {
    due: u32,
    /// It plays in the pass it belongs to; tails play in the next.
    is_head: bool,
    packet: usize,
}

/// Puts packets in play order. A tail that reaches into the next pass ends before that begins anew on its PID.
fn play_order(file: File<'_>, timing: &Timing, length: Ticks90k, chosen: &[usize]) -> Vec<Timed> {
    let mut begins = BTreeMap::<Pid, u32>::new();
    let mut timed = vec![];
    for (packet, view) in chosen.iter().filter_map(|packet| Some((*packet, file.packet(*packet)?))) {
        let (due, is_head) = timing.due(packet, length);
        let begin = *begins.entry(view.pid()).or_insert(due);
        timed.push(Timed { due: if is_head { due } else { due.min(begin) }, is_head, packet });
    }
    timed.sort_unstable();
    timed
}

/// PCRs on one rising time base: a jump is bridged at the mean rate of the rest.
fn even(pcrs: &[(usize, u64)]) -> Vec<(usize, i64)> {
    let steps =
        || pcrs.windows(2).map(|pair| (pair[1].0 - pair[0].0, Pts::new(pair[1].1).signed_since(Pts::new(pair[0].1))));
    let is_good = |ticks: i64| (1..=PCR_STEP_MAX).contains(&ticks);
    let (packets, ticks) = steps()
        .filter(|(_, ticks)| is_good(*ticks))
        .fold((0_i64, 0_i64), |sum, (packets, ticks)| (sum.0 + i64::try_from(packets).unwrap_or(0), sum.1 + ticks));
    let mut time = 0;
    let mut points: Vec<_> = pcrs.first().map(|(packet, _)| (*packet, 0)).into_iter().collect();
    for ((packet, _), (span, step)) in pcrs.iter().skip(1).zip(steps()) {
        let bridged = i64::try_from(span).unwrap_or(0) * ticks / packets.max(1);
        time += if is_good(step) { step } else { bridged };
        points.push((*packet, time));
    }
    points
}

/// The value at `x` on the lines between points; the outer lines go on.
fn line(points: &[(usize, i64)], x: usize) -> i64 {
    let (Some(first), true) = (points.first(), points.len() > 1) else { return 0 };
    let right = points.partition_point(|(packet, _)| *packet <= x).clamp(1, points.len() - 1);
    let ((x0, y0), (x1, y1)) = (points[right - 1], points[right]);
    let wide = |x: usize| i128::try_from(x).unwrap_or(0);
    let run = (wide(x1) - wide(x0)).max(1);
    let y = i128::from(y0) + i128::from(y1 - y0) * (wide(x) - wide(x0)) / run;
    i64::try_from(y).unwrap_or(first.1)
}

/// A run of packets of one PID, from a unit start to before the next.
#[derive(Debug, Default)]
struct Run {
    packets: Vec<usize>,
    stamp: Option<i64>,
    /// For tables: the first section begins right behind the pointer, so nothing before is needed.
    clean: bool,
}

/// The packets of the pass, ascending.
fn choose(
    file: File<'_>,
    programme: &Programme,
    span: (usize, usize),
    length: Ticks90k,
    jumps: &[(u32, i64)],
) -> Vec<usize> {
    let mut runs = BTreeMap::<Pid, Vec<Run>>::new();
    for (index, packet) in file.packets().filter(|(_, packet)| packet.pid() != Pid::NULL) {
        let list = runs.entry(packet.pid()).or_default();
        if packet.unit_start() {
            let payload = packet.payload();
            let jump = jumps.iter().rev().find(|(from, _)| usize::try_from(*from).is_ok_and(|from| from <= index));
            let stamp = PesHeader::parse(payload).ok().and_then(|header| header.decode_time());
            let stamp = stamp.map(|stamp| Pts::new(stamp).wrapping_add(jump.map_or(0, |(_, extra)| *extra)));
            let stamp = stamp.map(|stamp| stamp.signed_since(Pts::default()));
            list.push(Run { packets: vec![], stamp, clean: payload.first() == Some(&0) });
        } else if list.is_empty() && !packet.has_payload() {
            // A PID of PCR alone has no units.
            list.push(Run::default());
        }
        if let Some(run) = list.last_mut() {
            run.packets.push(index);
        }
    }
    let sound: BTreeSet<Pid> = programme
        .tracks
        .iter()
        .filter(|track| matches!(track.kind, Kind::Audio(_)))
        .map(|track| track.source_pid)
        .collect();
    let mut chosen: Vec<usize> = vec![];
    for (pid, runs) in &runs {
        let taken = if sound.contains(pid) { sound_runs(runs, span, length) } else { plain_runs(runs, span) };
        let within = |packet: &usize| runs.len() > 1 || (span.0..span.1).contains(packet);
        chosen.extend(taken.iter().flat_map(|run| &run.packets).copied().filter(within));
    }
    chosen.sort_unstable();
    chosen
}

/// Whole units that begin in the pass. Tables are entered and left where a section begins.
fn plain_runs(runs: &[Run], span: (usize, usize)) -> &[Run] {
    let is_table = runs.iter().any(|run| run.clean && run.stamp.is_none());
    let start_at = |packet: usize| {
        let found =
            runs.iter().position(|run| run.packets[0] >= packet && (run.clean || !is_table || run.stamp.is_some()));
        found.unwrap_or(runs.len())
    };
    let (begin, end) = (start_at(span.0), start_at(span.1));
    // The file ends in the last unit: it may be cut off.
    let end = if end == runs.len() && runs.len() > 1 { end - 1 } else { end };
    runs.get(begin..end.max(begin)).unwrap_or(&[])
}

/// Units of sound whose times span the length of the pass, so that it goes on without gap or overlap.
fn sound_runs(runs: &[Run], span: (usize, usize), length: Ticks90k) -> &[Run] {
    let Some(begin) = runs.iter().position(|run| run.packets[0] >= span.0 && run.stamp.is_some()) else { return &[] };
    let (Some(first), whole) = (runs[begin].stamp, runs.len().saturating_sub(1).max(begin)) else { return &[] };
    let after =
        |run: &Run| run.stamp.map(|at| Pts::new(at.cast_unsigned()).signed_since(Pts::new(first.cast_unsigned())));
    let step = runs.get(begin + 1).and_then(after).filter(|step| (1..=90_000).contains(step)).unwrap_or(0);
    let fits = |run: &Run| after(run).is_none_or(|after| after < length.0 - step / 2);
    let count = runs[begin..whole].iter().take_while(|run| fits(run)).count();
    &runs[begin..begin + count]
}

/// Tables that stand before the pass, and not early in it, go to its beginning.
fn prepend_tables(file: File<'_>, tables: &BTreeSet<Pid>, first: usize, chosen: &mut Vec<usize>) {
    let mut before = BTreeMap::<Pid, (Vec<usize>, bool)>::new();
    for (index, packet) in file.packets().take_while(|(index, _)| *index < first) {
        let is_table = packet.payload().first() == Some(&0) && !packet.payload().starts_with(&[0, 0, 1]);
        let (last, open) = before.entry(packet.pid()).or_default();
        if packet.unit_start() {
            *open = is_table;
            if is_table {
                last.clear();
            }
        }
        if *open {
            last.push(index);
        }
    }
    let present: BTreeSet<Pid> = chosen.iter().filter_map(|index| Some(file.packet(*index)?.pid())).collect();
    let missing = before.into_iter().filter(|(pid, _)| tables.contains(pid) || !present.contains(pid));
    let mut missing: Vec<usize> = missing.flat_map(|(_, (packets, _))| packets).collect();
    missing.sort_unstable();
    chosen.splice(0..0, missing);
}

/// Repeats PAT and PMTs where the file leaves a receiver waiting for them.
fn repeat_tables(file: File<'_>, tables: &BTreeSet<Pid>, length: Ticks90k, timed: &mut Vec<Timed>) {
    let pid_of = |packet: usize| file.packet(packet).map(|packet| packet.pid());
    for pid in tables {
        let mut unit = vec![];
        let own =
            timed.iter().filter(|timed| timed.is_head && pid_of(timed.packet) == Some(*pid)).map(|timed| timed.packet);
        for packet in own {
            if !unit.is_empty() && file.packet(packet).is_some_and(|packet| packet.unit_start()) {
                break;
            }
            unit.push(packet);
        }
        let dues = timed.iter().filter(|timed| pid_of(timed.packet) == Some(*pid));
        let mut dues: Vec<i64> = dues.map(|timed| i64::from(timed.due)).collect();
        dues.push(length.0);
        let every = TABLES_EVERY.0;
        let mut extra = vec![];
        for pair in dues.windows(2).filter(|pair| pair[1] - pair[0] > 2 * every) {
            for step in 1..(pair[1] - pair[0]) / every {
                let due = u32::try_from(pair[0] + step * every).expect("lengths fit 32 bits");
                extra.extend(unit.iter().map(|packet| Timed { due, is_head: true, packet: *packet }));
            }
        }
        timed.extend(extra);
        timed.sort_by_key(|timed| timed.due);
    }
}
