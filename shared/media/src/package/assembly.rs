//! The open segment: collects mapped packets, cuts them where the rule says, and gives out what is finished.
//!
//! `packager` tells when an access unit of the reference track starts ([`Assembly::candidate`]) and, some packets later,
//! whether it is a random access point ([`Assembly::resolve`]); what came between moves to the new segment if that is
//! where it begins. Holes between numbers are filled with slate here, so that they are contiguous for everyone above.

use std::sync::Arc;

use super::counters::{Counters, Draft};
use super::cut::{CutRule, Open, Ruling, SHORTEST};
use super::event::{DefectKind, Event, Profile, Resume, Segment};
use super::psi::Tables;
use super::slate::Slate;
use crate::es::Entry;
use crate::packet::{PACKET_BYTES, Pid};
use crate::time::Ticks90k;
use crate::timeline::{segment_of, start_of};

/// Where events go.
pub type Emit<'a> = &'a mut dyn FnMut(Event);

/// Tables are repeated so many times a segment length.
const TABLES_PER_SEGMENT: i64 = 16;

/// What became of the access unit that was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on in the open segment.
    Stayed,
    /// A segment begins with it; the first `cut` bytes of the draft are gone.
    Began { cut: usize },
    /// It was dropped with all that came since.
    Dropped,
}

/// An access unit of which it is not known yet whether it is a random access point.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// Where its first packet is in the draft.
    offset: usize,
    at: Ticks90k,
    end: Ticks90k,
}

#[derive(Debug)]
pub(crate) struct Assembly {
    profile: Profile,
    slate: Arc<Slate>,
    slate_tables: Tables,
    rule: CutRule,
    pub(crate) draft: Draft,
    pending: Option<Pending>,
    /// The open segment waits for the random access point of another source or PID, and takes nothing else.
    joining: bool,
    independent: bool,
    tables: Tables,
    /// Of the tracks in force.
    layout: u32,
    /// Of the last segment given out.
    layout_before: Option<u32>,
    /// When the tables are due again.
    due: Ticks90k,
    running: Option<Running>,
}

impl Assembly {
    pub(crate) fn new(profile: Profile, resume: Option<Resume>, slate: Arc<Slate>) -> Self {
        Self {
            rule: CutRule::new(profile.segment, resume.map(|resume| resume.number)),
            slate_tables: slate.tables(profile.programme_number),
            slate,
            draft: Draft::default(),
            pending: None,
            joining: false,
            independent: false,
            tables: Tables::default(),
            layout: 0,
            layout_before: resume.map(|resume| resume.layout),
            due: Ticks90k::default(),
            running: profile.running.then(Running::default),
            profile,
        }
    }

    /// Whether packets are taken: into the open segment, or behind an access unit that may open one.
    pub(crate) fn accepts(&self) -> bool {
        self.pending.is_some() || (self.rule.open().is_some() && !self.joining)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.rule.open().is_some()
    }

    pub(crate) fn is_joining(&self) -> bool {
        self.joining
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub(crate) fn programme_number(&self) -> u16 {
        self.profile.programme_number
    }

    /// The tables and layout of the tracks in force, also for the segment that is open.
    pub(crate) fn set_tables(&mut self, tables: Tables, layout: u32) {
        (self.tables, self.layout) = (tables, layout);
    }

    /// The open segment, if any, is to go on with another source.
    pub(crate) fn join(&mut self) {
        self.abandon();
        self.joining = self.rule.open().is_some();
    }

    /// An access unit presented from `at` to `end` starts with the next packet. The one before must be resolved.
    pub(crate) fn candidate(&mut self, at: Ticks90k, end: Ticks90k) {
        self.pending = Some(Pending { offset: self.draft.packets.len(), at, end });
    }

    /// Rules on the access unit that is pending, which can be entered like this.
    pub(crate) fn resolve(&mut self, entry: Entry, emit: Emit<'_>) -> Outcome {
        let Some(Pending { offset, at, end }) = self.pending.take() else { return Outcome::Stayed };
        let random_access = entry != Entry::None;
        let hole = self.rule.is_hole(at);
        let steps_back = self.rule.open().is_some_and(|open| at < open.end);
        let ruling = if self.joining && (!random_access || steps_back) {
            Ruling::Drop
        } else {
            self.rule.rule(at, random_access)
        };
        let outcome = match ruling {
            Ruling::Stay => self.stay(offset, at),
            Ruling::Drop => {
                self.draft.truncate(offset);
                if hole && !self.joining {
                    self.finish(None, emit);
                }
                return Outcome::Dropped;
            }
            Ruling::Begin(number) => {
                let tail = self.draft.packets.split_off(offset);
                self.finish((!hole).then_some(at), emit);
                self.fill(number, emit);
                self.begin(number, at, tail);
                self.independent = entry == Entry::Independent;
                Outcome::Began { cut: offset }
            }
        };
        self.joining = false;
        self.rule.grow(end);
        outcome
    }

    fn stay(&mut self, offset: usize, at: Ticks90k) -> Outcome {
        if at >= self.due {
            self.draft.marks.push(offset);
            self.due = next_tables(at, self.rule.segment());
        }
        Outcome::Stayed
    }

    fn begin(&mut self, number: u64, at: Ticks90k, tail: Vec<u8>) {
        self.rule.begin(number, at);
        self.draft.packets.extend_from_slice(&tail);
        self.due = next_tables(at, self.rule.segment());
        if let Some(running) = &mut self.running {
            running.tables_due = true;
        }
    }

    /// Ends the open segment: where the next begins, or where its content ends.
    fn finish(&mut self, next_start: Option<Ticks90k>, emit: Emit<'_>) {
        self.flush(emit);
        if let Some(running) = &mut self.running {
            running.sent = 0;
        }
        let Some(open) = self.rule.finish(next_start) else { return self.draft.clear() };
        let (bytes, left_out) = self.draft.write(&self.tables);
        if left_out > 0 {
            emit(Event::Defect { kind: DefectKind::LeftOut, pid: Pid::NULL, count: left_out });
        }
        self.draft.clear();
        self.give_out(open, self.independent, false, bytes, emit);
    }

    fn give_out(&mut self, open: Open, independent: bool, slate: bool, bytes: Vec<u8>, emit: Emit<'_>) {
        let layout = if slate { self.slate.layout() } else { self.layout };
        let discontinuity = self.layout_before.is_some_and(|before| before != layout);
        self.layout_before = Some(layout);
        let (number, start, duration) = (open.number, open.start, open.end - open.start);
        emit(Event::Segment(Segment { number, start, duration, independent, discontinuity, slate, layout, bytes }));
    }

    /// Gives up the access unit that is pending, with what came behind it if nothing is open.
    pub(crate) fn abandon(&mut self) {
        self.pending = None;
        if !self.is_open() {
            self.draft.clear();
        }
    }

    /// No more is coming: ends the open segment at what it has, or leaves its number to the slate if that is too little.
    pub(crate) fn close(&mut self, emit: Emit<'_>) {
        self.abandon();
        self.joining = false;
        if self.rule.open().is_some_and(|open| open.end - open.start < SHORTEST) {
            self.rule.give_up();
        }
        self.finish(None, emit);
    }

    /// Whether the open segment has reached its byte limit.
    pub(crate) fn is_full(&self) -> bool {
        self.draft.packets.len() >= self.profile.segment_bytes_max
    }

    /// Whether slate is wanted up to `until` although a segment is open: its source has been silent for a segment length.
    pub(crate) fn is_overdue(&self, until: Ticks90k) -> bool {
        self.rule.open().is_some_and(|open| until >= start_of(open.number.saturating_add(2), self.rule.segment()))
    }

    /// Slate for every number that ends at or before `until`, if nothing is open. When nothing was ever given out, for the
    /// last of them only.
    pub(crate) fn fill_until(&mut self, until: Ticks90k, emit: Emit<'_>) {
        let before = segment_of(until, self.rule.segment());
        while let Some(slate) = self.rule.fill(before) {
            self.give_slate(slate, emit);
        }
    }

    /// Slate for the numbers between the last given out and `before`.
    fn fill(&mut self, before: u64, emit: Emit<'_>) {
        if self.rule.done().is_some() {
            while let Some(slate) = self.rule.fill(before) {
                self.give_slate(slate, emit);
            }
        }
    }

    fn give_slate(&mut self, open: Open, emit: Emit<'_>) {
        let interval = tables_interval(self.rule.segment());
        let draft = self.slate.render(open.start, open.end, interval);
        if let Some(running) = &mut self.running {
            running.tables_due = true;
            running.send(&draft, draft.packets.len(), &self.slate_tables, emit);
            running.sent = 0;
        }
        let (bytes, _) = draft.write(&self.slate_tables);
        self.give_out(open, true, true, bytes, emit);
    }

    /// Gives out the packets of the endless stream that are sure to stay where they are.
    pub(crate) fn flush(&mut self, emit: Emit<'_>) {
        let Some(running) = self.running.as_mut().filter(|_| self.rule.open().is_some()) else { return };
        let sure = self.pending.map_or(self.draft.packets.len(), |pending| pending.offset);
        running.send(&self.draft, sure, &self.tables, emit);
    }
}

fn tables_interval(segment: Ticks90k) -> Ticks90k {
    Ticks90k((segment.0 / TABLES_PER_SEGMENT).max(1))
}

/// The next time on the grid of the tables behind `at`.
fn next_tables(at: Ticks90k, segment: Ticks90k) -> Ticks90k {
    let interval = tables_interval(segment);
    start_of(segment_of(at, interval).saturating_add(1), interval)
}

/// The endless stream: the same packets with counters that run on.
#[derive(Debug, Default)]
struct Running {
    counters: Counters,
    /// Bytes of the draft that went out.
    sent: usize,
    tables_due: bool,
}

impl Running {
    fn send(&mut self, draft: &Draft, until: usize, tables: &Tables, emit: Emit<'_>) {
        let mut out = Vec::with_capacity(until.saturating_sub(self.sent) + 2 * PACKET_BYTES);
        let marks = draft.marks.iter().copied().filter(|mark| (self.sent..until).contains(mark)).chain([until]);
        let mut from = self.sent.min(until);
        for mark in marks {
            if std::mem::take(&mut self.tables_due) {
                self.counters.append(tables.packets(), &mut out);
            }
            self.counters.append(&draft.packets[from..mark], &mut out);
            (from, self.tables_due) = (mark, mark < until);
        }
        self.sent = until;
        if !out.is_empty() {
            emit(Event::Packets(out));
        }
    }
}
