//! A scan: which multiplexes were looked at, what was found, which are still to come.
//!
//! Pure, and written to a file as it goes, so that a scan that was stopped is taken up where it was. A multiplex is looked
//! at once: frequencies of a chart and of a NIT differ by a little for the same one.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::delivery::{Delivery, SatelliteSystem, TerrestrialSystem};
use super::mux::DvbFeed;
use crate::input::address::{AddressError, Feed, SourceAddress};

/// Multiplexes of one scan at most.
pub const MUXES_MAX: usize = 4096;

/// A service that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundService {
    /// `service_id`.
    pub id: u16,
    /// Its name.
    pub name: Option<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// Whether it may be scrambled.
    pub scrambled: bool,
    /// Ready to be a channel's source.
    pub address: String,
}

/// A multiplex that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visited {
    /// Its address.
    pub address: String,
    /// Whether a PAT came.
    pub received: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `transport_stream_id`.
    pub tsid: Option<u16>,
    /// Network's name.
    pub network: Option<String>,
    /// Quality, dB.
    pub quality_db: Option<f64>,
    /// Margin, dB.
    pub margin_db: Option<f64>,
    /// What is on it.
    pub services: Vec<FoundService>,
}

/// The scan so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// To be looked at.
    pub pending: VecDeque<String>,
    /// Looked at.
    pub visited: Vec<Visited>,
}

impl Search {
    /// One more to look at, unless it is known; whether it was new.
    pub fn add(&mut self, feed: &DvbFeed) -> bool {
        let feed = feed.shared();
        let known = self.pending.iter().chain(self.visited.iter().map(|visited| &visited.address));
        let mut known = known.filter_map(|address| parse(address).ok());
        if known.any(|known| same(&known, &feed)) || self.pending.len() + self.visited.len() >= MUXES_MAX {
            return false;
        }
        self.pending.push_back(feed.to_string());
        true
    }

    /// The next to look at; stays pending until it is [`Self::record`]ed.
    #[must_use]
    pub fn next(&self) -> Option<DvbFeed> {
        self.pending.iter().find_map(|address| parse(address).ok())
    }

    /// It was looked at.
    pub fn record(&mut self, visited: Visited) {
        self.pending.retain(|address| *address != visited.address);
        self.visited.push(visited);
    }

    /// Drops what a damaged file holds that is no address.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        self.pending.retain(|address| parse(address).is_ok());
        self.pending.truncate(MUXES_MAX);
        self.visited.truncate(MUXES_MAX);
        self
    }
}

fn parse(address: &str) -> Result<DvbFeed, AddressError> {
    match address.parse::<SourceAddress>()?.feed {
        Feed::Dvb(feed) => Ok(feed),
        other => Err(AddressError::Scheme(other.kind().to_owned())),
    }
}

/// Whether two descriptions are of one multiplex: same antenna, same wave, same stream, frequencies within a fraction of
/// the width.
fn same(one: &DvbFeed, two: &DvbFeed) -> bool {
    if one.antenna != two.antenna {
        return false;
    }
    let near = |width: u64| one.delivery.frequency().0.abs_diff(two.delivery.frequency().0) < width / 4;
    match (&one.delivery, &two.delivery) {
        (Delivery::Satellite(a), Delivery::Satellite(b)) => {
            let stream = |system: &SatelliteSystem| match system {
                SatelliteSystem::S2 { stream, .. } => *stream,
                SatelliteSystem::S => None,
            };
            a.polarisation == b.polarisation
                && stream(&a.system) == stream(&b.system)
                && near(u64::from(a.symbol_rate.0.min(b.symbol_rate.0)))
        }
        (Delivery::Terrestrial(a), Delivery::Terrestrial(b)) => {
            let pipe = |system: TerrestrialSystem| match system {
                TerrestrialSystem::T2 { plp } => (true, plp.unwrap_or(0)),
                TerrestrialSystem::T => (false, 0),
            };
            pipe(a.system) == pipe(b.system) && near(a.bandwidth.hertz().0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tuner::mux::tests::feed;

    fn visited(address: &str) -> Visited {
        Visited {
            address: address.to_owned(),
            received: false,
            reason: Some("no lock".to_owned()),
            tsid: None,
            network: None,
            quality_db: None,
            margin_db: None,
            services: vec![],
        }
    }

    #[test]
    fn each_multiplex_is_looked_at_once_and_a_stop_loses_nothing() {
        let mut search = Search::default();
        let add = |search: &mut Search, text: &str| search.add(&feed(text).unwrap());
        let s2 = |khz: u32, rest: &str| {
            format!("dvb://a?system=s2&frequency={khz}kHz&polarisation=v&symbol_rate=22000kBd{rest}")
        };
        assert!(add(&mut search, &s2(11_538_000, "")));
        assert!(!add(&mut search, &s2(11_539_500, "&modulation=8psk&priority=9")));
        assert!(add(&mut search, &s2(11_538_000, "&stream=3")));
        assert!(add(&mut search, &s2(11_568_000, "")));
        assert!(add(&mut search, "dvb://a?system=t2&frequency=474MHz"));
        assert!(!add(&mut search, "dvb://a?system=t2&frequency=474166667Hz&plp=0"));
        assert!(add(&mut search, "dvb://a?system=t&frequency=474MHz"));
        let first = search.next().unwrap().to_string();
        search.record(visited(&first));
        let kept = serde_json::to_string(&search).unwrap();
        let again: Search = serde_json::from_str(&kept).unwrap();
        assert_eq!(again, search);
        assert_eq!((again.pending.len(), again.visited.len()), (4, 1));
        assert!(!add(&mut search, &first));
        search.pending.push_front("file:/etc/passwd".to_owned());
        assert_eq!(search.cleaned(), again);
    }
}
