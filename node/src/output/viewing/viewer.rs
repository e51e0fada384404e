//! Who is watching: what playlists carry on for a viewer, and what a backend left it of the archive.

use std::{fmt, sync::Arc};

use headend_access::{Day, Period, Schedule, SessionId};
use headend_media::playlist::Query;

use super::{guard::Guard, ledger::Grant, ranges::Ranges};
use crate::output::http::encode;

/// A key that was in use so long ago may belong to a live list yet, milliseconds.
const LIVE_MS: u64 = 600_000;

/// Who is watching, as far as addresses in playlists need it.
#[derive(Clone)]
pub struct Viewing {
    /// The token to carry on; none on a free channel.
    pub token: Option<String>,
    /// The session that key addresses name.
    pub session: SessionId,
    /// Unix seconds until which key addresses hold.
    pub expires: u32,
    /// The UTC day.
    pub today: Day,
    /// Keys are given to those only who show their token, because others decide about viewers of this channel.
    pub asks_for_keys: bool,
    /// A backend decided about it.
    pub guarded: Option<Guarded>,
}

/// A session that a backend opened.
#[derive(Clone)]
pub struct Guarded {
    /// The line to the backend.
    pub guard: Arc<Guard>,
    /// What it has.
    pub grant: Grant,
}

impl fmt::Debug for Viewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, archive {:?}", self.session, self.ranges())
    }
}

impl Viewing {
    /// What goes on the addresses in a playlist.
    #[must_use]
    pub fn query(&self) -> Query {
        let text = self.token.as_ref().map(|token| format!("token={}", encode(token)));
        text.and_then(Query::new).unwrap_or_default()
    }

    /// The archive that this viewer may see; none: all of it.
    #[must_use]
    pub fn ranges(&self) -> Option<&Ranges> {
        self.guarded.as_ref()?.grant.ranges.as_deref()
    }

    /// Whether the key of a period may be given out at `now_ms`: it opens live, or archive that the viewer may see.
    #[must_use]
    pub fn may_open(&self, (schedule, period): (&Schedule, Period), now_ms: u64) -> bool {
        let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let (from, until) = (schedule.start_ms(period), schedule.end_ms(period));
        until.saturating_add(LIVE_MS) > now_ms
            || self.ranges().is_none_or(|ranges| ranges.touches(millis(from), millis(until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::viewing::guard::tests::guard;

    const NOW: u64 = 1_700_000_000_000;

    fn viewing(ranges: Option<Vec<(i64, i64)>>) -> Viewing {
        let grant = Grant { ranges: ranges.map(|list| Arc::new(Ranges::new(list))), served: Arc::default() };
        let guarded = Some(Guarded { guard: guard(&[]).0, grant });
        let token = Some("a b&c=d".to_owned());
        let session = SessionId([1; 16]);
        Viewing { token, session, expires: 0, today: Day(0), asks_for_keys: true, guarded }
    }

    #[test]
    fn keys_of_live_and_of_the_archive_that_may_be_seen() {
        let schedule = Schedule::new("f24", 300_000).expect("schedule");
        let hour_ago = NOW - 3_600_000;
        let (now, then) = (schedule.period_of(NOW), schedule.period_of(hour_ago));
        let from = i64::try_from(hour_ago).expect("millis");
        let check = |ranges: Option<Vec<(i64, i64)>>, want: [bool; 2]| {
            let viewing = viewing(ranges.clone());
            assert_eq!([now, then].map(|period| viewing.may_open((&schedule, period), NOW)), want, "{ranges:?}");
        };
        check(None, [true, true]);
        check(Some(vec![]), [true, false]);
        check(Some(vec![(from, from + 1)]), [true, true]);
        check(Some(vec![(from + 400_000, from + 500_000)]), [true, false]);
    }

    #[test]
    fn a_token_cannot_break_out_of_its_address() {
        assert_eq!(viewing(None).query().as_str(), "token=a%20b%26c%3Dd");
        assert!(!format!("{:?}", viewing(None)).contains("a b&c=d"), "tokens are not printed");
    }
}
