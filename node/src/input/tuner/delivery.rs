//! How a multiplex is sent: DVB-S, DVB-S2, DVB-T and DVB-T2, as checked values.
//!
//! Pure. A [`Delivery`] holds what a tuner must be told and nothing about dishes, cables or cards; values out of what
//! the standards allow cannot be made. What a receiver finds by itself (OFDM mode, guard interval, code rates of T and
//! T2) is left to it, as every current demodulator does. Standards: EN 300 421 (S), EN 302 307-1 (S2), EN 300 744 (T),
//! EN 302 755 (T2). The text form is that of [`super::mux`].

use std::fmt;

use super::units::{Hertz, SymbolRate};

/// How one multiplex is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// DVB-S or DVB-S2.
    Satellite(Satellite),
    /// DVB-T or DVB-T2.
    Terrestrial(Terrestrial),
}

/// A transponder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Satellite {
    /// Downlink frequency, 2 to 40 GHz.
    pub frequency: Hertz,
    /// Which wave.
    pub polarisation: Polarisation,
    /// 0.1 to 80 MBd.
    pub symbol_rate: SymbolRate,
    /// Code rate; a demodulator of DVB-S2 reads it from the frame header anyway.
    pub fec: Fec,
    /// S or S2.
    pub system: SatelliteSystem,
}

/// DVB-S, or DVB-S2 with what only it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SatelliteSystem {
    /// EN 300 421: QPSK, roll-off 0.35.
    S,
    /// EN 302 307-1.
    S2 {
        /// QPSK when not told otherwise.
        modulation: Modulation,
        /// Automatic when not told otherwise.
        rolloff: Rolloff,
        /// `input_stream_identifier` of a multi-stream carrier, 0 to 255.
        stream: Option<u8>,
        /// Physical layer scrambling other than the default gold code 0.
        scrambling: Option<Scrambling>,
    },
}

/// A terrestrial multiplex; OFDM parameters are found by the demodulator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Terrestrial {
    /// Centre frequency, 40 MHz to 2 GHz.
    pub frequency: Hertz,
    /// Raster.
    pub bandwidth: Bandwidth,
    /// T or T2.
    pub system: TerrestrialSystem,
}

/// DVB-T, or DVB-T2 with what only it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TerrestrialSystem {
    /// EN 300 744.
    T,
    /// EN 302 755.
    T2 {
        /// Physical layer pipe, 0 to 255; the first when not told otherwise.
        plp: Option<u8>,
    },
}

/// Which wave of a satellite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Polarisation {
    /// Linear, 18 V.
    Horizontal,
    /// Linear, 13 V.
    Vertical,
    /// Circular, 18 V.
    Left,
    /// Circular, 13 V.
    Right,
}

impl Polarisation {
    /// Whether it is asked for with 18 V and the high bit of DiSEqC and Unicable (horizontal, left).
    #[must_use]
    pub fn is_high(self) -> bool {
        matches!(self, Self::Horizontal | Self::Left)
    }
}

/// Inner code rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fec {
    /// Found by the demodulator.
    #[default]
    Auto,
    /// This one: numerator and denominator, one of [`Fec::RATES`].
    Rate(u8, u8),
}

impl Fec {
    /// Rates of S and S2 that the kernel's interface can name.
    pub const RATES: [(u8, u8); 10] = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (7, 8), (8, 9), (3, 5), (9, 10), (2, 5)];
}

/// Constellation, of all systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Modulation {
    /// 2 bits a symbol.
    #[default]
    Qpsk,
    /// 3 bits, S2.
    Psk8,
    /// 4 bits, S2.
    Apsk16,
    /// 5 bits, S2.
    Apsk32,
    /// 4 bits, T and T2.
    Qam16,
    /// 6 bits, T and T2.
    Qam64,
    /// 8 bits, T2.
    Qam256,
}

/// Roll-off of DVB-S2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rolloff {
    /// Found by the demodulator.
    #[default]
    Auto,
    /// 0.35.
    R35,
    /// 0.25.
    R25,
    /// 0.20.
    R20,
}

/// Bandwidth of a terrestrial channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bandwidth {
    /// 1.712 MHz, T2.
    Mhz1_7,
    /// 5 MHz.
    Mhz5,
    /// 6 MHz.
    Mhz6,
    /// 7 MHz.
    Mhz7,
    /// 8 MHz.
    #[default]
    Mhz8,
    /// 10 MHz, T2.
    Mhz10,
}

impl Bandwidth {
    /// As the kernel wants it.
    #[must_use]
    pub fn hertz(self) -> Hertz {
        match self {
            Self::Mhz1_7 => Hertz(1_712_000),
            Self::Mhz5 => Hertz::from_mhz(5),
            Self::Mhz6 => Hertz::from_mhz(6),
            Self::Mhz7 => Hertz::from_mhz(7),
            Self::Mhz8 => Hertz::from_mhz(8),
            Self::Mhz10 => Hertz::from_mhz(10),
        }
    }
}

/// Physical layer scrambling of DVB-S2 (EN 302 307-1 §5.5.4), 18 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scrambling {
    /// Gold code number, 0 to [`Scrambling::GOLD_MAX`].
    Gold(u32),
    /// Initial state of the x register, 1 to 0x3FFFF, as satellite charts often give it.
    Root(u32),
}

impl Scrambling {
    /// 2^18 - 2.
    pub const GOLD_MAX: u32 = 0x3_FFFE;
    const STATES: u32 = 0x3_FFFF;

    /// A root or gold code from outside; `None` out of range.
    #[must_use]
    pub fn root(state: u32) -> Option<Self> {
        (1..=Self::STATES).contains(&state).then_some(Self::Root(state))
    }

    /// The same for a gold code.
    #[must_use]
    pub fn gold(number: u32) -> Option<Self> {
        (number <= Self::GOLD_MAX).then_some(Self::Gold(number))
    }

    /// The gold code number that the kernel takes: how often the x register, started at 1, is shifted to reach the root.
    /// Its polynomial 1 + x^7 + x^18 is primitive, so every root is reached.
    #[must_use]
    pub fn gold_code(self) -> u32 {
        let root = match self {
            Self::Gold(number) => return number,
            Self::Root(root) => root,
        };
        let (mut state, mut number) = (1_u32, 0);
        while state != root && number < Self::GOLD_MAX {
            state = state >> 1 | ((state ^ state >> 7) & 1) << 17;
            number += 1;
        }
        number
    }
}

/// Why values do not make a delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not where satellites or transmitters are.
    #[error("frequency {frequency} is outside {low} to {high}")]
    Frequency {
        /// As given.
        frequency: Hertz,
        /// Lowest.
        low: Hertz,
        /// Highest.
        high: Hertz,
    },
    /// Outside what demodulators can.
    #[error("symbol rate {0} is outside 100kBd to 80MBd")]
    SymbolRate(SymbolRate),
    /// Not a rate of this system.
    #[error("code rate {0} does not exist in {1}")]
    Fec(Fec, &'static str),
    /// Not a constellation of this system.
    #[error("modulation {0} does not exist in DVB-S2")]
    Modulation(Modulation),
    /// Only T2 has it.
    #[error("bandwidth {0} does not exist in DVB-T")]
    Bandwidth(Bandwidth),
}

impl Delivery {
    /// The same, when its values fit each other and the standard.
    ///
    /// # Errors
    /// [`DeliveryError`] names the value and the range.
    pub fn checked(self) -> Result<Self, DeliveryError> {
        match &self {
            Self::Satellite(satellite) => satellite.check()?,
            Self::Terrestrial(terrestrial) => terrestrial.check()?,
        }
        Ok(self)
    }

    /// `DVB-S2` and so on.
    #[must_use]
    pub fn system(&self) -> &'static str {
        match self {
            Self::Satellite(Satellite { system: SatelliteSystem::S, .. }) => "DVB-S",
            Self::Satellite(_) => "DVB-S2",
            Self::Terrestrial(Terrestrial { system: TerrestrialSystem::T, .. }) => "DVB-T",
            Self::Terrestrial(_) => "DVB-T2",
        }
    }

    /// Where it is sent: downlink or channel centre.
    #[must_use]
    pub fn frequency(&self) -> Hertz {
        match self {
            Self::Satellite(satellite) => satellite.frequency,
            Self::Terrestrial(terrestrial) => terrestrial.frequency,
        }
    }

    /// The most this multiplex can carry, bits a second: every bit of every symbol, before any code. The kernel's ring is
    /// sized by it.
    #[must_use]
    pub fn bitrate_max(&self) -> u64 {
        match self {
            Self::Satellite(satellite) => {
                let bits = match &satellite.system {
                    SatelliteSystem::S => 2,
                    SatelliteSystem::S2 { modulation, .. } => modulation.bits(),
                };
                u64::from(satellite.symbol_rate.0) * bits
            }
            // 8 MHz of DVB-T carry at most 31.7 Mbit/s, of DVB-T2 50.4 Mbit/s (EN 302 755, 256-QAM 5/6).
            Self::Terrestrial(terrestrial) => {
                let bits_per_hertz = if terrestrial.system == TerrestrialSystem::T { 4 } else { 7 };
                terrestrial.bandwidth.hertz().0 * bits_per_hertz
            }
        }
    }
}

impl Satellite {
    fn check(&self) -> Result<(), DeliveryError> {
        in_range(self.frequency, Hertz::from_mhz(2_000), Hertz::from_mhz(40_000))?;
        if !(100_000..=80_000_000).contains(&self.symbol_rate.0) {
            return Err(DeliveryError::SymbolRate(self.symbol_rate));
        }
        match (&self.system, self.fec) {
            (SatelliteSystem::S, Fec::Rate(top, bottom))
                if ![(1, 2), (2, 3), (3, 4), (5, 6), (7, 8)].contains(&(top, bottom)) =>
            {
                Err(DeliveryError::Fec(self.fec, "DVB-S"))
            }
            (SatelliteSystem::S2 { .. }, Fec::Rate(7, 8)) => Err(DeliveryError::Fec(self.fec, "DVB-S2")),
            (SatelliteSystem::S2 { modulation: Modulation::Qam16 | Modulation::Qam64 | Modulation::Qam256, .. }, _) => {
                let SatelliteSystem::S2 { modulation, .. } = self.system else { return Ok(()) };
                Err(DeliveryError::Modulation(modulation))
            }
            _ => Ok(()),
        }
    }
}

impl Terrestrial {
    fn check(&self) -> Result<(), DeliveryError> {
        in_range(self.frequency, Hertz::from_mhz(40), Hertz::from_mhz(2_000))?;
        let only_t2 = matches!(self.bandwidth, Bandwidth::Mhz1_7 | Bandwidth::Mhz10);
        if only_t2 && self.system == TerrestrialSystem::T {
            return Err(DeliveryError::Bandwidth(self.bandwidth));
        }
        Ok(())
    }
}

fn in_range(frequency: Hertz, low: Hertz, high: Hertz) -> Result<(), DeliveryError> {
    if (low..=high).contains(&frequency) {
        return Ok(());
    }
    Err(DeliveryError::Frequency { frequency, low, high })
}

impl Modulation {
    fn bits(self) -> u64 {
        match self {
            Self::Qpsk => 2,
            Self::Psk8 => 3,
            Self::Apsk16 | Self::Qam16 => 4,
            Self::Apsk32 => 5,
            Self::Qam64 => 6,
            Self::Qam256 => 8,
        }
    }
}

/// One table for writing and reading each set of words.
macro_rules! words {
    ($type:ident { $($value:path => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every value with its word, as written in addresses.
            pub const WORDS: &'static [(Self, &'static str)] = &[$(($value, $word)),+];

            /// The value of a word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                Self::WORDS.iter().find(|(_, known)| known.eq_ignore_ascii_case(word)).map(|(value, _)| *value)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let word = Self::WORDS.iter().find(|(value, _)| value == self).map_or("?", |(_, word)| word);
                f.write_str(word)
            }
        }
    };
}

words!(Polarisation {
    Self::Horizontal => "h",
    Self::Vertical => "v",
    Self::Left => "l",
    Self::Right => "r",
});
words!(Modulation {
    Self::Qpsk => "qpsk",
    Self::Psk8 => "8psk",
    Self::Apsk16 => "16apsk",
    Self::Apsk32 => "32apsk",
    Self::Qam16 => "16qam",
    Self::Qam64 => "64qam",
    Self::Qam256 => "256qam",
});
words!(Rolloff { Self::Auto => "auto", Self::R35 => "0.35", Self::R25 => "0.25", Self::R20 => "0.20" });
words!(Bandwidth {
    Self::Mhz1_7 => "1.7MHz",
    Self::Mhz5 => "5MHz",
    Self::Mhz6 => "6MHz",
    Self::Mhz7 => "7MHz",
    Self::Mhz8 => "8MHz",
    Self::Mhz10 => "10MHz",
});

impl Fec {
    /// `auto`, or a rate as `3/4`.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        if word.eq_ignore_ascii_case("auto") {
            return Some(Self::Auto);
        }
        let (top, bottom) = word.split_once('/')?;
        let rate = (top.parse().ok()?, bottom.parse().ok()?);
        Self::RATES.contains(&rate).then_some(Self::Rate(rate.0, rate.1))
    }
}

impl fmt::Display for Fec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Rate(top, bottom) => write!(f, "{top}/{bottom}"),
        }
    }
}

/// As a technician says it: `11538MHz v 22000kBd DVB-S2 stream 5`.
impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Satellite(satellite) => {
                let Satellite { frequency, polarisation, symbol_rate, .. } = satellite;
                write!(f, "{frequency} {polarisation} {symbol_rate} {}", self.system())?;
                if let SatelliteSystem::S2 { stream: Some(stream), .. } = satellite.system {
                    write!(f, " stream {stream}")?;
                }
                Ok(())
            }
            Self::Terrestrial(terrestrial) => {
                write!(f, "{} {} {}", terrestrial.frequency, terrestrial.bandwidth, self.system())?;
                if let TerrestrialSystem::T2 { plp: Some(plp) } = terrestrial.system {
                    write!(f, " PLP {plp}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roots and gold codes as satellite charts list them in pairs.
    #[test]
    fn roots_are_gold_codes_by_another_name() {
        for (root, gold) in [(1, 0), (131_072, 1), (8_192, 5), (16_416, 131_070), (8, 262_140), (2, 262_142)] {
            assert_eq!(Scrambling::Root(root).gold_code(), gold, "root {root}");
        }
        assert_eq!(Scrambling::Gold(16_416).gold_code(), 16_416);
        assert_eq!([Scrambling::root(0), Scrambling::root(0x4_0000), Scrambling::gold(0x3_FFFF)], [None; 3]);
    }

    #[test]
    fn values_that_do_not_fit_are_named() {
        let satellite = |mhz, baud, fec, system| {
            let polarisation = Polarisation::Horizontal;
            let satellite =
                Satellite { frequency: Hertz::from_mhz(mhz), polarisation, symbol_rate: SymbolRate(baud), fec, system };
            Delivery::Satellite(satellite).checked().map_or_else(|error| error.to_string(), |fine| fine.to_string())
        };
        let s2 =
            |modulation| SatelliteSystem::S2 { modulation, rolloff: Rolloff::Auto, stream: Some(5), scrambling: None };
        assert_eq!(
            satellite(11_538, 22_000_000, Fec::Auto, s2(Modulation::Psk8)),
            "11538MHz h 22000kBd DVB-S2 stream 5"
        );
        assert_eq!(
            satellite(1_538, 22_000_000, Fec::Auto, SatelliteSystem::S),
            "frequency 1538MHz is outside 2000MHz to 40000MHz"
        );
        assert_eq!(satellite(11_538, 99, Fec::Auto, SatelliteSystem::S), "symbol rate 99Bd is outside 100kBd to 80MBd");
        assert_eq!(
            satellite(11_538, 22_000_000, Fec::Rate(9, 10), SatelliteSystem::S),
            "code rate 9/10 does not exist in DVB-S"
        );
        assert_eq!(
            satellite(11_538, 22_000_000, Fec::Auto, s2(Modulation::Qam64)),
            "modulation 64qam does not exist in DVB-S2"
        );
    }

    #[test]
    fn the_ring_is_sized_by_the_fastest_case() {
        let terrestrial = |system| {
            let frequency = Hertz::from_mhz(474);
            Delivery::Terrestrial(Terrestrial { frequency, bandwidth: Bandwidth::Mhz8, system }).bitrate_max()
        };
        assert!(terrestrial(TerrestrialSystem::T) > 31_670_000);
        assert!(terrestrial(TerrestrialSystem::T2 { plp: None }) > 50_400_000);
    }
}
