//! Low-noise block converters: from a satellite's frequency to the one on the cable.
//!
//! Pure. Written as `universal`, `wideband`, one oscillator (`10750MHz`), or `low/high/switch` (`9750MHz/10600MHz/11700MHz`).
//! An oscillator above the band (C band, 5150 MHz) mirrors the spectrum, which demodulators undo by themselves.

use std::fmt;
use std::str::FromStr;

use super::units::{Hertz, UnitError};

/// What hangs at the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lnb {
    /// Oscillators 9.75 and 10.6 GHz, high band from 11.7 GHz by tone.
    Universal,
    /// One oscillator at 10.41 GHz, 290 to 2340 MHz on the cable, one polarisation a connector.
    Wideband,
    /// One oscillator.
    Single(Hertz),
    /// Two oscillators of the user's own.
    Dual {
        /// Without tone.
        low: Hertz,
        /// With tone.
        high: Hertz,
        /// High band from here on.
        switch: Hertz,
    },
}

/// A frequency as it comes down the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Intermediate frequency.
    pub intermediate: Hertz,
    /// Whether the 22 kHz tone chooses the oscillator that gives it.
    pub high_band: bool,
}

/// Why a frequency does not come down the cable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{frequency} gives {intermediate} behind LNB {lnb}, outside the 200MHz to 3000MHz a cable carries: is it the right LNB?"
)]
pub struct LnbError {
    frequency: Hertz,
    intermediate: Hertz,
    lnb: Lnb,
}

/// Why a text is no LNB.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LnbTextError {
    /// Not a form we know.
    #[error("LNB {0:?} is not known: write universal, wideband, 10750MHz, or 9750MHz/10600MHz/11700MHz")]
    Form(String),
    /// An oscillator without a unit.
    #[error("LNB oscillator")]
    Oscillator(#[source] UnitError),
}

impl Lnb {
    /// Where `frequency` is on the cable.
    ///
    /// # Errors
    /// [`LnbError`] when no cable carries the result.
    pub fn convert(self, frequency: Hertz) -> Result<Converted, LnbError> {
        let universal = (Hertz::from_mhz(9_750), Hertz::from_mhz(10_600), Hertz::from_mhz(11_700));
        let (oscillator, high_band) = match self {
            Self::Universal if frequency >= universal.2 => (universal.1, true),
            Self::Universal => (universal.0, false),
            Self::Wideband => (Hertz::from_mhz(10_410), false),
            Self::Single(oscillator) => (oscillator, false),
            Self::Dual { high, switch, .. } if frequency >= switch => (high, true),
            Self::Dual { low, .. } => (low, false),
        };
        let intermediate = Hertz(frequency.0.abs_diff(oscillator.0));
        if !(Hertz::from_mhz(200)..=Hertz::from_mhz(3_000)).contains(&intermediate) {
            return Err(LnbError { frequency, intermediate, lnb: self });
        }
        Ok(Converted { intermediate, high_band })
    }
}

impl fmt::Display for Lnb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Universal => f.write_str("universal"),
            Self::Wideband => f.write_str("wideband"),
            Self::Single(oscillator) => oscillator.fmt(f),
            Self::Dual { low, high, switch } => write!(f, "{low}/{high}/{switch}"),
        }
    }
}

impl FromStr for Lnb {
    type Err = LnbTextError;

    fn from_str(text: &str) -> Result<Self, LnbTextError> {
        let read = |part: &str| part.parse().map_err(LnbTextError::Oscillator);
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["universal"] => Ok(Self::Universal),
            ["wideband"] => Ok(Self::Wideband),
            [one] if one.starts_with(|c: char| c.is_ascii_digit()) => read(one).map(Self::Single),
            [low, high, switch] => Ok(Self::Dual { low: read(low)?, high: read(high)?, switch: read(switch)? }),
            _ => Err(LnbTextError::Form(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lnb: &str, mhz: u64, want: &str) {
        let lnb: Lnb = lnb.parse().unwrap();
        assert_eq!(lnb.to_string().parse(), Ok(lnb));
        let got = match lnb.convert(Hertz::from_mhz(mhz)) {
            Ok(Converted { intermediate, high_band }) => {
                format!("{intermediate} {}", if high_band { "tone" } else { "no tone" })
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn frequencies_on_the_cable() {
        check("universal", 11_362, "1612MHz no tone");
        check("universal", 11_699, "1949MHz no tone");
        check("universal", 11_700, "1100MHz tone");
        check("universal", 12_750, "2150MHz tone");
        check("wideband", 10_700, "290MHz no tone");
        check("wideband", 12_750, "2340MHz no tone");
        check("10750MHz", 11_914, "1164MHz no tone");
        check("5150MHz", 3_700, "1450MHz no tone");
        check("9750MHz/10600MHz/11700MHz", 12_000, "1400MHz tone");
        check(
            "universal",
            3_700,
            "3700MHz gives 6050MHz behind LNB universal, outside the 200MHz to 3000MHz a cable carries: is it the right LNB?",
        );
    }

    #[test]
    fn texts_that_are_no_lnb() {
        let words = |text: &str| text.parse::<Lnb>().unwrap_err().to_string();
        assert!(words("quad").contains("write universal, wideband"));
        assert!(words("9750MHz/10600MHz").contains("is not known"));
        assert_eq!(words("10750"), "LNB oscillator");
    }
}
