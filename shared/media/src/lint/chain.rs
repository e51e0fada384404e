//! Judges clear segments one after another: each by itself, and as the continuation of the one before.
//!
//! A value with one owner; the shell fetches and decrypts, and tells the number of each segment by its [`Listed`] entry. A
//! number that does not follow starts afresh, and so does a DISCONTINUITY: only neighbours are compared. RFC 8216 §3:
//! times and counters "continue uninterrupted" unless the tag says otherwise; over the end of their 33 bits as well.

use super::finding::{Place, Rule, Tally};
use super::media_tags::seconds;
use super::playlist::Listed;
use super::segment::{Counters, SegmentFacts, Times};
use crate::es::VideoCodec;
use crate::package::Kind;
use crate::packet::Pid;
use crate::time::{Pts, TICKS_PER_SECOND};

/// A hole of this length between two segments is a break of the time base, not a few lost pictures.
const HOLE_TICKS: i64 = 2 * TICKS_PER_SECOND;
/// EXTINF may be this far from the time stamps: a cut at a picture and one at a sound differ by less.
const DURATION_SLACK_US: i64 = 100_000;
/// Time stamps this near to the end of their 33 bits are about to begin again.
const WRAP_NEAR: u64 = 60 * TICKS_PER_SECOND.unsigned_abs();

/// The segments of one playlist, as far as they were looked into.
#[derive(Debug, Default)]
pub struct Chain {
    counters: Counters,
    last: Option<Last>,
    tracks: Vec<(Pid, Kind)>,
    seen: u64,
}

#[derive(Debug)]
struct Last {
    number: u64,
    duration_us: u64,
    times: Option<Times>,
}

impl Chain {
    /// Judges a segment in the clear. `independent`: its playlist or master says INDEPENDENT-SEGMENTS.
    pub fn push(&mut self, listed: &Listed, independent: bool, clear: &[u8], tally: &mut Tally) {
        let place = Place::Segment(listed.number);
        let follows = self.last.as_ref().is_some_and(|last| Some(listed.number) == last.number.checked_add(1));
        let goes_on = follows && !listed.discontinuity;
        if !goes_on {
            self.counters = Counters::default();
        }
        self.seen += 1;
        let facts = SegmentFacts::of(clear, &mut self.counters);
        if !is_transport(clear, &facts, listed, tally) {
            self.last = None;
            return;
        }
        alone(&facts, independent, place, tally);
        if goes_on {
            self.against_last(&facts, place, tally);
        }
        if let (true, Some(last), Some(times)) = (goes_on, &self.last, facts.times) {
            measured(last, times, tally);
        }
        self.tracks = facts.tracks.unwrap_or_default();
        self.last = Some(Last { number: listed.number, duration_us: listed.duration_us, times: facts.times });
    }

    /// Forgets the segment before, because one could not be had.
    pub fn skip(&mut self) {
        self.last = None;
    }

    /// Segments looked into.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Kinds of track in the last segment that CODECS does not name, in words; `None` when it names all.
    #[must_use]
    pub fn unnamed(&self, codecs: &str) -> Option<&'static str> {
        let lower = codecs.to_ascii_lowercase();
        let names = |starts: &[&str]| lower.split(',').any(|codec| starts.iter().any(|s| codec.trim().starts_with(s)));
        let kind = |of: fn(&Kind) -> bool| self.tracks.iter().any(|(_, kind)| of(kind));
        let lacks = [
            (kind(|k| matches!(k, Kind::Video(VideoCodec::H264))) && !names(&["avc1", "avc3"]), "H.264 pictures"),
            (kind(|k| matches!(k, Kind::Video(VideoCodec::Hevc))) && !names(&["hvc1", "hev1", "dvh"]), "HEVC pictures"),
            (kind(|k| matches!(k, Kind::Video(VideoCodec::Mpeg2))) && !names(&["mp4v", "mp2v"]), "MPEG-2 pictures"),
            (kind(|k| matches!(k, Kind::Audio(_))) && !names(&["mp4a", "ac-3", "ec-3", "mp3", "ac-4"]), "sound"),
        ];
        lacks.into_iter().find(|(lacks, _)| *lacks).map(|(_, what)| what)
    }

    fn against_last(&self, facts: &SegmentFacts, place: Place, tally: &mut Tally) {
        if let (count @ 1.., Some(pid)) = facts.apart {
            let words = format!(
                "counters of {count} PIDs do not go on from the segment before, first {pid}: packets were lost at the cut, or it needs DISCONTINUITY"
            );
            tally.add(Rule::CountersApart, place, words);
        }
        if let Some(tracks) = facts.tracks.as_ref().filter(|tracks| !self.tracks.is_empty() && **tracks != self.tracks)
        {
            let words = format!(
                "its tracks are others than in the segment before ({} then {}), and no DISCONTINUITY says so: players keep the old decoders",
                self.tracks.len(),
                tracks.len()
            );
            tally.add(Rule::DiscontinuityMissing, place, words);
        }
        let (Some(before), Some(now)) = (self.last.as_ref().and_then(|last| last.times), facts.times) else { return };
        let moved = now.first.signed_since(before.last);
        if moved > 0 && moved - before.step.max(0) <= HOLE_TICKS {
            return;
        }
        if breaks_at_the_wrap(before.last, now.first) {
            let words = "time stamps restart near the end of their 33 bits without counting on over it: players lose sound and picture for good";
            return tally.add(Rule::WrapBroken, place, words);
        }
        if moved > 0 && self.last.as_ref().is_some_and(|last| last.off(facts.times).abs() <= DURATION_SLACK_US) {
            let words = format!(
                "{} ms without a picture at the cut: players stand still or jump; fill it with a slate",
                moved / 90
            );
            return tally.add(Rule::Hole, place, words);
        }
        let words = format!(
            "time stamps jump by {} ms from the segment before, and no DISCONTINUITY says so: keep the times going, or mark the jump",
            moved / 90
        );
        tally.add(Rule::DiscontinuityMissing, place, words);
    }
}

/// Whether times fell from the end of the 33 bits to their beginning, and yet do not go on.
fn breaks_at_the_wrap(before: Pts, now: Pts) -> bool {
    before.value() >= (1 << 33) - WRAP_NEAR && now.value() < WRAP_NEAR
}

fn is_transport(clear: &[u8], facts: &SegmentFacts, listed: &Listed, tally: &mut Tally) -> bool {
    let place = Place::Segment(listed.number);
    // Two numbers differ in their last bytes only: a number too many spoils the PAT and leaves the sync byte.
    if facts.first_damaged || facts.first_pat_damaged && listed.key.is_some() {
        let words = "all but the first 16 bytes decrypts: the IV is another than the one used. Players show it, with a fault at each cut";
        tally.add(Rule::IvWrong, place, words);
        return false;
    }
    if other_format(clear) {
        tally.add(Rule::SegmentUnread, place, "no MPEG-2 transport stream (subtitles, fragmented MP4 or bare sound)");
        return false;
    }
    if facts.packets == 0 || facts.unreadable > 0 {
        let words = format!(
            "{} bytes, {} places without a packet of 188 bytes and its sync byte: cut between packets, and look at key and IV",
            clear.len(),
            facts.unreadable
        );
        tally.add(Rule::SegmentUnreadable, place, words);
        return false;
    }
    true
}

/// WebVTT, ID3 and ADTS or MPEG audio frames, ISO boxes (RFC 8216 §3.3 to §3.5).
fn other_format(clear: &[u8]) -> bool {
    let text = clear.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(clear);
    let boxed = matches!(clear.get(4..8), Some(b"styp" | b"moof" | b"ftyp" | b"sidx" | b"prft" | b"emsg"));
    text.starts_with(b"WEBVTT") || clear.starts_with(b"ID3") || boxed || matches!(clear, [0xFF, 0xE0..=0xFF, ..])
}

fn alone(facts: &SegmentFacts, independent: bool, place: Place, tally: &mut Tally) {
    if facts.programmes.is_none() || facts.tracks.is_none() {
        let words = "no PAT and PMT in it: a player that begins here finds no track; repeat them at each cut";
        tally.add(Rule::TablesMissing, place, words);
        return;
    }
    tally.expect(facts.tables_first, Rule::TablesLate, place, || {
        "packets of tracks before PAT and PMT: players drop them; put the tables first".to_owned()
    });
    tally.expect(facts.programmes == Some(1), Rule::Programmes, place, || {
        format!("{} programmes: players take the first they find; pass one on", facts.programmes.unwrap_or(0))
    });
    if facts.scrambled > 0 {
        let words = format!(
            "{} of {} packets are scrambled: the source was packaged before it was clear",
            facts.scrambled, facts.packets
        );
        return tally.add(Rule::StillScrambled, place, words);
    }
    if let (count @ 1.., Some(pid)) = facts.breaks {
        let words = format!(
            "{count} breaks of continuity counters, first on {pid}: packets are missing; look at the source's reception"
        );
        tally.add(Rule::CountersBroken, place, words);
    }
    tally.expect(facts.times.is_some(), Rule::Empty, place, || {
        "no picture and no sound with a time stamp in it: the source was silent; fill with a slate".to_owned()
    });
    tally.expect(facts.pcrs > 0, Rule::PcrMissing, place, || {
        "no PCR in it: boxes with hardware decoders lose their clock".to_owned()
    });
    let Some(entry) = facts.entry.as_ref().filter(|_| facts.video) else { return };
    tally.expect(entry.random_access, Rule::EntryLate, place, || {
        "begins with a picture that needs one before it: seeking and joining here shows nothing at first; cut at key frames".to_owned()
    });
    if independent && !entry.independent {
        let words = "the playlist says INDEPENDENT-SEGMENTS, and this one begins with pictures that need others: leave the tag out, or cut at closed groups";
        tally.add(Rule::NotIndependent, place, words);
    }
}

impl Last {
    /// How long it lasted, now that its successor is known, microseconds.
    fn real_us(&self, next: Times) -> i64 {
        self.times.map_or(0, |times| next.first_pts.signed_since(times.first_pts) * 100 / 9)
    }

    /// The same, less its EXTINF; nothing where no time is known.
    fn off(&self, next: Option<Times>) -> i64 {
        let listed = i64::try_from(self.duration_us).unwrap_or(i64::MAX);
        next.map_or(0, |next| self.real_us(next).saturating_sub(listed))
    }
}

/// EXTINF against the time stamps.
fn measured(last: &Last, now: Times, tally: &mut Tally) {
    let Some(before) = last.times else { return };
    let (real, off) = (last.real_us(now), last.off(Some(now)));
    // A jump is told elsewhere, and is no length.
    let jump = now.first.signed_since(before.last) - before.step.max(0) > HOLE_TICKS || real <= 0;
    tally.expect(jump || off.abs() <= DURATION_SLACK_US, Rule::DurationOff, Place::Segment(last.number), || {
        let real = seconds(real.unsigned_abs());
        format!("EXTINF says {} s, its time stamps {real} s: take EXTINF from the stream", seconds(last.duration_us))
    });
}
