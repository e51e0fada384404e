//! Feeds the dashboard: why viewers were sent where they are, and the picture of each second.

use std::sync::{Arc, Mutex, PoisonError};

use headend_rt::{CancellationToken, Clock};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::{
    api::Office,
    fleet::{probe::round::ProbePlan, redirect::Change, state::NodeKey},
    noc::{Decisions, Listed, Matrix, Picture, decisions, matrix},
    viewing::Catalogue,
};

/// Notes each change of a redirect for the dashboard, then passes it on to be kept.
pub async fn note_changes(
    mut changes: mpsc::Receiver<Change>,
    decisions: Arc<Mutex<Decisions>>,
    onward: mpsc::Sender<Change>,
    (clock, stop): (Arc<dyn Clock>, CancellationToken),
) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => return,
        };
        let Some(change) = change else { return };
        decisions.lock().unwrap_or_else(PoisonError::into_inner).take(&change, clock.now());
        if onward.send(change).await.is_err() {
            return;
        }
    }
}

/// What the dashboard looks at.
pub struct Look {
    /// The rest of the controller.
    pub office: Arc<Office>,
    /// Why viewers are where they are.
    pub decisions: Arc<Mutex<Decisions>>,
    /// The order in which origins are preferred.
    pub plan: watch::Receiver<Arc<ProbePlan>>,
    /// When this process began, for choices that never changed.
    pub began: Timestamp,
}

impl Look {
    /// The picture of this moment.
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        let office = &self.office;
        let (catalogue, plan) = (office.catalogue.current(), Arc::clone(&self.plan.borrow()));
        let (now, wall) = (office.fleet.state.now(), office.clock.now());
        let (sent, probes) = office.fleet.desk.look(|redirects, at| {
            let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = decisions.sent(redirects, &plan.redirects, at, self.began);
            // Every origin is probed every 2 s while the probing task lives, and the program does not outlive it.
            (sent, decisions::probes(redirects, at, |_, _| Some(now)))
        });
        let nodes: Vec<NodeKey> = crate::policy::line_up::origins(&catalogue).into_iter().collect();
        let channels = listed(&catalogue);
        let fleet = office.fleet.state.subscribe();
        let fleet = fleet.borrow();
        let elapsed = jiff::SignedDuration::try_from(now).unwrap_or(jiff::SignedDuration::ZERO);
        let started = wall.saturating_sub(elapsed).unwrap_or(self.began);
        matrix::build(&Picture {
            channels: &channels,
            nodes: &nodes,
            fleet: &fleet,
            probes: &probes,
            sent: &sent,
            started,
            now,
        })
    }
}

fn listed(catalogue: &Catalogue) -> Vec<Listed> {
    let enabled = catalogue.in_order().into_iter().filter(|channel| channel.enabled);
    let line = |channel: &crate::domain::Channel| Listed {
        name: channel.name.clone(),
        title: channel.title.clone(),
        number: Some(channel.number.into()),
        segment_secs: channel.segment_ms / 1_000,
        preferred: channel
            .sources
            .iter()
            .filter_map(|(site, sources)| Some((site.clone(), sources.first()?.id.clone())))
            .collect(),
    };
    enabled.map(line).collect()
}
