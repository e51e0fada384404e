//! What a packager must know of a sound track: coding, rate, channels, and its CODECS string.
//!
//! Elementary stream bytes in, the parameters of the first readable frame out. Frames are found by their sync words;
//! `aac`, `ac3` and `mpa` read the headers. The packager drives it with the first PES packets of a track.

use super::{aac, ac3, bits::Defect, mpa};

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
/// when it stands at the very start and is not ended by `es`; a whole PES packet is best. A track in LATM says its
/// configuration only now and then, so several PES packets may have to be tried.
///
/// # Errors
/// The defect of the last place that looked like a frame, or [`Defect::NoSync`] if none did.
pub fn first_frame(codec: AudioCodec, es: &[u8]) -> Result<AudioParameters, Defect> {
    let parse = parser(codec);
    let mut last = Defect::NoSync;
    for at in 0..es.len() {
        match parse(&es[at..]) {
            Ok(found) => match es.get(at + found.frame_bytes..) {
                Some(next) if follows(&found, parse(next)) => return Ok(found),
                None if at == 0 => return Ok(found),
                _ => {}
            },
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

/// Whether what stands behind a frame can be the next: of the same kind, cut by the end of the bytes, or of a kind whose
/// header does not describe the track (a LATM frame without configuration, a dependent substream).
fn follows(frame: &AudioParameters, next: Result<AudioParameters, Defect>) -> bool {
    match next {
        Ok(next) => next.codecs == frame.codecs && next.sample_rate == frame.sample_rate,
        Err(defect) => defect != Defect::NoSync,
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
