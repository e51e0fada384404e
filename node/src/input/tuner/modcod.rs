//! How good a signal must be: the carrier-to-noise ratio at which each modulation and code rate just works.
//!
//! Pure tables. DVB-S2: EN 302 307-1 table 13 (ideal Es/N0 at quasi error free). DVB-S: EN 300 421 table 3, turned from
//! Eb/N0 of the useful bits into C/N. DVB-T: EN 300 744 annex A, Gaussian channel. DVB-T2: TS 102 831 table 44, Gaussian
//! channel. Of EN 302 307-1 table 13 QPSK 1/4 (-2.35 dB) and 1/3 (-1.24 dB) are left out, because the kernel's interface cannot name
//! these rates. Real receivers need 0.5 to 1.5 dB more; a margin shown to a technician is against these figures.

use super::delivery::{Delivery, Modulation, SatelliteSystem, TerrestrialSystem};
use super::units::Decibels;

type Row = (Modulation, (u8, u8), i32);

/// Threshold of what is received now, when modulation and rate are those of the system.
#[must_use]
pub fn threshold(delivery: &Delivery, modulation: Modulation, rate: (u8, u8)) -> Option<Decibels> {
    let table: &[Row] = match delivery {
        Delivery::Satellite(satellite) if satellite.system == SatelliteSystem::S => &DVB_S,
        Delivery::Satellite(_) => &DVB_S2,
        Delivery::Terrestrial(terrestrial) if terrestrial.system == TerrestrialSystem::T => &DVB_T,
        Delivery::Terrestrial(_) => &DVB_T2,
    };
    let row = table.iter().find(|row| (row.0, row.1) == (modulation, rate));
    row.map(|row| Decibels(row.2 * 10))
}

use Modulation::{Apsk16, Apsk32, Psk8, Qam16, Qam64, Qam256, Qpsk};

/// Hundredths of a decibel.
const DVB_S: [Row; 5] =
    [(Qpsk, (1, 2), 415), (Qpsk, (2, 3), 589), (Qpsk, (3, 4), 691), (Qpsk, (5, 6), 786), (Qpsk, (7, 8), 848)];

const DVB_S2: [Row; 26] = [
    (Qpsk, (2, 5), -30),
    (Qpsk, (1, 2), 100),
    (Qpsk, (3, 5), 223),
    (Qpsk, (2, 3), 310),
    (Qpsk, (3, 4), 403),
    (Qpsk, (4, 5), 468),
    (Qpsk, (5, 6), 518),
    (Qpsk, (8, 9), 620),
    (Qpsk, (9, 10), 642),
    (Psk8, (3, 5), 550),
    (Psk8, (2, 3), 662),
    (Psk8, (3, 4), 791),
    (Psk8, (5, 6), 935),
    (Psk8, (8, 9), 1069),
    (Psk8, (9, 10), 1098),
    (Apsk16, (2, 3), 897),
    (Apsk16, (3, 4), 1021),
    (Apsk16, (4, 5), 1103),
    (Apsk16, (5, 6), 1161),
    (Apsk16, (8, 9), 1289),
    (Apsk16, (9, 10), 1313),
    (Apsk32, (3, 4), 1273),
    (Apsk32, (4, 5), 1364),
    (Apsk32, (5, 6), 1428),
    (Apsk32, (8, 9), 1569),
    (Apsk32, (9, 10), 1605),
];

const DVB_T: [Row; 15] = [
    (Qpsk, (1, 2), 350),
    (Qpsk, (2, 3), 530),
    (Qpsk, (3, 4), 630),
    (Qpsk, (5, 6), 730),
    (Qpsk, (7, 8), 790),
    (Qam16, (1, 2), 930),
    (Qam16, (2, 3), 1140),
    (Qam16, (3, 4), 1260),
    (Qam16, (5, 6), 1380),
    (Qam16, (7, 8), 1440),
    (Qam64, (1, 2), 1380),
    (Qam64, (2, 3), 1670),
    (Qam64, (3, 4), 1820),
    (Qam64, (5, 6), 1940),
    (Qam64, (7, 8), 2020),
];

const DVB_T2: [Row; 24] = [
    (Qpsk, (1, 2), 100),
    (Qpsk, (3, 5), 230),
    (Qpsk, (2, 3), 310),
    (Qpsk, (3, 4), 410),
    (Qpsk, (4, 5), 470),
    (Qpsk, (5, 6), 520),
    (Qam16, (1, 2), 600),
    (Qam16, (3, 5), 760),
    (Qam16, (2, 3), 890),
    (Qam16, (3, 4), 1000),
    (Qam16, (4, 5), 1080),
    (Qam16, (5, 6), 1140),
    (Qam64, (1, 2), 990),
    (Qam64, (3, 5), 1200),
    (Qam64, (2, 3), 1350),
    (Qam64, (3, 4), 1510),
    (Qam64, (4, 5), 1610),
    (Qam64, (5, 6), 1680),
    (Qam256, (1, 2), 1320),
    (Qam256, (3, 5), 1610),
    (Qam256, (2, 3), 1780),
    (Qam256, (3, 4), 2000),
    (Qam256, (4, 5), 2130),
    (Qam256, (5, 6), 2200),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tuner::mux::tests::feed;

    #[test]
    fn thresholds_rise_with_the_code_rate() {
        for table in [&DVB_S[..], &DVB_S2, &DVB_T, &DVB_T2] {
            for pair in table.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                assert!(pair[0].2 < pair[1].2, "{pair:?}");
            }
        }
    }

    #[test]
    fn the_system_chooses_the_table() {
        let at = |address: &str, modulation, rate| threshold(&feed(address).unwrap().delivery, modulation, rate);
        let s2 = "dvb://a?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22MBd";
        assert_eq!(at(s2, Psk8, (3, 4)), Some(Decibels(7910)));
        assert_eq!(at(s2, Psk8, (1, 2)), None);
        assert_eq!(at("dvb://a?system=t&frequency=474MHz", Qam64, (2, 3)), Some(Decibels(16_700)));
        assert_eq!(at("dvb://a?system=t2&frequency=474MHz", Qam64, (2, 3)), Some(Decibels(13_500)));
    }

    /// A slip of a digit is either better than Shannon's limit or further from it than its neighbours. High rates are further
    /// from it, because a constellation carries no more than its own bits.
    #[test]
    fn thresholds_stand_a_little_above_what_is_possible_at_all() {
        let bits = |modulation| match modulation {
            Qpsk => 2.0,
            Psk8 => 3.0,
            Qam16 | Apsk16 => 4.0,
            Apsk32 => 5.0,
            Qam64 => 6.0,
            Qam256 => 8.0,
        };
        for (table, best, worst) in [(&DVB_S2[..], 1.0, 3.8), (&DVB_T2, 1.0, 2.4)] {
            let mut before = (Qpsk, 1.06);
            for (modulation, (top, bottom), threshold) in table {
                // BCH, baseband header and frame header take a hundredth (EN 302 307-1 clause 5).
                let efficiency = bits(*modulation) * f64::from(*top) / f64::from(*bottom) * 0.99;
                let possible = 10.0 * (efficiency.exp2() - 1.0).log10();
                let above = f64::from(*threshold) / 100.0 - possible;
                assert!((best..worst).contains(&above), "{modulation} {top}/{bottom}: {above:.2} dB above the limit");
                let step = above - before.1;
                let neighbours = before.0 == *modulation;
                assert!(
                    !neighbours || (-0.15..0.8).contains(&step),
                    "{modulation} {top}/{bottom}: {step:.2} dB further"
                );
                before = (*modulation, above);
            }
        }
    }

    /// Every figure of EN 302 307-1 table 13 that the kernel can name, by modulation in the order of the table.
    #[test]
    fn the_table_of_the_standard() {
        let of =
            |modulation| -> Vec<i32> { DVB_S2.iter().filter(|row| row.0 == modulation).map(|row| row.2).collect() };
        assert_eq!(of(Qpsk), [-30, 100, 223, 310, 403, 468, 518, 620, 642]);
        assert_eq!(of(Psk8), [550, 662, 791, 935, 1069, 1098]);
        assert_eq!(of(Apsk16), [897, 1021, 1103, 1161, 1289, 1313]);
        assert_eq!(of(Apsk32), [1273, 1364, 1428, 1569, 1605]);
    }
}
