//! One playlist for each rule of form that breaks it and nothing else; and the reader against any bytes.

use super::super::finding::Severity;
use super::*;
use proptest::prelude::{any, prop, proptest};

const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:4\n\
    #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n\
    #EXT-X-KEY:METHOD=AES-128,URI=\"/k/a/1-1?s=S\"\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:06.000Z\n\
    #EXTINF:2.000000,\na.ts?token=T\n#EXTINF:2.040000,\nb.ts\n#EXT-X-DISCONTINUITY\n\
    #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:20.000Z\n#EXTINF:2.000000,\nc.ts\n";

const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"fr\",URI=\"fr.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1500000,CODECS=\"avc1.640028,mp4a.40.2\",RESOLUTION=1920x1080,\
    FRAME-RATE=25.000,AUDIO=\"a\"\nvideo.m3u8?token=T\n";

fn ids(text: &[u8]) -> Vec<&'static str> {
    read(text).tally.ids().collect()
}

/// The first list is clean; with `from` made `to` it breaks these rules.
fn check(good: &str, from: &str, to: &str, want: &[&str]) {
    assert_eq!(ids(good.as_bytes()), [""; 0], "the good one");
    let bad = good.replacen(from, to, 1);
    assert_ne!(bad, good, "{from} is there");
    assert_eq!(ids(bad.as_bytes()), want, "{from} made {to}");
}

#[test]
fn each_rule_of_form_is_seen_where_it_is_broken() {
    for (from, to, want) in [
        ("#EXTM3U\n", "#EXTM3U8\n", &["not-a-playlist"][..]),
        ("#EXTM3U\n", "\u{feff}#EXTM3U\n", &["byte-order-mark"]),
        ("a.ts", "a\u{7}.ts", &["control-character", "address-malformed"]),
        ("a.ts?token=T\n", "a.ts?token=T\r\n", &["line-ends"]),
        ("c.ts\n", "c.ts", &["line-ends"]),
        ("a.ts", " a.ts", &["white-space"]),
        ("#EXT-X-VERSION", "#EXT-X-CUE-OUT:30\n#EXT-X-VERSION", &["tag-unknown"]),
        ("VERSION:3", "VERSION:2", &["version-low"]),
        ("VERSION:3", "VERSION:x", &["tag-malformed", "version-low"]),
        ("VERSION:3", "VERSION:3\n#EXT-X-VERSION:3", &["tag-misplaced"]),
        ("#EXT-X-TARGETDURATION:4\n", "", &["target-missing"]),
        ("TARGETDURATION:4", "TARGETDURATION:4.0", &["target-missing", "tag-malformed"]),
        ("TARGETDURATION:4", "TARGETDURATION:1", &["target-too-small"]),
        ("#EXTINF:2.040000", "#EXTINF:4.500000", &["target-too-small"]),
        ("b.ts\n", "b.ts\n#EXT-X-TARGETDURATION:4\n", &["tag-misplaced"]),
        ("2.000000,\na", "2.000000\na", &["tag-malformed"]),
        ("2.000000,\na", "two,\na", &["tag-malformed"]),
        ("#EXTINF:2.000000,\na", "a", &["extinf-missing"]),
        ("b.ts\n", "", &["address-missing"]),
        ("c.ts\n", "", &["address-missing"]),
        ("a.ts", "a b.ts", &["address-malformed"]),
        ("a.ts", "é.ts", &["address-malformed"]),
        ("URI=\"/k/a/1-1?s=S\"", "URI=/k/a/1-1?s=S", &["attributes-malformed"]),
        ("METHOD=AES-128", "METHOD=AES-128,METHOD=AES-128", &["attributes-malformed"]),
        ("METHOD=AES-128,", "METHOD=AES-128, ", &["attributes-malformed"]),
        ("METHOD=AES-128", "METHOD=SAMPLE-AES", &["key-method"]),
        ("METHOD=AES-128", "METHOD=AES-128,KEYFORMAT=\"com.apple\"", &["key-method", "version-low"]),
        ("S\"\n", "S\",IV=0x1\n", &["iv-malformed"]),
        ("S\"\n", "S\",IV=0x00000000000000000000000000000007\n", &["iv-repeated"]),
        ("#EXTINF:2.040000", "#EXT-X-GAP\n#EXTINF:2.040000", &["gap"]),
        ("#EXTINF:2.040000", "#EXT-X-PART:DURATION=1,URI=\"p\"\n#EXTINF:2.040000", &["low-latency"]),
        ("#EXTINF:2.040000", "#EXT-X-BYTERANGE:10@0\n#EXTINF:2.040000", &["version-low"]),
        ("#EXTINF:2.040000", "#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:2.040000", &["version-low"]),
        ("DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:-1", &["tag-malformed"]),
        ("#EXT-X-MEDIA-SEQUENCE:7", "#EXT-X-PLAYLIST-TYPE:LIVE", &["tag-malformed"]),
        ("#EXT-X-MEDIA-SEQUENCE:7", "#EXT-X-PLAYLIST-TYPE:VOD", &["vod-open"]),
        ("#EXT-X-MEDIA-SEQUENCE:7", "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"mp4a.40.2\"", &["tags-mixed"]),
        ("T03:04:06.000Z", "T03:04:06.000", &["date-malformed"]),
        ("T03:04:20.000Z", "T03:04:02.000Z", &["date-back"]),
        ("#EXT-X-DISCONTINUITY\n", "", &["date-drift"]),
    ] {
        check(MEDIA, from, to, want);
    }
    let undated = MEDIA.lines().filter(|line| !line.contains("DATE-TIME")).collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(ids(undated.as_bytes()), ["date-missing"]);
    assert_eq!(ids(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"), ["nothing-listed"]);
    assert_eq!(
        ids(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n\xff.ts\n"),
        ["date-missing", "not-utf-8", "address-malformed"]
    );
    assert_eq!(ids(b"<html>"), ["not-a-playlist"]);
    assert_eq!(ids(b""), ["not-a-playlist"]);
}

#[test]
fn masters_are_read_by_the_same_rules() {
    for (from, to, want) in [
        ("BANDWIDTH=2000000,AVER", "AVER", &["bandwidth-missing"][..]),
        ("AVERAGE-BANDWIDTH=1500000", "AVERAGE-BANDWIDTH=2500000", &["attributes-malformed"]),
        ("CODECS=\"avc1.640028,mp4a.40.2\",", "", &["codecs-missing"]),
        (",FRAME-RATE=25.000", "", &["picture-unsaid"]),
        ("AUDIO=\"a\"", "AUDIO=\"b\"", &["group-unknown"]),
        ("video.m3u8?token=T\n", "", &["address-missing"]),
        (",NAME=\"fr\"", "", &["group-unknown", "attributes-malformed"]),
    ] {
        check(MASTER, from, to, want);
    }
    let Playlist::Master(master) = read(MASTER.as_bytes()).playlist else { panic!("a master") };
    assert_eq!((master.variants.len(), &*master.variants[0].address), (1, "video.m3u8?token=T"));
    assert_eq!(master.renditions[0].address.as_deref(), Some("fr.m3u8"));
}

#[test]
fn what_was_written_is_what_is_read() {
    let Playlist::Media(media) = read(MEDIA.as_bytes()).playlist else { panic!("a media playlist") };
    assert_eq!((media.version, media.target_secs, media.sequence, media.discontinuity_sequence), (3, Some(4), 7, 1));
    let got: Vec<_> = media.segments.iter().map(|s| (s.number, &*s.address, s.duration_us, s.discontinuity)).collect();
    let want = [(7, "a.ts?token=T", 2_000_000, false), (8, "b.ts", 2_040_000, false), (9, "c.ts", 2_000_000, true)];
    assert_eq!(got, want);
    assert_eq!(media.segments[1].key.as_ref().map(|key| (&*key.address, key.iv_of(8))), Some(("/k/a/1-1?s=S", 8)));
    assert_eq!(media.segments[0].date_us, Some(1_767_323_046_000_000));
}

#[test]
fn seconds_are_read_without_rounding() {
    for (text, want) in [
        ("2", Some(2_000_000)),
        ("2.", Some(2_000_000)),
        (".5", Some(500_000)),
        ("2.0000004", Some(2_000_000)),
        ("1.9999995", Some(2_000_000)),
        ("9.009", Some(9_009_000)),
        ("", None),
        (".", None),
        ("-1", None),
        ("1e3", None),
        ("1.2.3", None),
        ("100000000", None),
    ] {
        assert_eq!(micros(text), want, "{text:?}");
    }
}

#[test]
fn no_secret_of_an_address_is_repeated() {
    let all = [
        MEDIA.replace("a.ts?token=T", "a b.ts?token=GEHEIM"),
        MEDIA.replace("URI=\"/k/a/1-1?s=S\"", "URI=/k/a/1-1?s=GEHEIM"),
        MASTER.replace("AUDIO=\"a\"", "AUDIO=\"a?GEHEIM\""),
        MEDIA.replace("#EXT-X-VERSION", "GEHEIM\n#EXT-X-VERSION"),
    ];
    for text in all {
        let reading = read(text.as_bytes());
        assert!(reading.tally.weighing(Severity::Error) > 0, "{text}");
        assert!(
            reading.tally.findings().iter().all(|finding| !finding.words.contains("GEHEIM")),
            "{:?}",
            reading.tally
        );
    }
}

#[test]
fn a_giant_is_read_to_its_bound() {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:1\n");
    (0..SEGMENTS_MAX + 10).for_each(|_| text.push_str("#EXTINF:1,\na\n"));
    let reading = read(text.as_bytes());
    let Playlist::Media(media) = reading.playlist else { panic!("a media playlist") };
    assert_eq!(
        (media.segments.len(), reading.tally.ids().collect::<Vec<_>>()),
        (SEGMENTS_MAX, vec!["date-missing", "too-long"])
    );
    assert_eq!(ids(&vec![b'#'; PLAYLIST_BYTES_MAX + 1]), ["too-long"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = read(&bytes);
        let _ = read(&[b"#EXTM3U\n", &bytes[..]].concat());
    }

    #[test]
    fn any_lines_are_read_within_bounds(
        lines in prop::collection::vec("(#EXT-X-(KEY|MAP|MEDIA|STREAM-INF|BYTERANGE|VERSION|MEDIA-SEQUENCE|DISCONTINUITY-SEQUENCE|PROGRAM-DATE-TIME|ENDLIST|DISCONTINUITY|TARGETDURATION|PLAYLIST-TYPE)(:[A-Z0-9=\",.x-]{0,30})?|#EXTINF:[0-9.]{0,25},?|[a-z/?&=%. ]{0,20})", 0..60),
    ) {
        let reading = read(format!("#EXTM3U\n{}", lines.join("\n")).as_bytes());
        assert!(reading.tally.findings().len() <= Tally::KEPT * Rule::ALL.len());
        if let Playlist::Media(media) = reading.playlist {
            assert!(media.segments.len() <= lines.len());
        }
    }
}
