//! The last key picture of a channel, for a mosaic: `/NAME/preview.h264`.
//!
//! The node has no decoder and needs none: the first picture of the newest segment is cut out as it came, in the codec it
//! has, and whoever shows it decodes it. Nothing is kept for it.

use axum::{http::StatusCode, response::Response};
use bytes::Bytes;
use headend_media::{
    package::VIDEO_PID,
    packet::{PACKET_BYTES, Packet},
    pes::PesHeader,
};

use super::{
    Shared,
    answer::{self, Kind, plain},
};
use crate::output::live::Live;

/// A picture of more than this is none.
const PICTURE_BYTES_MAX: usize = 4 << 20;

pub(super) fn answer(shared: &Shared, live: &Live) -> Response {
    let newest = live.newest().and_then(|(number, key, bytes)| live.open_segment(&shared.keys, (number, key), &bytes));
    match newest.and_then(|clear| first_picture(&clear)) {
        Some(picture) => answer::of(StatusCode::OK, Kind::Picture, Bytes::from(picture)),
        None => plain(StatusCode::NOT_FOUND, "there is no picture now\n"),
    }
}

/// The payload of the first PES packet of the video (ISO/IEC 13818-1 §2.4.3.6): one picture, as DVB asks.
fn first_picture(segment: &[u8]) -> Option<Vec<u8>> {
    let (packets, _) = segment.as_chunks::<PACKET_BYTES>();
    let video = packets.iter().filter_map(Packet::new).filter(|packet| packet.pid() == VIDEO_PID);
    let mut pes = vec![];
    for packet in video.skip_while(|packet| !packet.unit_start()) {
        if packet.unit_start() && !pes.is_empty() || pes.len() > PICTURE_BYTES_MAX {
            break;
        }
        pes.extend_from_slice(packet.payload());
    }
    let header = PesHeader::parse(&pes).ok()?;
    Some(header.payload(&pes).to_vec()).filter(|picture| !picture.is_empty())
}
