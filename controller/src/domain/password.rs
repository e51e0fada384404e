//! Passwords, as argon2id hashes in PHC form, never as themselves.
//!
//! argon2id is RFC 9106; the parameters are the least that OWASP's password storage sheet
//! gives for it: 19 MiB, two passes, one lane. A check takes about 20 ms of one core, so the
//! caller runs it on a bounded pool. A login that does not exist costs the same as a wrong
//! password: the check is made against a decoy. argon2 compares in constant time.

use std::fmt;

use argon2::{Algorithm, Argon2, CustomizedPasswordHasher as _, Params, PasswordVerifier as _, Version};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// Memory of one hash in KiB.
pub const MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
pub const PASSES: u32 = 2;
/// Lanes.
pub const LANES: u32 = 1;
/// Fewest characters of a new password.
pub const CHARACTERS_MIN: usize = 8;
/// Most bytes of a password.
pub const BYTES_MAX: usize = 512;
/// A kept hash may ask for this much at the most, so that a damaged or foreign record
/// cannot take the controller's memory.
const MEMORY_KIB_MAX: u32 = 262_144;
const PASSES_MAX: u32 = 16;

/// A hash nobody knows a password for, with today's parameters.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a check of a password found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not this password, or nobody by this name.
    Wrong,
    /// The password.
    Right,
    /// The password, but the hash has weaker parameters than today's: make and keep a new one.
    RightButWeak,
}

/// The argon2id hash of a password in PHC form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes `password` with `salt`, 16 fresh random bytes. Takes about 20 ms.
    ///
    /// # Errors
    /// A [`Refusal`] for a password of fewer than [`CHARACTERS_MIN`] characters or more
    /// than [`BYTES_MAX`] bytes.
    pub fn create(password: &str, salt: [u8; 16]) -> Result<Self, Refusal> {
        let characters = password.chars().count();
        if characters < CHARACTERS_MIN || password.len() > BYTES_MAX {
            let fix = format!("use at least {CHARACTERS_MIN} characters and at most {BYTES_MAX} bytes");
            return Err(Refusal::new("password", format!("has {characters} characters"), fix));
        }
        let version = Some(Version::V0x13.into());
        let hash = hasher()
            .hash_password_customized(password.as_bytes(), &salt, Some("argon2id"), version, params())
            .expect("the parameters, the salt and the length are in range");
        Ok(Self(hash.to_string()))
    }

    /// Checks `password` against what is kept of a login, or against a decoy when there is
    /// none by that name. Both take about 20 ms.
    #[must_use]
    pub fn verify(kept: Option<&Self>, password: &str) -> Verdict {
        let kept = kept.filter(|_| password.len() <= BYTES_MAX);
        let hash = argon2::PasswordHash::new(kept.map_or(DECOY, |kept| &kept.0))
            .expect("a kept hash was parsed when it was made or read");
        // Nobody's password is cut: a longer one met the decoy.
        let bytes = &password.as_bytes()[..password.len().min(BYTES_MAX)];
        let right = hasher().verify_password(bytes, &hash).is_ok();
        match (right, kept) {
            (true, Some(kept)) if kept.is_weak() => Verdict::RightButWeak,
            (true, Some(_)) => Verdict::Right,
            _ => Verdict::Wrong,
        }
    }

    fn is_weak(&self) -> bool {
        kept_params(&self.0).is_none_or(|kept| kept.m_cost() < MEMORY_KIB || kept.t_cost() < PASSES)
    }
}

fn params() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are in argon2's range")
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params())
}

/// The parameters of a kept hash, if it is argon2id with a hash and within our bounds.
fn kept_params(text: &str) -> Option<Params> {
    let hash = argon2::PasswordHash::new(text).ok()?;
    let whole = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
    let params = Params::try_from(&hash).ok()?;
    let bounded = params.m_cost() <= MEMORY_KIB_MAX && params.t_cost() <= PASSES_MAX && params.p_cost() <= 16;
    (whole && bounded).then_some(params)
}

impl TryFrom<String> for PasswordHash {
    type Error = Refusal;

    /// Takes an argon2id hash in PHC form, from the store or from another system.
    fn try_from(text: String) -> Result<Self, Refusal> {
        match kept_params(&text) {
            Some(_) => Ok(Self(text)),
            None => Err(Refusal::new(
                "password_hash",
                "is no argon2id hash in PHC form within our bounds",
                "set a new password",
            )),
        }
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_parameters_are_at_least_those_of_the_checklist() {
        const { assert!(MEMORY_KIB >= 19_456 && PASSES >= 2) };
        let hash = PasswordHash::create("12345678", [7; 16]).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(DECOY.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(argon2::PasswordHash::new(DECOY).unwrap().hash.unwrap().len(), 32);
    }

    #[test]
    fn right_wrong_nobody_and_weak() {
        let hash = PasswordHash::create("correct horse", [7; 16]).unwrap();
        let check = |kept, password: &str, expected| {
            assert_eq!(PasswordHash::verify(kept, password), expected, "{password}");
        };
        check(Some(&hash), "correct horse", Verdict::Right);
        check(Some(&hash), "correct horsf", Verdict::Wrong);
        check(Some(&hash), "", Verdict::Wrong);
        check(None, "correct horse", Verdict::Wrong);
        check(Some(&hash), &"x".repeat(BYTES_MAX + 1), Verdict::Wrong);
        let weak = Params::new(64, 1, 1, None).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, weak.clone())
            .hash_password_customized(b"old", &[1; 16], None, None, weak)
            .unwrap();
        let weak = PasswordHash::try_from(weak.to_string()).unwrap();
        check(Some(&weak), "old", Verdict::RightButWeak);
    }

    /// Time of this thread alone: other tests run beside this one.
    fn cpu_time() -> Duration {
        nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
    }

    #[test]
    fn a_login_that_does_not_exist_costs_as_much() {
        let hash = PasswordHash::create("correct horse", [7; 16]).unwrap();
        let long = "x".repeat(9_999_999);
        let cases = [(Some(&hash), "wrong"), (None, "wrong"), (Some(&hash), &long)];
        let mut fastest = [Duration::MAX; 3];
        // Taken in turn, so that a busy moment of the machine meets all of them.
        for _ in 0..7 {
            for ((kept, password), fastest) in cases.iter().zip(&mut fastest) {
                let start = cpu_time();
                assert_eq!(PasswordHash::verify(*kept, password), Verdict::Wrong);
                *fastest = (cpu_time() - start).min(*fastest);
            }
        }
        let [wrong, nobody, too_long] = fastest;
        for other in [nobody, too_long] {
            assert!(other > wrong / 2 && other < wrong * 2, "{fastest:?}");
        }
        assert!(wrong > Duration::from_millis(2), "{fastest:?}");
    }

    #[test]
    fn refusals_and_debug_never_show_the_password() {
        let refusal = PasswordHash::create("short", [0; 16]).unwrap_err();
        let expected = "password has 5 characters; use at least 8 characters and at most 512 bytes";
        assert_eq!(refusal.to_string(), expected);
        let hash = PasswordHash::create("12345678", [7; 16]).unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    #[test]
    fn foreign_and_greedy_hashes_are_refused() {
        for text in [
            "",
            "12345678",
            "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=9999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(PasswordHash::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
