//! Who may watch what.
//!
//! Pure: the subscriber, the tariffs there are, the channel and the time in; allowed or
//! refused with a reason out. The same answer serves play requests, key requests and the
//! channel list, so that nobody is shown what they cannot play. The table in the tests is
//! the specification.

use crate::domain::{Channel, Status, Subscriber, Tariff};

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entitlement {
    /// May watch.
    Allowed,
    /// May not watch.
    Refused(Reason),
}

impl Entitlement {
    /// Whether it is allowed.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// Why not. The words are for the operator's page and the log; a viewer gets one and the
/// same refusal for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The channel is switched off.
    #[error("the channel is not offered")]
    ChannelOff,
    /// The operator suspended the subscriber.
    #[error("the subscriber is suspended")]
    Suspended,
    /// What was paid for has ended.
    #[error("the subscription ended at {paid_until} (Unix seconds)")]
    Expired {
        /// When it ended, seconds since the Unix epoch.
        paid_until: u64,
    },
    /// None of the subscriber's tariffs has the channel.
    #[error("the channel is in none of the subscriber's tariffs")]
    NotInTariff,
}

/// Whether `subscriber` may watch `channel` at `now_secs`, seconds since the Unix epoch.
/// `tariffs` are all there are; a tariff of the subscriber that is not among them gives nothing.
#[must_use]
pub fn entitlement(subscriber: &Subscriber, tariffs: &[Tariff], channel: &Channel, now_secs: u64) -> Entitlement {
    let refused = Entitlement::Refused;
    if !channel.enabled {
        return refused(Reason::ChannelOff);
    }
    // A free channel needs no token at all, so nobody is refused it.
    if channel.free {
        return Entitlement::Allowed;
    }
    if subscriber.status == Status::Suspended {
        return refused(Reason::Suspended);
    }
    if let Some(paid_until) = subscriber.paid_until.filter(|_| subscriber.is_expired(now_secs)) {
        return refused(Reason::Expired { paid_until });
    }
    let mut paid = tariffs.iter().filter(|tariff| subscriber.tariffs.contains(&tariff.id));
    if paid.any(|tariff| !tariff.tags.is_disjoint(&channel.tags)) {
        Entitlement::Allowed
    } else {
        refused(Reason::NotInTariff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PasswordHash;
    use std::collections::{BTreeMap, BTreeSet};

    fn words<T: std::str::FromStr + Ord>(text: &str) -> BTreeSet<T> {
        text.split_whitespace().map(|word| word.parse().ok().unwrap()).collect()
    }

    /// One line of the table: the subscriber's tariffs and state, the channel's tags and
    /// state, the time, and the decision.
    fn check(subscriber: (&str, Status, Option<u64>), channel: (&str, &str), now: u64, expected: &str) {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let subscriber = Subscriber {
            login: "demo".parse().unwrap(),
            name: String::new(),
            password: PasswordHash::try_from(hash.to_owned()).unwrap(),
            status: subscriber.1,
            paid_until: subscriber.2,
            tariffs: words(subscriber.0),
            audience: "martinique".parse().unwrap(),
            devices_max: 5,
            created_at: 0,
        };
        let tariff = |id: &str, tags| Tariff { id: id.parse().unwrap(), name: id.to_owned(), tags: words(tags) };
        let tariffs = [tariff("Base", "base news"), tariff("Sport", "sport"), tariff("Empty", "")];
        let channel = Channel {
            name: "x".parse().unwrap(),
            title: "X".to_owned(),
            number: 1,
            tags: words(channel.0),
            sources: BTreeMap::new(),
            segment_ms: 2000,
            window_segments: 6,
            period_ms: 300_000,
            leave_after_ms: None,
            return_after_ms: None,
            free: channel.1.contains("free"),
            enabled: !channel.1.contains("off"),
            dvr: None,
        };
        let got = match entitlement(&subscriber, &tariffs, &channel, now) {
            Entitlement::Allowed => "allowed".to_owned(),
            Entitlement::Refused(reason) => reason.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn the_table() {
        use Status::{Active, Suspended};
        let not_in = "the channel is in none of the subscriber's tariffs";
        check(("Base", Active, None), ("base", ""), 100, "allowed");
        check(("Base", Active, None), ("sport news", ""), 100, "allowed");
        check(("Base", Active, None), ("sport", ""), 100, not_in);
        check(("Base Sport", Active, None), ("sport", ""), 100, "allowed");
        check(("", Active, None), ("base", ""), 100, not_in);
        check(("Gone", Active, None), ("base", ""), 100, not_in);
        check(("Empty", Active, None), ("", ""), 100, not_in);
        check(("Base", Active, Some(101)), ("base", ""), 100, "allowed");
        check(("Base", Active, Some(100)), ("base", ""), 100, "the subscription ended at 100 (Unix seconds)");
        check(("Base", Suspended, None), ("base", ""), 100, "the subscriber is suspended");
        check(("", Suspended, Some(1)), ("", "free"), 100, "allowed");
        check(("Base", Active, None), ("base", "off"), 100, "the channel is not offered");
        check(("Base", Active, None), ("base", "off free"), 100, "the channel is not offered");
    }
}
