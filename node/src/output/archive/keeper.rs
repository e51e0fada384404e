//! Keeps the archive: a thread a disk that places segments, writes indexes and makes room.
//!
//! A disk's thread takes what channels gave it, at most 256 segments or a second at a time; places the files, waits once
//! until all of them are on the disk, and only then writes their lines. Every ten seconds it looks whether the disk is
//! still the one it was, and whether something has to go. A disk that hangs holds its thread and nothing else: its queue
//! of 1,024 segments (a path and 200 bytes each) fills, and what comes then is a gap.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use headend_access::Day;
use headend_rt::{
    CancellationToken, Clock,
    supervisor::{Fate, Supervisor},
};
use headend_wire::{ChannelName, Dvr};
use serde::Serialize;
use tracing::{info, warn};

use super::{
    disk::{Disk, DiskStatus, cause},
    gap::{Cause, Gap},
    line::Stored,
    policy::{self, Room},
    reel::Stretch,
    vault::{BACKLOG_MAX, Job, Vault},
};
use crate::output::keys::KeyStore;

const QUEUE: usize = 1_024;
const BATCH: usize = 256;
/// How long a batch may gather.
const GATHER: Duration = Duration::from_secs(1);
/// How often a disk is looked at.
const PASS: Duration = Duration::from_secs(10);
/// Made at once when a disk says that it is full.
const NEED_BYTES: u64 = 64 << 20;
/// Gaps and stretches that a status shows of a channel.
const SHOWN_MAX: usize = 200;

/// How the archive is.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveStatus {
    /// Every disk.
    pub disks: Vec<DiskStatus>,
    /// Every channel that has something in it.
    pub channels: Vec<VaultStatus>,
}

/// What is kept of one channel.
#[derive(Debug, Clone, Serialize)]
pub struct VaultStatus {
    /// Its name.
    pub channel: ChannelName,
    /// What is wished; none for one that is not recorded any more.
    pub keep: Option<String>,
    /// Bytes on all disks.
    pub bytes: u64,
    /// Number of the newest recorded segment.
    pub last_segment: Option<u64>,
    /// Lines of indexes that do not read back.
    pub damaged_lines: u32,
    /// What is recorded, newest last, at most 200.
    pub stretches: Vec<(i64, i64)>,
    /// What is not, between them and since; newest last, at most 200.
    pub gaps: Vec<Gap>,
}

/// The archive of a node.
#[derive(Debug)]
pub struct Archive {
    pub(crate) disks: Vec<Arc<Disk>>,
    queues: Vec<(SyncSender<Job>, Mutex<Receiver<Job>>)>,
    vaults: RwLock<HashMap<ChannelName, Arc<Vault>>>,
    guaranteed_secs: u64,
    live_dir: PathBuf,
    clock: Arc<dyn Clock>,
}

impl Archive {
    /// An archive on these folders, one a disk; none is touched yet. `live_dir` holds the live windows, a folder a channel.
    #[must_use]
    pub fn new(
        paths: &[PathBuf],
        guaranteed_secs: u64,
        (state_dir, live_dir): (&Path, &Path),
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let disks = paths.iter().map(|path| Arc::new(Disk::new(path.clone(), state_dir))).collect();
        let queue = |_: &PathBuf| {
            let (sender, receiver) = sync_channel(QUEUE);
            (sender, Mutex::new(receiver))
        };
        let queues = paths.iter().map(queue).collect();
        Arc::new(Self {
            disks,
            queues,
            vaults: RwLock::default(),
            guaranteed_secs,
            live_dir: live_dir.to_path_buf(),
            clock,
        })
    }

    /// Whether any disk is configured.
    #[must_use]
    pub fn configured(&self) -> bool {
        !self.disks.is_empty()
    }

    /// Starts the disks' threads; they end when what was given to them is on the disk.
    pub fn start(self: &Arc<Self>, supervisor: &Supervisor, keys: &Arc<KeyStore>) {
        for index in 0..self.disks.len() {
            let (archive, keys) = (Arc::clone(self), Arc::clone(keys));
            supervisor.spawn_thread(&format!("archive {index}"), Fate::Restart, move |token| {
                archive.serve(index, &keys, &token);
            });
        }
    }

    /// The archive of a channel, wanted so from now on.
    pub(crate) fn vault(&self, name: &ChannelName, dvr: Option<Dvr>) -> Arc<Vault> {
        let vault = self.known(name);
        vault.want(dvr, self.now());
        vault
    }

    /// The archive of a channel, whoever asks first; nobody wants a new one yet.
    fn known(&self, name: &ChannelName) -> Arc<Vault> {
        let mut vaults = self.vaults.write().unwrap_or_else(PoisonError::into_inner);
        let vault = vaults.entry(name.clone()).or_insert_with(|| {
            let folder = self.live_dir.join(name.as_str().replace('/', "%2F"));
            let vault = Vault::new(name.clone(), &folder);
            vault.want(None, self.now());
            Arc::new(vault)
        });
        Arc::clone(vault)
    }

    /// A channel runs no more: it is recorded no more, and what is there stays for a while.
    pub(crate) fn unwant(&self, name: &ChannelName) {
        let vault = self.vaults.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(vault) = vault {
            vault.want(None, self.now());
        }
    }

    /// Reads a channel's indexes, then lets in what waited for that. Blocking.
    pub(crate) fn load(&self, vault: &Arc<Vault>) {
        if !vault.begin_load() {
            return;
        }
        for (index, disk) in self.disks.iter().enumerate() {
            let read = disk.check().and_then(|()| vault.load(index, disk).map_err(|error| cause(&error)));
            if let Err(cause) = read {
                disk.set_fault(Some(cause));
                warn!(channel = %vault.name, disk = %disk.status().path.display(), %cause, "archive not read");
            }
        }
        loop {
            let job = {
                let mut state = vault.locked();
                let job = state.backlog.pop_front();
                state.loaded |= job.is_none();
                job
            };
            let Some(Job { vault, stored, live }) = job else { return };
            self.give(&vault, stored, live);
        }
    }

    /// Takes a segment that was just given out to viewers; never waits for a disk.
    pub(crate) fn record(&self, vault: &Arc<Vault>, stored: Stored, live: PathBuf) {
        {
            let mut state = vault.locked();
            if state.dvr.is_none() {
                return;
            }
            if !state.loaded && state.backlog.len() < BACKLOG_MAX {
                state.backlog.push_back(Job { vault: Arc::clone(vault), stored, live });
                return;
            }
        }
        self.give(vault, stored, live);
    }

    fn give(&self, vault: &Arc<Vault>, stored: Stored, live: PathBuf) {
        let job = Job { vault: Arc::clone(vault), stored, live };
        let lost = {
            let mut state = vault.locked();
            // A channel changes disks only when nothing of it is on its way, so that its segments stay in order.
            if state.pending == 0 {
                state.on = self.best(state.on);
            }
            match state.on.and_then(|index| self.queues.get(index)) {
                None => Some((job, self.why_none())),
                Some((queue, _)) => match queue.try_send(job) {
                    Ok(()) => {
                        state.pending += 1;
                        None
                    }
                    Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Some((job, Cause::DiskSlow)),
                },
            }
        };
        if let Some((job, cause)) = lost {
            miss(&job, cause);
        }
    }

    /// The disk with the largest free share that takes writes; the one in use unless another has a tenth more.
    fn best(&self, on: Option<usize>) -> Option<usize> {
        let free = |index: usize| {
            let status = self.disks.get(index)?.status();
            let free = status.total_bytes.saturating_sub(status.used_bytes) * 1_000 / status.total_bytes.max(1);
            status.fault.is_none().then_some(free)
        };
        let best = (0..self.disks.len()).filter_map(|index| Some((free(index)?, index)));
        let (most, best) = best.max_by_key(|(free, index)| (*free, std::cmp::Reverse(*index)))?;
        let stays = on.filter(|index| free(*index).is_some_and(|free| free + 100 >= most));
        Some(stays.unwrap_or(best))
    }

    fn why_none(&self) -> Cause {
        self.disks.first().map_or(Cause::NoDisk, |disk| disk.status().fault.unwrap_or(Cause::DiskSlow))
    }

    fn serve(&self, index: usize, keys: &KeyStore, token: &CancellationToken) {
        let Some((_, queue)) = self.queues.get(index) else { return };
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Instant::now();
        loop {
            if due <= Instant::now() {
                self.pass(index, 0);
                self.keep_keys(keys);
                due = Instant::now() + PASS;
            }
            let batch = gather(&queue, token);
            if batch.is_empty() && token.is_cancelled() {
                return;
            }
            self.batch(index, batch);
        }
    }

    fn batch(&self, index: usize, batch: Vec<Job>) {
        let disk = &self.disks[index];
        let mut placed: Vec<Job> = vec![];
        let mut there = disk.check();
        for job in batch {
            if job.vault.has(&job.stored) {
                // Offered again after a restart: the file that is listed is left alone.
                job.vault.settle(1);
                continue;
            }
            let mut done = there.and_then(|()| self.place(index, &job));
            if done == Err(Cause::DiskFull) {
                self.pass(index, NEED_BYTES);
                done = self.place(index, &job);
            }
            match done {
                Ok(()) => placed.push(job),
                Err(cause) => {
                    if !matches!(cause, Cause::DiskSlow | Cause::Damaged) {
                        there = Err(cause);
                    }
                    self.lose(index, &job, cause);
                }
            }
        }
        if placed.is_empty() {
            return;
        }
        if let Err(cause) = disk.sync() {
            placed.iter().for_each(|job| self.lose(index, job, cause));
            return;
        }
        let mut groups: Vec<Vec<Job>> = vec![];
        for job in placed {
            match groups.iter_mut().find(|group| Arc::ptr_eq(&group[0].vault, &job.vault)) {
                Some(group) => group.push(job),
                None => groups.push(vec![job]),
            }
        }
        for group in groups {
            let vault = Arc::clone(&group[0].vault);
            let fresh: Vec<Stored> = group.iter().map(|job| job.stored.clone()).collect();
            let done = vault.commit(index, disk, fresh.clone());
            let done = match done.map_err(|error| cause(&error)) {
                Err(Cause::DiskFull) => {
                    self.pass(index, NEED_BYTES);
                    vault.commit(index, disk, fresh).map_err(|error| cause(&error))
                }
                other => other,
            };
            vault.settle(group.len());
            match done {
                Ok(()) => self.fault(index, None),
                Err(cause) => {
                    self.fault(index, Some(cause));
                    group.iter().for_each(|job| miss(job, cause));
                }
            }
        }
    }

    fn place(&self, index: usize, job: &Job) -> Result<(), Cause> {
        let disk = &self.disks[index];
        let place = super::reel::place_in(&disk.channel(&job.vault.folder), &job.stored).ok_or(Cause::DiskFault)?;
        disk.place(&job.live, &place, job.stored.recorded.entry.bytes)
    }

    fn lose(&self, index: usize, job: &Job, cause: Cause) {
        if !matches!(cause, Cause::DiskSlow | Cause::Damaged) {
            self.fault(index, Some(cause));
        }
        job.vault.settle(1);
        miss(job, cause);
    }

    fn fault(&self, index: usize, fault: Option<Cause>) {
        let disk = &self.disks[index];
        if !disk.set_fault(fault) {
            return;
        }
        let path = disk.status().path;
        match fault {
            Some(cause) => warn!(disk = %path.display(), %cause, "archive: nothing is written to this disk"),
            None => info!(disk = %path.display(), "archive: this disk takes segments"),
        }
    }

    /// Looks at a disk, reads it again when it came back, and makes room on it.
    fn pass(&self, index: usize, need: u64) {
        let disk = &self.disks[index];
        let before = disk.status().fault;
        let measured = disk.check().and_then(|()| disk.measure());
        let (total, used) = match measured {
            Ok(measured) => measured,
            Err(cause) => return self.fault(index, Some(cause)),
        };
        for folder in disk.folders() {
            // A folder that is no channel's is not ours to touch.
            let Ok(name) = folder.replace("%2F", "/").parse::<ChannelName>() else { continue };
            let there = self.vaults.read().unwrap_or_else(PoisonError::into_inner).contains_key(&name);
            if !there {
                self.load(&self.known(&name));
            }
        }
        let vaults: Vec<Arc<Vault>> =
            self.vaults.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        if matches!(before, Some(Cause::DiskGone | Cause::DiskFault)) {
            for vault in vaults.iter().filter(|vault| vault.locked().loaded) {
                if let Err(error) = vault.load(index, disk) {
                    return self.fault(index, Some(cause(&error)));
                }
            }
        }
        let holdings: Vec<policy::Holding> = vaults.iter().map(|vault| vault.holding(self.now())).collect();
        let room = Room { disk: index, total, used, need };
        let plan = policy::plan(room, &holdings, self.now(), self.guaranteed_secs);
        if need > 0 {
            disk.ballast(false);
        }
        let done = forget(&vaults, &plan, |vault, slices| vault.forget(index, slices));
        disk.ballast(true);
        let tried = done.map_err(|error| cause(&error));
        match tried.and_then(|()| if before.is_some() && need == 0 { disk.probe().map(Some) } else { Ok(None) }) {
            Err(cause) => self.fault(index, Some(cause)),
            Ok(Some(())) => self.fault(index, None),
            Ok(None) => {}
        }
    }

    /// Keys are kept as long as anything that they open.
    fn keep_keys(&self, keys: &KeyStore) {
        let vaults: Vec<Arc<Vault>> =
            self.vaults.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        // What cannot be seen now may be seen again, and is worth nothing without its keys.
        if self.disks.iter().any(|disk| !disk.readable()) || vaults.iter().any(|vault| !vault.locked().loaded) {
            return;
        }
        let oldest = vaults.iter().filter_map(|vault| vault.oldest()).min();
        let day = |secs: u64| Day::of_unix_ms(secs.saturating_mul(1_000));
        keys.keep_since(oldest.map(day));
    }

    /// How it is. Blocking no longer than a look at memory.
    #[must_use]
    pub fn status(&self) -> ArchiveStatus {
        let vaults: Vec<Arc<Vault>> =
            self.vaults.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut channels: Vec<VaultStatus> = vaults.iter().map(|vault| self.vault_status(vault)).collect();
        channels.sort_by(|one, other| one.channel.cmp(&other.channel));
        ArchiveStatus { disks: self.disks.iter().map(|disk| disk.status()).collect(), channels }
    }

    fn vault_status(&self, vault: &Vault) -> VaultStatus {
        let (bytes, damaged_lines, last_segment) = vault.figures();
        let stretches = vault.stretches(&self.disks);
        let mut gaps = vault.holes(&stretches, self.now_ms());
        gaps.drain(..gaps.len().saturating_sub(SHOWN_MAX));
        let shown = stretches[stretches.len().saturating_sub(SHOWN_MAX)..].iter();
        VaultStatus {
            channel: vault.name.clone(),
            keep: vault.locked().dvr.as_ref().map(|dvr| dvr.keep.to_string()),
            bytes,
            last_segment,
            damaged_lines,
            stretches: shown.map(|Stretch { from_ms, to_ms }| (*from_ms, *to_ms)).collect(),
            gaps,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.unix_ms()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.now_ms() / 1_000).unwrap_or(0)
    }
}

/// Deletes what a plan says, a channel at a time.
fn forget(
    vaults: &[Arc<Vault>],
    plan: &[(usize, u64)],
    delete: impl Fn(&Vault, &[u64]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    for (at, vault) in vaults.iter().enumerate() {
        let slices: Vec<u64> = plan.iter().filter(|(of, _)| *of == at).map(|(_, slice)| *slice).collect();
        if !slices.is_empty() {
            delete(vault, &slices)?;
        }
    }
    Ok(())
}

fn miss(job: &Job, cause: Cause) {
    if job.vault.missed(&job.stored, cause) {
        let number = job.stored.recorded.entry.number;
        warn!(channel = %job.vault.name, number, owner = cause.owner(), %cause, "archive: a gap begins");
    }
}

/// What there is, for at most a second after the first; nothing after half a second without any.
fn gather(queue: &Receiver<Job>, token: &CancellationToken) -> Vec<Job> {
    let first = match queue.recv_timeout(GATHER / 2) {
        Ok(job) => job,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return vec![],
    };
    let (mut batch, until) = (vec![first], Instant::now() + GATHER);
    while batch.len() < BATCH {
        let left = if token.is_cancelled() { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
        let Ok(job) = queue.recv_timeout(left) else { break };
        batch.push(job);
    }
    batch
}
