//! The channels that run, by name, as the HTTP side sees them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use headend_wire::ChannelName;

use super::live::Live;

/// The map is replaced as a whole when the desired state changes; requests never wait for it.
#[derive(Default)]
pub struct Channels {
    live: ArcSwap<HashMap<ChannelName, Arc<Live>>>,
    counters: Counters,
}

/// What HTTP counts over all channels.
#[derive(Default)]
pub struct Counters {
    refused: AtomicU64,
}

impl Counters {
    /// A request without a good token.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests without a good token so far.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Channels {
    /// A running channel.
    #[must_use]
    pub fn get(&self, name: &ChannelName) -> Option<Arc<Live>> {
        self.live.load().get(name).cloned()
    }

    /// Puts a channel in the place of what ran under its name.
    pub fn insert(&self, name: &ChannelName, live: &Arc<Live>) {
        self.live.rcu(|old| {
            let mut map = HashMap::clone(old);
            map.insert(name.clone(), Arc::clone(live));
            map
        });
    }

    /// Takes a channel away; its viewers get 404 from now on.
    pub fn remove(&self, name: &ChannelName) {
        self.live.rcu(|old| {
            let mut map = HashMap::clone(old);
            map.remove(name);
            map
        });
    }

    /// Counters of all channels.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
