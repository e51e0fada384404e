//! The endless transport stream, `/NAME/mpegts`.
//!
//! Every viewer reads the channel's packets by cursor from one ring; one that cannot keep up is cut, never waited for.
//! The clear form goes to loopback and to configured peers; to others only under TLS, because a set-top box can take no
//! key for a transport stream.

use axum::{
    body::Body,
    http::{StatusCode, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use headend_media::excerpt::Excerpt;
use headend_rt::CancellationToken;

use super::{
    Shared,
    answer::{self, Kind, plain},
    live::peer,
};
use crate::{
    input::ring::{RingReader, Step},
    output::{
        live::Live,
        viewing::{Guarded, Seat, Viewing},
    },
};

/// How much a viewer may lose before it is cut: nothing. A transport stream with a hole is worse than a reconnect.
const LOST_BYTES_MAX: u64 = 0;

/// A piece is handed to the connection when it has this many bytes, or when there is no more.
const PIECE_BYTES: usize = 256 << 10;
pub(super) const CLEAR_REFUSED: &str =
    "HTTP-TS leaves this node in the clear only to loopback and to configured peers; configure TLS, or play the HLS\n";

pub(super) fn answer(shared: &Shared, live: &Live, (viewing, request): (&Viewing, &Parts)) -> Response {
    if !shared.tls && !shared.trusted(peer(request)) {
        return plain(StatusCode::FORBIDDEN, CLEAR_REFUSED);
    }
    answer::of(StatusCode::OK, Kind::Stream, body((live.packets(), None), Leave::of(viewing, &shared.stopping)))
}

/// When a stream ends that does not end by itself: with the node, or with its session.
pub(super) struct Leave {
    stopping: CancellationToken,
    seat: Option<Seat>,
}

impl Leave {
    /// For a stream of this viewer.
    pub(super) fn of(viewing: &Viewing, stopping: &CancellationToken) -> Self {
        let seat =
            viewing.guarded.as_ref().map(|Guarded { guard, grant }| guard.seat(viewing.session, grant, stopping));
        let stopping = seat.as_ref().map_or(stopping, Seat::ends).clone();
        Self { stopping, seat }
    }

    /// For a stream without a session.
    pub(super) fn with(stopping: &CancellationToken) -> Self {
        Self { stopping: stopping.clone(), seat: None }
    }

    /// What comes next, unless it is time to leave.
    pub(super) async fn or(&self, piece: impl Future<Output = Option<Bytes>>) -> Option<Bytes> {
        let piece = tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            piece = piece => piece,
        };
        if let (Some(seat), Some(piece)) = (&self.seat, &piece) {
            seat.served(piece.len());
        }
        piece
    }
}

/// A body that follows a ring, or one service in it, until the ring closes, the viewer falls behind or it is time to leave.
pub(super) fn body((reader, excerpt): (RingReader, Option<Excerpt>), leave: Leave) -> Body {
    let follower = Follower { reader, excerpt, buffer: Vec::with_capacity(64 * 1024), over: false };
    Body::from_stream(stream::unfold((follower, leave), |(mut follower, leave)| async move {
        let piece = leave.or(follower.piece()).await;
        piece.map(|piece| (Ok::<_, std::io::Error>(piece), (follower, leave)))
    }))
}

/// One viewer's cursor.
struct Follower {
    reader: RingReader,
    excerpt: Option<Excerpt>,
    buffer: Vec<u8>,
    /// Nothing comes behind what was given out.
    over: bool,
}

impl Follower {
    /// All there is, as one piece, so that a viewer costs one write; waits until there is something.
    async fn piece(&mut self) -> Option<Bytes> {
        let mut piece = vec![];
        while piece.is_empty() && !self.over {
            let step = self.reader.next(&mut self.buffer).await;
            self.take(step, &mut piece);
        }
        while piece.len() < PIECE_BYTES && !self.over {
            let Some(step) = self.reader.try_next(&mut self.buffer) else { break };
            self.take(step, &mut piece);
        }
        (!piece.is_empty()).then(|| Bytes::from(piece))
    }

    fn take(&mut self, step: Step, piece: &mut Vec<u8>) {
        match (step, &mut self.excerpt) {
            (Step::Packets { bytes, .. }, Some(excerpt)) => excerpt.push(&self.buffer[..bytes], piece),
            (Step::Packets { bytes, .. }, None) => piece.extend_from_slice(&self.buffer[..bytes]),
            (Step::Restarted, _) => {}
            (Step::Lost { bytes }, _) => self.over = bytes > LOST_BYTES_MAX,
            (Step::Closed, _) => self.over = true,
        }
    }
}
