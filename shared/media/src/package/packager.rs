//! The packager: packets of one source at a time in, numbered segments out.
//!
//! Sans-IO and deterministic: which bytes come out depends on the packets, the profile and the anchor. Arrival times only
//! set an anchor where none is usable, and tell lost packets from a jump of the source's clock (see
//! [`SourceClock`]). One packager per channel; the shell calls [`Packager::push`] with what it receives,
//! [`Packager::change_source`] when another source is chosen, and [`Packager::fill_slate`] while there is none.

use std::sync::Arc;

use super::assembly::{Assembly, Emit, Outcome};
use super::event::{DefectKind, Event, Profile, Resume, SourceStart, layout_of};
use super::mapper::{Lane, Mapper, PcrSource, remove};
use super::programme::{Kind, Programme, ProgrammeWatch, Track};
use super::psi::Tables;
use super::slate::Slate;
use crate::continuity::{Counter, Verdict};
use crate::es::{self, AccessUnitScan, Entry};
use crate::packet::{PACKET_BYTES, Packet, Pid, Scrambling};
use crate::pes::PesHeader;
use crate::time::{Pts, TICKS_PER_SECOND, Ticks90k};
use crate::timeline::{AnchorReason, SourceClock, Step};

/// A picture is shown at most this long after it is decoded; more is a damaged stamp.
const REORDER_MAX: i64 = 10 * TICKS_PER_SECOND;
/// Sound that goes on for so long without a picture (or the first sound track) takes the lead until one comes.
const LEAD_AWAITED: i64 = 3 * TICKS_PER_SECOND;
/// PES packets of a track that are searched for a frame header.
const SNIFFS_MAX: u8 = 100;

/// What a packet of some PID is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    None,
    Table,
    /// PCR alone, or a track that is awaited.
    Pcr,
    Track(u8),
}

/// Packages one channel.
#[derive(Debug)]
pub struct Packager {
    assembly: Assembly,
    watch: ProgrammeWatch,
    /// Counters of PAT and PMT.
    table_counters: [Counter; 2],
    /// The source's programme as it announces it.
    announced: Programme,
    /// It changes in flight: the next cut puts this one in force.
    next_programme: Option<Programme>,
    /// Until the lead is seen: the first time of another track's sound.
    sound_since: Option<Pts>,
    /// Announced tracks of video and sound that have no packets and were taken out; they are put back when some come.
    absent: Vec<Pid>,
    /// The source was just changed: the next programme is its first.
    fresh_source: bool,
    /// The tracks in force, and what was learnt of them.
    tracks: Vec<Track>,
    lanes: Vec<Lane>,
    /// Tries left to read a frame header, per track.
    sniffs: Vec<u8>,
    roles: Box<[Role]>,
    reference: Option<usize>,
    scan: Option<AccessUnitScan>,
    clock: SourceClock,
    mapper: Mapper,
}

impl Packager {
    /// A packager with no source yet. `resume` is what the channel gave out last, before a restart; numbers go on from
    /// there and the hole is filled with slate.
    #[must_use]
    pub fn new(profile: Profile, resume: Option<Resume>, slate: Arc<Slate>) -> Self {
        Self {
            assembly: Assembly::new(profile, resume, slate),
            watch: ProgrammeWatch::new(None),
            table_counters: Default::default(),
            announced: Programme::default(),
            next_programme: None,
            sound_since: None,
            absent: vec![],
            fresh_source: true,
            tracks: vec![],
            lanes: vec![],
            sniffs: vec![],
            roles: vec![Role::None; Pid::COUNT].into_boxed_slice(),
            reference: None,
            scan: None,
            clock: SourceClock::new(None),
            mapper: Mapper::new(),
        }
    }

    /// Packets come from another source from now on, or from the first. The open segment goes on with the new source's
    /// first random access point that does not step back, if its tracks have the same codings; else it ends.
    pub fn change_source(&mut self, source: SourceStart, emit: Emit<'_>) {
        self.cut_short();
        self.assembly.join();
        self.assembly.flush(emit);
        self.watch = ProgrammeWatch::new(source.service);
        self.absent.clear();
        self.table_counters = Default::default();
        self.clock = SourceClock::new(source.anchor);
        self.mapper.start(source.anchor.map_or(0, |anchor| anchor.offset()));
        (self.next_programme, self.fresh_source) = (None, true);
        self.lanes.clear();
        self.set_roles();
    }

    /// Takes the next packets of the source: 188 bytes each, any number. `arrived` is the UTC time they came at.
    pub fn push(&mut self, packets: &[u8], arrived: Ticks90k, emit: Emit<'_>) {
        let (whole, rest) = packets.as_chunks::<PACKET_BYTES>();
        for bytes in whole {
            match Packet::new(bytes) {
                Some(packet) => self.packet(&packet, arrived, emit),
                None => defect(DefectKind::NoSync, Pid::NULL, 1, emit),
            }
        }
        if !rest.is_empty() {
            defect(DefectKind::NoSync, Pid::NULL, 1, emit);
        }
        self.assembly.flush(emit);
    }

    /// The source is silent: the open segment ends with what it has. Under 200 ms of content leave its number to the
    /// slate. Packets of the same source may follow later.
    pub fn source_lost(&mut self, emit: Emit<'_>) {
        self.cut_short();
        self.assembly.close(emit);
        self.clock.pause();
        self.mapper.forget_pcr();
    }

    /// Emits slate for every number that ends at or before `until`, at most [`FILL_MAX`](super::FILL_MAX) of them. To be
    /// called while there is no source; while a segment is open it waits until that is overdue, then ends it.
    pub fn fill_slate(&mut self, until: Ticks90k, emit: Emit<'_>) {
        if self.assembly.is_overdue(until) {
            self.source_lost(emit);
        }
        self.assembly.fill_until(until, emit);
    }

    fn packet(&mut self, packet: &Packet<'_>, arrived: Ticks90k, emit: Emit<'_>) {
        let pid = packet.pid();
        let role = self.roles[pid.index()];
        if role == Role::None {
            return;
        }
        if packet.tei() {
            return defect(DefectKind::TransportError, pid, 1, emit);
        }
        match role {
            Role::Table => self.table(packet, emit),
            Role::Track(index) => self.track(usize::from(index), packet, arrived, emit),
            Role::Pcr if packet.unit_start() && self.absent.contains(&pid) => {
                self.absent.clear();
                self.fresh_source = true;
                self.cut_short();
                self.assembly.close(emit);
                self.announce(self.announced.clone(), emit);
            }
            Role::Pcr | Role::None => {}
        }
        if self.mapper.pcr_source == PcrSource::Other(pid) && self.assembly.accepts() {
            let pcr = packet.adaptation().and_then(|adaptation| adaptation.pcr);
            let result = pcr.map_or(Ok(()), |pcr| self.mapper.append_pcr(pcr, &mut self.assembly.draft));
            report(result, pid, emit);
        }
    }

    fn table(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        let pid = packet.pid();
        let counter = &mut self.table_counters[usize::from(pid != Pid::PAT)];
        match counter.judge(packet) {
            Verdict::Ok => {}
            Verdict::Gap { missing } => {
                defect(DefectKind::Continuity, pid, missing.into(), emit);
                self.watch.reset(pid);
            }
            Verdict::Duplicate | Verdict::Repeated => return defect(DefectKind::Duplicate, pid, 1, emit),
        }
        let found = self.watch.push(packet);
        let damaged = self.watch.take_damaged();
        if damaged > 0 {
            defect(DefectKind::Table, pid, damaged, emit);
        }
        if pid == Pid::PAT {
            self.set_roles();
        }
        if let Some(programme) = found {
            self.announce(programme, emit);
        }
    }

    /// The source announces new tracks. They are put in force at the next cut, so that a segment has one set of tracks;
    /// at once where the cut would have to come from a stream that is no longer there.
    fn announce(&mut self, programme: Programme, emit: Emit<'_>) {
        let lead = |programme: &Programme| {
            let track = &programme.tracks[programme.reference()?];
            Some((track.source_pid, track.kind))
        };
        if !self.fresh_source && self.assembly.is_open() && lead(&programme) == lead(&self.announced) {
            self.next_programme = Some(programme);
            return;
        }
        if layout_of(&programme.tracks, false) == layout_of(&self.announced.tracks, false) {
            self.cut_short();
            self.assembly.join();
        } else {
            self.cut_short();
            self.assembly.close(emit);
        }
        self.fresh_source = false;
        self.install(programme, emit);
    }

    /// Puts a programme in force; what the draft holds of tracks that are no longer there is taken out.
    fn install(&mut self, programme: Programme, emit: Emit<'_>) {
        (self.next_programme, self.sound_since) = (None, None);
        let announced = programme.clone();
        let programme = self.without_absent(programme);
        let old = std::mem::take(&mut self.lanes);
        for lane in &old {
            let stays =
                programme.tracks.iter().any(|track| (track.source_pid, track.pid) == (lane.source_pid, lane.pid));
            if !stays && !self.assembly.is_joining() {
                remove(lane.pid, 0, &mut self.assembly.draft);
                self.mapper.seam.forget(lane.pid);
            }
        }
        let mut old: Vec<_> = old.into_iter().map(Some).collect();
        self.lanes = programme
            .tracks
            .iter()
            .map(|track| {
                let same = |lane: &&mut Option<Lane>| {
                    lane.as_ref().is_some_and(|lane| (lane.source_pid, lane.pid) == (track.source_pid, track.pid))
                };
                old.iter_mut().find(same).and_then(Option::take).unwrap_or_else(|| Lane::new(track))
            })
            .collect();
        self.sniffs = vec![SNIFFS_MAX; programme.tracks.len()];
        self.mapper.pcr_source = PcrSource::of(programme.pcr_pid, &programme.tracks);
        self.reference = programme.reference();
        self.scan = self.reference.and_then(|index| match programme.tracks[index].kind {
            Kind::Video(codec) => Some(AccessUnitScan::new(codec)),
            _ => None,
        });
        self.tracks = programme.tracks.clone();
        self.announced = announced;
        self.set_roles();
        self.tracks_changed(emit);
    }

    fn without_absent(&mut self, mut programme: Programme) -> Programme {
        self.absent.retain(|pid| programme.tracks.iter().any(|track| track.source_pid == *pid));
        if self.absent.contains(&programme.pcr_pid) {
            programme.pcr_pid = Pid::NULL;
        }
        programme.tracks.retain(|track| !self.absent.contains(&track.source_pid));
        programme
    }

    /// Sound of a service whose lead may have no packets at all, as at night or in a faulty multiplex.
    fn await_lead(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        if self.reference.is_none_or(|index| self.lanes[index].seen) {
            return;
        }
        let Some(stamp) = PesHeader::parse(packet.payload()).ok().and_then(|header| header.decode_time()) else {
            return;
        };
        let since = *self.sound_since.get_or_insert(Pts::new(stamp));
        if Pts::new(stamp).signed_since(since) >= LEAD_AWAITED {
            let unseen =
                self.lanes.iter().filter(|lane| !lane.seen && matches!(lane.kind, Kind::Video(_) | Kind::Audio(_)));
            self.absent.extend(unseen.map(|lane| lane.source_pid));
            self.fresh_source = true;
            self.announce(self.announced.clone(), emit);
        }
    }

    fn tracks_changed(&mut self, emit: Emit<'_>) {
        let pcr = self.mapper.pcr_source.output_pid();
        let tables = Tables::new(self.assembly.programme_number(), pcr, &self.tracks);
        self.assembly.set_tables(tables, layout_of(&self.tracks, false));
        emit(Event::Tracks(self.tracks.clone()));
    }

    fn set_roles(&mut self) {
        self.roles.fill(Role::None);
        for (index, lane) in self.lanes.iter().enumerate() {
            self.roles[lane.source_pid.index()] = Role::Track(u8::try_from(index).expect("at most 33 tracks"));
        }
        let pcr = match self.mapper.pcr_source {
            PcrSource::Other(pid) if !self.lanes.is_empty() => Some(pid),
            _ => None,
        };
        for pid in pcr.into_iter().chain(self.absent.iter().copied()) {
            if self.roles[pid.index()] == Role::None {
                self.roles[pid.index()] = Role::Pcr;
            }
        }
        for pid in self.watch.pids() {
            self.roles[pid.index()] = Role::Table;
        }
    }

    fn track(&mut self, index: usize, packet: &Packet<'_>, arrived: Ticks90k, emit: Emit<'_>) {
        let (pid, lane) = (packet.pid(), &mut self.lanes[index]);
        match lane.counter.judge(packet) {
            Verdict::Ok => {}
            Verdict::Gap { missing } => defect(DefectKind::Continuity, pid, missing.into(), emit),
            Verdict::Duplicate | Verdict::Repeated => return defect(DefectKind::Duplicate, pid, 1, emit),
        }
        lane.seen |= packet.unit_start();
        let leads = self.reference == Some(index);
        if packet.scrambling() != Scrambling::Clear && packet.has_payload() {
            lane.stop();
            if leads {
                self.resolve_at_end(emit);
            }
            return defect(DefectKind::Scrambled, pid, 1, emit);
        }
        if leads && packet.unit_start() {
            self.resolve_at_end(emit);
            self.access_unit(packet, arrived, emit);
        } else if packet.unit_start() && matches!(self.lanes[index].kind, Kind::Audio(_)) {
            self.await_lead(packet, emit);
        }
        if !self.assembly.accepts() {
            return;
        }
        let result = self.mapper.append(&mut self.lanes[index], packet, &mut self.assembly.draft);
        report(result, pid, emit);
        if leads && self.lanes[index].running {
            self.scan(packet, emit);
        } else if packet.unit_start() {
            self.sniff(index, packet, emit);
        }
        if self.assembly.is_full() {
            defect(DefectKind::SegmentFull, pid, 1, emit);
            self.cut_short();
            self.assembly.close(emit);
        }
    }

    /// An access unit of the reference track starts with this packet: follows its time and makes it a candidate.
    fn access_unit(&mut self, packet: &Packet<'_>, arrived: Ticks90k, emit: Emit<'_>) {
        let header = PesHeader::parse(packet.payload()).ok();
        let Some((header, stamp)) = header.and_then(|header| Some((header, Pts::new(header.decode_time()?)))) else {
            return;
        };
        if let Step::Anchored(anchor, reason) = self.clock.follow(stamp, arrived) {
            match reason {
                AnchorReason::Jump => self.mapper.jump(anchor.offset()),
                AnchorReason::Missing | AnchorReason::Astray => self.mapper.start(anchor.offset()),
            }
            emit(Event::Anchored(anchor, reason));
        }
        let Some(now) = self.clock.now() else { return };
        self.mapper.set_now(now.to_pts());
        let shown_after = header.pts.map_or(0, |pts| Pts::new(pts).signed_since(stamp));
        let at = if (0..=REORDER_MAX).contains(&shown_after) { now + Ticks90k(shown_after) } else { now };
        self.assembly.candidate(at, at + self.clock.step());
        self.mapper.seam.mark();
        match &mut self.scan {
            Some(scan) => scan.begin(),
            // Sound can be entered at every PES packet.
            None => self.resolve(Entry::Independent, emit),
        }
        if self.assembly.accepts() {
            self.mapper.make_pcr(&mut self.assembly.draft);
        }
    }

    /// The access unit that is pending is over, or what is left of it will not come.
    fn resolve_at_end(&mut self, emit: Emit<'_>) {
        if self.assembly.is_pending() {
            let verdict = self.scan.as_mut().map(AccessUnitScan::end);
            self.learn_video(verdict, emit);
        }
    }

    /// Looks for the first picture header in the reference track's packet that was just appended.
    fn scan(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        let Some(scan) = self.scan.as_mut().filter(|_| self.assembly.is_pending()) else {
            if packet.unit_start() {
                self.sniff_reference(packet, emit);
            }
            return;
        };
        let payload = packet.payload();
        let header_bytes =
            if packet.unit_start() { PesHeader::parse(payload).map_or(0, |h| h.header_bytes) } else { 0 };
        scan.push(payload.get(header_bytes..).unwrap_or(&[]));
        if let Some(verdict) = scan.verdict().cloned() {
            self.learn_video(Some(verdict), emit);
        }
    }

    fn learn_video(&mut self, verdict: Option<es::Verdict>, emit: Emit<'_>) {
        let (entry, parameters) = verdict.map_or((Entry::None, None), |v| (v.entry(), v.parameters));
        self.resolve(entry, emit);
        let track = self.reference.and_then(|index| self.tracks.get_mut(index));
        if let Some(track) =
            track.filter(|track| entry != Entry::None && parameters.is_some() && track.video != parameters)
        {
            track.video = parameters;
            emit(Event::Tracks(self.tracks.clone()));
        }
    }

    fn resolve(&mut self, entry: Entry, emit: Emit<'_>) {
        match self.assembly.resolve(entry, emit) {
            Outcome::Stayed => {}
            Outcome::Began { cut } => {
                self.lanes.iter_mut().for_each(|lane| lane.rebase(cut));
                if let Some(programme) = self.next_programme.take() {
                    self.install(programme, emit);
                }
            }
            Outcome::Dropped => {
                self.lanes.iter_mut().for_each(Lane::drop_back);
                self.mapper.seam.back_to_mark();
            }
        }
    }

    fn sniff_reference(&mut self, packet: &Packet<'_>, emit: Emit<'_>) {
        if let Some(index) = self.reference {
            self.sniff(index, packet, emit);
        }
    }

    /// Reads the frame header of an audio track, and corrects its coding where the PMT is wrong.
    fn sniff(&mut self, index: usize, packet: &Packet<'_>, emit: Emit<'_>) {
        let (track, tries) = (&mut self.tracks[index], &mut self.sniffs[index]);
        let Kind::Audio(announced) = track.kind else { return };
        if *tries == 0 {
            return;
        }
        *tries -= 1;
        let payload = packet.payload();
        let Some(frames) = PesHeader::parse(payload).ok().and_then(|header| payload.get(header.header_bytes..)) else {
            return;
        };
        let codec = es::sniff(frames).unwrap_or(announced);
        let Ok(parameters) = es::first_frame(codec, frames) else { return };
        *tries = 0;
        track.kind = Kind::Audio(codec);
        track.audio = Some(parameters);
        self.tracks_changed(emit);
    }

    /// What is coming in will not be finished: takes unfinished PES packets out of the draft.
    fn cut_short(&mut self) {
        for lane in &mut self.lanes {
            self.mapper.trim(lane, &mut self.assembly.draft);
        }
        self.assembly.abandon();
    }
}

fn defect(kind: DefectKind, pid: Pid, count: u64, emit: Emit<'_>) {
    emit(Event::Defect { kind, pid, count });
}

fn report(result: Result<(), DefectKind>, pid: Pid, emit: Emit<'_>) {
    if let Err(kind) = result {
        defect(kind, pid, 1, emit);
    }
}
