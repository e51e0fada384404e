//! The inputs of a node, each open once however many channels use it.
//!
//! An input is keyed by its feed, so all channels of one multiplex share one receiver, one ring and one watch. It is
//! opened by the first [`InputHandle`] and closed when the last one is dropped. Each runs in a supervisor group of its
//! own: a failure is retried inside it, a panic restarts it, and no other input notices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headend_media::service::ServiceId;
use headend_media::text::TextDefaults;
use headend_rt::supervisor::{Fate, Supervisor};
use headend_rt::{CancellationToken, Clock};
use tokio::sync::watch;

use super::address::{Feed, SourceAddress};
use super::health::InputSample;
use super::http_ts::HttpDeadlines;
use super::intake::{Board, Intake, Monotonic};
use super::receive::{self, Receiver};
use super::refine::{Refinery, Wanted};
use super::report::InputReport;
use super::ring::Ring;
use super::tuner::demand::{Demand, User};
use super::tuner::pool::Tuners;
use super::tuner::session::Session;
use super::udp::RECEIVE_BUFFER_BYTES;

/// What all inputs of a node have in common.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// Bytes of each input's ring; the memory is taken when the input is opened.
    pub ring_bytes: usize,
    /// Socket buffer asked for.
    pub receive_buffer_bytes: usize,
    /// Deadlines of HTTP sources.
    pub http: HttpDeadlines,
    /// Character tables for services whose texts name none.
    pub text: TextDefaults,
    /// What packets pass through on their way into the ring; none: nothing.
    pub refinery: Option<Refinery>,
}

impl Default for InputOptions {
    /// 32 MiB rings: more than four seconds of a 60 Mbit/s multiplex, a minute of one channel.
    fn default() -> Self {
        Self {
            ring_bytes: 32 << 20,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            http: HttpDeadlines::default(),
            text: TextDefaults::default(),
            refinery: None,
        }
    }
}

/// The open inputs; clones are the same set.
#[derive(Clone)]
pub struct InputSet {
    shared: Arc<Shared>,
}

struct Shared {
    supervisor: Supervisor,
    clock: Arc<dyn Clock>,
    mono: Monotonic,
    options: InputOptions,
    /// None in programs that open no tuner.
    tuners: Option<Tuners>,
    inputs: Mutex<BTreeMap<Key, Entry>>,
}

/// The feed; for a file also the service, because the splice of the loop is made for one.
type Key = (Feed, Option<u16>);

struct Entry {
    board: Arc<Board>,
    wanted: Arc<Wanted>,
    users: usize,
    /// For DVB: who its users are.
    demand: Demand,
    stop: CancellationToken,
}

/// A user's hold on an input; the last one dropped closes it.
pub struct InputHandle {
    shared: Arc<Shared>,
    key: Key,
    service: Option<ServiceId>,
    user: User,
    board: Arc<Board>,
    wanted: Arc<Wanted>,
}

impl InputSet {
    /// An empty set whose tasks run in `supervisor`'s group. `clock` is the wall time files are played by, `mono` the
    /// monotonic time of rings and samples.
    #[must_use]
    pub fn new(supervisor: Supervisor, clock: Arc<dyn Clock>, mono: Monotonic, options: InputOptions) -> Self {
        Self::with_tuners(supervisor, clock, (mono, options), None)
    }

    /// The same with the tuners of this node, so that `dvb://` addresses can be opened.
    #[must_use]
    pub fn with_tuners(
        supervisor: Supervisor,
        clock: Arc<dyn Clock>,
        (mono, options): (Monotonic, InputOptions),
        tuners: Option<Tuners>,
    ) -> Self {
        let inputs = Mutex::default();
        Self { shared: Arc::new(Shared { supervisor, clock, mono, options, tuners, inputs }) }
    }

    /// Opens `address`, or joins it when its feed is open. Never fails and never waits: a source that cannot be opened
    /// is offline and says why in its report.
    #[must_use]
    pub fn open(&self, address: &SourceAddress) -> InputHandle {
        let service = matches!(address.feed, Feed::File(_)).then_some(address.service).flatten();
        let priority = if let Feed::Dvb(dvb) = &address.feed { dvb.priority } else { 0 };
        let feed = address.feed.shared();
        let (key, user) = ((feed, service), User { priority, service: address.service.map(ServiceId) });
        let mut inputs = self.shared.inputs();
        let entry = inputs.entry(key.clone()).or_insert_with(|| self.shared.start(&key));
        entry.users += 1;
        entry.demand.add(user);
        let (board, wanted) = (Arc::clone(&entry.board), Arc::clone(&entry.wanted));
        drop(inputs);
        wanted.join(user.service);
        InputHandle { shared: Arc::clone(&self.shared), key, service: user.service, user, board, wanted }
    }

    /// What is known of every open input, in the order of their addresses.
    #[must_use]
    pub fn reports(&self) -> Vec<InputReport> {
        let boards: Vec<_> = self.shared.inputs().values().map(|entry| Arc::clone(&entry.board)).collect();
        boards.iter().map(|board| board.report().clone()).collect()
    }

    /// The monotonic time of rings and samples.
    #[must_use]
    pub fn mono(&self) -> Monotonic {
        self.shared.mono
    }
}

impl Shared {
    fn inputs(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, (feed, service): &Key) -> Entry {
        let label = feed.label();
        let options = &self.options;
        let (mut intake, board) = Intake::new(label.clone(), options.ring_bytes, options.text.clone(), self.mono.ms());
        let wanted = Arc::new(Wanted::default());
        if let Some(refinery) = &options.refinery {
            intake.refine(refinery.make(&label), Arc::clone(&wanted));
        }
        let receiver = Receiver::new(intake, self.mono);
        let group = self.supervisor.group(&label);
        let demand = Demand::default();
        match feed.clone() {
            Feed::Udp(udp) => {
                let buffer_bytes = options.receive_buffer_bytes;
                group.spawn_thread("udp", Fate::Restart, move |token| {
                    receive::udp(&udp, buffer_bytes, &receiver, &token);
                });
            }
            Feed::Http(http) => {
                let deadlines = options.http;
                group.spawn("http", Fate::Restart, move |token| {
                    receive::http(http.clone(), deadlines, receiver.clone(), token)
                });
            }
            Feed::File(path) => {
                let (clock, service) = (Arc::clone(&self.clock), *service);
                group.spawn("file", Fate::Restart, move |token| {
                    let path = PathBuf::from(path.clone());
                    receive::file(path, service, Arc::clone(&clock), receiver.clone(), token)
                });
            }
            Feed::Dvb(feed) => match self.tuners.clone() {
                Some(tuners) => {
                    let session = Session { feed, tuners, demand: demand.clone(), receiver, proving: None };
                    group.spawn_thread("dvb", Fate::Restart, move |token| session.run(&token));
                }
                None => receiver.failed("this program opens no tuners; ask a node that has some".to_owned()),
            },
        }
        Entry { board, wanted, users: 0, demand, stop: group.token() }
    }
}

impl InputHandle {
    /// The input's packets. The ring is closed when the input is.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.board.ring
    }

    /// The service of the address this handle was opened with.
    #[must_use]
    pub fn service(&self) -> Option<ServiceId> {
        self.service
    }

    /// The feed that is shared.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.key.0
    }

    /// A sample each 250 ms while the input's task lives; see [`InputSample::observe`].
    #[must_use]
    pub fn samples(&self) -> watch::Receiver<Arc<InputSample>> {
        self.board.samples.subscribe()
    }

    /// What is known of the input now.
    #[must_use]
    pub fn report(&self) -> InputReport {
        self.board.report().clone()
    }
}

impl Drop for InputHandle {
    fn drop(&mut self) {
        self.wanted.leave(self.service);
        let mut inputs = self.shared.inputs();
        let Some(entry) = inputs.get_mut(&self.key) else { return };
        entry.users -= 1;
        entry.demand.remove(self.user);
        if entry.users == 0
            && let Some(entry) = inputs.remove(&self.key)
        {
            drop(inputs);
            entry.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests;
