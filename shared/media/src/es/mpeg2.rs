//! MPEG-2 video: sequence header and extension, groups of pictures, the first picture's type.
//!
//! Reads header units that `units` cut (the first byte is the start code value). MPEG-1 streams, which have no sequence
//! extension, are read as progressive. Standard: ISO/IEC 13818-2 §6.2.2.1, §6.2.2.3, §6.2.2.6, §6.2.3.

use super::access_unit::{Entry, VideoParameters};
use super::bits::{BitReader, Defect, ratio};

const PICTURE: u8 = 0x00;
const SLICE_FIRST: u8 = 0x01;
const SLICE_LAST: u8 = 0xAF;
const SEQUENCE: u8 = 0xB3;
const EXTENSION: u8 = 0xB5;
const GROUP: u8 = 0xB8;
const SEQUENCE_EXTENSION: u8 = 1;
const INTRA: u32 = 1;

/// Bytes needed of a unit with this start code value, itself included.
pub(crate) fn want(code: u8) -> usize {
    match code {
        PICTURE => 3,
        SLICE_FIRST..=SLICE_LAST => 1,
        SEQUENCE => 9,
        EXTENSION => 7,
        GROUP => 5,
        _ => 0,
    }
}

/// What stood before the first picture.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    sequence: Option<Sequence>,
    extension: Option<SequenceExtension>,
    closed_group: bool,
}

impl Progress {
    /// Looks at a header; `Some` at the first picture, or at a slice whose picture header was in an earlier PES packet.
    pub(crate) fn unit(&mut self, unit: &[u8]) -> Option<Entry> {
        let (&code, body) = unit.split_first()?;
        match code {
            PICTURE => return Some(self.picture(body).unwrap_or(Entry::None)),
            SLICE_FIRST..=SLICE_LAST => return Some(Entry::None),
            SEQUENCE => self.sequence = Sequence::read(body).ok(),
            EXTENSION => self.extension = SequenceExtension::read(body).ok().flatten().or(self.extension.take()),
            // time_code is 25 bits, then closed_gop and broken_link.
            GROUP => self.closed_group = body.get(3).is_some_and(|byte| byte & 0x40 != 0),
            _ => {}
        }
        None
    }

    pub(crate) fn parameters(&self) -> Option<VideoParameters> {
        parameters(self.sequence.as_ref()?, self.extension.as_ref())
    }

    fn picture(&self, body: &[u8]) -> Result<Entry, Defect> {
        let mut reader = BitReader::new(body);
        reader.skip(10)?;
        let intra = reader.bits(3)? == INTRA;
        Ok(match (intra && self.sequence.is_some(), self.closed_group) {
            (false, _) => Entry::None,
            (true, false) => Entry::Open,
            (true, true) => Entry::Independent,
        })
    }
}

#[derive(Debug, Clone)]
struct Sequence {
    width: u32,
    height: u32,
    frame_rate_code: u32,
}

impl Sequence {
    fn read(body: &[u8]) -> Result<Self, Defect> {
        let mut reader = BitReader::new(body);
        let (width, height) = (reader.bits(12)?, reader.bits(12)?);
        reader.skip(4)?;
        let frame_rate_code = reader.bits(4)?;
        reader.skip(18)?;
        if !reader.flag()? {
            return Err(Defect::OutOfRange { field: "marker_bit" });
        }
        Ok(Self { width, height, frame_rate_code })
    }
}

#[derive(Debug, Clone)]
struct SequenceExtension {
    profile_and_level: u8,
    progressive: bool,
    width_high: u32,
    height_high: u32,
    rate_n: u32,
    rate_d: u32,
}

impl SequenceExtension {
    /// `None` for another kind of extension.
    fn read(body: &[u8]) -> Result<Option<Self>, Defect> {
        let mut reader = BitReader::new(body);
        if reader.byte(4)? != SEQUENCE_EXTENSION {
            return Ok(None);
        }
        let profile_and_level = reader.byte(8)?;
        let progressive = reader.flag()?;
        reader.skip(2)?;
        let (width_high, height_high) = (reader.bits(2)?, reader.bits(2)?);
        // bit_rate_extension, marker_bit, vbv_buffer_size_extension, low_delay.
        reader.skip(12 + 1 + 8 + 1)?;
        let (rate_n, rate_d) = (reader.bits(2)?, reader.bits(5)?);
        Ok(Some(Self { profile_and_level, progressive, width_high, height_high, rate_n, rate_d }))
    }
}

/// Puts the two headers together; `None` when the size is zero.
fn parameters(sequence: &Sequence, extension: Option<&SequenceExtension>) -> Option<VideoParameters> {
    let high = |part: fn(&SequenceExtension) -> u32| extension.map_or(0, part) << 12;
    let width = sequence.width | high(|extension| extension.width_high);
    let height = sequence.height | high(|extension| extension.height_high);
    let frame_rate = frame_rate(sequence.frame_rate_code).and_then(|(over, under)| {
        let (n, d) = extension.map_or((0, 0), |extension| (extension.rate_n, extension.rate_d));
        ratio(u64::from(over) * u64::from(n + 1), u64::from(under) * u64::from(d + 1))
    });
    (width > 0 && height > 0).then(|| VideoParameters {
        width,
        height,
        frame_rate,
        interlaced: extension.is_some_and(|extension| !extension.progressive),
        codecs: format!("mp4v.{:02X}", object_type(extension)),
    })
}

/// Frames a second of `frame_rate_code` (table 6-4).
fn frame_rate(code: u32) -> Option<(u32, u32)> {
    Some(match code {
        1 => (24_000, 1_001),
        2 => (24, 1),
        3 => (25, 1),
        4 => (30_000, 1_001),
        5 => (30, 1),
        6 => (50, 1),
        7 => (60_000, 1_001),
        8 => (60, 1),
        _ => return None,
    })
}

/// The MPEG-4 registration authority's object type of a profile (`mp4v.` in RFC 6381 §3.3).
fn object_type(extension: Option<&SequenceExtension>) -> u8 {
    let Some(extension) = extension else {
        return 0x6A;
    };
    match (extension.profile_and_level & 0x80 != 0, extension.profile_and_level >> 4 & 0x07) {
        (true, _) => 0x65,
        (false, 5) => 0x60,
        (false, 3) => 0x62,
        (false, 2) => 0x63,
        (false, 1) => 0x64,
        (false, _) => 0x61,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    const SEQUENCE_PAL: [u8; 9] = [SEQUENCE, 0x2D, 0x02, 0x40, 0x33, 0x24, 0x9F, 0x23, 0x80];
    const MAIN_PROFILE: [u8; 7] = [EXTENSION, 0x14, 0x82, 0x00, 0x01, 0x00, 0x00];
    const OPEN: [u8; 5] = [GROUP, 0, 8, 0, 0];
    const CLOSED: [u8; 5] = [GROUP, 0, 8, 0, 0x40];
    const I: [u8; 3] = [PICTURE, 0x00, 0x0F];
    const P: [u8; 3] = [PICTURE, 0x00, 0x17];

    fn check(units: &[&[u8]], want: &str) {
        let mut progress = Progress::default();
        let entry = units.iter().find_map(|unit| progress.unit(unit));
        let size = progress.parameters().map(|p| {
            format!("{}x{} {:?} {} {}", p.width, p.height, p.frame_rate, if p.interlaced { "i" } else { "p" }, p.codecs)
        });
        assert_eq!(format!("{entry:?} {size:?}"), want);
    }

    #[test]
    fn entries() {
        let pal = r#"Some("720x576 Some((25, 1)) i mp4v.61")"#;
        check(&[&SEQUENCE_PAL, &MAIN_PROFILE, &CLOSED, &I], &format!("Some(Independent) {pal}"));
        check(&[&SEQUENCE_PAL, &MAIN_PROFILE, &OPEN, &I], &format!("Some(Open) {pal}"));
        check(&[&SEQUENCE_PAL, &MAIN_PROFILE, &I], &format!("Some(Open) {pal}"));
        check(&[&SEQUENCE_PAL, &MAIN_PROFILE, &CLOSED, &P], &format!("Some(None) {pal}"));
        check(&[&CLOSED, &I], "Some(None) None");
        check(&[&[1_u8]], "Some(None) None");
        check(&[&SEQUENCE_PAL, &CLOSED], r#"None Some("720x576 Some((25, 1)) p mp4v.6A")"#);
    }

    #[test]
    fn extension_carries_high_bits_and_rate() {
        // 4:2:2 profile, progressive, 4096 wider, 8192 higher, rate times 2 over 5.
        let extension = [EXTENSION, 0x18, 0x5A, 0xC0, 0x01, 0x00, 0x24];
        let want = r#"None Some("4816x8768 Some((10, 1)) p mp4v.65")"#;
        check(&[&SEQUENCE_PAL, &extension], want);
        // A display extension does not take its place.
        check(&[&SEQUENCE_PAL, &extension, &[EXTENSION, 0x23, 5, 5, 5, 0, 0]], want);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..10), 0..8)) {
            let mut progress = Progress::default();
            for (unit, code) in units.into_iter().zip([SEQUENCE, EXTENSION, GROUP, PICTURE].into_iter().cycle()) {
                let _ = progress.unit(&[&[code], &unit[..]].concat());
            }
            if let Some(parsed) = progress.parameters() {
                assert!(parsed.width < 1 << 14 && parsed.height < 1 << 14);
            }
        }
    }
}
