//! Who uses a multiplex: priorities and services of the channels that opened it.
//!
//! Shared between the set of inputs, which adds and removes users, and the session, which asks for the sum.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headend_media::packet::Pid;
use headend_media::service::{ServiceId, Services};

use super::mux::PRIORITY_DEFAULT;

/// The users of one multiplex; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    users: Arc<Mutex<Vec<User>>>,
}

/// One user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// 0 to 9.
    pub priority: u8,
    /// The service it wants; `None` wants the lowest-numbered.
    pub service: Option<ServiceId>,
}

impl Demand {
    /// One more.
    pub fn add(&self, user: User) {
        self.lock().push(user);
    }

    /// One less.
    pub fn remove(&self, user: User) {
        let mut users = self.lock();
        if let Some(at) = users.iter().position(|known| *known == user) {
            users.swap_remove(at);
        }
    }

    /// The highest priority of all users.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.lock().iter().map(|user| user.priority).max().unwrap_or(PRIORITY_DEFAULT)
    }

    /// The services that are wanted by number, in order.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceId> {
        let mut services: Vec<ServiceId> = self.lock().iter().filter_map(|user| user.service).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// The PIDs that the users need of what the multiplex carries: tables, and the streams of wanted services.
    #[must_use]
    pub fn pids(&self, services: &Services) -> Vec<Pid> {
        let mut pids = vec![Pid::PAT, Pid::CAT, Pid::NIT, Pid::SDT, Pid::EIT, Pid::TDT];
        let wanted: Vec<Option<ServiceId>> = self.lock().iter().map(|user| user.service).collect();
        for (index, (id, service)) in services.list.iter().enumerate() {
            // The maps of all services are small, and say what is there when the next channel asks.
            pids.extend(service.pmt_pid);
            if wanted.contains(&Some(*id)) || (index == 0 && wanted.contains(&None)) {
                pids.extend(service.pcr_pid);
                pids.extend(service.streams.iter().map(|stream| stream.pid));
                pids.extend(service.ecm.iter().map(|system| system.pid));
                pids.extend(service.streams.iter().flat_map(|stream| &stream.ecm).map(|system| system.pid));
                pids.extend(services.emm.iter().map(|system| system.pid));
            }
        }
        pids.retain(|pid| *pid != Pid::NULL);
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    fn lock(&self) -> MutexGuard<'_, Vec<User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use headend_media::service::{CaSystem, Codec, Service, Stream};

    use super::*;

    #[test]
    fn the_sum_of_all_users() {
        let demand = Demand::default();
        assert_eq!(demand.priority(), PRIORITY_DEFAULT);
        let (low, high) = (User { priority: 2, service: Some(ServiceId(7)) }, User { priority: 8, service: None });
        demand.add(low);
        assert_eq!(demand.priority(), 2);
        demand.add(high);
        assert_eq!(demand.priority(), 8);
        let mut services = Services::default();
        for id in [5, 7, 9] {
            let (pmt_pid, pcr_pid) = (Some(Pid::new(100 + id)), Some(Pid::new(200 + id)));
            services.list.insert(ServiceId(id), Service { pmt_pid, pcr_pid, ..Service::default() });
        }
        let pids: Vec<u16> = demand.pids(&services).into_iter().map(Pid::value).collect();
        assert_eq!(pids, [0, 1, 16, 17, 18, 20, 105, 107, 109, 205, 207]);
        demand.remove(high);
        assert_eq!((demand.priority(), demand.pids(&services).len()), (2, 10));
    }

    #[test]
    fn what_a_card_needs_comes_through_the_filter_too() {
        let ca = |system, pid| CaSystem { system, pid: Pid::new(pid) };
        let stream = |pid, ecm| Stream {
            pid: Pid::new(pid),
            stream_type: 2,
            codec: Codec::Mpeg2Video,
            languages: vec![],
            component_tag: None,
            ecm,
            descriptors: vec![],
        };
        let scrambled = Service {
            ecm: vec![ca(0x0500, 500), ca(0x0100, 501)],
            streams: vec![stream(300, vec![]), stream(301, vec![ca(0x0500, 502)])],
            ..Service::default()
        };
        let unwanted = Service { ecm: vec![ca(0x0500, 503)], ..Service::default() };
        let services = Services {
            list: [(ServiceId(1), scrambled), (ServiceId(2), unwanted)].into(),
            emm: vec![ca(0x0500, 600)],
            ..Services::default()
        };
        let demand = Demand::default();
        let pids = |demand: &Demand| demand.pids(&services).into_iter().map(Pid::value).collect::<Vec<_>>();
        // The CAT is there from the start, so that EMM PIDs are known before anybody asks for them.
        assert_eq!(pids(&demand), [0, 1, 16, 17, 18, 20]);
        demand.add(User { priority: 5, service: Some(ServiceId(1)) });
        assert_eq!(pids(&demand), [0, 1, 16, 17, 18, 20, 300, 301, 500, 501, 502, 600]);
    }
}
