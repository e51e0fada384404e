//! The packager on recorded television: same bytes for everyone, counters and times that never break.

mod analyser;

use std::sync::{Arc, LazyLock};

use analyser::Reading;
use bytes::Bytes;
use headend_media::crc;
use headend_media::package::{DefectKind, Event, Packager, Profile, Resume, Segment, Slate, SourceStart};
use headend_media::packet::Packet;
use headend_media::pes::map_timestamps;
use headend_media::splice::LoopFile;
use headend_media::time::{Pts, Ticks90k};
use headend_media::timeline::{Anchor, AnchorReason};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

const START: Ticks90k = Ticks90k::from_secs(1_800_000_000);
const D: Ticks90k = Ticks90k::from_secs(2);

static H264_AAC: LazyLock<LoopFile> =
    LazyLock::new(|| file(include_bytes!("../../../tests/fixtures/ts/h264-aac.ts"), None));
static FRANCE2: LazyLock<LoopFile> =
    LazyLock::new(|| file(include_bytes!("../../../tests/fixtures/ts/france2.ts"), None));
static RAI: LazyLock<LoopFile> = LazyLock::new(|| file(include_bytes!("../../../tests/fixtures/ts/rai1.ts"), None));
static EAC3: LazyLock<LoopFile> = LazyLock::new(|| file(include_bytes!("../../../tests/fixtures/ts/eac3.ts"), None));
static SLATE: LazyLock<Arc<Slate>> =
    LazyLock::new(|| Arc::new(Slate::from_ts(include_bytes!("../assets/slate.ts")).expect("the slate we ship")));

fn file(bytes: &'static [u8], service: Option<u16>) -> LoopFile {
    LoopFile::parse(Bytes::from_static(bytes), service).expect("a recording that loops")
}

fn secs(secs: i64) -> Ticks90k {
    Ticks90k::from_secs(secs)
}

fn ms(millis: i64) -> Ticks90k {
    Ticks90k::from_millis(millis)
}

/// What a packager gave out.
#[derive(Default)]
struct Out {
    segments: Vec<Segment>,
    anchors: Vec<(Anchor, AnchorReason)>,
    defects: Vec<(DefectKind, u64)>,
    running: Vec<u8>,
}

impl Out {
    fn take(&mut self, event: Event) {
        match event {
            Event::Segment(segment) => self.segments.push(segment),
            Event::Anchored(anchor, reason) => self.anchors.push((anchor, reason)),
            Event::Defect { kind, count, .. } => self.defects.push((kind, count)),
            Event::Packets(packets) => self.running.extend_from_slice(&packets),
            Event::Tracks(_) => {}
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.segments.iter().flat_map(|segment| segment.bytes.clone()).collect()
    }

    /// Numbers, times and counters are in order, and so is what segments say of themselves.
    fn check(&self) -> Reading {
        for pair in self.segments.windows(2) {
            assert_eq!(pair[1].number, pair[0].number + 1);
            assert!(pair[1].start >= pair[0].start + pair[0].duration);
            assert_eq!(pair[1].discontinuity, pair[1].layout != pair[0].layout);
        }
        for segment in &self.segments {
            assert!(segment.duration <= D + D && segment.duration > Ticks90k(0), "{}", segment.number);
            assert_eq!(segment.bytes[..4], [0x47, 0x40, 0, 0x10]);
            assert_eq!(segment.bytes[188..192], [0x47, 0x50, 0, 0x10]);
        }
        let reading = Reading::of(&self.bytes());
        assert_eq!(reading.breaks, []);
        reading
    }

    fn count(&self, kind: DefectKind) -> u64 {
        self.defects.iter().filter(|(k, _)| *k == kind).map(|(_, count)| count).sum()
    }

    fn numbers(&self, slate: bool) -> Vec<u64> {
        let numbers = self.segments.iter().filter(|segment| segment.slate == slate);
        numbers.map(|segment| segment.number - 900_000_000).collect()
    }
}

/// A packager with its output, fed from looped files in real time.
struct Channel {
    packager: Packager,
    out: Out,
    now: Ticks90k,
}

impl Channel {
    fn new(now: Ticks90k) -> Self {
        let profile = Profile { running: true, ..Profile::standard() };
        Self { packager: Packager::new(profile, None, Arc::clone(&SLATE)), out: Out::default(), now }
    }

    fn source(&mut self, service: Option<u16>, anchor: Option<Anchor>) -> &mut Self {
        self.packager.change_source(SourceStart { service, anchor }, &mut |event| self.out.take(event));
        self
    }

    fn push(&mut self, packets: &[u8]) -> &mut Self {
        self.packager.push(packets, self.now, &mut |event| self.out.take(event));
        self
    }

    /// Plays `length` of a file from `position` on, in pieces of 40 ms.
    fn play(&mut self, file: &LoopFile, position: Ticks90k, length: Ticks90k) -> &mut Self {
        self.play_through(file, position, length, &mut |_| {})
    }

    fn play_through(
        &mut self,
        file: &LoopFile,
        position: Ticks90k,
        length: Ticks90k,
        change: &mut dyn FnMut(&mut Vec<u8>),
    ) -> &mut Self {
        let (mut cursor, mut at, mut packets) = (file.seek(position), position, vec![]);
        while at < position + length {
            (at, self.now) = (at + ms(40), self.now + ms(40));
            packets.clear();
            file.read_until(&mut cursor, at, &mut packets);
            change(&mut packets);
            self.push(&packets);
        }
        self
    }

    fn lost(&mut self) -> &mut Self {
        self.packager.source_lost(&mut |event| self.out.take(event));
        self
    }

    fn slate(&mut self, until: Ticks90k) -> &mut Self {
        self.packager.fill_slate(until, &mut |event| self.out.take(event));
        self
    }
}

fn packets(file: &LoopFile, position: Ticks90k, length: Ticks90k) -> Vec<u8> {
    let (mut cursor, mut out) = (file.seek(position), vec![]);
    file.read_until(&mut cursor, position + length, &mut out);
    out
}

#[test]
fn a_later_start_writes_the_same_segments() {
    for file in [&*H264_AAC, &*FRANCE2, &*RAI, &*EAC3] {
        let mut early = Channel::new(START);
        early.source(None, None).play(file, START, secs(20));
        let anchor = early.out.anchors[0].0;
        for late_ms in [1_320, 4_000, 7_760] {
            let mut late = Channel::new(START + ms(late_ms));
            late.source(None, Some(anchor)).play(file, START + ms(late_ms), secs(20) - ms(late_ms));
            assert!(late.out.anchors.is_empty());
            let same = late.out.segments.iter().skip(1).all(|segment| early.out.segments.contains(segment));
            assert!(
                same && late.out.segments.len() > 3,
                "{:?} {:?}",
                late.out.numbers(false),
                early.out.numbers(false)
            );
        }
    }
}

#[test]
fn elementary_streams_are_untouched() {
    for (file, tracks) in [
        (&*H264_AAC, &[(0x65, 0x100), (0x64, 0x110)][..]),
        (&*FRANCE2, &[(0x78, 0x100), (0x82, 0x110), (0x83, 0x111), (0x84, 0x112)]),
        (&*RAI, &[(0x200, 0x100), (0x28A, 0x110), (0x240, 0x130)]),
    ] {
        let mut channel = Channel::new(START);
        let source = Reading::of(&packets(file, START, secs(12)));
        channel.source(None, None).play(file, START, secs(12));
        let reading = channel.out.check();
        let running = Reading::of(&channel.out.running);
        assert_eq!(running.breaks, []);
        for (source_pid, pid) in tracks {
            let (want, got) = (source.es(*source_pid), reading.es(*pid));
            let at = want.windows(4_000).position(|window| got.starts_with(window)).expect("begins somewhere");
            assert!(want[at..].starts_with(&got), "{source_pid:#x}");
            assert!(running.es(*pid).starts_with(&got), "{source_pid:#x} running");
        }
    }
}

#[test]
fn times_are_even() {
    let mut channel = Channel::new(START);
    channel.source(None, None).play(&H264_AAC, START, secs(24));
    let reading = channel.out.check();
    assert!(reading.steps(0x100).iter().all(|step| *step == 3_600));
    assert!(reading.pcr_steps(0x0FF).iter().all(|step| (1..=3_600).contains(step)), "the source announces no PCR");
    assert!(channel.out.segments.iter().all(|segment| segment.duration == D && segment.independent));
    let first = &channel.out.segments[1];
    let unit = &Reading::of(&first.bytes).units[&0x100][0];
    assert_eq!(unit.pts, Some(first.start.to_pts()));
}

#[test]
fn clocks_wrap_in_source_and_output() {
    let wrap = Ticks90k(1 << 33);
    let own = Pts::new(Reading::of(&packets(&RAI, Ticks90k(0), secs(1))).units[&0x200][0].dts.unwrap().value());
    let position = wrap - Ticks90k(own.value().cast_signed()) - secs(4);
    let mut channel = Channel::new(Ticks90k(wrap.0 * 18_900) - secs(7));
    channel.source(None, None).play(&RAI, position, secs(16));
    let reading = channel.out.check();
    let highest =
        |reading: &Reading, pid| reading.units[&pid].iter().filter_map(|unit| unit.dts).max_by_key(|dts| dts.value());
    assert!(highest(&reading, 0x100).unwrap().value() > (1 << 33) - 7_200, "the output wraps");
    assert!(highest(&Reading::of(&packets(&RAI, position, secs(16))), 0x200).unwrap().value() > (1 << 33) - 7_200);
    assert!(reading.steps(0x100).iter().all(|step| *step == 3_600));
    assert_eq!(channel.out.anchors.len(), 1);
}

#[test]
fn two_captures_agree_to_a_group() {
    let mut other = Channel::new(START);
    let mut one = Channel::new(START);
    one.source(Some(3401), None).play(&RAI, START, secs(20));
    other.source(Some(3402), None).play(&RAI, START + ms(333), secs(20));
    for segment in &one.out.segments[1..] {
        let twin = other.out.segments.iter().find(|twin| twin.number == segment.number);
        let Some(twin) = twin else { continue };
        let apart = (twin.start - segment.start).0.abs();
        assert!(apart <= 480 * 90, "{} by {apart}", segment.number);
    }
}

#[test]
fn a_jump_of_the_source_does_not_show() {
    let mut channel = Channel::new(START);
    channel.source(None, None).play(&H264_AAC, START, secs(7)).play(&H264_AAC, START + secs(5_000), secs(7));
    let reading = channel.out.check();
    let reasons: Vec<_> = channel.out.anchors.iter().map(|(anchor, reason)| (anchor.version, *reason)).collect();
    assert_eq!(reasons, [(1, AnchorReason::Missing), (2, AnchorReason::Jump)]);
    assert!(reading.steps(0x100).iter().all(|step| *step == 3_600));
    assert!(reading.steps(0x110).iter().all(|step| (0..7_200).contains(step)), "{:?}", reading.steps(0x110));
    assert_eq!(channel.out.numbers(true), [0_u64; 0]);
    assert!(reading.units[&0x100].len() >= 300 && reading.units[&0x110].len() >= 560, "both go on");
}

#[test]
fn a_hole_in_reception_is_filled_and_keeps_the_clock() {
    let mut channel = Channel::new(START);
    channel.source(None, None).play(&RAI, START, secs(5));
    channel.now += secs(7);
    channel.play(&RAI, START + secs(12), secs(6));
    channel.out.check();
    assert_eq!(channel.out.anchors.len(), 1);
    assert_eq!((channel.out.numbers(false), channel.out.numbers(true)), (vec![0, 1, 2, 6, 7], vec![3, 4, 5]));
}

#[test]
fn sources_change_without_a_seam() {
    let mut channel = Channel::new(START);
    channel.source(Some(3401), None).play(&RAI, START, secs(5));
    let anchor = channel.out.anchors[0].0;
    channel.source(Some(3401), None).play(&RAI, START + secs(77), secs(5));
    channel.source(Some(3401), Some(anchor)).play(&RAI, START + secs(10), secs(5));
    let behind = Anchor { at: anchor.at - secs(1), ..anchor };
    channel.source(Some(3401), Some(behind)).play(&RAI, START + secs(15), secs(3));
    let reading = channel.out.check();
    assert_eq!(reading.unfinished(), []);
    assert!(channel.out.segments.iter().all(|segment| !segment.discontinuity && !segment.slate));
    assert_eq!(channel.out.numbers(false), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(reading.steps(0x100).iter().all(|step| (1..=90_000).contains(step)), "{:?}", reading.steps(0x100));
}

#[test]
fn sound_is_not_heard_twice_when_the_source_changes() {
    let mut channel = Channel::new(START);
    channel.source(None, None).play(&H264_AAC, START, secs(6));
    let anchor = channel.out.anchors[0].0;
    // This capture comes a second later, and has its sound 100 ms earlier against its picture.
    channel.source(None, Some(anchor)).play_through(&H264_AAC, START + secs(5), secs(6), &mut |packets| {
        for packet in packets.chunks_exact_mut(188).filter(|packet| packet[1..3] == [0x40, 0x64]) {
            let payload = Packet::from_slice(packet).unwrap().payload_offset();
            map_timestamps(&mut packet[payload..], |old| old - 9_000).unwrap();
        }
    });
    let reading = channel.out.check();
    let odd: Vec<i64> = reading.steps(0x110).into_iter().skip(1).filter(|step| *step != 1_920).collect();
    assert!(odd.len() == 1 && (1_921..3_840).contains(&odd[0]), "one hole, of less than a frame: {odd:?}");
}

#[test]
fn other_codings_are_a_discontinuity() {
    let mut channel = Channel::new(START);
    channel.source(None, None).play(&RAI, START, secs(5)).source(None, None).play(&H264_AAC, START, secs(6));
    channel.out.check();
    let breaks: Vec<_> = channel.out.segments.iter().map(|segment| segment.discontinuity).collect();
    assert_eq!(breaks.iter().filter(|is_break| **is_break).count(), 1);
}

#[test]
fn slate_while_there_is_nothing() {
    let mut channel = Channel::new(START);
    channel.slate(START + secs(3)).source(None, None).play(&RAI, START, secs(5)).lost();
    let anchor = channel.out.anchors[0].0;
    channel.slate(START + secs(9)).source(None, Some(anchor));
    channel.now = START + secs(9);
    channel.play(&RAI, START + secs(9), secs(4)).lost();
    let reading = channel.out.check();
    assert_eq!((channel.out.numbers(true), channel.out.numbers(false)), (vec![0, 3], vec![1, 2, 4, 5, 6]));
    assert!(reading.steps(0x100).iter().all(|step| *step > 0));
    assert_eq!(reading.unfinished(), []);
}

#[test]
fn a_rest_of_under_200_ms_becomes_slate() {
    let mut channel = Channel::new(START);
    channel.source(None, None).play(&RAI, START, ms(10_300)).lost().slate(START + secs(14));
    channel.out.check();
    assert_eq!(channel.out.numbers(true), [5, 6]);
}

#[test]
fn numbers_go_on_after_a_restart() {
    let resume = Resume { number: 899_999_997, layout: SLATE.layout() };
    let mut channel = Channel::new(START);
    channel.packager = Packager::new(Profile::standard(), Some(resume), Arc::clone(&SLATE));
    channel.source(None, None).play(&RAI, START, secs(5));
    channel.out.check();
    let kinds: Vec<_> = channel.out.segments.iter().map(|s| (s.number % 1_000, s.slate, s.discontinuity)).collect();
    assert_eq!(kinds[..3], [(998, true, false), (999, true, false), (0, false, true)]);
}

/// The AAC track of h264-aac.ts moves to another PID, or another track comes, in packets behind a new PMT.
fn move_audio(packets: &mut [u8], second_track: bool) {
    let mut body = vec![
        0x02, 0xB0, 0x17, 0, 1, 0xC3, 0, 0, 0xFF, 0xFF, 0xF0, 0, 0x04, 0xE0, 0x74, 0xF0, 0, 0x1B, 0xE0, 0x65, 0xF0, 0,
    ];
    if second_track {
        body[2] += 5;
        body.extend_from_slice(&[0x04, 0xE0, 0x75, 0xF0, 0]);
    }
    crc::append(&mut body);
    for packet in packets.chunks_exact_mut(188) {
        if packet[1] & 0x1F == 0 && packet[2] == 0x63 {
            packet[5..5 + body.len()].copy_from_slice(&body);
        } else if packet[1] & 0x1F == 0 && packet[2] == 0x64 {
            packet[2] = 0x74;
        }
    }
}

#[test]
fn a_new_programme_map_counts_from_the_next_cut() {
    for (second_track, breaks) in [(false, 0), (true, 1)] {
        let mut channel = Channel::new(START);
        channel.source(None, None).play(&H264_AAC, START, secs(7));
        channel.play_through(&H264_AAC, START + secs(7), secs(8), &mut |packets| move_audio(packets, second_track));
        let reading = channel.out.check();
        assert_eq!(channel.out.segments.iter().filter(|segment| segment.discontinuity).count(), breaks);
        assert!(reading.steps(0x100).iter().all(|step| *step == 3_600));
        let last = Reading::of(&channel.out.segments.last().unwrap().bytes);
        assert!(last.units[&0x110].len() > 80, "sound goes on");
    }
}

#[test]
fn scrambled_and_damaged_packets_are_dropped_and_counted() {
    let mut channel = Channel::new(START);
    let mut number = 0;
    channel.source(None, None).play_through(&RAI, START, secs(12), &mut |packets| {
        for packet in packets.chunks_exact_mut(188) {
            number += 1;
            match number % 301 {
                0 => packet[3] |= 0x80,
                100 => packet[1] |= 0x80,
                _ => {}
            }
        }
    });
    channel.out.check();
    assert!(channel.out.count(DefectKind::Scrambled) > 30);
    assert!(channel.out.count(DefectKind::TransportError) > 30);
    assert!(channel.out.count(DefectKind::Continuity) > 30);
}

#[test]
fn lost_and_repeated_packets_are_counted() {
    let mut channel = Channel::new(START);
    let mut number = 0;
    channel.source(None, None).play_through(&H264_AAC, START, secs(12), &mut |packets| {
        let kept = packets.chunks_exact(188).flat_map(|packet| {
            number += 1;
            std::iter::repeat_n(packet, if number % 97 == 0 { 0 } else { 1 + usize::from(number % 89 == 0) })
        });
        *packets = kept.flatten().copied().collect();
    });
    channel.out.check();
    assert!(channel.out.count(DefectKind::Continuity) > 50);
    assert!(channel.out.count(DefectKind::Duplicate) > 50);
}

#[test]
fn a_segment_has_a_byte_limit() {
    let mut channel = Channel::new(START);
    let profile = Profile { segment_bytes_max: 300_000, ..Profile::standard() };
    channel.packager = Packager::new(profile, None, Arc::clone(&SLATE));
    channel.source(None, None).play(&RAI, START, secs(12));
    channel.out.check();
    assert!(channel.out.count(DefectKind::SegmentFull) > 3);
    assert!(channel.out.segments.iter().all(|segment| segment.bytes.len() < 400_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chunks_do_not_matter(cuts in prop::collection::vec(1_usize..3_000, 1..40)) {
        static WHOLE: LazyLock<(Vec<u8>, Vec<Segment>)> = LazyLock::new(|| {
            let packets = packets(&RAI, START, secs(6));
            let mut channel = Channel::new(START);
            channel.source(None, None).push(&packets).lost();
            (packets, channel.out.segments)
        });
        let mut channel = Channel::new(START);
        channel.source(None, None);
        let mut rest = &WHOLE.0[..];
        for cut in cuts {
            let (piece, behind) = rest.split_at((cut * 188).min(rest.len()));
            channel.push(piece);
            rest = behind;
        }
        channel.push(rest).lost();
        assert!(channel.out.segments == WHOLE.1);
    }

    #[test]
    fn flipped_bytes_are_survived(flips in prop::collection::vec((0_usize..3_000_000, any::<u8>()), 0..300)) {
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| packets(&RAI, START, secs(3)));
        let mut bytes = BYTES.clone();
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let mut channel = Channel::new(START);
        channel.source(None, None).push(&bytes).lost().slate(START + secs(8));
        channel.out.check();
    }

    #[test]
    fn any_packets_are_survived(tails in prop::collection::vec((0_u8..4, prop::collection::vec(any::<u8>(), 187)), 0..60)) {
        let mut channel = Channel::new(START);
        let mut bytes = packets(&RAI, START, ms(600));
        for (pid, tail) in tails {
            let at = bytes.len();
            bytes.push(0x47);
            bytes.extend_from_slice(&tail);
            (bytes[at + 1], bytes[at + 2]) = (bytes[at + 1] & 0xC0 | [2, 2, 0, 1][usize::from(pid)], [0, 0x8A, 0, 2][usize::from(pid)]);
        }
        channel.source(None, None).push(&bytes).lost().slate(START + secs(4));
        channel.out.check();
    }
}
