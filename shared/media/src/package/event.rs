//! What goes into the packager and what comes out of it, as plain values.
//!
//! The shell drives [`Packager`](super::Packager) with these and acts on the events: stores and encrypts segments,
//! publishes anchors, counts defects. Nothing here does anything.

use super::programme::{Kind, Track};
use crate::crc;
use crate::packet::Pid;
use crate::time::Ticks90k;
use crate::timeline::{Anchor, AnchorReason};

/// How a channel is packaged. Two nodes with equal profiles write equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Segment length d, 200 ms or more; 2 s in the field.
    pub segment: Ticks90k,
    /// `program_number` of the output.
    pub programme_number: u16,
    /// Whether to emit [`Event::Packets`] for endless HTTP-TS. It does not change segments.
    pub running: bool,
    /// The most bytes of one segment before it is ended early, counted before tables and counter packets are added.
    pub segment_bytes_max: usize,
}

impl Profile {
    /// Two seconds, programme 1, no running packets, 64 MiB: 4 s at 134 Mbit/s.
    #[must_use]
    pub fn standard() -> Self {
        Self { segment: Ticks90k::from_secs(2), programme_number: 1, running: false, segment_bytes_max: 64 << 20 }
    }
}

/// What a channel gave out in an earlier life, from stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Number of the last segment.
    pub number: u64,
    /// Its [`Segment::layout`].
    pub layout: u32,
}

/// The source whose packets come from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceStart {
    /// Service id; the first service of the PAT when `None`.
    pub service: Option<u16>,
    /// The stored anchor of (channel, source), if there is one.
    pub anchor: Option<Anchor>,
}

/// A finished segment: clear transport stream, PAT and PMT first, counters from 0 to 15 on every PID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number k, one above the last.
    pub number: u64,
    /// Channel time of its first picture.
    pub start: Ticks90k,
    /// Until the next segment starts, at most 2·d (docs/adr/0004).
    pub duration: Ticks90k,
    /// It begins with a random access point, and nothing behind that needs what is before: INDEPENDENT-SEGMENTS may be said.
    pub independent: bool,
    /// Number or codings of tracks differ from the segment before, or one of the two is slate.
    pub discontinuity: bool,
    /// It was made of the slate.
    pub slate: bool,
    /// Stands for number and codings of tracks: segments with equal layouts need no discontinuity between them.
    pub layout: u32,
    /// Whole packets.
    pub bytes: Vec<u8>,
}

/// What the packager has to tell, in stream order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A segment is finished.
    Segment(Segment),
    /// The source's anchor was set or set anew: to be stored and published.
    Anchored(Anchor, AnchorReason),
    /// The tracks of the segments that follow, or more is known of them.
    Tracks(Vec<Track>),
    /// The next packets of the endless stream, with counters that run on.
    Packets(Vec<u8>),
    /// Something was wrong with the input; `pid` is the source's.
    Defect {
        /// What.
        kind: DefectKind,
        /// Where; [`Pid::NULL`] when it belongs to no PID.
        pid: Pid,
        /// How many at once.
        count: u64,
    },
}

/// Kinds of broken input, a closed set for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum DefectKind {
    /// 188 bytes without a sync byte.
    #[error("packet without sync byte")]
    NoSync,
    /// `transport_error_indicator`; the packet was dropped.
    #[error("packet marked damaged by the demodulator")]
    TransportError,
    /// Packets are missing by the continuity counter, at least so many.
    #[error("packets missing by the continuity counter")]
    Continuity,
    /// A repeated packet was dropped.
    #[error("packet repeated")]
    Duplicate,
    /// A scrambled packet of a track was dropped.
    #[error("packet scrambled")]
    Scrambled,
    /// The adaptation field leaves no room for the payload; the packet was dropped.
    #[error("adaptation field longer than its packet")]
    BadAdaptation,
    /// A PES packet without a readable header was dropped.
    #[error("pes header unreadable")]
    BadPes,
    /// A PES packet whose times belong nowhere was dropped.
    #[error("time stamp astray")]
    TimeAstray,
    /// A PCR that belongs nowhere was taken out.
    #[error("pcr astray")]
    PcrAstray,
    /// A PAT or PMT section was damaged.
    #[error("table damaged")]
    Table,
    /// A segment reached its byte limit and was ended.
    #[error("segment ended at its byte limit")]
    SegmentFull,
    /// Packets of a track too thin to fill sixteen packets were left out of a segment.
    #[error("track left out of a segment")]
    LeftOut,
}

/// Number and codings of tracks as one value; the slate's is its own.
pub(crate) fn layout_of(tracks: &[Track], slate: bool) -> u32 {
    let code = |track: &Track| match track.kind {
        Kind::Video(codec) => 0x10 | codec as u8,
        Kind::Audio(codec) => 0x20 | codec as u8,
        Kind::Subtitles => 0x30,
        Kind::Teletext => 0x31,
    };
    let bytes: Vec<u8> = std::iter::once(u8::from(slate)).chain(tracks.iter().map(code)).collect();
    crc::mpeg2(&bytes)
}
