//! What a frontend is told: the property list of the kernel's API 5, as data.
//!
//! Pure: multiplex, frequency on the cable and API version in, commands and values out. The order is what drivers rely
//! on: delivery system first, `DTV_TUNE` last, `DTV_CLEAR` in a call of its own before ([`CLEAR`]). Satellite frequencies
//! are in kHz on the cable, terrestrial ones in Hz (`Documentation/userspace-api/media/dvb/fe_property_parameters.rst`).

use headend_dvb_sys::types as sys;

use super::delivery::{
    Delivery, Fec, Modulation, Rolloff, Satellite, SatelliteSystem, Scrambling, Terrestrial, TerrestrialSystem,
};
use super::units::Hertz;

/// One command with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// `DTV_…`.
    pub command: u32,
    /// Its value.
    pub value: u32,
}

/// Forgets what was set before; sent alone.
pub const CLEAR: [Property; 1] = [Property { command: sys::DTV_CLEAR, value: 0 }];

/// API version from which the gold code has a property of its own: 5.11.
const API_WITH_SCRAMBLING: u32 = 0x050B;

/// "All streams": the kernel's `NO_STREAM_ID_FILTER` as it goes over the interface.
const NO_STREAM: u32 = u32::MAX;

/// The kernel's number of the delivery system.
#[must_use]
pub fn delivery_system(delivery: &Delivery) -> u32 {
    match delivery {
        Delivery::Satellite(Satellite { system: SatelliteSystem::S, .. }) => sys::SYS_DVBS,
        Delivery::Satellite(_) => sys::SYS_DVBS2,
        Delivery::Terrestrial(Terrestrial { system: TerrestrialSystem::T, .. }) => sys::SYS_DVBT,
        Delivery::Terrestrial(_) => sys::SYS_DVBT2,
    }
}

/// The list for one tune. `tune_to` is the frequency on the cable; `api` the kernel's `DTV_API_VERSION`, major in the high byte.
#[must_use]
pub fn properties(delivery: &Delivery, tune_to: Hertz, api: u32) -> Vec<Property> {
    let mut list =
        vec![(sys::DTV_DELIVERY_SYSTEM, delivery_system(delivery)), (sys::DTV_INVERSION, sys::INVERSION_AUTO)];
    match delivery {
        Delivery::Satellite(satellite) => {
            list.extend([
                (sys::DTV_FREQUENCY, tune_to.kilohertz()),
                (sys::DTV_SYMBOL_RATE, satellite.symbol_rate.0),
                (sys::DTV_INNER_FEC, code_rate(satellite.fec)),
            ]);
            list.extend(satellite_system(&satellite.system, api));
        }
        Delivery::Terrestrial(terrestrial) => {
            let hertz = |hertz: Hertz| u32::try_from(hertz.0).unwrap_or(u32::MAX);
            list.extend([
                (sys::DTV_FREQUENCY, hertz(tune_to)),
                (sys::DTV_BANDWIDTH_HZ, hertz(terrestrial.bandwidth.hertz())),
                (sys::DTV_CODE_RATE_HP, sys::FEC_AUTO),
                (sys::DTV_CODE_RATE_LP, sys::FEC_AUTO),
                (sys::DTV_MODULATION, sys::QAM_AUTO),
                (sys::DTV_TRANSMISSION_MODE, sys::TRANSMISSION_MODE_AUTO),
                (sys::DTV_GUARD_INTERVAL, sys::GUARD_INTERVAL_AUTO),
                (sys::DTV_HIERARCHY, sys::HIERARCHY_AUTO),
            ]);
            if let TerrestrialSystem::T2 { plp } = terrestrial.system {
                list.push((sys::DTV_STREAM_ID, plp.map_or(NO_STREAM, u32::from)));
            }
        }
    }
    list.push((sys::DTV_TUNE, 0));
    list.into_iter().map(|(command, value)| Property { command, value }).collect()
}

fn satellite_system(system: &SatelliteSystem, api: u32) -> Vec<(u32, u32)> {
    let SatelliteSystem::S2 { modulation, rolloff, stream, scrambling } = system else {
        return vec![(sys::DTV_MODULATION, sys::QPSK), (sys::DTV_ROLLOFF, sys::ROLLOFF_35)];
    };
    let mut list = vec![
        (sys::DTV_MODULATION, constellation(*modulation)),
        (sys::DTV_PILOT, sys::PILOT_AUTO),
        (sys::DTV_ROLLOFF, roll_off(*rolloff)),
    ];
    let gold = scrambling.map(Scrambling::gold_code);
    if api >= API_WITH_SCRAMBLING {
        list.push((sys::DTV_STREAM_ID, stream.map_or(NO_STREAM, u32::from)));
        // Said each time: a driver may keep the code of the multiplex before.
        list.push((sys::DTV_SCRAMBLING_SEQUENCE_INDEX, gold.unwrap_or(0)));
    } else {
        list.push((sys::DTV_STREAM_ID, packed_stream(*stream, gold)));
    }
    list
}

/// Before API 5.11 drivers of multi-stream cards took the code in the stream id: mode in bits 26 and 27 (1: gold), code
/// in bits 8 to 25, stream in bits 0 to 7 (the vendors' convention).
fn packed_stream(stream: Option<u8>, gold: Option<u32>) -> u32 {
    match (stream, gold) {
        (stream, Some(gold)) => 1 << 26 | gold << 8 | stream.map_or(0, u32::from),
        (Some(stream), None) => u32::from(stream),
        (None, None) => NO_STREAM,
    }
}

fn code_rate(fec: Fec) -> u32 {
    match fec {
        Fec::Auto => sys::FEC_AUTO,
        Fec::Rate(1, 2) => sys::FEC_1_2,
        Fec::Rate(2, 3) => sys::FEC_2_3,
        Fec::Rate(3, 4) => sys::FEC_3_4,
        Fec::Rate(4, 5) => sys::FEC_4_5,
        Fec::Rate(5, 6) => sys::FEC_5_6,
        Fec::Rate(7, 8) => sys::FEC_7_8,
        Fec::Rate(8, 9) => sys::FEC_8_9,
        Fec::Rate(3, 5) => sys::FEC_3_5,
        Fec::Rate(9, 10) => sys::FEC_9_10,
        Fec::Rate(2, 5) => sys::FEC_2_5,
        // 1/4 and 1/3 of DVB-S2 have no number in this API; demodulators find them.
        Fec::Rate(..) => sys::FEC_AUTO,
    }
}

fn constellation(modulation: Modulation) -> u32 {
    match modulation {
        Modulation::Qpsk => sys::QPSK,
        Modulation::Psk8 => sys::PSK_8,
        Modulation::Apsk16 => sys::APSK_16,
        Modulation::Apsk32 => sys::APSK_32,
        Modulation::Qam16 => sys::QAM_16,
        Modulation::Qam64 => sys::QAM_64,
        Modulation::Qam256 => sys::QAM_256,
    }
}

fn roll_off(rolloff: Rolloff) -> u32 {
    match rolloff {
        Rolloff::Auto => sys::ROLLOFF_AUTO,
        Rolloff::R35 => sys::ROLLOFF_35,
        Rolloff::R25 => sys::ROLLOFF_25,
        Rolloff::R20 => sys::ROLLOFF_20,
    }
}

/// The constellation of a number the driver reports; `None` for one that is not of our systems.
#[must_use]
pub fn modulation_of(number: u32) -> Option<Modulation> {
    let known = Modulation::WORDS.iter().map(|(value, _)| *value);
    known.into_iter().find(|modulation| constellation(*modulation) == number)
}

/// The code rate of a number the driver reports; `None` for automatic and unknown ones.
#[must_use]
pub fn rate_of(number: u32) -> Option<(u8, u8)> {
    Fec::RATES.into_iter().find(|(top, bottom)| code_rate(Fec::Rate(*top, *bottom)) == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tuner::mux::tests::feed;

    fn list(address: &str, mhz: u64, api: u32) -> Vec<(u32, u32)> {
        let delivery = feed(address).unwrap().delivery;
        let list = properties(&delivery, Hertz::from_mhz(mhz), api);
        list.into_iter().map(|property| (property.command, property.value)).collect()
    }

    const S2: &str = "dvb://a?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=27500kBd&modulation=8psk&fec=3/4\
                      &rolloff=0.25&stream=5&gold=16416";

    #[test]
    fn a_multi_stream_carrier() {
        let want = [
            (17, 6),
            (6, 2),
            (3, 1_788_000),
            (8, 27_500_000),
            (9, 3),
            (4, 9),
            (12, 2),
            (13, 2),
            (42, 5),
            (70, 16_416),
            (1, 0),
        ];
        assert_eq!(list(S2, 1788, 0x050B), want);
        // An older kernel takes the code in the stream id.
        let old = list(S2, 1788, 0x050A);
        assert_eq!(old[old.len() - 2..], [(42, 1 << 26 | 16_416 << 8 | 5), (1, 0)]);
    }

    #[test]
    fn without_a_stream_all_are_taken_and_the_default_code_is_said() {
        let plain = list("dvb://a?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22MBd", 1788, 0x050C);
        assert!(plain.contains(&(42, u32::MAX)) && plain.contains(&(70, 0)) && plain.contains(&(13, 3)));
        let old = list("dvb://a?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22MBd", 1788, 0x0509);
        assert!(old.contains(&(42, u32::MAX)));
    }

    #[test]
    fn first_generation_satellite_has_a_fixed_roll_off() {
        let want = [(17, 5), (6, 2), (3, 1_100_000), (8, 27_500_000), (9, 9), (4, 0), (13, 0), (1, 0)];
        assert_eq!(list("dvb://a?system=s&frequency=11700MHz&polarisation=h&symbol_rate=27500kBd", 1100, 0x050B), want);
    }

    #[test]
    fn terrestrial_in_hertz_with_everything_else_found() {
        let want = [
            (17, 3),
            (6, 2),
            (3, 474_000_000),
            (5, 8_000_000),
            (36, 9),
            (37, 9),
            (4, 6),
            (39, 2),
            (38, 4),
            (40, 4),
            (1, 0),
        ];
        assert_eq!(list("dvb://a?system=t&frequency=474MHz", 474, 0x050B), want);
        let second = list("dvb://a?system=t2&frequency=474MHz&bandwidth=1.7MHz&plp=3", 474, 0x050B);
        assert!(second.contains(&(5, 1_712_000)) && second.contains(&(42, 3)) && second[0] == (17, 16));
    }

    #[test]
    fn numbers_read_back() {
        assert_eq!(
            (modulation_of(9), modulation_of(6), rate_of(3), rate_of(9)),
            (Some(Modulation::Psk8), None, Some((3, 4)), None)
        );
    }
}
