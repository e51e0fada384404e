//! AAC frame headers: ADTS, and the little of LATM that names the track.
//!
//! Reads one header at the start of the bytes; does not look for it. SBR that is signalled only inside the payload is
//! not seen, so HE-AAC in ADTS is named by its core, `mp4a.40.2`, which every player accepts and corrects. Standard:
//! ISO/IEC 14496-3 §1.A.2.2 (ADTS), §1.7.3 (LATM), §1.6.2.1 (`AudioSpecificConfig`).

use super::audio::AudioParameters;
use super::bits::{BitReader, Defect};

const FRAME_SAMPLES: u32 = 1_024;
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
const CHANNELS: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 8];
const ADTS_BYTES: usize = 7;
const LOAS_BYTES: usize = 3;
const SBR: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;

/// Reads an ADTS header at the start of `bytes`.
pub(crate) fn parse_adts(bytes: &[u8]) -> Result<AudioParameters, Defect> {
    let mut reader = BitReader::new(bytes);
    let sync = reader.bits(12)?;
    reader.flag()?;
    let layer = reader.bits(2)?;
    if sync != 0xFFF || layer != 0 {
        return Err(Defect::NoSync);
    }
    reader.flag()?;
    let object_type = reader.bits(2)? + 1;
    let sample_rate = sample_rate(reader.bits(4)?)?;
    reader.flag()?;
    let channels = CHANNELS[usize::from(reader.byte(3)?)];
    reader.skip(4)?;
    let frame_bytes = reader.bits(13)? as usize;
    if frame_bytes <= ADTS_BYTES {
        return Err(Defect::OutOfRange { field: "aac_frame_length" });
    }
    reader.skip(11)?;
    let blocks = reader.bits(2)? + 1;
    let codecs = format!("mp4a.40.{object_type}");
    Ok(AudioParameters { sample_rate, channels, frame_bytes, frame_samples: blocks * FRAME_SAMPLES, codecs })
}

/// Reads a LOAS frame with a LATM configuration at the start of `bytes`; frames that repeat the last configuration are
/// [`Defect::OutOfRange`].
pub(crate) fn parse_latm(bytes: &[u8]) -> Result<AudioParameters, Defect> {
    let mut reader = BitReader::new(bytes);
    if reader.bits(11)? != 0x2B7 {
        return Err(Defect::NoSync);
    }
    let frame_bytes = reader.bits(13)? as usize + LOAS_BYTES;
    if reader.flag()? {
        return Err(Defect::OutOfRange { field: "useSameStreamMux" });
    }
    let version = reader.flag()?;
    if version && reader.flag()? {
        return Err(Defect::OutOfRange { field: "audioMuxVersionA" });
    }
    if version {
        latm_value(&mut reader)?;
    }
    reader.flag()?;
    let blocks = reader.bits(6)? + 1;
    reader.skip(4 + 3)?;
    if version {
        latm_value(&mut reader)?;
    }
    let (object_type, sample_rate, channels) = specific_config(&mut reader)?;
    let codecs = format!("mp4a.40.{object_type}");
    let doubled = if object_type == SBR || object_type == PARAMETRIC_STEREO { 2 } else { 1 };
    let frame_samples = blocks * FRAME_SAMPLES * doubled;
    Ok(AudioParameters { sample_rate, channels, frame_bytes, frame_samples, codecs })
}

/// `LatmGetValue`: a byte count, then that many bytes.
fn latm_value(reader: &mut BitReader<'_>) -> Result<(), Defect> {
    let bytes = reader.bits(2)? as usize + 1;
    reader.skip(8 * bytes)
}

/// Object type, the sample rate that is played, and channels.
fn specific_config(reader: &mut BitReader<'_>) -> Result<(u32, u32, u8), Defect> {
    let object_type = object_type(reader)?;
    let rate = specific_rate(reader)?;
    let channels = CHANNELS.get(reader.bits(4)? as usize).copied();
    let channels = channels.ok_or(Defect::OutOfRange { field: "channelConfiguration" })?;
    if object_type != SBR && object_type != PARAMETRIC_STEREO {
        return Ok((object_type, rate, channels));
    }
    // Parametric stereo makes two channels of the one that is coded.
    let channels = if object_type == PARAMETRIC_STEREO { channels.max(2) } else { channels };
    Ok((object_type, specific_rate(reader)?, channels))
}

fn object_type(reader: &mut BitReader<'_>) -> Result<u32, Defect> {
    match reader.bits(5)? {
        0 => Err(Defect::OutOfRange { field: "audioObjectType" }),
        31 => Ok(32 + reader.bits(6)?),
        plain => Ok(plain),
    }
}

fn specific_rate(reader: &mut BitReader<'_>) -> Result<u32, Defect> {
    match reader.bits(4)? {
        15 => match reader.bits(24)? {
            rate @ 1..=96_000 => Ok(rate),
            _ => Err(Defect::OutOfRange { field: "samplingFrequency" }),
        },
        index => sample_rate(index),
    }
}

fn sample_rate(index: u32) -> Result<u32, Defect> {
    SAMPLE_RATES.get(index as usize).copied().ok_or(Defect::OutOfRange { field: "samplingFrequencyIndex" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn check(parsed: Result<AudioParameters, Defect>, want: &str) {
        let got = match parsed {
            Ok(p) => format!(
                "{} {} Hz {} ch, {} bytes, {}",
                p.codecs, p.sample_rate, p.channels, p.frame_bytes, p.frame_samples
            ),
            Err(defect) => defect.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn adts_headers() {
        // Low complexity, index 3, two channels, 0x123 bytes.
        check(parse_adts(&[0xFF, 0xF1, 0x4C, 0x80, 0x24, 0x7F, 0xFC]), "mp4a.40.2 48000 Hz 2 ch, 291 bytes, 1024");
        check(parse_adts(&[0xFF, 0xF1, 0x7C, 0x80, 0x24, 0x7F, 0xFC]), "samplingFrequencyIndex out of range");
        check(parse_adts(&[0xFF, 0xF1, 0x4C, 0x80, 0x00, 0x1F, 0xFC]), "aac_frame_length out of range");
        check(parse_adts(&[0xFF, 0xFD, 0x4C, 0x80, 0x24, 0x7F, 0xFC]), "no sync word");
        check(parse_adts(&[0xFF, 0xF1, 0x4C]), "header cut short");
    }

    #[test]
    fn latm_headers() {
        // Version 0, one sub-frame, one programme, one layer; object type 2, index 3, configuration 2.
        check(parse_latm(&[0x56, 0xE0, 0x40, 0x20, 0x00, 0x11, 0x90]), "mp4a.40.2 48000 Hz 2 ch, 67 bytes, 1024");
        // Object type 5 (SBR) over a core of index 6: plays at index 3.
        check(parse_latm(&[0x56, 0xE0, 0x40, 0x20, 0x00, 0x2B, 0x11, 0x88]), "mp4a.40.5 48000 Hz 2 ch, 67 bytes, 2048");
        check(parse_latm(&[0x56, 0xE0, 0x40, 0x80, 0x00, 0x11, 0x90]), "useSameStreamMux out of range");
        check(parse_latm(&[0x47, 0xE0, 0x40]), "no sync word");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..24), latm in any::<bool>()) {
            for (place, sync) in bytes.iter_mut().zip(if latm { [0x56, 0xE0] } else { [0xFF, 0xF1] }) {
                *place = sync;
            }
            for parsed in [parse_adts(&bytes), parse_latm(&bytes)].into_iter().flatten() {
                assert!((1..=96_000).contains(&parsed.sample_rate) && parsed.channels <= 8);
            }
        }
    }
}
