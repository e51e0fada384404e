//! What the renditions of one channel owe each other, so that players can change between them (RFC 8216 §6.2.4).
//!
//! Looks at media playlists that were fetched one after another: a segment that one of them does not list yet is no fault.

use super::finding::{Place, Rule, Tally};
use super::playlist::Media;

/// Dates of one moment in two renditions may be apart by this, microseconds: audio is cut at other places than pictures.
const DATE_SLACK_US: i64 = 500_000;

/// Compares each rendition with the first; findings go to the tally beside it.
pub fn compare(first: &Media, other: &Media, tally: &mut Tally) {
    if let (Some(one), Some(two)) = (first.target_secs, other.target_secs) {
        tally.expect(one == two, Rule::VariantTarget, Place::Playlist, || {
            format!("TARGETDURATION is {two}, {one} in the first rendition: one value for all of a channel")
        });
    }
    let (ones, twos) = (dated(first), dated(other));
    let mut common = false;
    for (number, date, breaks) in &twos {
        let Ok(at) = ones.binary_search_by_key(number, |(number, ..)| *number) else { continue };
        let (_, one_date, one_breaks) = ones[at];
        common = true;
        let (Some(date), Some(one_date)) = (date, one_date) else { continue };
        if (date - one_date).abs() > DATE_SLACK_US {
            let words = format!(
                "lies {} ms from where the first rendition has this number: number by time",
                (date - one_date) / 1_000
            );
            return tally.add(Rule::VariantTime, Place::Segment(*number), words);
        }
        if *breaks != one_breaks {
            let words = format!(
                "{breaks} discontinuities up to here, {one_breaks} in the first rendition: cut and mark all of them alike"
            );
            return tally.add(Rule::VariantDiscontinuity, Place::Segment(*number), words);
        }
    }
    let span = |list: &[(u64, Option<i64>, u64)]| Some((list.first()?.1?, list.last()?.1?));
    if let (false, Some(one), Some(two)) = (common, span(&ones), span(&twos)) {
        let overlap = one.0 <= two.1 && two.0 <= one.1;
        tally.expect(!overlap, Rule::VariantNumbers, Place::Playlist, || {
            "lists the same time under other numbers than the first rendition: players that change lose their place; number by time".to_owned()
        });
    }
}

/// Number, date and discontinuities up to it, of each segment.
fn dated(media: &Media) -> Vec<(u64, Option<i64>, u64)> {
    let (mut next, mut breaks) = (None::<i64>, media.discontinuity_sequence);
    let each = media.segments.iter().map(|segment| {
        if segment.discontinuity {
            (next, breaks) = (None, breaks.saturating_add(1));
        }
        let date = segment.date_us.or(next);
        next = date.map(|date| date.saturating_add(segment.duration_us.cast_signed()));
        (segment.number, date, breaks)
    });
    each.collect()
}
