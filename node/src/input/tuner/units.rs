//! Quantities of radio reception, each its own type, as technicians write them: `11538MHz`, `22000kBd`, `-52.3 dBm`.
//!
//! Pure. A bare number is refused, because the kernel, NITs, satellite charts and meters all mean something else by it.

use std::fmt;
use std::str::FromStr;

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No unit behind the number, or not one of this quantity.
    #[error("{text:?} has no unit: write {example}")]
    Unit {
        /// As typed.
        text: String,
        /// What would be right.
        example: &'static str,
    },
    /// Not a number, negative, too large, or finer than one.
    #[error("{text:?} is not a number with a unit: write {example}")]
    Number {
        /// As typed.
        text: String,
        /// What would be right.
        example: &'static str,
    },
}

/// A frequency, whole hertz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hertz(pub u64);

impl Hertz {
    /// So many megahertz.
    #[must_use]
    pub const fn from_mhz(mhz: u64) -> Self {
        Self(mhz * 1_000_000)
    }

    /// Whole kilohertz, rounded to the nearest; saturates at the kernel's 32 bits.
    #[must_use]
    pub fn kilohertz(self) -> u32 {
        u32::try_from((self.0 + 500) / 1000).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, "Hz", &SCALES[1..])
    }
}

impl FromStr for Hertz {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_scaled(text, "Hz", "11538MHz or 11538500kHz").map(Self)
    }
}

/// Symbols a second (baud).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolRate(pub u32);

impl fmt::Display for SymbolRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, u64::from(self.0), "Bd", &SCALES[2..])
    }
}

impl FromStr for SymbolRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let example = "22000kBd or 27.5MBd";
        let baud = parse_scaled(text, "Bd", example)?;
        u32::try_from(baud).map(Self).map_err(|_| UnitError::Number { text: text.to_owned(), example })
    }
}

/// A ratio in thousandths of a decibel; a level when the field says dBm. Between -1,000 and 1,000 dB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decibels(pub i32);

impl Decibels {
    /// Tenths of a decibel, as tables give them.
    #[must_use]
    pub const fn from_tenths(tenths: i32) -> Self {
        Self(tenths * 100)
    }

    /// As a number of decibels.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl std::ops::Sub for Decibels {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// From a number of decibels, as reports have it; what cannot be is the nearest that can.
impl<'de> serde::Deserialize<'de> for Decibels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?.clamp(-1_000.0, 1_000.0);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a million thousandths")]
        Ok(Self((value * 1_000.0).round() as i32))
    }
}

/// One decimal, without a unit: the field says dB or dBm.
impl fmt::Display for Decibels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.as_f64())
    }
}

const SCALES: [(&str, u64); 4] = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1000), ("", 1)];

/// The largest of the units that keeps the number whole. Charts write 11538 MHz, not 11.538 GHz, and 22000 kBd.
fn write_scaled(f: &mut fmt::Formatter<'_>, value: u64, unit: &str, scales: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, scale): &&(&str, u64)| value.is_multiple_of(*scale) && value >= *scale;
    let (prefix, scale) = scales.iter().find(fits).unwrap_or(&SCALES[3]);
    write!(f, "{}{prefix}{unit}", value / scale)
}

fn parse_scaled(text: &str, unit: &str, example: &'static str) -> Result<u64, UnitError> {
    let bad = || UnitError::Number { text: text.to_owned(), example };
    let bare = text.trim();
    let split = bare.len().checked_sub(unit.len()).filter(|at| bare.is_char_boundary(*at));
    let (head, tail) = bare.split_at(split.unwrap_or(bare.len()));
    if !tail.eq_ignore_ascii_case(unit) {
        return Err(UnitError::Unit { text: text.to_owned(), example });
    }
    let (number, scale) = SCALES
        .iter()
        .find_map(|(prefix, scale)| {
            let forms = [(*prefix).to_owned(), prefix.to_uppercase(), prefix.to_lowercase()];
            let number = forms.iter().find_map(|form| head.strip_suffix(form.as_str()))?;
            Some((number.trim_end(), *scale))
        })
        .ok_or_else(bad)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let mut part = 0;
    let mut step = scale;
    for digit in fraction.bytes() {
        if !step.is_multiple_of(10) {
            return if digit == b'0' { continue } else { Err(bad()) };
        }
        step /= 10;
        part += u64::from(digit - b'0') * step;
    }
    whole.checked_mul(scale).and_then(|value| value.checked_add(part)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, want: &str) {
        let got = text.parse::<Hertz>().map_or_else(|error| error.to_string(), |hertz| hertz.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn frequencies_as_charts_write_them() {
        check("11538MHz", "11538MHz");
        check("11538 mhz", "11538MHz");
        check("11.538GHz", "11538MHz");
        check("11538.5MHz", "11538500kHz");
        check("474000000Hz", "474MHz");
        check("474.166667 MHz", "474166667Hz");
        check("0Hz", "0Hz");
        check("11538", "\"11538\" has no unit: write 11538MHz or 11538500kHz");
        check("-1MHz", "\"-1MHz\" is not a number with a unit: write 11538MHz or 11538500kHz");
        check("1.5Hz", "\"1.5Hz\" is not a number with a unit: write 11538MHz or 11538500kHz");
        check(
            "99999999999999999999GHz",
            "\"99999999999999999999GHz\" is not a number with a unit: write 11538MHz or 11538500kHz",
        );
    }

    #[test]
    fn symbol_rates_and_decibels() {
        let rate = |text: &str| text.parse::<SymbolRate>().map(|rate| rate.0).ok();
        assert_eq!([rate("27.5MBd"), rate("22000kbd"), rate("5GBd")], [Some(27_500_000), Some(22_000_000), None]);
        assert_eq!(SymbolRate(27_500_000).to_string(), "27500kBd");
        assert_eq!(Decibels(-34_249).to_string(), "-34.2");
        assert_eq!(Decibels(i32::MIN) - Decibels(1), Decibels(i32::MIN));
        assert_eq!(Hertz(1_612_000_499).kilohertz(), 1_612_000);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in 0..10_u64.pow(12)) {
            prop_assert_eq!(Hertz(value).to_string().parse(), Ok(Hertz(value)));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,30}") {
            let _ = (text.parse::<Hertz>(), text.parse::<SymbolRate>());
        }
    }
}
