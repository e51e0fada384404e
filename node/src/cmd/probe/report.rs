//! What the probe found, for people and as JSON.

use std::fmt::Write as _;

use headend_media::lint::{Figures, Place, Severity, Tally};

/// All of it; the JSON's names are stable.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    /// The address asked for, without its query.
    pub(super) address: String,
    /// `clean`, `warnings` or `errors`.
    pub(super) verdict: &'static str,
    /// How many of each were found, those that are not listed too.
    pub(super) errors: u64,
    pub(super) warnings: u64,
    pub(super) notes: u64,
    pub(super) playlists: Vec<Looked>,
    /// The worst first; at most five of each rule and playlist.
    pub(super) findings: Vec<Told>,
}

/// One playlist that was looked at.
#[derive(Debug, serde::Serialize)]
pub(super) struct Looked {
    /// Its address, without its query.
    pub(super) address: String,
    /// `master`, `live`, `event`, `vod` or `unread`.
    pub(super) kind: &'static str,
    /// How often it was fetched.
    pub(super) looks: u64,
    /// Segments listed over all looks, and the first and last number of them.
    pub(super) segments: u64,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) target_secs: Option<u64>,
    pub(super) discontinuities: u64,
    pub(super) key_changes: u64,
    /// The furthest that dates were from the sum of EXTINF, microseconds.
    pub(super) drift_us: i64,
    /// Segments that were fetched and looked into.
    pub(super) looked_into: u64,
    /// The highest rate of a segment, bits a second.
    pub(super) peak_bps: u64,
}

impl Looked {
    /// A playlist with these figures.
    pub(super) fn new(address: String, kind: &'static str, figures: Figures) -> Self {
        Self {
            address,
            kind,
            looks: figures.looks,
            segments: figures.segments,
            first: figures.first,
            last: figures.last,
            target_secs: None,
            discontinuities: figures.discontinuities,
            key_changes: figures.key_changes,
            drift_us: figures.drift_us,
            looked_into: 0,
            peak_bps: 0,
        }
    }
}

/// A finding, told.
#[derive(Debug, serde::Serialize)]
pub(super) struct Told {
    pub(super) severity: Severity,
    pub(super) rule: &'static str,
    pub(super) group: u8,
    pub(super) clause: &'static str,
    pub(super) playlist: String,
    pub(super) line: Option<usize>,
    pub(super) segment: Option<u64>,
    pub(super) words: String,
    /// How often this rule was broken in this playlist.
    pub(super) times: u64,
}

impl Report {
    /// Of these playlists and what is wrong with each, from `least` on.
    pub(super) fn new(address: String, looked: Vec<(Looked, &Tally)>, least: Severity) -> Self {
        let count = |severity| looked.iter().map(|(_, tally)| tally.weighing(severity)).sum::<u64>();
        let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note]
            .map(|severity| if severity >= least { count(severity) } else { 0 });
        let verdict = match (errors, warnings) {
            (0, 0) => "clean",
            (0, _) => "warnings",
            _ => "errors",
        };
        let mut findings: Vec<Told> = looked.iter().flat_map(|(looked, tally)| told(&looked.address, tally)).collect();
        findings.retain(|told| told.severity >= least);
        findings.sort_by_key(|told| std::cmp::Reverse(told.severity));
        let playlists = looked.into_iter().map(|(looked, _)| looked).collect();
        Self { address, verdict, errors, warnings, notes, playlists, findings }
    }

    /// The report as a technician reads it.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for list in &self.playlists {
            let _ = write!(text, "{:<7} {}", list.kind, list.address);
            if let (Some(first), Some(last)) = (list.first, list.last) {
                let _ = write!(text, "\n        {} segments, {first} to {last}", list.segments);
                let _ = write!(text, ", target {} s", list.target_secs.unwrap_or(0));
                let _ = write!(text, ", fetched {} times, {} looked into", list.looks, list.looked_into);
                let _ = write!(text, ", {} discontinuities, {} key changes", list.discontinuities, list.key_changes);
                let _ = write!(text, ", dates within {:.1} ms", list.drift_us.unsigned_abs() as f64 / 1_000.0);
                if list.peak_bps > 0 {
                    let _ = write!(text, ", peak {:.2} Mbit/s", list.peak_bps as f64 / 1e6);
                }
            }
            text.push('\n');
        }
        for told in &self.findings {
            let place = match (told.segment, told.line) {
                (Some(number), _) => format!("segment {number}"),
                (None, Some(line)) => format!("line {line}"),
                (None, None) => "playlist".to_owned(),
            };
            let (severity, rule) = (told.severity, told.rule);
            let _ = writeln!(text, "\n{severity:<7} {rule}  {place} of {}", told.playlist);
            let times = if told.times > 1 { format!(" ({} times)", told.times) } else { String::new() };
            let _ = writeln!(text, "        {}{times}", told.words);
        }
        let (errors, warnings, notes) = (self.errors, self.warnings, self.notes);
        let _ = writeln!(text, "\n{}: {errors} errors, {warnings} warnings, {notes} notes", self.verdict);
        text
    }
}

fn told(playlist: &str, tally: &Tally) -> Vec<Told> {
    let each = tally.findings().iter().map(|finding| {
        let (line, segment) = match finding.place {
            Place::Playlist => (None, None),
            Place::Line(line) => (Some(line), None),
            Place::Segment(number) => (None, Some(number)),
        };
        Told {
            severity: finding.rule.severity(),
            rule: finding.rule.id(),
            group: finding.rule.group(),
            clause: finding.rule.clause(),
            playlist: playlist.to_owned(),
            line,
            segment,
            words: finding.words.clone(),
            times: tally.count(finding.rule),
        }
    });
    each.collect()
}
