//! How often somebody may try a password: per login, per address, and per pair of both
//! that signed in before.
//!
//! Pure: time is an argument. Each key has a leaky bucket (the generic cell rate algorithm,
//! ITU-T I.371 annex A): so many tries at once, then one per interval. A try is counted when
//! it begins, so that tries side by side do not slip through, and given back when it was
//! right. An address that signed in with a login has a few tries of its own for it, so that
//! a stranger who stuffs passwords does not lock the owner out at home.
//!
//! Memory is bounded. A full book forgets those that may try at once first, and then the
//! least restricted of a sample, so that filling it with strangers frees nobody quickly.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::name::Login;

/// A bucket: tries at once, and the milliseconds after which one more comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tries at once, at least 1.
    pub burst: u32,
    /// Milliseconds per further try.
    pub interval_ms: u64,
}

/// The limiter's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimits {
    /// For a login, from anywhere.
    pub login: Rate,
    /// For an address, with any login. A house or a hotel may share one.
    pub address: Rate,
    /// For a login from an address that signed in with it before.
    pub known: Rate,
    /// Entries of each book.
    pub entries_max: usize,
}

impl Default for AttemptLimits {
    /// 6 tries and one more per 10 minutes for a login, 3 and one per 20 minutes from a
    /// known address: under 20 an hour. 30 and one per 10 s for an address. 50,000 entries
    /// per book, about 20 MB for all.
    fn default() -> Self {
        Self {
            login: Rate { burst: 6, interval_ms: 600_000 },
            address: Rate { burst: 30, interval_ms: 10_000 },
            known: Rate { burst: 3, interval_ms: 1_200_000 },
            entries_max: 50_000,
        }
    }
}

/// Whether a password may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Yes, after holding the answer back this long.
    Go {
        /// Milliseconds to wait before the password is looked at; 0 for the first tries.
        delay_ms: u32,
    },
    /// No: answer 429 with `Retry-After`.
    Wait {
        /// Whole seconds until a try is possible, at least 1.
        retry_after_secs: u64,
    },
}

/// Addresses as the limiter sees them: an IPv6 subscriber has at least a /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64)).into()),
            v4 => Self(v4),
        }
    }
}

/// Counts tries. One per controller, behind a short lock.
#[derive(Debug)]
pub struct AttemptLimiter {
    logins: Book<Login>,
    addresses: Book<Network>,
    known: Book<(Login, Network)>,
}

impl AttemptLimiter {
    /// An empty limiter.
    #[must_use]
    pub fn new(limits: AttemptLimits) -> Self {
        let book = |rate| (rate, limits.entries_max);
        Self {
            logins: Book::new(book(limits.login)),
            addresses: Book::new(book(limits.address)),
            known: Book::new(book(limits.known)),
        }
    }

    /// Counts a try of `login` from `address` and says whether it may be made. `now_ms` is
    /// any clock that does not go back. Call it before the password is looked at, for
    /// logins that do not exist as well.
    pub fn begin(&mut self, login: &Login, address: IpAddr, now_ms: u64) -> Attempt {
        let network = Network::from(address);
        let pair = (login.clone(), network);
        let wait = |ms: u64| Attempt::Wait { retry_after_secs: ms.div_ceil(1000).max(1) };
        if let Some(ms) = self.addresses.wait_ms(&network, now_ms) {
            return wait(ms);
        }
        let at_home = self.known.has(&pair) && self.known.wait_ms(&pair, now_ms).is_none();
        let used = if at_home {
            self.known.take(&pair, now_ms)
        } else if let Some(ms) = self.logins.wait_ms(login, now_ms) {
            return wait(ms);
        } else {
            self.logins.take(login, now_ms)
        };
        self.addresses.take(&network, now_ms);
        Attempt::Go { delay_ms: used.saturating_sub(2).saturating_mul(250).min(2_000) }
    }

    /// The password was right: the try is given back and the address is known from now on.
    pub fn succeeded(&mut self, login: &Login, address: IpAddr, now_ms: u64) {
        let network = Network::from(address);
        let pair = (login.clone(), network);
        self.addresses.give_back(&network, now_ms);
        // From a known address the try was the pair's own. Giving one back to the login as
        // well would hand a stranger a try for each time the owner signs in.
        if !self.known.has(&pair) {
            self.logins.give_back(login, now_ms);
        }
        self.known.welcome(pair, now_ms);
    }
}

/// Buckets by key: the time at which each is empty again. A bounded number of them.
#[derive(Debug)]
struct Book<K> {
    rate: Rate,
    entries_max: usize,
    empty_at_ms: BTreeMap<K, u64>,
    /// Where the next sample for eviction begins.
    cursor: Option<K>,
}

/// Entries looked at when room is made.
const SAMPLE: usize = 16;

impl<K: Ord + Clone> Book<K> {
    fn new((rate, entries_max): (Rate, usize)) -> Self {
        Self { rate, entries_max: entries_max.max(1), empty_at_ms: BTreeMap::new(), cursor: None }
    }

    fn has(&self, key: &K) -> bool {
        self.empty_at_ms.contains_key(key)
    }

    /// Milliseconds until a try is possible; none when it is now.
    fn wait_ms(&self, key: &K, now_ms: u64) -> Option<u64> {
        let slack = u64::from(self.rate.burst.max(1) - 1) * self.rate.interval_ms;
        let empty_at = self.empty_at_ms.get(key)?;
        empty_at.saturating_sub(slack).checked_sub(now_ms).filter(|ms| *ms > 0)
    }

    /// Counts a try; gives how many are counted now.
    fn take(&mut self, key: &K, now_ms: u64) -> u32 {
        let before = self.empty_at_ms.get(key).copied().unwrap_or(0).max(now_ms);
        let after = before.saturating_add(self.rate.interval_ms);
        self.set(key.clone(), after, now_ms);
        u32::try_from((after - now_ms).div_ceil(self.rate.interval_ms.max(1))).unwrap_or(u32::MAX)
    }

    fn give_back(&mut self, key: &K, now_ms: u64) {
        if let Some(empty_at) = self.empty_at_ms.get_mut(key) {
            *empty_at = empty_at.saturating_sub(self.rate.interval_ms).max(now_ms);
        }
    }

    /// An entry with all its tries.
    fn welcome(&mut self, key: K, now_ms: u64) {
        self.set(key, now_ms, now_ms);
    }

    fn set(&mut self, key: K, empty_at_ms: u64, now_ms: u64) {
        if !self.has(&key) && self.empty_at_ms.len() >= self.entries_max {
            self.make_room(now_ms);
        }
        self.empty_at_ms.insert(key, empty_at_ms);
    }

    fn make_room(&mut self, now_ms: u64) {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = self.cursor.take().map_or(Unbounded, Excluded);
        let mut sample: Vec<(u64, K)> =
            self.empty_at_ms.range((from, Unbounded)).take(SAMPLE).map(|(key, at)| (*at, key.clone())).collect();
        if sample.is_empty() {
            sample = self.empty_at_ms.iter().take(SAMPLE).map(|(key, at)| (*at, key.clone())).collect();
        }
        self.cursor = sample.last().map(|(_, key)| key.clone());
        let least = sample.iter().map(|(at, _)| *at).min();
        let mut gone = false;
        for (at, key) in sample {
            if at <= now_ms || (!gone && Some(at) == least) {
                gone = true;
                self.empty_at_ms.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;

    fn limiter() -> AttemptLimiter {
        AttemptLimiter::new(AttemptLimits::default())
    }

    fn login(text: &str) -> Login {
        text.parse().unwrap()
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_few_tries_then_slower_then_wait() {
        let mut limiter = limiter();
        let mut got = vec![];
        for _ in 0..8 {
            got.push(match limiter.begin(&login("anna"), address(1), 0) {
                Attempt::Go { delay_ms } => delay_ms.to_string(),
                Attempt::Wait { retry_after_secs } => format!("wait {retry_after_secs}"),
            });
        }
        assert_eq!(got, ["0", "0", "250", "500", "750", "1000", "wait 600", "wait 600"]);
        assert!(matches!(limiter.begin(&login("anna"), address(1), 600_000), Attempt::Go { .. }));
    }

    #[test]
    fn stuffing_one_account_from_many_addresses_gets_under_twenty_an_hour() {
        let mut limiter = limiter();
        limiter.begin(&login("anna"), address(1), 0);
        limiter.succeeded(&login("anna"), address(1), 0);
        let mut passed = 0;
        for n in 0..10_000_u64 {
            let from = address(u32::try_from(100 + n % 100).unwrap());
            let now_ms = n * HOUR_MS / 10_000;
            // The owner signs in all the while, which frees nothing for the strangers.
            limiter.begin(&login("anna"), address(1), now_ms);
            limiter.succeeded(&login("anna"), address(1), now_ms);
            let go = limiter.begin(&login("anna"), from, now_ms);
            passed += u32::from(matches!(go, Attempt::Go { .. }));
        }
        assert!((6..20).contains(&passed), "{passed}");
        // The owner at home still gets in, wherever the strangers are.
        let go = limiter.begin(&login("anna"), address(1), HOUR_MS);
        assert_eq!(go, Attempt::Go { delay_ms: 0 });
    }

    #[test]
    fn one_address_cannot_try_many_accounts() {
        let mut limiter = limiter();
        let tries = (0..1000).map(|n| login(&format!("user{n}")));
        let passed = tries.filter(|login| matches!(limiter.begin(login, address(1), 0), Attempt::Go { .. })).count();
        assert_eq!(passed, 30);
        // The next door neighbour in the same IPv6 network is the same one.
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        for n in 0..30 {
            limiter.begin(&login(&format!("six{n}")), v6("2001:db8::1"), 0);
        }
        assert!(matches!(limiter.begin(&login("x"), v6("2001:db8::2"), 0), Attempt::Wait { .. }));
        assert!(matches!(limiter.begin(&login("x"), v6("2001:db8:0:1::2"), 0), Attempt::Go { .. }));
        assert!(matches!(limiter.begin(&login("x"), v6("::ffff:0.0.0.1"), 0), Attempt::Wait { .. }));
    }

    #[test]
    fn signing_in_again_and_again_is_free() {
        let mut limiter = limiter();
        for now_ms in 0..500 {
            assert_eq!(limiter.begin(&login("anna"), address(1), now_ms), Attempt::Go { delay_ms: 0 });
            limiter.succeeded(&login("anna"), address(1), now_ms);
        }
    }

    #[test]
    fn strangers_do_not_push_a_victim_out_of_a_full_book() {
        let limits = AttemptLimits { entries_max: 100, ..AttemptLimits::default() };
        let mut limiter = AttemptLimiter::new(limits);
        while matches!(limiter.begin(&login("victim"), address(1), 0), Attempt::Go { .. }) {}
        for n in 0..5000 {
            limiter.begin(&login(&format!("user{n}")), address(1000 + n), 0);
        }
        assert!(matches!(limiter.begin(&login("victim"), address(2), 0), Attempt::Wait { .. }));
        assert_eq!(limiter.logins.empty_at_ms.len(), 100);
    }

    proptest! {
        #[test]
        fn any_history_stays_within_bounds_and_rate(
            steps in prop::collection::vec((0..30_u32, 0..30_u32, 0..100_000_u64, any::<bool>()), 0..300),
        ) {
            let limits = AttemptLimits { entries_max: 8, ..AttemptLimits::default() };
            let (mut limiter, mut now_ms) = (AttemptLimiter::new(limits), 0);
            for (user, from, later, right) in steps {
                now_ms += later;
                let user = login(&format!("u{user}"));
                match limiter.begin(&user, address(from), now_ms) {
                    Attempt::Go { delay_ms } => prop_assert!(delay_ms <= 2000),
                    Attempt::Wait { retry_after_secs } => prop_assert!((1..=1200).contains(&retry_after_secs)),
                }
                if right {
                    limiter.succeeded(&user, address(from), now_ms);
                }
                for entries in [limiter.logins.empty_at_ms.len(), limiter.addresses.empty_at_ms.len()] {
                    prop_assert!(entries <= 8);
                }
                prop_assert!(limiter.known.empty_at_ms.len() <= 8);
            }
        }
    }
}
