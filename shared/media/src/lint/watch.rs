//! Compares one state of a media playlist with the states before: what players see when they reload.
//!
//! A value with one owner. [`Watcher::look`] takes a playlist that was read and the monotonic time it was seen at, and says
//! what a server may not do between two answers (RFC 8216 §6.2.1, §6.2.2). It keeps the last list, the dates that follow
//! from it, and the last [`REMOVED_MAX`] segments that left, so that a day of reloads costs no more than one. A reader
//! that misses reloads is not deceived: what cannot be known is not judged.

use std::collections::VecDeque;
use std::time::Duration;

use super::finding::{Place, Rule, Tally, shown};
use super::media_tags::seconds;
use super::playlist::{Key, Listed, Media};

/// Segments that left the list and are remembered, to be asked for.
pub const REMOVED_MAX: usize = 64;
/// Target durations that must stay listed when one is removed (§6.2.2).
const TARGETS_LISTED_MIN: u64 = 3;
/// Dates may leave the sum of EXTINF by this much in a run without a discontinuity.
const DRIFT_MAX_US: i64 = 100_000;

/// A segment that is listed no more but must be given out yet (§6.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// As it was listed.
    pub listed: Listed,
    /// Until when: its own duration and that of the longest list it was in, after it left.
    pub until: Duration,
}

/// What was seen over all looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// States looked at.
    pub looks: u64,
    /// Segments seen, each once.
    pub segments: u64,
    /// Segments with a DISCONTINUITY before them.
    pub discontinuities: u64,
    /// Changes of the key address from one segment to the next.
    pub key_changes: u64,
    /// The number of the first segment ever seen.
    pub first: Option<u64>,
    /// The number of the last.
    pub last: Option<u64>,
    /// The furthest that a PROGRAM-DATE-TIME was from the sum of EXTINF since the last discontinuity, microseconds.
    pub drift_us: i64,
}

/// Watches one media playlist over its reloads.
#[derive(Debug, Default)]
pub struct Watcher {
    last: Option<Media>,
    target_secs: Option<u64>,
    /// When a new segment was last seen, and whether it was said that none comes.
    grown_at: Duration,
    stalled: bool,
    /// The longest list so far, microseconds.
    longest_us: u64,
    removed: VecDeque<Removed>,
    /// Where dates and EXTINF put the start of each listed segment, by number.
    dates: VecDeque<(u64, i64)>,
    figures: Figures,
}

impl Watcher {
    /// A watcher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next state of the playlist, seen at `at` of a monotonic clock.
    pub fn look(&mut self, media: Media, at: Duration, tally: &mut Tally) {
        self.figures.looks += 1;
        match (self.target_secs, media.target_secs) {
            (Some(before), Some(now)) if before != now => {
                let words = format!("was {before}, is {now}: players keep the first; latch one for the channel's life");
                tally.add(Rule::TargetChanged, Place::Playlist, words);
            }
            (None, now) => self.target_secs = now,
            _ => {}
        }
        let before = self.last.take();
        let fresh_from = before.as_ref().map_or(0, Media::end);
        match &before {
            Some(before) => self.compare(before, &media, at, tally),
            None => self.grown_at = at,
        }
        let known = if before.as_ref().is_some_and(|before| media.sequence < before.sequence) { 0 } else { fresh_from };
        self.follow_dates(&media, tally);
        self.count(before.as_ref(), &media, known);
        self.longest_us = self.longest_us.max(media.duration_us());
        self.last = Some(media);
    }

    /// What was seen so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// The last state.
    #[must_use]
    pub fn last(&self) -> Option<&Media> {
        self.last.as_ref()
    }

    /// A segment that left the list and must still be given out at `at`, the first to expire.
    #[must_use]
    pub fn owed(&self, at: Duration) -> Option<&Removed> {
        self.removed.iter().find(|removed| removed.until > at)
    }

    fn compare(&mut self, before: &Media, now: &Media, at: Duration, tally: &mut Tally) {
        let list = Place::Playlist;
        tally.expect(before.kind == now.kind, Rule::TypeChanged, list, || {
            "PLAYLIST-TYPE came, went or changed: players decide by it once".to_owned()
        });
        if !before.is_live() {
            let same = before.ended == now.ended && before.segments == now.segments && before.sequence == now.sequence;
            tally.expect(same, Rule::EndedChanged, list, || {
                "the list changed after its end: players do not look again; give it another address".to_owned()
            });
        }
        if now.sequence < before.sequence {
            let words = format!(
                "MEDIA-SEQUENCE was {}, is {}: players stop for good. Numbers must survive restarts and failover",
                before.sequence, now.sequence
            );
            self.grown_at = at;
            return tally.add(Rule::SequenceBack, list, words);
        }
        let gone = now.sequence - before.sequence;
        if gone > 0 && before.kind.is_some() {
            let words =
                format!("{gone} segments left a list that may only grow: leave PLAYLIST-TYPE out of a sliding window");
            tally.add(Rule::EventShrank, list, words);
        }
        if now.sequence > before.end() {
            self.lost(before, now, tally);
        } else {
            self.removed(before, now, (gone, at), tally);
        }
        if now.end() < before.end() {
            let words = format!("segments {} to {} were listed and are not any more", now.end(), before.end() - 1);
            tally.add(Rule::SegmentTakenBack, Place::Segment(now.end()), words);
        }
        for segment in &now.segments {
            if let Some(old) = before.segment(segment.number) {
                same(old, segment, tally);
            }
        }
        self.growth(before, now, at, tally);
    }

    /// Nothing of the last look is listed any more.
    fn lost(&mut self, before: &Media, now: &Media, tally: &mut Tally) {
        let words = format!(
            "listed {} to {} before and begins with {} now: numbers jumped over an outage, or the list is shorter than a reload",
            before.sequence,
            before.end().saturating_sub(1),
            now.sequence
        );
        tally.add(Rule::WindowLost, Place::Playlist, words);
        self.dates.clear();
        let least = before.segments.iter().filter(|segment| segment.discontinuity).count() as u64;
        let least = before.discontinuity_sequence.saturating_add(least);
        tally.expect(now.discontinuity_sequence >= least, Rule::DiscontinuitySequence, Place::Playlist, || {
            format!("is {}, and {least} discontinuities have left the list at the least", now.discontinuity_sequence)
        });
    }

    fn removed(&mut self, before: &Media, now: &Media, (gone, at): (u64, Duration), tally: &mut Tally) {
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(before.segments.len());
        let left = &before.segments[..gone];
        let due = left.iter().filter(|segment| segment.discontinuity).count() as u64;
        let due = before.discontinuity_sequence.saturating_add(due);
        tally.expect(now.discontinuity_sequence == due, Rule::DiscontinuitySequence, Place::Playlist, || {
            let is = now.discontinuity_sequence;
            format!("is {is}, should be {due}: count one for each DISCONTINUITY that leaves the list, for ever. Players stop over it")
        });
        if gone == 0 {
            return;
        }
        let least = TARGETS_LISTED_MIN * now.target_us();
        tally.expect(!now.is_live() || now.duration_us() >= least, Rule::WindowShort, Place::Playlist, || {
            let (listed, least) = (seconds(now.duration_us()), seconds(least));
            format!("{gone} segments were removed and {listed} s stay listed, under {least} s: slow players fall out of the list; list more")
        });
        for listed in left {
            let until = at + Duration::from_micros(listed.duration_us + self.longest_us);
            self.removed.push_back(Removed { listed: listed.clone(), until });
        }
        while self.removed.len() > REMOVED_MAX || self.removed.front().is_some_and(|removed| removed.until <= at) {
            self.removed.pop_front();
        }
    }

    fn growth(&mut self, before: &Media, now: &Media, at: Duration, tally: &mut Tally) {
        if now.end() > before.end() || !now.is_live() {
            (self.grown_at, self.stalled) = (at, false);
            return;
        }
        let stood = at.saturating_sub(self.grown_at);
        let limit = Duration::from_micros(now.target_us().saturating_mul(3) / 2);
        if stood > limit && now.target_us() > 0 && !self.stalled {
            self.stalled = true;
            let words = format!(
                "no segment after {} for {:.1} s: players run dry. Look at the source and at the packager's log",
                now.end().saturating_sub(1),
                stood.as_secs_f64()
            );
            tally.add(Rule::Stalled, Place::Playlist, words);
        }
    }

    /// Dates over reloads: from a date on, each segment is expected where the sum of EXTINF puts it.
    fn follow_dates(&mut self, media: &Media, tally: &mut Tally) {
        while self.dates.front().is_some_and(|(number, _)| *number < media.sequence) {
            self.dates.pop_front();
        }
        if self.dates.back().is_some_and(|(number, _)| *number >= media.end()) {
            self.dates.clear();
        }
        let mut next = None::<i64>;
        for segment in &media.segments {
            let known = self.expected(segment.number);
            let at = match (known.or(next.filter(|_| !segment.discontinuity)), segment.date_us) {
                (Some(expected), Some(date)) => {
                    let drift = date.saturating_sub(expected);
                    if drift.abs() > self.figures.drift_us.abs() && drift.abs() <= DRIFT_MAX_US {
                        self.figures.drift_us = drift;
                    }
                    tally.expect(drift.abs() <= DRIFT_MAX_US, Rule::DateDrift, Place::Segment(segment.number), || {
                        format!("its PROGRAM-DATE-TIME is {} ms off what dates and EXTINF said before: take both from the stream's time", drift / 1_000)
                    });
                    Some(if drift.abs() <= DRIFT_MAX_US { expected } else { date })
                }
                (expected, date) => expected.or(date),
            };
            if let (None, Some(at)) = (known, at)
                && self.dates.back().is_none_or(|(number, _)| number + 1 == segment.number)
            {
                self.dates.push_back((segment.number, at));
            }
            next = at.map(|at| at.saturating_add(segment.duration_us.cast_signed()));
        }
    }

    fn expected(&self, number: u64) -> Option<i64> {
        let (first, _) = self.dates.front()?;
        let (_, at) = self.dates.get(usize::try_from(number.checked_sub(*first)?).ok()?)?;
        Some(*at)
    }

    fn count(&mut self, before: Option<&Media>, media: &Media, known: u64) {
        let mut key = before.and_then(|before| before.segments.last()).map(|last| &last.key);
        for segment in media.segments.iter().filter(|segment| segment.number >= known) {
            self.figures.segments += 1;
            self.figures.discontinuities += u64::from(segment.discontinuity);
            let address = |key: &Option<std::sync::Arc<Key>>| key.as_ref().map(|key| key.address.clone());
            self.figures.key_changes += u64::from(key.is_some_and(|key| address(key) != address(&segment.key)));
            key = Some(&segment.key);
            self.figures.first.get_or_insert(segment.number);
            self.figures.last = Some(segment.number);
        }
    }
}

/// What stands under one number must be the same as before (§6.2.1).
fn same(old: &Listed, new: &Listed, tally: &mut Tally) {
    let place = Place::Segment(new.number);
    if old.address != new.address {
        let path = |address: &str| address.split(['?', '#']).next().unwrap_or_default().to_owned();
        if path(&old.address) == path(&new.address) {
            let words =
                "the query of its address changed between two reloads: caches fetch it twice; give a session one query";
            tally.add(Rule::SegmentQueryChanged, place, words);
        } else {
            let words = format!(
                "was {}, is {}: a number belongs to one segment for ever",
                shown(&old.address),
                shown(&new.address)
            );
            tally.add(Rule::SegmentChanged, place, words);
        }
    }
    if old.duration_us != new.duration_us || old.range != new.range || old.gap != new.gap {
        let words = format!(
            "lasted {} s, lasts {} s: what is listed may not change",
            seconds(old.duration_us),
            seconds(new.duration_us)
        );
        tally.add(Rule::SegmentChanged, place, words);
    }
    tally.expect(old.discontinuity == new.discontinuity, Rule::DiscontinuityMoved, place, || {
        let how = if new.discontinuity { "appeared" } else { "vanished" };
        format!("DISCONTINUITY {how} at a segment that was listed before: browsers stop. It leaves the list with its segment")
    });
    if let (Some(was), Some(is)) = (old.date_us, new.date_us)
        && was.abs_diff(is) > 1_000
    {
        let words = format!("its PROGRAM-DATE-TIME moved by {} ms between two reloads", (is - was) / 1_000);
        tally.add(Rule::SegmentChanged, place, words);
    }
    match (&old.key, &new.key) {
        (None, None) => {}
        (Some(was), Some(is)) if was.whole == is.whole && was.iv_of(old.number) == is.iv_of(new.number) => {
            tally.expect(was.address == is.address, Rule::KeyAddressChanged, place, || {
                "the address of its key changed between two reloads: players fetch the key again, or stop; give a session and key one address".to_owned()
            });
        }
        _ => tally.add(Rule::SegmentChanged, place, "its encryption or IV changed between two reloads"),
    }
}

/// Feeds printed states of one playlist, each with the monotonic time it is seen at, through reader and watcher: what a
/// simulation needs. States may be left out, as a slow player would.
///
/// ```
/// use std::time::Duration;
/// let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:";
/// let state = |number: u64| format!("{head}{number}\n#EXTINF:2,\n{number}.ts\n");
/// let states = [(0, state(7)), (2, state(6))].map(|(secs, text)| (Duration::from_secs(secs), text));
/// let (tally, figures) = headend_media::lint::replay(states);
/// assert!(tally.ids().any(|id| id == "sequence-back"));
/// assert_eq!(figures.looks, 2);
/// ```
pub fn replay<T: AsRef<[u8]>>(states: impl IntoIterator<Item = (Duration, T)>) -> (Tally, Figures) {
    let (mut tally, mut watcher) = (Tally::default(), Watcher::new());
    for (at, text) in states {
        watcher.look_at_text(text.as_ref(), at, &mut tally);
    }
    (tally, watcher.figures())
}

impl Watcher {
    /// Reads a printed state and looks at it; whatever is no media playlist is a finding.
    pub fn look_at_text(&mut self, text: &[u8], at: Duration, tally: &mut Tally) {
        match super::read::read_into(text, tally) {
            super::Playlist::Media(media) => self.look(media, at, tally),
            super::Playlist::Master(_) => {
                tally.add(Rule::NotAPlaylist, Place::Playlist, "a master playlist where a media playlist was before");
            }
            super::Playlist::Nothing => {}
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
