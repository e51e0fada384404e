//! The pool as reports and the rotation of proofs see it: every tuner of the node's file, at work or not.

use super::super::arbiter::PROVING;
use super::super::mux::DvbFeed;
use super::super::report::{ProofReport, SeatReport, SeatUse, Verdict};
use super::super::rotation::{Spare, Wanted};
use super::super::worker::Held;
use super::{Proof, State, Tuners};

impl Tuners {
    /// How every tuner of the node's file stands.
    #[must_use]
    pub fn seats(&self) -> Vec<SeatReport> {
        let state = self.lock();
        let now_ms = self.now_ms();
        (0..state.devices.len()).map(|tuner| self.seat(&state, tuner, now_ms)).collect()
    }

    fn seat(&self, state: &State, tuner: usize, now_ms: u64) -> SeatReport {
        let (inventory, seat) = (self.inventory(), &state.devices[tuner]);
        let configured = &inventory.tuners[tuner];
        let holder = state.held.iter().find(|(_, held)| **held == tuner).map(|(holder, _)| *holder);
        let want = state.wants.iter().find(|want| Some(want.id) == holder);
        let doing = match want {
            _ if seat.device.is_none() => SeatUse::Absent,
            Some(want) if want.priority > PROVING => SeatUse::Serving,
            Some(_) => SeatUse::Proving,
            None if seat.parked.is_some() => SeatUse::Warm,
            None => SeatUse::Idle,
        };
        let mux = holder.and_then(|holder| state.errands.get(&holder)).map(|errand| errand.feed.to_string());
        let proof = |(mux, proof): (&DvbFeed, &Proof)| ProofReport {
            mux: mux.to_string(),
            verdict: proof.verdict,
            age_ms: now_ms.saturating_sub(proof.at_ms),
            proven_age_ms: proof.proven_ms.map(|proven| now_ms.saturating_sub(proven)),
            margin: proof.margin,
            missing: proof.missing.clone(),
        };
        SeatReport {
            tuner: configured.name.to_string(),
            device: configured.device.to_string(),
            antennas: configured.antennas.iter().map(|index| inventory.antennas[*index].name.to_string()).collect(),
            doing,
            mux: mux.unwrap_or_default(),
            hanging: seat.hanging.iter().filter(|held| Held::holds(held)).count(),
            proofs: seat.proofs.iter().map(proof).collect(),
        }
    }

    /// Tuners that nobody uses and that can be proved alone. A slave goes where its master is, so it proves nothing; a
    /// tuner whose demultiplexer is at work for another one would be taken from it.
    #[must_use]
    pub(crate) fn spares(&self) -> Vec<Spare> {
        let state = self.lock();
        let slots = self.slots(&state);
        let taken = |group: usize| state.held.values().any(|held| slots[*held].group == group);
        let free = |tuner: &usize| {
            let (slot, seat) = (&slots[*tuner], &state.devices[*tuner]);
            slot.present && slot.slave_of.is_none() && !taken(slot.group) && !seat.hanging.iter().any(Held::holds)
        };
        let spare = |tuner: usize| Spare { tuner, antennas: slots[tuner].antennas.clone() };
        (0..slots.len()).filter(free).map(spare).collect()
    }

    /// Multiplexes that channels want.
    #[must_use]
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let state = self.lock();
        let of =
            |want: &super::Want| Some(Wanted { mux: state.errands.get(&want.id)?.feed.clone(), antenna: want.antenna });
        state.wants.iter().filter(|want| want.priority > PROVING).filter_map(of).collect()
    }

    /// The services of a multiplex that channels want by number.
    #[must_use]
    pub(crate) fn services_of(&self, mux: &DvbFeed) -> Vec<headend_media::service::ServiceId> {
        let state = self.lock();
        let errands = state.wants.iter().filter(|want| want.priority > PROVING);
        let mut found = errands.filter_map(|want| state.errands.get(&want.id)).filter(|errand| errand.feed == *mux);
        found.next().map(|errand| errand.demand.services()).unwrap_or_default()
    }

    /// Remembers how a tuner did as a backup; gives the verdict before.
    pub(crate) fn proved(
        &self,
        tuner: usize,
        mux: &DvbFeed,
        (verdict, margin, missing): (Verdict, Option<f64>, Vec<u16>),
    ) -> Option<Verdict> {
        let at_ms = self.now_ms();
        let wanted: Vec<DvbFeed> = self.wanted().into_iter().map(|wanted| wanted.mux).collect();
        let mut state = self.lock();
        let seat = state.devices.get_mut(tuner)?;
        let before = seat.proofs.get(mux).map(|proof| (proof.verdict, proof.proven_ms));
        let proven_ms = if verdict == Verdict::Proven { Some(at_ms) } else { before.and_then(|(_, proven)| proven) };
        seat.proofs.retain(|mux, _| wanted.contains(mux));
        seat.proofs.insert(mux.clone(), Proof { at_ms, proven_ms, verdict, margin, missing });
        before.map(|(verdict, _)| verdict)
    }

    /// Milliseconds since this pool began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.shared.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
