//! HEVC: which NAL unit opens an access unit, and its parameter sets.
//!
//! The NAL unit type alone says whether a decoder may enter, so no slice header is read. The sets are followed only as far as the timing.
//! Standard: ISO/IEC 23008-2 §7.3.1.2 and table 7-1.

use super::access_unit::{Entry, VideoParameters};
use super::bits::{BitReader, Defect, ratio, without_emulation};
use super::h264::skip_picture_description;
use super::units::UNIT_BYTES_MAX;

const VCL_LAST: u8 = 31;
const BLA_FIRST: u8 = 16;
const IDR_LAST: u8 = 20;
const CRA: u8 = 21;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const SIDE_MAX: u32 = 16_384;

fn kind(header: u8) -> u8 {
    header >> 1 & 0x3F
}

/// Bytes needed of a NAL unit with this first header byte.
pub(crate) fn want(header: u8) -> usize {
    match kind(header) {
        0..=VCL_LAST | PPS => 1,
        VPS | SPS => UNIT_BYTES_MAX,
        _ => 0,
    }
}

/// What stood before the first slice.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    vps: bool,
    pps: bool,
    vps_rate: Option<(u32, u32)>,
    sps: Option<Sps>,
}

impl Progress {
    /// Looks at a NAL unit; `Some` at the first slice.
    pub(crate) fn unit(&mut self, unit: &[u8]) -> Option<Entry> {
        let &header = unit.first()?;
        // Sets of enhancement layers (nuh_layer_id above 0) do not describe the picture a television shows.
        let base = header & 1 == 0 && unit.get(1).is_none_or(|byte| byte >> 3 == 0);
        match kind(header) {
            VPS | SPS if !base => None,
            VPS => {
                self.vps = true;
                self.vps_rate = parse_vps_rate(&without_emulation(unit)).ok().flatten();
                None
            }
            SPS => {
                self.sps = parse_sps(&without_emulation(unit)).ok();
                None
            }
            PPS => {
                self.pps = true;
                None
            }
            kind @ 0..=VCL_LAST => Some(self.entry(kind)),
            _ => None,
        }
    }

    /// The SPS with the frame rate of its VUI, else of the VPS.
    pub(crate) fn parameters(&self) -> Option<VideoParameters> {
        let sps = self.sps.as_ref()?;
        let fields = sps.fields;
        // With field_seq_flag a picture, and so a tick, is a field (annex E.3.1).
        let frame_rate = sps
            .rate
            .or(self.vps_rate)
            .and_then(|(over, under)| ratio(u64::from(over), u64::from(under) * if fields { 2 } else { 1 }));
        Some(VideoParameters {
            width: sps.width,
            height: if fields { sps.height * 2 } else { sps.height },
            frame_rate,
            interlaced: fields,
            codecs: sps.codecs.clone(),
        })
    }

    /// A BLA or IDR picture refers to nothing before it, and what could (RASL pictures) is not shown; a CRA picture is
    /// an intra picture whose leading pictures may be lost.
    fn entry(&self, kind: u8) -> Entry {
        match kind {
            _ if !(self.vps && self.pps && self.sps.is_some()) => Entry::None,
            BLA_FIRST..=IDR_LAST => Entry::Independent,
            CRA => Entry::Open,
            _ => Entry::None,
        }
    }
}

/// What is used of a sequence parameter set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sps {
    width: u32,
    height: u32,
    fields: bool,
    rate: Option<(u32, u32)>,
    codecs: String,
}

/// Reads a sequence parameter set: a whole NAL unit, emulation prevention removed (§7.3.2.2). A set that cannot be
/// followed to its VUI gives what was read, without a frame rate.
fn parse_sps(unit: &[u8]) -> Result<Sps, Defect> {
    let mut reader = BitReader::new(unit);
    reader.skip(16 + 4)?;
    let sub_layers = reader.byte(3)?;
    if sub_layers > 6 {
        return Err(Defect::OutOfRange { field: "sps_max_sub_layers_minus1" });
    }
    reader.flag()?;
    let codecs = profile_tier_level(&mut reader, sub_layers)?;
    reader.ue_max("sps_seq_parameter_set_id", 15)?;
    let chroma = reader.ue_max("chroma_format_idc", 3)?;
    if chroma == 3 {
        reader.flag()?;
    }
    let width = reader.ue_max("pic_width_in_luma_samples", SIDE_MAX)?;
    let height = reader.ue_max("pic_height_in_luma_samples", SIDE_MAX)?;
    let (across, down) = if reader.flag()? {
        let mut pair = || Ok::<_, Defect>(u64::from(reader.ue()?) + u64::from(reader.ue()?));
        (pair()?, pair()?)
    } else {
        (0, 0)
    };
    let cut = |side: u32, crop: u64, unit: u64| {
        let cropped = u64::from(side).saturating_sub(crop * unit);
        u32::try_from(cropped).ok().filter(|side| *side > 0).ok_or(Defect::OutOfRange { field: "conf_win_offset" })
    };
    let (width_unit, height_unit) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let (width, height) = (cut(width, across, width_unit)?, cut(height, down, height_unit)?);
    let (fields, rate) =
        coding_tools(&mut reader, sub_layers).and_then(|()| timing(&mut reader)).unwrap_or((false, None));
    Ok(Sps { width, height, fields, rate, codecs })
}

/// Reads the general profile, tier and level into `hvc1.…` and passes over those of the sub-layers (§7.3.3). The string
/// is ISO/IEC 14496-15 annex E.3: profile, compatibility flags in reverse bit order, tier and level, then constraint
/// bytes without trailing zeros.
fn profile_tier_level(reader: &mut BitReader<'_>, sub_layers: u8) -> Result<String, Defect> {
    let space = ["", "A", "B", "C"][usize::from(reader.byte(2)?)];
    let tier = if reader.flag()? { 'H' } else { 'L' };
    let profile = reader.bits(5)?;
    let compatible = reader.bits(32)?.reverse_bits();
    let mut constraints = [0; 6];
    for byte in &mut constraints {
        *byte = reader.byte(8)?;
    }
    let level = reader.bits(8)?;
    skip_sub_layers(reader, sub_layers)?;
    let kept = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints[..kept].iter().map(|byte| format!(".{byte:X}")).collect();
    Ok(format!("hvc1.{space}{profile}.{compatible:X}.{tier}{level}{constraints}"))
}

fn skip_sub_layers(reader: &mut BitReader<'_>, sub_layers: u8) -> Result<(), Defect> {
    let mut present = [(false, false); 8];
    for layer in present.iter_mut().take(sub_layers.into()) {
        *layer = (reader.flag()?, reader.flag()?);
    }
    if sub_layers > 0 {
        reader.skip(2 * usize::from(8 - sub_layers))?;
    }
    for (profile, level) in present {
        reader.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Ok(())
}

/// Passes over everything between the conformance window and the VUI flag.
fn coding_tools(reader: &mut BitReader<'_>, sub_layers: u8) -> Result<(), Defect> {
    reader.ue()?;
    reader.ue()?;
    let order_bits = reader.ue_max("log2_max_pic_order_cnt_lsb_minus4", 12)? + 4;
    skip_ordering(reader, sub_layers)?;
    for _ in 0..6 {
        reader.ue()?;
    }
    if reader.flag()? && reader.flag()? {
        skip_scaling_lists(reader)?;
    }
    reader.skip(2)?;
    if reader.flag()? {
        reader.skip(8)?;
        reader.ue()?;
        reader.ue()?;
        reader.flag()?;
    }
    skip_reference_sets(reader)?;
    if reader.flag()? {
        let pictures = reader.ue_max("num_long_term_ref_pics_sps", 32)?;
        for _ in 0..pictures {
            reader.skip(order_bits as usize + 1)?;
        }
    }
    reader.skip(2)
}

/// `sub_layer_ordering_info_present_flag` and three codes for each layer it announces.
fn skip_ordering(reader: &mut BitReader<'_>, sub_layers: u8) -> Result<(), Defect> {
    let layers = if reader.flag()? { sub_layers + 1 } else { 1 };
    for _ in 0..3 * layers {
        reader.ue()?;
    }
    Ok(())
}

/// `scaling_list_data` (§7.3.4).
fn skip_scaling_lists(reader: &mut BitReader<'_>) -> Result<(), Defect> {
    for size in 0..4_u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !reader.flag()? {
                reader.ue()?;
                continue;
            }
            if size > 1 {
                reader.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                reader.se()?;
            }
        }
    }
    Ok(())
}

/// `st_ref_pic_set` for each set (§7.3.7). A set predicted from the one before needs that one's number of pictures.
fn skip_reference_sets(reader: &mut BitReader<'_>) -> Result<(), Defect> {
    const PICTURES_MAX: u32 = 16;
    let sets = reader.ue_max("num_short_term_ref_pic_sets", 64)?;
    let mut pictures = 0;
    for set in 0..sets {
        if set > 0 && reader.flag()? {
            reader.flag()?;
            reader.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = reader.flag()?;
                kept += u32::from(used || reader.flag()?);
            }
            pictures = kept;
        } else {
            let before = reader.ue_max("num_negative_pics", PICTURES_MAX)?;
            let after = reader.ue_max("num_positive_pics", PICTURES_MAX)?;
            pictures = before + after;
            for _ in 0..pictures {
                reader.ue()?;
                reader.flag()?;
            }
        }
    }
    Ok(())
}

/// `field_seq_flag` and the picture rate of the VUI (annex E.2.1).
fn timing(reader: &mut BitReader<'_>) -> Result<(bool, Option<(u32, u32)>), Defect> {
    if !reader.flag()? {
        return Ok((false, None));
    }
    skip_picture_description(reader)?;
    reader.flag()?;
    let fields = reader.flag()?;
    reader.flag()?;
    let rate = default_window_and_rate(reader).unwrap_or(None);
    Ok((fields, rate))
}

fn default_window_and_rate(reader: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, Defect> {
    if reader.flag()? {
        for _ in 0..4 {
            reader.ue()?;
        }
    }
    picture_rate(reader)
}

/// A timing flag, then ticks of a picture and ticks a second.
fn picture_rate(reader: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, Defect> {
    if !reader.flag()? {
        return Ok(None);
    }
    let (units, scale) = (reader.bits(32)?, reader.bits(32)?);
    Ok(ratio(u64::from(scale), u64::from(units)))
}

/// The picture rate of a video parameter set (§7.3.2.1), a whole NAL unit, emulation prevention removed.
fn parse_vps_rate(unit: &[u8]) -> Result<Option<(u32, u32)>, Defect> {
    let mut reader = BitReader::new(unit);
    reader.skip(16 + 4 + 2 + 6)?;
    let sub_layers = reader.byte(3)?;
    if sub_layers > 6 {
        return Err(Defect::OutOfRange { field: "vps_max_sub_layers_minus1" });
    }
    reader.skip(1 + 16)?;
    profile_tier_level(&mut reader, sub_layers)?;
    skip_ordering(&mut reader, sub_layers)?;
    let layer_bits = reader.bits(6)? as usize + 1;
    let layer_sets = reader.ue_max("vps_num_layer_sets_minus1", 1_023)?;
    reader.skip(layer_sets as usize * layer_bits)?;
    picture_rate(&mut reader)
}

#[cfg(test)]
mod tests {
    use super::super::bits::Bits;
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    /// A set of a 1280x720 Main 10 service at 50 pictures a second, from the air.
    const SPS_UNIT: &[u8] = &[
        0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0xB0, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x99,
        0xA0, 0x02, 0x80, 0x80, 0x2D, 0x13, 0x64, 0x09, 0x21, 0xAE, 0x42, 0x13, 0x55, 0x58, 0x43, 0xFF, 0xFF, 0xFF,
        0xFF, 0xFF, 0xFF, 0xFF, 0xF9, 0x18, 0x82, 0x8D, 0x08, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x91,
        0x88, 0x28, 0xD0, 0x87, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xF9, 0x6B, 0xC0, 0x5A, 0x72, 0x80, 0x00,
        0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19, 0x6F, 0x96, 0x38, 0x6A,
    ];

    fn enter(units: &[&[u8]]) -> Option<Entry> {
        let mut progress = Progress::default();
        units.iter().find_map(|unit| progress.unit(unit))
    }

    #[test]
    fn entries() {
        let (vps, pps): (&[u8], &[u8]) = (&[0x40, 1], &[0x44, 1]);
        for (kind, want) in [
            (16, Entry::Independent),
            (17, Entry::Independent),
            (19, Entry::Independent),
            (20, Entry::Independent),
            (21, Entry::Open),
            (22, Entry::None),
            (1, Entry::None),
        ] {
            let slice: &[u8] = &[kind << 1, 1];
            assert_eq!(enter(&[vps, SPS_UNIT, pps, slice]), Some(want), "type {kind}");
            assert_eq!(enter(&[vps, pps, slice]), Some(Entry::None), "type {kind} without its sets");
        }
        assert_eq!(enter(&[vps, SPS_UNIT, pps]), None);
        assert_eq!(enter(&[vps, &[0x42, 0x09], pps, &[19 << 1, 1]]), Some(Entry::None), "a set of another layer");
    }

    #[test]
    fn reference_sets_predicted_from_the_one_before() {
        // Three sets: 2 + 1 pictures; predicted, keeping 2 of 4 candidates; predicted from those 2, 3 candidates.
        let first = Bits::default().ue(3).ue(2).ue(1).ue(0).u(1, 1).ue(0).u(1, 1).ue(3).u(1, 0);
        let second = first.u(1, 1).u(1, 0).ue(4).u(1, 1).u(2, 0b00).u(2, 0b01).u(2, 0b00);
        let third = second.u(1, 1).u(1, 0).ue(4).u(1, 1).u(1, 1).u(1, 1);
        let bytes = third.u(32, 0xCAFE_F00D).bytes();
        let mut reader = BitReader::new(&bytes);
        skip_reference_sets(&mut reader).unwrap();
        assert_eq!(reader.bits(32), Ok(0xCAFE_F00D));
    }

    #[test]
    fn a_set_cut_short_in_its_tail_still_gives_the_size() {
        let whole = parse_sps(&without_emulation(SPS_UNIT)).unwrap();
        assert_eq!((whole.width, whole.height, whole.rate), (1280, 720, Some((50, 1))));
        let cut = parse_sps(&without_emulation(&SPS_UNIT[..SPS_UNIT.len() / 2])).unwrap();
        assert_eq!((cut.width, cut.height, cut.rate, cut.codecs), (1280, 720, None, whole.codecs));
        assert_eq!(parse_sps(&SPS_UNIT[..12]), Err(Defect::CutShort));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for header in [0x40, 0x42, 0x44] {
                let _ = enter(&[&[&[header, 1], &body[..]].concat()]);
            }
        }

        #[test]
        fn damaged_sets_stay_in_range(at in 0_usize..SPS_UNIT.len().max(1), flip in any::<u8>()) {
            let mut unit = SPS_UNIT.to_vec();
            unit[at] ^= flip;
            if let Ok(sps) = parse_sps(&without_emulation(&unit)) {
                assert!((1..=SIDE_MAX).contains(&sps.width) && (1..=SIDE_MAX).contains(&sps.height));
            }
        }
    }
}
