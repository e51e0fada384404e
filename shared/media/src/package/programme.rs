//! Follows PAT and PMT of the service that is packaged and turns them into a list of tracks.
//!
//! Sans-IO: packets of the tables' PIDs in, a [`Programme`] out whenever it differs from the one before. What a stream is
//! is `service`'s judgement (ISO/IEC 13818-1 §2.4.4.8 for the map itself). Streams that players cannot use are left out. The packager drives it and decides when a change counts.

use super::psi;
use crate::descriptor::{Descriptors, tag};
use crate::es::{AudioCodec, AudioParameters, VideoCodec, VideoParameters};
use crate::packet::{Packet, Pid};
use crate::section::SectionAssembler;
use crate::service::{Codec, codec_of_stream};
use crate::table::{Pat, Pmt, PmtStream};

const AUDIO_TRACKS_MAX: u16 = 16;
const SUBTITLE_TRACKS_MAX: u16 = 16;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures.
    Video(VideoCodec),
    /// Sound.
    Audio(AudioCodec),
    /// DVB subtitles (EN 300 743).
    Subtitles,
    /// Teletext (EN 300 472).
    Teletext,
}

/// One track of a packaged channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its PID in the source.
    pub source_pid: Pid,
    /// Its PID in the output.
    pub pid: Pid,
    /// What it carries.
    pub kind: Kind,
    /// ISO 639-2 code of its first language, in lower case.
    pub language: Option<String>,
    /// `stream_type` in the source's PMT; the output's may differ where the source's is wrong.
    pub stream_type: u8,
    /// Descriptors that are passed on.
    pub descriptors: Vec<u8>,
    /// Of a video track, once a random access point was seen.
    pub video: Option<VideoParameters>,
    /// Of an audio track, once a frame was read.
    pub audio: Option<AudioParameters>,
}

impl Track {
    /// A track of which nothing more is known.
    pub(crate) fn new(source_pid: Pid, pid: Pid, kind: Kind, stream_type: u8) -> Self {
        Self { source_pid, pid, kind, language: None, stream_type, descriptors: vec![], video: None, audio: None }
    }

    /// Whether this is the video track.
    #[must_use]
    pub fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Video(_))
    }
}

/// The service as its tables describe it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Programme {
    /// Where the source's PCR is; [`Pid::NULL`] when it announces none.
    pub(crate) pcr_pid: Pid,
    /// Video first (one at most), then audio and subtitles in the order of the PMT.
    pub(crate) tracks: Vec<Track>,
}

impl Programme {
    fn of(pmt: &Pmt<'_>) -> Self {
        let mut tracks: Vec<Track> = vec![];
        let (mut audio, mut subtitles, mut video) = (0, 0, None);
        for stream in &pmt.streams {
            if tracks.iter().chain(&video).any(|track| track.source_pid == stream.pid) {
                continue;
            }
            let Some(kind) = kind_of(stream) else { continue };
            let pid = match kind {
                Kind::Video(_) if video.is_none() => psi::VIDEO_PID,
                Kind::Audio(_) if audio < AUDIO_TRACKS_MAX => Pid::new(psi::AUDIO_PID + next(&mut audio)),
                Kind::Subtitles | Kind::Teletext if subtitles < SUBTITLE_TRACKS_MAX => {
                    Pid::new(psi::SUBTITLE_PID + next(&mut subtitles))
                }
                _ => continue,
            };
            let track = Track {
                language: language_of(&stream.descriptors),
                descriptors: passed_on(stream.descriptors),
                ..Track::new(stream.pid, pid, kind, stream.stream_type)
            };
            if track.is_video() { video = Some(track) } else { tracks.push(track) }
        }
        tracks.splice(0..0, video);
        Self { pcr_pid: pmt.pcr_pid, tracks }
    }

    /// Which track times and cuts are taken from: video, or the first audio of a radio service.
    pub(crate) fn reference(&self) -> Option<usize> {
        self.tracks.iter().position(|track| matches!(track.kind, Kind::Video(_) | Kind::Audio(_)))
    }
}

fn next(count: &mut u16) -> u16 {
    *count += 1;
    *count - 1
}

fn kind_of(stream: &PmtStream<'_>) -> Option<Kind> {
    Some(match codec_of_stream(stream.stream_type, stream.descriptors) {
        Codec::Mpeg1Video | Codec::Mpeg2Video => Kind::Video(VideoCodec::Mpeg2),
        Codec::H264 => Kind::Video(VideoCodec::H264),
        Codec::Hevc => Kind::Video(VideoCodec::Hevc),
        Codec::Mpa => Kind::Audio(AudioCodec::Mpa),
        Codec::Aac => Kind::Audio(AudioCodec::AacAdts),
        Codec::AacLatm => Kind::Audio(AudioCodec::AacLatm),
        Codec::Ac3 => Kind::Audio(AudioCodec::Ac3),
        Codec::Eac3 => Kind::Audio(AudioCodec::Eac3),
        Codec::DvbSubtitle => Kind::Subtitles,
        Codec::Teletext => Kind::Teletext,
        Codec::Scte35 | Codec::Other => return None,
    })
}

/// The first language of any descriptor that has one at its start.
fn language_of(descriptors: &Descriptors<'_>) -> Option<String> {
    let tags = [tag::LANGUAGE, tag::SUBTITLING, tag::TELETEXT];
    let code = tags.into_iter().find_map(|tag| descriptors.find(tag)?.first_chunk::<3>())?;
    let code = std::str::from_utf8(code).ok()?;
    code.bytes().all(|byte| byte.is_ascii_alphabetic()).then(|| code.to_ascii_lowercase())
}

/// All descriptors but conditional access: the output is clear, or scrambled by us.
fn passed_on(descriptors: Descriptors<'_>) -> Vec<u8> {
    let kept = descriptors.filter(|descriptor| descriptor.tag != tag::CA);
    kept.flat_map(|descriptor| {
        let length = u8::try_from(descriptor.body.len()).expect("the length was one byte");
        [&[descriptor.tag, length], descriptor.body].concat()
    })
    .collect()
}

/// Reads PAT and PMT of one service.
#[derive(Debug)]
pub(crate) struct ProgrammeWatch {
    /// The service asked for; the first of the PAT when `None`.
    service: Option<u16>,
    pmt_pid: Option<Pid>,
    /// `program_number` of what is followed.
    number: u16,
    pat: SectionAssembler,
    pmt: SectionAssembler,
    current: Option<Programme>,
    /// Sections that were damaged or made no sense.
    damaged: u64,
}

impl ProgrammeWatch {
    pub(crate) fn new(service: Option<u16>) -> Self {
        let (pat, pmt) = (SectionAssembler::default(), SectionAssembler::default());
        Self { service, pmt_pid: None, number: 0, pat, pmt, current: None, damaged: 0 }
    }

    /// Whether packets of this PID belong here.
    pub(crate) fn wants(&self, pid: Pid) -> bool {
        pid == Pid::PAT || self.pmt_pid == Some(pid)
    }

    /// The PIDs of the tables that are followed.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        std::iter::once(Pid::PAT).chain(self.pmt_pid)
    }

    /// Damaged sections since the last call.
    pub(crate) fn take_damaged(&mut self) -> u64 {
        std::mem::take(&mut self.damaged)
    }

    /// Packets of this PID were lost.
    pub(crate) fn reset(&mut self, pid: Pid) {
        if pid == Pid::PAT { self.pat.reset() } else { self.pmt.reset() }
    }

    /// Takes a packet that [`Self::wants`] named; gives the programme when it is new or changed.
    pub(crate) fn push(&mut self, packet: &Packet<'_>) -> Option<Programme> {
        let mut found = None;
        if packet.pid() == Pid::PAT {
            let (service, damaged) = (self.service, &mut self.damaged);
            self.pat.push(packet.payload(), packet.unit_start(), &mut |section| match section
                .ok()
                .and_then(|section| Pat::parse(section).ok())
            {
                Some(pat) if pat.current => found = find(&pat, service).or(found),
                Some(_) => {}
                None => *damaged += 1,
            });
            if let Some((number, pid)) = found
                && (self.pmt_pid, self.number) != (Some(pid), number)
            {
                (self.pmt_pid, self.number) = (Some(pid), number);
                self.pmt.reset();
            }
            return None;
        }
        self.push_pmt(packet)
    }

    fn push_pmt(&mut self, packet: &Packet<'_>) -> Option<Programme> {
        let (number, damaged, mut found) = (self.number, &mut self.damaged, None);
        self.pmt.push(packet.payload(), packet.unit_start(), &mut |section| {
            // Several services may share a PMT PID, and other tables too (§2.4.4.8).
            let Ok(section) = section else { return *damaged += 1 };
            if section.first() != Some(&0x02) {
                return;
            }
            match Pmt::parse(section) {
                Ok(pmt) if pmt.current && pmt.programme == number => found = Some(Programme::of(&pmt)),
                Ok(_) => {}
                Err(_) => *damaged += 1,
            }
        });
        let found = found.filter(|found| self.current.as_ref() != Some(found))?;
        self.current = Some(found.clone());
        Some(found)
    }
}

fn find(pat: &Pat, service: Option<u16>) -> Option<(u16, Pid)> {
    let mut programmes = pat.programmes.iter();
    let entry = match service {
        Some(service) => programmes.find(|entry| entry.number == service),
        None => programmes.find(|entry| entry.number != 0),
    };
    entry.map(|entry| (entry.number, entry.pmt_pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PACKET_BYTES;
    use proptest::prelude::{any, prop, proptest};

    const FRANCE2: &[u8] = include_bytes!("../../../../tests/fixtures/ts/france2.ts");
    const RAI: &[u8] = include_bytes!("../../../../tests/fixtures/ts/rai1.ts");

    /// Reads a recording and names the tracks of each programme that came.
    fn check(file: &[u8], service: Option<u16>, want: &[&str]) {
        let mut watch = ProgrammeWatch::new(service);
        let mut got = vec![];
        for packet in file.chunks_exact(PACKET_BYTES).filter_map(Packet::from_slice) {
            let found = watch.wants(packet.pid()).then(|| watch.push(&packet)).flatten();
            got.extend(found.map(|programme| {
                let name = |t: &Track| {
                    format!("{} {} {:?} {}", t.source_pid, t.pid, t.kind, t.language.as_deref().unwrap_or("-"))
                };
                programme.tracks.iter().map(name).collect::<Vec<_>>().join("; ")
            }));
        }
        assert_eq!(got, want);
        assert_eq!(watch.take_damaged(), 0);
    }

    #[test]
    fn recordings() {
        check(
            FRANCE2,
            Some(257),
            &["0x0078 0x0100 Video(H264) -; 0x0082 0x0110 Audio(Eac3) fre; 0x0083 0x0111 Audio(Eac3) qad; \
               0x0084 0x0112 Audio(Eac3) qaa; 0x008C 0x0130 Subtitles fra; 0x008E 0x0131 Subtitles fra"],
        );
        check(RAI, Some(3404), &["0x028D 0x0110 Audio(Mpa) -"]);
        check(RAI, Some(9), &[]);
    }

    #[test]
    fn only_conditional_access_descriptors_are_held_back() {
        let bytes = [0x0A, 4, b'F', b'r', b'a', 0, 0x09, 4, 1, 0, 0xE1, 0, 0x52, 1, 5];
        let descriptors = Descriptors::new(&bytes);
        assert_eq!(language_of(&descriptors).as_deref(), Some("fra"));
        assert_eq!(passed_on(descriptors), [0x0A, 4, b'F', b'r', b'a', 0, 0x52, 1, 5]);
    }

    proptest! {
        #[test]
        fn any_packets_are_survived(packets in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 187)), 0..20)) {
            let mut watch = ProgrammeWatch::new(None);
            for (pat, tail) in packets {
                let mut bytes = [&[0x47], &tail[..]].concat();
                if pat {
                    (bytes[1], bytes[2]) = (0x40, 0);
                }
                let packet = Packet::from_slice(&bytes).unwrap();
                if watch.wants(packet.pid()) {
                    let _ = watch.push(&packet);
                }
            }
        }
    }
}
