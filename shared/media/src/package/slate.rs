//! The slate: what viewers see when no source is left, rendered onto the channel's timeline.
//!
//! Made from a short transport stream (one closed group of pictures and sound, no reordered pictures at its end): its
//! times are shifted to where a segment lies, it is looped for longer segments and cut for shorter ones. So slate
//! segments are a function of their start and end alone, the same on every node. `assembly` drives it.

use super::counters::Draft;
use super::event::layout_of;
use super::mapper::{Lane, Mapper, PcrSource};
use super::programme::{Programme, ProgrammeWatch, Track};
use super::psi::Tables;
use crate::packet::{PACKET_BYTES, Packet, Scrambling};
use crate::pes::PesHeader;
use crate::time::{Pts, TICKS_PER_SECOND, Ticks90k};

/// A slate is a picture and a few seconds of it; more is somebody's film.
const SLATE_BYTES_MAX: usize = 16 << 20;
/// Passes of the asset in one segment; a shorter asset leaves the rest of a long segment empty.
const PASSES_MAX: i64 = 1_000;

/// Why a transport stream is no slate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlateError {
    /// Longer than 16 MiB.
    #[error("slate of {bytes} bytes is larger than 16 MiB")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// No PAT and PMT with a video track.
    #[error("slate has no service with video")]
    NoVideo,
    /// Fewer than two pictures with time stamps, or their times do not rise over 0 to 60 s.
    #[error("slate has no usable picture times")]
    NoTimes,
}

/// A slate that is ready to be rendered.
#[derive(Debug)]
pub struct Slate {
    programme: Programme,
    bytes: Vec<u8>,
    units: Vec<Unit>,
    /// One pass: from the first picture to the end of the last.
    length: Ticks90k,
    /// Decoding time of the first picture.
    first: Pts,
}

/// A packet of the asset and the PES packet it belongs to.
#[derive(Debug, Clone, Copy)]
struct Unit {
    offset: usize,
    lane: usize,
    /// Decoding time of its PES packet, after that of the first picture.
    at: Ticks90k,
}

impl Slate {
    /// Reads the asset: whole packets of a transport stream with one service of video and, usually, audio.
    ///
    /// # Errors
    /// [`SlateError`] when nothing can be shown of it.
    pub fn from_ts(bytes: &[u8]) -> Result<Self, SlateError> {
        if bytes.len() > SLATE_BYTES_MAX {
            return Err(SlateError::TooLarge { bytes: bytes.len() });
        }
        let programme = read_programme(bytes).ok_or(SlateError::NoVideo)?;
        let stamps = stamps(bytes, &programme);
        let video: Vec<Pts> = stamps.iter().filter(|(_, lane, _)| *lane == 0).filter_map(|(_, _, at)| *at).collect();
        let (&first, &last) = video.first().zip(video.last()).ok_or(SlateError::NoTimes)?;
        let count = i64::try_from(video.len()).unwrap_or(i64::MAX);
        let span = last.signed_since(first);
        if count < 2 || !(1..=60 * TICKS_PER_SECOND).contains(&span) {
            return Err(SlateError::NoTimes);
        }
        let length = Ticks90k(span + span / (count - 1));
        let mut ats = vec![None; programme.tracks.len()];
        let units = stamps.into_iter().filter_map(|(offset, lane, stamp)| {
            ats[lane] = stamp.map(|stamp| Ticks90k(stamp.signed_since(first))).or(ats[lane]);
            Some(Unit { offset, lane, at: ats[lane]? })
        });
        Ok(Self { units: units.collect(), programme, bytes: bytes.to_vec(), length, first })
    }

    /// Its tracks.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.programme.tracks
    }

    /// [`Segment::layout`](super::Segment::layout) of slate segments.
    #[must_use]
    pub fn layout(&self) -> u32 {
        layout_of(&self.programme.tracks, true)
    }

    pub(crate) fn tables(&self, programme_number: u16) -> Tables {
        Tables::new(programme_number, self.pcr_source().output_pid(), &self.programme.tracks)
    }

    fn pcr_source(&self) -> PcrSource {
        PcrSource::of(self.programme.pcr_pid, &self.programme.tracks)
    }

    /// The slate from `start` to `end`, tables marked at every `interval`.
    pub(crate) fn render(&self, start: Ticks90k, end: Ticks90k, interval: Ticks90k) -> Draft {
        let (mut draft, mut mapper) = (Draft::default(), Mapper::new());
        mapper.pcr_source = match self.pcr_source() {
            PcrSource::Video => PcrSource::Video,
            _ => PcrSource::Made,
        };
        let mut lanes: Vec<Lane> = self.programme.tracks.iter().map(Lane::new).collect();
        let mut due = interval;
        for pass in 0..PASSES_MAX {
            let shift = Ticks90k(self.length.0.saturating_mul(pass));
            let begin = start + shift;
            if begin >= end {
                break;
            }
            mapper.start(begin.to_pts().signed_since(self.first));
            for unit in &self.units {
                // Sound may begin a little before the picture; at the other end everything stops with the segment.
                if begin + unit.at >= end {
                    lanes[unit.lane].stop();
                    continue;
                }
                let Some(packet) = Packet::from_slice(&self.bytes[unit.offset..unit.offset + PACKET_BYTES]) else {
                    continue;
                };
                if unit.lane == 0 && packet.unit_start() {
                    mapper.set_now((begin + unit.at).to_pts());
                    if shift + unit.at >= due {
                        draft.marks.push(draft.packets.len());
                        due += interval;
                    }
                    mapper.make_pcr(&mut draft);
                }
                // A damaged asset loses what is damaged; it was judged when it was made.
                let _ = mapper.append(&mut lanes[unit.lane], &packet, &mut draft);
            }
        }
        draft
    }
}

fn read_programme(bytes: &[u8]) -> Option<Programme> {
    let mut watch = ProgrammeWatch::new(None);
    let packets = bytes.chunks_exact(PACKET_BYTES).filter_map(Packet::from_slice);
    let mut wanted = packets.filter_map(|packet| watch.wants(packet.pid()).then(|| watch.push(&packet)).flatten());
    wanted.find(|programme| programme.tracks.first().is_some_and(Track::is_video))
}

/// Packets of the tracks from the first picture on: offset, lane, and decoding time where a PES packet starts.
fn stamps(bytes: &[u8], programme: &Programme) -> Vec<(usize, usize, Option<Pts>)> {
    let mut stamps = vec![];
    for (index, packet) in bytes.chunks_exact(PACKET_BYTES).enumerate() {
        let Some(packet) = Packet::from_slice(packet) else { continue };
        let lane = programme.tracks.iter().position(|track| track.source_pid == packet.pid());
        let Some(lane) = lane.filter(|_| !packet.tei() && packet.scrambling() == Scrambling::Clear) else { continue };
        let header = packet.unit_start().then(|| PesHeader::parse(packet.payload()).ok()).flatten();
        let stamp = header.and_then(|header| header.decode_time()).map(Pts::new);
        stamps.push((index * PACKET_BYTES, lane, stamp));
    }
    stamps
}
