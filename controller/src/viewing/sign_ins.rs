//! Operators that are signed in.
//!
//! As with viewers the token is kept by its hash alone, in memory and in the store. A sign-in that was ended is
//! written as over, in the same write as its reason, and swept later.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headend_rt::Clock;
use sha2::{Digest, Sha256};

use super::sessions::unix_secs;
use crate::{
    domain::Login,
    store::{Draft, Engine, IdempotencyKey, StoreError, Table, sign_ins::SignIn},
};

/// How long a sign-in lasts, seconds.
pub const SIGNED_IN_SECS: u64 = 12 * 3_600;
/// Sign-ins of one operator at a time; the oldest makes room.
pub const PER_OPERATOR_MAX: usize = 20;
const SWEEP_BATCH: usize = 200;

/// Every sign-in.
pub struct SignIns {
    engine: Arc<dyn Engine>,
    kept: Mutex<HashMap<String, SignIn>>,
}

fn id_of(token: &str) -> String {
    let full: [u8; 32] = Sha256::new().chain_update(b"headend/sign-in/v1").chain_update(token).finalize().into();
    full.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl SignIns {
    /// Loads those that are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(engine: Arc<dyn Engine>) -> Result<Self, StoreError> {
        let table: Table<SignIn> = Table::new(Arc::clone(&engine));
        let kept = table.all().await?.into_iter().map(|kept| (kept.record.id.clone(), kept.record)).collect();
        Ok(Self { engine, kept: Mutex::new(kept) })
    }

    /// Whose token it is at `now_secs`. Looked up by its hash, so the time this takes says nothing of other tokens.
    #[must_use]
    pub fn who(&self, token: &str, now_secs: u64) -> Option<Login> {
        let kept = self.kept();
        kept.get(&id_of(token)).filter(|sign_in| now_secs < sign_in.expires_at).map(|sign_in| sign_in.operator.clone())
    }

    /// Signs an operator in; gives the token, 43 characters of URL-safe base64, and when it ends.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Panics
    /// When the system has no randomness: a token that can be guessed must not be made.
    pub async fn begin(&self, operator: &Login, clock: &dyn Clock) -> Result<(String, u64), StoreError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system has randomness");
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let expires_at = unix_secs(clock) + SIGNED_IN_SECS;
        let fresh = SignIn { id: id_of(&token), operator: operator.clone(), expires_at };
        let mut changed = self.endings(operator);
        changed.sort_by_key(|ended| std::cmp::Reverse(self.expiry(&ended.id)));
        let mut changed: Vec<SignIn> = changed.into_iter().skip(PER_OPERATOR_MAX - 1).collect();
        changed.push(fresh);
        self.write(changed, clock).await?;
        Ok((token, expires_at))
    }

    /// Ends one sign-in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(&self, token: &str, clock: &dyn Clock) -> Result<(), StoreError> {
        let ended = self.kept().get(&id_of(token)).cloned().map(over);
        self.write(ended.into_iter().collect(), clock).await
    }

    /// Ends every sign-in of an operator.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_all(&self, operator: &Login, clock: &dyn Clock) -> Result<(), StoreError> {
        self.write(self.endings(operator), clock).await
    }

    /// The sign-ins of an operator as they will be once ended: to be put into the draft that is the reason, and
    /// given to [`Self::ended`] when that is durable.
    #[must_use]
    pub fn endings(&self, operator: &Login) -> Vec<SignIn> {
        let kept = self.kept();
        let live = kept.values().filter(|sign_in| sign_in.operator == *operator && sign_in.expires_at > 0);
        live.cloned().map(over).collect()
    }

    /// Takes changes that are durable.
    pub fn ended(&self, changed: Vec<SignIn>) {
        let mut kept = self.kept();
        kept.extend(changed.into_iter().map(|sign_in| (sign_in.id.clone(), sign_in)));
    }

    /// Removes those that are over.
    ///
    /// # Errors
    /// [`StoreError`]; they are removed the next time.
    pub async fn sweep(&self, clock: &dyn Clock) -> Result<(), StoreError> {
        let now_secs = unix_secs(clock);
        let over: Vec<String> = {
            let kept = self.kept();
            kept.values().filter(|s| s.expires_at <= now_secs).map(|s| s.id.clone()).take(SWEEP_BATCH).collect()
        };
        if over.is_empty() {
            return Ok(());
        }
        let table: Table<SignIn> = Table::new(Arc::clone(&self.engine));
        let mut draft = Draft::new(IdempotencyKey::random("sweep"), unix_ms(clock));
        for id in &over {
            if let Some(found) = table.get(id).await? {
                draft = draft.remove::<SignIn>(id, found.version);
            }
        }
        draft.commit(&*self.engine).await?;
        let mut kept = self.kept();
        over.iter().for_each(|id| drop(kept.remove(id)));
        Ok(())
    }

    async fn write(&self, changed: Vec<SignIn>, clock: &dyn Clock) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        let draft = Draft::new(IdempotencyKey::random("operator-sign-in"), unix_ms(clock));
        changed.iter().try_fold(draft, |draft, sign_in| draft.put(sign_in))?.commit(&*self.engine).await?;
        self.ended(changed);
        Ok(())
    }

    fn expiry(&self, id: &str) -> u64 {
        self.kept().get(id).map_or(0, |sign_in| sign_in.expires_at)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, SignIn>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn over(sign_in: SignIn) -> SignIn {
    SignIn { expires_at: 0, ..sign_in }
}

fn unix_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.unix_ms()).unwrap_or(0)
}
