//! How many sessions a user has, and which of them is one too many.
//!
//! A user is what the backend calls one (`X-UserId`). Pure; driven by `ledger`, which knows which sessions are alive. The
//! latest answer about any session of a user says what holds for the user.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use headend_access::SessionId;

use super::answer::Limit;

#[derive(Debug)]
struct User {
    sessions: BTreeSet<SessionId>,
    limit: Limit,
    ban_ms: u64,
    /// Since when there have been too many.
    over_since_ms: Option<u64>,
}

/// The users of one rule; never more than it has sessions.
#[derive(Debug)]
pub(super) struct Users {
    soft_ms: u64,
    users: HashMap<Arc<str>, User>,
    by_session: HashMap<SessionId, Arc<str>>,
}

impl Users {
    /// None yet. Being over the limit for `soft_ms` milliseconds is tolerated.
    pub(super) fn new(soft_ms: u64) -> Self {
        Self { soft_ms, users: HashMap::new(), by_session: HashMap::new() }
    }

    /// The backend said whose a session is and how many that user may have; nothing: nobody's.
    pub(super) fn join(&mut self, id: SessionId, limit: Option<(Arc<str>, Limit)>, ban_ms: u64) {
        let Some((name, limit)) = limit else { return self.leave(&id) };
        if self.by_session.get(&id).is_some_and(|old| *old != name) {
            self.leave(&id);
        }
        self.by_session.insert(id, Arc::clone(&name));
        let fresh = || User { sessions: BTreeSet::new(), limit, ban_ms, over_since_ms: None };
        let user = self.users.entry(name).or_insert_with(fresh);
        (user.limit, user.ban_ms) = (limit, ban_ms);
        user.sessions.insert(id);
    }

    /// A session is over, or closed.
    pub(super) fn leave(&mut self, id: &SessionId) {
        let Some(name) = self.by_session.remove(id) else { return };
        if let Some(user) = self.users.get_mut(&name) {
            user.sessions.remove(id);
            if user.sessions.is_empty() {
                self.users.remove(&name);
            }
        }
    }

    /// One session of each user that has been seen over the limit.
    pub(super) fn over_limit(&self) -> Vec<SessionId> {
        let over = self.users.values().filter(|user| user.over_since_ms.is_some());
        over.filter_map(|user| user.sessions.first().copied()).collect()
    }

    /// The sessions that must go of the user of this one, and for how long, milliseconds. `active` gives the place of a
    /// session that counts among all that began.
    pub(super) fn surplus(
        &mut self,
        id: &SessionId,
        active: impl Fn(&SessionId) -> Option<u64>,
        now_ms: u64,
    ) -> (Vec<SessionId>, u64) {
        let Some(user) = self.by_session.get(id).and_then(|name| self.users.get_mut(name)) else {
            return (vec![], 0);
        };
        let mut counted: Vec<(u64, SessionId)> =
            user.sessions.iter().filter_map(|id| Some((active(id)?, *id))).collect();
        let surplus = counted.len().saturating_sub(user.limit.sessions_max);
        if surplus == 0 {
            user.over_since_ms = None;
            return (vec![], 0);
        }
        let since = *user.over_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) < self.soft_ms {
            return (vec![], 0);
        }
        user.over_since_ms = None;
        counted.sort_unstable();
        // With `unique` the newcomer is the one that stays.
        let gone = if user.limit.unique { &counted[..surplus] } else { &counted[counted.len() - surplus..] };
        (gone.iter().map(|(_, id)| *id).collect(), user.ban_ms)
    }
}
