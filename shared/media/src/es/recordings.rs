//! Tests of this room against real broadcasts: sizes, rates and entry points as other programs measure them.
//!
//! The transport streams are those of `tests/fixtures/ts`; the walk below is just enough to get at the elementary
//! streams and is no demultiplexer.

use super::{AccessUnitScan, AudioCodec, FrameScan, Verdict, VideoCodec, first_frame, sniff};
use crate::pes::PesHeader;

const FRANCE2: &[u8] = include_bytes!("../../../../tests/fixtures/ts/france2.ts");
const RAI1: &[u8] = include_bytes!("../../../../tests/fixtures/ts/rai1.ts");
const H264_AAC: &[u8] = include_bytes!("../../../../tests/fixtures/ts/h264-aac.ts");
const EAC3: &[u8] = include_bytes!("../../../../tests/fixtures/ts/eac3.ts");

/// Payloads of one PID with their `payload_unit_start_indicator`.
fn payloads(stream: &'static [u8], pid: u16) -> impl Iterator<Item = (bool, &'static [u8])> {
    stream.chunks_exact(188).filter_map(move |packet| {
        let own = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) == pid;
        let start = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
        (own && packet[3] & 0x10 != 0).then(|| (packet[1] & 0x40 != 0, packet.get(start..).unwrap_or(&[])))
    })
}

/// The verdict on every PES packet of a PID, fed in pieces of at most `piece` bytes.
fn verdicts(stream: &'static [u8], pid: u16, codec: VideoCodec, piece: usize) -> Vec<Verdict> {
    let (mut scan, mut all, mut open) = (AccessUnitScan::new(codec), vec![], false);
    for (start, payload) in payloads(stream, pid) {
        let mut es = payload;
        if start {
            if open {
                all.push(scan.end());
            }
            scan.begin();
            open = true;
            es = PesHeader::parse(payload).unwrap().payload(payload);
        }
        es.chunks(piece).for_each(|piece| scan.push(piece));
    }
    if open {
        all.push(scan.end());
    }
    all
}

/// `pictures, entries, independent entries: size rate scan codecs`, the parameters of the first entry.
fn summary(stream: &'static [u8], pid: u16, codec: VideoCodec) -> String {
    let all = verdicts(stream, pid, codec, 188);
    for piece in [1, 7] {
        assert_eq!(verdicts(stream, pid, codec, piece), all, "pieces of {piece}");
    }
    let entries: Vec<_> = all.iter().filter(|verdict| verdict.random_access).collect();
    let independent = all.iter().filter(|verdict| verdict.independent).count();
    let Some(p) = entries.first().and_then(|verdict| verdict.parameters.as_ref()) else {
        return format!("{} pictures, no entry", all.len());
    };
    let (over, under) = p.frame_rate.unwrap();
    let kind = if p.interlaced { 'i' } else { 'p' };
    format!(
        "{} pictures, {} entries, {independent} independent: {}x{}{kind} {over}/{under} {}",
        all.len(),
        entries.len(),
        p.width,
        p.height,
        p.codecs
    )
}

#[test]
fn video_of_real_broadcasts() {
    for (stream, pid, codec, want) in [
        (FRANCE2, 0x78, VideoCodec::H264, "29 pictures, 1 entries, 0 independent: 1920x1080i 25/1 avc1.640028"),
        (H264_AAC, 0x65, VideoCodec::H264, "300 pictures, 6 entries, 6 independent: 1024x576p 25/1 avc1.64001F"),
        (RAI1, 0x200, VideoCodec::Mpeg2, "33 pictures, 3 entries, 0 independent: 720x576i 25/1 mp4v.61"),
        (RAI1, 0x202, VideoCodec::Mpeg2, "29 pictures, 2 entries, 0 independent: 720x576i 25/1 mp4v.61"),
        (RAI1, 0x208, VideoCodec::Mpeg2, "33 pictures, 3 entries, 0 independent: 720x576i 25/1 mp4v.61"),
        (RAI1, 0x1F4, VideoCodec::Hevc, "66 pictures, 2 entries, 0 independent: 1280x720p 50/1 hvc1.2.4.L153.B0"),
    ] {
        assert_eq!(summary(stream, pid, codec), want, "pid {pid:#x}");
    }
}

/// Elementary stream pieces of one PID, packet by packet, from the first PES start on.
fn elementary(stream: &'static [u8], pid: u16) -> impl Iterator<Item = (bool, &'static [u8])> {
    payloads(stream, pid).skip_while(|(start, _)| !start).map(|(start, payload)| {
        (start, if start { PesHeader::parse(payload).unwrap().payload(payload) } else { payload })
    })
}

/// Elementary stream of the first whole PES packet.
fn first_pes(stream: &'static [u8], pid: u16) -> Vec<u8> {
    let rest = elementary(stream, pid).skip(1).take_while(|(start, _)| !start);
    elementary(stream, pid).take(1).chain(rest).flat_map(|(_, piece)| piece).copied().collect()
}

#[test]
fn audio_of_real_broadcasts() {
    for (stream, pid, codec, want) in [
        (FRANCE2, 0x82, AudioCodec::Eac3, "ec-3 48000 Hz 2 ch, 512 bytes"),
        (FRANCE2, 0x84, AudioCodec::Eac3, "ec-3 48000 Hz 2 ch, 512 bytes"),
        (RAI1, 0x28A, AudioCodec::Mpa, "mp4a.40.33 48000 Hz 2 ch, 576 bytes"),
        (RAI1, 0x28C, AudioCodec::Mpa, "mp4a.40.33 48000 Hz 2 ch, 576 bytes"),
        (RAI1, 0x2B6, AudioCodec::Mpa, "mp4a.40.33 48000 Hz 1 ch, 192 bytes"),
        (H264_AAC, 0x64, AudioCodec::AacAdts, "mp4a.40.2 48000 Hz 2 ch, 295 bytes"),
        (EAC3, 0x103, AudioCodec::Eac3, "ec-3 44100 Hz 2 ch, 400 bytes"),
    ] {
        let es = first_pes(stream, pid);
        let p = first_frame(codec, &es).unwrap();
        let got = format!("{} {} Hz {} ch, {} bytes", p.codecs, p.sample_rate, p.channels, p.frame_bytes);
        assert_eq!(got, want, "pid {pid:#x}");
        let mut scan = FrameScan::new(codec);
        let found = elementary(stream, pid).find_map(|(_, piece)| scan.push(piece).cloned());
        let found = found.map(|p| (p.codecs, p.sample_rate, p.channels));
        assert_eq!(found, Some((p.codecs, p.sample_rate, p.channels)), "pid {pid:#x} packet by packet");
        assert!(sniff(&es).is_none_or(|sniffed| sniffed == codec), "pid {pid:#x} looks like {:?}", sniff(&es));
    }
}

#[test]
fn a_track_announced_as_another_coding_is_known_by_its_frames() {
    // The programme map of this recording says MPEG audio.
    assert_eq!(sniff(&first_pes(H264_AAC, 0x64)), Some(AudioCodec::AacAdts));
    assert_eq!(sniff(&first_pes(FRANCE2, 0x82)), Some(AudioCodec::Eac3));
    assert_eq!(sniff(&first_pes(RAI1, 0x28C)), Some(AudioCodec::Mpa));
}
