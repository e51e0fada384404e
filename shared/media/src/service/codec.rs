//! Tells the codec of an elementary stream from its PMT entry, and of audio from its first bytes.
//!
//! Stream types are ISO/IEC 13818-1 table 2-34, ATSC A/53 and SCTE 35 for those above 0x7F, descriptors EN 300 468
//! annexes D and H for private PES (0x06). Where the map is wrong, the payload is right: real multiplexers
//! announce ADTS as MPEG-1 audio.

use crate::descriptor::{Descriptors, registration, tag};

/// A codec, or what else a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ISO/IEC 11172-2.
    Mpeg1Video,
    /// ISO/IEC 13818-2.
    Mpeg2Video,
    /// ISO/IEC 14496-10.
    H264,
    /// ISO/IEC 23008-2.
    Hevc,
    /// MPEG audio, layer I or II.
    Mpa,
    /// AAC in ADTS frames.
    Aac,
    /// AAC in LATM frames.
    AacLatm,
    /// ETSI TS 102 366.
    Ac3,
    /// ETSI TS 102 366 annex E.
    Eac3,
    /// ETSI EN 300 743.
    DvbSubtitle,
    /// ETSI EN 300 472.
    Teletext,
    /// Splice messages in sections.
    Scte35,
    /// Anything else: private data, carousels, codecs this house does not carry.
    Other,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// A picture.
    Video,
    /// Sound.
    Audio,
    /// Subtitles, teletext included.
    Subtitle,
    /// The rest.
    Data,
}

impl Codec {
    /// The name ffprobe gives it; `None` where it gives none.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Mpeg1Video => "mpeg1video",
            Self::Mpeg2Video => "mpeg2video",
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Mpa => "mp2",
            Self::Aac => "aac",
            Self::AacLatm => "aac_latm",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::DvbSubtitle => "dvb_subtitle",
            Self::Teletext => "dvb_teletext",
            Self::Scte35 => "scte_35",
            Self::Other => return None,
        })
    }

    /// What streams of this codec are for.
    pub const fn kind(self) -> StreamKind {
        match self {
            Self::Mpeg1Video | Self::Mpeg2Video | Self::H264 | Self::Hevc => StreamKind::Video,
            Self::Mpa | Self::Aac | Self::AacLatm | Self::Ac3 | Self::Eac3 => StreamKind::Audio,
            Self::DvbSubtitle | Self::Teletext => StreamKind::Subtitle,
            Self::Scte35 | Self::Other => StreamKind::Data,
        }
    }
}

/// The codec a PMT announces by `stream_type` and the stream's descriptors.
pub fn codec_of_stream(stream_type: u8, descriptors: Descriptors<'_>) -> Codec {
    match stream_type {
        0x01 => Codec::Mpeg1Video,
        0x02 => Codec::Mpeg2Video,
        0x03 | 0x04 => Codec::Mpa,
        0x06 => codec_of_private(descriptors),
        0x0F => Codec::Aac,
        0x11 => Codec::AacLatm,
        0x1B => Codec::H264,
        0x24 => Codec::Hevc,
        0x81 => Codec::Ac3,
        0x86 => Codec::Scte35,
        0x87 => Codec::Eac3,
        _ => Codec::Other,
    }
}

/// Private PES: DVB puts AC-3, E-AC-3, subtitles and teletext there and says which by descriptors.
fn codec_of_private(descriptors: Descriptors<'_>) -> Codec {
    let by_tag = descriptors.into_iter().find_map(|descriptor| match descriptor.tag {
        tag::AC3 => Some(Codec::Ac3),
        tag::EAC3 => Some(Codec::Eac3),
        tag::AAC => Some(Codec::Aac),
        tag::HEVC => Some(Codec::Hevc),
        tag::TELETEXT => Some(Codec::Teletext),
        tag::SUBTITLING => Some(Codec::DvbSubtitle),
        _ => None,
    });
    let by_registration = || {
        descriptors.all(tag::REGISTRATION).find_map(|body| match &registration(body)? {
            b"AC-3" => Some(Codec::Ac3),
            b"EAC3" => Some(Codec::Eac3),
            b"HEVC" => Some(Codec::Hevc),
            _ => None,
        })
    };
    by_tag.or_else(by_registration).unwrap_or(Codec::Other)
}

/// The audio codec of an elementary stream that starts with these bytes, known by its sync word; `None` when they
/// start with none.
pub fn codec_of_payload(es: &[u8]) -> Option<Codec> {
    match *es {
        // Twelve ones, then layer 00 is ADTS (ISO/IEC 13818-7 §6.2), any other layer MPEG audio (11172-3 §2.4.1.3).
        [0xFF, second, ..] if second & 0xF6 == 0xF0 => Some(Codec::Aac),
        [0xFF, second, ..] if second & 0xF0 == 0xF0 => Some(Codec::Mpa),
        // Eleven bits 0x2B7 (ISO/IEC 14496-3 §1.7.2).
        [0x56, second, ..] if second & 0xE0 == 0xE0 => Some(Codec::AacLatm),
        // bsid above 10 is the enhanced syntax (TS 102 366 §E.1.3).
        [0x0B, 0x77, _, _, _, bsid, ..] => Some(if bsid >> 3 > 10 { Codec::Eac3 } else { Codec::Ac3 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::compose::descriptor;
    use proptest::prelude::*;

    fn check(stream_type: u8, descriptors: &[u8], want: Codec) {
        assert_eq!(codec_of_stream(stream_type, Descriptors::new(descriptors)), want);
    }

    #[test]
    fn announced() {
        check(0x1B, &[], Codec::H264);
        check(0x24, &[], Codec::Hevc);
        check(0x05, &[], Codec::Other);
        check(0x06, &[], Codec::Other);
        check(0x06, &descriptor(tag::AC3, &[0]), Codec::Ac3);
        check(0x06, &[descriptor(0x52, &[1]), descriptor(tag::EAC3, &[0])].concat(), Codec::Eac3);
        check(0x06, &descriptor(tag::SUBTITLING, b"fra\x10\0\x01\0\x01"), Codec::DvbSubtitle);
        check(0x06, &descriptor(tag::TELETEXT, b"ita\x09\0"), Codec::Teletext);
        check(0x06, &descriptor(tag::REGISTRATION, b"EAC3"), Codec::Eac3);
        check(0x06, &descriptor(tag::REGISTRATION, b"Opus"), Codec::Other);
    }

    #[test]
    fn seen() {
        assert_eq!(codec_of_payload(&[0xFF, 0xF1, 0x4C]), Some(Codec::Aac));
        assert_eq!(codec_of_payload(&[0xFF, 0xF9]), Some(Codec::Aac));
        assert_eq!(codec_of_payload(&[0xFF, 0xFD, 0xA4]), Some(Codec::Mpa));
        assert_eq!(codec_of_payload(&[0x56, 0xE1]), Some(Codec::AacLatm));
        assert_eq!(codec_of_payload(&[0x0B, 0x77, 0, 0xFF, 0x34, 0x85]), Some(Codec::Eac3));
        assert_eq!(codec_of_payload(&[0x0B, 0x77, 0, 0, 0, 0x40]), Some(Codec::Ac3));
        assert_eq!(codec_of_payload(&[0x00, 0xFF]), None);
        assert_eq!(codec_of_payload(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(stream_type in any::<u8>(), bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (codec_of_stream(stream_type, Descriptors::new(&bytes)).name(), codec_of_payload(&bytes));
        }
    }
}
