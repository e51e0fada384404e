//! What Prometheus asks: the same figures as the status, in its text format 0.0.4.

use std::{fmt::Write as _, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};
use headend_wire::{ChannelHealth, ChannelState};

use super::{
    NodeStatus, Shared,
    answer::{self, Kind},
};
use crate::{
    cam::{CamState, CamStatus},
    card::{CardState, CardStatus},
    input::tuner::{
        lock::TunerState,
        losses::{Loss, Losses},
        report::{ProofReport, SeatReport, TunerReport, Verdict},
    },
    output::viewing::{Guard, Tally},
};

/// Prometheus text format 0.0.4.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = render(&(shared.status)(), shared.channels.counters().refusals());
    text.push_str(&viewing(&shared.rules.guards().map(Guard::tally).collect::<Vec<_>>()));
    answer::of(StatusCode::OK, Kind::Text, text)
}

/// Further labels, and the value.
type Line = (&'static str, fn(&Tally) -> u64);

/// What backends were asked about viewers, by the place of their rule among those with backends.
fn viewing(tallies: &[Tally]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: &[Line]| {
        if tallies.is_empty() {
            return;
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (tally, rule) in tallies.iter().zip(1..) {
            for (label, value) in lines {
                let _ = writeln!(text, "{name}{{rule=\"{rule}\"{label}}} {}", value(tally));
            }
        }
    };
    family("headend_viewing_sessions_count", "gauge", "Sessions remembered", &[("", |tally| tally.sessions)]);
    family("headend_viewing_open_count", "gauge", "Sessions that are open", &[("", |tally| tally.open)]);
    let answers: [Line; 3] = [
        (",answer=\"allowed\"", |tally| tally.allowed),
        (",answer=\"denied\"", |tally| tally.denied),
        (",answer=\"failed\"", |tally| tally.failed),
    ];
    family("headend_viewing_answers_total", "counter", "What backends said", &answers);
    family("headend_viewing_banned_total", "counter", "Sessions too many of a user", &[("", |tally| tally.banned)]);
    family("headend_viewing_full_total", "counter", "Sessions that found no room", &[("", |tally| tally.full)]);
    text
}

fn render(status: &NodeStatus, refused: u64) -> String {
    let mut text = String::with_capacity(4096);
    let mut gauge = |name: &str, help: &str, lines: &[(String, u64)]| {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in lines {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let by_channel = |value: fn(&ChannelHealth) -> u64| -> Vec<(String, u64)> {
        status.channels.iter().map(|health| (format!("{{channel=\"{}\"}}", health.channel), value(health))).collect()
    };
    gauge("headend_agent_connected", "1 while a broker is connected", &one(u64::from(status.controller_connected)));
    gauge(
        "headend_agent_events_pending_count",
        "Events that wait for the controller",
        &one(status.events_pending as u64),
    );
    gauge("headend_agent_generation_number", "Generation of the desired state", &one(status.generation.unwrap_or(0)));
    gauge("headend_stream_bitrate_bps", "Output rate", &by_channel(|health| health.bitrate_bps));
    gauge(
        "headend_stream_cc_errors_per_minute",
        "Continuity errors",
        &by_channel(|h| u64::from(h.cc_errors_per_minute)),
    );
    gauge("headend_stream_viewers_count", "Sessions of the last 30 s", &by_channel(|health| u64::from(health.viewers)));
    gauge("headend_stream_last_segment_number", "Last segment", &by_channel(|health| health.last_segment.unwrap_or(0)));
    let slate = by_channel(|health| u64::from(health.state == ChannelState::Slate));
    gauge("headend_stream_slate", "1 while the slate plays", &slate);
    let inputs: Vec<(String, u64)> = status
        .inputs
        .iter()
        .map(|input| (format!("{{input=\"{}\"}}", escaped(&input.feed)), input.counters.bytes))
        .collect();
    gauge("headend_input_bytes_total", "Bytes received", &inputs);
    let tuners = || status.inputs.iter().filter_map(|input| input.tuner.as_ref());
    let by_tuner = |value: fn(&TunerReport) -> u64| -> Vec<(String, u64)> {
        tuners().map(|tuner| (format!("{{tuner=\"{}\"}}", escaped(&tuner.tuner)), value(tuner))).collect()
    };
    let by_cause = |value: fn(&Loss) -> u64| -> Vec<(String, u64)> {
        tuners().flat_map(|tuner| losses(tuner).map(|(labels, loss)| (labels, value(&loss)))).collect()
    };
    let receiving = by_tuner(|tuner| u64::from(tuner.state == TunerState::Receiving));
    gauge("headend_tuner_receiving", "1 while valid PATs come", &receiving);
    gauge("headend_tuner_lost_bytes_total", "Bytes lost, at least, by cause", &by_cause(|loss| loss.bytes));
    gauge("headend_tuner_lost_ms_total", "Milliseconds with losses, by cause", &by_cause(|loss| loss.ms));
    gauge(
        "headend_tuner_hangs_total",
        "Driver calls that never came back in time",
        &by_tuner(|t| t.ladder.hangs.into()),
    );
    gauge("headend_tuner_removals_total", "Times the device went away", &by_tuner(|t| t.ladder.removals.into()));
    let by_proof = |value: fn(&ProofReport) -> u64| -> Vec<(String, u64)> {
        status.tuners.iter().flat_map(proofs).map(|(labels, proof)| (labels, value(proof))).collect()
    };
    let proven = by_proof(|proof| u64::from(proof.verdict == Verdict::Proven));
    gauge("headend_tuner_spare_proven", "1 when the last proof of a spare tuner ended well", &proven);
    let age = by_proof(|proof| proof.age_ms / 1_000);
    gauge("headend_tuner_spare_proof_age_seconds", "Since the last proof of a spare tuner", &age);
    let by_card = |value: fn(&CardStatus) -> u64| -> Vec<(String, u64)> {
        status.cards.iter().map(|card| (format!("{{card=\"{}\"}}", escaped(&card.name)), value(card))).collect()
    };
    gauge("headend_card_ready", "1 while the card serves", &by_card(|card| u64::from(card.state == CardState::Ready)));
    gauge("headend_card_asked_total", "ECMs put to the card", &by_card(|card| card.counts.asked));
    gauge("headend_card_answered_total", "ECMs it gave words for", &by_card(|card| card.counts.answered));
    gauge("headend_card_refused_total", "ECMs it refused or failed on", &by_card(|card| card.counts.refused));
    gauge("headend_card_answer_last_milliseconds", "The last answer took", &by_card(|c| c.answer_ms_last.unwrap_or(0)));
    let by_cam = |value: fn(&CamStatus) -> u64| -> Vec<(String, u64)> {
        status.cams.iter().map(|cam| (format!("{{cam=\"{}\"}}", escaped(&cam.name)), value(cam))).collect()
    };
    gauge("headend_cam_ready", "1 while the module works", &by_cam(|cam| u64::from(cam.state == CamState::Ready)));
    gauge("headend_cam_resets_total", "Resets by this program", &by_cam(|cam| cam.counts.resets));
    gauge("headend_cam_lists_total", "Messages about services", &by_cam(|cam| cam.counts.lists));
    gauge("headend_cam_timeouts_total", "Commands without an answer in time", &by_cam(|cam| cam.counts.timeouts));
    gauge("headend_cam_defects_total", "Things it said that make no sense", &by_cam(|cam| cam.counts.defects));
    let dark = status.access.iter().filter(|access| access.state == "scrambled").count();
    gauge("headend_stream_scrambled_count", "Services that stay scrambled", &one(dark as u64));
    gauge("headend_http_connections_count", "Open connections", &one(status.http.open));
    gauge("headend_http_accepted_total", "Accepted connections", &one(status.http.accepted));
    gauge("headend_http_requests_total", "Requests", &one(status.http.requests));
    gauge("headend_http_refused_total", "Requests without a good token", &one(refused));
    gauge("headend_http_stalled_total", "Viewers cut because they took nothing", &one(status.http.timed_out_stall));
    text
}

/// Losses of a tuner with their labels.
fn losses(tuner: &TunerReport) -> impl Iterator<Item = (String, Loss)> {
    let Losses { signal, kernel_ring, transfer, removal, own_queue } = tuner.losses;
    let name = escaped(&tuner.tuner);
    let causes = [
        ("signal", signal),
        ("kernel-ring", kernel_ring),
        ("transfer", transfer),
        ("removal", removal),
        ("own-queue", own_queue),
    ];
    causes.into_iter().map(move |(cause, loss)| (format!("{{tuner=\"{name}\",cause=\"{cause}\"}}"), loss))
}

/// Proofs of a spare tuner with their labels.
fn proofs(seat: &SeatReport) -> impl Iterator<Item = (String, &ProofReport)> {
    let name = escaped(&seat.tuner);
    seat.proofs.iter().map(move |proof| (format!("{{tuner=\"{name}\",mux=\"{}\"}}", escaped(&proof.mux)), proof))
}

/// A label value (backslash, quote and line feed escaped).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
