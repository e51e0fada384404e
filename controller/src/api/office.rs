//! What every handler can reach: the store, the line-up, who is signed in, where origins are.
//!
//! Made once by `run` and shared; nothing here is decided, and nothing blocks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use headend_access::{Generation, Root, SessionId, TokenSigner};
use headend_rt::{Clock, Supervisor, config::Network, serve::Counters};
use headend_wire::ChannelName;
use tokio::sync::watch;

use super::slate::SlateShow;
use crate::{
    fleet::{
        commands::Issued,
        doors::OpenDoors,
        inbox::{Defects, FleetWatch},
        probe::round::Desk,
        state::NodeKey,
    },
    store::Engine,
    viewing::{CatalogueKeeper, Passwords, Sessions, SignIns},
};

/// Sessions whose last origin is remembered; a full memory starts anew, and its viewers are placed as new ones.
const PLACED_MAX: usize = 200_000;

/// The fleet as handlers see it.
pub struct FleetView {
    /// What nodes say.
    pub state: FleetWatch,
    /// What was refused of it.
    pub defects: Arc<Defects>,
    /// Where viewers belong.
    pub desk: Desk,
    /// What each node was sent last.
    pub issued: watch::Receiver<BTreeMap<NodeKey, Issued>>,
    /// Enrolment.
    pub doors: Arc<OpenDoors>,
}

/// Numbers of the key door and the redirects since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Content keys given.
    pub keys_given: AtomicU64,
    /// Content keys refused.
    pub keys_refused: AtomicU64,
    /// Viewers sent to an origin.
    pub redirected: AtomicU64,
    /// Viewers sent to the slate.
    pub slated: AtomicU64,
    /// Play requests refused.
    pub play_refused: AtomicU64,
    /// Sign-ins that went well.
    pub sign_ins: AtomicU64,
    /// Sign-ins that did not.
    pub sign_ins_refused: AtomicU64,
}

/// Everything a handler can reach. Share it with `Arc`.
pub struct Office {
    /// The store.
    pub engine: Arc<dyn Engine>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Channels, tariffs, nodes.
    pub catalogue: CatalogueKeeper,
    /// Viewers that are signed in.
    pub sessions: Sessions,
    /// Passwords of viewers.
    pub viewer_passwords: Passwords,
    /// Passwords of operators.
    pub operator_passwords: Passwords,
    /// Operators that are signed in.
    pub operators: SignIns,
    /// Every root of content keys.
    pub roots: Arc<BTreeMap<Generation, Root>>,
    /// Signs playback tokens.
    pub signer: TokenSigner,
    /// The fleet.
    pub fleet: FleetView,
    /// The slate as a live stream.
    pub slate: SlateShow,
    /// What playlists name, without a trailing slash.
    pub public_url: String,
    /// Existing Flussonic servers that may ask who may watch.
    pub flussonic_servers: Vec<Network>,
    /// Whether browsers reach us over TLS.
    pub secure: bool,
    /// Counts.
    pub tally: Tally,
    /// What each server counts, by name.
    pub servers: Vec<(&'static str, Arc<Counters>)>,
    /// What runs, for metrics.
    pub supervisor: Supervisor,
    /// Why the store takes no writes, if it does not.
    pub store_failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// The origin each running session is on, by session.
    pub placed: Placed,
}

impl Office {
    /// Wall time, seconds since the Unix epoch.
    #[must_use]
    pub fn now_secs(&self) -> u64 {
        crate::viewing::sessions::unix_secs(&*self.clock)
    }

    /// Wall time, milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.unix_ms()).unwrap_or(0)
    }
}

/// Where running sessions are: a return to the preferred origin moves nobody who asks again.
#[derive(Default)]
pub struct Placed(Mutex<HashMap<SessionId, (ChannelName, NodeKey)>>);

impl Placed {
    /// The origin a session was sent to for this channel.
    #[must_use]
    pub fn on(&self, session: &SessionId, channel: &ChannelName) -> Option<NodeKey> {
        let placed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        placed.get(session).filter(|(on, _)| on == channel).map(|(_, origin)| origin.clone())
    }

    /// Remembers where a session was sent; none forgets it.
    pub fn set(&self, session: SessionId, channel: &ChannelName, origin: Option<&NodeKey>) {
        let mut placed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match origin {
            Some(origin) => {
                if placed.len() >= PLACED_MAX {
                    placed.clear();
                }
                placed.insert(session, (channel.clone(), origin.clone()));
            }
            None => drop(placed.remove(&session)),
        }
    }
}
