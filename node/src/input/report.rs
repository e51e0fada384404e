//! What an input tells the rest of the node about itself: state, counters, last error in words.
//!
//! Plain values and the rule for the state, pure; [`super::intake`] keeps them and [`super::set`] hands out copies.
//! States are for reports and dashboards. Choosing between sources is `headend_failover`'s, from the samples.

use std::sync::Arc;

use headend_media::service::Services;
use serde::{Deserialize, Serialize};

use super::health::InputSample;
use super::tuner::report::TunerReport;

/// An input with no packet for this long is offline.
pub const OFFLINE_AFTER_MS: u64 = 1_500;
/// An input stays bad for this long after the last trouble.
pub const BAD_FOR_MS: u64 = 5_000;

/// How an input does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputState {
    /// No packets.
    #[default]
    Offline,
    /// Packets, and trouble within the last [`BAD_FOR_MS`]; or bytes that are no packets; or no PAT.
    Bad,
    /// Packets and no trouble.
    Good,
}

/// Counts of one input since it was opened; they never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCounters {
    /// Bytes received, before alignment.
    pub bytes: u64,
    /// Transport packets.
    pub packets: u64,
    /// Times the packet boundaries were lost.
    pub sync_losses: u64,
    /// Bytes that belong to no packet.
    pub skipped_bytes: u64,
    /// Continuity errors of all PIDs.
    pub cc_errors: u64,
    /// Packets the demodulator marked as damaged.
    pub tei: u64,
    /// Sections with a wrong CRC or syntax.
    pub crc_errors: u64,
    /// RTP packets given up.
    pub rtp_lost: u64,
    /// Datagrams the kernel dropped because we were slow; for a tuner, how often its ring in the kernel ran over.
    pub kernel_drops: u64,
    /// Attempts to open the source after the first.
    pub reconnects: u64,
}

impl InputCounters {
    /// Everything that makes a picture break, in one sum that only grows.
    #[must_use]
    pub fn troubles(&self) -> u64 {
        self.sync_losses + self.cc_errors + self.tei + self.crc_errors + self.rtp_lost + self.kernel_drops
    }
}

/// A copy of what is known of an input.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InputReport {
    /// Its address, secrets masked.
    pub feed: String,
    /// How it does.
    pub state: InputState,
    /// Monotonic milliseconds since when it does so.
    pub since_ms: u64,
    /// The last error in words, also after it has passed; `None` when there never was one.
    pub last_error: Option<String>,
    /// Monotonic milliseconds of the last error.
    pub last_error_ms: Option<u64>,
    /// Counts since it was opened.
    pub counters: InputCounters,
    /// Port listened on, for UDP and RTP.
    pub port: Option<u16>,
    /// Socket buffer the kernel granted, for UDP and RTP.
    pub receive_buffer_bytes: Option<usize>,
    /// The tuner, for DVB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuner: Option<TunerReport>,
    /// The newest sample; `None` before the first.
    #[serde(skip)]
    pub sample: Option<Arc<InputSample>>,
    /// The services as last known.
    #[serde(skip)]
    pub services: Arc<Services>,
}

/// What the state is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    pub(crate) packet_age_ms: u64,
    /// Since the last trouble; `u64::MAX` when there was none.
    pub(crate) trouble_age_ms: u64,
    /// Since the last bytes, packets or not.
    pub(crate) byte_age_ms: u64,
    pub(crate) has_services: bool,
}

pub(crate) fn judge(evidence: &Evidence) -> InputState {
    match evidence {
        Evidence { packet_age_ms, byte_age_ms, .. } if *packet_age_ms > OFFLINE_AFTER_MS => {
            if *byte_age_ms > OFFLINE_AFTER_MS { InputState::Offline } else { InputState::Bad }
        }
        Evidence { trouble_age_ms, has_services, .. } if *trouble_age_ms < BAD_FOR_MS || !has_services => {
            InputState::Bad
        }
        _ => InputState::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(packet: u64, byte: u64, trouble: u64, has_services: bool, want: InputState) {
        let evidence = Evidence { packet_age_ms: packet, byte_age_ms: byte, trouble_age_ms: trouble, has_services };
        assert_eq!(judge(&evidence), want, "{evidence:?}");
    }

    #[test]
    fn states_follow_packets_bytes_and_troubles() {
        check(u64::MAX, u64::MAX, u64::MAX, false, InputState::Offline);
        check(1_501, 1_501, u64::MAX, true, InputState::Offline);
        check(1_500, 0, u64::MAX, true, InputState::Good);
        check(u64::MAX, 10, u64::MAX, false, InputState::Bad);
        check(0, 0, 4_999, true, InputState::Bad);
        check(0, 0, 5_000, true, InputState::Good);
        check(0, 0, u64::MAX, false, InputState::Bad);
    }
}
