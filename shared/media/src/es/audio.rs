//! What a packager must know of a sound track: coding, rate, channels, and its CODECS string.
//!
//! Elementary stream bytes in, the parameters of the first readable frame out. Frames are found by their sync words;
//! `aac`, `ac3` and `mpa` read the headers. The packager drives it with the first PES packets of a track.

use super::{aac, ac3, bits::Defect, mpa};

/// The most bytes a [`FrameScan`] holds: two of the longest frames there are (ADTS, 13 bits of length).
const SCAN_BYTES_MAX: usize = 16_384 + 512;
/// Behind a frame this much is looked at: every header is read from fewer bytes, except a LATM configuration's tail.
const HEADER_BYTES_MAX: usize = 8;

/// The sound codings that are packaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// MPEG-1 and MPEG-2 audio layers I to III; stream types 0x03 and 0x04.
    Mpa,
    /// AAC in ADTS; stream type 0x0F.
    AacAdts,
    /// AAC in LATM/LOAS; stream type 0x11.
    AacLatm,
    /// AC-3.
    Ac3,
    /// Enhanced AC-3.
    Eac3,
}

/// What a frame header says of the track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioParameters {
    /// Samples a second that are played, 1..=96,000.
    pub sample_rate: u32,
    /// Loudspeaker channels, the low-frequency one included; 0 where the header leaves it to the payload.
    pub channels: u8,
    /// Bytes of this frame, its header included.
    pub frame_bytes: usize,
    /// Samples of each channel in this frame.
    pub frame_samples: u32,
    /// The CODECS element of RFC 6381: `mp4a.40.2`, `mp4a.40.33` for layer II, `ac-3`, `ec-3`, …
    pub codecs: String,
}

/// Finds the first readable frame in `es`. Sync words also occur by chance, so a frame counts when another follows it, or
/// when it stands at the very start and is not ended by `es`; [`FrameScan`] does better where frames start anywhere.
///
/// # Errors
/// The defect of the last place that looked like a frame, or [`Defect::NoSync`] if none did.
pub fn first_frame(codec: AudioCodec, es: &[u8]) -> Result<AudioParameters, Defect> {
    match parser(codec)(es) {
        Ok(found) if es.len() <= found.frame_bytes => Ok(found),
        _ => first_confirmed(codec, es),
    }
}

/// The first frame in `es` that another one follows, or seems to.
fn first_confirmed(codec: AudioCodec, es: &[u8]) -> Result<AudioParameters, Defect> {
    let parse = parser(codec);
    let mut last = Defect::NoSync;
    for at in 0..es.len() {
        match parse(&es[at..]) {
            Ok(found) => {
                let next = es.get(at + found.frame_bytes..).filter(|next| next.len() >= HEADER_BYTES_MAX);
                if next.is_some_and(|next| follows(&found, parse(next))) {
                    return Ok(found);
                }
            }
            Err(Defect::NoSync) => {}
            Err(defect) => last = defect,
        }
    }
    Err(last)
}

fn parser(codec: AudioCodec) -> fn(&[u8]) -> Result<AudioParameters, Defect> {
    match codec {
        AudioCodec::Mpa => mpa::parse,
        AudioCodec::AacAdts => aac::parse_adts,
        AudioCodec::AacLatm => aac::parse_latm,
        AudioCodec::Ac3 | AudioCodec::Eac3 => ac3::parse,
    }
}

/// Whether what stands behind a frame can be the next: of the same kind, or of a kind whose header does not describe the
/// track (a LATM frame without configuration, a dependent substream).
fn follows(frame: &AudioParameters, next: Result<AudioParameters, Defect>) -> bool {
    match next {
        Ok(next) => next.codecs == frame.codecs && next.sample_rate == frame.sample_rate,
        Err(defect) => defect != Defect::NoSync,
    }
}

/// Looks for the first readable frame of a track over as many packets as it takes, as multiplexers start PES packets in
/// the middle of a frame and frames are longer than a packet. Holds less than 17 kB, and nothing once it has found one.
#[derive(Debug, Clone)]
pub struct FrameScan {
    codec: AudioCodec,
    held: Vec<u8>,
    found: Option<AudioParameters>,
}

impl FrameScan {
    /// A scan of a track of this coding.
    #[must_use]
    pub fn new(codec: AudioCodec) -> Self {
        Self { codec, held: vec![], found: None }
    }

    /// Takes the next elementary stream bytes (PES headers removed), in pieces of any size. `Some` as soon as a frame with
    /// another behind it was seen, and from then on.
    pub fn push(&mut self, piece: &[u8]) -> Option<&AudioParameters> {
        for piece in piece.chunks(SCAN_BYTES_MAX / 2) {
            if self.found.is_some() {
                break;
            }
            if self.held.len() + piece.len() > SCAN_BYTES_MAX {
                self.held.drain(..self.held.len() / 2);
            }
            self.held.extend_from_slice(piece);
            self.found = first_confirmed(self.codec, &self.held).ok();
        }
        if self.found.is_some() {
            self.held = vec![];
        }
        self.found.as_ref()
    }

    /// Forgets the bytes seen, because packets were lost.
    pub fn reset(&mut self) {
        self.held.clear();
    }
}

/// The coding that frames at the very start of `es` are in, whatever the programme map says: some multiplexers announce
/// AAC as MPEG audio, and AC-3 as private data without its descriptor.
#[must_use]
pub fn sniff(es: &[u8]) -> Option<AudioCodec> {
    let &[first, second, ..] = es else {
        return None;
    };
    let codec = match (first, second) {
        (0x0B, 0x77) if es.get(5)? >> 3 > 10 => AudioCodec::Eac3,
        (0x0B, 0x77) => AudioCodec::Ac3,
        (0x56, high) if high & 0xE0 == 0xE0 => AudioCodec::AacLatm,
        // ADTS has layer 00, which MPEG audio reserves.
        (0xFF, flags) if flags & 0xF6 == 0xF0 => AudioCodec::AacAdts,
        (0xFF, flags) if flags & 0xE0 == 0xE0 => AudioCodec::Mpa,
        _ => return None,
    };
    let readable = codec == AudioCodec::AacLatm || parser(codec)(es).is_ok();
    readable.then_some(codec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    fn codec() -> impl Strategy<Value = AudioCodec> {
        use AudioCodec::{AacAdts, AacLatm, Ac3, Eac3, Mpa};
        prop_oneof![Just(Mpa), Just(AacAdts), Just(AacLatm), Just(Ac3), Just(Eac3)]
    }

    /// A frame of layer II, 32 kbit/s at 48 kHz: 96 bytes.
    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 96];
        frame[..4].copy_from_slice(&[0xFF, 0xFD, 0x14, 0x00]);
        frame
    }

    #[test]
    fn a_sync_word_by_chance_is_no_frame() {
        let stray = [&[0xFF, 0xFD, 0x24, 0x00][..], &[0; 20]].concat();
        let stream = [stray.clone(), frame(), frame()].concat();
        assert_eq!(first_frame(AudioCodec::Mpa, &stream).unwrap().frame_bytes, 96);
        assert!(first_frame(AudioCodec::Mpa, &[&[1], &stray[..]].concat()).is_err());
        assert!(first_frame(AudioCodec::Mpa, &frame()[..50]).is_ok(), "at the start it is believed");
    }

    proptest! {
        #[test]
        fn other_pieces_same_track(before in 0_usize..90, cut in 1_usize..60) {
            let stream = [vec![0xA5; before], frame(), frame(), frame()].concat();
            let mut scan = FrameScan::new(AudioCodec::Mpa);
            stream.chunks(cut).for_each(|piece| drop(scan.push(piece).cloned()));
            assert_eq!(scan.push(&[]).map(|found| found.frame_bytes), Some(96));
            assert!(scan.held.is_empty());
        }

        #[test]
        fn any_bytes_stay_bounded(codec in codec(), pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..12)) {
            let mut scan = FrameScan::new(codec);
            for piece in &pieces {
                let _ = scan.push(piece);
                assert!(scan.held.len() <= SCAN_BYTES_MAX);
                let _ = (first_frame(codec, piece), sniff(piece));
            }
            scan.reset();
            let _ = scan.push(&[0xFF; 40_000]);
            assert!(scan.held.len() <= SCAN_BYTES_MAX);
        }
    }
}
