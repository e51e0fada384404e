//! The request paths of a channel's past: archive, catch-up, time shift, and what of Flussonic's list is not offered.
//!
//! Untrusted text in, a [`Past`] or a [`Refusal`] out; every other text is none of ours. Times are Unix seconds UTC, spans
//! are seconds. What reads like one of these paths but holds a time that cannot be is refused in words, so that whoever
//! wrote the address sees why. Whether the time lies in the archive is not asked here. The list is Flussonic's, with the
//! spellings that portals and players still send.

use super::live_path::selection;

/// The longest span of one playlist or download, seconds: a day.
pub const SPAN_SECS_MAX: u64 = 86_400;
/// The latest instant and the longest delay that can be written: ten digits, as clients and portals expect of an epoch.
const SECS_MAX: u64 = 9_999_999_999;
/// An instant below this is no time of a television programme but a mistake; 1980.
const INSTANT_MIN: u64 = 315_532_800;

/// What is asked of a channel's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Which part.
    pub span: Span,
    /// In which shape.
    pub shape: Shape,
    /// It was asked below `tracks-…/`, so segments lie one folder up.
    pub below: bool,
}

/// A part of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// `S-D`: from `start` for `secs` seconds, 1 to [`SPAN_SECS_MAX`]; may end after now.
    Closed {
        /// Unix seconds.
        start: u64,
        /// Seconds.
        secs: u64,
    },
    /// `S-now`: from `start` to live, growing.
    Since {
        /// Unix seconds.
        start: u64,
    },
    /// `rewind-N`: the last `secs` seconds, following live.
    Rewind {
        /// Seconds, 1 to [`SPAN_SECS_MAX`].
        secs: u64,
    },
    /// `timeshift_abs-T`: from `at` on, at play speed.
    Absolute {
        /// Unix seconds.
        at: u64,
    },
    /// `timeshift_rel-N`: `secs` seconds behind live, at play speed.
    Relative {
        /// Seconds, at least 1.
        secs: u64,
    },
}

/// The shape of an answer from the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A playlist.
    Playlist,
    /// A transport stream at play speed.
    Stream,
    /// A transport stream as a file, as fast as it goes.
    Download,
    /// `archive/S/D/index.m3u8`, which is elsewhere.
    Moved,
}

/// Why a path that is one of Flussonic's is not answered with media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a plain number of at most ten digits.
    #[error("a time in this address is no number of seconds: up to ten digits, no sign")]
    NotSeconds,
    /// Zero seconds.
    #[error("a span of 0 seconds holds nothing")]
    Empty,
    /// Above [`SPAN_SECS_MAX`]; often the end was written where the duration belongs.
    #[error("a span is at most 86400 seconds; the second number is the duration, not the end")]
    TooLong,
    /// Not an instant at all.
    #[error("the time in this address lies before 1980; write Unix seconds, UTC")]
    BeforeTelevision,
    /// Formats that nothing plays any more.
    #[error("this format is obsolete and not served; play index.m3u8")]
    Obsolete,
    /// Formats and files that this node does not make.
    #[error("this node does not make that format; play index.m3u8")]
    NotMade,
}

/// Reads the end of a path, and how many parts said so; `None` when it is not about the past.
pub(super) fn past(parts: &[&str]) -> Option<(Result<Past, Refusal>, usize)> {
    let (last, before) = parts.split_last()?;
    if let Some(found) = in_folders(last, before) {
        return Some(found);
    }
    let (stem, ending) = last.split_once('.')?;
    let shape = match ending {
        "m3u8" | "ts.m3u8" => Some(Shape::Playlist),
        "ts" => Some(Shape::Download),
        "mp4" | "mpd" | "mdp" | "fmp4.m3u8" => None,
        _ => return None,
    };
    let below = shape == Some(Shape::Playlist) && before.last().is_some_and(|part| selection(part).is_some());
    let used = 1 + usize::from(below);
    let span = match named(stem)? {
        Ok(span) => span,
        Err(refusal) => return Some((Err(refusal), used)),
    };
    let Some(shape) = shape else { return Some((Err(Refusal::NotMade), used)) };
    // A part of the past has an end and is a file; what follows live never ends and is paced.
    let endless = shape == Shape::Download && !matches!(span, Span::Closed { .. });
    let shape = if endless { Shape::Stream } else { shape };
    Some((Ok(Past { span, shape, below }), used))
}

/// `archive/S/D/index.m3u8`, `archive/S/D/mpegts`, `timeshift_abs/T`, `timeshift_rel/N`.
fn in_folders(last: &str, before: &[&str]) -> Option<(Result<Past, Refusal>, usize)> {
    let past = |span: Result<Span, Refusal>, shape| span.map(|span| Past { span, shape, below: false });
    match (before, last) {
        ([.., "archive", start, secs], "index.m3u8" | "mpegts") => {
            let shape = if last == "mpegts" { Shape::Stream } else { Shape::Moved };
            Some((past(closed(start, secs), shape), 4))
        }
        ([.., "timeshift_abs", at], "mpegts") => Some((past(absolute(at), Shape::Stream), 3)),
        ([.., "timeshift_rel", secs], "mpegts") => Some((past(relative(secs), Shape::Stream), 3)),
        ([.., "timeshift_abs"], at) => Some((past(absolute(at), Shape::Stream), 2)),
        ([.., "timeshift_rel"], secs) => Some((past(relative(secs), Shape::Stream), 2)),
        _ => None,
    }
}

/// The span that a file's stem names. All spellings of the muxed and of the chosen form mean the same here: the tracks
/// of a segment are never taken apart.
fn named(stem: &str) -> Option<Result<Span, Refusal>> {
    const SHIFTS: [&str; 4] = ["", "video-", "mono-", "index-"];
    for prefix in SHIFTS {
        let Some(rest) = stem.strip_prefix(prefix) else { continue };
        if let Some(secs) = rest.strip_prefix("rewind-") {
            return Some(span_secs(secs).map(|secs| Span::Rewind { secs }));
        }
        for (name, read) in [("timeshift_abs", absolute as fn(&str) -> _), ("timeshift_rel", relative)] {
            let Some(rest) = rest.strip_prefix(name) else { continue };
            let value = ["-", "_video-", "_mono-"].iter().find_map(|middle| rest.strip_prefix(middle));
            return value.map(read);
        }
    }
    if stem.len() == 10 && stem.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(absolute(stem));
    }
    let rest = ["archive-", "index-", "video-", "mono-"].iter().find_map(|name| stem.strip_prefix(name))?;
    // A negative number keeps its sign: `archive--5-60` has the start -5.
    let at = rest.get(1..)?.find('-')? + 1;
    let (start, end) = (&rest[..at], &rest[at + 1..]);
    Some(if end == "now" { instant(start).map(|start| Span::Since { start }) } else { closed(start, end) })
}

fn closed(start: &str, secs: &str) -> Result<Span, Refusal> {
    Ok(Span::Closed { start: instant(start)?, secs: span_secs(secs)? })
}

fn absolute(at: &str) -> Result<Span, Refusal> {
    Ok(Span::Absolute { at: instant(at)? })
}

fn relative(secs: &str) -> Result<Span, Refusal> {
    let secs = seconds(secs)?;
    if secs == 0 { Err(Refusal::Empty) } else { Ok(Span::Relative { secs }) }
}

fn instant(text: &str) -> Result<u64, Refusal> {
    let at = seconds(text)?;
    if at < INSTANT_MIN { Err(Refusal::BeforeTelevision) } else { Ok(at) }
}

fn span_secs(text: &str) -> Result<u64, Refusal> {
    match seconds(text)? {
        0 => Err(Refusal::Empty),
        secs if secs > SPAN_SECS_MAX => Err(Refusal::TooLong),
        secs => Ok(secs),
    }
}

fn seconds(text: &str) -> Result<u64, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.then(|| text.parse().ok()).flatten();
    value.filter(|secs| *secs <= SECS_MAX).ok_or(Refusal::NotSeconds)
}

/// Formats of the list that are not served, whatever stands before them.
pub(super) fn not_served(parts: &[&str]) -> Option<(Refusal, usize)> {
    let (last, before) = parts.split_last()?;
    let folder = before.iter().rposition(|part| *part == "hds").filter(|at| *at > 0);
    if let Some(at) = folder {
        return Some((Refusal::Obsolete, parts.len() - at));
    }
    Some(match *last {
        "mbr.m3u8" | "manifest.f4m" => (Refusal::Obsolete, 1),
        "index.mpd" | "index.fmp4.m3u8" | "preview.jpg" | "preview.mp4" | "media_info.json" | "embed.html" => {
            (Refusal::NotMade, 1)
        }
        last if last.ends_with(".jpg") && before.len() > 5 && dated(&before[before.len() - 5..]) => {
            (Refusal::NotMade, 6)
        }
        _ => return None,
    })
}

/// `YYYY/MM/DD/HH/MM`.
fn dated(parts: &[&str]) -> bool {
    parts.iter().all(|part| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::{LiveKind, LivePath};
    use proptest::prelude::{any, prop, proptest};

    fn check(path: &str, want: &str) {
        let got = LivePath::parse(&format!("/fr/f24/{path}")).map(|live| {
            let kind = match live.kind {
                LiveKind::Past(past) => {
                    let below = if past.below { " below" } else { "" };
                    format!("{:?} {:?}{below}", past.span, past.shape)
                }
                LiveKind::Refused(refusal) => format!("{refusal:?}"),
                kind => format!("{kind:?}"),
            };
            assert_eq!(live.channel, "fr/f24", "{path}");
            kind
        });
        assert_eq!(got.as_deref().unwrap_or("none"), want, "{path}");
    }

    /// Every row of the list of live addresses that is not in `live_path`'s own table.
    #[test]
    fn live_rows() {
        check("index.ts.m3u8", "Master");
        check("mono.ts.m3u8", "Media(Mono)");
        check("video.ts.m3u8", "Media(Video)");
        check("tracks-a2/mono.ts.m3u8", "Media(Tracks(\"a2\"))");
        check("tracks-1,2/index.m3u8", "Media(Tracks(\"1,2\"))");
        check("tracks-v1a1/index.m3u8", "Media(Tracks(\"v1a1\"))");
        check("index.fmp4.m3u8", "NotMade");
        check("index.mpd", "NotMade");
        check("2026/01/02/03/04/06.jpg", "NotMade");
        check("preview.jpg", "NotMade");
        check("preview.mp4", "NotMade");
        check("preview.h264", "Preview");
        check("mbr.m3u8", "Obsolete");
        check("manifest.f4m", "Obsolete");
        check("hds/tracks-1/manifest.f4m", "Obsolete");
        check("media_info.json", "NotMade");
        check("embed.html", "NotMade");
        check("recording_status.json", "RecordingStatus");
    }

    /// Every row of the list of archive addresses.
    #[test]
    fn archive_rows() {
        const S: u64 = 1_700_000_000;
        let closed = |shape: &str| format!("Closed {{ start: {S}, secs: 3600 }} {shape}");
        for name in ["archive", "index", "video", "mono"] {
            check(&format!("{name}-{S}-3600.m3u8"), &closed("Playlist"));
            check(&format!("{name}-{S}-3600.ts.m3u8"), &closed("Playlist"));
            check(&format!("{name}-{S}-now.m3u8"), &format!("Since {{ start: {S} }} Playlist"));
        }
        check(&format!("tracks-v1a1/index-{S}-3600.m3u8"), &closed("Playlist below"));
        check(&format!("tracks-v1a1/mono-{S}-now.m3u8"), &format!("Since {{ start: {S} }} Playlist below"));
        check(&format!("archive/{S}/3600/index.m3u8"), &closed("Moved"));
        check(&format!("archive/{S}/3600/mpegts"), &closed("Stream"));
        check("rewind-7200.m3u8", "Rewind { secs: 7200 } Playlist");
        check("mono-rewind-7200.m3u8", "Rewind { secs: 7200 } Playlist");
        for name in
            ["timeshift_abs", "video-timeshift_abs", "mono-timeshift_abs", "timeshift_abs_video", "timeshift_abs_mono"]
        {
            check(&format!("{name}-{S}.m3u8"), &format!("Absolute {{ at: {S} }} Playlist"));
        }
        for name in
            ["timeshift_rel", "video-timeshift_rel", "mono-timeshift_rel", "timeshift_rel_video", "timeshift_rel_mono"]
        {
            check(&format!("{name}-600.m3u8"), "Relative { secs: 600 } Playlist");
        }
        check(&format!("timeshift_abs/{S}"), &format!("Absolute {{ at: {S} }} Stream"));
        check(&format!("timeshift_abs/{S}/mpegts"), &format!("Absolute {{ at: {S} }} Stream"));
        check("timeshift_rel/600", "Relative { secs: 600 } Stream");
        check(&format!("timeshift_abs-{S}.ts"), &format!("Absolute {{ at: {S} }} Stream"));
        check("timeshift_rel-600.ts", "Relative { secs: 600 } Stream");
        check(&format!("archive-{S}-now.ts"), &format!("Since {{ start: {S} }} Stream"));
        check(&format!("archive-{S}-3600.ts"), &closed("Download"));
        check(&format!("archive-{S}-3600.mp4"), "NotMade");
        check(&format!("archive-{S}-3600.mpd"), "NotMade");
        check(&format!("timeshift_abs-{S}.mpd"), "NotMade");
        check(&format!("timeshift_abs-{S}.mdp"), "NotMade");
        check(&format!("{S}.ts"), &format!("Absolute {{ at: {S} }} Stream"));
    }

    #[test]
    fn times_that_cannot_be_are_refused_in_words() {
        for (path, want) in [
            ("archive--5-3600.m3u8", "NotSeconds"),
            ("archive-1700000000--3600.m3u8", "NotSeconds"),
            ("archive-1700000000-1600000000.m3u8", "TooLong"),
            ("archive-1700000000-86401.m3u8", "TooLong"),
            ("archive-1700000000-0.m3u8", "Empty"),
            ("archive-99999999999-60.m3u8", "NotSeconds"),
            ("archive-18446744073709551616-60.m3u8", "NotSeconds"),
            ("archive-5-60.m3u8", "BeforeTelevision"),
            ("index-1e9-60.m3u8", "NotSeconds"),
            ("index-+1700000000-60.m3u8", "NotSeconds"),
            ("video-1700000000-60-60.m3u8", "NotSeconds"),
            ("archive-1700000000-.m3u8", "NotSeconds"),
            ("archive/1700000000/-1/index.m3u8", "NotSeconds"),
            ("archive/1700000000/99999999/mpegts", "TooLong"),
            ("rewind-0.m3u8", "Empty"),
            ("rewind-86401.m3u8", "TooLong"),
            ("rewind-x.m3u8", "NotSeconds"),
            ("timeshift_abs-0.m3u8", "BeforeTelevision"),
            ("timeshift_abs--1.ts", "NotSeconds"),
            ("timeshift_rel-0.ts", "Empty"),
            ("timeshift_rel/", "none"),
            ("timeshift_rel/x", "NotSeconds"),
            ("archive-.m3u8", "none"),
            ("archive-5.m3u8", "none"),
            ("archive/1700000000/60/other", "none"),
            ("timeshift_abs.m3u8", "none"),
            ("other-1700000000-60.m3u8", "none"),
            ("archive-1700000000-60.avi", "none"),
            ("archive/../60/index.m3u8", "none"),
        ] {
            check(path, want);
        }
    }

    #[test]
    fn a_channel_name_is_needed_before_all_of_them() {
        for path in [
            "/archive-1700000000-60.m3u8",
            "/archive/1700000000/60/index.m3u8",
            "/timeshift_abs/1700000000",
            "/tracks-v1/index-1700000000-60.m3u8",
            "/recording_status.json",
            "/1700000000.ts",
            "/hds/x",
            "/streamer/api/v3/streams//dvr/ranges",
        ] {
            assert_eq!(LivePath::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(
            words in prop::collection::vec(prop::sample::select(vec![
                "archive", "index", "-", "/", "1700000000", "60", "now", ".m3u8", ".ts", "timeshift_abs", "timeshift_rel",
                "rewind", "mono", "video", "tracks-v1", "_", "mpegts", "é", "..", "0", "%2F", "99999999999999999999",
            ]), 0..12),
            tail in any::<String>(),
        ) {
            for path in [format!("/a/{}", words.concat()), format!("/a/{}{tail}", words.concat())] {
                if let Some(live) = LivePath::parse(&path) {
                    assert!(!live.channel.is_empty());
                }
            }
        }
    }
}
