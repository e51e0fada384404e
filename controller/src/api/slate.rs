//! `/slate/…`: the slate as an endless live HLS, for viewers whose channel has no origin left.
//!
//! A pure function of time: segment `k` is the slate on the grid that nodes use, so any controller gives the same
//! playlist and bytes at the same moment, and the numbers go on when a player comes from an origin or goes back to
//! one. Slate follows slate without a break, so no discontinuity is listed. With `channel` and `token` in the query,
//! each reload looks whether an origin is back, and then leads there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::get,
};
use bytes::Bytes;
use headend_media::{
    package::{Event, Packager, Profile, Slate, SlateError},
    playlist::{
        Bandwidth, Entry, KeyBase, LiveKind, LivePath, Master, MediaPlaylist, Query, SegmentGrid, Variant, Window,
    },
    timeline::start_of,
};

use super::{
    Office,
    play::{self, NotSent, Sent},
    viewer_answer::{open, plain, ranged, redirect},
    who::parameter,
};

const SEGMENT_MS: u32 = 2_000;
/// As nodes say it: twice the segment.
const TARGET_SECS: u32 = 4;
const LISTED: u64 = 6;
/// Segments behind the list that are still given, and how many are kept in memory.
const BEHIND: u64 = 12;
const NAME: &str = "slate";
const PLAYLIST: (&str, &str) = ("application/vnd.apple.mpegurl", "no-cache");
const SEGMENT: (&str, &str) = ("video/mp2t", "public, max-age=3600");

/// The slate, and its last segments.
pub struct SlateShow {
    slate: Arc<Slate>,
    grid: SegmentGrid,
    rendered: Mutex<BTreeMap<u64, (Entry, Bytes)>>,
}

impl SlateShow {
    /// The slate that every program of ours carries.
    ///
    /// # Errors
    /// [`SlateError`] when the asset is damaged.
    pub fn new() -> Result<Self, SlateError> {
        let slate = Slate::from_ts(include_bytes!("../../../shared/media/assets/slate.ts"))?;
        let grid = SegmentGrid::new(SEGMENT_MS).expect("two seconds are a segment");
        Ok(Self { slate: Arc::new(slate), grid, rendered: Mutex::default() })
    }

    /// The newest segment that is over at `now_ms`, Unix milliseconds.
    fn newest(&self, now_ms: u64) -> u64 {
        (now_ms / u64::from(SEGMENT_MS)).saturating_sub(1)
    }

    /// A segment by number; none when it is not near `now_ms`.
    pub(super) fn segment(&self, number: u64, now_ms: u64) -> Option<(Entry, Bytes)> {
        let newest = self.newest(now_ms);
        // One ahead: a player's clock and ours need not agree on what is newest.
        if number > newest + 1 || number + LISTED + BEHIND < newest {
            return None;
        }
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = rendered.get(&number) {
            return Some(found.clone());
        }
        let made = self.render(number)?;
        rendered.insert(number, made.clone());
        while rendered.len() as u64 > LISTED + BEHIND + 2 {
            rendered.pop_first();
        }
        Some(made)
    }

    fn render(&self, number: u64) -> Option<(Entry, Bytes)> {
        let profile = Profile::standard();
        let until = start_of(number + 1, profile.segment);
        let mut packager = Packager::new(profile, None, Arc::clone(&self.slate));
        let mut made = None;
        packager.fill_slate(until, &mut |event| {
            if let Event::Segment(segment) = event {
                made = Some(segment);
            }
        });
        let segment = made.filter(|segment| segment.number == number)?;
        let entry = Entry {
            number,
            start: segment.start,
            duration: segment.duration,
            independent: segment.independent,
            discontinuity: false,
            key: None,
            bytes: segment.bytes.len() as u64,
        };
        Some((entry, segment.bytes.into()))
    }

    fn window(&self, now_ms: u64) -> Option<Window> {
        let newest = self.newest(now_ms);
        let first = newest.checked_sub(LISTED - 1)?;
        let mut window = Window::new(self.grid, TARGET_SECS, usize::try_from(LISTED).unwrap_or(6), first);
        for number in first..=newest {
            window.push(self.segment(number, now_ms)?.0).ok()?;
        }
        Some(window)
    }

    /// The media playlist at `now_ms`, the query on each segment.
    pub(super) fn media(&self, now_ms: u64, query: &Query) -> Option<Vec<u8>> {
        let here = KeyBase::default();
        let rendered = MediaPlaylist::new(NAME).render(&self.window(now_ms)?, |_| &here);
        Some(rendered.with_session(query, |_| Query::default()))
    }

    fn master(&self, now_ms: u64, query: &Query) -> Option<Vec<u8>> {
        let mut bandwidth = Bandwidth::default();
        let window = self.window(now_ms)?;
        window.listed().for_each(|entry| bandwidth.observe(entry, TARGET_SECS));
        let tracks = self.slate.tracks();
        let variant = Variant {
            path: "video.m3u8".to_owned(),
            peak_bps: bandwidth.peak()?,
            average_bps: bandwidth.average(),
            video: tracks.iter().find_map(|track| track.video.clone()),
            audio_codecs: vec![],
        };
        Some(Master::new(vec![variant]).render(true).with_session(query, |_| Query::default()))
    }
}

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/slate/{*path}", get(slate))
}

/// The slate.
#[utoipa::path(get, path = "/slate/index.m3u8", tag = "viewing", params(
    ("channel" = Option<String>, Query, description = "With it, a reload leads back when an origin is there again"),
    ("token" = Option<String>, Query, description = "The session's token")),
    responses((status = 200, content_type = "application/vnd.apple.mpegurl", body = String), (status = 302, description = "An origin is back")))]
pub(super) async fn slate(State(office): State<Arc<Office>>, uri: Uri, headers: HeaderMap) -> Response {
    let query = uri.query().unwrap_or_default();
    let now_ms = office.now_ms();
    let missing = || plain(StatusCode::NOT_FOUND, "no such file of the slate\n");
    match uri.path() {
        "/slate/index.m3u8" | "/slate/playlist.m3u8" => {
            let text = office.slate.master(now_ms, &Query::new(query).unwrap_or_default());
            text.map_or_else(missing, |text| open(StatusCode::OK, PLAYLIST, text))
        }
        "/slate/video.m3u8" | "/slate/mono.m3u8" => match back(&office, query).await {
            Some(address) => redirect(&address),
            None => {
                // Segments need no session.
                let text = office.slate.media(now_ms, &Query::default());
                text.map_or_else(missing, |text| open(StatusCode::OK, PLAYLIST, text))
            }
        },
        path => {
            let number = number_of(path);
            let found = number.and_then(|number| office.slate.segment(number, now_ms));
            found.map_or_else(missing, |(_, bytes)| ranged(SEGMENT, bytes, &headers))
        }
    }
}

/// `/slate/N.ts`, or the name that the playlist gives it.
pub(super) fn number_of(path: &str) -> Option<u64> {
    let plain = path.strip_prefix("/slate/").and_then(|rest| rest.strip_suffix(".ts"));
    if let Some(number) = plain.and_then(|number| number.parse().ok()) {
        return Some(number);
    }
    match LivePath::parse(path)?.kind {
        LiveKind::Segment { grid, number, .. } if grid.duration_ms() == SEGMENT_MS => Some(number),
        _ => None,
    }
}

/// Where the viewer's channel is, if an origin is there again.
async fn back(office: &Arc<Office>, query: &str) -> Option<String> {
    let name = parameter(query, "channel")?;
    let channel = name.replace("%2B", "+").replace("%2b", "+").replace("%2F", "/").replace("%2f", "/");
    match play::place(office, &channel, parameter(query, "token")).await {
        Ok(Sent::Origin { url, token }) => {
            let path = channel.replace('+', "%2B");
            Some(play::with_query(&format!("{url}/{path}/video.m3u8"), "", token.as_deref()))
        }
        Ok(Sent::Slate) | Err(NotSent::NotNow | NotSent::NoChannel | NotSent::NotEntitled) => None,
    }
}

#[cfg(test)]
mod tests {
    use headend_media::time::Ticks90k;

    use super::*;

    const NOW: u64 = 1_767_323_047_500;

    #[test]
    fn the_list_is_a_function_of_time_and_every_segment_can_be_had() {
        let (one, other) = (SlateShow::new().unwrap(), SlateShow::new().unwrap());
        let text = one.media(NOW, &Query::default()).unwrap();
        assert_eq!(text, other.media(NOW, &Query::default()).unwrap());
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:883661517\n"), "{text}");
        assert!(!text.contains("DISCONTINUITY") && !text.contains("EXT-X-KEY"), "{text}");
        let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[5], "2026/01/02/03/04/04-02000.ts");
        for name in names {
            let number = number_of(&format!("/slate/{name}")).unwrap();
            let (entry, bytes) = one.segment(number, NOW).unwrap();
            assert_eq!(entry.duration, Ticks90k::from_secs(2));
            assert!(bytes.len() % 188 == 0 && bytes.len() > 188 * 20);
            assert_eq!(bytes, other.segment(number, NOW).unwrap().1);
        }
    }

    #[test]
    fn only_segments_of_now_are_made_and_memory_is_bounded() {
        let show = SlateShow::new().unwrap();
        let newest = show.newest(NOW);
        assert!(show.segment(newest + 1, NOW).is_some());
        for number in [newest + 2, newest - LISTED - BEHIND - 1, 0, u64::MAX - 100] {
            assert!(show.segment(number, NOW).is_none(), "{number}");
        }
        for step in 0..200 {
            show.window(NOW + step * 2_000).unwrap();
        }
        assert!(show.rendered.lock().unwrap().len() as u64 <= LISTED + BEHIND + 2);
        assert_eq!(number_of("/slate/42.ts"), Some(42));
        assert_eq!(number_of("/slate/x.ts"), None);
    }

    #[test]
    fn the_master_leads_to_the_list_with_the_query() {
        let show = SlateShow::new().unwrap();
        let text = show.master(NOW, &Query::new("channel=a&token=T").unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with("\nvideo.m3u8?channel=a&token=T\n"), "{text}");
        assert!(text.contains("BANDWIDTH="), "{text}");
    }
}
