//! Counts open connections, in total and per address, and says when there are enough.
//!
//! Memory is bounded by the total cap: an address without an open connection is forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::{Counters, Limits, count};

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server is full.
    Total,
    /// This address has enough.
    Address,
}

/// The door: hands out one [`Slot`] per connection.
#[derive(Debug)]
pub(crate) struct Door {
    total_max: usize,
    per_address_max: Option<usize>,
    counters: Arc<Counters>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_home: HashMap<IpAddr, usize>,
}

/// One open connection; dropping it frees its place.
#[derive(Debug)]
pub(crate) struct Slot {
    door: Arc<Door>,
    home: IpAddr,
}

impl Door {
    pub(crate) fn new(limits: &Limits, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            total_max: limits.connections_max,
            per_address_max: limits.per_address_max,
            counters,
            open: Mutex::default(),
        })
    }

    /// Takes a place for a connection from `address`, and counts what it decided.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Refusal> {
        let home = home_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total_max {
            count(&self.counters.refused_total);
            return Err(Refusal::Total);
        }
        let here = open.by_home.get(&home).copied().unwrap_or(0);
        if self.per_address_max.is_some_and(|max| here >= max) {
            count(&self.counters.refused_address);
            return Err(Refusal::Address);
        }
        open.total += 1;
        open.by_home.insert(home, here + 1);
        count(&self.counters.accepted);
        count(&self.counters.open);
        Ok(Slot { door: Arc::clone(self), home })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.door.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(here) = open.by_home.get_mut(&self.home) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                open.by_home.remove(&self.home);
            }
        }
        self.door.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one client: an IPv4 address, also when mapped into IPv6, or the /64 of an IPv6 address, because a home
/// can take any address within its own.
fn home_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(total: usize, per_address: Option<usize>, addresses: &[&str], want: &[Option<Refusal>]) {
        let limits = Limits { connections_max: total, per_address_max: per_address, ..Limits::default() };
        let door = Door::new(&limits, Arc::default());
        let mut slots = vec![];
        let mut got = vec![];
        for address in addresses {
            match door.enter(address.parse().unwrap()) {
                Ok(slot) => {
                    slots.push(slot);
                    got.push(None);
                }
                Err(refusal) => got.push(Some(refusal)),
            }
        }
        assert_eq!(got, want);
        assert_eq!(door.counters.counts().open, slots.len() as u64);
        drop(slots);
        assert_eq!(door.counters.counts().open, 0);
        assert!(door.open.lock().unwrap().by_home.is_empty(), "nothing is kept of the gone");
    }

    #[test]
    fn caps() {
        check(2, None, &["10.0.0.1", "10.0.0.1", "10.0.0.2"], &[None, None, Some(Refusal::Total)]);
        check(9, Some(1), &["10.0.0.1", "10.0.0.1", "10.0.0.2"], &[None, Some(Refusal::Address), None]);
        check(9, Some(1), &["10.0.0.1", "::ffff:10.0.0.1"], &[None, Some(Refusal::Address)]);
        check(9, Some(1), &["2001:db8::1", "2001:db8::2:1"], &[None, Some(Refusal::Address)]);
        check(9, Some(1), &["2001:db8::1", "2001:db8:0:1::1"], &[None, None]);
        check(0, None, &["10.0.0.1"], &[Some(Refusal::Total)]);
    }
}
