//! Whether a password is right: the limiter first, then argon2id on the blocking pool, a few at a time.
//!
//! A check takes about 20 ms and 19 MiB, so only [`TOGETHER_MAX`] run at once and [`WAITING_MAX`] wait; the rest
//! are told to come again, which costs nothing. A login that does not exist costs what a wrong password costs.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};
use zeroize::Zeroizing;

use crate::domain::{Attempt, AttemptLimiter, AttemptLimits, Login, PasswordHash, Refusal, Verdict};

/// Hashes computed at once.
pub const TOGETHER_MAX: usize = 2;
/// Requests that wait for one, those being served included.
pub const WAITING_MAX: usize = 64;

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The password.
    Right,
    /// Not the password, or nobody by this name.
    Wrong,
    /// Too many tries.
    Wait {
        /// Seconds until a try is possible.
        retry_after_secs: u64,
    },
    /// Too many at once; nothing was looked at.
    Busy,
}

/// Why no hash was made.
#[derive(Debug, thiserror::Error)]
pub enum NotHashed {
    /// The password breaks a rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many at once.
    #[error("too many passwords are being hashed")]
    Busy,
    /// No randomness, or the pool is gone.
    #[error("the password could not be hashed")]
    Failed,
}

/// Checks the passwords of one kind of people.
pub struct Passwords {
    limiter: Mutex<AttemptLimiter>,
    together: Semaphore,
    waiting: Semaphore,
    started: Instant,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            limiter: Mutex::new(AttemptLimiter::new(AttemptLimits::default())),
            together: Semaphore::new(TOGETHER_MAX),
            waiting: Semaphore::new(WAITING_MAX),
            started: Instant::now(),
        }
    }
}

/// What somebody typed.
pub struct Typed<'a> {
    /// As a login, whether or not it is one.
    pub login: &'a str,
    /// The password.
    pub password: Zeroizing<String>,
    /// Where the request comes from.
    pub from: IpAddr,
}

impl Typed<'_> {
    /// The login; for text that can be none, a name that nobody has, so that it is limited and takes as long.
    #[must_use]
    pub fn as_login(&self) -> Login {
        self.login.parse().unwrap_or_else(|_| {
            let hash = Sha256::digest(self.login);
            let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("-{name}").parse().expect("hexadecimal digits are a login")
        })
    }
}

impl Passwords {
    /// Tries a password against `kept`, the hash of that login; none when there is no such login.
    pub async fn check(&self, typed: Typed<'_>, kept: Option<PasswordHash>) -> Checked {
        let login = typed.as_login();
        let now_ms = || u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attempt = self.limiter().begin(&login, typed.from, now_ms());
        match attempt {
            Attempt::Wait { retry_after_secs } => return Checked::Wait { retry_after_secs },
            Attempt::Go { delay_ms } => tokio::time::sleep(Duration::from_millis(delay_ms.into())).await,
        }
        // Taken only now, so that those who are held back keep nobody out.
        let Ok(_place) = self.waiting.try_acquire() else { return Checked::Busy };
        let Ok(_permit) = self.together.acquire().await else { return Checked::Busy };
        let password = typed.password;
        let verdict = tokio::task::spawn_blocking(move || PasswordHash::verify(kept.as_ref(), &password)).await;
        match verdict {
            Ok(Verdict::Right | Verdict::RightButWeak) => {
                self.limiter().succeeded(&login, typed.from, now_ms());
                Checked::Right
            }
            Ok(Verdict::Wrong) => Checked::Wrong,
            Err(_) => Checked::Busy,
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`NotHashed`].
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<PasswordHash, NotHashed> {
        let _place = self.waiting.try_acquire().map_err(|_| NotHashed::Busy)?;
        let _permit = self.together.acquire().await.map_err(|_| NotHashed::Busy)?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| NotHashed::Failed)?;
        let hashed = tokio::task::spawn_blocking(move || PasswordHash::create(&password, salt)).await;
        Ok(hashed.map_err(|_| NotHashed::Failed)??)
    }

    fn limiter(&self) -> std::sync::MutexGuard<'_, AttemptLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
