//! One-time enrolment codes: how a new node proves that an operator wants it. Pure.
//!
//! A code is eight characters of an alphabet without look-alikes (40 bits), made for one site and node name,
//! good for ten minutes, one use and five wrong tries on that name. An address that failed five times within
//! ten minutes is not listened to. Whatever the cause of a refusal, the answer is one and the same; the cause
//! is for the log.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use subtle::ConstantTimeEq;

use super::state::{Elapsed, NodeKey};

/// 32 characters: no 0, 1, I, O, so that a code survives a telephone.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
const CODE_CHARS: usize = 8;
/// How long a code may be used.
pub const CODE_LASTS: Duration = Duration::from_secs(600);
/// Wrong tries before a code, or an address, is done.
pub const TRIES_MAX: u32 = 5;
const CODES_MAX: usize = 256;
const ADDRESSES_MAX: usize = 4_096;

/// Why a code was refused; for the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No code waits for this name.
    #[error("no code waits for this node")]
    NoCode,
    /// It is over.
    #[error("the code has expired")]
    Expired,
    /// It is another one.
    #[error("wrong code")]
    Wrong,
    /// Too many wrong ones from this address.
    #[error("too many wrong codes from this address")]
    Address,
}

/// Why no code was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCode {
    /// Too many wait.
    #[error("{CODES_MAX} enrolment codes wait already; let them expire")]
    TooMany,
}

struct Waiting {
    key: NodeKey,
    code: [u8; CODE_CHARS],
    until: Elapsed,
    wrong: u32,
}

/// Every code that waits, and who guessed wrong lately. Memory: 256 codes, 4,096 addresses.
#[derive(Default)]
pub struct Codes {
    waiting: Vec<Waiting>,
    guesses: HashMap<IpAddr, (u32, Elapsed)>,
    order: VecDeque<IpAddr>,
}

impl Codes {
    /// Makes the code of a node from eight random bytes; an older one of the same name is void. Shown once, in
    /// two groups (`K7QF-2MXP`).
    ///
    /// # Errors
    /// [`NoCode::TooMany`].
    pub fn issue(&mut self, key: NodeKey, random: [u8; CODE_CHARS], now: Elapsed) -> Result<String, NoCode> {
        self.waiting.retain(|waiting| waiting.until > now && waiting.key.node != key.node);
        if self.waiting.len() >= CODES_MAX {
            return Err(NoCode::TooMany);
        }
        let code = random.map(|byte| ALPHABET[usize::from(byte % 32)]);
        let shown = String::from_utf8_lossy(&code).into_owned();
        self.waiting.push(Waiting { key, code, until: now + CODE_LASTS, wrong: 0 });
        Ok(format!("{}-{}", &shown[..4], &shown[4..]))
    }

    /// Uses a code for the name that the certificate request carries. A right code is gone afterwards.
    ///
    /// # Errors
    /// [`Refused`], for the log.
    pub fn redeem(&mut self, node: &str, code: &str, from: IpAddr, now: Elapsed) -> Result<NodeKey, Refused> {
        if self.guesses.get(&from).is_some_and(|(wrong, until)| *wrong >= TRIES_MAX && *until > now) {
            return Err(Refused::Address);
        }
        let outcome = self.check(node, code, now);
        if outcome.is_err() {
            self.count(from, now);
        }
        outcome
    }

    fn check(&mut self, node: &str, code: &str, now: Elapsed) -> Result<NodeKey, Refused> {
        let at = self.waiting.iter().position(|waiting| waiting.key.node.as_str() == node).ok_or(Refused::NoCode)?;
        let waiting = &mut self.waiting[at];
        if waiting.until <= now {
            self.waiting.swap_remove(at);
            return Err(Refused::Expired);
        }
        if typed(code).is_some_and(|typed| bool::from(typed.ct_eq(&waiting.code))) {
            return Ok(self.waiting.swap_remove(at).key);
        }
        waiting.wrong += 1;
        if waiting.wrong >= TRIES_MAX {
            self.waiting.swap_remove(at);
        }
        Err(Refused::Wrong)
    }

    fn count(&mut self, from: IpAddr, now: Elapsed) {
        if !self.guesses.contains_key(&from) {
            if self.order.len() >= ADDRESSES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.guesses.remove(&oldest);
            }
            self.order.push_back(from);
        }
        let (wrong, until) = self.guesses.entry(from).or_default();
        if *until <= now {
            *wrong = 0;
        }
        *wrong += 1;
        *until = now + CODE_LASTS;
    }
}

/// A code as people type it: any case, with or without the dash and spaces.
fn typed(code: &str) -> Option<[u8; CODE_CHARS]> {
    let kept = code.bytes().filter(|byte| !b"- ".contains(byte)).map(|byte| byte.to_ascii_uppercase());
    let kept: Vec<u8> = kept.take(CODE_CHARS + 1).collect();
    kept.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(node: &str) -> NodeKey {
        NodeKey { site: "caribbean".parse().unwrap(), node: node.parse().unwrap() }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Issues `2345-6789` for car-1 at 0 s and plays `(second, name, code)` from one address each.
    fn check(tries: &[(u64, &str, &str)], want: &[Result<(), Refused>]) {
        let mut codes = Codes::default();
        assert_eq!(codes.issue(key("car-1"), [0, 1, 2, 3, 4, 5, 6, 7], Duration::ZERO).unwrap(), "2345-6789");
        let mut from = 0;
        let got: Vec<_> = tries
            .iter()
            .map(|(second, node, code)| {
                from += 1;
                codes
                    .redeem(node, code, address(from), Duration::from_secs(*second))
                    .map(|found| assert_eq!(found, key("car-1")))
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_code_is_for_one_name_one_use_and_ten_minutes() {
        check(&[(0, "car-1", "23456789"), (1, "car-1", "23456789")], &[Ok(()), Err(Refused::NoCode)]);
        check(&[(0, "car-2", "2345-6789"), (599, "car-1", " 2345-6789 ")], &[Err(Refused::NoCode), Ok(())]);
        check(&[(600, "car-1", "2345-6789")], &[Err(Refused::Expired)]);
    }

    #[test]
    fn five_wrong_tries_end_a_code() {
        let wrong = (0, "car-1", "2345-678A");
        let refused = Err(Refused::Wrong);
        check(&[wrong, wrong, wrong, wrong, (0, "car-1", "2345-6789")], &[refused, refused, refused, refused, Ok(())]);
        check(
            &[wrong, wrong, wrong, wrong, wrong, (0, "car-1", "2345-6789")],
            &[refused, refused, refused, refused, refused, Err(Refused::NoCode)],
        );
    }

    #[test]
    fn an_address_that_guesses_is_not_listened_to_for_a_while() {
        let mut codes = Codes::default();
        for _ in 0..TRIES_MAX {
            assert_eq!(codes.redeem("car-1", "x", address(1), Duration::ZERO), Err(Refused::NoCode));
        }
        let code = codes.issue(key("car-1"), [9; 8], Duration::ZERO).unwrap();
        assert_eq!(codes.redeem("car-1", &code, address(1), Duration::ZERO), Err(Refused::Address));
        assert_eq!(codes.redeem("car-1", &code.to_lowercase(), address(2), Duration::ZERO), Ok(key("car-1")));
        let code = codes.issue(key("car-1"), [9; 8], Duration::from_secs(590)).unwrap();
        assert_eq!(codes.redeem("car-1", &code, address(1), Duration::from_secs(600)), Ok(key("car-1")));
    }

    proptest! {
        #[test]
        fn memory_is_bounded(last in prop::collection::vec(any::<u32>(), 0..6_000)) {
            let mut codes = Codes::default();
            for bits in last {
                let _ = codes.redeem("car-1", "x", IpAddr::from(bits.to_be_bytes()), Duration::ZERO);
            }
            prop_assert!(codes.guesses.len() <= ADDRESSES_MAX && codes.order.len() == codes.guesses.len());
        }

        #[test]
        fn any_typed_code_is_judged(code in ".{0,20}") {
            let mut codes = Codes::default();
            codes.issue(key("car-1"), [3; 8], Duration::ZERO).unwrap();
            let _ = codes.redeem("car-1", &code, address(1), Duration::ZERO);
        }
    }
}
