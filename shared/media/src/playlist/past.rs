//! The text of playlists of the past: closed programmes, programmes that still grow, and windows that slide.
//!
//! A pure print of recorded segments in the order of their time. What was not recorded is a discontinuity with a date, and
//! never a segment that is not there. Standard: RFC 8216 §4.3; choices it leaves open, besides those of `media`:
//!
//! - A closed span is VOD with ENDLIST. One that ends after now is EVENT, and ends when its end has come; so is `S-now`,
//!   which never ends. EVENT asks players to begin at its beginning (EXT-X-START), not at the live edge.
//! - The IV is left out while position and segment number go together, as they do in the live list; behind a hole each
//!   segment names its own, because MEDIA-SEQUENCE must count on by one (§6.2.2).
//! - VOD and EVENT count from the number of their first segment, so that two origins which recorded the same write the
//!   same. A sliding list counts by [`Recorded::ordinal`], which never jumps when a hole leaves the list.

use super::live_path::encode;
use super::media::{date_time, extinf, push_key_tag};
use super::splice::{Builder, Rendered};
use super::window::{Entry, KeyRef};
use super::{KeyBase, SegmentGrid};
use crate::time::Ticks90k;

/// Neighbours may be apart by less than this without a hole between them: rounding, not loss.
const SEAM: Ticks90k = Ticks90k::from_millis(1);

/// A segment that is in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// As it was in the live window; `discontinuity` also says that something before it was not recorded.
    pub entry: Entry,
    /// The grid that names it.
    pub grid: SegmentGrid,
    /// Its place in the channel's archive: one more than the segment recorded before it, at most its number.
    pub ordinal: u64,
    /// Recorded segments before it that are discontinuities.
    pub discontinuities: u64,
}

/// What kind of list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastKind {
    /// VOD: it will never change.
    Closed,
    /// EVENT: it will grow.
    Growing,
    /// What has no end and no fixed beginning.
    Sliding,
}

/// Prints the playlists of a channel's past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastPlaylist {
    name: String,
    prefix: &'static str,
}

impl PastPlaylist {
    /// For a channel of this system name; `below` when the playlist lies one folder under the channel's.
    #[must_use]
    pub fn new(channel: &str, below: bool) -> Self {
        Self { name: encode(channel), prefix: if below { "../" } else { "" } }
    }

    /// Prints what is recorded, oldest first; segments that overlap the one before them are left out. `target_secs` is
    /// the channel's target duration, raised where an older segment needs more. Keys are named at the server that gives
    /// the playlist.
    #[must_use]
    pub fn render(&self, kind: PastKind, target_secs: u32, recorded: &[Recorded]) -> Rendered {
        let mut out = Builder::default();
        head(&mut out, kind, target_secs, recorded);
        let (mut position, mut end, mut key) = (sequence(kind, recorded), None, None);
        for one in recorded {
            let Entry { number, start, .. } = one.entry;
            if end.is_some_and(|end: Ticks90k| start + SEAM < end) {
                continue;
            }
            let broken = end.map_or(kind == PastKind::Sliding && one.entry.discontinuity, |end| {
                one.entry.discontinuity || start > end + SEAM
            });
            if broken {
                out.line("#EXT-X-DISCONTINUITY");
            }
            let wanted = one.entry.key.map(|key| (key, (position != number).then_some(number)));
            if end.is_none() && wanted.is_some() || end.is_some() && wanted != key {
                self.key_tag(&mut out, wanted);
            }
            if end.is_none() || broken {
                out.line(&format!("#EXT-X-PROGRAM-DATE-TIME:{}", date_time(start)));
            }
            self.segment(&mut out, one);
            (end, key, position) = (Some(one.entry.end()), wanted, position + 1);
        }
        if kind == PastKind::Closed {
            out.line("#EXT-X-ENDLIST");
        }
        out.finish()
    }

    fn segment(&self, out: &mut Builder, one: &Recorded) {
        let (seconds, micros) = extinf(&one.entry);
        let name = one.grid.name(one.entry.number).expect("the window took no number without a name");
        out.text().push_str(&format!("#EXTINF:{seconds}.{micros:06},\n{}", self.prefix));
        out.folder(one.entry.start);
        out.text().push_str(&name);
        out.session();
        out.line("");
    }

    fn key_tag(&self, out: &mut Builder, key: Option<(KeyRef, Option<u64>)>) {
        let here = KeyBase::default();
        match key {
            Some((key, iv)) => push_key_tag(out, (&here, &self.name), key, iv),
            None => out.line("#EXT-X-KEY:METHOD=NONE"),
        }
    }
}

fn head(out: &mut Builder, kind: PastKind, target_secs: u32, recorded: &[Recorded]) {
    out.line("#EXTM3U\n#EXT-X-VERSION:3");
    match kind {
        PastKind::Closed => out.line("#EXT-X-PLAYLIST-TYPE:VOD"),
        PastKind::Growing => out.line("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0"),
        PastKind::Sliding => {}
    }
    if !recorded.is_empty() && recorded.iter().all(|one| one.entry.independent) {
        out.line("#EXT-X-INDEPENDENT-SEGMENTS");
    }
    // No segment is longer than twice its cell (docs/adr/0004).
    let needed = |one: &Recorded| (2 * one.grid.duration_ms()).div_ceil(1_000);
    let target = recorded.iter().map(needed).fold(target_secs.max(1), u32::max);
    out.line(&format!("#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{}", sequence(kind, recorded)));
    let left = recorded.first().filter(|_| kind == PastKind::Sliding).map_or(0, |one| one.discontinuities);
    let listed = recorded.iter().any(|one| one.entry.discontinuity) || recorded.windows(2).any(apart);
    if left > 0 || listed {
        out.line(&format!("#EXT-X-DISCONTINUITY-SEQUENCE:{left}"));
    }
}

/// MEDIA-SEQUENCE of a list.
fn sequence(kind: PastKind, recorded: &[Recorded]) -> u64 {
    let of = |one: &Recorded| if kind == PastKind::Sliding { one.ordinal } else { one.entry.number };
    recorded.first().map_or(0, of)
}

fn apart(pair: &[Recorded]) -> bool {
    pair[1].entry.start > pair[0].entry.end() + SEAM
}

#[cfg(test)]
mod tests {
    use super::super::lint::lint_media;
    use super::super::splice::Query;
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    const FIRST: u64 = 883_661_523;

    /// Segments of 2 s: `.` follows on, `~` was not recorded, `!` is a discontinuity, `k` begins a new key generation.
    fn recorded(text: &str) -> Vec<Recorded> {
        let grid = SegmentGrid::new(2_000).unwrap();
        let (mut list, mut discontinuities, mut generation, mut hole) = (vec![], 0, 1, false);
        for (number, what) in (FIRST..).zip(text.chars()) {
            if what == '~' {
                hole = true;
                continue;
            }
            generation += u32::from(what == 'k');
            let start = grid.start(number).unwrap();
            let discontinuity = what == '!' || hole;
            let key = Some(KeyRef { generation, period: 7 });
            let duration = Ticks90k::from_secs(2);
            let entry = Entry { number, start, duration, independent: true, discontinuity, key, bytes: 9 };
            list.push(Recorded { entry, grid, ordinal: FIRST + list.len() as u64, discontinuities });
            discontinuities += u64::from(discontinuity);
            hole = false;
        }
        list
    }

    fn print(kind: PastKind, list: &[Recorded]) -> String {
        let rendered = PastPlaylist::new("fr/f24", false).render(kind, 4, list);
        let key = |key: KeyRef| Query::new(format!("s=S&g={}", key.generation)).unwrap();
        let text = String::from_utf8(rendered.with_session(&Query::new("token=T").unwrap(), key)).unwrap();
        assert_eq!(lint_media(&text), [""; 0], "{text}");
        text
    }

    #[test]
    fn a_programme_with_a_hole_and_a_new_key_generation() {
        insta::assert_snapshot!(print(PastKind::Closed, &recorded("..~~.k")), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-PLAYLIST-TYPE:VOD
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-TARGETDURATION:4
        #EXT-X-MEDIA-SEQUENCE:883661523
        #EXT-X-DISCONTINUITY-SEQUENCE:0
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/f24/1-7?s=S&g=1"
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:06.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/06-02000.ts?token=T
        #EXTINF:2.000000,
        2026/01/02/03/04/08-02000.ts?token=T
        #EXT-X-DISCONTINUITY
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/f24/1-7?s=S&g=1",IV=0x00000000000000000000000034AB9AD7
        #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:14.000Z
        #EXTINF:2.000000,
        2026/01/02/03/04/14-02000.ts?token=T
        #EXT-X-KEY:METHOD=AES-128,URI="/k/fr/f24/2-7?s=S&g=2",IV=0x00000000000000000000000034AB9AD8
        #EXTINF:2.000000,
        2026/01/02/03/04/16-02000.ts?token=T
        #EXT-X-ENDLIST
        "#);
    }

    #[test]
    fn a_window_that_slides_past_a_hole_counts_on() {
        let list = recorded("..~...!.");
        let sequence = |text: &str, name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.parse::<u64>().unwrap())
        };
        for from in 0..list.len() {
            let text = print(PastKind::Sliding, &list[from..]);
            assert_eq!(sequence(&text, "#EXT-X-MEDIA-SEQUENCE:"), Some(FIRST + from as u64), "{text}");
            let left = list[..from].iter().filter(|one| one.entry.discontinuity).count() as u64;
            assert_eq!(sequence(&text, "#EXT-X-DISCONTINUITY-SEQUENCE:").unwrap_or(0), left, "{text}");
        }
    }

    #[test]
    fn what_grows_only_grows_and_then_ends() {
        let list = recorded("..~.!..");
        let whole = print(PastKind::Growing, &list);
        assert!(whole.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0\n"), "{whole}");
        let body = |text: &str| text.split_once("#EXT-X-KEY").map(|(_, body)| body.to_owned()).unwrap_or_default();
        for count in 1..list.len() {
            let text = print(PastKind::Growing, &list[..count]);
            assert!(body(&whole).starts_with(&body(&text)), "{text}");
        }
        assert_eq!(format!("{}#EXT-X-ENDLIST\n", body(&whole)), body(&print(PastKind::Closed, &list)));
    }

    #[test]
    fn one_folder_down_nothing_recorded_and_overlaps() {
        let list = recorded("..");
        let text = PastPlaylist::new("f24", true).render(PastKind::Closed, 4, &list);
        let text = String::from_utf8(text.with_session(&Query::default(), |_| Query::default())).unwrap();
        assert!(text.contains("\n../2026/01/02/03/04/06-02000.ts\n"), "{text}");
        assert!(print(PastKind::Closed, &[]).ends_with("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-ENDLIST\n"));
        // A clock that stepped back recorded a second twice: it is listed once.
        let mut twice = recorded("...");
        twice[1].entry.start = twice[0].entry.start + Ticks90k::from_secs(1);
        assert_eq!(print(PastKind::Closed, &twice).matches("#EXTINF").count(), 2);
    }

    proptest! {
        #[test]
        fn every_history_prints_a_clean_list(text in "[.!k~]{0,80}", kind in any::<prop::sample::Index>()) {
            let kind = [PastKind::Closed, PastKind::Growing, PastKind::Sliding][kind.index(3)];
            let list = recorded(&text);
            let printed = print(kind, &list);
            assert_eq!(printed.matches("#EXTINF").count(), list.len());
        }
    }
}
