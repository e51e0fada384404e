//! Answers about a channel's past: playlists of the archive, where it has holes, and what is elsewhere.
//!
//! A playlist lists what the index of the archive names and nothing else, so it may end a second or two behind the live
//! list. A start before the archive is answered with what there is, an end after now makes the list grow until then.

use std::{io, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use headend_media::{
    playlist::{Past, PastKind, PastPlaylist, Recorded, Refusal, SPAN_SECS_MAX, Shape, Span},
    time::Ticks90k,
};
use serde::Serialize;
use tracing::warn;

use super::{
    Shared,
    answer::{self, Kind, plain},
    live::parameter,
    past_stream,
};
use crate::output::{
    archive::{Gap, Recorder, Stored, Stretch},
    live::Live,
    viewing::{Ranges, Viewing},
};

/// The index is this far behind live at most while its disk is well, seconds; a span that ended longer ago is complete.
const INDEX_LAG_SECS: i64 = 10;

pub(super) const NOT_READABLE: &str = "the archive cannot be read now\n";
pub(super) const NOT_YOURS: &str = "this session may not see that part of the archive\n";
const NO_ARCHIVE: &str = "this node keeps no archive of this channel\n";
const NOTHING: &str = "nothing is recorded of that time\n";
const FUTURE: &str = "that time is still to come\n";
const STARTING: &str = "the archive is being read; try again in a moment\n";
const TOO_OLD: &str = "that is more than a day ago: ask for a part with its duration, S-D\n";

/// Answers for a path that names a time.
pub(super) async fn answer(
    shared: &Shared,
    live: &Arc<Live>,
    past: Past,
    (viewing, request): (&Viewing, &Parts),
) -> Response {
    if past.shape == Shape::Moved {
        return moved(past.span, request);
    }
    let Some(recorder) = live.recorder() else { return plain(StatusCode::NOT_FOUND, NO_ARCHIVE) };
    if !recorder.ready() {
        return later(STARTING);
    }
    let now = Ticks90k::from_millis(shared.clock.unix_ms());
    match past.shape {
        Shape::Playlist => playlist(shared, live, (recorder, past, now), (viewing, request)).await,
        Shape::Stream | Shape::Download | Shape::Moved => {
            past_stream::answer(shared, live, (past, now), (viewing, request)).await
        }
    }
}

/// What of Flussonic's list is answered with words.
pub(super) fn refused(refusal: Refusal) -> Response {
    let status = match refusal {
        Refusal::Obsolete => StatusCode::GONE,
        Refusal::NotMade => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    answer::of(status, Kind::Text, format!("{refusal}\n"))
}

/// The span of a "shift" query on a live address: `?utc=S`, with or without `&lutc=NOW`.
pub(super) fn shifted(query: &str) -> Option<Result<Span, Refusal>> {
    let start = parameter(query, "utc")?;
    let digits = start.len() == 10 && start.bytes().all(|byte| byte.is_ascii_digit());
    let start = start.parse().ok().filter(|_| digits);
    Some(start.map(|start| Span::Since { start }).ok_or(Refusal::NotSeconds))
}

pub(super) fn instant(secs: u64) -> Ticks90k {
    Ticks90k::from_secs(i64::try_from(secs).unwrap_or(i64::MAX / Ticks90k::from_secs(1).0))
}

/// Recorded segments, read off the async threads.
pub(super) async fn select(recorder: &Recorder, from: Ticks90k, until: Ticks90k) -> Option<Vec<Stored>> {
    let recorder = recorder.clone();
    let read = tokio::task::spawn_blocking(move || recorder.select(from, until)).await;
    match read.unwrap_or_else(|gone| Err(io::Error::other(gone))) {
        Ok(found) => Some(found),
        Err(error) => {
            warn!(error = headend_rt::chain(&error), "archive index not read");
            None
        }
    }
}

async fn playlist(
    shared: &Shared,
    live: &Arc<Live>,
    (recorder, past, now): (&Recorder, Past, Ticks90k),
    (viewing, request): (&Viewing, &Parts),
) -> Response {
    let day = instant(SPAN_SECS_MAX);
    let (from, until, kind) = match past.span {
        Span::Closed { start, secs } => {
            let until = instant(start) + instant(secs);
            let complete = until + Ticks90k::from_secs(INDEX_LAG_SECS) <= now;
            (instant(start), until.min(now), if complete { PastKind::Closed } else { PastKind::Growing })
        }
        Span::Since { start } if instant(start) + day < now => return plain(StatusCode::BAD_REQUEST, TOO_OLD),
        Span::Since { start } => (instant(start), now, PastKind::Growing),
        Span::Rewind { secs } => (now - instant(secs), now, PastKind::Sliding),
        Span::Absolute { at } => return absolute(live, (instant(at), now), past.below, (viewing, request)),
        Span::Relative { secs } => {
            let (from, until) = delayed(live, recorder, now - instant(secs));
            (from, until.min(now), PastKind::Sliding)
        }
    };
    if from >= now {
        return plain(StatusCode::NOT_FOUND, FUTURE);
    }
    let Some(found) = select(recorder, from, until).await else { return later(NOT_READABLE) };
    if found.is_empty() {
        return plain(StatusCode::NOT_FOUND, NOTHING);
    }
    let mut recorded: Vec<Recorded> = found.into_iter().map(|stored| stored.recorded).collect();
    if let Some(ranges) = viewing.ranges() {
        within(&mut recorded, ranges, kind);
        if recorded.is_empty() {
            return plain(StatusCode::FORBIDDEN, NOT_YOURS);
        }
    }
    let (target_secs, listed) = live.shape();
    if let Span::Relative { .. } = past.span {
        recorded.truncate(listed);
    }
    let rendered = PastPlaylist::new(live.name().as_str(), past.below).render(kind, target_secs, &recorded);
    answer::playlist(live.for_viewer(&rendered, viewing, &shared.keys), &request.headers)
}

/// Leaves what a viewer may see: of a closed list all of it, of one that goes on its end, because such a list has no holes
/// of a viewer's own.
fn within(recorded: &mut Vec<Recorded>, ranges: &Ranges, kind: PastKind) {
    let held = |one: &Recorded| ranges.holds(one.entry.start.as_millis());
    if kind == PastKind::Closed {
        recorded.retain(held);
    } else {
        let first = recorded.iter().rposition(|one| !held(one)).map_or(0, |last| last + 1);
        drop(recorded.drain(..first));
    }
}

/// The window of a delayed list: from the segment on the air then, as long as the live list. What lies before the archive
/// begins where the archive does.
fn delayed(live: &Live, recorder: &Recorder, at: Ticks90k) -> (Ticks90k, Ticks90k) {
    let (_, listed) = live.shape();
    let cell = Ticks90k::from_millis(live.grid().duration_ms().into());
    // One more, because the first has begun already; what is too much is cut off later.
    let length = Ticks90k(cell.0.saturating_mul(i64::try_from(listed + 1).unwrap_or(i64::MAX)));
    let first = recorder.stretches().first().map_or(at, |stretch| Ticks90k::from_millis(stretch.from_ms));
    let from = at.max(first);
    (from, from + length)
}

/// `timeshift_abs`: the delay is fixed when the master is read, and the list it names slides by that delay. So nothing
/// need be remembered of who began when, and any origin can go on with it.
fn absolute(
    live: &Live,
    (at, now): (Ticks90k, Ticks90k),
    below: bool,
    (viewing, request): (&Viewing, &Parts),
) -> Response {
    let delay = (now - at).as_secs();
    if delay < 1 {
        return plain(StatusCode::NOT_FOUND, FUTURE);
    }
    let folder = if below { "../" } else { "" };
    match live.master_of(viewing, &format!("{folder}video-timeshift_rel-{delay}.m3u8")) {
        Some(text) => answer::playlist(text, &request.headers),
        None => later("the channel is starting; try again in a moment\n"),
    }
}

/// `archive/S/D/index.m3u8` is `index-S-D.m3u8`, three folders up; the query goes along.
fn moved(span: Span, request: &Parts) -> Response {
    let Span::Closed { start, secs } = span else { return plain(StatusCode::NOT_FOUND, NOTHING) };
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = plain(StatusCode::FOUND, "");
    // A query that came as a header line fits into one.
    if let Ok(place) = HeaderValue::from_str(&format!("../../../index-{start}-{secs}.m3u8{query}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

pub(super) fn later(text: &'static str) -> Response {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// What is recorded, as Flussonic says it: seconds, and a gap of ours for each hole.
#[derive(Serialize)]
struct Range {
    from: i64,
    duration: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<i64>,
}

#[derive(Serialize)]
struct Hole {
    from: i64,
    duration: i64,
    owner: &'static str,
    cause: crate::output::archive::Cause,
    reason: String,
}

/// `recording_status.json`; `from` and `to` of the query cut it.
pub(super) fn recording_status(live: &Live, request: &Parts) -> Response {
    let query = request.uri.query().unwrap_or_default();
    let bound = |name: &str| parameter(query, name).and_then(|text| text.parse::<i64>().ok());
    let within = (bound("from").unwrap_or(i64::MIN), bound("to").unwrap_or(i64::MAX));
    if !read(live) {
        return later(STARTING);
    }
    let (ranges, gaps) = recorded(live, within, false);
    let name = live.name().as_str();
    json(&serde_json::json!([{ "stream": name, "ranges": ranges, "gaps": gaps }]))
}

/// `/streamer/api/v3/streams/NAME/dvr/ranges`.
pub(super) fn ranges(live: &Live) -> Response {
    if !read(live) {
        return later(STARTING);
    }
    let (ranges, gaps) = recorded(live, (i64::MIN, i64::MAX), true);
    json(&serde_json::json!({ "estimated_count": ranges.len(), "ranges": ranges, "gaps": gaps }))
}

/// Whether what an earlier life recorded is known; a channel without an archive has nothing to wait for.
fn read(live: &Live) -> bool {
    live.recorder().is_none_or(Recorder::ready)
}

fn recorded(live: &Live, (from, to): (i64, i64), millis: bool) -> (Vec<Range>, Vec<Hole>) {
    let Some(recorder) = live.recorder() else { return (vec![], vec![]) };
    let stretches = recorder.stretches();
    let range = |Stretch { from_ms, to_ms }: &Stretch| {
        let (begins, ends) = ((from_ms / 1_000).max(from), (to_ms / 1_000).min(to));
        let (opened_at, closed_at) = (millis.then_some(*from_ms), millis.then_some(*to_ms));
        (ends > begins).then_some(Range { from: begins, duration: ends - begins, opened_at, closed_at })
    };
    let hole = |Gap { from_ms, to_ms, cause }: &Gap| {
        let (begins, ends) = ((from_ms / 1_000).max(from), (to_ms + 999).div_euclid(1_000).min(to));
        let (owner, reason) = (cause.owner(), cause.to_string());
        (ends > begins).then(|| Hole { from: begins, duration: ends - begins, owner, cause: *cause, reason })
    };
    let holes = recorder.holes(&stretches);
    (stretches.iter().filter_map(range).collect(), holes.iter().filter_map(hole).collect())
}

pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => answer::of(StatusCode::OK, Kind::Json, text),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "this status has no JSON form\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shift_queries() {
        let check = |query: &str, want: Option<Result<Span, Refusal>>| assert_eq!(shifted(query), want, "{query}");
        check("", None);
        check("token=x&utc=1700000000&lutc=1700000500", Some(Ok(Span::Since { start: 1_700_000_000 })));
        check("utc=-1", Some(Err(Refusal::NotSeconds)));
        check("utc=99999999999999999999", Some(Err(Refusal::NotSeconds)));
        check("utc=", None);
    }
}
