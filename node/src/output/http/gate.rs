//! Who may have a stream: tokens checked on the node, without asking anyone.
//!
//! A token is verified once (Ed25519) and remembered by its hash, so that a box that asks every two seconds costs a
//! look-up. The memory is bounded; a full one starts anew, which costs each viewer one more verification. Revoked
//! sessions are refused from the next request on.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError, RwLock},
};

use headend_access::{SessionId, TokenClaims, TokenError, TokenVerifier};

/// Remembered tokens; about 250 bytes each.
const REMEMBERED_MAX: usize = 32_768;

/// What a token or its absence comes to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token, and the channel is not free.
    #[error("no token")]
    Missing,
    /// The token is no good; the cause is for the log only.
    #[error("token")]
    Token(#[source] TokenError),
    /// The session was revoked.
    #[error("session was revoked")]
    Revoked,
    /// No verifier yet: no desired state has arrived.
    #[error("this node does not know yet whose tokens to trust")]
    NotReady,
}

struct Keys {
    verifier: Option<TokenVerifier>,
    revoked: HashSet<SessionId>,
}

/// Checks tokens.
pub struct Gate {
    keys: RwLock<Keys>,
    remembered: Mutex<HashMap<String, TokenClaims>>,
}

impl Default for Gate {
    fn default() -> Self {
        let keys = Keys { verifier: None, revoked: HashSet::new() };
        Self { keys: RwLock::new(keys), remembered: Mutex::default() }
    }
}

impl Gate {
    /// Trusts other keys from now on, and refuses these sessions. What was remembered is forgotten: it may have been
    /// signed by a key that is trusted no more.
    pub fn trust(&self, verifier: TokenVerifier, revoked: HashSet<SessionId>) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Keys { verifier: Some(verifier), revoked };
        drop(keys);
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The claims of a token that opens `channel` at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`Refused`], for the log; a viewer sees the same 403 whatever the cause.
    pub fn admit(&self, token: Option<&str>, channel: &str, now: u64) -> Result<TokenClaims, Refused> {
        let token = token.ok_or(Refused::Missing)?;
        let claims = match self.recall(token) {
            Some(claims) => claims,
            None => self.authenticate(token)?,
        };
        claims.admit(channel, now).map_err(Refused::Token)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if keys.revoked.contains(&claims.session) {
            return Err(Refused::Revoked);
        }
        Ok(claims)
    }

    /// Whether a session was revoked.
    pub fn revoked(&self, session: &SessionId) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).revoked.contains(session)
    }

    fn recall(&self, token: &str) -> Option<TokenClaims> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn authenticate(&self, token: &str) -> Result<TokenClaims, Refused> {
        let claims = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            let verifier = keys.verifier.as_ref().ok_or(Refused::NotReady)?;
            verifier.authenticate(token).map_err(Refused::Token)?
        };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        // The text was bounded by the verifier: a longer one is not a token.
        remembered.insert(token.to_owned(), claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use headend_access::{Scope, TokenSigner};

    use super::*;

    const SESSION: SessionId = SessionId([4; 16]);

    fn token(signer: &TokenSigner, expires: u32) -> String {
        let scope = Scope::Channel("france24".to_owned());
        let claims = TokenClaims { session: SESSION, device: [0; 8], not_before: 1_000, expires, scope };
        signer.sign(&claims).expect("signs")
    }

    fn gate(signer: &TokenSigner, revoked: &[SessionId]) -> Gate {
        let gate = Gate::default();
        gate.trust(TokenVerifier::new([signer.public()]).expect("key"), revoked.iter().copied().collect());
        gate
    }

    fn check(gate: &Gate, token: Option<&str>, channel: &str, now: u64, want: &str) {
        // Asked twice: the second answer comes from memory and must be the same.
        for _ in 0..2 {
            let got =
                gate.admit(token, channel, now).map_or_else(|error| headend_rt::chain(&error), |_| "in".to_owned());
            assert_eq!(got, want);
        }
    }

    #[test]
    fn expired_forged_and_foreign_tokens_stay_out() {
        let (ours, theirs) = (TokenSigner::new(1, [1; 32]), TokenSigner::new(1, [2; 32]));
        let other_id = TokenSigner::new(9, [2; 32]);
        let gate = gate(&ours, &[]);
        let good = token(&ours, 2_000);
        check(&gate, Some(&good), "france24", 1_500, "in");
        check(&gate, Some(&good), "france24", 2_003, "token: token expired 3 s ago");
        check(&gate, Some(&good), "tf1", 1_500, "token: token does not open this channel");
        check(&gate, Some(&token(&theirs, 2_000)), "france24", 1_500, "token: token signature is wrong");
        let foreign = "token: token is signed with key 9, which is not known here";
        check(&gate, Some(&token(&other_id, 2_000)), "france24", 1_500, foreign);
        check(&gate, None, "france24", 1_500, "no token");
        check(&Gate::default(), Some(&good), "france24", 1_500, "this node does not know yet whose tokens to trust");
    }

    #[test]
    fn a_revoked_session_is_refused_though_it_was_remembered() {
        let ours = TokenSigner::new(1, [1; 32]);
        let gate = gate(&ours, &[]);
        let good = token(&ours, 2_000);
        check(&gate, Some(&good), "france24", 1_500, "in");
        gate.trust(TokenVerifier::new([ours.public()]).expect("key"), HashSet::from([SESSION]));
        check(&gate, Some(&good), "france24", 1_500, "session was revoked");
    }

    #[test]
    fn memory_stays_bounded() {
        let ours = TokenSigner::new(1, [1; 32]);
        let gate = gate(&ours, &[]);
        let mut remembered = gate.remembered.lock().expect("lock");
        let claims =
            ours.sign(&TokenClaims { session: SESSION, device: [0; 8], not_before: 0, expires: 9, scope: Scope::All });
        let claims =
            TokenVerifier::new([ours.public()]).expect("key").authenticate(&claims.expect("signs")).expect("ours");
        for number in 0..REMEMBERED_MAX {
            remembered.insert(number.to_string(), claims.clone());
        }
        drop(remembered);
        check(&gate, Some(&token(&ours, 2_000)), "france24", 1_500, "in");
        assert!(gate.remembered.lock().expect("lock").len() <= REMEMBERED_MAX);
    }
}
