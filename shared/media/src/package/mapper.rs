//! Moves packets of a source to the channel's PIDs and times.
//!
//! Sans-IO: one packet in, its mapped copy at the end of a [`Draft`]. PTS, DTS and PCR get the anchor's offset (ISO/IEC
//! 13818-1 §2.4.3.5, §2.4.3.7); elementary stream bytes are never touched. Counters are `counters`' job. Stamps that cannot
//! belong to the moment they came in (the other half of a jump, bit errors) are held back rather than passed on, since a
//! player stalls on one bad stamp.

use super::counters::{Draft, REMOVED};
use super::event::DefectKind;
use super::programme::{Kind, Track};
use super::psi;
use super::seam::Seam;
use crate::continuity::Counter;
use crate::packet::{PACKET_BYTES, Packet, Pid, SYNC_BYTE};
use crate::pes::{PesHeader, map_timestamps};
use crate::time::{Pts, TICKS_PER_SECOND};

/// How far a track's stamps may lie from the reference track's decoding time.
const SKEW_MAX: i64 = 10 * TICKS_PER_SECOND;
/// How much that distance may change from one PES packet of audio to the next.
const SKEW_STEP_MAX: i64 = 2 * TICKS_PER_SECOND;
/// So many PES packets astray in a row make the track's own distance be learnt anew.
const STRAYS_MAX: u8 = 25;
/// A PCR this far ahead of the decoding time belongs to another time base: data comes before it is decoded.
const PCR_AHEAD_MAX: i64 = TICKS_PER_SECOND / 2;
/// PCR of our own making: this long before the decoding time, as broadcast encoders do.
const PCR_DELAY: i64 = TICKS_PER_SECOND * 7 / 10;
/// DVB asks for a PCR at least every 40 ms (ETSI TS 101 154 §4.1.5.3).
const PCR_STEP: i64 = TICKS_PER_SECOND / 25;
/// Beyond this a gap between decoding times is a hole, and is not filled with PCR.
const PCR_FILL_MAX: i64 = TICKS_PER_SECOND;

/// `stream_id` of PES packets that carry nothing (§2.4.3.7).
const PADDING_STREAM: u8 = 0xBE;
const ADAPTATION_FLAGS: usize = 5;
const FLAG_DISCONTINUITY: u8 = 0x80;
const FLAG_PCR: u8 = 0x10;
const FLAG_OPCR: u8 = 0x08;
const FLAG_EXTENSION: u8 = 0x01;
const PCR_FIELD_BYTES: usize = 6;

/// One track on its way from the source's PID to ours.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) source_pid: Pid,
    pub(crate) pid: Pid,
    pub(crate) kind: Kind,
    /// Judges the source's continuity counters.
    pub(crate) counter: Counter,
    /// A PES packet of it has come.
    pub(crate) seen: bool,
    /// The PES packet that is coming in is passed on.
    pub(crate) running: bool,
    unit: Option<Unit>,
    skew: Option<i64>,
    strays: u8,
    /// The offset its last PES packet went out with: none before the first of a source.
    entered_with: Option<i64>,
}

/// The PES packet that is coming in.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// Where its first packet is in the draft.
    start: usize,
    /// Bytes still to come, when its length is known.
    left: Option<usize>,
}

impl Lane {
    pub(crate) fn new(track: &Track) -> Self {
        let (source_pid, pid, kind, counter) = (track.source_pid, track.pid, track.kind, Counter::default());
        Self {
            source_pid,
            pid,
            kind,
            counter,
            seen: false,
            running: false,
            unit: None,
            skew: None,
            strays: 0,
            entered_with: None,
        }
    }

    fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Video(_))
    }

    /// The track's next packets are dropped until a PES packet starts.
    pub(crate) fn stop(&mut self) {
        self.running = false;
        self.unit = None;
    }

    /// The first `bytes` of the draft went away.
    pub(crate) fn rebase(&mut self, bytes: usize) {
        self.unit = self.unit.and_then(|unit| Some(Unit { start: unit.start.checked_sub(bytes)?, ..unit }));
    }

    /// What came since the last mark is gone.
    pub(crate) fn drop_back(&mut self) {
        self.stop();
        self.entered_with = None;
    }
}

/// Marks the packets of `pid` from offset `from` on as removed, PCR with them.
pub(crate) fn remove(pid: Pid, from: usize, draft: &mut Draft) {
    let tail = draft.packets.get_mut(from..).unwrap_or(&mut []);
    for packet in tail.chunks_exact_mut(PACKET_BYTES) {
        if Pid::new(u16::from_be_bytes([packet[1], packet[2]])) == pid {
            set_pid(packet, REMOVED);
        }
    }
}

/// Where the output's PCR comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PcrSource {
    /// The video track's packets carry it, as in the source.
    Video,
    /// Some other PID of the source carries it; it is moved to a PID of its own.
    Other(Pid),
    /// The source announces none: made of decoding times.
    Made,
}

impl PcrSource {
    pub(crate) fn of(pcr_pid: Pid, tracks: &[Track]) -> Self {
        match pcr_pid {
            Pid::NULL => Self::Made,
            pid if tracks.iter().any(|track| track.is_video() && track.source_pid == pid) => Self::Video,
            pid => Self::Other(pid),
        }
    }

    /// The PCR_PID of the output's PMT.
    pub(crate) fn output_pid(self) -> Pid {
        if self == Self::Video { psi::VIDEO_PID } else { psi::PCR_PID }
    }
}

/// The map from the source's times to the channel's.
#[derive(Debug)]
pub(crate) struct Mapper {
    pub(crate) pcr_source: PcrSource,
    offset: i64,
    /// The offset before the last jump: tracks do not jump at the same packet.
    offset_before: Option<i64>,
    /// The reference track's decoding time, mapped.
    now: Pts,
    last_pcr: Option<Pts>,
    pub(crate) seam: Seam,
}

impl Mapper {
    pub(crate) fn new() -> Self {
        Self {
            pcr_source: PcrSource::Made,
            offset: 0,
            offset_before: None,
            now: Pts::default(),
            last_pcr: None,
            seam: Seam::default(),
        }
    }

    /// Removes the lane's PES packet that will not be finished from the draft. One of unknown length (video) always goes:
    /// half a picture is worse than none.
    pub(crate) fn trim(&mut self, lane: &mut Lane, draft: &mut Draft) {
        if let Some(unit) = lane.unit.take().filter(|unit| unit.left != Some(0)) {
            remove(lane.pid, unit.start, draft);
            self.seam.take_back(lane.pid);
        }
        lane.stop();
    }

    /// Sets the offset for a new source or slate: nothing of the old time base will come.
    pub(crate) fn start(&mut self, offset: i64) {
        (self.offset, self.offset_before) = (offset, None);
    }

    /// Sets the offset after a jump of the time base.
    pub(crate) fn jump(&mut self, offset: i64) {
        self.offset_before = Some(self.offset);
        self.offset = offset;
    }

    /// The reference track has come to this decoding time, already mapped.
    pub(crate) fn set_now(&mut self, now: Pts) {
        self.now = now;
    }

    /// Forgets the last PCR: what comes next does not go on from it.
    pub(crate) fn forget_pcr(&mut self) {
        self.last_pcr = None;
    }

    /// Appends the mapped copy of a clear packet of `lane` to the draft.
    ///
    /// # Errors
    /// The defect for which the packet, and the rest of its PES packet, was dropped.
    pub(crate) fn append(&mut self, lane: &mut Lane, packet: &Packet<'_>, draft: &mut Draft) -> Result<(), DefectKind> {
        let pcr = packet.adaptation().and_then(|adaptation| adaptation.pcr);
        let pcr = if lane.is_video() && self.pcr_source == PcrSource::Video { pcr } else { None };
        let mapped_pcr = pcr.and_then(|pcr| self.map_pcr(pcr));
        if !packet.has_payload() {
            mapped_pcr.into_iter().for_each(|pcr| append_pcr_packet(lane.pid, pcr, draft));
        } else {
            self.append_payload(lane, packet, mapped_pcr, draft)?;
        }
        if pcr.is_some() && mapped_pcr.is_none() { Err(DefectKind::PcrAstray) } else { Ok(()) }
    }

    fn append_payload(
        &mut self,
        lane: &mut Lane,
        packet: &Packet<'_>,
        pcr: Option<u64>,
        draft: &mut Draft,
    ) -> Result<(), DefectKind> {
        let (payload, at) = (packet.payload(), draft.packets.len());
        if payload.is_empty() {
            return Err(DefectKind::BadAdaptation);
        }
        let offset = if packet.unit_start() { Some(self.begin_unit(lane, payload, at)?) } else { None };
        if !lane.running {
            return Ok(());
        }
        draft.packets.extend_from_slice(packet.bytes());
        let copy = &mut draft.packets[at..];
        set_pid(copy, lane.pid);
        tidy_adaptation(copy, packet.payload_offset(), pcr);
        let payload = &mut copy[packet.payload_offset()..];
        if let Some(offset) = offset {
            let header = map_timestamps(payload, |old| Pts::new(old).wrapping_add(offset).value());
            debug_assert!(header.is_ok(), "the header was read just before");
            if lane.is_video() {
                // Encoders that write a length for video get it wrong at times; none is needed (§2.4.3.7).
                payload[4..6].fill(0);
            }
        }
        if let Some(left) = lane.unit.as_mut().and_then(|unit| unit.left.as_mut()) {
            *left = left.saturating_sub(payload.len());
        }
        Ok(())
    }

    /// A PES packet starts: whether it is fit to pass on, and with which offset.
    fn begin_unit(&mut self, lane: &mut Lane, payload: &[u8], at: usize) -> Result<i64, DefectKind> {
        lane.stop();
        let header = PesHeader::parse(payload).map_err(|_| DefectKind::BadPes)?;
        if header.stream_id == PADDING_STREAM {
            return Ok(0);
        }
        if header.scrambling != 0 {
            return Err(DefectKind::Scrambled);
        }
        let flags = payload.get(7).copied().unwrap_or(0);
        // A stamp that is announced but damaged would go out unmapped.
        if (flags & 0x80 != 0 && header.pts.is_none()) || (flags & 0xC0 == 0xC0 && header.dts.is_none()) {
            return Err(DefectKind::BadPes);
        }
        let offset = match header.decode_time() {
            Some(time) => self.place(lane, Pts::new(time))?,
            None => self.offset,
        };
        let sound = header.pts.filter(|_| matches!(lane.kind, Kind::Audio(_)));
        if let Some(at) = sound.map(|pts| Pts::new(pts).wrapping_add(offset)) {
            if lane.entered_with != Some(offset) && self.seam.overlaps(lane.pid, at) {
                return Ok(offset);
            }
            self.seam.hear(lane.pid, at);
            lane.entered_with = Some(offset);
        }
        let length = usize::from(header.packet_length);
        let left = (length > 0 && !lane.is_video()).then_some(length + 6);
        lane.unit = Some(Unit { start: at, left });
        lane.running = true;
        Ok(offset)
    }

    /// The offset that puts a stamp of this track where it belongs: near the reference track, and sound as far from it as
    /// its stamps were before. Subtitles are sent ahead by differing spans, so only the first test is for them.
    fn place(&self, lane: &mut Lane, stamp: Pts) -> Result<i64, DefectKind> {
        let steady = matches!(lane.kind, Kind::Audio(_)).then_some(lane.skew).flatten();
        for offset in [Some(self.offset), self.offset_before].into_iter().flatten() {
            let skew = stamp.wrapping_add(offset).signed_since(self.now);
            if skew.abs() <= SKEW_MAX && steady.is_none_or(|before| (skew - before).abs() <= SKEW_STEP_MAX) {
                (lane.skew, lane.strays) = (Some(skew), 0);
                return Ok(offset);
            }
        }
        if lane.kind == Kind::Teletext {
            // Broadcasters stamp teletext with a clock of its own (Rai does), as decoders show it when it comes.
            return Ok(self.now.signed_since(stamp));
        }
        lane.strays = lane.strays.saturating_add(1);
        if lane.strays >= STRAYS_MAX {
            lane.skew = None;
        }
        Err(DefectKind::TimeAstray)
    }

    /// Maps a PCR of 27 MHz; `None` when it steps back or does not fit the reference track's time.
    fn map_pcr(&mut self, pcr: u64) -> Option<u64> {
        let base = Pts::new(pcr / 300).wrapping_add(self.offset);
        let ahead = base.signed_since(self.now);
        let goes_on = self.last_pcr.is_none_or(|last| base.signed_since(last) >= 0);
        if !(-SKEW_MAX..=PCR_AHEAD_MAX).contains(&ahead) || !goes_on {
            return None;
        }
        self.last_pcr = Some(base);
        Some(base.value() * 300 + pcr % 300)
    }

    /// Appends a packet with the PCR of another PID of the source.
    ///
    /// # Errors
    /// [`DefectKind::PcrAstray`] when it does not fit; nothing is appended then.
    pub(crate) fn append_pcr(&mut self, pcr: u64, draft: &mut Draft) -> Result<(), DefectKind> {
        let pcr = self.map_pcr(pcr).ok_or(DefectKind::PcrAstray)?;
        append_pcr_packet(psi::PCR_PID, pcr, draft);
        Ok(())
    }

    /// Appends PCR of our own making up to the reference track's time, where the source has none.
    pub(crate) fn make_pcr(&mut self, draft: &mut Draft) {
        if self.pcr_source != PcrSource::Made {
            return;
        }
        let target = self.now.wrapping_add(-PCR_DELAY);
        let gap = self.last_pcr.map_or(0, |last| target.signed_since(last));
        if gap < 0 {
            return;
        }
        let between = if gap <= PCR_FILL_MAX { (gap - 1) / PCR_STEP } else { 0 };
        for step in (0..=between.max(0)).rev() {
            append_pcr_packet(psi::PCR_PID, target.wrapping_add(-step * PCR_STEP).value() * 300, draft);
        }
        self.last_pcr = Some(target);
    }
}

fn set_pid(packet: &mut [u8], pid: Pid) {
    let [high, low] = pid.value().to_be_bytes();
    // Only `payload_unit_start_indicator` stays of the flags, and nothing of scrambling control and counter.
    packet[1] = (packet[1] & 0x40) | high;
    packet[2] = low;
    packet[3] &= 0x30;
}

/// Writes `pcr` (27 MHz) into the adaptation field that ends at `end`, or takes the field's PCR out; takes out what speaks
/// of the source's clock and counters besides: discontinuity, OPCR, seamless splicing (§2.4.3.4).
fn tidy_adaptation(packet: &mut [u8], end: usize, pcr: Option<u64>) {
    if packet[3] & 0x20 == 0 || packet[4] == 0 {
        return;
    }
    let flags = packet[ADAPTATION_FLAGS];
    packet[ADAPTATION_FLAGS] = flags & !(FLAG_DISCONTINUITY | FLAG_PCR | FLAG_OPCR | FLAG_EXTENSION);
    let field = &mut packet[ADAPTATION_FLAGS + 1..end];
    let (mut out, mut read) = (0, 0);
    if flags & FLAG_PCR != 0 {
        read = PCR_FIELD_BYTES.min(field.len());
        if let Some(place) = pcr.and_then(|pcr| Some((pcr, field.get_mut(..PCR_FIELD_BYTES)?))) {
            place.1.copy_from_slice(&pcr_field(place.0));
            out = PCR_FIELD_BYTES;
        }
    }
    if flags & FLAG_OPCR != 0 {
        read = (read + PCR_FIELD_BYTES).min(field.len());
    }
    field.copy_within(read.., out);
    let kept = out + field.len() - read;
    field[kept..].fill(0xFF);
    if out > 0 {
        packet[ADAPTATION_FLAGS] |= FLAG_PCR;
    }
}

/// A PCR of 27 MHz as its field: base, six reserved bits, extension (§2.4.3.5).
pub(crate) fn pcr_field(pcr: u64) -> [u8; PCR_FIELD_BYTES] {
    let bits = (pcr / 300) << 15 | 0x3F << 9 | (pcr % 300);
    let [_, _, field @ ..] = bits.to_be_bytes();
    field
}

fn append_pcr_packet(pid: Pid, pcr: u64, draft: &mut Draft) {
    let [high, low] = pid.value().to_be_bytes();
    let end = draft.packets.len() + PACKET_BYTES;
    draft.packets.extend_from_slice(&[SYNC_BYTE, high, low, 0x20, 183, FLAG_PCR]);
    draft.packets.extend_from_slice(&pcr_field(pcr));
    draft.packets.resize(end, 0xFF);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es::{AudioCodec, VideoCodec};
    use crate::packet::Adaptation;
    use crate::pes::PesStart;

    const VIDEO: Kind = Kind::Video(VideoCodec::H264);
    const AUDIO: Kind = Kind::Audio(AudioCodec::Mpa);
    const OFFSET: i64 = 1_000_000;

    fn lane(kind: Kind) -> Lane {
        Lane::new(&Track::new(Pid::new(0x65), psi::VIDEO_PID, kind, 0))
    }

    fn mapper() -> Mapper {
        let mut mapper = Mapper::new();
        mapper.start(OFFSET);
        mapper.set_now(Pts::new(2_000_000));
        mapper.pcr_source = PcrSource::Video;
        mapper
    }

    /// A packet of PID 0x65 with this adaptation field (flags on) and payload; the rest is field stuffing.
    fn packet(start: bool, adaptation: &[u8], payload: &[u8]) -> [u8; PACKET_BYTES] {
        let mut bytes = [0xFF; PACKET_BYTES];
        bytes[..4].copy_from_slice(&[SYNC_BYTE, if start { 0x60 } else { 0x20 }, 0x65, 0x37]);
        bytes[4] = u8::try_from(183 - payload.len()).unwrap();
        bytes[5] = 0;
        bytes[5..5 + adaptation.len()].copy_from_slice(adaptation);
        bytes[PACKET_BYTES - payload.len()..].copy_from_slice(payload);
        bytes
    }

    fn pes(stream_id: u8, pts: Option<u64>, payload: usize) -> Vec<u8> {
        let mut bytes = vec![];
        PesStart { stream_id, data_alignment: false, pts, dts: None }.append_to(payload, &mut bytes);
        bytes.resize(bytes.len() + payload, 0x55);
        bytes
    }

    /// Maps one PES packet's start; gives its new PTS, or why it was dropped.
    fn check(mapper: &mut Mapper, lane: &mut Lane, pes: &[u8], want: Result<Option<u64>, DefectKind>) {
        let (bytes, mut draft) = (packet(true, &[], pes), Draft::default());
        let got = mapper.append(lane, &Packet::new(&bytes).unwrap(), &mut draft);
        let header = |bytes: &[u8]| PesHeader::parse(Packet::from_slice(bytes).unwrap().payload()).unwrap().pts;
        assert_eq!(got.map(|()| draft.packets.chunks(PACKET_BYTES).next().and_then(header)), want);
        assert!(want.is_ok() || draft.packets.is_empty());
    }

    #[test]
    fn stamps_move_by_the_offset() {
        let (mut mapper, mut lane) = (mapper(), lane(VIDEO));
        check(&mut mapper, &mut lane, &pes(0xE0, Some(1_000_007), 40), Ok(Some(2_000_007)));
        check(&mut mapper, &mut lane, &pes(0xE0, None, 40), Ok(None));
        check(&mut mapper, &mut lane, &[0, 0, 2, 0xE0, 0, 0, 0x80, 0, 0], Err(DefectKind::BadPes));
        let mut damaged = pes(0xE0, Some(1_000_007), 40);
        damaged[13] &= 0xFE;
        check(&mut mapper, &mut lane, &damaged, Err(DefectKind::BadPes));
        damaged[6] |= 0x30;
        check(&mut mapper, &mut lane, &damaged, Err(DefectKind::Scrambled));
    }

    #[test]
    fn sound_may_jump_before_or_behind_the_picture() {
        let (mut mapper, mut lane) = (mapper(), lane(AUDIO));
        check(&mut mapper, &mut lane, &pes(0xC0, Some(990_000), 40), Ok(Some(1_990_000)));
        check(&mut mapper, &mut lane, &pes(0xC0, Some(1_300_000), 40), Err(DefectKind::TimeAstray));
        mapper.jump(OFFSET - 300_000);
        check(&mut mapper, &mut lane, &pes(0xC0, Some(1_300_000), 40), Ok(Some(2_000_000)));
        check(&mut mapper, &mut lane, &pes(0xC0, Some(1_010_000), 40), Ok(Some(2_010_000)));
        // With the other offset again, and over what was heard.
        check(&mut mapper, &mut lane, &pes(0xC0, Some(1_310_000), 40), Ok(None));
    }

    #[test]
    fn sound_that_stays_elsewhere_is_believed_in_the_end() {
        let (mut mapper, mut lane) = (mapper(), lane(AUDIO));
        check(&mut mapper, &mut lane, &pes(0xC0, Some(990_000), 40), Ok(Some(1_990_000)));
        for _ in 0..STRAYS_MAX {
            check(&mut mapper, &mut lane, &pes(0xC0, Some(1_300_000), 40), Err(DefectKind::TimeAstray));
        }
        check(&mut mapper, &mut lane, &pes(0xC0, Some(1_300_000), 40), Ok(Some(2_300_000)));
    }

    #[test]
    fn teletext_with_a_clock_of_its_own_is_stamped_now() {
        check(&mut mapper(), &mut lane(Kind::Teletext), &pes(0xBD, Some(77_000_000), 40), Ok(Some(2_000_000)));
        check(&mut mapper(), &mut lane(Kind::Subtitles), &pes(0xBD, Some(77_000_000), 40), Err(DefectKind::TimeAstray));
    }

    #[test]
    fn lengths_of_video_are_opened_and_padding_goes() {
        let (mut mapper, mut draft) = (mapper(), Draft::default());
        let bytes = packet(true, &[], &pes(0xE0, Some(1_000_000), 40));
        mapper.append(&mut lane(VIDEO), &Packet::new(&bytes).unwrap(), &mut draft).unwrap();
        let copy = Packet::from_slice(&draft.packets).unwrap();
        assert_eq!((copy.pid(), copy.continuity(), copy.payload()[4..6].to_vec()), (psi::VIDEO_PID, 0, vec![0, 0]));
        draft.clear();
        let padding = packet(true, &[], &[0, 0, 1, PADDING_STREAM, 0, 1, 0xFF]);
        mapper.append(&mut lane(VIDEO), &Packet::new(&padding).unwrap(), &mut draft).unwrap();
        assert!(draft.packets.is_empty());
    }

    #[test]
    fn adaptation_fields_lose_the_source_s_clock() {
        let field = |flags: u8| {
            let pcr = pcr_field(900_000 * 300 + 7);
            [&[flags][..], &pcr, &pcr, &[2, 0xAA, 0xBB]].concat()
        };
        for (source, want) in [(PcrSource::Video, Some(1_900_000 * 300 + 7)), (PcrSource::Made, None)] {
            let mut mapper = Mapper { pcr_source: source, ..mapper() };
            let bytes = packet(true, &field(0xDA), &pes(0xE0, Some(1_000_000), 20));
            let mut draft = Draft::default();
            mapper.append(&mut lane(VIDEO), &Packet::new(&bytes).unwrap(), &mut draft).unwrap();
            let copy = Packet::from_slice(&draft.packets).unwrap();
            let adaptation = Adaptation { discontinuity: false, random_access: true, pcr: want };
            assert_eq!(copy.adaptation(), Some(adaptation));
            let private = 6 + if want.is_some() { PCR_FIELD_BYTES } else { 0 };
            assert_eq!(draft.packets[private..private + 4], [2, 0xAA, 0xBB, 0xFF], "private data stays");
            assert_eq!(copy.payload().len(), 34);
        }
    }

    #[test]
    fn pcr_never_steps_back_nor_runs_ahead() {
        let mut mapper = mapper();
        let mut check =
            |base: i64, want: bool| assert_eq!(mapper.map_pcr(base.cast_unsigned() * 300).is_some(), want, "{base}");
        check(900_000, true);
        check(899_999, false);
        check(930_000, true);
        check(1_000_000 + PCR_AHEAD_MAX + 1, false);
        check(1_000_000 - SKEW_MAX - 1, false);
    }

    #[test]
    fn made_pcr_comes_every_40_ms() {
        let mut mapper = Mapper { pcr_source: PcrSource::Made, ..mapper() };
        let mut count = |now: u64| {
            let mut draft = Draft::default();
            mapper.set_now(Pts::new(now));
            mapper.make_pcr(&mut draft);
            draft.packets.len() / PACKET_BYTES
        };
        assert_eq!(
            [2_000_000, 2_003_600, 2_010_800, 2_011_000, 2_010_000, 4_000_000].map(&mut count),
            [1, 1, 2, 1, 0, 1]
        );
    }
}
