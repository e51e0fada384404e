//! The slate's sound: single frames laid on a grid of the channel's time.
//!
//! A pass of the slate is no whole number of audio frames, so its sound cannot simply be repeated: it would overlap or
//! leave a hole at every segment. Frames are therefore taken out of their PES packets and frame n is placed at n frame
//! lengths since the epoch, whichever segment asks. Slate's sound is silence or a tone, so that any frame may follow any.

use super::counters::{Draft, append_adaptation};
use crate::es::{AudioCodec, first_frame};
use crate::packet::{PACKET_BYTES, Pid, SYNC_BYTE};
use crate::pes::PesStart;
use crate::time::{TICKS_PER_SECOND, Ticks90k};

const FRAMES_PER_PES: usize = 8;
const PAYLOAD_BYTES: usize = PACKET_BYTES - 4;

/// The frames of one audio track.
#[derive(Debug)]
pub(super) struct Sound {
    stream_id: u8,
    frames: Vec<Vec<u8>>,
    samples: i128,
    rate: i128,
}

impl Sound {
    /// Cuts an elementary stream into frames; `None` when it has none, or not all are of one length.
    pub(super) fn of(codec: AudioCodec, stream_id: u8, es: &[u8]) -> Option<Self> {
        let (mut frames, mut rest, mut shape) = (vec![], es, None);
        while let Ok(frame) = first_frame(codec, rest) {
            let length = (i128::from(frame.frame_samples), i128::from(frame.sample_rate));
            let bytes = rest.get(..frame.frame_bytes).filter(|bytes| !bytes.is_empty());
            let Some(bytes) = bytes else { break };
            if length.0 < 1 || length.1 < 1 || *shape.get_or_insert(length) != length {
                return None;
            }
            frames.push(bytes.to_vec());
            rest = &rest[bytes.len()..];
        }
        let (samples, rate) = shape?;
        Some(Self { stream_id, frames, samples, rate })
    }

    /// PES packets of the frames that begin from `start` on and before `end`: when each begins, and its bytes.
    pub(super) fn between(&self, start: Ticks90k, end: Ticks90k) -> Vec<(Ticks90k, Vec<u8>)> {
        let scale = self.samples * i128::from(TICKS_PER_SECOND);
        let first = (i128::from(start.0) * self.rate + scale - 1).div_euclid(scale);
        let at = |number: i128| i64::try_from(number * scale / self.rate).map_or(end, Ticks90k);
        let numbers: Vec<i128> = (first..).skip_while(|n| at(*n) < start).take_while(|n| at(*n) < end).collect();
        let pes = |numbers: &[i128]| {
            let count = i128::try_from(self.frames.len()).unwrap_or(1);
            let frame = |number: &i128| usize::try_from(number.rem_euclid(count)).unwrap_or(0);
            let frames: Vec<u8> = numbers.iter().flat_map(|number| &self.frames[frame(number)]).copied().collect();
            let head = PesStart {
                stream_id: self.stream_id,
                data_alignment: true,
                pts: Some(at(numbers[0]).to_pts().value()),
                dts: None,
            };
            let mut bytes = vec![];
            head.append_to(frames.len(), &mut bytes);
            bytes.extend_from_slice(&frames);
            (at(numbers[0]), bytes)
        };
        numbers.chunks(FRAMES_PER_PES).map(pes).collect()
    }
}

/// Appends a PES packet in transport packets of `pid`, the last filled up with adaptation field stuffing.
pub(super) fn append_pes(pid: Pid, pes: &[u8], draft: &mut Draft) {
    let [high, low] = pid.value().to_be_bytes();
    for (index, piece) in pes.chunks(PAYLOAD_BYTES).enumerate() {
        let start = if index == 0 { 0x40 } else { 0 };
        let stuffing = PAYLOAD_BYTES - piece.len();
        draft.packets.extend_from_slice(&[SYNC_BYTE, start | high, low, if stuffing > 0 { 0x30 } else { 0x10 }]);
        if stuffing > 0 {
            append_adaptation(&[], stuffing, &mut draft.packets);
        }
        draft.packets.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pes::PesHeader;

    /// A 96-byte MPEG-1 layer II frame of 32 kbit/s at 48 kHz, 24 ms.
    fn layer2() -> Vec<u8> {
        let mut frame = vec![0xFF, 0xFD, 0x14, 0xC0];
        frame.resize(96, 0);
        frame
    }

    #[test]
    fn frames_of_neighbours_meet() {
        let sound = Sound::of(AudioCodec::Mpa, 0xC0, &[layer2(), layer2(), layer2()].concat()).unwrap();
        let (start, middle, end) = (Ticks90k(90_000_001), Ticks90k(90_180_000), Ticks90k(90_360_000));
        let mut parts = sound.between(start, middle);
        parts.extend(sound.between(middle, end));
        let mut next = Ticks90k(90_000_000 / 2_160 * 2_160 + 2_160);
        for (at, pes) in parts {
            assert_eq!(at, next);
            let header = PesHeader::parse(&pes).unwrap();
            assert_eq!(header.pts, Some(at.to_pts().value()));
            next += Ticks90k(i64::try_from((pes.len() - header.header_bytes) / 96).unwrap() * 2_160);
        }
        assert!(next >= end && next < end + Ticks90k(2_160));
    }

    #[test]
    fn what_is_no_sound() {
        assert!(Sound::of(AudioCodec::Mpa, 0xC0, &[]).is_none());
        assert!(Sound::of(AudioCodec::AacAdts, 0xC0, &layer2()).is_none());
    }
}
