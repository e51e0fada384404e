//! Events of nodes and changes of redirects as lines of the audit.
//!
//! An event's line is keyed by (node, incarnation, sequence): written again it is found, not doubled, for as
//! long as the audit keeps it. A change carries its reason and what was measured of every origin.

use std::sync::Arc;

use headend_failover::{Candidate, Health};
use headend_rt::{CancellationToken, Clock};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    ledger::{FleetEvent, KeepEvent, Kept},
    redirect::Change,
    state::NodeKey,
};
use crate::store::{
    audit::AuditEntry,
    engine::{Engine, IdempotencyKey},
    table::{Draft, Record, StoreError, Table},
};

const DETAIL_CHARS_MAX: usize = 500;
const SUBJECT_CHARS_MAX: usize = 200;

/// Stores events of nodes in the audit.
#[must_use]
pub fn keep_events(engine: Arc<dyn Engine>) -> KeepEvent {
    Arc::new(move |event| {
        let engine = Arc::clone(&engine);
        Box::pin(async move { keep(engine, &event).await.map_err(|error| headend_rt::chain(&error)) })
    })
}

async fn keep(engine: Arc<dyn Engine>, event: &FleetEvent) -> Result<Kept, StoreError> {
    let line = line_of(event);
    let table: Table<AuditEntry> = Table::new(Arc::clone(&engine));
    if table.get(&line.key()).await?.is_some() {
        return Ok(Kept::Already);
    }
    let received = u64::try_from(event.received.as_millisecond()).unwrap_or(0);
    let done = Draft::new(name_of(event), received).insert(&line)?.commit(&*engine).await?;
    Ok(if done.repeated { Kept::Already } else { Kept::New })
}

/// The event's name as an idempotency key: names may be too long for one, their hash is not.
fn name_of(event: &FleetEvent) -> IdempotencyKey {
    let NodeKey { site, node } = &event.key;
    let name = format!("{site}\0{node}\0{}\0{}", event.incarnation.0, event.seq);
    let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    IdempotencyKey::new(format!("event:{hash}")).expect("70 visible characters are a key")
}

fn line_of(event: &FleetEvent) -> AuditEntry {
    // The node's own time, so that the same event has the same line whenever it arrives.
    let happened = u64::try_from(event.event.happened.as_millisecond()).unwrap_or(0);
    let kind = serde_json::to_value(&event.event.kind).unwrap_or_default();
    let action = format!("node.{}", kind["kind"].as_str().unwrap_or("event"));
    let mut line = AuditEntry::new(&name_of(event), happened, "node", &action, "");
    line.subject = plain(&event.key.to_string(), SUBJECT_CHARS_MAX);
    line.detail = plain(&kind.to_string(), DETAIL_CHARS_MAX);
    line
}

/// Texts of nodes are shown to people: no control characters, no more than fits.
fn plain(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(chars_max).collect()
}

/// Stores changes of redirects in the audit until `stop` or until nobody changes any more. One that the store
/// refuses is logged with all it says, and the next is tried.
pub async fn keep_changes(
    engine: Arc<dyn Engine>,
    mut changes: mpsc::Receiver<Change>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => return,
        };
        let Some(change) = change else { return };
        let (request, at_ms) = (IdempotencyKey::random("redirect"), u64::try_from(clock.unix_ms()).unwrap_or(0));
        let mut line = AuditEntry::new(&request, at_ms, "controller", "redirect.change", "");
        line.subject = plain(&format!("{} {}", change.channel, change.audience), SUBJECT_CHARS_MAX);
        line.detail = plain(&words(&change), DETAIL_CHARS_MAX);
        let stored = match Draft::new(request, at_ms).insert(&line) {
            Ok(draft) => draft.commit(&*engine).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::error!(
                subject = line.subject,
                detail = line.detail,
                error = headend_rt::chain(&error),
                "redirect change not stored"
            );
        }
    }
}

fn words(change: &Change) -> String {
    let name = |key: &Option<NodeKey>| key.as_ref().map_or("slate".to_owned(), NodeKey::to_string);
    let seen: Vec<String> = change.seen.iter().map(measured).collect();
    format!("{} -> {}: {}; {}", name(&change.from), name(&change.to), change.reason, seen.join(", "))
}

fn measured(candidate: &Candidate<NodeKey>) -> String {
    let health = match candidate.health {
        Health::Untested => "untested",
        Health::Good => "good",
        Health::Shaky => "shaky",
        Health::Down => "down",
    };
    let fault = candidate.fault.map_or_else(String::new, |fault| format!(" ({fault})"));
    format!("{} {health} for {} ms{fault}", candidate.id, candidate.lasting_ms)
}

#[cfg(test)]
mod tests {
    use headend_failover::Reason;
    use headend_rt::SystemClock;
    use headend_wire::{Event, EventKind, Incarnation};
    use jiff::Timestamp;

    use super::*;
    use crate::store::MemoryEngine;

    fn key(node: &str) -> NodeKey {
        NodeKey { site: "caribbean".parse().unwrap(), node: node.parse().unwrap() }
    }

    fn event(seq: u64, version: &str) -> FleetEvent {
        let happened = Timestamp::from_second(1_000).unwrap();
        let event = Event { id: seq, happened, kind: EventKind::Started { version: version.to_owned() } };
        FleetEvent { key: key("car-1"), incarnation: Incarnation(7), seq, received: Timestamp::now(), event }
    }

    async fn lines(engine: &Arc<dyn Engine>) -> Vec<(String, String, String)> {
        let table: Table<AuditEntry> = Table::new(Arc::clone(engine));
        let all = table.all().await.unwrap();
        all.into_iter().map(|kept| (kept.record.action, kept.record.subject, kept.record.detail)).collect()
    }

    #[tokio::test]
    async fn an_event_is_one_line_however_often_it_comes() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let keep = keep_events(Arc::clone(&engine));
        assert_eq!(keep(event(1, "0.1\u{7f}\n")).await, Ok(Kept::New));
        assert_eq!(keep(event(1, "0.1\u{7f}\n")).await, Ok(Kept::Already));
        assert_eq!(keep(event(2, &"x".repeat(5_000))).await, Ok(Kept::New));
        let lines = lines(&engine).await;
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.0 == "node.started" && line.1 == "caribbean/car-1"), "{lines:?}");
    }

    #[tokio::test]
    async fn a_change_is_stored_with_its_measurements() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let (send, changes) = mpsc::channel(1);
        let (from, to) = (Some(key("car-1")), None);
        let seen = vec![Candidate {
            id: key("car-1"),
            health: Health::Down,
            lasting_ms: 5,
            soak_left_ms: 0,
            watchable: false,
            fault: None,
        }];
        let reason = Reason::Lost { from: key("car-1"), fault: None };
        let change = Change { channel: "news".parse().unwrap(), audience: "paris".to_owned(), from, to, reason, seen };
        send.send(change).await.unwrap();
        drop(send);
        keep_changes(Arc::clone(&engine), changes, Arc::new(SystemClock), CancellationToken::new()).await;
        let lines = lines(&engine).await;
        assert_eq!((lines[0].0.as_str(), lines[0].1.as_str()), ("redirect.change", "news paris"));
        assert!(
            lines[0].2.starts_with("caribbean/car-1 -> slate: ") && lines[0].2.contains("down for 5 ms"),
            "{lines:?}"
        );
    }
}
