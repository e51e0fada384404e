//! What a media playlist said over time, and whether it ever took anything back.
//!
//! A player remembers what it was told. Over reloads, restarts and kills these must hold (RFC 8216 §6.2.2): numbers and
//! sequences never step back, what was listed stays as it was listed, the target duration never changes, and numbers
//! have no hole while the window goes on.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use reqwest::Url;

use crate::client::{Playlist, Segment};

/// What is remembered of a segment; addresses without the host, which a restart may change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    path: String,
    key: Option<(String, u128)>,
    millis: String,
    discontinuity: bool,
}

/// Every playlist of one channel so far.
#[derive(Debug, Default)]
pub struct History {
    told: BTreeMap<u64, Told>,
    target: Option<u64>,
    sequence: u64,
    discontinuity_sequence: u64,
    /// Playlists taken.
    pub taken: u64,
}

impl History {
    /// Takes the next playlist.
    ///
    /// # Errors
    /// Names what stepped back or changed.
    pub fn take(&mut self, playlist: &Playlist) -> Result<()> {
        let text = &playlist.text;
        self.taken += 1;
        let target = *self.target.get_or_insert(playlist.target);
        ensure!(playlist.target == target, "TARGETDURATION went from {target} to {}\n{text}", playlist.target);
        let (was, is) = (self.sequence, playlist.sequence);
        ensure!(is >= was, "MEDIA-SEQUENCE went from {was} back to {is}\n{text}");
        let last = self.told.keys().next_back().copied().unwrap_or(0);
        let end = playlist.segments.last().map_or(0, |segment| segment.number);
        ensure!(end >= last, "the last number went from {last} back to {end}\n{text}");
        self.count_discontinuities(playlist)?;
        for segment in &playlist.segments {
            let new = told(segment);
            let old = self.told.entry(segment.number).or_insert_with(|| new.clone());
            ensure!(*old == new, "segment {} was told as {old:?}, now it is {new:?}\n{text}", segment.number);
            ensure!(segment.duration <= f64::from(u32::try_from(target)?), "segment {} is too long", segment.number);
        }
        (self.sequence, self.discontinuity_sequence) = (is, playlist.discontinuity_sequence);
        Ok(())
    }

    /// The numbers told so far that lie at a discontinuity.
    #[must_use]
    pub fn discontinuities(&self) -> Vec<u64> {
        self.told.iter().filter(|(_, told)| told.discontinuity).map(|(number, _)| *number).collect()
    }

    /// Numbers that are missing between the first and the last.
    #[must_use]
    pub fn holes(&self) -> Vec<u64> {
        let (first, last) = (self.told.keys().next(), self.told.keys().next_back());
        let (first, last) = (first.copied().unwrap_or(0), last.copied().unwrap_or(0));
        (first..last).filter(|number| !self.told.contains_key(number)).collect()
    }

    /// The last number.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.told.keys().next_back().copied()
    }

    /// The discontinuity sequence counts the discontinuities that left at the front; those never told may add.
    fn count_discontinuities(&self, playlist: &Playlist) -> Result<()> {
        let (was, is) = (self.discontinuity_sequence, playlist.discontinuity_sequence);
        ensure!(is >= was, "DISCONTINUITY-SEQUENCE went from {was} back to {is}\n{}", playlist.text);
        if self.taken > 1 {
            let gone = self.told.range(self.sequence..playlist.sequence).filter(|(_, told)| told.discontinuity).count();
            let least = was + u64::try_from(gone)?;
            ensure!(is >= least, "DISCONTINUITY-SEQUENCE is {is}, {gone} left after {was}\n{}", playlist.text);
        }
        Ok(())
    }
}

fn told(segment: &Segment) -> Told {
    let address = |url: &Url| format!("{}?{}", url.path(), url.query().unwrap_or_default());
    Told {
        // The token is the viewer's, not the segment's.
        path: segment.url.path().to_owned(),
        key: segment.key.as_ref().map(|(url, iv)| (address(url), *iv)),
        millis: format!("{:.3}", segment.duration),
        discontinuity: segment.discontinuity,
    }
}
