//! Tests of the source watch: real broadcasts, then each fault made by hand on one of them.

use headend_media::packet::PACKET_BYTES;
use proptest::prelude::*;

use super::*;

const FRANCE2: &[u8] = include_bytes!("../../../../tests/fixtures/ts/france2.ts");
const RAI1: &[u8] = include_bytes!("../../../../tests/fixtures/ts/rai1.ts");
const H264: &[u8] = include_bytes!("../../../../tests/fixtures/ts/h264-aac.ts");

/// Plays `bytes` evenly over `span_ms` from `start_ms`, each packet through `edit` (which may drop it), with a sample
/// each 250 ms; answers with the last samples.
fn play(
    watch: &mut SourceWatch,
    bytes: &[u8],
    (start_ms, span_ms): (u64, u64),
    mut edit: impl FnMut(&mut [u8; PACKET_BYTES]) -> bool,
) -> Vec<InputSample> {
    let packets = bytes.as_chunks::<PACKET_BYTES>().0;
    let (mut samples, mut next) = (vec![], start_ms + SAMPLE_MS);
    for (index, packet) in packets.iter().enumerate() {
        let now_ms = start_ms + span_ms * index as u64 / packets.len() as u64;
        while next <= now_ms {
            samples.push(watch.sample(next));
            next += SAMPLE_MS;
        }
        let mut packet = *packet;
        if edit(&mut packet) {
            watch.push(&Packet::new(&packet).unwrap(), now_ms);
        }
    }
    samples.push(watch.sample(start_ms + span_ms));
    samples
}

fn keep(_: &mut [u8; PACKET_BYTES]) -> bool {
    true
}

fn pid(packet: &[u8; PACKET_BYTES]) -> u16 {
    Packet::new(packet).unwrap().pid().value()
}

/// France 2 after `edit`: what the failover rules see of it at the end.
fn check(edit: impl FnMut(&mut [u8; PACKET_BYTES]) -> bool, want: impl FnOnce(&Sample) -> bool) {
    let mut watch = SourceWatch::new(TextDefaults::default());
    play(&mut watch, FRANCE2, (1000, 2000), keep);
    let samples = play(&mut watch, FRANCE2, (3000, 2000), edit);
    let last = samples.last().unwrap().observe(None, 5000);
    assert!(want(&last), "{last:?}");
}

#[test]
fn a_good_service_has_nothing_to_complain_about() {
    let mut watch = SourceWatch::new(TextDefaults::default());
    let samples = play(&mut watch, FRANCE2, (1000, 1900), keep);
    let last = samples.last().unwrap();
    assert!((3_800_000..4_600_000).contains(&last.bitrate_bps), "{}", last.bitrate_bps);
    let [service] = &last.services[..] else { panic!("{last:?}") };
    assert_eq!((service.service, service.mapped, service.continuity_per_minute), (ServiceId(257), true, 0));
    let seen = last.observe(Some(ServiceId(257)), 2900);
    assert!(seen.pat_age_ms < 250 && seen.video_age_ms.unwrap() < 250 && seen.audio_age_ms.unwrap() < 250, "{seen:?}");
    assert_eq!((seen.packet_age_ms, seen.continuity_errors, seen.scrambled_permille), (0, 0, 0));
    assert_eq!(watch.services().list[&ServiceId(257)].name.as_deref(), Some("France 2"));
}

#[test]
fn all_services_of_a_multiplex_are_seen() {
    let mut watch = SourceWatch::new(TextDefaults::default());
    let samples = play(&mut watch, RAI1, (0, 1200), keep);
    let last = samples.last().unwrap();
    let seen: Vec<_> = last.services.iter().map(|s| (s.service.0, s.sample.video_age_ms.is_some())).collect();
    // Three of them are radio.
    let want = [
        (3401, true),
        (3402, true),
        (3403, true),
        (3404, false),
        (3405, false),
        (3406, false),
        (3410, true),
        (3411, true),
    ];
    assert_eq!(seen, want);
    assert!(last.services.iter().all(|s| s.mapped && s.bitrate_bps > 0), "{last:?}");
    assert_eq!(last.observe(Some(ServiceId(9)), 1200).packet_age_ms, u64::MAX);
}

#[test]
fn each_fault_shows_in_its_figure() {
    check(|packet| pid(packet) != 0, |seen| seen.pat_age_ms >= 2000 && seen.video_age_ms < Some(250));
    check(|packet| pid(packet) != 0x78, |seen| seen.video_age_ms >= Some(2000) && seen.audio_age_ms < Some(250));
    check(|packet| !(0x82..=0x84).contains(&pid(packet)), |seen| seen.audio_age_ms >= Some(2000));
    // One of three sound tracks gone is no silence.
    check(|packet| pid(packet) != 0x82, |seen| seen.audio_age_ms < Some(250));
    check(|_| false, |seen| seen.packet_age_ms >= 1750 && seen.pat_age_ms >= 2000);
    let mut count = 0;
    let third = |packet: &mut [u8; PACKET_BYTES]| {
        pid(packet) != 0x78 || {
            count += 1;
            count % 3 != 0
        }
    };
    check(third, |seen| seen.continuity_errors > 50);
    let scramble = |packet: &mut [u8; PACKET_BYTES]| {
        if pid(packet) == 0x78 {
            packet[3] |= 0x80;
        }
        true
    };
    check(scramble, |seen| (700..1000).contains(&seen.scrambled_permille));
}

#[test]
fn a_frozen_picture_keeps_its_time_stamp() {
    let mut watch = SourceWatch::new(TextDefaults::default());
    play(&mut watch, H264, (0, 1000), keep);
    // The same picture packet for ever: packets come, time stamps stand.
    let start = H264.as_chunks::<PACKET_BYTES>().0.iter().find(|p| pid(p) == 0x65 && p[1] & 0x40 != 0).unwrap();
    play(&mut watch, &start.repeat(100), (1000, 100), keep);
    let samples = play(&mut watch, &start.repeat(100), (1100, 2000), keep);
    let seen = samples.last().unwrap().observe(None, 3100);
    assert!(seen.packet_age_ms == 0 && seen.video_age_ms >= Some(2000), "{seen:?}");
}

#[test]
fn damage_is_counted_once_and_a_minute_forgets() {
    let mut watch = SourceWatch::new(TextDefaults::default());
    let mut counts = (0, 0);
    let edit = |packet: &mut [u8; PACKET_BYTES]| {
        // The first ten PATs get a wrong CRC, and twenty sound packets the transport error flag.
        if pid(packet) == 0 && counts.0 < 10 {
            counts.0 += 1;
            packet[12] ^= 1;
        }
        if pid(packet) == 0x82 {
            counts.1 += 1;
            packet[1] |= if (5..25).contains(&counts.1) { 0x80 } else { 0 };
        }
        true
    };
    let samples = play(&mut watch, FRANCE2, (0, 1900), edit);
    let sum = |figure: fn(&InputSample) -> u64| samples.iter().map(figure).sum::<u64>();
    assert_eq!((sum(|s| s.crc_errors), sum(|s| s.tei)), (10, 20));
    assert!(sum(|s| s.continuity_errors) > 0);
    assert_eq!(samples.last().unwrap().continuity_per_minute, sum(|s| s.continuity_errors));
    assert_eq!(watch.sample(59_000).continuity_per_minute, sum(|s| s.continuity_errors));
    assert_eq!(watch.sample(62_000).continuity_per_minute, 0);
}

#[test]
fn an_old_sample_grows_older() {
    let mut watch = SourceWatch::new(TextDefaults::default());
    let last = play(&mut watch, FRANCE2, (0, 1900), keep).pop().unwrap();
    let (now, later) = (last.observe(None, 1900), last.observe(None, 6900));
    assert_eq!(later.packet_age_ms, now.packet_age_ms + 5000);
    assert_eq!(later.video_age_ms, now.video_age_ms.map(|age| age + 5000));
}

proptest! {
    #[test]
    fn any_packets_never_panic(
        packets in proptest::collection::vec((any::<[u8; 16]>(), 0..400_u64), 0..200),
        known in any::<bool>(),
    ) {
        let (mut watch, mut now) = (SourceWatch::new(TextDefaults::default()), 0);
        if known {
            play(&mut watch, &FRANCE2[..188 * 1500], (0, 500), keep);
            now = 500;
        }
        for (head, wait) in packets {
            now += wait;
            let mut bytes = [0xFF; PACKET_BYTES];
            bytes[..16].copy_from_slice(&head);
            bytes[0] = 0x47;
            watch.push(&Packet::new(&bytes).unwrap(), now);
            if wait > 300 {
                let sample = watch.sample(now);
                prop_assert!(sample.services.iter().all(|s| s.sample.scrambled_permille <= 1000));
            }
        }
        prop_assert!(watch.pulses.len() <= Pid::COUNT && watch.tracks.len() <= 1024 + 253);
    }
}
