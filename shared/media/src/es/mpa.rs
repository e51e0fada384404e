//! MPEG audio frame headers, layers I to III.
//!
//! Reads one header at the start of the bytes; does not look for it. Frames of free format, which no broadcaster sends,
//! are refused. Layer II is named `mp4a.40.33` and layer III `mp4a.40.34`, after their object types in ISO/IEC 14496-3
//! table 1.17. Standard: ISO/IEC 11172-3 §2.4.2.3, 13818-3 §2.4.2.3 (half rates), and the customary quarter rates.

use super::audio::AudioParameters;
use super::bits::{BitReader, Defect};

const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];
/// Kilobits a second by `bitrate_index`, for full-rate layers I, II and III, then half-rate layer I, then II and III.
const RATES_KBIT: [[u32; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const SINGLE_CHANNEL: u32 = 3;

/// Reads a header at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Result<AudioParameters, Defect> {
    let mut reader = BitReader::new(bytes);
    let (sync, version, layer) = (reader.bits(11)?, reader.bits(2)?, reader.bits(2)?);
    if sync != 0x7FF || version == 1 || layer == 0 {
        return Err(Defect::NoSync);
    }
    reader.flag()?;
    let (rate_index, sample_index) = (reader.bits(4)? as usize, reader.bits(2)? as usize);
    let padding = u32::from(reader.flag()?);
    reader.flag()?;
    let mono = reader.bits(2)? == SINGLE_CHANNEL;
    // Version 3 is MPEG-1, 2 is the half rates of MPEG-2, 0 the quarter rates.
    let halvings = [2, 0, 1, 0][version as usize];
    let full = halvings == 0;
    let layer = 4 - layer;
    let table = match (full, layer) {
        (true, layer) => layer as usize - 1,
        (false, 1) => 3,
        (false, _) => 4,
    };
    let kbit = RATES_KBIT[table].get(rate_index).copied().filter(|kbit| *kbit > 0);
    let kbit = kbit.ok_or(Defect::OutOfRange { field: "bitrate_index" })?;
    let rate = SAMPLE_RATES.get(sample_index).ok_or(Defect::OutOfRange { field: "sampling_frequency" })? >> halvings;
    let (frame_samples, slot_bytes) = match (layer, full) {
        (1, _) => (384, 4),
        (3, false) => (576, 1),
        _ => (1_152, 1),
    };
    let slots = frame_samples / 8 / slot_bytes * kbit * 1_000 / rate + padding;
    Ok(AudioParameters {
        sample_rate: rate,
        channels: if mono { 1 } else { 2 },
        frame_bytes: (slots * slot_bytes) as usize,
        frame_samples,
        codecs: format!("mp4a.40.{}", 31 + layer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn check(bytes: &[u8], want: &str) {
        let got = match parse(bytes) {
            Ok(p) => format!(
                "{} {} Hz {} ch, {} bytes, {}",
                p.codecs, p.sample_rate, p.channels, p.frame_bytes, p.frame_samples
            ),
            Err(defect) => defect.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn headers() {
        check(&[0xFF, 0xFD, 0xA4, 0x00], "mp4a.40.33 48000 Hz 2 ch, 576 bytes, 1152");
        check(&[0xFF, 0xFD, 0x84, 0xC0], "mp4a.40.33 48000 Hz 1 ch, 384 bytes, 1152");
        check(&[0xFF, 0xFB, 0x92, 0x00], "mp4a.40.34 44100 Hz 2 ch, 418 bytes, 1152");
        check(&[0xFF, 0xF3, 0x84, 0x00], "mp4a.40.34 24000 Hz 2 ch, 192 bytes, 576");
        check(&[0xFF, 0xFF, 0x14, 0x00], "mp4a.40.32 48000 Hz 2 ch, 32 bytes, 384");
        check(&[0xFF, 0xFD, 0x04, 0x00], "bitrate_index out of range");
        check(&[0xFF, 0xFD, 0xAC, 0x00], "sampling_frequency out of range");
        check(&[0xFF, 0xF1, 0xA4, 0x00], "no sync word");
        check(&[0xFF, 0xFD], "header cut short");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in any::<[u8; 3]>()) {
            let [flags, rates, mode] = tail;
            if let Ok(parsed) = parse(&[0xFF, flags, rates, mode]) {
                assert!(parsed.frame_bytes >= 12 && parsed.frame_bytes <= 5_760);
            }
        }
    }
}
