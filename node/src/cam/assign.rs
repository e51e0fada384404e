//! Which module takes which service: pure.
//!
//! A module can take what comes over its tuners and is announced for a CA system of its own. Modules are tried in the order
//! of the node's file, and a service stays where it is as long as it may.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::ca_pmt::{Programme, ServiceKey};

/// A service that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// What a module would be told.
    pub programme: Programme,
    /// The tuner its packets come from.
    pub tuner: Arc<str>,
}

/// A module and what it can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Names of tuners whose packets go through it.
    pub tuners: Vec<Arc<str>>,
    /// CA systems it takes; none while it takes nothing.
    pub systems: Option<Vec<u16>>,
    /// Services at a time.
    pub services_max: usize,
}

/// Why no module takes a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The module is not ready.
    NotReady,
    /// It is announced for other systems.
    NoSystem,
    /// The module has as many services as it may.
    Full,
    /// A service with the same number is on it.
    SameNumber,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "the module is not ready",
            Self::NoSystem => "the module has none of its CA systems",
            Self::Full => "the module has as many services as services_max allows",
            Self::SameNumber => "the module has a service of the same number already",
        })
    }
}

/// Where a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// On this module.
    At(usize),
    /// On none; this one says why.
    Refused(usize, Refusal),
}

/// Puts services on modules; services whose tuner feeds no module are left out.
#[must_use]
pub fn assign(wants: &[Want], seats: &[Seat], before: &BTreeMap<ServiceKey, Placing>) -> BTreeMap<ServiceKey, Placing> {
    let mut placed: BTreeMap<ServiceKey, Placing> = BTreeMap::new();
    // Those who have a place first: a newcomer displaces nobody.
    for newcomers in [false, true] {
        for want in wants {
            let old = match before.get(&want.programme.key) {
                Some(Placing::At(seat)) => Some(*seat),
                _ => None,
            };
            if old.is_none() != newcomers {
                continue;
            }
            let feeds = |seat: &&usize| seats.get(**seat).is_some_and(|one| one.tuners.contains(&want.tuner));
            let others = (0..seats.len()).filter(|seat| Some(*seat) != old);
            let candidates: Vec<usize> = old.into_iter().chain(others).filter(|seat| feeds(&seat)).collect();
            let mut refused = None;
            let taken = candidates.iter().find(|seat| match may(want, &seats[**seat], (**seat, &placed)) {
                Ok(()) => true,
                Err(refusal) => {
                    refused.get_or_insert((**seat, refusal));
                    false
                }
            });
            let placing = match (taken, refused) {
                (Some(seat), _) => Placing::At(*seat),
                (None, Some((seat, refusal))) => Placing::Refused(seat, refusal),
                (None, None) => continue,
            };
            placed.insert(want.programme.key.clone(), placing);
        }
    }
    placed
}

fn may(want: &Want, seat: &Seat, (index, placed): (usize, &BTreeMap<ServiceKey, Placing>)) -> Result<(), Refusal> {
    let systems = seat.systems.as_ref().ok_or(Refusal::NotReady)?;
    if !want.programme.systems().iter().any(|system| systems.contains(system)) {
        return Err(Refusal::NoSystem);
    }
    let here = || placed.iter().filter(|(_, placing)| **placing == Placing::At(index));
    if here().any(|(key, _)| key.service == want.programme.key.service) {
        return Err(Refusal::SameNumber);
    }
    if here().count() >= seat.services_max { Err(Refusal::Full) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cam::ca_pmt::tests::programme;

    fn want(service: u16, tuner: &str, system: u16) -> Want {
        let mut programme = programme(service, 1, &[system]);
        programme.key.input = format!("dvb://{tuner}").into();
        Want { programme, tuner: tuner.into() }
    }

    fn seat(tuner: &str, systems: Option<&[u16]>, services_max: usize) -> Seat {
        Seat { tuners: vec![tuner.into()], systems: systems.map(<[u16]>::to_vec), services_max }
    }

    fn check(wants: &[Want], seats: &[Seat], before: &[(usize, usize)], want: &[&str]) {
        let before =
            before.iter().map(|(index, seat)| (wants[*index].programme.key.clone(), Placing::At(*seat))).collect();
        let placed = assign(wants, seats, &before);
        let words = |want: &Want| match placed.get(&want.programme.key) {
            None => "nobody".to_owned(),
            Some(Placing::At(seat)) => format!("{seat}"),
            Some(Placing::Refused(seat, refusal)) => format!("{seat} {refusal:?}"),
        };
        assert_eq!(wants.iter().map(words).collect::<Vec<_>>(), want);
    }

    #[test]
    fn by_tuner_system_and_room() {
        let wants = [want(1, "a", 5), want(2, "a", 6), want(3, "b", 5), want(4, "a", 5), want(5, "a", 7)];
        let seats = [seat("a", Some(&[5]), 1), seat("a", Some(&[5, 6]), 8)];
        check(&wants, &seats, &[], &["0", "1", "nobody", "1", "0 NoSystem"]);
        check(&wants, &seats, &[(3, 0)], &["1", "1", "nobody", "0", "0 NoSystem"]);
        check(&wants[..1], &[seat("a", None, 8)], &[], &["0 NotReady"]);
        check(&[wants[0].clone(), wants[3].clone()], &seats[..1], &[], &["0", "0 Full"]);
    }

    #[test]
    fn numbers_are_once_on_a_module() {
        let both = Seat { tuners: vec!["a".into(), "b".into()], systems: Some(vec![5]), services_max: 8 };
        check(&[want(1, "a", 5), want(1, "b", 5)], &[both], &[], &["0", "0 SameNumber"]);
    }

    proptest! {
        #[test]
        fn no_module_has_more_than_it_may(wants in proptest::collection::vec((1_u16..30, 0_usize..3, 4_u16..8), 0..40), max in 0_usize..5) {
            let mut seen = std::collections::BTreeSet::new();
            let wants = wants.into_iter().filter(|(service, tuner, _)| seen.insert((*service, *tuner)));
            let wants: Vec<Want> = wants.collect::<Vec<_>>().iter().map(|(service, tuner, system)| want(*service, ["a", "b", "c"][*tuner], *system)).collect();
            let seats = [seat("a", Some(&[5, 6]), max), seat("b", Some(&[6]), max), seat("a", None, max)];
            let placed = assign(&wants, &seats, &BTreeMap::new());
            for index in 0..3 {
                prop_assert!(placed.values().filter(|placing| **placing == Placing::At(index)).count() <= max);
            }
            prop_assert_eq!(assign(&wants, &seats, &placed), placed, "a second look changes nothing");
        }
    }
}
