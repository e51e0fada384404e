//! Who watches a channel: sessions that asked for something not long ago.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use headend_access::SessionId;

/// A session that asked for nothing this long is no viewer any more, seconds.
const VIEWER_SECS: u64 = 30;

/// Sessions remembered per channel.
const VIEWERS_MAX: usize = 20_000;

/// The sessions of one channel, and when each was last heard of.
#[derive(Debug, Default)]
pub(super) struct Viewers(Mutex<HashMap<SessionId, u64>>);

impl Viewers {
    /// A session asked for something at `now` (Unix seconds).
    pub(super) fn seen(&self, session: SessionId, now: u64) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if viewers.len() >= VIEWERS_MAX && !viewers.contains_key(&session) {
            viewers.retain(|_, last| *last + VIEWER_SECS >= now);
        }
        if viewers.len() < VIEWERS_MAX || viewers.contains_key(&session) {
            viewers.insert(session, now);
        }
    }

    /// Sessions that asked for something in the last 30 s.
    pub(super) fn count(&self, now: u64) -> u32 {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        viewers.retain(|_, last| *last + VIEWER_SECS >= now);
        u32::try_from(viewers.len()).unwrap_or(u32::MAX)
    }
}
