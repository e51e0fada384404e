//! Why a choice was made, in the words that the dashboard, the log and the tests share.
//!
//! Every switch is stored with its reason and the measurements behind it. Display is a fragment that reads
//! after "moved to france:".

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// Why, with the measurements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason<Id> {
    /// It is the first in order and up.
    Preferred {
        /// What plays.
        on: Id,
    },
    /// A better one is not good.
    OnBackup {
        /// What plays.
        on: Id,
        /// The first in order.
        better: Id,
        /// What is wrong with it.
        fault: Option<Fault>,
    },
    /// A better one is up again but has yet to prove itself.
    Soaking {
        /// Which.
        better: Id,
        /// For how long it must still be good, milliseconds.
        left_ms: u64,
    },
    /// A better one is good, but it was switched often enough.
    SwitchLimit {
        /// Which.
        better: Id,
        /// Voluntary switches so far.
        switches: u8,
        /// Within this long, milliseconds.
        window_ms: u64,
    },
    /// A better one has proved itself: the voluntary switch.
    Returned {
        /// Which.
        to: Id,
        /// It has been up for so long, milliseconds.
        up_for_ms: u64,
    },
    /// The current one had to be left.
    Lost {
        /// Which.
        from: Id,
        /// Why; none when it is no longer a candidate.
        fault: Option<Fault>,
    },
    /// Nothing played, and this one is up.
    Available {
        /// Which.
        to: Id,
    },
    /// Nothing is known to be up, and of this one nothing is known.
    Untested {
        /// Which.
        to: Id,
    },
    /// Nothing is up, and this one is torn or silent but better than the slate.
    LastResort {
        /// Which.
        on: Id,
        /// What is wrong with it.
        fault: Option<Fault>,
    },
    /// The operator's pin.
    Pinned {
        /// Where to.
        id: Id,
        /// For how long still, milliseconds.
        left_ms: u64,
    },
    /// The observer is cut off.
    Blind,
    /// Nothing is up.
    NothingUp {
        /// What is wrong with each, in the policy's order.
        faults: Vec<(Id, Option<Fault>)>,
    },
}

/// Whole seconds, rounded up: "for 0 s more" would read as done.
fn secs(ms: &u64) -> u64 {
    ms.div_ceil(1_000)
}

/// What is wrong, or that nothing is known.
fn words(fault: Option<&Fault>) -> String {
    fault.map_or_else(|| "nothing is known of it".to_owned(), Fault::to_string)
}

impl<Id: fmt::Display> fmt::Display for Reason<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preferred { on } => write!(f, "{on} is up and first in order"),
            Self::OnBackup { on, better, fault } => write!(f, "{on} is up; {better}: {}", words(fault.as_ref())),
            Self::Soaking { better, left_ms } => {
                write!(f, "{better} is up again and must be good for {} s more", secs(left_ms))
            }
            Self::SwitchLimit { better, switches, window_ms } => {
                write!(f, "{better} is good again, but {switches} switches in {} s are the limit", secs(window_ms))
            }
            Self::Returned { to, up_for_ms } => {
                write!(f, "{to} has been up for {} s and proved itself", secs(up_for_ms))
            }
            Self::Lost { from, fault: Some(fault) } => write!(f, "{from} is down: {fault}"),
            Self::Lost { from, fault: None } => write!(f, "{from} is no longer a candidate"),
            Self::Available { to } => write!(f, "{to} is up"),
            Self::Untested { to } => write!(f, "nothing is known to be up yet, trying {to}"),
            Self::LastResort { on, fault } => {
                write!(f, "nothing better is left than {on}: {}", words(fault.as_ref()))
            }
            Self::Pinned { id, left_ms } => write!(f, "pinned to {id} by the operator for {} s more", secs(left_ms)),
            Self::Blind => f.write_str("cut off: not even the anchors answer, the last choice stands"),
            Self::NothingUp { faults } => {
                f.write_str("nothing is up")?;
                let mut between = ": ";
                for (id, fault) in faults {
                    write!(f, "{between}{id}: {}", words(fault.as_ref()))?;
                    between = "; ";
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Choice, Decision, Fault, Policy, ProbeFault, Reason, SourceRules, StreamFault};

    /// A decision is stored with its measurements and read again by another release.
    #[test]
    fn decisions_are_stored_and_read_again() {
        let torn = Fault::Stream { stream: StreamFault::Continuity { per_sec: 40 } };
        let silent = ProbeFault::Stream { stream: StreamFault::Silent { for_ms: 6_000 } };
        let late = Fault::Probes { failed: 3, last: silent };
        let text = |id: &str| id.to_owned();
        let decisions = [
            Decision { choice: Choice::Keep, reason: Reason::Blind },
            Decision {
                choice: Choice::MoveTo(text("fra")),
                reason: Reason::Lost { from: text("car"), fault: Some(late) },
            },
            Decision {
                choice: Choice::Slate,
                reason: Reason::NothingUp { faults: vec![(text("car"), Some(torn)), (text("fra"), None)] },
            },
        ];
        for decision in decisions {
            let json = serde_json::to_string(&decision).unwrap();
            assert_eq!(serde_json::from_str::<Decision<String>>(&json).unwrap(), decision, "{json}");
        }
        let json = serde_json::to_string(&Reason::Lost { from: "car", fault: Some(late) }).unwrap();
        let last = r#"{"probe":"stream","stream":{"fault":"silent","for_ms":6000}}"#;
        let fault = format!(r#"{{"kind":"probes","failed":3,"last":{last}}}"#);
        assert_eq!(json, format!(r#"{{"why":"lost","from":"car","fault":{fault}}}"#));
    }

    #[test]
    fn a_policy_document_may_leave_out_what_is_usual_but_not_misspell_it() {
        let policy: Policy<String> = serde_json::from_str(r#"{"order":["car","fra"]}"#).unwrap();
        assert_eq!(policy, Policy::new(vec!["car".to_owned(), "fra".to_owned()]));
        let rules: SourceRules = serde_json::from_str(r#"{"leave_after_ms":900}"#).unwrap();
        assert_eq!(rules, SourceRules { leave_after_ms: 900, ..SourceRules::default() });
        assert!(serde_json::from_str::<SourceRules>(r#"{"leave_after":900}"#).is_err());
    }
}
