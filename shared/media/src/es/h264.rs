//! H.264: sequence parameter sets, recovery points and the first slice of an access unit.
//!
//! Reads NAL unit heads that `units` cut; gives [`VideoParameters`] and says how a decoder may enter. Nothing behind the
//! slice type is read. Standard: ISO/IEC 14496-10 (§7.3.1 NAL units, §7.3.2.1 SPS, §7.3.3 slice header, annex D.1.8
//! recovery point, annex E VUI).

use super::access_unit::{Entry, VideoParameters};
use super::bits::{BitReader, Defect, ratio, without_emulation};
use super::units::UNIT_BYTES_MAX;

const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
/// NAL header, `first_mb_in_slice` and `slice_type` are at most 6 bytes; two emulation bytes may stand between.
const SLICE_BYTES: usize = 8;
/// Recovery point messages stand near the front; user data (closed captions, AFD) may go first.
const SEI_BYTES: usize = 512;
const RECOVERY_POINT: u32 = 6;
const SIDE_MAX: u32 = 16_384;

/// Bytes needed of a NAL unit with this header byte.
pub(crate) fn want(header: u8) -> usize {
    match header & 0x1F {
        SLICE | PARTITION_A | IDR => SLICE_BYTES,
        SEI => SEI_BYTES,
        SPS => UNIT_BYTES_MAX,
        PPS => 1,
        _ => 0,
    }
}

/// What stood before the first slice.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    sps: bool,
    pps: bool,
    /// `recovery_frame_cnt` of a recovery point message.
    recovery_frames: Option<u32>,
    parameters: Option<VideoParameters>,
}

impl Progress {
    /// Looks at a NAL unit; `Some` at the first slice.
    pub(crate) fn unit(&mut self, unit: &[u8]) -> Option<Entry> {
        let header = *unit.first()?;
        match header & 0x1F {
            SPS => {
                let parsed = parse_sps(&without_emulation(unit));
                self.sps |= parsed.is_ok();
                self.parameters = parsed.ok().or(self.parameters.take());
                None
            }
            PPS => {
                self.pps = true;
                None
            }
            SEI => {
                self.recovery_frames = recovery_frames(&without_emulation(&unit[1..])).or(self.recovery_frames);
                None
            }
            IDR => Some(if self.sps && self.pps { Entry::Independent } else { Entry::None }),
            SLICE | PARTITION_A => Some(self.slice(&without_emulation(&unit[1..]))),
            _ => None,
        }
    }

    pub(crate) fn parameters(&self) -> Option<VideoParameters> {
        self.parameters.clone()
    }

    /// A picture that is no IDR: enterable with its parameter sets, when it is intra coded or a recovery point with
    /// nothing to wait for. A gradual refresh (`recovery_frame_cnt` above 0) shows a damaged picture first.
    fn slice(&self, slice: &[u8]) -> Entry {
        let mut reader = BitReader::new(slice);
        let intra = reader.ue().and_then(|_| reader.ue()).is_ok_and(|slice_type| matches!(slice_type, 2 | 4 | 7 | 9));
        let enterable = self.recovery_frames.map_or(intra, |frames| frames == 0);
        if enterable && self.sps && self.pps { Entry::Open } else { Entry::None }
    }
}

/// `recovery_frame_cnt` of the first recovery point message in a SEI RBSP (§7.3.2.3.1).
fn recovery_frames(mut rbsp: &[u8]) -> Option<u32> {
    loop {
        let (kind, rest) = sei_number(rbsp)?;
        let (bytes, rest) = sei_number(rest)?;
        if kind == RECOVERY_POINT {
            return BitReader::new(rest).ue().ok();
        }
        rbsp = rest.get(usize::try_from(bytes).ok()?..)?;
    }
}

/// A message type or size: a run of 0xFF, then the remainder.
fn sei_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    let (&last, rest) = bytes[full..].split_first()?;
    Some((u32::try_from(full * 255).ok()? + u32::from(last), rest))
}

/// Reads a sequence parameter set: a whole NAL unit, its header byte first, emulation prevention removed. A set that
/// ends early inside the VUI gives what was read, without a frame rate.
pub(crate) fn parse_sps(unit: &[u8]) -> Result<VideoParameters, Defect> {
    let mut reader = BitReader::new(unit);
    reader.skip(8)?;
    let (profile, constraints, level) = (reader.byte(8)?, reader.byte(8)?, reader.byte(8)?);
    reader.ue_max("seq_parameter_set_id", 31)?;
    let chroma = if has_chroma_format(profile) { chroma_and_scaling(&mut reader)? } else { Chroma::DEFAULT };
    reader.ue_max("log2_max_frame_num_minus4", 12)?;
    picture_order(&mut reader)?;
    reader.ue()?;
    reader.flag()?;
    let width_mbs = reader.ue_max("pic_width_in_mbs_minus1", SIDE_MAX / 16 - 1)? + 1;
    let map_units = reader.ue_max("pic_height_in_map_units_minus1", SIDE_MAX / 16 - 1)? + 1;
    let frames_only = reader.flag()?;
    if !frames_only {
        reader.flag()?;
    }
    reader.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    let (across, down) = cropping(&mut reader)?;
    let cut = |side: u32, crop: u64, unit: u32| {
        let cropped = u64::from(side).saturating_sub(crop.saturating_mul(u64::from(unit)));
        u32::try_from(cropped).ok().filter(|side| *side > 0).ok_or(Defect::OutOfRange { field: "frame_crop_offset" })
    };
    let width = cut(width_mbs * 16, across, chroma.width_unit)?;
    let height = cut(map_units * 16 * fields, down, chroma.height_unit * fields)?;
    if height > SIDE_MAX {
        return Err(Defect::OutOfRange { field: "pic_height_in_map_units_minus1" });
    }
    Ok(VideoParameters {
        width,
        height,
        frame_rate: frame_rate(&mut reader).unwrap_or(None),
        interlaced: !frames_only,
        codecs: format!("avc1.{profile:02X}{constraints:02X}{level:02X}"),
    })
}

/// Luma samples per cropping unit, across and down in a frame (table 6-1).
struct Chroma {
    width_unit: u32,
    height_unit: u32,
}

impl Chroma {
    /// 4:2:0, what every profile without the field means.
    const DEFAULT: Self = Self { width_unit: 2, height_unit: 2 };
}

fn has_chroma_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn chroma_and_scaling(reader: &mut BitReader<'_>) -> Result<Chroma, Defect> {
    let format = reader.ue_max("chroma_format_idc", 3)?;
    let separate = format == 3 && reader.flag()?;
    reader.ue_max("bit_depth_luma_minus8", 6)?;
    reader.ue_max("bit_depth_chroma_minus8", 6)?;
    reader.flag()?;
    if reader.flag()? {
        for list in 0..if format == 3 { 12 } else { 8 } {
            if reader.flag()? {
                scaling_list(reader, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    let (width_unit, height_unit) = match format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    debug_assert!(!separate || width_unit == 1, "separate planes are 4:4:4");
    Ok(Chroma { width_unit, height_unit })
}

fn scaling_list(reader: &mut BitReader<'_>, size: usize) -> Result<(), Defect> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(reader.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

/// `pic_order_cnt_type` and what follows from it.
fn picture_order(reader: &mut BitReader<'_>) -> Result<(), Defect> {
    match reader.ue_max("pic_order_cnt_type", 2)? {
        0 => reader.ue_max("log2_max_pic_order_cnt_lsb_minus4", 12).map(drop),
        1 => {
            reader.flag()?;
            reader.se()?;
            reader.se()?;
            let cycle = reader.ue_max("num_ref_frames_in_pic_order_cnt_cycle", 255)?;
            (0..cycle).try_for_each(|_| reader.se().map(drop))
        }
        _ => Ok(()),
    }
}

/// Cropping units taken from the width and from the height.
fn cropping(reader: &mut BitReader<'_>) -> Result<(u64, u64), Defect> {
    if !reader.flag()? {
        return Ok((0, 0));
    }
    let mut pair = || Ok(u64::from(reader.ue()?) + u64::from(reader.ue()?));
    Ok((pair()?, pair()?))
}

/// Frames a second of the VUI. Its tick is a field's, so a frame is two of them (annex E.2.1).
fn frame_rate(reader: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, Defect> {
    if !reader.flag()? {
        return Ok(None);
    }
    skip_picture_description(reader)?;
    if !reader.flag()? {
        return Ok(None);
    }
    let (units, scale) = (reader.bits(32)?, reader.bits(32)?);
    Ok(ratio(u64::from(scale), 2 * u64::from(units)))
}

/// Aspect ratio, overscan, video signal type and chroma location, which H.264 and HEVC write alike.
pub(crate) fn skip_picture_description(reader: &mut BitReader<'_>) -> Result<(), Defect> {
    const EXTENDED_SAR: u32 = 255;
    if reader.flag()? && reader.bits(8)? == EXTENDED_SAR {
        reader.skip(32)?;
    }
    if reader.flag()? {
        reader.flag()?;
    }
    if reader.flag()? {
        reader.skip(4)?;
        if reader.flag()? {
            reader.skip(24)?;
        }
    }
    if reader.flag()? {
        reader.ue()?;
        reader.ue()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::bits::Bits;
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn check(sps: Bits, want: &str) {
        let got = match parse_sps(&sps.bytes()) {
            Ok(p) => format!("{}x{} {:?} {} {}", p.width, p.height, p.frame_rate, p.interlaced, p.codecs),
            Err(defect) => defect.to_string(),
        };
        assert_eq!(got, want);
    }

    /// A Main profile set up to the size; order count type 2.
    fn main_profile() -> Bits {
        Bits::default().u(8, 0x67).u(24, 0x4D_40_1E).ue(0).ue(0).ue(2).ue(1).u(1, 0)
    }

    #[test]
    fn sizes_and_rates() {
        // 1920x1080 in fields: 68 map units of two rows, four lines cut away twice in pairs of fields.
        let fields = main_profile().ue(119).ue(33).u(1, 0).u(2, 1).u(1, 1).ue(0).ue(0).ue(0).ue(2);
        check(fields.u(1, 0), "1920x1080 None true avc1.4D401E");
        let frames = main_profile().ue(44).ue(35).u(1, 1).u(1, 0).u(1, 0);
        let timed = frames.u(1, 1).u(1, 1).u(8, 255).u(32, 0).u(3, 0).u(1, 1).u(32, 1_001).u(32, 60_000);
        check(timed, "720x576 Some((30000, 1001)) false avc1.4D401E");
    }

    #[test]
    fn defects() {
        check(Bits::default().u(8, 0x67).u(16, 0x4D40), "header cut short");
        check(main_profile().ue(5_000), "pic_width_in_mbs_minus1 out of range");
        check(main_profile().ue(0).ue(0).u(2, 0b11).u(1, 1).ue(9).ue(0).ue(0).ue(0), "frame_crop_offset out of range");
    }

    fn enter(units: &[&[u8]]) -> Option<Entry> {
        let mut progress = Progress::default();
        units.iter().find_map(|unit| progress.unit(unit))
    }

    #[test]
    fn entries() {
        let sps = &main_profile().ue(44).ue(35).u(1, 1).u(3, 0).u(1, 0).bytes()[..];
        let (pps, aud): (&[u8], &[u8]) = (&[0x68, 0xCE], &[0x09, 0x10]);
        // first_mb 0, then slice_type 7 (I) or 5 (P).
        let (intra, predicted): (&[u8], &[u8]) = (&[0x41, 0b1000_1000, 0], &[0x41, 0b1001_1000, 0]);
        let (now, later, other): (&[u8], &[u8], &[u8]) =
            (&[6, 6, 1, 0xC4], &[6, 6, 1, 0x2C], &[6, 4, 1, 0, 6, 1, 0xC4]);
        for (units, want) in [
            (vec![aud, sps, pps, &[0x65, 0x88][..]], Some(Entry::Independent)),
            (vec![aud, &[0x65, 0x88]], Some(Entry::None)),
            (vec![sps, pps, intra], Some(Entry::Open)),
            (vec![sps, intra], Some(Entry::None)),
            (vec![pps, intra], Some(Entry::None)),
            (vec![sps, pps, predicted], Some(Entry::None)),
            (vec![sps, pps, now, predicted], Some(Entry::Open)),
            (vec![sps, pps, other, predicted], Some(Entry::Open)),
            (vec![sps, pps, later, intra], Some(Entry::None)),
            (vec![now, predicted], Some(Entry::None)),
            (vec![&[0x67, 0x4D], pps, intra], Some(Entry::None)),
            (vec![aud, sps, pps, now], None),
        ] {
            assert_eq!(enter(&units), want, "{units:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), profile in prop::sample::select(vec![66_u8, 77, 100, 244])) {
            let mut unit = vec![0x67, profile];
            unit.extend(body);
            if let Ok(parsed) = parse_sps(&unit) {
                assert!((1..=SIDE_MAX).contains(&parsed.width) && (1..=SIDE_MAX).contains(&parsed.height));
            }
            for header in [0x41, 0x65, 0x06, 0x67] {
                unit[0] = header;
                let _ = enter(&[&unit]);
            }
        }
    }
}
