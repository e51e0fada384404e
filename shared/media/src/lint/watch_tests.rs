//! Two or more states of one list for each rule of reloads; and the watcher against any states.

use super::*;
use proptest::prelude::{any, prop, proptest};

/// A list from number `first` on, segments of 2 s: `.` one, `!` one behind a discontinuity, `k` the first of another key. `:`
/// and more tags of the head may follow a blank. Dates are those of the numbers.
fn list(first: u64, discontinuities: u64, segments: &str) -> String {
    let (segments, head) = segments.split_once(' ').unwrap_or((segments, ""));
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n#EXT-X-KEY:METHOD=AES-128,URI=\"/k?s=1\"\n"
    );
    for tag in head.split(' ').filter(|tag| !tag.is_empty()) {
        text += &format!("#EXT-X-{tag}\n");
    }
    for (number, what) in (first..).zip(segments.chars()) {
        if what == '!' {
            text += "#EXT-X-DISCONTINUITY\n";
        }
        if what == 'k' {
            text += &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"/k{number}\"\n");
        }
        let date = jiff::Timestamp::from_second(1_767_000_000 + 2 * i64::try_from(number).unwrap()).unwrap();
        text += &format!("#EXT-X-PROGRAM-DATE-TIME:{date:.3}\n#EXTINF:2.000000,\n{number}.ts?token=T\n");
    }
    text
}

/// States seen two seconds apart, and the rules they break.
fn check(states: &[String], want: &[&str]) {
    let at = |index: usize| Duration::from_secs(2 * index as u64);
    let (tally, _) = replay(states.iter().enumerate().map(|(index, text)| (at(index), text)));
    assert_eq!(tally.ids().collect::<Vec<_>>(), want, "{states:#?}\n{:#?}", tally.findings());
}

#[test]
fn a_window_that_slides_as_it_should_is_clean() {
    check(&[list(7, 0, "...."), list(8, 0, "...!"), list(9, 0, "..!."), list(10, 0, ".!.k"), list(11, 0, "!.k.")], &[]);
    // The tag leaves with its segment, and is counted.
    check(&[list(11, 0, "!.k."), list(12, 1, ".k..")], &[]);
    check(&[list(7, 3, "...."), list(7, 3, "....")], &[]);
    check(
        &[
            list(7, 0, ". PLAYLIST-TYPE:EVENT"),
            list(7, 0, ".! PLAYLIST-TYPE:EVENT"),
            list(7, 0, ".!. PLAYLIST-TYPE:EVENT ENDLIST"),
        ],
        &[],
    );
    // A reader that slept sees the window go on further ahead, and nothing that is wrong.
    check(&[list(7, 0, "....!"), list(11, 0, "!...."), list(15, 1, "....")], &[]);
}

#[test]
fn each_rule_of_reloads_is_seen_where_it_is_broken() {
    let edit = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "{from} is there");
        text.replacen(from, to, 1)
    };
    let four = || list(7, 0, "....");
    for (before, after, want) in [
        (four(), edit(four(), "TARGETDURATION:2", "TARGETDURATION:3"), &["target-changed"][..]),
        (four(), list(6, 0, "....."), &["sequence-back"]),
        (four(), list(0, 0, ".."), &["sequence-back"]),
        (four(), edit(four(), "8.ts", "80.ts"), &["segment-changed"]),
        (four(), edit(list(8, 0, "...."), "\n8.ts", "\n7.ts"), &["segment-changed"]),
        (four(), edit(four(), "2.000000,\n8", "1.900000,\n8"), &["segment-changed", "date-drift"]),
        (four(), edit(four(), "8.ts?token=T", "8.ts?token=U"), &["segment-query-changed"]),
        (four(), edit(four(), "AES-128,URI=\"/k?s=1\"", "AES-128,URI=\"/k?s=2\""), &["key-address-changed"]),
        (four(), edit(four(), "METHOD=AES-128,URI=\"/k?s=1\"", "METHOD=NONE"), &["segment-changed"]),
        (
            four(),
            edit(four(), "?s=1\"", "?s=1\",IV=0x00000000000000000000000000000007"),
            &["segment-changed", "iv-repeated"],
        ),
        (four(), list(7, 0, "..."), &["segment-taken-back"]),
        (four(), list(20, 0, "...."), &["window-lost"]),
        (four(), list(7, 1, "...."), &["discontinuity-sequence"]),
        (list(7, 0, "!..."), list(8, 0, "...."), &["discontinuity-sequence"]),
        (list(7, 4, "!..."), list(8, 4, "...."), &["discontinuity-sequence"]),
        (list(7, 4, "!.!."), list(20, 5, "...."), &["window-lost", "discontinuity-sequence"]),
        (list(7, 0, "..!."), list(8, 0, "!..."), &["discontinuity-moved"]),
        (four(), list(7, 0, "!..."), &["discontinuity-moved"]),
        (four(), list(8, 0, ".."), &["segment-taken-back", "window-short"]),
        (four(), list(9, 0, ".."), &["window-short"]),
        (list(7, 0, "... PLAYLIST-TYPE:EVENT"), list(8, 0, "... PLAYLIST-TYPE:EVENT"), &["event-shrank"]),
        (list(7, 0, "... PLAYLIST-TYPE:EVENT"), list(7, 0, "..."), &["type-changed"]),
        (list(7, 0, "... ENDLIST"), list(7, 0, ".... ENDLIST"), &["ended-changed"]),
        (list(7, 0, "... ENDLIST"), list(7, 0, "..."), &["ended-changed"]),
        (
            list(7, 0, "... PLAYLIST-TYPE:VOD ENDLIST"),
            list(7, 0, "..!. PLAYLIST-TYPE:VOD ENDLIST"),
            &["discontinuity-moved", "ended-changed"],
        ),
        (four(), edit(list(8, 0, "...."), "T09:20:22.000Z", "T09:20:22.300Z"), &["date-drift"]),
        (four(), edit(list(8, 0, "...."), "T09:20:16.000Z", "T09:20:16.300Z"), &["segment-changed", "date-drift"]),
        (four(), "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"mp4a.40.2\"\na\n".to_owned(), &["not-a-playlist"]),
    ] {
        check(&[before, after], want);
    }
}

#[test]
fn what_stands_still_is_told_once() {
    let still: Vec<String> = (0..6).map(|_| list(7, 0, "....")).collect();
    check(&still[..2], &[]);
    check(&still, &["stalled"]);
    let (tally, _) =
        replay(still.iter().enumerate().map(|(index, text)| (Duration::from_secs(2 * index as u64), text)));
    assert_eq!(tally.count(Rule::Stalled), 1);
    let ended: Vec<String> = (0..6).map(|_| list(7, 0, ".... ENDLIST")).collect();
    check(&ended, &[]);
}

#[test]
fn dates_that_creep_away_are_seen_over_hours() {
    // EXTINF says 2 s, the dates move on by 2.0005 s: 50 ms after a hundred segments, 100 ms after two hundred.
    let state = |number: u64| {
        let date =
            jiff::Timestamp::from_microsecond(1_767_000_000_000_000 + 2_000_500 * i64::try_from(number).unwrap())
                .unwrap();
        let body = "#EXTINF:2,\n".to_owned() + &["a", "b", "c", "d"].map(|_| "x.ts").join("\n#EXTINF:2,\n");
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{number}\n#EXT-X-PROGRAM-DATE-TIME:{date:.3}\n{body}\n"
        )
    };
    let run = |count: u64| replay((0..count).map(|number| (Duration::from_secs(2 * number), state(number))));
    let (tally, figures) = run(190);
    assert!(tally.is_clean() && (90_000..100_000).contains(&figures.drift_us), "{figures:?} {tally:?}");
    assert_eq!(run(240).0.ids().collect::<Vec<_>>(), ["date-drift"]);
}

#[test]
fn what_left_the_list_is_owed_for_a_while() {
    let (mut watcher, mut tally) = (Watcher::new(), Tally::default());
    watcher.look_at_text(list(7, 0, "....").as_bytes(), Duration::ZERO, &mut tally);
    assert_eq!(watcher.owed(Duration::ZERO), None);
    watcher.look_at_text(list(8, 0, "....").as_bytes(), Duration::from_secs(2), &mut tally);
    let owed = |secs: u64| watcher.owed(Duration::from_secs(secs)).map(|removed| removed.listed.number);
    // Its own two seconds and the eight of the list.
    assert_eq!((owed(2), owed(11), owed(12)), (Some(7), Some(7), None));
}

#[test]
fn figures_count_each_segment_once() {
    let states = [list(7, 0, "..k!"), list(8, 0, ".k!."), list(9, 0, "k!.k.")];
    let (tally, figures) = replay(states.iter().map(|text| (Duration::ZERO, text)));
    assert!(tally.is_clean(), "{:?}", tally.findings());
    let want = Figures {
        looks: 3,
        segments: 7,
        discontinuities: 1,
        key_changes: 2,
        first: Some(7),
        last: Some(13),
        drift_us: 0,
    };
    assert_eq!(figures, want);
}

proptest! {
    #[test]
    fn any_states_are_judged_within_bounds(states in prop::collection::vec((0_u64..30, 0_u64..3, "[.!k]{0,9}", any::<bool>()), 0..40)) {
        let (mut watcher, mut tally) = (Watcher::new(), Tally::default());
        for (index, (first, discontinuities, segments, ends)) in states.iter().enumerate() {
            let text = list(*first, *discontinuities, &format!("{segments}{}", if *ends { " ENDLIST" } else { "" }));
            watcher.look_at_text(text.as_bytes(), Duration::from_secs(index as u64), &mut tally);
            assert!(watcher.removed.len() <= REMOVED_MAX && watcher.dates.len() <= 9);
        }
        assert!(tally.findings().len() <= Tally::KEPT * Rule::ALL.len());
    }

    #[test]
    fn an_honest_window_is_clean_however_it_is_looked_at(
        segments in "[.!]{8,60}", listed in 4_usize..9, skips in prop::collection::vec(1_usize..4, 60), first in 0_u64..1_000_000,
    ) {
        let (mut end, mut states) = (listed.min(segments.len()), vec![]);
        for skip in skips {
            let from = end - listed;
            let left = segments[..from].matches('!').count() as u64;
            states.push((Duration::from_secs(2 * end as u64), list(first + from as u64, left, &segments[from..end])));
            if end == segments.len() {
                break;
            }
            end = (end + skip).min(segments.len());
        }
        let (tally, figures) = replay(states);
        assert!(tally.is_clean(), "{:#?}", tally.findings());
        assert_eq!(figures.drift_us, 0);
    }
}
