//! The text of a live media playlist.
//!
//! A pure print of a [`Window`]: version 3, whole-segment AES-128, relative segment addresses. It decides nothing about
//! the window and knows no session (`splice` puts that in). Standard: RFC 8216 §4.3; choices it leaves open:
//!
//! - IV is left out, so it is the media sequence number (§5.2): one KEY tag per key period is enough, where an explicit IV
//!   would need a tag per segment. All players measured take it, and some televisions take nothing else.
//! - DISCONTINUITY-SEQUENCE is written as soon as it says something: when it is above 0, or while a discontinuity is
//!   listed. Left out it means 0 (§4.3.3.3).
//! - INDEPENDENT-SEGMENTS is written only while every listed segment is.
//! - PROGRAM-DATE-TIME stands at the first segment and at each discontinuity, from the timeline in whole milliseconds.
//! - EXTINF has six decimals and is the difference of two rounded instants, so that no sum of them ever drifts.

use std::fmt::Write;

use super::grid::SegmentGrid;
use super::live_path::encode;
use super::splice::{Builder, Rendered};
use super::window::{Entry, KeyRef, Window};
use crate::time::Ticks90k;

/// Prints the media playlists of one channel.
///
/// ```
/// use headend_media::playlist::{Entry, KeyBase, KeyRef, MediaPlaylist, Query, SegmentGrid, Window};
/// use headend_media::time::Ticks90k;
/// let mut window = Window::new(SegmentGrid::new(2_000).unwrap(), 4, 6, 883_661_523);
/// let start = Ticks90k::from_secs(1_767_323_046);
/// let key = Some(KeyRef { generation: 1, period: 7 });
/// let duration = Ticks90k::from_secs(2);
/// let entry = Entry { number: 883_661_523, start, duration, independent: true, discontinuity: false, key, bytes: 9 };
/// window.push(entry).unwrap();
/// let here = KeyBase::default();
/// let rendered = MediaPlaylist::new("france24").render(&window, |_| &here);
/// let text = rendered.with_session(&Query::new("token=T").unwrap(), |_| Query::new("s=S").unwrap());
/// let text = String::from_utf8(text).unwrap();
/// assert!(text.contains("\n#EXT-X-KEY:METHOD=AES-128,URI=\"/k/france24/1-7?s=S\"\n"));
/// assert!(text.ends_with("\n#EXTINF:2.000000,\n2026/01/02/03/04/06-02000.ts?token=T\n"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// The channel's name as it stands in an address.
    name: String,
    /// Segments and keys are named from the root of the server, not from the playlist.
    segment_prefix: String,
}

/// Everything of a key's address before `NAME/GENERATION-PERIOD`: `/k/`, or the same at another server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyBase(String);

/// The text cannot stand in a quoted string of printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key server's address is printable ASCII without quotes, blanks, query or fragment")]
pub struct KeyBaseError;

impl KeyBase {
    /// Takes an address such as `https://controller.example/k/`.
    ///
    /// # Errors
    /// [`KeyBaseError`] when it could break out of its attribute.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyBaseError> {
        let text = text.into();
        let good = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\?#".contains(&byte));
        if good { Ok(Self(text)) } else { Err(KeyBaseError) }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyBase {
    /// The server that gives the playlist.
    fn default() -> Self {
        Self("/k/".to_owned())
    }
}

impl TryFrom<String> for KeyBase {
    type Error = KeyBaseError;

    fn try_from(text: String) -> Result<Self, KeyBaseError> {
        Self::new(text)
    }
}

impl From<KeyBase> for String {
    fn from(base: KeyBase) -> Self {
        base.0
    }
}

impl MediaPlaylist {
    /// For a channel of this system name.
    #[must_use]
    pub fn new(channel: &str) -> Self {
        Self { name: encode(channel), segment_prefix: String::new() }
    }

    /// The same playlist for a place below the channel's own folder: segment addresses start with `prefix`, such as
    /// `../`. `None` unless it is made of unreserved characters and `/`.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Option<Self> {
        self.segment_prefix = prefix.to_owned();
        (encode(prefix) == prefix).then_some(self)
    }

    /// Prints the window as it is now. `key_base` tells where a key is fetched; players keep keys by their address, so it
    /// must tell the same for a key as long as that key is listed.
    #[must_use]
    pub fn render<'a>(&self, window: &Window, key_base: impl Fn(KeyRef) -> &'a KeyBase) -> Rendered {
        let mut out = Builder::default();
        header(&mut out, window);
        let mut key = None;
        for (at, entry) in window.listed().enumerate() {
            if entry.discontinuity {
                out.line("#EXT-X-DISCONTINUITY");
            }
            if entry.key != key {
                self.key_tag(&mut out, entry.key.map(|key| (key, key_base(key))));
                key = entry.key;
            }
            self.segment(&mut out, window.grid(), entry, at == 0);
        }
        out.finish()
    }

    fn segment(&self, out: &mut Builder, grid: SegmentGrid, entry: &Entry, first: bool) {
        if first || entry.discontinuity {
            out.line(&format!("#EXT-X-PROGRAM-DATE-TIME:{}", date_time(entry.start)));
        }
        let (seconds, micros) = extinf(entry);
        let name = grid.name(entry.number).expect("the window refuses numbers without a name");
        let text = out.text();
        write!(text, "#EXTINF:{seconds}.{micros:06},\n{}", self.segment_prefix).expect("strings take all text");
        out.folder(entry.start);
        out.text().push_str(&name);
        out.session();
        out.line("");
    }

    fn key_tag(&self, out: &mut Builder, key: Option<(KeyRef, &KeyBase)>) {
        match key {
            Some((key, base)) => push_key_tag(out, (base, &self.name), key, None),
            None => out.line("#EXT-X-KEY:METHOD=NONE"),
        }
    }
}

/// A KEY tag for the channel of this encoded name; `iv` is the number of a segment whose place in the list is another.
pub(super) fn push_key_tag(out: &mut Builder, (base, name): (&KeyBase, &str), key: KeyRef, iv: Option<u64>) {
    let KeyBase(base) = base;
    write!(out.text(), "#EXT-X-KEY:METHOD=AES-128,URI=\"{base}{name}/{key}").expect("strings take all text");
    out.key(key);
    match iv {
        Some(number) => out.line(&format!("\",IV=0x{number:032X}")),
        None => out.line("\""),
    }
}

fn header(out: &mut Builder, window: &Window) {
    let (sequence, discontinuities) = (window.media_sequence(), window.discontinuity_sequence());
    out.line("#EXTM3U\n#EXT-X-VERSION:3");
    if window.listed().len() > 0 && window.listed().all(|entry| entry.independent) {
        out.line("#EXT-X-INDEPENDENT-SEGMENTS");
    }
    out.line(&format!("#EXT-X-TARGETDURATION:{}", window.target_secs()));
    out.line(&format!("#EXT-X-MEDIA-SEQUENCE:{sequence}"));
    if discontinuities > 0 || window.listed().any(|entry| entry.discontinuity) {
        out.line(&format!("#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}"));
    }
}

/// Seconds and microseconds from the start of a segment to its end, each rounded down to a microsecond first.
pub(super) fn extinf(entry: &Entry) -> (i64, i64) {
    let micros = |at: Ticks90k| i128::from(at.0) * 100 / 9;
    let length = micros(entry.end()) - micros(entry.start);
    let length = i64::try_from(length).expect("a segment lasts seconds");
    (length / 1_000_000, length % 1_000_000)
}

/// ISO 8601 with milliseconds, UTC.
pub(super) fn date_time(at: Ticks90k) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).expect("the window refuses times outside the calendar");
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::super::lint::lint_media;
    use super::super::splice::Query;
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    const FIRST: u64 = 883_661_523;
    const START_MS: i64 = 1_767_323_046_000;

    fn window() -> Window {
        Window::new(SegmentGrid::new(2_000).unwrap(), 4, 6, FIRST)
    }

    fn entry(window: &Window, duration: i64, period: Option<u64>) -> Entry {
        let start = window.listed().last().map_or(Ticks90k::from_millis(START_MS), Entry::end);
        let key = period.map(|period| KeyRef { generation: 1, period });
        let duration = Ticks90k(duration);
        Entry { number: window.next(), start, duration, independent: true, discontinuity: false, key, bytes: 1 }
    }

    fn print(window: &Window) -> String {
        let here = KeyBase::default();
        let rendered = MediaPlaylist::new("fr/Un é").render(window, |_| &here);
        let key = |key: KeyRef| Query::new(format!("s=S&p={}", key.period)).unwrap();
        let text = String::from_utf8(rendered.with_session(&Query::new("token=T").unwrap(), key)).unwrap();
        assert_eq!(lint_media(&text), [""; 0], "{text}");
        text
    }

    #[test]
    fn encrypted_with_a_key_change() {
        let mut window = window();
        for (duration, period) in [(180_000, 7), (172_800, 7), (187_201, 8)] {
            let entry = entry(&window, duration, Some(period));
            window.push(entry).unwrap();
        }
        insta::assert_snapshot!(print(&window), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-TARGETDURATION:4
        #EXT-X-MEDIA-SEQUENCE:883661523
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/Un%20%C3%A9/1-7?s=S&p=7"
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:06.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/06-02000.ts?token=T
        #EXTINF:1.920000,
        2026/01/02/03/04/08-02000.ts?token=T
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/Un%20%C3%A9/1-8?s=S&p=8"
        #EXTINF:2.080011,
        2026/01/02/03/04/10-02000.ts?token=T
        "#);
    }

    #[test]
    fn a_slate_in_the_clear_between_discontinuities() {
        let mut window = window();
        for (period, discontinuity, independent) in
            [(Some(7), false, true), (None, true, true), (None, false, false), (Some(9), true, true)]
        {
            let entry = Entry { discontinuity, independent, ..entry(&window, 180_000, period) };
            window.push(entry).unwrap();
        }
        insta::assert_snapshot!(print(&window), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-TARGETDURATION:4
        #EXT-X-MEDIA-SEQUENCE:883661523
        #EXT-X-DISCONTINUITY-SEQUENCE:0
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/Un%20%C3%A9/1-7?s=S&p=7"
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:06.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/06-02000.ts?token=T
        #EXT-X-DISCONTINUITY
        #EXT-X-KEY:METHOD=NONE
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:08.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/08-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/10-02000.ts?token=T
        #EXT-X-DISCONTINUITY
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/Un%20%C3%A9/1-9?s=S&p=9"
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:12.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/12-02000.ts?token=T
        "#);
    }

    #[test]
    fn the_discontinuity_sequence_stays_after_its_tag_left() {
        let mut window = window();
        for at in 0..9 {
            let entry = Entry { discontinuity: at == 1, ..entry(&window, 180_000, None) };
            window.push(entry).unwrap();
        }
        insta::assert_snapshot!(print(&window), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-TARGETDURATION:4
        #EXT-X-MEDIA-SEQUENCE:883661526
        #EXT-X-DISCONTINUITY-SEQUENCE:1
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:12.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/12-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/14-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/16-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/18-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/20-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/22-02000.ts?token=T
        "#);
    }

    #[test]
    fn an_empty_window() {
        insta::assert_snapshot!(print(&window()), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-TARGETDURATION:4
        #EXT-X-MEDIA-SEQUENCE:883661523
        "#);
    }

    #[test]
    fn addresses() {
        assert_eq!(KeyBase::new("/k/\"\n"), Err(KeyBaseError));
        let playlist = MediaPlaylist::new("a");
        assert_eq!(playlist.clone().below("x?"), None);
        let mut window = window();
        let entry = entry(&window, 180_000, Some(3));
        window.push(entry).unwrap();
        let base = KeyBase::new("https://c.example/k/").unwrap();
        let rendered = playlist.below("../").unwrap().render(&window, |_| &base);
        let text = String::from_utf8(rendered.with_session(&Query::default(), |_| Query::default())).unwrap();
        assert!(text.contains("\n../2026/01/02/03/04/06-02000.ts\n"), "{text}");
        assert!(text.contains("URI=\"https://c.example/k/a/1-3\""), "{text}");
    }

    /// Seconds from EXTINF tags, in microseconds.
    fn extinf_sum(text: &str) -> i64 {
        let durations = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
        durations.map(|value| value.replace('.', "").parse::<i64>().unwrap()).sum()
    }

    proptest! {
        #[test]
        fn an_hour_of_segments_does_not_drift(durations in prop::collection::vec(170_000_i64..190_000, 1_800)) {
            let (mut window, mut sum) = (window(), 0);
            for duration in &durations {
                window.push(entry(&window, *duration, None)).unwrap();
                let last = window.listed().last().unwrap();
                let (seconds, micros) = extinf(last);
                sum += seconds * 1_000_000 + micros;
            }
            let ticks: i64 = durations.iter().sum();
            assert!((sum * 9 - ticks * 100).abs() < 1_000 * 9, "under a millisecond an hour");
        }

        #[test]
        fn every_history_prints_a_clean_playlist(
            steps in prop::collection::vec((90_i64..404_999, any::<(bool, bool)>(), prop::option::of(0_u64..3)), 0..60),
        ) {
            let mut window = window();
            for (duration, (independent, rare), period) in steps {
                let discontinuity = rare && duration % 5 == 0;
                window.push(Entry { independent, discontinuity, ..entry(&window, duration, period) }).unwrap();
                let text = print(&window);
                let first = window.listed().next().unwrap().start.0;
                let span = window.listed().last().unwrap().end().0 - first;
                assert!((extinf_sum(&text) * 9 - span * 100).abs() <= 9, "the list sums to its span");
            }
        }
    }
}
