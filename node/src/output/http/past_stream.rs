//! The archive as a transport stream: at play speed, without an end, or as a file.
//!
//! Segments are read back one at a time, opened with their key and sent; their continuity counters go on from one to the
//! next by themselves (docs/adr/0005). What was not recorded is passed over. It is clear, so it goes where the live
//! transport stream may go: under TLS, to loopback, to configured peers. A viewer costs one segment of memory, and a
//! download a list of 24 bytes a segment.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use headend_media::{
    packet::PACKET_BYTES,
    playlist::{KeyRef, Past, SegmentGrid, Shape, Span},
    time::Ticks90k,
};
use tokio::time::Instant;

use super::{
    Shared,
    answer::{self, Kind, plain},
    live::peer,
    past::{self, NOT_READABLE, NOT_YOURS, instant, later},
    transport::{CLEAR_REFUSED, Leave},
};
use crate::output::{archive::Stored, keys::KeyStore, live::Live, viewing::Viewing};

/// How much sooner than due a segment is sent: a player fills its buffer with it.
const AHEAD: Duration = Duration::from_secs(4);
/// How long to wait for what is not recorded yet.
const WAIT: Duration = Duration::from_millis(500);
/// How much of the index is read at a time.
const LOOK: Ticks90k = Ticks90k::from_secs(60);

const NOTHING: &str = "nothing is recorded of that time\n";

/// Answers with a stream or a file.
pub(super) async fn answer(
    shared: &Shared,
    live: &Arc<Live>,
    (past, now): (Past, Ticks90k),
    (viewing, request): (&Viewing, &Parts),
) -> Response {
    if !shared.tls && !shared.trusted(peer(request)) {
        return plain(StatusCode::FORBIDDEN, CLEAR_REFUSED);
    }
    let (from, until) = match past.span {
        Span::Closed { start, secs } => (instant(start), Some(instant(start) + instant(secs))),
        Span::Since { start } => (instant(start), None),
        Span::Rewind { secs } | Span::Relative { secs } => (now - instant(secs), None),
        Span::Absolute { at } => (instant(at), None),
    };
    if from >= now {
        return plain(StatusCode::NOT_FOUND, "that time is still to come\n");
    }
    let last = until.map_or(now, |until| until.min(now));
    if viewing.ranges().is_some_and(|ranges| !ranges.covers(from.as_millis(), last.as_millis())) {
        return plain(StatusCode::FORBIDDEN, NOT_YOURS);
    }
    let source = Source { live: Arc::clone(live), keys: Arc::clone(&shared.keys) };
    match (past.shape, until) {
        (Shape::Download, Some(until)) => download(source, (from, until.min(now)), &request.headers).await,
        _ => {
            let first = source.first_after(from);
            let Some(first) = first.filter(|first| until.is_none_or(|until| *first < until)) else {
                return plain(StatusCode::NOT_FOUND, NOTHING);
            };
            answer::of(
                StatusCode::OK,
                Kind::Stream,
                paced(source, (first, until), Leave::of(viewing, &shared.stopping)),
            )
        }
    }
}

/// Where segments come from.
#[derive(Clone)]
struct Source {
    live: Arc<Live>,
    keys: Arc<KeyStore>,
}

/// What names a segment, and how it opens.
#[derive(Clone, Copy)]
struct Piece {
    grid: SegmentGrid,
    number: u64,
    key: Option<KeyRef>,
}

impl Source {
    /// The first instant from here on that is recorded.
    fn first_after(&self, from: Ticks90k) -> Option<Ticks90k> {
        let stretches = self.live.recorder()?.stretches();
        let stretch = stretches.iter().find(|stretch| Ticks90k::from_millis(stretch.to_ms) > from)?;
        Some(from.max(Ticks90k::from_millis(stretch.from_ms)))
    }

    /// A segment in the clear, or nothing when it cannot be had. Reads off the async threads.
    async fn open(&self, piece: Piece) -> Option<Bytes> {
        let source = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = source.live.recorder()?.read(piece.grid, piece.number).ok()??;
            match piece.key {
                Some(key) => source.live.open_segment(&source.keys, (piece.number, key), &bytes).map(Bytes::from),
                None => Some(bytes),
            }
        });
        read.await.ok().flatten()
    }

    async fn select(&self, from: Ticks90k, until: Ticks90k) -> Option<Vec<Stored>> {
        past::select(self.live.recorder()?, from, until).await
    }
}

fn piece(stored: &Stored) -> Piece {
    let entry = &stored.recorded.entry;
    Piece { grid: stored.recorded.grid, number: entry.number, key: entry.key }
}

/// A stream on its way.
struct Paced {
    source: Source,
    /// Recorded up to here was sent.
    at: Ticks90k,
    until: Option<Ticks90k>,
    coming: std::vec::IntoIter<Stored>,
    /// When which instant was due: set anew after each hole.
    began: Option<(Instant, Ticks90k)>,
}

/// Segments at play speed, from `first` on, until `until` or for ever.
fn paced(source: Source, (first, until): (Ticks90k, Option<Ticks90k>), leave: Leave) -> Body {
    let state = Paced { source, at: first, until, coming: vec![].into_iter(), began: None };
    Body::from_stream(stream::unfold((state, leave), |(mut state, leave)| async move {
        let next = leave.or(state.next()).await;
        next.map(|bytes| (Ok::<_, io::Error>(bytes), (state, leave)))
    }))
}

impl Paced {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.until.is_some_and(|until| self.at >= until) {
                return None;
            }
            let Some(stored) = self.coming.next() else {
                let found = self.source.select(self.at, self.at + LOOK).await?;
                let fresh: Vec<Stored> = found.into_iter().filter(|one| one.recorded.entry.end() > self.at).collect();
                if fresh.is_empty() && !self.skip_hole() {
                    tokio::time::sleep(WAIT).await;
                }
                self.coming = fresh.into_iter();
                continue;
            };
            let entry = &stored.recorded.entry;
            if self.until.is_some_and(|until| entry.start >= until) {
                return None;
            }
            self.wait_for(entry.start, entry.start > self.at + Ticks90k::from_secs(1)).await;
            self.at = entry.end();
            // What cannot be read is a hole like any other.
            if let Some(bytes) = self.source.open(piece(&stored)).await {
                return Some(bytes);
            }
        }
    }

    /// Goes on behind a hole; `false` at the end of what is recorded.
    fn skip_hole(&mut self) -> bool {
        match self.source.first_after(self.at) {
            Some(first) if first > self.at => {
                self.at = first;
                true
            }
            Some(_) => false,
            None => false,
        }
    }

    async fn wait_for(&mut self, start: Ticks90k, hole: bool) {
        let (began, first) = match self.began.filter(|_| !hole) {
            Some(began) => began,
            None => *self.began.insert((Instant::now(), start)),
        };
        let since = Duration::from_millis(u64::try_from((start - first).as_millis()).unwrap_or(0));
        tokio::time::sleep_until((began + since).checked_sub(AHEAD).unwrap_or(began)).await;
    }
}

/// A file of known length, of which a part may be asked for.
async fn download(source: Source, (from, until): (Ticks90k, Ticks90k), headers: &HeaderMap) -> Response {
    let Some(found) = source.select(from, until).await else { return later(NOT_READABLE) };
    if found.is_empty() {
        return plain(StatusCode::NOT_FOUND, NOTHING);
    }
    let pieces: Vec<(Piece, u64)> = found.iter().map(|stored| (piece(stored), clear_bytes(stored))).collect();
    let total: u64 = pieces.iter().map(|(_, bytes)| bytes).sum();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (first, last) = match asked.map(|text| answer::read_range(text, usize::try_from(total).unwrap_or(usize::MAX))) {
        Some(answer::Range::Part { from, to }) => (from as u64, to as u64),
        Some(answer::Range::Outside) => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{total}"));
            return response;
        }
        None | Some(answer::Range::Ignored) => (0, total),
    };
    let whole = (first, last) == (0, total);
    let mut at = 0;
    let mut parts = vec![];
    for (piece, bytes) in pieces {
        let (begins, ends) = (first.clamp(at, at + bytes) - at, last.clamp(at, at + bytes) - at);
        if begins < ends {
            parts.push((piece, bytes, begins..ends));
        }
        at += bytes;
    }
    let body = stream::unfold((source, parts.into_iter()), |(source, mut parts)| async move {
        let (piece, bytes, range) = parts.next()?;
        let clear = source.open(piece).await.filter(|clear| clear.len() as u64 == bytes);
        // The length was promised: a connection that breaks says that it is not kept.
        let part = clear.map(|clear| clear.slice(to_usize(range.start)..to_usize(range.end)));
        Some((part.ok_or_else(|| io::Error::other("a segment left the archive")), (source, parts)))
    });
    let status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let mut response = answer::of(status, Kind::Stream, Body::from_stream(body));
    set(&mut response, header::CONTENT_LENGTH, &(last - first).to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if !whole {
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{}/{total}", last - 1));
    }
    response
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("digits and words are a header value");
    response.headers_mut().insert(name, value);
}

/// Length of a segment once opened: padding adds 1 to 16 bytes (RFC 5652 §6.3), and packets have 188.
fn clear_bytes(stored: &Stored) -> u64 {
    let entry = &stored.recorded.entry;
    match entry.key {
        Some(_) => entry.bytes.saturating_sub(1) / PACKET_BYTES as u64 * PACKET_BYTES as u64,
        None => entry.bytes,
    }
}

#[cfg(test)]
mod tests {
    use headend_media::crypt::padded_bytes;
    use headend_media::playlist::{Entry, Recorded};

    use super::*;

    #[test]
    fn the_clear_length_follows_from_the_encrypted_one() {
        for packets in 1..5_000 {
            let (plain, grid) = (packets * PACKET_BYTES, SegmentGrid::new(2_000).expect("grid"));
            let entry = Entry {
                number: 1,
                start: Ticks90k(0),
                duration: Ticks90k(1),
                independent: true,
                discontinuity: false,
                key: Some(KeyRef { generation: 1, period: 1 }),
                bytes: padded_bytes(plain) as u64,
            };
            let recorded = Recorded { entry, grid, ordinal: 1, discontinuities: 0 };
            assert_eq!(clear_bytes(&Stored { recorded, crc: 0, key_period_secs: 300 }), plain as u64);
        }
    }
}
