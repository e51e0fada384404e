//! The tables a packaged channel carries: one PAT and one PMT, built from the track list alone.
//!
//! Nothing of the source's numbering passes: PIDs are ours, the version is taken from the content (so it needs no memory
//! and is the same on every node), and descriptors go through as they came, without conditional access. Sections are
//! ISO/IEC 13818-1 §2.4.4.3 and §2.4.4.8. The packager asks; `counters` puts the packets into segments.

use super::programme::{Kind, Track};
use crate::crc;
use crate::descriptor::tag;
use crate::es::AudioCodec;
use crate::packet::{PACKET_BYTES, Pid, SYNC_BYTE};

/// Where the PMT of every packaged channel is.
pub const PMT_PID: Pid = Pid::new(0x1000);
/// Carries PCR and nothing else, when the source's PCR is not on its video.
pub const PCR_PID: Pid = Pid::new(0x0FF);
/// The video track.
pub const VIDEO_PID: Pid = Pid::new(0x100);
/// The first audio track; the others follow in the order of the source's PMT.
pub const AUDIO_PID: u16 = 0x110;
/// The first track of subtitles or teletext.
pub const SUBTITLE_PID: u16 = 0x130;

/// Descriptor bytes that fit beside 33 tracks in a section of 1,024 bytes (§2.4.4.9).
const DESCRIPTOR_BYTES_MAX: usize = 1_024 - 16 - 33 * 5;

/// PAT and PMT of a channel, as packets whose continuity counters are still 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    packets: Vec<u8>,
}

impl Tables {
    /// Tables for a programme of these tracks.
    pub(crate) fn new(programme: u16, pcr: Pid, tracks: &[Track]) -> Self {
        let mut entry = programme.to_be_bytes().to_vec();
        push_pid(&mut entry, PMT_PID);
        let mut packets = vec![];
        append_section(&long_section(0x00, programme, &entry), Pid::PAT, &mut packets);
        append_section(&long_section(0x02, programme, &pmt_body(pcr, tracks)), PMT_PID, &mut packets);
        Self { packets }
    }

    /// The PAT packet and then those of the PMT.
    pub(crate) fn packets(&self) -> &[u8] {
        &self.packets
    }
}

fn pmt_body(pcr: Pid, tracks: &[Track]) -> Vec<u8> {
    let mut body = vec![];
    push_pid(&mut body, pcr);
    body.extend_from_slice(&[0xF0, 0]);
    let mut room = DESCRIPTOR_BYTES_MAX;
    for track in tracks {
        let descriptors = descriptors(track);
        let fits = descriptors.len() <= room;
        let loop_bytes = if fits { &descriptors[..] } else { &[] };
        room -= loop_bytes.len();
        body.push(stream_type(track));
        push_pid(&mut body, track.pid);
        let [high, low] = u16::try_from(loop_bytes.len()).expect("under 1,024 bytes").to_be_bytes();
        body.extend_from_slice(&[0xF0 | high, low]);
        body.extend_from_slice(loop_bytes);
    }
    body
}

/// The stream type that receivers expect of a coding. Where the source's own is one of them it stays.
fn stream_type(track: &Track) -> u8 {
    let (default, others): (u8, &[u8]) = match track.kind {
        Kind::Video(_) | Kind::Subtitles | Kind::Teletext => return track.stream_type,
        Kind::Audio(AudioCodec::Mpa) => (0x03, &[0x04]),
        Kind::Audio(AudioCodec::AacAdts) => (0x0F, &[]),
        Kind::Audio(AudioCodec::AacLatm) => (0x11, &[]),
        Kind::Audio(AudioCodec::Ac3) => (0x06, &[0x81]),
        Kind::Audio(AudioCodec::Eac3) => (0x06, &[0x87]),
    };
    if others.contains(&track.stream_type) { track.stream_type } else { default }
}

/// The source's descriptors, and the one that names AC-3 in private data where the source forgot it (EN 300 468 annex D).
fn descriptors(track: &Track) -> Vec<u8> {
    let mut bytes = track.descriptors.clone();
    let named = match track.kind {
        Kind::Audio(AudioCodec::Ac3) => tag::AC3,
        Kind::Audio(AudioCodec::Eac3) => tag::EAC3,
        _ => return bytes,
    };
    if stream_type(track) == 0x06 && crate::descriptor::Descriptors::new(&bytes).find(named).is_none() {
        bytes.extend_from_slice(&[named, 1, 0]);
    }
    bytes
}

fn push_pid(bytes: &mut Vec<u8>, pid: Pid) {
    bytes.extend_from_slice(&(0xE000 | pid.value()).to_be_bytes());
}

/// A long section in force, section 0 of 0, whose version is made of its content.
pub(crate) fn long_section(table_id: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let version = crc::mpeg2(body).to_be_bytes()[3] & 0x1F;
    let [high, low] = u16::try_from(body.len() + 9).expect("bodies are under 1,000 bytes").to_be_bytes();
    let [extension_high, extension_low] = extension.to_be_bytes();
    let mut section = vec![table_id, 0xB0 | high, low, extension_high, extension_low, 0xC1 | version << 1, 0, 0];
    section.extend_from_slice(body);
    crc::append(&mut section);
    section
}

/// Appends a section in packets of `pid`, counters 0, the last one stuffed.
pub(crate) fn append_section(section: &[u8], pid: Pid, out: &mut Vec<u8>) {
    let payload = [&[0], section].concat();
    for (index, piece) in payload.chunks(PACKET_BYTES - 4).enumerate() {
        let [high, low] = pid.value().to_be_bytes();
        let start = if index == 0 { 0x40 } else { 0 };
        out.extend_from_slice(&[SYNC_BYTE, start | high, low, 0x10]);
        out.extend_from_slice(piece);
        out.resize(out.len().next_multiple_of(PACKET_BYTES), 0xFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es::VideoCodec;
    use crate::packet::Packet;
    use crate::section::SectionAssembler;
    use crate::table::{Pat, Pmt};

    fn track(pid: u16, kind: Kind, stream_type: u8, descriptors: &[u8]) -> Track {
        Track { descriptors: descriptors.to_vec(), ..Track::new(Pid::new(0x31), Pid::new(pid), kind, stream_type) }
    }

    fn sections(tables: &Tables) -> Vec<Vec<u8>> {
        let (mut sections, mut assembler) = (vec![], SectionAssembler::default());
        for packet in tables.packets().chunks(PACKET_BYTES) {
            let packet = Packet::from_slice(packet).unwrap();
            assembler
                .push(packet.payload(), packet.unit_start(), &mut |section| sections.push(section.unwrap().to_vec()));
        }
        sections
    }

    /// Builds tables, reads them back and names each stream.
    fn check(tracks: &[Track], want: &[(u8, u16, &[u8])]) {
        let sections = sections(&Tables::new(7, VIDEO_PID, tracks));
        let pat = Pat::parse(&sections[0]).unwrap();
        assert_eq!((pat.programmes[0].number, pat.programmes[0].pmt_pid), (7, PMT_PID));
        let pmt = Pmt::parse(&sections[1]).unwrap();
        assert_eq!((pmt.programme, pmt.pcr_pid, pmt.current), (7, VIDEO_PID, true));
        let got: Vec<_> = pmt.streams.iter().map(|s| (s.stream_type, s.pid.value(), s.descriptors.bytes())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn tables_read_back() {
        let language = [0x0A, 4, b'f', b'r', b'a', 0];
        check(&[], &[]);
        check(
            &[
                track(0x100, Kind::Video(VideoCodec::H264), 0x1B, &[]),
                track(0x110, Kind::Audio(AudioCodec::Mpa), 0x04, &language),
                track(0x111, Kind::Audio(AudioCodec::AacAdts), 0x04, &[]),
                track(0x112, Kind::Audio(AudioCodec::Eac3), 0x06, &[0x7A, 1, 0x80]),
                track(0x113, Kind::Audio(AudioCodec::Ac3), 0x03, &[]),
            ],
            &[
                (0x1B, 0x100, &[]),
                (0x04, 0x110, &language),
                (0x0F, 0x111, &[]),
                (0x06, 0x112, &[0x7A, 1, 0x80]),
                (0x06, 0x113, &[0x6A, 1, 0]),
            ],
        );
    }

    #[test]
    fn the_largest_track_list_fits() {
        let long = [&[0x56, 250][..], &[0; 250]].concat();
        let tracks: Vec<_> = (0..33).map(|n| track(0x100 + n, Kind::Teletext, 0x06, &long)).collect();
        let sections = sections(&Tables::new(1, PCR_PID, &tracks));
        assert!(sections[1].len() <= 1_024);
        let pmt = Pmt::parse(&sections[1]).unwrap();
        assert_eq!(pmt.streams.iter().filter(|s| !s.descriptors.bytes().is_empty()).count(), 3);
    }

    #[test]
    fn the_version_follows_the_content() {
        let version = |tracks: &[Track]| Pmt::parse(&sections(&Tables::new(1, VIDEO_PID, tracks))[1]).unwrap().version;
        let video = track(0x100, Kind::Video(VideoCodec::H264), 0x1B, &[]);
        let audio = track(0x110, Kind::Audio(AudioCodec::Mpa), 0x03, &[]);
        assert_eq!(version(std::slice::from_ref(&video)), version(std::slice::from_ref(&video)));
        assert_ne!(version(std::slice::from_ref(&video)), version(&[video, audio]));
    }
}
