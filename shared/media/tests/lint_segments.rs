//! Segments through the lint: one fault for each rule of groups 4, 5, 8, 9 and 19, and clean ones.

mod synthetic;

use std::sync::Arc;

use headend_media::lint::{Chain, Key, Listed, Media, Playlist, Tally, compare, read};
use headend_media::packet::{PACKET_BYTES, Packet};
use headend_media::time::Ticks90k;
use proptest::prelude::{any, prop, proptest};
use synthetic::Broadcaster;

const START: i64 = 1_800_000_000;

fn secs(secs: i64) -> Ticks90k {
    Ticks90k::from_secs(secs)
}

/// A segment as it is listed, and its bytes.
#[derive(Clone)]
struct Cut {
    listed: Listed,
    bytes: Vec<u8>,
}

/// Segments of 2 s.
fn cut(source: &mut Broadcaster, count: i64) -> Vec<Cut> {
    let cut = |index: i64| {
        let (from, to) = (START + 2 * index, START + 2 * index + 2);
        let listed = Listed {
            number: index.cast_unsigned(),
            line: 0,
            address: "a.ts".into(),
            duration_us: 2_000_000,
            discontinuity: false,
            date_us: None,
            key: None,
            gap: false,
            range: None,
            mapped: false,
        };
        Cut { listed, bytes: source.play(secs(from), secs(to)) }
    };
    (0..count).map(cut).collect()
}

fn ids(cuts: &[Cut], independent: bool) -> Vec<&'static str> {
    let (mut chain, mut tally) = (Chain::default(), Tally::default());
    cuts.iter().for_each(|cut| chain.push(&cut.listed, independent, &cut.bytes, &mut tally));
    tally.ids().collect()
}

/// Three segments, the second of which is changed.
fn check(change: impl FnOnce(&mut Cut), want: &[&str]) {
    let mut cuts = cut(&mut Broadcaster::new(0, 1), 3);
    assert_eq!(ids(&cuts, true), [""; 0]);
    change(&mut cuts[1]);
    assert_eq!(ids(&cuts, true), want);
}

fn keep(bytes: &mut Vec<u8>, keep: impl Fn(usize, &Packet<'_>) -> bool) {
    let packets = bytes.as_chunks::<PACKET_BYTES>().0.iter().enumerate();
    *bytes = packets
        .filter(|(index, bytes)| keep(*index, &Packet::new(bytes).expect("a sync byte")))
        .flat_map(|(_, b)| *b)
        .collect();
}

fn without_tables(packet: &Packet<'_>) -> bool {
    ![0, 0x20].contains(&packet.pid().value())
}

#[test]
fn each_fault_of_a_segment_is_seen() {
    check(|cut| keep(&mut cut.bytes, |index, _| index != 9), &["counters-broken"]);
    check(
        |cut| keep(&mut cut.bytes, |_, packet| packet.pid().value() != 0x21),
        &["segment-empty", "counters-apart", "pcr-missing"],
    );
    check(|cut| keep(&mut cut.bytes, |index, _| index < 2), &["segment-empty", "counters-apart", "pcr-missing"]);
    check(|cut| keep(&mut cut.bytes, |_, packet| without_tables(packet)), &["tables-missing", "counters-apart"]);
    check(
        |cut| cut.bytes.iter_mut().skip(3).step_by(PACKET_BYTES).for_each(|byte| *byte |= 0x80),
        &["still-scrambled"],
    );
    check(|cut| cut.bytes[..16].iter_mut().for_each(|byte| *byte ^= 0x55), &["iv-wrong"]);
    check(
        |cut| {
            // The number of another segment as IV: only the last byte of the first block differs.
            cut.listed.key = Some(Arc::new(Key { whole: true, address: "k".into(), iv: None }));
            cut.bytes[15] ^= 3;
        },
        &["iv-wrong"],
    );
    check(|cut| cut.bytes.truncate(1_000), &["segment-unreadable"]);
    check(|cut| cut.bytes.clear(), &["segment-unreadable"]);
    check(|cut| cut.bytes = b"WEBVTT\n\n00:00".to_vec(), &["segment-unread"]);
    check(|cut| cut.bytes = b"\0\0\0\x18stypmsdh".to_vec(), &["segment-unread"]);
    check(|cut| cut.listed.duration_us = 2_150_000, &["duration-off"]);
    check(|cut| cut.listed.number = 7, &[]);
}

#[test]
fn tables_come_first_and_name_one_programme() {
    check(
        |cut| {
            let (tables, rest) = cut.bytes.split_at(2 * PACKET_BYTES);
            let (picture, rest) = rest.split_at(PACKET_BYTES);
            cut.bytes = [picture, tables, rest].concat();
        },
        &["tables-late"],
    );
    let mut two = Broadcaster { programmes: 2, ..Broadcaster::new(0, 1) };
    assert_eq!(ids(&cut(&mut two, 3), true), ["programmes"]);
}

#[test]
fn a_segment_is_entered_at_its_first_picture() {
    let mut open = Broadcaster { closed: false, ..Broadcaster::new(0, 1) };
    let cuts = cut(&mut open, 3);
    assert_eq!(ids(&cuts, false), [""; 0]);
    assert_eq!(ids(&cuts, true), ["not-independent"]);
    let mut late = Broadcaster::new(0, 1);
    let mut cuts = cut(&mut late, 2);
    // The second begins two pictures behind its key frame; that frame went with the first.
    let moved = cuts[1].bytes.drain(..5 * PACKET_BYTES).collect::<Vec<u8>>();
    cuts[0].bytes.extend(moved);
    assert_eq!(ids(&cuts, false), ["duration-off", "tables-late", "entry-late"]);
    cuts[0].listed.duration_us = 2_400_000;
    assert_eq!(ids(&cuts, true), ["not-independent", "tables-late", "entry-late"]);
}

/// The second segment comes of another source.
fn join(other: Broadcaster, discontinuity: bool) -> Vec<&'static str> {
    join_after(2_000_000, other, discontinuity)
}

/// The same where the first is listed to last so long.
fn join_after(duration_us: u64, other: Broadcaster, discontinuity: bool) -> Vec<&'static str> {
    let mut cuts = cut(&mut Broadcaster::new(0, 1), 2);
    cuts[0].listed.duration_us = duration_us;
    let mut other = other;
    cuts[1].bytes = cut(&mut other, 2).remove(1).bytes;
    cuts[1].listed.discontinuity = discontinuity;
    ids(&cuts, true)
}

#[test]
fn what_does_not_go_on_needs_a_discontinuity() {
    let jump = |ticks| Broadcaster::new(ticks, 1);
    for ticks in [-90_000, -9_000_000, 3 * 90_000, 1 << 32] {
        assert!(join(jump(ticks), false).contains(&"discontinuity-missing"), "{ticks}");
        assert_eq!(join(jump(ticks), true), [""; 0], "{ticks}");
    }
    assert_eq!(join_after(5_000_000, jump(3 * 90_000), false), ["hole"]);
    assert_eq!(join_after(3_000_000, jump(90_000), false), [""; 0]);
    assert_eq!(join(Broadcaster::new(0, 2), false), ["discontinuity-missing"]);
    assert_eq!(join(Broadcaster::new(0, 2), true), [""; 0]);
}

#[test]
fn time_stamps_go_on_over_their_end() {
    // The second segment begins at 0, and 200 ms before the first ends.
    let wrap = -(secs(START + 2).to_pts().value().cast_signed());
    let cuts = cut(&mut Broadcaster::new(wrap, 1), 4);
    assert_eq!(ids(&cuts, true), [""; 0]);
    let mut reset = cut(&mut Broadcaster::new(wrap - 9 * 90_000, 1), 2);
    let mut other = Broadcaster::new(wrap, 1);
    reset[1].bytes = cut(&mut other, 2).remove(1).bytes;
    let found = ids(&reset, true);
    assert!(found.contains(&"wrap-broken") && !found.contains(&"discontinuity-missing"), "{found:?}");
}

#[test]
fn codecs_name_every_kind_of_track() {
    let mut chain = Chain::default();
    let cuts = cut(&mut Broadcaster::new(0, 1), 1);
    chain.push(&cuts[0].listed, true, &cuts[0].bytes, &mut Tally::default());
    for (codecs, want) in [
        ("mp4v.61,mp4a.40.33", None),
        ("mp4v.61, mp4a.40.33", None),
        ("mp4v.61", Some("sound")),
        ("mp4a.40.33", Some("MPEG-2 pictures")),
        ("avc1.640028,mp4a.40.2", Some("MPEG-2 pictures")),
    ] {
        assert_eq!(chain.unnamed(codecs), want, "{codecs}");
    }
}

fn rendition(first: u64, secs: i64, target: u64, breaks: u64) -> Media {
    let date = jiff::Timestamp::from_second(secs).expect("a date");
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n\
         #EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:2,\na\n#EXTINF:2,\nb\n#EXTINF:2,\nc\n"
    );
    match read(text.as_bytes()).playlist {
        Playlist::Media(media) => media,
        other => panic!("{other:?}"),
    }
}

#[test]
fn renditions_are_cut_and_numbered_alike() {
    let first = rendition(100, START, 2, 1);
    for (other, want) in [
        (rendition(101, START + 2, 2, 1), &[][..]),
        (rendition(500, START + 60, 2, 9), &[]),
        (rendition(100, START, 4, 1), &["variant-target"]),
        (rendition(100, START, 2, 2), &["variant-discontinuity"]),
        (rendition(100, START + 2, 2, 1), &["variant-time"]),
        (rendition(500, START + 2, 2, 1), &["variant-numbers"]),
    ] {
        let mut tally = Tally::default();
        compare(&first, &other, &mut tally);
        assert_eq!(tally.ids().collect::<Vec<_>>(), want);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged(pieces in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..60), cut_at in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..900)) {
        let mut cuts = cut(&mut Broadcaster::new(0, 2), 3);
        for (at, byte) in pieces {
            let at = at.index(cuts[1].bytes.len());
            cuts[1].bytes[at] = byte;
        }
        let end = cut_at.index(cuts[2].bytes.len());
        cuts[2].bytes.truncate(end);
        let _ = ids(&cuts, true);
        cuts[1].bytes = noise;
        let _ = ids(&cuts, false);
    }
}
