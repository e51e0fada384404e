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
    output::live::Live,
};

/// How much a viewer may lose before it is cut: nothing. A transport stream with a hole is worse than a reconnect.
const LOST_BYTES_MAX: u64 = 0;

pub(super) fn answer(shared: &Shared, live: &Live, request: &Parts) -> Response {
    if !shared.tls && !shared.trusted(peer(request)) {
        return plain(
            StatusCode::FORBIDDEN,
            "HTTP-TS leaves this node in the clear only to loopback and to configured peers; configure TLS, or play the HLS\n",
        );
    }
    answer::of(StatusCode::OK, Kind::Stream, body((live.packets(), None), shared.stopping.clone()))
}

/// A body that follows a ring, or one service in it, until the ring closes, the viewer falls behind or the node stops.
pub(super) fn body((reader, excerpt): (RingReader, Option<Excerpt>), stopping: CancellationToken) -> Body {
    let state = (reader, excerpt, Vec::with_capacity(64 * 1024), stopping);
    Body::from_stream(stream::unfold(state, |(mut reader, mut excerpt, mut buffer, stopping)| async move {
        loop {
            let step = tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                step = reader.next(&mut buffer) => step,
            };
            match step {
                Step::Packets { bytes, .. } => {
                    let Some(chunk) = piece(&buffer[..bytes], excerpt.as_mut()) else { continue };
                    return Some((Ok::<_, std::io::Error>(chunk), (reader, excerpt, buffer, stopping)));
                }
                Step::Restarted => {}
                Step::Lost { bytes } if bytes > LOST_BYTES_MAX => return None,
                Step::Lost { .. } => {}
                Step::Closed => return None,
            }
        }
    }))
}

/// What of these packets is sent; none when it is nothing.
fn piece(packets: &[u8], excerpt: Option<&mut Excerpt>) -> Option<Bytes> {
    let Some(excerpt) = excerpt else { return Some(Bytes::copy_from_slice(packets)) };
    let mut out = Vec::with_capacity(packets.len());
    excerpt.push(packets, &mut out);
    (!out.is_empty()).then(|| Bytes::from(out))
}
