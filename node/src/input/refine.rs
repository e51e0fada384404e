//! What an input's packets pass through before anybody reads them: the place where later rooms descramble.
//!
//! A [`Refinery`] makes one [`Refine`] for each input; it is given each batch of packets with the services as known and
//! the services that somebody wants. It changes packets in place, adds and removes none, and must not wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use headend_media::service::{ServiceId, Services};

/// Changes whole packets in place: packets, services as known, services wanted, monotonic milliseconds.
pub type Refine = Box<dyn FnMut(&mut [u8], &Arc<Services>, &Wanted, u64) + Send>;

/// Makes a [`Refine`] for the input of this address (secrets masked); clones are the same.
#[derive(Clone)]
pub struct Refinery(Arc<dyn Fn(&str) -> Refine + Send + Sync>);

impl Refinery {
    /// A refinery that makes its refiners with `make`.
    pub fn new(make: impl Fn(&str) -> Refine + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// This one, then another.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self::new(move |input| {
            let (mut first, mut second) = (self.make(input), next.make(input));
            Box::new(move |packets, services, wanted, now_ms| {
                first(packets, services, wanted, now_ms);
                second(packets, services, wanted, now_ms);
            })
        })
    }

    pub(crate) fn make(&self, input: &str) -> Refine {
        (self.0)(input)
    }
}

impl fmt::Debug for Refinery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refinery(..)")
    }
}

/// The services of one input that somebody uses; `None` stands for its lowest-numbered one.
#[derive(Debug, Default)]
pub struct Wanted {
    users: Mutex<BTreeMap<Option<ServiceId>, usize>>,
    /// The tuner the packets come from.
    tuner: Mutex<Option<Arc<str>>>,
    version: AtomicU64,
}

impl Wanted {
    /// Another number after each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Which services.
    #[must_use]
    pub fn services(&self) -> BTreeSet<Option<ServiceId>> {
        self.lock().keys().copied().collect()
    }

    /// Name of the tuner the packets come from; none for inputs without one, and while none is granted.
    #[must_use]
    pub fn tuner(&self) -> Option<Arc<str>> {
        self.tuner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn comes_from(&self, tuner: Option<&str>) {
        let mut now = self.tuner.lock().unwrap_or_else(PoisonError::into_inner);
        let tuner = tuner.filter(|name| !name.is_empty());
        if now.as_deref() != tuner {
            *now = tuner.map(Arc::from);
            drop(now);
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn join(&self, service: Option<ServiceId>) {
        *self.lock().entry(service).or_default() += 1;
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn leave(&self, service: Option<ServiceId>) {
        let mut users = self.lock();
        if let Some(count) = users.get_mut(&service) {
            *count -= 1;
            if *count == 0 {
                users.remove(&service);
            }
        }
        drop(users);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<ServiceId>, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_wanted_until_its_last_user_leaves() {
        let wanted = Wanted::default();
        let (one, any) = (Some(ServiceId(1)), None);
        for service in [one, one, any] {
            wanted.join(service);
        }
        let before = wanted.version();
        wanted.leave(one);
        assert_eq!(wanted.services(), BTreeSet::from([any, one]));
        wanted.leave(one);
        assert_eq!(wanted.services(), BTreeSet::from([any]));
        assert!(wanted.version() > before);
    }

    #[test]
    fn another_tuner_is_a_change() {
        let wanted = Wanted::default();
        wanted.comes_from(Some(""));
        assert_eq!((wanted.tuner(), wanted.version()), (None, 0));
        wanted.comes_from(Some("sat-1"));
        wanted.comes_from(Some("sat-1"));
        assert_eq!((wanted.tuner().as_deref(), wanted.version()), (Some("sat-1"), 1));
    }

    #[test]
    fn one_refinery_after_the_other() {
        let add =
            |byte: u8| Refinery::new(move |_| Box::new(move |packets, _, _, _| packets[0] = packets[0] * 2 + byte));
        let mut packets = [1];
        add(1).then(add(5)).make("x")(&mut packets, &Arc::default(), &Wanted::default(), 0);
        assert_eq!(packets, [11]);
    }
}
