//! Decides from the elementary stream whether a PES packet begins with a random access point.
//!
//! Bytes of one PES packet in, in pieces of any size; a [`Verdict`] out at the first picture or slice header. The
//! adaptation field's `random_access_indicator` is not looked at: broadcasters leave it out, and some set it on every I
//! slice without parameter sets. A point counts only when a decoder that saw nothing before could start there, which
//! means the parameter sets stand in the same access unit, as ETSI TS 101 154 asks of every service. The packager drives
//! it; `h264`, `hevc` and `mpeg2` hold the rules.

use super::{h264, hevc, mpeg2, units::UnitScan};

/// The video codings that are packaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// ISO/IEC 13818-2 (and 11172-2, its subset); stream types 0x01 and 0x02.
    Mpeg2,
    /// ISO/IEC 14496-10; stream type 0x1B.
    H264,
    /// ISO/IEC 23008-2; stream type 0x24.
    Hevc,
}

/// What a stream's parameter sets say about its pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoParameters {
    /// Luma samples per line that are shown (cropping applied), 1..=16,384.
    pub width: u32,
    /// Lines of a frame that are shown (both fields when interlaced), 1..=16,384.
    pub height: u32,
    /// Frames a second as numerator and denominator in lowest terms; `None` where the stream does not say.
    pub frame_rate: Option<(u32, u32)>,
    /// The stream may hold fields: `frame_mbs_only_flag` or `progressive_sequence` is 0. Encoders for television also
    /// say so of film, whose frames are whole.
    pub interlaced: bool,
    /// The CODECS element of RFC 6381: `avc1.PPCCLL`, `hvc1.…` (ISO/IEC 14496-15 annex E), `mp4v.61` for MPEG-2 Main
    /// profile (`mp4v.` and the MPEG-4 registration authority's object type).
    pub codecs: String,
}

/// What was found out about the start of a PES packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Decoding can start here: parameter sets, then an intra picture or a recovery point with nothing to wait for.
    pub random_access: bool,
    /// Besides, nothing behind it in the stream refers to what is before: IDR, BLA, or a closed group of MPEG-2 pictures.
    pub independent: bool,
    /// The parameters that stand before the first picture, where they could be read.
    pub parameters: Option<VideoParameters>,
}

impl Verdict {
    /// How a decoder may enter here.
    pub(crate) fn entry(&self) -> Entry {
        match (self.random_access, self.independent) {
            (true, true) => Entry::Independent,
            (true, false) => Entry::Open,
            (false, _) => Entry::None,
        }
    }
}

/// What a codec says of the units before and at the first picture.
#[derive(Debug, Clone)]
enum Progress {
    Mpeg2(mpeg2::Progress),
    H264(h264::Progress),
    Hevc(hevc::Progress),
}

impl Progress {
    fn new(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::Mpeg2 => Self::Mpeg2(mpeg2::Progress::default()),
            VideoCodec::H264 => Self::H264(h264::Progress::default()),
            VideoCodec::Hevc => Self::Hevc(hevc::Progress::default()),
        }
    }

    /// Looks at a unit; `Some` at the first picture.
    fn unit(&mut self, unit: &[u8]) -> Option<Entry> {
        match self {
            Self::Mpeg2(progress) => progress.unit(unit),
            Self::H264(progress) => progress.unit(unit),
            Self::Hevc(progress) => progress.unit(unit),
        }
    }

    fn parameters(&self) -> Option<VideoParameters> {
        match self {
            Self::Mpeg2(progress) => progress.parameters(),
            Self::H264(progress) => progress.parameters(),
            Self::Hevc(progress) => progress.parameters(),
        }
    }
}

/// How a decoder may enter at a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It may not.
    None,
    /// It may, but pictures that lead this one may be lost.
    Open,
    /// It may, and nothing is lost.
    Independent,
}

/// The scan of one video stream; holds less than 3 kB.
///
/// ```
/// use headend_media::es::{AccessUnitScan, VideoCodec};
/// let mut scan = AccessUnitScan::new(VideoCodec::Hevc);
/// scan.begin();
/// scan.push(&[0, 0, 0]);
/// assert!(scan.verdict().is_none());
/// scan.push(&[1, 0x02, 0x01, 0xD0]); // A trailing picture, no parameter sets.
/// assert!(!scan.verdict().unwrap().random_access);
/// ```
#[derive(Debug, Clone)]
pub struct AccessUnitScan {
    codec: VideoCodec,
    units: UnitScan,
    progress: Progress,
    verdict: Option<Verdict>,
}

impl AccessUnitScan {
    /// A scan of a stream of this coding, as if [`Self::begin`] had been called.
    #[must_use]
    pub fn new(codec: VideoCodec) -> Self {
        Self { codec, units: UnitScan::default(), progress: Progress::new(codec), verdict: None }
    }

    /// A PES packet starts; what was known of the one before is forgotten.
    pub fn begin(&mut self) {
        self.units.restart();
        self.progress = Progress::new(self.codec);
        self.verdict = None;
    }

    /// Takes the next elementary stream bytes of this PES packet. After the verdict it returns at once.
    pub fn push(&mut self, piece: &[u8]) {
        if self.verdict.is_some() {
            return;
        }
        let (progress, mut entry) = (&mut self.progress, None);
        self.units.push(piece, want(self.codec), &mut |unit| {
            entry = progress.unit(unit);
            entry.is_some()
        });
        self.settle(entry);
    }

    /// What is known by now; `None` while no picture or slice header was seen.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// The PES packet is over: the verdict, which is "no random access point" if no picture came.
    pub fn end(&mut self) -> Verdict {
        if self.verdict.is_none() {
            let (progress, mut entry) = (&mut self.progress, None);
            self.units.finish(&mut |unit| {
                entry = progress.unit(unit);
                true
            });
            self.settle(entry.or(Some(Entry::None)));
        }
        self.verdict.clone().expect("settled just above")
    }

    fn settle(&mut self, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        self.verdict = Some(Verdict {
            random_access: entry != Entry::None,
            independent: entry == Entry::Independent,
            parameters: self.progress.parameters(),
        });
    }
}

fn want(codec: VideoCodec) -> fn(u8) -> usize {
    match codec {
        VideoCodec::Mpeg2 => mpeg2::want,
        VideoCodec::H264 => h264::want,
        VideoCodec::Hevc => hevc::want,
    }
}
