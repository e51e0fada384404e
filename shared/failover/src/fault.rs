//! What was found wrong with a path or a source, with the figure that was measured.
//!
//! Plain values: the machines produce them, a decision's reason carries them, the dashboard, the log and the
//! tests print them. Display is a fragment an operator reads ("no packets for 1500 ms").

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fault of the stream itself, seen in its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum StreamFault {
    /// No packet of the service.
    #[error("no packets for {for_ms} ms")]
    NoPackets {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// No valid PAT: no lock, or another multiplex.
    #[error("no valid PAT for {for_ms} ms")]
    NoPat {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// Packets that nobody descrambled.
    #[error("{permille} of 1000 packets scrambled")]
    Scrambled {
        /// Share of the packets, per thousand.
        permille: u16,
    },
    /// The picture's time stamps do not advance.
    #[error("picture frozen for {for_ms} ms")]
    Frozen {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// No sound arrives.
    #[error("no sound for {for_ms} ms")]
    Silent {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// Packets are lost (ETSI TR 101 290 §5.2.1, Continuity_count_error).
    #[error("{per_sec} continuity errors a second")]
    Continuity {
        /// Errors a second.
        per_sec: u32,
    },
}

impl StreamFault {
    /// Whether people would rather watch this than the slate: a torn picture or one without sound.
    #[must_use]
    pub fn watchable(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Continuity { .. })
    }

    /// The same fault, lasting no longer than `watched_ms`: what was never seen has no age of its own.
    #[must_use]
    pub(crate) fn at_most(self, watched_ms: u64) -> Self {
        match self {
            Self::NoPackets { for_ms } => Self::NoPackets { for_ms: for_ms.min(watched_ms) },
            Self::NoPat { for_ms } => Self::NoPat { for_ms: for_ms.min(watched_ms) },
            Self::Frozen { for_ms } => Self::Frozen { for_ms: for_ms.min(watched_ms) },
            Self::Silent { for_ms } => Self::Silent { for_ms: for_ms.min(watched_ms) },
            Self::Scrambled { .. } | Self::Continuity { .. } => self,
        }
    }
}

/// Why a probe of a path failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "probe", rename_all = "kebab-case")]
pub enum ProbeFault {
    /// No answer within the probe's limit.
    #[error("timed out")]
    TimedOut,
    /// No way to the host: no route, no name.
    #[error("found no route")]
    Unreachable,
    /// The host answers, but nobody listens there.
    #[error("was refused")]
    Refused,
    /// An HTTP status that is not a success.
    #[error("got HTTP {status}")]
    Status {
        /// As received.
        status: u16,
    },
    /// The playlist does not move on.
    #[error("found the playlist {for_ms} ms old")]
    Stalled {
        /// Age of its last segment, milliseconds.
        for_ms: u64,
    },
    /// The answer is no playlist or no transport stream.
    #[error("could not read the answer")]
    Unreadable,
    /// It came through, and the stream is bad.
    #[error("found {stream}")]
    Stream {
        /// What is bad.
        stream: StreamFault,
    },
    /// Not a probe of ours: this many viewers said so.
    #[error("is the word of {subscribers} viewers")]
    Viewers {
        /// Different subscribers.
        subscribers: u8,
    },
}

impl ProbeFault {
    /// Whether something answered. An answer, even a bad one, proves that the prober is not cut off.
    #[must_use]
    pub fn answered(&self) -> bool {
        !matches!(self, Self::TimedOut | Self::Unreachable)
    }

    /// Whether people would rather watch what it found than the slate.
    #[must_use]
    pub fn watchable(&self) -> bool {
        matches!(self, Self::Stream { stream } if stream.watchable())
    }
}

/// Why a path or a source is held to be down, or doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// Probes failed in a row.
    Probes {
        /// How many.
        failed: u32,
        /// The last one.
        last: ProbeFault,
    },
    /// The node's MQTT connection died and a probe was refused: the process is gone.
    Gone,
    /// The source's packets were bad.
    Stream {
        /// What was wrong with them.
        stream: StreamFault,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probes { failed: 1, last } => write!(f, "a probe {last}"),
            Self::Probes { failed, last } => write!(f, "{failed} probes failed in a row, the last {last}"),
            Self::Gone => f.write_str("its node left MQTT and a probe was refused"),
            Self::Stream { stream } => stream.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_an_operator_would_say_them() {
        let check = |fault: Fault, want: &str| assert_eq!(fault.to_string(), want);
        let silent = ProbeFault::Stream { stream: StreamFault::Silent { for_ms: 6_000 } };
        check(Fault::Probes { failed: 3, last: ProbeFault::TimedOut }, "3 probes failed in a row, the last timed out");
        check(Fault::Probes { failed: 1, last: silent }, "a probe found no sound for 6000 ms");
        check(Fault::Gone, "its node left MQTT and a probe was refused");
        check(Fault::Stream { stream: StreamFault::NoPackets { for_ms: 1_500 } }, "no packets for 1500 ms");
    }

    #[test]
    fn only_a_torn_or_silent_picture_is_better_than_the_slate() {
        assert!(ProbeFault::Stream { stream: StreamFault::Continuity { per_sec: 30 } }.watchable());
        assert!(!ProbeFault::Stream { stream: StreamFault::Scrambled { permille: 1_000 } }.watchable());
        assert!(!ProbeFault::TimedOut.watchable());
    }
}
