//! Channels, tariffs and nodes as one value in memory, read anew after each write.
//!
//! They are small (300 channels, 200 nodes) and every request and every plan needs them whole. A reader holds an
//! `Arc` and is never blocked; the value is replaced, never changed.

use std::{collections::BTreeMap, sync::Arc};

use headend_wire::{ChannelName, NodeName};
use tokio::sync::{Mutex, watch};

use crate::{
    domain::{Channel, NodeRecord, Tariff},
    store::{Engine, StoreError, Table},
};

/// The line-up and who carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Every channel.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// Every tariff.
    pub tariffs: Vec<Tariff>,
    /// Every node.
    pub nodes: BTreeMap<NodeName, NodeRecord>,
}

impl Catalogue {
    /// The channels in the order of their numbers.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Channel> {
        let mut channels: Vec<&Channel> = self.channels.values().collect();
        channels.sort_by_key(|channel| (channel.number, &channel.name));
        channels
    }
}

/// Keeps the catalogue.
pub struct CatalogueKeeper {
    engine: Arc<dyn Engine>,
    current: watch::Sender<Arc<Catalogue>>,
    /// One reading at a time, so that an older one never replaces a newer one.
    reading: Mutex<()>,
}

impl CatalogueKeeper {
    /// Reads the catalogue for the first time.
    ///
    /// # Errors
    /// [`StoreError`] when a record cannot be read.
    pub async fn open(engine: Arc<dyn Engine>) -> Result<Self, StoreError> {
        let keeper = Self { engine, current: watch::Sender::default(), reading: Mutex::default() };
        keeper.refresh().await?;
        Ok(keeper)
    }

    /// The catalogue now.
    #[must_use]
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.borrow())
    }

    /// A receiver that wakes at each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.current.subscribe()
    }

    /// Reads it anew: after each write, and now and then for writes of others.
    ///
    /// # Errors
    /// [`StoreError`]; the last catalogue stands.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one = self.reading.lock().await;
        let channels: Table<Channel> = Table::new(Arc::clone(&self.engine));
        let tariffs: Table<Tariff> = Table::new(Arc::clone(&self.engine));
        let nodes: Table<NodeRecord> = Table::new(Arc::clone(&self.engine));
        let fresh = Catalogue {
            channels: channels.all().await?.into_iter().map(|kept| (kept.record.name.clone(), kept.record)).collect(),
            tariffs: tariffs.all().await?.into_iter().map(|kept| kept.record).collect(),
            nodes: nodes.all().await?.into_iter().map(|kept| (kept.record.name.clone(), kept.record)).collect(),
        };
        self.current.send_if_modified(|current| {
            let changed = **current != fresh;
            if changed {
                *current = Arc::new(fresh);
            }
            changed
        });
        Ok(())
    }
}
