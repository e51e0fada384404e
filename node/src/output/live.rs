//! A channel as viewers meet it: its live window, its segments, its endless stream, its sources.
//!
//! One task owns the channel and calls [`Live::commit`] for each segment; any number of requests read. A segment is
//! encrypted once, when it is committed, and the same bytes are in memory, on the disk and on the wire. What must not
//! step back (numbers, target duration, discontinuities) is in a record on the disk before a player can see it.
//!
//! Memory: the newest [`MEMORY_BYTES_MAX`] of segments; older ones that may still be asked for are read from the disk.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use headend_access::{Day, Generation, PathMark, Period, PeriodKey, PeriodKeyId, Schedule, SessionId};
use headend_media::{
    crypt::{self, Key128},
    package::{Resume, Segment, Track},
    packet::PACKET_BYTES,
    playlist::{
        Bandwidth, Entry, Folder, KeyBase, KeyRef, Master, MediaPlaylist, Query, Rendered, SegmentGrid, Spliced,
        Variant, Window,
    },
    service::ServiceId,
};
use headend_wire::{ChannelName, DesiredChannel, SourceName};

use super::{
    archive::Recorder,
    keys::KeyStore,
    record::{Record, RecordError, RecordStore},
    sealing::{Plain, Sealer},
    viewers::Viewers,
    viewing::Viewing,
};
use crate::input::ring::{Ring, RingReader, Start};

/// Bytes of segments held in memory for one channel.
pub const MEMORY_BYTES_MAX: usize = 16 << 20;

/// How far back an endless stream starts when no point of entry is known, as in a channel without a picture.
const TRANSPORT_BACK: Duration = Duration::from_secs(2);

const NO_ENTRY: u64 = u64::MAX;

/// The muxed form, which boxes need.
const MUXED: &str = "video.m3u8";

const SYNC_BYTE: u8 = 0x47;

/// Why a segment could not be given out.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The window refuses its number, time or duration.
    #[error("segment {number} does not fit the window")]
    Window {
        /// Which segment.
        number: u64,
        /// Why.
        #[source]
        source: headend_media::playlist::PushError,
    },
    /// The disk refuses the segment or the record.
    #[error("store segment {number}")]
    Store {
        /// Which segment.
        number: u64,
        /// Why.
        #[source]
        source: RecordError,
    },
}

/// A segment on its way to a viewer.
#[derive(Debug)]
pub enum Found {
    /// Shared bytes.
    Memory(Bytes),
    /// Too old for memory, young enough for the disk.
    File(PathBuf),
    /// Perhaps in the archive.
    Archive(Recorder),
}

/// A source asked for by the other site.
#[derive(Debug)]
pub enum Capture {
    /// Captured here; the service that the channel is, if its multiplex has several.
    Local(RingReader, Option<ServiceId>),
    /// Captured elsewhere: not ours to give.
    Remote,
    /// No source of that name runs here.
    Unknown,
}

struct Source {
    remote: bool,
    service: Option<ServiceId>,
    ring: Ring,
}

/// What changes with each segment; owned by the channel's task through a short lock.
struct State {
    window: Window,
    bandwidth: Bandwidth,
    key_bases: BTreeMap<KeyRef, KeyBase>,
    tracks: Vec<Track>,
    store: RecordStore,
}

/// What requests read; replaced as a whole.
#[derive(Default)]
struct View {
    media: Option<Rendered>,
    master: Option<Rendered>,
    memory: BTreeMap<u64, Bytes>,
    memory_bytes: usize,
}

/// Where what a channel gives out goes.
pub struct Outlets {
    /// The ring of its endless stream.
    pub packets: Ring,
    /// What keeps its segments, if something does.
    pub recorder: Option<Recorder>,
    /// What encrypts them.
    pub sealer: Arc<Sealer>,
}

/// One channel.
pub struct Live {
    name: ChannelName,
    free: bool,
    schedule: Schedule,
    key_period_secs: u32,
    generation: Generation,
    grid: SegmentGrid,
    listed: usize,
    state: Mutex<State>,
    view: ArcSwap<View>,
    outlets: Outlets,
    entry: AtomicU64,
    sources: RwLock<HashMap<SourceName, Source>>,
    viewers: Viewers,
}

impl Live {
    /// Opens a channel's window below `folder`, going on where an earlier life stopped.
    ///
    /// # Errors
    /// [`RecordError`] when the folder cannot be used. A damaged record is set aside and named in the second value.
    pub fn open(
        desired: &DesiredChannel,
        schedule: Schedule,
        folder: PathBuf,
        outlets: Outlets,
    ) -> Result<(Self, Option<RecordError>), RecordError> {
        let grid = SegmentGrid::new(desired.segment_secs.saturating_mul(1000)).ok_or(RecordError::Grid)?;
        let listed = desired.window_segments as usize;
        let (store, record, damage) = RecordStore::open(folder)?;
        // A record of another segment length cannot go on: numbers are counted in segment lengths.
        let restored = record.filter(|record| record.segment_ms == grid.duration_ms());
        let (window, bandwidth, key_bases) = match restored {
            Some(record) => match Window::restore(record.window, listed) {
                Ok(window) => (window, record.bandwidth, record.key_bases.into_iter().collect()),
                Err(_) => (fresh_window(grid, listed, 0), Bandwidth::default(), BTreeMap::new()),
            },
            None => (fresh_window(grid, listed, 0), Bandwidth::default(), BTreeMap::new()),
        };
        let live = Self {
            name: desired.name.clone(),
            free: desired.free,
            schedule,
            key_period_secs: desired.key_period_secs,
            generation: Generation(desired.key_generation),
            grid,
            listed,
            state: Mutex::new(State { window, bandwidth, key_bases, tracks: vec![], store }),
            view: ArcSwap::default(),
            outlets,
            entry: AtomicU64::new(NO_ENTRY),
            sources: RwLock::default(),
            viewers: Viewers::default(),
        };
        live.reload();
        Ok((live, damage))
    }

    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Whether it needs no token.
    #[must_use]
    pub fn free(&self) -> bool {
        self.free
    }

    /// The key of a segment, when its day key is here.
    #[must_use]
    pub fn segment_key(&self, keys: &KeyStore, number: u64) -> Option<(PeriodKeyId, PeriodKey)> {
        let start_ms = number.saturating_mul(u64::from(self.grid.duration_ms()));
        keys.segment_key(&self.name, self.generation, &self.schedule, start_ms)
    }

    /// Where an earlier life stopped, when the hole since then is small enough to be filled with slate: at most
    /// `hole_max` numbers before the segment that is due at `now_ms`. Otherwise the window jumps forward.
    pub fn resume(&self, layout: u32, now_ms: u64, hole_max: u64) -> Option<Resume> {
        let state = self.locked();
        let due = now_ms / u64::from(self.grid.duration_ms());
        let number = state.window.next().checked_sub(1).filter(|_| state.window.listed().len() > 0)?;
        if due.saturating_sub(number) > hole_max {
            return None;
        }
        // The window is not changed here; the packager fills the hole.
        let layout = state.store.layout().unwrap_or(layout);
        Some(Resume { number, layout })
    }

    /// The number the window waits for.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.locked().window.next()
    }

    /// What the packager found out about the tracks.
    pub fn set_tracks(&self, tracks: Vec<Track>) {
        let mut state = self.locked();
        state.tracks = tracks;
        let master = render_master(&state, MUXED);
        drop(state);
        self.view.rcu(|old| View { master: master.clone(), ..old.share() });
    }

    /// Encrypts, stores and lists a segment. Blocking: disk and cipher.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was listed then.
    pub fn commit(
        &self,
        segment: Segment,
        key: (PeriodKeyId, &PeriodKey),
        key_base: &KeyBase,
    ) -> Result<(), CommitError> {
        let number = segment.number;
        let key_ref = KeyRef { generation: key.0.generation.0, period: key.0.period.0 };
        let key128 = Key128::new(*key.1.bytes());
        let (layout, entry) = (segment.layout, entry_of(&segment, key_ref));
        let plain = Plain { key: key128, number, segment: segment.bytes };
        let bytes = Bytes::from(self.outlets.sealer.seal(plain));
        let entry = Entry { bytes: bytes.len() as u64, ..entry };
        let crc = self.outlets.recorder.as_ref().map(|_| crc32c::crc32c(&bytes));

        let mut guard = self.locked();
        let state = &mut *guard;
        let stored = |source| CommitError::Store { number, source };
        state.store.put_segment(number, &bytes).map_err(stored)?;
        // Nothing was told before the first segment: it begins the list, there is nothing to jump over.
        let first = state.window.next() == 0;
        let mut window = if first { fresh_window(self.grid, self.listed, number) } else { state.window.clone() };
        window.skip_to(number);
        let discontinuities = window.discontinuity_sequence();
        let gone = window.push(entry.clone()).map_err(|source| CommitError::Window { number, source })?;
        state.key_bases.entry(key_ref).or_insert_with(|| key_base.clone());
        let oldest = window.listed().filter_map(|entry| entry.key).min();
        state.key_bases.retain(|known, _| oldest.is_none_or(|oldest| *known >= oldest));
        let mut bandwidth = state.bandwidth.clone();
        bandwidth.observe(&entry, window.target_secs());
        let record = Record {
            segment_ms: self.grid.duration_ms(),
            layout,
            window: window.record().clone(),
            bandwidth: bandwidth.clone(),
            key_bases: state.key_bases.clone().into_iter().collect(),
        };
        // Only what must survive a power cut is synced: numbers follow from UTC, discontinuities do not.
        let sync = window.discontinuity_sequence() != discontinuities || entry.discontinuity;
        state.store.put_record(&record, sync).map_err(stored)?;
        (state.window, state.bandwidth) = (window, bandwidth);
        state.store.forget(gone.iter().map(|entry| entry.number));
        self.show(state, number, bytes, &gone);
        // As the window has it: it knows of a jump before this segment.
        let listed = state.window.listed().last().cloned();
        let path = state.store.segment_path(number);
        drop(guard);
        if let (Some(recorder), Some(entry), Some(crc)) = (&self.outlets.recorder, listed, crc) {
            recorder.record(entry, (self.grid, self.key_period_secs), crc, path);
        }
        Ok(())
    }

    /// Offers what an earlier life listed to the archive, which may have been cut off before it had it. What a power cut
    /// left of a file is looked at first: it must open with its key and be packets. Blocking.
    pub fn adopt(&self, keys: &KeyStore) {
        let Some(recorder) = &self.outlets.recorder else { return };
        let listed: Vec<(Entry, PathBuf, Option<Bytes>)> = {
            let state = self.locked();
            let read = |entry: &Entry| {
                let bytes = state.store.get_segment(entry.number, entry.bytes);
                (entry.clone(), state.store.segment_path(entry.number), bytes)
            };
            state.window.listed().map(read).collect()
        };
        for (entry, path, bytes) in listed {
            let Some(bytes) = bytes else { continue };
            let crc = crc32c::crc32c(&bytes);
            if entry.key.and_then(|key| self.open_segment(keys, (entry.number, key), &bytes)).is_some() {
                recorder.record(entry, (self.grid, self.key_period_secs), crc, path);
            }
        }
    }

    /// A segment in the clear; `None` without its key, or when it is not packets.
    #[must_use]
    pub fn open_segment(&self, keys: &KeyStore, (number, key): (u64, KeyRef), bytes: &[u8]) -> Option<Vec<u8>> {
        let id = PeriodKeyId { generation: Generation(key.generation), period: Period(key.period) };
        let key = self.schedules().iter().find_map(|schedule| keys.key_of(&self.name, schedule, id))?;
        let clear = crypt::decrypt(&Key128::new(*key.bytes()), number, bytes.to_vec()).ok()?;
        let (packets, rest) = clear.as_chunks::<PACKET_BYTES>();
        (rest.is_empty() && packets.iter().all(|packet| packet[0] == SYNC_BYTE)).then_some(clear)
    }

    /// The archive, where there is one.
    #[must_use]
    pub fn recorder(&self) -> Option<&Recorder> {
        self.outlets.recorder.as_ref()
    }

    /// When keys turn and turned: as now, and as it was when older parts of the archive were made.
    #[must_use]
    pub fn schedules(&self) -> Vec<Schedule> {
        let older =
            self.outlets.recorder.iter().flat_map(Recorder::periods).filter(|secs| *secs != self.key_period_secs);
        let older = older.filter_map(|secs| Schedule::new(self.name.as_str(), u64::from(secs) * 1_000).ok());
        std::iter::once(self.schedule).chain(older).collect()
    }

    /// TARGETDURATION, seconds, and how many segments a playlist lists.
    #[must_use]
    pub fn shape(&self) -> (u32, usize) {
        let state = self.locked();
        (state.window.target_secs(), self.listed)
    }

    /// The grid that names its segments.
    #[must_use]
    pub fn grid(&self) -> SegmentGrid {
        self.grid
    }

    /// The newest segment in memory: its number, its key and its bytes.
    #[must_use]
    pub fn newest(&self) -> Option<(u64, KeyRef, Bytes)> {
        let (number, bytes) =
            self.view.load().memory.last_key_value().map(|(number, bytes)| (*number, bytes.clone()))?;
        let key = self.locked().window.fetchable(number)?.key?;
        Some((number, key, bytes))
    }

    /// The master playlist for a viewer; none before tracks and a first segment are known.
    #[must_use]
    pub fn master(&self, viewing: &Viewing) -> Option<Vec<u8>> {
        let view = self.view.load();
        view.media.as_ref()?;
        Some(view.master.as_ref()?.with_session(&viewing.query(), |_| Query::default()))
    }

    /// A master playlist that names another media playlist than the live one.
    #[must_use]
    pub fn master_of(&self, viewing: &Viewing, path: &str) -> Option<Vec<u8>> {
        let rendered = render_master(&self.locked(), path)?;
        Some(rendered.with_session(&viewing.query(), |_| Query::default()))
    }

    /// The media playlist for a viewer; none before the first segment.
    #[must_use]
    pub fn media(&self, viewing: &Viewing, keys: &KeyStore) -> Option<Vec<u8>> {
        let view = self.view.load();
        Some(self.for_viewer(view.media.as_ref()?, viewing, keys))
    }

    /// A playlist with a viewer's token and key addresses in it, and the mark that opens its segments without either.
    #[must_use]
    pub fn for_viewer(&self, rendered: &Rendered, viewing: &Viewing, keys: &KeyStore) -> Vec<u8> {
        let schedules = self.schedules();
        let session = viewing.query();
        let key_query = |key: KeyRef| {
            let id = PeriodKeyId { generation: Generation(key.generation), period: Period(key.period) };
            let address = schedules.iter().find_map(|schedule| keys.address_key(&self.name, schedule, id));
            let signed = address.map(|key| key.sign(id.period, viewing.session, viewing.expires).to_string());
            // Without its day key this node cannot have listed the segment; an address without a query is refused.
            let query = signed.and_then(|text| text.split_once('?').map(|(_, query)| query.to_owned()));
            let query =
                query.map(|query| if viewing.asks_for_keys { format!("{query}&{}", session.as_str()) } else { query });
            query.and_then(Query::new).unwrap_or_default()
        };
        let folder = |day: u32| {
            let day = PathMark::day_for(Day(day), viewing.today);
            let key = keys.path_key(&self.name, self.generation, day).filter(|_| !self.free);
            key.and_then(|key| Folder::new(key.mark().to_string())).unwrap_or_default()
        };
        rendered.spliced(&Spliced { session: &session, key: &key_query, folder: &folder })
    }

    /// Whether a part of a path is a mark of this channel that holds at `now` (Unix seconds).
    #[must_use]
    pub fn marked(&self, keys: &KeyStore, part: &str, now: u64) -> bool {
        PathMark::parse(part).is_ok_and(|mark| {
            let key = keys.path_key(&self.name, self.generation, mark.day());
            key.is_some_and(|key| key.verify(&mark, now).is_ok())
        })
    }

    /// A segment that is listed, or was not long ago.
    #[must_use]
    pub fn segment(&self, grid: SegmentGrid, number: u64) -> Option<Found> {
        let archive = || self.outlets.recorder.clone().map(Found::Archive);
        if grid != self.grid {
            return archive();
        }
        if let Some(bytes) = self.view.load().memory.get(&number) {
            return Some(Found::Memory(bytes.clone()));
        }
        let state = self.locked();
        let file = state.window.fetchable(number).map(|_| Found::File(state.store.segment_path(number)));
        file.or_else(archive)
    }

    /// A reader of the endless stream, from the last point of entry on: its decoder finds a picture at once.
    #[must_use]
    pub fn packets(&self) -> RingReader {
        match self.entry.load(Ordering::Relaxed) {
            NO_ENTRY => self.outlets.packets.reader_from(Start::Back(TRANSPORT_BACK)),
            position => self.outlets.packets.reader_from(Start::At(position)),
        }
    }

    /// A decoder can come in at this position of the endless stream's ring.
    pub fn set_entry(&self, position: u64) {
        self.entry.store(position, Ordering::Relaxed);
    }

    /// Replaces the sources that can be captured from here.
    pub fn set_sources(&self, sources: impl IntoIterator<Item = (SourceName, bool, Option<ServiceId>, Ring)>) {
        let source = |(name, remote, service, ring)| (name, Source { remote, service, ring });
        let fresh = sources.into_iter().map(source).collect();
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// A source's packets as they were captured.
    #[must_use]
    pub fn capture(&self, source: &str) -> Capture {
        match self.sources.read().unwrap_or_else(PoisonError::into_inner).get(source) {
            None => Capture::Unknown,
            Some(source) if source.remote => Capture::Remote,
            Some(source) => Capture::Local(source.ring.reader_from(Start::Now), source.service),
        }
    }

    /// A session asked for something at `now` (Unix seconds).
    pub fn seen(&self, session: SessionId, now: u64) {
        self.viewers.seen(session, now);
    }

    /// Sessions that asked for something in the last 30 s.
    #[must_use]
    pub fn viewers(&self, now: u64) -> u32 {
        self.viewers.count(now)
    }

    /// Mean output rate over the listed segments, bit/s, and the last number.
    #[must_use]
    pub fn figures(&self) -> (u64, Option<u64>) {
        let state = self.locked();
        let (bytes, ticks) = state
            .window
            .listed()
            .fold((0_u64, 0_u64), |(b, t), e| (b + e.bytes, t + u64::try_from(e.duration.0).unwrap_or(0)));
        (bytes.saturating_mul(8 * 90_000) / ticks.max(1), state.window.listed().last().map(|entry| entry.number))
    }

    /// Segments the window lists now.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.locked().window.listed().len()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a restart: what the disk still has goes back into memory and into the playlist.
    fn reload(&self) {
        let state = self.locked();
        let mut view = View::default();
        for entry in state.window.listed() {
            if let Some(bytes) = state.store.get_segment(entry.number, entry.bytes) {
                view.remember(entry.number, bytes);
            }
        }
        if state.window.listed().len() > 0 {
            view.media = render_media(&self.name, &state);
        }
        self.view.store(Arc::new(view));
    }

    fn show(&self, state: &State, number: u64, bytes: Bytes, gone: &[Entry]) {
        let mut view = self.view.load().share();
        view.remember(number, bytes);
        for entry in gone {
            view.forget(entry.number);
        }
        view.media = render_media(&self.name, state);
        view.master = render_master(state, MUXED);
        self.view.store(Arc::new(view));
    }
}

impl View {
    /// A copy that shares every byte.
    fn share(&self) -> Self {
        Self {
            media: self.media.clone(),
            master: self.master.clone(),
            memory: self.memory.clone(),
            memory_bytes: self.memory_bytes,
        }
    }

    fn remember(&mut self, number: u64, bytes: Bytes) {
        self.memory_bytes += bytes.len();
        self.memory.insert(number, bytes);
        // The newest segment stays, however large.
        while self.memory_bytes > MEMORY_BYTES_MAX && self.memory.len() > 1 {
            let Some((_, oldest)) = self.memory.pop_first() else { break };
            self.memory_bytes -= oldest.len();
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(bytes) = self.memory.remove(&number) {
            self.memory_bytes -= bytes.len();
        }
    }
}

fn fresh_window(grid: SegmentGrid, listed: usize, first: u64) -> Window {
    // No segment is longer than twice the cell (docs/adr/0004).
    Window::new(grid, (2 * grid.duration_ms()).div_ceil(1000), listed, first)
}

fn entry_of(segment: &Segment, key: KeyRef) -> Entry {
    Entry {
        number: segment.number,
        start: segment.start,
        duration: segment.duration,
        independent: segment.independent,
        discontinuity: segment.discontinuity,
        key: Some(key),
        bytes: 0,
    }
}

fn render_media(name: &ChannelName, state: &State) -> Option<Rendered> {
    let here = KeyBase::default();
    let playlist = MediaPlaylist::new(name.as_str());
    Some(playlist.render(&state.window, |key| state.key_bases.get(&key).unwrap_or(&here)))
}

fn render_master(state: &State, path: &str) -> Option<Rendered> {
    if state.tracks.is_empty() {
        return None;
    }
    let video = state.tracks.iter().find_map(|track| track.video.clone());
    let audio_codecs = state.tracks.iter().filter_map(|track| Some(track.audio.as_ref()?.codecs.clone())).collect();
    let variant = Variant {
        path: path.to_owned(),
        peak_bps: state.bandwidth.peak()?,
        average_bps: state.bandwidth.average(),
        video,
        audio_codecs,
    };
    Some(Master::new(vec![variant]).render(state.window.listed().all(|entry| entry.independent)))
}
