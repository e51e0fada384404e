//! AC-3 and Enhanced AC-3 sync frame headers.
//!
//! Reads one header at the start of the bytes; `bsid` tells the two codings apart. Channels of dependent substreams are
//! not added. Standard: ETSI TS 102 366 §4.3, §4.4.1 and annex E §1.2.

use super::audio::AudioParameters;
use super::bits::{BitReader, Defect};

const SYNC: u32 = 0x0B77;
const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Nominal kilobits a second by `frmsizecod / 2`.
const RATES_KBIT: [u32; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Full-bandwidth channels by `acmod`.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
const BLOCK_SAMPLES: u32 = 256;
const AC3_BLOCKS: u32 = 6;

/// Reads the header of an AC-3 or E-AC-3 frame at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Result<AudioParameters, Defect> {
    let mut reader = BitReader::new(bytes);
    if reader.bits(16)? != SYNC {
        return Err(Defect::NoSync);
    }
    match bytes.get(5).ok_or(Defect::CutShort)? >> 3 {
        bsid @ 0..=10 => ac3(&mut reader, bsid),
        11..=16 => eac3(&mut reader),
        _ => Err(Defect::OutOfRange { field: "bsid" }),
    }
}

fn ac3(reader: &mut BitReader<'_>, bsid: u8) -> Result<AudioParameters, Defect> {
    reader.skip(16)?;
    let rate = reader.bits(2)? as usize;
    let &full_rate = SAMPLE_RATES.get(rate).ok_or(Defect::OutOfRange { field: "fscod" })?;
    let size = reader.bits(6)?;
    let &kbit = RATES_KBIT.get(size as usize / 2).ok_or(Defect::OutOfRange { field: "frmsizecod" })?;
    // Words of 16 bits in 1,536 samples (table 4.13); at 44.1 kHz odd codes are one word longer.
    let words = kbit * 96_000 / full_rate + if rate == 1 { size & 1 } else { 0 };
    reader.skip(5 + 3)?;
    let mode = reader.bits(3)?;
    if mode & 1 != 0 && mode != 1 {
        reader.skip(2)?;
    }
    if mode & 4 != 0 {
        reader.skip(2)?;
    }
    if mode == 2 {
        reader.skip(2)?;
    }
    let effects = reader.flag()?;
    Ok(AudioParameters {
        // Streams of bsid 9 and 10 run at a half and a quarter of the rate (annex of ATSC A/52).
        sample_rate: full_rate >> bsid.saturating_sub(8),
        channels: CHANNELS[mode as usize] + u8::from(effects),
        frame_bytes: words as usize * 2,
        frame_samples: AC3_BLOCKS * BLOCK_SAMPLES,
        codecs: String::from("ac-3"),
    })
}

fn eac3(reader: &mut BitReader<'_>) -> Result<AudioParameters, Defect> {
    const DEPENDENT: u32 = 1;
    const RESERVED: u32 = 3;
    if matches!(reader.bits(2)?, DEPENDENT | RESERVED) {
        return Err(Defect::OutOfRange { field: "strmtyp" });
    }
    reader.skip(3)?;
    let frame_bytes = (reader.bits(11)? as usize + 1) * 2;
    let (code, second) = (reader.bits(2)? as usize, reader.bits(2)?);
    let (sample_rate, blocks) = match SAMPLE_RATES.get(code) {
        Some(rate) => (*rate, [1, 2, 3, 6][second as usize]),
        None => {
            let rate = SAMPLE_RATES.get(second as usize).ok_or(Defect::OutOfRange { field: "fscod2" })?;
            (rate / 2, 6)
        }
    };
    let mode = reader.bits(3)?;
    let effects = reader.flag()?;
    Ok(AudioParameters {
        sample_rate,
        channels: CHANNELS[mode as usize] + u8::from(effects),
        frame_bytes,
        frame_samples: blocks * BLOCK_SAMPLES,
        codecs: String::from("ec-3"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

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
        // 192 kbit/s stereo; 448 kbit/s 3/2 with effects; 44.1 kHz, odd size code.
        check(&[0x0B, 0x77, 0, 0, 0x14, 0x40, 0x40], "ac-3 48000 Hz 2 ch, 768 bytes, 1536");
        check(&[0x0B, 0x77, 0, 0, 0x1E, 0x40, 0xE1, 0x00], "ac-3 48000 Hz 6 ch, 1792 bytes, 1536");
        check(&[0x0B, 0x77, 0, 0, 0x41, 0x40, 0x40], "ac-3 44100 Hz 2 ch, 140 bytes, 1536");
        check(&[0x0B, 0x77, 0x01, 0xFF, 0x34, 0x80], "ec-3 48000 Hz 2 ch, 1024 bytes, 1536");
        check(&[0x0B, 0x77, 0x01, 0xFF, 0xC4, 0x80], "ec-3 24000 Hz 2 ch, 1024 bytes, 1536");
        check(&[0x0B, 0x77, 0x41, 0xFF, 0x34, 0x80], "strmtyp out of range");
        check(&[0x0B, 0x77, 0, 0, 0xC0, 0x40, 0], "fscod out of range");
        check(&[0x0B, 0x77, 0, 0, 0x3F, 0x40, 0], "frmsizecod out of range");
        check(&[0x0B, 0x77, 0, 0, 0x14, 0xFF, 0], "bsid out of range");
        check(&[0x0B, 0x77, 0], "header cut short");
        check(&[0x77, 0x0B, 0], "no sync word");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            for (place, sync) in bytes.iter_mut().zip([0x0B, 0x77]) {
                *place = sync;
            }
            if let Ok(parsed) = parse(&bytes) {
                assert!(parsed.frame_bytes > 0 && (1..=6).contains(&parsed.channels));
                assert!(parsed.sample_rate >= 8_000);
            }
        }
    }
}
