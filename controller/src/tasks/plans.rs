//! Makes the plans of nodes and probes whenever something they follow from has changed.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use headend_access::SessionId;
use headend_rt::CancellationToken;
use headend_wire::ChannelName;
use tokio::sync::watch;

use super::origins::Origins;
use crate::{
    fleet::{desired::FleetPlan, inbox::FleetWatch, probe::round::ProbePlan, state::FleetState},
    policy::line_up::{Addresses, Settings, addresses, fleet_plan, redirect_plan, registered},
    viewing::Catalogue,
};

/// What plans follow from.
pub struct Planner {
    /// The line-up and the nodes.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// Sessions that nodes are to refuse.
    pub revoked: watch::Receiver<Arc<Vec<SessionId>>>,
    /// Where nodes say they are.
    pub fleet: FleetWatch,
    /// What comes from the configuration.
    pub settings: Settings,
    /// Where nodes said they are, also in an earlier life.
    pub origins: Origins,
    /// The controller's own lookout.
    pub lookout: Vec<SocketAddr>,
    /// What nodes are to do.
    pub nodes: watch::Sender<Arc<FleetPlan>>,
    /// What probes are to do.
    pub probes: watch::Sender<Arc<ProbePlan>>,
}

impl Planner {
    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut fleet = self.fleet.subscribe();
        loop {
            let said = said(&fleet.borrow_and_update());
            self.plan(&said);
            let moved = async {
                let _ = fleet.wait_for(|state| self::said(state) != said).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.catalogue.changed() => if changed.is_err() { return },
                changed = self.revoked.changed() => if changed.is_err() { return },
                () = moved => {}
            }
        }
    }

    /// Makes the plans of this moment.
    pub fn plan(&mut self, said: &Addresses) {
        let catalogue = Arc::clone(&self.catalogue.borrow_and_update());
        let revoked = Arc::clone(&self.revoked.borrow_and_update());
        let known = addresses(&catalogue, self.origins.hear(said));
        let nodes = fleet_plan(&catalogue, &known, &self.settings, &revoked);
        replace(&self.nodes, nodes);
        let period = |(name, channel): (&ChannelName, &crate::domain::Channel)| (name.clone(), channel.period_ms);
        let key_period_ms: BTreeMap<ChannelName, u64> = catalogue.channels.iter().map(period).collect();
        let redirects = redirect_plan(&catalogue, &known, &self.settings);
        let (addresses, lookout) = (registered(&catalogue), self.lookout.clone());
        replace(&self.probes, ProbePlan { redirects, key_period_ms, addresses, lookout });
    }
}

fn replace<T: PartialEq>(sender: &watch::Sender<Arc<T>>, fresh: T) {
    sender.send_if_modified(|current| {
        let changed = **current != fresh;
        if changed {
            *current = Arc::new(fresh);
        }
        changed
    });
}

/// Where every node said it is. A node that died keeps its address: its sources are tried until it is back.
fn said(state: &FleetState) -> Addresses {
    let told = state.nodes().filter_map(|(key, node)| {
        let url = node.birth.as_ref()?.origin_url.trim_end_matches('/');
        Some((key.clone(), url.to_owned()))
    });
    told.collect()
}
