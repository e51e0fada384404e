//! Signal figures: what drivers report, turned into what a technician can compare, or into words that say why not.
//!
//! Pure: [`Reading`]s (the eight `DTV_STAT_*` properties, lock bits, modulation and code rate as received) in,
//! [`Figures`] out. Scales are honoured: decibels are decibels, a relative scale is a percentage of who knows what,
//! and is called so. Counters run on by themselves, wrap and restart with each tune, so bit error ratio and blocks are
//! differences between readings. Drivers give rubbish without lock (strength of minus four million dB was seen), so
//! without lock only a sane level counts. Standard: `fe_property_parameters.rst` and `dtv-stats.rst` of the kernel.

use headend_dvb_sys::frontend::Stat;
use headend_dvb_sys::types as sys;
use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use super::modcod;
use super::tune::{modulation_of, rate_of};
use super::units::Decibels;

/// What was read from a driver at one moment; empty lists where it gives nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `fe_status` bits.
    pub status: u32,
    /// `DTV_STAT_SIGNAL_STRENGTH`.
    pub strength: Vec<Stat>,
    /// `DTV_STAT_CNR`.
    pub quality: Vec<Stat>,
    /// `DTV_STAT_PRE_ERROR_BIT_COUNT` and `…_TOTAL_…`: before the outer code.
    pub bits_before: (Vec<Stat>, Vec<Stat>),
    /// `DTV_STAT_POST_ERROR_BIT_COUNT` and `…_TOTAL_…`: behind the inner code.
    pub bits_behind: (Vec<Stat>, Vec<Stat>),
    /// `DTV_STAT_ERROR_BLOCK_COUNT` and `…_TOTAL_…`: what no code could repair.
    pub blocks: (Vec<Stat>, Vec<Stat>),
    /// `DTV_MODULATION` as received.
    pub modulation: Option<u32>,
    /// `DTV_INNER_FEC`, or `DTV_CODE_RATE_HP`, as received.
    pub code_rate: Option<u32>,
    /// API 3 strength and quality, 0 to 65535, when the driver has nothing newer.
    pub legacy: Option<(u16, u16)>,
}

impl Reading {
    /// Whether the demodulator says it is locked.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.status & sys::FE_HAS_LOCK != 0
    }
}

/// One measured value and the scale it came on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scale", content = "value", rename_all = "lowercase")]
pub enum Level {
    /// dBm for strength, dB for quality.
    Decibel(#[serde(serialize_with = "as_decibels")] Decibels),
    /// Per cent of a scale only the driver knows.
    Relative(u8),
}

/// What is known of the signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Whether the demodulator is locked.
    pub locked: bool,
    /// Level at the input: dBm, or relative.
    pub strength: Option<Level>,
    /// Carrier to noise: dB, or relative.
    pub quality: Option<Level>,
    /// Quality above what the modulation and code rate received now need, dB.
    #[serde(serialize_with = "as_optional_decibels")]
    pub margin: Option<Decibels>,
    /// Bit error ratio before the outer code since the reading before; 0 is a measurement.
    pub ber_before: Option<f64>,
    /// Bit error ratio behind the inner code since the reading before.
    pub ber_behind: Option<f64>,
    /// Blocks that could not be repaired, since the reading before.
    pub lost_blocks: Option<u64>,
    /// Modulation and code rate as received: `8psk 3/4`.
    pub modcod: Option<String>,
    /// What a technician should know about these figures.
    pub remarks: Vec<Remark>,
}

/// Why a figure is missing or not to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remark {
    /// The demodulator is not locked.
    NoLock,
    /// Neither strength nor quality in decibels.
    NoDecibels,
    /// Figures of API 3, whose unit nobody knows.
    Legacy,
    /// A value outside of what can be was dropped.
    Rubbish,
    /// No modulation and code rate, so no margin.
    NoModcod,
}

impl Remark {
    /// As a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NoLock => "no lock: figures without lock mean little",
            Self::NoDecibels => "the driver gives no dB: percentages compare this tuner with itself only",
            Self::Legacy => "the driver has figures of the old interface only, their unit is unknown",
            Self::Rubbish => "the driver gave a value that cannot be; it was dropped",
            Self::NoModcod => "the driver does not tell modulation and code rate, so there is no margin",
        }
    }
}

/// Turns readings into figures; remembers the counters of the reading before.
#[derive(Debug, Default)]
pub struct Meter {
    before: Option<Counters>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    before: Option<(u64, u64)>,
    behind: Option<(u64, u64)>,
    blocks: Option<u64>,
}

/// dBm that a tuner input can see.
const STRENGTH: std::ops::RangeInclusive<i64> = -120_000..=20_000;
/// dB that a demodulator can tell.
const QUALITY: std::ops::RangeInclusive<i64> = -20_000..=60_000;

impl Meter {
    /// A tune happened: counters start again.
    pub fn retuned(&mut self) {
        self.before = None;
    }

    /// Figures of a reading; `delivery` is what the frontend was tuned to.
    pub fn read(&mut self, reading: &Reading, delivery: &Delivery) -> Figures {
        let locked = reading.locked();
        let mut remarks = vec![];
        let mut strength = level(&reading.strength, &STRENGTH, &mut remarks);
        let mut quality = level(&reading.quality, &QUALITY, &mut remarks);
        if let (None, None, Some((old_strength, old_quality))) = (strength, quality, reading.legacy) {
            (strength, quality) = (Some(percent(old_strength.into())), Some(percent(old_quality.into())));
            remarks.push(Remark::Legacy);
        }
        if !locked {
            remarks.insert(0, Remark::NoLock);
            quality = None;
        }
        let in_decibels = [strength, quality].iter().any(|level| matches!(level, Some(Level::Decibel(_))));
        if locked && !in_decibels {
            remarks.push(Remark::NoDecibels);
        }
        let received = reading.modulation.and_then(modulation_of).zip(reading.code_rate.and_then(rate_of));
        let modcod = received.filter(|_| locked);
        if locked && modcod.is_none() {
            remarks.push(Remark::NoModcod);
        }
        let margin = modcod
            .and_then(|(modulation, rate)| modcod::threshold(delivery, modulation, rate))
            .zip(quality)
            .and_then(|(needed, quality)| if let Level::Decibel(had) = quality { Some(had - needed) } else { None });
        let (ber_before, ber_behind, lost_blocks) = self.differences(reading, locked);
        Figures {
            locked,
            strength,
            quality,
            margin,
            ber_before,
            ber_behind,
            lost_blocks,
            modcod: modcod.map(|(modulation, (top, bottom))| format!("{modulation} {top}/{bottom}")),
            remarks,
        }
    }

    fn differences(&mut self, reading: &Reading, locked: bool) -> (Option<f64>, Option<f64>, Option<u64>) {
        let pair = |(errors, total): &(Vec<Stat>, Vec<Stat>)| counter(errors).zip(counter(total));
        let now = Counters {
            before: pair(&reading.bits_before),
            behind: pair(&reading.bits_behind),
            blocks: counter(&reading.blocks.0),
        };
        let Some(old) = self.before.replace(now).filter(|_| locked) else {
            if !locked {
                self.before = None;
            }
            return (None, None, None);
        };
        let blocks = now.blocks.zip(old.blocks).and_then(|(now, old)| now.checked_sub(old));
        (ratio(now.before, old.before), ratio(now.behind, old.behind), blocks)
    }
}

/// Errors over bits of the interval; nothing when a counter went back or no bit went by.
fn ratio(now: Option<(u64, u64)>, old: Option<(u64, u64)>) -> Option<f64> {
    let ((errors, total), (old_errors, old_total)) = now.zip(old)?;
    let (errors, total) = (errors.checked_sub(old_errors)?, total.checked_sub(old_total)?);
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts, shown with two digits")]
    (total > 0 && errors <= total).then(|| errors as f64 / total as f64)
}

/// The value for all carriers, which comes first.
fn level(stats: &[Stat], sane: &std::ops::RangeInclusive<i64>, remarks: &mut Vec<Remark>) -> Option<Level> {
    let stat = stats.first()?;
    match u32::from(stat.scale) {
        sys::FE_SCALE_DECIBEL => match i32::try_from(stat.value) {
            Ok(value) if sane.contains(&stat.value) => Some(Level::Decibel(Decibels(value))),
            _ => {
                if !remarks.contains(&Remark::Rubbish) {
                    remarks.push(Remark::Rubbish);
                }
                None
            }
        },
        sys::FE_SCALE_RELATIVE => Some(percent(stat.unsigned())),
        _ => None,
    }
}

/// Of 65535; more is full scale.
fn percent(value: u64) -> Level {
    Level::Relative(u8::try_from(value.min(65_535) * 100 / 65_535).unwrap_or(100))
}

fn counter(stats: &[Stat]) -> Option<u64> {
    let stat = stats.first().filter(|stat| u32::from(stat.scale) == sys::FE_SCALE_COUNTER)?;
    Some(stat.unsigned())
}

fn as_decibels<S: serde::Serializer>(value: &Decibels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_f64())
}

#[expect(clippy::ref_option, reason = "serde hands the field by reference")]
fn as_optional_decibels<S: serde::Serializer>(value: &Option<Decibels>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_some(&value.as_f64()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::tuner::mux::tests::feed;

    fn s2() -> Delivery {
        feed("dvb://a?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22MBd").unwrap().delivery
    }

    fn decibel(value: i64) -> Vec<Stat> {
        vec![Stat { scale: 1, value }]
    }

    fn count(value: i64) -> Vec<Stat> {
        vec![Stat { scale: 3, value }]
    }

    fn good() -> Reading {
        Reading {
            status: 0x1F,
            strength: decibel(-53_200),
            quality: decibel(14_900),
            bits_before: (count(100), count(1_000_000)),
            blocks: (count(7), count(1000)),
            modulation: Some(sys::PSK_8),
            code_rate: Some(sys::FEC_3_4),
            ..Reading::default()
        }
    }

    #[test]
    fn decibels_margin_and_differences() {
        let mut meter = Meter::default();
        let first = meter.read(&good(), &s2());
        assert_eq!(first.strength, Some(Level::Decibel(Decibels(-53_200))));
        // 14.9 dB where 8PSK 3/4 needs 7.91 dB.
        assert_eq!((first.margin, first.modcod.as_deref()), (Some(Decibels(6_990)), Some("8psk 3/4")));
        assert_eq!((first.ber_before, first.lost_blocks, first.remarks), (None, None, vec![]));
        let later = Reading { bits_before: (count(150), count(2_000_000)), blocks: (count(9), count(2000)), ..good() };
        let second = meter.read(&later, &s2());
        assert_eq!((second.ber_before, second.lost_blocks), (Some(5e-5), Some(2)));
        assert_eq!(second.ber_behind, None);
        // A counter that went back was started again.
        let third = meter.read(&good(), &s2());
        assert_eq!((third.ber_before, third.lost_blocks), (None, None));
    }

    #[test]
    fn a_relative_scale_is_no_decibel() {
        let relative = |value| vec![Stat { scale: 2, value }];
        let reading = Reading { strength: relative(0x8000), quality: relative(i64::MAX), ..good() };
        let figures = Meter::default().read(&reading, &s2());
        assert_eq!((figures.strength, figures.quality), (Some(Level::Relative(50)), Some(Level::Relative(100))));
        assert_eq!((figures.margin, figures.remarks), (None, vec![Remark::NoDecibels]));
    }

    #[test]
    fn old_drivers_have_old_figures() {
        let reading = Reading { status: 0x1F, legacy: Some((65_535, 0)), ..Reading::default() };
        let figures = Meter::default().read(&reading, &s2());
        assert_eq!(figures.quality, Some(Level::Relative(0)));
        assert_eq!(figures.remarks, [Remark::Legacy, Remark::NoDecibels, Remark::NoModcod]);
    }

    #[test]
    fn rubbish_without_lock_is_dropped() {
        let reading = Reading { status: 0, strength: decibel(-4_000_000_000), ..good() };
        let figures = Meter::default().read(&reading, &s2());
        assert_eq!((figures.locked, figures.strength, figures.quality, figures.margin), (false, None, None, None));
        assert_eq!(figures.remarks, [Remark::NoLock, Remark::Rubbish]);
        assert!(figures.remarks[1].words().contains("cannot be"));
    }

    proptest! {
        #[test]
        fn any_reading_gives_sane_figures(
            status in any::<u32>(), stats in proptest::collection::vec((any::<u8>(), any::<i64>()), 12),
            (modulation, code_rate) in any::<(Option<u32>, Option<u32>)>(), legacy in any::<Option<(u16, u16)>>(),
        ) {
            let at = |index: usize| vec![Stat { scale: stats[index].0 % 5, value: stats[index].1 }];
            let reading = |from: usize| Reading {
                status, strength: at(from), quality: at(from + 1), bits_before: (at(from + 2), at(from + 3)),
                bits_behind: (at(from + 4), at(from + 5)), blocks: (at(from), at(from + 1)), modulation, code_rate, legacy,
            };
            let mut meter = Meter::default();
            meter.read(&reading(0), &s2());
            let figures = meter.read(&reading(6), &s2());
            if let Some(Level::Decibel(level)) = figures.strength {
                prop_assert!((-120_000..=20_000).contains(&level.0));
            }
            for ber in [figures.ber_before, figures.ber_behind].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&ber));
            }
            prop_assert!(serde_json::to_string(&figures).is_ok());
        }
    }
}
