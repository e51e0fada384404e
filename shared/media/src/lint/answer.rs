//! What HTTP says around playlists, segments and keys (RFC 8216 §4, §6.2.1; RFC 9111).
//!
//! Pure: the shell gives the few headers that matter, and where redirects led.

use super::finding::{Place, Rule, Tally};
use super::playlist::Media;

/// The headers of an answer that players and caches act on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// Content-Type.
    pub content_type: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// An ETag or Last-Modified is there.
    pub validator: bool,
}

impl Headers {
    fn directive(&self, name: &str) -> Option<&str> {
        let mut all = self.cache_control.as_deref()?.split(',').map(str::trim);
        all.find_map(|directive| {
            let (key, value) = directive.split_once('=').unwrap_or((directive, ""));
            key.eq_ignore_ascii_case(name).then_some(value.trim_matches('"'))
        })
    }

    fn max_age_secs(&self) -> Option<u64> {
        self.directive("s-maxage").or_else(|| self.directive("max-age"))?.parse().ok()
    }

    fn is_kept(&self) -> bool {
        self.directive("no-store").is_none() && self.directive("no-cache").is_none()
    }

    /// Judges the answer that a playlist came in; `media` where it is a media playlist.
    pub fn playlist(&self, media: Option<&Media>, tally: &mut Tally) {
        let place = Place::Playlist;
        let kind = self.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let known = ["application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"];
        tally.expect(known.contains(&kind.as_str()), Rule::PlaylistMime, place, || {
            "its Content-Type is none of HLS: Safari and some boxes refuse it; send application/vnd.apple.mpegurl"
                .to_owned()
        });
        let Some(media) = media.filter(|media| media.is_live()) else { return };
        let half = media.target_secs.unwrap_or(0) / 2;
        let fresh = !self.is_kept() || self.max_age_secs().is_some_and(|age| age <= half);
        tally.expect(fresh, Rule::PlaylistCached, place, || {
            format!("caches may hold it for longer than {half} s: send Cache-Control: no-cache, or a max-age of at most half the target duration")
        });
        tally.expect(self.validator, Rule::PlaylistTag, place, || {
            "no ETag and no Last-Modified: unchanged playlists are sent whole at each reload".to_owned()
        });
    }

    /// Judges the answer that a segment came in.
    pub fn segment(&self, number: u64, tally: &mut Tally) {
        let kept = self.is_kept() && self.max_age_secs() != Some(0);
        tally.expect(kept, Rule::SegmentCached, Place::Segment(number), || {
            "caches may not keep it, so that every viewer asks the origin: it never changes, send a long max-age"
                .to_owned()
        });
    }

    /// Judges the answer that the key of a segment came in.
    pub fn key(&self, number: u64, tally: &mut Tally) {
        tally.expect(self.directive("no-store").is_some(), Rule::KeyCached, Place::Segment(number), || {
            "its key may be kept by caches on the way: send Cache-Control: no-store".to_owned()
        });
    }
}

/// Judges where redirects led a playlist: `asked` and `found` are absolute addresses, `relative` says whether the list names
/// relative ones.
pub fn redirected(asked: &str, found: &str, relative: bool, tally: &mut Tally) {
    if asked.starts_with("https:") && found.starts_with("http:") {
        let words = "asked for by https, answered by http: tokens and keys travel in the open; redirect to https";
        tally.add(Rule::Downgraded, Place::Playlist, words);
    }
    let folder = |address: &str| {
        let path = address.split(['?', '#']).next().unwrap_or_default();
        let path = path.split_once("://").map_or(path, |(_, rest)| rest);
        let path = path.split_once('/').map_or("", |(_, path)| path);
        path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
    };
    tally.expect(!relative || folder(asked) == folder(found), Rule::Redirected, Place::Playlist, || {
        "boxes that resolve relative addresses against what they asked for look in the wrong folder: redirect to the same path, or write absolute addresses".to_owned()
    });
}

#[cfg(test)]
mod tests {
    use super::super::playlist::{Kind, Media};
    use super::*;

    fn headers(content_type: &str, cache_control: &str) -> Headers {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Headers { content_type: text(content_type), cache_control: text(cache_control), validator: true }
    }

    fn ids(judge: impl FnOnce(&mut Tally)) -> Vec<&'static str> {
        let mut tally = Tally::default();
        judge(&mut tally);
        tally.ids().collect()
    }

    #[test]
    fn a_list_that_changes_is_not_kept() {
        let live = Media { target_secs: Some(4), ..Media::default() };
        for (cache, want) in [
            ("no-cache", &[][..]),
            ("no-store, private", &[]),
            ("public, max-age=2", &[]),
            ("max-age=\"1\"", &[]),
            ("max-age=3", &["playlist-cached"]),
            ("max-age=1, s-maxage=60", &["playlist-cached"]),
            ("public", &["playlist-cached"]),
            ("", &["playlist-cached"]),
        ] {
            let headers = headers("application/vnd.apple.mpegurl; charset=utf-8", cache);
            assert_eq!(ids(|tally| headers.playlist(Some(&live), tally)), want, "{cache}");
        }
        let ended = Media { ended: true, kind: Some(Kind::Vod), ..live.clone() };
        assert_eq!(ids(|tally| headers("audio/mpegurl", "max-age=600").playlist(Some(&ended), tally)), [""; 0]);
        assert_eq!(ids(|tally| headers("text/plain", "no-cache").playlist(Some(&live), tally)), ["playlist-type"]);
        let bare = Headers { validator: false, ..headers("Application/X-MpegURL", "no-cache") };
        assert_eq!(ids(|tally| bare.playlist(Some(&live), tally)), ["playlist-etag"]);
    }

    #[test]
    fn segments_are_kept_and_keys_are_not() {
        for (cache, segment, key) in [
            ("max-age=31536000, immutable", &[][..], &["key-cached"][..]),
            ("no-store", &["segment-cached"], &[]),
            ("No-Cache", &["segment-cached"], &["key-cached"]),
            ("max-age=0", &["segment-cached"], &["key-cached"]),
            ("", &[], &["key-cached"]),
        ] {
            let headers = headers("", cache);
            assert_eq!(ids(|tally| headers.segment(7, tally)), segment, "{cache}");
            assert_eq!(ids(|tally| headers.key(7, tally)), key, "{cache}");
        }
    }

    #[test]
    fn redirects_keep_the_folder_and_the_cipher() {
        for (asked, found, relative, want) in [
            ("http://a/x/y.m3u8?t=/1", "http://b/x/z.m3u8", true, &[][..]),
            ("http://a/x/y.m3u8", "http://b/w/y.m3u8", true, &["redirect-relative"]),
            ("http://a/x/y.m3u8", "http://b/w/y.m3u8", false, &[]),
            ("http://a/play", "http://b/x/y.m3u8", true, &["redirect-relative"]),
            ("https://a/x/y.m3u8", "http://a/x/y.m3u8", true, &["redirect-insecure"]),
            ("http://a", "http://a/", true, &[]),
        ] {
            assert_eq!(ids(|tally| redirected(asked, found, relative, tally)), want, "{asked} {found}");
        }
    }
}
