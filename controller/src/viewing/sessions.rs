//! Who is signed in to watch.
//!
//! A sign-in gives a token of 32 random bytes. It is kept by its hash alone: the session's id, which playback
//! tokens and key addresses carry, is the first half of a SHA-256 over it, so neither the store nor a URL gives
//! the token away. Because a session is looked up by that hash, the time a look-up takes says nothing of any token.
//!
//! All sessions are in memory (about 200 bytes each) and in the store, so that a restart signs nobody out. One that
//! is revoked stays until every playback token signed for it has expired, and is told to the nodes meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headend_access::SessionId;
use headend_rt::Clock;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    domain::{DeviceHash, DeviceId, Login, Session, session::SESSION_SECS_MAX},
    policy::playback::PLAYBACK_SECS_MAX,
    store::{Draft, Engine, IdempotencyKey, StoreError, Table},
};

/// Sessions of one subscriber at a time; the oldest makes room.
pub const SESSIONS_PER_LOGIN_MAX: usize = 50;
/// Revoked sessions that nodes are told, the newest.
pub const REVOKED_TOLD_MAX: usize = 1_000;
const TOKEN_BYTES: usize = 32;

/// A fresh session and the token that opens it, shown once.
#[derive(Debug)]
pub struct NewSession {
    /// 43 characters of URL-safe base64.
    pub token: String,
    /// The session.
    pub session: Session,
}

/// Every session.
pub struct Sessions {
    engine: Arc<dyn Engine>,
    kept: RwLock<Kept>,
    revoked: watch::Sender<Arc<Vec<SessionId>>>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<SessionId, Session>,
    by_login: BTreeMap<Login, BTreeSet<SessionId>>,
}

impl Kept {
    fn insert(&mut self, session: Session) {
        self.by_login.entry(session.subscriber.clone()).or_default().insert(session.id);
        self.by_id.insert(session.id, session);
    }

    fn remove(&mut self, id: &SessionId) {
        let Some(session) = self.by_id.remove(id) else { return };
        if let Some(ids) = self.by_login.get_mut(&session.subscriber) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_login.remove(&session.subscriber);
            }
        }
    }

    fn of<'a>(&'a self, login: &Login) -> impl Iterator<Item = &'a Session> {
        self.by_login.get(login).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }
}

/// The id of the session that a token opens; none for text that is no token.
#[must_use]
pub fn id_of(token: &str) -> Option<SessionId> {
    if token.len() != 43 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == TOKEN_BYTES)?;
    let mut hash = Sha256::new();
    hash.update(b"headend/session/v1");
    hash.update(bytes);
    let full: [u8; 32] = hash.finalize().into();
    let (first, _) = full.split_first_chunk().expect("32 bytes hold 16");
    Some(SessionId(*first))
}

/// What tokens and key addresses carry of a device.
#[must_use]
pub fn device_hash(device: &DeviceId) -> DeviceHash {
    let full: [u8; 32] = Sha256::digest(device.as_str()).into();
    let (first, _) = full.split_first_chunk().expect("32 bytes hold 8");
    DeviceHash(*first)
}

/// Wall time in seconds since the Unix epoch.
#[must_use]
pub fn unix_secs(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.unix_ms()).unwrap_or(0) / 1_000
}

impl Sessions {
    /// Loads those that are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(engine: Arc<dyn Engine>) -> Result<Self, StoreError> {
        let table: Table<Session> = Table::new(Arc::clone(&engine));
        let mut kept = Kept::default();
        for session in table.all().await? {
            kept.insert(session.record);
        }
        let sessions = Self { engine, kept: RwLock::new(kept), revoked: watch::Sender::default() };
        sessions.tell_revoked();
        Ok(sessions)
    }

    /// The live session that a token opens.
    #[must_use]
    pub fn by_token(&self, token: &str, now_secs: u64) -> Option<Session> {
        self.by_id(&id_of(token)?, now_secs)
    }

    /// The live session of this id.
    #[must_use]
    pub fn by_id(&self, id: &SessionId, now_secs: u64) -> Option<Session> {
        self.read().by_id.get(id).filter(|session| session.is_live(now_secs)).cloned()
    }

    /// How many there are, revoked ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.read().by_id.len()
    }

    /// The sessions that were revoked and whose playback tokens may still hold, as a watch.
    #[must_use]
    pub fn revoked(&self) -> watch::Receiver<Arc<Vec<SessionId>>> {
        self.revoked.subscribe()
    }

    /// Begins a session; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Panics
    /// When the system has no randomness: a token that can be guessed must not be made.
    pub async fn begin(&self, login: &Login, device: DeviceHash, clock: &dyn Clock) -> Result<NewSession, StoreError> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).expect("the system has randomness");
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let id = id_of(&token).expect("it was made above");
        let created_at = unix_secs(clock);
        let expires_at = created_at + SESSION_SECS_MAX;
        let session = Session { id, subscriber: login.clone(), device, created_at, expires_at, revoked: false };
        let at_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
        let mut draft = Draft::new(IdempotencyKey::random("sign-in"), at_ms).put(&session)?;
        let pushed_out = self.too_many(login, created_at);
        for old in &pushed_out {
            draft = draft.put(old)?;
        }
        draft.commit(&*self.engine).await?;
        self.write().insert(session.clone());
        self.revoked_now(pushed_out);
        Ok(NewSession { token, session })
    }

    /// Ends one session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(&self, session: Session, clock: &dyn Clock) -> Result<(), StoreError> {
        let ended = revoke(session, unix_secs(clock));
        let at_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
        Draft::new(IdempotencyKey::random("sign-out"), at_ms).put(&ended)?.commit(&*self.engine).await?;
        self.revoked_now(vec![ended]);
        Ok(())
    }

    /// The live sessions of a login as they will be once revoked: to be put into the draft that is the reason, and
    /// given to [`Self::revoked_now`] when that is durable.
    #[must_use]
    pub fn revocations(&self, login: &Login, now_secs: u64) -> Vec<Session> {
        let kept = self.read();
        let live = kept.of(login).filter(|session| session.is_live(now_secs));
        live.map(|session| revoke(session.clone(), now_secs)).collect()
    }

    /// Takes revocations that are durable.
    pub fn revoked_now(&self, ended: Vec<Session>) {
        if ended.is_empty() {
            return;
        }
        let mut kept = self.write();
        ended.into_iter().for_each(|session| kept.insert(session));
        drop(kept);
        self.tell_revoked();
    }

    /// Removes those that are over, from the store as well; up to a batch. Whether there may be more.
    ///
    /// # Errors
    /// [`StoreError`]; they are removed the next time.
    pub async fn sweep(&self, clock: &dyn Clock) -> Result<bool, StoreError> {
        const BATCH: usize = 200;
        let now_secs = unix_secs(clock);
        let over: Vec<SessionId> = {
            let kept = self.read();
            kept.by_id.values().filter(|s| s.expires_at <= now_secs).map(|s| s.id).take(BATCH).collect()
        };
        let table: Table<Session> = Table::new(Arc::clone(&self.engine));
        let at_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
        let mut draft = Draft::new(IdempotencyKey::random("sweep"), at_ms);
        for id in &over {
            if let Some(found) = table.get(id).await? {
                draft = draft.remove::<Session>(id, found.version);
            }
        }
        if !over.is_empty() {
            draft.commit(&*self.engine).await?;
            let mut kept = self.write();
            over.iter().for_each(|id| kept.remove(id));
            drop(kept);
            self.tell_revoked();
        }
        Ok(over.len() == BATCH)
    }

    /// The oldest of a login that has as many as it may, revoked.
    fn too_many(&self, login: &Login, now_secs: u64) -> Vec<Session> {
        let kept = self.read();
        let mut live: Vec<&Session> = kept.of(login).filter(|session| session.is_live(now_secs)).collect();
        live.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        live.into_iter().skip(SESSIONS_PER_LOGIN_MAX - 1).map(|session| revoke(session.clone(), now_secs)).collect()
    }

    fn tell_revoked(&self) {
        let kept = self.read();
        let mut revoked: Vec<&Session> = kept.by_id.values().filter(|session| session.revoked).collect();
        // The last to expire were revoked last, as long as sessions outlive playback tokens.
        revoked.sort_by_key(|session| (std::cmp::Reverse(session.expires_at), session.id));
        let mut told: Vec<SessionId> = revoked.into_iter().take(REVOKED_TOLD_MAX).map(|session| session.id).collect();
        drop(kept);
        told.sort_unstable();
        self.revoked.send_if_modified(|current| {
            let changed = **current != told;
            if changed {
                *current = Arc::new(told);
            }
            changed
        });
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ended, and remembered until the last playback token signed for it has expired.
fn revoke(session: Session, now_secs: u64) -> Session {
    let expires_at = session.expires_at.min(now_secs + PLAYBACK_SECS_MAX);
    Session { revoked: true, expires_at, ..session }
}
