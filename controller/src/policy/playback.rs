//! How long a playback token holds.
//!
//! Pure. The window lies on a grid: within [`SLOT_SECS`] the same session gets the very same token for a channel
//! (Ed25519 has no randomness), however often its player asks again. Some players ask the controller anew for each
//! reload, and a key's address carries the token's expiry: were it another each time, they would fetch the key
//! with every playlist.

/// The grid's step, seconds.
pub const SLOT_SECS: u64 = 6 * 3_600;
/// The longest a token holds after it was asked for, seconds.
pub const PLAYBACK_SECS_MAX: u64 = 4 * SLOT_SECS;
/// Clocks of nodes may be a little behind.
const BACKDATED_SECS: u64 = 300;

/// The window of a token asked for at `now_secs` by a session that ends at `session_ends`, Unix seconds: from, and
/// until. It lasts 18 to 24 hours from now, but not longer than the session.
#[must_use]
pub fn window(now_secs: u64, session_ends: u64) -> (u32, u32) {
    let slot = now_secs / SLOT_SECS * SLOT_SECS;
    let until = (slot + PLAYBACK_SECS_MAX).min(session_ends);
    let seconds = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    (seconds(slot.saturating_sub(BACKDATED_SECS)), seconds(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    #[test]
    fn the_window_is_the_same_within_a_slot_and_ends_with_the_session() {
        let far = 1_000 * HOUR;
        let check = |now: u64, ends: u64, from: u64, until: u64| {
            assert_eq!(window(now, ends), (u32::try_from(from).unwrap(), u32::try_from(until).unwrap()));
        };
        check(12 * HOUR, far, 12 * HOUR - 300, 36 * HOUR);
        check(18 * HOUR - 1, far, 12 * HOUR - 300, 36 * HOUR);
        check(18 * HOUR, far, 18 * HOUR - 300, 42 * HOUR);
        check(12 * HOUR, 13 * HOUR, 12 * HOUR - 300, 13 * HOUR);
        check(0, far, 0, 24 * HOUR);
    }

    #[test]
    fn no_token_outlives_what_revocation_remembers() {
        for now in (0..48 * HOUR).step_by(777) {
            let (from, until) = window(now, u64::MAX);
            assert!(u64::from(from) <= now && u64::from(until) > now + 17 * HOUR);
            assert!(u64::from(until) <= now + PLAYBACK_SECS_MAX);
        }
    }
}
