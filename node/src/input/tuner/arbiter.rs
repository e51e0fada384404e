//! Which multiplex gets which tuner when there are not enough of them.
//!
//! Pure: tuners, wants and who holds what in, what to grant and what to take back out. A holder keeps its tuner until
//! somebody with a strictly higher priority needs it and no other will do; among equals the first to come stays. A
//! tuner that is not there is waited for, unless another one is free. A slave, which hangs behind another tuner's
//! loop-through, can only go where its master is: same antenna, same polarisation, same band. A want that only proves a
//! spare tuner ([`PROVING`]) names its tuner and is nobody's obstacle: everybody else is served as if it were not there.

use std::collections::BTreeMap;

/// The rank of a want that only proves a spare tuner; those of channels are higher.
pub const PROVING: u8 = 0;

/// One tuner as the arbiter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Antennas that hang on it.
    pub antennas: Vec<usize>,
    /// Whether its device is there.
    pub present: bool,
    /// Tuners with equal numbers share a demultiplexer: one of them at a time.
    pub group: usize,
    /// Its master, when it hangs behind one.
    pub slave_of: Option<usize>,
}

/// One multiplex that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Who wants it; grows with time.
    pub id: u64,
    /// Where it comes from.
    pub antenna: usize,
    /// What is sent up the cable for it: high polarisation, high band. Equal for terrestrial ones.
    pub wave: (bool, bool),
    /// Higher keeps the tuner; [`PROVING`] is the lowest.
    pub priority: u8,
    /// The one tuner that will do; none for any.
    pub only: Option<usize>,
}

/// What is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Who gets which tuner, now.
    pub grants: Vec<(u64, usize)>,
    /// Who must let go; the tuner is granted anew when it was given back.
    pub revokes: Vec<u64>,
}

/// Settles all wants. `held` says who holds which tuner, those included that were told to let go and have not yet;
/// `leaving` names these.
#[must_use]
pub fn settle(slots: &[Slot], wants: &[Want], held: &BTreeMap<u64, usize>, leaving: &[u64]) -> Settlement {
    let mut settling =
        Settling { slots, wants, held: held.clone(), leaving: leaving.to_vec(), out: Settlement::default() };
    let mut order: Vec<&Want> = wants.iter().collect();
    order.sort_by_key(|want| (std::cmp::Reverse(want.priority), want.id));
    for want in &order {
        settling.keep_or_leave(want);
    }
    for want in &order {
        if !settling.held.contains_key(&want.id) {
            settling.serve(want);
        }
    }
    settling.out
}

struct Settling<'a> {
    slots: &'a [Slot],
    wants: &'a [Want],
    held: BTreeMap<u64, usize>,
    leaving: Vec<u64>,
    out: Settlement,
}

impl Settling<'_> {
    /// A holder whose tuner went away, or no longer fits, leaves when there is somewhere to go.
    fn keep_or_leave(&mut self, want: &Want) {
        let Some(&slot) = self.held.get(&want.id).filter(|_| !self.leaving.contains(&want.id)) else { return };
        let fits = self.slots.get(slot).is_some_and(|_| self.usable(slot, want));
        let better = || {
            let open = |other: usize| self.free(other) || (want.priority > PROVING && self.only_proving(other));
            (0..self.slots.len()).any(|other| self.slots[other].present && open(other) && self.usable(other, want))
        };
        if !fits || (!self.slots[slot].present && better()) {
            self.revoke(want.id);
        }
    }

    fn serve(&mut self, want: &Want) {
        let candidates: Vec<usize> = (0..self.slots.len()).filter(|slot| self.usable(*slot, want)).collect();
        // The least useful tuner that will do, so that the versatile ones stay free.
        let key = |slot: &usize| (!self.slots[*slot].present, self.slots[*slot].antennas.len(), *slot);
        let free = candidates.iter().copied().filter(|slot| self.free(*slot)).min_by_key(key);
        if let Some(slot) = free.filter(|slot| self.slots[*slot].present) {
            return self.grant(want.id, slot);
        }
        // Somebody who was told to leave makes room already.
        let comes_free = |slot: &usize| self.holders(*slot).all(|holder| self.leaving.contains(&holder));
        if candidates.iter().any(|slot| self.slots[*slot].present && comes_free(slot) && !self.free(*slot)) {
            return;
        }
        let victim = candidates
            .iter()
            .filter(|slot| self.slots[**slot].present)
            .filter_map(|slot| self.weakest(*slot, want.priority))
            .min();
        match (victim, free) {
            (Some((_, _, holder)), _) => self.revoke(holder),
            (None, Some(absent)) => self.grant(want.id, absent),
            (None, None) => {}
        }
    }

    /// The one holder of a tuner's group, when it is weaker than `priority`: lowest priority first, then the youngest.
    fn weakest(&self, slot: usize, priority: u8) -> Option<(u8, std::cmp::Reverse<u64>, u64)> {
        let mut holders = self.holders(slot);
        let (holder, others) = (holders.next()?, holders.next());
        let want = self.wants.iter().find(|want| want.id == holder)?;
        let weaker = others.is_none() && want.priority < priority && !self.leaving.contains(&holder);
        weaker.then_some((want.priority, std::cmp::Reverse(holder), holder))
    }

    /// Everybody on this tuner or another of its group.
    fn holders(&self, slot: usize) -> impl Iterator<Item = u64> {
        let group = self.slots[slot].group;
        let in_group = move |slot: &usize| self.slots.get(*slot).is_some_and(|slot| slot.group == group);
        self.held.iter().filter(move |(_, slot)| in_group(slot)).map(|(holder, _)| *holder)
    }

    fn free(&self, slot: usize) -> bool {
        self.holders(slot).next().is_none()
    }

    /// Whether those who hold it would leave for anybody.
    fn only_proving(&self, slot: usize) -> bool {
        self.holders(slot).all(|holder| self.wants.iter().any(|want| want.id == holder && want.priority == PROVING))
    }

    fn usable(&self, slot: usize, want: &Want) -> bool {
        let here = &self.slots[slot];
        if !here.antennas.contains(&want.antenna) || want.only.is_some_and(|only| only != slot) {
            return false;
        }
        let Some(master) = here.slave_of else { return true };
        let holder = self.held.iter().find(|(_, slot)| **slot == master).map(|(holder, _)| *holder);
        let leads = self.wants.iter().find(|other| Some(other.id) == holder);
        leads.is_some_and(|leads| (leads.antenna, leads.wave) == (want.antenna, want.wave))
    }

    fn grant(&mut self, id: u64, slot: usize) {
        self.held.insert(id, slot);
        self.out.grants.push((id, slot));
    }

    fn revoke(&mut self, id: u64) {
        self.leaving.push(id);
        self.out.revokes.push(id);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(antennas: &[usize]) -> Slot {
        Slot { antennas: antennas.to_vec(), present: true, group: 0, slave_of: None }
    }

    fn slots(list: &[&[usize]]) -> Vec<Slot> {
        list.iter().enumerate().map(|(group, antennas)| Slot { group, ..slot(antennas) }).collect()
    }

    fn want(id: u64, antenna: usize, priority: u8) -> Want {
        Want { id, antenna, wave: (false, false), priority, only: None }
    }

    fn check(slots: &[Slot], wants: &[Want], held: &[(u64, usize)], want: &str) {
        let got = settle(slots, wants, &held.iter().copied().collect(), &[]);
        let grants = got.grants.iter().map(|(id, slot)| format!("{id}->{slot}"));
        let words: Vec<String> = grants.chain(got.revokes.iter().map(|id| format!("-{id}"))).collect();
        assert_eq!(words.join(" "), want);
    }

    #[test]
    fn the_least_useful_tuner_that_will_do() {
        check(&slots(&[&[0, 1], &[0]]), &[want(1, 0, 5)], &[], "1->1");
        check(&slots(&[&[0, 1], &[0]]), &[want(1, 0, 5), want(2, 1, 5)], &[], "1->1 2->0");
        check(&slots(&[&[0]]), &[want(1, 3, 5)], &[], "");
    }

    #[test]
    fn who_holds_keeps_unless_somebody_matters_more() {
        let one = slots(&[&[0]]);
        check(&one, &[want(1, 0, 5), want(2, 0, 5)], &[(1, 0)], "");
        check(&one, &[want(1, 0, 5), want(2, 0, 6)], &[(1, 0)], "-1");
        check(&one, &[want(1, 0, 3), want(2, 0, 6)], &[], "2->0");
        // Of two weaker ones the weakest goes, then the youngest.
        let two = slots(&[&[0], &[0]]);
        check(&two, &[want(1, 0, 3), want(2, 0, 4), want(3, 0, 6)], &[(1, 0), (2, 1)], "-1");
        check(&two, &[want(1, 0, 3), want(2, 0, 3), want(3, 0, 6)], &[(1, 0), (2, 1)], "-2");
    }

    #[test]
    fn one_who_leaves_is_waited_for() {
        let (one, wants) = (slots(&[&[0]]), [want(1, 0, 5), want(2, 0, 6)]);
        let held = BTreeMap::from([(1, 0)]);
        assert_eq!(settle(&one, &wants, &held, &[1]), Settlement::default());
        assert_eq!(settle(&one, &wants[1..], &BTreeMap::new(), &[]).grants, [(2, 0)]);
    }

    #[test]
    fn a_lost_tuner_is_left_for_a_free_one_else_waited_for() {
        let mut two = slots(&[&[0], &[0]]);
        two[0].present = false;
        check(&two, &[want(1, 0, 5)], &[(1, 0)], "-1");
        check(&two, &[want(1, 0, 5), want(2, 0, 5)], &[(1, 0), (2, 1)], "");
        check(&two[..1], &[want(1, 0, 5)], &[], "1->0");
    }

    #[test]
    fn frontends_on_one_demux_are_used_one_at_a_time() {
        let shared = vec![slot(&[0]), slot(&[1])];
        check(&shared, &[want(1, 0, 5), want(2, 1, 5)], &[], "1->0");
        check(&shared, &[want(1, 0, 5), want(2, 1, 6)], &[(1, 0)], "-1");
    }

    #[test]
    fn a_slave_goes_where_its_master_is() {
        let mut pair = slots(&[&[0], &[0]]);
        pair[1].slave_of = Some(0);
        check(&pair, &[want(1, 0, 5), want(2, 0, 5)], &[], "1->0 2->1");
        let other = Want { wave: (true, false), ..want(2, 0, 5) };
        check(&pair, &[want(1, 0, 5), other.clone()], &[], "1->0");
        // The master moved on: the slave must go.
        check(&pair, &[other, want(3, 0, 5)], &[(2, 0), (3, 1)], "-3");
    }

    #[test]
    fn a_proof_is_nobodys_obstacle() {
        let two = slots(&[&[0], &[0]]);
        let proof = |id, only| Want { only: Some(only), ..want(id, 0, PROVING) };
        check(&two, &[proof(1, 1)], &[], "1->1");
        // The other tuner is taken first, and the proof only when there is none.
        check(&two, &[proof(1, 1), want(2, 0, 1)], &[(1, 1)], "2->0");
        check(&two, &[proof(1, 1), want(2, 0, 1), want(3, 0, 1)], &[(1, 1), (2, 0)], "-1");
        check(&two, &[proof(1, 1), want(2, 0, 1)], &[(2, 1)], "");
        // A channel whose tuner went away does not wait for the end of a proof.
        let mut lost = two.clone();
        lost[0].present = false;
        check(&lost, &[proof(1, 1), want(2, 0, 1)], &[(1, 1), (2, 0)], "-2");
        check(&lost, &[proof(1, 1), want(2, 0, 1)], &[(1, 1)], "-1");
    }

    proptest! {
        #[test]
        fn no_two_on_one_tuner_and_it_comes_to_rest(
            list in proptest::collection::vec((proptest::collection::vec(0..3_usize, 1..3), any::<bool>(), 0..4_usize), 1..6),
            wishes in proptest::collection::vec((0..3_usize, 0..10_u8), 0..10),
        ) {
            let slots: Vec<_> = list.into_iter().map(|(antennas, present, group)| Slot { antennas, present, group, slave_of: None }).collect();
            let wants: Vec<_> = wishes.iter().enumerate().map(|(id, (antenna, priority))| want(id as u64, *antenna, *priority)).collect();
            let mut held = BTreeMap::new();
            let mut rounds = 0;
            loop {
                let step = settle(&slots, &wants, &held, &[]);
                if step == Settlement::default() {
                    break;
                }
                step.revokes.iter().for_each(|id| { held.remove(id); });
                for (id, slot) in step.grants {
                    let taken = held.values().any(|other: &usize| slots[*other].group == slots[slot].group);
                    prop_assert!(!taken, "slot {slot} granted twice");
                    held.insert(id, slot);
                }
                rounds += 1;
                prop_assert!(rounds < 50, "never comes to rest");
            }
        }
    }
}
