//! The slate: what viewers see when no source is left, rendered onto the channel's timeline.
//!
//! Made from a short transport stream (one closed group of pictures, silence or a steady sound): the times of its pictures
//! are shifted to where a segment lies, looped for longer segments and cut for shorter ones; `sound` lays its frames. So
//! slate segments are a function of their start and end alone, the same on every node. `assembly` drives it.

use super::counters::Draft;
use super::event::layout_of;
use super::mapper::{Lane, Mapper, PcrSource};
use super::programme::{Kind, Programme, ProgrammeWatch, Track};
use super::psi::Tables;
use super::sound::{Sound, append_pes};
use crate::es;
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
    /// An audio track that is not a run of equal frames of MPEG audio, ADTS, AC-3 or E-AC-3.
    #[error("slate has sound that cannot be cut into frames")]
    BadSound,
}

/// A slate that is ready to be rendered.
///
/// ```
/// use headend_media::package::Slate;
/// let slate = Slate::from_ts(include_bytes!("../../assets/slate.ts")).unwrap();
/// assert!(slate.tracks()[0].is_video());
/// ```
#[derive(Debug)]
pub struct Slate {
    programme: Programme,
    video: Vec<Picture>,
    sounds: Vec<Sound>,
    /// One pass: from the first picture to the end of the last.
    length: Ticks90k,
    /// Decoding time of the first picture.
    first: Pts,
}

/// One picture: whole packets.
#[derive(Debug)]
struct Picture {
    packets: Vec<u8>,
    /// Decoding time after that of the first picture.
    at: Ticks90k,
}

impl Slate {
    /// Reads the asset: whole packets of a transport stream whose first service has video and, usually, audio.
    ///
    /// # Errors
    /// [`SlateError`] when nothing can be shown of it.
    pub fn from_ts(bytes: &[u8]) -> Result<Self, SlateError> {
        if bytes.len() > SLATE_BYTES_MAX {
            return Err(SlateError::TooLarge { bytes: bytes.len() });
        }
        let mut programme = read_programme(bytes).ok_or(SlateError::NoVideo)?;
        programme.tracks.retain(|track| matches!(track.kind, Kind::Video(_) | Kind::Audio(_)));
        let (video, first) = pictures(bytes, &programme.tracks[0]).ok_or(SlateError::NoTimes)?;
        let last = video.last().map_or(0, |picture| picture.at.0);
        let steps = i64::try_from(video.len()).unwrap_or(i64::MAX) - 1;
        let rises = video.windows(2).all(|pair| pair[0].at < pair[1].at);
        if steps < 1 || !rises || last > 60 * TICKS_PER_SECOND {
            return Err(SlateError::NoTimes);
        }
        let length = Ticks90k(last + last / steps);
        let sounds = programme.tracks[1..].iter_mut().map(|track| sound(bytes, track).ok_or(SlateError::BadSound));
        let sounds = sounds.collect::<Result<_, _>>()?;
        Ok(Self { programme, video, sounds, length, first })
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

    pub(super) fn tables(&self, programme_number: u16) -> Tables {
        Tables::new(programme_number, PcrSource::Made.output_pid(), &self.programme.tracks)
    }

    /// The slate from `start` to `end`, tables marked at every `interval`.
    pub(super) fn render(&self, start: Ticks90k, end: Ticks90k, interval: Ticks90k) -> Draft {
        let (mut draft, mut mapper) = (Draft::default(), Mapper::new());
        let mut lane = Lane::new(&self.programme.tracks[0]);
        let mut sound = self.sound_between(start, end).into_iter().peekable();
        let mut due = start + interval;
        for pass in 0..PASSES_MAX {
            let begin = start + Ticks90k(self.length.0.saturating_mul(pass));
            mapper.start(begin.to_pts().signed_since(self.first));
            for picture in self.video.iter().take_while(|picture| begin + picture.at < end) {
                let now = begin + picture.at;
                while let Some((_, track, pes)) = sound.next_if(|(at, ..)| *at < now) {
                    append_pes(self.programme.tracks[track].pid, &pes, &mut draft);
                }
                if now >= due {
                    draft.marks.push(draft.packets.len());
                    due += interval;
                }
                mapper.set_now(now.to_pts());
                mapper.make_pcr(&mut draft);
                for packet in picture.packets.chunks_exact(PACKET_BYTES).filter_map(Packet::from_slice) {
                    // A damaged asset loses what is damaged; it was looked at when it was made.
                    let _ = mapper.append(&mut lane, &packet, &mut draft);
                }
            }
        }
        for (_, track, pes) in sound {
            append_pes(self.programme.tracks[track].pid, &pes, &mut draft);
        }
        draft
    }

    /// PES packets of all audio tracks in the order of their times: time, track, bytes.
    fn sound_between(&self, start: Ticks90k, end: Ticks90k) -> Vec<(Ticks90k, usize, Vec<u8>)> {
        let tracks = self.sounds.iter().enumerate();
        let mut all: Vec<_> = tracks
            .flat_map(|(index, sound)| sound.between(start, end).into_iter().map(move |(at, pes)| (at, index + 1, pes)))
            .collect();
        all.sort_by_key(|(at, track, _)| (*at, *track));
        all
    }
}

fn read_programme(bytes: &[u8]) -> Option<Programme> {
    let mut watch = ProgrammeWatch::new(None);
    let packets = bytes.chunks_exact(PACKET_BYTES).filter_map(Packet::from_slice);
    let mut found = packets.filter_map(|packet| watch.wants(packet.pid()).then(|| watch.push(&packet)).flatten());
    found.find(|programme| programme.tracks.first().is_some_and(Track::is_video))
}

/// Clear packets of a track with payload.
fn packets_of<'a>(bytes: &'a [u8], track: &Track) -> impl Iterator<Item = Packet<'a>> + use<'a> {
    let pid = track.source_pid;
    let packets = bytes.chunks_exact(PACKET_BYTES).filter_map(Packet::from_slice);
    packets.filter(move |packet| {
        let whole = packet.pid() == pid && !packet.tei() && !packet.payload().is_empty();
        whole && packet.scrambling() == Scrambling::Clear
    })
}

/// The pictures with time stamps, and the decoding time of the first.
fn pictures(bytes: &[u8], track: &Track) -> Option<(Vec<Picture>, Pts)> {
    let (mut pictures, mut first) = (Vec::<Picture>::new(), None);
    for packet in packets_of(bytes, track) {
        if packet.unit_start() {
            let stamp = PesHeader::parse(packet.payload()).ok().and_then(|header| header.decode_time());
            let stamp = Pts::new(stamp?);
            let first = *first.get_or_insert(stamp);
            pictures.push(Picture { packets: vec![], at: Ticks90k(stamp.signed_since(first)) });
        }
        if let Some(picture) = pictures.last_mut() {
            picture.packets.extend_from_slice(packet.bytes());
        }
    }
    Some((pictures, first?))
}

/// The frames of an audio track, whose coding is corrected where the PMT is wrong.
fn sound(bytes: &[u8], track: &mut Track) -> Option<Sound> {
    let (mut es, mut stream_id) = (vec![], None);
    for packet in packets_of(bytes, track) {
        let payload = packet.payload();
        let header = packet.unit_start().then(|| PesHeader::parse(payload).ok()).flatten();
        stream_id = stream_id.or(header.map(|header| header.stream_id));
        es.extend_from_slice(header.map_or(payload, |header| header.payload(payload)));
    }
    let Kind::Audio(announced) = track.kind else { return None };
    let codec = es::sniff(&es).unwrap_or(announced);
    track.kind = Kind::Audio(codec);
    track.audio = es::first_frame(codec, &es).ok();
    Sound::of(codec, stream_id?, &es)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    const ASSET: &[u8] = include_bytes!("../../assets/slate.ts");

    /// Decoding times of pictures and sound in a draft, in ms after `start`.
    fn times(draft: &Draft, pid: u16, start: Ticks90k) -> Vec<i64> {
        let packets = draft.packets.chunks_exact(PACKET_BYTES).filter_map(Packet::from_slice);
        let starts = packets.filter(|packet| packet.pid().value() == pid && packet.unit_start());
        let stamp = |packet: Packet<'_>| Pts::new(PesHeader::parse(packet.payload()).unwrap().decode_time().unwrap());
        starts.map(|packet| stamp(packet).signed_since(start.to_pts()) / 90).collect()
    }

    fn check(start: i64, length: i64, pictures: &[i64]) {
        let slate = Slate::from_ts(ASSET).unwrap();
        let (start, length) = (Ticks90k::from_millis(start), Ticks90k::from_millis(length));
        let draft = slate.render(start, start + length, Ticks90k::from_millis(125));
        assert_eq!(times(&draft, 0x100, start), pictures);
        let sound = times(&draft, 0x110, start);
        assert!(sound.windows(2).all(|pair| pair[1] > pair[0]), "{sound:?}");
        assert!(sound[0] >= 0 && sound[0] < 22, "{sound:?}");
    }

    #[test]
    fn whole_cut_and_looped() {
        let pictures = |until| (0..until).step_by(40).collect::<Vec<_>>();
        check(1_800_000_000_000, 2_000, &pictures(2_000));
        check(1_800_000_000_013, 300, &pictures(300));
        check(95_443_717_680 / 90 - 1_000, 3_000, &pictures(3_000));
        check(0, 6_010, &pictures(6_010));
    }

    #[test]
    fn what_is_no_slate() {
        let check = |bytes: &[u8], want| assert_eq!(Slate::from_ts(bytes).map(|_| ()), Err(want));
        check(&[], SlateError::NoVideo);
        check(&ASSET[..30 * PACKET_BYTES], SlateError::NoTimes);
        check(include_bytes!("../../../../tests/fixtures/ts/eac3.ts"), SlateError::NoTimes);
    }

    proptest! {
        #[test]
        fn any_damage_is_survived(flips in prop::collection::vec((0..ASSET.len(), any::<u8>()), 0..40)) {
            let mut bytes = ASSET.to_vec();
            flips.iter().for_each(|(at, byte)| bytes[*at] = *byte);
            if let Ok(slate) = Slate::from_ts(&bytes) {
                let draft = slate.render(Ticks90k(7), Ticks90k(180_007), Ticks90k(11_250));
                assert!(draft.packets.len() < 100 * ASSET.len());
            }
        }
    }
}
