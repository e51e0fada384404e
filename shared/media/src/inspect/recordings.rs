//! The inspector on recorded streams, whole and mistreated. What is expected is that of their README.

use proptest::prelude::*;

use super::{Inspector, Report};
use crate::packet::PACKET_BYTES;
use crate::text::TextDefaults;

const FRANCE2: &[u8] = include_bytes!("../../../../tests/fixtures/ts/france2.ts");
const RAI1: &[u8] = include_bytes!("../../../../tests/fixtures/ts/rai1.ts");
const H264_AAC: &[u8] = include_bytes!("../../../../tests/fixtures/ts/h264-aac.ts");
const EAC3: &[u8] = include_bytes!("../../../../tests/fixtures/ts/eac3.ts");

const FRANCE2_SERVICES: &[&str] =
    &["257 France 2 GR1 A tv pmt=6e pcr=78: 78 h264, 82 eac3 fre, 83 eac3 fra, 84 eac3 qaa, \
     8c dvb_subtitle fra, 8e dvb_subtitle fra"];
const RAI1_SERVICES: &[&str] = &[
    "3401 Rai 1 Rai tv pmt=102 pcr=200: 200 mpeg2video, 28a mp2 ita, 2b6 mp2 Oth, 240 dvb_teletext ita,eng, 2bb mp2 eng",
    "3402 Rai 2 Rai tv pmt=101 pcr=201: 201 mpeg2video, 28b mp2 ita, 2b7 mp2 Oth, 2b8 mp2 eng, 241 dvb_teletext ita,eng",
    "3403 Rai 3 TGR Emilia Romagna Rai tv pmt=100 pcr=202: 202 mpeg2video, 28c mp2 ITA, 2b9 mp2 Oth, 242 dvb_teletext ITA",
    "3404 Rai Radio1 Rai radio pmt=103 pcr=28d: 28d mp2",
    "3405 Rai Radio2 Rai radio pmt=104 pcr=28e: 28e mp2",
    "3406 Rai Radio3 Rai radio pmt=105 pcr=28f: 28f mp2",
    "3410 Test HEVC main10 Rai tv pmt=12c pcr=1f4: 1f4 hevc",
    "3411 Rai News 24 Rai tv pmt=118 pcr=208: 208 mpeg2video, 2b2 mp2 ita, 257 dvb_teletext ita,eng",
];
const H264_AAC_SERVICES: &[&str] = &["1 - - tv pmt=63 pcr=1fff: 64 aac, 65 h264"];
const EAC3_SERVICES: &[&str] =
    &["1 - - tv pmt=1000 pcr=100: 100 h264, 101 aac eng, 102 aac eng, 103 eac3 eng, 104 eac3 eng"];

const RECORDINGS: [(&[u8], &[&str]); 4] =
    [(FRANCE2, FRANCE2_SERVICES), (RAI1, RAI1_SERVICES), (H264_AAC, H264_AAC_SERVICES), (EAC3, EAC3_SERVICES)];

fn inspect<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Report {
    let mut inspector = Inspector::new(TextDefaults::default());
    pieces.into_iter().for_each(|piece| inspector.push(piece));
    inspector.finish();
    inspector.report()
}

/// One line per service: PIDs in hexadecimal, streams without a codec left out.
fn line_up(report: &Report) -> Vec<String> {
    let services = report.services.iter().map(|service| {
        let streams = service.streams.iter().filter_map(|stream| {
            let language = stream.language.as_ref().map_or(String::new(), |language| format!(" {language}"));
            Some(format!("{:x} {}{language}", stream.pid.value(), stream.codec.as_ref()?))
        });
        format!(
            "{} {} {} {} pmt={:x} pcr={:x}: {}",
            service.id,
            service.name.as_deref().unwrap_or("-"),
            service.provider.as_deref().unwrap_or("-"),
            serde_json::to_value(service.kind).unwrap().as_str().unwrap(),
            service.pmt_pid.unwrap().value(),
            service.pcr_pid.unwrap().value(),
            streams.collect::<Vec<_>>().join(", "),
        )
    });
    services.collect()
}

/// Inspects each recording twice over, as tables repeat on air, after mistreating it; returns the reports.
fn check(mistreat: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<Report> {
    let reports = RECORDINGS.map(|(recording, want)| {
        let report = inspect([&mistreat(recording.repeat(2))[..]]);
        assert_eq!(line_up(&report), want);
        report
    });
    reports.into()
}

fn framed(bytes: &[u8], before: &[u8], behind: &[u8]) -> Vec<u8> {
    bytes.chunks(PACKET_BYTES).flat_map(|packet| [before, packet, behind].concat()).collect()
}

/// Flips a bit about once in 2,000 bytes; a small generator of Marsaglia's, so that a failure can be had again.
fn flip(mut bytes: Vec<u8>, mut seed: u64) -> Vec<u8> {
    for byte in &mut bytes {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        if seed.is_multiple_of(2000) {
            *byte ^= 1 << (seed >> 32 & 7);
        }
    }
    bytes
}

#[test]
fn whole_recordings() {
    for (recording, want) in RECORDINGS {
        let report = inspect([recording]);
        assert_eq!(line_up(&report), want);
        assert_eq!(report.packets, recording.len() as u64 / 188);
        let errors = (report.sync_losses, report.cc_errors, report.tei, report.crc_errors);
        assert_eq!(errors, (0, 0, 0, 0));
        assert!(report.services.iter().all(|service| !service.scrambled));
    }
}

#[test]
fn multiplex_and_guide() {
    let report = inspect([RAI1]);
    assert_eq!((report.tsid, report.onid, report.network.as_deref()), (Some(0x4800), Some(318), Some("Rai")));
    // A multiplex of 22.4 Mbit/s, by its PCR.
    assert!(report.bitrate.is_some_and(|bitrate| (22_300_000..22_500_000).contains(&bitrate)));
    let first = &report.epg[0];
    assert_eq!((first.service.0, first.event_id, first.duration_s, first.running), (3401, 59625, Some(3300), true));
    assert_eq!(first.title, "Santa Messa dalla Chiesa di Sant'Andrea");
    assert_eq!(first.start.unwrap().to_string(), "2022-01-16T09:55:00Z");
    assert!(report.epg.windows(2).all(|pair| pair[0].service <= pair[1].service));
}

#[test]
fn streams_without_packets_or_clock() {
    let report = inspect([EAC3]);
    let packets: Vec<_> = report.services[0].streams.iter().map(|stream| stream.packets).collect();
    assert_eq!((packets, report.bitrate), (vec![0, 0, 0, 661, 0], None));
}

#[test]
fn scrambled_and_marked_packets() {
    let mut bytes = FRANCE2.to_vec();
    let mut marked = 0;
    for packet in bytes.chunks_mut(PACKET_BYTES) {
        match u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) {
            0x78 => packet[3] |= 0x80,
            0x8C => {
                packet[1] |= 0x80;
                marked += 1;
            }
            _ => {}
        }
    }
    let report = inspect([&bytes[..]]);
    let service = &report.services[0];
    let scrambled: Vec<_> = service.streams.iter().map(|stream| stream.scrambled).collect();
    assert_eq!(scrambled, [true, false, false, false, false, false]);
    assert!(service.scrambled && report.cc_errors == 0);
    // What is marked as damaged belongs to no PID.
    assert_eq!((report.tei, service.streams[4].packets), (marked, 0));
}

#[test]
fn cut_anywhere() {
    for offset in [1, 47, 187, 1000] {
        check(|bytes| bytes[offset..bytes.len() - offset].to_vec());
    }
}

#[test]
fn other_framings() {
    for report in check(|bytes| framed(&bytes, &[], &[0x47; 16])) {
        assert_eq!(report.sync_losses, 0);
    }
    for report in check(|bytes| framed(&bytes, &[0x12, 0x34, 0x56, 0x78], &[])[2..].to_vec()) {
        assert_eq!(report.sync_losses, 0);
    }
}

#[test]
fn flipped_bits() {
    for seed in [1, 2, 3] {
        for report in check(|bytes| flip(bytes, seed)) {
            assert!(report.cc_errors > 0);
        }
    }
}

#[test]
fn lost_bytes() {
    // Every 100,000 bytes a hole, as a socket that overflows leaves it.
    let reports =
        check(|bytes| bytes.chunks(100_000).flat_map(|part| &part[..part.len().min(99_000)]).copied().collect());
    assert!(reports.iter().all(|report| report.sync_losses > 0 && report.cc_errors > 0));
}

#[test]
fn nothing_and_noise() {
    let nothing = inspect([]);
    assert_eq!((nothing.packets, nothing.bitrate, nothing.services.len()), (0, None, 0));
    let json = serde_json::to_value(&nothing).unwrap();
    assert_eq!(json["tsid"], serde_json::Value::Null);
    inspect([&flip(vec![0x47; 100_000], 1)[..]]);
}

#[test]
fn the_contract() {
    let report = inspect([FRANCE2]);
    let json = serde_json::to_value(&report).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let sorted = |text: &str| {
        let mut keys: Vec<_> = text.split(' ').map(String::from).collect();
        keys.sort();
        keys
    };
    let top = "packets bitrate sync_losses cc_errors tei crc_errors tsid onid network services epg";
    assert_eq!(keys(&json), sorted(top));
    let service = "id name provider type pmt_pid pcr_pid scrambled ca_systems streams";
    assert_eq!(keys(&json["services"][0]), sorted(service));
    let stream = &json["services"][0]["streams"][1];
    assert_eq!(keys(stream), sorted("pid type codec language packets cc_errors scrambled"));
    assert_eq!((&stream["pid"], &stream["type"], &stream["codec"]), (&130.into(), &"audio".into(), &"eac3".into()));
    let guide = serde_json::to_value(inspect([RAI1])).unwrap();
    assert_eq!(keys(&guide["epg"][0]), sorted("service event_id start duration_s title language running"));
    assert_eq!(guide["epg"][0]["start"], "2022-01-16T09:55:00Z");
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_do_not_matter(cuts in proptest::collection::vec(1..40_000_usize, 1..20), seed in 1..u64::MAX) {
        let bytes = flip(RAI1[..400_000].to_vec(), seed);
        let (mut pieces, mut rest) = (vec![], &bytes[..]);
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        prop_assert_eq!(inspect(pieces), inspect([&bytes[..]]));
    }
}
