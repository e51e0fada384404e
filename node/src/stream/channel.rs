//! One channel: keeps the best source, drives the packager, gives out segments.
//!
//! One task per channel owns everything here. Packets of the chosen source go through the packager of `media`; a tick of
//! 250 ms looks at every source, the waiting ones included, and asks `failover` what to play from. A change of source
//! starts in the past of the new source's ring, so that nothing is missing; with no source left the slate goes on.

use std::{sync::Arc, time::Duration};

use headend_failover::{Choice, Chooser, Decision, Policy, PolicyError, SoakRules, SourceRules, Sources};
use headend_media::{
    package::{Event, FILL_MAX, Packager, Profile, Segment, Slate, SourceStart},
    playlist::KeyBase,
    service::ServiceId,
    time::Ticks90k,
};
use headend_rt::{Beat, CancellationToken, Clock, Repeat};
use headend_wire::{ChannelHealth, ChannelState, DesiredChannel, EventKind, SourceName, report::SourceHealth};
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{
    anchors::{Anchors, to_wire},
    entry::entry_point,
    standing::Standing,
};
use crate::{
    agent::uplink::Uplink,
    input::{
        Monotonic,
        health::{InputSample, SAMPLE_MS},
        ring::{RingReader, RingWriter, Start, Step},
        set::InputHandle,
    },
    output::{archive::Cause, keys::KeyStore, live::Live},
};

/// How often every source is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How far back a new source is read: longer than a source takes to be given up, and a group of pictures on top.
const BACK: Duration = Duration::from_secs(8);

/// A hole since the last life up to this many segments is filled with slate; a longer one is jumped.
const HOLE_MAX: u64 = 10;

/// The slate waits this long behind the live edge, so that a source that comes back in time is not shouted down.
const SLATE_BEHIND: Ticks90k = Ticks90k::from_millis(500);

/// Steps of the ring taken in one go, 64 KiB each.
const STEPS_MAX: usize = 32;

/// What the channel is given.
pub struct Parts {
    /// What the controller wants.
    pub desired: DesiredChannel,
    /// Where segments go.
    pub live: Arc<Live>,
    /// The ring of the endless stream.
    pub packets: RingWriter,
    /// One per source, in the order of the desired state.
    pub sources: Vec<OpenSource>,
    /// Content keys.
    pub keys: Arc<KeyStore>,
    /// Anchors of all channels.
    pub anchors: Arc<Anchors>,
    /// The line to the controller; none for a node that plays by itself.
    pub uplink: Option<Uplink>,
    /// Everything of a key's address before the channel's name.
    pub key_base: watch::Receiver<KeyBase>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The monotonic time of inputs and rings.
    pub mono: Monotonic,
    /// The picture for when nothing is left.
    pub slate: Arc<Slate>,
    /// Where the channel says how it is.
    pub health: watch::Sender<ChannelHealth>,
    /// Struck at each look at the sources.
    pub beat: Beat,
}

/// A source that runs, whether it plays or waits.
pub struct OpenSource {
    /// Its name.
    pub name: SourceName,
    /// Its input, shared with every channel that uses it.
    pub input: InputHandle,
    /// What it shows.
    pub samples: watch::Receiver<Arc<InputSample>>,
}

impl OpenSource {
    /// Takes a hold on an open input.
    #[must_use]
    pub fn new(name: SourceName, input: InputHandle) -> Self {
        let samples = input.samples();
        Self { name, input, samples }
    }
}

/// The policy of a channel as the rules of `failover`.
///
/// # Errors
/// [`PolicyError`] when the desired state's figures are outside what the rules allow.
fn rules(desired: &DesiredChannel, now_ms: u64) -> Result<(Sources<SourceName>, Chooser<SourceName>), PolicyError> {
    let names: Vec<SourceName> = desired.sources.iter().map(|source| source.name.clone()).collect();
    let soak_ms = u64::from(desired.policy.return_after_ms);
    let soak = SoakRules { soak_ms, soak_max_ms: soak_ms.saturating_mul(8), ..SoakRules::default() };
    let rules = SourceRules { leave_after_ms: desired.policy.leave_after_ms.into(), soak, ..SourceRules::default() };
    Ok((Sources::new(rules, names.clone(), now_ms)?, Chooser::new(Policy::new(names))?))
}

/// The channel's task.
pub struct Channel {
    parts: Parts,
    packager: Packager,
    health: Sources<SourceName>,
    chooser: Chooser<SourceName>,
    reader: Option<RingReader>,
    standing: Standing,
    missing_key: Repeat,
    refused: Repeat,
}

impl Channel {
    /// A channel that goes on where its window stopped.
    ///
    /// # Errors
    /// [`PolicyError`] when its policy breaks a rule.
    pub fn new(parts: Parts) -> Result<Self, PolicyError> {
        let (health, chooser) = rules(&parts.desired, parts.mono.ms())?;
        let now_ms = u64::try_from(parts.clock.unix_ms()).unwrap_or(0);
        let resume = parts.live.resume(parts.slate.layout(), now_ms, HOLE_MAX.min(FILL_MAX));
        let segment = Ticks90k::from_secs(parts.desired.segment_secs.into());
        let profile = Profile { segment, running: true, ..Profile::standard() };
        let packager = Packager::new(profile, resume, Arc::clone(&parts.slate));
        let standing = Standing::new(parts.clock.now());
        let (missing_key, refused) = (Repeat::new(), Repeat::new());
        Ok(Self { parts, packager, health, chooser, reader: None, standing, missing_key, refused })
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
        let mut buffer = Vec::new();
        loop {
            let mut events = vec![];
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.look(&mut events),
                step = next(&mut self.reader, &mut buffer) => {
                    self.take(step, &buffer, &mut events);
                    self.take_waiting(&mut buffer, &mut events);
                }
            }
            for event in events {
                self.act(event).await;
            }
            // Viewers are woken once for all of it.
            self.parts.packets.tick(self.parts.mono.ms());
        }
    }

    fn now_90k(&self) -> Ticks90k {
        Ticks90k::from_millis(self.parts.clock.unix_ms())
    }

    /// What else there is by now, to a bound: other tasks have their turn too.
    fn take_waiting(&mut self, buffer: &mut Vec<u8>, events: &mut Vec<Event>) {
        for _ in 0..STEPS_MAX {
            let Some(step) = self.reader.as_mut().and_then(|reader| reader.try_next(buffer)) else { return };
            self.take(step, buffer, events);
        }
    }

    /// Packets of the playing source, or what happened to them.
    fn take(&mut self, step: Step, buffer: &[u8], events: &mut Vec<Event>) {
        match step {
            Step::Packets { bytes, arrived_ms } => {
                let age_ms = self.parts.mono.ms().saturating_sub(arrived_ms);
                let age = Ticks90k::from_millis(i64::try_from(age_ms).unwrap_or(0));
                let arrived = self.now_90k() - age;
                self.packager.push(&buffer[..bytes], arrived, &mut |event| events.push(event));
            }
            Step::Lost { bytes } => {
                self.standing.lost(bytes);
                let channel = &self.parts.desired.name;
                warn!(%channel, bytes, "channel fell behind its source and lost packets");
            }
            // Continuity tells the packager what it needs to know.
            Step::Restarted => {}
            Step::Closed => self.reader = None,
        }
    }

    /// Looks at every source and does what `failover` decides.
    fn look(&mut self, events: &mut Vec<Event>) {
        self.parts.beat.strike();
        let now = self.parts.mono.ms();
        for source in &mut self.parts.sources {
            // Once for each sample, and again when none came: an input that died must be seen to.
            let fresh = source.samples.has_changed().unwrap_or(true);
            let sample = source.samples.borrow_and_update();
            if fresh || now.saturating_sub(sample.at_ms) > 2 * SAMPLE_MS {
                self.health.sample(&source.name, now, &sample.observe(source.input.service(), now));
            }
        }
        let candidates = self.health.candidates(now);
        let before = self.chooser.on().cloned();
        let decision = self.chooser.decide(now, &candidates, false);
        self.obey(before, &decision, events);
        if self.chooser.on().is_none() {
            let until = self.now_90k() - SLATE_BEHIND;
            self.packager.fill_slate(until, &mut |event| events.push(event));
        }
        self.standing.observe(self.state(&candidates), self.parts.clock.now());
        self.tell(&candidates);
    }

    fn obey(&mut self, before: Option<SourceName>, decision: &Decision<SourceName>, events: &mut Vec<Event>) {
        let to = match &decision.choice {
            Choice::Keep => return,
            Choice::MoveTo(name) => Some(name.clone()),
            Choice::Slate => None,
        };
        let channel = self.parts.desired.name.clone();
        let reason = decision.reason.to_string();
        if before == to && self.standing.reason() == reason {
            return;
        }
        match to.as_ref().and_then(|name| self.parts.sources.iter().find(|source| source.name == *name)) {
            Some(source) => {
                let anchor = self.parts.anchors.get(&channel, &source.name);
                let start = SourceStart { service: source.input.service().map(|service| service.0), anchor };
                self.packager.change_source(start, &mut |event| events.push(event));
                self.reader = Some(source.input.ring().reader_from(Start::Back(BACK)));
            }
            None => {
                self.packager.source_lost(&mut |event| events.push(event));
                self.reader = None;
            }
        }
        self.standing.decided(reason.clone());
        if before == to {
            return;
        }
        let word = |name: &Option<SourceName>| name.as_ref().map_or("slate".to_owned(), ToString::to_string);
        info!(%channel, from = word(&before), to = word(&to), reason, "source changed");
        if let Some(uplink) = &self.parts.uplink {
            uplink.event(EventKind::SourceChanged { channel, from: before, to, reason });
        }
    }

    async fn act(&mut self, event: Event) {
        match event {
            Event::Segment(segment) => self.give_out(segment).await,
            Event::Packets(packets) => {
                if let Some(offset) = entry_point(&packets) {
                    self.parts.live.set_entry(self.parts.packets.ring().counts().published_bytes + offset as u64);
                }
                self.parts.packets.append(&packets, self.parts.mono.ms());
            }
            Event::Tracks(tracks) => self.parts.live.set_tracks(tracks),
            Event::Anchored(anchor, reason) => {
                let Some(source) = self.chooser.on().cloned() else { return };
                let (channel, wire) = (self.parts.desired.name.clone(), to_wire(anchor));
                info!(%channel, %source, version = anchor.version, reason = ?reason, "source tied to UTC");
                if let Err(error) = self.parts.anchors.put(&channel, &source, wire) {
                    warn!(%channel, error = headend_rt::chain(&error), "anchor not kept on the disk");
                }
                if let Some(uplink) = &self.parts.uplink {
                    uplink.event(EventKind::Anchored { channel, source, anchor: wire });
                }
            }
            Event::Defect { kind, count, .. } => self.standing.defect(kind, count, self.parts.clock.unix_ms()),
        }
    }

    /// Encrypts and lists a segment on the blocking pool. Without its key it is held back: nothing leaves in the clear.
    async fn give_out(&self, segment: Segment) {
        let (live, number) = (Arc::clone(&self.parts.live), segment.number);
        let Some((id, key)) = live.segment_key(&self.parts.keys, number) else {
            if let Some(recorder) = live.recorder() {
                let (from, to) = (segment.start, segment.start + segment.duration);
                recorder.missed(from.as_millis(), to.as_millis(), Cause::NoKey);
            }
            if let Some(times) = self.missing_key.hit() {
                let channel = &self.parts.desired.name;
                warn!(%channel, number, times, "no content key for this segment; it is held back");
            }
            return;
        };
        let base = self.parts.key_base.borrow().clone();
        let done = tokio::task::spawn_blocking(move || live.commit(segment, (id, &key), &base)).await;
        let failure = match done {
            Ok(Ok(())) => return,
            Ok(Err(error)) => headend_rt::chain(&error),
            Err(error) => error.to_string(),
        };
        if let Some(times) = self.refused.hit() {
            warn!(channel = %self.parts.desired.name, number, times, error = failure, "segment was not given out");
        }
    }

    fn state(&self, candidates: &[headend_failover::Candidate<SourceName>]) -> ChannelState {
        let Some(on) = self.chooser.on() else {
            return if self.parts.live.listed() == 0 { ChannelState::Starting } else { ChannelState::Slate };
        };
        if self.parts.live.listed() == 0 {
            return ChannelState::Starting;
        }
        let faulty = candidates.iter().any(|seen| seen.id == *on && seen.fault.is_some());
        let preferred = self.parts.desired.sources.first().is_some_and(|source| source.name == *on);
        match (preferred, faulty || self.standing.cc_errors_per_minute(self.parts.clock.unix_ms()) > 0) {
            (false, _) => ChannelState::OnBackup,
            (true, true) => ChannelState::Degraded,
            (true, false) => ChannelState::Ok,
        }
    }

    fn tell(&self, candidates: &[headend_failover::Candidate<SourceName>]) {
        let sources = self.parts.sources.iter().map(|source| {
            let seen = candidates.iter().find(|seen| seen.id == source.name);
            let report = source.input.report();
            let service = service_of(&source.samples.borrow(), source.input.service());
            let (bitrate_bps, per_minute) = service.unwrap_or((0, 0));
            let fault = seen.and_then(|seen| seen.fault).map(|fault| fault.to_string());
            SourceHealth {
                source: source.name.clone(),
                up: seen.is_some_and(|seen| seen.health == headend_failover::Health::Good),
                // While it is away, why it could not be opened says more than that nothing comes.
                fault: match fault {
                    Some(fault) => report.last_error.map_or(fault.clone(), |error| format!("{fault}; {error}")),
                    None => String::new(),
                },
                bitrate_bps,
                cc_errors_per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX),
            }
        });
        let (bitrate_bps, last_segment) = self.parts.live.figures();
        let now = self.parts.clock.now();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let health = ChannelHealth {
            channel: self.parts.desired.name.clone(),
            state: self.standing.state(),
            since: self.standing.since(),
            playing: self.chooser.on().cloned(),
            reason: self.standing.reason().to_owned(),
            bitrate_bps,
            cc_errors_per_minute: self.standing.cc_errors_per_minute(self.parts.clock.unix_ms()),
            last_segment,
            viewers: self.parts.live.viewers(seconds),
            sources: sources.collect(),
        };
        self.parts.health.send_if_modified(|old| {
            let changed = *old != health;
            *old = health;
            changed
        });
    }
}

/// Rate and continuity errors a minute of a source's service.
fn service_of(sample: &InputSample, wanted: Option<ServiceId>) -> Option<(u64, u64)> {
    let found = match wanted {
        Some(id) => sample.services.iter().find(|service| service.service == id),
        None => sample.services.first(),
    };
    found.map(|service| (service.bitrate_bps, service.continuity_per_minute))
}

/// The next step of the playing source; never, while there is none.
async fn next(reader: &mut Option<RingReader>, buffer: &mut Vec<u8>) -> Step {
    match reader {
        Some(reader) => reader.next(buffer).await,
        None => std::future::pending().await,
    }
}
