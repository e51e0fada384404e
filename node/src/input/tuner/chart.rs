//! Lists of multiplexes to look at: files of addresses, files of the Linux TV community, and what a NIT says.
//!
//! Pure. A file holds `dvb://` addresses, one a line, or sections as `dtv-scan-tables` ships them (`[CHANNEL]`,
//! `DELIVERY_SYSTEM = DVBS2`, `FREQUENCY = 11538000`: kHz for satellites, Hz for terrestrial). Entries of other systems
//! are passed over and counted. From a NIT come the multiplexes of a network (EN 300 468 §6.2.13); those a tuner of ours
//! cannot do are left out.

use std::collections::BTreeMap;

use headend_media::descriptor::{
    Descriptors, S2Delivery, SatelliteDelivery, Wave, s2_delivery, satellite_delivery, t2_delivery, tag,
    terrestrial_delivery,
};
use headend_media::table::{Nit, NitMultiplex};

use super::delivery::{
    Bandwidth, Delivery, Fec, Modulation, Polarisation, Rolloff, Satellite, SatelliteSystem, Scrambling, Terrestrial,
    TerrestrialSystem,
};
use super::mux::{DvbFeed, Name, PRIORITY_DEFAULT};
use super::units::{Hertz, SymbolRate};
use crate::input::address::{Feed, SourceAddress};

/// Entries of one file at most.
pub const ENTRIES_MAX: usize = 4096;

/// What a file gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    /// Multiplexes in the order of the file.
    pub feeds: Vec<DvbFeed>,
    /// Entries that are none of ours: cable, ATSC, incomplete.
    pub passed_over: usize,
}

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ChartError {
    line: usize,
    reason: String,
}

impl Chart {
    /// Reads a file; entries without an antenna of their own come from `antenna`.
    ///
    /// # Errors
    /// [`ChartError`] names the line.
    pub fn parse(text: &str, antenna: &Name) -> Result<Self, ChartError> {
        let (mut chart, mut section) = (Self::default(), None::<BTreeMap<String, String>>);
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            let wrong = |reason: String| ChartError { line: index + 1, reason };
            if line.is_empty() {
                continue;
            }
            if line.starts_with('[') {
                chart.close(section.replace(BTreeMap::new()), antenna);
            } else if line.starts_with("dvb:") {
                let address: SourceAddress = line.parse().map_err(|error| wrong(headend_rt::chain(&error)))?;
                if let Feed::Dvb(feed) = address.feed {
                    chart.feeds.push(feed.shared());
                }
            } else if let (Some(fields), Some((key, value))) = (&mut section, line.split_once('=')) {
                fields.insert(key.trim().to_ascii_uppercase(), value.trim().to_ascii_uppercase());
            } else {
                return Err(wrong(format!("{line:?} is neither a dvb:// address nor KEY = VALUE of a [CHANNEL]")));
            }
            if chart.feeds.len() > ENTRIES_MAX {
                return Err(wrong(format!("more than {ENTRIES_MAX} multiplexes")));
            }
        }
        chart.close(section, antenna);
        Ok(chart)
    }

    fn close(&mut self, section: Option<BTreeMap<String, String>>, antenna: &Name) {
        let Some(fields) = section else { return };
        match of_fields(&fields).and_then(|delivery| delivery.checked().ok()) {
            Some(delivery) => {
                self.feeds.push(DvbFeed { antenna: antenna.clone(), delivery, priority: PRIORITY_DEFAULT });
            }
            None => self.passed_over += 1,
        }
    }
}

fn of_fields(fields: &BTreeMap<String, String>) -> Option<Delivery> {
    let field = |name: &str| fields.get(name).map(String::as_str);
    let frequency: u64 = field("FREQUENCY")?.parse().ok()?;
    let stream = || field("STREAM_ID").and_then(|text| text.parse().ok());
    let system = field("DELIVERY_SYSTEM")?;
    match system {
        "DVBS" | "DVBS2" => {
            let first = field("POLARIZATION")?.get(..1)?;
            let modulation = match field("MODULATION") {
                Some("PSK/8") => Modulation::Psk8,
                Some("APSK/16") => Modulation::Apsk16,
                Some("APSK/32") => Modulation::Apsk32,
                _ => Modulation::Qpsk,
            };
            let second = SatelliteSystem::S2 { modulation, rolloff: Rolloff::Auto, stream: stream(), scrambling: None };
            Some(Delivery::Satellite(Satellite {
                frequency: Hertz(frequency.checked_mul(1000)?),
                polarisation: Polarisation::of_word(first)?,
                symbol_rate: SymbolRate(field("SYMBOL_RATE")?.parse().ok()?),
                fec: field("INNER_FEC").and_then(Fec::of_word).unwrap_or_default(),
                system: if system == "DVBS" { SatelliteSystem::S } else { second },
            }))
        }
        "DVBT" | "DVBT2" => {
            let bandwidth =
                field("BANDWIDTH_HZ").and_then(|text| text.parse().ok()).map_or(Some(Bandwidth::Mhz8), of_hertz)?;
            let second = TerrestrialSystem::T2 { plp: stream() };
            let system = if system == "DVBT" { TerrestrialSystem::T } else { second };
            Some(Delivery::Terrestrial(Terrestrial { frequency: Hertz(frequency), bandwidth, system }))
        }
        _ => None,
    }
}

fn of_hertz(hertz: u64) -> Option<Bandwidth> {
    Bandwidth::WORDS.iter().map(|(value, _)| *value).find(|bandwidth| bandwidth.hertz().0.abs_diff(hertz) < 50_000)
}

/// Multiplexes that a NIT section lists, as seen from the antenna it came from.
#[must_use]
pub fn of_nit(nit: &Nit<'_>, antenna: &Name) -> Vec<DvbFeed> {
    let deliveries = nit.multiplexes.iter().flat_map(of_multiplex).filter_map(|delivery| delivery.checked().ok());
    deliveries.map(|delivery| DvbFeed { antenna: antenna.clone(), delivery, priority: PRIORITY_DEFAULT }).collect()
}

fn of_multiplex(multiplex: &NitMultiplex<'_>) -> Vec<Delivery> {
    let descriptors = multiplex.descriptors;
    let mut found: Vec<Delivery> = vec![];
    let more = descriptors.find(tag::S2_DELIVERY).and_then(s2_delivery).unwrap_or_default();
    let satellites = descriptors.all(tag::SATELLITE_DELIVERY).filter_map(satellite_delivery);
    found.extend(satellites.map(|read| satellite(&read, more)));
    let terrestrial = descriptors.all(tag::TERRESTRIAL_DELIVERY).filter_map(terrestrial_delivery);
    found.extend(terrestrial.filter_map(|read| {
        let bandwidth = of_hertz(u64::from(read.bandwidth_mhz?) * 1_000_000)?;
        let (frequency, system) = (Hertz(read.frequency_hz), TerrestrialSystem::T);
        Some(Delivery::Terrestrial(Terrestrial { frequency, bandwidth, system }))
    }));
    found.extend(second_terrestrial(descriptors));
    found
}

fn satellite(read: &SatelliteDelivery, more: S2Delivery) -> Delivery {
    let modulation = if read.symbol_bits == Some(3) { Modulation::Psk8 } else { Modulation::Qpsk };
    let rolloff = match read.rolloff_hundredths {
        Some(35) => Rolloff::R35,
        Some(25) => Rolloff::R25,
        Some(20) => Rolloff::R20,
        _ => Rolloff::Auto,
    };
    let scrambling = more.scrambling.and_then(Scrambling::gold);
    let second = SatelliteSystem::S2 { modulation, rolloff, stream: more.stream, scrambling };
    Delivery::Satellite(Satellite {
        frequency: Hertz(read.frequency_hz),
        polarisation: match read.wave {
            Wave::Horizontal => Polarisation::Horizontal,
            Wave::Vertical => Polarisation::Vertical,
            Wave::Left => Polarisation::Left,
            Wave::Right => Polarisation::Right,
        },
        symbol_rate: SymbolRate(read.symbol_rate),
        fec: read.code_rate.map_or(Fec::Auto, |(top, bottom)| Fec::Rate(top, bottom)),
        system: if read.second_generation { second } else { SatelliteSystem::S },
    })
}

fn second_terrestrial(descriptors: Descriptors<'_>) -> Vec<Delivery> {
    let read = descriptors.all(tag::EXTENSION).filter_map(t2_delivery);
    let cells = read.flat_map(|read| {
        let bandwidth = read.bandwidth_khz.and_then(|khz| of_hertz(u64::from(khz) * 1000));
        let system = TerrestrialSystem::T2 { plp: Some(read.plp) };
        read.frequencies_hz.into_iter().filter_map(move |hertz| {
            Some(Delivery::Terrestrial(Terrestrial { frequency: Hertz(hertz), bandwidth: bandwidth?, system }))
        })
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, want: &[&str]) {
        let antenna = Name::new("a").unwrap();
        let got = match Chart::parse(text, &antenna) {
            Ok(chart) => {
                let feeds = chart.feeds.iter().map(ToString::to_string);
                let rest = (chart.passed_over > 0).then(|| format!("and {}", chart.passed_over));
                feeds.chain(rest).collect()
            }
            Err(error) => vec![error.to_string()],
        };
        assert_eq!(got, want);
    }

    #[test]
    fn addresses_and_sections() {
        check(
            "# ours\ndvb://roof?system=t&frequency=474MHz&service=1\n\n[CHANNEL]\n\tDELIVERY_SYSTEM = DVBS2\n\tFREQUENCY = 11538000\n\
             \tPOLARIZATION = VERTICAL\n\tSYMBOL_RATE = 22000000\n\tINNER_FEC = 3/4\n\tMODULATION = PSK/8\n[X]\nDELIVERY_SYSTEM = DVBC/ANNEX_A\n\
             FREQUENCY = 1\n[Y]\nDELIVERY_SYSTEM = DVBT2\nFREQUENCY = 482000000\nBANDWIDTH_HZ = 7000000\nSTREAM_ID = 1\n",
            &[
                "dvb://roof?system=t&frequency=474MHz",
                "dvb://a?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22000kBd&fec=3/4&modulation=8psk",
                "dvb://a?system=t2&frequency=482MHz&bandwidth=7MHz&plp=1",
                "and 1",
            ],
        );
        check(
            "T 474000000 8MHz",
            &["line 1: \"T 474000000 8MHz\" is neither a dvb:// address nor KEY = VALUE of a [CHANNEL]"],
        );
        check("\ndvb://a?system=t", &["line 2: option frequency is missing: it is needed for every multiplex"]);
    }

    #[test]
    fn a_nit_lists_its_multiplexes() {
        let satellite = [0x43, 11, 0x01, 0x15, 0x38, 0x00, 0x01, 0x92, 0xB6, 0x02, 0x20, 0x00, 0x03, 0x79, 2, 0x5F, 5];
        let terrestrial = [0x5A, 11, 0x02, 0xD3, 0x44, 0x40, 0x1F, 0, 0, 0, 0, 0, 0];
        let of = |bytes: &[u8]| {
            let multiplex = NitMultiplex { tsid: 1, onid: 1, descriptors: Descriptors::new(bytes) };
            of_multiplex(&multiplex).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&satellite), ["11538MHz v 22000kBd DVB-S2 stream 5"]);
        assert_eq!(of(&terrestrial), ["474MHz 8MHz DVB-T"]);
        assert_eq!(of(&satellite[..9]), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_descriptors_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let multiplex = NitMultiplex { tsid: 1, onid: 1, descriptors: Descriptors::new(&bytes) };
            let _ = of_multiplex(&multiplex);
        }

        #[test]
        fn any_text_is_answered(text in "(\\[X\\]\n)?(FREQUENCY|DELIVERY_SYSTEM|dvb:) ?=? ?[A-Z0-9?&=/]{0,12}\n.{0,20}") {
            let _ = Chart::parse(&text, &Name::new("a").unwrap());
        }
    }
}
